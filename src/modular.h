/* Arithmetic modulo a number.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_MODULAR_H
#define TILEFOLD_MODULAR_H

#include "checked.h"

/* Holds the product of two residues. Without 128-bit integers moduli are limited so that 64 do. */
#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 tilefold_wide;
#define TILEFOLD_MAX_MODULUS (INT64_MAX / 4)
#else
typedef uint64_t tilefold_wide;
#define TILEFOLD_MAX_MODULUS INT32_MAX
#endif

/* For 0 <= a, b < modulus <= TILEFOLD_MAX_MODULUS. */
static inline int64_t tilefold_multiply_modulo(int64_t a, int64_t b, int64_t modulus) {
    return (int64_t)((tilefold_wide)a * (tilefold_wide)b % (tilefold_wide)modulus);
}

/* The x in [0, modulus) with a*x = 1 (mod modulus), for gcd(a, modulus) = 1; by Euclid's algorithm. */
static inline int64_t tilefold_inverse_modulo(int64_t a, int64_t modulus) {
    int64_t r0 = modulus, r1 = tilefold_modulo(a, modulus), t0 = 0, t1 = 1;
    while (r1) {
        int64_t quotient = r0 / r1, r2 = r0 - quotient * r1, t2 = t0 - quotient * t1;
        r0 = r1, r1 = r2, t0 = t1, t1 = t2;
    }
    return modulus == 1 ? 0 : tilefold_modulo(t0, modulus);
}

#endif /* TILEFOLD_MODULAR_H */
