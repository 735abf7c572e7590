/* Recording jobs: their steps, as dispatches and barriers.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "vulkan.h"

/* Reading scratch before it is written again needs no less than this either. */
void tilefold_vulkan_wait_for_all(const tilefold_vulkan_functions *vk, VkCommandBuffer commands) {
    const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                                                VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    vk->CmdPipelineBarrier(commands, stages, stages, 0, 1, &barrier, 0, NULL, 0, NULL);
}

void tilefold_vulkan_show_to_host(const tilefold_vulkan_functions *vk, VkCommandBuffer commands) {
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    vk->CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                           VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
}

static void dispatch(const tilefold_vulkan_recorder *r, VkPipeline pipeline, VkDescriptorSet set,
                     const tilefold_vulkan_step *step, int64_t x, int64_t y, int64_t z) {
    const tilefold_vulkan_functions *vk = &r->context->vk;
    vk->CmdBindPipeline(r->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vk->CmdBindDescriptorSets(r->commands, VK_PIPELINE_BIND_POINT_COMPUTE, r->context->layout, 0, 1, &set, 1,
                              &r->job_at);
    vk->CmdPushConstants(r->commands, r->context->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof *step, step);
    vk->CmdDispatch(r->commands, (uint32_t)x, (uint32_t)y, (uint32_t)z);
    tilefold_vulkan_wait_for_all(vk, r->commands);
}

/* What a step that makes outputs or partial sums binds. An unfolded product has its scratch bound at all times. */
static VkDescriptorSet set_of(const tilefold_vulkan_recorder *r, const tilefold_vulkan_step *step) {
    bool first = step->flags & TILEFOLD_STEP_FIRST, last = step->flags & TILEFOLD_STEP_LAST;
    bool unfolds = r->plan->algorithm == TILEFOLD_ALGORITHM_UNFOLD;
    if (unfolds || (first && last) || r->plan->scratch.partial_bytes == 0) return r->sets.product;
    return last ? r->sets.from_scratch : r->sets.to_scratch;
}

static void record_product(const tilefold_vulkan_recorder *r, const tilefold_vulkan_step *step, int64_t groups) {
    const tilefold_vulkan_workgroup *workgroup = &r->plan->workgroup;
    dispatch(r, r->plan->product, set_of(r, step), step,
             tilefold_ceil_div(step->position_end - step->position_begin, workgroup->positions),
             tilefold_ceil_div(step->column_end - step->column_begin, workgroup->columns), groups);
}

/* Neighbouring invocations are neighbouring units of a position, or neighbouring positions of a unit. */
static void record_direct(const tilefold_vulkan_recorder *r, const tilefold_vulkan_step *step) {
    int64_t positions = step->position_end - step->position_begin;
    bool flat = r->plan->columns_first;
    dispatch(r, r->plan->product, set_of(r, step), step,
             tilefold_ceil_div(flat ? positions * step->units : positions, TILEFOLD_WORKGROUP), flat ? 1 : step->units,
             1);
}

/* An invocation stores a texel of four k, or a word of one or two positions: see shaders/unfolded.glsl. */
static void record_unfold(const tilefold_vulkan_recorder *r, const tilefold_vulkan_step *step, int64_t groups) {
    if (step->k_begin == step->k_end) return;
    bool texels = r->plan->scratch.image_size.storage != TILEFOLD_STORAGE_BUFFER;
    int64_t run = texels || r->plan->constants.type == TILEFOLD_F32 ? 1 : 2;
    dispatch(r, r->plan->unfold, r->sets.to_scratch, step, tilefold_ceil_div(step->pitch, run * TILEFOLD_WORKGROUP),
             tilefold_ceil_div(step->k_end - step->k_begin, texels ? 4 : 1), groups);
}

/* An image must be usable even where nothing is unfolded into it, for a sum of nothing. */
static void prepare_image(tilefold_vulkan_recorder *r) {
    if (r->plan->image.image && !r->image_there)
        tilefold_vulkan_discard_image(&r->context->vk, r->commands, &r->plan->image);
    r->image_there = true;
}

static int64_t step_macs(const tilefold_vulkan_plan *plan, const tilefold_vulkan_step *step, int64_t groups) {
    bool direct = plan->algorithm == TILEFOLD_ALGORITHM_DIRECT;
    int64_t columns = direct ? plan->constants.columns : step->column_end - step->column_begin;
    int64_t macs = tilefold_saturating_multiply(step->position_end - step->position_begin, columns);
    int64_t depth = tilefold_max(1, step->k_end - step->k_begin);
    return tilefold_saturating_multiply(macs, tilefold_saturating_multiply(groups, depth));
}

/* A step of a block of the sum. `fresh`: the scratch does not hold the block yet. */
static tilefold_status record_block(tilefold_vulkan_recorder *r, const tilefold_vulkan_step *step, int64_t groups,
                                    bool fresh) {
    const tilefold_vulkan_plan *plan = r->plan;
    tilefold_status status = r->before_step ? r->before_step(r->user, r, step_macs(plan, step, groups)) : TILEFOLD_OK;
    if (status) return status;
    prepare_image(r);
    if (plan->algorithm == TILEFOLD_ALGORITHM_UNFOLD && fresh) record_unfold(r, step, groups);
    if (plan->algorithm == TILEFOLD_ALGORITHM_DIRECT)
        record_direct(r, step);
    else
        record_product(r, step, groups);
    r->steps++;
    return TILEFOLD_OK;
}

/* Positions, groups and columns are set: the whole sum, a block at a time. `fresh`: the scratch does not hold the first yet. */
static tilefold_status record_blocks(tilefold_vulkan_recorder *r, tilefold_vulkan_step step, int64_t depth,
                                     int64_t groups, bool fresh) {
    const tilefold_vulkan_plan *plan = r->plan;
    step.pitch = (int32_t)tilefold_round_up(step.position_end - step.position_begin, 2);
    step.unfolded = (int32_t)(plan->scratch.partial_bytes / 4);
    step.width = (int32_t)plan->scratch.image_size.width;
    step.units = (int32_t)groups;
    int64_t k = 0;
    do {
        step.k_begin = (int32_t)k;
        k = tilefold_min(depth, k + plan->tiling.block_k);
        step.k_end = (int32_t)k;
        step.flags = (plan->columns_first ? TILEFOLD_STEP_COLUMNS_FIRST : 0) |
                     (r->first && step.k_begin == 0 ? TILEFOLD_STEP_FIRST : 0) |
                     (r->last && k == depth ? TILEFOLD_STEP_LAST : 0);
        tilefold_status status = record_block(r, &step, groups, fresh || step.k_begin > 0);
        if (status) return status;
    } while (k < depth);
    return TILEFOLD_OK;
}

tilefold_status tilefold_vulkan_record_job(tilefold_vulkan_recorder *r, const tilefold_vulkan_extent *all) {
    const tilefold_vulkan_tiling *t = &r->plan->tiling;
    for (int64_t group = 0; group < all->groups; group += t->groups)
        for (int64_t position = 0; position < all->positions; position += t->positions)
            for (int64_t column = 0; column < all->columns; column += t->columns) {
                tilefold_vulkan_step step = {.position_begin = (int32_t)position,
                                             .position_end = (int32_t)tilefold_min(all->positions,
                                                                                   position + t->positions),
                                             .column_begin = (int32_t)column,
                                             .column_end = (int32_t)tilefold_min(all->columns, column + t->columns),
                                             .group_begin = (int32_t)group};
                tilefold_status status = record_blocks(r, step, all->depth,
                                                       tilefold_min(t->groups, all->groups - group),
                                                       column == 0 || r->plan->cut);
                if (status) return status;
            }
    return TILEFOLD_OK;
}
