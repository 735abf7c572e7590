/* SPDX-License-Identifier: MIT */
/* The functions of one instruction set, one for each tile of its lists, and the table that holds them.
 *
 * Included once, at the end of the instruction set's file. Parameters, undefined here at the end:
 *
 *     ISA, LANES                       as in the table
 *     NAME(name)                       name with the instruction set appended
 *     TILES(TILE), MAX_ROWS            the products' tiles, as in tile_lists.h, and the largest mr for each nv
 *     PIXEL_TILES(TILE), MAX_PIXELS    the depthwise tiles likewise, mr being pixels
 *
 *     ROW_TILES(TILE), MAX_ROW_PIXELS  those of depthwise_row: TILE(taps, pixels)
 *     PLANE_TILES(TILE), MAX_PLANE_ROWS  those of depthwise_plane: TILE(taps, rows)
 *     PAIR_TILES(TILE), MAX_PAIR_PIXELS  those of depthwise_pair: TILE(1, pixels)
 *     GROUP_TILES(TILE), MAX_GROUP_PIXELS  those of grouped_row: TILE(step, pixels)
 *
 * and the families of kernels.h as inline functions, whose first arguments are a constant type or tile:
 *
 *     product(nv, mr, ...)   product_rows(nv, mr, ...)   product_steps(nv, mr, ...)   depthwise(type, nv, pixels, ...)   depthwise_pixels(nv, rows, ...)
 *     depthwise_row(type, taps, step, pixels, ...)       depthwise_plane(taps, step, rows, ...)
 *     depthwise_pair(pixels, ...)    grouped_row(step, pixels, ...)
 *     load_run(type, ...)    transpose_rows(type, ...)    store_run(type, ...)   copy_rows(type, ...)
 *     store_transposed(type, ...)    fma_rounds(...)
 *
 * and what winograd_template.h makes.
 *
 * Functions are called NAME(product_<mr>x<nv>) and so on, so that a profile says what ran.
 */

/* It would fold these lines. */
/* clang-format off */

#define ARGUMENTS const tilefold_segment *s, int64_t n, const float *a, ptrdiff_t p, const float *b, ptrdiff_t q, \
                  const tilefold_tile_io *io
#define TILE(nv, mr) static void NAME(product_##mr##x##nv)(ARGUMENTS) { product(nv, mr, s, n, a, p, b, q, io); }
TILES(TILE)
#undef TILE
#undef ARGUMENTS

#define ARGUMENTS const tilefold_segment *s, int64_t n, const float *const *r, const float *b, const tilefold_tile_io *io
#define TILE(nv, mr) static void NAME(product_rows_##mr##x##nv)(ARGUMENTS) { product_rows(nv, mr, s, n, r, b, io); }
TILES(TILE)
#undef TILE
#undef ARGUMENTS

#define ARGUMENTS const tilefold_step *s, int64_t n, const float *a, ptrdiff_t p, const float *b, const tilefold_tile_io *io
#define TILE(nv, mr) static void NAME(product_steps_##mr##x##nv)(ARGUMENTS) { product_steps(nv, mr, s, n, a, p, b, io); }
TILES(TILE)
#undef TILE
#undef ARGUMENTS

#define ARGUMENTS int64_t n, const int64_t *t, const float *in, ptrdiff_t s, const float *w, const tilefold_tile_io *io
#define TILE(nv, px) static void NAME(depthwise_pixels_##px##x##nv)(ARGUMENTS) { depthwise_pixels(nv, px, n, t, in, s, w, io); }
PIXEL_TILES(TILE)
#undef TILE
#undef ARGUMENTS

#define ARGUMENTS int64_t n, const void *const *r, ptrdiff_t o, const float *w, ptrdiff_t s, const tilefold_tile_io *io
#define BODY(type, nv, px) { depthwise(type, nv, px, n, r, o, w, s, io); }
#define TILE(nv, px) static void NAME(depthwise_f32_##px##x##nv)(ARGUMENTS) BODY(TILEFOLD_F32, nv, px)
PIXEL_TILES(TILE)
#undef TILE
#define TILE(nv, px) static void NAME(depthwise_f16_##px##x##nv)(ARGUMENTS) BODY(TILEFOLD_F16, nv, px)
PIXEL_TILES(TILE)
#undef TILE
#define TILE(nv, px) static void NAME(depthwise_bf16_##px##x##nv)(ARGUMENTS) BODY(TILEFOLD_BF16, nv, px)
PIXEL_TILES(TILE)
#undef TILE
#undef BODY
#undef ARGUMENTS

#define BODY(name, type, taps, step, px) \
    static void NAME(name)(const tilefold_row_windows *r, const tilefold_tile_io *io) { depthwise_row(type, taps, step, px, r, io); }
#define TILE(taps, px) BODY(depthwise_row_f32_##taps##s1_##px, TILEFOLD_F32, taps, 1, px) \
                       BODY(depthwise_row_f32_##taps##s2_##px, TILEFOLD_F32, taps, 2, px) \
                       BODY(depthwise_row_f16_##taps##s1_##px, TILEFOLD_F16, taps, 1, px) \
                       BODY(depthwise_row_f16_##taps##s2_##px, TILEFOLD_F16, taps, 2, px) \
                       BODY(depthwise_row_bf16_##taps##s1_##px, TILEFOLD_BF16, taps, 1, px) \
                       BODY(depthwise_row_bf16_##taps##s2_##px, TILEFOLD_BF16, taps, 2, px)
ROW_TILES(TILE)
#undef TILE
#undef BODY

#define TILE(nv, px) \
    static void NAME(depthwise_pair_##px)(const tilefold_row_windows *r, const tilefold_tile_io *io) { depthwise_pair(px, r, io); }
PAIR_TILES(TILE)
#undef TILE

#define TILE(step, px) \
    static void NAME(grouped_row_s##step##_##px)(const tilefold_group_windows *g, const tilefold_tile_io *io) { grouped_row(step, px, g, io); }
GROUP_TILES(TILE)
#undef TILE

#define BODY(name, taps, step, rows) \
    static void NAME(name)(const tilefold_plane_windows *p, const tilefold_tile_io *io) { depthwise_plane(taps, step, rows, p, io); }
#define TILE(taps, rows) BODY(depthwise_plane_##taps##s1_##rows, taps, 1, rows) BODY(depthwise_plane_##taps##s2_##rows, taps, 2, rows)
PLANE_TILES(TILE)
#undef TILE
#undef BODY

#define ARGUMENTS float *out, const void *in, ptrdiff_t stride, int64_t n
static void NAME(load_run_f32)(ARGUMENTS) { load_run(TILEFOLD_F32, out, in, stride, n); }
static void NAME(load_run_f16)(ARGUMENTS) { load_run(TILEFOLD_F16, out, in, stride, n); }
static void NAME(load_run_bf16)(ARGUMENTS) { load_run(TILEFOLD_BF16, out, in, stride, n); }
#undef ARGUMENTS

#define ARGUMENTS float *out, int64_t width, const void *const *rows, int64_t count, ptrdiff_t stride, int64_t k
static void NAME(transpose_rows_f32)(ARGUMENTS) { transpose_rows(TILEFOLD_F32, out, width, rows, count, stride, k); }
static void NAME(transpose_rows_f16)(ARGUMENTS) { transpose_rows(TILEFOLD_F16, out, width, rows, count, stride, k); }
static void NAME(transpose_rows_bf16)(ARGUMENTS) { transpose_rows(TILEFOLD_BF16, out, width, rows, count, stride, k); }
#undef ARGUMENTS

#define ARGUMENTS void *out, ptrdiff_t stride, const float *in, int64_t n
static void NAME(store_run_f32)(ARGUMENTS) { store_run(TILEFOLD_F32, out, stride, in, n); }
static void NAME(store_run_f16)(ARGUMENTS) { store_run(TILEFOLD_F16, out, stride, in, n); }
static void NAME(store_run_bf16)(ARGUMENTS) { store_run(TILEFOLD_BF16, out, stride, in, n); }
#undef ARGUMENTS

#define ARGUMENTS float *out, const void *in, const tilefold_row_copy *copy
static void NAME(copy_rows_f32)(ARGUMENTS) { copy_rows(TILEFOLD_F32, out, in, copy); }
static void NAME(copy_rows_f16)(ARGUMENTS) { copy_rows(TILEFOLD_F16, out, in, copy); }
static void NAME(copy_rows_bf16)(ARGUMENTS) { copy_rows(TILEFOLD_BF16, out, in, copy); }
#undef ARGUMENTS

#define ARGUMENTS void *out, ptrdiff_t s, const float *in, ptrdiff_t t, int64_t rows, int64_t columns
static void NAME(store_transposed_f32)(ARGUMENTS) { store_transposed(TILEFOLD_F32, out, s, in, t, rows, columns); }
static void NAME(store_transposed_f16)(ARGUMENTS) { store_transposed(TILEFOLD_F16, out, s, in, t, rows, columns); }
static void NAME(store_transposed_bf16)(ARGUMENTS) { store_transposed(TILEFOLD_BF16, out, s, in, t, rows, columns); }
#undef ARGUMENTS

static int64_t NAME(fma_rounds)(int64_t rounds, float *sink) { return fma_rounds(rounds, sink); }

const tilefold_cpu_kernels NAME(tilefold_cpu_kernels) = {
    .isa = ISA,
    .lanes = LANES,
    .max_rows = {MAX_ROWS},
#define TILE(nv, mr) .product[nv - 1][mr - 1] = NAME(product_##mr##x##nv),
    TILES(TILE)
#undef TILE
#define TILE(nv, mr) .product_rows[nv - 1][mr - 1] = NAME(product_rows_##mr##x##nv),
            TILES(TILE)
#undef TILE
#define TILE(nv, mr) .product_steps[nv - 1][mr - 1] = NAME(product_steps_##mr##x##nv),
                TILES(TILE)
#undef TILE
                .max_pixels = {MAX_PIXELS},
#define TILE(nv, px) .depthwise[TILEFOLD_F32][nv - 1][px - 1] = NAME(depthwise_f32_##px##x##nv),
    PIXEL_TILES(TILE)
#undef TILE
#define TILE(nv, px) .depthwise[TILEFOLD_F16][nv - 1][px - 1] = NAME(depthwise_f16_##px##x##nv),
        PIXEL_TILES(TILE)
#undef TILE
#define TILE(nv, px) .depthwise[TILEFOLD_BF16][nv - 1][px - 1] = NAME(depthwise_bf16_##px##x##nv),
            PIXEL_TILES(TILE)
#undef TILE
#define TILE(nv, px) .depthwise_pixels[nv - 1][px - 1] = NAME(depthwise_pixels_##px##x##nv),
            PIXEL_TILES(TILE)
#undef TILE
                .max_row_pixels = MAX_ROW_PIXELS,
#define TILE(taps, px) .depthwise_row[TILEFOLD_F32][taps / 2 - 1][0][px - 1] = NAME(depthwise_row_f32_##taps##s1_##px), \
                       .depthwise_row[TILEFOLD_F32][taps / 2 - 1][1][px - 1] = NAME(depthwise_row_f32_##taps##s2_##px), \
                       .depthwise_row[TILEFOLD_F16][taps / 2 - 1][0][px - 1] = NAME(depthwise_row_f16_##taps##s1_##px), \
                       .depthwise_row[TILEFOLD_F16][taps / 2 - 1][1][px - 1] = NAME(depthwise_row_f16_##taps##s2_##px), \
                       .depthwise_row[TILEFOLD_BF16][taps / 2 - 1][0][px - 1] = NAME(depthwise_row_bf16_##taps##s1_##px), \
                       .depthwise_row[TILEFOLD_BF16][taps / 2 - 1][1][px - 1] = NAME(depthwise_row_bf16_##taps##s2_##px),
    ROW_TILES(TILE)
#undef TILE
                .max_pair_pixels = MAX_PAIR_PIXELS,
#define TILE(nv, px) .depthwise_pair[px - 1] = NAME(depthwise_pair_##px),
    PAIR_TILES(TILE)
#undef TILE
                .max_group_pixels = MAX_GROUP_PIXELS,
#define TILE(step, px) .grouped_row[step - 1][px - 1] = NAME(grouped_row_s##step##_##px),
    GROUP_TILES(TILE)
#undef TILE
                .max_plane_rows = MAX_PLANE_ROWS,
#define TILE(taps, rows) .depthwise_plane[taps / 2 - 1][0][rows - 1] = NAME(depthwise_plane_##taps##s1_##rows), \
                         .depthwise_plane[taps / 2 - 1][1][rows - 1] = NAME(depthwise_plane_##taps##s2_##rows),
    PLANE_TILES(TILE)
#undef TILE
                .load_run = {NULL, NAME(load_run_f32), NAME(load_run_f16), NAME(load_run_bf16)},
    .transpose_rows = {NULL, NAME(transpose_rows_f32), NAME(transpose_rows_f16), NAME(transpose_rows_bf16)},
    .store_run = {NULL, NAME(store_run_f32), NAME(store_run_f16), NAME(store_run_bf16)},
    .copy_rows = {NULL, NAME(copy_rows_f32), NAME(copy_rows_f16), NAME(copy_rows_bf16)},
    .store_transposed = {NULL, NAME(store_transposed_f32), NAME(store_transposed_f16), NAME(store_transposed_bf16)},
    .winograd_input = NAME(winograd_input),
    .winograd_output = {NAME(winograd_output_1), NAME(winograd_output_2)},
    .fma_rounds = NAME(fma_rounds),
};

/* clang-format on */

#undef ISA
#undef LANES
#undef NAME
#undef TILES
#undef MAX_ROWS
#undef PIXEL_TILES
#undef MAX_PIXELS
#undef ROW_TILES
#undef MAX_ROW_PIXELS
#undef PAIR_TILES
#undef MAX_PAIR_PIXELS
#undef GROUP_TILES
#undef MAX_GROUP_PIXELS
#undef PLANE_TILES
#undef MAX_PLANE_ROWS
