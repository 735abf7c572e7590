/* Deciding how to compute a problem, and allocating what that takes on the device.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../message.h"
#include "vulkan.h"

#include <stdio.h>

/* --------------------------------------------------------------------------------------------------- allocation ---- */

static tilefold_status create_buffers(tilefold_vulkan_context *context, tilefold_vulkan_plan *p,
                                      tilefold_message *message) {
    const VkBufferUsageFlags storage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, from = VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
                             to = VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    bool host = context->traits.host_tensors;
    const int64_t *bytes = p->sizes.bytes;
    const struct {
        tilefold_vulkan_buffer *buffer;
        int64_t bytes;
        VkBufferUsageFlags usage;
        bool for_host;
    } wanted[] = {
        {&p->tensors[TILEFOLD_INPUT], bytes[TILEFOLD_INPUT], storage | to, host},
        {&p->tensors[TILEFOLD_WEIGHT], bytes[TILEFOLD_WEIGHT], storage | to, host},
        {&p->tensors[TILEFOLD_BIAS], bytes[TILEFOLD_BIAS], storage | to, host},
        {&p->tensors[TILEFOLD_OUTPUT], bytes[TILEFOLD_OUTPUT], storage | from, host},
        {&p->device_scratch, p->scratch.unfolded_bytes + p->scratch.partial_bytes, storage, false},
        {&p->jobs, p->scratch.jobs * TILEFOLD_JOB_BYTES, VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT, true},
        {&p->staging, p->scratch.staging_bytes, from | to, true},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (wanted[i].bytes == 0) continue;
        tilefold_status status = tilefold_vulkan_create_buffer(context, wanted[i].bytes, wanted[i].usage,
                                                               wanted[i].for_host, wanted[i].buffer, message);
        if (status) return status;
    }
    return TILEFOLD_OK;
}

static tilefold_vulkan_bound whole(const tilefold_vulkan_buffer *buffer) {
    return (tilefold_vulkan_bound){buffer->buffer, 0, buffer->bytes};
}

static VkResult create_sets(tilefold_vulkan_context *context, tilefold_vulkan_plan *p) {
    VkResult result = tilefold_vulkan_create_pool(context, 1, &p->pool);
    if (result != VK_SUCCESS) return result;
    tilefold_vulkan_bound tensors[TILEFOLD_TENSORS], scratch = whole(&p->device_scratch);
    for (int i = 0; i < TILEFOLD_TENSORS; i++) tensors[i] = whole(&p->tensors[i]);
    return tilefold_vulkan_create_sets(context, p->pool, tensors, &scratch, p->jobs.buffer, p, &p->sets);
}

static tilefold_status get_pipelines(tilefold_vulkan_context *context, tilefold_vulkan_plan *p,
                                     tilefold_message *message) {
    static const tilefold_vulkan_shader unfolded[] = {[TILEFOLD_STORAGE_BUFFER] = TILEFOLD_VULKAN_UNFOLDED,
                                                      [TILEFOLD_STORAGE_TEXTURE2D] = TILEFOLD_VULKAN_UNFOLDED_2D,
                                                      [TILEFOLD_STORAGE_TEXTURE3D] = TILEFOLD_VULKAN_UNFOLDED_3D};
    static const tilefold_vulkan_shader unfolds[] = {[TILEFOLD_STORAGE_BUFFER] = TILEFOLD_VULKAN_UNFOLD,
                                                     [TILEFOLD_STORAGE_TEXTURE2D] = TILEFOLD_VULKAN_UNFOLD_2D,
                                                     [TILEFOLD_STORAGE_TEXTURE3D] = TILEFOLD_VULKAN_UNFOLD_3D};
    tilefold_storage storage = p->scratch.image_size.storage;
    const tilefold_vulkan_shader shaders[][2] = {[TILEFOLD_ALGORITHM_UNFOLD] = {unfolded[storage],
                                                                                TILEFOLD_VULKAN_BROADCAST_UNFOLDED},
                                                 [TILEFOLD_ALGORITHM_IMPLICIT] = {TILEFOLD_VULKAN_IMPLICIT,
                                                                                  TILEFOLD_VULKAN_BROADCAST_IMPLICIT},
                                                 [TILEFOLD_ALGORITHM_DIRECT] = {TILEFOLD_VULKAN_DIRECT}};
    tilefold_vulkan_shader shader = shaders[p->algorithm][p->constants.lanes > 0];
    tilefold_status status = tilefold_vulkan_get_pipeline(context, shader, &p->constants, &p->product, message);
    if (status || p->algorithm != TILEFOLD_ALGORITHM_UNFOLD) return status;
    tilefold_vulkan_constants unfold = {.type = p->constants.type};
    return tilefold_vulkan_get_pipeline(context, unfolds[storage], &unfold, &p->unfold, message);
}

static tilefold_status allocate(tilefold_plan *plan, tilefold_message *message) {
    tilefold_vulkan_context *context = plan->context->state;
    tilefold_vulkan_plan *p = plan->state;
    tilefold_checked_mutex_open(&p->running);
    tilefold_status status = get_pipelines(context, p, message);
    if (!status && p->scratch.image_bytes)
        status = tilefold_vulkan_create_image(context, &p->scratch.image_size, &p->image, message);
    if (!status && !plan->options.bind_buffers) {
        status = create_buffers(context, p, message);
        VkResult result = status ? VK_SUCCESS : create_sets(context, p);
        if (result != VK_SUCCESS) status = tilefold_vulkan_fail(message, result, "making the descriptor sets");
    }
    if (status) tilefold_vulkan_release_plan(plan);
    return status;
}

void tilefold_vulkan_release_plan(tilefold_plan *plan) {
    tilefold_vulkan_context *context = plan->context->state;
    tilefold_vulkan_plan *p = plan->state;
    context->vk.DestroyDescriptorPool(context->device, p->pool, NULL);
    for (int i = 0; i < TILEFOLD_TENSORS; i++) tilefold_vulkan_destroy_buffer(context, &p->tensors[i]);
    tilefold_vulkan_destroy_buffer(context, &p->device_scratch);
    tilefold_vulkan_destroy_buffer(context, &p->jobs);
    tilefold_vulkan_destroy_buffer(context, &p->staging);
    tilefold_vulkan_destroy_image(context, &p->image);
    tilefold_checked_mutex_close(&p->running);
}

/* --------------------------------------------------------------------------------------------------------- plan ---- */

static tilefold_vulkan_sizes round_sizes(tilefold_vulkan_sizes sizes) {
    for (int i = 0; i < TILEFOLD_TENSORS; i++)
        if (i != TILEFOLD_BIAS || sizes.bytes[i] > 0)
            sizes.bytes[i] = tilefold_round_up(tilefold_max(16, sizes.bytes[i]), 4);
    return sizes;
}

/* Of the object that binds the plan to the caller's buffers, which counts as scratch. */
static int64_t binding_bytes(const tilefold_plan *plan, const tilefold_vulkan_plan *p) {
    if (!p->chunking.in_place) return 0;
    return (int64_t)tilefold_vulkan_binding_bytes(tilefold_vulkan_chunk_count(&plan->geometry, &p->chunking));
}

/* In host memory, in the order that the device wants, so that bringing them there is one plain copy. There the device's limit
 * does not hold, but the caller's does. */
static int64_t packed_bytes(const tilefold_plan *plan) {
    tilefold_geometry packed = plan->geometry;
    tilefold_vulkan_box box = tilefold_vulkan_pack_geometry(&packed);
    if (!plan->options.prepack_weights || plan->options.bind_buffers) return 0;
    int64_t bytes = tilefold_vulkan_box_elements(&box) * tilefold_vulkan_dense_bytes(&box);
    int64_t most = plan->options.max_buffer_bytes;
    return most == 0 || bytes <= most ? bytes : 0;
}

static void fill_info(tilefold_plan *plan, const tilefold_vulkan_plan *p, const tilefold_vulkan_plan *ideal,
                      int64_t least) {
    tilefold_plan_info *info = &plan->info;
    info->algorithm = p->algorithm;
    int64_t binding = binding_bytes(plan, p);
    info->scratch_bytes = tilefold_vulkan_scratch_bytes(&p->scratch) + binding;
    info->min_scratch_bytes = least + binding + plan->own_bytes;
    info->ideal_scratch_bytes = tilefold_vulkan_scratch_bytes(&ideal->scratch) + binding + plan->own_bytes;
    info->packed_weight_bytes = packed_bytes(plan);
    info->tiles = tilefold_vulkan_count_steps(p, &plan->geometry, &p->chunking);
}

/* The traits that hold for this plan. */
static tilefold_vulkan_traits plan_traits(const tilefold_plan *plan) {
    const tilefold_vulkan_context *context = plan->context->state;
    tilefold_vulkan_traits traits = context->traits;
    if (plan->options.max_buffer_bytes)
        traits.max_binding_bytes = tilefold_min(traits.max_binding_bytes, plan->options.max_buffer_bytes);
    traits.max_binding_bytes = traits.max_binding_bytes / 16 * 16;
    return traits;
}

static tilefold_status check_storage(const tilefold_plan_options *options, tilefold_message *message) {
    bool unfolds = options->algorithm == TILEFOLD_ALGORITHM_AUTO || options->algorithm == TILEFOLD_ALGORITHM_UNFOLD;
    if (options->storage == TILEFOLD_STORAGE_BUFFER || unfolds) return TILEFOLD_OK;
    return tilefold_fail(message, TILEFOLD_UNSUPPORTED,
                         "algorithm '%s' unfolds nothing that a texture could hold: only 'unfold' does",
                         tilefold_algorithm_name(options->algorithm));
}

/* Why nothing could be decided. `least` is a limit. */
static tilefold_status refuse(const tilefold_plan *plan, const tilefold_vulkan_traits *traits, int64_t least,
                              VkResult asked, tilefold_message *message) {
    if (asked != VK_SUCCESS) return tilefold_vulkan_fail(message, asked, "asking how large an image is");
    if (least == INT64_MAX || least <= plan->options.scratch_limit_bytes)
        return tilefold_fail(
            message, TILEFOLD_LIMIT_TOO_SMALL,
            "the smallest tile of this problem or its constants need a larger buffer than the limit of %lld bytes",
            (long long)traits->max_binding_bytes);
    return tilefold_fail(message, TILEFOLD_LIMIT_TOO_SMALL,
                         "the scratch limit of %lld bytes is below the %lld bytes that this problem needs",
                         (long long)plan->options.scratch_limit_bytes, (long long)least);
}

tilefold_status tilefold_vulkan_plan_problem(tilefold_plan *plan, tilefold_message *message) {
    tilefold_status status = check_storage(&plan->options, message);
    if (status) return status;
    bool in_place = plan->options.bind_buffers;
    tilefold_vulkan_traits traits = plan_traits(plan);
    tilefold_vulkan_plan *p = plan->state, ideal;
    tilefold_vulkan_sizes most;
    /* What is bound in place begins at a multiple of the alignment, before the tensor does. */
    for (int i = 0; i < TILEFOLD_TENSORS; i++)
        most.bytes[i] = traits.max_binding_bytes - (in_place ? traits.offset_alignment : 0);
    if (tilefold_geometry_can_fold(&plan->geometry)) tilefold_geometry_fold(&plan->geometry);
    status = tilefold_vulkan_choose_chunks(&plan->geometry, in_place, &most, &p->chunking, message);
    if (status) return status;

    VkResult asked = VK_SUCCESS;
    tilefold_geometry bound = plan->geometry;
    if (p->chunking.widened) bound.type = TILEFOLD_F32;
    tilefold_vulkan_shape s = tilefold_vulkan_get_shape(&bound, &traits, in_place);
    s.storage = plan->options.storage;
    s.context = plan->context->state;
    s.asked = &asked;
    p->sizes = round_sizes(tilefold_vulkan_chunk_sizes(&plan->geometry, &p->chunking));
    p->algorithm = tilefold_vulkan_choose_algorithm(&s, plan->options.algorithm);
    ideal = *p;
    int64_t least = tilefold_vulkan_least_scratch(&s, p);
    bool enough = tilefold_vulkan_decide(&s, INT64_MAX / 2, &ideal);
    *p = ideal;
    int64_t budget = plan->scratch_limit_bytes - binding_bytes(plan, p);
    if (tilefold_vulkan_scratch_bytes(&p->scratch) > budget || !enough)
        enough = budget >= least && tilefold_vulkan_decide(&s, budget, p);
    if (!enough || asked != VK_SUCCESS)
        return refuse(plan, &traits, tilefold_saturating_add(least, binding_bytes(plan, p) + plan->own_bytes), asked,
                      message);
    fill_info(plan, p, &ideal, least);
    return allocate(plan, message);
}

static const char *describe_tensors(const tilefold_vulkan_plan *p) {
    if (p->chunking.in_place) return "bound in place";
    return p->scratch.staging_bytes ? "copied through staging" : "written in place";
}

static const char *describe_sums(const tilefold_plan *plan, const tilefold_vulkan_plan *p) {
    if (tilefold_vulkan_stretches(&plan->geometry, &p->chunking) > 1) return "cut between bindings";
    return p->cut ? "cut into blocks" : "whole";
}

/* A line about the image, if there is one. */
static const char *describe_image(const tilefold_vulkan_plan *p, char *line, size_t bytes) {
    const tilefold_vulkan_image_size *size = &p->scratch.image_size;
    snprintf(line, bytes, "  unfolded     into a texture%s of %lld x %lld x %lld texels, %lld bytes\n",
             size->storage == TILEFOLD_STORAGE_TEXTURE2D ? "2d" : "3d", (long long)size->width, (long long)size->height,
             (long long)size->depth, (long long)p->scratch.image_bytes);
    return size->storage == TILEFOLD_STORAGE_BUFFER ? "" : line;
}

size_t tilefold_vulkan_print(const tilefold_plan *plan, char *text, size_t bytes) {
    const tilefold_vulkan_context *context = plan->context->state;
    const tilefold_vulkan_plan *p = plan->state;
    const int64_t *sizes = p->sizes.bytes;
    char image[128];
    int written = snprintf(text, bytes,
                           "  algorithm    %s on Vulkan, %s%s\n"
                           "  step         %lld positions x %lld columns x %lld groups, sums %s\n%s"
                           "  device       %lld bytes of input, %lld of weights, %lld of output at a time; %s\n",
                           tilefold_algorithm_name(p->algorithm), context->name,
                           plan->geometry.folded ? ", phases folded into columns" : "", (long long)p->tiling.positions,
                           (long long)p->tiling.columns, (long long)p->tiling.groups, describe_sums(plan, p),
                           describe_image(p, image, sizeof image), (long long)sizes[TILEFOLD_INPUT],
                           (long long)sizes[TILEFOLD_WEIGHT], (long long)sizes[TILEFOLD_OUTPUT], describe_tensors(p));
    return written > 0 ? (size_t)written : 0;
}
