/* The cost model: cycles of a machine with one vector multiply-add a cycle.
 *
 * SPDX-License-Identifier: MIT
 *
 * Its constants were measured on Zen 4 and only need to rank candidates. Everything is estimated for the dominant part and
 * scaled to the whole.
 */
#include "cost.h"

#include "../checked.h"

#include <math.h>

typedef tilefold_cpu_shape shape;

int64_t tilefold_cpu_position_step(const shape *s) {
    const tilefold_axis *axis = &s->geometry->axis[TILEFOLD_AXES - 1];
    return axis->stride / (axis->input_dilation / axis->phases);
}

void tilefold_cpu_find_dominant(shape *s) {
    tilefold_axis_kind kinds[TILEFOLD_AXES][TILEFOLD_MAX_KINDS];
    int used[TILEFOLD_AXES];
    s->most_taps = s->folds = s->taps = s->positions = 1;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        used[axis] = tilefold_axis_get_kinds(&s->geometry->axis[axis], kinds[axis]);
        const tilefold_axis_kind *best = &kinds[axis][0];
        int64_t most = 0;
        for (int i = 0; i < used[axis]; i++) {
            const tilefold_axis_kind *kind = &kinds[axis][i];
            most = tilefold_max(most, kind->taps);
            double work = (double)kind->count * (double)kind->folds * (double)kind->taps;
            if (work > (double)best->count * (double)best->folds * (double)best->taps) best = kind;
        }
        s->taps *= best->taps;
        s->positions *= best->count;
        s->folds *= best->folds;
        s->most_taps *= most;
        s->row = best->count;
        s->row_taps = best->taps;
    }
    double part = (double)s->taps * (double)s->positions * (double)s->folds * (double)s->geometry->in_channels *
                  (double)s->geometry->out_channels;
    double all = (double)tilefold_geometry_macs(s->geometry);
    s->share = all > 0 && part > 0 ? part / all : 1;
}

/* Rows a multiple of a page apart fall into one set of the first-level cache and drive each other out of it. Measured with
 * 14 rows 4096 bytes apart; 2048 bytes apart there are two sets, which do. */
static double row_conflicts(const shape *s) {
    double apart = (double)tilefold_cpu_position_step(s) * (double)s->geometry->in_axis[TILEFOLD_AXES - 1] * 4;
    return s->row > 1 && fmod(apart, 4096) == 0 ? 1.4 : 1;
}

/* Cycles of one step of K in a kernel: bound by its multiply-adds, its loads, or the latency of few sums. */
static double step_cycles(const shape *s, const tilefold_cpu_plan *p, double rows, double vectors) {
    double loads = rows + vectors, conflicts = 1;
    if (p->operand == TILEFOLD_OPERAND_ROWS) {
        loads += rows;
        conflicts = row_conflicts(s);
    }
    if (p->operand == TILEFOLD_OPERAND_LANES) loads += 1;
    return fmax(fmax(rows * vectors * conflicts, 0.6 * loads), 4.0) + 0.4;
}

/* Cycles to unfold one element. */
static double unfold_cycles(const shape *s, const tilefold_cpu_plan *p) {
    const tilefold_geometry *g = s->geometry;
    double step = (double)tilefold_cpu_position_step(s) * (double)g->in_axis[TILEFOLD_AXES - 1];
    double run = (double)tilefold_min(tilefold_min(p->operand_width, s->row), s->positions);
    bool along_pixels = fabs(step) <= fabs((double)g->in_channel);
    if (along_pixels) return (step == 1 ? 0.12 : step == 2 ? 0.3 : 1.0) + 14.0 / run;
    if (g->in_channel != 1) return 1.2;
    bool adjoining = g->axis[TILEFOLD_AXES - 1].tap_step == 1 && g->in_axis[TILEFOLD_AXES - 1] == g->in_channels;
    double length = (double)g->in_channels * (adjoining ? (double)s->row_taps : 1);
    return (length < 32 ? 1.4 : 0.5) + 60.0 / (run * length);
}

/* Cycles to store one output that the kernel cannot write itself. */
static double store_cycles(const shape *s, const tilefold_cpu_plan *p) {
    const tilefold_geometry *g = s->geometry;
    const tilefold_axis *axis = &g->axis[TILEFOLD_AXES - 1];
    double fold_stride = (double)g->out_axis[TILEFOLD_AXES - 1], pixel_stride = fold_stride * (double)axis->phases;
    double lane_stride = p->positions_in_lanes    ? pixel_stride
                         : p->tiling.columns == 1 ? fold_stride
                                                  : (double)g->out_channel;
    int64_t run = p->positions_in_lanes ? s->row : p->tiling.columns == 1 ? s->folds : p->tiling.columns;
    double lanes = (double)tilefold_min(p->nr, run);
    bool contiguous = fabs(lane_stride) == 1, whole = contiguous && lanes >= p->nr && g->type == TILEFOLD_F32;
    double each = contiguous ? 0.25 : fabs(lane_stride) < 16 ? 1.2 : 4.0; /* 4: a cache line for every element */
    return whole ? 0.1 : each + 10.0 / lanes;
}

/* The share of the operand that must be copied: all of it, or what padding and strides disturb of what is read in place,
 * where a row is copied once for all taps that are a multiple of the stride apart. */
static double copied_share(const shape *s, const tilefold_cpu_plan *p) {
    if (p->operand == TILEFOLD_OPERAND_VALUES) return 1;
    if (p->operand == TILEFOLD_OPERAND_ROWS) return 0;
    const tilefold_geometry *g = s->geometry;
    int64_t step = tilefold_cpu_position_step(s), lanes = p->kernels->lanes;
    double once = (double)tilefold_min(step, s->row_taps) / (double)tilefold_max(1, s->row_taps), row = (double)s->row;
    bool in_place = g->type == TILEFOLD_F32 && step == 1 && g->in_axis[TILEFOLD_AXES - 1] == 1;
    if (!p->builds_tiles && !p->cut && p->operand_width > s->row) /* bands of rows serve all taps */
        return fmin(1, once * (double)s->row_taps / (double)tilefold_max(1, s->taps));
    if (!p->builds_tiles) /* panels keep to rows, unless those are short */
        return s->row < lanes ? 1 : once * (in_place ? fmin(1, (double)p->nr / row) : 1);
    double crossing = s->row % p->nr == 0 ? 0 : fmin(1, (double)p->nr / row);
    return crossing + (1 - crossing) * once * (in_place ? fmin(1, 2 * (double)p->nr / row) : 1);
}

double tilefold_cpu_parts_alike(const shape *s, const tilefold_cpu_plan *p) {
    return fmax(1.0, 1 / s->share * (double)p->tiling.groups / (double)s->geometry->groups);
}

static double ceil_div(double a, double b) { return ceil(a / b); }

double tilefold_cpu_estimate(const shape *s, const tilefold_cpu_plan *p) {
    const tilefold_geometry *g = s->geometry;
    double m = (double)s->positions, n = (double)(p->tiling.columns * s->folds);
    double k = (double)(s->taps * g->in_channels);
    double tile_positions = fmin(m, (double)p->tiling.positions);
    double position_tiles = ceil_div(m, (double)p->tiling.positions);
    double column_tiles = ceil_div(n, (double)p->tiling.block_columns);
    double blocks = fmax(1.0, ceil_div(k, (double)p->block_k));
    double lanes = p->kernels->lanes;

    double rows_total = p->positions_in_lanes ? n : m, lanes_total = p->positions_in_lanes ? tile_positions : n;
    double vectors = ceil_div(lanes_total, lanes) * (p->positions_in_lanes ? position_tiles : 1);
    double row_panels = p->positions_in_lanes ? ceil_div(n, p->mr) : position_tiles * ceil_div(tile_positions, p->mr);
    double lane_panels = p->positions_in_lanes ? position_tiles * ceil_div(tile_positions, p->nr) : ceil_div(n, p->nr);
    double rows = rows_total / row_panels, width = vectors / lane_panels;
    double calls = row_panels * lane_panels * blocks;
    double cycles = row_panels * lane_panels * k * step_cycles(s, p, rows, width) + calls * (50 + 2 * rows * width);

    if (p->depthwise)
        cycles += row_panels * lane_panels * k * rows * 5;
    else {
        double built = m * k * column_tiles;
        cycles += built * copied_share(s, p) * unfold_cycles(s, p);
        if (p->operand == TILEFOLD_OPERAND_ROWS) cycles += m * (double)s->taps * blocks * column_tiles * 3;
        if (p->operand == TILEFOLD_OPERAND_LANES) cycles += built / p->nr * 3;
    }
    cycles += m * n * store_cycles(s, p);
    double weight_bytes = k * n * 4;
    if (weight_bytes > (double)s->l2_bytes / 2) cycles += position_tiles * weight_bytes / 24;
    if (!p->prepacked) cycles += position_tiles * k * n;
    double others = tilefold_cpu_parts_alike(s, p), total = cycles * others;
    double tiles = fmax(1.0, position_tiles * column_tiles * others);
    double turns = ceil_div(tiles, s->threads);
    double start = s->threads > 1 ? 40000 : 0; /* to wake them */
    return start + total * turns / tiles + tiles / s->threads * 300;
}
