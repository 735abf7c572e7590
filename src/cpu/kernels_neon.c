/* SPDX-License-Identifier: MIT */
/* AArch64's vector instructions: 32 registers of 4 floats. */
#if defined(__GNUC__) && !defined(__clang__)
/* Scheduling before registers are allotted, GCC loads all of a step's floats first and has none left for the sums. */
#pragma GCC optimize("no-schedule-insns")
#endif

#include "half.h"
#include "kernels.h"
#include "tile_lists.h"

#include <arm_neon.h>
#include <math.h>

typedef float32x4_t vector;

/* mr * nv sums and nv vectors of b; the rest of the 32 are for floats of a, so that their loads run ahead. */
#define TILES(TILE) ROWS_14(TILE, 1) ROWS_12(TILE, 2) ROWS_8(TILE, 3) ROWS_6(TILE, 4)
#define MAX_ROWS 14, 12, 8, 6
#define PIXEL_TILES(TILE) ROWS_8(TILE, 1) ROWS_8(TILE, 2) ROWS_6(TILE, 3) ROWS_4(TILE, 4)
#define MAX_PIXELS 8, 8, 6, 4
#define ROW_TILES(TILE) ROWS_8(TILE, 3) ROWS_8(TILE, 5) ROWS_8(TILE, 7)
#define MAX_ROW_PIXELS 8
#define PAIR_TILES(TILE) ROWS_8(TILE, 1)
#define MAX_PAIR_PIXELS 8
#define GROUP_TILES(TILE) ROWS_8(TILE, 1) ROWS_8(TILE, 2)
#define MAX_GROUP_PIXELS 8
#define PLANE_TILES(TILE) ROW_TILES(TILE)
#define MAX_PLANE_ROWS 8
#define LANES 4
#define VECTOR_REGISTER "w"
#define POINTER_REGISTERS 14
#define CHAINS 24
#define ISA TILEFOLD_ISA_NEON
#define NAME(name) name##_neon

static inline vector broadcast(const float *p) { return vld1q_dup_f32(p); }

static inline vector add(vector a, vector b) { return vaddq_f32(a, b); }

static inline vector multiply_add(vector a, vector b, vector c) { return vfmaq_f32(c, a, b); }

/* Multiplying by an element of a register saves the broadcast, which takes a vector pipe on many cores. */
typedef float factor;

static inline factor load_factor(const float *p) { return *p; }

static inline vector multiply_add_factor(factor a, vector b, vector c) { return vfmaq_n_f32(c, b, a); }

/* Not vmaxq and vminq, which put +0 above -0. */
static inline vector clamp(vector x, vector low, vector high) {
    vector y = vbslq_f32(vcltq_f32(x, low), low, x);
    return vbslq_f32(vcgtq_f32(y, high), high, y);
}

/* -------------------------------------------------------------------------------------------------------- fp32 ---- */

static inline vector load_f32(const void *p) { return vld1q_f32(p); }

static inline vector load_part_f32(const void *p, int count) {
    float part[4] = {0};
    for (int i = 0; i < count; i++) part[i] = ((const float *)p)[i];
    return load_f32(part);
}

/* The second load begins one element early, so that its odd elements are wanted and none past the last is read. */
static inline vector load_even_f32(const void *p) {
    vector late = load_f32((const float *)p + 3);
    return vuzp1q_f32(load_f32(p), vextq_f32(late, late, 1));
}

static inline void store_f32(void *p, vector x) { vst1q_f32(p, x); }

static inline void store_part_f32(void *p, vector x, int count) {
    float *out = p;
    float32x2_t rest = vget_low_f32(x);
    if (count & 2) {
        vst1_f32(out, rest);
        rest = vget_high_f32(x);
        out += 2;
    }
    if (count & 1) vst1_lane_f32(out, rest, 0);
}

/* ----------------------------------------------------------------------------------------------- fp16 and bf16 ---- */

static inline uint16x4_t load_halves(const void *p) { return vld1_u16(p); }

static inline uint16x4_t load_part_halves(const void *p, int count) {
    uint16_t part[4] = {0};
    for (int i = 0; i < count; i++) part[i] = ((const uint16_t *)p)[i];
    return load_halves(part);
}

static inline uint16x4_t load_even_halves(const void *p) {
    uint16x4_t late = load_halves((const uint16_t *)p + 3);
    return vuzp1_u16(load_halves(p), vext_u16(late, late, 1));
}

static inline void store_halves(void *p, uint16x4_t halves) { vst1_u16(p, halves); }

static inline void store_part_halves(void *p, uint16x4_t halves, int count) {
    uint16_t part[4];
    store_halves(part, halves);
    for (int i = 0; i < count; i++) ((uint16_t *)p)[i] = part[i];
}

static inline vector from_f16(uint16x4_t halves) { return vcvt_f32_f16(vreinterpret_f16_u16(halves)); }

static inline uint16x4_t to_f16(vector x) { return vreinterpret_u16_f16(vcvt_f16_f32(x)); }

static inline vector from_bf16(uint16x4_t halves) { return vreinterpretq_f32_u32(vshll_n_u16(halves, 16)); }

static inline uint16x4_t to_bf16(vector x) {
    uint32x4_t bits = vreinterpretq_u32_f32(x);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16);
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

static inline float f16_to_float(uint16_t half) { return vgetq_lane_f32(from_f16(vdup_n_u16(half)), 0); }

static inline uint16_t float_to_f16(float value) { return vget_lane_u16(to_f16(vdupq_n_f32(value)), 0); }

/* --------------------------------------------------------------------------------------------------- transpose ---- */

/* 2x2 within the halves of each pair of registers, then the halves themselves. */
ALWAYS_INLINE void transpose(vector block[4]) {
    float64x2_t ab_even = vreinterpretq_f64_f32(vtrn1q_f32(block[0], block[1]));
    float64x2_t ab_odd = vreinterpretq_f64_f32(vtrn2q_f32(block[0], block[1]));
    float64x2_t cd_even = vreinterpretq_f64_f32(vtrn1q_f32(block[2], block[3]));
    float64x2_t cd_odd = vreinterpretq_f64_f32(vtrn2q_f32(block[2], block[3]));
    block[0] = vreinterpretq_f32_f64(vtrn1q_f64(ab_even, cd_even));
    block[1] = vreinterpretq_f32_f64(vtrn1q_f64(ab_odd, cd_odd));
    block[2] = vreinterpretq_f32_f64(vtrn2q_f64(ab_even, cd_even));
    block[3] = vreinterpretq_f32_f64(vtrn2q_f64(ab_odd, cd_odd));
}

static inline void interleave(vector *a, vector *b) {
    vector first = vzip1q_f32(*a, *b);
    *b = vzip2q_f32(*a, *b);
    *a = first;
}

/* ----------------------------------------------------------------------------------------------------- windows ---- */

typedef struct window {
    int begin, end;
} window;

static inline int within_vector(int i) { return i < 0 ? 0 : i > 4 ? 4 : i; }

static inline window make_window(int begin, int end) { return (window){within_vector(begin), within_vector(end)}; }

/* Vectors at the edges of a row take a detour; there are no masked loads. */
static inline vector load_window(const float *p, window there) {
    if (there.begin == 0 && there.end == 4) return load_f32(p);
    float part[4] = {0};
    for (int i = there.begin; i < there.end; i++) part[i] = p[i];
    return load_f32(part);
}

static inline vector even(vector a, vector b) { return vuzp1q_f32(a, b); }

static inline vector odd(vector a, vector b) { return vuzp2q_f32(a, b); }

/* A lane's four bytes, which a table look-up goes by. */
typedef uint8x16_t lane_choice;

static inline lane_choice load_choice(const int32_t *p) {
    int32x4_t first = vmlaq_n_s32(vdupq_n_s32(0x03020100), vld1q_s32(p), 0x04040404);
    return vreinterpretq_u8_s32(first);
}

static inline vector choose_lanes(vector x, lane_choice choice) {
    return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(x), choice));
}

#include "vector_template.h"
