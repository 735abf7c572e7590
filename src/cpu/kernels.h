/* The CPU's kernels: what each computes, as the serial loop it replaces, and the table an instruction set fills in.
 *
 * The portable C kernels are the definition; every other table must give the same bits. Each output of a kernel is one
 * chain of fused multiply-adds in ascending order of its reduction index (fmaf, never a multiply and an add; no
 * reassociation, no split chains). All pointers may be unaligned beyond their type unless said otherwise. No kernel writes
 * an element that its loop does not name, or reads one outside the span of those it does (a stride's gaps may be read).
 *
 * A "row" is on the broadcast side of a product, a "lane" on its vector side. A kernel's width is nv vectors of
 * kernels->lanes floats: nr = nv * lanes.
 */
#ifndef TILEFOLD_CPU_KERNELS_H
#define TILEFOLD_CPU_KERNELS_H

#include <tilefold.h>

enum {
    TILEFOLD_MAX_VECTORS = 4,    /* nv: 1..4 */
    TILEFOLD_MAX_ROWS = 14,      /* mr: 1..14 */
    TILEFOLD_MAX_LANES = 16,     /* floats in a vector */
    TILEFOLD_MAX_PIXELS = 8,     /* pixels of a depthwise tile */
    TILEFOLD_ROW_KERNELS = 3,    /* depthwise_row and depthwise_plane: 3, 5 or 7 taps along a row */
    TILEFOLD_PAIR_TAPS = 3,      /* depthwise_pair: taps along a row */
    TILEFOLD_GROUP_TAPS = 3,     /* grouped_row: taps along a row */
    TILEFOLD_PLANE_CHANNELS = 2, /* depthwise_plane: channels at once */
    TILEFOLD_ROW_STEPS = 2,      /* and pixels 1 or 2 columns apart */
    TILEFOLD_TYPES = 4,          /* tables indexed by tilefold_type; entry 0 (NONE) is NULL */
};

/* Where a product's sums begin and where they go.
 *     acc[i][j] starts as init[i*init_stride + j]   (init_stride 0 repeats one row: a bias along the lanes)
 *                      or init[i*init_stride]       (init_by_row: a bias along the rows)
 *     out[i*out_stride + j] = clamp(acc[i][j] + 0.0f)   for j below lanes
 * clamp(x): y = x < low ? low : x; y > high ? high : y; so NaN stays NaN. Adding +0 is the chain's end: it makes +0 of -0
 * and changes nothing else. Between blocks of a cut sum low and high are -inf and +inf, and adding it there already changes
 * no finished bit: a partial sum of the other zero can only give a sum of the other zero, which the end makes +0 again. init
 * and out may be the same memory with the same stride. Only the last vector of a row may be stored in part:
 * (nv - 1) * kernels->lanes < lanes <= nr. */
typedef struct tilefold_tile_io {
    const float *init;
    ptrdiff_t init_stride;
    float *out;
    ptrdiff_t out_stride;
    int64_t lanes;
    float low, high;
    bool init_by_row;
    const char
        *next; /* what will be read next, fetched into the second-level cache meanwhile: next_step bytes further */
    ptrdiff_t next_step; /* with every step of the sum; products only. Any address will do */
} tilefold_tile_io;

/* A stretch of a sum along which both sides of a product advance by constant steps: `count` elements, the first of them a
 * and b elements into the two sides. */
typedef struct tilefold_segment {
    int64_t count, a, b;
    int64_t tap; /* product_rows: which rows */
} tilefold_segment;

/* The product: a batch of small ones that are summed (as oneDNN's batch-reduce GEMM), in the order of the segments:
 *     for s in segments: for p in 0..s.count: for i in 0..mr: for j in 0..nr:
 *         acc[i][j] = fma(a[s.a + p*a_step + i], b[s.b + p*b_step + j], acc[i][j])
 * There may be no segment. Packed panels, [k][width], are one segment; a copy of the input that serves many taps is one for
 * each tap. */
typedef void (*tilefold_product_kernel)(const tilefold_segment *segments, int64_t count, const float *a,
                                        ptrdiff_t a_step, const float *b, ptrdiff_t b_step, const tilefold_tile_io *io);

/* The same with the broadcast side read where it lies, channels side by side (an indirect convolution): rows[t*mr + i] points
 * at the channels of tap t for row i.
 *     for s in segments: for p in 0..s.count: for i, j:
 *         acc[i][j] = fma(rows[s.tap*mr + i][s.a + p], b[s.b + p*nr + j], acc[i][j]) */
typedef void (*tilefold_product_rows_kernel)(const tilefold_segment *segments, int64_t count, const float *const *rows,
                                             const float *b, const tilefold_tile_io *io);

/* The product of a sum whose runs are short: where either side is at each step is listed, and the broadcast side's rows lie evenly
 * apart, so that they can be windows that overlap.
 *     for p in 0..count: for i in 0..mr: for j in 0..nr:
 *         acc[i][j] = fma(a[steps[p].a + i*a_stride], b[steps[p].b + j], acc[i][j]) */
typedef struct tilefold_step {
    int32_t a, b;
} tilefold_step;
typedef void (*tilefold_product_steps_kernel)(const tilefold_step *steps, int64_t count, const float *a,
                                              ptrdiff_t a_stride, const float *b, const tilefold_tile_io *io);

/* Depthwise, lanes = channels. rows[t*pixels + i] points at the channels of tap t for pixel i, elements of the kernel's
 * type; weights are fp32.
 *     for t in 0..taps: for i in 0..pixels: for j in 0..nr:
 *         acc[i][j] = fma(to_float(rows[t*pixels + i][offset + j]), w[t*w_stride + j], acc[i][j]) */
typedef void (*tilefold_depthwise_kernel)(int64_t taps, const void *const *rows, ptrdiff_t offset, const float *w,
                                          ptrdiff_t w_stride, const tilefold_tile_io *io);

/* Depthwise, lanes = channels, for pixels that are neighbours in a row, so that a column is loaded once for all pixels whose
 * window it is in: `taps` along the row are fixed, and pixels lie `step` columns apart. in[y*columns + c] points at the channels
 * of row y's column c, of columns = (pixels - 1)*step + taps. Several panels of channels at once, whose sums begin and go, in
 * `io`, `lanes` after each other, never begun by row; where there are several, io->lanes is kernels->lanes.
 *     for v in 0..panels: for y in 0..rows: for x in 0..taps: for i in 0..pixels: for j in 0..lanes:
 *         acc[v][i][j] = fma(to_float(in[y*columns + i*step + x][offset + v*lanes + j]),
 *                            w[((v*rows + y)*taps + x)*lanes + j], acc[v][i][j]) */
typedef struct tilefold_row_windows {
    int64_t rows, panels;
    const void *const *in;
    ptrdiff_t offset;
    const float *w;
    ptrdiff_t out_row; /* depthwise_pair */
} tilefold_row_windows;
typedef void (*tilefold_depthwise_row_kernel)(const tilefold_row_windows *windows, const tilefold_tile_io *io);

/* The same of fp32, 3 taps along the row and pixels one column apart, for two rows of outputs whose windows begin one row apart, so
 * that a column is loaded once for both: `in` has a row more, and rows are not none. The second row's outputs go out_row floats
 * further.
 *     for r in 0..2: for v in 0..panels: for y in 0..rows: for x in 0..3: for i in 0..pixels: for j in 0..lanes:
 *         acc[r][v][i][j] = fma(in[(y + r)*columns + i + x][offset + v*lanes + j], w[((v*rows + y)*3 + x)*lanes + j],
 *                               acc[r][v][i][j]) */

/* Groups of a few channels, lanes = output channels of neighbouring groups, 3 taps along the row, pixels as in depthwise_row. A group
 * has as many inputs as outputs, `channels`, which divide the lanes or which the lanes divide; its inputs lie side by side, and so
 * do those of all groups. in[y*columns + c] points at column c of row y, in[..][offset] being where the group of output channel 0
 * begins. From output channel `first` on, a multiple of lanes, or, where channels divide the lanes, of those; with
 *     input(o) = the first channel of o's group
 *     for v in 0..panels: for y in 0..rows: for x in 0..3: for k in 0..channels: for i in 0..pixels: for j in 0..lanes:
 *         acc[v][i][j] = fma(in[y*columns + i*step + x][offset + input(first + v*lanes + j) + k],
 *                            w[(((v*rows + y)*3 + x)*channels + k)*lanes + j], acc[v][i][j])
 * Where channels < lanes, the caller provides spread[k*lanes + j] = j - j % channels + k, for k in 0..channels. io as for
 * depthwise_row. */
typedef struct tilefold_group_windows {
    int64_t rows, panels, channels, first;
    const void *const *in; /* fp32 */
    ptrdiff_t offset;
    const float *w;
    const int32_t *spread;
} tilefold_group_windows;
typedef void (*tilefold_grouped_row_kernel)(const tilefold_group_windows *windows, const tilefold_tile_io *io);

/* for i in 0..n:  out[i] = to_float(in[i*stride]).  Conversions from fp16 and bf16 are exact. stride in elements. */
typedef void (*tilefold_load_run)(float *out, const void *in, ptrdiff_t stride, int64_t n);

/* for p in 0..k: for i in 0..count:  out[p*width + i] = to_float(rows[i][p*stride]).  count <= width; lanes past count
 * are left alone. rows[i] point at elements of the table entry's type; count is at most 64. */
typedef void (*tilefold_transpose_rows)(float *out, int64_t width, const void *const *rows, int64_t count,
                                        ptrdiff_t stride, int64_t k);

/* Depthwise, lanes = pixels of one channel. tap[t] is where tap t begins, in elements from in; w[t] is its weight.
 *     for t in 0..taps: for i in 0..rows: for j in 0..nr:
 *         acc[i][j] = fma(in[tap[t] + i*in_stride + j], w[t], acc[i][j]) */
typedef void (*tilefold_depthwise_pixels_kernel)(int64_t taps, const int64_t *tap, const float *in, ptrdiff_t in_stride,
                                                 const float *w, const tilefold_tile_io *io);

/* Depthwise, lanes = pixels of a row, read where they lie, for rows of outputs that are neighbours, so that each input row is
 * loaded once for all of them whose window it is in: square kernels of `taps`, `step` apart along both axes. Two channels, which
 * may be the same one: sums begin in io[channel] and go there. Planes, rows and elements outside [begin, end) are not read and
 * count as zeros; begin and end are from 0 up to what the lanes reach.
 *     value(c, z, y, e) = plane_begin <= z < plane_end and row_begin <= y < row_end and begin <= e < end
 *                             ? in[offset + c*in_channel + z*plane_stride + y*row_stride + e] : 0
 *     for c in 0..2: for z in 0..planes: for y in 0..taps: for x in 0..taps: for i in 0..rows: for j in 0..lanes:
 *         acc[c][i][j] = fma(value(c, z, i*step + y, j*step + x), w[c*w_channel + (z*taps + y)*taps + x], acc[c][i][j]) */
typedef struct tilefold_plane_windows {
    const float *in;
    ptrdiff_t offset, in_channel, plane_stride, row_stride;
    int64_t planes, plane_begin, plane_end, row_begin, row_end, begin, end;
    const float *w;
    ptrdiff_t w_channel;
} tilefold_plane_windows;
typedef void (*tilefold_depthwise_plane_kernel)(const tilefold_plane_windows *windows, const tilefold_tile_io *io);

/* Rows of an array into a copy with room around it:
 *     for r in 0..rows: for i in 0..left + n + right:
 *         out[r*out_stride + i] = left <= i < left + n ? to_float(in[r*in_stride + (i - left)*in_step]) : 0 */
typedef struct tilefold_row_copy {
    int64_t rows, left, n, right;
    ptrdiff_t out_stride, in_stride, in_step; /* elements */
} tilefold_row_copy;
typedef void (*tilefold_copy_rows)(float *out, const void *in, const tilefold_row_copy *copy);

/* for j in 0..columns: for i in 0..rows:  out[j*out_stride + i] = from_float(in[i*in_stride + j]), rounded as by store_run. */
typedef void (*tilefold_store_transposed)(void *out, ptrdiff_t out_stride, const float *in, ptrdiff_t in_stride,
                                          int64_t rows, int64_t columns);

/* for i in 0..n:  out[i*stride] = from_float(in[i]).  Rounding to fp16 and bf16 is to nearest, ties to even; overflow
 * goes to infinity, fp16 subnormals are kept, a NaN stays a (quiet) NaN. */
typedef void (*tilefold_store_run)(void *out, ptrdiff_t stride, const float *in, int64_t n);

/* Winograd's transforms of 4 outputs of a 3-tap axis, six values to each; the matrices, and the order of operations, are in
 * winograd_template.h. n is a multiple of 16.
 *     for j in 0..n: for i in 0..6:  out[i*out_step + j] = sum over l of B^T[i][l] * in[l*in_step + j] */
typedef void (*tilefold_winograd_input)(float *out, ptrdiff_t out_step, const float *in, ptrdiff_t in_step, int64_t n);

/* Along one axis, and along two:
 *     for j in 0..lanes: for x in 0..4:  out[x*out_step + j] = clamp(sum over l of A^T[x][l] * in[l*in_step + j] + bias[j] + 0.0f)
 *     for j in 0..lanes: for y, x in 0..4:  out[y*out_row + x*out_step + j] = the same of
 *                                           sum over k, l of A^T[y][k] * A^T[x][l] * in[(k*6 + l)*in_step + j]
 * in and bias can be read up to the next multiple of 16 lanes. */
typedef struct tilefold_winograd_tile {
    const float *bias;
    float *out;
    ptrdiff_t out_row, out_step;
    int64_t lanes;
    float low, high;
} tilefold_winograd_tile;
typedef void (*tilefold_winograd_output)(const float *in, ptrdiff_t in_step, const tilefold_winograd_tile *tile);

typedef struct tilefold_cpu_kernels {
    tilefold_isa isa;
    int32_t lanes;                          /* floats in a vector */
    int32_t max_rows[TILEFOLD_MAX_VECTORS]; /* [nv-1]: the largest mr there is a kernel for, 0 for none */
    tilefold_product_kernel product[TILEFOLD_MAX_VECTORS][TILEFOLD_MAX_ROWS];             /* [nv-1][mr-1] */
    tilefold_product_rows_kernel product_rows[TILEFOLD_MAX_VECTORS][TILEFOLD_MAX_ROWS];   /* [nv-1][mr-1] */
    tilefold_product_steps_kernel product_steps[TILEFOLD_MAX_VECTORS][TILEFOLD_MAX_ROWS]; /* [nv-1][mr-1] */
    int32_t max_pixels[TILEFOLD_MAX_VECTORS]; /* [nv-1]: the most pixels there is a depthwise kernel for */
    tilefold_depthwise_kernel depthwise[TILEFOLD_TYPES][TILEFOLD_MAX_VECTORS]
                                       [TILEFOLD_MAX_PIXELS]; /* [type][nv-1][px-1] */
    tilefold_depthwise_pixels_kernel depthwise_pixels[TILEFOLD_MAX_VECTORS][TILEFOLD_MAX_PIXELS]; /* [nv-1][rows-1] */
    int32_t max_row_pixels;
    tilefold_depthwise_row_kernel depthwise_row[TILEFOLD_TYPES][TILEFOLD_ROW_KERNELS][TILEFOLD_ROW_STEPS]
                                               [TILEFOLD_MAX_PIXELS]; /* [type][taps/2-1][step-1][px-1] */
    int32_t max_pair_pixels;
    tilefold_depthwise_row_kernel depthwise_pair[TILEFOLD_MAX_PIXELS]; /* [px-1] */
    int32_t max_group_pixels;
    tilefold_grouped_row_kernel grouped_row[TILEFOLD_ROW_STEPS][TILEFOLD_MAX_PIXELS]; /* [step-1][px-1] */
    int32_t max_plane_rows;
    tilefold_depthwise_plane_kernel depthwise_plane[TILEFOLD_ROW_KERNELS][TILEFOLD_ROW_STEPS]
                                                   [TILEFOLD_MAX_PIXELS]; /* [taps/2-1][step-1][rows-1] */
    tilefold_load_run load_run[TILEFOLD_TYPES];
    tilefold_transpose_rows transpose_rows[TILEFOLD_TYPES];
    tilefold_store_run store_run[TILEFOLD_TYPES];
    tilefold_copy_rows copy_rows[TILEFOLD_TYPES];
    tilefold_store_transposed store_transposed[TILEFOLD_TYPES];
    tilefold_winograd_input winograd_input;
    tilefold_winograd_output winograd_output[2]; /* [axes-1] */
    /* Runs `rounds` rounds of independent register-only fused multiply-adds and returns how many were done (one counts
     * each lane); *sink keeps the compiler honest. */
    int64_t (*fma_rounds)(int64_t rounds, float *sink);
} tilefold_cpu_kernels;

/* The table of an instruction set, or NULL where this build or this machine does not have it. BEST gives the best. Tables
 * are static and immutable; the machine is asked once. */
const tilefold_cpu_kernels *tilefold_cpu_kernels_for(tilefold_isa isa);

/* Tables by instruction set, each defined where the build targets it: see kernels.c, which alone names them. */
extern const tilefold_cpu_kernels tilefold_cpu_kernels_portable;
extern const tilefold_cpu_kernels tilefold_cpu_kernels_avx2;
extern const tilefold_cpu_kernels tilefold_cpu_kernels_avx512;
extern const tilefold_cpu_kernels tilefold_cpu_kernels_neon;

#endif /* TILEFOLD_CPU_KERNELS_H */
