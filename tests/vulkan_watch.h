/* A driver whose calls are watched: what is asked of it, and answers in its place.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_VULKAN_WATCH_H
#define TESTS_VULKAN_WATCH_H

#include "vulkan/vulkan.h"
#include "vulkan_own.h"

enum { MOST_WORDS = TILEFOLD_VULKAN_MODULE_WORDS };

#define WATCHED_FUNCTIONS                                                                                              \
    WATCHED(AllocateMemory)                                                                                            \
    WATCHED(BeginCommandBuffer)                                                                                        \
    WATCHED(CmdCopyBuffer)                                                                                             \
    WATCHED(CmdDispatch)                                                                                               \
    WATCHED(CmdPipelineBarrier)                                                                                        \
    WATCHED(CmdPushConstants)                                                                                          \
    WATCHED(CreateBuffer)                                                                                              \
    WATCHED(CreateShaderModule)                                                                                        \
    WATCHED(EndCommandBuffer)                                                                                          \
    WATCHED(GetImageMemoryRequirements)                                                                                \
    WATCHED(GetPhysicalDeviceQueueFamilyProperties)                                                                    \
    WATCHED(GetQueryPoolResults)                                                                                       \
    WATCHED(UpdateDescriptorSets)

/* What was asked for since forget(), and what to answer. */
extern struct watched {
    PFN_vkGetInstanceProcAddr get;
    PFN_vkGetDeviceProcAddr get_device;
#define WATCHED(name) PFN_vk##name name;
    WATCHED_FUNCTIONS
#undef WATCHED
    VkDeviceSize buffer_bytes;  /* of the largest buffer, */
    VkDeviceSize buffers_bytes; /* of all of them, */
    VkDeviceSize bound_bytes;   /* of the largest that a descriptor shows of one, */
    VkDeviceSize image_bytes;   /* of the last image that was asked about */
    VkDeviceSize memory_bytes;  /* of all that was allocated, */
    int allocations;            /* which so many were */
    uint32_t groups[3];         /* of a dispatch, on each axis; */
    int64_t workgroups;         /* of all dispatches */
    int32_t depth;              /* the most of a sum in one step */
    bool unwaited, unseen;      /* work that nothing after it waits for; that the host does not wait for */
    int unordered; /* dispatches and copies that did not wait for those before them, or images that did not */
    int hidden;    /* command buffers that ended before the host could see what they wrote */
    int images;    /* taken to their layout */
    uint32_t module[MOST_WORDS + TILEFOLD_VULKAN_MODE_WORDS];
    size_t module_words; /* the last shader's */
    uint32_t timestamp_bits;
    uint64_t timestamps[2];
    VkResult timestamps_result;
} watched;

/* All that was asked for so far. */
void forget(void);

/* A device of the caller's, and one of tilefold's own, whose calls are watched. Nothing was asked of it yet. */
tilefold_vulkan_options watched_options(const own_device *own);
tilefold_context *watched_context(const own_device *own, bool cpu_vectors);

#endif /* TESTS_VULKAN_WATCH_H */
