/* Choosing an algorithm and its steps under a scratch limit, and allocating what they need on the device.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "../message.h"
#include "vulkan.h"

#include <stdio.h>

/* What of a problem decides its plan. */
typedef struct shape {
    const tilefold_geometry *geometry;
    const tilefold_vulkan_limits *limits;
    int64_t positions, columns, depth; /* at most, of one part: images and folds counted in */
    int64_t parts;
    int64_t element_bytes;
} shape;

/* No driver should be held for longer than a fraction of a second by one step: so many multiply-adds. */
#define STEP_MACS (INT64_C(1) << 32)

/* An unfolded tile larger than this gains nothing: it is read back from memory, not from a cache. */
#define TILE_BYTES (INT64_C(8) << 20)

enum {
    MAX_JOBS = 64, /* in one submission */
    MIN_JOBS = 8,
    MIN_STAGING_BYTES = 16384,
    MAX_STAGING_BYTES = 4 << 20,
    MIN_BLOCK = 16,   /* of the sum */
    CUT_COLUMNS = 64, /* of a step, where its sum is cut and waits in the scratch */
    FEW_COLUMNS = 4   /* up to here there is nothing to share between columns */
};

static shape get_shape(const tilefold_plan *plan) {
    const tilefold_vulkan_context *context = plan->context->state;
    shape s = {.geometry = &plan->geometry,
               .limits = &context->limits,
               .positions = tilefold_max(1, plan->geometry.batch),
               .columns = plan->geometry.out_channels,
               .depth = plan->geometry.in_channels,
               .parts = 1,
               .element_bytes = (int64_t)tilefold_type_bytes(plan->geometry.type)};
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        tilefold_axis_kind kinds[TILEFOLD_MAX_KINDS], most = {0, 1, 1, 1};
        int used = tilefold_axis_get_kinds(&plan->geometry.axis[at], kinds);
        for (int i = 0; i < used; i++) {
            most.parts += kinds[i].parts;
            most.count = tilefold_max(most.count, kinds[i].count);
            most.folds = tilefold_max(most.folds, kinds[i].folds);
            most.taps = tilefold_max(most.taps, kinds[i].taps);
        }
        s.parts = tilefold_saturating_multiply(s.parts, most.parts);
        s.positions = tilefold_saturating_multiply(s.positions, most.count);
        s.columns = tilefold_saturating_multiply(s.columns, most.folds);
        s.depth = tilefold_saturating_multiply(s.depth, most.taps);
    }
    return s;
}

static int64_t round_down(int64_t value, int64_t granule) { return value / granule * granule; }

/* As many of something as keep a step below STEP_MACS, given the multiply-adds of one. */
static int64_t bounded(int64_t most, int64_t macs_of_one) {
    return tilefold_max(1, tilefold_min(most, STEP_MACS / tilefold_max(1, macs_of_one)));
}

/* --------------------------------------------------------------------------------------------------- algorithms ---- */

static tilefold_algorithm choose_algorithm(const shape *s, tilefold_algorithm wanted) {
    if (wanted != TILEFOLD_ALGORITHM_AUTO) return wanted;
    return s->columns <= FEW_COLUMNS ? TILEFOLD_ALGORITHM_DIRECT : TILEFOLD_ALGORITHM_IMPLICIT;
}

/* Columns of a workgroup are eight times these. Two widths: each is a shader more to compile. */
static int32_t product_width(int64_t columns) { return columns <= 2 * TILEFOLD_WORKGROUP_SIDE ? 2 : 8; }

static void choose_constants(const shape *s, tilefold_vulkan_plan *p) {
    const tilefold_geometry *g = s->geometry;
    bool direct = p->algorithm == TILEFOLD_ALGORITHM_DIRECT;
    p->columns_first = g->out_channel == 1 && g->out_channels > 1;
    if (direct && g->out_channels == 1) p->columns_first = g->out_group == 1 && g->groups > 1;
    p->constants = (tilefold_vulkan_constants){.type = g->type, .unfolded = p->algorithm == TILEFOLD_ALGORITHM_UNFOLD};
    p->constants.columns = direct ? (s->columns > 1 ? FEW_COLUMNS : 1) : product_width(s->columns);
}

static void tile_implicit(const shape *s, tilefold_vulkan_plan *p) {
    const int64_t *groups = s->limits->max_groups;
    int64_t most = tilefold_min(groups[0] * TILEFOLD_WORKGROUP, tilefold_round_up(s->positions, TILEFOLD_WORKGROUP));
    int64_t block_macs = tilefold_saturating_multiply(s->depth, s->columns);
    int64_t blocks = bounded(most / TILEFOLD_WORKGROUP, tilefold_saturating_multiply(block_macs, TILEFOLD_WORKGROUP));
    p->tiling.positions = blocks * TILEFOLD_WORKGROUP;
    p->tiling.columns = tilefold_min(s->columns, groups[1] * TILEFOLD_WORKGROUP_SIDE * p->constants.columns);
    p->tiling.groups = bounded(tilefold_min(s->geometry->groups, groups[1]),
                               tilefold_saturating_multiply(block_macs, p->tiling.positions));
    p->tiling.block_k = tilefold_max(1, s->depth);
}

static void tile_direct(const shape *s, tilefold_vulkan_plan *p) {
    const int64_t *groups = s->limits->max_groups;
    int64_t units = tilefold_saturating_multiply(s->geometry->groups,
                                                 tilefold_ceil_div(s->columns, p->constants.columns));
    int64_t first = groups[0] * TILEFOLD_WORKGROUP, second = groups[1];
    int64_t unit_macs = tilefold_saturating_multiply(s->depth, p->constants.columns);
    p->tiling.columns = 1;
    p->tiling.block_k = tilefold_max(1, s->depth);
    p->tiling.groups = tilefold_min(units, p->columns_first ? first : second);
    p->tiling.positions = bounded(tilefold_min(s->positions, p->columns_first ? second : first),
                                  tilefold_saturating_multiply(unit_macs, p->tiling.groups));
}

static bool partial_in_scratch(const shape *s) { return s->geometry->type != TILEFOLD_F32; }

/* Sizes of the scratch for the tiling; false where it passes the budget. */
static bool lay_out_unfold(const shape *s, int64_t budget, tilefold_vulkan_plan *p) {
    const tilefold_vulkan_tiling *t = &p->tiling;
    int64_t row = t->positions * s->element_bytes;
    p->cut = t->block_k < s->depth;
    p->scratch.unfolded_bytes = tilefold_saturating_multiply(row, tilefold_saturating_multiply(t->block_k, t->groups));
    p->scratch.partial_bytes = p->cut && partial_in_scratch(s)
                                   ? tilefold_saturating_multiply(t->positions * 4, t->columns)
                                   : 0;
    return tilefold_saturating_add(p->scratch.unfolded_bytes, p->scratch.partial_bytes) <= budget;
}

/* The least tile, and its bytes. */
static int64_t least_unfold(const shape *s, tilefold_vulkan_plan *p) {
    p->tiling = (tilefold_vulkan_tiling){TILEFOLD_WORKGROUP, tilefold_min(s->columns, CUT_COLUMNS), 1,
                                         tilefold_min(tilefold_max(1, s->depth),
                                                      tilefold_min(MIN_BLOCK, s->limits->max_groups[1]))};
    lay_out_unfold(s, INT64_MAX, p);
    return p->scratch.unfolded_bytes + p->scratch.partial_bytes;
}

/* The whole sum for as many positions as fit; else for 64 positions as much of the sum as fits. */
static bool tile_unfold(const shape *s, int64_t budget, tilefold_vulkan_plan *p) {
    const int64_t *most_groups = s->limits->max_groups;
    int64_t depth = tilefold_min(tilefold_max(1, s->depth), most_groups[1]);
    int64_t columns = tilefold_min(s->columns, most_groups[1] * TILEFOLD_WORKGROUP_SIDE * p->constants.columns);
    int64_t all = tilefold_min(most_groups[0] * TILEFOLD_WORKGROUP,
                               tilefold_round_up(s->positions, TILEFOLD_WORKGROUP));
    int64_t wanted = round_down(TILE_BYTES / s->element_bytes / depth, TILEFOLD_WORKGROUP);
    wanted = tilefold_min(wanted, STEP_MACS / tilefold_saturating_multiply(depth, columns) / 64 * 64);
    wanted = tilefold_max(TILEFOLD_WORKGROUP, tilefold_min(all, wanted));
    if (depth < s->depth && partial_in_scratch(s)) columns = tilefold_min(columns, CUT_COLUMNS);
    p->tiling = (tilefold_vulkan_tiling){wanted, columns, 1, depth};
    while (!lay_out_unfold(s, budget, p) && p->tiling.positions > TILEFOLD_WORKGROUP) {
        int64_t fits = round_down(budget / tilefold_max(1, depth * s->element_bytes), TILEFOLD_WORKGROUP);
        int64_t half = tilefold_round_up(p->tiling.positions / 2, TILEFOLD_WORKGROUP);
        p->tiling.positions = tilefold_max(TILEFOLD_WORKGROUP, fits < p->tiling.positions ? fits : half);
    }
    if (!lay_out_unfold(s, budget, p)) {
        int64_t partial = partial_in_scratch(s) ? TILEFOLD_WORKGROUP * 4 * tilefold_min(columns, CUT_COLUMNS) : 0;
        p->tiling.columns = partial_in_scratch(s) ? tilefold_min(columns, CUT_COLUMNS) : columns;
        p->tiling.block_k = (budget - partial) / (TILEFOLD_WORKGROUP * s->element_bytes);
        if (p->tiling.block_k > MIN_BLOCK) p->tiling.block_k = round_down(p->tiling.block_k, MIN_BLOCK);
        return p->tiling.block_k >= 1 && lay_out_unfold(s, budget, p);
    }
    if (p->cut || p->tiling.positions < all) return true;
    int64_t share = tilefold_min(budget, TILE_BYTES) / tilefold_max(1, p->scratch.unfolded_bytes);
    p->tiling.groups = tilefold_max(1, tilefold_min(share, tilefold_min(s->geometry->groups, most_groups[1])));
    return lay_out_unfold(s, budget, p);
}

/* ------------------------------------------------------------------------------------------------------ scratch ---- */

static int64_t scratch_bytes(const tilefold_vulkan_scratch *s) {
    return s->jobs * TILEFOLD_JOB_BYTES + s->staging_bytes + s->unfolded_bytes + s->partial_bytes;
}

static int64_t staging_bytes(const shape *s, const tilefold_vulkan_plan *p, int64_t budget) {
    if (s->limits->host_tensors) return 0;
    int64_t largest = tilefold_max(p->sizes.input, tilefold_max(p->sizes.weight, p->sizes.output));
    int64_t bytes = tilefold_min(round_down(budget / 4, 4096), tilefold_min(MAX_STAGING_BYTES, largest));
    return tilefold_round_up(tilefold_max(MIN_STAGING_BYTES, bytes), 16);
}

/* Decides everything within the budget, or as well as it can without one; false where it is too small. */
static bool decide(const shape *s, int64_t budget, tilefold_vulkan_plan *p) {
    p->scratch = (tilefold_vulkan_scratch){.jobs = tilefold_min(s->parts, budget < 1 << 20 ? MIN_JOBS : MAX_JOBS)};
    p->scratch.staging_bytes = staging_bytes(s, p, budget);
    choose_constants(s, p);
    int64_t left = budget - scratch_bytes(&p->scratch);
    if (left < 0) return false;
    if (p->algorithm == TILEFOLD_ALGORITHM_UNFOLD)
        return tile_unfold(s, tilefold_min(left, s->limits->max_binding_bytes), p);
    if (p->algorithm == TILEFOLD_ALGORITHM_DIRECT)
        tile_direct(s, p);
    else
        tile_implicit(s, p);
    return true;
}

static int64_t least_scratch(const shape *s, const tilefold_vulkan_plan *plan) {
    tilefold_vulkan_plan p = *plan;
    p.scratch = (tilefold_vulkan_scratch){.jobs = tilefold_min(s->parts, MIN_JOBS),
                                          .staging_bytes = staging_bytes(s, &p, 0)};
    choose_constants(s, &p);
    if (p.algorithm == TILEFOLD_ALGORITHM_UNFOLD) least_unfold(s, &p);
    return scratch_bytes(&p.scratch);
}

/* --------------------------------------------------------------------------------------------------- allocation ---- */

static tilefold_status create_buffers(tilefold_vulkan_context *context, tilefold_vulkan_plan *p,
                                      tilefold_message *message) {
    const VkBufferUsageFlags storage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, from = VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
                             to = VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    int64_t scratch = tilefold_max(16, p->scratch.unfolded_bytes + p->scratch.partial_bytes);
    bool host = context->limits.host_tensors;
    const struct {
        tilefold_vulkan_buffer *buffer;
        int64_t bytes;
        VkBufferUsageFlags usage;
        bool for_host;
    } wanted[] = {
        {&p->input, p->sizes.input, storage | to, host},
        {&p->weight, p->sizes.weight, storage | to, host},
        {&p->output, p->sizes.output, storage | from, host},
        {&p->device_scratch, scratch, storage, false},
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

static VkResult create_set(tilefold_vulkan_context *context, tilefold_vulkan_plan *p) {
    const VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, TILEFOLD_VULKAN_BINDINGS - 1},
                                          {VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC, 1}};
    VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = 1,
                                       .poolSizeCount = 2,
                                       .pPoolSizes = sizes};
    VkResult result = context->vk.CreateDescriptorPool(context->device, &pool, NULL, &p->pool);
    if (result != VK_SUCCESS) return result;
    VkDescriptorSetAllocateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                       .descriptorPool = p->pool,
                                       .descriptorSetCount = 1,
                                       .pSetLayouts = &context->set_layout};
    result = context->vk.AllocateDescriptorSets(context->device, &set, &p->set);
    if (result != VK_SUCCESS) return result;

    const tilefold_vulkan_buffer *buffers[TILEFOLD_VULKAN_BINDINGS] = {&p->input, &p->weight, &p->output,
                                                                       &p->device_scratch, &p->jobs};
    VkDescriptorBufferInfo infos[TILEFOLD_VULKAN_BINDINGS];
    VkWriteDescriptorSet writes[TILEFOLD_VULKAN_BINDINGS];
    for (uint32_t i = 0; i < TILEFOLD_VULKAN_BINDINGS; i++) {
        bool uniform = i + 1 == TILEFOLD_VULKAN_BINDINGS;
        infos[i] = (VkDescriptorBufferInfo){buffers[i]->buffer, 0,
                                            (VkDeviceSize)(uniform ? TILEFOLD_JOB_BYTES : buffers[i]->bytes)};
        writes[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                           .dstSet = p->set,
                                           .dstBinding = i,
                                           .descriptorCount = 1,
                                           .pBufferInfo = &infos[i],
                                           .descriptorType = uniform ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC
                                                                     : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER};
    }
    context->vk.UpdateDescriptorSets(context->device, TILEFOLD_VULKAN_BINDINGS, writes, 0, NULL);
    return VK_SUCCESS;
}

static tilefold_status get_pipelines(tilefold_vulkan_context *context, tilefold_vulkan_plan *p,
                                     tilefold_message *message) {
    bool direct = p->algorithm == TILEFOLD_ALGORITHM_DIRECT;
    tilefold_status status = tilefold_vulkan_get_pipeline(context,
                                                          direct ? TILEFOLD_VULKAN_DIRECT : TILEFOLD_VULKAN_PRODUCT,
                                                          &p->constants, &p->product, message);
    if (status || p->algorithm != TILEFOLD_ALGORITHM_UNFOLD) return status;
    tilefold_vulkan_constants unfold = {.type = p->constants.type};
    return tilefold_vulkan_get_pipeline(context, TILEFOLD_VULKAN_UNFOLD, &unfold, &p->unfold, message);
}

static tilefold_status allocate(tilefold_plan *plan, tilefold_message *message) {
    tilefold_vulkan_context *context = plan->context->state;
    tilefold_vulkan_plan *p = plan->state;
    tilefold_status status = create_buffers(context, p, message);
    if (!status) {
        VkResult result = create_set(context, p);
        if (result != VK_SUCCESS) status = tilefold_vulkan_fail(message, result, "making the descriptor set");
    }
    if (!status) status = get_pipelines(context, p, message);
    if (status) tilefold_vulkan_release_plan(plan);
    return status;
}

void tilefold_vulkan_release_plan(tilefold_plan *plan) {
    tilefold_vulkan_context *context = plan->context->state;
    tilefold_vulkan_plan *p = plan->state;
    tilefold_vulkan_buffer *buffers[] = {&p->input, &p->weight, &p->output, &p->device_scratch, &p->jobs, &p->staging};
    context->vk.DestroyDescriptorPool(context->device, p->pool, NULL);
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) tilefold_vulkan_destroy_buffer(context, buffers[i]);
}

/* --------------------------------------------------------------------------------------------------------- plan ---- */

static tilefold_vulkan_sizes round_sizes(tilefold_vulkan_sizes sizes) {
    return (tilefold_vulkan_sizes){tilefold_round_up(tilefold_max(16, sizes.input), 4),
                                   tilefold_round_up(tilefold_max(16, sizes.weight), 4),
                                   tilefold_round_up(tilefold_max(16, sizes.output), 4)};
}

static void fill_info(tilefold_plan *plan, const tilefold_vulkan_plan *p, const tilefold_vulkan_plan *ideal,
                      int64_t least, const tilefold_vulkan_chunking *chunking) {
    tilefold_plan_info *info = &plan->info;
    info->algorithm = p->algorithm;
    info->scratch_bytes = scratch_bytes(&p->scratch);
    info->min_scratch_bytes = least + plan->own_bytes;
    info->ideal_scratch_bytes = scratch_bytes(&ideal->scratch);
    info->tiles = tilefold_vulkan_count_steps(p, &plan->geometry, chunking);
}

tilefold_status tilefold_vulkan_plan_problem(tilefold_plan *plan, tilefold_message *message) {
    const tilefold_vulkan_context *context = plan->context->state;
    if (plan->options.storage != TILEFOLD_STORAGE_BUFFER)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED,
                             "scratch in textures is not there yet: only storage 'buffer'");
    tilefold_vulkan_limits limits = context->limits;
    if (plan->options.max_buffer_bytes)
        limits.max_binding_bytes = tilefold_min(limits.max_binding_bytes, plan->options.max_buffer_bytes);
    limits.max_binding_bytes = round_down(limits.max_binding_bytes, 16);
    tilefold_vulkan_sizes most = {limits.max_binding_bytes, limits.max_binding_bytes, limits.max_binding_bytes};
    tilefold_vulkan_chunking chunking;
    if (tilefold_geometry_can_fold(&plan->geometry)) tilefold_geometry_fold(&plan->geometry);
    tilefold_status status = tilefold_vulkan_choose_chunks(&plan->geometry, &most, &chunking, message);
    if (status) return status;

    shape s = get_shape(plan);
    s.limits = &limits;
    tilefold_vulkan_plan *p = plan->state, ideal;
    p->sizes = round_sizes(tilefold_vulkan_chunk_sizes(&plan->geometry, &chunking));
    p->algorithm = choose_algorithm(&s, plan->options.algorithm);
    ideal = *p;
    int64_t least = least_scratch(&s, p);
    bool enough = decide(&s, INT64_MAX / 2, &ideal);
    *p = ideal;
    if (scratch_bytes(&p->scratch) > plan->scratch_limit_bytes || !enough)
        enough = decide(&s, plan->scratch_limit_bytes, p);
    if (!enough)
        return tilefold_fail(message, TILEFOLD_LIMIT_TOO_SMALL,
                             "the scratch limit of %lld bytes is below the %lld bytes that this problem needs",
                             (long long)plan->options.scratch_limit_bytes, (long long)(least + plan->own_bytes));
    fill_info(plan, p, &ideal, least, &chunking);
    return allocate(plan, message);
}

size_t tilefold_vulkan_print(const tilefold_plan *plan, char *text, size_t bytes) {
    const tilefold_vulkan_context *context = plan->context->state;
    const tilefold_vulkan_plan *p = plan->state;
    int written = snprintf(text, bytes,
                           "  algorithm    %s on Vulkan, %s%s\n"
                           "  step         %lld positions x %lld columns x %lld groups, sums %s\n"
                           "  device       %lld bytes of input, %lld of weights, %lld of output at a time; %s\n",
                           tilefold_algorithm_name(p->algorithm), context->name,
                           plan->geometry.folded ? ", phases folded into columns" : "", (long long)p->tiling.positions,
                           (long long)p->tiling.columns, (long long)p->tiling.groups,
                           p->cut ? "cut into blocks" : "whole", (long long)p->sizes.input, (long long)p->sizes.weight,
                           (long long)p->sizes.output,
                           p->scratch.staging_bytes ? "copied through staging" : "written in place");
    return written > 0 ? (size_t)written : 0;
}
