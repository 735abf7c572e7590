/* What a device offers to the core, and the objects the two share.
 *
 * SPDX-License-Identifier: MIT
 *
 * The core checks the problem, brings it to normal form and keeps the books; a device decides how to compute it under the
 * limit and computes it. The core never asks which device it has. Devices are named in one table, in context.c.
 */
#ifndef TILEFOLD_DEVICE_H
#define TILEFOLD_DEVICE_H

#include <stdatomic.h>
#include <tilefold.h>

#include "geometry.h"

typedef struct tilefold_device {
    tilefold_device_kind kind;
    size_t context_bytes; /* of the device's own state behind a context */
    size_t plan_bytes;    /* of the device's own state behind a plan */
    bool
        scratch_on_device; /* plans hold their scratch themselves, in the device's memory: an execution is handed none */

    /* How many of this kind there are, and what each is (0 <= index < count). */
    size_t (*count)(void);
    void (*describe)(size_t index, tilefold_device_info *info);

    /* Opens the device into context->state. device_options are the device's own, or NULL. On failure there is nothing to
     * close. */
    tilefold_status (*open)(tilefold_context *context, const tilefold_context_options *options,
                            const void *device_options, tilefold_message *message);
    void (*close)(tilefold_context *context);
    /* Why outputs have other bits than tilefold.h promises of the CPU; NULL where they have the same. */
    const char *(*other_bits)(const tilefold_context *context);

    /* Decides how to compute plan->geometry, which it may fold, and fills in plan->state and plan->info, all but the fields
     * the core fills in: output_size, scratch_limit_bytes, plan_bytes, full_unfold_bytes, phases, macs, and of exact arithmetic
     * error_bound. The scratch it asks
     * for is at most plan->scratch_limit_bytes; min_ and ideal_scratch_bytes are limits, so plan->own_bytes is part of them. */
    tilefold_status (*plan)(tilefold_plan *plan, tilefold_message *message);
    void (*release)(tilefold_plan *plan);
    /* Lines about the plan, as snprintf does. */
    size_t (*print)(const tilefold_plan *plan, char *text, size_t bytes);

    tilefold_status (*pack_weight)(const tilefold_plan *plan, const void *weight, void *packed,
                                   tilefold_message *message);
    /* Computes `geometry`, the plan's or a smaller one. */
    tilefold_status (*execute)(const tilefold_plan *plan, const tilefold_geometry *geometry,
                               const tilefold_execution *execution, tilefold_message *message);
    tilefold_status (*measure_peak)(tilefold_context *context, double *flops_per_second, tilefold_message *message);
} tilefold_device;

struct tilefold_context {
    const tilefold_device *device;
    atomic_size_t
        holds; /* of the caller, of plans, of what else was made from it; it closes when the last is given up */
    tilefold_allocator allocator;
    void *state; /* device->context_bytes */
};

struct tilefold_plan {
    tilefold_context *context; /* which it holds */
    atomic_size_t holds;       /* of the caller, and of what was made from it */
    tilefold_problem problem;
    tilefold_plan_options options;
    tilefold_geometry geometry;
    tilefold_plan_info info;
    /* Outputs that fast arithmetic computes together along each axis, counted from output 0, filled in by the device: the bits
     * of each depend on what all of them read. 0 stands for 1. */
    int64_t unit[TILEFOLD_AXES];
    int64_t own_bytes;           /* of this object and the state behind it */
    int64_t scratch_limit_bytes; /* what the limit leaves after own_bytes */
    void *state;                 /* device->plan_bytes */
};

/* One more hold of an object, given up by its _destroy. */
void tilefold_context_hold(tilefold_context *context);
void tilefold_plan_hold(tilefold_plan *plan);

/* tilefold_context_create(), with options of the device's own. */
tilefold_status tilefold_context_open(const tilefold_context_options *options, const void *device_options,
                                      tilefold_context **context, tilefold_message *message);

/* The normal form of a problem of the caller's that may run under the plan in place of its own, cut into parts as its own is. */
tilefold_status tilefold_resize_geometry(const tilefold_plan *plan, const tilefold_problem *problem,
                                         tilefold_geometry *geometry, tilefold_message *message);

extern const tilefold_device tilefold_cpu_device;
extern const tilefold_device tilefold_vulkan_device; /* where TILEFOLD_HAVE_VULKAN is defined */

#endif /* TILEFOLD_DEVICE_H */
