/* The Vulkan device: opening one, and what the core asks of it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../message.h"
#include "vulkan.h"

#include <stdio.h>

/* ------------------------------------------------------------------------------------------------------ listing ---- */

typedef struct listed {
    char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE];
    tilefold_vulkan_limits limits;
} listed;

static pthread_once_t list_once = PTHREAD_ONCE_INIT;
static listed list[TILEFOLD_VULKAN_MAX_DEVICES];
static uint32_t list_count;

static void make_list(void) {
    tilefold_vulkan_functions vk;
    VkInstance instance;
    VkPhysicalDevice devices[TILEFOLD_VULKAN_MAX_DEVICES];
    if (tilefold_vulkan_load(&vk, &instance, NULL) != TILEFOLD_OK) return;
    list_count = tilefold_vulkan_enumerate(&vk, instance, devices);
    for (uint32_t i = 0; i < list_count; i++)
        list[i].limits = tilefold_vulkan_get_limits(&vk, devices[i], list[i].name);
    tilefold_vulkan_unload(&vk, instance);
}

static size_t count_devices(void) {
    pthread_once(&list_once, make_list);
    return list_count;
}

static void describe(size_t index, tilefold_device_info *info) {
    const tilefold_vulkan_limits *limits = &list[index].limits;
    snprintf(info->name, sizeof info->name, "%s", list[index].name);
    info->max_buffer_bytes = limits->max_binding_bytes;
    info->memory_bytes = limits->memory_bytes;
    info->shared_memory_bytes = limits->shared_bytes;
    info->max_workgroups = tilefold_min(limits->max_groups[0], limits->max_groups[1]);
    info->max_workgroup_size = limits->workgroup_size;
    info->subgroup_size = limits->subgroup_size;
    info->storage16 = limits->storage16;
}

/* ------------------------------------------------------------------------------------------------------ opening ---- */

/* A family that computes, one without graphics if there is one: it does not wait for what is drawn. */
static uint32_t choose_queue_family(const tilefold_vulkan_functions *vk, VkPhysicalDevice device) {
    VkQueueFamilyProperties families[16];
    uint32_t count = sizeof families / sizeof families[0], chosen = 0;
    bool found = false;
    vk->GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) continue;
        bool apart = !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT);
        if (!found || (apart && families[chosen].queueFlags & VK_QUEUE_GRAPHICS_BIT)) chosen = i;
        found = true;
    }
    return chosen;
}

/* A device with this extension must have it enabled. */
static bool is_portability_subset(const tilefold_vulkan_functions *vk, VkPhysicalDevice device,
                                  VkExtensionProperties *extensions, uint32_t room) {
    uint32_t count = room;
    VkResult result = vk->EnumerateDeviceExtensionProperties(device, NULL, &count, extensions);
    for (uint32_t i = 0; (result == VK_SUCCESS || result == VK_INCOMPLETE) && i < count; i++)
        if (strcmp(extensions[i].extensionName, "VK_KHR_portability_subset") == 0) return true;
    return false;
}

static VkResult create_device(tilefold_vulkan_context *context, const tilefold_allocator *allocator) {
    static const char *const portability = "VK_KHR_portability_subset";
    const uint32_t room = 512;
    VkExtensionProperties *extensions = allocator->allocate(allocator->user, room * sizeof *extensions, 64);
    if (!extensions) return VK_ERROR_OUT_OF_HOST_MEMORY;
    bool subset = is_portability_subset(&context->vk, context->physical, extensions, room);
    allocator->release(allocator->user, extensions, room * sizeof *extensions);

    float priority = 1.0f;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = context->queue_family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkPhysicalDevice16BitStorageFeatures half = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                 .storageBuffer16BitAccess = context->limits.storage16};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &half,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = subset,
                               .ppEnabledExtensionNames = &portability};
    return context->vk.CreateDevice(context->physical, &info, NULL, &context->device);
}

static tilefold_status find_device(tilefold_vulkan_context *context, int32_t index, tilefold_message *message) {
    VkPhysicalDevice devices[TILEFOLD_VULKAN_MAX_DEVICES];
    uint32_t count = tilefold_vulkan_enumerate(&context->vk, context->instance, devices);
    if ((uint32_t)index >= count)
        return tilefold_fail(message, TILEFOLD_NO_DEVICE,
                             "there is no Vulkan device %d: %u of them run compute shaders", (int)index, count);
    context->physical = devices[index];
    context->limits = tilefold_vulkan_get_limits(&context->vk, context->physical, context->name);
    context->vk.GetPhysicalDeviceMemoryProperties(context->physical, &context->memory);
    context->queue_family = choose_queue_family(&context->vk, context->physical);
    return tilefold_vulkan_clamp_limits(&context->limits, message);
}

static tilefold_status open_device(tilefold_vulkan_context *context, const tilefold_allocator *allocator, int32_t index,
                                   tilefold_message *message) {
    tilefold_status status = find_device(context, index, message);
    if (status) return status;
    VkResult result = create_device(context, allocator);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(message, result, "vkCreateDevice");
    tilefold_vulkan_load_device(&context->vk, context->device);
    context->vk.GetDeviceQueue(context->device, context->queue_family, 0, &context->queue);
    status = tilefold_vulkan_create_objects(context, message);
    if (!status) return TILEFOLD_OK;
    tilefold_vulkan_destroy_objects(context);
    context->vk.DestroyDevice(context->device, NULL);
    return status;
}

static tilefold_status open_vulkan(tilefold_context *context, const tilefold_context_options *options,
                                   tilefold_message *message) {
    tilefold_vulkan_context *vulkan = context->state;
    tilefold_status status = tilefold_vulkan_load(&vulkan->vk, &vulkan->instance, message);
    if (status) return status;
    status = open_device(vulkan, &context->allocator, options->device_index, message);
    if (status) {
        tilefold_vulkan_unload(&vulkan->vk, vulkan->instance);
        return status;
    }
    pthread_mutex_init(&vulkan->lock, NULL);
    return TILEFOLD_OK;
}

static void close_vulkan(tilefold_context *context) {
    tilefold_vulkan_context *vulkan = context->state;
    pthread_mutex_destroy(&vulkan->lock);
    tilefold_vulkan_destroy_objects(vulkan);
    vulkan->vk.DestroyDevice(vulkan->device, NULL);
    tilefold_vulkan_unload(&vulkan->vk, vulkan->instance);
}

/* No plan holds packed weights: they are brought to the device in the order that it reads. */
static tilefold_status pack_weight(const tilefold_plan *plan, const void *weight, void *packed,
                                   tilefold_message *message) {
    (void)plan, (void)weight, (void)packed;
    return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "a Vulkan plan holds no packed weights");
}

const tilefold_device tilefold_vulkan_device = {
    .kind = TILEFOLD_VULKAN,
    .context_bytes = sizeof(tilefold_vulkan_context),
    .plan_bytes = sizeof(tilefold_vulkan_plan),
    .scratch_on_device = true,
    .count = count_devices,
    .describe = describe,
    .open = open_vulkan,
    .close = close_vulkan,
    .plan = tilefold_vulkan_plan_problem,
    .release = tilefold_vulkan_release_plan,
    .print = tilefold_vulkan_print,
    .pack_weight = pack_weight,
    .execute = tilefold_vulkan_execute,
    .measure_peak = tilefold_vulkan_measure_peak,
};
