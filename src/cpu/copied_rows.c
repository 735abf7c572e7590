/* A copy of what a box of positions reads, with its channels side by side, and pointers at the channels of each tap and position
 * in it, as rows.c has them in the input itself. For inputs that are not fp32, whose channels do not lie side by side, or whose
 * rows drive each other out of the first-level cache: they are converted, turned or moved apart once, for all taps.
 *
 * SPDX-License-Identifier: MIT
 *
 *     input     the window of the box, where it lies within the input       copy     [z][y][x][pitch], fp32
 *
 * The pointers are found as if the window were the whole input: taps outside it are padding, since the box reads nothing else.
 */
#include "../checked.h"
#include "algorithm.h"
#include "cost.h"
#include "place.h"
#include "product.h"
#include "rows.h"

#include <string.h>

/* Nothing larger is laid out. */
#define MAX_BYTES (INT64_MAX / 16)

/* The box's positions along each axis, and the input elements that they read: of those that there are, `size` from `first` on. */
typedef struct window {
    int64_t first[TILEFOLD_AXES], size[TILEFOLD_AXES];
} window;

/* From one position's channels to the next's: no large power of two, by which few sets of the first-level cache are used. */
static int64_t get_pitch(const tilefold_cpu_plan *plan) {
    enum { LINE = TILEFOLD_ARENA_ALIGNMENT / sizeof(float), FEW_SETS = 16 };
    int64_t lines = tilefold_ceil_div(plan->block.channels, LINE);
    return (lines % FEW_SETS == 0 ? lines + 1 : lines) * LINE;
}

/* Elements of an axis from the first to the last that so many positions read, where no padding is in between. */
static int64_t reach(const tilefold_axis_part *part, int64_t positions, int64_t taps) {
    int64_t step = tilefold_max(part->in_tap, -part->in_tap), along, across;
    if (!tilefold_multiply(positions - 1, part->in_step, &along) || !tilefold_multiply(taps - 1, step, &across))
        return INT64_MAX;
    return tilefold_saturating_add(along, tilefold_saturating_add(across, 1));
}

/* Floats of the copy for a box of so many rows of so many positions, at most. */
static int64_t copy_floats(const tilefold_geometry *geometry, const tilefold_axis_part *part, int64_t pitch,
                           int64_t rows, int64_t count) {
    const int64_t positions[TILEFOLD_AXES] = {1, rows, count};
    int64_t floats = pitch;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        int64_t size = reach(&part[axis], positions[axis], part[axis].taps);
        floats = tilefold_saturating_multiply(floats, tilefold_min(size, geometry->axis[axis].input));
    }
    return floats;
}

/* The largest number from 1 to `most` of rows (of positions, in one row) whose copy there is room for; 0 if there is none. */
static int64_t most_that_fit(const tilefold_product *p, int64_t most, bool of_rows, int64_t room) {
    const tilefold_geometry *geometry = p->work->geometry;
    const tilefold_axis_part *part = p->tile->part;
    int64_t pitch = get_pitch(p->plan), low = 0, high = most + 1;
    int64_t next = most; /* mostly they all fit */
    while (high - low > 1) {
        int64_t floats = of_rows ? copy_floats(geometry, part, pitch, next, part[2].count)
                                 : copy_floats(geometry, part, pitch, 1, next);
        if (floats <= room)
            low = next;
        else
            high = next;
        next = low + (high - low) / 2;
    }
    return low;
}

/* Bytes of the pointers of a panel, and of all of a box. */
static int64_t table_bytes(const tilefold_cpu_plan *plan) {
    return tilefold_saturating_multiply(plan->block.taps, plan->operand_width * (int64_t)sizeof(void *));
}

static int64_t tables_bytes(const tilefold_cpu_plan *plan) {
    int64_t panels = tilefold_ceil_div(plan->tiling.positions, plan->operand_width);
    int64_t bytes = tilefold_saturating_multiply(panels, table_bytes(plan));
    return bytes > MAX_BYTES ? bytes : tilefold_round_up(bytes, TILEFOLD_ARENA_ALIGNMENT);
}

static int64_t box(const tilefold_product *p, const tilefold_cursor *cursor, int64_t left) {
    const tilefold_axis_part *part = p->tile->part;
    int64_t row = part[2].count, rest = tilefold_min(left, row - cursor->q[2]);
    if (p->taps == 0) return rest;
    int64_t room = (p->plan->arena.operand_bytes - tables_bytes(p->plan)) / (int64_t)sizeof(float), rows = 0;
    if (rest == row) rows = most_that_fit(p, tilefold_min(left / row, part[1].count - cursor->q[1]), true, room);
    return rows > 0 ? rows * row : most_that_fit(p, rest, false, room);
}

static window find_window(const tilefold_product *p) {
    const tilefold_axis_part *part = p->tile->part;
    int64_t count = tilefold_min(p->positions, part[2].count);
    const int64_t positions[TILEFOLD_AXES] = {1, p->positions / count, count};
    window w;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        int64_t first = tilefold_axis_position(&part[axis], p->start.q[axis],
                                               part[axis].in_tap < 0 ? part[axis].taps - 1 : 0);
        int64_t end = first + reach(&part[axis], positions[axis], part[axis].taps);
        w.first[axis] = tilefold_max(first, 0);
        w.size[axis] = tilefold_max(tilefold_min(end, p->work->geometry->axis[axis].input) - w.first[axis], 0);
    }
    return w;
}

/* One row of the window: channels that lie side by side are copied, others turned. */
static void copy_row(const tilefold_product *p, const char *in, int64_t count, float *out) {
    enum { MAX_TURNED = 64 };
    const tilefold_geometry *geometry = p->work->geometry;
    const tilefold_cpu_kernels *kernels = p->plan->kernels;
    int64_t pitch = get_pitch(p->plan), channels = p->block.channel_end - p->block.channel_begin;
    int64_t step = geometry->in_axis[2], apart = geometry->in_channel;
    if (apart == 1) {
        tilefold_row_copy rows = {
            .rows = count, .n = channels, .out_stride = (ptrdiff_t)pitch, .in_stride = (ptrdiff_t)step, .in_step = 1};
        kernels->copy_rows[geometry->type](out, in, &rows);
        return;
    }
    for (int64_t begin = 0; begin < channels; begin += MAX_TURNED) {
        int64_t some = tilefold_min(MAX_TURNED, channels - begin);
        const void *rows[MAX_TURNED];
        for (int64_t i = 0; i < some; i++) rows[i] = in + (begin + i) * apart * p->work->element_bytes;
        kernels->transpose_rows[geometry->type](out + begin, pitch, rows, some, (ptrdiff_t)step, count);
    }
}

static void copy_window(const tilefold_product *p, const window *w, float *out) {
    const tilefold_geometry *geometry = p->work->geometry;
    int64_t row = w->size[2] * get_pitch(p->plan);
    if (w->size[2] == 0) return;
    for (int64_t z = 0; z < w->size[0]; z++)
        for (int64_t y = 0; y < w->size[1]; y++, out += row) {
            int64_t at = p->block.channel_begin * geometry->in_channel + (w->first[0] + z) * geometry->in_axis[0] +
                         (w->first[1] + y) * geometry->in_axis[1] + w->first[2] * geometry->in_axis[2];
            copy_row(p, p->work->input + at * p->work->element_bytes, w->size[2], out);
        }
}

/* The copy as an input of its own, which the box is the same part of. */
static void point_at_copy(tilefold_product *p, const window *w, const char *copy, const void *zeros) {
    int64_t pitch = get_pitch(p->plan);
    tilefold_geometry geometry = *p->work->geometry;
    tilefold_cpu_work work = *p->work;
    tilefold_tile tile = *p->tile;
    tilefold_block block = p->block;
    const int64_t strides[TILEFOLD_AXES] = {w->size[1] * w->size[2] * pitch, w->size[2] * pitch, pitch};
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        geometry.axis[axis].input = w->size[axis];
        geometry.in_axis[axis] = strides[axis];
        tile.part[axis].in_first -= w->first[axis];
    }
    geometry.in_channel = 1;
    work.geometry = &geometry;
    work.input = copy;
    work.element_bytes = sizeof(float);
    block.channel_end -= block.channel_begin;
    block.channel_begin = 0;
    for (int64_t index = 0; index < p->panels; index++) {
        tilefold_position_panel panel;
        tilefold_product_place_panel(p, index, &panel);
        tilefold_cpu_point_at_rows(&work, &tile, panel.at, panel.count, &block, zeros,
                                   (const void **)(p->arena + index * table_bytes(p->plan)));
    }
}

static void build(tilefold_product *p) {
    void *zeros = p->arena + p->plan->arena.zeros;
    p->panels = tilefold_ceil_div(p->positions, p->plan->operand_width);
    if (p->taps == 0) return;
    if (p->first) memset(zeros, 0, (size_t)p->plan->block.channels * sizeof(float));
    window w = find_window(p);
    char *copy = p->arena + tables_bytes(p->plan);
    copy_window(p, &w, (float *)copy);
    point_at_copy(p, &w, copy, zeros);
    p->segment_count = tilefold_product_segments(&p->block, p->segments);
}

static void panel(tilefold_product *p, int64_t index, tilefold_position_panel *panel) {
    tilefold_product_place_panel(p, index, panel);
    panel->values = p->arena + index * table_bytes(p->plan);
    tilefold_product_skip_padding(p, panel);
}

static const tilefold_operand_kind copied = {.by_pointer = true, .box = box, .build = build, .panel = panel};

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    tilefold_cpu_run_product(work, tile, arena, &copied);
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

/* Of few channels little is gained by having them side by side. */
static bool applies(const tilefold_cpu_shape *shape) { return shape->geometry->in_channels >= 8; }

static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    if (index >= TILEFOLD_MAX_VECTORS) return false;
    tilefold_product_choose_tile(shape, index + 1, false, shape->positions, plan);
    return true;
}

/* The box that a tile is made of, as far as the part that most work is in can tell. */
static void get_box(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan, int64_t *rows, int64_t *count) {
    *count = tilefold_max(1, tilefold_min(plan->tiling.positions, shape->part[2].count));
    *rows = tilefold_max(1, tilefold_min(plan->tiling.positions / *count, shape->part[1].count));
}

/* One position's copy, whatever the part. */
static int64_t least_floats(const tilefold_cpu_shape *shape, int64_t pitch) {
    int64_t floats = pitch;
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        const tilefold_axis *axis = &shape->geometry->axis[at];
        tilefold_axis_part part = {.in_step = 1, .in_tap = axis->tap_step / axis->common};
        int64_t taps = (axis->kernel - 1) / axis->tap_period + 1;
        floats = tilefold_saturating_multiply(floats, tilefold_min(reach(&part, 1, taps), axis->input));
    }
    return floats;
}

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    int64_t rows, count, pitch = get_pitch(plan);
    if (plan->block.taps < shape->most_taps) return false;
    get_box(shape, plan, &rows, &count);
    int64_t floats = tilefold_max(copy_floats(shape->geometry, shape->part, pitch, rows, count),
                                  least_floats(shape, pitch));
    int64_t tables = tables_bytes(plan);
    if (floats > MAX_BYTES / (int64_t)sizeof(float) || tables > MAX_BYTES) return false;
    int64_t bytes = tables + tilefold_round_up(floats * (int64_t)sizeof(float), TILEFOLD_ARENA_ALIGNMENT);
    return tilefold_product_lay_out(plan, bytes, 1, tilefold_ceil_div(plan->tiling.positions, plan->operand_width),
                                    tilefold_product_max_segments(&plan->block), plan->block.channels);
}

static double estimate(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan) {
    int64_t rows, count;
    get_box(shape, plan, &rows, &count);
    double floats = shape->taps ? (double)copy_floats(shape->geometry, shape->part, 1, rows, count) : 0;
    return tilefold_cpu_estimate_copied_rows(shape, plan, floats / (double)(rows * count));
}

const tilefold_cpu_algorithm tilefold_cpu_copied_rows = {
    .id = TILEFOLD_ALGORITHM_IMPLICIT,
    .words = "channels copied side by side once for all taps",
    .whole_rows = true,
    .applies = applies,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = estimate,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};
