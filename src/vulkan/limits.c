/* Limits lower than the device's own, and presets of them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../message.h"
#include "structs.h"

/* "minimum" is from the Vulkan specification, "Required Limits". Those named after devices are stand-ins of the order of their
 * limits: no such device was at hand to read them from. */
static const struct {
    const char *name;
    int64_t max_buffer_bytes, max_workgroups, max_image_2d, max_image_3d;
    bool storage_16bit, host_tensors;
} presets[] = {
    {"minimum", INT64_C(1) << 27, 65535, 4096, 256, false, false},
    {"moltenvk", INT64_C(1) << 30, INT64_C(1) << 30, 16384, 2048, true, true},
    {"adreno", INT64_C(1) << 27, 65535, 16384, 2048, true, true},
    {"mali", INT64_C(1) << 28, 65535, 8192, 4096, true, true},
    {"staging", INT64_C(1) << 30, INT64_MAX, INT64_MAX, INT64_MAX, true, false},
};

tilefold_status tilefold_vulkan_limits_preset(const char *name, tilefold_vulkan_limits *limits,
                                              tilefold_message *message) {
    for (size_t i = 0; name && i < sizeof presets / sizeof presets[0]; i++) {
        if (strcmp(presets[i].name, name) != 0) continue;
        tilefold_vulkan_limits full;
        tilefold_vulkan_limits_init(&full);
        full.max_buffer_bytes = presets[i].max_buffer_bytes;
        for (int axis = 0; axis < 3; axis++) full.max_workgroups[axis] = presets[i].max_workgroups;
        full.max_image_2d = presets[i].max_image_2d;
        full.max_image_3d = presets[i].max_image_3d;
        full.storage_16bit = presets[i].storage_16bit;
        full.host_tensors = presets[i].host_tensors;
        full.cpu_vectors = false;
        return tilefold_vulkan_write_limits(&full, limits, message);
    }
    return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                         "there is no preset of limits '%s', only minimum, moltenvk, adreno, mali and staging",
                         name ? name : "(null)");
}

/* Below these a problem's least scratch or a single tile would not fit any more. */
enum { LEAST_BUFFER_BYTES = 4096, LEAST_IMAGE = 64 };

tilefold_status tilefold_vulkan_check_limits(const tilefold_vulkan_limits *limits, tilefold_message *message) {
    for (int axis = 0; axis < 3; axis++)
        if (limits->max_workgroups[axis] < 1)
            return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "max_workgroups[%d] is %lld, below 1", axis,
                                 (long long)limits->max_workgroups[axis]);
    if (limits->max_buffer_bytes < LEAST_BUFFER_BYTES || limits->max_image_2d < LEAST_IMAGE ||
        limits->max_image_3d < LEAST_IMAGE)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "buffers of %lld bytes and images of %lld and %lld texels are below %d and %d",
                             (long long)limits->max_buffer_bytes, (long long)limits->max_image_2d,
                             (long long)limits->max_image_3d, LEAST_BUFFER_BYTES, LEAST_IMAGE);
    return TILEFOLD_OK;
}

void tilefold_vulkan_clamp(tilefold_vulkan_traits *traits, const tilefold_vulkan_limits *limits) {
    const int64_t *groups = limits->max_workgroups;
    traits->max_binding_bytes = tilefold_min(traits->max_binding_bytes, limits->max_buffer_bytes);
    traits->max_groups[0] = tilefold_min(traits->max_groups[0], groups[0]);
    traits->max_groups[1] = tilefold_min(traits->max_groups[1], tilefold_min(groups[1], groups[2]));
    traits->max_image_2d = tilefold_min(traits->max_image_2d, limits->max_image_2d);
    traits->max_image_3d = tilefold_min(traits->max_image_3d, limits->max_image_3d);
    traits->storage16 = traits->storage16 && limits->storage_16bit;
    traits->host_tensors = traits->host_tensors && limits->host_tensors;
    if (!limits->cpu_vectors) traits->lanes = 0;
}
