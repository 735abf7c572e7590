/* Groups of a few channels, as many outputs as inputs, where all channels lie side by side and the kernel is 3 wide: the output
 * channels of neighbouring groups in lanes, as many as fill a vector.
 *
 * SPDX-License-Identifier: MIT
 *
 *     for each row of the tile:
 *         for each few pixels of it:      pointers at the columns of their windows, for each row of the kernel
 *             one call of a micro-kernel, for all of the tile's channels
 *
 *     groups of 4      a column     a0 a1 a2 a3 b0 b1 b2 b3        spread, once for all windows that the column is in:
 *                      channel 0    a0 a0 a0 a0 b0 b0 b0 b0        each lane has its own group's channel
 *                      channel 1    a1 a1 a1 a1 b1 b1 b1 b1
 *
 * Groups that fill whole vectors are a product each, with their channels broadcast. Other algorithms take one group after the other,
 * and read a few channels of every pixel of the input for each; here what is read at once lies side by side.
 *
 * Half floats and what an execution has at other group strides than the plan's is copied, and outputs that kernels cannot write are
 * staged: a few panels at a time.
 */
#include "../checked.h"
#include "algorithm.h"
#include "row_windows.h"

#include <math.h>

typedef struct rows {
    const tilefold_cpu_work *work;
    const tilefold_cpu_plan *plan;
    const tilefold_tile *tile;
    char *arena;
    int64_t channels;          /* of a group */
    int64_t kernel_rows, taps; /* of the whole kernel */
    const float *weights;      /* of the tile's panels */
    bool in_place, direct;     /* the input is read where it lies; and kernels write the output */
    int64_t from;              /* the output channel that the first group of the tile begins with */
    /* the pixels in hand */
    tilefold_cursor at;
    int64_t pixels;
    tilefold_row_pointers pointers;
} rows;

/* Parts of the operand: pointers [row][column]; pointers at copied columns and those columns, [row][column][channel]; how channels
 * are spread, [channel][lane]. */
typedef struct operand {
    int64_t copied_pointers, copied, spread, bytes;
} operand;

static int64_t align(int64_t bytes) { return tilefold_round_up(bytes, TILEFOLD_ARENA_ALIGNMENT); }

/* Columns that are copied or staged at once: whole groups, and two panels or more. */
static int64_t span_columns(const tilefold_geometry *g, const tilefold_cpu_plan *plan) {
    return tilefold_max(g->out_channels, 2 * (int64_t)plan->nr);
}

/* And the most of any: a panel that is not full is of the span before it. */
static int64_t most_columns(const tilefold_geometry *g, const tilefold_cpu_plan *plan) {
    return span_columns(g, plan) + plan->nr;
}

static operand operand_of(const tilefold_geometry *g, const tilefold_cpu_plan *plan) {
    int64_t columns = g->axis[0].kernel * g->axis[1].kernel * tilefold_cpu_row_columns(g, plan->mr);
    int64_t pointers = align(columns * (int64_t)sizeof(void *));
    int64_t copied = align(columns * most_columns(g, plan) * (int64_t)sizeof(float));
    int64_t spread = g->in_channels < plan->nr ? align(g->in_channels * plan->nr * (int64_t)sizeof(int32_t)) : 0;
    return (operand){pointers, 2 * pointers, 2 * pointers + copied, 2 * pointers + copied + spread};
}

static int64_t padded(const tilefold_cpu_plan *plan, int64_t channels) { return tilefold_round_up(channels, plan->nr); }

/* ------------------------------------------------------------------------------------------------------ operands ---- */

static void fill_spread(const rows *r, int32_t *spread) {
    int32_t lanes = r->plan->nr, channels = (int32_t)r->channels;
    for (int32_t k = 0; channels < lanes && k < channels; k++)
        for (int32_t j = 0; j < lanes; j++) *spread++ = j - j % channels + k;
}

/* The inputs of output channels [from, to), whole groups, of one column that begins with the tile's first group. */
static void copy_column(const rows *r, const char *in, int64_t from, int64_t to, float *out) {
    const tilefold_cpu_work *work = r->work;
    tilefold_load_run load = r->plan->kernels->load_run[work->geometry->type];
    int64_t group_bytes = work->geometry->in_group * work->element_bytes;
    in += (from - r->from) / r->channels * group_bytes;
    for (; from < to; from += r->channels, out += r->channels, in += group_bytes) load(out, in, 1, r->channels);
}

/* Copies what output channels [begin, end) read in the windows in hand, as fp32 and with zeros for lanes past them. */
static tilefold_group_windows copy(const rows *r, tilefold_group_windows windows, int64_t begin, int64_t end) {
    operand parts = operand_of(r->work->geometry, r->plan);
    const char *const *in = (const char *const *)r->pointers.in;
    const void **columns = (const void **)(r->arena + parts.copied_pointers);
    float *out = (float *)(r->arena + parts.copied);
    int64_t from = begin - begin % r->channels, to = tilefold_round_up(end, r->channels);
    int64_t width = padded(r->plan, to - from), offset = windows.offset * r->work->element_bytes;
    for (int64_t i = 0; i < r->kernel_rows * r->pointers.columns; i++, out += width) {
        bool there = in[i] != r->pointers.zeros;
        if (there) copy_column(r, in[i] + offset, from, to, out);
        int64_t filled = there ? to - from : 0;
        memset(out + filled, 0, (size_t)(width - filled) * sizeof *out);
        columns[i] = out;
    }
    windows.in = columns;
    windows.offset = 0;
    windows.first = begin - from;
    return windows;
}

static const float *tile_weights(const rows *r) {
    const tilefold_cpu_plan *plan = r->plan;
    const tilefold_geometry *g = r->work->geometry;
    int64_t sum = r->taps * r->channels;
    if (plan->prepacked)
        return r->work->packed + tilefold_cpu_class_offset(g, plan, r->tile) + r->tile->column_begin * sum;
    tilefold_axis_class classes[TILEFOLD_AXES];
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        classes[axis] = tilefold_axis_get_class(&g->axis[axis], r->tile->part[axis].class_index);
    const tilefold_block all = {0, r->taps, 0, r->channels};
    float *out = (float *)(r->arena + plan->arena.weight);
    for (int64_t column = r->tile->column_begin; column < r->tile->column_end; column += plan->nr)
        tilefold_cpu_pack_panel(g, plan, r->work->weight, 0, classes, column, &all,
                                out + (column - r->tile->column_begin) * sum);
    return out;
}

/* ------------------------------------------------------------------------------------------------------- outputs ---- */

/* The element of output channel `column` at the first position of the part. */
static int64_t output_offset(const rows *r, int64_t column) {
    const tilefold_geometry *g = r->work->geometry;
    int64_t element = column / r->channels * g->out_group + column % r->channels * g->out_channel;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) element += r->tile->part[axis].out_first * g->out_axis[axis];
    return element;
}

/* Where the pixels in hand go, beyond output_offset(). */
static int64_t pixel_offset(const rows *r) {
    int64_t element = 0;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        element += r->at.q[axis] * r->tile->part[axis].out_step * r->work->geometry->out_axis[axis];
    return element;
}

/* Group by group, unless they are evenly spaced. */
static void store_stage(const rows *r, int64_t begin, int64_t columns_end, const float *stage) {
    const tilefold_geometry *g = r->work->geometry;
    bool even = g->out_group == r->channels * g->out_channel;
    for (int64_t column = begin; column < columns_end;) {
        int64_t end = even ? columns_end : tilefold_min(columns_end, column - column % r->channels + r->channels);
        tilefold_column_run run = {column - begin, end - column, output_offset(r, column), g->out_channel};
        tilefold_cpu_store_tile(r->work, r->tile, &r->at, r->pixels, &run, 1, stage,
                                padded(r->plan, columns_end - begin));
        column = end;
    }
}

/* --------------------------------------------------------------------------------------------------------- tiles ---- */

static void call(const rows *r, const tilefold_group_windows *windows, const tilefold_tile_io *io) {
    r->plan->kernels->grouped_row[r->work->geometry->axis[2].stride - 1][r->pixels - 1](windows, io);
}

/* The last panel of output channels [begin, end), which is not full. */
static void run_rest(const rows *r, int64_t begin, int64_t end, tilefold_group_windows windows, tilefold_tile_io io) {
    int64_t rest = (end - begin) % r->plan->nr, whole = end - begin - rest;
    int64_t back = r->plan->overlaps && whole > 0 ? r->plan->nr - rest : 0;
    windows.w += whole * r->taps * r->channels;
    windows.panels = 1;
    windows.first += whole - back;
    io.init += whole - back, io.out += whole - back;
    if (back == 0) {
        if (r->in_place) windows = copy(r, windows, begin + whole, end);
        io.lanes = rest;
    }
    call(r, &windows, &io);
}

/* Output channels [begin, end) of the pixels in hand. */
static void run_columns(const rows *r, int64_t begin, int64_t end, tilefold_group_windows windows) {
    const tilefold_geometry *g = r->work->geometry;
    const tilefold_cpu_plan *plan = r->plan;
    int64_t skipped = begin - r->tile->column_begin;
    float *stage = (float *)(r->arena + plan->arena.stage);
    tilefold_tile_io io = {.init = (const float *)(r->arena + plan->arena.init) + skipped,
                           .out = stage,
                           .out_stride = padded(plan, end - begin),
                           .lanes = plan->nr,
                           .low = g->clamp_low,
                           .high = g->clamp_high};
    if (r->direct) {
        io.out = (float *)r->work->output + output_offset(r, begin) + pixel_offset(r);
        io.out_stride = r->tile->part[2].out_step * g->out_axis[2];
    }
    windows.w += skipped * r->taps * r->channels;
    windows.first = begin - r->from;
    windows.panels = (end - begin) / plan->nr;
    if (!r->in_place) windows = copy(r, windows, begin, end);
    if (windows.panels > 0) call(r, &windows, &io);
    if ((end - begin) % plan->nr > 0) run_rest(r, begin, end, windows, io);
    if (!r->direct) store_stage(r, begin, end, stage);
}

/* All channels of the pixels in hand. */
static void run_pixels(rows *r) {
    const tilefold_geometry *g = r->work->geometry;
    const tilefold_tile *tile = r->tile;
    const tilefold_group_windows windows = {
        .rows = r->kernel_rows,
        .channels = r->channels,
        .in = (const void *const *)r->pointers.in,
        .offset = tilefold_cpu_enter_row(r->work, tile, &r->at, &r->pointers),
        .w = r->weights,
        .spread = (const int32_t *)(r->arena + operand_of(g, r->plan).spread),
    };
    int64_t span = span_columns(g, r->plan);
    for (int64_t begin = tile->column_begin, end; begin < tile->column_end; begin = end) {
        end = r->direct ? tile->column_end : tilefold_min(tile->column_end, begin - begin % r->channels + span);
        if (tile->column_end - end < r->plan->nr) end = tile->column_end;
        run_columns(r, begin, end, windows);
    }
}

/* A run of one row; its last pixels may be computed twice, so that all calls have as many. */
static void run_row(rows *r, tilefold_cursor start, int64_t count) {
    r->pixels = tilefold_ceil_div(count, tilefold_ceil_div(count, r->plan->mr));
    r->pointers.columns = tilefold_cpu_row_columns(r->work->geometry, r->pixels);
    r->pointers.reusable = false;
    for (int64_t x = 0; x < count; x += r->pixels) {
        r->at = start;
        r->at.q[2] += tilefold_min(x, count - r->pixels);
        run_pixels(r);
    }
}

static void fill(const rows *r) {
    const tilefold_cpu_arena *arena = &r->plan->arena;
    int64_t columns = r->tile->column_end - r->tile->column_begin;
    float *init = (float *)(r->arena + arena->init);
    memset(r->arena + arena->zeros, 0, (size_t)(arena->bytes - arena->zeros));
    memset(init, 0, (size_t)padded(r->plan, columns) * sizeof(float));
    tilefold_cpu_load_bias(r->work, r->tile, r->tile->column_begin, columns, init);
    fill_spread(r, (int32_t *)(r->arena + operand_of(r->work->geometry, r->plan).spread));
}

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    const tilefold_geometry *g = work->geometry;
    int64_t from = tile->column_begin - tile->column_begin % g->in_channels;
    rows r = {.work = work,
              .plan = work->plan,
              .tile = tile,
              .arena = arena,
              .channels = g->in_channels,
              .kernel_rows = tile->part[0].taps * tile->part[1].taps,
              .taps = tilefold_part_taps(tile),
              .in_place = g->type == TILEFOLD_F32 && g->in_group == g->in_channels,
              .from = from,
              .pointers = {.input = work->input + from / g->in_channels * g->in_group * work->element_bytes,
                           .zeros = arena + work->plan->arena.zeros,
                           .in = (const void **)arena}};
    r.direct = r.in_place && g->out_channel == 1 && g->out_group == g->out_channels;
    r.weights = tile_weights(&r);
    fill(&r);
    tilefold_cursor cursor = tilefold_cursor_at(tile, tile->position_begin);
    for (int64_t left = tile->position_end - tile->position_begin; left > 0;) {
        int64_t count = tilefold_cursor_run(&cursor, tile, left);
        run_row(&r, cursor, count);
        left -= count;
        tilefold_cursor_advance(&cursor, tile, count);
    }
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

static bool has_kernel(const tilefold_axis *axis) {
    return axis->kernel == TILEFOLD_GROUP_TAPS && axis->stride <= TILEFOLD_ROW_STEPS && axis->tap_step == 1;
}

static bool applies(const tilefold_cpu_shape *shape) {
    const tilefold_geometry *g = shape->geometry;
    int64_t channels = g->in_channels, lanes = shape->kernels->lanes;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        if (g->axis[axis].input_dilation > 1) return false;
    bool whole_groups = lanes % channels == 0 || channels % lanes == 0;
    return g->groups > 1 && channels > 1 && channels <= TILEFOLD_CHANNEL_BLOCK && g->out_channels == channels &&
           whole_groups && g->in_channel == 1 && g->in_group == channels && has_kernel(&g->axis[2]);
}

static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    if (index > 0) return false;
    int64_t count = tilefold_max(1, shape->part[2].count), most = shape->kernels->max_group_pixels;
    plan->groups_are_columns = true;
    plan->tiling.groups = 1;
    plan->tiling.columns = shape->geometry->groups * shape->geometry->out_channels;
    plan->mr = plan->operand_width = (int32_t)tilefold_ceil_div(count, tilefold_ceil_div(count, most));
    plan->nv = 1;
    plan->nr = plan->weight_width = shape->kernels->lanes;
    return true;
}

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    const tilefold_geometry *g = shape->geometry;
    if (plan->cut) return false;
    plan->overlaps = plan->tiling.block_columns >= plan->tiling.columns;
    tilefold_cpu_arena *arena = &plan->arena;
    int64_t lanes = padded(plan, plan->tiling.block_columns), lanes_bytes = align(lanes * (int64_t)sizeof(float));
    int64_t weight_bytes = plan->prepacked ? 0
                                           : tilefold_saturating_multiply(shape->taps * g->in_channels, lanes_bytes);
    int64_t stage_bytes = align(plan->mr * most_columns(g, plan) * (int64_t)sizeof(float));
    arena->operand_bytes = operand_of(g, plan).bytes;
    if (weight_bytes > INT64_MAX / 64 || arena->operand_bytes > INT64_MAX / 64) return false;
    arena->partial = arena->segments = arena->weight = arena->operand_bytes;
    arena->stage = arena->weight + weight_bytes;
    arena->init = arena->stage + stage_bytes;
    arena->zeros = arena->init + lanes_bytes;
    arena->bytes = arena->zeros + lanes_bytes + align(g->in_channels * (int64_t)sizeof(float));
    return true;
}

/* Cycles of a channel of one row of the kernel, for a vector: where it is spread, that takes turns with the multiply-adds; where it is
 * broadcast, by a load, the panels of one group share that. */
static double channel_cycles(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan) {
    const tilefold_cpu_throughput *core = &shape->target->throughput;
    double products = (double)plan->mr * TILEFOLD_GROUP_TAPS, lanes = plan->nr;
    double columns = (double)tilefold_cpu_row_columns(shape->geometry, plan->mr);
    if ((double)shape->geometry->in_channels < lanes) return 1.17 * (products + columns) / core->multiply_adds;
    double panels = tilefold_min(2, shape->geometry->in_channels / plan->nr);
    return 1.05 * fmax(products / core->multiply_adds, (products / panels + TILEFOLD_GROUP_TAPS) / core->loads);
}

static double estimate(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan) {
    const tilefold_geometry *g = shape->geometry;
    double pixels = plan->mr, columns = (double)tilefold_cpu_row_columns(g, plan->mr);
    double kernel_rows = (double)shape->taps / TILEFOLD_GROUP_TAPS, all = (double)plan->tiling.columns;
    double panels = ceil(all / plan->nr), spans = ceil(all / (double)span_columns(g, plan));
    double calls = (double)shape->positions / (double)shape->part[2].count *
                   ceil((double)shape->part[2].count / pixels);
    double row = (double)g->in_channels * channel_cycles(shape, plan);
    double copied = kernel_rows * columns * (10 + 0.3 * (double)span_columns(g, plan));
    double panel = kernel_rows * (row + 3) + 2 * pixels + 10;
    double cycles = calls * (60 + 1.5 * kernel_rows * columns + panels * panel);
    if (g->type != TILEFOLD_F32) cycles += calls * spans * copied;
    double store = g->out_channel != 1 ? 3.0 : g->type == TILEFOLD_F32 ? 0.3 : 0.8;
    return cycles + store * (double)shape->positions * all;
}

const tilefold_cpu_algorithm tilefold_cpu_grouped_row = {
    .id = TILEFOLD_ALGORITHM_IMPLICIT,
    .words = "groups side by side, windows of a row together",
    .whole_rows = true,
    .applies = applies,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = estimate,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};
