/* What a plan's figures promise of limits, held at each figure and one byte beside it: the least, the ideal, what the plan
 * uses, and buffers as large as the scratch or the packed weights; on random problems, planned and run.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "limits.h"

static way random_way(rng *r) {
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    way w = {.isa = isas[rng_range(r, 0, isa_count - 1)],
             .threads = (int32_t)rng_range(r, 1, rng_percent(r, 20) ? 8 : 4),
             .pool = POOL_SEQUENTIAL,
             .algorithm = (tilefold_algorithm)rng_range(r, TILEFOLD_ALGORITHM_AUTO, TILEFOLD_ALGORITHM_DIRECT),
             .prepack = rng_percent(r, 60),
             .limit = INT64_MAX};
    if (on_vulkan() && w.algorithm == TILEFOLD_ALGORITHM_UNFOLD) w.storage = (tilefold_storage)rng_range(r, 0, 2);
    return w;
}

static void test_scratch_limits(void **state) {
    (void)state;
    problem_run run = begin_problems(5000);
    for (int64_t i = 0; i < run.count; i++) {
        rng r = rng_make(problem_seed(&run, i), 13);
        test_problem made = make_problem(problem_seed(&run, i), INT64_C(1) << rng_range(&r, 8, 34));
        way w = random_way(&r);
        planned unlimited;
        if (can_plan(&made, &w, &unlimited)) check_scratch_limits(&made, &w, &unlimited, &r);
    }
}

/* ------------------------------------------------------------------------------------------------------- buffers ---- */

/* Each figure of a plan, and one byte less, as the largest buffer. */
static void check_buffers(const test_problem *made, const way *w, const planned *unlimited, rng *r) {
    planned bounded = *unlimited;
    for (int round = 0; round < 3; round++) { /* then the figures of the plan that came of it */
        const int64_t figures[] = {bounded.info.scratch_bytes, bounded.info.packed_weight_bytes,
                                   bounded.info.min_scratch_bytes - bounded.info.plan_bytes};
        for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
            check_buffer(made, *w, figures[i], unlimited, r, &bounded);
        int64_t figure = figures[rng_range(r, 0, 2)];
        if (!check_buffer(made, *w, rng_range(r, 0, figure), unlimited, r, &bounded)) return;
    }
}

static void test_buffers(void **state) {
    (void)state;
    problem_run run = begin_problems(1500);
    for (int64_t i = 0; i < run.count; i++) {
        rng r = rng_make(problem_seed(&run, i), 17);
        test_problem made = make_problem(problem_seed(&run, i), INT64_C(1) << rng_range(&r, 8, 30));
        way w = random_way(&r);
        planned unlimited;
        if (can_plan(&made, &w, &unlimited)) check_buffers(&made, &w, &unlimited, &r);
    }
}

/* What was packed in more bytes than the buffers may have: by the plan under a small limit, where only the ideal one was
 * looked at. */
static void test_packed_weights_of_the_chosen_plan(void **state) {
    (void)state;
    if (on_vulkan()) skip();
    test_problem made = {.name = "packed under a small limit"};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV, TILEFOLD_F32, 2);
    p->in_channels = 3, p->out_channels = 24;
    p->input_size[0] = 35, p->input_size[1] = 58;
    p->kernel[0] = 4, p->kernel[1] = 3;
    assert_int_equal(tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    for (int i = 0; i < isa_count; i++) {
        way w = {.isa = isas[i], .threads = 1, .pool = POOL_SEQUENTIAL, .prepack = true, .max_buffer = 3456};
        int64_t least = must_plan(&made, w, INT64_MAX).info.min_scratch_bytes;
        for (int64_t limit = least; limit < least + 4096; limit += 8) must_plan(&made, w, limit);
    }
}

/* ----------------------------------------------------------------------------------------------------- execution ---- */

/* One run at a limit, with buffers of at most so many bytes. */
static void run_at(tensors *t, way w, int64_t limit, int64_t most, const void *expected, void *got) {
    w.limit = limit;
    w.max_buffer = most;
    if (run_way(t, &w, got, NULL) != DONE || !check_output(t, &w, expected, got))
        fail_problem(&t->made, &w, "a plan at the edge of its limits does not compute it");
}

static int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }

static void run_at_edges(tensors *t, const way *w, const planned *unlimited, rng *r) {
    void *expected = reference_output(t), *got = malloc(tensors_output_bytes(t) + 1);
    if (!expected || !got) fail_problem(&t->made, w, "no reference");
    int64_t least = unlimited->info.min_scratch_bytes, ideal = unlimited->info.ideal_scratch_bytes;
    planned between = must_plan(&t->made, *w, rng_range(r, least, ideal));
    run_at(t, *w, least, 0, expected, got);
    run_at(t, *w, ideal, 0, expected, got);
    if (ideal > least) run_at(t, *w, ideal - 1, 0, expected, got);
    run_at(t, *w, used_bytes(&between), 0, expected, got);
    int64_t most = unlimited->info.scratch_bytes;
    if (unlimited->info.packed_weight_bytes > 0) most = min_of(most, unlimited->info.packed_weight_bytes - 1);
    planned bounded;
    if (most > 0 && check_buffer(&t->made, *w, most, unlimited, r, &bounded))
        run_at(t, *w, bounded.info.min_scratch_bytes, most, expected, got);
    free(expected);
    free(got);
}

static void test_runs_at_the_edges(void **state) {
    (void)state;
    problem_run run = begin_problems(3000);
    for (int64_t i = 0; i < run.count; i++) {
        rng r = rng_make(problem_seed(&run, i), 18);
        test_problem made = make_problem(problem_seed(&run, i), 20000);
        way w = random_way(&r);
        planned unlimited;
        if (!can_plan(&made, &w, &unlimited)) continue;
        tensors t = make_tensors(&made);
        run_at_edges(&t, &w, &unlimited, &r);
        free_tensors(&t);
    }
}

/* On Vulkan no sum is too long for the bindings, be they hardly larger than a step's constants: what one output reads is cut, too. */
static void test_small_bindings(void **state) {
    (void)state;
    enum { CONSTANTS = 256, UNFOLDED = 1024 }; /* and an unfolded tile has 64 positions, with partial sums */
    if (!on_vulkan()) skip();
    problem_run run = begin_problems(40);
    for (int64_t i = 0; i < run.count; i++) {
        rng r = rng_make(problem_seed(&run, i), 19);
        test_problem made = make_problem(problem_seed(&run, i), 3000);
        way w = random_way(&r);
        w.storage = TILEFOLD_STORAGE_BUFFER;
        planned unlimited;
        if (!can_plan(&made, &w, &unlimited)) continue;
        tensors t = make_tensors(&made);
        void *expected = reference_output(&t), *got = malloc(tensors_output_bytes(&t) + 1);
        if (!expected || !got) fail_problem(&made, &w, "no reference");
        int64_t least = w.algorithm == TILEFOLD_ALGORITHM_UNFOLD ? UNFOLDED : CONSTANTS;
        run_at(&t, w, INT64_MAX, least, expected, got);
        run_at(&t, w, INT64_MAX, rng_range(&r, least, 4096), expected, got);
        free(expected);
        free(got);
        free_tensors(&t);
    }
}

/* ------------------------------------------------------------------------------------------------------- threads ---- */

/* Too few bytes for all threads means fewer threads, not failure: with the least there is one, and from then on no fewer than
 * one for each four times what one needs. (Not always more: fewer threads of larger tiles may be faster.) */
static void test_fewer_threads(void **state) {
    (void)state;
    if (on_vulkan()) skip();
    test_problem made = founding_case_b(TILEFOLD_F32, 256);
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    for (int i = 0; i < isa_count; i++) {
        way w = {isas[i], 8, POOL_SEQUENTIAL, TILEFOLD_ALGORITHM_AUTO, true, INT64_MAX};
        planned ideal = must_plan(&made, w, INT64_MAX);
        assert_int_equal(ideal.info.threads, 8);
        int64_t least = ideal.info.min_scratch_bytes, one = least - ideal.info.plan_bytes;
        for (w.limit = least; w.limit < ideal.info.ideal_scratch_bytes; w.limit += w.limit / 8) {
            int64_t room = w.limit - ideal.info.plan_bytes, fed = min_of(8, room / (4 * one));
            int32_t threads = must_plan(&made, w, w.limit).info.threads;
            if (threads < fed) fail_problem(&made, &w, "fewer threads than the limit feeds");
            if (threads > room / one) fail_problem(&made, &w, "more threads than the limit feeds");
        }
    }
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scratch_limits),
        cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_packed_weights_of_the_chosen_plan),
        cmocka_unit_test(test_runs_at_the_edges),
        cmocka_unit_test(test_small_bindings),
        cmocka_unit_test(test_fewer_threads),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, close_all);
}
