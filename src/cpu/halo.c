/* Implicit product over a copy of the halo: what a box of positions reads is copied once, with its padding, its type converted
 * and its stride sorted out, for as many channels as a block of the sum has; then every tap of every channel is a pointer into
 * the copy. It stands in for an unfold that would copy everything once for each tap.
 *
 * SPDX-License-Identifier: MIT
 *
 * The kernels take it from either side. Positions in rows: their neighbours are broadcast one after the other, against output
 * channels in lanes. Positions in lanes: they are read as vectors, for few output channels a group.
 */
#include "../checked.h"
#include "algorithm.h"
#include "cost.h"
#include "place.h"
#include "product.h"

static int64_t copy_floats(const tilefold_product *p) { return p->plan->arena.operand_bytes / (int64_t)sizeof(float); }

/* Taps of a block that is not the last: blocks of all taps, of one, or, of one row of taps, of a run of them. */
static int64_t block_taps(const tilefold_product *p) { return tilefold_min(p->taps, p->plan->block.taps); }

static int64_t block_channels(const tilefold_product *p) {
    return tilefold_min(p->plan->block.channels, p->work->geometry->in_channels);
}

static int64_t box(const tilefold_product *p, const tilefold_cursor *cursor, int64_t left) {
    const tilefold_axis_part *part = p->tile->part;
    if (p->taps == 0) return tilefold_min(left, part[2].count - cursor->q[2]);
    int64_t calls = tilefold_ceil_div(part[2].count, p->plan->operand_width);
    if (p->plan->cut) left = tilefold_min(left, tilefold_max(1, p->plan->arena.partial_panels / calls) * part[2].count);
    int64_t rows = tilefold_halo_whole_rows(part, cursor, left, block_taps(p), block_channels(p), copy_floats(p));
    if (rows > 0) return rows * part[2].count;
    return tilefold_halo_run(part, cursor, left, block_taps(p), block_channels(p), copy_floats(p));
}

static int64_t row_length(const tilefold_product *p) {
    return p->halo.flat ? p->positions : tilefold_min(p->positions, p->tile->part[2].count);
}

/* The part, without the taps that the whole box meets only padding at. `skipped` is how many of each axis go before. */
static void reduce_part(tilefold_product *p, int64_t rows, int64_t count, int64_t skipped[TILEFOLD_AXES]) {
    const int64_t extent[TILEFOLD_AXES] = {1, rows, count};
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        tilefold_axis_part *part = &p->box_part[axis];
        int64_t begin = 0, end = part->taps, first = p->start.q[axis];
        if (p->work->finite && p->block.tap_end - p->block.tap_begin == p->taps)
            tilefold_taps_met(&p->work->geometry->axis[axis], part, first, first + extent[axis] - 1, &begin, &end);
        if (begin == end) begin = 0, end = 1; /* nothing is met: a copy there must be */
        skipped[axis] = begin;
        part->in_first += begin * part->in_tap;
        part->taps = end - begin;
    }
}

/* Where each tap of the block begins in the copy; those that were left out are not read. */
static int64_t tap_offset(const tilefold_product *p, const int64_t skipped[TILEFOLD_AXES], int64_t tap) {
    const tilefold_axis_part *part = p->box_part;
    if (p->block.tap_end - p->block.tap_begin != p->taps) return tilefold_halo_tap_offset(&p->halo, tap);
    tilefold_tap t = tilefold_tap_at(p->tile->part, tap);
    int64_t at = 0;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        int64_t j = t.j[axis] - skipped[axis];
        if (j < 0 || j >= part[axis].taps) return 0;
        at = at * part[axis].taps + j;
    }
    return tilefold_halo_tap_offset(&p->halo, at);
}

/* Points the segments at the copy: all channel blocks alike. */
static void point_segments(tilefold_product *p, const int64_t skipped[TILEFOLD_AXES]) {
    int64_t taps = p->block.tap_end - p->block.tap_begin;
    for (int64_t i = 0; i < p->segment_count; i++) {
        tilefold_segment *s = &p->segments[i];
        int64_t tap = i < taps ? tap_offset(p, skipped, s->tap) : p->segments[i - taps].tap;
        int64_t offset = tap + s->a * p->halo.plane;
        s->tap = tap;
        if (p->plan->positions_in_lanes)
            s->b = offset;
        else
            s->a = offset;
    }
}

static void copy_box(tilefold_product *p, int64_t rows, int64_t count) {
    const tilefold_cpu_work *work = p->work;
    int64_t skipped[TILEFOLD_AXES], stride = work->geometry->in_channel;
    memcpy(p->box_part, p->tile->part, sizeof p->box_part);
    reduce_part(p, rows, count, skipped);
    bool all = p->block.tap_end - p->block.tap_begin == p->taps;
    int64_t taps = p->box_part[0].taps * p->box_part[1].taps * p->box_part[2].taps;
    p->halo = tilefold_halo_lay_out(p->box_part, &p->start, rows, count, all ? 0 : p->block.tap_begin,
                                    all ? taps : p->block.tap_end);
    p->halo.flat = p->halo.flat && block_taps(p) == 1; /* all blocks alike */
    tilefold_halo_copy(&p->halo, work, work->input + p->block.channel_begin * stride * work->element_bytes, stride,
                       p->block.channel_end - p->block.channel_begin, (float *)p->arena);
    p->segment_count = tilefold_product_segments(&p->block, p->segments);
    point_segments(p, skipped);
}

static void build(tilefold_product *p) {
    int64_t count = tilefold_min(p->positions, p->tile->part[2].count), rows = p->positions / count;
    if (p->taps) copy_box(p, rows, count);
    int64_t length = row_length(p);
    p->row_panels = tilefold_ceil_div(length, p->plan->operand_width);
    p->panels = p->positions / length * p->row_panels;
}

static void panel(tilefold_product *p, int64_t index, tilefold_position_panel *panel) {
    tilefold_row_run run = tilefold_product_place_in_row(p, index, row_length(p));
    int64_t row = run.row, begin = run.begin;
    panel->count = run.end - begin;
    panel->step = p->halo.plane;
    panel->values = (const float *)p->arena + row * p->halo.outer[1].position_rows * p->halo.pitch + begin;
    if (p->halo.flat) {
        row += begin / p->halo.count;
        begin %= p->halo.count;
    }
    panel->at.q[0] = p->start.q[0];
    panel->at.q[1] = p->start.q[1] + row;
    panel->at.q[2] = p->start.q[2] + begin;
    tilefold_product_skip_padding(p, panel);
}

static const tilefold_operand_kind halo = {.box = box, .build = build, .panel = panel};

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    tilefold_cpu_run_product(work, tile, arena, &halo);
}

/* ------------------------------------------------------------------------------------------------------ records ---- */

/* Columns of one class are so few that they fit into the rows of a kernel. */
static bool few_columns(const tilefold_cpu_shape *shape) {
    return shape->class_folds * shape->geometry->out_channels <= shape->kernels->max_rows[0];
}

static bool always(const tilefold_cpu_shape *shape) {
    (void)shape;
    return true;
}

/* Positions of a row, or of the whole part where rows of it follow each other in a copy. */
static int64_t row_of(const tilefold_cpu_shape *shape) {
    return shape->taps == 1 ? shape->positions : shape->part[2].count;
}

static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    if (index >= 2 * TILEFOLD_MAX_VECTORS) return false;
    bool in_lanes = index >= TILEFOLD_MAX_VECTORS;
    tilefold_product_choose_tile(shape, index % TILEFOLD_MAX_VECTORS + 1, in_lanes, row_of(shape), plan);
    if (in_lanes && few_columns(shape)) plan->mr = 0; /* that is direct */
    return true;
}

static bool propose_direct(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    if (index >= TILEFOLD_MAX_VECTORS) return false;
    tilefold_product_choose_tile(shape, index + 1, true, row_of(shape), plan);
    return true;
}

/* Blocks that a copy can be made for: all taps; one; or, where the kernel is one row of taps, some. */
static bool block_suits(const tilefold_cpu_shape *shape, const tilefold_block_size *block) {
    const tilefold_axis *axis = shape->geometry->axis;
    return block->taps >= shape->most_taps || block->taps == 1 || (axis[0].kernel == 1 && axis[1].kernel == 1);
}

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    if (!block_suits(shape, &plan->block)) return false;
    int64_t count = tilefold_max(1, tilefold_min(plan->tiling.positions, shape->part[2].count));
    int64_t rows = tilefold_max(1, tilefold_min(plan->tiling.positions / count, shape->part[1].count));
    int64_t taps = tilefold_min(plan->block.taps, shape->taps), per_row, floats = 0;
    if (taps > 0) {
        tilefold_halo_layout layout = tilefold_halo_lay_out(shape->part, &(tilefold_cursor){{0}}, rows, count, 0, taps);
        floats = tilefold_halo_floats(&layout, plan->block.channels);
    }
    /* Whatever a part's taps, one position fits. */
    int64_t least = tilefold_halo_least_plane(plan->block.taps);
    least = tilefold_saturating_add(tilefold_saturating_multiply(plan->block.channels, least), 64);
    floats = tilefold_max(floats, least);
    if (floats > INT64_MAX / 8) return false;
    /* Kernel calls of a box; other parts' rows may be cut otherwise, never into more calls than positions. */
    per_row = tilefold_ceil_div(count, plan->operand_width);
    plan->stepped = tilefold_product_is_stepped(shape->geometry, plan, floats);
    int64_t panels = tilefold_max(rows * per_row, tilefold_ceil_div(plan->tiling.positions, plan->operand_width));
    return tilefold_product_lay_out(plan, tilefold_round_up(floats * (int64_t)sizeof(float), TILEFOLD_ARENA_ALIGNMENT),
                                    1, panels, tilefold_product_max_segments(&plan->block), 0);
}

const tilefold_cpu_algorithm tilefold_cpu_halo = {
    .id = TILEFOLD_ALGORITHM_IMPLICIT,
    .words = "halo copied once for all taps",
    .whole_rows = true,
    .applies = always,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = tilefold_cpu_estimate_halo,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};

const tilefold_cpu_algorithm tilefold_cpu_direct = {
    .id = TILEFOLD_ALGORITHM_DIRECT,
    .words = "all columns in registers, halo copied once for all taps",
    .whole_rows = true,
    .applies = few_columns,
    .propose = propose_direct,
    .lay_out = lay_out,
    .estimate = tilefold_cpu_estimate_halo,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};
