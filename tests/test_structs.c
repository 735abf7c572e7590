/* Structs whose sizes their callers bring: older and shorter, newer and longer, and no size at all. Each lies right before a page
 * that cannot be read, so that looking past its size is a crash.
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

#ifdef TILEFOLD_HAVE_VULKAN
#include <tilefold_vulkan.h>
#endif

/* ------------------------------------------------------------------------------------------------------- layout ---- */

typedef struct member {
    const char *name;
    size_t at, bytes;
} member;

#define MEMBER(type, name)                                                                                             \
    { #type "." #name, offsetof(type, name), sizeof(((type *)0)->name) }

/* Members follow each other without padding, as what lies in padding is garbage in an older caller's struct. Ends with a member
 * of no bytes at the struct's end. Where pointers have 64 bits: elsewhere there may be padding in between. */
static void check_layout(const member *members) {
    for (; members->bytes; members++) {
        if (members[0].at + members[0].bytes != members[1].at && sizeof(void *) == 8)
            fail_msg("%s ends at %zu, the next member begins at %zu", members->name, members->at + members->bytes,
                     members[1].at);
    }
}

#define END(type)                                                                                                      \
    { #type, sizeof(type), 0 }

/* The members of version 0.2.0, which stay where they are for good. */
static void test_layout(void **state) {
    (void)state;
    typedef tilefold_problem P;
    check_layout((const member[]){MEMBER(P, struct_size),
                                  MEMBER(P, op),
                                  MEMBER(P, type),
                                  MEMBER(P, bias_type),
                                  MEMBER(P, rank),
                                  MEMBER(P, batch),
                                  MEMBER(P, in_channels),
                                  MEMBER(P, out_channels),
                                  MEMBER(P, groups),
                                  MEMBER(P, input_size),
                                  MEMBER(P, kernel),
                                  MEMBER(P, stride),
                                  MEMBER(P, dilation),
                                  MEMBER(P, input_dilation),
                                  MEMBER(P, padding_begin),
                                  MEMBER(P, padding_end),
                                  MEMBER(P, output_padding),
                                  MEMBER(P, input_stride),
                                  MEMBER(P, output_stride),
                                  MEMBER(P, weight_stride),
                                  MEMBER(P, flip),
                                  MEMBER(P, reserved),
                                  MEMBER(P, clamp_low),
                                  MEMBER(P, clamp_high),
                                  END(P)});
    typedef tilefold_tensor_strides T;
    check_layout((const member[]){MEMBER(T, batch), MEMBER(T, group), MEMBER(T, channel), MEMBER(T, spatial), END(T)});
    typedef tilefold_weight_strides W;
    check_layout(
        (const member[]){MEMBER(W, group), MEMBER(W, out_channel), MEMBER(W, in_channel), MEMBER(W, spatial), END(W)});
    typedef tilefold_window X;
    check_layout((const member[]){MEMBER(X, batch_begin), MEMBER(X, batch_size), MEMBER(X, channel_begin),
                                  MEMBER(X, channel_size), MEMBER(X, begin), MEMBER(X, size), END(X)});
    typedef tilefold_weight_window S;
    check_layout((const member[]){MEMBER(S, group_begin), MEMBER(S, group_size), MEMBER(S, out_channel_begin),
                                  MEMBER(S, out_channel_size), END(S)});
    typedef tilefold_window_offsets F;
    check_layout((const member[]){MEMBER(F, input), MEMBER(F, weight), MEMBER(F, bias), MEMBER(F, output), END(F)});
    typedef tilefold_context_options C;
    check_layout((const member[]){MEMBER(C, struct_size), MEMBER(C, device), MEMBER(C, device_index),
                                  MEMBER(C, threads), MEMBER(C, isa), MEMBER(C, allocator.allocate),
                                  MEMBER(C, allocator.release), MEMBER(C, allocator.user), MEMBER(C, parallel_for.run),
                                  MEMBER(C, parallel_for.user), MEMBER(C, parallel_for.threads), END(C)});
    typedef tilefold_device_info D;
    check_layout((const member[]){MEMBER(D, struct_size),
                                  MEMBER(D, kind),
                                  MEMBER(D, index),
                                  MEMBER(D, name),
                                  MEMBER(D, threads),
                                  MEMBER(D, isa),
                                  MEMBER(D, isa_mask),
                                  MEMBER(D, subgroup_size),
                                  MEMBER(D, l1_bytes),
                                  MEMBER(D, l2_bytes),
                                  MEMBER(D, l3_bytes),
                                  MEMBER(D, max_buffer_bytes),
                                  MEMBER(D, memory_bytes),
                                  MEMBER(D, shared_memory_bytes),
                                  MEMBER(D, max_workgroups),
                                  MEMBER(D, max_workgroup_size),
                                  MEMBER(D, storage16),
                                  MEMBER(D, reserved),
                                  MEMBER(D, same_bits_as_cpu),
                                  MEMBER(D, other_bits),
                                  END(D)});
    typedef tilefold_plan_options O;
    check_layout((const member[]){MEMBER(O, struct_size), MEMBER(O, scratch_limit_bytes), MEMBER(O, max_buffer_bytes),
                                  MEMBER(O, algorithm), MEMBER(O, storage), MEMBER(O, prepack_weights),
                                  MEMBER(O, bind_buffers), MEMBER(O, reserved), MEMBER(O, math), END(O)});
    typedef tilefold_plan_info I;
    check_layout((const member[]){MEMBER(I, struct_size),
                                  MEMBER(I, device),
                                  MEMBER(I, algorithm),
                                  MEMBER(I, isa),
                                  MEMBER(I, threads),
                                  MEMBER(I, output_size),
                                  MEMBER(I, scratch_limit_bytes),
                                  MEMBER(I, scratch_bytes),
                                  MEMBER(I, plan_bytes),
                                  MEMBER(I, min_scratch_bytes),
                                  MEMBER(I, ideal_scratch_bytes),
                                  MEMBER(I, packed_weight_bytes),
                                  MEMBER(I, full_unfold_bytes),
                                  MEMBER(I, tiles),
                                  MEMBER(I, phases),
                                  MEMBER(I, macs),
                                  MEMBER(I, math),
                                  MEMBER(I, reserved),
                                  MEMBER(I, error_bound),
                                  END(I)});
    typedef tilefold_execution E;
    check_layout((const member[]){MEMBER(E, struct_size), MEMBER(E, input), MEMBER(E, weight), MEMBER(E, packed_weight),
                                  MEMBER(E, bias), MEMBER(E, output), MEMBER(E, scratch), MEMBER(E, scratch_bytes),
                                  MEMBER(E, progress), MEMBER(E, progress_user), MEMBER(E, device_seconds),
                                  MEMBER(E, input_bytes), MEMBER(E, weight_bytes), MEMBER(E, packed_weight_bytes),
                                  MEMBER(E, bias_bytes), MEMBER(E, output_bytes), END(E)});
}

/* ----------------------------------------------------------------------------------------------------- problems ---- */

/* A struct of that size, whose first bytes are those of `from` and whose rest is zero, before a page that cannot be read. */
static guarded resized(const void *from, size_t bytes, size_t size) {
    guarded memory = guarded_new(size, 8, true);
    memcpy(memory.data, from, bytes < size ? bytes : size);
    if (size >= sizeof size) memcpy(memory.data, &size, sizeof size);
    return memory;
}

enum { CHANNELS = 3, INPUT = 5, KERNEL = 2, OUTPUT = INPUT - KERNEL + 1 };

static tilefold_problem good_problem(void) {
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 1);
    p.in_channels = CHANNELS;
    p.input_size[0] = INPUT;
    p.kernel[0] = KERNEL;
    assert_int_equal(tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    return p;
}

static tilefold_context *open_one(void) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.threads = 1;
    tilefold_context *context;
    assert_int_equal(tilefold_context_create(&options, &context, NULL), TILEFOLD_OK);
    return context;
}

/* Output x is x + 1 times the number of products, clamped by the problem. */
static tilefold_status convolve(const void *problem, const void *options, float output[OUTPUT],
                                tilefold_message *message) {
    float input[CHANNELS * INPUT], weight[CHANNELS * KERNEL];
    for (int i = 0; i < CHANNELS * INPUT; i++) input[i] = (float)(i % INPUT);
    for (int i = 0; i < CHANNELS * KERNEL; i++) weight[i] = i % KERNEL ? 1 : -2;
    tilefold_context *context = open_one();
    tilefold_status status = tilefold_convolve(context, problem, options, input, weight, NULL, output, message);
    tilefold_context_destroy(context);
    return status;
}

static void assert_outputs(const float output[OUTPUT], float low) {
    for (int x = 0; x < OUTPUT; x++) assert_float_equal(output[x], fmaxf((float)(CHANNELS * (1 - x)), low), 0);
}

/* Without flip and clamp, which are at its end, it has neither. */
static void test_shorter_problem(void **state) {
    (void)state;
    tilefold_problem p = good_problem();
    p.clamp_low = 0;
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    float output[OUTPUT];
    assert_int_equal(convolve(&p, &options, output, NULL), TILEFOLD_OK);
    assert_outputs(output, 0);
    const size_t sizes[] = {offsetof(tilefold_problem, clamp_low), offsetof(tilefold_problem, flip)};
    for (int i = 0; i < 2; i++) {
        guarded shorter = resized(&p, sizeof p, sizes[i]);
        memset(shorter.data + offsetof(tilefold_problem, input_stride), 0, sizeof p.input_stride);
        tilefold_problem *given = (tilefold_problem *)shorter.data;
        int64_t size[TILEFOLD_MAX_RANK];
        assert_int_equal(tilefold_output_size(given, size, NULL), TILEFOLD_OK);
        assert_int_equal(size[0], OUTPUT);
        assert_int_equal(tilefold_problem_set_layout(given, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
        assert_memory_equal(shorter.data + sizeof(size_t), (const char *)&p + sizeof(size_t),
                            sizes[i] - sizeof(size_t));
        assert_int_equal(given->struct_size, sizes[i]);
        assert_int_equal(convolve(given, &options, output, NULL), TILEFOLD_OK);
        assert_outputs(output, -INFINITY);
        assert_true(guarded_intact(&shorter));
        guarded_delete(&shorter);
    }
}

/* What a newer caller adds is zero where it is as it was, and nothing is written behind what is known. */
static void test_longer_problem(void **state) {
    (void)state;
    tilefold_problem p = good_problem();
    p.clamp_low = 0;
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    const size_t size = sizeof p + 24;
    guarded longer = resized(&p, sizeof p, size);
    tilefold_problem *given = (tilefold_problem *)longer.data;
    float output[OUTPUT];
    assert_int_equal(tilefold_problem_set_layout(given, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    assert_int_equal(given->struct_size, size);
    assert_int_equal(convolve(given, &options, output, NULL), TILEFOLD_OK);
    assert_outputs(output, 0);
    for (size_t at = sizeof p; at < size; at++) {
        longer.data[at] = 1;
        tilefold_message message = {""};
        assert_int_equal(convolve(given, &options, output, &message), TILEFOLD_INVALID_ARGUMENT);
        char here[32], there[32];
        snprintf(here, sizeof here, " %zu", sizeof p);
        snprintf(there, sizeof there, " %zu", size);
        assert_non_null(strstr(message.text, here));
        assert_non_null(strstr(message.text, there));
        longer.data[at] = 0;
    }
    guarded_delete(&longer);
}

/* A smaller problem that a plan is to run is read by its size too. */
static void test_resized_problem(void **state) {
    (void)state;
    tilefold_problem p = good_problem();
    tilefold_context *context = open_one();
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    tilefold_plan *plan;
    assert_int_equal(tilefold_plan_create(context, &p, &options, &plan, NULL), TILEFOLD_OK);
    tilefold_execution nothing;
    tilefold_execution_init(&nothing);
    p.batch = 0;
    p.clamp_low = 0; /* another problem than the plan's, but not as far as a shorter struct says */
    assert_int_equal(tilefold_execute_resized(plan, &p, &nothing, NULL), TILEFOLD_INVALID_ARGUMENT);
    guarded shorter = resized(&p, sizeof p, offsetof(tilefold_problem, flip));
    tilefold_message message;
    tilefold_status status = tilefold_execute_resized(plan, (const tilefold_problem *)shorter.data, &nothing, &message);
    assert_int_equal(status, TILEFOLD_INVALID_ARGUMENT); /* for want of a weight, which comes after */
    assert_non_null(strstr(message.text, "weight"));
    const size_t wrong[] = {sizeof(size_t), 16, offsetof(tilefold_problem, flip) - 8};
    for (int i = 0; i < 3; i++) {
        guarded part = resized(&p, sizeof p, wrong[i]);
        status = tilefold_execute_resized(plan, (const tilefold_problem *)part.data, &nothing, &message);
        assert_int_equal(status, TILEFOLD_INVALID_ARGUMENT);
        assert_non_null(strstr(message.text, "struct_size"));
        guarded_delete(&part);
    }
    guarded_delete(&shorter);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
}

/* ------------------------------------------------------------------------------------------------------ options ---- */

/* Sizes that no struct has are refused, and the message names them. */
static void assert_sizes_refused(tilefold_status (*try)(const void *given, tilefold_message *message), size_t bytes,
                                 const char *what) {
    const size_t wrong[] = {0, 1, sizeof(size_t) - 1, bytes - 1, bytes + 1, 4104, SIZE_MAX - 7, SIZE_MAX};
    tilefold_message message = {""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        guarded memory = guarded_new(sizeof(size_t), 8, true); /* there is nothing behind the size */
        memcpy(memory.data, &wrong[i], sizeof wrong[i]);
        char number[32];
        snprintf(number, sizeof number, " %zu", wrong[i]);
        if (try(memory.data, &message) != TILEFOLD_INVALID_ARGUMENT || !strstr(message.text, number))
            fail_msg("%s of %zu bytes: %s", what, wrong[i], message.text);
        guarded_delete(&memory);
    }
}

static void assert_refused(tilefold_status (*try)(const void *given, tilefold_message *message), size_t bytes,
                           const char *what) {
    tilefold_message message = {""};
    assert_sizes_refused(try, bytes, what);
    if (try(NULL, &message) != TILEFOLD_INVALID_ARGUMENT || !strstr(message.text, "NULL")) fail_msg("%s: NULL", what);
}

static tilefold_status try_context_options(const void *given, tilefold_message *message) {
    tilefold_context *context;
    tilefold_status status = tilefold_context_create(given, &context, message);
    if (!status) tilefold_context_destroy(context);
    return status;
}

static tilefold_status try_plan_options(const void *given, tilefold_message *message) {
    tilefold_problem p = good_problem();
    float output[OUTPUT];
    return convolve(&p, given, output, message);
}

static tilefold_status try_problem(const void *given, tilefold_message *message) {
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    float output[OUTPUT];
    return convolve(given, &options, output, message);
}

static tilefold_status try_output_size(const void *given, tilefold_message *message) {
    int64_t size[TILEFOLD_MAX_RANK];
    return tilefold_output_size(given, size, message);
}

static tilefold_status try_layout(const void *given, tilefold_message *message) {
    return tilefold_problem_set_layout((void *)(uintptr_t)given, TILEFOLD_CHANNELS_FIRST, message);
}

static tilefold_status try_device_info(const void *given, tilefold_message *message) {
    return tilefold_get_device_info(0, (void *)(uintptr_t)given, message);
}

/* A plan that is made when first asked for and lasts. */
static tilefold_plan *any_plan(void) {
    static tilefold_plan *plan;
    tilefold_problem p = good_problem();
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    if (plan) return plan;
    tilefold_context *context = open_one();
    assert_int_equal(tilefold_plan_create(context, &p, &options, &plan, NULL), TILEFOLD_OK);
    tilefold_context_destroy(context);
    return plan;
}

static tilefold_status try_plan_info(const void *given, tilefold_message *message) {
    return tilefold_plan_get_info(any_plan(), (void *)(uintptr_t)given, message);
}

static tilefold_status try_execution(const void *given, tilefold_message *message) {
    return tilefold_execute(any_plan(), given, message);
}

static void test_wrong_sizes(void **state) {
    (void)state;
    assert_refused(try_problem, sizeof(tilefold_problem), "problem");
    assert_refused(try_output_size, sizeof(tilefold_problem), "problem, output size");
    assert_refused(try_layout, sizeof(tilefold_problem), "problem, layout");
    assert_refused(try_context_options, sizeof(tilefold_context_options), "context options");
    assert_refused(try_plan_options, sizeof(tilefold_plan_options), "plan options");
    assert_refused(try_execution, sizeof(tilefold_execution), "execution");
    assert_refused(try_plan_info, sizeof(tilefold_plan_info), "plan info");
    assert_refused(try_device_info, sizeof(tilefold_device_info), "device info");
    tilefold_plan_destroy(any_plan());
}

/* Of every length between nothing and too much, options and infos are served. */
static void test_option_sizes(void **state) {
    (void)state;
    tilefold_context_options context_options;
    tilefold_context_options_init(&context_options);
    for (size_t size = sizeof(size_t); size <= sizeof context_options + 16; size += sizeof(void *)) {
        guarded given = resized(&context_options, sizeof context_options, size);
        assert_int_equal(try_context_options(given.data, NULL), TILEFOLD_OK);
        guarded_delete(&given);
    }
    tilefold_plan_options plan_options;
    tilefold_plan_options_init(&plan_options);
    plan_options.scratch_limit_bytes = 5000;
    for (size_t size = sizeof(size_t); size <= sizeof plan_options + 16; size += sizeof(void *)) {
        guarded given = resized(&plan_options, sizeof plan_options, size);
        tilefold_problem p = good_problem();
        tilefold_context *context = open_one();
        tilefold_plan *plan;
        const tilefold_plan_options *options = (const tilefold_plan_options *)given.data;
        assert_int_equal(tilefold_plan_create(context, &p, options, &plan, NULL), TILEFOLD_OK);
        tilefold_plan_info info = get_info(plan);
        assert_true(info.packed_weight_bytes > 0); /* the default, where the member is missing */
        assert_int_equal(info.scratch_limit_bytes, size > sizeof(size_t) ? 5000 : TILEFOLD_DEFAULT_SCRATCH_LIMIT_BYTES);
        tilefold_plan_destroy(plan);
        tilefold_context_destroy(context);
        guarded_delete(&given);
    }
}

/* Infos are filled in as far as there is room, and not further. */
static void test_info_sizes(void **state) {
    (void)state;
    tilefold_problem p = good_problem();
    tilefold_context *context = open_one();
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    tilefold_plan *plan;
    assert_int_equal(tilefold_plan_create(context, &p, &options, &plan, NULL), TILEFOLD_OK);
    tilefold_plan_info whole = get_info(plan);
    for (size_t size = offsetof(tilefold_plan_info, isa); size <= sizeof whole + 16; size += sizeof(void *)) {
        guarded room = guarded_new(size, 8, true);
        tilefold_plan_info_init_sized((tilefold_plan_info *)room.data, size);
        assert_int_equal(tilefold_plan_get_info(plan, (tilefold_plan_info *)room.data, NULL), TILEFOLD_OK);
        guarded expected = resized(&whole, sizeof whole, size);
        assert_memory_equal(room.data, expected.data, size);
        assert_true(guarded_intact(&room));
        if (size > sizeof whole) {
            room.data[size - 1] = 1;
            assert_int_equal(tilefold_plan_get_info(plan, (tilefold_plan_info *)room.data, NULL),
                             TILEFOLD_INVALID_ARGUMENT);
        }
        guarded_delete(&expected);
        guarded_delete(&room);
    }
    tilefold_device_info device;
    tilefold_device_info_init(&device);
    assert_int_equal(tilefold_get_device_info(0, &device, NULL), TILEFOLD_OK);
    for (size_t size = offsetof(tilefold_device_info, name); size <= sizeof device + 16; size += sizeof(void *)) {
        guarded room = guarded_new(size, 8, true);
        tilefold_device_info_init_sized((tilefold_device_info *)room.data, size);
        assert_int_equal(tilefold_get_device_info(0, (tilefold_device_info *)room.data, NULL), TILEFOLD_OK);
        guarded expected = resized(&device, sizeof device, size);
        assert_memory_equal(room.data, expected.data, size);
        assert_true(guarded_intact(&room));
        guarded_delete(&expected);
        guarded_delete(&room);
    }
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
}

/* An execution from before it could say how large its tensors are, or ask for the device's time. */
static void test_shorter_execution(void **state) {
    (void)state;
    tilefold_problem p = good_problem();
    tilefold_context *context = open_one();
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.prepack_weights = false;
    tilefold_plan *plan;
    assert_int_equal(tilefold_plan_create(context, &p, &options, &plan, NULL), TILEFOLD_OK);
    float input[CHANNELS * INPUT] = {0}, weight[CHANNELS * KERNEL] = {0}, output[OUTPUT] = {7, 7, 7, 7};
    guarded scratch = guarded_new((size_t)get_info(plan).scratch_bytes, TILEFOLD_ALIGNMENT, true);
    tilefold_execution e;
    tilefold_execution_init(&e);
    e.input = input, e.weight = weight, e.output = output, e.scratch = scratch.data, e.scratch_bytes = scratch.bytes;
    e.input_bytes = 1; /* of no use to a shorter struct */
    assert_int_equal(tilefold_execute(plan, &e, NULL), TILEFOLD_INVALID_ARGUMENT);
    guarded shorter = resized(&e, sizeof e, offsetof(tilefold_execution, progress));
    assert_int_equal(tilefold_execute(plan, (const tilefold_execution *)shorter.data, NULL), TILEFOLD_OK);
    for (int x = 0; x < OUTPUT; x++) assert_float_equal(output[x], 0, 0);
    guarded_delete(&shorter);
    guarded_delete(&scratch);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
}

/* --------------------------------------------------------------------------------------------------- exported init ---- */

/* Fills `size` bytes, zero behind what it knows, and none more. */
static void check_init(void (*init)(void *memory, size_t size), size_t bytes, const char *what) {
    guarded whole = guarded_new(bytes, 8, true);
    init(whole.data, bytes);
    for (size_t size = 0; size <= bytes + 16; size++) {
        guarded memory = guarded_new(size, 8, true);
        memset(memory.data, 0x5a, size);
        init(memory.data, size);
        guarded expected = resized(whole.data, bytes, size);
        if (size >= sizeof size && memcmp(memory.data, expected.data, size) != 0) fail_msg("%s of %zu", what, size);
        if (!guarded_intact(&memory)) fail_msg("%s of %zu writes past it", what, size);
        guarded_delete(&expected);
        guarded_delete(&memory);
    }
    guarded_delete(&whole);
}

#define INIT(type)                                                                                                     \
    static void init_##type(void *memory, size_t size) { tilefold_##type##_init_sized(memory, size); }
INIT(context_options)
INIT(plan_options)
INIT(execution)
INIT(plan_info)
INIT(device_info)
#ifdef TILEFOLD_HAVE_VULKAN
INIT(vulkan_limits)
INIT(vulkan_options)
INIT(vulkan_requirements)
INIT(vulkan_tensors)
#endif

static void init_problem(void *memory, size_t size) {
    tilefold_problem_init_sized(memory, size, TILEFOLD_CONV_TRANSPOSE, TILEFOLD_BF16, 3);
}

static void test_init(void **state) {
    (void)state;
    check_init(init_problem, sizeof(tilefold_problem), "problem");
    check_init(init_context_options, sizeof(tilefold_context_options), "context options");
    check_init(init_plan_options, sizeof(tilefold_plan_options), "plan options");
    check_init(init_execution, sizeof(tilefold_execution), "execution");
    check_init(init_plan_info, sizeof(tilefold_plan_info), "plan info");
    check_init(init_device_info, sizeof(tilefold_device_info), "device info");
#ifdef TILEFOLD_HAVE_VULKAN
    check_init(init_vulkan_limits, sizeof(tilefold_vulkan_limits), "limits");
    check_init(init_vulkan_options, sizeof(tilefold_vulkan_options), "vulkan options");
    check_init(init_vulkan_requirements, sizeof(tilefold_vulkan_requirements), "requirements");
    check_init(init_vulkan_tensors, sizeof(tilefold_vulkan_tensors), "tensors");
#endif
    tilefold_problem p;
    memset(&p, 0x5a, sizeof p);
    tilefold_problem_init(&p, TILEFOLD_CONV_TRANSPOSE, TILEFOLD_BF16, 3);
    assert_int_equal(p.struct_size, sizeof p);
    assert_true(p.op == TILEFOLD_CONV_TRANSPOSE && p.type == TILEFOLD_BF16 && p.bias_type == TILEFOLD_NONE);
    assert_true(p.batch == 1 && p.groups == 1 && p.kernel[2] == 1 && p.input_dilation[0] == 1 && !p.flip);
    assert_true(isinf(p.clamp_low) && p.clamp_low < 0 && isinf(p.clamp_high) && p.clamp_high > 0);
}

#ifdef TILEFOLD_HAVE_VULKAN
static tilefold_status try_preset(const void *given, tilefold_message *message) {
    return tilefold_vulkan_limits_preset("mali", (void *)(uintptr_t)given, message);
}

/* Options are looked at before a driver is. */
static tilefold_status try_vulkan_options(const void *given, tilefold_message *message) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    tilefold_context *context;
    return tilefold_vulkan_context_create(&options, given, &context, message);
}

static tilefold_status try_vulkan_context_options(const void *given, tilefold_message *message) {
    tilefold_vulkan_options vulkan;
    tilefold_vulkan_options_init(&vulkan);
    tilefold_context *context;
    return tilefold_vulkan_context_create(given, &vulkan, &context, message);
}

static tilefold_status try_limits(const void *given, tilefold_message *message) {
    tilefold_vulkan_options vulkan;
    tilefold_vulkan_options_init(&vulkan);
    vulkan.limits = given;
    return try_vulkan_options(&vulkan, message);
}

static void test_vulkan_sizes(void **state) {
    (void)state;
    assert_refused(try_preset, sizeof(tilefold_vulkan_limits), "limits of a preset");
    assert_refused(try_vulkan_options, sizeof(tilefold_vulkan_options), "vulkan options");
    assert_refused(try_vulkan_context_options, sizeof(tilefold_context_options), "context options");
    assert_sizes_refused(try_limits, sizeof(tilefold_vulkan_limits), "limits");
    typedef tilefold_vulkan_limits L;
    check_layout((const member[]){MEMBER(L, struct_size), MEMBER(L, max_buffer_bytes), MEMBER(L, max_workgroups),
                                  MEMBER(L, max_image_2d), MEMBER(L, max_image_3d), MEMBER(L, storage_16bit),
                                  MEMBER(L, host_tensors), MEMBER(L, cpu_vectors), MEMBER(L, reserved), END(L)});
    typedef tilefold_vulkan_options O;
    check_layout((const member[]){MEMBER(O, struct_size), MEMBER(O, get_instance_proc_addr), MEMBER(O, instance),
                                  MEMBER(O, physical_device), MEMBER(O, device), MEMBER(O, storage_16bit_enabled),
                                  MEMBER(O, external_memory_host_enabled), MEMBER(O, float_controls_enabled),
                                  MEMBER(O, reserved), MEMBER(O, queue_family), MEMBER(O, queue), MEMBER(O, lock_queue),
                                  MEMBER(O, unlock_queue), MEMBER(O, queue_user), MEMBER(O, limits),
                                  MEMBER(O, pipeline_cache), MEMBER(O, pipeline_cache_bytes), END(O)});
    typedef tilefold_vulkan_requirements R;
    check_layout((const member[]){MEMBER(R, struct_size), MEMBER(R, scratch_bytes), MEMBER(R, offset_alignment),
                                  MEMBER(R, usage), MEMBER(R, reserved), END(R)});
    typedef tilefold_vulkan_range G;
    check_layout((const member[]){MEMBER(G, buffer), MEMBER(G, offset), MEMBER(G, end), END(G)});
    typedef tilefold_vulkan_tensors T;
    check_layout((const member[]){MEMBER(T, struct_size), MEMBER(T, input), MEMBER(T, weight), MEMBER(T, bias),
                                  MEMBER(T, output), MEMBER(T, scratch), END(T)});
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),         cmocka_unit_test(test_shorter_problem),
        cmocka_unit_test(test_longer_problem), cmocka_unit_test(test_resized_problem),
        cmocka_unit_test(test_wrong_sizes),    cmocka_unit_test(test_option_sizes),
        cmocka_unit_test(test_info_sizes),     cmocka_unit_test(test_shorter_execution),
        cmocka_unit_test(test_init),
#ifdef TILEFOLD_HAVE_VULKAN
        cmocka_unit_test(test_vulkan_sizes),
#endif
    };
    return cmocka_run_group_tests_name("structs", tests, NULL, NULL);
}
