/* SPDX-License-Identifier: MIT */
/* The kernels in plain C: the definition of what every other table computes. fmaf rounds once with or without hardware
 * for it, so these give the same bits everywhere. */
#include "half.h"
#include "kernels.h"
#include "tile_lists.h"

#include <math.h>

#define TILES(TILE) ROWS_4(TILE, 1) ROWS_4(TILE, 2)
#define MAX_ROWS 4, 4
#define PIXEL_TILES(TILE) TILES(TILE)
#define MAX_PIXELS MAX_ROWS
#define ROW_TILES(TILE) ROWS_4(TILE, 3) ROWS_4(TILE, 5) ROWS_4(TILE, 7)
#define MAX_ROW_PIXELS 4
#define PAIR_TILES(TILE) ROWS_4(TILE, 1)
#define MAX_PAIR_PIXELS 4
#define GROUP_TILES(TILE) ROWS_4(TILE, 1) ROWS_4(TILE, 2)
#define MAX_GROUP_PIXELS 4
#define PLANE_TILES(TILE) ROW_TILES(TILE)
#define MAX_PLANE_ROWS 4
#define LANES 4
#define ISA TILEFOLD_ISA_PORTABLE
#define NAME(name) name##_portable

enum { MAX_MR = 4, MAX_NR = 2 * LANES };

/* ---------------------------------------------------------------------------------------------------- products ---- */

ALWAYS_INLINE void load_tile(int nr, int mr, float acc[MAX_MR][MAX_NR], const tilefold_tile_io *io) {
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) acc[i][j] = io->init[i * io->init_stride + (io->init_by_row ? 0 : j)];
}

/* The chain's end makes +0 of -0: no compiler may leave it out without -ffast-math. */
ALWAYS_INLINE void end_chains(int nr, int mr, float acc[MAX_MR][MAX_NR]) {
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) acc[i][j] += 0.0f;
}

ALWAYS_INLINE void store_tile(int nr, int mr, float acc[MAX_MR][MAX_NR], const tilefold_tile_io *io) {
    end_chains(nr, mr, acc);
    for (int i = 0; i < mr; i++) {
        for (int j = 0; j < nr && j < io->lanes; j++) {
            float x = acc[i][j];
            float y = x < io->low ? io->low : x;
            io->out[i * io->out_stride + j] = y > io->high ? io->high : y;
        }
    }
}

ALWAYS_INLINE void product(int nv, int mr, const tilefold_segment *segments, int64_t count, const float *a,
                           ptrdiff_t a_step, const float *b, ptrdiff_t b_step, const tilefold_tile_io *io) {
    const int nr = nv * LANES;
    float acc[MAX_MR][MAX_NR];
    load_tile(nr, mr, acc, io);
    for (const tilefold_segment *s = segments; s < segments + count; s++)
        for (int64_t p = 0; p < s->count; p++)
            for (int i = 0; i < mr; i++)
                for (int j = 0; j < nr; j++)
                    acc[i][j] = fmaf(a[s->a + p * a_step + i], b[s->b + p * b_step + j], acc[i][j]);
    store_tile(nr, mr, acc, io);
}

ALWAYS_INLINE void product_steps(int nv, int mr, const tilefold_step *steps, int64_t count, const float *a,
                                 ptrdiff_t a_stride, const float *b, const tilefold_tile_io *io) {
    const int nr = nv * LANES;
    float acc[MAX_MR][MAX_NR];
    load_tile(nr, mr, acc, io);
    for (const tilefold_step *s = steps; s < steps + count; s++)
        for (int i = 0; i < mr; i++)
            for (int j = 0; j < nr; j++) acc[i][j] = fmaf(a[s->a + i * a_stride], b[s->b + j], acc[i][j]);
    store_tile(nr, mr, acc, io);
}

ALWAYS_INLINE void product_rows(int nv, int mr, const tilefold_segment *segments, int64_t count,
                                const float *const *rows, const float *b, const tilefold_tile_io *io) {
    const int nr = nv * LANES;
    float acc[MAX_MR][MAX_NR];
    load_tile(nr, mr, acc, io);
    for (const tilefold_segment *s = segments; s < segments + count; s++)
        for (int64_t p = 0; p < s->count; p++)
            for (int i = 0; i < mr; i++)
                for (int j = 0; j < nr; j++)
                    acc[i][j] = fmaf(rows[s->tap * mr + i][s->a + p], b[s->b + p * nr + j], acc[i][j]);
    store_tile(nr, mr, acc, io);
}

/* --------------------------------------------------------------------------------------------------- depthwise ---- */

ALWAYS_INLINE float load_element(tilefold_type type, const void *in, ptrdiff_t index) {
    if (type == TILEFOLD_F16) return tilefold_f16_to_float(((const uint16_t *)in)[index]);
    if (type == TILEFOLD_BF16) return tilefold_bf16_to_float(((const uint16_t *)in)[index]);
    return ((const float *)in)[index];
}

ALWAYS_INLINE void depthwise(tilefold_type type, int nv, int pixels, int64_t taps, const void *const *rows,
                             ptrdiff_t offset, const float *w, ptrdiff_t w_stride, const tilefold_tile_io *io) {
    const int nr = nv * LANES;
    float acc[MAX_MR][MAX_NR];
    load_tile(nr, pixels, acc, io);
    for (int64_t t = 0; t < taps; t++)
        for (int i = 0; i < pixels; i++)
            for (int j = 0; j < nr; j++)
                acc[i][j] = fmaf(load_element(type, rows[t * pixels + i], offset + j), w[t * w_stride + j], acc[i][j]);
    store_tile(nr, pixels, acc, io);
}

ALWAYS_INLINE void depthwise_pixels(int nv, int rows, int64_t taps, const int64_t *tap, const float *in,
                                    ptrdiff_t in_stride, const float *w, const tilefold_tile_io *io) {
    const int nr = nv * LANES;
    float acc[MAX_MR][MAX_NR];
    load_tile(nr, rows, acc, io);
    for (int64_t t = 0; t < taps; t++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < nr; j++) acc[i][j] = fmaf(in[tap[t] + i * in_stride + j], w[t], acc[i][j]);
    store_tile(nr, rows, acc, io);
}

ALWAYS_INLINE void depthwise_row(tilefold_type type, int taps, int step, int pixels,
                                 const tilefold_row_windows *windows, const tilefold_tile_io *io) {
    const int columns = (pixels - 1) * step + taps;
    tilefold_tile_io panel = *io;
    const float *w = windows->w;
    for (int64_t v = 0; v < windows->panels; v++, panel.init += LANES, panel.out += LANES) {
        float acc[MAX_MR][MAX_NR];
        load_tile(LANES, pixels, acc, &panel);
        for (int64_t y = 0; y < windows->rows; y++)
            for (int x = 0; x < taps; x++, w += LANES)
                for (int i = 0; i < pixels; i++)
                    for (int j = 0; j < LANES; j++)
                        acc[i][j] = fmaf(load_element(type, windows->in[y * columns + i * step + x],
                                                      windows->offset + v * LANES + j),
                                         w[j], acc[i][j]);
        store_tile(LANES, pixels, acc, &panel);
    }
}

ALWAYS_INLINE void depthwise_pair(int pixels, const tilefold_row_windows *windows, const tilefold_tile_io *io) {
    const int columns = pixels - 1 + TILEFOLD_PAIR_TAPS;
    tilefold_row_windows row = *windows;
    tilefold_tile_io out = *io;
    depthwise_row(TILEFOLD_F32, TILEFOLD_PAIR_TAPS, 1, pixels, &row, &out);
    row.in += columns;
    out.out += windows->out_row;
    depthwise_row(TILEFOLD_F32, TILEFOLD_PAIR_TAPS, 1, pixels, &row, &out);
}

ALWAYS_INLINE void grouped_row(int step, int pixels, const tilefold_group_windows *windows,
                               const tilefold_tile_io *io) {
    const int columns = (pixels - 1) * step + TILEFOLD_GROUP_TAPS;
    const int64_t channels = windows->channels;
    tilefold_tile_io panel = *io;
    const float *w = windows->w;
    for (int64_t v = 0; v < windows->panels; v++, panel.init += LANES, panel.out += LANES) {
        float acc[MAX_MR][MAX_NR];
        load_tile(LANES, pixels, acc, &panel);
        for (int64_t y = 0; y < windows->rows; y++)
            for (int x = 0; x < TILEFOLD_GROUP_TAPS; x++)
                for (int64_t k = 0; k < channels; k++, w += LANES)
                    for (int i = 0; i < pixels; i++)
                        for (int j = 0; j < LANES; j++) {
                            int64_t group = (windows->first + v * LANES + j) / channels;
                            const float *in = windows->in[y * columns + i * step + x];
                            acc[i][j] = fmaf(in[windows->offset + group * channels + k], w[j], acc[i][j]);
                        }
        store_tile(LANES, pixels, acc, &panel);
    }
}

static bool is_within(int64_t i, int64_t begin, int64_t end) { return i >= begin && i < end; }

static float plane_value(const tilefold_plane_windows *p, int c, int64_t z, int64_t y, int64_t e) {
    bool inside = is_within(z, p->plane_begin, p->plane_end) && is_within(y, p->row_begin, p->row_end) &&
                  is_within(e, p->begin, p->end);
    return inside ? p->in[p->offset + c * p->in_channel + z * p->plane_stride + y * p->row_stride + e] : 0.0f;
}

ALWAYS_INLINE void depthwise_plane(int taps, int step, int rows, const tilefold_plane_windows *p,
                                   const tilefold_tile_io *io) {
    for (int c = 0; c < TILEFOLD_PLANE_CHANNELS; c++) {
        float acc[MAX_MR][MAX_NR];
        const float *w = p->w + c * p->w_channel;
        load_tile(LANES, rows, acc, &io[c]);
        for (int64_t z = 0; z < p->planes; z++)
            for (int y = 0; y < taps; y++)
                for (int x = 0; x < taps; x++, w++)
                    for (int i = 0; i < rows; i++)
                        for (int j = 0; j < LANES; j++)
                            acc[i][j] = fmaf(plane_value(p, c, z, i * step + y, j * step + x), *w, acc[i][j]);
        store_tile(LANES, rows, acc, &io[c]);
    }
}

/* -------------------------------------------------------------------------------------------------------- runs ---- */

ALWAYS_INLINE void load_run(tilefold_type type, float *out, const void *in, ptrdiff_t stride, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = load_element(type, in, i * stride);
}

ALWAYS_INLINE void transpose_rows(tilefold_type type, float *out, int64_t width, const void *const *rows, int64_t count,
                                  ptrdiff_t stride, int64_t k) {
    for (int64_t p = 0; p < k; p++)
        for (int64_t i = 0; i < count; i++) out[p * width + i] = load_element(type, rows[i], p * stride);
}

ALWAYS_INLINE void store_element(tilefold_type type, void *out, ptrdiff_t index, float x) {
    if (type == TILEFOLD_F32) ((float *)out)[index] = x;
    if (type == TILEFOLD_F16) ((uint16_t *)out)[index] = tilefold_float_to_f16(x);
    if (type == TILEFOLD_BF16) ((uint16_t *)out)[index] = tilefold_float_to_bf16(x);
}

ALWAYS_INLINE void store_run(tilefold_type type, void *out, ptrdiff_t stride, const float *in, int64_t n) {
    for (int64_t i = 0; i < n; i++) store_element(type, out, i * stride, in[i]);
}

ALWAYS_INLINE void copy_rows(tilefold_type type, float *out, const void *in, const tilefold_row_copy *c) {
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t i = 0; i < c->left + c->n + c->right; i++)
            out[r * c->out_stride + i] = i >= c->left && i < c->left + c->n
                                             ? load_element(type, in, r * c->in_stride + (i - c->left) * c->in_step)
                                             : 0.0f;
}

ALWAYS_INLINE void store_transposed(tilefold_type type, void *out, ptrdiff_t out_stride, const float *in,
                                    ptrdiff_t in_stride, int64_t rows, int64_t columns) {
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++) store_element(type, out, j * out_stride + i, in[i * in_stride + j]);
}

ALWAYS_INLINE int64_t fma_rounds(int64_t rounds, float *sink) {
    enum { CHAINS = 8 };
    float acc[CHAINS];
    for (int i = 0; i < CHAINS; i++) acc[i] = (float)i;
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++) acc[i] = fmaf(1.25f, 0.75f, acc[i]);
    *sink = 0;
    for (int i = 0; i < CHAINS; i++) *sink += acc[i];
    return rounds * CHAINS;
}

ALWAYS_INLINE float finish_value(float x, float low, float high) {
    x += 0.0f;
    float y = x < low ? low : x;
    return y > high ? high : y;
}

#define VALUE float
#define VALUE_LANES 1
#define PLUS(a, b) ((a) + (b))
#define TIMES_PLUS(c, a, b) fmaf(c, a, b)
#define LOAD_VALUE(p) (*(p))
#define STORE_VALUE(p, x) (*(p) = (x))
#define STORE_SOME(p, x, count) ((void)(count), *(p) = (x))
#define FINISH(x, low, high) finish_value(x, low, high)
#include "winograd_template.h"

#include "table_template.h"
