/* Host memory that the device reads and writes in place (VK_EXT_external_memory_host).
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../message.h"
#include "vulkan.h"

struct tilefold_vulkan_import {
    tilefold_context *context;
    VkBuffer buffer;
    VkDeviceMemory memory;
    VkDeviceSize offset, end;
};

#define HOST_ALLOCATION VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT

/* A buffer over whole pages. */
static VkResult import_pages(tilefold_vulkan_context *context, void *pages, VkDeviceSize bytes,
                             tilefold_vulkan_import *import) {
    const tilefold_vulkan_functions *vk = &context->vk;
    VkMemoryHostPointerPropertiesEXT properties = {.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
    VkResult result = vk->GetMemoryHostPointerPropertiesEXT(context->device, HOST_ALLOCATION, pages, &properties);
    if (result != VK_SUCCESS) return result;
    VkExternalMemoryBufferCreateInfo external = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
                                                 .handleTypes = HOST_ALLOCATION};
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .pNext = &external,
                               .size = bytes,
                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
                               .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    result = vk->CreateBuffer(context->device, &info, NULL, &import->buffer);
    if (result != VK_SUCCESS) return result;
    VkMemoryRequirements needs;
    vk->GetBufferMemoryRequirements(context->device, import->buffer, &needs);
    const VkMemoryPropertyFlags coherent = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    int32_t type = tilefold_vulkan_find_memory_type(&context->memory, needs.memoryTypeBits & properties.memoryTypeBits,
                                                    coherent);
    if (type < 0 || needs.size > bytes) return VK_ERROR_INVALID_EXTERNAL_HANDLE;
    VkImportMemoryHostPointerInfoEXT host = {.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
                                             .handleType = HOST_ALLOCATION,
                                             .pHostPointer = pages};
    VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .pNext = &host,
                                       .allocationSize = bytes,
                                       .memoryTypeIndex = (uint32_t)type};
    result = vk->AllocateMemory(context->device, &allocation, NULL, &import->memory);
    if (result != VK_SUCCESS) return result;
    return vk->BindBufferMemory(context->device, import->buffer, import->memory, 0);
}

tilefold_status tilefold_vulkan_import_create(tilefold_context *context, void *memory, size_t bytes,
                                              tilefold_vulkan_import **import, tilefold_message *message) {
    if (context->device != &tilefold_vulkan_device)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "the context is not of a Vulkan device");
    tilefold_vulkan_context *vulkan = context->state;
    uintptr_t alignment = (uintptr_t)vulkan->traits.import_alignment;
    if (alignment == 0 || !vulkan->vk.GetMemoryHostPointerPropertiesEXT)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED,
                             "%s cannot use host memory in place (VK_EXT_external_memory_host)", vulkan->name);
    if (!memory || bytes == 0) return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "there is no memory to import");
    uintptr_t at = (uintptr_t)memory, begin = at / alignment * alignment;
    uintptr_t end = (at + bytes + alignment - 1) / alignment * alignment;

    const tilefold_allocator *allocator = &context->allocator;
    tilefold_vulkan_import *created = allocator->allocate(allocator->user, sizeof *created, 64);
    if (!created) return tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY, "no memory for an import");
    *created = (tilefold_vulkan_import){.context = context, .offset = at - begin, .end = at - begin + bytes};
    tilefold_context_hold(context);
    VkResult result = import_pages(vulkan, (char *)memory - (at - begin), end - begin, created);
    if (result == VK_SUCCESS) {
        *import = created;
        return TILEFOLD_OK;
    }
    tilefold_vulkan_import_destroy(created);
    if (result == VK_ERROR_INVALID_EXTERNAL_HANDLE)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "%s cannot use these %zu bytes of host memory in place",
                             vulkan->name, bytes);
    return tilefold_vulkan_fail(message, result, "importing host memory");
}

tilefold_vulkan_range tilefold_vulkan_import_get_range(const tilefold_vulkan_import *import) {
    return (tilefold_vulkan_range){import->buffer, import->offset, import->end};
}

void tilefold_vulkan_import_destroy(tilefold_vulkan_import *import) {
    if (!import) return;
    tilefold_context *context = import->context;
    const tilefold_vulkan_context *vulkan = context->state;
    const tilefold_allocator *allocator = &context->allocator;
    vulkan->vk.DestroyBuffer(vulkan->device, import->buffer, NULL);
    vulkan->vk.FreeMemory(vulkan->device, import->memory, NULL);
    allocator->release(allocator->user, import, sizeof *import);
    tilefold_context_destroy(context);
}
