/* SPDX-License-Identifier: MIT */
/* One fp16 or bf16 number to fp32 and back, in integer arithmetic: the definition that the vector conversions match. */
#ifndef TILEFOLD_CPU_HALF_H
#define TILEFOLD_CPU_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t tilefold_float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float tilefold_bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float tilefold_f16_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31;
    uint32_t mantissa = half & 0x3ff;

    if (exponent == 31) return tilefold_bits_float(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) return tilefold_bits_float(sign | tilefold_float_bits((float)mantissa * 0x1p-24f));
    return tilefold_bits_float(sign | (exponent + 127 - 15) << 23 | mantissa << 13);
}

/* To nearest, ties to even; a NaN gives the quiet NaN of its sign. */
static inline uint16_t tilefold_float_to_f16(float value) {
    uint32_t bits = tilefold_float_bits(value);
    uint16_t sign = bits >> 16 & 0x8000;
    uint32_t magnitude = bits & 0x7fffffff;
    uint32_t exponent = magnitude >> 23;

    if (magnitude > 0x7f800000) return sign | 0x7e00;
    if (magnitude >= 0x477ff000) return sign | 0x7c00; /* from 65520 on: halfway past the largest fp16 */
    if (exponent >= 127 - 14) {
        magnitude -= (uint32_t)(127 - 15) << 23;
        return sign | (uint16_t)((magnitude + 0xfff + (magnitude >> 13 & 1)) >> 13);
    }
    if (exponent < 127 - 25) return sign; /* below half of the least subnormal, 2^-24 */

    uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
    uint32_t shift = 126 - exponent; /* value = mantissa * 2^-shift * 2^-24; 14 <= shift <= 24 */
    uint32_t quotient = mantissa >> shift;
    uint32_t remainder = mantissa & ((UINT32_C(1) << shift) - 1);
    uint32_t tie = UINT32_C(1) << (shift - 1);
    return sign | (uint16_t)(quotient + (remainder > tie || (remainder == tie && (quotient & 1))));
}

static inline float tilefold_bf16_to_float(uint16_t half) { return tilefold_bits_float((uint32_t)half << 16); }

/* To nearest, ties to even; a NaN keeps its upper bits and becomes quiet. */
static inline uint16_t tilefold_float_to_bf16(float value) {
    uint32_t bits = tilefold_float_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
