/* Fuzz targets: each makes a case of any bytes and aborts, or is ended by a sanitizer, where a promise does not hold.
 *
 * SPDX-License-Identifier: MIT
 *
 * libFuzzer brings a main() of its own (preset `fuzz`, which needs clang); in every other build replay.c does, which runs the
 * inputs of the corpora and a fixed number of mutations of them. See docs/reliability.md for how to run one for long.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "runner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a source of choices. Where it has come to its end, every choice is the first. */
typedef struct fuzz_bytes {
    const uint8_t *at, *end;
} fuzz_bytes;

static inline fuzz_bytes fuzz_begin(const uint8_t *data, size_t size) { return (fuzz_bytes){data, data + size}; }

static inline uint8_t fuzz_byte(fuzz_bytes *b) { return b->at < b->end ? *b->at++ : 0; }

static inline uint64_t fuzz_word(fuzz_bytes *b) {
    uint64_t word = 0;
    for (int i = 0; i < 8; i++) word |= (uint64_t)fuzz_byte(b) << (8 * i);
    return word;
}

/* One of at most 256 values from low on. */
static inline int64_t fuzz_range(fuzz_bytes *b, int64_t low, int64_t high) {
    return low + fuzz_byte(b) % (high - low + 1);
}

static inline bool fuzz_chance(fuzz_bytes *b, int percent) { return fuzz_byte(b) * 100 >= (100 - percent) * 256; }

/* A small problem of any kind, of at most about budget multiply-adds. */
test_problem fuzz_small_problem(fuzz_bytes *b, int64_t budget);

/* A problem with any values at all in a few of its fields, the ends of the range among them. */
test_problem fuzz_wild_problem(fuzz_bytes *b);

/* A way without a limit: one of the machine's instruction sets, threads that need no thread, any algorithm. */
way fuzz_way(fuzz_bytes *b);

#endif /* TESTS_FUZZ_H */
