/* What tilefold asks of a Vulkan driver, as a driver sees it: sizes of buffers and dispatches, barriers, shaders, timestamps.
 *
 * SPDX-License-Identifier: MIT
 */
#define _POSIX_C_SOURCE 200809L /* mkstemp */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "counting.h"
#include "runner.h"
#include "vulkan_watch.h"

/* ------------------------------------------------------------------------------------------------------- helpers ---- */

static tilefold_plan_options plan_options(tilefold_algorithm algorithm, int64_t limit) {
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.algorithm = algorithm;
    options.scratch_limit_bytes = limit;
    return options;
}

static tilefold_plan *make_a_plan(tilefold_context *context, const test_problem *made,
                                  const tilefold_plan_options *options) {
    tilefold_plan *plan;
    tilefold_message message;
    if (tilefold_plan_create(context, &made->problem, options, &plan, &message))
        fail_msg("%s: %s", describe_problem(made), message.text);
    return plan;
}

/* Computes the problem, as often as asked, and compares it with the oracle. Returns the last run's device seconds. */
static double check_problem(tilefold_context *context, const test_problem *made, const tilefold_plan_options *options,
                            int runs) {
    tensors t = make_tensors(made);
    tilefold_plan *plan = make_a_plan(context, made, options);
    void *dense = malloc(tensors_output_bytes(&t) + 1), *expected = expected_output(&t);
    double seconds = -1;
    const char *reason;
    int64_t index;
    assert_non_null(dense);
    for (int run = 0; run < runs; run++) {
        prepared p;
        tilefold_message message = {""};
        assert_int_equal(prepare_execution(plan, &t, &p, &message), TILEFOLD_OK);
        p.execution.device_seconds = &seconds;
        if (tilefold_execute(plan, &p.execution, &message)) fail_msg("%s", message.text);
        assert_true(finish_execution(&p));
        assert_true(collect_output(&t, dense, &reason));
        assert_true(same_bits(made->problem.type, t.output_view.elements, expected, dense, &index));
    }
    free(dense);
    free(expected);
    tilefold_plan_destroy(plan);
    free_tensors(&t);
    return seconds;
}

/* size x size positions of small integers by 3x3. */
static test_problem square_problem(int64_t in, int64_t out, int64_t groups, int64_t size, tilefold_layout layout,
                                   tilefold_type type) {
    test_problem made = {.name = "square", .seed = 3, .data = DATA_INTEGER};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV, type, 2);
    p->in_channels = in, p->out_channels = out, p->groups = groups;
    for (int axis = 0; axis < 2; axis++) {
        p->input_size[axis] = size;
        p->kernel[axis] = 3;
        p->padding_begin[axis] = p->padding_end[axis] = 1;
    }
    assert_int_equal(tilefold_problem_set_layout(p, layout, NULL), TILEFOLD_OK);
    return made;
}

/* 240 KiB of input and output each. */
static test_problem wide_problem(void) { return square_problem(16, 16, 1, 62, TILEFOLD_CHANNELS_FIRST, TILEFOLD_F32); }

static const tilefold_algorithm algorithms[] = {TILEFOLD_ALGORITHM_UNFOLD, TILEFOLD_ALGORITHM_IMPLICIT,
                                                TILEFOLD_ALGORITHM_DIRECT};

/* -------------------------------------------------------------------------------------------------------- limits ---- */

static void test_lowered_limits(void **state) {
    (void)state;
    enum { BUFFER_BYTES = 65536, GROUPS = 2 };
    own_device own = own_open(true);
    tilefold_vulkan_options options = watched_options(&own);
    tilefold_vulkan_limits limits;
    tilefold_vulkan_limits_init(&limits);
    options.limits = &limits;
    test_problem made = wide_problem();
    for (int i = 0; i < 3; i++) {
        for (int lowered = 0; lowered < 2; lowered++) {
            limits.max_buffer_bytes = lowered ? BUFFER_BYTES : INT64_MAX;
            for (int axis = 0; axis < 3; axis++) limits.max_workgroups[axis] = lowered ? GROUPS : INT64_MAX;
            tilefold_context *context = own_context(&options);
            forget();
            tilefold_plan_options plan = plan_options(algorithms[i], TILEFOLD_DEFAULT_SCRATCH_LIMIT_BYTES);
            check_problem(context, &made, &plan, 1);
            tilefold_context_destroy(context);
            assert_int_equal(watched.buffer_bytes <= BUFFER_BYTES, lowered);
            assert_int_equal(watched.groups[0] <= GROUPS, lowered);
            if (lowered) assert_true(watched.groups[1] <= GROUPS && watched.groups[2] <= GROUPS);
        }
    }
    own_close(&own);
}

/* A plan's own limit on buffers, below the device's. */
static void test_max_buffer_of_a_plan(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options vulkan = watched_options(&own);
    tilefold_context *context = own_context(&vulkan);
    test_problem made = wide_problem();
    tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_AUTO, 1 << 20);
    int64_t tiles[2];
    char text[2][2048];
    for (int lowered = 0; lowered < 2; lowered++) {
        options.max_buffer_bytes = lowered ? 32768 : 0;
        forget();
        tilefold_plan *plan = make_a_plan(context, &made, &options);
        tiles[lowered] = get_info(plan).tiles;
        tilefold_plan_print(plan, text[lowered], sizeof text[lowered]);
        tilefold_plan_destroy(plan);
        assert_int_equal(watched.buffer_bytes <= 32768, lowered);
    }
    assert_true(tiles[1] > tiles[0]);
    assert_string_not_equal(text[0], text[1]);
    tilefold_context_destroy(context);
    own_close(&own);
}

/* Weights and groups that are cut by a small max_buffer: each chunk has weights and a bias of its own. */
static void test_cut_weights(void **state) {
    (void)state;
    own_device own = own_open(true);
    for (int vectors = 0; vectors < 2; vectors++) {
        tilefold_context *context = watched_context(&own, vectors);
        for (int i = 0; i < 6; i++) {
            test_problem made = square_problem(i & 1 ? 32 : 12, 48, i & 1 ? 16 : 1, 5, (tilefold_layout)(i >> 1 & 1),
                                               i & 1 ? TILEFOLD_F16 : TILEFOLD_F32);
            made.problem.batch = 3;
            made.problem.bias_type = TILEFOLD_F32;
            assert_int_equal(tilefold_problem_set_layout(&made.problem, (tilefold_layout)(i >> 1 & 1), NULL),
                             TILEFOLD_OK);
            tilefold_plan_options options = plan_options(algorithms[i / 2], 1 << 20);
            options.max_buffer_bytes = i & 1 ? 400 : 4608; /* of 1728 and 20736 bytes of weights */
            options.prepack_weights = i & 2;
            if (algorithms[i / 2] == TILEFOLD_ALGORITHM_UNFOLD) options.max_buffer_bytes = 8192;
            forget();
            check_problem(context, &made, &options, 2);
            assert_in_range(watched.buffer_bytes, 1, options.max_buffer_bytes);
        }
        tilefold_context_destroy(context);
    }
    own_close(&own);
}

/* As few tiles as there must be: one whose window of the input is a buffer's size makes all outputs that it reaches. Twice the
 * tiles would be twice the time, which is all of one submission each. */
static void test_windows_fill_buffers(void **state) {
    (void)state;
    enum { SIZE = 4000, KERNEL = 60, OUTPUTS = SIZE - KERNEL + 1 };
    own_device own = own_open(true);
    tilefold_context *context = watched_context(&own, true);
    test_problem made = {.name = "windows", .seed = 9, .data = DATA_INTEGER};
    tilefold_problem_init(&made.problem, TILEFOLD_CONV, TILEFOLD_F32, 1);
    made.problem.input_size[0] = SIZE;
    made.problem.kernel[0] = KERNEL;
    assert_int_equal(tilefold_problem_set_layout(&made.problem, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    static const int64_t buffers[] = {300, 400, 1000, 5000};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_IMPLICIT, 1 << 20);
        options.max_buffer_bytes = buffers[i];
        tilefold_plan *plan = make_a_plan(context, &made, &options);
        int64_t each = buffers[i] / 16 * 4 - KERNEL + 1;
        assert_int_equal(get_info(plan).tiles, (OUTPUTS + each - 1) / each);
        tilefold_plan_destroy(plan);
        check_problem(context, &made, &options, 1);
    }
    tilefold_context_destroy(context);
    own_close(&own);
}

/* ------------------------------------------------------------------------------------------------------- binding ---- */

/* Buffers for the tensors of a plan, at an offset that is aligned to nothing but an element. */
typedef struct stage {
    own_buffer input, weight, output, scratch;
    tilefold_vulkan_tensors tensors;
} stage;

enum { ODD_OFFSET = 4 };

static own_buffer buffer_of(const own_device *own, const guarded *memory) {
    own_buffer made = own_buffer_new(own, ODD_OFFSET + memory->bytes + 64);
    memcpy(made.mapped + ODD_OFFSET, memory->data, memory->bytes);
    return made;
}

static stage set_up(const own_device *own, const tilefold_plan *plan, const tensors *t) {
    tilefold_vulkan_requirements needs;
    tilefold_vulkan_requirements_init(&needs);
    assert_int_equal(tilefold_vulkan_get_requirements(plan, &needs, NULL), TILEFOLD_OK);
    stage s = {buffer_of(own, &t->input), buffer_of(own, &t->weight), buffer_of(own, &t->output), {0}, {0}};
    if (needs.scratch_bytes > 0) s.scratch = own_buffer_new(own, (size_t)needs.scratch_bytes);
    tilefold_vulkan_tensors_init(&s.tensors);
    s.tensors.input = (tilefold_vulkan_range){s.input.buffer, ODD_OFFSET, 0};
    s.tensors.weight = (tilefold_vulkan_range){s.weight.buffer, ODD_OFFSET, 0};
    s.tensors.output = (tilefold_vulkan_range){s.output.buffer, ODD_OFFSET, 0};
    s.tensors.scratch = (tilefold_vulkan_range){s.scratch.buffer, 0, 0};
    return s;
}

static void take_down(const own_device *own, stage *s) {
    own_buffer_delete(own, &s->input);
    own_buffer_delete(own, &s->weight);
    own_buffer_delete(own, &s->output);
    if (s->scratch.buffer) own_buffer_delete(own, &s->scratch);
}

/* Everything that is allocated to bind a plan, on the host and on the device, is what the plan said, and with it within the
 * limit: the plan, the binding, the constants, the scratch, the image. */
static void check_accounts(const own_device *own, ledger *l, tilefold_context *context, const test_problem *made,
                           tilefold_plan_options *options) {
    tensors t = make_tensors(made);
    options->scratch_limit_bytes = INT64_MAX;
    for (int least = 0; least < 2; least++) {
        int64_t before = l->live;
        tilefold_plan *plan = make_a_plan(context, made, options);
        tilefold_plan_info info = get_info(plan);
        int64_t of_plan = l->live - before;
        int64_t image = options->storage == TILEFOLD_STORAGE_BUFFER ? 0 : (int64_t)watched.image_bytes;
        assert_int_equal(of_plan, info.plan_bytes);
        stage s = set_up(own, plan, &t);
        tilefold_vulkan_binding *binding;
        forget();
        before = l->live;
        assert_int_equal(tilefold_vulkan_bind(plan, &s.tensors, &binding, NULL), TILEFOLD_OK);
        int64_t of_binding = l->live - before;
        assert_true(of_binding > 0 && watched.buffers_bytes > 0);
        assert_int_equal(of_binding + (int64_t)watched.buffers_bytes + (int64_t)s.scratch.bytes + image,
                         info.scratch_bytes);
        assert_true(info.scratch_bytes + info.plan_bytes <= options->scratch_limit_bytes);
        options->scratch_limit_bytes = info.min_scratch_bytes;
        tilefold_vulkan_binding_destroy(binding);
        take_down(own, &s);
        tilefold_plan_destroy(plan);
    }
    free_tensors(&t);
}

static void test_accounts(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options vulkan = watched_options(&own);
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    ledger l = {0};
    options.allocator = ledger_allocator(&l);
    tilefold_context *context;
    assert_int_equal(tilefold_vulkan_context_create(&options, &vulkan, &context, NULL), TILEFOLD_OK);
    for (int i = 0; i < 6; i++) {
        tilefold_plan_options plan = plan_options(i < 3 ? algorithms[i] : TILEFOLD_ALGORITHM_UNFOLD, 0);
        plan.storage = i < 3 ? TILEFOLD_STORAGE_BUFFER : (tilefold_storage)(i - 3);
        plan.bind_buffers = true;
        if (i < 3) plan.max_buffer_bytes = 32768; /* several windows, and so a large binding */
        test_problem made = square_problem(16, 16, 1, 62, TILEFOLD_CHANNELS_LAST, TILEFOLD_F32);
        check_accounts(&own, &l, context, &made, &plan);
    }
    tilefold_context_destroy(context);
    assert_int_equal(l.live, 0);
    own_close(&own);
}

/* As much as copies of all tensors take at most; of an empty batch, those of one image. */
static int64_t tensor_bytes(const test_problem *made) {
    tilefold_problem p = made->problem;
    if (p.batch == 0) p.batch = 1;
    int64_t elements = input_view(&p).elements + weight_view(&p).elements + output_view(&p).elements;
    return elements * (int64_t)tilefold_type_bytes(p.type) + p.out_channels * 4;
}

/* From neither device nor host. */
static void check_execution_takes_nothing(ledger *l, const tilefold_plan *plan, const test_problem *made) {
    tensors t = make_tensors(made);
    prepared p;
    tilefold_message message;
    assert_int_equal(prepare_execution(plan, &t, &p, &message), TILEFOLD_OK);
    forget();
    int64_t before = l->peak = l->live;
    if (tilefold_execute(plan, &p.execution, &message) != TILEFOLD_OK) fail_msg("%s", message.text);
    assert_int_equal(watched.allocations, 0);
    assert_int_equal(l->peak, before);
    assert_true(finish_execution(&p));
    free_tensors(&t);
}

/* What the device gives for a plan, all of it when that is made, is no more than its scratch and copies of the tensors, each
 * allocation rounded up as the driver wants. */
static void check_device_memory(ledger *l, tilefold_context *context, const test_problem *made,
                                const tilefold_plan_options *options, bool executed) {
    enum { ROUNDING = 512 }; /* of one allocation: 64 bytes of a smallest tensor, the driver's own alignment */
    forget();
    int64_t before = l->live;
    tilefold_plan *plan = make_a_plan(context, made, options);
    tilefold_plan_info info = get_info(plan);
    assert_int_equal(l->live - before, info.plan_bytes);
    assert_true(info.scratch_bytes + info.plan_bytes <= options->scratch_limit_bytes);
    int64_t allowed = info.scratch_bytes + tensor_bytes(made) + watched.allocations * ROUNDING;
    if ((int64_t)watched.memory_bytes > allowed || watched.memory_bytes == 0)
        fail_msg("%s: %lld bytes of the device's memory, %lld promised", describe_problem(made),
                 (long long)watched.memory_bytes, (long long)allowed);
    if (executed) check_execution_takes_nothing(l, plan, made);
    tilefold_plan_destroy(plan);
}

static void test_device_memory(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options vulkan = watched_options(&own);
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    ledger l = {0};
    options.allocator = ledger_allocator(&l);
    tilefold_context *context;
    assert_int_equal(tilefold_vulkan_context_create(&options, &vulkan, &context, NULL), TILEFOLD_OK);
    problem_run run = begin_problems(100);
    for (int64_t i = 0; i < run.count; i++) {
        rng r = rng_make(problem_seed(&run, i), 28);
        test_problem made = make_problem(problem_seed(&run, i), 15000);
        tilefold_plan_options plan = plan_options(TILEFOLD_ALGORITHM_AUTO, INT64_C(1) << rng_range(&r, 18, 24));
        if (rng_percent(&r, 40)) plan.storage = (tilefold_storage)rng_range(&r, 0, 2);
        plan.prepack_weights = rng_percent(&r, 50);
        check_device_memory(&l, context, &made, &plan, i % 10 == 0); /* a driver in software compiles for seconds */
    }
    tilefold_context_destroy(context);
    assert_int_equal(l.live, 0);
    own_close(&own);
}

/* A window begins at a multiple of the device's alignment, before the tensor does: max_buffer holds for what is bound, also where
 * it is the tensor's very size. */
static void test_windows_keep_to_max_buffer(void **state) {
    (void)state;
    enum { ELEMENTS = 4096 };
    own_device own = own_open(true);
    tilefold_vulkan_options vulkan = watched_options(&own);
    tilefold_context *context = own_context(&vulkan);
    test_problem made = {.name = "line", .seed = 5, .data = DATA_INTEGER};
    tilefold_problem_init(&made.problem, TILEFOLD_CONV, TILEFOLD_F32, 1);
    made.problem.input_size[0] = ELEMENTS;
    assert_int_equal(tilefold_problem_set_layout(&made.problem, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_DIRECT, 1 << 20);
    options.bind_buffers = true;
    options.max_buffer_bytes = ELEMENTS * 4;
    tensors t = make_tensors(&made);
    tilefold_plan *plan = make_a_plan(context, &made, &options);
    stage s = set_up(&own, plan, &t);
    tilefold_vulkan_binding *binding;
    forget();
    assert_int_equal(tilefold_vulkan_bind(plan, &s.tensors, &binding, NULL), TILEFOLD_OK);
    assert_in_range(watched.bound_bytes, 1, options.max_buffer_bytes);
    assert_int_equal(tilefold_vulkan_run(binding, NULL, NULL), TILEFOLD_OK);
    assert_true(watched.workgroups > 0 && watched.hidden == 0 && watched.unordered == 0);
    void *expected = expected_output(&t);
    assert_memory_equal(s.output.mapped + ODD_OFFSET, expected, ELEMENTS * 4);
    free(expected);
    tilefold_vulkan_binding_destroy(binding);
    take_down(&own, &s);
    tilefold_plan_destroy(plan);
    free_tensors(&t);
    tilefold_context_destroy(context);
    own_close(&own);
}

/* ---------------------------------------------------------------------------------------------------- dispatches ---- */

/* A few output channels side by side: their positions fill whole workgroups. */
static void test_direct_fills_workgroups(void **state) {
    (void)state;
    enum { SIZE = 24, WORKGROUP = 64 };
    own_device own = own_open(true);
    tilefold_context *context = watched_context(&own, false);
    for (int layout = TILEFOLD_CHANNELS_FIRST; layout <= TILEFOLD_CHANNELS_LAST; layout++) {
        for (int64_t out = 1; out <= 6; out++) {
            for (int64_t groups = 1; groups <= 67; groups += 2 + groups * 5) {
                test_problem made = square_problem(groups, out * groups, groups, SIZE, (tilefold_layout)layout,
                                                   TILEFOLD_F32);
                tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_DIRECT, 1 << 20);
                forget();
                check_problem(context, &made, &options, 1);
                int64_t invocations = SIZE * SIZE * groups * ((out + 3) / 4);
                assert_in_range(watched.workgroups, 1, invocations / WORKGROUP + groups * ((out + 3) / 4));
            }
        }
    }
    tilefold_context_destroy(context);
    own_close(&own);
}

/* No invocation is asked for more of a sum than drivers' loops and watchdogs stand. */
static void test_steps_are_short(void **state) {
    (void)state;
    enum { MOST = 65535 / 4 + 1 };
    own_device own = own_open(true);
    for (int vectors = 0; vectors < 2; vectors++) {
        tilefold_context *context = watched_context(&own, vectors);
        for (int i = 0; i < 3; i++) {
            test_problem made = square_problem(3700, 2, 1, 3, TILEFOLD_CHANNELS_FIRST, TILEFOLD_BF16);
            tilefold_plan_options options = plan_options(algorithms[i], 1 << 20);
            forget();
            check_problem(context, &made, &options, 1);
            assert_in_range(watched.depth, 1024, MOST);
        }
        tilefold_context_destroy(context);
    }
    own_close(&own);
}

/* ------------------------------------------------------------------------------------------------------ barriers ---- */

/* The layers know nothing of what the host reads, nor of an image whose contents are discarded too early. */
static void test_barriers(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options vulkan = watched_options(&own);
    tilefold_vulkan_limits limits;
    tilefold_vulkan_limits_init(&limits);
    vulkan.limits = &limits;
    test_problem made = square_problem(9, 11, 1, 13, TILEFOLD_CHANNELS_FIRST, TILEFOLD_F32);
    for (int staged = 0; staged < 2; staged++) {
        limits.host_tensors = !staged;
        tilefold_context *context = own_context(&vulkan);
        for (int i = 0; i < 5; i++) {
            tilefold_plan_options options = plan_options(i < 3 ? algorithms[i] : TILEFOLD_ALGORITHM_UNFOLD, 1 << 18);
            options.storage = i < 3 ? TILEFOLD_STORAGE_BUFFER : (tilefold_storage)(i - 2);
            forget();
            check_problem(context, &made, &options, 2);
            assert_true(watched.workgroups > 0);
            assert_int_equal(watched.unordered, 0);
            assert_int_equal(watched.hidden, 0);
            assert_int_equal(watched.images, i < 3 ? 0 : 2);
        }
        tilefold_context_destroy(context);
    }
    own_close(&own);
}

/* -------------------------------------------------------------------------------------------------- float modes ---- */

/* Whether the module has an instruction of these first words after its length and opcode; two of the three for a capability. */
static bool has_instruction(uint32_t opcode, uint32_t skip, const uint32_t *words, size_t count) {
    for (size_t at = 5; at < watched.module_words; at += watched.module[at] >> 16)
        if ((watched.module[at] & 0xffff) == opcode && watched.module[at] >> 16 == 1 + skip + count &&
            memcmp(watched.module + at + 1 + skip, words, count * sizeof *words) == 0)
            return true;
    return false;
}

/* Of SPV_KHR_float_controls: the capability, and the mode for 32 bits. */
static bool declares(uint32_t capability, uint32_t mode) {
    bool able = has_instruction(17, 0, (const uint32_t[]){capability}, 1);
    assert_int_equal(able, has_instruction(16, 1, (const uint32_t[]){mode, 32}, 2));
    return able;
}

static void validate(const uint32_t *module, size_t words) {
    char name[] = "/tmp/tilefold_module_XXXXXX", command[128];
    int file = mkstemp(name);
    assert_true(file >= 0);
    assert_int_equal(write(file, module, words * 4), words * 4);
    close(file);
    snprintf(command, sizeof command, "spirv-val --target-env vulkan1.1 %s", name);
    int failed = system(command); /* NOLINT: of a name of ours */
    unlink(name);
    assert_int_equal(failed, 0);
}

/* A shader declares what the device has, where the extension is enabled; and is valid with any of the modes. */
static void test_float_modes(void **state) {
    (void)state;
    own_device own = own_open(true);
    VkPhysicalDeviceFloatControlsProperties has = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &has};
    own.GetPhysicalDeviceProperties2(own.physical, &properties);
    test_problem made = square_problem(2, 3, 1, 5, TILEFOLD_CHANNELS_FIRST, TILEFOLD_F32);
    bool installed = system("spirv-val --version >/dev/null 2>&1") == 0; /* NOLINT */
    for (int enabled = 0; enabled < 2; enabled++) {
        tilefold_vulkan_options plain = watched_options(&own); /* of a device made without the extension */
        tilefold_context *context = enabled ? watched_context(&own, true) : own_context(&plain);
        for (int i = 0; i < 3; i++) {
            tilefold_plan_options options = plan_options(algorithms[i], 1 << 20);
            check_problem(context, &made, &options, 1);
            assert_in_range(watched.module_words, 100, MOST_WORDS);
            assert_int_equal(declares(4466, 4461), enabled && has.shaderSignedZeroInfNanPreserveFloat32);
            assert_int_equal(declares(4464, 4459),
                             enabled && has.shaderDenormPreserveFloat32 &&
                                 has.denormBehaviorIndependence != VK_SHADER_FLOAT_CONTROLS_INDEPENDENCE_NONE);
            assert_int_equal(declares(4467, 4462),
                             enabled && has.shaderRoundingModeRTEFloat32 &&
                                 has.roundingModeIndependence != VK_SHADER_FLOAT_CONTROLS_INDEPENDENCE_NONE);
            for (uint32_t modes = 0; installed && !enabled && modes < 1u << TILEFOLD_VULKAN_FLOAT_MODES; modes++) {
                static uint32_t copy[MOST_WORDS + TILEFOLD_VULKAN_MODE_WORDS];
                size_t words = tilefold_vulkan_declare_modes(watched.module, watched.module_words, modes, copy);
                assert_in_range(words, watched.module_words, watched.module_words + TILEFOLD_VULKAN_MODE_WORDS);
                validate(copy, words);
            }
        }
        tilefold_context_destroy(context);
    }
    own_close(&own);
}

/* --------------------------------------------------------------------------------------------------- timestamps ---- */

/* Timestamps of few bits wrap around; one that is not there yet does not fail a run that is over. */
static void test_timestamps(void **state) {
    (void)state;
    own_device own = own_open(true);
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    own.GetPhysicalDeviceProperties2(own.physical, &properties);
    if (properties.properties.limits.timestampPeriod <= 0) skip();
    double unit = (double)properties.properties.limits.timestampPeriod * 1e-9;
    test_problem made = square_problem(2, 3, 1, 5, TILEFOLD_CHANNELS_FIRST, TILEFOLD_F32);
    tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_DIRECT, 1 << 20);
    static const uint32_t bits[] = {36, 63, 64};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        watched.timestamp_bits = bits[i];
        watched.timestamps[0] = (bits[i] < 64 ? UINT64_C(1) << bits[i] : 0) - 10;
        watched.timestamps[1] = 5;
        watched.timestamps_result = VK_SUCCESS;
        tilefold_context *context = watched_context(&own, true);
        double seconds = check_problem(context, &made, &options, 1);
        assert_true(seconds > 14.9 * unit && seconds < 15.1 * unit);
        watched.timestamps_result = VK_NOT_READY;
        assert_true(check_problem(context, &made, &options, 1) == 0);
        tilefold_context_destroy(context);
    }
    watched.timestamp_bits = 0;
    own_close(&own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lowered_limits),
        cmocka_unit_test(test_max_buffer_of_a_plan),
        cmocka_unit_test(test_cut_weights),
        cmocka_unit_test(test_windows_fill_buffers),
        cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_device_memory),
        cmocka_unit_test(test_windows_keep_to_max_buffer),
        cmocka_unit_test(test_direct_fills_workgroups),
        cmocka_unit_test(test_steps_are_short),
        cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_float_modes),
        cmocka_unit_test(test_timestamps),
    };
    cmocka_set_test_filter(getenv("TILEFOLD_TEST_FILTER"));
    return cmocka_run_group_tests_name("vulkan watched", tests, NULL, NULL);
}
