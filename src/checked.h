/* Arithmetic on sizes that notices when 64 bits are not enough.
 *
 * SPDX-License-Identifier: MIT
 *
 * The checked functions return false on overflow and then leave *out unspecified; the saturating ones are for figures
 * that are only reported.
 */
#ifndef TILEFOLD_CHECKED_H
#define TILEFOLD_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool tilefold_add(int64_t a, int64_t b, int64_t *out) {
    if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b) return false;
    *out = a + b;
    return true;
}

static inline bool tilefold_multiply(int64_t a, int64_t b, int64_t *out) {
    if (a == 0 || b == 0) {
        *out = 0;
        return true;
    }
    if (a > 0 ? (b > 0 ? a > INT64_MAX / b : b < INT64_MIN / a) : (b > 0 ? a < INT64_MIN / b : b < INT64_MAX / a))
        return false;
    *out = a * b;
    return true;
}

static inline int64_t tilefold_saturating_add(int64_t a, int64_t b) {
    int64_t sum;
    return tilefold_add(a, b, &sum) ? sum : INT64_MAX;
}

/* For a, b >= 0. */
static inline int64_t tilefold_saturating_multiply(int64_t a, int64_t b) {
    int64_t product;
    return tilefold_multiply(a, b, &product) ? product : INT64_MAX;
}

static inline int64_t tilefold_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t tilefold_max(int64_t a, int64_t b) { return a > b ? a : b; }

/* For b > 0 and any a. Most strides are 1, and a division takes longer than to see that. */
static inline int64_t tilefold_floor_div(int64_t a, int64_t b) { return b == 1 ? a : a / b - (a % b < 0); }
static inline int64_t tilefold_ceil_div(int64_t a, int64_t b) { return b == 1 ? a : a / b + (a % b > 0); }
static inline int64_t tilefold_modulo(int64_t a, int64_t b) { return b == 1 ? 0 : a % b < 0 ? a % b + b : a % b; }

/* For a >= 0 and b >= 0, not both 0. */
static inline int64_t tilefold_gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The least multiple of b that is >= a; a >= 0. */
static inline int64_t tilefold_round_up(int64_t a, int64_t b) { return tilefold_ceil_div(a, b) * b; }

#endif /* TILEFOLD_CHECKED_H */
