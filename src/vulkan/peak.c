/* Measuring how fast a Vulkan device multiplies and adds.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../message.h"
#include "vulkan.h"

#include <time.h>

static const uint32_t peak_words[] =
#include "peak.h"
    ;

/* As in shaders/peak.comp. */
enum { WORKGROUP = 64, CHAINS = 12, STEPS = 16 };

/* The push constants `Run` of shaders/peak.comp. Every chain comes to rest at addend / (1 - factor) = 2, far from `never`. */
typedef struct peak_run {
    int32_t rounds;
    float factor, addend, never;
} peak_run;

/* Some drivers end an invocation's loops after 65 535 iterations. */
#define MOST_ROUNDS 16384

/* A million invocations: three times what the largest GPUs hold at once, so that none idles for long at the end. */
#define MOST_WORKGROUPS 16384

enum { TIMED_RUNS = 8 };
static const double least_seconds = 0.01; /* of one run: submitting it takes a hundredth of that */

typedef struct peak_objects {
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkShaderModule module;
    VkPipeline pipeline;
    VkDescriptorPool pool;
    VkDescriptorSet set;
    tilefold_vulkan_buffer result;
} peak_objects;

static VkResult create_layouts(const tilefold_vulkan_context *context, peak_objects *objects) {
    const tilefold_vulkan_functions *vk = &context->vk;
    VkDescriptorSetLayoutBinding binding = {.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                            .descriptorCount = 1,
                                            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    VkDescriptorSetLayoutCreateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                           .bindingCount = 1,
                                           .pBindings = &binding};
    VkResult result = vk->CreateDescriptorSetLayout(context->device, &set, NULL, &objects->set_layout);
    if (result != VK_SUCCESS) return result;
    VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(peak_run)};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &objects->set_layout,
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &range};
    return vk->CreatePipelineLayout(context->device, &layout, NULL, &objects->layout);
}

static VkResult create_pipeline(const tilefold_vulkan_context *context, peak_objects *objects) {
    const tilefold_vulkan_functions *vk = &context->vk;
    VkShaderModuleCreateInfo module = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                       .codeSize = sizeof peak_words,
                                       .pCode = peak_words};
    VkResult result = vk->CreateShaderModule(context->device, &module, NULL, &objects->module);
    if (result != VK_SUCCESS) return result;
    VkComputePipelineCreateInfo pipeline = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                            .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                      .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                      .module = objects->module,
                                                      .pName = "main"},
                                            .layout = objects->layout};
    return vk->CreateComputePipelines(context->device, VK_NULL_HANDLE, 1, &pipeline, NULL, &objects->pipeline);
}

static VkResult create_set(const tilefold_vulkan_context *context, peak_objects *objects) {
    const tilefold_vulkan_functions *vk = &context->vk;
    VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1};
    VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = 1,
                                       .poolSizeCount = 1,
                                       .pPoolSizes = &size};
    VkResult result = vk->CreateDescriptorPool(context->device, &pool, NULL, &objects->pool);
    if (result != VK_SUCCESS) return result;
    VkDescriptorSetAllocateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                       .descriptorPool = objects->pool,
                                       .descriptorSetCount = 1,
                                       .pSetLayouts = &objects->set_layout};
    result = vk->AllocateDescriptorSets(context->device, &set, &objects->set);
    if (result != VK_SUCCESS) return result;
    VkDescriptorBufferInfo buffer = {objects->result.buffer, 0, VK_WHOLE_SIZE};
    VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                  .dstSet = objects->set,
                                  .descriptorCount = 1,
                                  .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                  .pBufferInfo = &buffer};
    vk->UpdateDescriptorSets(context->device, 1, &write, 0, NULL);
    return VK_SUCCESS;
}

static tilefold_status create_objects(tilefold_vulkan_context *context, peak_objects *objects,
                                      tilefold_message *message) {
    tilefold_status status = tilefold_vulkan_create_buffer(context, sizeof(float), VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
                                                           false, &objects->result, message);
    if (status) return status;
    VkResult result = create_layouts(context, objects);
    if (result == VK_SUCCESS) result = create_pipeline(context, objects);
    if (result == VK_SUCCESS) result = create_set(context, objects);
    return result == VK_SUCCESS ? TILEFOLD_OK : tilefold_vulkan_fail(message, result, "preparing the peak's shader");
}

static void destroy_objects(tilefold_vulkan_context *context, peak_objects *objects) {
    const tilefold_vulkan_functions *vk = &context->vk;
    vk->DestroyDescriptorPool(context->device, objects->pool, NULL);
    vk->DestroyPipeline(context->device, objects->pipeline, NULL);
    vk->DestroyShaderModule(context->device, objects->module, NULL);
    vk->DestroyPipelineLayout(context->device, objects->layout, NULL);
    vk->DestroyDescriptorSetLayout(context->device, objects->set_layout, NULL);
    tilefold_vulkan_destroy_buffer(context, &objects->result);
}

static double seconds_now(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* One dispatch, from its submission to its end. */
static VkResult time_run(tilefold_vulkan_context *context, const peak_objects *objects, uint32_t workgroups,
                         int32_t rounds, double *seconds) {
    const tilefold_vulkan_functions *vk = &context->vk;
    VkCommandBuffer commands = context->commands;
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                     .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkResult result = vk->ResetCommandPool(context->device, context->pool, 0);
    if (result == VK_SUCCESS) result = vk->BeginCommandBuffer(commands, &info);
    if (result != VK_SUCCESS) return result;
    peak_run run = {rounds, 0.5f, 1.0f, -1.0f};
    vk->CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, objects->pipeline);
    vk->CmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, objects->layout, 0, 1, &objects->set, 0, NULL);
    vk->CmdPushConstants(commands, objects->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof run, &run);
    vk->CmdDispatch(commands, workgroups, 1, 1);
    result = vk->EndCommandBuffer(commands);
    double begun = seconds_now();
    if (result == VK_SUCCESS) result = tilefold_vulkan_submit(context, commands);
    *seconds = seconds_now() - begun;
    return result;
}

static VkResult time_runs(tilefold_vulkan_context *context, const peak_objects *objects, double *best) {
    uint32_t workgroups = (uint32_t)tilefold_min(MOST_WORKGROUPS, context->traits.max_groups[0]);
    double flops_of_round = 2.0 * WORKGROUP * CHAINS * STEPS * workgroups;
    int32_t rounds = 1;
    *best = 0;
    for (int timed = 0; timed < TIMED_RUNS;) {
        double seconds;
        VkResult result = time_run(context, objects, workgroups, rounds, &seconds);
        if (result != VK_SUCCESS) return result;
        if (seconds < least_seconds &&
            rounds <= MOST_ROUNDS / 2) { /* too short to be timed well; and the clocks rise */
            rounds *= 2;
            continue;
        }
        timed++;
        double flops_per_second = flops_of_round * rounds / seconds;
        if (flops_per_second > *best) *best = flops_per_second;
    }
    return VK_SUCCESS;
}

tilefold_status tilefold_vulkan_measure_peak(tilefold_context *context, double *flops_per_second,
                                             tilefold_message *message) {
    tilefold_vulkan_context *vulkan = context->state;
    peak_objects objects = {0};
    double best = 0;
    if (!vulkan->queue) return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "the context has no queue to measure");
    tilefold_mutex_lock(&vulkan->queue_lock);
    tilefold_status status = create_objects(vulkan, &objects, message);
    if (!status) {
        VkResult result = time_runs(vulkan, &objects, &best);
        if (result != VK_SUCCESS) status = tilefold_vulkan_fail(message, result, "measuring the peak");
    }
    destroy_objects(vulkan, &objects);
    tilefold_mutex_unlock(&vulkan->queue_lock);
    if (!status) *flops_per_second = best;
    return status;
}
