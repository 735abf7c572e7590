/* Direct depthwise convolution: one input and one output channel a group, channels side by side in memory and in lanes.
 *
 * SPDX-License-Identifier: MIT
 *
 * All groups are columns, and a column's sum runs over taps alone:
 *
 *     for each few pixels of the tile:
 *         for each panel of channels:
 *             for each block of taps:     one call of a micro-kernel, on pointers at the pixels' channels
 *
 * The pointers are the same for all panels, so they are made once unless the sum is cut. A last panel that does not fill its
 * vectors could not be read in place without reading past the tensor: it begins earlier and computes some channels a second
 * time, or, where there is no room for that, is unfolded.
 */
#include "../checked.h"
#include "algorithm.h"
#include "cost.h"
#include "rows.h"

#include <math.h>

typedef struct depthwise {
    const tilefold_cpu_work *work;
    const tilefold_cpu_plan *plan;
    const tilefold_tile *tile;
    char *arena;
    tilefold_cursor start; /* of the pixels in hand */
    int64_t pixels;
    int64_t taps;
    tilefold_block block; /* of taps, that the pointers are for */
    int64_t output;       /* element of position and channel 0 */
} depthwise;

/* Parts of the operand: pointers [tap][pixel]; and for channels that cannot be read in place, pointers at unfolded rows and
 * those rows, [tap][pixel][lane]. */
typedef struct operand {
    int64_t unfolded_pointers, unfolded, bytes;
} operand;

static operand operand_of(const tilefold_cpu_plan *plan) {
    int64_t rows = plan->block.taps * plan->mr;
    int64_t pointers = tilefold_round_up(rows * (int64_t)sizeof(void *), TILEFOLD_ARENA_ALIGNMENT);
    int64_t values = tilefold_round_up(rows * plan->nr * (int64_t)sizeof(float), TILEFOLD_ARENA_ALIGNMENT);
    return (operand){pointers, 2 * pointers, 2 * pointers + values};
}

/* Points at channel column_begin of the tile, for taps from `begin` on. */
static void enter_block(depthwise *d, int64_t begin) {
    tilefold_block block = {begin, tilefold_min(d->taps, begin + d->plan->block.taps), 0, 1};
    if (begin == d->block.tap_begin && d->block.tap_end == block.tap_end) return;
    d->block = block;
    if (d->taps == 0) return;
    tilefold_cpu_work work = *d->work;
    work.input += d->tile->column_begin * work.geometry->in_group * work.element_bytes;
    tilefold_cpu_point_at_rows(&work, d->tile, d->start, d->pixels, &block, d->arena + d->plan->arena.zeros,
                               (const void **)d->arena);
}

/* Unfolds `count` channels from `offset` on; returns pointers at them, `width` lanes each. */
static const void *const *unfold(const depthwise *d, int64_t offset, int64_t count, int64_t width) {
    const tilefold_cpu_work *work = d->work;
    operand panel = operand_of(d->plan);
    const char *const *in = (const char *const *)d->arena;
    const void **rows = (const void **)(d->arena + panel.unfolded_pointers);
    float *out = (float *)(d->arena + panel.unfolded);
    int64_t n = (d->block.tap_end - d->block.tap_begin) * d->pixels;
    memset(out, 0, (size_t)(n * width) * sizeof *out);
    for (int64_t i = 0; i < n; i++, out += width) {
        d->plan->kernels->load_run[work->geometry->type](out, in[i] + offset * work->element_bytes, 1, count);
        rows[i] = out;
    }
    return rows;
}

/* Weights of the block for panel `column`. */
static const float *panel_weights(const depthwise *d, int64_t column, int64_t width) {
    const tilefold_cpu_plan *plan = d->plan;
    const tilefold_geometry *geometry = d->work->geometry;
    if (d->taps == 0) return NULL;
    if (plan->prepacked)
        return d->work->packed + tilefold_cpu_class_offset(geometry, plan, d->tile) + column * d->taps +
               d->block.tap_begin * width;
    tilefold_axis_class classes[TILEFOLD_AXES];
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        classes[axis] = tilefold_axis_get_class(&geometry->axis[axis], d->tile->part[axis].class_index);
    float *out = (float *)(d->arena + plan->arena.weight);
    tilefold_cpu_pack_panel(geometry, plan, d->work->weight, 0, classes, column, &d->block, out);
    return out;
}

/* The bias of the tile's columns, or zeros. */
static void fill_init(const depthwise *d) {
    float *init = (float *)(d->arena + d->plan->arena.init);
    int64_t count = d->tile->column_end - d->tile->column_begin;
    memset(init, 0, (size_t)tilefold_round_up(d->plan->tiling.block_columns, d->plan->nr) * sizeof *init);
    tilefold_cpu_load_bias(d->work, d->tile, d->tile->column_begin, count, init);
}

/* The channels of panel `begin`, for the pixels in hand. */
static void run_panel(depthwise *d, int64_t begin) {
    const tilefold_cpu_plan *plan = d->plan;
    const tilefold_geometry *geometry = d->work->geometry;
    int64_t width = tilefold_cpu_panel_width(plan, plan->tiling.columns, begin);
    int64_t column = tilefold_cpu_panel_column(plan, plan->tiling.columns, begin);
    int64_t count = tilefold_min(width, plan->tiling.columns - column), offset = column - d->tile->column_begin;
    bool in_place = count == width;
    tilefold_column_run run = {0, count, d->output + column * geometry->out_group, geometry->out_group};
    float *stage = (float *)(d->arena + plan->arena.stage), *direct = NULL;
    tilefold_tile_io io = {.init = (const float *)(d->arena + plan->arena.init) + offset,
                           .out = stage,
                           .out_stride = plan->nr,
                           .lanes = width,
                           .low = -INFINITY,
                           .high = INFINITY};
    tilefold_depthwise_kernel kernel = plan->kernels->depthwise[in_place ? geometry->type : TILEFOLD_F32]
                                                               [width / plan->kernels->lanes - 1][d->pixels - 1];
    enter_block(d, 0);
    for (;;) {
        bool last = d->block.tap_end == d->taps;
        if (last) {
            direct = tilefold_cpu_direct_output(d->work, d->tile, &d->start, d->pixels, count, &run, 1, &io.out_stride);
            if (direct) io.out = direct, io.lanes = count;
            io.low = geometry->clamp_low, io.high = geometry->clamp_high;
        }
        const void *const *rows = in_place ? (const void *const *)d->arena : unfold(d, offset, count, width);
        kernel(d->block.tap_end - d->block.tap_begin, rows, in_place ? offset : 0, panel_weights(d, begin, width),
               width, &io);
        if (last) break;
        io.init = stage, io.init_stride = plan->nr;
        enter_block(d, d->block.tap_end);
    }
    if (!direct) tilefold_cpu_store_tile(d->work, d->tile, &d->start, d->pixels, &run, 1, stage, plan->nr);
}

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    const tilefold_cpu_plan *plan = work->plan;
    depthwise d = {.work = work, .plan = plan, .tile = tile, .arena = arena, .taps = tilefold_part_taps(tile)};
    d.start = tilefold_cursor_at(tile, tile->position_begin);
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        d.output += tile->part[axis].out_first * work->geometry->out_axis[axis];
    memset(arena + plan->arena.zeros, 0,
           (size_t)tilefold_round_up(plan->tiling.block_columns, plan->nr) * sizeof(float));
    fill_init(&d);
    for (int64_t position = tile->position_begin; position < tile->position_end; position += d.pixels) {
        d.pixels = tilefold_min(plan->mr, tile->position_end - position);
        d.block = (tilefold_block){-1, -1, 0, 1};
        for (int64_t column = tile->column_begin; column < tile->column_end; column += plan->weight_width)
            run_panel(&d, column);
        for (int64_t i = 0; i < d.pixels; i++) tilefold_cursor_advance(&d.start, tile, 1);
    }
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

static bool applies(const tilefold_cpu_shape *shape) {
    const tilefold_geometry *g = shape->geometry;
    return g->in_channels == 1 && g->out_channels == 1 && (g->in_group == 1 || g->groups == 1) && !g->folded;
}

static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    if (index >= TILEFOLD_MAX_VECTORS) return false;
    int64_t most = shape->kernels->max_pixels[index];
    plan->groups_are_columns = true;
    plan->tiling.groups = 1;
    plan->tiling.columns = shape->geometry->groups;
    plan->mr = 0;
    if (most == 0) return true;
    int64_t positions = tilefold_max(1, shape->positions);
    plan->mr = plan->operand_width = (int32_t)tilefold_ceil_div(positions, tilefold_ceil_div(positions, most));
    plan->nv = index + 1;
    plan->nr = plan->weight_width = plan->nv * shape->kernels->lanes;
    return true;
}

static int64_t align(int64_t bytes) { return tilefold_round_up(bytes, TILEFOLD_ARENA_ALIGNMENT); }

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    (void)shape;
    plan->overlaps = plan->tiling.block_columns >= plan->tiling.columns;
    tilefold_cpu_arena *arena = &plan->arena;
    int64_t lanes = tilefold_round_up(plan->tiling.block_columns, plan->nr);
    int64_t lanes_bytes = align(lanes * (int64_t)sizeof(float));
    int64_t weight = plan->prepacked ? 0 : plan->block.taps * plan->weight_width * (int64_t)sizeof(float);
    arena->operand_bytes = operand_of(plan).bytes;
    arena->partial = arena->segments = arena->weight = arena->operand_bytes;
    arena->stage = arena->weight + align(weight);
    arena->init = arena->stage + align((int64_t)plan->mr * plan->nr * (int64_t)sizeof(float));
    arena->zeros = arena->init + lanes_bytes;
    arena->bytes = arena->zeros + lanes_bytes;
    return true;
}

const tilefold_cpu_algorithm tilefold_cpu_depthwise = {
    .id = TILEFOLD_ALGORITHM_DIRECT,
    .words = "depthwise, channels in lanes, read in place",
    .applies = applies,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = tilefold_cpu_estimate_depthwise,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};
