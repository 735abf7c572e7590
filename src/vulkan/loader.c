/* Finding a Vulkan driver, its devices and their limits. Nothing links libvulkan: it is opened when first asked for.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../message.h"
#include "vulkan.h"

#include <dlfcn.h>
#include <stdlib.h>

#ifdef __APPLE__
static const char *const libraries[] = {"libvulkan.1.dylib", "libvulkan.dylib", "libMoltenVK.dylib"};
#else
static const char *const libraries[] = {"libvulkan.so.1", "libvulkan.so"};
#endif
enum { LIBRARIES = sizeof libraries / sizeof libraries[0] };

tilefold_status tilefold_vulkan_fail(tilefold_message *message, VkResult result, const char *what) {
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY, "Vulkan: %s: out of host memory", what);
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY, "Vulkan: %s: out of device memory", what);
    case VK_ERROR_DEVICE_LOST:
        return tilefold_fail(message, TILEFOLD_DEVICE_LOST, "Vulkan: %s: the device was lost", what);
    case VK_ERROR_INITIALIZATION_FAILED:
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return tilefold_fail(message, TILEFOLD_NO_DEVICE, "Vulkan: %s: no driver that works", what);
    default:
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "Vulkan: %s failed with VkResult %d", what, (int)result);
    }
}

/* ---------------------------------------------------------------------------------------------------- loading ---- */

static bool open_library(tilefold_vulkan_functions *vk) {
    for (int i = 0; i < LIBRARIES && !vk->library; i++) vk->library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
    if (!vk->library) return false;
    void *found = dlsym(vk->library, "vkGetInstanceProcAddr");
    memcpy(&vk->GetInstanceProcAddr, &found, sizeof found); /* a cast from object to function is no C */
    return found != NULL;
}

#define FIND(name) vk->name = (PFN_vk##name)vk->GetInstanceProcAddr(instance, "vk" #name)

static void load_global(tilefold_vulkan_functions *vk) {
    VkInstance instance = VK_NULL_HANDLE;
#define GLOBAL(name) FIND(name);
#define INSTANCE(name)
#define DEVICE(name)
#include "functions.h"
}

static void load_instance(tilefold_vulkan_functions *vk, VkInstance instance) {
#define GLOBAL(name)
#define INSTANCE(name) FIND(name);
#define DEVICE(name)
#include "functions.h"
}

void tilefold_vulkan_load_device(tilefold_vulkan_functions *vk, VkDevice device) {
#define GLOBAL(name)
#define INSTANCE(name)
#define DEVICE(name) vk->name = (PFN_vk##name)vk->GetDeviceProcAddr(device, "vk" #name);
#include "functions.h"
}

/* Devices that are not fully conformant (MoltenVK) are hidden unless an instance asks for them. */
static bool has_portability_enumeration(const tilefold_vulkan_functions *vk) {
    VkExtensionProperties extensions[64];
    uint32_t count = sizeof extensions / sizeof extensions[0];
    VkResult result = vk->EnumerateInstanceExtensionProperties(NULL, &count, extensions);
    for (uint32_t i = 0; (result == VK_SUCCESS || result == VK_INCOMPLETE) && i < count; i++)
        if (strcmp(extensions[i].extensionName, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME) == 0) return true;
    return false;
}

static VkResult create_instance(tilefold_vulkan_functions *vk, VkInstance *instance) {
    static const char *const extension = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
    bool portability = has_portability_enumeration(vk);
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                     .pEngineName = "tilefold",
                                     .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .flags = portability ? VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR : 0,
                                 .pApplicationInfo = &application,
                                 .enabledExtensionCount = portability,
                                 .ppEnabledExtensionNames = &extension};
    return vk->CreateInstance(&info, NULL, instance);
}

tilefold_status tilefold_vulkan_load(tilefold_vulkan_functions *vk, VkInstance *instance, tilefold_message *message) {
    *vk = (tilefold_vulkan_functions){0};
    if (!open_library(vk)) {
        tilefold_vulkan_unload(vk, VK_NULL_HANDLE);
        return tilefold_fail(message, TILEFOLD_NO_DEVICE, "no Vulkan here: %s cannot be loaded", libraries[0]);
    }
    load_global(vk);
    if (!vk->CreateInstance || !vk->EnumerateInstanceExtensionProperties || !vk->EnumerateInstanceVersion) {
        tilefold_vulkan_unload(vk, VK_NULL_HANDLE);
        return tilefold_fail(message, TILEFOLD_NO_DEVICE, "the Vulkan here is older than 1.1");
    }
    VkResult result = create_instance(vk, instance);
    if (result != VK_SUCCESS) {
        tilefold_vulkan_unload(vk, VK_NULL_HANDLE);
        return tilefold_vulkan_fail(message, result, "vkCreateInstance");
    }
    load_instance(vk, *instance);
    return TILEFOLD_OK;
}

void tilefold_vulkan_unload(tilefold_vulkan_functions *vk, VkInstance instance) {
    if (instance) vk->DestroyInstance(instance, NULL);
    if (vk->library) dlclose(vk->library);
    *vk = (tilefold_vulkan_functions){0};
}

/* ---------------------------------------------------------------------------------------------------- devices ---- */

static bool has_compute(const tilefold_vulkan_functions *vk, VkPhysicalDevice device) {
    VkQueueFamilyProperties families[16];
    uint32_t count = sizeof families / sizeof families[0];
    vk->GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
    for (uint32_t i = 0; i < count; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) return true;
    return false;
}

uint32_t tilefold_vulkan_enumerate(const tilefold_vulkan_functions *vk, VkInstance instance,
                                   VkPhysicalDevice devices[TILEFOLD_VULKAN_MAX_DEVICES]) {
    uint32_t count = TILEFOLD_VULKAN_MAX_DEVICES, used = 0;
    VkResult result = vk->EnumeratePhysicalDevices(instance, &count, devices);
    if (result != VK_SUCCESS && result != VK_INCOMPLETE) return 0;
    for (uint32_t i = 0; i < count; i++) {
        VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
        vk->GetPhysicalDeviceProperties2(devices[i], &properties);
        if (properties.properties.apiVersion >= VK_API_VERSION_1_1 && has_compute(vk, devices[i]))
            devices[used++] = devices[i];
    }
    return used;
}

/* Offsets within a binding are 32-bit; this also leaves room for the sums that lead to them. */
#define MAX_BINDING (INT64_C(1) << 30)

tilefold_vulkan_limits tilefold_vulkan_get_limits(const tilefold_vulkan_functions *vk, VkPhysicalDevice device,
                                                  char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE]) {
    VkPhysicalDeviceMaintenance3Properties allocation = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
                                                   .pNext = &allocation};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &subgroup};
    vk->GetPhysicalDeviceProperties2(device, &properties);
    VkPhysicalDevice16BitStorageFeatures half = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &half};
    vk->GetPhysicalDeviceFeatures2(device, &features);
    VkPhysicalDeviceMemoryProperties memory;
    vk->GetPhysicalDeviceMemoryProperties(device, &memory);

    const VkPhysicalDeviceLimits *raw = &properties.properties.limits;
    memcpy(name, properties.properties.deviceName, VK_MAX_PHYSICAL_DEVICE_NAME_SIZE);
    VkPhysicalDeviceType type = properties.properties.deviceType;
    tilefold_vulkan_limits limits = {
        .max_binding_bytes = tilefold_min(MAX_BINDING, raw->maxStorageBufferRange),
        .max_groups = {raw->maxComputeWorkGroupCount[0],
                       tilefold_min(raw->maxComputeWorkGroupCount[1], raw->maxComputeWorkGroupCount[2])},
        .uniform_alignment = (int64_t)raw->minUniformBufferOffsetAlignment,
        .storage16 = half.storageBuffer16BitAccess,
        .host_tensors = type == VK_PHYSICAL_DEVICE_TYPE_CPU || type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU,
        .shared_bytes = raw->maxComputeSharedMemorySize,
        .workgroup_size = (int32_t)tilefold_min(raw->maxComputeWorkGroupInvocations, INT32_MAX),
        .subgroup_size = (int32_t)subgroup.subgroupSize,
    };
    if (allocation.maxMemoryAllocationSize < (VkDeviceSize)limits.max_binding_bytes)
        limits.max_binding_bytes = (int64_t)allocation.maxMemoryAllocationSize;
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
        if (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            limits.memory_bytes = tilefold_max(limits.memory_bytes, (int64_t)memory.memoryHeaps[i].size);
    return limits;
}

/* Lower limits to try out on any device. "minimum" is what the Vulkan specification guarantees (table "Required Limits");
 * "staging" a device whose memory the host cannot see; "tiny" is below any device, so that small problems are split. */
static const struct {
    const char *name;
    int64_t max_binding_bytes, max_groups;
    bool storage16, host_tensors;
} presets[] = {
    {"minimum", INT64_C(1) << 27, 65535, false, false},
    {"staging", INT64_C(1) << 30, INT64_MAX, true, false},
    {"tiny", INT64_C(1) << 20, 3, false, true},
};

tilefold_status tilefold_vulkan_clamp_limits(tilefold_vulkan_limits *limits, tilefold_message *message) {
    const char *wanted = getenv("TILEFOLD_VULKAN_LIMITS");
    if (!wanted || !*wanted) return TILEFOLD_OK;
    for (size_t preset = 0; preset < sizeof presets / sizeof presets[0]; preset++) {
        if (strcmp(presets[preset].name, wanted) != 0) continue;
        limits->max_binding_bytes = tilefold_min(limits->max_binding_bytes, presets[preset].max_binding_bytes);
        limits->storage16 = limits->storage16 && presets[preset].storage16;
        limits->host_tensors = limits->host_tensors && presets[preset].host_tensors;
        for (int axis = 0; axis < 2; axis++)
            limits->max_groups[axis] = tilefold_min(limits->max_groups[axis], presets[preset].max_groups);
        return TILEFOLD_OK;
    }
    return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                         "TILEFOLD_VULKAN_LIMITS is '%s', not minimum, staging or tiny", wanted);
}
