/* math = fast: near the float64 sum, within the bound that the plan states; the same bits across limits, threads, instruction
 * sets, layouts, prepacking and candidates; and exact arithmetic wherever it gains nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cpu/candidates.h"
#include "oracle.h"
#include "runner.h"

enum { PROBLEMS = 40, WAYS = 4, LAYOUTS = 3, MAX_FAILURES = 8 };

/* ----------------------------------------------------------------------------------------------------- problems ---- */

/* An axis that Winograd transforms. */
static void pick_plain_axis(tilefold_problem *p, rng *r, int axis, int64_t least, int64_t most) {
    p->kernel[axis] = 3;
    p->input_size[axis] = rng_range(r, least, most);
    p->padding_begin[axis] = rng_range(r, -1, 2);
    p->padding_end[axis] = rng_range(r, -1, 2);
}

/* An axis that it sums over. */
static void pick_other_axis(tilefold_problem *p, rng *r, int axis, int64_t most) {
    p->kernel[axis] = rng_range(r, 1, 4);
    p->dilation[axis] = rng_range(r, 1, 2);
    if (p->op == TILEFOLD_CONV) p->stride[axis] = rng_range(r, 1, 2);
    p->input_size[axis] = rng_range(r, 1, most) + p->dilation[axis] * (p->kernel[axis] - 1);
    if (p->op == TILEFOLD_CONV) p->padding_begin[axis] = p->padding_end[axis] = rng_range(r, 0, 1);
}

/* One that fast arithmetic takes, or nearly. */
static test_problem make_fast_problem(uint64_t seed) {
    rng r = rng_make(seed, 30);
    const test_data kinds[] = {DATA_UNIT, DATA_UNIT, DATA_UNIT, DATA_INTEGER, DATA_WIDE, DATA_ZEROS, DATA_SPECIAL};
    test_problem made = {.seed = seed, .data = kinds[rng_range(&r, 0, 6)]};
    tilefold_problem *p = &made.problem;
    tilefold_op op = rng_percent(&r, 80) ? TILEFOLD_CONV : TILEFOLD_CONV_TRANSPOSE;
    tilefold_type type = (tilefold_type)RNG_PICK(&r, TILEFOLD_F32, TILEFOLD_F32, TILEFOLD_F16, TILEFOLD_BF16);
    tilefold_problem_init(p, op, type, (int32_t)RNG_PICK(&r, 1, 2, 2, 2, 3));
    p->bias_type = (tilefold_type)RNG_PICK(&r, TILEFOLD_NONE, TILEFOLD_F32, (int64_t)type);
    p->batch = RNG_PICK(&r, 1, 1, 2);
    bool two = p->rank > 1 && rng_percent(&r, 75); /* one axis pays with more channels only */
    p->groups = RNG_PICK(&r, 1, 1, 1, 2);
    p->in_channels = p->groups * (two ? rng_range(&r, 32, 60) : rng_range(&r, 80, 120));
    p->out_channels = p->groups * (two ? rng_range(&r, 32, 60) : rng_range(&r, 80, 120));
    p->flip = rng_percent(&r, 20);
    if (rng_percent(&r, 30)) p->clamp_low = 0;
    int last = p->rank - 1;
    if (p->rank == 1)
        pick_plain_axis(p, &r, 0, 60, 150);
    else
        pick_plain_axis(p, &r, last, 17, 36);
    if (two)
        pick_plain_axis(p, &r, last - 1, 15, 22);
    else if (p->rank > 1)
        pick_other_axis(p, &r, last - 1, 6);
    if (p->rank > 2) pick_other_axis(p, &r, 0, 3);
    tilefold_layout layout = rng_percent(&r, 50) ? TILEFOLD_CHANNELS_FIRST : TILEFOLD_CHANNELS_LAST;
    tilefold_message message;
    if (tilefold_problem_set_layout(p, layout, &message) != TILEFOLD_OK) {
        fprintf(stderr, "%s\n%s\n", message.text, describe_problem(&made));
        abort();
    }
    return made;
}

static way fast_way(tilefold_isa isa) {
    return (way){.isa = isa,
                 .threads = 1,
                 .algorithm = TILEFOLD_ALGORITHM_AUTO,
                 .prepack = true,
                 .limit = INT64_MAX,
                 .math = TILEFOLD_MATH_FAST};
}

/* -------------------------------------------------------------------------------------------------------- error ---- */

/* Dense, in logical order. */
static float *decode(const void *element_zero, const tensor_view *view, tilefold_type type) {
    float *dense = malloc((size_t)(view->elements + 1) * sizeof *dense);
    if (!dense) abort();
    for (int64_t i = 0; i < view->elements; i++)
        dense[i] = oracle_decode(type, (const char *)element_zero +
                                           view_offset(view, i) * (int64_t)tilefold_type_bytes(type));
    return dense;
}

/* Errors, in units of what the bound is a multiple of. */
typedef struct errors {
    double worst, sum, share; /* of the bound, the worst */
    int64_t count;
} errors;

/* How much rounding a number to the type moves it at most. */
static double rounding(tilefold_type type, double x) {
    if (type == TILEFOLD_F16) return fabs(x) * 0x1p-11 + 0x1p-25;
    return type == TILEFOLD_BF16 ? fabs(x) * 0x1p-8 : 0;
}

static double largest_of(const float *values, int64_t count) {
    double most = 0;
    for (int64_t i = 0; i < count; i++) /* no fmax(): gcc 12 for AArch64 breaks down over it */
        if (fabs((double)values[i]) > most) most = fabs((double)values[i]);
    return most;
}

/* Compares every output with float64; false where one is farther off than the plan says. */
static bool check_errors(const tensors *t, const tilefold_plan_info *info, const void *output, errors *e) {
    const tilefold_problem *p = &t->made.problem;
    float *input = decode(tensors_input(t), &t->input_view, p->type);
    float *weight = decode(tensors_weight(t), &t->weight_view, p->type), *bias = NULL;
    tensor_view biases = {.dimensions = 1, .size = {p->out_channels}, .stride = {1}, .elements = p->out_channels};
    if (tensors_bias(t)) bias = decode(tensors_bias(t), &biases, p->bias_type);
    int64_t elements = t->output_view.elements, each = t->weight_view.elements / p->out_channels, wrong = 0;
    double *sum = calloc((size_t)elements, sizeof *sum), *magnitude = calloc((size_t)elements, sizeof *sum);
    oracle_double(p, input, weight, bias, sum, magnitude);
    double most = largest_of(input, t->input_view.elements);
    for (int64_t i = 0, plane = elements / p->batch / p->out_channels; i < elements; i++) {
        int64_t o = i / plane % p->out_channels;
        double weights = 0,
               got = (double)oracle_decode(p->type, (const char *)output + i * (int64_t)tilefold_type_bytes(p->type));
        for (int64_t k = 0; k < each; k++) weights += fabs((double)weight[o * each + k]);
        double unit = (bias ? fabs((double)bias[o]) : 0) + most * weights, wanted = oracle_clamp(p, sum[i]);
        if (!isfinite(got) || unit == 0) continue; /* beyond fp16 */
        double error = fmax(0, fabs(got - wanted) - rounding(p->type, wanted));
        e->worst = fmax(e->worst, error / unit);
        e->share = fmax(e->share, error / (unit * info->error_bound));
        e->sum += error / unit, e->count++;
        wrong += error > unit * info->error_bound;
    }
    free(input), free(weight), free(bias), free(sum), free(magnitude);
    return wrong == 0;
}

/* --------------------------------------------------------------------------------------------------------- bits ---- */

/* The same logical data in three layouts, the last with strides of its own. */
static void make_layouts(const test_problem *made, tensors t[LAYOUTS]) {
    rng r = rng_make(made->seed, 31);
    test_problem laid_out = *made;
    tilefold_problem_set_layout(&laid_out.problem, TILEFOLD_CHANNELS_FIRST, NULL);
    t[0] = make_tensors(&laid_out);
    tilefold_problem_set_layout(&laid_out.problem, TILEFOLD_CHANNELS_LAST, NULL);
    t[1] = make_tensors(&laid_out);
    do randomize_strides(&laid_out.problem, &r);
    while (input_view(&laid_out.problem).span < input_view(&laid_out.problem).elements);
    t[2] = make_tensors(&laid_out);
}

static tilefold_plan *draw_candidate(const test_problem *made, const way *w, rng *r) {
    tilefold_plan_options options = way_options(w);
    tilefold_plan *plan = NULL;
    tilefold_message message;
    int64_t count = tilefold_cpu_count_candidates(get_context(w), &made->problem, &options);
    if (count < 1) fail_problem(made, w, "no candidate");
    if (tilefold_cpu_plan_candidate(get_context(w), &made->problem, &options, rng_range(r, 0, count - 1), &plan,
                                    &message))
        fail_problem(made, w, message.text);
    return plan;
}

static bool run_candidate(tensors *t, const way *w, rng *r, const void *expected, void *got) {
    tilefold_plan *plan = draw_candidate(&t->made, w, r);
    if (get_info(plan).math != TILEFOLD_MATH_FAST) fail_problem(&t->made, w, "an exact candidate among fast ones");
    tilefold_message message = {""};
    prepared p;
    tilefold_status status = prepare_execution(plan, t, &p, &message);
    if (status == TILEFOLD_OK) status = tilefold_execute(plan, &p.execution, &message);
    const char *reason = message.text;
    bool intact = finish_execution(&p), clean = collect_output(t, got, &reason) && intact && status == TILEFOLD_OK;
    tilefold_plan_destroy(plan);
    if (!clean) complain(&t->made, w, reason);
    return clean && check_output(t, w, expected, got);
}

/* Some ways at random by one instruction set. */
static int try_ways(tensors t[LAYOUTS], tilefold_isa isa, rng *r, const void *expected, void *got) {
    int failures = 0;
    for (int i = 0; i < WAYS; i++) {
        tensors *laid_out = &t[rng_range(r, 0, LAYOUTS - 1)];
        way w = fast_way(isa);
        w.prepack = rng_percent(r, 60);
        w.threads = (int32_t)rng_range(r, 1, 4);
        w.pool = rng_percent(r, 50) ? POOL_SEQUENTIAL : POOL_REVERSED;
        int64_t least = least_limit(&laid_out->made, &w);
        assert_in_range(least, 1, 65536);
        if (rng_percent(r, 80))
            w.limit = least + (rng_percent(r, 30) ? 0 : rng_range(r, 0, INT64_C(1) << rng_range(r, 8, 21)));
        if (rng_percent(r, 50))
            failures += run_way(laid_out, &w, got, NULL) != DONE || !check_output(laid_out, &w, expected, got);
        else
            failures += !run_candidate(laid_out, &w, r, expected, got);
    }
    return failures;
}

/* ------------------------------------------------------------------------------------------------------- problems ---- */

/* By portable C, which is the definition, and then in other ways. */
static int try_problem(const test_problem *made, errors by_type[TILEFOLD_BF16 + 1], int64_t *fast) {
    tensors t[LAYOUTS];
    make_layouts(made, t);
    rng r = rng_make(made->seed, 32);
    void *expected = malloc(tensors_output_bytes(&t[0]) + 1), *got = malloc(tensors_output_bytes(&t[0]) + 1);
    tilefold_plan_info info = {.struct_size = sizeof info};
    way w = fast_way(TILEFOLD_ISA_PORTABLE);
    int failures = run_way(&t[0], &w, expected, &info) != DONE, isa_count;
    if (!failures && info.math == TILEFOLD_MATH_FAST) {
        bool exact_data = made->data == DATA_UNIT || made->data == DATA_INTEGER || made->data == DATA_WIDE;
        ++*fast;
        if (exact_data && !check_errors(&t[0], &info, expected, &by_type[made->problem.type])) {
            complain(made, &w, "an error beyond the bound");
            failures++;
        }
        tilefold_isa isas[8];
        isa_count = machine_isas(isas);
        for (int i = 0; i < isa_count; i++) failures += try_ways(t, isas[i], &r, expected, got);
    } else if (!failures) { /* then it is the exact result */
        void *exact = expected_output(&t[0]);
        failures += !check_output(&t[0], &w, exact, expected);
        free(exact);
    }
    free(expected);
    free(got);
    for (int i = 0; i < LAYOUTS; i++) free_tensors(&t[i]);
    return failures;
}

static void test_random_problems(void **state) {
    (void)state;
    static const char *const names[] = {"", "fp32", "fp16", "bf16"};
    errors by_type[TILEFOLD_BF16 + 1] = {{0}};
    int failures = 0;
    int64_t fast = 0;
    problem_run run = begin_problems(PROBLEMS);
    for (int64_t i = 0; i < run.count && failures < MAX_FAILURES; i++) {
        test_problem made = make_fast_problem(problem_seed(&run, i));
        announce_problem(&made);
        failures += try_problem(&made, by_type, &fast);
    }
    for (int type = TILEFOLD_F32; type <= TILEFOLD_BF16; type++) {
        const errors *e = &by_type[type];
        if (e->count)
            print_message("%s: error at worst %.2e, in the mean %.2e, at most %.1e of the bound\n", names[type],
                          e->worst, e->sum / (double)e->count, e->share);
    }
    assert_int_equal(failures, 0);
    if (!run.single && fast < run.count / 3) fail_msg("only %" PRId64 " of %" PRId64 " were fast", fast, run.count);
}

/* ---------------------------------------------------------------------------------------------------- the rule ---- */

static tilefold_math math_of(const tilefold_problem *problem, const way *w) {
    test_problem made = {.problem = *problem};
    bool declined;
    tilefold_plan *plan = make_plan(&made, w, &declined);
    assert_non_null(plan);
    tilefold_plan_info info = get_info(plan);
    tilefold_plan_destroy(plan);
    assert_true(info.error_bound > 0 && info.error_bound < 1);
    return info.math;
}

static tilefold_problem good_problem(void) {
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 2);
    p.in_channels = p.out_channels = 64;
    for (int axis = 0; axis < 2; axis++) {
        p.input_size[axis] = 56;
        p.kernel[axis] = 3;
        p.padding_begin[axis] = p.padding_end[axis] = 1;
    }
    return p;
}

/* Who computes, where and with how much changes nothing; the problem does, and an algorithm that is asked for. */
static void test_rule(void **state) {
    (void)state;
    way w = fast_way(best_isa());
    tilefold_problem p = good_problem();
#define EXPECT(math, change)                                                                                           \
    do {                                                                                                               \
        p = good_problem(), w = fast_way(best_isa());                                                                  \
        change;                                                                                                        \
        assert_int_equal(tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);                 \
        assert_int_equal(math_of(&p, &w), math);                                                                       \
    } while (0)
    EXPECT(TILEFOLD_MATH_FAST, (void)0);
    EXPECT(TILEFOLD_MATH_FAST, w.limit = 65536);
    EXPECT(TILEFOLD_MATH_FAST, w.prepack = false);
    EXPECT(TILEFOLD_MATH_FAST, w.threads = 4);
    EXPECT(TILEFOLD_MATH_FAST, w.isa = TILEFOLD_ISA_PORTABLE);
    EXPECT(TILEFOLD_MATH_FAST, w.max_buffer = 20000);
    EXPECT(TILEFOLD_MATH_FAST, w.algorithm = TILEFOLD_ALGORITHM_IMPLICIT);
    EXPECT(TILEFOLD_MATH_FAST, p.type = TILEFOLD_BF16);
    EXPECT(TILEFOLD_MATH_FAST, p.batch = 0);
    EXPECT(TILEFOLD_MATH_FAST, p.batch = 9);
    EXPECT(TILEFOLD_MATH_FAST, p.op = TILEFOLD_CONV_TRANSPOSE);
    EXPECT(TILEFOLD_MATH_EXACT, w.math = TILEFOLD_MATH_EXACT);
    EXPECT(TILEFOLD_MATH_EXACT, w.algorithm = TILEFOLD_ALGORITHM_UNFOLD);
    EXPECT(TILEFOLD_MATH_EXACT, p.kernel[1] = 5);
    EXPECT(TILEFOLD_MATH_EXACT, p.stride[1] = 2);
    EXPECT(TILEFOLD_MATH_EXACT, p.dilation[1] = 2);
    EXPECT(TILEFOLD_MATH_EXACT, p.input_dilation[0] = 2);
    EXPECT(TILEFOLD_MATH_EXACT, p.groups = 64);
    EXPECT(TILEFOLD_MATH_EXACT, p.in_channels = 3);
    EXPECT(TILEFOLD_MATH_EXACT, p.out_channels = 3);
    EXPECT(TILEFOLD_MATH_EXACT, p.input_size[0] = p.input_size[1] = 4);
#undef EXPECT
}

/* Windows of whole blocks, in the whole's arrays, have its bits; others are refused. */
static void test_windows(void **state) {
    (void)state;
    test_problem made = {.seed = 3, .problem = good_problem()};
    tilefold_problem *p = &made.problem;
    p->in_channels = p->out_channels = 32;
    p->input_size[0] = 30, p->input_size[1] = 35;
    p->padding_end[1] = -2;
    assert_int_equal(tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    way w = fast_way(best_isa());
    tensors t = make_tensors(&made);
    void *whole = malloc(tensors_output_bytes(&t)), *pieces = malloc(tensors_output_bytes(&t));
    tilefold_plan_info info = {.struct_size = sizeof info};
    assert_int_equal(run_way(&t, &w, whole, &info), DONE);
    assert_int_equal(info.math, TILEFOLD_MATH_FAST);
    bool declined;
    tilefold_plan *plan = make_plan(&made, &w, &declined);
    prepared ready;
    assert_int_equal(prepare_execution(plan, &t, &ready, NULL), TILEFOLD_OK);
    static const int64_t cuts[][4] = {{0, 16, 0, 8}, {0, 16, 8, 24}, {16, 14, 0, 32}, {0, 3, 0, 8}, {4, 8, 2, 4}};
    for (int i = 0; i < 5; i++) { /* rows from, so many, columns from, so many; the last two cut blocks */
        tilefold_window window;
        assert_int_equal(tilefold_output_window(p, &window, NULL), TILEFOLD_OK);
        window.begin[0] = cuts[i][0], window.size[0] = cuts[i][1];
        window.begin[1] = cuts[i][2], window.size[1] = cuts[i][3];
        tilefold_problem part;
        tilefold_window_offsets at;
        tilefold_problem_init(&part, TILEFOLD_CONV, TILEFOLD_F32, 1);
        assert_int_equal(tilefold_window_problem(p, &window, &part, &at, NULL), TILEFOLD_OK);
        tilefold_execution e = ready.execution;
        e.input = (const float *)e.input + at.input;
        e.output = (float *)e.output + at.output;
        e.input_bytes = e.output_bytes = 0;
        assert_int_equal(tilefold_execute_window(plan, p, &window, &e, NULL),
                         i < 3 ? TILEFOLD_OK : TILEFOLD_UNSUPPORTED);
    }
    const char *reason;
    assert_true(finish_execution(&ready));
    assert_true(collect_output(&t, pieces, &reason));
    assert_true(check_output(&t, &w, whole, pieces));
    tilefold_plan_destroy(plan);
    free(whole), free(pieces);
    free_tensors(&t);
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_problems),
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_windows),
    };
    return cmocka_run_group_tests_name("fast", tests, NULL, close_all);
}
