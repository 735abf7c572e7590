/* The golden problems: what golden.txt says of each, the data it is computed on, and how its output is hashed.
 *
 * SPDX-License-Identifier: MIT
 *
 * A line of golden.txt is the SHA-256 of the output, two spaces, and the problem in words with one space between them:
 *
 *     conv|transposed  f32|f16|bf16  NxCxI...  OxK...     op, type, input (batch, channels, sizes), output channels and kernel
 *     groups=G stride=S dilation=D input-dilation=L output-padding=A
 *     pad=P0:P1                                           or pad=P where both are the same
 *     flip  bias=TYPE  clamp=LO:HI                        LO and HI integers, or -inf, inf
 *     data=KIND                                           what the tensors are filled with, see below
 *     plant=TENSOR:INDEX:VALUE                            one element of input, weight or bias is something else
 *
 * Per axis there is one number for all, or as many as there are axes with commas between them. What is left out has its default.
 * Empty lines and those that begin with # are comments.
 *
 * DATA. Element number `index` of a tensor, in logical order (input n, c, x...; weight g, o, c, k...; bias o), is made of
 * integers alone: u = output number `index` of SplitMix64 (Steele, Lea, Flood, 2014) seeded with 0 for the input, 1 for the
 * weight, 2 for the bias. Its sign is bit 63 of u, its mantissa the low bits of u, and with r = bits 32 to 47 of u its exponent is
 *
 *     unit        -1 - r % 3                    the default
 *     wide        r % 19 - 13                   cancellation and absorption
 *     tiny        base - r % 6                  products and sums that are subnormal; base -9 for f16, else -71
 *     huge        base + r % 5                  sums that overflow; base 4 for f16, else 58
 *     subnormal   the least, in input and bias (weights as for unit)
 *     integer     the number itself is r % 4, with that sign, so there are both zeros
 *     zero        the number is 0, with that sign
 *
 * HASH. Elements of the output in logical order n, o, x..., each as its little-endian bytes, any NaN as the positive quiet one
 * whose payload is 0 (0x7fc00000, 0x7e00, 0x7fc0).
 */
#ifndef TILEFOLD_GOLDEN_H
#define TILEFOLD_GOLDEN_H

#include <stdbool.h>

#include <tilefold.h>

#include "sha256.h"

typedef enum tilefold_golden_tensor {
    TILEFOLD_GOLDEN_INPUT,
    TILEFOLD_GOLDEN_WEIGHT,
    TILEFOLD_GOLDEN_BIAS,
    TILEFOLD_GOLDEN_NOTHING /* is planted */
} tilefold_golden_tensor;

typedef enum tilefold_golden_data {
    TILEFOLD_GOLDEN_UNIT,
    TILEFOLD_GOLDEN_WIDE,
    TILEFOLD_GOLDEN_TINY,
    TILEFOLD_GOLDEN_HUGE,
    TILEFOLD_GOLDEN_SUBNORMAL,
    TILEFOLD_GOLDEN_INTEGER,
    TILEFOLD_GOLDEN_ZERO
} tilefold_golden_data;

typedef enum tilefold_golden_value {
    TILEFOLD_GOLDEN_INF,
    TILEFOLD_GOLDEN_MINUS_INF,
    TILEFOLD_GOLDEN_NAN,
    TILEFOLD_GOLDEN_MINUS_ZERO,
    TILEFOLD_GOLDEN_DENORMAL, /* the least */
    TILEFOLD_GOLDEN_MAX       /* the largest that is finite */
} tilefold_golden_value;

typedef struct tilefold_golden {
    const char *hash;         /* 64 digits of the line it was read from; not a string of its own */
    const char *text;         /* the rest of that line: the problem */
    tilefold_problem problem; /* without strides */
    tilefold_golden_data data;
    tilefold_golden_tensor planted;
    int64_t planted_index;
    tilefold_golden_value planted_value;
} tilefold_golden;

/* The lines of golden.txt without its comments, put into the library by the build; a NULL ends them. */
extern const char *const tilefold_golden_lines[];

/* Reads a line, which must outlive *golden. False where it is not as described above. */
bool tilefold_golden_read(const char *line, tilefold_golden *golden);

/* The bits of an element in its type: the problem's, or the bias's. */
uint32_t tilefold_golden_element(const tilefold_golden *golden, tilefold_golden_tensor tensor, int64_t index);

/* Adds an output, by its bits in the type, to the hash. */
void tilefold_golden_add(tilefold_sha256 *hash, tilefold_type type, uint32_t bits);

/* Elements are 4 or 2 bytes of memory. */
static inline uint32_t tilefold_golden_load(tilefold_type type, const void *element) {
    uint32_t word;
    uint16_t half;
    if (type == TILEFOLD_F32) return memcpy(&word, element, sizeof word), word;
    return memcpy(&half, element, sizeof half), half;
}

static inline void tilefold_golden_store(tilefold_type type, void *element, uint32_t bits) {
    uint16_t half = (uint16_t)bits;
    if (type == TILEFOLD_F32)
        memcpy(element, &bits, sizeof bits);
    else
        memcpy(element, &half, sizeof half);
}

#endif /* TILEFOLD_GOLDEN_H */
