/* What all plans of a context share: layouts, shaders, pipelines, the command buffer.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../message.h"
#include "vulkan.h"

#include <stddef.h>

/* SPIR-V words, made from shaders/ when the library is built: each without and with 16-bit storage. */
static const uint32_t product_words[] =
#include "product.h"
    ;
static const uint32_t product16_words[] =
#include "product16.h"
    ;
static const uint32_t unfold_words[] =
#include "unfold.h"
    ;
static const uint32_t unfold16_words[] =
#include "unfold16.h"
    ;
static const uint32_t direct_words[] =
#include "direct.h"
    ;
static const uint32_t direct16_words[] =
#include "direct16.h"
    ;

static const struct {
    const uint32_t *words;
    size_t bytes;
} shaders[TILEFOLD_VULKAN_SHADERS][2] = {
    [TILEFOLD_VULKAN_PRODUCT] = {{product_words, sizeof product_words}, {product16_words, sizeof product16_words}},
    [TILEFOLD_VULKAN_UNFOLD] = {{unfold_words, sizeof unfold_words}, {unfold16_words, sizeof unfold16_words}},
    [TILEFOLD_VULKAN_DIRECT] = {{direct_words, sizeof direct_words}, {direct16_words, sizeof direct16_words}},
};

static VkResult create_layouts(tilefold_vulkan_context *context) {
    VkDescriptorSetLayoutBinding bindings[TILEFOLD_VULKAN_BINDINGS];
    for (uint32_t i = 0; i < TILEFOLD_VULKAN_BINDINGS; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                     .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                                     .descriptorType = i + 1 < TILEFOLD_VULKAN_BINDINGS
                                                                           ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER
                                                                           : VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC};
    VkDescriptorSetLayoutCreateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                           .bindingCount = TILEFOLD_VULKAN_BINDINGS,
                                           .pBindings = bindings};
    VkResult result = context->vk.CreateDescriptorSetLayout(context->device, &set, NULL, &context->set_layout);
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
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    return context->vk.CreateFence(context->device, &fence, NULL, &context->fence);
}

tilefold_status tilefold_vulkan_create_objects(tilefold_vulkan_context *context, tilefold_message *message) {
    VkResult result = create_layouts(context);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(message, result, "making the pipeline layout");
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
    vk->DestroyFence(context->device, context->fence, NULL);
    vk->DestroyCommandPool(context->device, context->pool, NULL);
    vk->DestroyPipelineLayout(context->device, context->layout, NULL);
    vk->DestroyDescriptorSetLayout(context->device, context->set_layout, NULL);
}

/* ------------------------------------------------------------------------------------------------- pipelines ---- */

static bool same_constants(const tilefold_vulkan_constants *a, const tilefold_vulkan_constants *b) {
    return a->type == b->type && a->columns == b->columns && a->unfolded == b->unfolded;
}

static VkResult get_module(tilefold_vulkan_context *context, tilefold_vulkan_shader shader, bool half,
                           VkShaderModule *module) {
    VkShaderModule *kept = &context->modules[shader][half];
    VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                     .codeSize = shaders[shader][half].bytes,
                                     .pCode = shaders[shader][half].words};
    VkResult result = VK_SUCCESS;
    if (!*kept) result = context->vk.CreateShaderModule(context->device, &info, NULL, kept);
    *module = *kept;
    return result;
}

static VkResult compile(tilefold_vulkan_context *context, tilefold_vulkan_shader shader,
                        const tilefold_vulkan_constants *constants, VkPipeline *pipeline) {
    static const VkSpecializationMapEntry entries[] = {
        {0, offsetof(tilefold_vulkan_constants, type), sizeof(int32_t)},
        {1, offsetof(tilefold_vulkan_constants, columns), sizeof(int32_t)},
        {2, offsetof(tilefold_vulkan_constants, unfolded), sizeof(VkBool32)},
    };
    VkSpecializationInfo specialisation = {sizeof entries / sizeof entries[0], entries, sizeof *constants, constants};
    VkShaderModule module;
    bool half = context->limits.storage16 && constants->type != TILEFOLD_F32;
    VkResult result = get_module(context, shader, half, &module);
    if (result != VK_SUCCESS) return result;
    VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                  .module = module,
                                                  .pName = "main",
                                                  .pSpecializationInfo = &specialisation},
                                        .layout = context->layout};
    return context->vk.CreateComputePipelines(context->device, VK_NULL_HANDLE, 1, &info, NULL, pipeline);
}

tilefold_status tilefold_vulkan_get_pipeline(tilefold_vulkan_context *context, tilefold_vulkan_shader shader,
                                             const tilefold_vulkan_constants *constants, VkPipeline *pipeline,
                                             tilefold_message *message) {
    VkResult result = VK_SUCCESS;
    pthread_mutex_lock(&context->lock);
    tilefold_vulkan_pipeline *kept = context->pipelines, *end = kept + context->pipeline_count;
    while (kept < end && (kept->shader != shader || !same_constants(&kept->constants, constants))) kept++;
    if (kept == end) {
        *kept = (tilefold_vulkan_pipeline){.shader = shader, .constants = *constants};
        result = compile(context, shader, constants, &kept->pipeline);
        if (result == VK_SUCCESS) context->pipeline_count++;
    }
    *pipeline = kept->pipeline;
    pthread_mutex_unlock(&context->lock);
    return result == VK_SUCCESS ? TILEFOLD_OK : tilefold_vulkan_fail(message, result, "compiling a shader");
}
