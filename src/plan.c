/* Plans: a problem in normal form, a device's decision about it, and what can be said beforehand.
 *
 * SPDX-License-Identifier: MIT
 */
#include "checked.h"
#include "device.h"
#include "message.h"
#include "versioned.h"

#include <stdio.h>

static tilefold_status check_options(const tilefold_plan_options *options, tilefold_message *message) {
    if (options->scratch_limit_bytes < 0 || options->max_buffer_bytes < 0)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "scratch limit %lld and buffer limit %lld must not be negative",
                             (long long)options->scratch_limit_bytes, (long long)options->max_buffer_bytes);
    if (!tilefold_algorithm_name(options->algorithm))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "algorithm %d is unknown", (int)options->algorithm);
    if (!tilefold_math_name(options->math))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "math %d is unknown", (int)options->math);
    if (options->storage < TILEFOLD_STORAGE_BUFFER || options->storage > TILEFOLD_STORAGE_TEXTURE3D)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "storage %d is unknown", (int)options->storage);
    return TILEFOLD_OK;
}

static void fill_info(tilefold_plan *plan) {
    tilefold_plan_info *info = &plan->info;
    info->device = plan->context->device->kind;
    info->scratch_limit_bytes = plan->options.scratch_limit_bytes;
    info->plan_bytes = plan->own_bytes;
    info->full_unfold_bytes = tilefold_geometry_full_unfold_bytes(&plan->geometry);
    info->phases = tilefold_geometry_phases(&plan->geometry);
    info->macs = tilefold_geometry_macs(&plan->geometry);
    if (info->math == TILEFOLD_MATH_EXACT) info->error_bound = tilefold_geometry_error_bound(&plan->geometry);
    for (int32_t axis = 0; axis < plan->problem.rank; axis++)
        info->output_size[axis] = plan->geometry.axis[TILEFOLD_AXES - plan->problem.rank + axis].output;
}

tilefold_status tilefold_plan_create(tilefold_context *context, const tilefold_problem *problem,
                                     const tilefold_plan_options *options, tilefold_plan **plan,
                                     tilefold_message *message) {
    tilefold_plan_options full_options;
    tilefold_problem full_problem;
    tilefold_geometry geometry;
    tilefold_status status = tilefold_read_plan_options(options, &full_options, message);
    if (!status) status = check_options(&full_options, message);
    if (!status) status = tilefold_read_problem(problem, &full_problem, message);
    if (!status) status = tilefold_geometry_init(&geometry, &full_problem, message);
    if (status) return status;

    size_t bytes = sizeof(tilefold_plan) + context->device->plan_bytes;
    tilefold_plan *created = context->allocator.allocate(context->allocator.user, bytes, TILEFOLD_ALIGNMENT);
    if (!created) return tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY, "no memory for a plan of %zu bytes", bytes);
    memset(created, 0, bytes);
    created->context = context;
    created->problem = full_problem;
    created->options = full_options;
    created->geometry = geometry;
    created->own_bytes = (int64_t)bytes;
    created->state = created + 1;
    atomic_init(&created->holds, 1);
    int64_t limit = full_options.scratch_limit_bytes;
    created->scratch_limit_bytes = tilefold_max(0, limit - created->own_bytes);
    status = context->device->plan(created, message);
    if (status) {
        context->allocator.release(context->allocator.user, created, bytes);
        return status;
    }
    fill_info(created);
    tilefold_context_hold(context);
    *plan = created;
    return TILEFOLD_OK;
}

void tilefold_plan_hold(tilefold_plan *plan) { atomic_fetch_add_explicit(&plan->holds, 1, memory_order_relaxed); }

void tilefold_plan_destroy(tilefold_plan *plan) {
    if (!plan || atomic_fetch_sub_explicit(&plan->holds, 1, memory_order_acq_rel) > 1) return;
    tilefold_context *context = plan->context;
    context->device->release(plan);
    context->allocator.release(context->allocator.user, plan, (size_t)plan->own_bytes);
    tilefold_context_destroy(context);
}

tilefold_status tilefold_plan_get_info(const tilefold_plan *plan, tilefold_plan_info *info, tilefold_message *message) {
    return tilefold_write_plan_info(&plan->info, info, message);
}

/* ------------------------------------------------------------------------------------------------------ print ---- */

typedef struct text_buffer {
    char *text;
    size_t bytes, length;
} text_buffer;

static void TILEFOLD_PRINTF(2, 3) print(text_buffer *buffer, const char *format, ...);

#include <stdarg.h>

static void print(text_buffer *buffer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = buffer->length < buffer->bytes ? buffer->bytes - buffer->length : 0;
    int written = vsnprintf(room ? buffer->text + buffer->length : NULL, room, format, arguments);
    va_end(arguments);
    if (written > 0) buffer->length += (size_t)written;
}

static void print_sizes(text_buffer *buffer, const int64_t *sizes, int32_t rank) {
    for (int32_t axis = 0; axis < rank; axis++) print(buffer, axis ? "x%lld" : "%lld", (long long)sizes[axis]);
}

size_t tilefold_plan_print(const tilefold_plan *plan, char *text, size_t bytes) {
    static const char *const types[] = {"none", "fp32", "fp16", "bf16"};
    const tilefold_problem *p = &plan->problem;
    const tilefold_plan_info *info = &plan->info;
    text_buffer buffer = {text, bytes, 0};
    print(&buffer, "%s %dd %s, batch %lld, channels %lld -> %lld", p->op == TILEFOLD_CONV ? "conv" : "conv-transpose",
          (int)p->rank, types[p->type], (long long)p->batch, (long long)p->in_channels, (long long)p->out_channels);
    if (p->groups > 1) print(&buffer, " in %lld groups", (long long)p->groups);
    print(&buffer, ", kernel ");
    print_sizes(&buffer, p->kernel, p->rank);
    print(&buffer, ", ");
    print_sizes(&buffer, p->input_size, p->rank);
    print(&buffer, " -> ");
    print_sizes(&buffer, info->output_size, p->rank);
    print(&buffer,
          "\n  scratch      %lld bytes and %lld of the plan itself, of at most %lld (least %lld, ideal %lld; the full "
          "unfold "
          "would take %lld)\n",
          (long long)info->scratch_bytes, (long long)info->plan_bytes, (long long)info->scratch_limit_bytes,
          (long long)info->min_scratch_bytes, (long long)info->ideal_scratch_bytes, (long long)info->full_unfold_bytes);
    print(&buffer, "  weights      %lld bytes packed\n", (long long)info->packed_weight_bytes);
    print(&buffer, "  work         %lld multiply-adds in %lld phases, %lld tiles\n", (long long)info->macs,
          (long long)info->phases, (long long)info->tiles);
    bool declined = plan->options.math != info->math;
    print(&buffer, "  math         %s%s, error at most %.2g x (|bias| + largest |input| x sum of |weights|)\n",
          tilefold_math_name(info->math), declined ? " (fast gains nothing here)" : "", info->error_bound);
    size_t room = buffer.length < bytes ? bytes - buffer.length : 0;
    return buffer.length + plan->context->device->print(plan, room ? text + buffer.length : NULL, room);
}
