/* SPDX-License-Identifier: MIT */
#include "row_windows.h"

#include "../checked.h"
#include "place.h"

int64_t tilefold_cpu_row_columns(const tilefold_geometry *geometry, int64_t pixels) {
    return (pixels - 1) * geometry->axis[2].stride + geometry->axis[2].kernel;
}

/* Points at the columns of one row from column `first` on. */
static void point_at_row(const tilefold_cpu_work *work, const tilefold_row_pointers *p, const char *row, int64_t first,
                         const void **in) {
    const tilefold_geometry *g = work->geometry;
    int64_t bytes = g->in_axis[2] * work->element_bytes, columns = p->columns;
    int64_t begin = row ? tilefold_min(columns, tilefold_max(0, -first)) : columns;
    int64_t end = tilefold_max(begin, tilefold_min(columns, g->axis[2].input - first));
    for (int64_t c = 0; c < begin; c++) in[c] = p->zeros;
    for (int64_t c = begin; c < end; c++) in[c] = row + (first + c) * bytes;
    for (int64_t c = end; c < columns; c++) in[c] = p->zeros;
}

/* Whether a row of the input is there. */
static bool is_inside(const tilefold_geometry *g, int64_t z, int64_t y) {
    return z >= 0 && z < g->axis[0].input && y >= 0 && y < g->axis[1].input;
}

/* Points at the windows of the pixels from `at` on, the first of which begins at input column `first`. */
static void point_at_windows(const tilefold_cpu_work *work, const tilefold_axis_part *part, const tilefold_cursor *at,
                             int64_t first, tilefold_row_pointers *p) {
    const tilefold_geometry *g = work->geometry;
    const void **in = p->in;
    p->pointed = first;
    p->reusable = first >= 0 && first + p->columns <= g->axis[2].input;
    for (int64_t j = 0; j < part[0].taps; j++) {
        int64_t z = tilefold_axis_position(&part[0], at->q[0], j);
        for (int64_t k = 0; k < part[1].taps + p->more; k++, in += p->columns) {
            int64_t y = tilefold_axis_position(&part[1], at->q[1], k);
            bool inside = is_inside(g, z, y);
            p->reusable = p->reusable && inside;
            int64_t offset = inside ? z * g->in_axis[0] + y * g->in_axis[1] : 0;
            point_at_row(work, p, inside ? p->input + offset * work->element_bytes : NULL, first, in);
        }
    }
}

int64_t tilefold_cpu_enter_row(const tilefold_cpu_work *work, const tilefold_tile *tile, const tilefold_cursor *at,
                               tilefold_row_pointers *p) {
    const tilefold_geometry *g = work->geometry;
    int64_t first = tilefold_axis_position(&tile->part[2], at->q[2], 0);
    if (p->reusable && first >= 0 && first + p->columns <= g->axis[2].input)
        return (first - p->pointed) * g->in_axis[2];
    point_at_windows(work, tile->part, at, first, p);
    return 0;
}
