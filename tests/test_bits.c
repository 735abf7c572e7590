/* The same bits: for each problem of the list, across limits, threads, instruction sets, layouts, algorithms, storages,
 * prepacking and the caller's parallel_for.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runner.h"

enum { LAYOUTS = 4, LIMITS = 7, MAX_FAILURES = 8 };

/* Who computes. Few with workers of their own, which are slow to go to sleep when idle. */
static const struct {
    pool pool;
    int32_t threads;
} crews[] = {{POOL_LIBRARY, 1},  {POOL_LIBRARY, 1},  {POOL_LIBRARY, 1},    {POOL_SEQUENTIAL, 2}, {POOL_SEQUENTIAL, 3},
             {POOL_REVERSED, 2}, {POOL_REVERSED, 3}, {POOL_SEQUENTIAL, 7}, {POOL_REVERSED, 5},   {POOL_THREADS, 2},
             {POOL_THREADS, 5},  {POOL_LIBRARY, 2},  {POOL_SHUFFLED, 4},   {POOL_REVERSED, 8},   {POOL_LIBRARY, 1}};

static int64_t nth_limit(int n, int64_t least) {
    const int64_t limits[LIMITS] = {least, least + 1, 8192, 65536, INT64_C(1) << 20, INT64_C(16) << 20, INT64_MAX};
    return limits[n] < least ? least : limits[n];
}

/* The same logical data in four layouts. */
static void make_layouts(const test_problem *made, tensors t[LAYOUTS]) {
    rng r = rng_make(made->seed, 10);
    test_problem laid_out = *made;
    t[0] = make_tensors(&laid_out);
    assert_int_equal(tilefold_problem_set_layout(&laid_out.problem, TILEFOLD_CHANNELS_LAST, NULL), TILEFOLD_OK);
    t[1] = make_tensors(&laid_out);
    laid_out.problem.output_stride = made->problem.output_stride;
    laid_out.problem.weight_stride = made->problem.weight_stride;
    t[2] = make_tensors(&laid_out);
    /* A channel's stride of 0 would make another problem of it. */
    do randomize_strides(&laid_out.problem, &r);
    while (input_view(&laid_out.problem).span < input_view(&laid_out.problem).elements);
    t[3] = make_tensors(&laid_out);
}

/* Fewer ways at a smaller TILEFOLD_TEST_SCALE, and by plain C, which is slow. */
static bool skip_way(tilefold_isa isa, rng *r) {
    static double scale = -1;
    const char *set = getenv("TILEFOLD_TEST_SCALE");
    if (scale < 0) scale = set ? strtod(set, NULL) : 1.0;
    double share = isa == TILEFOLD_ISA_PORTABLE ? 0.4 * scale : scale;
    return rng_range(r, 0, 999) >= (int64_t)ceil(share * 1000);
}

/* One problem under all limits by one instruction set and method; layout and crew vary at random. */
static int try_limits(tensors t[LAYOUTS], way w, rng *r, const void *expected, void *got) {
    int failures = 0;
    w.limit = INT64_MAX;
    int64_t least = least_limit(&t[0].made, &w);
    if (least < 0) return least == LEAST_FAILED;
    for (int n = 0; n < LIMITS; n++) {
        size_t crew = (size_t)rng_range(r, 0, sizeof crews / sizeof *crews - 1);
        int layout = (int)rng_range(r, 0, LAYOUTS - 1);
        if (skip_way(w.isa, r)) continue;
        w.pool = crews[crew].pool;
        w.threads = crews[crew].threads;
        w.limit = INT64_MAX;
        least = least_limit(&t[layout].made, &w);
        failures += least == LEAST_FAILED;
        if (least < 0) continue; /* what is read in place in one layout may not be in another */
        w.limit = nth_limit(n, least);
        outcome outcome = run_way(&t[layout], &w, got, NULL);
        failures += outcome == FAILED || (outcome == DONE && !check_output(&t[layout], &w, expected, got));
    }
    return failures;
}

static int try_problem(const test_problem *made) {
    tensors t[LAYOUTS];
    make_layouts(made, t);
    rng r = rng_make(made->seed, 11);
    tilefold_isa isas[8];
    method methods[MAX_METHODS]; /* but the first, auto: it is one of the others */
    int isa_count = machine_isas(isas), method_count = machine_methods(methods);
    void *expected = reference_output(&t[0]), *got = malloc(tensors_output_bytes(&t[0]) + 1);
    int failures = !(expected && agrees_with_double(&t[0], expected));
    for (int i = 0; expected && i < isa_count; i++) {
        for (int m = 1; m < method_count; m++) {
            for (int prepack = 0; prepack < 2; prepack++) {
                way w = {isas[i], 1, POOL_LIBRARY, methods[m].algorithm, prepack, 0, methods[m].storage};
                failures += try_limits(t, w, &r, expected, got);
            }
        }
    }
    free(expected);
    free(got);
    for (int i = 0; i < LAYOUTS; i++) free_tensors(&t[i]);
    return failures;
}

static void test_f32(void **state) {
    (void)state;
    int failures = 0;
    for (int index = 0; index < listed_problems() && failures < MAX_FAILURES; index++) {
        test_problem made = listed_problem(index, TILEFOLD_F32, index % 3 ? TILEFOLD_F32 : TILEFOLD_NONE);
        failures += try_problem(&made);
    }
    assert_int_equal(failures, 0);
}

/* The types whose partial sums are not kept in the output. */
static void test_small_types(void **state) {
    (void)state;
    int failures = 0;
    for (int index = 0; index < listed_problems() && failures < MAX_FAILURES; index++) {
        tilefold_type type = index & 1 ? TILEFOLD_F16 : TILEFOLD_BF16;
        const tilefold_type bias[] = {TILEFOLD_F32, type, TILEFOLD_NONE};
        test_problem made = listed_problem(index, type, bias[index % 3]);
        failures += try_problem(&made);
    }
    assert_int_equal(failures, 0);
}

/* The chain ends in + 0.0f: a sum that is zero is +0, also where it is a bias of -0 and nothing else, or was cut. */
static void check_zero_sums(const test_problem *made) {
    tensors t = make_tensors(made);
    size_t bytes = tensors_output_bytes(&t);
    unsigned char *zeros = calloc(bytes, 1), *got = malloc(bytes);
    tilefold_isa isas[8];
    method methods[MAX_METHODS];
    int isa_count = machine_isas(isas), ways = isa_count * machine_methods(methods) * 2;
    for (int i = 0; i < 2 * ways; i++) {
        way w = {isas[i % isa_count], 1,        POOL_LIBRARY, methods[i / isa_count / 4].algorithm,
                 i / isa_count & 1,   INT64_MAX};
        int64_t least = least_limit(made, &w);
        assert_int_not_equal(least, LEAST_FAILED);
        if (least < 0) continue;
        w.limit = i / isa_count & 2 ? least : INT64_MAX;
        assert_int_equal(run_way(&t, &w, got, NULL), DONE);
        assert_true(check_output(&t, &w, zeros, got));
    }
    free(zeros);
    free(got);
    free_tensors(&t);
}

static void test_zero_sums(void **state) {
    (void)state;
    if (on_vulkan()) skip(); /* whose zeros have the CPU's signs only where the driver says so */
    static const char *const names[] = {"3x3", "depthwise", "empty phases", "uneven groups"};
    for (int i = 0; i < 4; i++) {
        for (int type = TILEFOLD_F32; type <= TILEFOLD_BF16; type++) {
            test_problem made = named_problem(names[i], (tilefold_type)type, (tilefold_type)type);
            made.data = DATA_ZEROS;
            check_zero_sums(&made);
        }
    }
}

/* A founding case under limits from 64 KiB to none, on Vulkan each with another storage: the same bytes, and right wherever one
 * looks. */
static void check_founding_case(const test_problem *made) {
    const int64_t limits[] = {65536, INT64_C(16) << 20, INT64_MAX};
    tensors t = make_tensors(made);
    size_t bytes = tensors_output_bytes(&t);
    void *first = malloc(bytes), *other = malloc(bytes);
    for (int i = 0; i < 3; i++) {
        way w = {best_isa(), 1 + i, POOL_SEQUENTIAL, TILEFOLD_ALGORITHM_AUTO, i & 1, limits[i]};
        if (on_vulkan()) w.storage = (tilefold_storage)i;
        assert_int_equal(run_way(&t, &w, i ? other : first, NULL), DONE);
        bool right = i             ? check_output(&t, &w, first, other)
                     : on_vulkan() ? check_against_double(&t, first)
                                   : check_samples(&t, first, 300);
        assert_true(right);
    }
    free(first);
    free(other);
    free_tensors(&t);
}

static void test_founding_cases(void **state) {
    (void)state;
    test_problem a = founding_case_a(), b = founding_case_b(TILEFOLD_F32, 256);
    check_founding_case(&a);
    if (list_step() == 1) check_founding_case(&b);
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_small_types),
        cmocka_unit_test(test_zero_sums),
        cmocka_unit_test(test_founding_cases),
    };
    return cmocka_run_group_tests_name("bits", tests, NULL, close_all);
}
