/* Running a plan: chunks, jobs, steps, submissions.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../cpu/half.h"
#include "../message.h"
#include "vulkan.h"

/* A submission is ended when it has so much work: progress is told and a cancel is heard in between. */
#define SUBMISSION_MACS (INT64_C(1) << 32)

typedef struct execution {
    tilefold_vulkan_context *context;
    const tilefold_vulkan_plan *plan;
    const tilefold_execution *request;
    tilefold_message *message;
    bool recording;
    int64_t jobs;           /* of the submission being recorded */
    int64_t macs, recorded; /* its multiply-adds and its steps */
    int64_t done, total;    /* steps */
} execution;

/* ------------------------------------------------------------------------------------------------- submissions ---- */

/* Everything before it is done, and seen by everything after it. Reading scratch before it is written again needs no less. */
static void wait_for_all(execution *e) {
    const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                                                VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    e->context->vk.CmdPipelineBarrier(e->context->commands, stages, stages, 0, 1, &barrier, 0, NULL, 0, NULL);
}

static void show_to_host(execution *e) {
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    e->context->vk.CmdPipelineBarrier(e->context->commands,
                                      VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                                      VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
}

static tilefold_status begin(execution *e) {
    if (e->recording) return TILEFOLD_OK;
    tilefold_vulkan_context *context = e->context;
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                     .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkResult result = context->vk.ResetCommandPool(context->device, context->pool, 0);
    if (result == VK_SUCCESS) result = context->vk.BeginCommandBuffer(context->commands, &info);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(e->message, result, "beginning a command buffer");
    e->recording = true;
    wait_for_all(e);
    return TILEFOLD_OK;
}

static tilefold_status submit(execution *e) {
    tilefold_vulkan_context *context = e->context;
    const tilefold_vulkan_functions *vk = &context->vk;
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                         .commandBufferCount = 1,
                         .pCommandBuffers = &context->commands};
    if (!e->recording) return TILEFOLD_OK;
    e->recording = false;
    show_to_host(e);
    VkResult result = vk->EndCommandBuffer(context->commands);
    if (result == VK_SUCCESS) result = vk->QueueSubmit(context->queue, 1, &info, context->fence);
    if (result == VK_SUCCESS) result = vk->WaitForFences(context->device, 1, &context->fence, VK_TRUE, UINT64_MAX);
    if (result == VK_SUCCESS) result = vk->ResetFences(context->device, 1, &context->fence);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(e->message, result, "running a command buffer");
    e->done += e->recorded;
    bool stepped = e->recorded > 0;
    e->jobs = e->macs = e->recorded = 0;
    if (stepped && e->request->progress && !e->request->progress(e->request->progress_user, e->done, e->total))
        return tilefold_fail(e->message, TILEFOLD_CANCELLED, "cancelled after %lld of %lld tiles", (long long)e->done,
                             (long long)e->total);
    return TILEFOLD_OK;
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
    int64_t elements = tilefold_vulkan_box_elements(box), each = staging->bytes / box->element_bytes;
    if (buffer->mapped) {
        tilefold_vulkan_copy_box(box, 0, elements, buffer->mapped, to_host);
        return TILEFOLD_OK;
    }
    for (int64_t at = 0; at < elements; at += each) {
        int64_t end = tilefold_min(elements, at + each), offset = at * box->element_bytes;
        int64_t bytes = (end - at) * box->element_bytes;
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

/* The bias, as fp32, behind the weights. */
static tilefold_status upload_bias(execution *e, const tilefold_vulkan_chunk *chunk) {
    const tilefold_geometry *g = &chunk->geometry;
    const tilefold_vulkan_buffer *weight = &e->plan->weight, *staging = &e->plan->staging;
    int64_t offset = tilefold_round_up(chunk->weight_elements * chunk->weight.element_bytes, 4);
    int64_t count = g->groups * g->out_channels, each = weight->mapped ? count : staging->bytes / 4;
    for (int64_t at = 0; at < count; at += each) {
        int64_t end = tilefold_min(count, at + each);
        float *to = weight->mapped ? (float *)((char *)weight->mapped + offset) : staging->mapped;
        for (int64_t i = at; i < end; i++) to[i - at] = bias_at(e->request->bias, g->bias_type, chunk->bias_begin + i);
        if (weight->mapped) return TILEFOLD_OK;
        tilefold_status status = copy_piece(e, staging, weight, 0, offset + at * 4, (end - at) * 4);
        if (status) return status;
    }
    return TILEFOLD_OK;
}

static char *host_element(const void *tensor, int64_t element, int64_t element_bytes) {
    return (char *)(uintptr_t)tensor + element * element_bytes;
}

static tilefold_status upload(execution *e, tilefold_vulkan_chunk *chunk, bool new_weights) {
    int64_t element_bytes = chunk->input.element_bytes;
    chunk->input.host = host_element(e->request->input, chunk->input_at, element_bytes);
    chunk->weight.host = host_element(e->request->weight, chunk->weight_at, element_bytes);
    tilefold_status status = transfer(e, &chunk->input, &e->plan->input, false);
    if (status || !new_weights) return status;
    status = transfer(e, &chunk->weight, &e->plan->weight, false);
    if (status || chunk->geometry.bias_type == TILEFOLD_NONE) return status;
    return upload_bias(e, chunk);
}

/* -------------------------------------------------------------------------------------------------------- steps ---- */

static void dispatch(execution *e, VkPipeline pipeline, const tilefold_vulkan_step *step, int64_t x, int64_t y,
                     int64_t z) {
    tilefold_vulkan_context *context = e->context;
    context->vk.CmdBindPipeline(context->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    context->vk.CmdPushConstants(context->commands, context->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof *step,
                                 step);
    context->vk.CmdDispatch(context->commands, (uint32_t)x, (uint32_t)y, (uint32_t)z);
    wait_for_all(e);
}

/* One step of the product: `groups` groups of its positions and columns. */
static void record_product(execution *e, const tilefold_vulkan_step *step, int64_t groups) {
    int64_t width = TILEFOLD_WORKGROUP_SIDE * e->plan->constants.columns;
    dispatch(e, e->plan->product, step,
             tilefold_ceil_div(step->position_end - step->position_begin, TILEFOLD_WORKGROUP),
             tilefold_ceil_div(step->column_end - step->column_begin, width), groups);
}

static void record_unfold(execution *e, const tilefold_vulkan_step *step, int64_t groups) {
    if (step->k_begin == step->k_end) return;
    int64_t words = step->pitch / (e->plan->constants.type == TILEFOLD_F32 ? 1 : 2);
    dispatch(e, e->plan->unfold, step, tilefold_ceil_div(words, TILEFOLD_WORKGROUP), step->k_end - step->k_begin,
             groups);
}

/* Positions, groups and columns are set: the whole sum, unfolded a block at a time. `fresh`: the scratch does not hold the
 * first block yet. */
static void record_blocks(execution *e, tilefold_vulkan_step step, int64_t depth, int64_t groups, bool fresh) {
    const tilefold_vulkan_plan *plan = e->plan;
    int64_t block = plan->tiling.block_k;
    bool unfolds = plan->algorithm == TILEFOLD_ALGORITHM_UNFOLD;
    step.pitch = (int32_t)tilefold_round_up(step.position_end - step.position_begin, 2);
    step.unfolded = (int32_t)(plan->scratch.partial_bytes / 4);
    step.partial = plan->scratch.partial_bytes ? 0 : -1;
    int64_t k = 0;
    do {
        step.k_begin = (int32_t)k;
        k = tilefold_min(depth, k + block);
        step.k_end = (int32_t)k;
        step.flags = (plan->columns_first ? TILEFOLD_STEP_COLUMNS_FIRST : 0) |
                     (step.k_begin == 0 ? TILEFOLD_STEP_FIRST : 0) | (k == depth ? TILEFOLD_STEP_LAST : 0);
        if (unfolds && (fresh || step.k_begin > 0)) record_unfold(e, &step, groups);
        record_product(e, &step, groups);
        e->recorded++;
    } while (k < depth);
}

static void record_direct(execution *e, tilefold_vulkan_step step, int64_t units) {
    bool columns_first = e->plan->columns_first;
    int64_t positions = step.position_end - step.position_begin;
    step.flags = columns_first ? TILEFOLD_STEP_COLUMNS_FIRST : 0;
    step.spread = (int32_t)(columns_first ? units : positions);
    dispatch(e, e->plan->product, &step, tilefold_ceil_div(step.spread, TILEFOLD_WORKGROUP),
             columns_first ? positions : units, 1);
    e->recorded++;
}

/* Binds the job in the next free slot. */
static void bind_job(execution *e, const tilefold_vulkan_job *job) {
    tilefold_vulkan_context *context = e->context;
    uint32_t offset = (uint32_t)(e->jobs++ * TILEFOLD_JOB_BYTES);
    memcpy((char *)e->plan->jobs.mapped + offset, job, sizeof *job);
    context->vk.CmdBindDescriptorSets(context->commands, VK_PIPELINE_BIND_POINT_COMPUTE, context->layout, 0, 1,
                                      &e->plan->set, 1, &offset);
}

/* Room for one more step of the job: begins a submission where there is none, ends one that is full. `bound` says whether
 * the job is in the submission being recorded. */
static tilefold_status make_room(execution *e, const tilefold_vulkan_job *job, bool *bound) {
    bool full = e->macs >= SUBMISSION_MACS || (!*bound && e->jobs == e->plan->scratch.jobs);
    tilefold_status status = full ? submit(e) : TILEFOLD_OK;
    if (status) return status;
    if (!e->recording) *bound = false;
    status = begin(e);
    if (!status && !*bound) bind_job(e, job);
    *bound = true;
    return status;
}

static int64_t step_macs(const tilefold_vulkan_job *job, int64_t positions, int64_t columns, int64_t groups) {
    int64_t macs = tilefold_saturating_multiply(positions, columns);
    return tilefold_saturating_multiply(macs, tilefold_saturating_multiply(groups, tilefold_max(1, job->total[2])));
}

static tilefold_status record_job(execution *e, const tilefold_vulkan_job *job) {
    const tilefold_vulkan_plan *plan = e->plan;
    const tilefold_vulkan_tiling *t = &plan->tiling;
    tilefold_vulkan_extent all = tilefold_vulkan_get_extent(plan, job->total[0], job->total[1], job->total[3],
                                                            job->total[2]);
    bool direct = plan->algorithm == TILEFOLD_ALGORITHM_DIRECT, bound = false;
    for (int64_t group = 0; group < all.groups; group += t->groups)
        for (int64_t position = 0; position < all.positions; position += t->positions)
            for (int64_t column = 0; column < all.columns; column += t->columns) {
                tilefold_status status = make_room(e, job, &bound);
                if (status) return status;
                int64_t groups = tilefold_min(t->groups, all.groups - group);
                tilefold_vulkan_step step = {.position_begin = (int32_t)position,
                                             .column_begin = (int32_t)column,
                                             .group_begin = (int32_t)group,
                                             .position_end = (int32_t)tilefold_min(all.positions,
                                                                                   position + t->positions),
                                             .column_end = (int32_t)tilefold_min(all.columns, column + t->columns)};
                if (direct)
                    record_direct(e, step, groups);
                else
                    record_blocks(e, step, all.depth, groups, column == 0 || plan->cut);
                e->macs += step_macs(job, step.position_end - position,
                                     direct ? plan->constants.columns : step.column_end - column, groups);
            }
    return TILEFOLD_OK;
}

static tilefold_status run_chunk(execution *e, const tilefold_vulkan_chunk *chunk) {
    const tilefold_axis *axis = chunk->geometry.axis;
    int64_t parts[TILEFOLD_AXES] = {tilefold_axis_parts(&axis[0]), tilefold_axis_parts(&axis[1]),
                                    tilefold_axis_parts(&axis[2])};
    for (int64_t z = 0; z < parts[0]; z++)
        for (int64_t y = 0; y < parts[1]; y++)
            for (int64_t x = 0; x < parts[2]; x++) {
                tilefold_vulkan_job job;
                if (!tilefold_vulkan_make_job(chunk, (int64_t[]){z, y, x}, &job)) continue;
                tilefold_status status = record_job(e, &job);
                if (status) return status;
            }
    return submit(e);
}

/* ------------------------------------------------------------------------------------------------------- chunks ---- */

static tilefold_status run_chunks(execution *e, const tilefold_geometry *geometry,
                                  const tilefold_vulkan_chunking *chunking) {
    int64_t chunks = tilefold_vulkan_chunk_count(geometry, chunking), weights_at = -1;
    for (int64_t number = 0; number < chunks; number++) {
        tilefold_vulkan_chunk chunk;
        tilefold_vulkan_get_chunk(geometry, chunking, number, &chunk);
        /* The bias begins elsewhere for every other slice of the weights; their strides may be anything. */
        tilefold_status status = upload(e, &chunk, chunk.bias_begin != weights_at);
        weights_at = chunk.bias_begin;
        if (!status) status = run_chunk(e, &chunk);
        chunk.output.host = host_element(e->request->output, chunk.output_at, chunk.output.element_bytes);
        if (!status) status = transfer(e, &chunk.output, &e->plan->output, true);
        if (status) return status;
    }
    return TILEFOLD_OK;
}

tilefold_status tilefold_vulkan_execute(const tilefold_plan *plan, const tilefold_geometry *geometry,
                                        const tilefold_execution *request, tilefold_message *message) {
    tilefold_vulkan_context *context = plan->context->state;
    const tilefold_vulkan_plan *p = plan->state;
    tilefold_vulkan_chunking chunking;
    tilefold_status status = tilefold_vulkan_choose_chunks(geometry, &p->sizes, &chunking, message);
    if (status) return status;
    execution e = {.context = context,
                   .plan = p,
                   .request = request,
                   .message = message,
                   .total = tilefold_vulkan_count_steps(p, geometry, &chunking)};
    pthread_mutex_lock(&context->lock);
    status = run_chunks(&e, geometry, &chunking);
    pthread_mutex_unlock(&context->lock);
    return status;
}
