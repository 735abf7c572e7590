/* Finding a Vulkan driver, its devices and their limits. Nothing links libvulkan: it is opened when first asked for.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../message.h"
#include "vulkan.h"

#include <stdlib.h>

#ifdef __APPLE__
/* The loader, or MoltenVK by itself: by name, in the frameworks of an application, and where the SDK and Homebrew put them, which is
 * not looked at by name in a process of a hardened runtime. */
static const char *const libraries[] = {"libvulkan.1.dylib",
                                        "libvulkan.dylib",
                                        "libMoltenVK.dylib",
                                        "@executable_path/../Frameworks/libvulkan.1.dylib",
                                        "@executable_path/../Frameworks/libMoltenVK.dylib",
                                        "@rpath/vulkan.framework/vulkan",
                                        "@rpath/MoltenVK.framework/MoltenVK",
                                        "/usr/local/lib/libvulkan.1.dylib",
                                        "/usr/local/lib/libMoltenVK.dylib",
                                        "/opt/homebrew/lib/libvulkan.1.dylib",
                                        "/opt/homebrew/lib/libMoltenVK.dylib"};
#elif defined(_WIN32)
static const char *const libraries[] = {"vulkan-1.dll"};
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
    case VK_ERROR_TOO_MANY_OBJECTS:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL:
        return tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY, "Vulkan: %s: the driver has no more objects of a kind",
                             what);
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
    void *found = NULL;
    for (int i = 0; i < LIBRARIES && !found; i++) {
        void *library = tilefold_library_open(libraries[i]);
        if (library) found = tilefold_library_find(library, "vkGetInstanceProcAddr");
    }
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

/* The name of a function that is not there, as one of Vulkan 1.1 is not for an instance of 1.0; or NULL. */
static const char *load_instance(tilefold_vulkan_functions *vk, VkInstance instance) {
    const char *missing = NULL;
#define GLOBAL(name)
#define INSTANCE(name)                                                                                                 \
    FIND(name);                                                                                                        \
    if (!vk->name) missing = "vk" #name;
#define DEVICE(name)
#include "functions.h"
    return missing;
}

void tilefold_vulkan_load_device(tilefold_vulkan_functions *vk, VkDevice device) {
#define GLOBAL(name)
#define INSTANCE(name)
#define DEVICE(name) vk->name = (PFN_vk##name)vk->GetDeviceProcAddr(device, "vk" #name);
#include "functions.h"
}

/* Devices that are not fully conformant (MoltenVK) are hidden unless an instance asks for them. */
static VkResult has_portability_enumeration(const tilefold_vulkan_functions *vk, bool *has) {
    VkExtensionProperties extensions[64];
    uint32_t count = sizeof extensions / sizeof extensions[0];
    VkResult result = vk->EnumerateInstanceExtensionProperties(NULL, &count, extensions);
    *has = false;
    for (uint32_t i = 0; result >= VK_SUCCESS && i < count; i++)
        if (strcmp(extensions[i].extensionName, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME) == 0) *has = true;
    return result;
}

static VkResult create_instance(tilefold_vulkan_functions *vk, VkInstance *instance) {
    static const char *const extension = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
    bool portability;
    VkResult result = has_portability_enumeration(vk, &portability);
    if (result < VK_SUCCESS) return result;
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

static tilefold_status make_instance(tilefold_vulkan_functions *vk, VkInstance *instance, tilefold_message *message) {
    load_global(vk);
    if (!vk->CreateInstance || !vk->EnumerateInstanceExtensionProperties || !vk->EnumerateInstanceVersion)
        return tilefold_fail(message, TILEFOLD_NO_DEVICE, "the Vulkan here is older than 1.1");
    VkResult result = create_instance(vk, instance);
    return result == VK_SUCCESS ? TILEFOLD_OK : tilefold_vulkan_fail(message, result, "vkCreateInstance");
}

tilefold_status tilefold_vulkan_load(tilefold_vulkan_functions *vk, PFN_vkGetInstanceProcAddr get, VkInstance *instance,
                                     tilefold_message *message) {
    *vk = (tilefold_vulkan_functions){.GetInstanceProcAddr = get};
    if (!get && !open_library(vk))
        return tilefold_fail(message, TILEFOLD_NO_DEVICE, "no Vulkan here: %s cannot be loaded", libraries[0]);
    bool given = *instance != VK_NULL_HANDLE;
    tilefold_status status = given ? TILEFOLD_OK : make_instance(vk, instance, message);
    const char *missing = status ? NULL : load_instance(vk, *instance);
    if (!missing) return status;
    if (!given && vk->DestroyInstance) vk->DestroyInstance(*instance, NULL);
    return tilefold_fail(message, given ? TILEFOLD_INVALID_ARGUMENT : TILEFOLD_NO_DEVICE,
                         "the Vulkan instance has no %s: it must be of version 1.1 or later", missing);
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

VkResult tilefold_vulkan_enumerate(const tilefold_vulkan_functions *vk, VkInstance instance,
                                   VkPhysicalDevice devices[TILEFOLD_VULKAN_MAX_DEVICES], uint32_t *used) {
    uint32_t count = TILEFOLD_VULKAN_MAX_DEVICES;
    VkResult result = vk->EnumeratePhysicalDevices(instance, &count, devices);
    *used = 0;
    for (uint32_t i = 0; result >= VK_SUCCESS && i < count; i++) {
        VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
        vk->GetPhysicalDeviceProperties2(devices[i], &properties);
        if (properties.properties.apiVersion >= VK_API_VERSION_1_1 && has_compute(vk, devices[i]))
            devices[(*used)++] = devices[i];
    }
    return result < VK_SUCCESS ? result : VK_SUCCESS;
}

VkResult tilefold_vulkan_has_extension(const tilefold_vulkan_functions *vk, VkPhysicalDevice device, const char *name,
                                       VkExtensionProperties *extensions, uint32_t room, bool *has) {
    uint32_t count = room;
    VkResult result = vk->EnumerateDeviceExtensionProperties(device, NULL, &count, extensions);
    *has = false;
    for (uint32_t i = 0; result >= VK_SUCCESS && i < count; i++)
        if (strcmp(extensions[i].extensionName, name) == 0) *has = true;
    return result < VK_SUCCESS ? result : VK_SUCCESS;
}

/* Offsets within a binding are 32-bit; this also leaves room for the sums that lead to them. */
#define MAX_BINDING (INT64_C(1) << 30)

enum { MAX_LANES = 32 };

/* Lanes of a subgroup where that is a vector of a CPU; shaders/broadcast.comp says what follows from it. */
static int64_t count_lanes(VkPhysicalDeviceType type, const VkPhysicalDeviceSubgroupProperties *subgroups) {
    bool usable = type == VK_PHYSICAL_DEVICE_TYPE_CPU && subgroups->supportedStages & VK_SHADER_STAGE_COMPUTE_BIT &&
                  subgroups->supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    return usable && subgroups->subgroupSize <= MAX_LANES ? subgroups->subgroupSize : 0;
}

/* Multiply-adds that no driver minds in one dispatch: a fraction of a second on the slowest device of its kind. A phone's makes some
 * 10^10 a second by shaders that do not suit it, a graphics card's 10^11 and more, lavapipe with a core or two several 10^9. */
static int64_t most_step_macs(VkPhysicalDeviceType type) {
    if (type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU) return INT64_C(1) << 34;
    return type == VK_PHYSICAL_DEVICE_TYPE_CPU ? INT64_C(1) << 32 : INT64_C(1) << 31;
}

static int64_t least(uint64_t a, uint64_t b) { return (int64_t)(a < b ? a : b); }

tilefold_vulkan_traits tilefold_vulkan_get_traits(const tilefold_vulkan_functions *vk, VkPhysicalDevice device,
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
    tilefold_vulkan_traits traits = {
        .max_binding_bytes = least(allocation.maxMemoryAllocationSize, least(MAX_BINDING, raw->maxStorageBufferRange)),
        .max_groups = {raw->maxComputeWorkGroupCount[0],
                       least(raw->maxComputeWorkGroupCount[1], raw->maxComputeWorkGroupCount[2])},
        .offset_alignment = tilefold_max(16, (int64_t)raw->minStorageBufferOffsetAlignment), /* powers of two, both */
        .max_image_2d = raw->maxImageDimension2D,
        .max_image_3d = raw->maxImageDimension3D,
        .storage16 = half.storageBuffer16BitAccess,
        .host_tensors = type == VK_PHYSICAL_DEVICE_TYPE_CPU || type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU,
        .step_macs = most_step_macs(type),
        .timestamp_seconds = (double)raw->timestampPeriod * 1e-9,
        .shared_bytes = raw->maxComputeSharedMemorySize,
        .workgroup_size = (int32_t)tilefold_min(raw->maxComputeWorkGroupInvocations, INT32_MAX),
        .subgroup_size = (int32_t)subgroup.subgroupSize,
        .lanes = count_lanes(type, &subgroup),
    };
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
        if (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            traits.memory_bytes = tilefold_max(traits.memory_bytes, (int64_t)memory.memoryHeaps[i].size);
    return traits;
}

uint32_t tilefold_vulkan_get_float_modes(const tilefold_vulkan_functions *vk, VkPhysicalDevice device) {
    VkPhysicalDeviceFloatControlsProperties floats = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &floats};
    vk->GetPhysicalDeviceProperties2(device, &properties);
    /* Where all widths must be told alike, fp32 alone cannot be told anything. */
    const VkShaderFloatControlsIndependence together = VK_SHADER_FLOAT_CONTROLS_INDEPENDENCE_NONE;
    uint32_t modes = floats.shaderSignedZeroInfNanPreserveFloat32 ? TILEFOLD_VULKAN_KEEPS_SPECIALS : 0;
    if (floats.shaderDenormPreserveFloat32 && floats.denormBehaviorIndependence != together)
        modes |= TILEFOLD_VULKAN_KEEPS_SUBNORMALS;
    if (floats.shaderRoundingModeRTEFloat32 && floats.roundingModeIndependence != together)
        modes |= TILEFOLD_VULKAN_ROUNDS_TO_EVEN;
    return modes;
}

int64_t tilefold_vulkan_import_alignment(const tilefold_vulkan_functions *vk, VkPhysicalDevice device) {
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &host};
    vk->GetPhysicalDeviceProperties2(device, &properties);
    return (int64_t)host.minImportedHostPointerAlignment;
}
