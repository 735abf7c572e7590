/* A plan for an upper bound, bound to buffers and recorded once, computes smaller problems too: the bits are those of a plan of
 * their own, and nothing else is written.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bound.h"

/* In every byte of what is not an output: no NaN in any type, as any NaN is as good as another. */
enum { UNTOUCHED = 0x5a };

/* What the output's memory holds when the smaller problem has been run over it by itself. */
static unsigned char *run_alone(const test_problem *smaller, const way *w, tensors *t) {
    tilefold_plan_options options = way_options(w);
    options.bind_buffers = false;
    options.scratch_limit_bytes = INT64_MAX;
    tilefold_message message;
    memset(t->output.data, UNTOUCHED, t->output.bytes);
    tilefold_status status = tilefold_convolve(get_context(w), &smaller->problem, &options, tensors_input(t),
                                               tensors_weight(t), tensors_bias(t), tensors_output(t), &message);
    if (status) fail_problem(smaller, w, message.text);
    unsigned char *copy = malloc(t->output.bytes + 1);
    assert_non_null(copy);
    memcpy(copy, t->output.data, t->output.bytes);
    memset(t->output.data, UNTOUCHED, t->output.bytes);
    return copy;
}

static bool same_memory(const tensors *t, const unsigned char *expected) {
    if (memcmp(t->output.data, expected, t->output.bytes) == 0) return true;
    /* NaNs may differ in sign and payload. */
    int64_t elements = (int64_t)(t->output.bytes / tilefold_type_bytes(t->made.problem.type)), index;
    return same_bits(t->made.problem.type, elements, expected, t->output.data, &index);
}

static void try_smaller(const test_problem *larger, const way *w, bound *b, tensors *t, rng *r) {
    test_problem smaller = *larger;
    tilefold_message message;
    if (rng_percent(r, 80)) shrink_randomly(&smaller.problem, r);
    if (!has_outputs(&smaller.problem)) return;
    unsigned char *expected = run_alone(&smaller, w, t);
    tilefold_status status = bound_resize(b, &smaller.problem, &message);
    if (!status) status = bound_run(b, &message);
    if (status) fail_problem(&smaller, w, message.text);
    bool right = same_memory(t, expected) && guarded_intact(&t->output);
    free(expected);
    if (right) return;
    complain(&smaller, w, "other bits than by itself, or other elements written");
    fail_problem(larger, w, "was recorded for");
}

static bool try_problem(const test_problem *larger, const way *w, rng *r) {
    bool declined;
    tilefold_plan *plan = make_plan(larger, w, &declined);
    if (!plan && declined) return false;
    if (!plan) fail_problem(larger, w, "no plan");
    tensors t = make_tensors(larger);
    tilefold_message message;
    bound *b;
    if (bound_open(get_context(w), plan, &t, &b, &message)) fail_problem(larger, w, message.text);
    for (int i = 0; i < 4; i++) try_smaller(larger, w, b, &t, r);
    assert_true(bound_close(b));
    free_tensors(&t);
    tilefold_plan_destroy(plan);
    return true;
}

static void test_smaller_problems(void **state) {
    (void)state;
    problem_run run = begin_problems(150);
    int64_t tried = 0;
    for (int64_t i = 0; i < run.count; i++) {
        test_problem larger = make_problem(problem_seed(&run, i), 30000);
        rng r = rng_make(larger.seed, 19);
        way w = {TILEFOLD_ISA_BEST,   1,        POOL_LIBRARY, (tilefold_algorithm)rng_range(&r, 0, 3),
                 rng_percent(&r, 50), INT64_MAX};
        if (rng_percent(&r, 40)) {
            w.algorithm = TILEFOLD_ALGORITHM_UNFOLD;
            w.storage = (tilefold_storage)rng_range(&r, 1, 2);
        }
        int64_t least = least_limit(&larger, &w);
        if (least == LEAST_DECLINED) continue;
        if (rng_percent(&r, 50)) w.limit = least + rng_range(&r, 0, INT64_C(1) << rng_range(&r, 0, 18));
        tried += try_problem(&larger, &w, &r);
    }
    assert_true(run.single || tried > run.count / 2);
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    if (!runs_bound()) return puts("skipped: wants TILEFOLD_TEST_BIND, so that every plan is for buffers"), 77;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_smaller_problems)};
    return cmocka_run_group_tests(tests, NULL, close_all);
}
