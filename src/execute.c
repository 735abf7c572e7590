/* Packing, executing, and the one-call convenience.
 *
 * SPDX-License-Identifier: MIT
 */
#include "checked.h"
#include "device.h"
#include "message.h"
#include "strides.h"
#include "versioned.h"
#include "window.h"

/* What the caller hands over: none to a device that has its own. */
static int64_t handed_scratch_bytes(const tilefold_plan *plan) {
    return plan->context->device->scratch_on_device ? 0 : plan->info.scratch_bytes;
}

static bool aligned(const void *pointer, size_t alignment) { return (uintptr_t)pointer % alignment == 0; }

/* A tensor's array, of `bytes` bytes unless that is 0, must reach to the end of its highest element. */
static tilefold_status check_reach(const char *name, int64_t reach, size_t bytes, tilefold_message *message) {
    if (bytes == 0 || (uint64_t)reach <= bytes) return TILEFOLD_OK;
    return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                         "the problem's strides lead to the end of byte %lld of the %s, which has %zu",
                         (long long)reach, name, bytes);
}

/* What is handed over must be there and aligned. */
static tilefold_status check_pointer(const char *name, const void *pointer, size_t alignment,
                                     tilefold_message *message) {
    if (pointer && aligned(pointer, alignment)) return TILEFOLD_OK;
    return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "the %s pointer %p is missing or not aligned to %zu bytes",
                         name, pointer, alignment);
}

tilefold_status tilefold_pack_weight(const tilefold_plan *plan, const void *weight, size_t weight_bytes, void *packed,
                                     size_t packed_bytes, tilefold_message *message) {
    int64_t needed = plan->info.packed_weight_bytes;
    if (needed == 0) return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "this plan holds no packed weights");
    tilefold_status status = check_pointer("weight", weight, tilefold_type_bytes(plan->problem.type), message);
    if (!status) status = check_reach("weight", tilefold_get_reach(&plan->geometry).weight, weight_bytes, message);
    if (!status) status = check_pointer("packed weight", packed, TILEFOLD_ALIGNMENT, message);
    if (status) return status;
    if (packed_bytes < (size_t)needed)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "packed weights take %lld bytes, not %zu",
                             (long long)needed, packed_bytes);
    return plan->context->device->pack_weight(plan, weight, packed, message);
}

/* Whether everything is handed over that computing the geometry, the plan's or a smaller one, reads and writes. */
static tilefold_status check_execution(const tilefold_plan *plan, const tilefold_geometry *geometry,
                                       const tilefold_execution *e, tilefold_message *message) {
    bool packed = plan->info.packed_weight_bytes > 0, images = geometry->batch > 0;
    bool biased = geometry->bias_type != TILEFOLD_NONE;
    int64_t scratch_bytes = handed_scratch_bytes(plan);
    size_t element = tilefold_type_bytes(geometry->type), bias_element = tilefold_type_bytes(geometry->bias_type);
    tilefold_reach reach = tilefold_get_reach(geometry);
    const struct {
        const char *name;
        const void *pointer;
        bool needed;
        size_t alignment, bytes; /* bytes that the caller says there are, 0 where that is not known */
        int64_t reach;
    } arrays[] = {
        {"input", e->input, images, element, e->input_bytes, reach.input},
        {"output", e->output, images, element, e->output_bytes, reach.output},
        {"weight", e->weight, !packed, element, e->weight_bytes, reach.weight},
        {"packed weight", e->packed_weight, packed, TILEFOLD_ALIGNMENT, e->packed_weight_bytes,
         plan->info.packed_weight_bytes},
        {"bias", e->bias, biased, bias_element, e->bias_bytes, reach.bias},
        {"scratch", e->scratch, scratch_bytes > 0, TILEFOLD_ALIGNMENT, 0, 0},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        if (!arrays[i].needed) continue;
        tilefold_status status = check_pointer(arrays[i].name, arrays[i].pointer, arrays[i].alignment, message);
        if (!status) status = check_reach(arrays[i].name, arrays[i].reach, arrays[i].bytes, message);
        if (status) return status;
    }
    if (!biased && e->bias)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "there is a bias pointer, %p, but the problem's bias_type is none", e->bias);
    if (e->scratch_bytes < (size_t)scratch_bytes)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "scratch is %zu bytes, the plan needs %lld",
                             e->scratch_bytes, (long long)scratch_bytes);
    return TILEFOLD_OK;
}

/* Reads the caller's execution and computes the geometry. */
static tilefold_status execute(const tilefold_plan *plan, const tilefold_geometry *geometry,
                               const tilefold_execution *execution, tilefold_message *message) {
    tilefold_execution full;
    tilefold_status status = tilefold_read_execution(execution, &full, message);
    if (!status) status = check_execution(plan, geometry, &full, message);
    if (status || geometry->batch == 0) return status;
    return plan->context->device->execute(plan, geometry, &full, message);
}

tilefold_status tilefold_execute(const tilefold_plan *plan, const tilefold_execution *execution,
                                 tilefold_message *message) {
    return execute(plan, &plan->geometry, execution, message);
}

/* What a plan may read side by side, because the bound's channels, or groups of one channel each, lie so. */
static tilefold_status check_channels(const tilefold_problem *bound, const tilefold_problem *problem,
                                      tilefold_message *message) {
    const tilefold_tensor_strides *planned = &bound->input_stride, *given = &problem->input_stride;
    bool channels_apart = bound->in_channels > bound->groups && planned->channel == 1 && given->channel != 1;
    bool groups_apart = bound->groups > 1 && planned->group == 1 && given->group != 1;
    if (!channels_apart && !groups_apart) return TILEFOLD_OK;
    return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                         "the plan's input has its %s side by side, this one has them %lld elements apart",
                         channels_apart ? "channels" : "groups",
                         (long long)(channels_apart ? given->channel : given->group));
}

/* Everything but the batch, the spatial sizes and the tensors' strides must be the plan's. */
static tilefold_status check_resized(const tilefold_problem *bound, const tilefold_problem *problem,
                                     tilefold_message *message) {
    bool equal = problem->op == bound->op && problem->type == bound->type && problem->bias_type == bound->bias_type &&
                 problem->rank == bound->rank && problem->in_channels == bound->in_channels &&
                 problem->out_channels == bound->out_channels && problem->groups == bound->groups &&
                 problem->flip == bound->flip && problem->clamp_low == bound->clamp_low &&
                 problem->clamp_high == bound->clamp_high &&
                 problem->weight_stride.group == bound->weight_stride.group &&
                 problem->weight_stride.out_channel == bound->weight_stride.out_channel &&
                 problem->weight_stride.in_channel == bound->weight_stride.in_channel;
    for (int32_t axis = 0; equal && axis < bound->rank; axis++)
        equal = problem->kernel[axis] == bound->kernel[axis] && problem->stride[axis] == bound->stride[axis] &&
                problem->dilation[axis] == bound->dilation[axis] &&
                problem->input_dilation[axis] == bound->input_dilation[axis] &&
                problem->padding_begin[axis] == bound->padding_begin[axis] &&
                problem->padding_end[axis] == bound->padding_end[axis] &&
                problem->output_padding[axis] == bound->output_padding[axis] &&
                problem->weight_stride.spatial[axis] == bound->weight_stride.spatial[axis];
    if (!equal)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "the problem differs from the plan's in more than batch, input sizes and tensor strides");
    if (problem->batch > bound->batch)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "batch %lld is above the plan's %lld",
                             (long long)problem->batch, (long long)bound->batch);
    for (int32_t axis = 0; axis < bound->rank; axis++)
        if (problem->input_size[axis] > bound->input_size[axis])
            return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                                 "input size %lld of axis %d is above the plan's %lld",
                                 (long long)problem->input_size[axis], (int)axis, (long long)bound->input_size[axis]);
    return check_channels(bound, problem, message);
}

/* Into parts, as the plan's. */
static void cut_as_planned(const tilefold_plan *plan, tilefold_geometry *geometry) {
    if (plan->geometry.folded) tilefold_geometry_fold(geometry);
    if (plan->geometry.merged) tilefold_geometry_merge(geometry);
}

tilefold_status tilefold_resize_geometry(const tilefold_plan *plan, const tilefold_problem *problem,
                                         tilefold_geometry *geometry, tilefold_message *message) {
    tilefold_problem full;
    tilefold_status status = tilefold_read_problem(problem, &full, message);
    if (!status) status = check_resized(&plan->problem, &full, message);
    if (!status) status = tilefold_geometry_init(geometry, &full, message);
    if (!status) cut_as_planned(plan, geometry);
    return status;
}

tilefold_status tilefold_execute_resized(const tilefold_plan *plan, const tilefold_problem *problem,
                                         const tilefold_execution *execution, tilefold_message *message) {
    tilefold_geometry geometry;
    tilefold_status status = tilefold_resize_geometry(plan, problem, &geometry, message);
    return status ? status : execute(plan, &geometry, execution, message);
}

tilefold_status tilefold_execute_window(const tilefold_plan *plan, const tilefold_problem *problem,
                                        const tilefold_window *output, const tilefold_execution *execution,
                                        tilefold_message *message) {
    tilefold_problem full;
    tilefold_geometry geometry;
    tilefold_status status = tilefold_read_problem(problem, &full, message);
    if (!status) status = check_resized(&plan->problem, &full, message);
    if (!status) status = tilefold_window_geometry(&full, output, &geometry, message);
    if (!status) status = tilefold_check_units(&full, output, plan->unit, message);
    if (!status) cut_as_planned(plan, &geometry);
    return status ? status : execute(plan, &geometry, execution, message);
}

tilefold_status tilefold_convolve(tilefold_context *context, const tilefold_problem *problem,
                                  const tilefold_plan_options *options, const void *input, const void *weight,
                                  const void *bias, void *output, tilefold_message *message) {
    tilefold_plan *plan;
    tilefold_status status = tilefold_plan_create(context, problem, options, &plan, message);
    if (status) return status;
    const tilefold_allocator *allocator = &context->allocator;
    size_t scratch_bytes = (size_t)handed_scratch_bytes(plan), packed_bytes = (size_t)plan->info.packed_weight_bytes;
    void *scratch = scratch_bytes ? allocator->allocate(allocator->user, scratch_bytes, TILEFOLD_ALIGNMENT) : NULL;
    void *packed = packed_bytes ? allocator->allocate(allocator->user, packed_bytes, TILEFOLD_ALIGNMENT) : NULL;
    if ((scratch_bytes && !scratch) || (packed_bytes && !packed))
        status = tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY,
                               "no memory for %zu bytes of scratch and %zu of packed weights", scratch_bytes,
                               packed_bytes);
    if (!status && packed) status = tilefold_pack_weight(plan, weight, 0, packed, packed_bytes, message);
    if (!status) {
        tilefold_execution execution;
        tilefold_execution_init(&execution);
        execution.input = input;
        execution.weight = weight;
        execution.packed_weight = packed;
        execution.bias = bias;
        execution.output = output;
        execution.scratch = scratch;
        execution.scratch_bytes = scratch_bytes;
        status = tilefold_execute(plan, &execution, message);
    }
    if (packed) allocator->release(allocator->user, packed, packed_bytes);
    if (scratch) allocator->release(allocator->user, scratch, scratch_bytes);
    tilefold_plan_destroy(plan);
    return status;
}
