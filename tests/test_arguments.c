/* Arguments: every field out of its range, every pointer missing, sizes that do not fit; names, versions and device figures.
 * A refusal has its status, a message with numbers, and writes no out-parameter.
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

#include "runner.h"

static tilefold_context *context;

static int open_one(void **state) {
    (void)state;
    way w = {TILEFOLD_ISA_PORTABLE, 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
    context = get_context(&w);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

/* A valid problem with something to spoil in every field. */
static tilefold_problem good_problem(tilefold_op op) {
    tilefold_problem p;
    tilefold_problem_init(&p, op, TILEFOLD_F32, 2);
    p.bias_type = TILEFOLD_F32;
    p.batch = 2;
    p.groups = 2;
    p.in_channels = 4;
    p.out_channels = 6;
    for (int a = 0; a < 2; a++) {
        p.input_size[a] = 7 + a;
        p.kernel[a] = 3;
        p.stride[a] = 2;
        p.padding_begin[a] = p.padding_end[a] = 1;
    }
    assert_int_equal(tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    return p;
}

static tilefold_status try_plan(const tilefold_problem *p, const tilefold_plan_options *options, const char *what) {
    tilefold_plan *const untouched = (tilefold_plan *)&context;
    tilefold_plan *plan = untouched;
    tilefold_message message = {""};
    tilefold_status status = tilefold_plan_create(context, p, options, &plan, &message);
    if (status == TILEFOLD_OK) {
        tilefold_plan_destroy(plan);
        return status;
    }
    if (plan != untouched || !message.text[0] || strchr(message.text, '\n')) {
        fprintf(stderr, "%s: message '%s', plan %s\n", what, message.text, plan == untouched ? "untouched" : "written");
        fail();
    }
    assert_int_equal(tilefold_plan_create(context, p, options, &plan, NULL), status); /* nor is a message needed */
    return status;
}

/* The problem is refused by planning and, where it is about sizes and not strides, by the two other readers of it. */
static void assert_refused(const tilefold_problem *p, tilefold_status expected, const char *what) {
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    int64_t output[TILEFOLD_MAX_RANK] = {-77, -77, -77};
    tilefold_problem laid_out = *p;
    tilefold_message message = {""};
    tilefold_status status = try_plan(p, &options, what);
    if (status != expected) fprintf(stderr, "%s: %s\n", what, tilefold_status_name(status));
    assert_int_equal(status, expected);
    status = tilefold_output_size(p, output, &message);
    if (expected == TILEFOLD_INVALID_ARGUMENT && status != expected) fail_msg("%s: tilefold_output_size", what);
    if (status != TILEFOLD_OK && (output[0] != -77 || !message.text[0])) fail_msg("%s: output_size written", what);
    status = tilefold_problem_set_layout(&laid_out, TILEFOLD_CHANNELS_LAST, &message);
    if (expected == TILEFOLD_INVALID_ARGUMENT && status != expected) fail_msg("%s: set_layout", what);
    if (status != TILEFOLD_OK && memcmp(&laid_out, p, sizeof laid_out) != 0) fail_msg("%s: problem written", what);
}

static void test_problem_fields(void **state) {
    (void)state;
    for (int op = TILEFOLD_CONV; op <= TILEFOLD_CONV_TRANSPOSE; op++) {
        const tilefold_problem good = good_problem((tilefold_op)op);
        tilefold_problem p = good;
        const struct {
            int64_t *field;
            int64_t least;
            const char *name;
        } fields[] = {
            {&p.batch, 0, "batch"},
            {&p.in_channels, 1, "in_channels"},
            {&p.out_channels, 1, "out_channels"},
            {&p.groups, 1, "groups"},
            {&p.input_size[0], 1, "input_size[0]"},
            {&p.input_size[1], 1, "input_size[1]"},
            {&p.kernel[0], 1, "kernel[0]"},
            {&p.kernel[1], 1, "kernel[1]"},
            {&p.stride[0], 1, "stride[0]"},
            {&p.stride[1], 1, "stride[1]"},
            {&p.dilation[0], 1, "dilation[0]"},
            {&p.dilation[1], 1, "dilation[1]"},
            {&p.input_dilation[0], 1, "input_dilation[0]"},
            {&p.input_dilation[1], 1, "input_dilation[1]"},
            {&p.output_padding[0], 0, "output_padding[0]"},
            {&p.output_padding[1], 0, "output_padding[1]"},
        };
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            const int64_t wrong[] = {fields[i].least - 1, -5, INT64_MIN};
            for (int j = 0; j < 3; j++) {
                p = good;
                *fields[i].field = wrong[j];
                assert_refused(&p, TILEFOLD_INVALID_ARGUMENT, fields[i].name);
            }
        }
    }
}

static void test_problem_kinds(void **state) {
    (void)state;
    const tilefold_problem good = good_problem(TILEFOLD_CONV);
    tilefold_problem p = good;
#define REFUSED(change)                                                                                                \
    p = good;                                                                                                          \
    change;                                                                                                            \
    assert_refused(&p, TILEFOLD_INVALID_ARGUMENT, #change)
    REFUSED(p.struct_size = 0);
    REFUSED(p.struct_size = sizeof p - 4);
    REFUSED(p.struct_size = offsetof(tilefold_problem, weight_stride));
    REFUSED(p.reserved[6] = 1);
    REFUSED(p.struct_size = SIZE_MAX);
    REFUSED(p.op = (tilefold_op)2);
    REFUSED(p.op = (tilefold_op)-1);
    REFUSED(p.type = TILEFOLD_NONE);
    REFUSED(p.type = (tilefold_type)4);
    REFUSED(p.type = (tilefold_type)-1);
    REFUSED(p.bias_type = TILEFOLD_F16);
    REFUSED(p.bias_type = (tilefold_type)4);
    REFUSED(p.bias_type = (tilefold_type)-1);
    REFUSED(p.type = TILEFOLD_F16; p.bias_type = TILEFOLD_BF16);
    REFUSED(p.rank = 0);
    REFUSED(p.rank = 4);
    REFUSED(p.rank = -1);
    REFUSED(p.rank = INT32_MAX);
    REFUSED(p.groups = 3);
    REFUSED(p.groups = 4);
    REFUSED(p.groups = 12);
    REFUSED(p.clamp_low = NAN);
    REFUSED(p.clamp_high = NAN);
    REFUSED(p.clamp_low = 2; p.clamp_high = 1);
    REFUSED(p.output_padding[1] = 1); /* a convolution has none */
    REFUSED(p.padding_begin[0] = -20);
    REFUSED(p.padding_end[1] = -20);
    REFUSED(p.kernel[0] = 10);
    REFUSED(p.dilation[1] = 5);
    REFUSED(p = good_problem(TILEFOLD_CONV_TRANSPOSE); p.input_dilation[0] = 2);
    REFUSED(p = good_problem(TILEFOLD_CONV_TRANSPOSE); p.padding_end[0] = 15);
#undef REFUSED
    p = good;
    p.kernel[2] = p.stride[2] = -9; /* past the rank: ignored */
    p.padding_begin[2] = INT64_MIN;
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    assert_int_equal(try_plan(&p, &options, "past the rank"), TILEFOLD_OK);
    tilefold_problem laid_out = good;
    assert_int_equal(tilefold_problem_set_layout(&laid_out, (tilefold_layout)2, NULL), TILEFOLD_INVALID_ARGUMENT);
    assert_int_equal(tilefold_problem_set_layout(&laid_out, (tilefold_layout)-1, NULL), TILEFOLD_INVALID_ARGUMENT);
}

static void test_overflow(void **state) {
    (void)state;
    const tilefold_problem good = good_problem(TILEFOLD_CONV), transposed = good_problem(TILEFOLD_CONV_TRANSPOSE);
    const int64_t big = INT64_C(1) << 62;
    tilefold_problem p = good;
#define OVERFLOWS(change)                                                                                              \
    p = good;                                                                                                          \
    change;                                                                                                            \
    assert_refused(&p, TILEFOLD_OVERFLOW, #change)
    OVERFLOWS(p.padding_begin[0] = p.padding_end[0] = big);
    OVERFLOWS(p.input_size[0] = p.input_size[1] = big);
    OVERFLOWS(p.input_size[0] = big; p.input_dilation[0] = 8);
    OVERFLOWS(p.padding_begin[0] = INT64_MAX);
    OVERFLOWS(p.batch = big);
    OVERFLOWS(p.input_stride.batch = INT64_MAX);
    OVERFLOWS(p.input_stride.channel = INT64_MIN);
    OVERFLOWS(p.output_stride.spatial[1] = big);
    OVERFLOWS(p.output_stride.batch = -big);
    OVERFLOWS(p.weight_stride.out_channel = big);
    OVERFLOWS(p.weight_stride.spatial[0] = INT64_MIN);
    OVERFLOWS(p = transposed; p.stride[0] = big / 4);
    OVERFLOWS(p = transposed; p.kernel[0] = p.dilation[0] = INT64_C(1) << 40);
    OVERFLOWS(p = transposed; p.output_padding[0] = INT64_MAX);
    OVERFLOWS(p = transposed; p.padding_begin[1] = INT64_MIN);
#undef OVERFLOWS
}

static void test_plan_options(void **state) {
    (void)state;
    const tilefold_problem p = good_problem(TILEFOLD_CONV);
    tilefold_plan_options good;
    tilefold_plan_options_init(&good);
    tilefold_plan_options o = good;
#define REFUSED(change, status)                                                                                        \
    o = good;                                                                                                          \
    change;                                                                                                            \
    assert_int_equal(try_plan(&p, &o, #change), status)
    REFUSED(o.struct_size = 0, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.struct_size = SIZE_MAX - 7, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.reserved[0] = 1, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.math = (tilefold_math)2, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.scratch_limit_bytes = -1, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.scratch_limit_bytes = INT64_MIN, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.max_buffer_bytes = -1, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.algorithm = (tilefold_algorithm)4, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.algorithm = (tilefold_algorithm)-1, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.storage = (tilefold_storage)3, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.storage = TILEFOLD_STORAGE_TEXTURE2D, TILEFOLD_UNSUPPORTED);
    REFUSED(o.scratch_limit_bytes = 0, TILEFOLD_LIMIT_TOO_SMALL);
    REFUSED(o.max_buffer_bytes = 1, TILEFOLD_LIMIT_TOO_SMALL);
#undef REFUSED
}

static void test_context_options(void **state) {
    (void)state;
    tilefold_context_options good;
    tilefold_context_options_init(&good);
    tilefold_context_options o = good;
    tilefold_context *const untouched = (tilefold_context *)&good;
    tilefold_message message;
#define REFUSED(change, status)                                                                                        \
    do {                                                                                                               \
        tilefold_context *opened = untouched;                                                                          \
        message.text[0] = 0;                                                                                           \
        o = good;                                                                                                      \
        change;                                                                                                        \
        assert_int_equal(tilefold_context_create(&o, &opened, &message), status);                                      \
        assert_int_equal(tilefold_context_create(&o, &opened, NULL), status);                                          \
        assert_ptr_equal(opened, untouched);                                                                           \
        assert_true(message.text[0]);                                                                                  \
    } while (0)
    REFUSED(o.struct_size = 1, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.threads = -1, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.isa = (tilefold_isa)5, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.isa = (tilefold_isa)-1, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.device_index = -1, TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.device_index = 1, TILEFOLD_NO_DEVICE);
    REFUSED(o.device = (tilefold_device_kind)7, TILEFOLD_NO_DEVICE);
    REFUSED(o.allocator = ((tilefold_allocator){(void *(*)(void *, size_t, size_t))1, NULL, NULL}),
            TILEFOLD_INVALID_ARGUMENT);
    REFUSED(o.parallel_for.run = (void (*)(void *, void (*)(void *, size_t), void *, size_t))1,
            TILEFOLD_INVALID_ARGUMENT);
    tilefold_device_info info;
    tilefold_device_info_init(&info);
    assert_int_equal(tilefold_get_device_info(0, &info, NULL), TILEFOLD_OK);
    for (int isa = TILEFOLD_ISA_PORTABLE; isa <= TILEFOLD_ISA_NEON; isa++) {
        if (!(info.isa_mask & (1u << isa))) REFUSED(o.isa = (tilefold_isa)isa, TILEFOLD_UNSUPPORTED);
    }
#undef REFUSED
    tilefold_context_destroy(NULL);
    tilefold_plan_destroy(NULL);
}

/* -------------------------------------------------------------------------------------------------- executing ---- */

static void test_executions(void **state) {
    (void)state;
    for (int prepack = 0; prepack < 2; prepack++) {
        test_problem made = {.name = "good problem", .seed = 1, .problem = good_problem(TILEFOLD_CONV)};
        way w = {TILEFOLD_ISA_PORTABLE, 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_UNFOLD, prepack, 65536};
        bool declined;
        tilefold_plan *plan = make_plan(&made, &w, &declined);
        tensors t = make_tensors(&made);
        prepared p;
        tilefold_message message;
        assert_int_equal(prepare_execution(plan, &t, &p, &message), TILEFOLD_OK);
        tilefold_execution good = p.execution, e;
        unsigned char *scratch = good.scratch;
        assert_true(good.scratch_bytes > 64);
#define REFUSED(change)                                                                                                \
    e = good;                                                                                                          \
    change;                                                                                                            \
    message.text[0] = 0;                                                                                               \
    assert_int_equal(tilefold_execute(plan, &e, &message), TILEFOLD_INVALID_ARGUMENT);                                 \
    assert_true(message.text[0]);                                                                                      \
    assert_int_equal(tilefold_execute_resized(plan, &made.problem, &e, NULL), TILEFOLD_INVALID_ARGUMENT)
        REFUSED(e.struct_size = 3);
        REFUSED(e.input = NULL);
        REFUSED(e.output = NULL);
        REFUSED(e.bias = NULL);
        REFUSED(e.scratch = NULL);
        REFUSED(e.scratch_bytes--);
        REFUSED(e.scratch_bytes = 0);
        REFUSED(e.scratch = scratch + 4);
        REFUSED(e.input = (const char *)good.input + 1);
        REFUSED(e.output = (char *)good.output + 2);
        if (prepack) {
            REFUSED(e.packed_weight = NULL);
            REFUSED(e.packed_weight = (const char *)good.packed_weight + 16);
        } else {
            REFUSED(e.weight = NULL);
        }
#undef REFUSED
        assert_true(holds_pattern(&t.output));
        assert_true(finish_execution(&p));
        free_tensors(&t);
        tilefold_plan_destroy(plan);
    }
}

/* A bias of fp32 is aligned to its own type, whatever the tensors'. */
static void test_bias_alignment(void **state) {
    (void)state;
    for (tilefold_type type = TILEFOLD_F16; type <= TILEFOLD_BF16; type++) {
        test_problem made = {.name = "good problem", .seed = 1, .problem = good_problem(TILEFOLD_CONV)};
        way w = {TILEFOLD_ISA_PORTABLE, 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_UNFOLD, true, 65536};
        made.problem.type = type;
        bool declined;
        tilefold_plan *plan = make_plan(&made, &w, &declined);
        tensors t = make_tensors(&made);
        prepared p;
        assert_int_equal(prepare_execution(plan, &t, &p, NULL), TILEFOLD_OK);
        float bias[8] = {0};
        p.execution.bias = (const char *)bias + 2;
        assert_int_equal(tilefold_execute(plan, &p.execution, NULL), TILEFOLD_INVALID_ARGUMENT);
        p.execution.bias = bias;
        assert_int_equal(tilefold_execute(plan, &p.execution, NULL), TILEFOLD_OK);
        assert_true(finish_execution(&p));
        free_tensors(&t);
        tilefold_plan_destroy(plan);
    }
}

/* A bias is there where the problem has one, and only there: by an execution, a resized one, and all in one call. */
static void test_bias_or_none(void **state) {
    (void)state;
    for (int biased = 0; biased < 2; biased++) {
        test_problem made = {.name = "good problem", .seed = 1, .problem = good_problem(TILEFOLD_CONV)};
        way w = {TILEFOLD_ISA_PORTABLE, 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_UNFOLD, true, 65536};
        if (!biased) made.problem.bias_type = TILEFOLD_NONE;
        bool declined;
        tilefold_plan *plan = make_plan(&made, &w, &declined);
        tensors t = make_tensors(&made);
        prepared p;
        assert_int_equal(prepare_execution(plan, &t, &p, NULL), TILEFOLD_OK);
        const float some[6] = {0};
        p.execution.bias_bytes = 0;
        for (int given = 0; given < 2; given++) {
            tilefold_status expected = given == biased ? TILEFOLD_OK : TILEFOLD_INVALID_ARGUMENT;
            tilefold_plan_options options = way_options(&w);
            tilefold_message message = {""};
            p.execution.bias = given ? some : NULL;
            assert_int_equal(tilefold_execute(plan, &p.execution, &message), expected);
            assert_int_equal(message.text[0] != 0, expected != TILEFOLD_OK);
            assert_int_equal(tilefold_execute_resized(plan, &made.problem, &p.execution, NULL), expected);
            assert_int_equal(tilefold_convolve(context, &made.problem, &options, tensors_input(&t), tensors_weight(&t),
                                               p.execution.bias, tensors_output(&t), NULL),
                             expected);
        }
        assert_true(finish_execution(&p));
        free_tensors(&t);
        tilefold_plan_destroy(plan);
    }
}

static void test_packing(void **state) {
    (void)state;
    test_problem made = {.name = "good problem", .seed = 1, .problem = good_problem(TILEFOLD_CONV)};
    way w = {TILEFOLD_ISA_PORTABLE, 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_UNFOLD, true, 65536};
    bool declined;
    tilefold_plan *plan = make_plan(&made, &w, &declined);
    tensors t = make_tensors(&made);
    size_t bytes = (size_t)get_info(plan).packed_weight_bytes;
    assert_true(bytes > 0);
    guarded packed = guarded_new(bytes + 64, 64, false);
    const void *weight = tensors_weight(&t);
    tilefold_message message = {""};
    assert_int_equal(tilefold_pack_weight(plan, NULL, 0, packed.data, bytes, &message), TILEFOLD_INVALID_ARGUMENT);
    assert_true(message.text[0]);
    assert_int_equal(tilefold_pack_weight(plan, weight, 0, NULL, bytes, NULL), TILEFOLD_INVALID_ARGUMENT);
    assert_int_equal(tilefold_pack_weight(plan, weight, 0, packed.data, bytes - 1, NULL), TILEFOLD_INVALID_ARGUMENT);
    assert_int_equal(tilefold_pack_weight(plan, weight, 0, packed.data + 4, bytes, NULL), TILEFOLD_INVALID_ARGUMENT);
    assert_int_equal(tilefold_pack_weight(plan, (const char *)weight + 2, 0, packed.data, bytes, NULL),
                     TILEFOLD_INVALID_ARGUMENT);
    assert_int_equal(tilefold_pack_weight(plan, weight, 6 * 2 * 9 * 4 - 1, packed.data, bytes, NULL),
                     TILEFOLD_INVALID_ARGUMENT);
    for (size_t i = 0; i < packed.bytes; i++) assert_int_equal(packed.data[i], 0);
    assert_int_equal(tilefold_pack_weight(plan, weight, 6 * 2 * 9 * 4, packed.data, bytes, NULL), TILEFOLD_OK);
    tilefold_plan_destroy(plan);
    w.prepack = false;
    plan = make_plan(&made, &w, &declined);
    assert_int_equal(tilefold_pack_weight(plan, weight, 0, packed.data, packed.bytes, NULL), TILEFOLD_INVALID_ARGUMENT);
    tilefold_plan_destroy(plan);
    guarded_delete(&packed);
    free_tensors(&t);
}

/* No images: nothing to compute, and no tensor needs to be there. */
static void test_empty_batch(void **state) {
    (void)state;
    tilefold_problem p = good_problem(TILEFOLD_CONV);
    p.batch = 0;
    p.bias_type = TILEFOLD_NONE;
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    float weight[2 * 3 * 2 * 9] = {0};
    assert_int_equal(tilefold_convolve(context, &p, &options, NULL, weight, NULL, NULL, NULL), TILEFOLD_OK);
}

/* ------------------------------------------------------------------------------------------------------- names ---- */

static void test_names(void **state) {
    (void)state;
    for (int status = -1; status <= TILEFOLD_DEVICE_LOST + 1; status++) {
        const char *name = tilefold_status_name((tilefold_status)status);
        assert_non_null(name);
        assert_true(name[0]);
        for (int other = TILEFOLD_OK; other < status && status <= TILEFOLD_DEVICE_LOST; other++) {
            assert_string_not_equal(name, tilefold_status_name((tilefold_status)other));
        }
    }
    assert_string_equal(tilefold_status_name(TILEFOLD_LIMIT_TOO_SMALL), "limit too small");
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", TILEFOLD_VERSION_MAJOR, TILEFOLD_VERSION_MINOR,
             TILEFOLD_VERSION_PATCH);
    assert_string_equal(tilefold_version(), version);
    static const char *const isas[] = {"best", "portable", "avx2", "avx512", "neon"};
    static const char *const algorithms[] = {"auto", "unfold", "implicit", "direct"};
    for (int i = 0; i < 5; i++) assert_string_equal(tilefold_isa_name((tilefold_isa)i), isas[i]);
    for (int i = 0; i < 4; i++) assert_string_equal(tilefold_algorithm_name((tilefold_algorithm)i), algorithms[i]);
    assert_null(tilefold_isa_name((tilefold_isa)5));
    assert_null(tilefold_isa_name((tilefold_isa)-1));
    assert_null(tilefold_algorithm_name((tilefold_algorithm)4));
    assert_null(tilefold_algorithm_name((tilefold_algorithm)-1));
    const size_t bytes[] = {0, 4, 2, 2};
    for (int i = 0; i < 4; i++) assert_int_equal(tilefold_type_bytes((tilefold_type)i), bytes[i]);
}

static void test_devices(void **state) {
    (void)state;
    assert_true(tilefold_device_count() >= 1);
    tilefold_device_info info;
    tilefold_device_info_init(&info);
    assert_int_equal(tilefold_get_device_info(0, &info, NULL), TILEFOLD_OK);
    assert_int_equal(info.struct_size, sizeof info);
    assert_int_equal(info.kind, TILEFOLD_CPU);
    assert_true(info.name[0]);
    assert_true(info.threads >= 1);
    assert_true(info.isa_mask & (1u << TILEFOLD_ISA_PORTABLE));
    assert_true(info.isa_mask & (1u << info.isa));
    assert_true(info.l1_bytes > 0 && info.l2_bytes > 0 && info.memory_bytes > 0);
    tilefold_device_info untouched;
    tilefold_device_info_init(&untouched);
    untouched.index = 4711;
    tilefold_message message = {""};
    assert_int_equal(tilefold_get_device_info(tilefold_device_count(), &untouched, &message), TILEFOLD_NO_DEVICE);
    assert_true(message.text[0]);
    assert_int_equal(untouched.index, 4711);
    untouched.struct_size = 5;
    assert_int_equal(tilefold_get_device_info(0, &untouched, NULL), TILEFOLD_INVALID_ARGUMENT);
}

/* An older caller's shorter struct gets as much as it has room for. */
static void test_short_plan_info(void **state) {
    (void)state;
    test_problem made = {.name = "good problem", .seed = 1, .problem = good_problem(TILEFOLD_CONV)};
    way w = {TILEFOLD_ISA_PORTABLE, 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
    bool declined;
    tilefold_plan *plan = make_plan(&made, &w, &declined);
    tilefold_plan_info whole = get_info(plan), part;
    memset(&part, 0x5a, sizeof part);
    tilefold_plan_info_init_sized(&part, offsetof(tilefold_plan_info, tiles));
    assert_int_equal(tilefold_plan_get_info(plan, &part, NULL), TILEFOLD_OK);
    assert_int_equal(part.struct_size, offsetof(tilefold_plan_info, tiles));
    assert_int_equal(part.scratch_bytes, whole.scratch_bytes);
    assert_int_equal(part.full_unfold_bytes, whole.full_unfold_bytes);
    assert_int_equal(part.macs, INT64_C(0x5a5a5a5a5a5a5a5a));
    tilefold_plan_destroy(plan);
}

static void test_peak(void **state) {
    (void)state;
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    for (int i = 0; i < isa_count; i++) {
        way w = {isas[i], 1, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 65536};
        double flops = 0;
        assert_int_equal(tilefold_measure_peak(get_context(&w), &flops, NULL), TILEFOLD_OK);
        assert_true(flops > 1e6 && flops < 1e16);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_problem_fields),  cmocka_unit_test(test_problem_kinds),
        cmocka_unit_test(test_overflow),        cmocka_unit_test(test_plan_options),
        cmocka_unit_test(test_context_options), cmocka_unit_test(test_executions),
        cmocka_unit_test(test_packing),         cmocka_unit_test(test_bias_alignment),
        cmocka_unit_test(test_bias_or_none),    cmocka_unit_test(test_empty_batch),
        cmocka_unit_test(test_names),           cmocka_unit_test(test_devices),
        cmocka_unit_test(test_short_plan_info), cmocka_unit_test(test_peak),
    };
    return cmocka_run_group_tests_name("arguments", tests, open_one, close_all);
}
