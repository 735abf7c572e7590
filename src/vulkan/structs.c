/* The structs of tilefold_vulkan.h, whose sizes their callers bring: see ../versioned.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "structs.h"

#define RESERVED(type, member) .reserved_at = offsetof(type, member), .reserved_size = sizeof(((type *)0)->member)

static const tilefold_versioned limits_kind = {.name = "vulkan limits",
                                               .init = "tilefold_vulkan_limits_init",
                                               .bytes = sizeof(tilefold_vulkan_limits),
                                               .least = sizeof(size_t),
                                               RESERVED(tilefold_vulkan_limits, reserved)};
TILEFOLD_ENDS_WITH(tilefold_vulkan_limits, reserved);

void tilefold_vulkan_limits_init_sized(tilefold_vulkan_limits *limits, size_t struct_size) {
    tilefold_vulkan_limits defaults;
    memset(&defaults, 0, sizeof defaults);
    defaults.max_buffer_bytes = defaults.max_image_2d = defaults.max_image_3d = INT64_MAX;
    defaults.max_workgroups[0] = defaults.max_workgroups[1] = defaults.max_workgroups[2] = INT64_MAX;
    defaults.storage_16bit = defaults.host_tensors = defaults.cpu_vectors = true;
    tilefold_versioned_init(&limits_kind, &defaults, limits, struct_size);
}

tilefold_status tilefold_vulkan_read_limits(const tilefold_vulkan_limits *given, tilefold_vulkan_limits *full,
                                            tilefold_message *message) {
    tilefold_vulkan_limits_init(full);
    return given ? tilefold_versioned_read(&limits_kind, given, full, message) : TILEFOLD_OK;
}

tilefold_status tilefold_vulkan_write_limits(const tilefold_vulkan_limits *full, tilefold_vulkan_limits *given,
                                             tilefold_message *message) {
    return tilefold_versioned_write(&limits_kind, full, given, message);
}

static const tilefold_versioned options_kind = {.name = "vulkan options",
                                                .init = "tilefold_vulkan_options_init",
                                                .bytes = sizeof(tilefold_vulkan_options),
                                                .least = sizeof(size_t),
                                                RESERVED(tilefold_vulkan_options, reserved)};
TILEFOLD_ENDS_WITH(tilefold_vulkan_options, pipeline_cache_bytes);

void tilefold_vulkan_options_init_sized(tilefold_vulkan_options *options, size_t struct_size) {
    tilefold_vulkan_options defaults;
    memset(&defaults, 0, sizeof defaults);
    tilefold_versioned_init(&options_kind, &defaults, options, struct_size);
}

tilefold_status tilefold_vulkan_read_options(const tilefold_vulkan_options *given, tilefold_vulkan_options *full,
                                             tilefold_message *message) {
    tilefold_vulkan_options_init(full);
    return tilefold_versioned_read(&options_kind, given, full, message);
}

static const tilefold_versioned requirements_kind = {.name = "requirements",
                                                     .init = "tilefold_vulkan_requirements_init",
                                                     .bytes = sizeof(tilefold_vulkan_requirements),
                                                     .least = offsetof(tilefold_vulkan_requirements, offset_alignment),
                                                     RESERVED(tilefold_vulkan_requirements, reserved)};
TILEFOLD_ENDS_WITH(tilefold_vulkan_requirements, reserved);

void tilefold_vulkan_requirements_init_sized(tilefold_vulkan_requirements *requirements, size_t struct_size) {
    tilefold_vulkan_requirements defaults;
    memset(&defaults, 0, sizeof defaults);
    tilefold_versioned_init(&requirements_kind, &defaults, requirements, struct_size);
}

tilefold_status tilefold_vulkan_write_requirements(const tilefold_vulkan_requirements *full,
                                                   tilefold_vulkan_requirements *given, tilefold_message *message) {
    return tilefold_versioned_write(&requirements_kind, full, given, message);
}

static const tilefold_versioned tensors_kind = {.name = "tensors",
                                                .init = "tilefold_vulkan_tensors_init",
                                                .bytes = sizeof(tilefold_vulkan_tensors),
                                                .least = sizeof(size_t)};
TILEFOLD_ENDS_WITH(tilefold_vulkan_tensors, scratch);
TILEFOLD_ENDS_WITH(tilefold_vulkan_range, end);

void tilefold_vulkan_tensors_init_sized(tilefold_vulkan_tensors *tensors, size_t struct_size) {
    tilefold_vulkan_tensors defaults;
    memset(&defaults, 0, sizeof defaults);
    tilefold_versioned_init(&tensors_kind, &defaults, tensors, struct_size);
}

tilefold_status tilefold_vulkan_read_tensors(const tilefold_vulkan_tensors *given, tilefold_vulkan_tensors *full,
                                             tilefold_message *message) {
    tilefold_vulkan_tensors_init(full);
    return tilefold_versioned_read(&tensors_kind, given, full, message);
}
