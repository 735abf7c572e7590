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
#include "vulkan/vulkan.h"
#include "vulkan_own.h"

/* ------------------------------------------------------------------------------------------------------- watcher ---- */

enum { MOST_WORDS = TILEFOLD_VULKAN_MODULE_WORDS };

/* What was asked for since forget(), and what to answer. */
static struct {
    PFN_vkGetInstanceProcAddr get;
    PFN_vkGetDeviceProcAddr get_device;
#define WATCHED(name) PFN_vk##name name;
#define WATCHED_FUNCTIONS                                                                                              \
    WATCHED(BeginCommandBuffer)                                                                                        \
    WATCHED(CmdCopyBuffer)                                                                                             \
    WATCHED(CmdDispatch)                                                                                               \
    WATCHED(CmdPipelineBarrier)                                                                                        \
    WATCHED(CmdPushConstants)                                                                                          \
    WATCHED(CreateBuffer)                                                                                              \
    WATCHED(CreateShaderModule)                                                                                        \
    WATCHED(EndCommandBuffer)                                                                                          \
    WATCHED(GetImageMemoryRequirements)                                                                                \
    WATCHED(GetPhysicalDeviceQueueFamilyProperties)                                                                    \
    WATCHED(GetQueryPoolResults)                                                                                       \
    WATCHED(UpdateDescriptorSets)
    WATCHED_FUNCTIONS
#undef WATCHED
    VkDeviceSize buffer_bytes;  /* of the largest buffer, */
    VkDeviceSize buffers_bytes; /* of all of them, */
    VkDeviceSize bound_bytes;   /* of the largest that a descriptor shows of one, */
    VkDeviceSize image_bytes;   /* of the last image that was asked about */
    uint32_t groups[3];         /* of a dispatch, on each axis; */
    int64_t workgroups;         /* of all dispatches */
    int32_t depth;              /* the most of a sum in one step */
    bool unwaited, unseen;      /* work that nothing after it waits for; that the host does not wait for */
    int unordered; /* dispatches and copies that did not wait for those before them, or images that did not */
    int hidden;    /* command buffers that ended before the host could see what they wrote */
    int images;    /* taken to their layout */
    uint32_t module[MOST_WORDS + TILEFOLD_VULKAN_MODE_WORDS];
    size_t module_words; /* the last shader's */
    uint32_t timestamp_bits;
    uint64_t timestamps[2];
    VkResult timestamps_result;
} watched;

static void forget(void) {
    watched.buffer_bytes = watched.buffers_bytes = watched.bound_bytes = 0;
    watched.groups[0] = watched.groups[1] = watched.groups[2] = 0;
    watched.workgroups = watched.depth = 0;
    watched.unordered = watched.hidden = watched.images = 0;
}

static VKAPI_ATTR VkResult VKAPI_CALL watch_CreateBuffer(VkDevice device, const VkBufferCreateInfo *info,
                                                         const VkAllocationCallbacks *allocator, VkBuffer *buffer) {
    if (info->size > watched.buffer_bytes) watched.buffer_bytes = info->size;
    watched.buffers_bytes += info->size;
    return watched.CreateBuffer(device, info, allocator, buffer);
}

static VKAPI_ATTR void VKAPI_CALL watch_GetImageMemoryRequirements(VkDevice device, VkImage image,
                                                                   VkMemoryRequirements *needs) {
    watched.GetImageMemoryRequirements(device, image, needs);
    watched.image_bytes = needs->size;
}

static VKAPI_ATTR void VKAPI_CALL watch_UpdateDescriptorSets(VkDevice device, uint32_t count,
                                                             const VkWriteDescriptorSet *writes, uint32_t copies,
                                                             const VkCopyDescriptorSet *copy) {
    for (uint32_t i = 0; i < count; i++)
        if (writes[i].descriptorType == VK_DESCRIPTOR_TYPE_STORAGE_BUFFER &&
            writes[i].pBufferInfo->range > watched.bound_bytes)
            watched.bound_bytes = writes[i].pBufferInfo->range;
    watched.UpdateDescriptorSets(device, count, writes, copies, copy);
}

static VKAPI_ATTR VkResult VKAPI_CALL watch_BeginCommandBuffer(VkCommandBuffer commands,
                                                               const VkCommandBufferBeginInfo *info) {
    watched.unwaited = true; /* for what an earlier submission did */
    watched.unseen = false;
    return watched.BeginCommandBuffer(commands, info);
}

static void watch_work(void) {
    watched.unordered += watched.unwaited;
    watched.unwaited = watched.unseen = true;
}

static VKAPI_ATTR void VKAPI_CALL watch_CmdDispatch(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z) {
    const uint32_t groups[3] = {x, y, z};
    for (int i = 0; i < 3; i++)
        if (groups[i] > watched.groups[i]) watched.groups[i] = groups[i];
    watched.workgroups += (int64_t)x * y * z;
    watch_work();
    watched.CmdDispatch(commands, x, y, z);
}

static VKAPI_ATTR void VKAPI_CALL watch_CmdCopyBuffer(VkCommandBuffer commands, VkBuffer from, VkBuffer to,
                                                      uint32_t count, const VkBufferCopy *regions) {
    watch_work();
    watched.CmdCopyBuffer(commands, from, to, count, regions);
}

static bool has_all(VkFlags flags, VkFlags wanted) { return (flags & wanted) == wanted; }

static void watch_memory(VkPipelineStageFlags from, VkPipelineStageFlags to, const VkMemoryBarrier *barrier) {
    const VkPipelineStageFlags work = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkAccessFlags written = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                        used = written | VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT;
    if (!has_all(from, work) || !has_all(barrier->srcAccessMask, written)) return;
    if (has_all(to, work) && has_all(barrier->dstAccessMask, used)) watched.unwaited = false;
    if (has_all(to, VK_PIPELINE_STAGE_HOST_BIT) && has_all(barrier->dstAccessMask, VK_ACCESS_HOST_READ_BIT))
        watched.unseen = false;
}

/* An image goes from any layout to GENERAL when shaders are done with it, and before others begin. */
static void watch_image(VkPipelineStageFlags from, VkPipelineStageFlags to, const VkImageMemoryBarrier *barrier) {
    const VkPipelineStageFlags shaders = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
    const VkAccessFlags writes = VK_ACCESS_SHADER_WRITE_BIT, uses = writes | VK_ACCESS_SHADER_READ_BIT;
    bool waits = has_all(from, shaders) && has_all(to, shaders) && has_all(barrier->srcAccessMask, writes) &&
                 has_all(barrier->dstAccessMask, uses) && barrier->newLayout == VK_IMAGE_LAYOUT_GENERAL;
    watched.unordered += !waits;
    watched.images++;
}

static VKAPI_ATTR void VKAPI_CALL watch_CmdPipelineBarrier(VkCommandBuffer commands, VkPipelineStageFlags from,
                                                           VkPipelineStageFlags to, VkDependencyFlags flags,
                                                           uint32_t memories, const VkMemoryBarrier *memory,
                                                           uint32_t buffers, const VkBufferMemoryBarrier *buffer,
                                                           uint32_t images, const VkImageMemoryBarrier *image) {
    for (uint32_t i = 0; i < memories; i++) watch_memory(from, to, &memory[i]);
    for (uint32_t i = 0; i < images; i++) watch_image(from, to, &image[i]);
    watched.CmdPipelineBarrier(commands, from, to, flags, memories, memory, buffers, buffer, images, image);
}

static VKAPI_ATTR VkResult VKAPI_CALL watch_EndCommandBuffer(VkCommandBuffer commands) {
    watched.hidden += watched.unseen;
    return watched.EndCommandBuffer(commands);
}

static VKAPI_ATTR void VKAPI_CALL watch_CmdPushConstants(VkCommandBuffer commands, VkPipelineLayout layout,
                                                         VkShaderStageFlags stages, uint32_t offset, uint32_t bytes,
                                                         const void *values) {
    tilefold_vulkan_step step;
    if (bytes == sizeof step) {
        memcpy(&step, values, sizeof step);
        if (step.k_end - step.k_begin > watched.depth) watched.depth = step.k_end - step.k_begin;
    }
    watched.CmdPushConstants(commands, layout, stages, offset, bytes, values);
}

static VKAPI_ATTR VkResult VKAPI_CALL watch_CreateShaderModule(VkDevice device, const VkShaderModuleCreateInfo *info,
                                                               const VkAllocationCallbacks *allocator,
                                                               VkShaderModule *module) {
    watched.module_words = info->codeSize / 4;
    if (watched.module_words <= MOST_WORDS) memcpy(watched.module, info->pCode, info->codeSize);
    return watched.CreateShaderModule(device, info, allocator, module);
}

static VKAPI_ATTR void VKAPI_CALL watch_GetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice device, uint32_t *count,
                                                                               VkQueueFamilyProperties *families) {
    watched.GetPhysicalDeviceQueueFamilyProperties(device, count, families);
    for (uint32_t i = 0; families && watched.timestamp_bits && i < *count; i++)
        families[i].timestampValidBits = watched.timestamp_bits;
}

static VKAPI_ATTR VkResult VKAPI_CALL watch_GetQueryPoolResults(VkDevice device, VkQueryPool pool, uint32_t first,
                                                                uint32_t count, size_t bytes, void *data,
                                                                VkDeviceSize stride, VkQueryResultFlags flags) {
    if (!watched.timestamp_bits)
        return watched.GetQueryPoolResults(device, pool, first, count, bytes, data, stride, flags);
    if (watched.timestamps_result == VK_SUCCESS) memcpy(data, watched.timestamps, sizeof watched.timestamps);
    return watched.timestamps_result;
}

/* The watcher of a function, which calls the real one from now on; or that itself. */
static PFN_vkVoidFunction watch(const char *name, PFN_vkVoidFunction found) {
#define WATCHED(function)                                                                                              \
    if (found && strcmp(name, "vk" #function) == 0) {                                                                  \
        watched.function = (PFN_vk##function)found;                                                                    \
        return (PFN_vkVoidFunction)watch_##function;                                                                   \
    }
    WATCHED_FUNCTIONS
#undef WATCHED
    return found;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL watch_device_proc(VkDevice device, const char *name) {
    return watch(name, watched.get_device(device, name));
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL watch_proc(VkInstance instance, const char *name) {
    PFN_vkVoidFunction found = watched.get(instance, name);
    if (strcmp(name, "vkGetDeviceProcAddr") != 0) return watch(name, found);
    watched.get_device = (PFN_vkGetDeviceProcAddr)found;
    return (PFN_vkVoidFunction)watch_device_proc;
}

static tilefold_vulkan_options watched_options(const own_device *own) {
    tilefold_vulkan_options options = own_options(own);
    options.get_instance_proc_addr = watch_proc;
    watched.get = own->GetInstanceProcAddr;
    forget();
    return options;
}

/* A device of tilefold's own, watched. */
static tilefold_context *watched_context(const own_device *own, bool cpu_vectors) {
    tilefold_vulkan_options options;
    tilefold_vulkan_limits limits;
    tilefold_vulkan_options_init(&options);
    tilefold_vulkan_limits_init(&limits);
    options.get_instance_proc_addr = watch_proc;
    options.limits = &limits;
    limits.cpu_vectors = cpu_vectors;
    watched.get = own->GetInstanceProcAddr;
    forget();
    return own_context(&options);
}

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
        cmocka_unit_test(test_lowered_limits),  cmocka_unit_test(test_max_buffer_of_a_plan),
        cmocka_unit_test(test_cut_weights),     cmocka_unit_test(test_direct_fills_workgroups),
        cmocka_unit_test(test_steps_are_short), cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_float_modes),     cmocka_unit_test(test_timestamps),
    };
    cmocka_set_test_filter(getenv("TILEFOLD_TEST_FILTER"));
    return cmocka_run_group_tests_name("vulkan watched", tests, NULL, NULL);
}
