/* Runs a problem through the library in a given way and hands back its output as a dense array.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_RUNNER_H
#define TESTS_RUNNER_H

#include "tensors.h"

/* Who runs the tasks. */
typedef enum pool {
    POOL_LIBRARY,
    POOL_SEQUENTIAL, /* the caller alone, in order, */
    POOL_REVERSED,   /* from the last on, */
    POOL_SHUFFLED,   /* or in another order each time */
    POOL_THREADS,    /* a thread for each */
    POOL_KINDS
} pool;

/* A way to compute a problem. */
typedef struct way {
    tilefold_isa isa;
    int32_t threads;
    pool pool;
    tilefold_algorithm algorithm;
    bool prepack;
    int64_t limit;
    /* Left out of most initializers: */
    tilefold_storage storage; /* of unfolded tiles, on Vulkan */
    int64_t max_buffer;       /* bytes; 0 for the device's own limit */
    tilefold_math math;
} way;

/* One line that says it. Static storage. */
const char *describe_way(const way *w);

/* The instruction sets of this machine; never empty. Returns how many. */
int machine_isas(tilefold_isa isas[8]);

tilefold_isa best_isa(void);

/* An algorithm, and on Vulkan also how it holds its scratch. */
typedef struct method {
    tilefold_algorithm algorithm;
    tilefold_storage storage;
} method;

/* All there are, auto first. Returns how many. */
enum { MAX_METHODS = 6 };
int machine_methods(method methods[MAX_METHODS]);

/* Whether the ways are run by a Vulkan device: TILEFOLD_TEST_VULKAN=N in the environment. It has one "instruction set",
 * TILEFOLD_ISA_BEST, and neither threads nor pools. */
bool on_vulkan(void);

/* How many_tiles_problem() comes to as many tiles as it says. */
way many_tiles_way(int32_t threads, pool pool);

/* Says on standard error what is wrong with which problem in which way; fail_problem() then fails the test. */
void complain(const test_problem *made, const way *w, const char *what);
void fail_problem(const test_problem *made, const way *w, const char *what);

/* A context that the way's first three fields ask for, kept until close_contexts(). Aborts where there is none. */
tilefold_context *get_context(const way *w);
void close_contexts(void);

tilefold_plan_options way_options(const way *w);

typedef enum outcome {
    DONE,
    DECLINED, /* the algorithm does not do this problem */
    FAILED    /* said why on standard error */
} outcome;

/* The least limit with which the way plans the problem, or one of these. */
enum { LEAST_DECLINED = -1, LEAST_FAILED = -2 };
int64_t least_limit(const test_problem *made, const way *w);

/* Plans, checks what the plan says of itself, packs, executes in exactly the scratch it asked for, and checks that nothing
 * was written but outputs and scratch. dense holds tensors_output_bytes(t). plan_info may be NULL. */
outcome run_way(tensors *t, const way *w, void *dense, tilefold_plan_info *plan_info);

/* A plan by the way, to be destroyed by the caller; NULL where it fails. *declined says whether the algorithm had the right
 * to; if not, the reason is on standard error. */
tilefold_plan *make_plan(const test_problem *made, const way *w, bool *declined);
tilefold_plan_info get_info(const tilefold_plan *plan);

/* Whether the figures of a plan fit the problem, the way and each other; says on standard error where not. */
bool check_plan_info(const test_problem *made, const way *w, const tilefold_plan_info *info);

/* Everything an execution of a plan needs: exactly as much scratch as it asks for, and its packed weights, both guarded. */
typedef struct prepared {
    tilefold_execution execution;
    guarded scratch, packed;
} prepared;

/* Packs the weights where the plan does. Whatever the status, finish_execution() is to follow. */
tilefold_status prepare_execution(const tilefold_plan *plan, const tensors *t, prepared *p, tilefold_message *message);

/* Releases it; false where memory around the scratch or the packed weights was written. */
bool finish_execution(prepared *p);

/* The output that every way must have, bit for bit; the caller frees it: the chain of the oracle. A Vulkan device may round
 * each product of it before adding, which is tried, and then so does the oracle. Where it takes subnormal numbers for zeros, and
 * the data has some, it is what one way gives, which must agree with float64. NULL where that fails. With
 * TILEFOLD_TEST_EXACT_FMA in the environment a Vulkan device does neither. */
void *reference_output(tensors *t);

/* check_against_double(), but for data with subnormal numbers on Vulkan: a device may take those for zeros. */
bool agrees_with_double(const tensors *t, const void *output);

/* Compares with what was expected; says on standard error, with the problem and the way, where it differs. */
bool check_output(const tensors *t, const way *w, const void *expected, const void *got);

#endif /* TESTS_RUNNER_H */
