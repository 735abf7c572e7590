/* Direct depthwise convolution of planes with square kernels of 3, 5 or 7 taps: one input and one output channel a group,
 * pixels of a row in lanes, read where they lie. For channels-first.
 *
 * SPDX-License-Identifier: MIT
 *
 *     for each box of the tile's positions: whole rows, or a part of one
 *         for each two channels, for each few rows, for each vector of a row:
 *             one call of a micro-kernel, all taps
 *
 *     3 taps, stride 1     input row   0 1 2 3 4
 *                          output 0    a b c          a row is loaded once, at each tap along it, for all rows of
 *                          output 1      a b c        outputs whose window it is in
 *                          output 2        a b c
 *
 * What lies outside the input is masked where it is loaded, so nothing is copied. Half floats are, a call's rows at a time, and
 * what an execution has at another stride than the plan's 1.
 */
#include "../checked.h"
#include "algorithm.h"
#include "place.h"

#include <math.h>

typedef struct planes {
    const tilefold_cpu_work *work;
    const tilefold_cpu_plan *plan;
    const tilefold_tile *tile;
    char *arena;
    int64_t taps, step, sum; /* along either axis; and of a whole sum */
    tilefold_axis_class classes[TILEFOLD_AXES];
    const float *packed;                            /* the weights of channel 0, [channel][tap], or NULL */
    const tilefold_depthwise_plane_kernel *kernels; /* [rows-1] */
    bool in_place;
    /* the box in hand */
    tilefold_cursor start;
    int64_t rows, count;          /* positions: rows of so many */
    float *direct;                /* the box's first output of channel 0, where kernels may write it; or NULL */
    int64_t first[TILEFOLD_AXES]; /* where its first position reads at the first tap */
    int64_t planes_end;           /* taps up to which planes are inside */
    /* of a kernel call */
    int64_t y, x;                   /* where its first position reads */
    tilefold_plane_windows windows; /* offset: of the input in place */
    tilefold_tile_io io[TILEFOLD_PLANE_CHANNELS];
    float *out[TILEFOLD_PLANE_CHANNELS]; /* the box's first output, or the stage */
} planes;

static const float *load_weights(const planes *p, int64_t channel, int64_t count) {
    if (p->packed) return p->packed + channel * p->sum;
    float *out = (float *)(p->arena + p->plan->arena.weight);
    tilefold_block all = {0, p->sum, 0, 1};
    for (int64_t c = 0; c < count; c++)
        tilefold_cpu_pack_panel(p->work->geometry, p->plan, p->work->weight, 0, p->classes, channel + c, &all,
                                out + c * p->sum);
    return out;
}

/* ------------------------------------------------------------------------------------------------------- outputs ---- */

/* Stores what a kernel call left of a channel in the stage. */
static void store_stage(const planes *p, int64_t channel, tilefold_cursor at, int64_t rows, int64_t count,
                        const float *stage) {
    const tilefold_geometry *g = p->work->geometry;
    tilefold_column_run run = {0, 1, channel * g->out_group, g->out_group};
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) run.offset += p->tile->part[axis].out_first * g->out_axis[axis];
    for (int64_t i = 0; i < rows; i++, at.q[1]++)
        tilefold_cpu_store_tile(p->work, p->tile, &at, count, &run, 1, stage + i * p->plan->nr, p->plan->nr);
}

static float *find_direct(const planes *p) {
    const tilefold_geometry *g = p->work->geometry;
    const tilefold_axis_part *part = p->tile->part;
    if (g->type != TILEFOLD_F32 || (part[2].count > 1 && part[2].out_step * g->out_axis[2] != 1)) return NULL;
    float *out = (float *)p->work->output;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        out += (part[axis].out_first + p->start.q[axis] * part[axis].out_step) * g->out_axis[axis];
    return out;
}

/* --------------------------------------------------------------------------------------------------------- boxes ---- */

/* Of `count` neighbours from `first` on, those in [*begin, *end) lie in [0, size). */
static void find_inside(int64_t first, int64_t count, int64_t size, int64_t *begin, int64_t *end) {
    *begin = tilefold_min(count, tilefold_max(0, -first));
    *end = tilefold_max(*begin, tilefold_min(count, size - first));
}

/* Finds the planes of the box that lie in the input, and what does not change within it. */
static void enter_box(planes *p) {
    const tilefold_geometry *g = p->work->geometry;
    const tilefold_axis_part *part = p->tile->part;
    int64_t begin, end;
    tilefold_taps_met(&g->axis[0], &part[0], p->start.q[0], p->start.q[0], &begin, &end);
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        p->first[axis] = tilefold_axis_position(&part[axis], p->start.q[axis], 0);
    p->direct = find_direct(p);
    p->planes_end = end;
    p->windows = (tilefold_plane_windows){.planes = part[0].taps,
                                          .plane_begin = begin,
                                          .plane_stride = end - begin > 1 ? part[0].in_tap * g->in_axis[0] : 0,
                                          .row_stride = g->in_axis[1]};
}

/* The element of the plane at a tap that is inside. */
static int64_t plane_element(const planes *p, int64_t tap) {
    return (p->first[0] + tap * p->tile->part[0].in_tap) * p->work->geometry->in_axis[0];
}

/* Finds the windows of some rows and one vector of each, for any channel. Where nothing of them is inside no place of it may
 * be formed either: it can be as far away as padding is wide. */
static void enter_block(planes *p, int64_t row, int64_t rows, int64_t x) {
    const tilefold_geometry *g = p->work->geometry;
    tilefold_plane_windows *w = &p->windows;
    p->y = p->first[1] + row * p->step, p->x = p->first[2] + x * p->step;
    find_inside(p->y, (rows - 1) * p->step + p->taps, g->axis[1].input, &w->row_begin, &w->row_end);
    find_inside(p->x, (p->plan->nr - 1) * p->step + p->taps, g->axis[2].input, &w->begin, &w->end);
    bool any = w->plane_begin < p->planes_end && w->row_begin < w->row_end && w->begin < w->end;
    w->plane_end = any ? p->planes_end : w->plane_begin;
    if (any)
        w->offset = plane_element(p, w->plane_begin) - w->plane_begin * w->plane_stride + p->y * g->in_axis[1] + p->x;
}

/* ------------------------------------------------------------------------------------------------------- copies ---- */

/* Floats of a row of a copy, and of a copy. */
static int64_t copy_pitch(const tilefold_geometry *g, const tilefold_cpu_plan *plan) {
    return (plan->nr - 1) * g->axis[2].stride + g->axis[2].kernel;
}

static int64_t copy_floats(const tilefold_geometry *g, const tilefold_cpu_plan *plan) {
    return copy_pitch(g, plan) * ((plan->mr - 1) * g->axis[2].stride + g->axis[2].kernel);
}

/* Copies what the windows have of a channel at one tap of the plane. */
static void copy_plane(const planes *p, int64_t channel, int64_t tap, float *copy) {
    const tilefold_geometry *g = p->work->geometry;
    const tilefold_plane_windows *w = &p->windows;
    if (tap < w->plane_begin || tap >= w->plane_end) return;
    int64_t pitch = copy_pitch(g, p->plan), bytes = p->work->element_bytes;
    const char *in = p->work->input +
                     (channel * g->in_group + plane_element(p, tap) + (p->x + w->begin) * g->in_axis[2]) * bytes;
    for (int64_t y = w->row_begin; y < w->row_end; y++)
        p->plan->kernels->load_run[g->type](copy + y * pitch + w->begin, in + (p->y + y) * g->in_axis[1] * bytes,
                                            g->in_axis[2], w->end - w->begin);
}

/* The kernel call on copies: one for each tap of the plane, so that they are small. Its sums go on in the stage. */
static void run_copied(const planes *p, int64_t channel, int64_t channels, int64_t rows) {
    const tilefold_plane_windows *w = &p->windows;
    float *copy = (float *)p->arena, *stage = (float *)(p->arena + p->plan->arena.stage);
    int64_t floats = copy_floats(p->work->geometry, p->plan);
    for (int64_t tap = 0; tap < w->planes; tap++) {
        tilefold_plane_windows plane = *w;
        tilefold_tile_io io[TILEFOLD_PLANE_CHANNELS];
        for (int64_t c = 0; c < channels; c++) copy_plane(p, channel + c, tap, copy + c * floats);
        plane.in = copy, plane.offset = 0, plane.in_channel = channels > 1 ? floats : 0;
        plane.row_stride = copy_pitch(p->work->geometry, p->plan);
        plane.planes = 1, plane.plane_begin = 0, plane.plane_end = tap >= w->plane_begin && tap < w->plane_end;
        plane.w += tap * p->taps * p->taps;
        for (int64_t c = 0; c < TILEFOLD_PLANE_CHANNELS; c++) {
            float *sums = stage + c * p->plan->mr * p->plan->nr; /* each its own, though both be one channel */
            io[c] = p->io[c];
            if (tap > 0) io[c].init = sums, io[c].init_stride = p->plan->nr, io[c].init_by_row = false;
            if (tap == w->planes - 1) continue;
            io[c].out = sums, io[c].out_stride = io[c].lanes = p->plan->nr;
            io[c].low = -INFINITY, io[c].high = INFINITY;
        }
        p->kernels[rows - 1](&plane, io);
    }
}

/* --------------------------------------------------------------------------------------------------------- tiles ---- */

/* Points at two channels of the box, or twice at one. */
static void enter_channels(planes *p, int64_t channel, int64_t channels, float bias[TILEFOLD_PLANE_CHANNELS]) {
    const tilefold_geometry *g = p->work->geometry;
    const tilefold_cpu_plan *plan = p->plan;
    int64_t next = channels > 1 ? 1 : 0;
    tilefold_cpu_load_bias(p->work, p->tile, channel, channels, bias);
    p->windows.in = (const float *)p->work->input + channel * g->in_group;
    p->windows.in_channel = next * g->in_group;
    p->windows.w = load_weights(p, channel, channels);
    p->windows.w_channel = next * p->sum;
    for (int64_t c = 0; c < TILEFOLD_PLANE_CHANNELS; c++) {
        p->io[c].init = &bias[c * next];
        p->out[c] = p->direct ? p->direct + (channel + c * next) * g->out_group
                              : (float *)(p->arena + plan->arena.stage) + c * next * plan->mr * plan->nr;
    }
}

/* The box of one channel or two. */
static void run_channels(planes *p, int64_t channel, int64_t channels) {
    const tilefold_cpu_plan *plan = p->plan;
    int64_t out_row = p->direct ? p->tile->part[1].out_step * p->work->geometry->out_axis[1] : plan->nr;
    float bias[TILEFOLD_PLANE_CHANNELS];
    enter_channels(p, channel, channels, bias);
    for (int64_t row = 0; row < p->rows; row += plan->mr) {
        int64_t rows = tilefold_min(plan->mr, p->rows - row);
        for (int64_t x = 0; x < p->count; x += plan->nr) {
            int64_t count = tilefold_min(plan->nr, p->count - x);
            enter_block(p, row, rows, x);
            for (int c = 0; c < TILEFOLD_PLANE_CHANNELS; c++) {
                p->io[c].out = p->direct ? p->out[c] + row * out_row + x : p->out[c];
                p->io[c].out_stride = out_row;
                p->io[c].lanes = p->direct ? count : plan->nr;
            }
            if (p->in_place)
                p->kernels[rows - 1](&p->windows, p->io);
            else
                run_copied(p, channel, channels, rows);
            tilefold_cursor at = {{p->start.q[0], p->start.q[1] + row, p->start.q[2] + x}};
            for (int64_t c = 0; c < channels && !p->direct; c++)
                store_stage(p, channel + c, at, rows, count, p->out[c]);
        }
    }
}

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    const tilefold_geometry *g = work->geometry;
    planes p = {.work = work,
                .plan = work->plan,
                .tile = tile,
                .arena = arena,
                .taps = g->axis[2].kernel,
                .step = g->axis[2].stride,
                .sum = tilefold_part_taps(tile),
                .in_place = g->type == TILEFOLD_F32 && (g->in_axis[2] == 1 || g->axis[2].input == 1)};
    for (int c = 0; c < TILEFOLD_PLANE_CHANNELS; c++)
        p.io[c] = (tilefold_tile_io){.init_by_row = true, .low = g->clamp_low, .high = g->clamp_high};
    p.kernels = work->plan->kernels->depthwise_plane[p.taps / 2 - 1][p.step - 1];
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        p.classes[axis] = tilefold_axis_get_class(&g->axis[axis], tile->part[axis].class_index);
    if (p.plan->prepacked) p.packed = work->packed + tilefold_cpu_class_offset(g, p.plan, tile);
    p.start = tilefold_cursor_at(tile, tile->position_begin);
    for (int64_t left = tile->position_end - tile->position_begin; left > 0; left -= p.rows * p.count) {
        p.count = tilefold_cursor_run(&p.start, tile, left);
        bool whole = p.count == tile->part[2].count;
        p.rows = whole ? tilefold_min(left / p.count, tile->part[1].count - p.start.q[1]) : 1;
        enter_box(&p);
        for (int64_t channel = tile->column_begin; channel < tile->column_end; channel += TILEFOLD_PLANE_CHANNELS)
            run_channels(&p, channel, tilefold_min(TILEFOLD_PLANE_CHANNELS, tile->column_end - channel));
        for (int64_t row = 0; row < p.rows; row++) tilefold_cursor_advance(&p.start, tile, p.count);
    }
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

static bool applies(const tilefold_cpu_shape *shape) {
    const tilefold_geometry *g = shape->geometry;
    const tilefold_axis *y = &g->axis[1], *x = &g->axis[2];
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        if (g->axis[axis].input_dilation > 1) return false;
    return g->in_channels == 1 && g->out_channels == 1 && (g->in_axis[2] == 1 || x->input == 1) && x->kernel >= 3 &&
           x->kernel <= 2 * TILEFOLD_ROW_KERNELS + 1 && x->kernel % 2 == 1 && x->stride <= TILEFOLD_ROW_STEPS &&
           x->tap_step == 1 && y->kernel == x->kernel && y->stride == x->stride && y->tap_step == 1 &&
           g->axis[0].tap_step > 0;
}

static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    if (index > 0) return false;
    int64_t rows = tilefold_max(1, shape->part[1].count), most = shape->kernels->max_plane_rows;
    plan->groups_are_columns = plan->positions_in_lanes = true;
    plan->tiling.groups = 1;
    plan->tiling.columns = shape->geometry->groups;
    plan->mr = (int32_t)tilefold_ceil_div(rows, tilefold_ceil_div(rows, most));
    plan->nv = 1;
    plan->nr = plan->operand_width = shape->kernels->lanes;
    plan->weight_width = 1;
    return true;
}

static int64_t align(int64_t bytes) { return tilefold_round_up(bytes, TILEFOLD_ARENA_ALIGNMENT); }

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    if (plan->block.taps < shape->most_taps || plan->block.taps > INT64_MAX / 64) return false;
    tilefold_cpu_arena *arena = &plan->arena;
    int64_t copies = TILEFOLD_PLANE_CHANNELS * copy_floats(shape->geometry, plan) * (int64_t)sizeof(float);
    arena->operand_bytes = arena->partial = arena->segments = arena->weight = align(copies);
    int64_t channels = TILEFOLD_PLANE_CHANNELS, stage = channels * plan->mr * plan->nr * (int64_t)sizeof(float);
    int64_t weight = plan->prepacked ? 0 : align(channels * plan->block.taps * (int64_t)sizeof(float));
    arena->stage = arena->weight + weight;
    arena->init = arena->zeros = arena->bytes = arena->stage + align(stage);
    return true;
}

/* Cycles. Vectors that begin anywhere lie in two cache lines, mostly, which takes as long as two loads. The sums of one channel
 * wait for each other within an input row. */
static double estimate(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan) {
    const tilefold_geometry *g = shape->geometry;
    const tilefold_cpu_throughput *core = &shape->target->throughput;
    double taps = (double)g->axis[2].kernel, step = (double)g->axis[2].stride, rows = plan->mr;
    double channels = TILEFOLD_PLANE_CHANNELS, pairs = ceil((double)g->groups / channels);
    double calls = (double)shape->positions / (double)(shape->part[1].count * shape->part[2].count) *
                   ceil((double)shape->part[1].count / rows) * ceil((double)shape->part[2].count / plan->nr);
    double in_rows = (rows - 1) * step + taps, multiply_adds = channels * rows * taps * taps;
    double loads = channels * in_rows * taps * 2 + multiply_adds, turned = step > 1 ? channels * in_rows * taps : 0;
    double kernel = fmax((multiply_adds + turned) / core->multiply_adds, loads / core->loads);
    kernel = fmax(kernel, in_rows * taps * core->latency);
    double call = (double)shape->part[0].taps * kernel + 50 + 2 * channels * rows;
    double bytes = (double)g->groups * (double)shape->positions * step * step * 4;
    double arrival = bytes / (bytes < 0.5 * (double)shape->target->l2_bytes ? 40 : 15);
    double store = g->type != TILEFOLD_F32 ? 1.0 : g->out_axis[2] == 1 ? 0 : 3.0;
    if (g->type != TILEFOLD_F32) call += channels * in_rows * 12;
    return pairs * calls * call + arrival + store * (double)shape->positions * (double)g->groups;
}

const tilefold_cpu_algorithm tilefold_cpu_depthwise_plane = {
    .id = TILEFOLD_ALGORITHM_DIRECT,
    .words = "depthwise, pixels in lanes, windows of a plane together, read in place",
    .whole_rows = true,
    .applies = applies,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = estimate,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};
