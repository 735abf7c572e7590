/* Whatever floating-point environment the caller, or a thread of its pool, has set: the same bits, and it is given back as it was.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE /* feenableexcept */

#include <fenv.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "oracle.h"
#include "runner.h"

/* -------------------------------------------------------------------------------------------------- environments ---- */

#if defined(__x86_64__)
static uint64_t control_register(void) { return _mm_getcsr(); }
static void flush_subnormals(void) { _mm_setcsr(_mm_getcsr() | 0x8040); }
#elif defined(__aarch64__)
static uint64_t control_register(void) {
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
}
static void flush_subnormals(void) { /* and default NaNs */
    __asm__ volatile("msr fpcr, %0" : : "r"(control_register() | 3u << 24 | 1u << 19));
}
#else
static uint64_t control_register(void) { return 0; }
static void flush_subnormals(void) {}
#endif

static void change_nothing(void) {}
static void round_up(void) { fesetround(FE_UPWARD); }
static void round_down(void) { fesetround(FE_DOWNWARD); }
static void round_to_zero(void) { fesetround(FE_TOWARDZERO); }
static void raise_two(void) { feraiseexcept(FE_DIVBYZERO | FE_UNDERFLOW); }

/* Traps, where there are any: every exception ends the program. */
static void trap_all(void) {
#if defined(__GLIBC__)
    feenableexcept(FE_ALL_EXCEPT);
#endif
}

static void flush_and_round_up(void) {
    round_up();
    raise_two();
    flush_subnormals();
}

static void (*const environments[])(void) = {change_nothing, round_up,         round_down, round_to_zero,
                                             raise_two,      flush_subnormals, trap_all,   flush_and_round_up};
enum { ENVIRONMENTS = sizeof environments / sizeof *environments };

typedef struct environment {
    int rounding, flags;
    uint64_t control;
} environment;

static environment current_environment(void) {
    return (environment){fegetround(), fetestexcept(FE_ALL_EXCEPT), control_register()};
}

static bool same_environment(environment a, environment b) {
    return a.rounding == b.rounding && a.flags == b.flags && a.control == b.control;
}

/* ------------------------------------------------------------------------------------- a pool with environments ---- */

/* A thread for each index, each with an environment of its own. */

typedef struct odd_task {
    void (*task)(void *argument, size_t index);
    void *argument;
    size_t index;
    bool disturbed;
} odd_task;

static void *run_odd_task(void *pointer) {
    odd_task *one = pointer;
    fenv_t default_environment;
    fegetenv(&default_environment);
    environments[1 + one->index % (ENVIRONMENTS - 1)]();
    environment before = current_environment();
    one->task(one->argument, one->index);
    environment after = current_environment();
    fesetenv(&default_environment);
    one->disturbed = !same_environment(before, after);
    return NULL;
}

enum { MAX_TASKS = 8 };
static atomic_bool disturbed;

static void run_oddly(void *user, void (*task)(void *argument, size_t index), void *argument, size_t count) {
    (void)user;
    pthread_t threads[MAX_TASKS];
    odd_task tasks[MAX_TASKS];
    if (count > MAX_TASKS) abort();
    for (size_t i = 0; i < count; i++) {
        tasks[i] = (odd_task){task, argument, i, false};
        if (pthread_create(&threads[i], NULL, run_odd_task, &tasks[i]) != 0) abort();
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        if (tasks[i].disturbed) atomic_store(&disturbed, true);
    }
}

/* --------------------------------------------------------------------------------------------------------- tests ---- */

typedef struct one_run {
    tilefold_context *context;
    tensors *tensors;
    const void *expected;
    way way;
    void *packed, *scratch; /* large enough for any plan here */
} one_run;

enum { MEMORY_BYTES = 8 << 20 };

/* What is done in the environment: no arithmetic of the test's own. */
static tilefold_status plan_and_execute(const one_run *run, tilefold_message *message) {
    tilefold_plan_options options = way_options(&run->way);
    tilefold_plan *plan;
    const tensors *t = run->tensors;
    tilefold_status status = tilefold_plan_create(run->context, &t->made.problem, &options, &plan, message);
    if (status) return status;
    tilefold_plan_info info = get_info(plan);
    if (info.scratch_bytes > MEMORY_BYTES || info.packed_weight_bytes > MEMORY_BYTES) abort();
    if (info.packed_weight_bytes > 0)
        status = tilefold_pack_weight(plan, tensors_weight(t), 0, run->packed, MEMORY_BYTES, message);
    tilefold_execution e;
    tilefold_execution_init(&e);
    e.input = tensors_input(t);
    e.weight = tensors_weight(t);
    e.packed_weight = info.packed_weight_bytes > 0 ? run->packed : NULL;
    e.bias = tensors_bias(t);
    e.output = tensors_output(t);
    e.scratch = run->scratch;
    e.scratch_bytes = MEMORY_BYTES;
    if (!status) status = tilefold_execute(plan, &e, message);
    tilefold_plan_destroy(plan);
    return status;
}

static void check_in_environment(const one_run *run, int number) {
    const test_problem *made = &run->tensors->made;
    tilefold_message message = {""};
    fenv_t default_environment;
    fegetenv(&default_environment);
    environments[number]();
    environment before = current_environment();
    tilefold_status status = plan_and_execute(run, &message);
    environment after = current_environment();
    fesetenv(&default_environment);
    if (status) fail_problem(made, &run->way, message.text);
    bool same = same_environment(before, after);
    if (!same) {
        fprintf(stderr, "environment %d: rounding %x, flags %x, control %llx became %x, %x, %llx\n", number,
                before.rounding, before.flags, (unsigned long long)before.control, after.rounding, after.flags,
                (unsigned long long)after.control);
        fail_problem(made, &run->way, "the environment is not given back");
    }
    void *got = malloc(tensors_output_bytes(run->tensors) + 1);
    const char *reason;
    if (!collect_output(run->tensors, got, &reason)) fail_problem(made, &run->way, reason);
    if (!check_output(run->tensors, &run->way, run->expected, got)) fail_msg("in environment %d", number);
    free(got);
}

static tilefold_context *open_context(const way *w, bool oddly) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.isa = w->isa;
    options.threads = w->threads;
    if (oddly) options.parallel_for = (tilefold_parallel_for){run_oddly, NULL, w->threads};
    tilefold_context *context;
    assert_int_equal(tilefold_context_create(&options, &context, NULL), TILEFOLD_OK);
    return context;
}

/* In every environment: by a context whose threads have started before, by one whose threads start there, and by threads with
 * environments of their own. */
static void check_in_all(one_run *run) {
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        run->way.threads = threads;
        tilefold_context *old = open_context(&run->way, false), *odd = open_context(&run->way, true);
        for (int number = 0; number < ENVIRONMENTS; number++) {
            tilefold_context *fresh = open_context(&run->way, false), *all[] = {old, fresh, odd};
            for (int i = 0; i < 3; i++) {
                run->context = all[i];
                check_in_environment(run, number);
            }
            tilefold_context_destroy(fresh);
        }
        tilefold_context_destroy(old);
        tilefold_context_destroy(odd);
    }
    assert_false(atomic_load(&disturbed));
}

/* Large enough to be shared between threads; with subnormal products, or sums that are rounded. */
static test_problem shared_problem(int kind, tilefold_type type, test_data data) {
    test_problem made = {.name = "shared", .seed = 5, .data = data};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, kind == 2 ? TILEFOLD_CONV_TRANSPOSE : TILEFOLD_CONV, type, 2);
    p->bias_type = type;
    p->groups = kind == 1 ? 24 : 1; /* depthwise, or not */
    p->in_channels = 24;
    p->out_channels = 24;
    for (int axis = 0; axis < 2; axis++) {
        p->input_size[axis] = 40;
        p->kernel[axis] = 3;
        p->stride[axis] = kind == 2 ? 2 : 1;
        p->padding_begin[axis] = p->padding_end[axis] = 1;
    }
    tilefold_layout layout = kind & 1 ? TILEFOLD_CHANNELS_LAST : TILEFOLD_CHANNELS_FIRST;
    assert_int_equal(tilefold_problem_set_layout(p, layout, NULL), TILEFOLD_OK);
    return made;
}

static void test_same_bits_in_any_environment(void **state) {
    (void)state;
    const test_data kinds_of_data[] = {DATA_UNIT, DATA_TINY, DATA_SPECIAL};
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    one_run run = {.packed = aligned_alloc(64, MEMORY_BYTES), .scratch = aligned_alloc(64, MEMORY_BYTES)};
    for (int i = 0; i < 27; i += list_step()) {
        test_problem made = shared_problem(i % 3, (tilefold_type)(1 + i / 3 % 3), kinds_of_data[i / 9]);
        tensors t = make_tensors(&made);
        void *expected = expected_output(&t);
        run.tensors = &t;
        run.expected = expected;
        run.way = (way){.isa = isas[(i + i / 3) % isa_count], .prepack = i & 1, .limit = INT64_C(1) << 20};
        check_in_all(&run);
        free(expected);
        free_tensors(&t);
    }
    free(run.packed);
    free(run.scratch);
}

/* Packing converts fp16 and bf16: a signalling NaN, which raises an exception, and subnormal numbers. */
static void test_packing_in_any_environment(void **state) {
    (void)state;
    static const uint16_t values[] = {0x7d01, 0x0001, 0x3c01, 0x7f81}; /* of either type */
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    for (int i = 0; i < 2 * isa_count; i++) {
        test_problem made = shared_problem(0, i & 1 ? TILEFOLD_F16 : TILEFOLD_BF16, DATA_UNIT);
        way w = {isas[i / 2], 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
        bool declined;
        tilefold_plan *plan = make_plan(&made, &w, &declined);
        size_t bytes = (size_t)get_info(plan).packed_weight_bytes;
        void *expected = aligned_alloc(64, (bytes + 63) / 64 * 64), *packed = aligned_alloc(64, (bytes + 63) / 64 * 64);
        uint16_t weight[24 * 24 * 9];
        for (int j = 0; j < 24 * 24 * 9; j++) weight[j] = values[j % 4];
        assert_int_equal(tilefold_pack_weight(plan, weight, sizeof weight, expected, bytes, NULL), TILEFOLD_OK);
        for (int number = 0; number < ENVIRONMENTS; number++) {
            fenv_t default_environment;
            fegetenv(&default_environment);
            environments[number]();
            environment before = current_environment();
            tilefold_status status = tilefold_pack_weight(plan, weight, sizeof weight, packed, bytes, NULL);
            environment after = current_environment();
            fesetenv(&default_environment);
            assert_int_equal(status, TILEFOLD_OK);
            assert_true(same_environment(before, after));
            assert_memory_equal(packed, expected, bytes);
        }
        free(expected);
        free(packed);
        tilefold_plan_destroy(plan);
    }
}

/* A progress callback is the caller's: on its own thread it runs in its own environment. */

static bool note_rounding(void *user, int64_t done, int64_t total) {
    (void)done, (void)total;
    *(int *)user = fegetround();
    return true;
}

static void test_progress_has_the_callers_environment(void **state) {
    (void)state;
    test_problem made = shared_problem(0, TILEFOLD_F32, DATA_UNIT);
    way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
    bool declined;
    tilefold_plan *plan = make_plan(&made, &w, &declined);
    tensors t = make_tensors(&made);
    prepared p;
    tilefold_message message;
    int seen = -1;
    assert_int_equal(prepare_execution(plan, &t, &p, &message), TILEFOLD_OK);
    p.execution.progress = note_rounding;
    p.execution.progress_user = &seen;
    fesetround(FE_UPWARD);
    tilefold_status status = tilefold_execute(plan, &p.execution, &message);
    fesetround(FE_TONEAREST);
    assert_int_equal(status, TILEFOLD_OK);
    assert_int_equal(seen, FE_UPWARD);
    assert_true(finish_execution(&p));
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
        cmocka_unit_test(test_same_bits_in_any_environment),
        cmocka_unit_test(test_packing_in_any_environment),
        cmocka_unit_test(test_progress_has_the_callers_environment),
    };
    return cmocka_run_group_tests_name("float_environment", tests, NULL, close_all);
}
