/* One plan in many threads, contexts coming and going, threads that start late or not at all, and plans run at smaller sizes.
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
#include <sys/resource.h>

#include <cmocka.h>

#include "counting.h"
#include "oracle.h"
#include "process.h"
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
    void *expected = reference_output(&sharers[0].tensors);
    assert_non_null(expected);
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
        if (on_vulkan()) options.device = TILEFOLD_VULKAN;
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
        sharers[i].expected = reference_output(&sharers[i].tensors);
        assert_non_null(sharers[i].expected);
    }
    start_threads(live_and_die, sharers, sizeof *sharers);
    for (int i = 0; i < THREADS; i++) {
        free((void *)sharers[i].expected);
        free_tensors(&sharers[i].tensors);
    }
}

/* ------------------------------------------------------------------------------------------------------ threads ---- */

static tilefold_context *open_with(int32_t threads) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.threads = threads;
    tilefold_context *context;
    return tilefold_context_create(&options, &context, NULL) == TILEFOLD_OK ? context : NULL;
}

static tilefold_plan *plan_large(tilefold_context *context) {
    test_problem made = founding_case_b(TILEFOLD_F32, 512);
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    tilefold_plan *plan;
    return tilefold_plan_create(context, &made.problem, &options, &plan, NULL) == TILEFOLD_OK ? plan : NULL;
}

/* All cores unless told otherwise. */
static void test_default_threads(void **state) {
    (void)state;
    tilefold_device_info device = {.struct_size = sizeof device};
    assert_int_equal(tilefold_get_device_info(0, &device, NULL), TILEFOLD_OK);
    tilefold_context *context = open_with(0);
    tilefold_plan *plan = plan_large(context);
    assert_true(device.threads >= 1);
    assert_int_equal(get_info(plan).threads > 1, device.threads > 1);
    assert_true(get_info(plan).threads <= device.threads);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
}

/* Neither a context nor a plan starts any. */
static void test_planning_starts_no_thread(void **state) {
    (void)state;
    int64_t before = process_threads();
    if (before < 0) skip();
    tilefold_context *context = open_with(TILEFOLD_MAX_THREADS);
    tilefold_plan *plan = plan_large(context);
    assert_non_null(plan);
    assert_true(process_threads() <= before); /* fewer where one of an earlier test was about to go */
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
}

enum { NO_LIMIT = 2 };

/* In a child: 0 where a run by 64 threads is right though the system has room for some of them only. */
static int execute_cramped(void *argument) {
    const sharer *s = argument;
    rlim_t bytes = (rlim_t)(process_address_space_bytes() + (8 << 20));
    if (setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes}) != 0) return NO_LIMIT;
    tilefold_context *context = open_with(64);
    tilefold_plan_options options = way_options(s->way);
    tilefold_plan *plan;
    sharer own = *s;
    if (!context || tilefold_plan_create(context, &s->tensors.made.problem, &options, &plan, NULL) != TILEFOLD_OK)
        return 1;
    bool right = execute_and_compare(plan, s->way, &own.tensors, s->expected);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
    return !right;
}

static void test_threads_that_cannot_start(void **state) {
    (void)state;
    if (!heap_is_watched() || on_vulkan()) skip(); /* a sanitizer needs the address space for itself */
    if (process_threads() < 0) skip();
    test_problem made = many_tiles_problem();
    way w = many_tiles_way(64, POOL_LIBRARY);
    w.limit = INT64_C(1) << 20;
    sharer s = {NULL, &w, make_tensors(&made), NULL};
    s.expected = expected_output(&s.tensors);
    int exit_status = run_in_child(execute_cramped, &s);
    free((void *)s.expected);
    free_tensors(&s.tensors);
    if (exit_status == NO_LIMIT) skip();
    assert_int_equal(exit_status, 0);
}

/* The child of a fork goes on with a context, threads and all. */
static int execute_in_child(void *argument) {
    sharer *s = argument;
    return !execute_and_compare(s->plan, s->way, &s->tensors, s->expected);
}

static void test_fork(void **state) {
    (void)state;
    if (!children_may_start_threads() || on_vulkan()) skip(); /* drivers end at a fork */
    test_problem made = many_tiles_problem();
    way w = many_tiles_way(3, POOL_LIBRARY);
    bool declined;
    sharer s = {make_plan(&made, &w, &declined), &w, make_tensors(&made), NULL};
    s.expected = expected_output(&s.tensors);
    assert_true(execute_and_compare(s.plan, &w, &s.tensors, s.expected));
    assert_int_equal(run_in_child(execute_in_child, &s), 0);
    assert_true(execute_and_compare(s.plan, &w, &s.tensors, s.expected));
    tilefold_plan_destroy((tilefold_plan *)s.plan);
    free((void *)s.expected);
    free_tensors(&s.tensors);
}

/* ------------------------------------------------------------------------------------------------------ resized ---- */

/* A smaller problem by a plan for a larger one. The status is the execution's; whatever it is, nothing but outputs may have
 * been written, and where it is OK they must be right: else *right is false, and standard error says why. */
static tilefold_status run_resized(const tilefold_plan *plan, const way *w, const test_problem *smaller, bool *right) {
    tensors t = make_tensors(smaller);
    void *expected = reference_output(&t), *got = malloc(tensors_output_bytes(&t) + 1);
    assert_non_null(expected);
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
                       p->input_dilation, p->padding_begin, p->padding_end, p->weight_stride.spatial};
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
    case 10: p->op = p->op == TILEFOLD_CONV ? TILEFOLD_CONV_TRANSPOSE : TILEFOLD_CONV; return true;
    case 11: p->struct_size = 0; return true;
    case 12: p->output_padding[0] = !p->output_padding[0]; return true;
    case 13: p->output_padding[1] = !p->output_padding[1]; return true;
    default: return false;
    }
}

/* Growth and every other difference is refused, and nothing is written. */
static void check_refusals(const char *name) {
    test_problem bound = named_problem(name, TILEFOLD_F16, TILEFOLD_F32), other;
    if (bound.problem.op == TILEFOLD_CONV_TRANSPOSE) { /* so that one without is no larger */
        bound.problem.output_padding[0] = bound.problem.output_padding[1] = 1;
        assert_int_equal(tilefold_problem_set_layout(&bound.problem, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    }
    other = bound;
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

/* A transposed one too, whose output_padding may be another. */
static void test_resized_refusals(void **state) {
    (void)state;
    check_refusals("input-dilated");
    check_refusals("transposed in groups");
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
        cmocka_unit_test(test_default_threads),
        cmocka_unit_test(test_planning_starts_no_thread),
        cmocka_unit_test(test_threads_that_cannot_start),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_resized),
        cmocka_unit_test(test_resized_layouts),
        cmocka_unit_test(test_resized_refusals),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, close_all);
}
