/* A generator of convolutions of every kind: ranks, types, groups, strides, paddings, views, special values.
 *
 * SPDX-License-Identifier: MIT
 *
 * A problem is made from one 64-bit seed and nothing else. The environment of the test programs:
 *
 *     TILEFOLD_TEST_SCALE     multiplies how many problems are tried (1.0)
 *     TILEFOLD_TEST_SEED      the seed that the problems' seeds are drawn from
 *     TILEFOLD_TEST_PROBLEM   the seed of one problem: only that one is tried, as a failure's message says
 */
#ifndef TESTS_PROBLEMS_H
#define TESTS_PROBLEMS_H

#include <tilefold.h>

#include "rng.h"

/* What the tensors are filled with. */
typedef enum test_data {
    DATA_UNIT,    /* uniform over [-1, 1) */
    DATA_INTEGER, /* -3..3: sums are exact */
    DATA_ZEROS,   /* +0 and -0 only */
    DATA_WIDE,    /* exponents far apart: cancellation, absorption */
    DATA_TINY,    /* products and sums in the subnormal range */
    DATA_HUGE,    /* sums that overflow fp16 */
    DATA_EXTREME, /* mostly unit, some zeros, subnormals and the largest finite values */
    DATA_SPECIAL, /* as extreme, with infinities and NaNs */
    DATA_KINDS
} test_data;

typedef struct test_problem {
    const char *name; /* of a problem from the list, else NULL */
    uint64_t seed;
    test_data data;
    tilefold_problem problem; /* strides filled in */
    bool wild;                /* sizes may be beyond what the oracle can count, or refused by the library */
} test_problem;

/* At most about budget multiply-adds (and as many tensor elements). */
test_problem make_problem(uint64_t seed, int64_t budget);

/* Gives every axis an output, by padding, and brings the problem below about budget multiply-adds, both by halving what r draws. */
void fit_problem(tilefold_problem *problem, int64_t budget, rng *r);

/* The list: one problem of each kind that networks and signal processing have, small, but with sums and rows long enough
 * that small limits cut them. Index 0 <= index < listed_problems(). Strides are channels-first. */
int listed_problems(void);
test_problem listed_problem(int index, tilefold_type type, tilefold_type bias_type);
test_problem named_problem(const char *name, tilefold_type type, tilefold_type bias_type);

/* The founding cases: an inverse STFT, and 64 -> 64 channels by 3x3 at size x size. Too large for the oracle as a whole. */
test_problem founding_case_a(void);
test_problem founding_case_b(tilefold_type type, int64_t size);

/* Enough work for several threads, which under a limit of 32 KiB for each come to some dozens of tiles. */
test_problem many_tiles_problem(void);

/* 1, or more where TILEFOLD_TEST_SCALE is below 1: tests of the list go over it in such steps. */
int list_step(void);

/* The same operation, laid out in memory another way. */
void randomize_strides(tilefold_problem *problem, rng *r);

/* A smaller batch, perhaps none, and smaller inputs, perhaps without any output. */
void shrink_randomly(tilefold_problem *problem, rng *r);
bool has_outputs(const tilefold_problem *problem);

/* One line that says all of the problem but its strides, and how to run it again. Static storage. */
const char *describe_problem(const test_problem *problem);

/* From here on, a crash of this test says the problem's line before cmocka takes over. */
void announce_problem(const test_problem *problem);

/* Which problems a test tries: count scaled by the environment, or the single one asked for. */
typedef struct problem_run {
    uint64_t seed;
    int64_t count;
    bool single;
} problem_run;

problem_run begin_problems(int64_t count);
uint64_t problem_seed(const problem_run *run, int64_t index);

#endif /* TESTS_PROBLEMS_H */
