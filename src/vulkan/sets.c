/* Descriptor sets: what the shaders' bindings are, and pointing them at buffers.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "vulkan.h"

enum { SETS_PER_CHUNK = 2 };

static VkDescriptorType binding_type(uint32_t binding) {
    return binding < TILEFOLD_VULKAN_STORAGE_BINDINGS ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER
                                                      : VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC;
}

VkResult tilefold_vulkan_create_set_layout(tilefold_vulkan_context *context) {
    VkDescriptorSetLayoutBinding bindings[TILEFOLD_VULKAN_BINDINGS];
    for (uint32_t i = 0; i < TILEFOLD_VULKAN_BINDINGS; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                     .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                                     .descriptorType = binding_type(i)};
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
    };
    VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = sets,
                                       .poolSizeCount = sizeof sizes / sizeof sizes[0],
                                       .pPoolSizes = sizes};
    return context->vk.CreateDescriptorPool(context->device, &info, NULL, pool);
}

/* Storage buffers of an empty range are not bound: the shader of that set does not have them. */
static void write_set(const tilefold_vulkan_context *context, VkDescriptorSet set,
                      const tilefold_vulkan_bound *const storage[TILEFOLD_VULKAN_STORAGE_BINDINGS], VkBuffer jobs) {
    VkDescriptorBufferInfo infos[TILEFOLD_VULKAN_BINDINGS];
    VkWriteDescriptorSet writes[TILEFOLD_VULKAN_BINDINGS];
    uint32_t used = 0;
    for (uint32_t binding = 0; binding < TILEFOLD_VULKAN_BINDINGS; binding++) {
        bool uniform = binding >= TILEFOLD_VULKAN_STORAGE_BINDINGS;
        const tilefold_vulkan_bound *bound = uniform ? NULL : storage[binding];
        if (!uniform && (!bound || !bound->buffer)) continue;
        infos[used] = uniform ? (VkDescriptorBufferInfo){jobs, 0, TILEFOLD_JOB_BYTES}
                              : (VkDescriptorBufferInfo){bound->buffer, (VkDeviceSize)bound->offset,
                                                         (VkDeviceSize)bound->bytes};
        writes[used] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                              .dstSet = set,
                                              .dstBinding = binding,
                                              .descriptorCount = 1,
                                              .pBufferInfo = &infos[used],
                                              .descriptorType = binding_type(binding)};
        used++;
    }
    context->vk.UpdateDescriptorSets(context->device, used, writes, 0, NULL);
}

VkResult tilefold_vulkan_create_sets(tilefold_vulkan_context *context, VkDescriptorPool pool,
                                     const tilefold_vulkan_bound tensors[TILEFOLD_TENSORS],
                                     const tilefold_vulkan_bound *scratch, VkBuffer jobs, bool unfolds,
                                     tilefold_vulkan_sets *sets) {
    const VkDescriptorSetLayout layouts[SETS_PER_CHUNK] = {context->set_layout, context->set_layout};
    VkDescriptorSet made[SETS_PER_CHUNK];
    VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                        .descriptorPool = pool,
                                        .descriptorSetCount = SETS_PER_CHUNK,
                                        .pSetLayouts = layouts};
    VkResult result = context->vk.AllocateDescriptorSets(context->device, &info, made);
    if (result != VK_SUCCESS) return result;
    *sets = (tilefold_vulkan_sets){made[0], made[1]};
    const tilefold_vulkan_bound *input = &tensors[TILEFOLD_INPUT];
    /* Something must be bound as the bias even where it is not read. */
    const tilefold_vulkan_bound *bias = &tensors[tensors[TILEFOLD_BIAS].buffer ? TILEFOLD_BIAS : TILEFOLD_WEIGHT];
    write_set(context, sets->unfold, (const tilefold_vulkan_bound *[]){input, NULL, NULL, scratch}, jobs);
    write_set(context, sets->product,
              (const tilefold_vulkan_bound *[]){unfolds ? scratch : input, &tensors[TILEFOLD_WEIGHT], bias,
                                                &tensors[TILEFOLD_OUTPUT]},
              jobs);
    return VK_SUCCESS;
}
