/* SPDX-License-Identifier: MIT */
/* The kernels in plain C: the definition of what every other table computes. fmaf rounds once with or without hardware
 * for it, so these give the same bits everywhere. */
#include "half.h"
#include "kernels.h"
#include "tile_lists.h"

#include <math.h>

enum { LANES = 4, MAX_NR = 2 * LANES, MAX_MR = 4, MAX_DEPTHWISE_PIXELS = 4 };

#define TILES(TILE) ROWS_4(TILE, 1) ROWS_4(TILE, 2)

/* ---------------------------------------------------------------------------------------------------- products ---- */

ALWAYS_INLINE void load_tile(int nr, int mr, float acc[MAX_MR][MAX_NR], const tilefold_tile_io *io) {
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) acc[i][j] = io->init[i * io->init_stride + j];
}

ALWAYS_INLINE void store_tile(int nr, int mr, float acc[MAX_MR][MAX_NR], const tilefold_tile_io *io) {
    for (int i = 0; i < mr; i++) {
        for (int j = 0; j < nr; j++) {
            float x = acc[i][j];
            float y = x < io->low ? io->low : x;
            io->out[i * io->out_stride + j] = y > io->high ? io->high : y;
        }
    }
}

ALWAYS_INLINE void product(int nr, int mr, int64_t k, const float *a, const float *b, const tilefold_tile_io *io) {
    float acc[MAX_MR][MAX_NR];
    load_tile(nr, mr, acc, io);
    for (int64_t p = 0; p < k; p++)
        for (int i = 0; i < mr; i++)
            for (int j = 0; j < nr; j++) acc[i][j] = fmaf(a[p * mr + i], b[p * nr + j], acc[i][j]);
    store_tile(nr, mr, acc, io);
}

ALWAYS_INLINE void product_lanes(int nr, int mr, int64_t k, const float *a, const float *const *b,
                                 const tilefold_tile_io *io) {
    float acc[MAX_MR][MAX_NR];
    load_tile(nr, mr, acc, io);
    for (int64_t p = 0; p < k; p++)
        for (int i = 0; i < mr; i++)
            for (int j = 0; j < nr; j++) acc[i][j] = fmaf(a[p * mr + i], b[p][j], acc[i][j]);
    store_tile(nr, mr, acc, io);
}

ALWAYS_INLINE void product_rows(int nr, int mr, int64_t taps, int64_t channels, const float *const *rows,
                                ptrdiff_t offset, const float *b, const tilefold_tile_io *io) {
    float acc[MAX_MR][MAX_NR];
    load_tile(nr, mr, acc, io);
    for (int64_t t = 0; t < taps; t++)
        for (int64_t c = 0; c < channels; c++)
            for (int i = 0; i < mr; i++)
                for (int j = 0; j < nr; j++)
                    acc[i][j] = fmaf(rows[t * mr + i][offset + c], b[(t * channels + c) * nr + j], acc[i][j]);
    store_tile(nr, mr, acc, io);
}

#define ARGUMENTS int64_t k, const float *a, const float *b, const tilefold_tile_io *io
#define TILE(nv, mr) static void product_##mr##x##nv(ARGUMENTS) { product(nv * LANES, mr, k, a, b, io); }
TILES(TILE)
#undef TILE
#undef ARGUMENTS

#define ARGUMENTS int64_t k, const float *a, const float *const *b, const tilefold_tile_io *io
#define TILE(nv, mr) static void product_lanes_##mr##x##nv(ARGUMENTS) { product_lanes(nv * LANES, mr, k, a, b, io); }
TILES(TILE)
#undef TILE
#undef ARGUMENTS

#define ARGUMENTS int64_t n, int64_t c, const float *const *r, ptrdiff_t o, const float *b, const tilefold_tile_io *io
#define TILE(nv, mr) static void product_rows_##mr##x##nv(ARGUMENTS) { product_rows(nv * LANES, mr, n, c, r, o, b, io); }
TILES(TILE)
#undef TILE
#undef ARGUMENTS

/* --------------------------------------------------------------------------------------------------- depthwise ---- */

ALWAYS_INLINE float load_element(tilefold_type type, const void *in, ptrdiff_t index) {
    if (type == TILEFOLD_F16) return tilefold_f16_to_float(((const uint16_t *)in)[index]);
    if (type == TILEFOLD_BF16) return tilefold_bf16_to_float(((const uint16_t *)in)[index]);
    return ((const float *)in)[index];
}

ALWAYS_INLINE void depthwise(tilefold_type type, int nr, int pixels, int64_t taps, const void *const *rows,
                             ptrdiff_t offset, const float *w, ptrdiff_t w_stride, const tilefold_tile_io *io) {
    float acc[MAX_DEPTHWISE_PIXELS][MAX_NR];
    load_tile(nr, pixels, acc, io);
    for (int64_t t = 0; t < taps; t++)
        for (int i = 0; i < pixels; i++)
            for (int j = 0; j < nr; j++)
                acc[i][j] = fmaf(load_element(type, rows[t * pixels + i], offset + j), w[t * w_stride + j], acc[i][j]);
    store_tile(nr, pixels, acc, io);
}

#define ARGUMENTS int64_t n, const void *const *r, ptrdiff_t o, const float *w, ptrdiff_t s, const tilefold_tile_io *io
#define TILE(nv, px) static void depthwise_f32_##px##x##nv(ARGUMENTS) { depthwise(TILEFOLD_F32, nv * LANES, px, n, r, o, w, s, io); }
TILES(TILE)
#undef TILE
#define TILE(nv, px) static void depthwise_f16_##px##x##nv(ARGUMENTS) { depthwise(TILEFOLD_F16, nv * LANES, px, n, r, o, w, s, io); }
TILES(TILE)
#undef TILE
#define TILE(nv, px) static void depthwise_bf16_##px##x##nv(ARGUMENTS) { depthwise(TILEFOLD_BF16, nv * LANES, px, n, r, o, w, s, io); }
TILES(TILE)
#undef TILE
#undef ARGUMENTS

/* -------------------------------------------------------------------------------------------------------- runs ---- */

ALWAYS_INLINE void load_run(tilefold_type type, float *out, const void *in, ptrdiff_t stride, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = load_element(type, in, i * stride);
}

ALWAYS_INLINE void transpose_rows(tilefold_type type, float *out, int64_t width, const void *const *rows, int64_t count,
                                  ptrdiff_t stride, int64_t k) {
    for (int64_t p = 0; p < k; p++)
        for (int64_t i = 0; i < count; i++) out[p * width + i] = load_element(type, rows[i], p * stride);
}

static void load_run_f32(float *out, const void *in, ptrdiff_t stride, int64_t n) {
    load_run(TILEFOLD_F32, out, in, stride, n);
}

static void load_run_f16(float *out, const void *in, ptrdiff_t stride, int64_t n) {
    load_run(TILEFOLD_F16, out, in, stride, n);
}

static void load_run_bf16(float *out, const void *in, ptrdiff_t stride, int64_t n) {
    load_run(TILEFOLD_BF16, out, in, stride, n);
}

static void transpose_rows_f32(float *out, int64_t width, const void *const *rows, int64_t count, ptrdiff_t stride,
                               int64_t k) {
    transpose_rows(TILEFOLD_F32, out, width, rows, count, stride, k);
}

static void transpose_rows_f16(float *out, int64_t width, const void *const *rows, int64_t count, ptrdiff_t stride,
                               int64_t k) {
    transpose_rows(TILEFOLD_F16, out, width, rows, count, stride, k);
}

static void transpose_rows_bf16(float *out, int64_t width, const void *const *rows, int64_t count, ptrdiff_t stride,
                                int64_t k) {
    transpose_rows(TILEFOLD_BF16, out, width, rows, count, stride, k);
}

static void store_run_f32(void *out, ptrdiff_t stride, const float *in, int64_t n) {
    for (int64_t i = 0; i < n; i++) ((float *)out)[i * stride] = in[i];
}

static void store_run_f16(void *out, ptrdiff_t stride, const float *in, int64_t n) {
    for (int64_t i = 0; i < n; i++) ((uint16_t *)out)[i * stride] = tilefold_float_to_f16(in[i]);
}

static void store_run_bf16(void *out, ptrdiff_t stride, const float *in, int64_t n) {
    for (int64_t i = 0; i < n; i++) ((uint16_t *)out)[i * stride] = tilefold_float_to_bf16(in[i]);
}

static int64_t fma_rounds(int64_t rounds, float *sink) {
    enum { CHAINS = 8 };
    float acc[CHAINS];
    for (int i = 0; i < CHAINS; i++) acc[i] = (float)i;
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++) acc[i] = fmaf(1.25f, 0.75f, acc[i]);
    *sink = 0;
    for (int i = 0; i < CHAINS; i++) *sink += acc[i];
    return rounds * CHAINS;
}

const tilefold_cpu_kernels tilefold_cpu_kernels_portable = {
    .isa = TILEFOLD_ISA_PORTABLE,
    .lanes = LANES,
    .max_rows = {MAX_MR, MAX_MR},
    .max_pixels = {MAX_DEPTHWISE_PIXELS, MAX_DEPTHWISE_PIXELS},
#define TILE(nv, mr) .product[nv - 1][mr - 1] = product_##mr##x##nv,
    TILES(TILE)
#undef TILE
#define TILE(nv, mr) .product_lanes[nv - 1][mr - 1] = product_lanes_##mr##x##nv,
    TILES(TILE)
#undef TILE
#define TILE(nv, mr) .product_rows[nv - 1][mr - 1] = product_rows_##mr##x##nv,
    TILES(TILE)
#undef TILE
#define TILE(nv, px) .depthwise[TILEFOLD_F32][nv - 1][px - 1] = depthwise_f32_##px##x##nv,
    TILES(TILE)
#undef TILE
#define TILE(nv, px) .depthwise[TILEFOLD_F16][nv - 1][px - 1] = depthwise_f16_##px##x##nv,
    TILES(TILE)
#undef TILE
#define TILE(nv, px) .depthwise[TILEFOLD_BF16][nv - 1][px - 1] = depthwise_bf16_##px##x##nv,
    TILES(TILE)
#undef TILE
    .load_run = {NULL, load_run_f32, load_run_f16, load_run_bf16},
    .transpose_rows = {NULL, transpose_rows_f32, transpose_rows_f16, transpose_rows_bf16},
    .store_run = {NULL, store_run_f32, store_run_f16, store_run_bf16},
    .fma_rounds = fma_rounds,
};
