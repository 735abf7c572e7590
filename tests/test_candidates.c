/* What the planner never picks: random candidates of random problems, by every row of the table of algorithms and every
 * instruction set, run and compared with the oracle. What loses on every machine that the tests run on would not be run else.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cpu/candidates.h"
#include "runner.h"

enum { PROBLEMS = 6000, MAX_FAILURES = 5, MAX_ROWS = 64, ISAS = TILEFOLD_ISA_NEON + 1 };

/* How often each row ran, by instruction set. */
static int64_t ran[ISAS][MAX_ROWS];
static int64_t ran_merged; /* plans whose parts have the folds of both classes */

static tilefold_plan *plan_candidate(const test_problem *made, const way *w, int64_t number) {
    tilefold_plan_options options = way_options(w);
    tilefold_plan *plan = NULL;
    tilefold_message message;
    tilefold_status status = tilefold_cpu_plan_candidate(get_context(w), &made->problem, &options, number, &plan,
                                                         &message);
    if (status != TILEFOLD_OK) fail_problem(made, w, message.text);
    return plan;
}

/* Executes the plan in exactly the scratch that it asks for. */
static bool run_candidate(tensors *t, const way *w, const tilefold_plan *plan, const void *expected, void *got) {
    tilefold_message message;
    prepared p;
    tilefold_status status = prepare_execution(plan, t, &p, &message);
    if (status == TILEFOLD_OK) status = tilefold_execute(plan, &p.execution, &message);
    bool intact = finish_execution(&p);
    const char *reason = "memory around the scratch or the packed weights was written";
    bool clean = collect_output(t, got, &reason) && intact;
    if (status != TILEFOLD_OK) complain(&t->made, w, message.text);
    if (!clean) complain(&t->made, w, reason);
    return status == TILEFOLD_OK && clean && check_output(t, w, expected, got);
}

/* A candidate keeps to the limits, and the planner takes the cheapest. */
static void check_candidate(const test_problem *made, const way *w, const tilefold_plan *plan, double least_cost) {
    tilefold_plan_info info = get_info(plan);
    if (info.scratch_bytes + info.plan_bytes > w->limit) fail_problem(made, w, "a candidate over the limit");
    if (info.scratch_bytes + info.plan_bytes < info.min_scratch_bytes)
        fail_problem(made, w, "a candidate below the least");
    if (w->max_buffer && (info.scratch_bytes > w->max_buffer || info.packed_weight_bytes > w->max_buffer))
        fail_problem(made, w, "a candidate over the largest buffer");
    if (tilefold_cpu_plan_cost(plan) < least_cost) fail_problem(made, w, "the planner took a dearer one");
}

/* The cost of the planner's own plan, where that is the cheapest candidate: below the ideal, or without a limit. Between, it
 * keeps to the ideal plan. */
static double planner_cost(const test_problem *made, const way *w) {
    bool declined;
    tilefold_plan *plan = make_plan(made, w, &declined);
    if (!plan) fail_problem(made, w, "candidates but no plan");
    double cost = tilefold_cpu_plan_cost(plan);
    bool cheapest = w->limit == INT64_MAX || w->limit < get_info(plan).ideal_scratch_bytes;
    tilefold_plan_destroy(plan);
    return cheapest ? cost : 0;
}

/* A candidate at random, of the row that ran least in a few draws. Half of them are from the end, where the rows are that have
 * few candidates. */
static tilefold_plan *draw_candidate(const test_problem *made, const way *w, int64_t count, rng *r) {
    tilefold_plan *best = NULL;
    for (int draw = 0; draw < 8; draw++) {
        int64_t last = draw % 4 == 1 ? 8 : 2, first = draw % 2 && count > last ? count - last : 0;
        tilefold_plan *plan = plan_candidate(made, w, rng_range(r, first, count - 1));
        bool rarer = best && ran[w->isa][tilefold_cpu_plan_row(plan)] < ran[w->isa][tilefold_cpu_plan_row(best)];
        if (best && !rarer) {
            tilefold_plan_destroy(plan);
            continue;
        }
        tilefold_plan_destroy(best);
        best = plan;
    }
    return best;
}

static way random_way(tilefold_isa isa, rng *r) {
    way w = {.isa = isa,
             .threads = (int32_t)rng_range(r, 1, 4),
             .pool = rng_percent(r, 50) ? POOL_SEQUENTIAL : POOL_REVERSED,
             .algorithm = TILEFOLD_ALGORITHM_AUTO,
             .prepack = rng_percent(r, 60),
             .limit = INT64_MAX};
    return w;
}

/* Some limits at random: mostly tight ones, where sums are cut and rows that want much do without. */
static void pick_limits(const test_problem *made, way *w, rng *r) {
    int64_t least = least_limit(made, w);
    if (least < 0) fail_problem(made, w, "no least");
    if (rng_percent(r, 70)) w->limit = least + rng_range(r, 0, INT64_C(1) << rng_range(r, 6, 18));
    if (rng_percent(r, 20)) w->max_buffer = rng_range(r, 1, INT64_C(1) << rng_range(r, 10, 16));
}

static bool try_problem(const test_problem *made, tilefold_isa isa, rng *r) {
    way w = random_way(isa, r);
    pick_limits(made, &w, r);
    tilefold_plan_options options = way_options(&w);
    int64_t count = tilefold_cpu_count_candidates(get_context(&w), &made->problem, &options);
    if (count == 0) return w.max_buffer > 0; /* too small a buffer; without one there is always a candidate */
    double least_cost = planner_cost(made, &w);
    tensors t = make_tensors(made);
    void *expected = reference_output(&t), *got = malloc(tensors_output_bytes(&t) + 1);
    bool right = expected && got;
    for (int i = 0; right && i < 3; i++) {
        tilefold_plan *plan = draw_candidate(made, &w, count, r);
        check_candidate(made, &w, plan, least_cost);
        right = run_candidate(&t, &w, plan, expected, got);
        if (!right) fprintf(stderr, "by the row '%s'\n", tilefold_cpu_row_name(tilefold_cpu_plan_row(plan)));
        ran[isa][tilefold_cpu_plan_row(plan)]++;
        ran_merged += tilefold_cpu_plan_merged(plan);
        tilefold_plan_destroy(plan);
    }
    free(expected);
    free(got);
    free_tensors(&t);
    return right;
}

static void test_random_candidates(void **state) {
    (void)state;
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas), failures = 0;
    problem_run run = begin_problems(PROBLEMS);
    for (int64_t i = 0; i < run.count && failures < MAX_FAILURES; i++) {
        rng r = rng_make(problem_seed(&run, i), 19);
        test_problem made = make_problem(problem_seed(&run, i), rng_percent(&r, 90) ? 15000 : 200000);
        failures += !try_problem(&made, isas[rng_range(&r, 0, isa_count - 1)], &r);
    }
    assert_int_equal(failures, 0);
}

/* Every row, and where there are enough problems for it on every instruction set. */
static void test_every_row_ran(void **state) {
    (void)state;
    problem_run run = begin_problems(PROBLEMS);
    if (run.single) skip();
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas), rows = tilefold_cpu_rows();
    assert_in_range(rows, 1, MAX_ROWS);
    if (run.count >= 1000) assert_true(ran_merged > run.count / 100);
    for (int row = 0; row < rows; row++) {
        if (tilefold_cpu_row_math(row) != TILEFOLD_MATH_EXACT) continue; /* test_fast */
        int64_t sum = 0;
        for (int i = 0; i < isa_count; i++) {
            int64_t times = ran[isas[i]][row];
            sum += times;
            if (run.count >= 1000 && times < run.count / 100)
                fail_msg("%s on %s ran %" PRId64 " times for %" PRId64 " problems", tilefold_cpu_row_name(row),
                         tilefold_isa_name(isas[i]), times, run.count);
        }
        if (sum < 1 || (run.count >= 1000 && sum <= run.count / 50))
            fail_msg("%s ran %" PRId64 " times for %" PRId64 " problems", tilefold_cpu_row_name(row), sum, run.count);
    }
}

/* Numbers are all there is: one past the last is refused, and below the least there is none. */
static void test_counts(void **state) {
    (void)state;
    problem_run run = begin_problems(200);
    for (int64_t i = 0; i < run.count; i++) {
        rng r = rng_make(problem_seed(&run, i), 20);
        test_problem made = make_problem(problem_seed(&run, i), 15000);
        way w = random_way(best_isa(), &r);
        int64_t least = least_limit(&made, &w);
        w.limit = least + rng_range(&r, 0, 4096);
        tilefold_plan_options options = way_options(&w);
        int64_t count = tilefold_cpu_count_candidates(get_context(&w), &made.problem, &options);
        if (count < 1) fail_problem(&made, &w, "no candidate within a limit that can be planned");
        double cheapest = INFINITY, own = planner_cost(&made, &w);
        for (int64_t number = 0; number < count; number++) {
            tilefold_plan *plan = plan_candidate(&made, &w, number);
            double cost = tilefold_cpu_plan_cost(plan);
            cheapest = cost < cheapest ? cost : cheapest;
            tilefold_plan_destroy(plan);
        }
        if (own > 0 && own != cheapest) fail_problem(&made, &w, "the planner's plan is not the cheapest candidate");
        tilefold_plan *plan = NULL;
        tilefold_status status = tilefold_cpu_plan_candidate(get_context(&w), &made.problem, &options, count, &plan,
                                                             NULL);
        if (status == TILEFOLD_OK) fail_problem(&made, &w, "one candidate too many");
        options.scratch_limit_bytes = least - 1;
        if (tilefold_cpu_count_candidates(get_context(&w), &made.problem, &options) != 0)
            fail_problem(&made, &w, "candidates below the least");
    }
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_candidates),
        cmocka_unit_test(test_every_row_ran),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests_name("candidates", tests, NULL, close_all);
}
