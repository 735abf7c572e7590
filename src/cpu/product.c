/* SPDX-License-Identifier: MIT */
#include "product.h"

#include "../checked.h"
#include "algorithm.h"
#include "place.h"

#include <math.h>

/* One weight panel. */
typedef struct weight_panel {
    int64_t column, count, width; /* count columns, in a panel of this width */
    const float *values;
    tilefold_column_run *runs;
    int run_count;
} weight_panel;

/* Finds the weights of the columns in hand. */
static void enter_side(tilefold_product *p) {
    const tilefold_geometry *geometry = p->work->geometry;
    p->side_taps = tilefold_part_taps(&p->side);
    p->class_columns = tilefold_class_columns(&p->plan->tiling, p->side.part);
    p->class_offset = tilefold_cpu_class_offset(geometry, p->plan, &p->side);
    if (p->side_taps)
        for (int axis = 0; axis < TILEFOLD_AXES; axis++)
            p->classes[axis] = tilefold_axis_get_class(&geometry->axis[axis], p->side.part[axis].class_index);
}

/* Enters one class of each merged axis; false where the tile has no folds of them. */
static bool enter_classes(tilefold_product *p, const int64_t index[TILEFOLD_AXES]) {
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        tilefold_axis_part *part = &p->side.part[axis];
        *part = tilefold_axis_share_part(&p->work->geometry->axis[axis], &p->tile->part[axis], index[axis]);
        if (part->folds == 0) return false;
    }
    enter_side(p);
    p->side.column_begin = 0;
    p->side.column_end = p->class_columns;
    return true;
}

static tilefold_product begin_product(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena,
                                      const tilefold_operand_kind *operand) {
    const tilefold_geometry *geometry = work->geometry;
    const tilefold_cpu_plan *plan = work->plan;
    tilefold_product p = {.work = work, .plan = plan, .tile = tile, .operand = operand, .arena = arena};
    p.taps = tilefold_part_taps(tile);
    p.segments = (tilefold_segment *)(arena + plan->arena.segments);
    p.steps = (tilefold_step *)(p.segments + 2 * tilefold_product_max_segments(&plan->block));
    p.side = *tile;
    if (!geometry->merged) enter_side(&p);
    return p;
}

/* The sums' beginnings: one for each column, zeros in the panel's padding. */
static void fill_init(const tilefold_product *p, const weight_panel *panel) {
    float *init = (float *)(p->arena + p->plan->arena.init);
    tilefold_cpu_load_bias(p->work, &p->side, panel->column, panel->count, init);
    for (int64_t i = panel->count; i < panel->width; i++) init[i] = 0.0f;
}

/* The block's part of a panel. */
static const float *weight_values(const tilefold_product *p, const weight_panel *panel) {
    int64_t channels = p->work->geometry->in_channels, sum = p->side_taps * channels;
    if (sum == 0) return NULL;
    if (p->plan->prepacked)
        return p->work->packed + p->class_offset + panel->column * sum +
               tilefold_block_offset(&p->block, p->side_taps, channels) * panel->width;
    float *out = (float *)(p->arena + p->plan->arena.weight);
    tilefold_block block = p->block;
    block.tap_end = tilefold_min(block.tap_end, p->side_taps); /* some taps only of one class: merged, all of them */
    tilefold_cpu_pack_panel(p->work->geometry, p->plan, p->work->weight, p->tile->group, p->classes, panel->column,
                            &block, out);
    return out;
}

int64_t tilefold_product_segments(const tilefold_block *block, tilefold_segment *segments) {
    int64_t count = 0;
    for (int64_t begin = block->channel_begin; begin < block->channel_end;) {
        int64_t end = tilefold_channel_block_end(begin, block->channel_end);
        for (int64_t tap = block->tap_begin; tap < block->tap_end; tap++)
            segments[count++] = (tilefold_segment){.count = end - begin,
                                                   .a = begin - block->channel_begin,
                                                   .tap = tap - block->tap_begin};
        begin = end;
    }
    return count;
}

int64_t tilefold_product_max_segments(const tilefold_block_size *block) {
    return block->taps * tilefold_ceil_div(block->channels, TILEFOLD_CHANNEL_BLOCK);
}

/* Whether the columns in hand have the tap of a segment: a shorter class lacks the last along an axis. */
static bool has_tap(const tilefold_product *p, int64_t segment) {
    if (p->side_taps == p->taps) return true;
    tilefold_tap tap = tilefold_tap_at(p->tile->part, segment % p->taps);
    const tilefold_axis_part *part = p->side.part;
    return tap.j[0] < part[0].taps && tap.j[1] < part[1].taps && tap.j[2] < part[2].taps;
}

/* Where each segment begins in a weight panel of this width. */
static void point_segments_at_weights(tilefold_product *p, int64_t width) {
    if (p->segment_width == width) return;
    int64_t k = 0;
    for (int64_t i = 0; i < p->segment_count; i++) {
        tilefold_segment *segment = &p->segments[i];
        if (!has_tap(p, i)) continue;
        if (p->plan->positions_in_lanes)
            segment->a = k * width;
        else
            segment->b = k * width;
        k += segment->count;
    }
    p->segment_width = width;
    p->met_count = -1;
    p->stepped_segments = NULL;
}

/* Copies the segments of the taps that are met behind the block's; returns how many. */
static int64_t copy_met(tilefold_product *p) {
    p->stepped_segments = NULL;
    const tilefold_axis_part *part = p->tile->part;
    tilefold_segment *out = p->segments + p->segment_count;
    int64_t count = 0, row = p->met_end[2] - p->met_begin[2];
    for (int64_t first = 0; first < p->segment_count; first += p->taps)
        for (int64_t z = p->met_begin[0]; z < p->met_end[0]; z++)
            for (int64_t y = p->met_begin[1]; y < p->met_end[1]; y++) {
                int64_t tap = (z * part[1].taps + y) * part[2].taps + p->met_begin[2];
                for (int64_t i = 0; i < row; i++) out[count++] = p->segments[first + tap + i];
            }
    return count;
}

void tilefold_product_skip_padding(tilefold_product *p, tilefold_position_panel *panel) {
    const tilefold_axis_part *part = p->tile->part;
    panel->segments = p->segments;
    panel->segment_count = p->segment_count;
    bool skips = p->work->finite && p->taps > 1 && p->block.tap_end - p->block.tap_begin == p->taps;
    if (!skips && p->side_taps == p->taps) return;
    /* The positions' extent along each axis: whole rows, or planes, where they go on into the next. */
    int64_t last = panel->at.q[2] + panel->count - 1, rows = last < part[2].count ? 0 : last / part[2].count;
    int64_t y = panel->at.q[1] + rows, planes = y < part[1].count ? 0 : y / part[1].count;
    const int64_t first[TILEFOLD_AXES] = {panel->at.q[0], y < part[1].count ? panel->at.q[1] : 0,
                                          rows ? 0 : panel->at.q[2]};
    const int64_t end[TILEFOLD_AXES] = {panel->at.q[0] + planes, y < part[1].count ? y : part[1].count - 1,
                                        rows ? part[2].count - 1 : last};
    bool same = p->met_count >= 0;
    int64_t met = 1;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        int64_t from = 0, to = part[axis].taps;
        if (skips) tilefold_taps_met(&p->work->geometry->axis[axis], &part[axis], first[axis], end[axis], &from, &to);
        to = tilefold_min(to, p->side.part[axis].taps);
        from = tilefold_min(from, to);
        same = same && from == p->met_begin[axis] && to == p->met_end[axis];
        p->met_begin[axis] = from, p->met_end[axis] = to;
        met *= to - from;
    }
    if (met == p->taps) {
        p->met_count = -1;
        return;
    }
    if (!same) p->met_count = copy_met(p);
    panel->segments = p->segments + p->segment_count;
    panel->segment_count = p->met_count;
}

int64_t tilefold_product_whole_tile(const tilefold_product *p, const tilefold_cursor *cursor, int64_t left) {
    (void)p, (void)cursor;
    return left;
}

static void skip_positions(tilefold_cursor *cursor, const tilefold_tile *tile, int64_t count) {
    while (count > 0) {
        int64_t run = tilefold_cursor_run(cursor, tile, count);
        tilefold_cursor_advance(cursor, tile, run);
        count -= run;
    }
}

static void begin_panels(tilefold_product *p) {
    p->next = p->start;
    p->left = p->positions;
    p->each = p->positions / p->panels;
    p->rest = p->positions % p->panels;
    p->carry = 0;
}

/* How many positions the next panel has. In rows panel i ends at (i + 1)*positions/panels, rounded down. */
static int64_t next_count(tilefold_product *p) {
    if (p->plan->positions_in_lanes) return tilefold_min(p->left, p->plan->operand_width);
    p->carry += p->rest;
    if (p->carry < p->panels) return p->each;
    p->carry -= p->panels;
    return p->each + 1;
}

void tilefold_product_place_panel(tilefold_product *p, int64_t index, tilefold_position_panel *panel) {
    if (index == 0) begin_panels(p);
    panel->count = next_count(p);
    panel->at = p->next;
    p->left -= panel->count;
    skip_positions(&p->next, p->tile, panel->count);
}

tilefold_row_run tilefold_product_place_in_row(tilefold_product *p, int64_t index, int64_t length) {
    if (index == 0) {
        p->next_row = p->next_begin = p->carry = 0;
        p->each = length / p->row_panels;
        p->rest = length % p->row_panels;
    }
    tilefold_row_run run = {.row = p->next_row, .begin = p->next_begin};
    if (p->plan->positions_in_lanes) {
        run.end = tilefold_min(length, run.begin + p->plan->operand_width);
    } else {
        p->carry += p->rest;
        bool more = p->carry >= p->row_panels;
        if (more) p->carry -= p->row_panels;
        run.end = run.begin + p->each + more;
    }
    p->next_begin = run.end;
    if (run.end == length) p->next_row++, p->next_begin = p->carry = 0;
    return run;
}

static int64_t vectors_for(const tilefold_cpu_plan *plan, int64_t count) {
    return (count + plan->kernels->lanes - 1) / plan->kernels->lanes;
}

/* The segments' elements one by one, unless that is what the list has. */
static void list_steps(tilefold_product *p, const tilefold_position_panel *positions, int64_t a_step, int64_t b_step) {
    if (p->stepped_segments == positions->segments && p->stepped_count == positions->segment_count) return;
    tilefold_step *out = p->steps;
    for (int64_t i = 0; i < positions->segment_count; i++) {
        const tilefold_segment *segment = &positions->segments[i];
        for (int64_t k = 0; k < segment->count; k++)
            *out++ = (tilefold_step){(int32_t)(segment->a + k * a_step), (int32_t)(segment->b + k * b_step)};
    }
    p->stepped_segments = positions->segments;
    p->stepped_count = positions->segment_count;
    p->step_count = out - p->steps;
}

static void call_stepped(tilefold_product *p, const weight_panel *panel, const tilefold_position_panel *positions,
                         const tilefold_tile_io *io) {
    const tilefold_cpu_kernels *kernels = p->plan->kernels;
    bool in_lanes = p->plan->positions_in_lanes;
    list_steps(p, positions, in_lanes ? panel->width : positions->step, in_lanes ? positions->step : panel->width);
    if (in_lanes)
        kernels->product_steps[vectors_for(p->plan, positions->count) - 1][panel->count - 1](p->steps, p->step_count,
                                                                                             panel->values, 1,
                                                                                             positions->values, io);
    else
        kernels->product_steps[panel->width / kernels->lanes - 1][positions->count - 1](p->steps, p->step_count,
                                                                                        positions->values,
                                                                                        positions->apart, panel->values,
                                                                                        io);
}

static void call_kernel(tilefold_product *p, const weight_panel *panel, const tilefold_position_panel *positions,
                        const tilefold_tile_io *io) {
    const tilefold_cpu_kernels *kernels = p->plan->kernels;
    const tilefold_segment *segments = positions->segments;
    int64_t count = positions->segment_count;
    if (p->plan->stepped)
        call_stepped(p, panel, positions, io);
    else if (p->plan->positions_in_lanes)
        kernels->product[vectors_for(p->plan, positions->count) - 1][panel->count - 1](segments, count, panel->values,
                                                                                       panel->width, positions->values,
                                                                                       positions->step, io);
    else if (p->operand->by_pointer)
        kernels->product_rows[panel->width / kernels->lanes - 1][positions->count - 1](segments, count,
                                                                                       positions->values, panel->values,
                                                                                       io);
    else
        kernels->product[panel->width / kernels->lanes - 1][positions->count - 1](segments, count, positions->values,
                                                                                  positions->step, panel->values,
                                                                                  panel->width, io);
}

/* While panel `at` of the positions is multiplied, what is read next from memory is fetched: this panel's share of the next
 * weights, which are then read again for each panel of positions; or, by the first weight panel, the next positions, where all
 * of them are more than those weights. */
static void fetch_next_panel(const tilefold_product *p, const weight_panel *panel,
                             const tilefold_position_panel *positions, int64_t at, tilefold_tile_io *io) {
    io->next = (const char *)panel->values;
    if (!panel->values) return; /* no tap, or none of this class */
    if (panel->column == p->side.column_begin && positions->next && p->positions > p->taps * panel->width) {
        int64_t steps = tilefold_block_length(&p->block);
        io->next = positions->next;
        io->next_step = (ptrdiff_t)((positions->next_bytes + steps - 1) / steps);
        return;
    }
    if (!p->plan->prepacked) return;
    int64_t sum = p->taps * p->work->geometry->in_channels, width = panel->width * (int64_t)sizeof(float);
    int64_t share = tilefold_block_length(&p->block) * width / p->panels;
    io->next += sum * width + at * share;
    io->next_step = (ptrdiff_t)((width + p->panels - 1) / p->panels);
}

/* One panel of positions by one weight panel. Sums of blocks before the last are left in `partial`. */
static void multiply_panels(tilefold_product *p, const weight_panel *panel, const tilefold_position_panel *positions,
                            int64_t at, float *partial) {
    const tilefold_cpu_plan *plan = p->plan;
    bool in_lanes = plan->positions_in_lanes;
    float *stage = (float *)(p->arena + plan->arena.stage), *direct = NULL;
    tilefold_tile_io io = {.init = (const float *)(p->arena + plan->arena.init),
                           .init_stride = in_lanes ? 1 : 0,
                           .init_by_row = in_lanes,
                           .out = partial,
                           .out_stride = plan->nr,
                           .lanes = in_lanes ? vectors_for(plan, positions->count) * plan->kernels->lanes
                                             : panel->width,
                           .low = -INFINITY,
                           .high = INFINITY};
    fetch_next_panel(p, panel, positions, at, &io);
    if (!p->first) io.init = partial, io.init_stride = plan->nr, io.init_by_row = false;
    if (p->last) {
        direct = tilefold_cpu_direct_output(p->work, &p->side, &positions->at, positions->count, panel->count,
                                            panel->runs, panel->run_count, &io.out_stride);
        io.out = direct ? direct : stage;
        if (direct) io.lanes = in_lanes ? positions->count : panel->count;
        io.low = p->work->geometry->clamp_low, io.high = p->work->geometry->clamp_high;
    }
    call_kernel(p, panel, positions, &io);
    if (p->last && !direct)
        tilefold_cpu_store_tile(p->work, &p->side, &positions->at, positions->count, panel->runs, panel->run_count,
                                stage, plan->nr);
}

/* Finds the wanted columns of the panel at `column`; false where there are none: no fold of it exists in this head or
 * tail. */
static bool enter_weight_panel(const tilefold_product *p, int64_t column, tilefold_column_run *runs,
                               weight_panel *panel) {
    *panel = (weight_panel){.column = column, .runs = runs};
    panel->count = tilefold_min(p->plan->weight_width, p->class_columns - column);
    panel->width = tilefold_cpu_panel_width(p->plan, p->class_columns, column);
    panel->run_count = tilefold_cpu_column_runs(p->work, &p->side, column, column + panel->count, runs);
    return panel->run_count > 0;
}

static void multiply_block(tilefold_product *p) {
    const tilefold_cpu_plan *plan = p->plan;
    tilefold_column_run runs[TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_LANES];
    float *partial = (float *)(p->arena + plan->arena.partial);
    p->segment_width = 0;
    for (int64_t column = p->side.column_begin; column < p->side.column_end; column += plan->weight_width) {
        weight_panel panel;
        if (!enter_weight_panel(p, column, runs, &panel)) continue;
        panel.values = weight_values(p, &panel);
        point_segments_at_weights(p, panel.width);
        if (p->first) fill_init(p, &panel);
        for (int64_t at = 0; at < p->panels; at++, partial += (int64_t)plan->mr * plan->nr) {
            tilefold_position_panel positions;
            positions.next = NULL;
            positions.apart = 1;
            p->operand->panel(p, at, &positions);
            multiply_panels(p, &panel, &positions, at, partial);
        }
    }
}

/* All columns, class by class where they are merged. */
static void multiply_classes(tilefold_product *p) {
    const tilefold_axis *axis = p->work->geometry->axis;
    if (!p->work->geometry->merged) {
        multiply_block(p);
        return;
    }
    int64_t index[TILEFOLD_AXES];
    for (index[0] = 0; index[0] < (axis[0].merged ? 2 : 1); index[0]++)
        for (index[1] = 0; index[1] < (axis[1].merged ? 2 : 1); index[1]++)
            for (index[2] = 0; index[2] < (axis[2].merged ? 2 : 1); index[2]++)
                if (enter_classes(p, index)) multiply_block(p);
}

static void multiply_box(tilefold_product *p) {
    int64_t channels = p->work->geometry->in_channels, taps = p->taps;
    const tilefold_block_size *size = &p->plan->block;
    p->block = taps ? tilefold_block_at(0, 0, size, taps, channels) : (tilefold_block){0};
    p->first = true;
    for (;;) {
        p->last = taps == 0 || tilefold_block_is_last(&p->block, taps, channels);
        p->segment_count = 0;
        p->operand->build(p);
        multiply_classes(p);
        if (p->last) return;
        p->block = tilefold_block_after(&p->block, size, taps, channels);
        p->first = false;
    }
}

void tilefold_cpu_run_product(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena,
                              const tilefold_operand_kind *operand) {
    tilefold_product p = begin_product(work, tile, arena, operand);
    p.start = tilefold_cursor_at(tile, tile->position_begin);
    for (int64_t left = tile->position_end - tile->position_begin; left > 0; left -= p.positions) {
        p.positions = operand->box(&p, &p.start, left);
        multiply_box(&p);
        skip_positions(&p.start, tile, p.positions);
    }
}

/* ------------------------------------------------------------------------------------------------------ records ---- */

/* Positions in lanes: folds that are neighbours in a row of outputs are neighbours in a panel, all of them, so that they are
 * stored in turns. */
static bool folds_adjoin(const tilefold_cpu_shape *shape) {
    const tilefold_geometry *geometry = shape->geometry;
    int64_t fold = geometry->out_axis[2], channel = geometry->out_channel;
    return shape->part[2].folds > 1 && (fold < 0 ? -fold : fold) < (channel < 0 ? -channel : channel);
}

void tilefold_product_choose_tile(const tilefold_cpu_shape *shape, int32_t vectors, bool positions_in_lanes,
                                  int64_t positions, tilefold_cpu_plan *plan) {
    const tilefold_cpu_kernels *kernels = shape->kernels;
    int64_t most_rows = kernels->max_rows[vectors - 1];
    plan->positions_in_lanes = positions_in_lanes;
    plan->tiling.groups = shape->geometry->groups;
    plan->tiling.columns = shape->geometry->out_channels;
    plan->mr = 0;
    if (most_rows == 0) return;
    int64_t columns = plan->tiling.columns * shape->class_folds, granule = 1;
    int64_t rows = tilefold_max(1, positions_in_lanes ? columns : positions);
    plan->folds_innermost = positions_in_lanes && folds_adjoin(shape);
    if (plan->folds_innermost && shape->part[2].folds <= most_rows && !shape->geometry->merged)
        granule = shape->part[2].folds;
    most_rows = most_rows / granule * granule;
    int64_t even = tilefold_ceil_div(rows, tilefold_ceil_div(rows, most_rows));
    plan->mr = (int32_t)tilefold_round_up(even, granule);
    plan->nv = vectors;
    plan->nr = vectors * kernels->lanes;
    plan->operand_width = positions_in_lanes ? plan->nr : plan->mr;
    plan->weight_width = positions_in_lanes ? plan->mr : plan->nr;
}

/* Segments are a tap's channels: each costs as much as a few steps. Steps are 32 bits into either side. */
bool tilefold_product_is_stepped(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan,
                                 int64_t operand_floats) {
    enum { MOST_STEPS = 1024 };
    return !plan->cut && geometry->in_channels <= TILEFOLD_FEW_CHANNELS && operand_floats <= INT32_MAX &&
           plan->block.taps <= MOST_STEPS / plan->block.channels;
}

static int64_t steps_bytes(const tilefold_cpu_plan *plan) {
    return plan->stepped ? plan->block.taps * plan->block.channels * (int64_t)sizeof(tilefold_step) : 0;
}

static int64_t align(int64_t bytes) { return tilefold_round_up(bytes, TILEFOLD_ARENA_ALIGNMENT); }

bool tilefold_product_lay_out(tilefold_cpu_plan *plan, int64_t operand_bytes, int64_t panels, int64_t position_panels,
                              int64_t segments, int64_t zeros) {
    tilefold_cpu_arena *arena = &plan->arena;
    int64_t tile_bytes = align((int64_t)plan->mr * plan->nr * (int64_t)sizeof(float)), at = 0, partial = 0;
    arena->operand_bytes = operand_bytes;
    arena->partial_panels = position_panels;
    if (!tilefold_multiply(operand_bytes, panels, &at)) return false;
    arena->partial = at = align(at);
    if (plan->cut &&
        (!tilefold_multiply(tile_bytes, position_panels, &partial) ||
         !tilefold_multiply(partial, tilefold_ceil_div(plan->tiling.block_columns, plan->weight_width), &partial)))
        return false;
    if (!tilefold_add(at, partial, &at) || at > INT64_MAX / 4) return false;
    arena->segments = at;
    at += align(2 * segments * (int64_t)sizeof(tilefold_segment) + steps_bytes(plan));
    arena->weight = at;
    if (!plan->prepacked)
        at += align(plan->block.taps * plan->block.channels * plan->weight_width * (int64_t)sizeof(float));
    arena->stage = at;
    arena->init = at += tile_bytes;
    arena->zeros = at += align(tilefold_max(plan->nr, plan->mr) * (int64_t)sizeof(float));
    arena->bytes = at + align(zeros * (int64_t)sizeof(float));
    return true;
}
