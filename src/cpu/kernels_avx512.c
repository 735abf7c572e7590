/* SPDX-License-Identifier: MIT */
/* AVX-512 F, BW, DQ and VL: 32 registers of 16 floats. */
#include "half.h"
#include "kernels.h"
#include "tile_lists.h"

#include <immintrin.h>
#include <math.h>

typedef __m512 vector;

/* mr * nv sums, nv vectors of b and one of a: at most 31 of the 32. */
#define TILES(TILE) ROWS_14(TILE, 1) ROWS_14(TILE, 2) ROWS_9(TILE, 3) ROWS_6(TILE, 4)
#define MAX_ROWS 14, 14, 9, 6
#define PIXEL_TILES(TILE) ROWS_8(TILE, 1) ROWS_8(TILE, 2) ROWS_8(TILE, 3) ROWS_6(TILE, 4)
#define MAX_PIXELS 8, 8, 8, 6
#define ROW_TILES(TILE) ROWS_8(TILE, 3) ROWS_8(TILE, 5) ROWS_8(TILE, 7)
#define MAX_ROW_PIXELS 8
#define PAIR_TILES(TILE) ROWS_8(TILE, 1)
#define MAX_PAIR_PIXELS 8
#define GROUP_TILES(TILE) ROWS_8(TILE, 1) ROWS_8(TILE, 2)
#define MAX_GROUP_PIXELS 8
#define PLANE_TILES(TILE) ROW_TILES(TILE)
#define MAX_PLANE_ROWS 8
#define LANES 16
#define VECTOR_REGISTER "v"
#define POINTER_REGISTERS 6
#define CHAINS 16
#define ISA TILEFOLD_ISA_AVX512
#define NAME(name) name##_avx512

static inline __mmask16 first(int count) { return (__mmask16)((1u << count) - 1); }

static inline vector broadcast(const float *p) { return _mm512_set1_ps(*p); }

static inline vector add(vector a, vector b) { return _mm512_add_ps(a, b); }

static inline vector multiply_add(vector a, vector b, vector c) { return _mm512_fmadd_ps(a, b, c); }

typedef vector factor;

static inline factor load_factor(const float *p) { return broadcast(p); }

static inline vector multiply_add_factor(factor a, vector b, vector c) { return multiply_add(a, b, c); }

/* max and min give their second operand where the first is not the larger or smaller, or either is a NaN. */
static inline vector clamp(vector x, vector low, vector high) { return _mm512_min_ps(high, _mm512_max_ps(low, x)); }

/* -------------------------------------------------------------------------------------------------------- fp32 ---- */

static inline vector load_f32(const void *p) { return _mm512_loadu_ps(p); }

static inline vector load_part_f32(const void *p, int count) { return _mm512_maskz_loadu_ps(first(count), p); }

/* The second load begins one element early, so that its odd elements are wanted and none past the last is read. */
static inline vector load_even_f32(const void *p) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(load_f32(p), even, load_f32((const float *)p + 15));
}

static inline void store_f32(void *p, vector x) { _mm512_storeu_ps(p, x); }

static inline void store_part_f32(void *p, vector x, int count) { _mm512_mask_storeu_ps(p, first(count), x); }

/* ----------------------------------------------------------------------------------------------- fp16 and bf16 ---- */

static inline __m256i load_halves(const void *p) { return _mm256_loadu_si256(p); }

static inline __m256i load_part_halves(const void *p, int count) { return _mm256_maskz_loadu_epi16(first(count), p); }

static inline __m256i load_even_halves(const void *p) {
    const __m256i even = _mm256_setr_epi16(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm256_permutex2var_epi16(load_halves(p), even, load_halves((const uint16_t *)p + 15));
}

static inline vector from_f16(__m256i halves) { return _mm512_cvtph_ps(halves); }

static inline __m256i to_f16(vector x) { return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

static inline vector from_bf16(__m256i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline __m256i to_bf16(vector x) {
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

static inline vector load_f16(const void *p) { return from_f16(load_halves(p)); }

static inline vector load_part_f16(const void *p, int count) { return from_f16(load_part_halves(p, count)); }

static inline vector load_even_f16(const void *p) { return from_f16(load_even_halves(p)); }

static inline void store_f16(void *p, vector x) { _mm256_storeu_si256(p, to_f16(x)); }

static inline void store_part_f16(void *p, vector x, int count) {
    _mm256_mask_storeu_epi16(p, first(count), to_f16(x));
}

static inline vector load_bf16(const void *p) { return from_bf16(load_halves(p)); }

static inline vector load_part_bf16(const void *p, int count) { return from_bf16(load_part_halves(p, count)); }

static inline vector load_even_bf16(const void *p) { return from_bf16(load_even_halves(p)); }

static inline void store_bf16(void *p, vector x) { _mm256_storeu_si256(p, to_bf16(x)); }

static inline void store_part_bf16(void *p, vector x, int count) {
    _mm256_mask_storeu_epi16(p, first(count), to_bf16(x));
}

static inline float f16_to_float(uint16_t half) { return _cvtsh_ss(half); }

static inline uint16_t float_to_f16(float value) {
    return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* --------------------------------------------------------------------------------------------------- transpose ---- */

/* Two passes of 4x4: within the quarters of each register, then of the quarters themselves. */
ALWAYS_INLINE void transpose(vector block[16]) {
    vector half[16];
    UNROLL
    for (int i = 0; i < 16; i += 4) {
        vector ab_low = _mm512_unpacklo_ps(block[i], block[i + 1]),
               ab_high = _mm512_unpackhi_ps(block[i], block[i + 1]);
        vector cd_low = _mm512_unpacklo_ps(block[i + 2], block[i + 3]);
        vector cd_high = _mm512_unpackhi_ps(block[i + 2], block[i + 3]);
        half[i] = _mm512_shuffle_ps(ab_low, cd_low, _MM_SHUFFLE(1, 0, 1, 0));
        half[i + 1] = _mm512_shuffle_ps(ab_low, cd_low, _MM_SHUFFLE(3, 2, 3, 2));
        half[i + 2] = _mm512_shuffle_ps(ab_high, cd_high, _MM_SHUFFLE(1, 0, 1, 0));
        half[i + 3] = _mm512_shuffle_ps(ab_high, cd_high, _MM_SHUFFLE(3, 2, 3, 2));
    }
    /* Quarter q of half[4*r + c] is column 4*q + c of rows 4*r to 4*r + 3. */
    UNROLL
    for (int c = 0; c < 4; c++) {
        vector even01 = _mm512_shuffle_f32x4(half[c], half[4 + c], _MM_SHUFFLE(2, 0, 2, 0));
        vector odd01 = _mm512_shuffle_f32x4(half[c], half[4 + c], _MM_SHUFFLE(3, 1, 3, 1));
        vector even23 = _mm512_shuffle_f32x4(half[8 + c], half[12 + c], _MM_SHUFFLE(2, 0, 2, 0));
        vector odd23 = _mm512_shuffle_f32x4(half[8 + c], half[12 + c], _MM_SHUFFLE(3, 1, 3, 1));
        block[c] = _mm512_shuffle_f32x4(even01, even23, _MM_SHUFFLE(2, 0, 2, 0));
        block[4 + c] = _mm512_shuffle_f32x4(odd01, odd23, _MM_SHUFFLE(2, 0, 2, 0));
        block[8 + c] = _mm512_shuffle_f32x4(even01, even23, _MM_SHUFFLE(3, 1, 3, 1));
        block[12 + c] = _mm512_shuffle_f32x4(odd01, odd23, _MM_SHUFFLE(3, 1, 3, 1));
    }
}

static inline void interleave(vector *a, vector *b) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    vector first = _mm512_permutex2var_ps(*a, low, *b);
    *b = _mm512_permutex2var_ps(*a, high, *b);
    *a = first;
}

/* ----------------------------------------------------------------------------------------------------- windows ---- */

typedef __mmask16 window;

/* Compared as vectors, it comes to be where masks are used. */
static inline window make_window(int begin, int end) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_mask_cmplt_epi32_mask(_mm512_cmpge_epi32_mask(lane, _mm512_set1_epi32(begin)), lane,
                                        _mm512_set1_epi32(end));
}

static inline vector load_window(const float *p, window there) { return _mm512_maskz_loadu_ps(there, p); }

static inline vector even(vector a, vector b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), b);
}

static inline vector odd(vector a, vector b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), b);
}

typedef __m512i lane_choice;

static inline lane_choice load_choice(const int32_t *p) { return _mm512_loadu_si512(p); }

static inline vector choose_lanes(vector x, lane_choice choice) { return _mm512_permutexvar_ps(choice, x); }

#include "vector_template.h"
