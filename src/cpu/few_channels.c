/* Few channels: what a box of positions reads is copied once, rows with their channels side by side, padding included; and kernels
 * broadcast windows of it that overlap.
 *
 * SPDX-License-Identifier: MIT
 *
 *     copy, 3 channels     abc abc abc abc abc abc abc       a window's taps of one row are one run of it, channels and all
 *     position 0           abc abc abc
 *     position 1                   abc abc abc               stride 2: six floats further
 *
 * Nothing is turned and nothing copied more than once. Where the input's channels lie side by side a row of the copy is a run of it.
 */
#include "../checked.h"
#include "algorithm.h"
#include "cost.h"
#include "place.h"
#include "product.h"

#include <string.h>

/* The elements along each axis that a box reads, padding included. */
typedef struct window {
    int64_t first[TILEFOLD_AXES], size[TILEFOLD_AXES];
} window;

static int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

/* Elements of an axis from the first to the last that so many positions read. */
static int64_t reach(const tilefold_axis_part *part, int64_t positions, int64_t taps) {
    int64_t along, across;
    if (!tilefold_multiply(positions - 1, part->in_step, &along) ||
        !tilefold_multiply(taps - 1, magnitude(part->in_tap), &across))
        return INT64_MAX;
    return tilefold_saturating_add(along, tilefold_saturating_add(across, 1));
}

static int64_t copy_floats(const tilefold_geometry *geometry, const tilefold_axis_part *part, int64_t rows,
                           int64_t count) {
    const int64_t positions[TILEFOLD_AXES] = {1, rows, count};
    int64_t floats = geometry->in_channels;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        floats = tilefold_saturating_multiply(floats, reach(&part[axis], positions[axis], part[axis].taps));
    return floats;
}

/* The largest number from 1 to `most` of rows (of positions, in one row) whose copy there is room for; 0 if there is none. */
static int64_t most_that_fit(const tilefold_product *p, int64_t most, bool of_rows) {
    const tilefold_axis_part *part = p->tile->part;
    int64_t room = p->plan->arena.operand_bytes / (int64_t)sizeof(float), low = 0, high = most + 1;
    int64_t next = most; /* mostly they all fit */
    while (high - low > 1) {
        int64_t floats = of_rows ? copy_floats(p->work->geometry, part, next, part[2].count)
                                 : copy_floats(p->work->geometry, part, 1, next);
        if (floats <= room)
            low = next;
        else
            high = next;
        next = low + (high - low) / 2;
    }
    return low;
}

static int64_t box(const tilefold_product *p, const tilefold_cursor *cursor, int64_t left) {
    const tilefold_axis_part *part = p->tile->part;
    int64_t row = part[2].count, rest = tilefold_min(left, row - cursor->q[2]), rows = 0;
    if (p->taps == 0) return rest;
    if (rest == row) rows = most_that_fit(p, tilefold_min(left / row, part[1].count - cursor->q[1]), true);
    return rows > 0 ? rows * row : most_that_fit(p, rest, false);
}

/* How many positions a row of the box has. */
static int64_t row_length(const tilefold_product *p) { return tilefold_min(p->positions, p->tile->part[2].count); }

static window find_window(const tilefold_product *p) {
    const tilefold_axis_part *part = p->tile->part;
    const int64_t positions[TILEFOLD_AXES] = {1, p->positions / row_length(p), row_length(p)};
    window w;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        w.first[axis] = tilefold_axis_position(&part[axis], p->start.q[axis],
                                               part[axis].in_tap < 0 ? part[axis].taps - 1 : 0);
        w.size[axis] = reach(&part[axis], positions[axis], part[axis].taps);
    }
    return w;
}

/* `count` elements of a row of the input, all channels of each. */
static void copy_elements(const tilefold_cpu_work *work, const char *in, int64_t count, float *out) {
    const tilefold_geometry *geometry = work->geometry;
    const tilefold_cpu_kernels *kernels = work->plan->kernels;
    int64_t channels = geometry->in_channels, step = geometry->in_axis[2];
    if (step == channels && (channels == 1 || geometry->in_channel == 1)) {
        kernels->load_run[geometry->type](out, in, 1, count * channels);
        return;
    }
    const void *planes[TILEFOLD_FEW_CHANNELS];
    for (int64_t i = 0; i < channels; i++) planes[i] = in + i * geometry->in_channel * work->element_bytes;
    kernels->transpose_rows[geometry->type](out, channels, planes, channels, (ptrdiff_t)step, count);
}

/* One row of the window, `in` being where element 0 of its input row lies; NULL where there is no such row. */
static void copy_row(const tilefold_product *p, const window *w, const char *in, float *out) {
    const tilefold_geometry *geometry = p->work->geometry;
    int64_t channels = geometry->in_channels, size = w->size[2], first = w->first[2];
    int64_t begin = tilefold_min(size, tilefold_max(0, -first));
    int64_t end = tilefold_max(begin, tilefold_min(size, geometry->axis[2].input - first));
    if (!in) begin = end = size;
    memset(out, 0, (size_t)(begin * channels) * sizeof *out);
    memset(out + end * channels, 0, (size_t)((size - end) * channels) * sizeof *out);
    if (begin < end)
        copy_elements(p->work, in + (first + begin) * geometry->in_axis[2] * p->work->element_bytes, end - begin,
                      out + begin * channels);
}

static void copy_window(const tilefold_product *p, const window *w, float *out) {
    const tilefold_geometry *geometry = p->work->geometry;
    for (int64_t j = 0; j < w->size[0]; j++)
        for (int64_t k = 0; k < w->size[1]; k++, out += w->size[2] * geometry->in_channels) {
            int64_t z = w->first[0] + j, y = w->first[1] + k;
            bool there = z >= 0 && z < geometry->axis[0].input && y >= 0 && y < geometry->axis[1].input;
            int64_t at = there ? z * geometry->in_axis[0] + y * geometry->in_axis[1] : 0;
            copy_row(p, w, there ? p->work->input + at * p->work->element_bytes : NULL, out);
        }
}

/* Where each tap's channels begin in the copy, for position 0. */
static void point_segments(tilefold_product *p, const window *w) {
    const tilefold_axis_part *part = p->tile->part;
    p->segment_count = tilefold_product_segments(&p->block, p->segments);
    for (int64_t i = 0; i < p->segment_count; i++) {
        tilefold_tap tap = tilefold_tap_at(part, p->segments[i].tap);
        int64_t at = 0;
        for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
            int64_t j = part[axis].in_tap < 0 ? tap.j[axis] - (part[axis].taps - 1) : tap.j[axis];
            at = at * w->size[axis] + j * part[axis].in_tap;
        }
        p->segments[i].a = at * p->work->geometry->in_channels;
    }
}

static void build(tilefold_product *p) {
    p->row_panels = tilefold_ceil_div(row_length(p), p->plan->operand_width);
    p->panels = p->positions / row_length(p) * p->row_panels;
    if (p->taps == 0) return;
    window w = find_window(p);
    copy_window(p, &w, (float *)p->arena);
    point_segments(p, &w);
    p->window_row = w.size[2] * p->work->geometry->in_channels;
}

static void panel(tilefold_product *p, int64_t index, tilefold_position_panel *panel) {
    const tilefold_axis_part *part = p->tile->part;
    tilefold_row_run run = tilefold_product_place_in_row(p, index, row_length(p));
    panel->at.q[0] = p->start.q[0];
    panel->at.q[1] = p->start.q[1] + run.row;
    panel->at.q[2] = p->start.q[2] + run.begin;
    panel->count = run.end - run.begin;
    panel->step = 1;
    panel->apart = part[2].in_step * p->work->geometry->in_channels;
    panel->values = (const float *)p->arena + run.row * part[1].in_step * p->window_row + run.begin * panel->apart;
    panel->segments = p->segments;
    panel->segment_count = p->segment_count;
}

static const tilefold_operand_kind windows = {.box = box, .build = build, .panel = panel};

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    tilefold_cpu_run_product(work, tile, arena, &windows);
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

/* Fewer columns would leave most lanes empty. */
static bool applies(const tilefold_cpu_shape *shape) {
    const tilefold_geometry *g = shape->geometry;
    return !g->merged && g->in_channels <= TILEFOLD_FEW_CHANNELS &&
           shape->class_folds * g->out_channels >= shape->kernels->lanes / 2;
}

static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    if (index >= TILEFOLD_MAX_VECTORS) return false;
    tilefold_product_choose_tile(shape, index + 1, false, shape->part[2].count, plan);
    return true;
}

/* The box that a tile is made of, as far as the part that most work is in can tell. */
static void get_box(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan, int64_t *rows, int64_t *count) {
    *count = tilefold_max(1, tilefold_min(plan->tiling.positions, shape->part[2].count));
    *rows = tilefold_max(1, tilefold_min(plan->tiling.positions / *count, shape->part[1].count));
}

/* One position's copy, whatever the part. */
static int64_t least_floats(const tilefold_cpu_shape *shape) {
    int64_t floats = shape->geometry->in_channels;
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        const tilefold_axis *axis = &shape->geometry->axis[at];
        tilefold_axis_part part = {.in_step = 1, .in_tap = axis->tap_step / axis->common};
        int64_t taps = (axis->kernel - 1) / axis->tap_period + 1;
        floats = tilefold_saturating_multiply(floats, reach(&part, 1, taps));
    }
    return floats;
}

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    int64_t rows, count;
    if (plan->cut) return false;
    get_box(shape, plan, &rows, &count);
    int64_t floats = tilefold_max(copy_floats(shape->geometry, shape->part, rows, count), least_floats(shape));
    plan->stepped = tilefold_product_is_stepped(shape->geometry, plan, floats);
    if (!plan->stepped) return false;
    int64_t bytes = tilefold_round_up(floats * (int64_t)sizeof(float), TILEFOLD_ARENA_ALIGNMENT);
    return tilefold_product_lay_out(plan, bytes, 1, rows * tilefold_ceil_div(count, plan->operand_width),
                                    tilefold_product_max_segments(&plan->block), 0);
}

static double estimate(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan) {
    int64_t rows, count;
    get_box(shape, plan, &rows, &count);
    double floats = shape->taps ? (double)copy_floats(shape->geometry, shape->part, rows, count) : 0;
    return tilefold_cpu_estimate_few_channels(shape, plan, rows, count, floats);
}

const tilefold_cpu_algorithm tilefold_cpu_few_channels = {
    .id = TILEFOLD_ALGORITHM_IMPLICIT,
    .words = "rows copied once with few channels side by side",
    .whole_rows = true,
    .applies = applies,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = estimate,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};
