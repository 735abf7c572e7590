/* The constants of a job, and how many steps it takes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "vulkan.h"

/* Axis 2, the innermost, is x in the shaders. */
static int component(int axis) { return TILEFOLD_AXES - 1 - axis; }

static void set_axis(tilefold_vulkan_job *job, const tilefold_geometry *g, int at, const tilefold_axis_part *part) {
    int i = component(at);
    job->count[i] = (int32_t)part->count;
    job->taps[i] = (int32_t)part->taps;
    job->folds[i] = (int32_t)part->folds;
    job->in_size[i] = (int32_t)g->axis[at].input;
    job->in_stride[i] = (int32_t)g->in_axis[at];
    job->out_step[i] = (int32_t)(part->out_step * g->out_axis[at]);
    job->out_fold[i] = (int32_t)(part->out_fold * g->out_axis[at]);
    job->weight_fold[i] = (int32_t)g->weight_axis[at];
    job->first[0] += (int32_t)((part->out_first + part->fold_begin * part->out_fold) * g->out_axis[at]);
    if (part->taps == 0) return; /* reads nothing */
    tilefold_axis_class class = tilefold_axis_get_class(&g->axis[at], part->class_index);
    job->in_first[i] = (int32_t)part->in_first;
    job->in_step[i] = (int32_t)part->in_step;
    job->in_tap[i] = (int32_t)part->in_tap;
    job->weight_tap[i] = (int32_t)(class.tap_step * g->weight_axis[at]);
    job->first[1] += (int32_t)((class.tap_first + part->fold_begin) * g->weight_axis[at]);
}

/* Steps that are never taken are 1 and stay out of trouble; class.tap_step of a single tap may be as large as a dilation. */
static void drop_idle_taps(tilefold_vulkan_job *job) {
    for (int i = 0; i < TILEFOLD_AXES; i++)
        if (job->taps[i] <= 1) job->weight_tap[i] = 0;
}

bool tilefold_vulkan_make_job(const tilefold_vulkan_chunk *chunk, const int64_t parts[TILEFOLD_AXES],
                              tilefold_vulkan_job *job) {
    const tilefold_geometry *g = &chunk->geometry;
    int64_t positions = g->batch, columns = g->out_channels, depth = g->in_channels;
    *job = (tilefold_vulkan_job){0};
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        if (parts[at] >= tilefold_axis_parts(&g->axis[at])) return false;
        tilefold_axis_part part = tilefold_axis_get_part(&g->axis[at], parts[at]);
        if (part.count == 0) return false;
        set_axis(job, g, at, &part);
        positions *= part.count;
        columns *= part.folds;
        depth *= part.taps;
    }
    drop_idle_taps(job);
    job->count[3] = (int32_t)g->batch;
    job->taps[3] = (int32_t)g->in_channels;
    job->in_first[3] = (int32_t)g->in_batch;
    job->in_step[3] = (int32_t)g->in_group;
    job->in_tap[3] = (int32_t)g->in_channel;
    job->out_step[3] = (int32_t)g->out_batch;
    job->out_fold[3] = (int32_t)g->out_channel;
    job->folds[3] = (int32_t)g->out_channels;
    job->weight_tap[3] = (int32_t)g->weight_group;
    job->weight_fold[3] = (int32_t)g->weight_in;
    job->first[0] += (int32_t)chunk->window[TILEFOLD_OUTPUT].first;
    job->first[1] += (int32_t)chunk->window[TILEFOLD_WEIGHT].first;
    job->first[2] = g->bias_type == TILEFOLD_NONE ? -1 : (int32_t)chunk->window[TILEFOLD_BIAS].first;
    job->first[3] = (int32_t)g->out_group;
    job->base[0] = (int32_t)chunk->window[TILEFOLD_INPUT].first;
    job->base[1] = (int32_t)g->weight_out;
    job->base[2] = chunk->bias_type == TILEFOLD_F32;
    job->total[0] = (int32_t)positions;
    job->total[1] = (int32_t)columns;
    job->total[2] = (int32_t)depth;
    job->total[3] = (int32_t)g->groups;
    job->clamp[0] = g->clamp_low;
    job->clamp[1] = g->clamp_high;
    return true;
}

tilefold_status tilefold_vulkan_for_each_part(const tilefold_geometry *g, tilefold_vulkan_visit visit, void *user) {
    int64_t count[TILEFOLD_AXES];
    for (int at = 0; at < TILEFOLD_AXES; at++) count[at] = tilefold_axis_parts(&g->axis[at]);
    for (int64_t z = 0; z < count[0]; z++)
        for (int64_t y = 0; y < count[1]; y++)
            for (int64_t x = 0; x < count[2]; x++) {
                tilefold_status status = visit(user, (int64_t[]){z, y, x});
                if (status) return status;
            }
    return TILEFOLD_OK;
}

/* ------------------------------------------------------------------------------------------------------ steps ---- */

tilefold_vulkan_extent tilefold_vulkan_get_extent(const tilefold_vulkan_plan *plan, int64_t positions, int64_t columns,
                                                  int64_t groups, int64_t depth) {
    if (plan->algorithm != TILEFOLD_ALGORITHM_DIRECT)
        return (tilefold_vulkan_extent){positions, columns, groups, depth};
    return (tilefold_vulkan_extent){positions, 1, groups * tilefold_ceil_div(columns, plan->constants.columns), depth};
}

int64_t tilefold_vulkan_extent_steps(const tilefold_vulkan_tiling *tiling, const tilefold_vulkan_extent *extent) {
    int64_t steps = tilefold_saturating_multiply(tilefold_ceil_div(extent->positions, tiling->positions),
                                                 tilefold_ceil_div(extent->columns, tiling->columns));
    steps = tilefold_saturating_multiply(steps, tilefold_ceil_div(extent->groups, tiling->groups));
    return tilefold_saturating_multiply(steps, tilefold_max(1, tilefold_ceil_div(extent->depth, tiling->block_k)));
}

static int64_t chunk_steps(const tilefold_vulkan_plan *plan, const tilefold_geometry *g) {
    tilefold_axis_kind kinds[TILEFOLD_AXES][TILEFOLD_MAX_KINDS];
    int used[TILEFOLD_AXES];
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) used[axis] = tilefold_axis_get_kinds(&g->axis[axis], kinds[axis]);
    int64_t total = 0;
    for (int z = 0; z < used[0]; z++)
        for (int y = 0; y < used[1]; y++)
            for (int x = 0; x < used[2]; x++) {
                const tilefold_axis_kind *kz = &kinds[0][z], *ky = &kinds[1][y], *kx = &kinds[2][x];
                tilefold_vulkan_extent extent = tilefold_vulkan_get_extent(
                    plan, g->batch * kz->count * ky->count * kx->count,
                    g->out_channels * kz->folds * ky->folds * kx->folds, g->groups,
                    g->in_channels * kz->taps * ky->taps * kx->taps);
                int64_t steps = tilefold_vulkan_extent_steps(&plan->tiling, &extent);
                steps = tilefold_saturating_multiply(steps, kz->parts);
                steps = tilefold_saturating_multiply(steps, ky->parts);
                total = tilefold_saturating_add(total, tilefold_saturating_multiply(steps, kx->parts));
            }
    return total;
}

/* Beyond so many chunks none is looked at but the first, whose steps are at least those of any other. */
#define COUNTED_CHUNKS 4096

int64_t tilefold_vulkan_count_steps(const tilefold_vulkan_plan *plan, const tilefold_geometry *geometry,
                                    const tilefold_vulkan_chunking *chunking) {
    int64_t chunks = tilefold_vulkan_chunk_count(geometry, chunking), total = 0;
    for (int64_t number = 0; number < tilefold_min(chunks, COUNTED_CHUNKS); number++) {
        tilefold_vulkan_chunk chunk;
        tilefold_vulkan_get_chunk(geometry, chunking, number, &chunk);
        int64_t steps = chunk_steps(plan, &chunk.geometry);
        if (chunks > COUNTED_CHUNKS) return tilefold_saturating_multiply(chunks, steps);
        total = tilefold_saturating_add(total, steps);
    }
    return total;
}
