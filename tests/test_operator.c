/* The operation: thousands of generated problems, by every instruction set and every algorithm, under limits from the
 * least to the default, against both oracles.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runner.h"

enum { MAX_FAILURES = 5 };

/* How often each method ran: that none is tried by accident only must not pass for success. */
static int64_t ran[TILEFOLD_ALGORITHM_DIRECT + 1][TILEFOLD_STORAGE_TEXTURE3D + 1];

/* A limit between the least and the default, small ones as likely as large ones. */
static int64_t random_limit(rng *r, int64_t least) {
    switch (rng_range(r, 0, 5)) {
    case 0: return least;
    case 1: return least + rng_range(r, 0, 64);
    case 2: return INT64_MAX;
    case 3: return TILEFOLD_DEFAULT_SCRATCH_LIMIT_BYTES;
    default: return least + rng_range(r, 0, INT64_C(1) << rng_range(r, 6, 22));
    }
}

/* Mostly without threads of its own: one after the other, tasks of several threads still have their own scratch, and idle
 * workers of a real pool are slow to go to sleep. */
static void pick_crew(way *w, rng *r) {
    w->threads = (int32_t)rng_range(r, 1, 3);
    w->pool = rng_percent(r, 3) ? POOL_LIBRARY : rng_percent(r, 50) ? POOL_SEQUENTIAL : POOL_REVERSED;
}

/* One problem by one instruction set and one method, the rest at random. */
static bool try_way(tensors *t, tilefold_isa isa, const method *m, rng *r, const void *expected, void *got) {
    way w = {.isa = isa,
             .algorithm = m->algorithm,
             .storage = m->storage,
             .prepack = rng_percent(r, 50),
             .limit = INT64_MAX};
    pick_crew(&w, r);
    int64_t least = least_limit(&t->made, &w);
    if (least >= 0) w.limit = random_limit(r, least);
    tilefold_plan_info info;
    outcome outcome = run_way(t, &w, got, &info);
    if (outcome == DONE) ran[info.algorithm][w.storage]++;
    return outcome == DECLINED || (outcome == DONE && check_output(t, &w, expected, got));
}

static bool try_problem(const test_problem *made, const tilefold_isa *isas, int isa_count) {
    tensors t = make_tensors(made);
    rng r = rng_make(made->seed, 9);
    void *expected = reference_output(&t), *got = malloc(tensors_output_bytes(&t) + 1);
    bool right = expected && agrees_with_double(&t, expected);
    method methods[MAX_METHODS];
    int method_count = machine_methods(methods);
    for (int i = 0; expected && i < isa_count; i++) {
        for (int m = 0; m < method_count; m++) right = try_way(&t, isas[i], &methods[m], &r, expected, got) && right;
    }
    free(expected);
    free(got);
    free_tensors(&t);
    return right;
}

static void try_problems(int64_t count, int64_t budget) {
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas), failures = 0;
    problem_run run = begin_problems(count);
    for (int64_t i = 0; i < run.count && failures < MAX_FAILURES; i++) {
        test_problem made = make_problem(problem_seed(&run, i), budget);
        failures += !try_problem(&made, isas, isa_count);
    }
    assert_int_equal(failures, 0);
}

static void test_small_problems(void **state) {
    (void)state;
    try_problems(10000, 15000);
}

static void test_larger_problems(void **state) {
    (void)state;
    try_problems(1500, 400000);
}

static void test_every_method_ran(void **state) {
    (void)state;
    if (begin_problems(1).single) return;
    method methods[MAX_METHODS];
    int count = machine_methods(methods);
    for (int m = 1; m < count; m++) assert_true(ran[methods[m].algorithm][methods[m].storage] > 0);
}

/* What unfolds nothing has nothing that a texture could hold; who asks for a texture without naming an algorithm gets an unfold. */
static void test_textures_hold_unfolds(void **state) {
    (void)state;
    if (!on_vulkan()) skip();
    test_problem made = listed_problem(0, TILEFOLD_F32, TILEFOLD_NONE);
    for (int algorithm = TILEFOLD_ALGORITHM_AUTO; algorithm <= TILEFOLD_ALGORITHM_DIRECT; algorithm++) {
        way w = {.algorithm = (tilefold_algorithm)algorithm, .storage = TILEFOLD_STORAGE_TEXTURE2D, .limit = INT64_MAX};
        bool declined, unfolds = algorithm <= TILEFOLD_ALGORITHM_UNFOLD;
        tilefold_plan *plan = make_plan(&made, &w, &declined);
        assert_true(plan ? unfolds : declined);
        if (plan) assert_int_equal(get_info(plan).algorithm, TILEFOLD_ALGORITHM_UNFOLD);
        tilefold_plan_destroy(plan);
    }
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_problems),
        cmocka_unit_test(test_larger_problems),
        cmocka_unit_test(test_every_method_ran),
        cmocka_unit_test(test_textures_hold_unfolds),
    };
    return cmocka_run_group_tests_name("operator", tests, NULL, close_all);
}
