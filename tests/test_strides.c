/* Strides: outputs whose elements overlap, arrays that are too small, groups that lie anywhere. On the CPU, and on a Vulkan device
 * (TILEFOLD_TEST_VULKAN) what is not about arguments alone.
 *
 * SPDX-License-Identifier: MIT
 */
#include "strides.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runner.h"

/* ------------------------------------------------------------------------------------------------------ overlap ---- */

static int compare(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* By listing where every element lies. */
static bool overlaps(int dimensions, const int64_t *size, const int64_t *stride) {
    int64_t elements = 1;
    for (int i = 0; i < dimensions; i++) elements *= size[i];
    int64_t *place = malloc((size_t)elements * sizeof *place);
    assert_non_null(place);
    for (int64_t index = 0; index < elements; index++) {
        int64_t rest = index;
        place[index] = 0;
        for (int i = 0; i < dimensions; i++) {
            place[index] += rest % size[i] * stride[i];
            rest /= size[i];
        }
    }
    qsort(place, (size_t)elements, sizeof *place, compare);
    bool found = false;
    for (int64_t i = 1; i < elements && !found; i++) found = place[i] == place[i - 1];
    free(place);
    return found;
}

/* Random arrays of up to six dimensions: strides of one order of magnitude, multiples of each other, nested with gaps. */
static void random_array(rng *r, int dimensions, int64_t *size, int64_t *stride) {
    int64_t step = rng_range(r, 1, 3), most = dimensions > 4 ? 4 : dimensions > 2 ? 9 : 40;
    int64_t scale = INT64_C(1) << rng_range(r, 1, 12);
    int kind = (int)rng_range(r, 0, 2);
    for (int i = 0; i < dimensions; i++) {
        size[i] = rng_range(r, 1, most);
        stride[i] = kind == 0 ? rng_range(r, 1, scale) : kind == 1 ? step * rng_range(r, 1, 2) : step;
        step = step * size[i] - (kind == 2 && rng_percent(r, 20) ? rng_range(r, 0, 2) : 0);
        if (step < 1) step = 1;
        if (rng_percent(r, 30)) stride[i] = -stride[i];
        if (rng_percent(r, 2)) stride[i] = 0;
    }
}

static void test_overlap_by_listing(void **state) {
    (void)state;
    problem_run run = begin_problems(20000);
    int64_t found = 0;
    for (int64_t i = 0; i < run.count; i++) {
        rng r = rng_make(problem_seed(&run, i), 41);
        int dimensions = (int)rng_range(&r, 1, TILEFOLD_MAX_DIMENSIONS);
        int64_t size[TILEFOLD_MAX_DIMENSIONS], stride[TILEFOLD_MAX_DIMENSIONS];
        random_array(&r, dimensions, size, stride);
        bool expected = overlaps(dimensions, size, stride);
        found += expected;
        if (tilefold_find_overlap(dimensions, size, stride) == (expected ? TILEFOLD_OVERLAP : TILEFOLD_APART)) continue;
        for (int d = 0; d < dimensions; d++) fprintf(stderr, "%" PRId64 " by %" PRId64 "\n", size[d], stride[d]);
        fail_msg("array %" PRId64 " %s", i, expected ? "overlaps" : "does not overlap");
    }
    if (!run.single) assert_true(found > run.count / 10 && found < run.count * 9 / 10);
}

typedef struct array {
    int dimensions;
    int64_t size[TILEFOLD_MAX_DIMENSIONS], stride[TILEFOLD_MAX_DIMENSIONS];
    tilefold_overlap expected;
} array;

/* Too large to be listed. Two dimensions overlap where each has more elements than the other's stride is long, both divided by
 * what they have in common. */
static const array large_arrays[] = {
    {2, {3, 2}, {2, 3}, TILEFOLD_APART},
    {2, {4, 3}, {2, 3}, TILEFOLD_OVERLAP},
    {2, {4, 2}, {2, 3}, TILEFOLD_APART},
    {2, {1, 1}, {0, 0}, TILEFOLD_APART},
    {2, {1, 2}, {0, 0}, TILEFOLD_OVERLAP},
    {2, {1000003, 1000000}, {1000000, 1000003}, TILEFOLD_APART},
    {2, {1000004, 1000001}, {1000000, 1000003}, TILEFOLD_OVERLAP},
    {2, {1000000000, 1000000000}, {1000000007, 1000000009}, TILEFOLD_APART},
    {2, {1000000010, 1000000008}, {1000000007, -1000000009}, TILEFOLD_OVERLAP},
    {2, {INT64_C(1) << 20, 1000000}, {INT64_C(3) << 30, (INT64_C(1) << 30) + 1}, TILEFOLD_APART},
    {3, {1000, 1000, 1000}, {1, 1000, 1000000}, TILEFOLD_APART},
    {3, {1001, 1000, 1000}, {1, 1000, 1000000}, TILEFOLD_OVERLAP},
    {3, {1000, 1000, 1000}, {1000000, -1, 1000}, TILEFOLD_APART},
    {3, {1000, 1000, 1000}, {1000003, 1000033, 1000037}, TILEFOLD_OVERLAP}, /* more elements than places */
    {3, {100, 100, 100}, {1000003, 1000033, 1000037}, TILEFOLD_OVERLAP},    /* 2*s0 - 17*s1 + 15*s2 = 0 or the like */
    {3, {2, 2, 2}, {1000003, 1000033, 1000037}, TILEFOLD_APART},
    {6, {2, 3, 5, 7, 11, 13}, {1, 2, 6, 30, 210, 2310}, TILEFOLD_APART},
    {6, {2, 3, 5, 7, 11, 13}, {2310, 210, -30, 6, 2, 1}, TILEFOLD_OVERLAP},
    {6, {2, 2, 2, 2, 2, 2}, {1, 2, 4, 8, 16, 31}, TILEFOLD_OVERLAP}, /* 31 = 1 + 2 + 4 + 8 + 16 */
    {6, {2, 2, 2, 2, 2, 2}, {1, 2, 4, 8, 16, 32}, TILEFOLD_APART},
    /* Conway and Guy's set of distinct subset sums: apart, though every stride is below the sum of those before it. */
    {6, {2, 2, 2, 2, 2, 2}, {11, 17, 20, 22, 23, 24}, TILEFOLD_APART},
};

static void test_large_arrays(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof large_arrays / sizeof *large_arrays; i++) {
        const array *a = &large_arrays[i];
        if (tilefold_find_overlap(a->dimensions, a->size, a->stride) != a->expected) fail_msg("array %zu", i);
    }
}

/* Made to be hard: it may be said that it takes too long, but not that elements which overlap do not. It must end. */
static void test_hard_arrays(void **state) {
    (void)state;
    rng r = rng_make(7, 42);
    int given_up = 0;
    for (int i = 0; i < 60; i++) {
        int64_t size[TILEFOLD_MAX_DIMENSIONS], stride[TILEFOLD_MAX_DIMENSIONS],
            around = INT64_C(1) << rng_range(&r, 20, 50);
        int64_t most = INT64_C(1) << rng_range(&r, 1, i % 2 ? 4 : 8);
        for (int d = 0; d < TILEFOLD_MAX_DIMENSIONS; d++) {
            size[d] = most;
            stride[d] = around + rng_range(&r, 1, around / 4);
        }
        given_up += tilefold_find_overlap(TILEFOLD_MAX_DIMENSIONS, size, stride) == TILEFOLD_OVERLAP_UNKNOWN;
        stride[5] = stride[0] + stride[1]; /* (1, 1, 0, 0, 0, 0) and (0, 0, 0, 0, 0, 1) */
        assert_true(tilefold_find_overlap(TILEFOLD_MAX_DIMENSIONS, size, stride) != TILEFOLD_APART);
    }
    assert_true(given_up > 0);
}

/* -------------------------------------------------------------------------------------------------- refusals ---- */

static tilefold_problem grouped_problem(void) {
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 2);
    p.batch = 2, p.groups = 2, p.in_channels = 4, p.out_channels = 6;
    p.input_size[0] = 5, p.input_size[1] = 6;
    p.kernel[0] = p.kernel[1] = 2;
    assert_int_equal(tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    return p;
}

static tilefold_status plan(const tilefold_problem *p, tilefold_message *message) {
    way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
    tilefold_plan_options options = way_options(&w);
    tilefold_plan *made;
    tilefold_status status = tilefold_plan_create(get_context(&w), p, &options, &made, message);
    if (status == TILEFOLD_OK) tilefold_plan_destroy(made);
    return status;
}

static void test_overlapping_outputs(void **state) {
    (void)state;
    const tilefold_problem good = grouped_problem();
    tilefold_message message = {""};
    assert_int_equal(plan(&good, &message), TILEFOLD_OK);
    tilefold_problem p;
    int64_t *strides[] = {&p.output_stride.batch, &p.output_stride.group, &p.output_stride.channel,
                          &p.output_stride.spatial[0], &p.output_stride.spatial[1]};
    for (int i = 0; i < 5; i++) {
        p = good;
        *strides[i] = 0;
        assert_int_equal(plan(&p, &message), TILEFOLD_INVALID_ARGUMENT);
        assert_non_null(strstr(message.text, " by 0"));
        p = good;
        --*strides[i];
        assert_int_equal(plan(&p, &message), TILEFOLD_INVALID_ARGUMENT);
        p = good;
        *strides[i] = -*strides[i];
        assert_int_equal(plan(&p, &message), TILEFOLD_OK);
    }
    p = good;
    memset(&p.output_stride, 0, sizeof p.output_stride); /* as they are before tilefold_problem_set_layout() */
    assert_int_equal(plan(&p, &message), TILEFOLD_INVALID_ARGUMENT);
    p = good;
    p.batch = 0; /* nor does it do without images */
    p.output_stride.channel = 0;
    assert_int_equal(plan(&p, &message), TILEFOLD_INVALID_ARGUMENT);
    tilefold_problem one;
    tilefold_problem_init(&one, TILEFOLD_CONV, TILEFOLD_F32, 3); /* a single output lies where it lies */
    assert_int_equal(plan(&one, &message), TILEFOLD_OK);
}

/* Extents 3 and 2 by strides 2 and 3: interleaved, and right. */
static void test_interleaved_output(void **state) {
    (void)state;
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 1);
    p.out_channels = 2;
    p.input_size[0] = 3;
    assert_int_equal(tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    p.output_stride.channel = 3;
    p.output_stride.spatial[0] = 2;
    way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
    tilefold_plan_options options = way_options(&w);
    const float input[] = {1, 2, 3}, weight[] = {1, 10}, expected[] = {1, -1, 2, 10, 3, 20, -1, 30};
    float output[] = {-1, -1, -1, -1, -1, -1, -1, -1};
    assert_int_equal(tilefold_convolve(get_context(&w), &p, &options, input, weight, NULL, output, NULL), TILEFOLD_OK);
    assert_memory_equal(output, expected, sizeof output);
}

/* --------------------------------------------------------------------------------------------------- sizes ---- */

/* Executes with one of the sizes a byte short, and with all of them exact; returns how many there were to be short. */
static int check_sizes(const test_problem *made, const way *w) {
    bool declined;
    tilefold_plan *made_plan = make_plan(made, w, &declined);
    if (!made_plan) fail_problem(made, w, "no plan");
    tensors t = make_tensors(made);
    prepared p;
    tilefold_message message;
    assert_int_equal(prepare_execution(made_plan, &t, &p, &message), TILEFOLD_OK);
    size_t *sizes[] = {&p.execution.input_bytes, &p.execution.output_bytes, &p.execution.bias_bytes,
                       p.execution.weight ? &p.execution.weight_bytes : &p.execution.packed_weight_bytes};
    int checked = 0;
    for (int i = 0; i < 4; i++) {
        size_t exact = *sizes[i];
        bool needed = i >= 2 || made->problem.batch > 0; /* without images neither input nor output is looked at */
        if (exact <= 1 || !needed) continue;             /* 0 is not known */
        checked++;
        *sizes[i] = exact - 1;
        message.text[0] = 0;
        if (tilefold_execute(made_plan, &p.execution, &message) != TILEFOLD_INVALID_ARGUMENT || !message.text[0])
            fail_problem(made, w, "too small an array was not refused");
        *sizes[i] = exact;
    }
    assert_true(holds_pattern(&t.output));
    if (tilefold_execute(made_plan, &p.execution, &message) != TILEFOLD_OK) fail_problem(made, w, message.text);
    size_t weight_bytes = t.weight.bytes - (size_t)((const unsigned char *)tensors_weight(&t) - t.weight.data);
    if (p.packed.bytes > 0) {
        assert_int_equal(tilefold_pack_weight(made_plan, tensors_weight(&t), weight_bytes - 1, p.packed.data,
                                              p.packed.bytes, NULL),
                         TILEFOLD_INVALID_ARGUMENT);
        assert_int_equal(tilefold_pack_weight(made_plan, tensors_weight(&t), weight_bytes, p.packed.data,
                                              p.packed.bytes, NULL),
                         TILEFOLD_OK);
    }
    assert_true(finish_execution(&p));
    free_tensors(&t);
    tilefold_plan_destroy(made_plan);
    return checked;
}

/* The exact reach of every random view, reversed dimensions and flipped kernels included, is enough; a byte less is not. */
static void test_sizes(void **state) {
    (void)state;
    problem_run run = begin_problems(300);
    int64_t checked = 0;
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_problem(problem_seed(&run, i), 3000);
        way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, i & 1, 65536};
        if (on_vulkan()) w.limit = 262144;
        checked += check_sizes(&made, &w);
    }
    assert_true(run.single || checked > 2 * run.count);
}

/* A smaller problem needs less. */
static void test_sizes_of_smaller(void **state) {
    (void)state;
    test_problem made = {.name = "grouped", .seed = 3, .problem = grouped_problem()};
    way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 262144};
    bool declined;
    tilefold_plan *whole = make_plan(&made, &w, &declined);
    tensors t = make_tensors(&made);
    prepared p;
    assert_int_equal(prepare_execution(whole, &t, &p, NULL), TILEFOLD_OK);
    tilefold_problem smaller = made.problem; /* in the same strides */
    smaller.batch = 1;
    smaller.input_size[0]--;
    p.execution.input_bytes = 4 * (size_t)(smaller.input_stride.group + smaller.input_stride.channel +
                                           3 * smaller.input_stride.spatial[0] + 5 + 1);
    p.execution.output_bytes = 4 * (size_t)(smaller.output_stride.group + 2 * smaller.output_stride.channel +
                                            2 * smaller.output_stride.spatial[0] + 4 + 1);
    assert_int_equal(tilefold_execute(whole, &p.execution, NULL), TILEFOLD_INVALID_ARGUMENT);
    assert_int_equal(tilefold_execute_resized(whole, &smaller, &p.execution, NULL), TILEFOLD_OK);
    p.execution.input_bytes--;
    assert_int_equal(tilefold_execute_resized(whole, &smaller, &p.execution, NULL), TILEFOLD_INVALID_ARGUMENT);
    p.execution.input_bytes++;
    p.execution.output_bytes--;
    assert_int_equal(tilefold_execute_resized(whole, &smaller, &p.execution, NULL), TILEFOLD_INVALID_ARGUMENT);
    assert_true(finish_execution(&p));
    free_tensors(&t);
    tilefold_plan_destroy(whole);
}

/* ------------------------------------------------------------------------------------------------------ groups ---- */

/* Groups where no dense array has them: every second one of a larger array, backwards, apart from each other, or interleaved with
 * the channels, so that channel c of group g is channel c*G + g of the array (a channel shuffle without a copy). */
static void set_groups(tilefold_tensor_strides *s, int64_t groups, int64_t channels, int64_t size, int kind,
                       bool last) {
    int64_t step = last ? 1 : size;
    switch (kind) {
    case 0: s->group = 2 * channels * step; break;
    case 1: s->group = -channels * step; break;
    case 2: s->group = channels * step + 3 * step; break;
    default: s->group = step, s->channel = groups * step; break;
    }
    int64_t whole = 2 * groups * channels + 3 * groups; /* at least so many channels has the array */
    if (last)
        s->spatial[1] = whole, s->spatial[0] = whole * size, s->batch = whole * size * size;
    else
        s->batch = whole * size;
}

static void test_groups_anywhere(void **state) {
    (void)state;
    const int64_t per_group[][2] = {{1, 1}, {3, 5}, {1, 2}, {8, 1}};
    for (int kind = 0; kind < 4; kind++) {
        for (int i = 0; i < 16; i++) {
            bool last = i & 1;
            const int64_t *channels = per_group[i / 4];
            test_problem made = {.name = "groups anywhere", .seed = (uint64_t)(100 * kind + i)};
            tilefold_problem *p = &made.problem;
            tilefold_problem_init(p, i & 2 ? TILEFOLD_CONV_TRANSPOSE : TILEFOLD_CONV, TILEFOLD_F32, 2);
            p->batch = 2, p->groups = 20;
            p->in_channels = p->groups * channels[0], p->out_channels = p->groups * channels[1];
            for (int a = 0; a < 2; a++) {
                p->input_size[a] = 9, p->kernel[a] = 3;
                p->padding_begin[a] = p->padding_end[a] = 1;
            }
            assert_int_equal(tilefold_problem_set_layout(p, last ? TILEFOLD_CHANNELS_LAST : TILEFOLD_CHANNELS_FIRST,
                                                         NULL),
                             TILEFOLD_OK);
            set_groups(&p->input_stride, p->groups, channels[0], last ? 9 : 81, kind, last);
            set_groups(&p->output_stride, p->groups, channels[1], last ? 9 : 81, (kind + i / 4) % 4, last);
            tensors t = make_tensors(&made);
            void *expected = reference_output(&t), *got = malloc(tensors_output_bytes(&t));
            assert_non_null(expected);
            assert_true(agrees_with_double(&t, expected));
            method methods[MAX_METHODS];
            for (int m = machine_methods(methods) - 1; m >= 0; m--) {
                way w = {best_isa(), 2, POOL_LIBRARY, methods[m].algorithm, m & 1, 262144, methods[m].storage};
                outcome done = run_way(&t, &w, got, NULL);
                if (done == FAILED || (done == DONE && !check_output(&t, &w, expected, got)))
                    fail_problem(&made, &w, "groups");
            }
            free(expected);
            free(got);
            free_tensors(&t);
        }
    }
}

/* The gradient of a grouped convolution's weights,
 *
 *     grad_w[g][o][c][k] = sum over n, x of  grad_out[n][g][o][x] * in[n][g][c][x*S + k*D - P],
 *
 * is a convolution by strides alone: images and channels change places, the output's gradient is the kernel, stride and
 * dilation change places. */
enum {
    IMAGES = 3,
    GROUPS = 4,
    IN = 3,
    OUT = 2,
    SIZE = 12,
    TAPS = 3,
    STRIDE = 2,
    DILATION = 2,
    PADDING = 2,
    POSITIONS = 6
};

static float in[IMAGES][GROUPS][IN][SIZE], grad_out[IMAGES][GROUPS][OUT][POSITIONS], grad_weight[GROUPS][OUT][IN][TAPS];

static tilefold_problem weight_gradient(void) {
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 1);
    p.batch = IN, p.groups = GROUPS, p.in_channels = GROUPS * IMAGES, p.out_channels = GROUPS * OUT;
    p.input_size[0] = SIZE, p.kernel[0] = POSITIONS, p.stride[0] = DILATION, p.dilation[0] = STRIDE;
    p.padding_begin[0] = PADDING;
    p.padding_end[0] = (TAPS - 1) * DILATION + (POSITIONS - 1) * STRIDE + 1 - SIZE - PADDING; /* TAPS outputs */
    p.input_stride = (tilefold_tensor_strides){.batch = SIZE,
                                               .group = IN * SIZE,
                                               .channel = GROUPS * IN * SIZE,
                                               .spatial = {1}};
    p.output_stride = (tilefold_tensor_strides){.batch = TAPS,
                                                .group = OUT * IN * TAPS,
                                                .channel = IN * TAPS,
                                                .spatial = {1}};
    p.weight_stride = (tilefold_weight_strides){.group = OUT * POSITIONS,
                                                .out_channel = POSITIONS,
                                                .in_channel = GROUPS * OUT * POSITIONS,
                                                .spatial = {1}};
    return p;
}

static float naive_gradient(int g, int o, int c, int k) {
    double sum = 0;
    for (int n = 0; n < IMAGES; n++)
        for (int x = 0; x < POSITIONS; x++) {
            int at = x * STRIDE + k * DILATION - PADDING;
            if (at >= 0 && at < SIZE) sum += (double)(grad_out[n][g][o][x] * in[n][g][c][at]);
        }
    return (float)sum;
}

static void test_weight_gradient(void **state) {
    (void)state;
    rng r = rng_make(11, 43);
    float *values[] = {&in[0][0][0][0], &grad_out[0][0][0][0]};
    const size_t counts[] = {sizeof in / 4, sizeof grad_out / 4};
    for (int i = 0; i < 2; i++)
        for (size_t j = 0; j < counts[i]; j++) values[i][j] = (float)rng_range(&r, -9, 9); /* sums are exact */
    tilefold_problem p = weight_gradient();
    int64_t size[TILEFOLD_MAX_RANK];
    assert_int_equal(tilefold_output_size(&p, size, NULL), TILEFOLD_OK);
    assert_int_equal(size[0], TAPS);
    way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 262144};
    tilefold_plan_options options = way_options(&w);
    tilefold_message message = {""};
    memset(grad_weight, 0x5a, sizeof grad_weight);
    tilefold_status status = tilefold_convolve(get_context(&w), &p, &options, in, grad_out, NULL, grad_weight,
                                               &message);
    if (status != TILEFOLD_OK) fail_msg("%s", message.text);
    for (int g = 0; g < GROUPS; g++)
        for (int o = 0; o < OUT; o++)
            for (int c = 0; c < IN; c++)
                for (int k = 0; k < TAPS; k++)
                    assert_float_equal(grad_weight[g][o][c][k], naive_gradient(g, o, c, k), 0);
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlap_by_listing), cmocka_unit_test(test_large_arrays),
        cmocka_unit_test(test_hard_arrays),        cmocka_unit_test(test_overlapping_outputs),
        cmocka_unit_test(test_interleaved_output), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_sizes_of_smaller),   cmocka_unit_test(test_groups_anywhere),
        cmocka_unit_test(test_weight_gradient),
    };
    return cmocka_run_group_tests_name("strides", tests, NULL, close_all);
}
