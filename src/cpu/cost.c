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

/* Folds and taps of the longer class of a merged axis, or of the shorter; of any other axis, those of the dominant part. */
static tilefold_axis_class merged_class(const shape *s, int axis, int64_t index) {
    if (s->geometry->axis[axis].merged) return tilefold_axis_get_class(&s->geometry->axis[axis], index);
    return (tilefold_axis_class){.folds = s->part[axis].folds, .taps = s->part[axis].taps};
}

/* A merged part has all folds, and the taps of the longer class; what is multiplied is less. Returns the share. */
static double merge_dominant(shape *s) {
    double useful = 1;
    s->folds = s->taps = s->class_folds = 1;
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        const tilefold_axis *axis = &s->geometry->axis[at];
        tilefold_axis_part *part = &s->part[at];
        if (axis->merged) {
            part->folds = part->class_folds = axis->input_dilation;
            part->taps = tilefold_ceil_div(axis->kernel, axis->input_dilation);
            part->in_tap = part->taps > 1 ? axis->tap_step : 1;
            useful *= (double)axis->kernel / ((double)part->taps * (double)part->folds);
        }
        s->folds *= part->folds;
        s->taps *= part->taps;
        s->class_folds *= tilefold_max(merged_class(s, at, 0).folds, axis->merged ? merged_class(s, at, 1).folds : 0);
    }
    return useful;
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
        const tilefold_axis *cut = &s->geometry->axis[axis];
        if (cut->merged)
            most = tilefold_ceil_div(cut->kernel, cut->input_dilation); /* whether or not a fold has them */
        s->most_taps *= most;
    }
    double useful = merge_dominant(s);
    double part = useful * (double)s->taps * (double)s->positions * (double)s->folds *
                  (double)s->geometry->in_channels * (double)s->geometry->out_channels;
    double all = (double)tilefold_geometry_padded_macs(s->geometry);
    s->share = all > 0 && part > 0 ? part / all : 1;
}

double tilefold_cpu_parts_alike(const shape *s, const tilefold_cpu_plan *p) {
    return fmax(1.0, 1 / s->share * (double)p->tiling.groups / (double)s->geometry->groups);
}

int64_t tilefold_cpu_positions(const shape *s, const tilefold_cpu_plan *p) {
    return tilefold_positions(&p->tiling, s->part[0].count, s->part[1].count, s->part[2].count);
}

/* -------------------------------------------------------------------------------------------------------- terms ---- */

/* Where no other source is named, constants are least squares over 3900 timed candidates of bench/shapes.tsv and shapes-timm.tsv,
 * both layouts, those within 1.5 times the fastest of their problem (bench/choices.c --all), on one core of an Emerald Rapids
 * with AVX-512: what they leave unexplained within a problem is 8 % (root mean square). With AVX2 the choices that follow from
 * them are as near to the best. They count cycles, which differ less between machines than how much starts in one
 * (throughput.c) and how large caches are. */

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

/* A kernel call beside its steps, a segment of one, and a sum that is left in memory and taken up again. */
static const double call_cycles = 28, segment_cycles = 9, partial_cycles = 0.27;

/* Rows a multiple of a page apart fall into one set of the first-level cache and drive each other out of it. Measured with
 * 14 rows 4096 bytes apart; 2048 bytes apart there are two sets, which do. */
static double row_conflicts(const shape *s) {
    double apart = (double)s->part[2].in_step * (double)s->geometry->in_axis[2] * 4;
    return s->part[2].count > 1 && fmod(apart, 4096) == 0 ? 1.4 : 1;
}

/* What it takes to bring an element into a panel or a copy, and beside that a run of them. */
typedef struct copy_cost {
    double element, run;
} copy_cost;

static const copy_cost side_by_side = {0.4, 6}, every_other = {1.1, 15}, far_apart = {1.3, 25}, turned = {0.53, 5},
                       turned_by_few = {1.0, 6}, /* channels, fewer than a vector has lanes */
    gathered = {1.5, 6};
static const double plane_cycles = 55; /* of one channel of a halo */

/* Positions are copied along a row, or, where channels lie closer together than they, turned. */
static copy_cost get_copy_cost(const shape *s, double channels) {
    const tilefold_geometry *g = s->geometry;
    double step = fabs((double)s->part[2].in_step * (double)g->in_axis[2]);
    if (g->in_channels == 1 || step <= fabs((double)g->in_channel))
        return step == 1 ? side_by_side : step == 2 ? every_other : far_apart;
    if (g->in_channel != 1) return gathered;
    return channels < 16 ? turned_by_few : turned;
}

static double copy_cycles(copy_cost cost, double run) { return cost.element + cost.run / run; }

/* Cycles to store one output, the cache's part included. */
static const double direct_lanes = 0.65, direct_rows = 0.5, turned_rows = 2, scattered_near = 2.7, scattered_far = 3.5,
                    interleaved = 0.5, converted = 0.3, store_run = 4;
/* More for a panel whose columns are not side by side in the output, which kernels cannot write themselves. */
static const double staged = 0.9;
/* More where lines were driven out before all of their outputs came: phases that are written one after the other, each to every
 * second element of a large output; or where they drive each other out. Two transposed and a grouped problem measured. */
static const double come_again = 8, drive_out = 8;

/* The lines of a run of outputs that lie so many bytes apart fall into few sets of the first-level cache. */
static bool lines_conflict(const shape *s, double apart, double lines) {
    const double page = 4096, ways = (double)s->target->l1_bytes / page;
    double sets = 1;
    while (sets < 64 && fmod(apart * sets, page) != 0) sets *= 2;
    return lines > sets * ways;
}

/* Whether the folds of a row are all there, and so many as there are registers' turns for. */
static bool folds_interleave(const shape *s) {
    int64_t folds = s->part[2].folds;
    return folds == s->part[2].out_step && (folds == 2 || folds == 4 || folds == 8);
}

/* The share of weight panels, positions in rows, that columns of two folds are in which are no neighbours in the output. */
static double straddling(const shape *s, const tilefold_cpu_plan *p) {
    const tilefold_geometry *g = s->geometry;
    int64_t run = p->tiling.columns, columns = run * s->folds;
    if (run == 1 || g->out_axis[2] == run * g->out_channel) run *= s->part[2].folds;
    int64_t panels = tilefold_ceil_div(columns, p->weight_width), seams = 0;
    for (int64_t panel = 1; panel <= tilefold_min(panels, 64); panel++) /* those after that are alike */
        seams += (panel * p->weight_width - 1) / run != (panel - 1) * p->weight_width / run &&
                 (panel - 1) * p->weight_width / run * run + run < columns;
    return (double)seams / (double)tilefold_min(panels, 64);
}

static double store_cycles(const shape *s, const tilefold_cpu_plan *p, double run) {
    const tilefold_geometry *g = s->geometry;
    double fold_stride = (double)g->out_axis[2], pixel_stride = (double)s->part[2].out_step * fold_stride;
    bool folds_side_by_side = p->tiling.columns == 1 && s->folds > 1;
    double column_stride = folds_side_by_side ? fold_stride : (double)g->out_channel;
    double columns = folds_side_by_side ? (double)s->folds : (double)p->tiling.columns;
    double lane_stride = p->positions_in_lanes ? pixel_stride : column_stride;
    double lanes = fmin((double)p->nr, p->positions_in_lanes ? run : columns);
    double more = store_run / lanes + (g->type == TILEFOLD_F32 ? 0 : converted);
    if (fabs(lane_stride) == 1)
        return (p->positions_in_lanes ? direct_lanes : direct_rows + straddling(s, p) * staged) + more;
    if (!p->positions_in_lanes && pixel_stride == 1) return turned_rows + more;
    if (p->folds_innermost && fold_stride == 1 && s->part[2].folds > 1) {
        double conflicts = lines_conflict(s, fabs(pixel_stride) * 4, lanes) ? drive_out : 0;
        if (folds_interleave(s)) return interleaved + more;
        if (s->part[2].folds >= 4) return turned_rows + conflicts + more;
    }
    if (fabs(lane_stride) < 16) {
        double outputs = (double)s->positions * (double)s->part[2].out_step * columns * 4;
        bool alone = !s->geometry->folded && s->part[2].out_step > 1 && outputs > (double)s->target->l2_bytes / 2;
        return scattered_near + (alone ? come_again : 0) + more;
    }
    return scattered_far + (lines_conflict(s, fabs(lane_stride) * 4, lanes) ? drive_out : 0) + more;
}

/* Bytes that arrive in a cycle from the second-level cache, and from the shared one: what 4 rows by 4 vectors of 512 channels'
 * 3x3 slow down to, whose weight panel of 1.2 MB passes by for every 4 positions. */
static const double l2_bytes_cycle = 22, l3_bytes_cycle = 10;
/* The part of the latter's time that kernels do not hide by fetching the next weights meanwhile. */
static const double not_hidden = 0.2;

/* How the positions' side of a product reaches the kernel. */
typedef struct operand {
    double calls;       /* of a kernel for one weight panel, all positions */
    double box_calls;   /* of those, one after the other on what is built at once */
    double call_bytes;  /* that a call reads for a block, each cache line once for taps that follow each other */
    double box_bytes;   /* that all of the box read */
    double extra_loads; /* to a row */
    double segments;    /* of a whole sum */
    double conflicts;
} operand;

/* What a call for one block reads is in a cache if it was read shortly before: the weights by the last call, the positions for
 * the last weight panel. Else it arrives while the kernel computes. */
static double arrival_cycles(const shape *s, const operand *o, double weight_bytes) {
    double l1 = 0.8 * (double)s->target->l1_bytes, l2 = 0.5 * (double)s->target->l2_bytes;
    double together = weight_bytes + o->box_bytes, cycles = 0;
    if (weight_bytes + o->call_bytes > l1 || o->box_calls <= 1)
        cycles += weight_bytes / (weight_bytes < l2 ? l2_bytes_cycle : l3_bytes_cycle);
    if (together > l1) cycles += o->call_bytes / (together < l2 ? l2_bytes_cycle : l3_bytes_cycle);
    return cycles;
}

/* Weights that no cache near the core holds come again with every walk over them; packed as they come, they cost more. */
static double weight_cycles(const shape *s, const tilefold_cpu_plan *p, const sizes *z, double walks) {
    double bytes = z->k * z->n * 4, cycles = 0;
    if (bytes > (double)s->target->l2_bytes / 2) cycles += walks * bytes / l3_bytes_cycle * not_hidden;
    if (!p->prepacked) cycles += walks * z->k * z->n * 0.7;
    return cycles;
}

static double product_cycles(const shape *s, const tilefold_cpu_plan *p, const sizes *z, const operand *o) {
    double lanes = s->kernels->lanes, positions = z->m / o->calls, block = z->k / z->blocks;
    double panels = ceil_div(z->n, p->weight_width), columns = z->n / panels;
    double rows = p->positions_in_lanes ? columns : positions;
    double vectors = ceil_div(p->positions_in_lanes ? positions : columns, lanes);
    double loads = rows + vectors + o->extra_loads * rows;
    double steps = block * step_cycles(s, rows, vectors, loads) * o->conflicts;
    double each = fmax(steps, arrival_cycles(s, o, block * columns * 4)) + call_cycles;
    return o->calls * panels * (z->blocks * each + o->segments * segment_cycles) +
           (z->blocks - 1) * z->m * z->n * partial_cycles;
}

/* Of all classes where they are merged: each has columns and taps of its own. */
static double all_product_cycles(const shape *s, const tilefold_cpu_plan *p, const sizes *z, const operand *o) {
    if (!s->geometry->merged) return product_cycles(s, p, z, o);
    double cycles = 0, channels = (double)s->geometry->in_channels;
    for (int index = 0; index < 8; index++) {
        double folds = 1, taps = 1;
        for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
            bool shorter = index >> axis & 1, twice = shorter && !s->geometry->axis[axis].merged;
            tilefold_axis_class class = merged_class(s, axis, shorter);
            folds *= twice ? 0 : (double)class.folds;
            taps *= (double)class.taps;
        }
        sizes each = *z;
        operand of = *o;
        each.n = (double)p->tiling.columns * folds;
        each.k = taps * channels;
        of.segments *= taps / (double)s->taps;
        of.call_bytes *= taps / (double)s->taps;
        if (folds > 0) cycles += product_cycles(s, p, &each, &of);
    }
    return cycles;
}

/* --------------------------------------------------------------------------------------------------- algorithms ---- */

double tilefold_cpu_estimate_unfold(const shape *s, const tilefold_cpu_plan *p) {
    const tilefold_geometry *g = s->geometry;
    sizes z = get_sizes(s, p);
    double calls = z.tiles * ceil_div(z.tile_positions, p->operand_width),
           run = fmin(z.m / calls, (double)s->part[2].count);
    double channels = (double)g->in_channels;
    bool adjoining = g->in_channel == 1 && g->in_channels <= TILEFOLD_CHANNEL_BLOCK && g->axis[2].tap_step == 1 &&
                     g->in_axis[2] == g->in_channels;
    if (adjoining) channels *= (double)s->part[2].taps;
    operand o = {.calls = calls,
                 .box_calls = calls / z.tiles,
                 .call_bytes = z.k / z.blocks * z.m / calls * 4,
                 .box_bytes = z.k / z.blocks * z.tile_positions * 4,
                 .segments = z.blocks,
                 .conflicts = 1};
    double cycles = product_cycles(s, p, &z, &o);
    cycles += z.m * z.k * z.column_tiles * copy_cycles(get_copy_cost(s, channels), run);
    cycles += z.m * z.n * store_cycles(s, p, run);
    return cycles + weight_cycles(s, p, &z, z.tiles);
}

/* A list of steps has no segments, and where each begins is loaded. */
static double count_segments(const shape *s, const tilefold_cpu_plan *p) {
    if (p->stepped) return 0;
    return (double)s->taps * ceil_div((double)s->geometry->in_channels, TILEFOLD_CHANNEL_BLOCK);
}

/* To find where a row begins. */
static const double pointer_cycles = 4;

static double rows_cycles(const shape *s, const tilefold_cpu_plan *p, double conflicts) {
    sizes z = get_sizes(s, p);
    double calls = z.tiles * ceil_div(z.tile_positions, p->operand_width);
    double channels = z.k / fmax(1, (double)s->taps) / z.blocks, around = (double)s->part[2].taps - 1;
    double outer = (double)(s->part[0].taps * s->part[1].taps);
    operand o = {.calls = calls,
                 .box_calls = calls / z.tiles,
                 .call_bytes = (z.m / calls + around) * outer * channels * 4,
                 .box_bytes = z.tile_positions * (1 + (outer - 1) / 2) * channels * 4,
                 .extra_loads = 0.5,
                 .segments = count_segments(s, p),
                 .conflicts = conflicts};
    double cycles = all_product_cycles(s, p, &z, &o);
    cycles += z.m * (double)s->taps * z.column_tiles * ceil_div(z.blocks, fmax(1, (double)s->taps)) * pointer_cycles;
    cycles += z.m * z.n * store_cycles(s, p, fmin(z.m / calls, (double)s->part[2].count));
    return cycles + weight_cycles(s, p, &z, z.tiles);
}

double tilefold_cpu_estimate_rows(const shape *s, const tilefold_cpu_plan *p) {
    return rows_cycles(s, p, row_conflicts(s));
}

double tilefold_cpu_estimate_copied_rows(const shape *s, const tilefold_cpu_plan *p, double copied) {
    const tilefold_geometry *g = s->geometry;
    sizes z = get_sizes(s, p);
    double channels = (double)g->in_channels, run = fmin(channels, (double)p->block.channels);
    copy_cost cost = g->in_channel == 1 ? side_by_side : fabs((double)g->in_axis[2]) == 1 ? turned : gathered;
    return rows_cycles(s, p, 1) + z.m * copied * channels * z.column_tiles * copy_cycles(cost, run);
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
    double channels = (double)s->geometry->in_channels, copy = copy_cycles(get_copy_cost(s, channels), run);
    double block = fmin(channels, (double)p->block.channels), outer = (double)(s->part[0].taps * s->part[1].taps);
    double lines = ceil(z.m / calls / 16) + 1;
    operand o = {.calls = calls,
                 .box_calls = calls / boxes,
                 .call_bytes = lines * 64 * outer * block,
                 .box_bytes = plane * block * 4,
                 .extra_loads = p->stepped ? 2.0 / p->mr : 0,
                 .segments = count_segments(s, p),
                 .conflicts = 1};
    double cycles = all_product_cycles(s, p, &z, &o);
    cycles += boxes * z.column_tiles * channels * (plane * copy + plane_cycles);
    cycles += z.m * z.n * store_cycles(s, p, fmin(z.m / calls, run));
    return cycles + weight_cycles(s, p, &z, boxes);
}

double tilefold_cpu_estimate_few_channels(const shape *s, const tilefold_cpu_plan *p, int64_t rows, int64_t count,
                                          double floats) {
    sizes z = get_sizes(s, p);
    double boxes = ceil_div(z.m, (double)(rows * count)), row_calls = ceil_div((double)count, p->operand_width);
    double calls = z.m / (double)count * row_calls;
    bool runs = s->geometry->in_axis[2] == s->geometry->in_channels;
    operand o = {.calls = calls,
                 .box_calls = calls / boxes,
                 .call_bytes = floats / (double)rows / row_calls * 4,
                 .box_bytes = floats * 4,
                 .extra_loads = 2.0 / p->mr,
                 .conflicts = 1};
    double cycles = product_cycles(s, p, &z, &o);
    cycles += boxes * z.column_tiles * floats * (runs ? side_by_side : turned_by_few).element;
    cycles += z.m * z.n * store_cycles(s, p, fmin(z.m / calls, (double)count));
    return cycles + weight_cycles(s, p, &z, boxes);
}

double tilefold_cpu_estimate_depthwise(const shape *s, const tilefold_cpu_plan *p) {
    sizes z = get_sizes(s, p);
    double taps = (double)s->taps, pixel_tiles = z.tiles * ceil_div(z.tile_positions, p->mr),
           pixels = z.m / pixel_tiles;
    double panels = ceil_div(z.n, p->nr), vectors = ceil_div(z.n / panels, s->kernels->lanes);
    double step = step_cycles(s, pixels, vectors, pixels * vectors + vectors + pixels);
    double cycles = pixel_tiles * (taps * pixels * 2 + panels * (taps * step + call_cycles));
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
    double each = boxes * (plane * copy_cycles(get_copy_cost(s, 1), pitch) + plane_cycles) +
                  calls * ((double)s->taps * step + call_cycles);
    return z.n * (each + z.m * store_cycles(s, p, (double)count));
}

/* Beside its body a merged part has heads and tails, of few positions, in every group. */
static const double edge_cycles = 1500;

static double edges(const shape *s, const tilefold_cpu_plan *p) {
    double parts = 1;
    for (int at = 0; at < TILEFOLD_AXES && s->geometry->merged; at++) {
        int used = 0;
        for (int64_t index = 0; index < tilefold_axis_parts(&s->geometry->axis[at]); index++)
            used += tilefold_axis_get_part(&s->geometry->axis[at], index).count > 0;
        parts *= used;
    }
    return (parts - 1) * (double)p->tiling.groups;
}

/* Parts are alike by their multiply-adds; those of fewer taps have as many outputs to store. */
static double more_stores(const shape *s, const tilefold_cpu_plan *p, double counted) {
    const tilefold_geometry *g = s->geometry;
    double outputs = (double)g->batch * (double)g->groups * (double)g->out_channels;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) outputs *= (double)g->axis[axis].output;
    return fmax(0, outputs - counted) * store_cycles(s, p, (double)p->nr);
}

double tilefold_cpu_estimate(const shape *s, const tilefold_cpu_plan *p) {
    double others = tilefold_cpu_parts_alike(s, p), total = p->algorithm->estimate(s, p) * others;
    sizes z = get_sizes(s, p);
    double alike = s->geometry->merged ? floor(others) : others; /* what is left is edges */
    double tiles = fmax(1.0, z.tiles * z.column_tiles * alike);
    double turns = ceil_div(tiles, s->threads);
    double start = s->threads > 1 ? 20000 : 0; /* to wake them */
    return start + total * turns / tiles + tiles / s->threads * 300 +
           (edges(s, p) * edge_cycles + more_stores(s, p, z.m * z.n * others)) / s->threads;
}
