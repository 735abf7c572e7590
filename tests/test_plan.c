/* What a plan promises before anything runs: its figures and its printed form; on problems far too large to run, on wild ones
 * and on the founding cases. Limits: test_limits.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "oracle.h"
#include "runner.h"

/* A plan that must succeed, its figures checked. */
static tilefold_plan_info plan_info(const test_problem *made, const way *w) {
    bool declined;
    tilefold_plan *plan = make_plan(made, w, &declined);
    if (!plan) fail_problem(made, w, "no plan");
    tilefold_plan_info info = get_info(plan);
    tilefold_plan_destroy(plan);
    return info;
}

/* ------------------------------------------------------------------------------------------------------ founding ---- */

static void test_founding_cases(void **state) {
    (void)state;
    const int64_t limits[] = {65536, INT64_C(16) << 20};
    for (int i = 0; i < 2; i++) {
        way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, limits[i]};
        test_problem a = founding_case_a(), b = founding_case_b(TILEFOLD_F32, 256);
        test_problem half = founding_case_b(TILEFOLD_F16, 512);
        tilefold_plan_info info = plan_info(&a, &w);
        assert_true(check_plan_info(&a, &w, &info));
        assert_int_equal(info.macs, 21127168); /* 5158 inputs, 4096 taps */
        assert_int_equal(info.full_unfold_bytes, INT64_C(86587211776));
        assert_int_equal(info.output_size[0], 5284864);
        assert_int_equal(info.phases, 1024);
        info = plan_info(&b, &w);
        assert_true(check_plan_info(&b, &w, &info));
        assert_int_equal(info.full_unfold_bytes, 150994944);
        info = plan_info(&half, &w);
        assert_true(check_plan_info(&half, &w, &info));
        assert_int_equal(info.full_unfold_bytes, 301989888);
    }
}

/* --------------------------------------------------------------------------------------------------------- large ---- */

/* A size whose logarithm is uniform. */
static int64_t any_size(rng *r, int bits) { return rng_range(r, 1, INT64_C(1) << rng_range(r, 0, bits)); }

/* A problem of sizes up to 2^40 which, where the bits allow, fits 64-bit offsets. */
static test_problem make_large(uint64_t seed) {
    rng r = rng_make(seed, 14);
    test_problem made = {.seed = seed};
    tilefold_problem *p = &made.problem;
    tilefold_op op = rng_percent(&r, 50) ? TILEFOLD_CONV : TILEFOLD_CONV_TRANSPOSE;
    tilefold_problem_init(p, op, (tilefold_type)rng_range(&r, 1, 3), (int32_t)rng_range(&r, 1, 3));
    int bits = rng_percent(&r, 80) ? 18 / p->rank : 40; /* of each of a dozen factors */
    p->groups = any_size(&r, rng_percent(&r, 30) ? bits : 0);
    p->in_channels = p->groups * any_size(&r, bits / 2 + 1);
    p->out_channels = p->groups * any_size(&r, bits / 2 + 1);
    p->batch = any_size(&r, rng_percent(&r, 30) ? bits : 0);
    int long_axis = (int)rng_range(&r, 0, 2);
    for (int a = 0; a < p->rank; a++) {
        p->input_size[a] = any_size(&r, a == long_axis ? 40 : bits);
        p->kernel[a] = any_size(&r, bits);
        p->stride[a] = any_size(&r, rng_percent(&r, 50) ? 20 : 2);
        p->dilation[a] = any_size(&r, rng_percent(&r, 30) ? 20 : 2);
        if (op == TILEFOLD_CONV) p->input_dilation[a] = any_size(&r, rng_percent(&r, 30) ? 20 : 0);
        p->padding_begin[a] = any_size(&r, 20);
        int64_t missing = 1 - oracle_output_size(p, a);
        if (op == TILEFOLD_CONV)
            p->padding_end[a] = p->dilation[a] * (p->kernel[a] - 1);
        else if (missing > 0)
            p->padding_end[a] = -missing;
    }
    return made;
}

static bool close_to(int64_t figure, double expected) {
    if (expected > 9.2e18) return figure > INT64_C(9000000000000000000);
    return fabs((double)figure - expected) <= 1e-9 * expected;
}

/* Figures that the oracle can only estimate. */
static void check_large(const test_problem *made, const way *w) {
    const tilefold_problem *p = &made->problem;
    tilefold_plan_info info = plan_info(made, w);
    double unfold = (double)p->batch * (double)p->in_channels * (double)tilefold_type_bytes(p->type);
    double macs = (double)p->batch * (double)p->out_channels * (double)(p->in_channels / p->groups);
    bool counted = true;
    for (int a = 0; a < p->rank; a++) {
        unfold *= (double)oracle_output_size(p, a) * (double)p->kernel[a];
        double effort = (double)(p->op == TILEFOLD_CONV ? p->input_dilation[a] : p->stride[a]) * (double)p->kernel[a];
        counted = counted && effort < 1e5;
        if (counted) macs *= (double)oracle_axis_pairs_met(p, a);
        if (info.output_size[a] != oracle_output_size(p, a)) fail_problem(made, w, "output_size");
    }
    if (!close_to(info.full_unfold_bytes, unfold)) fail_problem(made, w, "full_unfold_bytes");
    if (counted && !close_to(info.macs, macs)) fail_problem(made, w, "macs");
    if (info.min_scratch_bytes > (on_vulkan() ? 262144 : 65536)) fail_problem(made, w, "min_scratch_bytes is over");
    if (info.scratch_bytes > w->limit || info.scratch_bytes < 0) fail_problem(made, w, "scratch_bytes");
    if (info.tiles < 1 || info.phases < 1 || info.threads < !on_vulkan())
        fail_problem(made, w, "tiles, phases or threads");
}

static void test_large_problems(void **state) {
    (void)state;
    problem_run run = begin_problems(4000);
    int64_t planned = 0;
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_large(problem_seed(&run, i));
        rng r = rng_make(made.seed, 15);
        way w = {best_isa(), 1, POOL_LIBRARY, (tilefold_algorithm)rng_range(&r, 0, 3), rng_percent(&r, 50), 65536};
        if (rng_percent(&r, 30)) w.limit = INT64_C(1) << rng_range(&r, 17, 60);
        tilefold_status status = tilefold_problem_set_layout(&made.problem,
                                                             rng_percent(&r, 50) ? TILEFOLD_CHANNELS_FIRST
                                                                                 : TILEFOLD_CHANNELS_LAST,
                                                             NULL);
        if (status != TILEFOLD_OK && status != TILEFOLD_OVERFLOW) fail_problem(&made, &w, "set_layout");
        if (status == TILEFOLD_OVERFLOW) continue;
        tilefold_plan_options options = way_options(&w);
        tilefold_plan *plan;
        tilefold_message message = {""};
        status = tilefold_plan_create(get_context(&w), &made.problem, &options, &plan, &message);
        if (status == TILEFOLD_OVERFLOW) continue;
        /* On Vulkan the sum of one output may read more than can be bound. */
        if (status == TILEFOLD_UNSUPPORTED && (w.algorithm != TILEFOLD_ALGORITHM_AUTO || on_vulkan())) continue;
        if (status != TILEFOLD_OK) fail_problem(&made, &w, message.text);
        tilefold_plan_destroy(plan);
        check_large(&made, &w);
        planned++;
    }
    if (!run.single) assert_true(planned > run.count / 4);
}

/* Fields of any value at all, the ends of the range among them: a status, not undefined behaviour. */
static void test_wild_problems(void **state) {
    (void)state;
    problem_run run = begin_problems(20000);
    for (int64_t i = 0; i < run.count; i++) {
        rng r = rng_make(problem_seed(&run, i), 16);
        test_problem made = make_problem(problem_seed(&run, i), 1000);
        tilefold_problem *p = &made.problem;
        int64_t *fields[] = {&p->batch,
                             &p->in_channels,
                             &p->out_channels,
                             &p->groups,
                             p->input_size,
                             p->kernel,
                             p->stride,
                             p->dilation,
                             p->input_dilation,
                             p->padding_begin,
                             p->padding_end,
                             p->output_padding,
                             p->input_stride.spatial,
                             p->output_stride.spatial,
                             p->weight_stride.spatial,
                             &p->input_stride.batch,
                             &p->input_stride.group,
                             &p->output_stride.group,
                             &p->output_stride.channel,
                             &p->weight_stride.in_channel};
        for (int change = (int)rng_range(&r, 1, 4); change > 0; change--) {
            int64_t value = (int64_t)(rng_next(&r) >> rng_range(&r, 0, 63));
            *fields[rng_range(&r, 0, sizeof fields / sizeof *fields - 1)] = RNG_PICK(&r, INT64_MAX, INT64_MIN,
                                                                                     INT64_MAX - 1, value, value,
                                                                                     INT64_C(1) << 62, INT64_C(1) << 31,
                                                                                     0, -1);
        }
        way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
        tilefold_plan_options options = way_options(&w);
        tilefold_plan *plan = NULL;
        tilefold_message message = {""};
        tilefold_status status = tilefold_plan_create(get_context(&w), p, &options, &plan, &message);
        if (status == TILEFOLD_OK)
            tilefold_plan_destroy(plan);
        else if (plan || message.text[0] == 0)
            fail_problem(&made, &w, "no message, or an out-parameter written");
        if (status > TILEFOLD_UNSUPPORTED) fail_problem(&made, &w, message.text);
    }
}

/* Strides of a million on every axis are a million million million phases: counted, not walked. */
static void test_huge_strides(void **state) {
    (void)state;
    clock_t begin = clock();
    for (int bits = 10; bits <= 20; bits++) {
        test_problem made = {.name = "huge strides"};
        tilefold_problem *p = &made.problem;
        tilefold_problem_init(p, TILEFOLD_CONV_TRANSPOSE, TILEFOLD_F16, 3);
        for (int a = 0; a < 3; a++) {
            p->input_size[a] = 2;
            p->kernel[a] = 3 + a;
            p->stride[a] = (INT64_C(1) << bits) / (a + 1);
            p->dilation[a] = a == 1 ? 2 : 1;
        }
        if (tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_FIRST, NULL) != TILEFOLD_OK) continue;
        for (int algorithm = 0; algorithm <= TILEFOLD_ALGORITHM_DIRECT; algorithm++) {
            way w = {best_isa(), 2, POOL_LIBRARY, (tilefold_algorithm)algorithm, true, 65536};
            if (least_limit(&made, &w) == LEAST_DECLINED) continue;
            check_large(&made, &w);
        }
    }
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 20); /* hangs, not slowness */
}

/* So is a convolution whose stride sorts its taps by a thousand million residues. */
static void test_huge_residues(void **state) {
    (void)state;
    clock_t begin = clock();
    int most_bits = on_vulkan() ? 20 : 34; /* there one output reads no more than can be bound */
    for (int bits = 10; bits <= most_bits; bits++) {
        test_problem made = {.name = "huge residues"};
        tilefold_problem *p = &made.problem;
        tilefold_problem_init(p, TILEFOLD_CONV, TILEFOLD_F32, 1);
        p->stride[0] = (INT64_C(1) << bits) - 1;
        p->dilation[0] = 2;
        p->kernel[0] = p->stride[0] * 5 / 2;
        p->input_size[0] = p->stride[0] * 300;
        assert_int_equal(tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
        for (int room = 16; room <= 50; room += 17) {
            way w = {best_isa(), 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, INT64_C(1) << room};
            check_large(&made, &w);
        }
    }
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 20); /* hangs, not slowness */
}

/* --------------------------------------------------------------------------------------------------------- print ---- */

static void assert_prints(const char *text, int64_t figure) {
    char digits[32];
    snprintf(digits, sizeof digits, "%" PRId64, figure);
    if (!strstr(text, digits)) fprintf(stderr, "%s is not in:\n%s\n", digits, text);
    assert_non_null(strstr(text, digits));
}

static void test_print(void **state) {
    (void)state;
    for (int index = 0; index < listed_problems(); index += list_step()) {
        test_problem made = listed_problem(index, TILEFOLD_F16, TILEFOLD_F32);
        way w = {best_isa(), 2, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 123456};
        bool declined;
        tilefold_plan *plan = make_plan(&made, &w, &declined), *again = make_plan(&made, &w, &declined);
        assert_non_null(plan);
        tilefold_plan_info info = get_info(plan);
        char text[4096], other[4096];
        size_t length = tilefold_plan_print(plan, text, sizeof text);
        assert_true(length < sizeof text);
        assert_int_equal(strlen(text), length);
        assert_int_equal(tilefold_plan_print(again, other, sizeof other), length);
        assert_string_equal(text, other);
        const int64_t figures[] = {info.scratch_bytes,
                                   info.plan_bytes,
                                   info.scratch_limit_bytes,
                                   info.min_scratch_bytes,
                                   info.ideal_scratch_bytes,
                                   info.packed_weight_bytes,
                                   info.full_unfold_bytes,
                                   info.tiles,
                                   info.phases,
                                   info.macs,
                                   info.threads,
                                   info.output_size[0]};
        for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) assert_prints(text, figures[i]);
        assert_non_null(strstr(text, tilefold_algorithm_name(info.algorithm)));
        if (!on_vulkan()) assert_non_null(strstr(text, tilefold_isa_name(info.isa)));
        for (size_t bytes = 0; bytes <= length + 1; bytes++) { /* as snprintf, at every size */
            memset(other, '#', sizeof other);
            assert_int_equal(tilefold_plan_print(plan, bytes ? other : NULL, bytes), length);
            if (bytes == 0) continue;
            assert_int_equal(strlen(other), bytes - 1);
            assert_memory_equal(other, text, bytes - 1);
            assert_int_equal(other[bytes], '#');
        }
        tilefold_plan_destroy(plan);
        tilefold_plan_destroy(again);
    }
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_founding_cases), cmocka_unit_test(test_large_problems),
        cmocka_unit_test(test_wild_problems),  cmocka_unit_test(test_huge_strides),
        cmocka_unit_test(test_huge_residues),  cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, close_all);
}
