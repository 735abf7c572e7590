/* See vulkan_own.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dlfcn.h>

#include "vulkan_own.h"

static void load_global(own_device *own) {
#define GLOBAL(name) own->name = (PFN_vk##name)own->GetInstanceProcAddr(VK_NULL_HANDLE, "vk" #name);
#define INSTANCE(name)
#define DEVICE(name)
#include "vulkan/functions.h"
}

static void load_rest(own_device *own) {
#define GLOBAL(name)
#define INSTANCE(name) own->name = (PFN_vk##name)own->GetInstanceProcAddr(own->instance, "vk" #name);
#define DEVICE(name) own->name = (PFN_vk##name)own->GetInstanceProcAddr(own->instance, "vk" #name);
#include "vulkan/functions.h"
}

static void make_instance(own_device *own) {
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    assert_int_equal(own->CreateInstance(&info, NULL, &own->instance), VK_SUCCESS);
}

static void make_device(own_device *own, bool storage16) {
    uint32_t count = 1;
    assert_in_range(own->EnumeratePhysicalDevices(own->instance, &count, &own->physical), VK_SUCCESS, VK_INCOMPLETE);
    VkPhysicalDevice16BitStorageFeatures half = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &half};
    own->GetPhysicalDeviceFeatures2(own->physical, &features);
    own->storage16 = storage16 && half.storageBuffer16BitAccess;
    half = (VkPhysicalDevice16BitStorageFeatures){.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                  .storageBuffer16BitAccess = own->storage16};
    own->float64 = features.features.shaderFloat64;
    VkPhysicalDeviceFeatures enabled = {.shaderFloat64 = own->float64};
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &half,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .pEnabledFeatures = &enabled};
    assert_int_equal(own->CreateDevice(own->physical, &info, NULL, &own->device), VK_SUCCESS);
    own->GetDeviceQueue(own->device, 0, 0, &own->queue);
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    assert_int_equal(own->CreateCommandPool(own->device, &pool, NULL, &own->pool), VK_SUCCESS);
}

own_device own_open(bool storage16) {
    own_device own = {.loader = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL)};
    assert_non_null(own.loader);
    void *found = dlsym(own.loader, "vkGetInstanceProcAddr");
    memcpy(&own.GetInstanceProcAddr, &found, sizeof found);
    load_global(&own);
    make_instance(&own);
    load_rest(&own);
    make_device(&own, storage16);
    return own;
}

void own_close(own_device *own) {
    own->DestroyCommandPool(own->device, own->pool, NULL);
    own->DestroyDevice(own->device, NULL);
    own->DestroyInstance(own->instance, NULL);
    dlclose(own->loader);
}

tilefold_vulkan_options own_options(const own_device *own) {
    tilefold_vulkan_options options;
    tilefold_vulkan_options_init(&options);
    options.get_instance_proc_addr = own->GetInstanceProcAddr;
    options.instance = own->instance;
    options.physical_device = own->physical;
    options.device = own->device;
    options.queue = own->queue;
    options.storage_16bit_enabled = own->storage16;
    return options;
}

tilefold_context *own_context(const tilefold_vulkan_options *vulkan) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    tilefold_context *context;
    tilefold_message message;
    tilefold_status status = tilefold_vulkan_context_create(&options, vulkan, &context, &message);
    if (status) fail_msg("%s", message.text);
    return context;
}

/* ------------------------------------------------------------------------------------------------------ buffers ---- */

static uint32_t shared_type(const own_device *own, uint32_t allowed) {
    const VkMemoryPropertyFlags wanted = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceMemoryProperties memory;
    own->GetPhysicalDeviceMemoryProperties(own->physical, &memory);
    uint32_t type = 0;
    while (!(allowed >> type & 1) || (memory.memoryTypes[type].propertyFlags & wanted) != wanted) type++;
    assert_in_range(type, 0, memory.memoryTypeCount - 1);
    return type;
}

own_buffer own_buffer_new(const own_device *own, size_t bytes) {
    own_buffer made = {.bytes = bytes};
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = bytes,
                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT};
    assert_int_equal(own->CreateBuffer(own->device, &info, NULL, &made.buffer), VK_SUCCESS);
    VkMemoryRequirements needs;
    own->GetBufferMemoryRequirements(own->device, made.buffer, &needs);
    VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .allocationSize = needs.size,
                                       .memoryTypeIndex = shared_type(own, needs.memoryTypeBits)};
    assert_int_equal(own->AllocateMemory(own->device, &allocation, NULL, &made.memory), VK_SUCCESS);
    assert_int_equal(own->BindBufferMemory(own->device, made.buffer, made.memory, 0), VK_SUCCESS);
    void *mapped;
    assert_int_equal(own->MapMemory(own->device, made.memory, 0, VK_WHOLE_SIZE, 0, &mapped), VK_SUCCESS);
    made.mapped = mapped;
    return made;
}

void own_buffer_delete(const own_device *own, own_buffer *buffer) {
    own->DestroyBuffer(own->device, buffer->buffer, NULL);
    own->FreeMemory(own->device, buffer->memory, NULL);
    *buffer = (own_buffer){0};
}

/* ----------------------------------------------------------------------------------------------------- commands ---- */

VkCommandBuffer own_begin(const own_device *own) {
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = own->pool,
                                        .commandBufferCount = 1};
    VkCommandBuffer commands;
    assert_int_equal(own->AllocateCommandBuffers(own->device, &info, &commands), VK_SUCCESS);
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    assert_int_equal(own->BeginCommandBuffer(commands, &begin), VK_SUCCESS);
    return commands;
}

void own_end(const own_device *own, VkCommandBuffer commands) {
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    own->CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier,
                            0, NULL, 0, NULL);
    assert_int_equal(own->EndCommandBuffer(commands), VK_SUCCESS);
}

void own_submit(const own_device *own, VkCommandBuffer commands) {
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    assert_int_equal(own->QueueSubmit(own->queue, 1, &info, VK_NULL_HANDLE), VK_SUCCESS);
    assert_int_equal(own->QueueWaitIdle(own->queue), VK_SUCCESS);
}
