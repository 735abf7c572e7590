/* The sums of the Vulkan device: longer ones than one dispatch computes, their order, how they end, special values and ties. By
 * both products, with and without 16-bit elements in buffers, held against the CPU's oracle bit for bit: all that is rounded here
 * is exact, but for the last rounding, so a device whose multiply-add is not fused gives the same bits. Sums over many channels,
 * whose order must be seen, are of other numbers, and held against the oracle that rounds as the device does.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <tilefold_vulkan.h>

#include "bound.h"
#include "oracle.h"
#include "runner.h"

/* ------------------------------------------------------------------------------------------------------ contexts ---- */

/* As a CPU computes and as a GPU would; with 16-bit elements in buffers and in words. */
enum { CONTEXTS = 4 };

static tilefold_context *open_context(int number) {
    tilefold_context_options options;
    tilefold_vulkan_options vulkan;
    tilefold_vulkan_limits limits;
    tilefold_context_options_init(&options);
    tilefold_vulkan_options_init(&vulkan);
    tilefold_vulkan_limits_init(&limits);
    vulkan.limits = &limits;
    limits.cpu_vectors = number & 1;
    limits.storage_16bit = number & 2;
    tilefold_context *context;
    tilefold_message message;
    if (tilefold_vulkan_context_create(&options, &vulkan, &context, &message)) fail_msg("%s", message.text);
    return context;
}

/* ---------------------------------------------------------------------------------------------------- long sums ---- */

static test_problem long_problem(int number, tilefold_type type) {
    static const struct {
        const char *name;
        tilefold_op op;
        tilefold_layout layout;
        int32_t rank;
        int64_t in, out, groups, input[2], kernel[2], stride, padding;
    } problems[] = {
        {"40000 taps", TILEFOLD_CONV, TILEFOLD_CHANNELS_FIRST, 1, 1, 1, 1, {40010}, {40000}, 1, 0},
        {"70000 taps", TILEFOLD_CONV, TILEFOLD_CHANNELS_FIRST, 1, 1, 1, 1, {70003}, {70000}, 1, 1},
        {"151x151 taps", TILEFOLD_CONV, TILEFOLD_CHANNELS_FIRST, 2, 1, 2, 1, {153, 152}, {151, 151}, 1, 0},
        {"8192 channels", TILEFOLD_CONV, TILEFOLD_CHANNELS_FIRST, 1, 8192, 16, 1, {20}, {9}, 1, 0},
        {"groups", TILEFOLD_CONV, TILEFOLD_CHANNELS_LAST, 1, 15006, 9, 3, {8}, {4}, 1, 0},
        {"40 channels", TILEFOLD_CONV, TILEFOLD_CHANNELS_LAST, 2, 80, 12, 2, {9, 8}, {3, 2}, 1, 1},
        {"folds", TILEFOLD_CONV_TRANSPOSE, TILEFOLD_CHANNELS_FIRST, 2, 65, 3, 1, {5, 9}, {4, 4}, 2, 1},
        {"two phases", TILEFOLD_CONV_TRANSPOSE, TILEFOLD_CHANNELS_FIRST, 1, 1, 3, 1, {40010}, {80000}, 2, 79999},
    };
    if (number == sizeof problems / sizeof problems[0]) return (test_problem){0};
    test_problem made = {.name = problems[number].name,
                         .seed = (uint64_t)number + 1,
                         .data = problems[number].in > TILEFOLD_CHANNEL_BLOCK ? DATA_UNIT : DATA_INTEGER};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, problems[number].op, type, problems[number].rank);
    p->bias_type = type;
    p->in_channels = problems[number].in;
    p->out_channels = problems[number].out;
    p->groups = problems[number].groups;
    for (int axis = 0; axis < p->rank; axis++) {
        p->input_size[axis] = problems[number].input[axis];
        p->kernel[axis] = problems[number].kernel[axis];
        p->stride[axis] = problems[number].stride;
        p->padding_begin[axis] = p->padding_end[axis] = problems[number].padding;
    }
    assert_int_equal(tilefold_problem_set_layout(p, problems[number].layout, NULL), TILEFOLD_OK);
    return made;
}

static tilefold_status run_plan(tilefold_context *context, const tilefold_plan *plan, bool bound, tensors *t,
                                tilefold_message *message) {
    if (bound) return run_bound(context, plan, t, message);
    prepared p;
    tilefold_status status = prepare_execution(plan, t, &p, message);
    if (!status) status = tilefold_execute(plan, &p.execution, message);
    assert_true(finish_execution(&p));
    return status;
}

/* Plans under the limit, or the least where that is 0; below the least nothing is planned. */
static tilefold_plan *plan_within(tilefold_context *context, const tilefold_problem *problem,
                                  tilefold_plan_options *options, int64_t limit) {
    tilefold_plan *plan;
    tilefold_message message;
    options->scratch_limit_bytes = limit ? limit : INT64_MAX;
    if (tilefold_plan_create(context, problem, options, &plan, &message)) fail_msg("%s", message.text);
    if (limit) return plan;
    int64_t least = get_info(plan).min_scratch_bytes;
    assert_in_range(least, 1, 262144);
    tilefold_plan_destroy(plan);
    options->scratch_limit_bytes = least - 1;
    assert_int_equal(tilefold_plan_create(context, problem, options, &plan, &message), TILEFOLD_LIMIT_TOO_SMALL);
    options->scratch_limit_bytes = least;
    if (tilefold_plan_create(context, problem, options, &plan, &message)) fail_msg("%s", message.text);
    return plan;
}

static void try_long_sum(tilefold_context *context, tensors *t, const method *m, bool bound, int64_t limit,
                         const void *expected) {
    const tilefold_problem *problem = &t->made.problem;
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.algorithm = m->algorithm;
    options.storage = m->storage;
    options.bind_buffers = bound;
    tilefold_plan *plan = plan_within(context, problem, &options, limit);
    tilefold_plan_info info = get_info(plan);
    assert_true(info.scratch_bytes <= options.scratch_limit_bytes);
    tilefold_message message;
    if (run_plan(context, plan, bound, t, &message)) fail_msg("%s", message.text);
    tilefold_plan_destroy(plan);
    void *got = malloc(tensors_output_bytes(t));
    const char *reason;
    assert_non_null(got);
    if (!collect_output(t, got, &reason)) fail_msg("%s: %s", describe_problem(&t->made), reason);
    way w = {.algorithm = m->algorithm, .storage = m->storage, .limit = options.scratch_limit_bytes};
    if (!check_output(t, &w, expected, got)) fail_msg("%s", bound ? "bound" : "copied");
    free(got);
}

/* The least of what unfolds takes thousands of steps here. */
static int64_t small_limit(const method *m) { return m->algorithm == TILEFOLD_ALGORITHM_UNFOLD ? 1 << 17 : 0; }

/* Each problem by every method, copied and bound, with much scratch and with the least; every other one without 16-bit elements. */
static void try_long_sums(int vectors) {
    method methods[MAX_METHODS];
    int count = machine_methods(methods);
    tilefold_context *contexts[2] = {open_context(vectors), open_context(vectors | 2)};
    test_problem made;
    for (int i = 0; (made = long_problem(i, (tilefold_type)(TILEFOLD_F32 + i % 3))).name; i++) {
        tensors t = make_tensors(&made);
        void *expected = reference_output(&t);
        assert_non_null(expected);
        for (int m = 0; m < count; m++)
            for (int bound = 0; bound < 2; bound++)
                try_long_sum(contexts[i & 1], &t, &methods[m], bound,
                             (m + bound) & 1 ? small_limit(&methods[m]) : 1 << 24, expected);
        free(expected);
        free_tensors(&t);
    }
    for (int i = 0; i < 2; i++) tilefold_context_destroy(contexts[i]);
}

static void test_long_sums_by_vectors(void **state) {
    (void)state;
    try_long_sums(1);
}

static void test_long_sums_as_on_a_gpu(void **state) {
    (void)state;
    try_long_sums(0);
}

/* -------------------------------------------------------------------------------------------------- small sums ---- */

enum { MOST_ELEMENTS = 1024 };

/* Dense tensors in logical order, channels-first: fp32 for the oracle, and as the library gets them. */
typedef struct values {
    tilefold_problem problem;
    float input[MOST_ELEMENTS], weight[MOST_ELEMENTS], bias[MOST_ELEMENTS];
    int64_t inputs, weights, biases, outputs;
} values;

/* What is left of the values when elements of a type hold them, and those elements. */
static void encode(tilefold_type type, float *from, int64_t count, void *to) {
    for (int64_t i = 0; i < count; i++) {
        void *element = (char *)to + (size_t)i * tilefold_type_bytes(type);
        oracle_encode(type, from[i], element);
        from[i] = oracle_decode(type, element);
    }
}

/* Computes by every method and compares with the oracle. */
static void try_values(tilefold_context *context, values *v, const char *what) {
    float input[MOST_ELEMENTS], weight[MOST_ELEMENTS], bias[MOST_ELEMENTS], sums[MOST_ELEMENTS];
    float expected[MOST_ELEMENTS], got[MOST_ELEMENTS];
    tilefold_type type = v->problem.type;
    method methods[MAX_METHODS];
    int count = machine_methods(methods);
    encode(type, v->input, v->inputs, input);
    encode(type, v->weight, v->weights, weight);
    encode(TILEFOLD_F32, v->bias, v->biases, bias);
    oracle_exact(&v->problem, v->input, v->weight, v->bias, sums);
    for (int64_t i = 0; i < v->outputs; i++) sums[i] += 0.0f;
    encode(type, sums, v->outputs, expected);
    for (int m = 0; m < count; m++) {
        tilefold_plan_options options;
        tilefold_plan_options_init(&options);
        options.algorithm = methods[m].algorithm;
        options.storage = methods[m].storage;
        tilefold_message message;
        memset(got, 0x5a, sizeof got);
        if (tilefold_convolve(context, &v->problem, &options, input, weight, bias, got, &message))
            fail_msg("%s", message.text);
        int64_t at;
        if (same_bits(type, v->outputs, expected, got, &at)) continue;
        size_t byte = (size_t)at * tilefold_type_bytes(type);
        fail_msg("%s, type %d, %s: output %d is %a, expected %a", what, (int)type,
                 tilefold_algorithm_name(options.algorithm), (int)at, (double)oracle_decode(type, (char *)got + byte),
                 (double)oracle_decode(type, (char *)expected + byte));
    }
}

static void lay_out(values *v) {
    tilefold_problem *p = &v->problem;
    p->bias_type = TILEFOLD_F32;
    assert_int_equal(tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    v->inputs = p->in_channels, v->outputs = v->biases = p->out_channels;
    v->weights = p->in_channels * p->out_channels / p->groups;
    for (int axis = 0; axis < p->rank; axis++) {
        v->inputs *= p->input_size[axis];
        v->outputs *= oracle_output_size(p, axis);
        v->weights *= p->kernel[axis];
    }
    assert_true(v->inputs <= MOST_ELEMENTS && v->weights <= MOST_ELEMENTS && v->outputs <= MOST_ELEMENTS);
}

/* A small 3x3 of small integers, with padding and a clamp that some sums reach. */
static values small_values(tilefold_type type) {
    values v = {0};
    rng r = rng_make(1, 41);
    tilefold_problem_init(&v.problem, TILEFOLD_CONV, type, 2);
    v.problem.in_channels = 2, v.problem.out_channels = 3;
    v.problem.clamp_low = -20, v.problem.clamp_high = 1e5f;
    for (int axis = 0; axis < 2; axis++) {
        v.problem.input_size[axis] = 4 + axis;
        v.problem.kernel[axis] = 3;
        v.problem.padding_begin[axis] = v.problem.padding_end[axis] = 1;
    }
    lay_out(&v);
    for (int64_t i = 0; i < v.inputs; i++) v.input[i] = (float)rng_range(&r, -3, 3);
    for (int64_t i = 0; i < v.weights; i++) v.weight[i] = (float)rng_range(&r, -3, 3);
    for (int64_t i = 0; i < v.biases; i++) v.bias[i] = (float)rng_range(&r, -3, 3);
    return v;
}

static void for_each_context(void (*test)(tilefold_context *context, tilefold_type type)) {
    for (int number = 0; number < CONTEXTS; number++) {
        tilefold_context *context = open_context(number);
        for (int type = TILEFOLD_F32; type <= TILEFOLD_BF16; type++) test(context, (tilefold_type)type);
        tilefold_context_destroy(context);
    }
}

/* One special value at a time, so that the others' sums stay what they are: an input in the middle, a weight that meets padding,
 * a bias. */
static void plant_specials(tilefold_context *context, tilefold_type type) {
    static const float specials[] = {INFINITY, -INFINITY, NAN, -0.0f, 65504.0f, -65504.0f, 0x1.fep127f};
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
        for (int where = 0; where < 3; where++) {
            values v = small_values(type);
            *(where == 0 ? &v.input[7] : where == 1 ? &v.weight[0] : &v.bias[1]) = specials[i];
            char what[64];
            snprintf(what, sizeof what, "%g as %s", (double)specials[i],
                     where == 0   ? "an input"
                     : where == 1 ? "a weight"
                                  : "a bias");
            try_values(context, &v, what);
        }
    }
}

static void test_specials(void **state) {
    (void)state;
    for_each_context(plant_specials);
}

/* Elements, even and odd ones, of a few sizes, plus a bias of half a unit in their last place, or a little more or less. */
static void try_ties(tilefold_context *context, tilefold_type type) {
    enum { SIZES = 5, EACH = 8 };
    static const int exponents[] = {0, 3, -7, 15, -24}; /* of 1: fp16's last but one and its subnormal last */
    int digits = type == TILEFOLD_F16 ? 10 : 7;
    for (int size = 0; size < SIZES; size++) {
        values v = {0};
        bool subnormal = exponents[size] == -24;
        if (subnormal && type == TILEFOLD_BF16) continue;
        float unit = ldexpf(1, subnormal ? -24 : exponents[size] - digits);
        tilefold_problem_init(&v.problem, TILEFOLD_CONV, type, 1);
        v.problem.input_size[0] = 2 * EACH;
        v.problem.out_channels = 6;
        lay_out(&v);
        for (int i = 0; i < EACH; i++) {
            v.input[i] = (subnormal ? 0.0f : ldexpf(1, exponents[size])) + (float)i * unit;
            v.input[EACH + i] = -v.input[i];
        }
        for (int64_t i = 0; i < v.weights; i++) v.weight[i] = 1;
        const float bias[] = {0.5f, -0.5f, 0.5625f, 0.4375f, -0.5625f, -0.4375f};
        for (int i = 0; i < 6; i++) v.bias[i] = bias[i] * unit;
        try_values(context, &v, "ties");
    }
}

static void test_ties(void **state) {
    (void)state;
    for_each_context(try_ties);
}

/* A chain of zeros, whatever their signs, ends in +0; so does one of no links, in the phases that no tap meets. */
static void try_zeros(tilefold_context *context, tilefold_type type) {
    for (int op = TILEFOLD_CONV; op <= TILEFOLD_CONV_TRANSPOSE; op++) {
        values v = {0};
        tilefold_problem_init(&v.problem, (tilefold_op)op, type, 1);
        v.problem.input_size[0] = 9;
        v.problem.out_channels = 5;
        v.problem.stride[0] = 3;
        lay_out(&v);
        for (int64_t i = 0; i < v.inputs; i++) v.input[i] = i % 2 ? -0.0f : 0.0f;
        for (int64_t i = 0; i < v.weights; i++) v.weight[i] = 1;
        for (int64_t i = 0; i < v.biases; i++) v.bias[i] = -0.0f;
        try_values(context, &v, "zeros");
    }
}

static void test_zeros(void **state) {
    (void)state;
    for_each_context(try_zeros);
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_sums_by_vectors),
        cmocka_unit_test(test_long_sums_as_on_a_gpu),
        cmocka_unit_test(test_specials),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_zeros),
    };
    cmocka_set_test_filter(getenv("TILEFOLD_TEST_FILTER"));
    return cmocka_run_group_tests_name("vulkan sums", tests, NULL, close_all);
}
