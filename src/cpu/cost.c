/* SPDX-License-Identifier: MIT */
#include "cost.h"

#include "../checked.h"
#include "halo_layout.h"

#include <math.h>

typedef tilefold_cpu_shape shape;

/* ------------------------------------------------------------------------------------------------ dominant part ---- */

/* A part of the axis with these counts; where it begins is left open. */
static tilefold_axis_part part_of_kind(const tilefold_axis *axis, const tilefold_axis_kind *kind) {
    tilefold_axis_part part = {.count = kind->count,
                               .folds = kind->folds,
                               .taps = kind->taps,
                               .class_folds = kind->folds,
                               .out_step = axis->folded ? axis->input_dilation : axis->phases,
                               .in_step = axis->folded ? 1 : axis->stride / (axis->input_dilation / axis->phases),
                               .in_tap = axis->folded ? axis->tap_step : axis->tap_step / axis->common};
    if (part.count <= 1) part.in_step = part.out_step = 1;
    if (part.taps <= 1) part.in_tap = 1;
    return part;
}

void tilefold_cpu_find_dominant(shape *s) {
    s->most_taps = s->folds = s->taps = s->positions = 1;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        tilefold_axis_kind kinds[TILEFOLD_MAX_KINDS];
        int used = tilefold_axis_get_kinds(&s->geometry->axis[axis], kinds);
        const tilefold_axis_kind *best = &kinds[0];
        int64_t most = 0;
        for (int i = 0; i < used; i++) {
            const tilefold_axis_kind *kind = &kinds[i];
            most = tilefold_max(most, kind->taps);
            double work = (double)kind->count * (double)kind->folds * (double)kind->taps;
            if (work > (double)best->count * (double)best->folds * (double)best->taps) best = kind;
        }
        s->part[axis] = part_of_kind(&s->geometry->axis[axis], best);
        s->taps *= best->taps;
        s->positions *= best->count;
        s->folds *= best->folds;
        s->most_taps *= most;
    }
    double part = (double)s->taps * (double)s->positions * (double)s->folds * (double)s->geometry->in_channels *
                  (double)s->geometry->out_channels;
    double all = (double)tilefold_geometry_macs(s->geometry);
    s->share = all > 0 && part > 0 ? part / all : 1;
}

double tilefold_cpu_parts_alike(const shape *s, const tilefold_cpu_plan *p) {
    return fmax(1.0, 1 / s->share * (double)p->tiling.groups / (double)s->geometry->groups);
}

int64_t tilefold_cpu_positions(const shape *s, const tilefold_cpu_plan *p) {
    return tilefold_positions(&p->tiling, s->part[0].count, s->part[1].count, s->part[2].count);
}

/* -------------------------------------------------------------------------------------------------------- terms ---- */

static double ceil_div(double a, double b) { return ceil(a / b); }

/* What most estimates begin with. */
typedef struct sizes {
    double m, n, k; /* positions, columns, length of a sum */
    double tiles, tile_positions,
        column_tiles; /* tiles along the positions, positions of one, tiles along the columns */
    double blocks;
} sizes;

static sizes get_sizes(const shape *s, const tilefold_cpu_plan *p) {
    sizes z = {.m = (double)s->positions,
               .n = (double)(p->tiling.columns * s->folds),
               .k = (double)(s->taps * s->geometry->in_channels)};
    z.tiles = ceil_div((double)tilefold_cpu_positions(s, p), (double)p->tiling.positions);
    z.tile_positions = z.m / z.tiles;
    z.column_tiles = ceil_div(z.n, (double)p->tiling.block_columns);
    z.blocks = fmax(1.0, ceil_div(z.k, (double)(p->block.taps * p->block.channels)));
    return z;
}

/* One step of a sum in a kernel: bound by its multiply-adds, its loads, or the latency of few sums. */
static double step_cycles(const shape *s, double rows, double vectors, double loads) {
    const tilefold_cpu_throughput *core = &s->target->throughput;
    return fmax(fmax(rows * vectors / core->multiply_adds, loads / core->loads), core->latency) + 0.15;
}

/* A kernel call beside its steps: sums are loaded and stored, segments entered. */
static double call_cycles(double rows, double vectors, double segments) {
    return 30 + 1.5 * rows * vectors + 4 * segments;
}

/* Rows a multiple of a page apart fall into one set of the first-level cache and drive each other out of it. Measured with
 * 14 rows 4096 bytes apart; 2048 bytes apart there are two sets, which do. */
static double row_conflicts(const shape *s) {
    double apart = (double)s->part[2].in_step * (double)s->geometry->in_axis[2] * 4;
    return s->part[2].count > 1 && fmod(apart, 4096) == 0 ? 1.4 : 1;
}

/* Cycles to bring one element into a panel or a copy, in runs of `run` positions. */
static double copy_cycles(const shape *s, double run) {
    const tilefold_geometry *g = s->geometry;
    double step = (double)s->part[2].in_step * (double)g->in_axis[2];
    if (g->in_channels == 1 || fabs(step) <= fabs((double)g->in_channel))
        return (fabs(step) == 1 ? 0.08 : step == 2 ? 0.2 : 0.9) + 12.0 / run;
    if (g->in_channel != 1) return 1.2;
    return ((double)g->in_channels < 16 ? 1.4 : 0.45) + 10.0 / run;
}

/* Cycles to store one output. */
static double store_cycles(const shape *s, const tilefold_cpu_plan *p, double run) {
    const tilefold_geometry *g = s->geometry;
    double fold_stride = (double)g->out_axis[2], pixel_stride = (double)s->part[2].out_step * fold_stride;
    bool folds_side_by_side = p->tiling.columns == 1 && s->folds > 1;
    double column_stride = folds_side_by_side ? fold_stride : (double)g->out_channel;
    double columns = folds_side_by_side ? (double)s->folds : (double)p->tiling.columns;
    double lane_stride = p->positions_in_lanes ? pixel_stride : column_stride;
    double lanes = fmin((double)p->nr, p->positions_in_lanes ? run : columns);
    if (fabs(lane_stride) == 1) return (g->type == TILEFOLD_F32 ? 0.06 : 0.25) + 4 / lanes;
    if (!p->positions_in_lanes && pixel_stride == 1) return 0.35 + 6 / fmin(run, (double)p->mr);
    return (fabs(lane_stride) < 16 ? 1.2 : 3.0) + 6 / lanes; /* 3: a cache line for every element */
}

/* Weights that no cache near the core holds come again with every walk over them; packed as they come, they cost more. */
static double weight_cycles(const shape *s, const tilefold_cpu_plan *p, const sizes *z, double walks) {
    double bytes = z->k * z->n * 4, cycles = 0;
    if (bytes > (double)s->target->l2_bytes / 2) cycles += walks * bytes / 24;
    if (!p->prepacked) cycles += walks * z->k * z->n * 0.7;
    return cycles;
}

/* The kernel calls of a product whose positions come `width` to a call, in `calls` calls. */
static double product_cycles(const shape *s, const tilefold_cpu_plan *p, const sizes *z, double calls, double conflicts,
                             double extra_loads, double segments) {
    double lanes = s->kernels->lanes, positions = z->m / calls;
    double columns = z->n / ceil_div(z->n, p->weight_width), column_panels = ceil_div(z->n, p->weight_width);
    double rows = p->positions_in_lanes ? columns : positions;
    double vectors = ceil_div(p->positions_in_lanes ? positions : columns, lanes);
    double loads = fmin(rows, vectors) + rows * vectors * 0 + fmax(rows, vectors) + extra_loads * rows;
    double each = z->k * step_cycles(s, rows, vectors, loads) * conflicts +
                  z->blocks * call_cycles(rows, vectors, segments / z->blocks);
    return calls * column_panels * each;
}

/* --------------------------------------------------------------------------------------------------- algorithms ---- */

double tilefold_cpu_estimate_unfold(const shape *s, const tilefold_cpu_plan *p) {
    const tilefold_geometry *g = s->geometry;
    sizes z = get_sizes(s, p);
    double calls = z.tiles * ceil_div(z.tile_positions, p->operand_width),
           run = fmin(z.m / calls, (double)s->part[2].count);
    double copy = copy_cycles(s, run);
    bool adjoining = g->in_channel == 1 && g->in_channels <= TILEFOLD_CHANNEL_BLOCK && g->axis[2].tap_step == 1 &&
                     g->in_axis[2] == g->in_channels;
    if (adjoining) copy = ((double)(g->in_channels * s->part[2].taps) < 16 ? 1.4 : 0.45) + 10.0 / run;
    double cycles = product_cycles(s, p, &z, calls, 1, 0, z.blocks);
    cycles += z.m * z.k * z.column_tiles * copy;
    cycles += z.m * z.n * store_cycles(s, p, run);
    return cycles + weight_cycles(s, p, &z, z.tiles);
}

double tilefold_cpu_estimate_rows(const shape *s, const tilefold_cpu_plan *p) {
    sizes z = get_sizes(s, p);
    double calls = z.tiles * ceil_div(z.tile_positions, p->operand_width);
    double segments = (double)s->taps * ceil_div((double)s->geometry->in_channels, TILEFOLD_CHANNEL_BLOCK);
    double cycles = product_cycles(s, p, &z, calls, row_conflicts(s), 0.5, segments);
    cycles += z.m * (double)s->taps * z.column_tiles * ceil_div(z.blocks, fmax(1, (double)s->taps)) * 1.5;
    cycles += z.m * z.n * store_cycles(s, p, fmin(z.m / calls, (double)s->part[2].count));
    return cycles + weight_cycles(s, p, &z, z.tiles);
}

double tilefold_cpu_estimate_halo(const shape *s, const tilefold_cpu_plan *p) {
    sizes z = get_sizes(s, p);
    int64_t count = tilefold_max(1, tilefold_min(p->tiling.positions, s->part[2].count));
    int64_t rows = tilefold_max(1, tilefold_min(p->tiling.positions / count, s->part[1].count));
    double boxes = ceil_div(z.m, (double)(rows * count)), run = (double)count, plane = (double)(rows * count);
    bool flat = false;
    if (s->taps > 0) {
        tilefold_halo_layout layout = tilefold_halo_lay_out(s->part, &(tilefold_cursor){{0}}, rows, count, 0,
                                                            tilefold_min(p->block.taps, s->taps));
        plane = (double)layout.plane * ceil_div((double)s->taps, (double)p->block.taps);
        flat = layout.flat;
        run = (double)(layout.flat && s->part[2].in_step == 1 ? rows * count : layout.pitch);
    }
    double row = flat ? (double)(rows * count) : (double)count;
    double calls = z.m / row * ceil_div(row, p->operand_width);
    double segments = (double)s->taps * ceil_div((double)s->geometry->in_channels, TILEFOLD_CHANNEL_BLOCK);
    double cycles = product_cycles(s, p, &z, calls, 1, 0, segments);
    cycles += boxes * z.column_tiles * plane * (double)s->geometry->in_channels * copy_cycles(s, run);
    cycles += z.m * z.n * store_cycles(s, p, fmin(z.m / calls, run));
    return cycles + weight_cycles(s, p, &z, boxes) + boxes * 150;
}

double tilefold_cpu_estimate_depthwise(const shape *s, const tilefold_cpu_plan *p) {
    sizes z = get_sizes(s, p);
    double taps = (double)s->taps, pixel_tiles = z.tiles * ceil_div(z.tile_positions, p->mr),
           pixels = z.m / pixel_tiles;
    double panels = ceil_div(z.n, p->nr), vectors = ceil_div(z.n / panels, s->kernels->lanes);
    double step = step_cycles(s, pixels, vectors, pixels * vectors + vectors + pixels);
    double cycles = pixel_tiles * (taps * pixels * 2 + panels * (taps * step + call_cycles(pixels, vectors, 0)));
    return cycles + z.m * z.n * store_cycles(s, p, 1);
}

double tilefold_cpu_estimate_depthwise_pixels(const shape *s, const tilefold_cpu_plan *p) {
    sizes z = get_sizes(s, p);
    int64_t count = tilefold_max(1, tilefold_min(p->tiling.positions, s->part[2].count));
    int64_t rows = tilefold_max(1, tilefold_min(p->tiling.positions / count, s->part[1].count));
    double boxes = ceil_div(z.m, (double)(rows * count)), plane = 0, pitch = 1;
    if (s->taps > 0) {
        tilefold_halo_layout layout = tilefold_halo_lay_out(s->part, &(tilefold_cursor){{0}}, rows, count, 0, s->taps);
        plane = (double)layout.plane;
        pitch = (double)layout.pitch;
    }
    double row_calls = ceil_div((double)count, p->nr), vectors = ceil_div((double)count / row_calls, s->kernels->lanes);
    double kernel_rows = fmin((double)rows, p->mr), calls = boxes * ceil_div((double)rows, p->mr) * row_calls;
    /* Vectors that begin anywhere often lie in two cache lines. */
    double step = step_cycles(s, kernel_rows, vectors, kernel_rows * vectors * 1.6);
    double each = boxes * (plane * copy_cycles(s, pitch) + 60) +
                  calls * ((double)s->taps * step + call_cycles(kernel_rows, vectors, 2));
    return z.n * (each + z.m * store_cycles(s, p, (double)count));
}

double tilefold_cpu_estimate(const shape *s, const tilefold_cpu_plan *p) {
    double others = tilefold_cpu_parts_alike(s, p), total = p->algorithm->estimate(s, p) * others;
    sizes z = get_sizes(s, p);
    double tiles = fmax(1.0, z.tiles * z.column_tiles * others);
    double turns = ceil_div(tiles, s->threads);
    double start = s->threads > 1 ? 20000 : 0; /* to wake them */
    return start + total * turns / tiles + tiles / s->threads * 300;
}
