/* A plan bound to the caller's buffers: recorded once, replayed, resized.
 *
 * SPDX-License-Identifier: MIT
 *
 * What a command buffer holds for good are dispatches, as many as the plan's problem can need, and which tile each computes.
 * Everything else -- sizes, strides, where tensors begin -- is in the constants of jobs, one slot for each part of each chunk:
 *
 *     jobs    | chunk 0: part 0 | part 1 | ... | chunk 1: part 0 | ... |     256 bytes each, mapped
 *
 * A smaller problem has the same parts, with fewer positions or folds: its constants go into the same slots, and invocations
 * past its end return at once.
 */
#include "../checked.h"
#include "../message.h"
#include "structs.h"

struct tilefold_vulkan_binding {
    tilefold_plan *plan; /* which it holds */
    tilefold_vulkan_tensors tensors;
    tilefold_vulkan_buffer jobs;
    VkDescriptorPool pool;
    VkCommandPool command_pool; /* of what tilefold_vulkan_run() records */
    VkCommandBuffer commands;
    bool recorded; /* all of it is in them; it is not where it takes several submissions */
    size_t bytes;  /* of this object */
    int64_t chunks;
    tilefold_vulkan_bound bound[TILEFOLD_TENSORS]; /* of the only chunk, if there is one */
    tilefold_vulkan_sets sets[];                   /* of each chunk */
};

size_t tilefold_vulkan_binding_bytes(int64_t chunks) {
    int64_t sets = tilefold_saturating_multiply(chunks, (int64_t)sizeof(tilefold_vulkan_sets));
    return (size_t)tilefold_saturating_add((int64_t)sizeof(tilefold_vulkan_binding), sets);
}

static tilefold_vulkan_context *context_of(const tilefold_vulkan_binding *b) { return b->plan->context->state; }

static tilefold_status check_bindable(const tilefold_plan *plan, tilefold_message *message) {
    if (plan->context->device == &tilefold_vulkan_device && plan->options.bind_buffers) return TILEFOLD_OK;
    return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                         "the plan was not made with plan_options.bind_buffers on a Vulkan device");
}

static int64_t scratch_bytes(const tilefold_vulkan_plan *p) {
    return p->scratch.unfolded_bytes + p->scratch.partial_bytes;
}

tilefold_status tilefold_vulkan_get_requirements(const tilefold_plan *plan, tilefold_vulkan_requirements *requirements,
                                                 tilefold_message *message) {
    tilefold_status status = check_bindable(plan, message);
    if (status) return status;
    const tilefold_vulkan_context *context = plan->context->state;
    tilefold_vulkan_requirements full;
    tilefold_vulkan_requirements_init(&full);
    full.scratch_bytes = scratch_bytes(plan->state);
    full.offset_alignment = context->traits.offset_alignment;
    full.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT;
    return tilefold_vulkan_write_requirements(&full, requirements, message);
}

/* ------------------------------------------------------------------------------------------------------ windows ---- */

static const tilefold_vulkan_range *range_of(const tilefold_vulkan_tensors *tensors, int tensor) {
    const tilefold_vulkan_range *ranges[TILEFOLD_TENSORS] = {
        [TILEFOLD_INPUT] = &tensors->input,
        [TILEFOLD_WEIGHT] = &tensors->weight,
        [TILEFOLD_BIAS] = &tensors->bias,
        [TILEFOLD_OUTPUT] = &tensors->output,
    };
    return ranges[tensor];
}

static int64_t element_bytes(const tilefold_vulkan_binding *b, int tensor) {
    const tilefold_problem *problem = &b->plan->problem;
    return (int64_t)tilefold_type_bytes(tensor == TILEFOLD_BIAS ? problem->bias_type : problem->type);
}

static bool has_tensor(const tilefold_vulkan_binding *b, int tensor) {
    return tensor != TILEFOLD_BIAS || b->plan->problem.bias_type != TILEFOLD_NONE;
}

/* The bytes of the caller's buffer that the window touches. */
static tilefold_vulkan_bound touched(const tilefold_vulkan_binding *b, int tensor,
                                     const tilefold_vulkan_window *window) {
    const tilefold_vulkan_range *range = range_of(&b->tensors, tensor);
    int64_t bytes = element_bytes(b, tensor), zero = (int64_t)range->offset / bytes + window->at;
    int64_t begin = (zero + window->low) * bytes, end = tilefold_round_up((zero + window->high + 1) * bytes, 4);
    return (tilefold_vulkan_bound){range->buffer, begin, end - begin};
}

/* Where the window's element 0 lies in what is bound. */
static void place(const tilefold_vulkan_binding *b, int tensor, const tilefold_vulkan_bound *bound,
                  tilefold_vulkan_window *window) {
    int64_t bytes = element_bytes(b, tensor);
    window->first = (int64_t)range_of(&b->tensors, tensor)->offset / bytes + window->at - bound->offset / bytes;
}

/* The window must lie within the buffer, as far as the caller says how much there is of it. */
static tilefold_status check_window(const tilefold_vulkan_binding *b, int tensor, const tilefold_vulkan_window *window,
                                    tilefold_message *message) {
    const tilefold_vulkan_range *range = range_of(&b->tensors, tensor);
    int64_t bytes = element_bytes(b, tensor), zero = (int64_t)range->offset + window->at * bytes;
    int64_t begin = zero + window->low * bytes, end = zero + (window->high + 1) * bytes;
    if (begin < 0)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "a tensor's strides reach %lld bytes before its buffer", (long long)-begin);
    if (range->end > 0 && (VkDeviceSize)end > range->end)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "a tensor's strides lead to byte %lld of its buffer, whose range ends at %llu",
                             (long long)end, (unsigned long long)range->end);
    return TILEFOLD_OK;
}

/* What to bind for a chunk's tensors, and where they lie in it. */
static tilefold_status place_chunk(const tilefold_vulkan_binding *b, tilefold_vulkan_chunk *chunk,
                                   tilefold_vulkan_bound bound[TILEFOLD_TENSORS], tilefold_message *message) {
    int64_t alignment = context_of(b)->traits.offset_alignment;
    for (int tensor = 0; tensor < TILEFOLD_TENSORS; tensor++) {
        bound[tensor] = (tilefold_vulkan_bound){0};
        if (!has_tensor(b, tensor)) continue;
        tilefold_status status = check_window(b, tensor, &chunk->window[tensor], message);
        if (status) return status;
        tilefold_vulkan_bound bytes = touched(b, tensor, &chunk->window[tensor]);
        bound[tensor] = bytes;
        bound[tensor].offset = bytes.offset / alignment * alignment;
        bound[tensor].bytes += bytes.offset - bound[tensor].offset;
        place(b, tensor, &bound[tensor], &chunk->window[tensor]);
    }
    return TILEFOLD_OK;
}

/* --------------------------------------------------------------------------------------------------------- jobs ---- */

typedef struct job_writer {
    const tilefold_vulkan_chunk *chunk;
    tilefold_vulkan_job *next;
} job_writer;

static tilefold_status write_job(void *user, const int64_t parts[TILEFOLD_AXES]) {
    job_writer *writer = user;
    tilefold_vulkan_make_job(writer->chunk, parts, writer->next++);
    return TILEFOLD_OK;
}

static tilefold_vulkan_chunking chunking_of(const tilefold_vulkan_binding *b) {
    return ((const tilefold_vulkan_plan *)b->plan->state)->chunking;
}

static tilefold_status bind_chunks(tilefold_vulkan_binding *b, tilefold_message *message) {
    tilefold_vulkan_context *context = context_of(b);
    const tilefold_vulkan_plan *p = b->plan->state;
    tilefold_vulkan_bound scratch = {.bytes = scratch_bytes(p)};
    if (scratch.bytes > 0)
        scratch.buffer = b->tensors.scratch.buffer, scratch.offset = (int64_t)b->tensors.scratch.offset;
    const tilefold_vulkan_chunking chunking = chunking_of(b);
    job_writer writer = {.next = b->jobs.mapped};
    for (int64_t number = 0; number < b->chunks; number++) {
        tilefold_vulkan_chunk chunk;
        tilefold_vulkan_get_chunk(&b->plan->geometry, &chunking, number, &chunk);
        tilefold_status status = place_chunk(b, &chunk, b->bound, message);
        if (status) return status;
        VkResult result = tilefold_vulkan_create_sets(context, b->pool, b->bound, &scratch, b->jobs.buffer, p,
                                                      &b->sets[number]);
        if (result != VK_SUCCESS) return tilefold_vulkan_fail(message, result, "making descriptor sets");
        writer.chunk = &chunk;
        tilefold_vulkan_for_each_part(&chunk.geometry, write_job, &writer);
    }
    return TILEFOLD_OK;
}

/* --------------------------------------------------------------------------------------------------------- bind ---- */

static tilefold_status check_tensors(const tilefold_vulkan_binding *b, tilefold_message *message) {
    static const char *const names[] = {"input", "weight", "bias", "output"};
    const tilefold_vulkan_range *scratch = &b->tensors.scratch;
    int64_t alignment = context_of(b)->traits.offset_alignment, needed = scratch_bytes(b->plan->state);
    for (int tensor = 0; tensor < TILEFOLD_TENSORS; tensor++) {
        const tilefold_vulkan_range *range = range_of(&b->tensors, tensor);
        if (!has_tensor(b, tensor) && range->buffer)
            return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                                 "there is a buffer for a bias, but the problem's bias_type is none");
        if (!has_tensor(b, tensor)) continue;
        if (!range->buffer || range->offset % (VkDeviceSize)element_bytes(b, tensor) || range->offset > INT64_MAX / 2)
            return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                                 "the %s has no buffer, or its offset of %llu is no multiple of its element's %lld",
                                 names[tensor], (unsigned long long)range->offset, (long long)element_bytes(b, tensor));
    }
    if (needed > 0 && (!scratch->buffer || scratch->offset % (VkDeviceSize)alignment))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "the %lld bytes of scratch have no buffer, or their offset of %llu is no multiple of %lld",
                             (long long)needed, (unsigned long long)scratch->offset, (long long)alignment);
    if (needed > 0 && scratch->end > 0 && scratch->offset + (VkDeviceSize)needed > scratch->end)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "the %lld bytes of scratch from byte %llu on do not end by %llu, as their range does",
                             (long long)needed, (unsigned long long)scratch->offset, (unsigned long long)scratch->end);
    return TILEFOLD_OK;
}

static tilefold_status fill_binding(tilefold_vulkan_binding *b, tilefold_message *message) {
    tilefold_vulkan_context *context = context_of(b);
    const tilefold_vulkan_plan *p = b->plan->state;
    tilefold_status status = check_tensors(b, message);
    if (status || b->chunks == 0) return status;
    status = tilefold_vulkan_create_buffer(context, p->scratch.jobs * TILEFOLD_JOB_BYTES,
                                           VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT, true, &b->jobs, message);
    if (status) return status;
    VkResult result = tilefold_vulkan_create_pool(context, b->chunks, &b->pool);
    if (result != VK_SUCCESS) return tilefold_vulkan_fail(message, result, "making a descriptor pool");
    return bind_chunks(b, message);
}

tilefold_status tilefold_vulkan_bind(const tilefold_plan *plan, const tilefold_vulkan_tensors *tensors,
                                     tilefold_vulkan_binding **binding, tilefold_message *message) {
    tilefold_status status = check_bindable(plan, message);
    if (status) return status;
    tilefold_vulkan_tensors full;
    status = tilefold_vulkan_read_tensors(tensors, &full, message);
    if (status) return status;
    const tilefold_allocator *allocator = &plan->context->allocator;
    const tilefold_vulkan_plan *p = plan->state;
    int64_t chunks = tilefold_vulkan_chunk_count(&plan->geometry, &p->chunking);
    size_t bytes = tilefold_vulkan_binding_bytes(chunks);
    tilefold_vulkan_binding *b = allocator->allocate(allocator->user, bytes, 64);
    if (!b) return tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY, "no memory for a binding of %zu bytes", bytes);
    memset(b, 0, bytes);
    b->plan = (tilefold_plan *)(uintptr_t)plan;
    tilefold_plan_hold(b->plan);
    b->tensors = full;
    b->bytes = bytes;
    b->chunks = chunks;
    status = fill_binding(b, message);
    if (status)
        tilefold_vulkan_binding_destroy(b);
    else
        *binding = b;
    return status;
}

void tilefold_vulkan_binding_destroy(tilefold_vulkan_binding *b) {
    if (!b) return;
    tilefold_vulkan_context *context = context_of(b);
    const tilefold_allocator *allocator = &b->plan->context->allocator;
    tilefold_plan *plan = b->plan;
    context->vk.DestroyCommandPool(context->device, b->command_pool, NULL);
    context->vk.DestroyDescriptorPool(context->device, b->pool, NULL);
    tilefold_vulkan_destroy_buffer(context, &b->jobs);
    allocator->release(allocator->user, b, b->bytes);
    tilefold_plan_destroy(plan);
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

typedef struct recording {
    tilefold_vulkan_recorder recorder;
    const tilefold_geometry *geometry; /* of the chunk */
    uint32_t next_job;
} recording;

/* As many steps as the part takes in this or any smaller problem. */
static tilefold_status record_part(void *user, const int64_t parts[TILEFOLD_AXES]) {
    recording *r = user;
    const tilefold_geometry *g = r->geometry;
    int64_t positions = g->batch, columns = g->out_channels, depth = g->in_channels;
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        tilefold_axis_part part = tilefold_axis_get_largest_part(&g->axis[at], parts[at]);
        positions *= part.count;
        columns *= part.folds;
        depth *= part.taps;
    }
    r->recorder.job_at = r->next_job;
    r->next_job += TILEFOLD_JOB_BYTES;
    tilefold_vulkan_extent extent = tilefold_vulkan_get_extent(r->recorder.plan, positions, columns, g->groups, depth);
    return tilefold_vulkan_record_job(&r->recorder, &extent);
}

static tilefold_status record(const tilefold_vulkan_binding *b, const tilefold_vulkan_recorder *recorder) {
    const tilefold_vulkan_chunking chunking = chunking_of(b);
    recording r = {.recorder = *recorder};
    tilefold_status status = TILEFOLD_OK;
    tilefold_vulkan_wait_for_all(&recorder->context->vk, recorder->commands);
    for (int64_t number = 0; !status && number < b->chunks; number++) {
        tilefold_vulkan_chunk chunk;
        tilefold_vulkan_get_chunk(&b->plan->geometry, &chunking, number, &chunk);
        r.geometry = &chunk.geometry;
        r.recorder.sets = b->sets[number];
        r.recorder.first = chunk.first, r.recorder.last = chunk.last;
        status = tilefold_vulkan_for_each_part(&chunk.geometry, record_part, &r);
    }
    return status;
}

tilefold_status tilefold_vulkan_record(const tilefold_vulkan_binding *b, VkCommandBuffer commands,
                                       tilefold_message *message) {
    if (!commands) return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "there is no command buffer");
    tilefold_vulkan_recorder recorder = {.context = context_of(b), .plan = b->plan->state, .commands = commands};
    return record(b, &recorder);
}

/* ------------------------------------------------------------------------------------------------------- resize ---- */

static bool reads_nothing(const tilefold_geometry *g) {
    for (int at = 0; at < TILEFOLD_AXES; at++)
        if (g->axis[at].input == 0) return true;
    return false;
}

/* The smaller problem's chunk, laid over what is bound. What is bound begins before the plan's elements do, and is not to be
 * touched there. */
static tilefold_status fit_chunk(const tilefold_vulkan_binding *b, tilefold_vulkan_chunk *chunk,
                                 tilefold_message *message) {
    const tilefold_vulkan_chunking chunking = chunking_of(b);
    tilefold_vulkan_chunk planned;
    tilefold_vulkan_get_chunk(&b->plan->geometry, &chunking, 0, &planned);
    if (reads_nothing(&chunk->geometry)) chunk->window[TILEFOLD_INPUT] = planned.window[TILEFOLD_INPUT];
    for (int tensor = 0; tensor < TILEFOLD_TENSORS; tensor++) {
        if (!has_tensor(b, tensor)) continue;
        tilefold_vulkan_bound bytes = touched(b, tensor, &chunk->window[tensor]),
                              most = touched(b, tensor, &planned.window[tensor]);
        if (bytes.offset < most.offset || bytes.offset + bytes.bytes > most.offset + most.bytes)
            return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                                 "a tensor's elements reach outside those of the problem that was bound");
        place(b, tensor, &b->bound[tensor], &chunk->window[tensor]);
    }
    return TILEFOLD_OK;
}

tilefold_status tilefold_vulkan_resize(tilefold_vulkan_binding *b, const tilefold_problem *problem,
                                       tilefold_message *message) {
    tilefold_geometry geometry;
    tilefold_status status = tilefold_resize_geometry(b->plan, problem, &geometry, message);
    if (status || b->chunks == 0) return status;
    if (b->chunks > 1)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED,
                             "the plan's tensors are bound in %lld windows: a smaller problem wants a plan of its own",
                             (long long)b->chunks);
    tilefold_vulkan_job *jobs = b->jobs.mapped;
    if (geometry.batch == 0) {
        memset(jobs, 0, (size_t)b->jobs.bytes);
        return TILEFOLD_OK;
    }
    tilefold_vulkan_chunk chunk;
    const tilefold_vulkan_chunking planned = chunking_of(b), chunking = tilefold_vulkan_fit_chunks(&geometry, &planned);
    tilefold_vulkan_get_chunk(&geometry, &chunking, 0, &chunk);
    status = fit_chunk(b, &chunk, message);
    job_writer writer = {&chunk, jobs};
    return status ? status : tilefold_vulkan_for_each_part(&b->plan->geometry, write_job, &writer);
}

/* ---------------------------------------------------------------------------------------------------------- run ---- */

/* A run on the context's queue: submissions, each of as much work as one should have. */
typedef struct queue_run {
    tilefold_vulkan_binding *binding;
    tilefold_message *message;
    int64_t macs; /* of the submission being recorded */
    int submissions;
    double seconds;
} queue_run;

static VkResult make_commands(tilefold_vulkan_binding *b) {
    tilefold_vulkan_context *context = context_of(b);
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = context->queue_family};
    VkResult result = VK_SUCCESS;
    if (!b->command_pool) result = context->vk.CreateCommandPool(context->device, &pool, NULL, &b->command_pool);
    VkCommandBufferAllocateInfo buffer = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                          .commandPool = b->command_pool,
                                          .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                          .commandBufferCount = 1};
    if (result == VK_SUCCESS && !b->commands)
        result = context->vk.AllocateCommandBuffers(context->device, &buffer, &b->commands);
    return result;
}

static VkResult begin_submission(queue_run *run) {
    tilefold_vulkan_binding *b = run->binding;
    const tilefold_vulkan_context *context = context_of(b);
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    b->recorded = false;
    VkResult result = context->vk.ResetCommandPool(context->device, b->command_pool, 0);
    if (result == VK_SUCCESS) result = context->vk.BeginCommandBuffer(b->commands, &begin);
    if (result == VK_SUCCESS) tilefold_vulkan_begin_time(context, b->commands);
    run->macs = 0;
    return result;
}

static VkResult end_submission(const queue_run *run) {
    const tilefold_vulkan_context *context = context_of(run->binding);
    tilefold_vulkan_show_to_host(&context->vk, run->binding->commands);
    tilefold_vulkan_end_time(context, run->binding->commands);
    return context->vk.EndCommandBuffer(run->binding->commands);
}

static VkResult submit(queue_run *run) {
    tilefold_vulkan_context *context = context_of(run->binding);
    double seconds = 0;
    int64_t began = tilefold_nanoseconds_now();
    VkResult result = tilefold_vulkan_submit(context, run->binding->commands);
    if (result == VK_SUCCESS) tilefold_vulkan_learn_pace(context, run->macs, tilefold_nanoseconds_now() - began);
    if (result == VK_SUCCESS) result = tilefold_vulkan_get_time(context, &seconds);
    run->seconds += seconds;
    run->submissions++;
    return result;
}

static tilefold_status fail_run(const queue_run *run, VkResult result) {
    return result == VK_SUCCESS ? TILEFOLD_OK : tilefold_vulkan_fail(run->message, result, "running a binding");
}

/* Submits what is there, where that is enough, and goes on in a new command buffer. */
static tilefold_status before_step(void *user, tilefold_vulkan_recorder *recorder, int64_t macs) {
    queue_run *run = user;
    VkResult result = VK_SUCCESS;
    if (run->macs > 0 && macs > recorder->context->submission_macs - run->macs) {
        result = end_submission(run);
        if (result == VK_SUCCESS) result = submit(run);
        if (result == VK_SUCCESS) result = begin_submission(run);
        if (result == VK_SUCCESS) tilefold_vulkan_wait_for_all(&recorder->context->vk, recorder->commands);
    }
    run->macs = tilefold_saturating_add(run->macs, macs);
    return fail_run(run, result);
}

/* Records, and submits all but the last submission. */
static tilefold_status record_run(queue_run *run) {
    tilefold_vulkan_binding *b = run->binding;
    VkResult result = make_commands(b);
    if (result == VK_SUCCESS) result = begin_submission(run);
    if (result != VK_SUCCESS) return fail_run(run, result);
    tilefold_vulkan_recorder recorder = {.context = context_of(b),
                                         .plan = b->plan->state,
                                         .commands = b->commands,
                                         .before_step = before_step,
                                         .user = run};
    tilefold_status status = record(b, &recorder);
    if (!status) status = fail_run(run, end_submission(run));
    b->recorded = !status && run->submissions == 0;
    return status;
}

tilefold_status tilefold_vulkan_run(tilefold_vulkan_binding *b, double *device_seconds, tilefold_message *message) {
    tilefold_vulkan_context *context = context_of(b);
    if (!context->queue)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "the context has no queue: bindings can only be recorded");
    queue_run run = {.binding = b, .message = message};
    tilefold_mutex_lock(&context->queue_lock);
    tilefold_status status = b->recorded ? TILEFOLD_OK : record_run(&run);
    if (!status) status = fail_run(&run, submit(&run));
    tilefold_mutex_unlock(&context->queue_lock);
    if (!status && device_seconds) *device_seconds = run.seconds;
    return status;
}
