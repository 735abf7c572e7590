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

#include "runner.h"

/* A plan's figures and its own words. */
typedef struct planned {
    tilefold_plan_info info;
    char text[4096];
} planned;

/* Plans, and checks the figures by themselves. What it returns other than OK is for the caller to judge. */
static tilefold_status try_plan(const test_problem *made, const way *w, planned *p, tilefold_message *message) {
    tilefold_plan_options options = way_options(w);
    tilefold_plan *plan = NULL;
    *message = (tilefold_message){""};
    tilefold_status status = tilefold_plan_create(get_context(w), &made->problem, &options, &plan, message);
    if (status != TILEFOLD_OK) {
        if (plan || !message->text[0]) fail_problem(made, w, "no message, or an out-parameter written");
        return status;
    }
    p->info = get_info(plan);
    tilefold_plan_print(plan, p->text, sizeof p->text);
    tilefold_plan_destroy(plan);
    if (!check_plan_info(made, w, &p->info)) fail_problem(made, w, "wrong figures");
    return status;
}

static planned must_plan(const test_problem *made, way w, int64_t limit) {
    planned p;
    tilefold_message message;
    w.limit = limit;
    if (try_plan(made, &w, &p, &message) != TILEFOLD_OK) fail_problem(made, &w, message.text);
    return p;
}

static int64_t used_bytes(const planned *p) { return p->info.scratch_bytes + p->info.plan_bytes; }

/* Whether two plans are one choice: the same figures but for the limit, and the same words but for the line that names it. */
static bool same_plan(planned a, planned b) {
    a.info.scratch_limit_bytes = b.info.scratch_limit_bytes = 0;
    const char *rest_a = strstr(a.text, "  weights"), *rest_b = strstr(b.text, "  weights");
    if (!rest_a || !rest_b) return false;
    return memcmp(&a.info, &b.info, sizeof a.info) == 0 && strcmp(rest_a, rest_b) == 0;
}

/* Planning at this limit fails, and says how many bytes it would take. */
static void check_too_small(const test_problem *made, way w, int64_t limit, int64_t least) {
    if (limit < 0) return;
    w.limit = limit;
    planned p;
    tilefold_message message;
    char bytes[32];
    snprintf(bytes, sizeof bytes, "%" PRId64, least);
    if (try_plan(made, &w, &p, &message) != TILEFOLD_LIMIT_TOO_SMALL) fail_problem(made, &w, "planned below the least");
    if (!strstr(message.text, bytes)) fail_problem(made, &w, message.text);
}

/* Any limit from the least up: planned, within it, with the same least and ideal; from the ideal up the unlimited plan. */
static planned check_limit(const test_problem *made, way w, int64_t limit, const planned *unlimited) {
    planned p = must_plan(made, w, limit);
    w.limit = limit;
    int64_t ideal = unlimited->info.ideal_scratch_bytes;
    if (p.info.min_scratch_bytes != unlimited->info.min_scratch_bytes)
        fail_problem(made, &w, "the least depends on the limit");
    if (p.info.ideal_scratch_bytes != ideal) fail_problem(made, &w, "the ideal depends on the limit");
    if (limit >= ideal && !same_plan(p, *unlimited)) fail_problem(made, &w, "another plan than the unlimited one");
    return p;
}

/* Everything about the scratch limit, under the way's largest buffer. */
static void check_scratch_limits(const test_problem *made, const way *w, const planned *unlimited, rng *r) {
    int64_t least = unlimited->info.min_scratch_bytes, ideal = unlimited->info.ideal_scratch_bytes;
    if (used_bytes(unlimited) != ideal) fail_problem(made, w, "the ideal is not what is used");
    if (least > ideal) fail_problem(made, w, "the least is above the ideal");
    check_too_small(made, *w, least - 1, least);
    check_too_small(made, *w, rng_range(r, 0, least - 1), least);
    check_limit(made, *w, least, unlimited);
    check_limit(made, *w, ideal, unlimited);
    check_limit(made, *w, ideal + rng_range(r, 1, INT64_C(1) << rng_range(r, 0, 40)), unlimited);
    if (ideal > least) check_limit(made, *w, ideal - 1, unlimited);
    planned between = check_limit(made, *w, rng_range(r, least, ideal), unlimited);
    planned again = check_limit(made, *w, used_bytes(&between),
                                unlimited); /* what a plan used is a limit that will do */
    check_limit(made, *w, used_bytes(&again), unlimited);
    check_limit(made, *w, least + rng_range(r, 0, INT64_C(1) << rng_range(r, 0, 20)), unlimited);
}

static bool can_plan(const test_problem *made, const way *w, planned *unlimited) {
    way any = *w;
    any.limit = INT64_MAX;
    tilefold_message message;
    tilefold_status status = try_plan(made, &any, unlimited, &message);
    if (status == TILEFOLD_OK) return true;
    bool declined = status == TILEFOLD_UNSUPPORTED && w->algorithm != TILEFOLD_ALGORITHM_AUTO;
    if (!declined) fail_problem(made, &any, message.text);
    return false;
}

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

/* Buffers of at most so many bytes were refused: with as many as the message asks for it can be planned, with one less not. */
static void check_refused_buffer(const test_problem *made, way w, const tilefold_message *message) {
    long long limit, needed;
    if (on_vulkan()) return; /* where other things than the scratch may be what is too large */
    if (sscanf(message->text, "the buffer limit of %lld bytes is below the %lld bytes", &limit, &needed) != 2)
        fail_problem(made, &w, message->text);
    if (limit != w.max_buffer || needed <= limit) fail_problem(made, &w, message->text);
    tilefold_message other;
    planned p;
    w.max_buffer = needed;
    if (try_plan(made, &w, &p, &other) != TILEFOLD_OK) fail_problem(made, &w, other.text);
    if (p.info.scratch_bytes > needed) fail_problem(made, &w, "the scratch is over the buffer");
    w.max_buffer = needed - 1;
    if (try_plan(made, &w, &p, &other) != TILEFOLD_LIMIT_TOO_SMALL)
        fail_problem(made, &w, "planned below what it needs");
}

/* Plans with this largest buffer; false where that is refused. */
static bool check_buffer(const test_problem *made, way w, int64_t most, const planned *unlimited, rng *r,
                         planned *bounded) {
    if (most < 1) return false;
    w.max_buffer = most;
    tilefold_message message;
    tilefold_status status = try_plan(made, &w, bounded, &message);
    if (status == TILEFOLD_LIMIT_TOO_SMALL) check_refused_buffer(made, w, &message);
    if (status == TILEFOLD_LIMIT_TOO_SMALL || (status == TILEFOLD_UNSUPPORTED && on_vulkan())) return false;
    if (status != TILEFOLD_OK) fail_problem(made, &w, message.text);
    bool ample = most >= unlimited->info.scratch_bytes && most >= unlimited->info.packed_weight_bytes;
    planned same = *unlimited; /* but for the least: that may be another plan's, whose packed weights are larger */
    same.info.min_scratch_bytes = bounded->info.min_scratch_bytes;
    if (ample && !on_vulkan() && !same_plan(*bounded, same))
        fail_problem(made, &w, "buffers large enough change the plan");
    check_scratch_limits(made, &w, bounded, r);
    return true;
}

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
        cmocka_unit_test(test_fewer_threads),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, close_all);
}
