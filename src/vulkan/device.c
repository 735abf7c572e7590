/* The Vulkan device: opening one, and what the core asks of it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../message.h"
#include "structs.h"

#include <stdio.h>

/* ------------------------------------------------------------------------------------------------------ listing ---- */

typedef struct listed {
    char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE];
    tilefold_vulkan_traits traits;
    bool tried; /* how it computes, by opening it */
    bool same_bits;
    tilefold_message other_bits;
} listed;

static tilefold_mutex try_lock = TILEFOLD_MUTEX_INIT; /* of the last three */
static tilefold_once list_once = TILEFOLD_ONCE_INIT;
static listed list[TILEFOLD_VULKAN_MAX_DEVICES];
static uint32_t list_count;

static void make_list(void) {
    tilefold_vulkan_functions vk;
    VkInstance instance = VK_NULL_HANDLE;
    VkPhysicalDevice devices[TILEFOLD_VULKAN_MAX_DEVICES];
    if (tilefold_vulkan_load(&vk, NULL, &instance, NULL) != TILEFOLD_OK) return;
    tilefold_vulkan_enumerate(&vk, instance, devices, &list_count); /* none where it fails */
    for (uint32_t i = 0; i < list_count; i++)
        list[i].traits = tilefold_vulkan_get_traits(&vk, devices[i], list[i].name);
    vk.DestroyInstance(instance, NULL);
}

static size_t count_devices(void) {
    tilefold_call_once(&list_once, make_list);
    return list_count;
}

/* Opens the device, which finds out. One that cannot be opened is not known to have the CPU's bits. */
static void try_device(listed *device, size_t index) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.device = TILEFOLD_VULKAN;
    options.device_index = (int32_t)index;
    tilefold_context *context;
    device->tried = true;
    if (tilefold_context_create(&options, &context, &device->other_bits) != TILEFOLD_OK) return;
    const char *other_bits = ((const tilefold_vulkan_context *)context->state)->other_bits;
    device->same_bits = !other_bits;
    snprintf(device->other_bits.text, sizeof device->other_bits.text, "%s", other_bits ? other_bits : "");
    tilefold_context_destroy(context);
}

static void describe_bits(size_t index, tilefold_device_info *info) {
    listed *device = &list[index];
    tilefold_mutex_lock(&try_lock);
    if (!device->tried) try_device(device, index);
    tilefold_mutex_unlock(&try_lock);
    info->same_bits_as_cpu = device->same_bits;
    snprintf(info->other_bits, sizeof info->other_bits, "%.*s", (int)sizeof info->other_bits - 1,
             device->other_bits.text);
}

static void describe(size_t index, tilefold_device_info *info) {
    const tilefold_vulkan_traits *traits = &list[index].traits;
    describe_bits(index, info);
    snprintf(info->name, sizeof info->name, "%s", list[index].name);
    info->max_buffer_bytes = traits->max_binding_bytes;
    info->memory_bytes = traits->memory_bytes;
    info->shared_memory_bytes = traits->shared_bytes;
    info->max_workgroups = tilefold_min(traits->max_groups[0], traits->max_groups[1]);
    info->max_workgroup_size = traits->workgroup_size;
    info->subgroup_size = traits->subgroup_size;
    info->storage16 = traits->storage16;
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

/* A device with the first must have it enabled. */
static const char *const wished[] = {"VK_KHR_portability_subset", VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME,
                                     VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME};
enum { PORTABILITY, HOST_MEMORY, FLOAT_CONTROLS, WISHED };

static VkResult find_extensions(const tilefold_vulkan_context *context, const tilefold_allocator *allocator,
                                bool has[WISHED]) {
    const uint32_t room = 512;
    VkExtensionProperties *extensions = allocator->allocate(allocator->user, room * sizeof *extensions, 64);
    VkResult result = extensions ? VK_SUCCESS : VK_ERROR_OUT_OF_HOST_MEMORY;
    for (int i = 0; i < WISHED && result == VK_SUCCESS; i++)
        result = tilefold_vulkan_has_extension(&context->vk, context->physical, wished[i], extensions, room, &has[i]);
    if (extensions) allocator->release(allocator->user, extensions, room * sizeof *extensions);
    return result;
}

static VkResult create_device(tilefold_vulkan_context *context, const tilefold_allocator *allocator) {
    bool has[WISHED];
    const char *enabled[WISHED];
    uint32_t count = 0;
    VkResult result = find_extensions(context, allocator, has);
    if (result != VK_SUCCESS) return result;
    for (int i = 0; i < WISHED; i++)
        if (has[i]) enabled[count++] = wished[i];
    if (has[HOST_MEMORY])
        context->traits.import_alignment = tilefold_vulkan_import_alignment(&context->vk, context->physical);
    if (has[FLOAT_CONTROLS])
        context->traits.float_modes = tilefold_vulkan_get_float_modes(&context->vk, context->physical);
    float priority = 1.0f;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = context->queue_family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkPhysicalDevice16BitStorageFeatures half = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                 .storageBuffer16BitAccess = context->traits.storage16};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &half,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = count,
                               .ppEnabledExtensionNames = enabled};
    return context->vk.CreateDevice(context->physical, &info, NULL, &context->device);
}

static tilefold_status find_device(tilefold_vulkan_context *context, int32_t index, tilefold_message *message) {
    VkPhysicalDevice devices[TILEFOLD_VULKAN_MAX_DEVICES];
    uint32_t count;
    VkResult result = tilefold_vulkan_enumerate(&context->vk, context->instance, devices, &count);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(message, result, "vkEnumeratePhysicalDevices");
    if ((uint32_t)index >= count)
        return tilefold_fail(message, TILEFOLD_NO_DEVICE,
                             "there is no Vulkan device %d: %u of them run compute shaders", (int)index, count);
    context->physical = devices[index];
    context->queue_family = choose_queue_family(&context->vk, context->physical);
    return TILEFOLD_OK;
}

static VkQueueFamilyProperties get_family(const tilefold_vulkan_context *context) {
    VkQueueFamilyProperties families[64] = {{0}}, none = {0};
    uint32_t count = sizeof families / sizeof families[0];
    context->vk.GetPhysicalDeviceQueueFamilyProperties(context->physical, &count, families);
    return context->queue_family < count ? families[context->queue_family] : none;
}

/* The queue's family may have no timestamps, or short ones. */
static void check_timestamps(tilefold_vulkan_context *context) {
    uint32_t bits = get_family(context).timestampValidBits;
    context->traits.timestamp_mask = bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;
    if (bits == 0) context->traits.timestamp_seconds = 0;
}

static void get_traits(tilefold_vulkan_context *context, const tilefold_vulkan_limits *limits) {
    context->traits = tilefold_vulkan_get_traits(&context->vk, context->physical, context->name);
    context->vk.GetPhysicalDeviceMemoryProperties(context->physical, &context->memory);
    check_timestamps(context);
    tilefold_vulkan_clamp(&context->traits, limits);
}

static tilefold_status make_device(tilefold_vulkan_context *context, const tilefold_allocator *allocator, int32_t index,
                                   const tilefold_vulkan_limits *limits, tilefold_message *message) {
    tilefold_status status = find_device(context, index, message);
    if (status) return status;
    get_traits(context, limits);
    VkResult result = create_device(context, allocator);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(message, result, "vkCreateDevice");
    context->owns_device = true;
    tilefold_vulkan_load_device(&context->vk, context->device);
    context->vk.GetDeviceQueue(context->device, context->queue_family, 0, &context->queue);
    return TILEFOLD_OK;
}

static tilefold_status adopt_device(tilefold_vulkan_context *context, const tilefold_vulkan_options *options,
                                    tilefold_message *message) {
    context->physical = options->physical_device;
    context->queue_family = options->queue_family;
    if (!(get_family(context).queueFlags & VK_QUEUE_COMPUTE_BIT))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "queue family %u of the device does not compute",
                             (unsigned)options->queue_family);
    get_traits(context, options->limits);
    context->traits.storage16 = context->traits.storage16 && options->storage_16bit_enabled;
    if (options->external_memory_host_enabled)
        context->traits.import_alignment = tilefold_vulkan_import_alignment(&context->vk, context->physical);
    if (options->float_controls_enabled)
        context->traits.float_modes = tilefold_vulkan_get_float_modes(&context->vk, context->physical);
    context->device = options->device;
    tilefold_vulkan_load_device(&context->vk, context->device);
    context->queue = options->queue;
    context->lock_queue = options->lock_queue;
    context->unlock_queue = options->unlock_queue;
    context->queue_user = options->queue_user;
    return TILEFOLD_OK;
}

static void close_device(tilefold_vulkan_context *context) {
    if (context->device) tilefold_vulkan_destroy_objects(context);
    if (context->owns_device) context->vk.DestroyDevice(context->device, NULL);
    if (context->owns_instance) context->vk.DestroyInstance(context->instance, NULL);
}

static tilefold_status check_vulkan_options(const tilefold_vulkan_options *options, tilefold_message *message) {
    if (options->device && (!options->get_instance_proc_addr || !options->instance || !options->physical_device))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "a device of the caller's comes with its instance, physical device and "
                             "get_instance_proc_addr");
    if (!options->lock_queue != !options->unlock_queue)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "lock_queue and unlock_queue come together");
    return tilefold_vulkan_check_limits(options->limits, message);
}

static void close_vulkan(tilefold_context *context) {
    tilefold_vulkan_context *vulkan = context->state;
    tilefold_mutex_close(&vulkan->queue_lock);
    tilefold_mutex_close(&vulkan->pipeline_lock);
    close_device(vulkan);
}

static tilefold_status open_vulkan(tilefold_context *context, const tilefold_context_options *options,
                                   const void *device_options, tilefold_message *message) {
    tilefold_vulkan_context *vulkan = context->state;
    tilefold_vulkan_options wanted;
    tilefold_vulkan_limits limits;
    tilefold_vulkan_options_init(&wanted);
    if (device_options) wanted = *(const tilefold_vulkan_options *)device_options;
    tilefold_status status = tilefold_vulkan_read_limits(wanted.limits, &limits, message);
    wanted.limits = &limits;
    if (!status) status = check_vulkan_options(&wanted, message);
    if (status) return status;
    vulkan->instance = wanted.device ? wanted.instance : VK_NULL_HANDLE;
    status = tilefold_vulkan_load(&vulkan->vk, wanted.get_instance_proc_addr, &vulkan->instance, message);
    if (status) return status;
    vulkan->owns_instance = !wanted.device;
    if (wanted.device)
        status = adopt_device(vulkan, &wanted, message);
    else
        status = make_device(vulkan, &context->allocator, options->device_index, wanted.limits, message);
    if (!status)
        status = tilefold_vulkan_create_objects(vulkan, wanted.pipeline_cache, wanted.pipeline_cache_bytes, message);
    if (status) {
        close_device(vulkan);
        return status;
    }
    tilefold_mutex_open(&vulkan->queue_lock);
    tilefold_mutex_open(&vulkan->pipeline_lock);
    vulkan->submission_macs = vulkan->traits.step_macs;
    status = tilefold_vulkan_find_bits(vulkan, message);
    if (status) close_vulkan(context);
    return status;
}

tilefold_status tilefold_vulkan_context_create(const tilefold_context_options *options,
                                               const tilefold_vulkan_options *vulkan, tilefold_context **context,
                                               tilefold_message *message) {
    tilefold_context_options on_vulkan;
    tilefold_vulkan_options full;
    tilefold_status status = tilefold_read_context_options(options, &on_vulkan, message);
    if (!status) status = tilefold_vulkan_read_options(vulkan, &full, message);
    if (status) return status;
    on_vulkan.device = TILEFOLD_VULKAN;
    return tilefold_context_open(&on_vulkan, &full, context, message);
}

static const char *get_other_bits(const tilefold_context *context) {
    return ((const tilefold_vulkan_context *)context->state)->other_bits;
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
    .other_bits = get_other_bits,
    .plan = tilefold_vulkan_plan_problem,
    .release = tilefold_vulkan_release_plan,
    .print = tilefold_vulkan_print,
    .pack_weight = tilefold_vulkan_pack_weight,
    .execute = tilefold_vulkan_execute,
    .measure_peak = tilefold_vulkan_measure_peak,
};
