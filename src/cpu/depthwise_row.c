/* Direct depthwise convolution where channels lie side by side and the kernel is 3, 5 or 7 wide: channels in lanes, and each
 * column of a row is loaded once for all pixels whose window it is in.
 *
 * SPDX-License-Identifier: MIT
 *
 *     for each row of the tile:
 *         for each few pixels of it:      pointers at the columns of their windows, for each row of the kernel
 *             one call of a micro-kernel, for all of the tile's channels
 *
 *     stride 1, 3 taps     columns   0 1 2 3 4 5
 *                          pixel 0   a b c
 *                          pixel 1     a b c
 *                          pixel 2       a b c
 *                          pixel 3         a b c
 *
 * Where the kernel is 3 wide and nothing is strided, two rows of outputs are computed at once: they share all rows of the input but
 * two. An image that is larger than the second-level cache then comes from beyond it by fewer pixels at once, in longer runs.
 *
 * The pointers of pixels that read no padding serve the whole row. A last panel of channels that is not full is treated as
 * depthwise.c treats it.
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
    int64_t taps, step, kernel_rows; /* taps of a row, columns from one pixel to the next */
    int64_t channels;                /* of the tile */
    const float *weights;            /* of the tile's panels */
    /* the pixels in hand */
    tilefold_cursor at;
    int64_t pixels;
    bool paired; /* and those below them */
    tilefold_row_pointers pointers;
} rows;

/* Parts of the operand: pointers [row][column]; and for channels that cannot be read in place, pointers at unfolded columns and
 * those columns, [row][column][lane]. */
typedef struct operand {
    int64_t unfolded_pointers, unfolded, bytes;
} operand;

static int64_t align(int64_t bytes) { return tilefold_round_up(bytes, TILEFOLD_ARENA_ALIGNMENT); }

static operand operand_of(const tilefold_geometry *g, const tilefold_cpu_plan *plan) {
    int64_t columns = (g->axis[0].kernel * g->axis[1].kernel + plan->paired) * tilefold_cpu_row_columns(g, plan->mr);
    int64_t pointers = align(columns * (int64_t)sizeof(void *));
    return (operand){pointers, 2 * pointers, 2 * pointers + align(columns * plan->nr * (int64_t)sizeof(float))};
}

static int64_t padded(const tilefold_cpu_plan *plan, int64_t channels) { return tilefold_round_up(channels, plan->nr); }

/* ------------------------------------------------------------------------------------------------------ operands ---- */

/* Unfolds `count` channels from `offset` on; returns pointers at them. */
static const void *const *unfold(const rows *r, int64_t offset, int64_t count) {
    const tilefold_cpu_work *work = r->work;
    operand parts = operand_of(work->geometry, r->plan);
    const char *const *in = (const char *const *)r->arena;
    const void **columns = (const void **)(r->arena + parts.unfolded_pointers);
    float *out = (float *)(r->arena + parts.unfolded);
    int64_t n = (r->kernel_rows + r->paired) * r->pointers.columns;
    memset(out, 0, (size_t)(n * r->plan->nr) * sizeof *out);
    for (int64_t i = 0; i < n; i++, out += r->plan->nr) {
        r->plan->kernels->load_run[work->geometry->type](out, in[i] + offset * work->element_bytes, 1, count);
        columns[i] = out;
    }
    return columns;
}

static const float *tile_weights(const rows *r) {
    const tilefold_cpu_plan *plan = r->plan;
    const tilefold_geometry *g = r->work->geometry;
    int64_t taps = r->kernel_rows * r->taps;
    if (plan->prepacked)
        return r->work->packed + tilefold_cpu_class_offset(g, plan, r->tile) + r->tile->column_begin * taps;
    tilefold_axis_class classes[TILEFOLD_AXES];
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        classes[axis] = tilefold_axis_get_class(&g->axis[axis], r->tile->part[axis].class_index);
    const tilefold_block all = {0, taps, 0, 1};
    float *out = (float *)(r->arena + plan->arena.weight);
    for (int64_t channel = 0; channel < r->channels; channel += plan->nr)
        tilefold_cpu_pack_panel(g, plan, r->work->weight, 0, classes, r->tile->column_begin + channel, &all,
                                out + channel * taps);
    return out;
}

/* ------------------------------------------------------------------------------------------------------- outputs ---- */

/* The element of channel 0 of the tile at the pixels in hand. */
static int64_t output_element(const rows *r) {
    const tilefold_geometry *g = r->work->geometry;
    int64_t element = r->tile->column_begin * g->out_group;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        element += (r->tile->part[axis].out_first + r->at.q[axis] * r->tile->part[axis].out_step) * g->out_axis[axis];
    return element;
}

static void store_stage(const rows *r) {
    const tilefold_geometry *g = r->work->geometry;
    tilefold_column_run run = {0, r->channels, r->tile->column_begin * g->out_group, g->out_group};
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) run.offset += r->tile->part[axis].out_first * g->out_axis[axis];
    tilefold_cpu_store_tile(r->work, r->tile, &r->at, r->pixels, &run, 1,
                            (const float *)(r->arena + r->plan->arena.stage), padded(r->plan, r->channels));
}

/* --------------------------------------------------------------------------------------------------------- tiles ---- */

static tilefold_depthwise_row_kernel kernel_for(const rows *r, tilefold_type type) {
    if (r->paired) return r->plan->kernels->depthwise_pair[r->pixels - 1];
    return r->plan->kernels->depthwise_row[type][r->taps / 2 - 1][r->step - 1][r->pixels - 1];
}

/* The channels of the last panel, which is not full. */
static void run_rest(const rows *r, tilefold_row_windows windows, tilefold_tile_io io, int64_t whole) {
    int64_t lanes = r->plan->nr, rest = r->channels - whole, back = r->plan->overlaps && whole > 0 ? lanes - rest : 0;
    windows.panels = 1;
    windows.w += whole * r->kernel_rows * r->taps;
    io.init += whole - back, io.out += whole - back;
    if (back > 0) {
        windows.offset += whole - back;
        kernel_for(r, r->work->geometry->type)(&windows, &io);
        return;
    }
    windows.in = unfold(r, windows.offset + whole, rest);
    windows.offset = 0;
    io.lanes = rest;
    kernel_for(r, TILEFOLD_F32)(&windows, &io);
}

/* All channels of the pixels in hand. */
static void run_pixels(rows *r) {
    const tilefold_geometry *g = r->work->geometry;
    const tilefold_cpu_plan *plan = r->plan;
    int64_t whole = r->channels / plan->nr * plan->nr;
    bool direct = g->type == TILEFOLD_F32 && g->out_group == 1;
    tilefold_tile_io io = {.init = (const float *)(r->arena + plan->arena.init),
                           .out = direct ? (float *)r->work->output + output_element(r)
                                         : (float *)(r->arena + plan->arena.stage),
                           .out_stride = direct ? r->tile->part[2].out_step * g->out_axis[2]
                                                : padded(plan, r->channels),
                           .lanes = plan->nr,
                           .low = g->clamp_low,
                           .high = g->clamp_high};
    tilefold_row_windows windows = {.rows = r->kernel_rows,
                                    .panels = whole / plan->nr,
                                    .in = (const void *const *)r->arena,
                                    .offset = tilefold_cpu_enter_row(r->work, r->tile, &r->at, &r->pointers),
                                    .w = r->weights,
                                    .out_row = r->tile->part[1].out_step * g->out_axis[1]};
    if (whole > 0) kernel_for(r, g->type)(&windows, &io);
    if (whole < r->channels) run_rest(r, windows, io, whole);
    if (!direct) store_stage(r);
}

/* A run of one row, or of two; its last pixels may be computed twice, so that all calls have as many. */
static void run_row(rows *r, tilefold_cursor start, int64_t count) {
    r->pixels = tilefold_ceil_div(count, tilefold_ceil_div(count, r->plan->mr));
    r->pointers.columns = tilefold_cpu_row_columns(r->work->geometry, r->pixels);
    r->pointers.more = r->paired;
    r->pointers.reusable = false;
    for (int64_t x = 0; x < count; x += r->pixels) {
        r->at = start;
        r->at.q[2] += tilefold_min(x, count - r->pixels);
        run_pixels(r);
    }
}

/* Whether the row from the cursor on and the one below it are both wanted, whole. Kernels write pairs themselves. */
static bool makes_pair(const rows *r, const tilefold_cursor *cursor, int64_t count, int64_t left) {
    const tilefold_axis_part *part = r->tile->part;
    return r->plan->paired && r->work->geometry->out_group == 1 && count == part[2].count && left >= 2 * count &&
           cursor->q[1] + 1 < part[1].count;
}

static void fill(const rows *r) {
    size_t bytes = (size_t)padded(r->plan, r->channels) * sizeof(float);
    float *init = (float *)(r->arena + r->plan->arena.init);
    memset(r->arena + r->plan->arena.zeros, 0, bytes);
    memset(init, 0, bytes);
    tilefold_cpu_load_bias(r->work, r->tile, r->tile->column_begin, r->channels, init);
}

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    const tilefold_geometry *g = work->geometry;
    rows r = {.work = work,
              .plan = work->plan,
              .tile = tile,
              .arena = arena,
              .taps = tile->part[2].taps,
              .step = g->axis[2].stride,
              .kernel_rows = tile->part[0].taps * tile->part[1].taps,
              .channels = tile->column_end - tile->column_begin,
              .pointers = {.input = work->input + tile->column_begin * g->in_group * work->element_bytes,
                           .zeros = arena + work->plan->arena.zeros,
                           .in = (const void **)arena}};
    r.weights = tile_weights(&r);
    fill(&r);
    tilefold_cursor cursor = tilefold_cursor_at(tile, tile->position_begin);
    for (int64_t left = tile->position_end - tile->position_begin; left > 0;) {
        int64_t count = tilefold_cursor_run(&cursor, tile, left), rows;
        r.paired = makes_pair(&r, &cursor, count, left);
        run_row(&r, cursor, count);
        rows = r.paired ? 2 : 1;
        left -= rows * count;
        for (; rows > 0; rows--) tilefold_cursor_advance(&cursor, tile, count);
    }
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

static bool has_kernel(const tilefold_axis *axis) {
    int64_t taps = axis->kernel;
    return taps >= 3 && taps <= 2 * TILEFOLD_ROW_KERNELS + 1 && taps % 2 == 1 && axis->stride <= TILEFOLD_ROW_STEPS &&
           axis->tap_step == 1;
}

static bool applies(const tilefold_cpu_shape *shape) {
    const tilefold_geometry *g = shape->geometry;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        if (g->axis[axis].input_dilation > 1) return false;
    return g->in_channels == 1 && g->out_channels == 1 && (g->in_group == 1 || g->groups == 1) &&
           has_kernel(&g->axis[2]);
}

static bool can_pair(const tilefold_cpu_shape *shape) {
    const tilefold_geometry *g = shape->geometry;
    const tilefold_axis *axis = g->axis;
    return g->type == TILEFOLD_F32 && g->out_group == 1 && axis[0].kernel == 1 && shape->part[1].count > 1 &&
           axis[1].stride == 1 && axis[1].tap_step == 1 && axis[2].stride == 1 && axis[2].kernel == TILEFOLD_PAIR_TAPS;
}

/* Whether the input and the output pass through the second-level cache rather than lie in it. */
static bool passes_cache(const tilefold_cpu_shape *shape) {
    double outputs = (double)shape->positions * (double)shape->geometry->groups;
    return 2 * outputs * sizeof(float) > (double)shape->target->l2_bytes;
}

/* Pixels of a pair's row: where the image passes through the cache few, so that each is a long run of channels; of few channels a
 * call would be too short. */
static int64_t most_pair_pixels(const tilefold_cpu_shape *shape) {
    enum { MANY_PANELS = 8 };
    int64_t most = shape->kernels->max_pair_pixels;
    if (!passes_cache(shape)) return most;
    return tilefold_min(most, shape->geometry->groups >= MANY_PANELS * shape->kernels->lanes ? 2 : 4);
}

static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    plan->paired = index == 1;
    if (index > 1 || (plan->paired && !can_pair(shape))) return false;
    int64_t count = tilefold_max(1, shape->part[2].count);
    int64_t most = plan->paired ? most_pair_pixels(shape) : shape->kernels->max_row_pixels;
    plan->groups_are_columns = true;
    plan->tiling.groups = 1;
    plan->tiling.columns = shape->geometry->groups;
    plan->mr = plan->operand_width = (int32_t)tilefold_ceil_div(count, tilefold_ceil_div(count, most));
    plan->nv = 1;
    plan->nr = plan->weight_width = shape->kernels->lanes;
    return true;
}

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    if (plan->block.taps < shape->most_taps) return false;
    plan->overlaps = plan->tiling.block_columns >= plan->tiling.columns;
    tilefold_cpu_arena *arena = &plan->arena;
    int64_t lanes = padded(plan, plan->tiling.block_columns), lanes_bytes = align(lanes * (int64_t)sizeof(float));
    int64_t weight_bytes = plan->prepacked ? 0 : tilefold_saturating_multiply(plan->block.taps, lanes_bytes);
    arena->operand_bytes = operand_of(shape->geometry, plan).bytes;
    if (weight_bytes > INT64_MAX / 64 || arena->operand_bytes > INT64_MAX / 64) return false;
    arena->partial = arena->segments = arena->weight = arena->operand_bytes;
    arena->stage = arena->weight + weight_bytes;
    arena->init = arena->stage + plan->mr * lanes_bytes;
    arena->zeros = arena->init + lanes_bytes;
    arena->bytes = arena->zeros + lanes_bytes;
    return true;
}

/* Cycles of a row of the kernel, for `rows` rows of outputs. A column is loaded by its pointer, which takes a load too, though of
 * another kind. */
static double row_cycles(const tilefold_cpu_shape *shape, double pixels, double columns, double rows) {
    double taps = (double)shape->geometry->axis[2].kernel;
    return fmax(rows * pixels * taps / shape->target->throughput.multiply_adds,
                (1.5 * columns + rows * taps) / shape->target->throughput.loads);
}

static double estimate_rows(const tilefold_cpu_shape *shape, double pixels, bool paired) {
    const tilefold_geometry *g = shape->geometry;
    double lanes = shape->kernels->lanes, rows = paired ? 2 : 1;
    double kernel_rows = (double)shape->taps / (double)g->axis[2].kernel;
    double columns = (double)tilefold_cpu_row_columns(g, (int64_t)pixels);
    double calls = (double)shape->positions / rows / (double)shape->part[2].count *
                   ceil((double)shape->part[2].count / pixels);
    double conversions = g->type == TILEFOLD_F32 ? 0 : 0.5 * columns;
    double panel = (kernel_rows + 1 - rows) * row_cycles(shape, pixels, columns, rows) +
                   kernel_rows * (conversions + 1) + 2 * rows * pixels + 10;
    if (paired) panel += 2 * row_cycles(shape, pixels, columns, 1);
    double cycles = calls * (60 + 1.5 * (kernel_rows + rows - 1) * columns + ceil((double)g->groups / lanes) * panel);
    if ((double)g->groups < lanes) cycles += calls * (kernel_rows + rows - 1) * columns * 12;
    return cycles;
}

/* What pairs leave of the time where memory is waited for: 56x56x384 and 48x48x128, measured. */
static const double pair_share = 0.85;

static double estimate(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan) {
    const tilefold_geometry *g = shape->geometry;
    double cycles = plan->paired && passes_cache(shape)
                        ? pair_share * estimate_rows(shape, shape->kernels->max_row_pixels, false)
                        : estimate_rows(shape, plan->mr, plan->paired);
    double store = g->out_group != 1 ? 3.0 : g->type == TILEFOLD_F32 ? 0 : 0.3;
    return cycles + store * (double)shape->positions * (double)g->groups;
}

const tilefold_cpu_algorithm tilefold_cpu_depthwise_row = {
    .id = TILEFOLD_ALGORITHM_DIRECT,
    .words = "depthwise, windows of a row together, read in place",
    .whole_rows = true,
    .applies = applies,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = estimate,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};
