/* SPDX-License-Identifier: MIT */
/* AVX2 with FMA and F16C: 16 registers of 8 floats. */
#include "half.h"
#include "kernels.h"
#include "tile_lists.h"

#include <immintrin.h>
#include <math.h>

typedef __m256 vector;

/* mr * nv sums, nv vectors of b and one of a: at most the 16. */
#define TILES(TILE) ROWS_14(TILE, 1) ROWS_6(TILE, 2) ROWS_4(TILE, 3) ROWS_3(TILE, 4)
#define MAX_ROWS 14, 6, 4, 3
#define PIXEL_TILES(TILE) ROWS_8(TILE, 1) ROWS_6(TILE, 2) ROWS_4(TILE, 3) ROWS_2(TILE, 4)
#define MAX_PIXELS 8, 6, 4, 2
#define ROW_TILES(TILE) ROWS_8(TILE, 3) ROWS_8(TILE, 5) ROWS_8(TILE, 7)
#define MAX_ROW_PIXELS 8
#define PAIR_TILES(TILE) ROWS_4(TILE, 1)
#define MAX_PAIR_PIXELS 4
#define GROUP_TILES(TILE) ROWS_6(TILE, 1) ROWS_6(TILE, 2)
#define MAX_GROUP_PIXELS 6
#define PLANE_TILES(TILE) ROWS_6(TILE, 3) ROWS_6(TILE, 5) ROWS_6(TILE, 7)
#define MAX_PLANE_ROWS 6
#define LANES 8
#define VECTOR_REGISTER "x"
#define POINTER_REGISTERS 6
#define CHAINS 12
#define ISA TILEFOLD_ISA_AVX2
#define NAME(name) name##_avx2

static inline vector broadcast(const float *p) { return _mm256_broadcast_ss(p); }

static inline vector add(vector a, vector b) { return _mm256_add_ps(a, b); }

static inline vector multiply_add(vector a, vector b, vector c) { return _mm256_fmadd_ps(a, b, c); }

typedef vector factor;

static inline factor load_factor(const float *p) { return broadcast(p); }

static inline vector multiply_add_factor(factor a, vector b, vector c) { return multiply_add(a, b, c); }

/* max and min give their second operand where the first is not the larger or smaller, or either is a NaN. */
static inline vector clamp(vector x, vector low, vector high) { return _mm256_min_ps(high, _mm256_max_ps(low, x)); }

/* -------------------------------------------------------------------------------------------------------- fp32 ---- */

static inline vector load_f32(const void *p) { return _mm256_loadu_ps(p); }

static inline vector load_part_f32(const void *p, int count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane));
}

/* The second load begins one element early, so that its odd elements are wanted and none past the last is read. */
static inline vector load_even_f32(const void *p) {
    vector halves = _mm256_shuffle_ps(load_f32(p), load_f32((const float *)p + 7), _MM_SHUFFLE(3, 1, 2, 0));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(halves), _MM_SHUFFLE(3, 1, 2, 0)));
}

static inline void store_f32(void *p, vector x) { _mm256_storeu_ps(p, x); }

/* In pieces: masked stores take tens of cycles on some machines. */
static inline void store_part_f32(void *p, vector x, int count) {
    float *out = p;
    __m128 rest = _mm256_castps256_ps128(x);
    if (count & 4) {
        _mm_storeu_ps(out, rest);
        rest = _mm256_extractf128_ps(x, 1);
        out += 4;
    }
    if (count & 2) {
        _mm_storel_pi((__m64 *)out, rest);
        rest = _mm_movehl_ps(rest, rest);
        out += 2;
    }
    if (count & 1) _mm_store_ss(out, rest);
}

/* ----------------------------------------------------------------------------------------------- fp16 and bf16 ---- */

static inline __m128i load_halves(const void *p) { return _mm_loadu_si128(p); }

static inline __m128i load_part_halves(const void *p, int count) {
    uint16_t part[8] = {0};
    for (int i = 0; i < count; i++) part[i] = ((const uint16_t *)p)[i];
    return load_halves(part);
}

static inline __m128i load_even_halves(const void *p) {
    __m128i low = _mm_blend_epi16(load_halves(p), _mm_setzero_si128(), 0xaa);
    return _mm_packus_epi32(low, _mm_srli_epi32(load_halves((const uint16_t *)p + 7), 16));
}

static inline void store_halves(void *p, __m128i halves) { _mm_storeu_si128(p, halves); }

static inline void store_part_halves(void *p, __m128i halves, int count) {
    uint16_t part[8];
    store_halves(part, halves);
    for (int i = 0; i < count; i++) ((uint16_t *)p)[i] = part[i];
}

static inline vector from_f16(__m128i halves) { return _mm256_cvtph_ps(halves); }

static inline __m128i to_f16(vector x) { return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); }

static inline vector from_bf16(__m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

static inline __m128i to_bf16(vector x) {
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    rounded = _mm256_blendv_epi8(rounded, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), nan);
    rounded = _mm256_srli_epi32(rounded, 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
}

static inline vector load_f16(const void *p) { return from_f16(load_halves(p)); }

static inline vector load_part_f16(const void *p, int count) { return from_f16(load_part_halves(p, count)); }

static inline vector load_even_f16(const void *p) { return from_f16(load_even_halves(p)); }

static inline void store_f16(void *p, vector x) { store_halves(p, to_f16(x)); }

static inline void store_part_f16(void *p, vector x, int count) { store_part_halves(p, to_f16(x), count); }

static inline vector load_bf16(const void *p) { return from_bf16(load_halves(p)); }

static inline vector load_part_bf16(const void *p, int count) { return from_bf16(load_part_halves(p, count)); }

static inline vector load_even_bf16(const void *p) { return from_bf16(load_even_halves(p)); }

static inline void store_bf16(void *p, vector x) { store_halves(p, to_bf16(x)); }

static inline void store_part_bf16(void *p, vector x, int count) { store_part_halves(p, to_bf16(x), count); }

static inline float f16_to_float(uint16_t half) { return _cvtsh_ss(half); }

static inline uint16_t float_to_f16(float value) { return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT); }

/* --------------------------------------------------------------------------------------------------- transpose ---- */

/* 4x4 within the halves of each register, then the halves themselves. */
ALWAYS_INLINE void transpose(vector block[8]) {
    vector half[8];
    UNROLL
    for (int i = 0; i < 8; i += 4) {
        vector ab_low = _mm256_unpacklo_ps(block[i], block[i + 1]),
               ab_high = _mm256_unpackhi_ps(block[i], block[i + 1]);
        vector cd_low = _mm256_unpacklo_ps(block[i + 2], block[i + 3]);
        vector cd_high = _mm256_unpackhi_ps(block[i + 2], block[i + 3]);
        half[i] = _mm256_shuffle_ps(ab_low, cd_low, _MM_SHUFFLE(1, 0, 1, 0));
        half[i + 1] = _mm256_shuffle_ps(ab_low, cd_low, _MM_SHUFFLE(3, 2, 3, 2));
        half[i + 2] = _mm256_shuffle_ps(ab_high, cd_high, _MM_SHUFFLE(1, 0, 1, 0));
        half[i + 3] = _mm256_shuffle_ps(ab_high, cd_high, _MM_SHUFFLE(3, 2, 3, 2));
    }
    UNROLL
    for (int c = 0; c < 4; c++) {
        block[c] = _mm256_permute2f128_ps(half[c], half[4 + c], 0x20);
        block[4 + c] = _mm256_permute2f128_ps(half[c], half[4 + c], 0x31);
    }
}

static inline void interleave(vector *a, vector *b) {
    vector low = _mm256_unpacklo_ps(*a, *b), high = _mm256_unpackhi_ps(*a, *b);
    *a = _mm256_permute2f128_ps(low, high, 0x20);
    *b = _mm256_permute2f128_ps(low, high, 0x31);
}

/* ----------------------------------------------------------------------------------------------------- windows ---- */

typedef __m256i window;

static inline window make_window(int begin, int end) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(begin), lane),
                               _mm256_cmpgt_epi32(_mm256_set1_epi32(end), lane));
}

static inline vector load_window(const float *p, window there) { return _mm256_maskload_ps(p, there); }

static inline vector in_quarters(vector x) { /* quarters 0 2 1 3 */
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), _MM_SHUFFLE(3, 1, 2, 0)));
}

static inline vector even(vector a, vector b) { return in_quarters(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0))); }

static inline vector odd(vector a, vector b) { return in_quarters(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1))); }

typedef __m256i lane_choice;

static inline lane_choice load_choice(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

static inline vector choose_lanes(vector x, lane_choice choice) { return _mm256_permutevar8x32_ps(x, choice); }

#include "vector_template.h"
