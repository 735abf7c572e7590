/* The outputs in bands, for arrays larger than memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include "checked.h"
#include "device.h"
#include "message.h"
#include "versioned.h"
#include "window.h"

/* The outputs of a band but the last ones, and how many bands that makes along each of these. */
typedef struct band_grid {
    int64_t images, size[TILEFOLD_AXES];
    int64_t image_bands, bands[TILEFOLD_AXES];
    int64_t total;
} band_grid;

/* The most that so many neighbouring outputs of an axis read of the input. */
static int64_t most_inputs(const tilefold_axis *axis, int64_t outputs) {
    int64_t reach = (axis->kernel - 1) * tilefold_max(axis->tap_step, -axis->tap_step);
    int64_t between = tilefold_saturating_add((outputs - 1) * axis->stride, reach);
    return tilefold_min(axis->input, between / axis->input_dilation + 1);
}

static int64_t band_bytes(const tilefold_geometry *geometry, const band_grid *grid) {
    int64_t in = geometry->groups * geometry->in_channels, out = geometry->groups * geometry->out_channels;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        in = tilefold_saturating_multiply(in, most_inputs(&geometry->axis[axis], grid->size[axis]));
        out = tilefold_saturating_multiply(out, grid->size[axis]);
    }
    int64_t image = tilefold_saturating_multiply(tilefold_saturating_add(in, out),
                                                 (int64_t)tilefold_type_bytes(geometry->type));
    return tilefold_saturating_multiply(image, grid->images);
}

/* Cuts `whole` into as few pieces as will do of at most `*size`, of equal size but the last; returns how many. */
static int64_t cut_evenly(int64_t whole, int64_t unit, int64_t *size) {
    int64_t pieces = tilefold_ceil_div(whole, *size);
    *size = tilefold_min(whole, tilefold_round_up(tilefold_ceil_div(whole, pieces), unit));
    return tilefold_ceil_div(whole, *size);
}

/* The most units along one axis with which a band is within the bytes; 0 where one is too much. */
static int64_t most_units(const tilefold_geometry *geometry, band_grid grid, int axis, int64_t unit, int64_t most) {
    int64_t whole = geometry->axis[axis].output, fits = 0, fails = tilefold_ceil_div(whole, unit) + 1;
    while (fails - fits > 1) {
        int64_t units = fits + (fails - fits) / 2;
        grid.size[axis] = tilefold_min(whole, units * unit);
        if (band_bytes(geometry, &grid) <= most)
            fits = units;
        else
            fails = units;
    }
    return fits;
}

/* Several images, or a stretch of an axis of one; of the axes before it a unit, of those behind it everything. */
static void choose_size(const tilefold_geometry *geometry, const int64_t unit[TILEFOLD_AXES], int64_t most,
                        band_grid *grid) {
    grid->images = 1;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) grid->size[axis] = geometry->axis[axis].output;
    int64_t image = band_bytes(geometry, grid);
    if (image <= most) {
        grid->images = tilefold_min(most / tilefold_max(image, 1), tilefold_max(geometry->batch, 1));
        return;
    }
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        int64_t units = most_units(geometry, *grid, axis, unit[axis], most);
        grid->size[axis] = tilefold_min(geometry->axis[axis].output, tilefold_max(units, 1) * unit[axis]);
        if (units > 0) return;
    }
}

static void make_grid(const tilefold_geometry *geometry, const int64_t unit[TILEFOLD_AXES], int64_t most,
                      band_grid *grid) {
    choose_size(geometry, unit, most, grid);
    grid->image_bands = cut_evenly(tilefold_max(geometry->batch, 1), 1, &grid->images);
    grid->total = grid->image_bands;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        grid->bands[axis] = cut_evenly(geometry->axis[axis].output, unit[axis], &grid->size[axis]);
        grid->total *= grid->bands[axis];
    }
}

/* Band `index` of an axis or of the images. */
static void place(int64_t index, int64_t each, int64_t whole, int64_t *begin, int64_t *size) {
    *begin = index * each;
    *size = tilefold_min(each, whole - *begin);
}

/* Images change slowest and the first axis fastest, since neighbours along it share the input between them. */
static void place_band(const band_grid *grid, const tilefold_window *whole, int32_t rank, int64_t index,
                       tilefold_window *band) {
    *band = *whole;
    for (int32_t at = 0; at < rank; at++) {
        int axis = TILEFOLD_AXES - rank + at;
        place(index % grid->bands[axis], grid->size[axis], whole->size[at], &band->begin[at], &band->size[at]);
        index /= grid->bands[axis];
    }
    place(index, grid->images, whole->batch_size, &band->batch_begin, &band->batch_size);
}

tilefold_status tilefold_band(const tilefold_plan *plan, const tilefold_problem *problem, int64_t most_bytes,
                              int64_t index, tilefold_window *band, int64_t *bands, tilefold_message *message) {
    tilefold_problem full;
    tilefold_geometry geometry;
    tilefold_window whole;
    tilefold_status status = tilefold_read_problem(problem, &full, message);
    if (!status) status = tilefold_resize_geometry(plan, &full, &geometry, message);
    if (!status) status = tilefold_output_window(&full, &whole, message);
    if (!status && most_bytes < 1)
        status = tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "a band of at most %lld bytes",
                               (long long)most_bytes);
    if (status) return status;
    int64_t unit[TILEFOLD_AXES];
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) unit[axis] = tilefold_max(plan->unit[axis], 1);
    bool can_cut = tilefold_check_units(&full, &whole, unit, NULL) == TILEFOLD_OK;
    band_grid grid;
    make_grid(&geometry, unit, can_cut ? most_bytes : INT64_MAX, &grid);
    if (index < 0 || index >= grid.total)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "there is no band %lld of %lld", (long long)index,
                             (long long)grid.total);
    place_band(&grid, &whole, full.rank, index, band);
    *bands = grid.total;
    return TILEFOLD_OK;
}
