/* Memory: the caller's allocator sees every byte, the limit holds in use, every allocation may fail, executing allocates
 * nothing and needs little stack, and offsets past 2^32 are right.
 *
 * SPDX-License-Identifier: MIT
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "counting.h"
#include "oracle.h"
#include "runner.h"

static void run_sequential(void *user, void (*task)(void *argument, size_t index), void *argument, size_t count) {
    (void)user;
    for (size_t i = 0; i < count; i++) task(argument, i);
}

static tilefold_context_options context_options(ledger *l) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.isa = best_isa();
    options.allocator = ledger_allocator(l);
    options.parallel_for = (tilefold_parallel_for){run_sequential, NULL, 3};
    return options;
}

/* A context whose every byte comes from the ledger. */
static tilefold_status open_context(ledger *l, tilefold_context **context) {
    tilefold_context_options options = context_options(l);
    return tilefold_context_create(&options, context, NULL);
}

static tilefold_status convolve(tilefold_context *context, const way *w, tensors *t) {
    tilefold_plan_options options = way_options(w);
    return tilefold_convolve(context, &t->made.problem, &options, tensors_input(t), tensors_weight(t), tensors_bias(t),
                             tensors_output(t), NULL);
}

/* ------------------------------------------------------------------------------------------------------- limits ---- */

static int64_t packed_bytes(tilefold_context *context, const way *w, const test_problem *made, int64_t *least) {
    tilefold_plan_options options = way_options(w);
    tilefold_plan *plan;
    if (w->limit == 0) options.scratch_limit_bytes = INT64_MAX;
    assert_int_equal(tilefold_plan_create(context, &made->problem, &options, &plan, NULL), TILEFOLD_OK);
    tilefold_plan_info info = get_info(plan);
    tilefold_plan_destroy(plan);
    *least = info.min_scratch_bytes;
    return info.packed_weight_bytes;
}

/* Under a limit (0: the least) tilefold_convolve() never holds more than that, packed weights and context aside. */
static void check_peak(const test_problem *made, way w) {
    ledger l = {0};
    tilefold_context *context;
    assert_int_equal(open_context(&l, &context), TILEFOLD_OK);
    tensors t = make_tensors(made);
    void *expected = expected_output(&t), *got = malloc(tensors_output_bytes(&t) + 1);
    int64_t least, packed = packed_bytes(context, &w, made, &least);
    if (w.limit == 0) {
        w.limit = least;
        packed = packed_bytes(context, &w, made, &least);
    }
    int64_t held = l.live;
    l.peak = held;
    if (convolve(context, &w, &t) != TILEFOLD_OK) fail_problem(made, &w, "tilefold_convolve");
    if (l.peak - held > w.limit + packed) fail_problem(made, &w, "more memory than the limit");
    if (l.live != held) fail_problem(made, &w, "memory is left");
    const char *reason;
    if (!collect_output(&t, got, &reason)) fail_problem(made, &w, reason);
    if (!check_output(&t, &w, expected, got)) fail();
    tilefold_context_destroy(context);
    assert_int_equal(l.live, 0);
    assert_false(l.misused);
    free(expected);
    free(got);
    free_tensors(&t);
}

static void test_peak(void **state) {
    (void)state;
    const int64_t limits[] = {0, 65536, INT64_C(1) << 20, INT64_C(16) << 20};
    for (int index = 0; index < listed_problems(); index += list_step()) {
        test_problem made = listed_problem(index, (tilefold_type)(1 + index % 3), TILEFOLD_F32);
        for (int i = 0; i < 4; i++) {
            way w = {best_isa(), 3, POOL_SEQUENTIAL, TILEFOLD_ALGORITHM_AUTO, (index + i) & 1, limits[i]};
            check_peak(&made, w);
        }
    }
}

/* With a caller's allocator and parallel_for, the C library's allocator is never called. */
static void test_allocator_sees_all(void **state) {
    (void)state;
    if (!heap_is_watched()) skip();
    for (int index = 0; index < listed_problems(); index += list_step()) {
        test_problem made = listed_problem(index, TILEFOLD_F16, TILEFOLD_F32);
        way w = {best_isa(), 3, POOL_SEQUENTIAL, TILEFOLD_ALGORITHM_AUTO, index & 1, 65536};
        int64_t before = heap_calls();
        tensors t = make_tensors(&made);
        assert_true(heap_calls() > before); /* it is being counted */
        ledger l = {.from_pages = true};
        tilefold_context *context;
        before = heap_calls();
        tilefold_status opened = open_context(&l, &context);
        tilefold_status status = opened == TILEFOLD_OK ? convolve(context, &w, &t) : opened;
        if (opened == TILEFOLD_OK) tilefold_context_destroy(context);
        int64_t calls = heap_calls() - before;
        assert_int_equal(status, TILEFOLD_OK);
        assert_int_equal(calls, 0);
        assert_int_equal(l.live, 0);
        free_tensors(&t);
    }
}

/* A context lives as long as the caller or a plan holds it, in whatever order they let go; nothing is left then. */
static void test_order_of_destruction(void **state) {
    (void)state;
    test_problem made = named_problem("3x3", TILEFOLD_F32, TILEFOLD_F32);
    way w = {best_isa(), 3, POOL_SEQUENTIAL, TILEFOLD_ALGORITHM_AUTO, true, 65536};
    tilefold_plan_options options = way_options(&w);
    tensors t = make_tensors(&made);
    void *expected = expected_output(&t), *got = malloc(tensors_output_bytes(&t) + 1);
    for (int order = 0; order < 6; order++) {
        ledger l = {0};
        tilefold_context *context;
        tilefold_plan *plans[2];
        assert_int_equal(open_context(&l, &context), TILEFOLD_OK);
        for (int i = 0; i < 2; i++)
            assert_int_equal(tilefold_plan_create(context, &made.problem, &options, &plans[i], NULL), TILEFOLD_OK);
        int64_t all = l.live;
        int last = order % 2, context_at = order / 2;
        if (context_at == 0) tilefold_context_destroy(context);
        if (context_at == 0) assert_int_equal(l.live, all);
        tilefold_plan_destroy(plans[!last]);
        if (context_at == 1) tilefold_context_destroy(context);
        prepared p;
        assert_int_equal(prepare_execution(plans[last], &t, &p, NULL), TILEFOLD_OK);
        assert_int_equal(tilefold_execute(plans[last], &p.execution, NULL), TILEFOLD_OK);
        assert_true(finish_execution(&p));
        const char *reason;
        assert_true(collect_output(&t, got, &reason));
        assert_true(check_output(&t, &w, expected, got));
        assert_true(l.live > 0);
        tilefold_plan_destroy(plans[last]);
        if (context_at == 2) tilefold_context_destroy(context);
        assert_int_equal(l.live, 0);
        assert_false(l.misused);
    }
    free(expected);
    free(got);
    free_tensors(&t);
}

/* ------------------------------------------------------------------------------------------------------ failing ---- */

/* Fails the first allocation, then the second, ... until one run needs no more than have been let through: with the caller's
 * threads, and with the library's own. */
static void check_failing_context(bool own_threads) {
    for (int64_t fail_at = 1;; fail_at++) {
        ledger l = {.fail_at = fail_at};
        tilefold_context *context = (tilefold_context *)&l;
        tilefold_context_options options = context_options(&l);
        if (own_threads) options.parallel_for.run = NULL;
        options.threads = 3;
        tilefold_status status = tilefold_context_create(&options, &context, NULL);
        if (status == TILEFOLD_OK) {
            tilefold_context_destroy(context);
            assert_int_equal(l.live, 0);
            assert_true(fail_at > (own_threads ? 2 : 1));
            return;
        }
        assert_int_equal(status, TILEFOLD_OUT_OF_MEMORY);
        assert_ptr_equal(context, &l);
        assert_int_equal(l.live, 0);
    }
}

static void test_failing_context(void **state) {
    (void)state;
    check_failing_context(false);
    check_failing_context(true);
}

static void check_failing_plan(tilefold_context *context, ledger *l, const way *w, const test_problem *made) {
    tilefold_plan_options options = way_options(w);
    int64_t held = l->live;
    for (int64_t fail_at = 1;; fail_at++) {
        tilefold_plan *plan = (tilefold_plan *)l;
        tilefold_message message = {""};
        l->calls = 0, l->fail_at = fail_at;
        tilefold_status status = tilefold_plan_create(context, &made->problem, &options, &plan, &message);
        l->fail_at = 0;
        if (status == TILEFOLD_OK) {
            tilefold_plan_destroy(plan);
            assert_int_equal(l->live, held);
            assert_true(fail_at > 1);
            return;
        }
        if (status != TILEFOLD_OUT_OF_MEMORY || !message.text[0]) fail_problem(made, w, "not out of memory");
        assert_ptr_equal(plan, l);
        assert_int_equal(l->live, held);
    }
}

static void check_failing_convolve(tilefold_context *context, ledger *l, const way *w, const test_problem *made) {
    tensors t = make_tensors(made);
    void *got = malloc(tensors_output_bytes(&t) + 1);
    int64_t held = l->live, fail_at = 1;
    const char *reason;
    for (;; fail_at++) {
        l->calls = 0, l->fail_at = fail_at;
        tilefold_status status = convolve(context, w, &t);
        l->fail_at = 0;
        assert_int_equal(l->live, held);
        if (status == TILEFOLD_OK) break;
        if (status != TILEFOLD_OUT_OF_MEMORY) fail_problem(made, w, "not out of memory");
    }
    assert_true(fail_at > 1);
    assert_true(collect_output(&t, got, &reason));
    free(got);
    free_tensors(&t);
}

static void test_failing_allocations(void **state) {
    (void)state;
    for (int index = 0; index < listed_problems(); index += 3) {
        ledger l = {0};
        tilefold_context *context;
        assert_int_equal(open_context(&l, &context), TILEFOLD_OK);
        test_problem made = listed_problem(index, TILEFOLD_F32, TILEFOLD_NONE);
        for (int prepack = 0; prepack < 2; prepack++) {
            way w = {best_isa(), 3, POOL_SEQUENTIAL, TILEFOLD_ALGORITHM_AUTO, prepack, 65536};
            check_failing_plan(context, &l, &w, &made);
            check_failing_convolve(context, &l, &w, &made);
        }
        tilefold_context_destroy(context);
        assert_int_equal(l.live, 0);
        assert_false(l.misused);
    }
}

/* ---------------------------------------------------------------------------------------------------- executing ---- */

/* tilefold_execute() calls neither the caller's allocator nor the C library's; but a first execution on several threads may
 * start those, for which the C library allocates. */
static void check_execute_allocates_nothing(const test_problem *made, const way *w) {
    ledger l = {0};
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.threads = w->threads;
    options.allocator = ledger_allocator(&l);
    tilefold_context *context;
    tilefold_plan *plan;
    assert_int_equal(tilefold_context_create(&options, &context, NULL), TILEFOLD_OK);
    tilefold_plan_options plan_options = way_options(w);
    assert_int_equal(tilefold_plan_create(context, &made->problem, &plan_options, &plan, NULL), TILEFOLD_OK);
    tensors t = make_tensors(made);
    prepared p;
    tilefold_message message;
    assert_int_equal(prepare_execution(plan, &t, &p, &message), TILEFOLD_OK);
    for (int first = 1; first >= 0; first--) {
        int64_t calls = l.calls, heap = heap_calls();
        tilefold_status status = tilefold_execute(plan, &p.execution, &message);
        heap = heap_calls() - heap;
        assert_int_equal(status, TILEFOLD_OK);
        assert_int_equal(l.calls, calls);
        if (heap_is_watched() && !(first && get_info(plan).threads > 1)) assert_int_equal(heap, 0);
    }
    assert_true(finish_execution(&p));
    free_tensors(&t);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
}

static void test_execute_allocates_nothing(void **state) {
    (void)state;
    for (int index = 0; index < listed_problems(); index += list_step()) {
        test_problem made = listed_problem(index, (tilefold_type)(1 + index % 3), TILEFOLD_F32);
        way w = {best_isa(), 1 + index % 2, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, index & 1, 65536};
        check_execute_allocates_nothing(&made, &w);
    }
    test_problem shared = many_tiles_problem();
    for (int32_t threads = 1; threads <= 4; threads++) {
        way w = many_tiles_way(threads, POOL_LIBRARY);
        check_execute_allocates_nothing(&shared, &w);
    }
}

typedef struct small_stack_run {
    const tilefold_plan *plan;
    const tilefold_execution *execution;
    tilefold_status status;
} small_stack_run;

static void *execute_there(void *argument) {
    small_stack_run *run = argument;
    run->status = tilefold_execute(run->plan, run->execution, NULL);
    return NULL;
}

/* Scratch is not hidden on the stack: a thread that has 64 KiB of it can execute anything. */
static void test_small_stack(void **state) {
    (void)state;
    if (!heap_is_watched()) skip(); /* a sanitizer's stack frames are larger */
    pthread_attr_t attributes;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 65536), 0);
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    for (int index = 0; index < listed_problems(); index += list_step()) {
        test_problem made = listed_problem(index, (tilefold_type)(1 + index % 3), TILEFOLD_F32);
        way w = {isas[index % isa_count], 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, index & 1, INT64_C(1) << 22};
        bool declined;
        tilefold_plan *plan = make_plan(&made, &w, &declined);
        tensors t = make_tensors(&made);
        prepared p;
        tilefold_message message;
        assert_int_equal(prepare_execution(plan, &t, &p, &message), TILEFOLD_OK);
        small_stack_run run = {plan, &p.execution, TILEFOLD_DEVICE_LOST};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, &attributes, execute_there, &run), 0);
        pthread_join(thread, NULL);
        assert_int_equal(run.status, TILEFOLD_OK);
        assert_true(finish_execution(&p));
        free_tensors(&t);
        tilefold_plan_destroy(plan);
    }
    pthread_attr_destroy(&attributes);
}

/* ------------------------------------------------------------------------------------------------------- spread ---- */

/* Address space without memory: only the pages that are touched exist. */
typedef struct sparse {
    unsigned char *data;
    size_t bytes;
    int64_t low; /* the view's */
} sparse;

static sparse sparse_new(const tensor_view *v, size_t size) {
    sparse s = {.bytes = (size_t)v->span * size, .low = v->low};
    void *memory = mmap(NULL, s.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    s.data = memory == MAP_FAILED ? NULL : memory;
    return s;
}

static unsigned char *sparse_element(const sparse *s, int64_t offset, size_t size) {
    return s->data + (size_t)(offset - s->low) * size;
}

/* Copies every element of a tensor from one layout to another. */
static void spread(const sparse *to, const tensor_view *to_view, const guarded *from, const tensor_view *from_view,
                   size_t size) {
    for (int64_t i = 0; i < from_view->elements; i++) {
        memcpy(sparse_element(to, view_offset(to_view, i), size),
               from->data + (size_t)(view_offset(from_view, i) - from_view->low) * size, size);
    }
}

/* Runs the compact tensors' problem in tensors spread over more than 2^32 elements. */
static void run_spread(tensors *t, const tilefold_problem *p, const way *w, const void *expected) {
    size_t size = tilefold_type_bytes(p->type);
    tensor_view in = input_view(p), weight = weight_view(p), out = output_view(p);
    sparse memory[3] = {sparse_new(&in, size), sparse_new(&weight, size), sparse_new(&out, size)};
    if (!memory[0].data || !memory[1].data || !memory[2].data) skip();
    spread(&memory[0], &in, &t->input, &t->input_view, size);
    spread(&memory[1], &weight, &t->weight, &t->weight_view, size);
    tilefold_plan_options options = way_options(w);
    tilefold_message message = {""};
    tilefold_status status = tilefold_convolve(get_context(w), p, &options, sparse_element(&memory[0], 0, size),
                                               sparse_element(&memory[1], 0, size), tensors_bias(t),
                                               sparse_element(&memory[2], 0, size), &message);
    bool declined = status == TILEFOLD_UNSUPPORTED && w->algorithm != TILEFOLD_ALGORITHM_AUTO;
    if (status != TILEFOLD_OK && !declined) fail_problem(&t->made, w, message.text);
    unsigned char *got = malloc(tensors_output_bytes(t));
    for (int64_t i = 0; i < out.elements; i++) {
        memcpy(got + (size_t)i * size, sparse_element(&memory[2], view_offset(&out, i), size), size);
    }
    if (!declined && !check_output(t, w, expected, got)) fail();
    free(got);
    for (int i = 0; i < 3; i++) munmap(memory[i].data, memory[i].bytes);
}

static test_problem spread_problem(int kind) {
    test_problem made = {.name = "spread", .seed = 1, .data = DATA_UNIT};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, kind & 1 ? TILEFOLD_CONV_TRANSPOSE : TILEFOLD_CONV, (tilefold_type)(1 + kind % 3), 2);
    p->bias_type = TILEFOLD_F32;
    p->batch = 2;
    p->groups = kind & 2 ? 6 : 2; /* depthwise, or not */
    p->in_channels = 6;
    p->out_channels = kind & 2 ? 6 : 10;
    for (int a = 0; a < 2; a++) {
        p->input_size[a] = 5 + a;
        p->kernel[a] = 3;
        p->stride[a] = kind & 1 ? 2 : 1;
        p->padding_begin[a] = p->padding_end[a] = 1;
    }
    assert_int_equal(tilefold_problem_set_layout(p, kind & 4 ? TILEFOLD_CHANNELS_LAST : TILEFOLD_CHANNELS_FIRST, NULL),
                     TILEFOLD_OK);
    return made;
}

/* One stride after another made so large that offsets pass 2^31 and 2^32 elements, in both directions. */
static void test_offsets_past_32_bits(void **state) {
    (void)state;
    if (sizeof(void *) < 8) skip();
    const int64_t far = (INT64_C(1) << 32) + 3;
    for (int kind = 0; kind < 8; kind += list_step()) {
        test_problem made = spread_problem(kind);
        tensors t = make_tensors(&made);
        void *expected = expected_output(&t);
        for (int which = 0; which < 20; which++) {
            tilefold_problem p = made.problem;
            int64_t *strides[] = {&p.input_stride.batch,      &p.input_stride.group,      &p.input_stride.channel,
                                  &p.input_stride.spatial[0], &p.input_stride.spatial[1], &p.output_stride.batch,
                                  &p.output_stride.group,     &p.output_stride.channel,   &p.output_stride.spatial[0],
                                  &p.output_stride.spatial[1]};
            *strides[which / 2] = which & 1 ? -far : far;
            p.weight_stride.out_channel = which & 1 ? -far : far;
            way w = {best_isa(), 1, POOL_LIBRARY, (tilefold_algorithm)((kind + which) % 4), (which / 2) & 1, 65536};
            run_spread(&t, &p, &w, expected);
        }
        free(expected);
        free_tensors(&t);
    }
}

/* A dense output of more than 2^31 elements, 4 GiB of memory: only where TILEFOLD_TEST_LARGE is set. */
static void test_large_output(void **state) {
    (void)state;
    if (!getenv("TILEFOLD_TEST_LARGE")) skip();
    const int64_t outputs = (INT64_C(1) << 31) + 12345;
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV_TRANSPOSE, TILEFOLD_F16, 1);
    p.input_size[0] = outputs;
    p.kernel[0] = 3;
    p.padding_begin[0] = p.padding_end[0] = 1;
    assert_int_equal(tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_LAST, NULL), TILEFOLD_OK);
    p.input_stride.spatial[0] = 0;                                       /* one input element, seen everywhere */
    const uint16_t input = 0x3c00, weight[3] = {0x3c00, 0x4000, 0x4400}; /* 1; 1, 2, 4 */
    uint16_t *output = calloc((size_t)outputs, sizeof *output);
    if (!output) skip();
    way w = {best_isa(), 2, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
    tilefold_plan_options options = way_options(&w);
    assert_int_equal(tilefold_convolve(get_context(&w), &p, &options, &input, weight, NULL, output, NULL), TILEFOLD_OK);
    assert_int_equal(output[0], 0x4200);           /* 3: the first output meets taps 0 and 1 of an input each */
    assert_int_equal(output[outputs - 1], 0x4600); /* 6 */
    for (int64_t i = 1; i < outputs - 1; i++) {
        if (output[i] != 0x4700) fail_msg("output %" PRId64 " is %#x, not 7", i, output[i]);
    }
    free(output);
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peak),
        cmocka_unit_test(test_allocator_sees_all),
        cmocka_unit_test(test_order_of_destruction),
        cmocka_unit_test(test_failing_context),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_execute_allocates_nothing),
        cmocka_unit_test(test_small_stack),
        cmocka_unit_test(test_offsets_past_32_bits),
        cmocka_unit_test(test_large_output),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, close_all);
}
