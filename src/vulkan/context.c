/* What all plans of a context share: layouts, shaders, pipelines, the command buffer.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../message.h"
#include "vulkan.h"

#include <stddef.h>

/* SPIR-V words. */
static const uint32_t implicit_words[] =
#include "implicit.h"
    ;
static const uint32_t implicit16_words[] =
#include "implicit16.h"
    ;
static const uint32_t unfolded_words[] =
#include "unfolded.h"
    ;
static const uint32_t unfolded16_words[] =
#include "unfolded16.h"
    ;
static const uint32_t unfolded2d_words[] =
#include "unfolded2d.h"
    ;
static const uint32_t unfolded2d16_words[] =
#include "unfolded2d16.h"
    ;
static const uint32_t unfolded3d_words[] =
#include "unfolded3d.h"
    ;
static const uint32_t unfolded3d16_words[] =
#include "unfolded3d16.h"
    ;
static const uint32_t broadcast_implicit_words[] =
#include "broadcast_implicit.h"
    ;
static const uint32_t broadcast_implicit16_words[] =
#include "broadcast_implicit16.h"
    ;
static const uint32_t broadcast_unfolded_words[] =
#include "broadcast_unfolded.h"
    ;
static const uint32_t broadcast_unfolded16_words[] =
#include "broadcast_unfolded16.h"
    ;
static const uint32_t unfold_words[] =
#include "unfold.h"
    ;
static const uint32_t unfold16_words[] =
#include "unfold16.h"
    ;
static const uint32_t unfold2d_words[] =
#include "unfold2d.h"
    ;
static const uint32_t unfold2d16_words[] =
#include "unfold2d16.h"
    ;
static const uint32_t unfold3d_words[] =
#include "unfold3d.h"
    ;
static const uint32_t unfold3d16_words[] =
#include "unfold3d16.h"
    ;
static const uint32_t direct_words[] =
#include "direct.h"
    ;
static const uint32_t direct16_words[] =
#include "direct16.h"
    ;

static const uint32_t probe_words[] =
#include "probe.h"
    ;

/* With its modes declared each must fit the room that a context has for it. */
#define FITS(bytes) ((bytes) / 4 + TILEFOLD_VULKAN_MODE_WORDS <= TILEFOLD_VULKAN_MODULE_WORDS)
#define SHADER(name)                                                                                                   \
    { name##_words, sizeof name##_words / (FITS(sizeof name##_words) ? 4 : 0) }
#define SHADERS(name)                                                                                                  \
    { SHADER(name), SHADER(name##16) }

static const tilefold_vulkan_modules shaders = {
    [TILEFOLD_VULKAN_IMPLICIT] = SHADERS(implicit),
    [TILEFOLD_VULKAN_UNFOLDED] = SHADERS(unfolded),
    [TILEFOLD_VULKAN_UNFOLDED_2D] = SHADERS(unfolded2d),
    [TILEFOLD_VULKAN_UNFOLDED_3D] = SHADERS(unfolded3d),
    [TILEFOLD_VULKAN_BROADCAST_IMPLICIT] = SHADERS(broadcast_implicit),
    [TILEFOLD_VULKAN_BROADCAST_UNFOLDED] = SHADERS(broadcast_unfolded),
    [TILEFOLD_VULKAN_UNFOLD] = SHADERS(unfold),
    [TILEFOLD_VULKAN_UNFOLD_2D] = SHADERS(unfold2d),
    [TILEFOLD_VULKAN_UNFOLD_3D] = SHADERS(unfold3d),
    [TILEFOLD_VULKAN_DIRECT] = SHADERS(direct),
    [TILEFOLD_VULKAN_PROBE] = {SHADER(probe)},
};

static VkResult create_layouts(tilefold_vulkan_context *context) {
    VkResult result = tilefold_vulkan_create_set_layout(context);
    if (result != VK_SUCCESS) return result;
    VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(tilefold_vulkan_step)};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &context->set_layout,
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &range};
    return context->vk.CreatePipelineLayout(context->device, &layout, NULL, &context->layout);
}

static VkResult create_commands(tilefold_vulkan_context *context) {
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
                                    .queueFamilyIndex = context->queue_family};
    VkResult result = context->vk.CreateCommandPool(context->device, &pool, NULL, &context->pool);
    if (result != VK_SUCCESS) return result;
    VkCommandBufferAllocateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = context->pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
    result = context->vk.AllocateCommandBuffers(context->device, &commands, &context->commands);
    if (result != VK_SUCCESS) return result;
    if (context->traits.timestamp_seconds > 0) {
        VkQueryPoolCreateInfo queries = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                         .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                         .queryCount = 2};
        result = context->vk.CreateQueryPool(context->device, &queries, NULL, &context->timestamps);
        if (result != VK_SUCCESS) return result;
    }
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    return context->vk.CreateFence(context->device, &fence, NULL, &context->fence);
}

tilefold_status tilefold_vulkan_create_objects(tilefold_vulkan_context *context, const void *cache, size_t cache_bytes,
                                               tilefold_message *message) {
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                      .initialDataSize = cache ? cache_bytes : 0,
                                      .pInitialData = cache};
    context->shaders = &shaders;
    VkResult result = create_layouts(context);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(message, result, "making the pipeline layout");
    result = context->vk.CreatePipelineCache(context->device, &info, NULL, &context->cache);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(message, result, "making the pipeline cache");
    if (!context->queue) return TILEFOLD_OK;
    result = create_commands(context);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(message, result, "making the command buffer");
    return TILEFOLD_OK;
}

void tilefold_vulkan_destroy_objects(tilefold_vulkan_context *context) {
    const tilefold_vulkan_functions *vk = &context->vk;
    for (int i = 0; i < context->pipeline_count; i++)
        vk->DestroyPipeline(context->device, context->pipelines[i].pipeline, NULL);
    for (int i = 0; i < TILEFOLD_VULKAN_SHADERS; i++)
        for (int half = 0; half < 2; half++) vk->DestroyShaderModule(context->device, context->modules[i][half], NULL);
    vk->DestroyPipelineCache(context->device, context->cache, NULL);
    vk->DestroyFence(context->device, context->fence, NULL);
    vk->DestroyQueryPool(context->device, context->timestamps, NULL);
    vk->DestroyCommandPool(context->device, context->pool, NULL);
    vk->DestroyPipelineLayout(context->device, context->layout, NULL);
    vk->DestroyDescriptorSetLayout(context->device, context->set_layout, NULL);
}

/* ---------------------------------------------------------------------------------------------------- the queue ---- */

VkResult tilefold_vulkan_submit(tilefold_vulkan_context *context, VkCommandBuffer commands) {
    const tilefold_vulkan_functions *vk = &context->vk;
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    VkResult result = vk->ResetFences(context->device, 1, &context->fence);
    if (result != VK_SUCCESS) return result;
    if (context->lock_queue) context->lock_queue(context->queue_user);
    result = vk->QueueSubmit(context->queue, 1, &info, context->fence);
    if (context->unlock_queue) context->unlock_queue(context->queue_user);
    if (result != VK_SUCCESS) return result;
    result = vk->WaitForFences(context->device, 1, &context->fence, VK_TRUE, UINT64_MAX);
    if (result == VK_SUCCESS) return result;
    /* What was submitted may be running still, and its objects are about to be reset or destroyed. */
    if (context->lock_queue) context->lock_queue(context->queue_user);
    vk->QueueWaitIdle(context->queue);
    if (context->unlock_queue) context->unlock_queue(context->queue_user);
    return result;
}

/* How long a submission should be: long enough that what it costs to submit and to wait is little beside it, and short enough that
 * a progress callback is called some times a second. Devices differ by a factor of a thousand. */
#define SUBMISSION_NANOSECONDS 100000000.0

void tilefold_vulkan_learn_pace(tilefold_vulkan_context *context, int64_t macs, int64_t nanoseconds) {
    if (macs < context->submission_macs / 2) return; /* too short to tell */
    double faster = SUBMISSION_NANOSECONDS / (double)tilefold_max(1, nanoseconds);
    double wanted = (double)macs * (faster < 4 ? faster : 4);
    context->submission_macs = tilefold_max(context->traits.step_macs,
                                            wanted < 0x1p50 ? (int64_t)wanted : INT64_C(1) << 50);
}

void tilefold_vulkan_begin_time(const tilefold_vulkan_context *context, VkCommandBuffer commands) {
    if (!context->timestamps) return;
    context->vk.CmdResetQueryPool(commands, context->timestamps, 0, 2);
    context->vk.CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, context->timestamps, 0);
}

void tilefold_vulkan_end_time(const tilefold_vulkan_context *context, VkCommandBuffer commands) {
    if (!context->timestamps) return;
    context->vk.CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, context->timestamps, 1);
}

VkResult tilefold_vulkan_get_time(const tilefold_vulkan_context *context, double *seconds) {
    uint64_t at[2];
    *seconds = 0;
    if (!context->timestamps) return VK_SUCCESS;
    VkResult result = context->vk.GetQueryPoolResults(context->device, context->timestamps, 0, 2, sizeof at, at,
                                                      sizeof at[0], VK_QUERY_RESULT_64_BIT);
    if (result == VK_NOT_READY) return VK_SUCCESS; /* the run is over, by its fence; only its time is not known */
    uint64_t units = (at[1] - at[0]) & context->traits.timestamp_mask; /* they may wrap around in between */
    if (result == VK_SUCCESS) *seconds = (double)units * context->traits.timestamp_seconds;
    return result;
}

/* ------------------------------------------------------------------------------------------------- pipelines ---- */

static bool same_constants(const tilefold_vulkan_constants *a, const tilefold_vulkan_constants *b) {
    return a->type == b->type && a->columns == b->columns && a->rows == b->rows && a->lanes == b->lanes;
}

static VkResult get_module(tilefold_vulkan_context *context, tilefold_vulkan_shader shader, bool half,
                           VkShaderModule *module) {
    VkShaderModule *kept = &context->modules[shader][half];
    VkResult result = VK_SUCCESS;
    if (!*kept) {
        const tilefold_vulkan_module *from = &(*context->shaders)[shader][half];
        size_t words = tilefold_vulkan_declare_modes(from->words, from->count, context->traits.float_modes,
                                                     context->module_words);
        VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                         .codeSize = words * sizeof(uint32_t),
                                         .pCode = context->module_words};
        result = context->vk.CreateShaderModule(context->device, &info, NULL, kept);
    }
    *module = *kept;
    return result;
}

/* Which of the two of a shader. */
static bool wants_half(const tilefold_vulkan_context *context, tilefold_vulkan_shader shader, tilefold_type type) {
    bool stores_texels = shader == TILEFOLD_VULKAN_UNFOLD_2D || shader == TILEFOLD_VULKAN_UNFOLD_3D;
    return type != TILEFOLD_F32 && (stores_texels || context->traits.storage16);
}

static VkResult compile(tilefold_vulkan_context *context, tilefold_vulkan_shader shader,
                        const tilefold_vulkan_constants *constants, VkPipeline *pipeline) {
    static const VkSpecializationMapEntry entries[] = {
        {0, offsetof(tilefold_vulkan_constants, type), sizeof(int32_t)},
        {1, offsetof(tilefold_vulkan_constants, columns), sizeof(int32_t)},
        {2, offsetof(tilefold_vulkan_constants, rows), sizeof(int32_t)},
        {3, offsetof(tilefold_vulkan_constants, lanes), sizeof(int32_t)},
    };
    VkSpecializationInfo specialisation = {sizeof entries / sizeof entries[0], entries, sizeof *constants, constants};
    VkShaderModule module;
    bool half = wants_half(context, shader, (tilefold_type)constants->type);
    VkResult result = get_module(context, shader, half, &module);
    if (result != VK_SUCCESS) return result;
    VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                  .module = module,
                                                  .pName = "main",
                                                  .pSpecializationInfo = &specialisation},
                                        .layout = context->layout};
    return context->vk.CreateComputePipelines(context->device, context->cache, 1, &info, NULL, pipeline);
}

tilefold_status tilefold_vulkan_get_pipeline(tilefold_vulkan_context *context, tilefold_vulkan_shader shader,
                                             const tilefold_vulkan_constants *constants, VkPipeline *pipeline,
                                             tilefold_message *message) {
    VkResult result = VK_SUCCESS;
    tilefold_mutex_lock(&context->pipeline_lock);
    tilefold_vulkan_pipeline *kept = context->pipelines, *end = kept + context->pipeline_count;
    while (kept < end && (kept->shader != shader || !same_constants(&kept->constants, constants))) kept++;
    if (kept == end) {
        *kept = (tilefold_vulkan_pipeline){.shader = shader, .constants = *constants};
        result = compile(context, shader, constants, &kept->pipeline);
        if (result == VK_SUCCESS) context->pipeline_count++;
    }
    *pipeline = kept->pipeline;
    tilefold_mutex_unlock(&context->pipeline_lock);
    return result == VK_SUCCESS ? TILEFOLD_OK : tilefold_vulkan_fail(message, result, "compiling a shader");
}

tilefold_status tilefold_vulkan_get_pipeline_cache(tilefold_context *context, void *data, size_t *bytes,
                                                   tilefold_message *message) {
    if (context->device != &tilefold_vulkan_device)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "the context is not of a Vulkan device");
    const tilefold_vulkan_context *vulkan = context->state;
    size_t needed = 0; /* asked for first: Mesa's software device does not say how much it wrote */
    VkResult result = vulkan->vk.GetPipelineCacheData(vulkan->device, vulkan->cache, &needed, NULL);
    if (result == VK_SUCCESS && data && *bytes >= needed)
        result = vulkan->vk.GetPipelineCacheData(vulkan->device, vulkan->cache, &needed, data);
    if (result == VK_INCOMPLETE || (result == VK_SUCCESS && data && *bytes < needed))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "the pipeline cache is larger than the room of %zu bytes for it", *bytes);
    if (result == VK_SUCCESS) *bytes = needed;
    return result == VK_SUCCESS ? TILEFOLD_OK : tilefold_vulkan_fail(message, result, "reading the pipeline cache");
}
