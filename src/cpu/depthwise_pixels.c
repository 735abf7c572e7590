/* Direct depthwise convolution of planes: one input and one output channel a group, pixels in lanes. For channels-first.
 *
 * SPDX-License-Identifier: MIT
 *
 *     for each box of the tile's positions:          (as many rows as a copy has room for)
 *         for each few channels:
 *             copy what the box reads of them        (halo_layout.h: padded, sorted by stride, fp32)
 *             for each channel, for each few rows, for each few vectors of a row:
 *                 one call of a micro-kernel, all taps
 *
 * All groups are columns, so that a tile has many planes and what it costs by itself is shared by them.
 */
#include "../checked.h"
#include "algorithm.h"
#include "cost.h"
#include "halo_layout.h"

typedef struct planes {
    const tilefold_cpu_work *work;
    const tilefold_cpu_plan *plan;
    const tilefold_tile *tile;
    char *arena;
    int64_t taps;
    tilefold_axis_class classes[TILEFOLD_AXES];
    const float *packed; /* the weights of channel 0, [channel][tap], or NULL */
    /* the box in hand */
    tilefold_halo_layout layout;
    tilefold_cursor start;
    int64_t rows, count; /* positions: rows of so many */
    int64_t width;       /* positions of a kernel call along a row */
    float *direct;       /* the box's first output of channel 0, where kernels may write it; or NULL */
} planes;

static const float *channel_weights(const planes *p, int64_t channel) {
    if (p->taps == 0) return NULL;
    if (p->packed) return p->packed + channel * p->taps;
    float *out = (float *)(p->arena + p->plan->arena.weight);
    tilefold_block all = {0, p->taps, 0, 1};
    tilefold_cpu_pack_panel(p->work->geometry, p->plan, p->work->weight, 0, p->classes, channel, &all, out);
    return out;
}

/* Stores what a kernel call left in the stage. */
static void store_stage(const planes *p, int64_t channel, int64_t row, int64_t x, int64_t rows, int64_t count) {
    const tilefold_geometry *g = p->work->geometry;
    const float *stage = (const float *)(p->arena + p->plan->arena.stage);
    tilefold_column_run run = {0, 1, channel * g->out_group, g->out_group};
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) run.offset += p->tile->part[axis].out_first * g->out_axis[axis];
    for (int64_t i = 0; i < rows; i++) {
        tilefold_cursor at = {{p->start.q[0], p->start.q[1] + row + i, p->start.q[2] + x}};
        tilefold_cpu_store_tile(p->work, p->tile, &at, count, &run, 1, stage + i * p->plan->nr, p->plan->nr);
    }
}

/* The box of one channel, whose copy is at `in`. */
static void run_channel(const planes *p, int64_t channel, const float *in) {
    const tilefold_cpu_plan *plan = p->plan;
    const tilefold_geometry *g = p->work->geometry;
    int64_t in_row = p->layout.outer[1].position_rows * p->layout.pitch, lanes = plan->kernels->lanes;
    int64_t out_row = p->tile->part[1].out_step * g->out_axis[1];
    const int64_t *taps = (const int64_t *)(p->arena + plan->arena.segments);
    const float *weights = channel_weights(p, channel);
    float bias;
    tilefold_cpu_load_bias(p->work, p->tile, channel, 1, &bias);
    tilefold_tile_io io = {.init = &bias,
                           .init_by_row = true,
                           .out = (float *)(p->arena + plan->arena.stage),
                           .out_stride = p->direct ? out_row : plan->nr,
                           .low = g->clamp_low,
                           .high = g->clamp_high};
    for (int64_t row = 0; row < p->rows; row += plan->mr) {
        int64_t rows = tilefold_min(plan->mr, p->rows - row);
        for (int64_t x = 0; x < p->count; x += p->width) {
            int64_t count = tilefold_min(p->width, p->count - x), vectors = (count + lanes - 1) / lanes;
            if (p->direct) io.out = p->direct + channel * g->out_group + row * out_row + x;
            io.lanes = p->direct ? count : vectors * lanes;
            plan->kernels->depthwise_pixels[vectors - 1][rows - 1](p->taps, taps, in + row * in_row + x, in_row,
                                                                   weights, &io);
            if (!p->direct) store_stage(p, channel, row, x, rows, count);
        }
    }
}

/* Lays out the copy of the box, and finds where its outputs lie. */
static void enter_box(planes *p, tilefold_cursor start, int64_t rows, int64_t count) {
    const tilefold_geometry *g = p->work->geometry;
    const tilefold_axis_part *part = p->tile->part;
    int64_t *taps = (int64_t *)(p->arena + p->plan->arena.segments);
    p->start = start, p->rows = rows, p->count = count;
    if (p->taps) p->layout = tilefold_halo_lay_out(part, &start, rows, count, 0, p->taps);
    for (int64_t tap = 0; tap < p->taps; tap++) taps[tap] = tilefold_halo_tap_offset(&p->layout, tap);
    p->width = tilefold_round_up(tilefold_ceil_div(count, tilefold_ceil_div(count, p->plan->nr)),
                                 p->plan->kernels->lanes);
    p->direct = NULL;
    if (g->type != TILEFOLD_F32 || part[2].out_step * g->out_axis[2] != 1) return;
    p->direct = (float *)p->work->output;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        p->direct += (part[axis].out_first + start.q[axis] * part[axis].out_step) * g->out_axis[axis];
}

/* All channels of the tile, as many at a time as their copies have room. */
static void run_box(const planes *p) {
    const tilefold_geometry *g = p->work->geometry;
    float *copy = (float *)p->arena;
    int64_t floats = p->plan->arena.operand_bytes / (int64_t)sizeof(float), step;
    for (int64_t channel = p->tile->column_begin; channel < p->tile->column_end; channel += step) {
        step = p->tile->column_end - channel;
        if (p->taps) {
            step = tilefold_min(step, tilefold_halo_channels(&p->layout, floats));
            tilefold_halo_copy(&p->layout, p->work, p->work->input + channel * g->in_group * p->work->element_bytes,
                               g->in_group, step, copy);
        }
        for (int64_t i = 0; i < step; i++) run_channel(p, channel + i, copy + i * p->layout.plane);
    }
}

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    const tilefold_geometry *g = work->geometry;
    planes p = {.work = work, .plan = work->plan, .tile = tile, .arena = arena, .taps = tilefold_part_taps(tile)};
    if (p.taps) {
        for (int axis = 0; axis < TILEFOLD_AXES; axis++)
            p.classes[axis] = tilefold_axis_get_class(&g->axis[axis], tile->part[axis].class_index);
        if (p.plan->prepacked) p.packed = work->packed + tilefold_cpu_class_offset(g, p.plan, tile);
    }
    int64_t floats = p.plan->arena.operand_bytes / (int64_t)sizeof(float), run;
    tilefold_cursor cursor = tilefold_cursor_at(tile, tile->position_begin);
    for (int64_t left = tile->position_end - tile->position_begin; left > 0; left -= run) {
        int64_t rows = p.taps ? tilefold_halo_whole_rows(tile->part, &cursor, left, p.taps, 1, floats) : 0;
        run = tilefold_min(left, tile->part[2].count - cursor.q[2]);
        if (rows == 0 && p.taps) run = tilefold_halo_run(tile->part, &cursor, run, p.taps, 1, floats);
        enter_box(&p, cursor, tilefold_max(rows, 1), run);
        run_box(&p);
        for (int64_t row = 0; row < tilefold_max(rows, 1); row++) tilefold_cursor_advance(&cursor, tile, run);
        run *= tilefold_max(rows, 1);
    }
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

static bool applies(const tilefold_cpu_shape *shape) {
    const tilefold_geometry *g = shape->geometry;
    return g->in_channels == 1 && g->out_channels == 1 && !g->folded;
}

static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    if (index >= TILEFOLD_MAX_VECTORS) return false;
    plan->groups_are_columns = plan->positions_in_lanes = true;
    plan->tiling.groups = 1;
    plan->tiling.columns = shape->geometry->groups;
    plan->mr = 0;
    int64_t most = shape->kernels->max_pixels[index];
    if (most == 0) return true;
    int64_t rows = tilefold_max(1, shape->part[1].count);
    plan->mr = (int32_t)tilefold_ceil_div(rows, tilefold_ceil_div(rows, most));
    plan->nv = index + 1;
    plan->nr = plan->operand_width = plan->nv * shape->kernels->lanes;
    plan->weight_width = 1;
    return true;
}

static int64_t align(int64_t bytes) { return tilefold_round_up(bytes, TILEFOLD_ARENA_ALIGNMENT); }

/* Copies of so many floats stay in any first-level cache until they are used. */
enum { COPY_FLOATS = 4096 };

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    if (plan->block.taps < shape->most_taps) return false; /* a copy serves all taps at once */
    int64_t count = tilefold_max(1, tilefold_min(plan->tiling.positions, shape->part[2].count));
    int64_t rows = tilefold_max(1, tilefold_min(plan->tiling.positions / count, shape->part[1].count));
    int64_t floats = tilefold_saturating_add(tilefold_halo_least_plane(plan->block.taps), 64);
    if (shape->taps > 0) {
        tilefold_halo_layout layout = tilefold_halo_lay_out(shape->part, &(tilefold_cursor){{0}}, rows, count, 0,
                                                            shape->taps);
        int64_t few = tilefold_min(plan->tiling.block_columns, tilefold_max(1, COPY_FLOATS / layout.plane));
        floats = tilefold_max(floats, tilefold_halo_floats(&layout, few));
    }
    if (floats > INT64_MAX / 64) return false;
    tilefold_cpu_arena *arena = &plan->arena;
    arena->operand_bytes = align(floats * (int64_t)sizeof(float));
    arena->partial = arena->segments = arena->operand_bytes;
    arena->weight = arena->segments + align(plan->block.taps * (int64_t)sizeof(int64_t));
    arena->stage = arena->weight + (plan->prepacked ? 0 : align(plan->block.taps * (int64_t)sizeof(float)));
    arena->init = arena->zeros = arena->bytes = arena->stage +
                                                align((int64_t)plan->mr * plan->nr * (int64_t)sizeof(float));
    return true;
}

const tilefold_cpu_algorithm tilefold_cpu_depthwise_pixels = {
    .id = TILEFOLD_ALGORITHM_DIRECT,
    .words = "depthwise, pixels in lanes",
    .whole_rows = true,
    .applies = applies,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = tilefold_cpu_estimate_depthwise_pixels,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};
