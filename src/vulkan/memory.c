/* Device buffers, and the way between strided host tensors and dense arrays.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../cpu/half.h"
#include "../message.h"
#include "vulkan.h"

#include <stdio.h>

/* ---------------------------------------------------------------------------------------------------- buffers ---- */

/* Types are ordered so that the first is the best. */
int32_t tilefold_vulkan_find_memory_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t allowed,
                                         VkMemoryPropertyFlags wanted) {
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++)
        if (allowed >> i & 1 && (memory->memoryTypes[i].propertyFlags & wanted) == wanted) return (int32_t)i;
    return -1;
}

/* Cached memory is far faster to read; what a device has of its own is better still. */
static int32_t choose_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t allowed, bool for_host) {
    const VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                                cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT, own = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    const VkMemoryPropertyFlags for_host_wishes[] = {host | cached | own, host | cached, host | own, host};
    const VkMemoryPropertyFlags own_wishes[] = {own, 0};
    const VkMemoryPropertyFlags *wishes = for_host ? for_host_wishes : own_wishes;
    int32_t type = -1;
    for (int i = 0; type < 0 && i < (for_host ? 4 : 2); i++)
        type = tilefold_vulkan_find_memory_type(memory, allowed, wishes[i]);
    return type;
}

VkResult tilefold_vulkan_allocate(const tilefold_vulkan_context *context, const VkMemoryRequirements *needs,
                                  bool for_host, VkDeviceMemory *memory) {
    int32_t type = choose_type(&context->memory, needs->memoryTypeBits, for_host);
    if (type < 0) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .allocationSize = needs->size,
                                       .memoryTypeIndex = (uint32_t)type};
    return context->vk.AllocateMemory(context->device, &allocation, NULL, memory);
}

static VkResult create_buffer(tilefold_vulkan_context *context, int64_t bytes, VkBufferUsageFlags usage, bool for_host,
                              tilefold_vulkan_buffer *buffer) {
    const tilefold_vulkan_functions *vk = &context->vk;
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = (VkDeviceSize)bytes,
                               .usage = usage,
                               .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    VkResult result = vk->CreateBuffer(context->device, &info, NULL, &buffer->buffer);
    if (result != VK_SUCCESS) return result;
    VkMemoryRequirements needs;
    vk->GetBufferMemoryRequirements(context->device, buffer->buffer, &needs);
    result = tilefold_vulkan_allocate(context, &needs, for_host, &buffer->memory);
    if (result != VK_SUCCESS) return result;
    result = vk->BindBufferMemory(context->device, buffer->buffer, buffer->memory, 0);
    if (result == VK_SUCCESS && for_host)
        result = vk->MapMemory(context->device, buffer->memory, 0, VK_WHOLE_SIZE, 0, &buffer->mapped);
    return result;
}

tilefold_status tilefold_vulkan_create_buffer(tilefold_vulkan_context *context, int64_t bytes, VkBufferUsageFlags usage,
                                              bool for_host, tilefold_vulkan_buffer *buffer,
                                              tilefold_message *message) {
    *buffer = (tilefold_vulkan_buffer){.bytes = bytes};
    VkResult result = create_buffer(context, bytes, usage, for_host, buffer);
    if (result == VK_SUCCESS) return TILEFOLD_OK;
    char what[64];
    snprintf(what, sizeof what, "a buffer of %lld bytes", (long long)bytes);
    tilefold_vulkan_destroy_buffer(context, buffer);
    return tilefold_vulkan_fail(message, result, what);
}

void tilefold_vulkan_destroy_buffer(tilefold_vulkan_context *context, tilefold_vulkan_buffer *buffer) {
    context->vk.DestroyBuffer(context->device, buffer->buffer, NULL);
    context->vk.FreeMemory(context->device, buffer->memory, NULL);
    *buffer = (tilefold_vulkan_buffer){0};
}

/* ------------------------------------------------------------------------------------------------------ boxes ---- */

int64_t tilefold_vulkan_box_elements(const tilefold_vulkan_box *box) {
    int64_t elements = 1;
    for (int i = 0; i < TILEFOLD_BOX_DIMENSIONS; i++) elements *= box->size[i];
    return elements;
}

/* Elements of the innermost dimensions that lie side by side in the host's memory too. */
static int64_t side_by_side(const tilefold_vulkan_box *box) {
    int64_t run = 1;
    for (int i = TILEFOLD_BOX_DIMENSIONS - 1; i >= 0; i--) {
        if (box->size[i] != 1 && box->stride[i] != run) break;
        run *= box->size[i];
    }
    return run;
}

static int64_t host_bytes(const tilefold_vulkan_box *box) { return (int64_t)tilefold_type_bytes(box->type); }

int64_t tilefold_vulkan_dense_bytes(const tilefold_vulkan_box *box) {
    return (int64_t)tilefold_type_bytes(box->dense_type);
}

static char *element(const tilefold_vulkan_box *box, int64_t index) {
    int64_t offset = 0;
    for (int i = TILEFOLD_BOX_DIMENSIONS - 1; i >= 0; i--) {
        offset += index % box->size[i] * box->stride[i];
        index /= box->size[i];
    }
    return box->host + offset * host_bytes(box);
}

/* One element of 16 bits, which is fp32 in the dense array. */
static void convert(tilefold_type type, char *host, char *dense, bool to_host) {
    bool f16 = type == TILEFOLD_F16;
    uint16_t half;
    float value;
    if (to_host) {
        memcpy(&value, dense, sizeof value);
        half = f16 ? tilefold_float_to_f16(value) : tilefold_float_to_bf16(value);
        memcpy(host, &half, sizeof half);
    } else {
        memcpy(&half, host, sizeof half);
        value = f16 ? tilefold_f16_to_float(half) : tilefold_bf16_to_float(half);
        memcpy(dense, &value, sizeof value);
    }
}

/* `count` elements that lie `stride` apart on the host. */
static void copy_line(const tilefold_vulkan_box *box, char *host, int64_t stride, char *dense, int64_t count,
                      bool to_host) {
    int64_t dense_step = tilefold_vulkan_dense_bytes(box), host_step = stride * host_bytes(box);
    for (int64_t i = 0; i < count; i++, host += host_step, dense += dense_step) {
        if (box->type != box->dense_type)
            convert(box->type, host, dense, to_host);
        else if (dense_step == 4)
            memcpy(to_host ? host : dense, to_host ? dense : host, 4);
        else
            memcpy(to_host ? host : dense, to_host ? dense : host, 2);
    }
}

void tilefold_vulkan_copy_box(const tilefold_vulkan_box *box, int64_t begin, int64_t end, void *dense, bool to_host) {
    int inner = TILEFOLD_BOX_DIMENSIONS - 1;
    while (inner > 0 && box->size[inner] == 1) inner--;
    int64_t run = side_by_side(box), line = tilefold_max(run, box->size[inner]);
    bool plain = run > 1 && box->type == box->dense_type;
    char *at = dense;
    while (begin < end) {
        int64_t count = tilefold_min(end - begin, line - begin % line),
                bytes = count * tilefold_vulkan_dense_bytes(box);
        char *host = element(box, begin);
        if (plain)
            memcpy(to_host ? host : at, to_host ? at : host, (size_t)bytes);
        else
            copy_line(box, host, run > 1 ? 1 : box->stride[inner], at, count, to_host);
        at += bytes;
        begin += count;
    }
}
