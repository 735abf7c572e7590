/* Contexts whose multiply-add is fused and keeps subnormal numbers on any device with doubles: made of those, by shaders that are
 * the library's own but for that (shaders/exact_fma.glsl). So all else that makes the CPU's bits is tested without a GPU.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_VULKAN_EXACT_H
#define TESTS_VULKAN_EXACT_H

#include <tilefold_vulkan.h>

/* A context of a device that is made for it, the first there is, within the limits. The device's arithmetic is tried as that of a
 * device is whose modes are declared, and passes. One at a time: UNSUPPORTED where there is one, or the device has no doubles. */
tilefold_status exact_open(const tilefold_vulkan_limits *limits, tilefold_context **context, tilefold_message *message);

/* Closes the device behind it, if there is one, after the context was destroyed. */
void exact_close(void);

#endif /* TESTS_VULKAN_EXACT_H */
