/* SPDX-License-Identifier: MIT */
#include "halo_layout.h"

#include "../checked.h"
#include "place.h"

/* Planes an odd number of cache lines apart: the lines that a kernel walks through the channels fall into different sets. */
static int64_t round_plane(int64_t floats) {
    enum { LINE = TILEFOLD_ARENA_ALIGNMENT / sizeof(float) };
    return tilefold_saturating_multiply(tilefold_ceil_div(floats, LINE) | 1, LINE);
}

int64_t tilefold_halo_least_plane(int64_t taps) { return round_plane(taps); }

/* Kernels read whole vectors, up to so many floats past the last position. */
enum { SLACK = TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_LANES };

static tilefold_halo_rows lay_out_rows(const tilefold_axis_part *part, int64_t q, int64_t count, int64_t tap_begin,
                                       int64_t taps) {
    int64_t spread = (taps - 1) * tilefold_max(part->in_tap, -part->in_tap);
    int64_t together = (count - 1) * part->in_step + spread + 1, apart = tilefold_saturating_multiply(count, taps);
    tilefold_halo_rows rows = {.shared = together <= apart,
                               .first = tilefold_axis_position(part, q, tap_begin),
                               .count = count,
                               .step = part->in_step,
                               .tap = part->in_tap,
                               .tap_begin = tap_begin,
                               .taps = taps};
    rows.rows = tilefold_min(together, apart);
    rows.position_rows = rows.shared ? part->in_step : 1;
    return rows;
}

/* The copy's row of position 0 at a tap, counted from the first. */
static int64_t tap_row(const tilefold_halo_rows *rows, int64_t tap) {
    if (!rows->shared) return tap * rows->count;
    return rows->tap >= 0 ? tap * rows->tap : (tap - (rows->taps - 1)) * rows->tap;
}

static int64_t class_count(const tilefold_halo_layout *layout) {
    return tilefold_min(layout->period, layout->tap_end - layout->tap_begin);
}

static tilefold_tap_class get_class(const tilefold_halo_layout *layout, int64_t index) {
    return tilefold_tap_class_at(layout->inner, layout->tap_begin + index, layout->tap_end, layout->period);
}

/* Where the run of a class begins in a row: past those of the classes before it, which are `count` elements and, for each of
 * their taps but the first, as many as lie between two of them. A stride of a million has a million classes: not summed. */
static int64_t class_begin(const tilefold_halo_layout *layout, int64_t index) {
    int64_t taps = layout->tap_end - layout->tap_begin, each = taps / layout->period, rest = taps % layout->period;
    return index * layout->count + (index * (each - 1) + tilefold_min(index, rest)) * layout->apart;
}

tilefold_halo_layout tilefold_halo_lay_out(const tilefold_axis_part part[TILEFOLD_AXES], const tilefold_cursor *cursor,
                                           int64_t rows, int64_t count, int64_t tap_begin, int64_t tap_end) {
    int64_t outer_taps = part[0].taps * part[1].taps, inner = part[2].taps;
    bool all = tap_end - tap_begin == outer_taps * inner;
    tilefold_tap from = tilefold_tap_at(part, tap_begin);
    tilefold_halo_layout layout = {.inner = &part[2],
                                   .first = cursor->q[2],
                                   .count = count,
                                   .tap_begin = all ? 0 : from.j[2],
                                   .tap_end = all ? inner : from.j[2] + tap_end - tap_begin};
    layout.outer[0] = lay_out_rows(&part[0], cursor->q[0], 1, all ? 0 : from.j[0], all ? part[0].taps : 1);
    layout.outer[1] = lay_out_rows(&part[1], cursor->q[1], rows, all ? 0 : from.j[1], all ? part[1].taps : 1);

    int64_t taps = layout.tap_end - layout.tap_begin, step = part[2].in_step;
    layout.period = tilefold_tap_period(&part[2]);
    layout.apart = tilefold_max(part[2].in_tap, -part[2].in_tap) / (step / layout.period); /* by their common divisor */
    if (layout.period >= taps || layout.apart >= count) layout.period = taps; /* runs of their own are smaller */
    if (layout.period >= taps)
        layout.pitch = tilefold_saturating_multiply(count, taps);
    else
        layout.pitch = class_begin(&layout, layout.period);
    layout.flat = layout.pitch == count && layout.outer[1].position_rows == 1;
    layout.plane = tilefold_saturating_multiply(layout.outer[0].rows, layout.outer[1].rows);
    layout.plane = round_plane(tilefold_saturating_multiply(layout.plane, layout.pitch));
    return layout;
}

int64_t tilefold_halo_floats(const tilefold_halo_layout *layout, int64_t channels) {
    return tilefold_saturating_add(tilefold_saturating_multiply(channels, layout->plane), SLACK);
}

int64_t tilefold_halo_channels(const tilefold_halo_layout *layout, int64_t floats) {
    return tilefold_max(1, (floats - SLACK) / layout->plane);
}

/* Where a tap of the innermost axis begins in a row, in the run of its class. */
static int64_t class_offset(const tilefold_halo_layout *layout, int64_t tap) {
    int64_t index = (tap - layout->tap_begin) % layout->period;
    return class_begin(layout, index) + tilefold_tap_shift(layout->inner, tap) - get_class(layout, index).shift;
}

int64_t tilefold_halo_tap_offset(const tilefold_halo_layout *layout, int64_t tap) {
    int64_t inner = layout->tap_end - layout->tap_begin, row = tap / inner, j = layout->tap_begin + tap % inner;
    int64_t z = row / layout->outer[1].taps, y = row % layout->outer[1].taps, offset;
    if (layout->period >= inner)
        offset = (j - layout->tap_begin) * layout->count;
    else
        offset = class_offset(layout, j);
    return (tap_row(&layout->outer[0], z) * layout->outer[1].rows + tap_row(&layout->outer[1], y)) * layout->pitch +
           offset;
}

/* --------------------------------------------------------------------------------------------------------- copy ---- */

typedef struct halo_copy {
    const tilefold_halo_layout *layout;
    const tilefold_cpu_work *work;
    const char *input; /* the first channel */
    int64_t channel_stride, channels;
} halo_copy;

/* Consecutive rows of the copy whose input rows are `step` apart. */
typedef struct row_run {
    int64_t first, step, count; /* input row of the first; how far apart; how many */
    int64_t at;                 /* row of the copy */
} row_run;

static int64_t run_count(const tilefold_halo_rows *rows) { return rows->shared ? 1 : rows->taps; }

static row_run get_run(const tilefold_halo_rows *rows, int64_t index) {
    if (!rows->shared) return (row_run){rows->first + index * rows->tap, rows->step, rows->count, index * rows->count};
    return (row_run){rows->first + tilefold_min(0, (rows->taps - 1) * rows->tap), 1, rows->rows, 0};
}

/* Of `count` elements from `first` on, `step` apart, those in [*begin, *end) lie inside [0, size). */
static void find_inside(int64_t first, int64_t step, int64_t count, int64_t size, int64_t *begin, int64_t *end) {
    *begin = first >= 0 ? 0 : tilefold_min(count, tilefold_ceil_div(-first, step));
    *end = first >= size ? 0 : tilefold_min(count, tilefold_floor_div(size - 1 - first, step) + 1);
    *end = tilefold_max(*begin, *end);
}

static void zero_rows(const halo_copy *c, float *out, int64_t begin, int64_t end, int64_t width) {
    for (int64_t channel = 0; channel < c->channels; channel++)
        for (int64_t row = begin; row < end; row++)
            memset(out + channel * c->layout->plane + row * c->layout->pitch, 0, (size_t)width * sizeof *out);
}

/* Rows by channels: one copy for each channel. */
static void copy_channels(const halo_copy *c, const tilefold_row_copy *rows, const char *in, float *out) {
    const tilefold_geometry *geometry = c->work->geometry;
    tilefold_copy_rows copy = c->work->plan->kernels->copy_rows[geometry->type];
    for (int64_t channel = 0; channel < c->channels; channel++)
        copy(out + channel * c->layout->plane, in + channel * c->channel_stride * c->work->element_bytes, rows);
}

/* Channels side by side in the input: turned on their way. */
static void turn_channels(const halo_copy *c, const tilefold_row_copy *rows, const char *in, float *out) {
    enum { MAX_TURNED = 64 };
    const tilefold_geometry *geometry = c->work->geometry;
    int64_t width = rows->left + rows->n + rows->right;
    for (int64_t row = 0; row < rows->rows; row++) {
        float *to = out + row * rows->out_stride;
        const char *from = in + row * rows->in_stride * c->work->element_bytes;
        for (int64_t channel = 0; channel < c->channels; channel++) {
            float *plane = to + channel * c->layout->plane;
            for (int64_t i = 0; i < rows->left; i++) plane[i] = 0.0f;
            for (int64_t i = rows->left + rows->n; i < width; i++) plane[i] = 0.0f;
        }
        for (int64_t begin = 0; begin < rows->n; begin += MAX_TURNED) {
            int64_t count = tilefold_min(MAX_TURNED, rows->n - begin);
            const void *pixels[MAX_TURNED];
            for (int64_t i = 0; i < count; i++) pixels[i] = from + (begin + i) * rows->in_step * c->work->element_bytes;
            c->work->plan->kernels->transpose_rows[geometry->type](to + rows->left + begin, c->layout->plane, pixels,
                                                                   count, c->channel_stride, c->channels);
        }
    }
}

static int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

/* The rows of one run at one depth, for one class of taps along the innermost axis. */
static void copy_class(const halo_copy *c, int64_t z, const row_run *y, const tilefold_tap_class *x, float *out) {
    const tilefold_geometry *geometry = c->work->geometry;
    const tilefold_halo_layout *layout = c->layout;
    int64_t step = layout->inner->in_step, width = layout->count + x->spread;
    int64_t first = tilefold_axis_position(layout->inner, layout->first, 0) + x->residue + x->shift * step;
    int64_t row_begin, row_end, begin, end;
    find_inside(y->first, y->step, y->count, geometry->axis[1].input, &row_begin, &row_end);
    find_inside(first, step, width, geometry->axis[2].input, &begin, &end);
    if (z < 0 || z >= geometry->axis[0].input || begin == end) row_begin = row_end = y->count;
    zero_rows(c, out, 0, row_begin, width);
    zero_rows(c, out, row_end, y->count, width);
    if (row_begin == row_end) return;
    int64_t at = z * geometry->in_axis[0] + (y->first + row_begin * y->step) * geometry->in_axis[1] +
                 (first + begin * step) * geometry->in_axis[2];
    tilefold_row_copy rows = {.rows = row_end - row_begin,
                              .left = begin,
                              .n = end - begin,
                              .right = width - end,
                              .out_stride = layout->pitch,
                              .in_stride = tilefold_min(y->step, geometry->axis[1].input) * geometry->in_axis[1],
                              .in_step = tilefold_min(step, geometry->axis[2].input) * geometry->in_axis[2]};
    bool turn = c->channels > 1 && magnitude(c->channel_stride) < magnitude(rows.in_step);
    (turn ? turn_channels : copy_channels)(c, &rows, c->input + at * c->work->element_bytes,
                                           out + row_begin * layout->pitch);
}

void tilefold_halo_copy(const tilefold_halo_layout *layout, const tilefold_cpu_work *work, const char *input,
                        int64_t channel_stride, int64_t channels, float *out) {
    halo_copy c = {layout, work, input, channel_stride, channels};
    const tilefold_halo_rows *outer = layout->outer;
    for (int64_t i = 0; i < run_count(&outer[0]); i++) {
        row_run z = get_run(&outer[0], i);
        for (int64_t depth = 0; depth < z.count; depth++)
            for (int64_t j = 0; j < run_count(&outer[1]); j++) {
                row_run y = get_run(&outer[1], j);
                float *to = out + ((z.at + depth) * outer[1].rows + y.at) * layout->pitch;
                for (int64_t k = 0; k < class_count(layout); k++) {
                    tilefold_tap_class x = get_class(layout, k);
                    copy_class(&c, z.first + depth * z.step, &y, &x, to);
                    to += layout->count + x.spread;
                }
            }
    }
    memset(out + channels * layout->plane, 0, SLACK * sizeof *out);
}

/* -------------------------------------------------------------------------------------------------------- boxes ---- */

static bool fits(const tilefold_axis_part part[TILEFOLD_AXES], const tilefold_cursor *cursor, int64_t rows,
                 int64_t count, int64_t taps, int64_t channels, int64_t floats) {
    tilefold_halo_layout layout = tilefold_halo_lay_out(part, cursor, rows, count, 0, taps);
    return tilefold_halo_floats(&layout, channels) <= floats;
}

int64_t tilefold_halo_whole_rows(const tilefold_axis_part part[TILEFOLD_AXES], const tilefold_cursor *cursor,
                                 int64_t left, int64_t taps, int64_t channels, int64_t floats) {
    if (cursor->q[2] != 0) return 0;
    int64_t high = tilefold_min(left / part[2].count, part[1].count - cursor->q[1]), low = 0;
    if (high > 0 && fits(part, cursor, high, part[2].count, taps, channels, floats)) return high;
    while (high - low > 1) { /* low rows fit, high do not */
        int64_t middle = low + (high - low) / 2;
        if (fits(part, cursor, middle, part[2].count, taps, channels, floats))
            low = middle;
        else
            high = middle;
    }
    return low;
}

int64_t tilefold_halo_run(const tilefold_axis_part part[TILEFOLD_AXES], const tilefold_cursor *cursor, int64_t left,
                          int64_t taps, int64_t channels, int64_t floats) {
    int64_t run = tilefold_min(left, part[2].count - cursor->q[2]);
    while (run > 1 && !fits(part, cursor, 1, run, taps, channels, floats)) run -= run / 2;
    return run;
}
