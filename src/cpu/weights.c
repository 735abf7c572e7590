/* Packed weights: for each group and class, panels [k][width] in the order the micro-kernels read them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "cpu.h"

enum { MAX_WIDTH = TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_LANES };

int64_t tilefold_cpu_panel_width(const tilefold_cpu_plan *plan, int64_t columns, int64_t column_begin) {
    int64_t width = tilefold_min(plan->weight_width, columns - column_begin);
    return plan->positions_in_lanes ? width : tilefold_round_up(width, plan->kernels->lanes);
}

int64_t tilefold_cpu_panel_column(const tilefold_cpu_plan *plan, int64_t columns, int64_t column_begin) {
    int64_t earlier = columns - tilefold_cpu_panel_width(plan, columns, column_begin);
    return plan->overlaps && earlier >= 0 ? tilefold_min(column_begin, earlier) : column_begin;
}

/* Floats that the panels of a class take for each k. */
static int64_t padded_columns(const tilefold_cpu_plan *plan, int64_t columns) {
    int64_t whole = columns / plan->weight_width * plan->weight_width;
    return whole + (whole < columns ? tilefold_cpu_panel_width(plan, columns, whole) : 0);
}

static void get_classes(const tilefold_geometry *geometry, const int64_t at[TILEFOLD_AXES],
                        tilefold_axis_class classes[TILEFOLD_AXES]) {
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        classes[axis] = tilefold_axis_get_class(&geometry->axis[axis], at[axis]);
}

static int64_t class_taps(const tilefold_axis_class classes[TILEFOLD_AXES]) {
    return classes[0].taps * classes[1].taps * classes[2].taps;
}

static int64_t class_columns(const tilefold_cpu_plan *plan, const tilefold_axis_class classes[TILEFOLD_AXES]) {
    return plan->tiling.columns * classes[0].folds * classes[1].folds * classes[2].folds;
}

static int64_t class_floats(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan,
                            const tilefold_axis_class classes[TILEFOLD_AXES]) {
    return tilefold_saturating_multiply(class_taps(classes) * geometry->in_channels,
                                        padded_columns(plan, class_columns(plan, classes)));
}

/* Steps `at` through the classes in row-major order; false past the last. */
static bool next_class(const tilefold_geometry *geometry, int64_t at[TILEFOLD_AXES]) {
    for (int axis = TILEFOLD_AXES - 1; axis >= 0; axis--) {
        if (++at[axis] < tilefold_axis_classes(&geometry->axis[axis])) return true;
        at[axis] = 0;
    }
    return false;
}

/* Cut by phase, all classes have the same columns and their taps add up to the kernel's. */
static int64_t group_floats(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan) {
    if (!geometry->folded) {
        int64_t taps = geometry->axis[0].kernel * geometry->axis[1].kernel * geometry->axis[2].kernel;
        return tilefold_saturating_multiply(taps * geometry->in_channels, padded_columns(plan, plan->tiling.columns));
    }
    int64_t at[TILEFOLD_AXES] = {0}, floats = 0;
    tilefold_axis_class classes[TILEFOLD_AXES];
    do {
        get_classes(geometry, at, classes);
        floats = tilefold_saturating_add(floats, class_floats(geometry, plan, classes));
    } while (next_class(geometry, at));
    return floats;
}

int64_t tilefold_cpu_packed_floats(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan) {
    int64_t panels = tilefold_saturating_multiply(plan->tiling.groups, group_floats(geometry, plan));
    return tilefold_saturating_add(panels, TILEFOLD_PACKED_HEADER);
}

/* Taps of the classes before class `index` of an axis cut by phase: class k0 has K/m taps, and one more if k0 < K mod m. */
static int64_t taps_before(const tilefold_axis *axis, int64_t index) {
    return index * (axis->kernel / axis->tap_period) + tilefold_min(index, axis->kernel % axis->tap_period);
}

static int64_t folded_offset(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan,
                             const tilefold_tile *tile) {
    int64_t at[TILEFOLD_AXES] = {0}, floats = 0;
    tilefold_axis_class classes[TILEFOLD_AXES];
    for (;;) {
        if (at[0] == tile->part[0].class_index && at[1] == tile->part[1].class_index &&
            at[2] == tile->part[2].class_index)
            return floats;
        get_classes(geometry, at, classes);
        floats += class_floats(geometry, plan, classes);
        next_class(geometry, at);
    }
}

int64_t tilefold_cpu_class_offset(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan,
                                  const tilefold_tile *tile) {
    if (tilefold_part_taps(tile) == 0) return 0;
    int64_t group = tile->group * group_floats(geometry, plan);
    if (geometry->folded) return group + folded_offset(geometry, plan, tile);
    const tilefold_axis *axis = geometry->axis;
    const tilefold_axis_part *part = tile->part;
    int64_t taps = taps_before(&axis[0], part[0].class_index) * axis[1].kernel * axis[2].kernel;
    taps += part[0].taps * taps_before(&axis[1], part[1].class_index) * axis[2].kernel;
    taps += part[0].taps * part[1].taps * taps_before(&axis[2], part[2].class_index);
    return group + taps * geometry->in_channels * padded_columns(plan, plan->tiling.columns);
}

/* Element offset of the first tap and first channel of a column. */
static int64_t column_offset(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan,
                             const tilefold_axis_class classes[TILEFOLD_AXES], int64_t column) {
    const int64_t folds[TILEFOLD_AXES] = {classes[0].folds, classes[1].folds, classes[2].folds};
    tilefold_column at = tilefold_column_at(plan, folds, column);
    /* Where all groups are columns, a column is a group. */
    int64_t offset = at.channel * (plan->groups_are_columns ? geometry->weight_group : geometry->weight_out);
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        offset += (classes[axis].tap_first + at.fold[axis]) * geometry->weight_axis[axis];
    return offset;
}

/* One channel block at one tap of the columns whose first elements lie at `offsets`; returns its end. */
static float *pack_tap(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const char *weight,
                       const int64_t *offsets, int64_t count, int64_t width, int64_t channels, float *out) {
    int64_t element_bytes = (int64_t)tilefold_type_bytes(geometry->type);
    const void *rows[MAX_WIDTH];
    for (int64_t i = 0; i < count; i++) rows[i] = weight + offsets[i] * element_bytes;
    plan->kernels->transpose_rows[geometry->type](out, width, rows, count, geometry->weight_in, channels);
    for (int64_t c = 0; count < width && c < channels; c++)
        memset(out + c * width + count, 0, (size_t)(width - count) * sizeof *out);
    return out + channels * width;
}

void tilefold_cpu_pack_panel(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight,
                             int64_t group, const tilefold_axis_class classes[TILEFOLD_AXES], int64_t column_begin,
                             const tilefold_block *block, float *out) {
    int64_t element_bytes = (int64_t)tilefold_type_bytes(geometry->type);
    int64_t columns = class_columns(plan, classes), width = tilefold_cpu_panel_width(plan, columns, column_begin);
    column_begin = tilefold_cpu_panel_column(plan, columns, column_begin);
    int64_t count = tilefold_min(width, columns - column_begin);
    int64_t base = geometry->weight_offset + group * geometry->weight_group;
    int64_t offsets[MAX_WIDTH];
    for (int64_t i = 0; i < count; i++) offsets[i] = base + column_offset(geometry, plan, classes, column_begin + i);

    for (int64_t channel = block->channel_begin; channel < block->channel_end;) {
        int64_t end = tilefold_channel_block_end(channel, block->channel_end);
        for (int64_t tap = block->tap_begin; tap < block->tap_end; tap++) {
            int64_t row = tap / classes[2].taps;
            int64_t step = row / classes[1].taps * classes[0].tap_step * geometry->weight_axis[0] +
                           row % classes[1].taps * classes[1].tap_step * geometry->weight_axis[1] +
                           tap % classes[2].taps * classes[2].tap_step * geometry->weight_axis[2];
            const char *first = (const char *)weight + (step + channel * geometry->weight_in) * element_bytes;
            out = pack_tap(geometry, plan, first, offsets, count, width, end - channel, out);
        }
        channel = end;
    }
}

/* Without a branch on each, so that it takes vectors. */
static bool all_finite(const float *values, int64_t count) {
    uint32_t bad = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bad |= (bits & 0x7f800000) == 0x7f800000;
    }
    return !bad;
}

void tilefold_cpu_pack_weight(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight,
                              float *packed) {
    bool finite = true;
    float *out = packed + TILEFOLD_PACKED_HEADER;
    for (int64_t group = 0; group < plan->tiling.groups; group++) {
        int64_t at[TILEFOLD_AXES] = {0};
        do {
            tilefold_axis_class classes[TILEFOLD_AXES];
            get_classes(geometry, at, classes);
            int64_t taps = class_taps(classes), columns = taps ? class_columns(plan, classes) : 0;
            tilefold_block all = {0, taps, 0, geometry->in_channels};
            for (int64_t column = 0; column < columns; column += plan->weight_width) {
                int64_t floats = taps * geometry->in_channels * tilefold_cpu_panel_width(plan, columns, column);
                tilefold_cpu_pack_panel(geometry, plan, weight, group, classes, column, &all, out);
                finite = finite && all_finite(out, floats);
                out += floats;
            }
        } while (next_class(geometry, at));
    }
    memset(packed, 0, TILEFOLD_PACKED_HEADER * sizeof *packed);
    packed[0] = finite ? 1.0f : 0.0f;
}
