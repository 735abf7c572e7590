/* A Vulkan device as a program of its own would have one, not tilefold's: instance, device, queue, buffers.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_VULKAN_OWN_H
#define TESTS_VULKAN_OWN_H

#define VK_NO_PROTOTYPES
#include <tilefold_vulkan.h>

typedef struct own_device {
    void *loader; /* from dlopen */
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
#define GLOBAL(name) PFN_vk##name name;
#define INSTANCE(name) PFN_vk##name name;
#define DEVICE(name) PFN_vk##name name;
#include "vulkan/functions.h"
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue; /* of family 0, which computes on every device with one family */
    VkCommandPool pool;
    bool storage16, float64; /* features that are there and enabled */
} own_device;

/* Opens the first device; with storageBuffer16BitAccess where asked for and there, and shaderFloat64 where it is there. Fails the test where something does. */
own_device own_open(bool storage16);
void own_close(own_device *own);

/* What tells tilefold of it. */
tilefold_vulkan_options own_options(const own_device *own);
tilefold_context *own_context(const tilefold_vulkan_options *options);

/* A storage buffer that the host sees. */
typedef struct own_buffer {
    VkBuffer buffer;
    VkDeviceMemory memory;
    unsigned char *mapped;
    size_t bytes;
} own_buffer;

own_buffer own_buffer_new(const own_device *own, size_t bytes);
void own_buffer_delete(const own_device *own, own_buffer *buffer);

/* A command buffer that is being recorded; ending it makes shaders' writes visible to the host. */
VkCommandBuffer own_begin(const own_device *own);
void own_end(const own_device *own, VkCommandBuffer commands);
/* Submits it and waits. */
void own_submit(const own_device *own, VkCommandBuffer commands);

#endif /* TESTS_VULKAN_OWN_H */
