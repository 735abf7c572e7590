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

/* Element offsets of the first tap and first channel of `count` columns. */
static void find_columns(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan,
                         const tilefold_axis_class classes[TILEFOLD_AXES], int64_t begin, int64_t count,
                         int64_t *offsets) {
    const int64_t folds[TILEFOLD_AXES] = {classes[0].folds, classes[1].folds, classes[2].folds};
    tilefold_column at = tilefold_column_at(plan, folds, begin);
    /* Where all groups are columns, they come one after the other. */
    int64_t outputs = plan->groups_are_columns ? geometry->out_channels : plan->tiling.columns;
    for (int64_t i = 0; i < count; i++, tilefold_column_next(plan, folds, &at)) {
        offsets[i] = at.channel / outputs * geometry->weight_group + at.channel % outputs * geometry->weight_out;
        for (int axis = 0; axis < TILEFOLD_AXES; axis++)
            offsets[i] += (classes[axis].tap_first + at.fold[axis]) * geometry->weight_axis[axis];
    }
}

/* A stretch of taps along the innermost axis, of the channels of one block. */
typedef struct tap_run {
    int64_t taps, channels;
    int64_t tap_step, channel_step; /* elements */
} tap_run;

/* Packs it for `count` columns, whose first elements `rows` points at, into out[tap][channel][width]. Along the channels, or, where
 * channels lie in different cache lines and many taps in one, along the taps. */
static void pack_run(tilefold_transpose_rows transpose, const tap_run *run, const void **rows, int64_t count,
                     int64_t element_bytes, int64_t width, float *out) {
    enum { LINE = 16 };
    int64_t channel_step = run->channel_step < 0 ? -run->channel_step : run->channel_step;
    int64_t extent = run->taps * (run->tap_step < 0 ? -run->tap_step : run->tap_step);
    bool along_taps = run->taps > 1 && extent >= LINE / 2 && channel_step >= LINE && channel_step >= extent;
    int64_t turns = along_taps ? run->channels : run->taps, tap_floats = run->channels * width;
    int64_t step = (along_taps ? run->channel_step : run->tap_step) * element_bytes;
    for (int64_t i = 0; i < turns; i++) {
        if (along_taps)
            transpose(out + i * width, tap_floats, rows, count, run->tap_step, run->taps);
        else
            transpose(out + i * tap_floats, width, rows, count, run->channel_step, run->channels);
        for (int64_t row = 0; row < count && i + 1 < turns; row++) rows[row] = (const char *)rows[row] + step;
    }
    for (int64_t k = 0; count < width && k < run->taps * run->channels; k++)
        memset(out + k * width + count, 0, (size_t)(width - count) * sizeof *out);
}

void tilefold_cpu_pack_panel(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight,
                             int64_t group, const tilefold_axis_class classes[TILEFOLD_AXES], int64_t column_begin,
                             const tilefold_block *block, float *out) {
    int64_t element_bytes = (int64_t)tilefold_type_bytes(geometry->type), inner = classes[2].taps;
    int64_t columns = class_columns(plan, classes), width = tilefold_cpu_panel_width(plan, columns, column_begin);
    column_begin = tilefold_cpu_panel_column(plan, columns, column_begin);
    int64_t count = tilefold_min(width, columns - column_begin);
    int64_t base = geometry->weight_offset + group * geometry->weight_group;
    int64_t offsets[MAX_WIDTH];
    find_columns(geometry, plan, classes, column_begin, count, offsets);

    tap_run run = {.tap_step = classes[2].tap_step * geometry->weight_axis[2], .channel_step = geometry->weight_in};
    for (int64_t channel = block->channel_begin; channel < block->channel_end; channel += run.channels) {
        run.channels = tilefold_channel_block_end(channel, block->channel_end) - channel;
        for (int64_t tap = block->tap_begin; tap < block->tap_end; tap += run.taps) {
            int64_t row = tap / inner;
            int64_t first = row / classes[1].taps * classes[0].tap_step * geometry->weight_axis[0] +
                            row % classes[1].taps * classes[1].tap_step * geometry->weight_axis[1] +
                            tap % inner * run.tap_step + channel * geometry->weight_in;
            const void *rows[MAX_WIDTH];
            for (int64_t i = 0; i < count; i++)
                rows[i] = (const char *)weight + (base + first + offsets[i]) * element_bytes;
            run.taps = tilefold_min(inner - tap % inner, block->tap_end - tap);
            pack_run(plan->kernels->transpose_rows[geometry->type], &run, rows, count, element_bytes, width, out);
            out += run.taps * run.channels * width;
        }
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

/* A block of whole channel blocks, with all taps, in all panels of a class; returns whether they are finite. */
static bool pack_class(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight,
                       int64_t group, const tilefold_axis_class classes[TILEFOLD_AXES], const tilefold_block *block,
                       float *out) {
    int64_t columns = class_columns(plan, classes), sum = block->tap_end * geometry->in_channels;
    int64_t offset = tilefold_block_offset(block, block->tap_end, geometry->in_channels);
    bool finite = true;
    for (int64_t column = 0; column < columns; column += plan->weight_width) {
        int64_t width = tilefold_cpu_panel_width(plan, columns, column);
        float *to = out + column * sum + offset * width;
        tilefold_cpu_pack_panel(geometry, plan, weight, group, classes, column, block, to);
        finite = finite && all_finite(to, tilefold_block_length(block) * width);
    }
    return finite;
}

/* How many channels are packed at once. Where a cache line of weights has taps of several folds or phases, which lie in panels
 * far apart, so many that the second-level cache holds their weights for all of them. */
static int64_t channels_at_once(const tilefold_geometry *geometry) {
    enum { HELD = 1 << 18 }; /* elements */
    if (geometry->axis[2].input_dilation == 1) return geometry->in_channels;
    int64_t taps = geometry->axis[0].kernel * geometry->axis[1].kernel * geometry->axis[2].kernel;
    int64_t each = tilefold_saturating_multiply(geometry->out_channels, taps);
    return tilefold_max(1, HELD / each / TILEFOLD_CHANNEL_BLOCK) * TILEFOLD_CHANNEL_BLOCK;
}

/* Channels [begin, end) of all classes of a group; returns whether they are finite. */
static bool pack_channels(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight,
                          int64_t group, int64_t begin, int64_t end, float *out) {
    int64_t at[TILEFOLD_AXES] = {0};
    bool finite = true;
    do {
        tilefold_axis_class classes[TILEFOLD_AXES];
        get_classes(geometry, at, classes);
        tilefold_block block = {0, class_taps(classes), begin, end};
        if (block.tap_end == 0) continue;
        finite = pack_class(geometry, plan, weight, group, classes, &block, out) && finite;
        out += class_floats(geometry, plan, classes);
    } while (next_class(geometry, at));
    return finite;
}

void tilefold_cpu_pack_weight(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight,
                              float *packed) {
    int64_t channels = geometry->in_channels, step = channels_at_once(geometry), floats = group_floats(geometry, plan);
    bool finite = true;
    float *out = packed + TILEFOLD_PACKED_HEADER;
    for (int64_t group = 0; group < plan->tiling.groups; group++, out += floats)
        for (int64_t begin = 0; begin < channels; begin += step)
            finite = pack_channels(geometry, plan, weight, group, begin, tilefold_min(channels, begin + step), out) &&
                     finite;
    memset(packed, 0, TILEFOLD_PACKED_HEADER * sizeof *packed);
    packed[0] = finite ? 1.0f : 0.0f;
}
