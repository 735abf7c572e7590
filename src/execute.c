/* Packing, executing, and the one-call convenience.
 *
 * SPDX-License-Identifier: MIT
 */
#include "checked.h"
#include "device.h"
#include "message.h"

/* What the caller hands over: none to a device that has its own. */
static int64_t handed_scratch_bytes(const tilefold_plan *plan) {
    return plan->context->device->scratch_on_device ? 0 : plan->info.scratch_bytes;
}

static bool aligned(const void *pointer, size_t alignment) { return (uintptr_t)pointer % alignment == 0; }

tilefold_status tilefold_pack_weight(const tilefold_plan *plan, const void *weight, void *packed, size_t packed_bytes,
                                     tilefold_message *message) {
    int64_t needed = plan->info.packed_weight_bytes;
    if (needed == 0) return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "this plan holds no packed weights");
    if (!weight || !packed || !aligned(packed, 64))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "weight %p and packed weight %p must be there, the latter aligned to 64 bytes", weight,
                             packed);
    if (packed_bytes < (size_t)needed)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "packed weights take %lld bytes, not %zu",
                             (long long)needed, packed_bytes);
    return plan->context->device->pack_weight(plan, weight, packed, message);
}

static tilefold_status check_execution(const tilefold_plan *plan, const tilefold_execution *e,
                                       tilefold_message *message) {
    if (e->struct_size != sizeof *e)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "execution.struct_size is %zu, not %zu: call tilefold_execution_init()", e->struct_size,
                             sizeof *e);
    bool packed = plan->info.packed_weight_bytes > 0;
    int64_t scratch_bytes = handed_scratch_bytes(plan);
    const struct {
        const void *pointer;
        bool needed;
        size_t alignment;
        const char *name;
    } pointers[] = {
        {e->input, plan->problem.batch > 0, tilefold_type_bytes(plan->problem.type), "input"},
        {e->output, plan->problem.batch > 0, tilefold_type_bytes(plan->problem.type), "output"},
        {e->weight, !packed, tilefold_type_bytes(plan->problem.type), "weight"},
        {e->packed_weight, packed, 64, "packed weight"},
        {e->bias, plan->problem.bias_type != TILEFOLD_NONE, tilefold_type_bytes(plan->problem.bias_type), "bias"},
        {e->scratch, scratch_bytes > 0, 64, "scratch"},
    };
    for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++)
        if (pointers[i].needed && (!pointers[i].pointer || !aligned(pointers[i].pointer, pointers[i].alignment)))
            return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                                 "the %s pointer %p is missing or not aligned to %zu bytes", pointers[i].name,
                                 pointers[i].pointer, pointers[i].alignment);
    if (e->scratch_bytes < (size_t)scratch_bytes)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "scratch is %zu bytes, the plan needs %lld",
                             e->scratch_bytes, (long long)scratch_bytes);
    return TILEFOLD_OK;
}

tilefold_status tilefold_execute(const tilefold_plan *plan, const tilefold_execution *execution,
                                 tilefold_message *message) {
    tilefold_status status = check_execution(plan, execution, message);
    if (status || plan->problem.batch == 0) return status;
    return plan->context->device->execute(plan, &plan->geometry, execution, message);
}

/* Everything but the batch, the spatial sizes and the tensors' strides must be the plan's. */
static tilefold_status check_resized(const tilefold_problem *bound, const tilefold_problem *problem,
                                     tilefold_message *message) {
    tilefold_problem same = *problem;
    same.batch = bound->batch;
    memcpy(same.input_size, bound->input_size, sizeof same.input_size);
    same.input_stride = bound->input_stride;
    same.output_stride = bound->output_stride;
    bool equal = same.struct_size == bound->struct_size && same.op == bound->op && same.type == bound->type &&
                 same.bias_type == bound->bias_type && same.rank == bound->rank &&
                 same.in_channels == bound->in_channels && same.out_channels == bound->out_channels &&
                 same.groups == bound->groups && same.flip == bound->flip && same.clamp_low == bound->clamp_low &&
                 same.clamp_high == bound->clamp_high && same.weight_stride.group == bound->weight_stride.group &&
                 same.weight_stride.out_channel == bound->weight_stride.out_channel &&
                 same.weight_stride.in_channel == bound->weight_stride.in_channel;
    for (int32_t axis = 0; equal && axis < bound->rank; axis++)
        equal = same.kernel[axis] == bound->kernel[axis] && same.stride[axis] == bound->stride[axis] &&
                same.dilation[axis] == bound->dilation[axis] &&
                same.input_dilation[axis] == bound->input_dilation[axis] &&
                same.padding_begin[axis] == bound->padding_begin[axis] &&
                same.padding_end[axis] == bound->padding_end[axis] &&
                same.output_padding[axis] == bound->output_padding[axis] &&
                same.weight_stride.spatial[axis] == bound->weight_stride.spatial[axis];
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
    if (bound->input_stride.channel == 1 && problem->input_stride.channel != 1 && problem->in_channels > 1)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "the plan's input has its channels side by side, this one has them %lld elements apart",
                             (long long)problem->input_stride.channel);
    return TILEFOLD_OK;
}

tilefold_status tilefold_resize_geometry(const tilefold_plan *plan, const tilefold_problem *problem,
                                         tilefold_geometry *geometry, tilefold_message *message) {
    tilefold_status status = check_resized(&plan->problem, problem, message);
    if (!status) status = tilefold_geometry_init(geometry, problem, message);
    if (!status && plan->geometry.folded) tilefold_geometry_fold(geometry);
    return status;
}

tilefold_status tilefold_execute_resized(const tilefold_plan *plan, const tilefold_problem *problem,
                                         const tilefold_execution *execution, tilefold_message *message) {
    tilefold_geometry geometry;
    tilefold_status status = tilefold_resize_geometry(plan, problem, &geometry, message);
    if (!status) status = check_execution(plan, execution, message);
    if (status || problem->batch == 0) return status;
    return plan->context->device->execute(plan, &geometry, execution, message);
}

tilefold_status tilefold_convolve(tilefold_context *context, const tilefold_problem *problem,
                                  const tilefold_plan_options *options, const void *input, const void *weight,
                                  const void *bias, void *output, tilefold_message *message) {
    tilefold_plan *plan;
    tilefold_status status = tilefold_plan_create(context, problem, options, &plan, message);
    if (status) return status;
    const tilefold_allocator *allocator = &context->allocator;
    size_t scratch_bytes = (size_t)handed_scratch_bytes(plan), packed_bytes = (size_t)plan->info.packed_weight_bytes;
    void *scratch = scratch_bytes ? allocator->allocate(allocator->user, scratch_bytes, 64) : NULL;
    void *packed = packed_bytes ? allocator->allocate(allocator->user, packed_bytes, 64) : NULL;
    if ((scratch_bytes && !scratch) || (packed_bytes && !packed))
        status = tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY,
                               "no memory for %zu bytes of scratch and %zu of packed weights", scratch_bytes,
                               packed_bytes);
    if (!status && packed) status = tilefold_pack_weight(plan, weight, packed, packed_bytes, message);
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
