/* One plan in many threads, contexts coming and going, progress and cancelling, and plans run at smaller sizes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "oracle.h"
#include "runner.h"

enum { THREADS = 4, ROUNDS = 3 };

/* cmocka's assertions belong to its own thread: others say on standard error what is wrong, and count it. */
static atomic_int failures;

static void start_threads(void *(*run)(void *), void *arguments, size_t size) {
    pthread_t threads[THREADS];
    atomic_store(&failures, 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, (char *)arguments + i * size), 0);
    }
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
}

/* Executes a plan and compares; false, said on standard error, where the output is not what it must be. */
static bool execute_and_compare(const tilefold_plan *plan, const way *w, tensors *t, const void *expected) {
    prepared p;
    tilefold_message message = {""};
    tilefold_status status = prepare_execution(plan, t, &p, &message);
    if (status == TILEFOLD_OK) status = tilefold_execute(plan, &p.execution, &message);
    if (status != TILEFOLD_OK) fprintf(stderr, "%s\n", message.text);
    bool intact = finish_execution(&p);
    void *got = malloc(tensors_output_bytes(t) + 1);
    const char *reason;
    bool right = collect_output(t, got, &reason) && check_output(t, w, expected, got);
    free(got);
    return status == TILEFOLD_OK && intact && right;
}

/* -------------------------------------------------------------------------------------------------- at one time ---- */

typedef struct sharer {
    const tilefold_plan *plan;
    const way *way;
    tensors tensors;
    const void *expected;
} sharer;

static void *share_plan(void *argument) {
    sharer *s = argument;
    for (int round = 0; round < ROUNDS; round++) {
        if (!execute_and_compare(s->plan, s->way, &s->tensors, s->expected)) atomic_fetch_add(&failures, 1);
    }
    return NULL;
}

/* Several threads execute one plan at once, each with scratch and an output of its own. */
static void share_one(const test_problem *made, const way *w) {
    bool declined;
    tilefold_plan *plan = make_plan(made, w, &declined);
    if (!plan) fail_problem(made, w, "no plan");
    sharer sharers[THREADS];
    for (int i = 0; i < THREADS; i++) sharers[i] = (sharer){plan, w, make_tensors(made), NULL};
    void *expected = expected_output(&sharers[0].tensors);
    for (int i = 0; i < THREADS; i++) sharers[i].expected = expected;
    start_threads(share_plan, sharers, sizeof *sharers);
    for (int i = 0; i < THREADS; i++) free_tensors(&sharers[i].tensors);
    free(expected);
    tilefold_plan_destroy(plan);
}

static void test_one_plan_in_many_threads(void **state) {
    (void)state;
    const pool pools[] = {POOL_LIBRARY, POOL_SEQUENTIAL, POOL_THREADS};
    for (int index = 0; index < listed_problems(); index += list_step()) {
        test_problem made = listed_problem(index, (tilefold_type)(1 + index % 3), TILEFOLD_F32);
        way w = {best_isa(),       1 + index % 3,
                 pools[index % 3], TILEFOLD_ALGORITHM_AUTO,
                 index & 1,        INT64_C(1) << (16 + index % 5)};
        share_one(&made, &w);
    }
}

/* A thread's own context, from creation to destruction, several times over. */
static void *live_and_die(void *argument) {
    sharer *s = argument;
    for (int round = 0; round < ROUNDS; round++) {
        tilefold_context_options options;
        tilefold_context_options_init(&options);
        options.threads = 1 + round;
        tilefold_context *context;
        tilefold_plan *plan;
        tilefold_plan_options plan_options = way_options(s->way);
        if (tilefold_context_create(&options, &context, NULL) != TILEFOLD_OK) {
            atomic_fetch_add(&failures, 1);
            return NULL;
        }
        if (tilefold_plan_create(context, &s->tensors.made.problem, &plan_options, &plan, NULL) != TILEFOLD_OK ||
            !execute_and_compare(plan, s->way, &s->tensors, s->expected)) {
            atomic_fetch_add(&failures, 1);
        }
        tilefold_plan_destroy(plan);
        tilefold_context_destroy(context);
    }
    return NULL;
}

static void test_contexts_come_and_go(void **state) {
    (void)state;
    way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
    sharer sharers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        test_problem made = listed_problem(i * 5, TILEFOLD_F32, TILEFOLD_F32);
        sharers[i] = (sharer){NULL, &w, make_tensors(&made), NULL};
        sharers[i].expected = expected_output(&sharers[i].tensors);
    }
    start_threads(live_and_die, sharers, sizeof *sharers);
    for (int i = 0; i < THREADS; i++) {
        free((void *)sharers[i].expected);
        free_tensors(&sharers[i].tensors);
    }
}

/* ----------------------------------------------------------------------------------------------------- progress ---- */

typedef struct watcher {
    atomic_bool inside; /* the callback is running */
    bool overlapped, out_of_order;
    int64_t calls, total, stop_at;
} watcher;

static bool watch(void *user, int64_t done, int64_t total) {
    watcher *w = user;
    if (atomic_exchange(&w->inside, true)) w->overlapped = true;
    w->calls++;
    w->out_of_order = w->out_of_order || done != w->calls || (w->total && w->total != total);
    w->total = total;
    atomic_store(&w->inside, false);
    return done != w->stop_at;
}

/* Runs with a watcher that cancels at a tile (0: never), and looks at what it saw. */
static void watch_run(const test_problem *made, const way *w, int64_t stop_at, tensors *t, const void *expected) {
    bool declined;
    tilefold_plan *plan = make_plan(made, w, &declined);
    if (!plan) fail_problem(made, w, "no plan");
    prepared p;
    tilefold_message message = {""};
    watcher seen = {.stop_at = stop_at};
    assert_int_equal(prepare_execution(plan, t, &p, &message), TILEFOLD_OK);
    p.execution.progress = watch;
    p.execution.progress_user = &seen;
    tilefold_status status = tilefold_execute(plan, &p.execution, &message);
    int64_t tiles = get_info(plan).tiles, calls = stop_at && stop_at < tiles ? stop_at : tiles;
    if (status != (stop_at && stop_at <= tiles ? TILEFOLD_CANCELLED : TILEFOLD_OK)) fail_problem(made, w, message.text);
    if (seen.overlapped || seen.out_of_order) fail_problem(made, w, "progress overlapped or out of order");
    if (seen.calls != calls || seen.total != tiles) fail_problem(made, w, "progress was not called once for each tile");
    if (!finish_execution(&p)) fail_problem(made, w, "memory around the scratch was written");
    void *got = malloc(tensors_output_bytes(t) + 1);
    const char *reason;
    if (!collect_output(t, got, &reason)) fail_problem(made, w, reason);
    if (status == TILEFOLD_OK && !check_output(t, w, expected, got)) fail();
    free(got);
    tilefold_plan_destroy(plan);
}

static void test_progress(void **state) {
    (void)state;
    const pool pools[] = {POOL_LIBRARY, POOL_REVERSED, POOL_THREADS};
    for (int index = 0; index < listed_problems(); index += list_step()) {
        test_problem made = listed_problem(index, TILEFOLD_F32, TILEFOLD_F32);
        way w = {best_isa(), 1 + index % 4, pools[index % 3], TILEFOLD_ALGORITHM_AUTO, true, 16384};
        tensors t = make_tensors(&made);
        void *expected = expected_output(&t);
        for (int64_t stop_at = 0; stop_at <= 3; stop_at++) watch_run(&made, &w, stop_at, &t, expected);
        free(expected);
        free_tensors(&t);
    }
}

/* ------------------------------------------------------------------------------------------------------ resized ---- */

/* A smaller problem by a plan for a larger one. The status is the execution's; whatever it is, nothing but outputs may have
 * been written, and where it is OK they must be right: else *right is false, and standard error says why. */
static tilefold_status run_resized(const tilefold_plan *plan, const way *w, const test_problem *smaller, bool *right) {
    tensors t = make_tensors(smaller);
    void *expected = expected_output(&t), *got = malloc(tensors_output_bytes(&t) + 1);
    prepared p;
    tilefold_message message = {""};
    tilefold_status status = prepare_execution(plan, &t, &p, &message);
    assert_int_equal(status, TILEFOLD_OK);
    status = tilefold_execute_resized(plan, &smaller->problem, &p.execution, &message);
    const char *reason = "memory around the scratch was written";
    bool intact = finish_execution(&p), clean = collect_output(&t, got, &reason);
    if (!intact || !clean) complain(smaller, w, reason);
    *right = intact && clean && (status != TILEFOLD_OK || check_output(&t, w, expected, got));
    free(expected);
    free(got);
    free_tensors(&t);
    return status;
}

static void try_smaller(const test_problem *bound, const way *w, rng *r) {
    bool declined;
    tilefold_plan *plan = make_plan(bound, w, &declined);
    if (!plan && declined) return;
    if (!plan) fail_problem(bound, w, "no plan");
    for (int i = 0; i < 4; i++) {
        test_problem smaller = *bound;
        shrink_randomly(&smaller.problem, r);
        if (!has_outputs(&smaller.problem)) continue;
        bool right;
        tilefold_status status = run_resized(plan, w, &smaller, &right);
        if (status != TILEFOLD_OK || !right) fail_problem(bound, w, "a smaller problem with the strides of this one");
    }
    tilefold_plan_destroy(plan);
}

static void test_resized(void **state) {
    (void)state;
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    problem_run run = begin_problems(1500);
    for (int64_t i = 0; i < run.count; i++) {
        test_problem bound = make_problem(problem_seed(&run, i), 30000);
        rng r = rng_make(bound.seed, 17);
        way w = {isas[rng_range(&r, 0, isa_count - 1)],   (int32_t)rng_range(&r, 1, 3), POOL_SEQUENTIAL,
                 (tilefold_algorithm)rng_range(&r, 0, 3), rng_percent(&r, 50),          INT64_MAX};
        int64_t least = least_limit(&bound, &w);
        if (least == LEAST_DECLINED) continue;
        if (rng_percent(&r, 70)) w.limit = least + rng_range(&r, 0, INT64_C(1) << rng_range(&r, 0, 18));
        try_smaller(&bound, &w, &r);
    }
}

/* Dense tensors of the smaller size, in the plan's layout or another: refused where channels that were side by side are
 * no longer. */
static void try_layouts(const test_problem *planned, tilefold_layout layout, const way *w) {
    test_problem smaller = *planned;
    tilefold_problem *p = &smaller.problem;
    rng r = rng_make(planned->seed, 18);
    shrink_randomly(p, &r);
    if (!has_outputs(p)) return;
    assert_int_equal(tilefold_problem_set_layout(p, layout, NULL), TILEFOLD_OK);
    p->weight_stride = planned->problem.weight_stride;
    const tilefold_tensor_strides *had = &planned->problem.input_stride, *has = &p->input_stride;
    bool apart = (p->in_channels > p->groups && had->channel == 1 && has->channel != 1) ||
                 (p->groups > 1 && had->group == 1 && has->group != 1);
    bool declined, right;
    tilefold_plan *plan = make_plan(planned, w, &declined);
    assert_non_null(plan);
    tilefold_status status = run_resized(plan, w, &smaller, &right);
    tilefold_plan_destroy(plan);
    if (status != (apart ? TILEFOLD_INVALID_ARGUMENT : TILEFOLD_OK) || !right) {
        complain(&smaller, w, tilefold_status_name(status));
        fail_problem(planned, w, "was planned, and that was run");
    }
}

static void test_resized_layouts(void **state) {
    (void)state;
    for (int index = 0; index < listed_problems(); index += list_step()) {
        for (int layouts = 0; layouts < 4; layouts++) {
            test_problem planned = listed_problem(index, (tilefold_type)(1 + (index + layouts) % 3), TILEFOLD_F32);
            way w = {best_isa(), 2, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, layouts & 1, 65536};
            assert_int_equal(tilefold_problem_set_layout(&planned.problem, (tilefold_layout)(layouts & 1), NULL),
                             TILEFOLD_OK);
            try_layouts(&planned, (tilefold_layout)(layouts >> 1), &w);
        }
    }
}

/* Changes one thing that a plan is made for; false where there is none of that number. */
static bool differ(tilefold_problem *p, int number) {
    int64_t *fields[] = {&p->batch, &p->groups, &p->weight_stride.group, &p->weight_stride.out_channel,
                         &p->weight_stride.in_channel};
    int64_t *axes[] = {p->input_size,     p->kernel,        p->stride,      p->dilation,
                       p->input_dilation, p->padding_begin, p->padding_end, p->weight_stride.spatial,
                       p->output_padding};
    enum { FIELDS = sizeof fields / sizeof *fields, AXES = 2 * sizeof axes / sizeof *axes };
    if (number < FIELDS) return ++*fields[number], true;
    number -= FIELDS;
    if (number < AXES) return ++axes[number / 2][number % 2], true;
    switch (number - AXES) {
    case 0: p->in_channels += p->groups; return true;
    case 1: p->in_channels -= p->groups; return true;
    case 2: p->out_channels -= p->groups; return true;
    case 3: p->groups = 1; return true;
    case 4: p->type = TILEFOLD_BF16; return true;
    case 5: p->bias_type = TILEFOLD_NONE; return true;
    case 6: p->flip = !p->flip; return true;
    case 7: p->clamp_low = 0; return true;
    case 8: p->clamp_high = 1; return true;
    case 9: p->rank = 1; return true;
    case 10: p->op = TILEFOLD_CONV_TRANSPOSE; return true;
    case 11: p->struct_size = 0; return true;
    default: return false;
    }
}

/* Growth and every other difference is refused, and nothing is written. */
static void test_resized_refusals(void **state) {
    (void)state;
    test_problem bound = named_problem("input-dilated", TILEFOLD_F16, TILEFOLD_F32), other = bound;
    way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
    bool declined;
    tilefold_plan *plan = make_plan(&bound, &w, &declined);
    tensors t = make_tensors(&bound);
    prepared p;
    tilefold_message message;
    assert_int_equal(prepare_execution(plan, &t, &p, &message), TILEFOLD_OK);
    int number = 0;
    for (; differ(&other.problem, number); number++, other = bound) {
        message.text[0] = 0;
        tilefold_status status = tilefold_execute_resized(plan, &other.problem, &p.execution, &message);
        if (status != TILEFOLD_INVALID_ARGUMENT || !message.text[0]) fail_msg("difference %d was not refused", number);
    }
    assert_true(number > 20);
    assert_true(finish_execution(&p));
    assert_true(holds_pattern(&t.output));
    free_tensors(&t);
    tilefold_plan_destroy(plan);
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_plan_in_many_threads),
        cmocka_unit_test(test_contexts_come_and_go),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_resized),
        cmocka_unit_test(test_resized_layouts),
        cmocka_unit_test(test_resized_refusals),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, close_all);
}
