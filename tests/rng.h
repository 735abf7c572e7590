/* Seeded random numbers for tests: the same on every machine.
 *
 * SPDX-License-Identifier: MIT
 *
 * The generator is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
 */
#ifndef TESTS_RNG_H
#define TESTS_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rng {
    uint64_t state;
} rng;

static inline uint64_t rng_next(rng *r) {
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A generator of its own for each (seed, stream). */
static inline rng rng_make(uint64_t seed, uint64_t stream) {
    rng r = {seed ^ (stream * UINT64_C(0xd1342543de82ef95))};
    r.state = rng_next(&r);
    return r;
}

/* Uniform over [low, high], which must span less than 2^63. */
static inline int64_t rng_range(rng *r, int64_t low, int64_t high) {
    return low + (int64_t)(rng_next(r) % ((uint64_t)(high - low) + 1));
}

static inline bool rng_percent(rng *r, int percent) { return rng_range(r, 0, 99) < percent; }

static inline int64_t rng_pick(rng *r, const int64_t *values, size_t count) {
    return values[rng_range(r, 0, (int64_t)count - 1)];
}
#define RNG_PICK(r, ...)                                                                                               \
    rng_pick(r, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* Uniform over [-1, 1) in steps of 2^-23, so exact in fp32. */
static inline float rng_unit(rng *r) { return (float)rng_range(r, -8388608, 8388607) / 8388608.0f; }

#endif /* TESTS_RNG_H */
