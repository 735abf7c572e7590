/* Running a plan on tensors in host memory: chunks, transfers, submissions.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../cpu/half.h"
#include "../message.h"
#include "vulkan.h"

typedef struct execution {
    tilefold_vulkan_context *context;
    const tilefold_vulkan_plan *plan;
    const tilefold_execution *request;
    const void *weight; /* packed or not, as the geometry's strides say */
    tilefold_message *message;
    tilefold_vulkan_recorder recorder;
    const tilefold_vulkan_chunk *chunk;
    tilefold_vulkan_job job;
    bool recording, job_is_there; /* in the submission being recorded */
    int64_t jobs, macs,
        most_macs; /* of it; it ends where it has that many, so that progress is told and a cancel is heard */
    int64_t total; /* steps; recorder.steps counts those done */
    double device_seconds;
} execution;

/* ------------------------------------------------------------------------------------------------- submissions ---- */

/* The context is this execution's from here to the end of submit(): its command buffer, fence and timestamps. */
static tilefold_status begin(execution *e) {
    if (e->recording) return TILEFOLD_OK;
    tilefold_vulkan_context *context = e->context;
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                     .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    tilefold_mutex_lock(&context->queue_lock);
    VkResult result = context->vk.ResetCommandPool(context->device, context->pool, 0);
    if (result == VK_SUCCESS) result = context->vk.BeginCommandBuffer(context->commands, &info);
    if (result != VK_SUCCESS) {
        tilefold_mutex_unlock(&context->queue_lock);
        return tilefold_vulkan_fail(e->message, result, "beginning a command buffer");
    }
    e->recording = true;
    e->most_macs = context->submission_macs;
    tilefold_vulkan_begin_time(context, context->commands);
    tilefold_vulkan_wait_for_all(&context->vk, context->commands);
    return TILEFOLD_OK;
}

/* Not while the context is locked: the callback may plan and execute. */
static tilefold_status tell_progress(const execution *e) {
    int64_t done = e->recorder.steps;
    if (!e->request->progress || e->request->progress(e->request->progress_user, done, e->total)) return TILEFOLD_OK;
    return tilefold_fail(e->message, TILEFOLD_CANCELLED, "cancelled after %lld of %lld tiles", (long long)done,
                         (long long)e->total);
}

static tilefold_status submit(execution *e) {
    tilefold_vulkan_context *context = e->context;
    if (!e->recording) return TILEFOLD_OK;
    e->recording = e->job_is_there = false;
    tilefold_vulkan_show_to_host(&context->vk, context->commands);
    tilefold_vulkan_end_time(context, context->commands);
    VkResult result = context->vk.EndCommandBuffer(context->commands);
    double seconds = 0;
    int64_t began = tilefold_nanoseconds_now();
    if (result == VK_SUCCESS) result = tilefold_vulkan_submit(context, context->commands);
    tilefold_vulkan_learn_pace(context, e->macs, tilefold_nanoseconds_now() - began);
    if (result == VK_SUCCESS) result = tilefold_vulkan_get_time(context, &seconds);
    tilefold_mutex_unlock(&context->queue_lock);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(e->message, result, "running a command buffer");
    bool stepped = e->jobs > 0;
    e->device_seconds += seconds;
    e->jobs = e->macs = 0;
    return stepped ? tell_progress(e) : TILEFOLD_OK;
}

/* ---------------------------------------------------------------------------------------------------- transfers ---- */

static tilefold_status copy_piece(execution *e, const tilefold_vulkan_buffer *from, const tilefold_vulkan_buffer *to,
                                  int64_t from_at, int64_t to_at, int64_t bytes) {
    tilefold_status status = begin(e);
    if (status) return status;
    VkBufferCopy region = {(VkDeviceSize)from_at, (VkDeviceSize)to_at, (VkDeviceSize)bytes};
    e->context->vk.CmdCopyBuffer(e->context->commands, from->buffer, to->buffer, 1, &region);
    return submit(e);
}

/* Between the host's box and the dense array in the buffer: in place, or a stagingful at a time. */
static tilefold_status transfer(execution *e, const tilefold_vulkan_box *box, const tilefold_vulkan_buffer *buffer,
                                bool to_host) {
    const tilefold_vulkan_buffer *staging = &e->plan->staging;
    int64_t elements = tilefold_vulkan_box_elements(box), element = tilefold_vulkan_dense_bytes(box);
    int64_t each = staging->bytes / element;
    if (buffer->mapped) {
        tilefold_vulkan_copy_box(box, 0, elements, buffer->mapped, to_host);
        return TILEFOLD_OK;
    }
    for (int64_t at = 0; at < elements; at += each) {
        int64_t end = tilefold_min(elements, at + each), offset = at * element, bytes = (end - at) * element;
        if (!to_host) tilefold_vulkan_copy_box(box, at, end, staging->mapped, false);
        tilefold_status status = to_host ? copy_piece(e, buffer, staging, offset, 0, bytes)
                                         : copy_piece(e, staging, buffer, 0, offset, bytes);
        if (status) return status;
        if (to_host) tilefold_vulkan_copy_box(box, at, end, staging->mapped, true);
    }
    return TILEFOLD_OK;
}

static float bias_at(const void *bias, tilefold_type type, int64_t index) {
    if (type == TILEFOLD_F32) return ((const float *)bias)[index];
    uint16_t half = ((const uint16_t *)bias)[index];
    return type == TILEFOLD_F16 ? tilefold_f16_to_float(half) : tilefold_bf16_to_float(half);
}

/* The bias, as fp32. */
static tilefold_status upload_bias(execution *e) {
    const tilefold_geometry *g = &e->chunk->geometry;
    const tilefold_vulkan_buffer *bias = &e->plan->tensors[TILEFOLD_BIAS], *staging = &e->plan->staging;
    int64_t first = e->chunk->window[TILEFOLD_BIAS].at, count = g->groups * g->out_channels;
    int64_t each = bias->mapped ? count : staging->bytes / 4;
    for (int64_t at = 0; at < count; at += each) {
        int64_t end = tilefold_min(count, at + each);
        float *to = bias->mapped ? bias->mapped : staging->mapped;
        for (int64_t i = at; i < end; i++) to[i - at] = bias_at(e->request->bias, g->bias_type, first + i);
        if (bias->mapped) return TILEFOLD_OK;
        tilefold_status status = copy_piece(e, staging, bias, 0, at * 4, (end - at) * 4);
        if (status) return status;
    }
    return TILEFOLD_OK;
}

/* The box of the chunk in a tensor of the caller's. */
static tilefold_vulkan_box place(const execution *e, tilefold_vulkan_box box, const void *tensor, int which) {
    box.host = (char *)(uintptr_t)tensor + e->chunk->window[which].at * (int64_t)tilefold_type_bytes(box.type);
    return box;
}

static tilefold_status upload(execution *e, bool new_weights) {
    const tilefold_vulkan_buffer *tensors = e->plan->tensors;
    tilefold_vulkan_box input = place(e, e->chunk->input, e->request->input, TILEFOLD_INPUT);
    tilefold_vulkan_box weight = place(e, e->chunk->weight, e->weight, TILEFOLD_WEIGHT);
    tilefold_status status = transfer(e, &input, &tensors[TILEFOLD_INPUT], false);
    if (status || !new_weights) return status;
    status = transfer(e, &weight, &tensors[TILEFOLD_WEIGHT], false);
    if (status || e->chunk->geometry.bias_type == TILEFOLD_NONE) return status;
    return upload_bias(e);
}

static tilefold_status download(execution *e) {
    tilefold_vulkan_box output = place(e, e->chunk->output, e->request->output, TILEFOLD_OUTPUT);
    return transfer(e, &output, &e->plan->tensors[TILEFOLD_OUTPUT], true);
}

/* -------------------------------------------------------------------------------------------------------- steps ---- */

/* Begins a submission where there is none, ends one that is full, and sees to it that the job's constants are in it. */
static tilefold_status before_step(void *user, tilefold_vulkan_recorder *recorder, int64_t macs) {
    execution *e = user;
    bool full = (e->macs > 0 && macs > e->most_macs - e->macs) ||
                (!e->job_is_there && e->jobs == e->plan->scratch.jobs);
    tilefold_status status = full ? submit(e) : TILEFOLD_OK;
    if (!status) status = begin(e);
    if (status) return status;
    if (!e->job_is_there) {
        recorder->job_at = (uint32_t)(e->jobs++ * TILEFOLD_JOB_BYTES);
        memcpy((char *)e->plan->jobs.mapped + recorder->job_at, &e->job, sizeof e->job);
        e->job_is_there = true;
    }
    e->macs = tilefold_saturating_add(e->macs, macs);
    return TILEFOLD_OK;
}

static tilefold_status run_part(void *user, const int64_t parts[TILEFOLD_AXES]) {
    execution *e = user;
    if (!tilefold_vulkan_make_job(e->chunk, parts, &e->job)) return TILEFOLD_OK;
    const int32_t *total = e->job.total;
    tilefold_vulkan_extent extent = tilefold_vulkan_get_extent(e->plan, total[0], total[1], total[3], total[2]);
    e->job_is_there = false;
    return tilefold_vulkan_record_job(&e->recorder, &extent);
}

/* ------------------------------------------------------------------------------------------------------- chunks ---- */

static tilefold_status run_chunks(execution *e, const tilefold_geometry *geometry,
                                  const tilefold_vulkan_chunking *chunking) {
    int64_t chunks = tilefold_vulkan_chunk_count(geometry, chunking), weights_at = -1;
    bool cut = tilefold_vulkan_stretches(geometry, chunking) > 1;
    for (int64_t number = 0; number < chunks; number++) {
        tilefold_vulkan_chunk chunk;
        tilefold_vulkan_get_chunk(geometry, chunking, number, &chunk);
        e->chunk = &chunk;
        e->recorder.first = chunk.first, e->recorder.last = chunk.last;
        /* The bias begins elsewhere for every other slice of the weights; their strides may be anything. */
        int64_t bias_at = chunk.window[TILEFOLD_BIAS].at;
        tilefold_status status = upload(e, cut || bias_at != weights_at);
        weights_at = bias_at;
        if (!status) status = tilefold_vulkan_for_each_part(&chunk.geometry, run_part, e);
        if (!status) status = submit(e);
        if (!status && chunk.last) status = download(e);
        if (status) return status;
    }
    return TILEFOLD_OK;
}

tilefold_status tilefold_vulkan_pack_weight(const tilefold_plan *plan, const void *weight, void *packed,
                                            tilefold_message *message) {
    (void)message; /* nothing fails */
    tilefold_geometry geometry = plan->geometry;
    tilefold_vulkan_box box = tilefold_vulkan_pack_geometry(&geometry);
    box.host = (char *)(uintptr_t)weight + plan->geometry.weight_offset * tilefold_vulkan_dense_bytes(&box);
    tilefold_vulkan_copy_box(&box, 0, tilefold_vulkan_box_elements(&box), packed, false);
    return TILEFOLD_OK;
}

tilefold_status tilefold_vulkan_execute(const tilefold_plan *plan, const tilefold_geometry *geometry,
                                        const tilefold_execution *request, tilefold_message *message) {
    tilefold_vulkan_context *context = plan->context->state;
    tilefold_vulkan_plan *p = plan->state;
    if (plan->options.bind_buffers)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "the plan was made for buffers of the caller's: bind it to them");
    if (!context->queue)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "the context has no queue: its plans can only be recorded");
    bool packed = plan->info.packed_weight_bytes > 0;
    tilefold_geometry as_given = *geometry;
    if (packed) tilefold_vulkan_pack_geometry(&as_given);
    geometry = &as_given;
    const tilefold_vulkan_chunking chunking = tilefold_vulkan_fit_chunks(geometry, &p->chunking);
    execution e = {.context = context,
                   .plan = p,
                   .request = request,
                   .weight = packed ? request->packed_weight : request->weight,
                   .message = message,
                   .total = tilefold_vulkan_count_steps(p, geometry, &chunking)};
    e.recorder = (tilefold_vulkan_recorder){.context = context,
                                            .plan = p,
                                            .commands = context->commands,
                                            .sets = p->sets,
                                            .before_step = before_step,
                                            .user = &e};
    if (!tilefold_checked_mutex_lock(&p->running))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "the plan's own progress callback executes it");
    tilefold_status status = run_chunks(&e, geometry, &chunking);
    tilefold_checked_mutex_unlock(&p->running);
    if (!status && request->device_seconds) *request->device_seconds = e.device_seconds;
    return status;
}
