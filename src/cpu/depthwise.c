/* Direct depthwise convolution: one input and one output channel a group, channels side by side in memory and in lanes.
 *
 * SPDX-License-Identifier: MIT
 *
 * All groups are columns, and a column's sum runs over taps alone. A kernel call computes a few pixels by a panel of
 * channels; nothing is unfolded but the channels of a last panel that does not fill its vectors, which could not be read in
 * place without reading past the tensor, and channels that turn out not to be side by side (a resized problem). The arena's operand panel is
 *
 *     | pointers [tap][pixel], a block of taps | unfolded rows [tap][pixel][lane], for that last panel |
 */
#include "../checked.h"
#include "cpu.h"

#include <math.h>

typedef struct depthwise {
    const tilefold_cpu_work *work;
    const tilefold_tile *tile;
    char *arena;
    tilefold_cursor start; /* of the pixels in hand */
    int64_t pixels;
    int64_t columns;       /* channels in all */
    bool unfolds;          /* the panel in hand cannot be read in place */
} depthwise;

/* Element of the pixel's channel 0 at a tap, or -1 for padding (then *inside is false). */
static bool find_pixel(const depthwise *d, const tilefold_cursor *cursor, int64_t tap, int64_t *element) {
    const tilefold_geometry *geometry = d->work->geometry;
    int64_t rest = tap;
    *element = 0;
    for (int axis = TILEFOLD_AXES - 1; axis >= 0; axis--) {
        const tilefold_axis_part *part = &d->tile->part[axis];
        int64_t position = part->in_first + cursor->q[axis] * part->in_step + rest % part->taps * part->in_tap;
        if (position < 0 || position >= geometry->axis[axis].input) return false;
        *element += position * geometry->in_axis[axis];
        rest /= part->taps;
    }
    return true;
}

/* Pointers [tap][pixel] at channel `column`, for taps [begin, end). */
static void point_at_pixels(const depthwise *d, int64_t begin, int64_t end, int64_t column, int64_t width) {
    const tilefold_cpu_work *work = d->work;
    const tilefold_cpu_plan *plan = work->plan;
    const void **rows = (const void **)d->arena;
    float *unfolded = (float *)(d->arena + tilefold_round_up(plan->block_k * plan->mr * (int64_t)sizeof *rows,
                                                             TILEFOLD_ARENA_ALIGNMENT));
    int64_t count = tilefold_min(width, d->columns - column);
    for (int64_t tap = begin; tap < end; tap++) {
        tilefold_cursor cursor = d->start;
        for (int64_t i = 0; i < d->pixels; i++, tilefold_cursor_advance(&cursor, d->tile, 1), rows++) {
            int64_t element;
            bool inside = find_pixel(d, &cursor, tap, &element);
            const char *in = work->input + (element + column * work->geometry->in_group) * work->element_bytes;
            *rows = inside ? (const void *)in : d->arena + plan->arena.zeros;
            if (!d->unfolds) continue;
            memset(unfolded, 0, (size_t)width * sizeof *unfolded);
            if (inside)
                plan->kernels->load_run[work->geometry->type](unfolded, in, (ptrdiff_t)work->geometry->in_group, count);
            *rows = unfolded;
            unfolded += width;
        }
    }
}

static const float *panel_weights(const depthwise *d, int64_t column, int64_t width, int64_t taps, int64_t begin,
                                  int64_t end) {
    const tilefold_cpu_plan *plan = d->work->plan;
    const tilefold_geometry *geometry = d->work->geometry;
    if (taps == 0) return NULL;
    if (plan->prepacked)
        return d->work->packed + tilefold_cpu_class_offset(geometry, plan, d->tile) + column * taps + begin * width;
    tilefold_axis_class classes[TILEFOLD_AXES];
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        classes[axis] = tilefold_axis_get_class(&geometry->axis[axis], d->tile->part[axis].class_index);
    tilefold_block block = {begin, end, 0, 1};
    float *out = (float *)(d->arena + plan->arena.weight);
    tilefold_cpu_pack_panel(geometry, plan, d->work->weight, 0, classes, column, &block, out);
    return out;
}

static void fill_init(const depthwise *d, int64_t column, int64_t width) {
    const tilefold_geometry *geometry = d->work->geometry;
    float *init = (float *)(d->arena + d->work->plan->arena.init);
    memset(init, 0, (size_t)width * sizeof *init);
    if (!d->work->bias) return;
    const char *bias = d->work->bias + column * (int64_t)tilefold_type_bytes(geometry->bias_type);
    d->work->plan->kernels->load_run[geometry->bias_type](init, bias, 1, tilefold_min(width, d->columns - column));
}

/* The channels [column, column + width) of the pixels in hand. */
static void run_panel(depthwise *d, int64_t column, int64_t width) {
    const tilefold_cpu_plan *plan = d->work->plan;
    const tilefold_geometry *geometry = d->work->geometry;
    int64_t taps = tilefold_part_taps(d->tile), count = tilefold_min(width, d->columns - column);
    tilefold_column_run run = {0, count, column * geometry->out_group, geometry->out_group};
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) run.offset += d->tile->part[axis].out_first * geometry->out_axis[axis];
    float *stage = (float *)(d->arena + plan->arena.stage);
    tilefold_tile_io io = {.init = (const float *)(d->arena + plan->arena.init), .out = stage, .out_stride = plan->nr,
                           .low = -INFINITY, .high = INFINITY};
    float *direct = NULL;
    tilefold_type type = d->unfolds ? TILEFOLD_F32 : geometry->type;
    int64_t begin = 0;
    do {
        int64_t end = tilefold_min(taps, begin + plan->block_k);
        if (end == taps) {
            direct = tilefold_cpu_direct_output(d->work, d->tile, d->start, d->pixels, count, (int32_t)width, &run, 1,
                                                &io.out_stride);
            if (direct) io.out = direct;
            io.low = geometry->clamp_low, io.high = geometry->clamp_high;
        }
        point_at_pixels(d, begin, end, column, width);
        plan->kernels->depthwise[type][width / plan->kernels->lanes - 1][d->pixels - 1](
            end - begin, (const void *const *)d->arena, 0, panel_weights(d, column, width, taps, begin, end), width, &io);
        io.init = stage, io.init_stride = plan->nr;
        begin = end;
    } while (begin < taps);
    if (!direct) tilefold_cpu_store_tile(d->work, d->tile, d->start, d->pixels, &run, 1, stage, plan->nr);
}

void tilefold_cpu_run_depthwise(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    const tilefold_cpu_plan *plan = work->plan;
    depthwise d = {.work = work, .tile = tile, .arena = arena, .columns = plan->tiling.columns};
    memset(arena + plan->arena.zeros, 0, (size_t)plan->nr * sizeof(float));
    for (int64_t column = tile->column_begin; column < tile->column_end; column += plan->weight_width) {
        int64_t width = tilefold_cpu_panel_width(plan, d.columns, column);
        d.unfolds = column + width > d.columns || work->geometry->in_group != 1;
        fill_init(&d, column, width);
        d.start = tilefold_cursor_at(tile, tile->position_begin);
        for (int64_t position = tile->position_begin; position < tile->position_end; position += plan->mr) {
            d.pixels = tilefold_min(plan->mr, tile->position_end - position);
            run_panel(&d, column, width);
            for (int64_t i = 0; i < d.pixels; i++) tilefold_cursor_advance(&d.start, tile, 1);
        }
    }
}
