/* Descriptor sets: what the shaders' bindings are, and pointing them at buffers.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "vulkan.h"

enum { SETS_PER_CHUNK = 3 };

static const VkDescriptorType binding_types[TILEFOLD_VULKAN_BINDINGS] = {
    VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, /* TILEFOLD_VULKAN_STORAGE_BINDINGS of them */
    VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
    VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
    VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
    [TILEFOLD_VULKAN_JOB_BINDING] = VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC,
    [TILEFOLD_VULKAN_STORED_BINDING] = VK_DESCRIPTOR_TYPE_STORAGE_IMAGE,
    [TILEFOLD_VULKAN_FETCHED_BINDING] = VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE,
};

VkResult tilefold_vulkan_create_set_layout(tilefold_vulkan_context *context) {
    VkDescriptorSetLayoutBinding bindings[TILEFOLD_VULKAN_BINDINGS];
    for (uint32_t i = 0; i < TILEFOLD_VULKAN_BINDINGS; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                     .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                                     .descriptorType = binding_types[i]};
    VkDescriptorSetLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                            .bindingCount = TILEFOLD_VULKAN_BINDINGS,
                                            .pBindings = bindings};
    return context->vk.CreateDescriptorSetLayout(context->device, &info, NULL, &context->set_layout);
}

VkResult tilefold_vulkan_create_pool(tilefold_vulkan_context *context, int64_t chunks, VkDescriptorPool *pool) {
    uint32_t sets = (uint32_t)(SETS_PER_CHUNK * chunks);
    const VkDescriptorPoolSize sizes[] = {
        {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, TILEFOLD_VULKAN_STORAGE_BINDINGS * sets},
        {VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC, sets},
        {VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, sets},
        {VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE, sets},
    };
    VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = sets,
                                       .poolSizeCount = sizeof sizes / sizeof sizes[0],
                                       .pPoolSizes = sizes};
    return context->vk.CreateDescriptorPool(context->device, &info, NULL, pool);
}

/* What the bindings of a set point at. Those of no buffer and of no image are left alone: the set's shader does not have them. */
typedef struct pointed {
    const tilefold_vulkan_bound *storage[TILEFOLD_VULKAN_STORAGE_BINDINGS];
    VkBuffer jobs;
    VkImageView stored, fetched;
} pointed;

static void write_set(const tilefold_vulkan_context *context, VkDescriptorSet set, const pointed *at) {
    VkDescriptorBufferInfo buffers[TILEFOLD_VULKAN_BINDINGS] = {
        [TILEFOLD_VULKAN_JOB_BINDING] = {at->jobs, 0, TILEFOLD_JOB_BYTES}};
    VkDescriptorImageInfo images[TILEFOLD_VULKAN_BINDINGS] = {
        [TILEFOLD_VULKAN_STORED_BINDING] = {VK_NULL_HANDLE, at->stored, VK_IMAGE_LAYOUT_GENERAL},
        [TILEFOLD_VULKAN_FETCHED_BINDING] = {VK_NULL_HANDLE, at->fetched, VK_IMAGE_LAYOUT_GENERAL}};
    for (int i = 0; i < TILEFOLD_VULKAN_STORAGE_BINDINGS; i++) {
        const tilefold_vulkan_bound *bound = at->storage[i];
        if (bound)
            buffers[i] = (VkDescriptorBufferInfo){bound->buffer, (VkDeviceSize)bound->offset,
                                                  (VkDeviceSize)bound->bytes};
    }
    VkWriteDescriptorSet writes[TILEFOLD_VULKAN_BINDINGS];
    uint32_t used = 0;
    for (uint32_t binding = 0; binding < TILEFOLD_VULKAN_BINDINGS; binding++)
        if (buffers[binding].buffer || images[binding].imageView)
            writes[used++] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                                    .dstSet = set,
                                                    .dstBinding = binding,
                                                    .descriptorCount = 1,
                                                    .pBufferInfo = &buffers[binding],
                                                    .pImageInfo = &images[binding],
                                                    .descriptorType = binding_types[binding]};
    context->vk.UpdateDescriptorSets(context->device, used, writes, 0, NULL);
}

VkResult tilefold_vulkan_create_sets(tilefold_vulkan_context *context, VkDescriptorPool pool,
                                     const tilefold_vulkan_bound tensors[TILEFOLD_TENSORS],
                                     const tilefold_vulkan_bound *scratch, VkBuffer jobs,
                                     const tilefold_vulkan_plan *plan, tilefold_vulkan_sets *sets) {
    const VkDescriptorSetLayout layouts[SETS_PER_CHUNK] = {context->set_layout, context->set_layout,
                                                           context->set_layout};
    VkDescriptorSet made[SETS_PER_CHUNK];
    VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                        .descriptorPool = pool,
                                        .descriptorSetCount = SETS_PER_CHUNK,
                                        .pSetLayouts = layouts};
    VkResult result = context->vk.AllocateDescriptorSets(context->device, &info, made);
    if (result != VK_SUCCESS) return result;
    *sets = (tilefold_vulkan_sets){made[0], made[1], made[2]};
    const tilefold_vulkan_bound *input = &tensors[TILEFOLD_INPUT], *weight = &tensors[TILEFOLD_WEIGHT];
    const tilefold_vulkan_bound *output = &tensors[TILEFOLD_OUTPUT];
    /* Something must be bound as the bias even where it is not read. */
    const tilefold_vulkan_bound *bias = tensors[TILEFOLD_BIAS].buffer ? &tensors[TILEFOLD_BIAS] : weight;
    const VkImageView view = plan->image.view;
    pointed at[SETS_PER_CHUNK] = {{{input, weight, bias, output}, jobs, NULL, view},
                                  {{input, weight, bias, scratch}, jobs, view, NULL},
                                  {{input, weight, scratch, output}, jobs, NULL, NULL}};
    if (plan->algorithm == TILEFOLD_ALGORITHM_UNFOLD) at[0].storage[0] = scratch;
    for (int i = 0; i < SETS_PER_CHUNK; i++) write_set(context, made[i], &at[i]);
    return VK_SUCCESS;
}
