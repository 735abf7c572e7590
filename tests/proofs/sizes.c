/* What CBMC proves of the arithmetic of sizes, for every value there is. Each function is one proof; test_proofs.sh runs them.
 *
 * SPDX-License-Identifier: MIT
 *
 * Besides the assertions CBMC checks that nothing overflows, is divided by zero or loses a value in a conversion. Products and
 * quotients of two unknown 64-bit numbers are beyond its solvers, so there are three kinds of proof:
 *
 *     wide       64 bits, where there are only sums and comparisons: sums, bounds;
 *     narrow     the same source with 8-bit sizes (int64_t and its limits redefined): products, quotients, divisors, inverses;
 *     abstract   64 bits, where a product is any number at all that its check would let pass: the formulas that are made of them.
 */
#include <stdbool.h>
#include <stdint.h>

#ifdef PROVE_NARROW
typedef int8_t narrow;
#define int64_t narrow
#undef INT64_MAX
#undef INT64_MIN
#define INT64_MAX INT8_MAX
#define INT64_MIN INT8_MIN
#endif

#ifdef PROVE_ABSTRACT
#define tilefold_multiply tilefold_multiply_as_it_is
#include "checked.h"
#undef tilefold_multiply

/* CBMC takes functions of such names for any value. */
bool nondet_bool(void);
int64_t nondet_number(void);

/* Fits, or does not; of what it is nothing is known but the easy cases. */
static bool tilefold_multiply(int64_t a, int64_t b, int64_t *out) {
    int64_t product = nondet_number();
    if (a == 0 || b == 0) product = 0;
    if (a > 0 && b > 0) __CPROVER_assume(product >= a && product >= b);
    *out = product;
    return nondet_bool();
}
#define TILEFOLD_CHECKED_H
#else
#include "checked.h"
int64_t nondet_number(void);
#endif
#include "modular.h"

#ifdef PROVE_NARROW
typedef int exact; /* holds any sum or product of two */
#else
typedef __int128 exact;
#endif

static bool fits(exact value) { return value >= INT64_MIN && value <= INT64_MAX; }

/* ---------------------------------------------------------------------------------------------------------- wide ---- */

void prove_add(void) {
    int64_t a = nondet_number(), b = nondet_number(), sum;
    bool added = tilefold_add(a, b, &sum);
    __CPROVER_assert(added == fits((exact)a + b), "true exactly where the sum fits");
    __CPROVER_assert(!added || sum == (exact)a + b, "and is the sum");
}

void prove_saturating_add(void) {
    int64_t a = nondet_number(), b = nondet_number();
    __CPROVER_assume(a >= 0 && b >= 0);
    exact sum = (exact)a + b;
    __CPROVER_assert(tilefold_saturating_add(a, b) == (fits(sum) ? sum : INT64_MAX), "the sum, or the largest number");
}

void prove_min_max(void) {
    int64_t a = nondet_number(), b = nondet_number(), least = tilefold_min(a, b), most = tilefold_max(a, b);
    __CPROVER_assert(least <= a && least <= b && (least == a || least == b), "the lesser");
    __CPROVER_assert(most >= a && most >= b && (most == a || most == b), "the greater");
}

/* -------------------------------------------------------------------------------------------------------- narrow ---- */

void prove_multiply(void) {
    int64_t a = nondet_number(), b = nondet_number(), product;
    bool multiplied = tilefold_multiply(a, b, &product);
    __CPROVER_assert(multiplied == fits((exact)a * b), "true exactly where the product fits");
    __CPROVER_assert(!multiplied || product == (exact)a * b, "and is the product");
}

void prove_saturating_multiply(void) {
    int64_t a = nondet_number(), b = nondet_number();
    __CPROVER_assume(a >= 0 && b >= 0);
    exact product = (exact)a * b;
    __CPROVER_assert(tilefold_saturating_multiply(a, b) == (fits(product) ? product : INT64_MAX), "or the largest");
}

void prove_divisions(void) {
    int64_t a = nondet_number(), b = nondet_number();
    __CPROVER_assume(b > 0);
    exact below = tilefold_floor_div(a, b), above = tilefold_ceil_div(a, b), rest = tilefold_modulo(a, b);
    __CPROVER_assert(below * b <= a && a < (below + 1) * b, "the floor of the quotient");
    __CPROVER_assert((above - 1) * b < a && a <= above * b, "its ceiling");
    __CPROVER_assert(rest >= 0 && rest < b && below * b + rest == a, "and what is left");
}

void prove_round_up(void) {
    int64_t a = nondet_number(), b = nondet_number();
    __CPROVER_assume(a >= 0 && b > 0 && fits((exact)a + b - 1));
    exact multiple = tilefold_round_up(a, b);
    __CPROVER_assert(multiple % b == 0 && multiple >= a && multiple < (exact)a + b, "the least multiple");
}

void prove_gcd(void) {
    int64_t a = nondet_number(), b = nondet_number(), other = nondet_number();
    __CPROVER_assume(a >= 0 && b >= 0 && (a > 0 || b > 0) && other > 0);
    int64_t common = tilefold_gcd(a, b);
    __CPROVER_assert(common > 0 && a % common == 0 && b % common == 0, "divides both");
    __CPROVER_assert(a % other != 0 || b % other != 0 || other <= common, "and nothing greater does");
}

/* Moduli are at most a quarter of the largest number (TILEFOLD_MAX_MODULUS). */
void prove_inverse(void) {
    int64_t a = nondet_number(), modulus = nondet_number();
    __CPROVER_assume(modulus >= 1 && modulus <= INT64_MAX / 4);
    __CPROVER_assume(tilefold_gcd(tilefold_modulo(a, modulus), modulus) == 1);
    exact inverse = tilefold_inverse_modulo(a, modulus);
    __CPROVER_assert(inverse >= 0 && inverse < modulus, "a residue");
    __CPROVER_assert((tilefold_modulo(a, modulus) * inverse - 1) % modulus == 0, "whose product with it is 1");
}
