/* Plans bound to buffers of the caller's: any offset, any strides, recorded into the caller's command buffers and replayed.
 *
 * SPDX-License-Identifier: MIT
 *
 * Sums are of small integers, exact in any order: the outputs must be the oracle's, bit for bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runner.h"
#include "vulkan_own.h"

/* ------------------------------------------------------------------------------------------------------- tensors ---- */

/* A copy of a tensor's memory at some byte of a buffer, and a copy of the whole buffer. */
typedef struct placed {
    own_buffer buffer;
    size_t begin, bytes;
    unsigned char *before;
    tilefold_vulkan_range range; /* where element (0, ..., 0) lies */
} placed;

/* Everything that one problem is bound to. */
typedef struct stage {
    const own_device *own;
    tensors tensors;
    placed input, weight, bias, output, scratch;
    tilefold_vulkan_tensors bound;
} stage;

static placed place(const own_device *own, const unsigned char *data, size_t bytes, size_t begin, size_t zero) {
    placed p = {.buffer = own_buffer_new(own, (begin + bytes + 3) / 4 * 4 + 64), .begin = begin, .bytes = bytes};
    fill_pattern(p.buffer.mapped, p.buffer.bytes);
    if (data) memcpy(p.buffer.mapped + begin, data, bytes);
    p.before = malloc(p.buffer.bytes);
    assert_non_null(p.before);
    memcpy(p.before, p.buffer.mapped, p.buffer.bytes);
    p.range = (tilefold_vulkan_range){p.buffer.buffer, begin + zero, begin + bytes};
    return p;
}

static placed place_tensor(const own_device *own, const guarded *memory, const void *element, tilefold_type type,
                           rng *r) {
    if (!element) return (placed){0};
    size_t begin = (size_t)rng_range(r, 0, 50) * tilefold_type_bytes(type);
    return place(own, memory->data, memory->bytes, begin, (size_t)((const unsigned char *)element - memory->data));
}

static void remove_placed(const own_device *own, placed *p) {
    own_buffer_delete(own, &p->buffer);
    free(p->before);
}

/* Whether nothing was written, but in [begin, begin + bytes) where that is allowed. */
static bool unchanged(const placed *p, bool may_write) {
    if (!p->buffer.buffer) return true;
    size_t from = may_write ? p->begin : p->buffer.bytes, to = may_write ? p->begin + p->bytes : p->buffer.bytes;
    return memcmp(p->buffer.mapped, p->before, from) == 0 &&
           memcmp(p->buffer.mapped + to, p->before + to, p->buffer.bytes - to) == 0;
}

static stage set_up(const own_device *own, const test_problem *made, const tilefold_plan *plan, rng *r) {
    stage s = {.own = own, .tensors = make_tensors(made)};
    const tensors *t = &s.tensors;
    const tilefold_problem *p = &made->problem;
    s.input = place_tensor(own, &t->input, tensors_input(t), p->type, r);
    s.weight = place_tensor(own, &t->weight, tensors_weight(t), p->type, r);
    s.bias = place_tensor(own, &t->bias, tensors_bias(t), p->bias_type, r);
    s.output = place_tensor(own, &t->output, tensors_output(t), p->type, r);
    tilefold_vulkan_requirements needs;
    tilefold_vulkan_requirements_init(&needs);
    assert_int_equal(tilefold_vulkan_get_requirements(plan, &needs, NULL), TILEFOLD_OK);
    assert_int_equal(needs.usage & ~(VkBufferUsageFlags)VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, 0);
    size_t at = (size_t)(rng_range(r, 0, 3) * needs.offset_alignment);
    if (needs.scratch_bytes) s.scratch = place(own, NULL, (size_t)needs.scratch_bytes, at, 0);
    tilefold_vulkan_tensors_init(&s.bound);
    s.bound.input = s.input.range;
    s.bound.weight = s.weight.range;
    s.bound.bias = s.bias.range;
    s.bound.output = s.output.range;
    s.bound.scratch = s.scratch.range;
    return s;
}

static void take_down(stage *s) {
    placed *all[] = {&s->input, &s->weight, &s->bias, &s->output, &s->scratch};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) remove_placed(s->own, all[i]);
    free_tensors(&s->tensors);
}

/* Whether the outputs are right and nothing else was written; the output is as before then. */
static bool check_stage(stage *s) {
    tensors *t = &s->tensors;
    memcpy(t->output.data, s->output.buffer.mapped + s->output.begin, s->output.bytes);
    memcpy(s->output.buffer.mapped + s->output.begin, s->output.before + s->output.begin, s->output.bytes);
    void *got = malloc(tensors_output_bytes(t) + 1), *expected = expected_output(t);
    const char *reason = NULL;
    int64_t index = -1;
    assert_non_null(got);
    bool clean = collect_output(t, got, &reason);
    bool right = same_bits(t->made.problem.type, t->output_view.elements, expected, got, &index);
    bool intact = unchanged(&s->input, false) && unchanged(&s->weight, false) && unchanged(&s->bias, false) &&
                  unchanged(&s->output, false) && unchanged(&s->scratch, true);
    if (!clean || !right || !intact)
        print_message("%s: %s%s, output %lld\n", describe_problem(&t->made), clean ? "" : reason,
                      intact ? "" : ", a buffer was written", (long long)index);
    free(got);
    free(expected);
    return clean && right && intact;
}

static void put(placed *p, const guarded *memory) {
    if (!p->buffer.buffer) return;
    memcpy(p->buffer.mapped + p->begin, memory->data, memory->bytes);
    memcpy(p->before + p->begin, memory->data, memory->bytes);
}

/* Other values in the same buffers. */
static void change_values(stage *s) {
    test_problem other = s->tensors.made;
    other.seed ^= 0x5eed;
    free_tensors(&s->tensors);
    s->tensors = make_tensors(&other);
    put(&s->input, &s->tensors.input);
    put(&s->weight, &s->tensors.weight);
    put(&s->bias, &s->tensors.bias);
}

/* ---------------------------------------------------------------------------------------------------------- plans ---- */

static tilefold_plan *bindable_plan(tilefold_context *context, const test_problem *made, tilefold_algorithm algorithm,
                                    int64_t limit, int64_t max_buffer) {
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.algorithm = algorithm;
    options.scratch_limit_bytes = limit;
    options.max_buffer_bytes = max_buffer;
    options.bind_buffers = true;
    tilefold_plan *plan = NULL;
    tilefold_message message = {""};
    tilefold_status status = tilefold_plan_create(context, &made->problem, &options, &plan, &message);
    if (status) fail_msg("%s: %s", describe_problem(made), message.text);
    return plan;
}

static tilefold_vulkan_binding *bind_stage(const tilefold_plan *plan, const stage *s) {
    tilefold_vulkan_binding *binding = NULL;
    tilefold_message message = {""};
    tilefold_status status = tilefold_vulkan_bind(plan, &s->bound, &binding, &message);
    if (status) fail_msg("%s: %s", describe_problem(&s->tensors.made), message.text);
    return binding;
}

static VkCommandBuffer record_alone(const own_device *own, const tilefold_vulkan_binding *binding) {
    VkCommandBuffer commands = own_begin(own);
    assert_int_equal(tilefold_vulkan_record(binding, commands, NULL), TILEFOLD_OK);
    own_end(own, commands);
    return commands;
}

/* Two bindings of one plan, each on buffers of its own; one runs on the context's queue, the other is recorded into a command
 * buffer of ours and submitted twice, with other values in between. */
static bool try_plan(const own_device *own, const tilefold_plan *plan, const test_problem *made, rng *r) {
    stage first = set_up(own, made, plan, r), second = set_up(own, made, plan, r);
    tilefold_vulkan_binding *run = bind_stage(plan, &first), *recorded = bind_stage(plan, &second);
    VkCommandBuffer commands = record_alone(own, recorded);
    double seconds = -1;
    assert_int_equal(tilefold_vulkan_run(run, &seconds, NULL), TILEFOLD_OK);
    assert_true(seconds >= 0);
    bool right = check_stage(&first);
    own_submit(own, commands);
    right = right && check_stage(&second);
    change_values(&second);
    own_submit(own, commands);
    right = right && check_stage(&second);
    tilefold_vulkan_binding_destroy(run);
    tilefold_vulkan_binding_destroy(recorded);
    take_down(&first);
    take_down(&second);
    return right;
}

static bool try_problem(const own_device *own, tilefold_context *context, const test_problem *made, int64_t max_buffer,
                        rng *r) {
    bool right = true;
    for (int algorithm = TILEFOLD_ALGORITHM_UNFOLD; algorithm <= TILEFOLD_ALGORITHM_DIRECT; algorithm++) {
        int64_t limit = rng_percent(r, 50) ? 262144 : 1 << 24;
        tilefold_plan *plan = bindable_plan(context, made, (tilefold_algorithm)algorithm, limit, max_buffer);
        right = right && try_plan(own, plan, made, r);
        tilefold_plan_destroy(plan);
    }
    return right;
}

/* A context that uses a CPU's vectors as they are, or computes as a GPU would. */
static tilefold_context *open_context(const own_device *own, bool cpu_vectors) {
    tilefold_vulkan_options options = own_options(own);
    tilefold_vulkan_limits limits;
    tilefold_vulkan_limits_init(&limits);
    limits.cpu_vectors = cpu_vectors;
    options.limits = &limits;
    return own_context(&options);
}

/* ---------------------------------------------------------------------------------------------------------- tests ---- */

/* Generated problems: crops, slices, transposed arrays, negative strides, groups, every type, biases of either type. */
static void test_views(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        own_device own = own_open(kind & 1);
        tilefold_context *context = open_context(&own, kind & 2);
        problem_run run = begin_problems(25);
        int failures = 0;
        for (int64_t i = 0; i < run.count && failures < 3; i++) {
            test_problem made = make_problem(problem_seed(&run, i), 20000);
            made.data = DATA_INTEGER;
            rng r = rng_make(made.seed, 31);
            failures += !try_problem(&own, context, &made, 0, &r);
        }
        tilefold_context_destroy(context);
        own_close(&own);
        assert_int_equal(failures, 0);
    }
}

static test_problem long_problem(int64_t channels, int64_t taps, tilefold_layout layout, tilefold_type type) {
    test_problem made = {.name = "long", .seed = 12, .data = DATA_INTEGER};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV, type, 1);
    p->in_channels = channels;
    p->out_channels = 3;
    p->kernel[0] = taps;
    p->input_size[0] = taps + 1;
    assert_int_equal(tilefold_problem_set_layout(p, layout, NULL), TILEFOLD_OK);
    return made;
}

/* What one output reads is more than a binding: its sum is cut, and waits in the output; which has no room for it where it has 16
 * bits. */
static void test_sums_of_several_bindings(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_context *context = open_context(&own, false);
    rng r = rng_make(1, 33);
    for (int layout = 0; layout < 2; layout++) {
        test_problem channels = long_problem(5000, 1, (tilefold_layout)layout, TILEFOLD_F32);
        test_problem taps = long_problem(1, 10000, (tilefold_layout)layout, TILEFOLD_F32);
        test_problem both = long_problem(64, 175, (tilefold_layout)layout, TILEFOLD_F32);
        assert_true(try_problem(&own, context, &channels, 16384, &r));
        assert_true(try_problem(&own, context, &taps, 16384, &r));
        assert_true(try_problem(&own, context, &both, 32768, &r));
    }
    test_problem half = long_problem(40000, 1, TILEFOLD_CHANNELS_LAST, TILEFOLD_BF16);
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.max_buffer_bytes = 65536;
    options.bind_buffers = true;
    tilefold_plan *plan;
    tilefold_message message = {""};
    assert_int_equal(tilefold_plan_create(context, &half.problem, &options, &plan, &message), TILEFOLD_UNSUPPORTED);
    assert_non_null(strstr(message.text, "16 bits"));
    tilefold_context_destroy(context);
    own_close(&own);
}

static test_problem wide_problem(tilefold_op op, tilefold_layout layout, tilefold_type type) {
    test_problem made = {.name = "wide", .seed = 11, .data = DATA_INTEGER};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, op, type, 2);
    p->bias_type = TILEFOLD_F32;
    p->in_channels = p->out_channels = 12;
    p->groups = 6;
    for (int axis = 0; axis < 2; axis++) {
        p->input_size[axis] = op == TILEFOLD_CONV ? 90 : 45;
        p->kernel[axis] = 3;
        p->padding_begin[axis] = p->padding_end[axis] = 1;
        p->stride[axis] = op == TILEFOLD_CONV ? 1 : 2;
    }
    assert_int_equal(tilefold_problem_set_layout(p, layout, NULL), TILEFOLD_OK);
    return made;
}

/* Tensors of several bindings each: 64 KiB at a time. Such a binding does not resize. */
static void try_windows(bool cpu_vectors) {
    own_device own = own_open(true);
    tilefold_context *context = open_context(&own, cpu_vectors);
    rng r = rng_make(1, 32);
    for (int kind = 0; kind < 4; kind++) {
        test_problem made = wide_problem((tilefold_op)(kind & 1), (tilefold_layout)(kind >> 1),
                                         kind == 3 ? TILEFOLD_F16 : TILEFOLD_F32);
        assert_true(try_problem(&own, context, &made, 65536, &r));
    }
    test_problem made = wide_problem(TILEFOLD_CONV, TILEFOLD_CHANNELS_FIRST, TILEFOLD_F32);
    tilefold_plan *plan = bindable_plan(context, &made, TILEFOLD_ALGORITHM_IMPLICIT, 1 << 20, 65536);
    stage s = set_up(&own, &made, plan, &r);
    tilefold_vulkan_binding *binding = bind_stage(plan, &s);
    tilefold_problem smaller = made.problem;
    smaller.input_size[0]--;
    tilefold_message message = {""};
    assert_int_equal(tilefold_vulkan_resize(binding, &smaller, &message), TILEFOLD_UNSUPPORTED);
    assert_true(message.text[0] != '\0');
    tilefold_vulkan_binding_destroy(binding);
    take_down(&s);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
    own_close(&own);
}

static void test_windows(void **state) {
    (void)state;
    try_windows(true);
    try_windows(false);
}

/* Without a queue a plan can be bound and recorded, not run. */
static void test_without_queue(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options options = own_options(&own);
    options.queue = VK_NULL_HANDLE;
    tilefold_context *context = own_context(&options);
    test_problem made = wide_problem(TILEFOLD_CONV_TRANSPOSE, TILEFOLD_CHANNELS_LAST, TILEFOLD_F32);
    tilefold_plan *plan = bindable_plan(context, &made, TILEFOLD_ALGORITHM_UNFOLD, 262144, 0);
    rng r = rng_make(2, 32);
    stage s = set_up(&own, &made, plan, &r);
    tilefold_vulkan_binding *binding = bind_stage(plan, &s);
    own_submit(&own, record_alone(&own, binding));
    assert_true(check_stage(&s));
    tilefold_message message = {""};
    double seconds = -1;
    assert_int_equal(tilefold_vulkan_run(binding, &seconds, &message), TILEFOLD_UNSUPPORTED);
    assert_true(message.text[0] != '\0' && seconds == -1);
    assert_int_equal(tilefold_vulkan_record(binding, VK_NULL_HANDLE, &message), TILEFOLD_INVALID_ARGUMENT);
    tilefold_vulkan_binding_destroy(binding);
    take_down(&s);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
    own_close(&own);
}

/* As check_stage(), for a smaller problem than was set up: its sizes, the larger's strides. */
static bool check_smaller(const stage *s, const tilefold_problem *smaller) {
    stage part = *s;
    test_problem made = s->tensors.made;
    made.problem = *smaller;
    part.tensors = make_tensors(&made); /* of other values, to be replaced by what is in the buffers */
    tensors *t = &part.tensors;
    memcpy(t->input.data, s->input.buffer.mapped + s->input.begin, t->input.bytes);
    memcpy(t->weight.data, s->weight.buffer.mapped + s->weight.begin, t->weight.bytes);
    memcpy(t->bias.data, s->bias.buffer.mapped + s->bias.begin, t->bias.bytes);
    unsigned char *expected = malloc(s->output.bytes);
    float *sums = expected_output(t);
    assert_non_null(expected);
    memcpy(expected, s->output.before + s->output.begin, s->output.bytes);
    for (int64_t i = 0; i < t->output_view.elements; i++)
        memcpy(expected + 4 * view_offset(&t->output_view, i), &sums[i], 4);
    unsigned char *output = s->output.buffer.mapped + s->output.begin;
    bool right = memcmp(output, expected, s->output.bytes) == 0 && unchanged(&s->input, false) &&
                 unchanged(&s->output, true) && unchanged(&s->scratch, true);
    memcpy(output, s->output.before + s->output.begin, s->output.bytes);
    free(expected);
    free(sums);
    free_tensors(t);
    return right;
}

/* One command buffer computes the plan's problem, then smaller ones, then the first again; larger ones are refused and leave
 * it as it was. */
static void try_resize(bool cpu_vectors) {
    own_device own = own_open(true);
    tilefold_context *context = open_context(&own, cpu_vectors);
    for (int op = TILEFOLD_CONV; op <= TILEFOLD_CONV_TRANSPOSE; op++) {
        test_problem made = wide_problem((tilefold_op)op, TILEFOLD_CHANNELS_FIRST, TILEFOLD_F32);
        made.problem.batch = 3;
        made.problem.input_size[0] = 20;
        made.problem.stride[1] = 3;
        assert_int_equal(tilefold_problem_set_layout(&made.problem, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
        tilefold_plan *plan = bindable_plan(context, &made, TILEFOLD_ALGORITHM_UNFOLD, 262144, 0);
        rng r = rng_make(3, 32);
        stage s = set_up(&own, &made, plan, &r);
        tilefold_vulkan_binding *binding = bind_stage(plan, &s);
        VkCommandBuffer commands = record_alone(&own, binding);
        static const int64_t sizes[][3] = {{3, 20, 45}, {2, 19, 44}, {1, 1, 1}, {3, 2, 31}, {1, 20, 3}, {3, 20, 45}};
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            tilefold_problem smaller = made.problem, wrong = made.problem;
            smaller.batch = sizes[i][0], smaller.input_size[0] = sizes[i][1], smaller.input_size[1] = sizes[i][2];
            assert_int_equal(tilefold_vulkan_resize(binding, &smaller, NULL), TILEFOLD_OK);
            wrong.input_size[i % 2]++;
            assert_int_equal(tilefold_vulkan_resize(binding, &wrong, NULL), TILEFOLD_INVALID_ARGUMENT);
            wrong = made.problem;
            wrong.output_stride.batch *= 100; /* outside what was bound */
            assert_int_equal(tilefold_vulkan_resize(binding, &wrong, NULL), TILEFOLD_INVALID_ARGUMENT);
            wrong = made.problem;
            wrong.input_size[1] = 2;
            wrong.input_stride.spatial[1] = -1; /* one element before it */
            assert_int_equal(tilefold_vulkan_resize(binding, &wrong, NULL), TILEFOLD_INVALID_ARGUMENT);
            wrong = made.problem;
            wrong.output_stride.spatial[1] *= -1;
            assert_int_equal(tilefold_vulkan_resize(binding, &wrong, NULL), TILEFOLD_INVALID_ARGUMENT);
            own_submit(&own, commands);
            if (!check_smaller(&s, &smaller)) fail_msg("size %d of operation %d", (int)i, op);
        }
        tilefold_vulkan_binding_destroy(binding);
        take_down(&s);
        tilefold_plan_destroy(plan);
    }
    tilefold_context_destroy(context);
    own_close(&own);
}

static void test_resize(void **state) {
    (void)state;
    try_resize(true);
    try_resize(false);
}

static void refuse(const tilefold_plan *plan, const tilefold_vulkan_tensors *tensors) {
    tilefold_vulkan_binding *binding = (tilefold_vulkan_binding *)&plan;
    tilefold_message message = {""};
    assert_int_equal(tilefold_vulkan_bind(plan, tensors, &binding, &message), TILEFOLD_INVALID_ARGUMENT);
    assert_ptr_equal(binding, &plan);
    assert_true(message.text[0] != '\0');
}

static void test_refused(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options options = own_options(&own);
    tilefold_context *context = own_context(&options);
    test_problem made = wide_problem(TILEFOLD_CONV, TILEFOLD_CHANNELS_FIRST, TILEFOLD_F32);
    tilefold_plan *plan = bindable_plan(context, &made, TILEFOLD_ALGORITHM_UNFOLD, 262144, 0);
    rng r = rng_make(4, 32);
    stage s = set_up(&own, &made, plan, &r);
    tilefold_vulkan_range *const ranges[] = {&s.bound.input, &s.bound.weight, &s.bound.bias, &s.bound.output,
                                             &s.bound.scratch};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        tilefold_vulkan_range kept = *ranges[i];
        ranges[i]->buffer = VK_NULL_HANDLE;
        refuse(plan, &s.bound);
        *ranges[i] = kept;
        ranges[i]->offset++;
        refuse(plan, &s.bound);
        *ranges[i] = kept;
        ranges[i]->end--;
        refuse(plan, &s.bound);
        *ranges[i] = kept;
    }
    s.bound.struct_size--;
    refuse(plan, &s.bound);
    s.bound.struct_size++;
    test_problem unbiased = made;
    unbiased.problem.bias_type = TILEFOLD_NONE;
    tilefold_plan *other = bindable_plan(context, &unbiased, TILEFOLD_ALGORITHM_UNFOLD, 262144, 0);
    refuse(other, &s.bound);
    tilefold_plan_destroy(other);
    tilefold_vulkan_requirements needs = {.struct_size = 1};
    assert_int_equal(tilefold_vulkan_get_requirements(plan, &needs, NULL), TILEFOLD_INVALID_ARGUMENT);

    tilefold_execution execution;
    tilefold_execution_init(&execution);
    execution.input = tensors_input(&s.tensors);
    execution.weight = execution.packed_weight = tensors_weight(&s.tensors);
    execution.bias = tensors_bias(&s.tensors);
    execution.output = tensors_output(&s.tensors);
    assert_int_equal(tilefold_execute(plan, &execution, NULL), TILEFOLD_INVALID_ARGUMENT);

    tilefold_plan_options plan_options;
    tilefold_plan_options_init(&plan_options);
    tilefold_plan *copying;
    assert_int_equal(tilefold_plan_create(context, &made.problem, &plan_options, &copying, NULL), TILEFOLD_OK);
    refuse(copying, &s.bound);
    tilefold_plan_destroy(copying);
    take_down(&s);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
    own_close(&own);
}

/* A binding keeps its plan, a plan its context, an import its context: what the caller gives up first does not matter. */
static void test_order_of_destruction(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options options = own_options(&own);
    tilefold_context *context = own_context(&options);
    test_problem made = wide_problem(TILEFOLD_CONV, TILEFOLD_CHANNELS_FIRST, TILEFOLD_F32);
    tilefold_plan *plan = bindable_plan(context, &made, TILEFOLD_ALGORITHM_UNFOLD, 262144, 0);
    rng r = rng_make(4, 33);
    stage s = set_up(&own, &made, plan, &r);
    guarded memory = guarded_new(4096, 4096, false);
    tilefold_vulkan_import *import = NULL;
    tilefold_status imported = tilefold_vulkan_import_create(context, memory.data, memory.bytes, &import, NULL);
    tilefold_vulkan_binding *binding;
    assert_int_equal(tilefold_vulkan_bind(plan, &s.bound, &binding, NULL), TILEFOLD_OK);
    tilefold_context_destroy(context);
    tilefold_plan_destroy(plan);
    assert_int_equal(tilefold_vulkan_run(binding, NULL, NULL), TILEFOLD_OK);
    assert_true(check_stage(&s));
    tilefold_vulkan_binding_destroy(binding);
    if (imported == TILEFOLD_OK) {
        tilefold_vulkan_range range = tilefold_vulkan_import_get_range(import);
        assert_int_equal(range.end - range.offset, memory.bytes);
    }
    tilefold_vulkan_import_destroy(import);
    guarded_delete(&memory);
    take_down(&s);
    own_close(&own); /* the validation layers tell what is left of the device's */
}

/* The caller's own array, anywhere in its pages, is what the device writes. */
static void test_import(void **state) {
    (void)state;
    tilefold_vulkan_options options;
    tilefold_vulkan_options_init(&options);
    tilefold_context *context = own_context(&options);
    enum { COUNT = 1000, AT = 3 };
    float *memory = malloc(4 * COUNT * sizeof *memory);
    assert_non_null(memory);
    for (int i = 0; i < 4 * COUNT; i++) memory[i] = (float)(i % 7);
    tilefold_vulkan_import *import;
    tilefold_message message = {""};
    tilefold_status status = tilefold_vulkan_import_create(context, memory + AT, (4 * COUNT - AT) * sizeof *memory,
                                                           &import, &message);
    if (status == TILEFOLD_UNSUPPORTED) skip();
    assert_int_equal(status, TILEFOLD_OK);

    test_problem made = {0};
    tilefold_problem_init(&made.problem, TILEFOLD_CONV, TILEFOLD_F32, 1);
    made.problem.input_size[0] = COUNT;
    assert_int_equal(tilefold_problem_set_layout(&made.problem, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    tilefold_plan *plan = bindable_plan(context, &made, TILEFOLD_ALGORITHM_DIRECT, 1 << 20, 0);
    tilefold_vulkan_tensors bound;
    tilefold_vulkan_tensors_init(&bound);
    bound.input = bound.weight = bound.output = tilefold_vulkan_import_get_range(import);
    bound.weight.offset += 4; /* times 4: element AT + 1 */
    bound.output.offset += 2 * COUNT * sizeof *memory;
    tilefold_vulkan_binding *binding;
    assert_int_equal(tilefold_vulkan_bind(plan, &bound, &binding, NULL), TILEFOLD_OK);
    assert_int_equal(tilefold_vulkan_run(binding, NULL, NULL), TILEFOLD_OK);
    for (int i = 0; i < 4 * COUNT; i++) {
        bool output = i >= 2 * COUNT + AT && i < 3 * COUNT + AT;
        assert_true(memory[i] == (output ? (float)((i - 2 * COUNT) % 7 * 4) : (float)(i % 7)));
    }
    tilefold_vulkan_binding_destroy(binding);
    tilefold_plan_destroy(plan);
    tilefold_vulkan_import_destroy(import);
    import = (tilefold_vulkan_import *)&message;
    assert_int_equal(tilefold_vulkan_import_create(context, NULL, 4, &import, &message), TILEFOLD_INVALID_ARGUMENT);
    assert_int_equal(tilefold_vulkan_import_create(context, memory, 0, &import, &message), TILEFOLD_INVALID_ARGUMENT);
    assert_ptr_equal(import, &message);
    tilefold_context_destroy(context);

    own_device own = own_open(true); /* made without the extension */
    options = own_options(&own);
    context = own_context(&options);
    assert_int_equal(tilefold_vulkan_import_create(context, memory, 4, &import, &message), TILEFOLD_UNSUPPORTED);
    assert_ptr_equal(import, &message);
    tilefold_context_destroy(context);
    own_close(&own);
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_sums_of_several_bindings),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_without_queue),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_order_of_destruction),
        cmocka_unit_test(test_import),
    };
    cmocka_set_test_filter(getenv("TILEFOLD_TEST_FILTER"));
    return cmocka_run_group_tests_name("vulkan binding", tests, NULL, NULL);
}
