/* Where positions and taps lie in the input.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CPU_PLACE_H
#define TILEFOLD_CPU_PLACE_H

#include "../checked.h"
#include "cpu.h"

/* The input position that position q of an axis reads at tap j. */
static inline int64_t tilefold_axis_position(const tilefold_axis_part *part, int64_t q, int64_t j) {
    return part->in_first + q * part->in_step + j * part->in_tap;
}

/* Of a run of `count` positions from the cursor on, those in [begin, end) lie inside the input at this tap; `at` is the
 * element of the first of them. */
typedef struct tilefold_run_source {
    int64_t begin, end, at;
} tilefold_run_source;

static inline tilefold_run_source tilefold_find_source(const tilefold_geometry *geometry, const tilefold_tile *tile,
                                                       const tilefold_cursor *cursor, const tilefold_tap *t,
                                                       int64_t count) {
    const tilefold_axis_part *part = tile->part;
    int64_t z = tilefold_axis_position(&part[0], cursor->q[0], t->j[0]),
            y = tilefold_axis_position(&part[1], cursor->q[1], t->j[1]),
            x = tilefold_axis_position(&part[2], cursor->q[2], t->j[2]), step = part[2].in_step;
    if (z < 0 || z >= geometry->axis[0].input || y < 0 || y >= geometry->axis[1].input)
        return (tilefold_run_source){0, 0, 0};
    int64_t begin = x >= 0 ? 0 : tilefold_ceil_div(-x, step);
    int64_t last = geometry->axis[2].input - 1 - x; /* x + i*step is inside up to here */
    int64_t end = last < 0 ? 0 : tilefold_floor_div(last, step) + 1;
    begin = tilefold_min(begin, count);
    end = tilefold_max(begin, tilefold_min(end, count));
    if (begin == end) return (tilefold_run_source){0, 0, 0};
    int64_t at = z * geometry->in_axis[0] + y * geometry->in_axis[1] + (x + begin * step) * geometry->in_axis[2];
    return (tilefold_run_source){begin, end, at};
}

/* The taps [*begin, *end) of an axis that some position in [first, last] meets an input element at, or a few more: the others
 * read padding only. */
static inline void tilefold_taps_met(const tilefold_axis *axis, const tilefold_axis_part *part, int64_t first,
                                     int64_t last, int64_t *begin, int64_t *end) {
    int64_t low = part->in_first + first * part->in_step, high = part->in_first + last * part->in_step;
    int64_t step = part->in_tap > 0 ? part->in_tap : -part->in_tap;
    if (part->in_tap < 0) { /* seen from the last tap */
        low += (part->taps - 1) * part->in_tap;
        high += (part->taps - 1) * part->in_tap;
    }
    /* Taps j with high + j*step >= 0 and low + j*step < I. Mostly that is all of them, as is seen without a division. */
    int64_t from = high >= 0 ? 0 : tilefold_min(part->taps, tilefold_ceil_div(-high, step)), to = part->taps;
    if (low >= axis->input)
        to = 0;
    else if (low + (part->taps - 1) * step >= axis->input)
        to = tilefold_floor_div(axis->input - 1 - low, step) + 1;
    to = tilefold_max(from, to);
    *begin = part->in_tap < 0 ? part->taps - to : from;
    *end = part->in_tap < 0 ? part->taps - from : to;
}

/* Elements between neighbouring positions of a row that both lie inside the input. */
static inline int64_t tilefold_position_stride(const tilefold_geometry *geometry, const tilefold_tile *tile) {
    return tilefold_min(tile->part[2].in_step, geometry->axis[2].input) * geometry->in_axis[2];
}

#endif /* TILEFOLD_CPU_PLACE_H */
