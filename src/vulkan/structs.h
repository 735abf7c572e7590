/* Reading and writing the structs of tilefold_vulkan.h: see ../versioned.h.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_VULKAN_STRUCTS_H
#define TILEFOLD_VULKAN_STRUCTS_H

#include "../versioned.h"
#include "vulkan.h"

/* given == NULL: no limits. */
tilefold_status tilefold_vulkan_read_limits(const tilefold_vulkan_limits *given, tilefold_vulkan_limits *full,
                                            tilefold_message *message);
tilefold_status tilefold_vulkan_write_limits(const tilefold_vulkan_limits *full, tilefold_vulkan_limits *given,
                                             tilefold_message *message);
tilefold_status tilefold_vulkan_read_options(const tilefold_vulkan_options *given, tilefold_vulkan_options *full,
                                             tilefold_message *message);
tilefold_status tilefold_vulkan_write_requirements(const tilefold_vulkan_requirements *full,
                                                   tilefold_vulkan_requirements *given, tilefold_message *message);
tilefold_status tilefold_vulkan_read_tensors(const tilefold_vulkan_tensors *given, tilefold_vulkan_tensors *full,
                                             tilefold_message *message);

#endif /* TILEFOLD_VULKAN_STRUCTS_H */
