/* The bits of the CPU on a Vulkan device: how it is found out whether a device has them, and that its shaders have where its
 * arithmetic has. There the golden problems agree, and problems of every kind, with padding under infinite weights, subnormal
 * numbers and all.
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
#include "selftest/golden.h"
#include "selftest/selftest.h"
#include "vulkan/vulkan.h"
#include "vulkan_exact.h"

/* ------------------------------------------------------------------------------------------------------ the probe ---- */

static float to_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return isnan(value) ? 0x7fc00000 : bits;
}

/* What is expected is what one rounding gives; each property is shown by several sums; and of those that show that it is fused,
 * nearly all differ where it is not. */
static void test_probe_sums(void **state) {
    (void)state;
    int shown[4] = {0}, rounded_twice = 0;
    for (int i = 0; i < TILEFOLD_VULKAN_PROBE_SUMS; i++) {
        const tilefold_vulkan_probe_sum *s = &tilefold_vulkan_probe_sums[i];
        float a = to_float(s->a), b = to_float(s->b), c = to_float(s->c);
        assert_int_equal(to_bits(fmaf(a, b, c)), s->expected);
        for (int bit = 0; bit < 4; bit++) shown[bit] += s->shows == 1u << bit;
        volatile float product = a * b;
        if (s->shows == TILEFOLD_VULKAN_FUSES) rounded_twice += to_bits(product + c) != s->expected;
    }
    assert_int_equal(shown[0] + shown[1] + shown[2] + shown[3], TILEFOLD_VULKAN_PROBE_SUMS);
    for (int bit = 0; bit < 4; bit++) assert_true(shown[bit] >= 5);
    assert_true(rounded_twice >= 8);
}

/* Nothing less than all that is declared and found will do, and the reason names what is missing. */
static void test_judgement(void **state) {
    (void)state;
    const uint32_t modes = TILEFOLD_VULKAN_ARITHMETIC & ~(uint32_t)TILEFOLD_VULKAN_FUSES;
    for (uint32_t declared = 0; declared <= modes; declared++)
        for (uint32_t found = 0; found <= TILEFOLD_VULKAN_ARITHMETIC; found++) {
            const char *reason = tilefold_vulkan_judge_bits(declared, found);
            assert_int_equal(reason == NULL, declared == modes && found == TILEFOLD_VULKAN_ARITHMETIC);
            assert_true(!reason || strlen(reason) < sizeof(((tilefold_device_info *)0)->other_bits));
        }
    static const char *const words[] = {"subnormal", "infinities", "even", "fused"};
    for (int bit = 0; bit < 4; bit++) {
        uint32_t without = TILEFOLD_VULKAN_ARITHMETIC & ~(1u << bit);
        assert_non_null(strstr(tilefold_vulkan_judge_bits(modes, without), words[bit]));
        if (bit < 3) assert_non_null(strstr(tilefold_vulkan_judge_bits(without & modes, 15), words[bit]));
    }
}

/* -------------------------------------------------------------------------------------- the device as it is opened ---- */

static tilefold_context *open_as_is(void) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.device = TILEFOLD_VULKAN;
    tilefold_context *context;
    tilefold_message message;
    if (tilefold_context_create(&options, &context, &message)) fail_msg("%s", message.text);
    return context;
}

static tilefold_device_info first_vulkan_info(void) {
    tilefold_device_info info;
    tilefold_device_info_init(&info);
    assert_int_equal(tilefold_get_device_info(1, &info, NULL), TILEFOLD_OK);
    assert_int_equal(info.kind, TILEFOLD_VULKAN);
    return info;
}

/* a * b + c, as a convolution. */
static float convolve_once(tilefold_context *context, float a, float b, float c) {
    tilefold_problem p;
    tilefold_plan_options options;
    tilefold_message message;
    float sum = NAN;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 1);
    tilefold_plan_options_init(&options);
    p.bias_type = TILEFOLD_F32;
    assert_int_equal(tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    if (tilefold_convolve(context, &p, &options, &a, &b, &c, &sum, &message)) fail_msg("%s", message.text);
    return sum;
}

/* The probe finds what a convolution shows. */
static void test_probe(void **state) {
    (void)state;
    tilefold_context *context = open_as_is();
    uint32_t found = 0;
    assert_int_equal(tilefold_vulkan_probe(context->state, &found, NULL), TILEFOLD_OK);
    bool fuses = convolve_once(context, 0x1.001p0f, 0x1.001p0f, -0x1.002p0f) == 0x1p-24f;
    bool keeps_subnormals = convolve_once(context, 0x1p-100f, 0x1p-40f, 0) == 0x1p-140f;
    assert_int_equal((found & TILEFOLD_VULKAN_FUSES) != 0, fuses);
    assert_int_equal((found & TILEFOLD_VULKAN_KEEPS_SUBNORMALS) != 0, keeps_subnormals);
    assert_true(found & TILEFOLD_VULKAN_ROUNDS_TO_EVEN);
    tilefold_context_destroy(context);
}

/* A device that lets shaders declare all modes is tried, and what it is found to do decides; without a queue it cannot be. The
 * probe's own shader is there already: none that declares what this device may not have is made. */
static void test_declared(void **state) {
    (void)state;
    tilefold_context *context = open_as_is();
    tilefold_vulkan_context *vulkan = context->state;
    const VkQueue queue = vulkan->queue;
    const uint32_t modes = TILEFOLD_VULKAN_ARITHMETIC & ~(uint32_t)TILEFOLD_VULKAN_FUSES;
    uint32_t found = 0;
    assert_int_equal(tilefold_vulkan_probe(vulkan, &found, NULL), TILEFOLD_OK);
    vulkan->traits.float_modes = modes;
    assert_int_equal(tilefold_vulkan_find_bits(vulkan, NULL), TILEFOLD_OK);
    assert_ptr_equal(vulkan->other_bits, tilefold_vulkan_judge_bits(modes, found));
    vulkan->queue = VK_NULL_HANDLE;
    assert_int_equal(tilefold_vulkan_find_bits(vulkan, NULL), TILEFOLD_OK);
    assert_non_null(strstr(vulkan->other_bits, "queue"));
    vulkan->queue = queue;
    tilefold_context_destroy(context);
}

/* Some lines of the golden table, a NULL behind them. */
static int golden_lines(int step, const char **lines, int room) {
    int count = 0;
    for (int i = 0; tilefold_golden_lines[i] && count < room - 1; i++)
        if (i % step == 0) lines[count++] = tilefold_golden_lines[i];
    lines[count] = NULL;
    return count;
}

/* The device's description, the context and the self-test say the same; and where a device that computes otherwise is taken for
 * one that has the CPU's bits, the self-test finds out. */
static void test_selftest_as_is(void **state) {
    (void)state;
    tilefold_device_info info = first_vulkan_info();
    tilefold_context *context = open_as_is();
    tilefold_vulkan_context *vulkan = context->state;
    tilefold_message message = {""};
    const char *lines[8];
    assert_int_equal(golden_lines(50, lines, 8), 7);
    assert_string_equal(info.other_bits, vulkan->other_bits ? vulkan->other_bits : "");
    assert_int_equal(info.same_bits_as_cpu, vulkan->other_bits == NULL);
    tilefold_status status = tilefold_selftest_lines(context, lines, NULL, NULL, &message);
    assert_int_equal(status, info.same_bits_as_cpu ? TILEFOLD_OK : TILEFOLD_UNSUPPORTED);
    uint32_t found = 0;
    assert_int_equal(tilefold_vulkan_probe(vulkan, &found, NULL), TILEFOLD_OK);
    if (!(found & TILEFOLD_VULKAN_FUSES)) {
        assert_non_null(strstr(message.text, info.other_bits));
        vulkan->other_bits = NULL;
        assert_int_equal(tilefold_selftest_lines(context, lines, NULL, NULL, &message), TILEFOLD_DISAGREEMENT);
    }
    tilefold_context_destroy(context);
}

/* On the CPU there is nothing to ask. */
static void test_cpu(void **state) {
    (void)state;
    tilefold_device_info info;
    tilefold_device_info_init(&info);
    assert_int_equal(tilefold_get_device_info(0, &info, NULL), TILEFOLD_OK);
    assert_true(info.same_bits_as_cpu);
    assert_string_equal(info.other_bits, "");
}

/* --------------------------------------------------------------------------------------- with exact multiply-adds ---- */

/* As a CPU computes, or as a GPU would. */
static tilefold_context *open_exact(bool vectors) {
    tilefold_vulkan_limits limits;
    tilefold_vulkan_limits_init(&limits);
    limits.cpu_vectors = vectors;
    tilefold_context *context;
    tilefold_message message;
    if (exact_open(&limits, &context, &message)) fail_msg("%s", message.text);
    return context;
}

typedef struct agreement {
    int64_t compared, disagreed;
} agreement;

static bool take(void *user, const char *problem, const char *way, bool agrees) {
    agreement *all = user;
    all->compared++;
    if (agrees) return true;
    fprintf(stderr, "differs: %s (%s)\n", problem, way);
    return ++all->disagreed < 5;
}

/* Golden problems: a small share of them, more at a larger TILEFOLD_TEST_SCALE. */
static void run_golden(bool vectors) {
    enum { ROOM = 2000 };
    static const char *lines[ROOM];
    const char *scale = getenv("TILEFOLD_TEST_SCALE");
    int step = scale && strtod(scale, NULL) < 0.5 ? 23 : 5;
    int count = golden_lines(step, lines, ROOM);
    assert_true(count >= 10);
    tilefold_context *context = open_exact(vectors);
    agreement all = {0};
    tilefold_message message = {""};
    tilefold_status status = tilefold_selftest_lines(context, lines, take, &all, &message);
    tilefold_context_destroy(context);
    exact_close();
    if (status != TILEFOLD_OK) fail_msg("%s", message.text);
    assert_true(all.compared >= 4 * count);
}

static void test_golden_by_vectors(void **state) {
    (void)state;
    run_golden(true);
}

static void test_golden_as_on_a_gpu(void **state) {
    (void)state;
    run_golden(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe_sums),
        cmocka_unit_test(test_judgement),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_declared),
        cmocka_unit_test(test_selftest_as_is),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_golden_by_vectors),
        cmocka_unit_test(test_golden_as_on_a_gpu),
    };
    cmocka_set_test_filter(getenv("TILEFOLD_TEST_FILTER"));
    return cmocka_run_group_tests_name("vulkan exact", tests, NULL, NULL);
}
