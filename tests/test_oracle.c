/* The oracle itself: against values worked out by hand and against SciPy, and its two ways against each other.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "oracle.h"
#include "tensors.h"

/* Every fp16 and bf16 value survives the way to fp32 and back; a value half way goes to the even neighbour. */
static void test_small_types(void **state) {
    (void)state;
    const tilefold_type types[] = {TILEFOLD_F16, TILEFOLD_BF16};
    for (int i = 0; i < 2; i++) {
        uint16_t infinity = types[i] == TILEFOLD_F16 ? 0x7c00 : 0x7f80;
        for (unsigned bits = 0; bits < infinity; bits++) {
            uint16_t here = (uint16_t)bits, next = (uint16_t)(bits + 1), back;
            double low = (double)oracle_decode(types[i], &here), high = (double)oracle_decode(types[i], &next);
            oracle_encode(types[i], (float)low, &back);
            assert_int_equal(back, here);
            uint16_t below = (uint16_t)(bits - 1);
            if (next == infinity) high = 2 * low - (double)oracle_decode(types[i], &below); /* if the format went on */
            float middle = (float)((low + high) / 2);
            oracle_encode(types[i], middle, &back);
            assert_int_equal(back, bits & 1 ? next : here);
            oracle_encode(types[i], nextafterf(middle, 0), &back);
            assert_int_equal(back, here);
            oracle_encode(types[i], -nextafterf(middle, INFINITY), &back);
            assert_int_equal(back, next | 0x8000);
        }
    }
}

static void test_known_values(void **state) {
    (void)state;
    const struct {
        tilefold_type type;
        uint16_t bits;
        float value;
    } known[] = {{TILEFOLD_F16, 0x3c00, 1.0f},       {TILEFOLD_F16, 0x7bff, 65504.0f},
                 {TILEFOLD_F16, 0x0001, 0x1p-24f},   {TILEFOLD_F16, 0x8000, -0.0f},
                 {TILEFOLD_F16, 0xfc00, -INFINITY},  {TILEFOLD_F16, 0x3555, 0x1.554p-2f},
                 {TILEFOLD_BF16, 0x3f80, 1.0f},      {TILEFOLD_BF16, 0xc049, -3.140625f},
                 {TILEFOLD_BF16, 0x0001, 0x1p-133f}, {TILEFOLD_BF16, 0x7f80, INFINITY}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        float value = oracle_decode(known[i].type, &known[i].bits);
        assert_true(value == known[i].value && !signbit(value) == !signbit(known[i].value));
    }
    uint16_t bits;
    oracle_encode(TILEFOLD_F16, 65519.996f, &bits);
    assert_int_equal(bits, 0x7bff);
    oracle_encode(TILEFOLD_F16, 65520.0f, &bits);
    assert_int_equal(bits, 0x7c00);
    oracle_encode(TILEFOLD_BF16, NAN, &bits);
    assert_true(isnan(oracle_decode(TILEFOLD_BF16, &bits)));
}

static tilefold_problem problem_1d(tilefold_op op, int64_t input, int64_t kernel) {
    tilefold_problem p;
    tilefold_problem_init(&p, op, TILEFOLD_F32, 1);
    p.input_size[0] = input;
    p.kernel[0] = kernel;
    return p;
}

static void assert_sums(const tilefold_problem *p, const float *input, const float *weight, const float *bias,
                        int64_t elements, const float *expected) {
    float exact[64];
    double sum[64], magnitude[64];
    assert_true(elements <= 64);
    oracle_exact(p, input, weight, bias, exact);
    oracle_double(p, input, weight, bias, sum, magnitude);
    for (int64_t i = 0; i < elements; i++) {
        assert_true(exact[i] == expected[i]);
        assert_true(sum[i] == (double)expected[i]);
    }
}

/* scipy.signal.upfirdn([1, 10, 100], [1, 2, 3, 4], up=2) and two crops of it. */
static void test_transposed_by_upfirdn(void **state) {
    (void)state;
    const float input[] = {1, 2, 3, 4}, weight[] = {1, 10, 100};
    const float expected[] = {1, 10, 102, 20, 203, 30, 304, 40, 400};
    tilefold_problem p = problem_1d(TILEFOLD_CONV_TRANSPOSE, 4, 3);
    p.stride[0] = 2;
    assert_int_equal(oracle_output_size(&p, 0), 9);
    assert_sums(&p, input, weight, NULL, 9, expected);
    assert_int_equal(oracle_axis_pairs(&p, 0), 5 * 2 + 4 * 1);
    assert_int_equal(oracle_macs(&p), 4 * 3);
    p.padding_begin[0] = 2;
    p.padding_end[0] = 1;
    assert_int_equal(oracle_output_size(&p, 0), 6);
    assert_sums(&p, input, weight, NULL, 6, expected + 2);
    /* The same as a convolution of the dilated input with the mirrored kernel. */
    p = problem_1d(TILEFOLD_CONV, 4, 3);
    p.input_dilation[0] = 2;
    p.padding_begin[0] = p.padding_end[0] = 2;
    p.flip = true;
    assert_int_equal(oracle_output_size(&p, 0), 9);
    assert_sums(&p, input, weight, NULL, 9, expected);
}

/* By hand: x = 0..2 at positions 2x - 1 + 2k of (1 2 3 4 5), so (0 2), (2 4), (4 0) before the bias. */
static void test_conv_by_hand(void **state) {
    (void)state;
    const float input[] = {1, 2, 3, 4, 5}, weight[] = {1, 10}, bias[] = {0.5f};
    const float expected[] = {20.5f, 42.5f, 4.5f};
    tilefold_problem p = problem_1d(TILEFOLD_CONV, 5, 2);
    p.bias_type = TILEFOLD_F32;
    p.stride[0] = p.dilation[0] = 2;
    p.padding_begin[0] = p.padding_end[0] = 1;
    assert_int_equal(oracle_output_size(&p, 0), 3);
    assert_sums(&p, input, weight, bias, 3, expected);
    assert_int_equal(oracle_macs(&p), 4);
    p.clamp_low = 5;
    p.clamp_high = 40;
    float clamped[3];
    oracle_exact(&p, input, weight, bias, clamped);
    assert_true(clamped[0] == 20.5f && clamped[1] == 40.0f && clamped[2] == 5.0f);
}

/* Two groups of two channels to one and one: 2x2 kernel, 2x3 input, by hand. */
static void test_groups_by_hand(void **state) {
    (void)state;
    const float input[] = {1, 2, 3, 4, 5, 6, /**/ 1, 0, 0, 0, 0, 1, /**/ 1, 1, 1, 1, 1, 1, /**/ 0, 1, 0, 2, 0, 3};
    const float weight[] = {1, 2, 3, 4, /**/ 10, 0, 0, 20, /**/ 1, 1, 1, 1, /**/ 5, 6, 7, 8};
    const float expected[] = {1 + 4 + 12 + 20 + 10, 2 + 6 + 15 + 24 + 20, 4 + 6 + 14, 4 + 5 + 24};
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 2);
    p.in_channels = 4;
    p.out_channels = p.groups = 2;
    p.input_size[0] = p.kernel[0] = p.kernel[1] = 2;
    p.input_size[1] = 3;
    assert_sums(&p, input, weight, NULL, 4, expected);
}

/* A zero in the padding is multiplied; a tap between the elements of a dilated input is not there. */
static void test_infinite_weights(void **state) {
    (void)state;
    const float input[] = {1, 1}, weight[] = {INFINITY, 1};
    float sums[4];
    tilefold_problem p = problem_1d(TILEFOLD_CONV, 2, 2);
    p.padding_begin[0] = 1;
    oracle_exact(&p, input, weight, NULL, sums);
    assert_true(isnan(sums[0]) && sums[1] == INFINITY);
    p = problem_1d(TILEFOLD_CONV_TRANSPOSE, 2, 2);
    p.stride[0] = 2;
    oracle_exact(&p, input, weight, NULL, sums);
    assert_true(sums[0] == INFINITY && sums[1] == 1 && sums[2] == INFINITY && sums[3] == 1);
}

/* The chain's end makes +0 of a sum that is -0, and of a bias of -0 that no tap meets; it leaves a sum that is not zero. */
static void test_zero_sums(void **state) {
    (void)state;
    const float input[] = {-0.0f, 1}, weight[] = {1}, bias[] = {-0.0f};
    float sums[3];
    tilefold_problem p = problem_1d(TILEFOLD_CONV_TRANSPOSE, 2, 1);
    p.bias_type = TILEFOLD_F32;
    p.stride[0] = 2;
    oracle_exact(&p, input, weight, bias, sums);
    assert_true(sums[0] == 0 && !signbit(sums[0]) && sums[1] == 0 && !signbit(sums[1]) && sums[2] == 1);
    p.clamp_low = -1;
    p.clamp_high = -0.0f; /* +0 is not above it */
    oracle_exact(&p, input, weight, bias, sums);
    assert_true(sums[0] == 0 && !signbit(sums[0]) && sums[2] == 0 && signbit(sums[2]));
}

/* Gather and scatter, on problems of every kind. */
/* Pairs that meet an input element, by trying every one. */
static void test_pairs_met(void **state) {
    (void)state;
    rng r = rng_make(11, 1);
    for (int i = 0; i < 3000; i++) {
        tilefold_op op = rng_percent(&r, 50) ? TILEFOLD_CONV : TILEFOLD_CONV_TRANSPOSE;
        tilefold_problem p = problem_1d(op, rng_range(&r, 1, 9), rng_range(&r, 1, 6));
        int64_t stride = p.stride[0] = rng_range(&r, 1, 4), dilation = p.dilation[0] = rng_range(&r, 1, 4), dilated = 1;
        if (op == TILEFOLD_CONV && stride == 1) dilated = p.input_dilation[0] = rng_range(&r, 1, 4);
        int64_t before = p.padding_begin[0] = rng_range(&r, -3, 12), met = 0;
        p.padding_end[0] = rng_range(&r, -3, 12);
        for (int64_t x = 0; x < oracle_output_size(&p, 0); x++)
            for (int64_t k = 0; k < p.kernel[0]; k++)
                for (int64_t in = 0; in < p.input_size[0]; in++)
                    met += op == TILEFOLD_CONV ? x * stride + k * dilation - before == in * dilated
                                               : x + before - k * dilation == in * stride;
        if (oracle_output_size(&p, 0) > 0) assert_int_equal(oracle_axis_pairs_met(&p, 0), met);
    }
}

static void test_oracles_agree(void **state) {
    (void)state;
    problem_run run = begin_problems(400);
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_problem(problem_seed(&run, i), 20000);
        tensors t = make_tensors(&made);
        void *expected = expected_output(&t);
        assert_true(check_against_double(&t, expected));
        free(expected);
        free_tensors(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_types),    cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_conv_by_hand),   cmocka_unit_test(test_transposed_by_upfirdn),
        cmocka_unit_test(test_groups_by_hand), cmocka_unit_test(test_infinite_weights),
        cmocka_unit_test(test_zero_sums),      cmocka_unit_test(test_oracles_agree),
        cmocka_unit_test(test_pairs_met),
    };
    return cmocka_run_group_tests_name("oracle", tests, NULL, NULL);
}
