/* Contexts, and the one table of devices.
 *
 * SPDX-License-Identifier: MIT
 */
#include "device.h"
#include "message.h"
#include "platform.h"
#include "versioned.h"

#include <stdio.h>

static const tilefold_device *const devices[] = {
    &tilefold_cpu_device,
#ifdef TILEFOLD_HAVE_VULKAN
    &tilefold_vulkan_device,
#endif
};
enum { DEVICE_KINDS = sizeof devices / sizeof devices[0] };

#define STRINGIFY(x) #x
#define VERSION(major, minor, patch) STRINGIFY(major) "." STRINGIFY(minor) "." STRINGIFY(patch)

const char *tilefold_version(void) {
    return VERSION(TILEFOLD_VERSION_MAJOR, TILEFOLD_VERSION_MINOR, TILEFOLD_VERSION_PATCH);
}

size_t tilefold_type_bytes(tilefold_type type) {
    static const size_t bytes[] = {[TILEFOLD_NONE] = 0, [TILEFOLD_F32] = 4, [TILEFOLD_F16] = 2, [TILEFOLD_BF16] = 2};
    return (size_t)type < sizeof bytes / sizeof bytes[0] ? bytes[type] : 0;
}

const char *tilefold_isa_name(tilefold_isa isa) {
    static const char *const names[] = {"best", "portable", "avx2", "avx512", "neon"};
    return (size_t)isa < sizeof names / sizeof names[0] ? names[isa] : NULL;
}

const char *tilefold_algorithm_name(tilefold_algorithm algorithm) {
    static const char *const names[] = {"auto", "unfold", "implicit", "direct"};
    return (size_t)algorithm < sizeof names / sizeof names[0] ? names[algorithm] : NULL;
}

const char *tilefold_math_name(tilefold_math math) {
    static const char *const names[] = {"exact", "fast"};
    return (size_t)math < sizeof names / sizeof names[0] ? names[math] : NULL;
}

size_t tilefold_device_count(void) {
    size_t count = 0;
    for (int kind = 0; kind < DEVICE_KINDS; kind++) count += devices[kind]->count();
    return count;
}

tilefold_status tilefold_get_device_info(size_t number, tilefold_device_info *info, tilefold_message *message) {
    size_t index = number;
    for (int kind = 0; kind < DEVICE_KINDS; kind++) {
        size_t count = devices[kind]->count();
        if (index < count) {
            tilefold_device_info full;
            tilefold_device_info_init(&full);
            full.kind = devices[kind]->kind;
            full.index = (int32_t)index;
            devices[kind]->describe(index, &full);
            return tilefold_write_device_info(&full, info, message);
        }
        index -= count;
    }
    return tilefold_fail(message, TILEFOLD_NO_DEVICE, "there is no device %zu, only %zu", number,
                         tilefold_device_count());
}

static void *allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    return tilefold_aligned_allocate(bytes, alignment);
}

static void release(void *user, void *memory, size_t bytes) {
    (void)user, (void)bytes;
    tilefold_aligned_free(memory);
}

static tilefold_status check_options(const tilefold_context_options *options, tilefold_message *message) {
    if (options->threads < 0 || options->threads > TILEFOLD_MAX_THREADS)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "threads %d is not 0 to %d", (int)options->threads,
                             TILEFOLD_MAX_THREADS);
    if (options->device_index < 0)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "device index %d is negative",
                             (int)options->device_index);
    if (!tilefold_isa_name(options->isa))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "instruction set %d is unknown", (int)options->isa);
    if (options->allocator.allocate && !options->allocator.release)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "the allocator has no release");
    if (options->parallel_for.run &&
        (options->parallel_for.threads < 1 || options->parallel_for.threads > TILEFOLD_MAX_THREADS))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "parallel_for.threads is %lld, not 1 to %d",
                             (long long)options->parallel_for.threads, TILEFOLD_MAX_THREADS);
    return TILEFOLD_OK;
}

tilefold_status tilefold_context_open(const tilefold_context_options *options, const void *device_options,
                                      tilefold_context **context, tilefold_message *message) {
    tilefold_status status = check_options(options, message);
    if (status) return status;
    const tilefold_device *device = NULL;
    for (int kind = 0; kind < DEVICE_KINDS; kind++)
        if (devices[kind]->kind == options->device) device = devices[kind];
    if (!device && options->device == TILEFOLD_VULKAN)
        return tilefold_fail(
            message, TILEFOLD_NO_DEVICE,
            "this build of tilefold %s has no Vulkan: it wants the Vulkan headers and glslc when it is built",
            tilefold_version());
    if (!device)
        return tilefold_fail(message, TILEFOLD_NO_DEVICE, "this build of tilefold %s has no %s device",
                             tilefold_version(), options->device == TILEFOLD_VULKAN ? "Vulkan" : "such");

    tilefold_allocator allocator = options->allocator;
    if (!allocator.allocate) allocator = (tilefold_allocator){allocate, release, NULL};
    size_t bytes = sizeof(tilefold_context) + device->context_bytes;
    tilefold_context *created = allocator.allocate(allocator.user, bytes, TILEFOLD_ALIGNMENT);
    if (!created) return tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY, "no memory for a context of %zu bytes", bytes);
    memset(created, 0, bytes);
    created->device = device;
    created->allocator = allocator;
    created->state = created + 1;
    atomic_init(&created->holds, 1);
    status = device->open(created, options, device_options, message);
    if (status) {
        allocator.release(allocator.user, created, bytes);
        return status;
    }
    *context = created;
    return TILEFOLD_OK;
}

tilefold_status tilefold_context_create(const tilefold_context_options *options, tilefold_context **context,
                                        tilefold_message *message) {
    tilefold_context_options full;
    tilefold_status status = tilefold_read_context_options(options, &full, message);
    return status ? status : tilefold_context_open(&full, NULL, context, message);
}

void tilefold_context_hold(tilefold_context *context) {
    atomic_fetch_add_explicit(&context->holds, 1, memory_order_relaxed);
}

void tilefold_context_destroy(tilefold_context *context) {
    /* What other holders did to the context happened before the last of them closes it. */
    if (!context || atomic_fetch_sub_explicit(&context->holds, 1, memory_order_acq_rel) > 1) return;
    tilefold_allocator allocator = context->allocator;
    size_t bytes = sizeof *context + context->device->context_bytes;
    context->device->close(context);
    allocator.release(allocator.user, context, bytes);
}

tilefold_status tilefold_measure_peak(tilefold_context *context, double *flops_per_second, tilefold_message *message) {
    if (!context->device->measure_peak)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "this device has no peak measurement");
    return context->device->measure_peak(context, flops_per_second, message);
}
