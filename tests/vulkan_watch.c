/* See vulkan_watch.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "vulkan_watch.h"

#include <string.h>

struct watched watched;

void forget(void) {
    watched.buffer_bytes = watched.buffers_bytes = watched.bound_bytes = 0;
    watched.memory_bytes = 0;
    watched.allocations = 0;
    watched.groups[0] = watched.groups[1] = watched.groups[2] = 0;
    watched.workgroups = watched.depth = 0;
    watched.unordered = watched.hidden = watched.images = 0;
}

static VKAPI_ATTR VkResult VKAPI_CALL watch_AllocateMemory(VkDevice device, const VkMemoryAllocateInfo *info,
                                                           const VkAllocationCallbacks *allocator,
                                                           VkDeviceMemory *memory) {
    watched.memory_bytes += info->allocationSize;
    watched.allocations++;
    return watched.AllocateMemory(device, info, allocator, memory);
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

tilefold_vulkan_options watched_options(const own_device *own) {
    tilefold_vulkan_options options = own_options(own);
    options.get_instance_proc_addr = watch_proc;
    watched.get = own->GetInstanceProcAddr;
    forget();
    return options;
}

tilefold_context *watched_context(const own_device *own, bool cpu_vectors) {
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
