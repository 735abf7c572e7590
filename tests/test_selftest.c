/* The self-test: what it is made of, that it agrees on every instruction set here, and that it notices what does not.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "counting.h"
#include "runner.h"
#include "selftest/golden.h"
#include "selftest/selftest.h"

enum { MAX_LINES = 2000 };

/* ------------------------------------------------------------------------------------------------------------ parts ---- */

static void assert_hash(const char *text, size_t bytes, size_t step, const char *expected) {
    char got[TILEFOLD_SHA256_TEXT];
    tilefold_sha256 hash;
    tilefold_sha256_begin(&hash);
    for (size_t at = 0; at < bytes; at += step)
        tilefold_sha256_add(&hash, text + at, bytes - at < step ? bytes - at : step);
    tilefold_sha256_end(&hash, got);
    assert_string_equal(got, expected);
}

/* The examples that NIST gives for FIPS 180-4, whole and in pieces of every size around a block's. */
static void test_sha256(void **state) {
    (void)state;
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static const char million_hash[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    enum { MILLION = 1000000 };
    static char million[MILLION];
    memset(million, 'a', sizeof million);
    assert_hash("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_hash("abc", 3, 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t step = 1; step <= 56; step += 5)
        assert_hash(two_blocks, 56, step, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    for (size_t step = 55; step <= 65; step++) assert_hash(million, MILLION, step, million_hash);
    assert_hash(million, MILLION, MILLION, million_hash);
}

static tilefold_golden read_problem(const char *problem) {
    static char line[400];
    memset(line, '0', TILEFOLD_SHA256_TEXT - 1);
    snprintf(line + TILEFOLD_SHA256_TEXT - 1, sizeof line - TILEFOLD_SHA256_TEXT + 1, "  %s", problem);
    tilefold_golden golden;
    assert_true(tilefold_golden_read(line, &golden));
    return golden;
}

/* The first outputs of SplitMix64 from seed 0 are e220a8397b1dcdaf and 6e789e6aa1b965f4; the rest is worked out from golden.h. */
static void test_elements(void **state) {
    (void)state;
    static const struct {
        const char *problem;
        uint32_t first, second;
    } known[] = {
        {"conv f32 1x1x1 1x1", 0xbf1dcdaf, 0x3f3965f4},
        {"conv f16 1x1x1 1x1", 0xb9af, 0x39f4},
        {"conv bf16 1x1x1 1x1", 0xbf2f, 0x3f74},
        {"conv f32 1x1x1 1x1 data=wide", 0xbe9dcdaf, 0x3d3965f4},
        {"conv f32 1x1x1 1x1 data=tiny", 0x9a9dcdaf, 0x1c3965f4},
        {"conv f16 1x1x1 1x1 data=tiny", 0x8daf, 0x19f4},
        {"conv f32 1x1x1 1x1 data=huge", 0xdc9dcdaf, 0x5eb965f4},
        {"conv f32 1x1x1 1x1 data=subnormal", 0x801dcdaf, 0x003965f4},
        {"conv f16 1x1x1 1x1 data=integer", 0xbc00, 0x4000},
        {"conv f32 1x1x1 1x1 data=zero", 0x80000000, 0},
        {"conv f32 1x1x1 1x1 plant=input:1:inf", 0xbf1dcdaf, 0x7f800000},
        {"conv f16 1x1x1 1x1 plant=input:1:-inf", 0xb9af, 0xfc00},
        {"conv bf16 1x1x1 1x1 plant=input:1:nan", 0xbf2f, 0x7fc0},
        {"conv f16 1x1x1 1x1 plant=input:1:-0", 0xb9af, 0x8000},
        {"conv bf16 1x1x1 1x1 plant=input:1:denormal", 0xbf2f, 1},
        {"conv f16 1x1x1 1x1 plant=input:1:max", 0xb9af, 0x7bff},
        {"conv f32 1x1x1 1x1 plant=weight:1:inf", 0xbf1dcdaf, 0x3f3965f4},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        tilefold_golden golden = read_problem(known[i].problem);
        assert_int_equal(tilefold_golden_element(&golden, TILEFOLD_GOLDEN_INPUT, 0), known[i].first);
        assert_int_equal(tilefold_golden_element(&golden, TILEFOLD_GOLDEN_INPUT, 1), known[i].second);
    }
}

static void test_words(void **state) {
    (void)state;
    tilefold_golden golden = read_problem("transposed bf16 2x6x7x8 4x3x5 groups=2 stride=2,3 dilation=4 pad=-1:2,3 "
                                          "output-padding=1,0 flip bias=f32 clamp=-1:inf "
                                          "data=wide plant=bias:3:-0");
    const tilefold_problem *p = &golden.problem;
    assert_true(p->op == TILEFOLD_CONV_TRANSPOSE && p->type == TILEFOLD_BF16 && p->rank == 2 && p->batch == 2);
    assert_true(p->in_channels == 6 && p->out_channels == 4 && p->groups == 2 && p->flip &&
                p->bias_type == TILEFOLD_F32);
    assert_true(p->input_size[0] == 7 && p->input_size[1] == 8 && p->kernel[0] == 3 && p->kernel[1] == 5);
    assert_true(p->stride[0] == 2 && p->stride[1] == 3 && p->dilation[0] == 4 && p->dilation[1] == 4);
    assert_true(p->padding_begin[0] == -1 && p->padding_end[0] == 2 && p->padding_begin[1] == 3 &&
                p->padding_end[1] == 3);
    assert_true(p->output_padding[0] == 1 && p->output_padding[1] == 0 && p->input_dilation[1] == 1);
    assert_true(p->clamp_low == -1.0f && p->clamp_high == INFINITY && golden.data == TILEFOLD_GOLDEN_WIDE);
    assert_true(golden.planted == TILEFOLD_GOLDEN_BIAS && golden.planted_index == 3);
    assert_true(golden.planted_value == TILEFOLD_GOLDEN_MINUS_ZERO);

    static const char *const wrong[] = {
        "",
        "conv",
        "conv f32",
        "conv f64 1x1x1 1x1",
        "conv f32 1x1 1x1",
        "conv f32 1x1x1x1x1x1 1x1x1x1x1",
        "conv f32 1x1x1 1x1x1",
        "conv f32 1x1x1 1",
        "conv f32 1x1x1  1x1",
        "conv f32 1x1x1 1x1 ",
        "conv f32 1x1x1 1x1 stride=",
        "conv f32 1x1x1 1x1 stride=1,1",
        "conv f32 1x1x1x1x1 1x1x1x1 stride=1,1",
        "conv f32 1x1x1 1x1 strides=1",
        "conv f32 1x1x1 1x1 pad=1:",
        "conv f32 1x1x1 1x1 pad=1,1",
        "conv f32 1x1x1 1x1 clamp=0",
        "conv f32 1x1x1 1x1 data=random",
        "conv f32 1x1x1 1x1 plant=output:0:inf",
        "conv f32 1x1x1 1x1 plant=input:0:1",
        "conv f32 1x1x1 1x1 flipped",
    };
    char line[200];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(line, sizeof line, "%064d  %s", 0, wrong[i]);
        assert_false(tilefold_golden_read(line, &golden));
    }
    snprintf(line, sizeof line, "%064d conv f32 1x1x1 1x1", 0);
    assert_false(tilefold_golden_read(line, &golden));
    snprintf(line, sizeof line, "%063d  conv f32 1x1x1 1x1", 0);
    assert_false(tilefold_golden_read(line, &golden));
}

/* Any NaN is hashed as one; what is next to a NaN is not. */
static void test_canonical_nan(void **state) {
    (void)state;
    static const struct {
        tilefold_type type;
        uint32_t nan[2], other;
    } known[] = {{TILEFOLD_F32, {0x7fc00000, 0xff800001}, 0xff800000},
                 {TILEFOLD_F16, {0x7e00, 0xfc01}, 0xfc00},
                 {TILEFOLD_BF16, {0x7fc0, 0xff81}, 0xff80}};
    for (int i = 0; i < 3; i++) {
        char text[3][TILEFOLD_SHA256_TEXT];
        for (int j = 0; j < 3; j++) {
            tilefold_sha256 hash;
            tilefold_sha256_begin(&hash);
            tilefold_golden_add(&hash, known[i].type, j < 2 ? known[i].nan[j] : known[i].other);
            tilefold_sha256_end(&hash, text[j]);
        }
        assert_string_equal(text[0], text[1]);
        assert_string_not_equal(text[0], text[2]);
    }
}

/* ------------------------------------------------------------------------------------------------------------ whole ---- */

/* Some of the table's lines, a NULL behind them: of `step` one. Returns how many. */
static int some_lines(int step, const char *lines[MAX_LINES]) {
    int count = 0;
    for (int i = 0; tilefold_golden_lines[i]; i++) {
        assert_true(count < MAX_LINES - 1);
        if (i % step == 0) lines[count++] = tilefold_golden_lines[i];
    }
    lines[count] = NULL;
    return count;
}

/* More at a larger TILEFOLD_TEST_SCALE. */
static int scaled_step(void) {
    const char *scale = getenv("TILEFOLD_TEST_SCALE");
    double share = scale ? strtod(scale, NULL) : 1.0;
    return share >= 1.0 ? 2 : share >= 0.04 ? 5 : 17;
}

typedef struct record {
    int64_t compared, stop_at, problems;
    const char *last, *wanted; /* the only problem that may disagree */
    int64_t disagreed, unexpected;
} record;

static bool take(void *user, const char *problem, const char *way, bool agrees) {
    record *r = user;
    r->problems += r->last != problem;
    r->last = problem;
    if (!agrees) {
        r->disagreed++;
        if (!r->wanted || strcmp(r->wanted, problem) != 0) {
            fprintf(stderr, "differs: %s (%s)\n", problem, way);
            r->unexpected++;
        }
    }
    return ++r->compared != r->stop_at;
}

/* Every instruction set, by few threads and many. */
static void test_agrees(void **state) {
    (void)state;
    const char *lines[MAX_LINES];
    int count = some_lines(scaled_step(), lines), isa_count;
    tilefold_isa isas[8];
    isa_count = machine_isas(isas);
    assert_true(count > 20);
    for (int i = 0; i < 3 * isa_count; i++) {
        way w = {.isa = isas[i / 3],
                 .threads = i % 3 ? i % 3 + 1 : 1,
                 .pool = i % 3 < 2 ? POOL_LIBRARY : POOL_REVERSED};
        record r = {0};
        tilefold_message message = {""};
        tilefold_status status = tilefold_selftest_lines(get_context(&w), lines, take, &r, &message);
        if (status != TILEFOLD_OK)
            fail_msg("%s, %d threads: %s", tilefold_isa_name(w.isa), (int)w.threads, message.text);
        assert_int_equal(r.problems, count);
        assert_true(r.compared >= 4 * count); /* auto and at least one other, twice */
    }
}

/* Those whose sums are subnormal. */
static int subnormal_lines(const char *lines[MAX_LINES]) {
    int count = 0;
    for (int i = 0; tilefold_golden_lines[i]; i++)
        if (strstr(tilefold_golden_lines[i], "data=subnormal") || strstr(tilefold_golden_lines[i], "data=tiny"))
            lines[count++] = tilefold_golden_lines[i];
    lines[count] = NULL;
    return count;
}

/* How the caller rounds, and what it flushes to zero, changes neither the outputs nor what they are compared with. */
static void test_float_environment(void **state) {
    (void)state;
    static const int roundings[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    const char *lines[MAX_LINES];
    assert_true(subnormal_lines(lines) > 20);
    way w = {.isa = best_isa(), .threads = 1};
    tilefold_context *context = get_context(&w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fesetround(roundings[i]), 0);
        tilefold_status status = tilefold_selftest_lines(context, lines, NULL, NULL, NULL);
        assert_int_equal(fegetround(), roundings[i]);
        fesetround(FE_TONEAREST);
        assert_int_equal(status, TILEFOLD_OK);
    }
#ifdef __SSE__
    enum { FLUSH_TO_ZERO_AND_DENORMALS_ARE_ZERO = 0x8040 };
    unsigned was = _mm_getcsr();
    _mm_setcsr(was | FLUSH_TO_ZERO_AND_DENORMALS_ARE_ZERO);
    tilefold_status status = tilefold_selftest_lines(context, lines, NULL, NULL, NULL);
    _mm_setcsr(was);
    assert_int_equal(status, TILEFOLD_OK);
#endif
}

/* The table that the library carries, by the public function; and without a report. */
static void test_table(void **state) {
    (void)state;
    const char *lines[MAX_LINES];
    record r = {.stop_at = 20};
    way w = {.isa = best_isa(), .threads = 1};
    tilefold_message message;
    assert_true(some_lines(1, lines) >= 300);
    assert_int_equal(tilefold_selftest(get_context(&w), take, &r, &message), TILEFOLD_CANCELLED);
    assert_int_equal(r.compared, 20);
    assert_string_equal(message.text, "cancelled after 20 outputs");
    lines[3] = NULL;
    assert_int_equal(tilefold_selftest_lines(get_context(&w), lines, NULL, NULL, NULL), TILEFOLD_OK);
    assert_int_equal(tilefold_selftest(NULL, NULL, NULL, NULL), TILEFOLD_INVALID_ARGUMENT);
    const char *const no_problem[] = {"?", NULL};
    assert_int_equal(tilefold_selftest_lines(get_context(&w), no_problem, NULL, NULL, NULL), TILEFOLD_INVALID_ARGUMENT);
}

/* One digit of one hash: that problem is named, and no other. */
static void test_wrong_hash(void **state) {
    (void)state;
    const char *lines[MAX_LINES];
    int count = some_lines(41, lines);
    char line[400];
    snprintf(line, sizeof line, "%s", lines[count / 2]);
    line[63] = line[63] == '0' ? '1' : '0';
    lines[count / 2] = line;
    record r = {.wanted = line + TILEFOLD_SHA256_TEXT + 1};
    way w = {.isa = best_isa(), .threads = 1};
    tilefold_message message;
    assert_int_equal(tilefold_selftest_lines(get_context(&w), lines, take, &r, &message), TILEFOLD_DISAGREEMENT);
    assert_true(r.disagreed > 0 && r.unexpected == 0 && r.problems == count);
    assert_non_null(strstr(message.text, "outputs have not the golden bits"));
}

/* A parallel_for that leaves out a task is what a user may get wrong. */
static void leave_one_out(void *user, void (*task)(void *argument, size_t index), void *argument, size_t count) {
    (void)user, (void)task, (void)argument, (void)count;
}

static void test_wrong_threads(void **state) {
    (void)state;
    const char *lines[MAX_LINES];
    int count = some_lines(41, lines);
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.parallel_for = (tilefold_parallel_for){leave_one_out, NULL, 2};
    tilefold_context *context;
    assert_int_equal(tilefold_context_create(&options, &context, NULL), TILEFOLD_OK);
    assert_int_equal(tilefold_selftest_lines(context, lines, NULL, NULL, NULL), TILEFOLD_DISAGREEMENT);
    assert_true(count > 5);
    tilefold_context_destroy(context);
}

/* The memory that the manual names is enough, all of it is given back, and each allocation that fails is an error. */
static void test_memory(void **state) {
    (void)state;
    const char *lines[MAX_LINES];
    ledger l = {0};
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.threads = 1;
    options.allocator = ledger_allocator(&l);
    tilefold_context *context;
    assert_int_equal(tilefold_context_create(&options, &context, NULL), TILEFOLD_OK);
    int64_t before = l.live, calls;
    some_lines(scaled_step(), lines);
    assert_int_equal(tilefold_selftest_lines(context, lines, NULL, NULL, NULL), TILEFOLD_OK);
    assert_int_equal(l.live, before);
    assert_true(l.peak - before <= INT64_C(8) << 20);
    lines[1] = NULL;
    calls = l.calls;
    assert_int_equal(tilefold_selftest_lines(context, lines, NULL, NULL, NULL), TILEFOLD_OK);
    int64_t of_one_line = l.calls - calls;
    assert_true(of_one_line > 20);
    for (int64_t i = 1; i <= of_one_line; i++) {
        l.fail_at = l.calls + i;
        assert_int_equal(tilefold_selftest_lines(context, lines, NULL, NULL, NULL), TILEFOLD_OUT_OF_MEMORY);
        assert_int_equal(l.live, before);
    }
    tilefold_context_destroy(context);
    assert_true(l.live == 0 && !l.misused);
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),     cmocka_unit_test(test_elements),
        cmocka_unit_test(test_words),      cmocka_unit_test(test_canonical_nan),
        cmocka_unit_test(test_agrees),     cmocka_unit_test(test_table),
        cmocka_unit_test(test_wrong_hash), cmocka_unit_test(test_wrong_threads),
        cmocka_unit_test(test_memory),     cmocka_unit_test(test_float_environment),
    };
    return cmocka_run_group_tests_name("selftest", tests, NULL, close_all);
}
