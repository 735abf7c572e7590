/* The positions' side of the product: unfolding fused into packing, or pointers at the input where it lies.
 *
 * SPDX-License-Identifier: MIT
 *
 * A panel holds `width` positions for a block of K. The input of one tap for a run of positions of one row is itself a row
 * of the input, so everything goes by runs: the part of a run that lies inside the input is copied (or pointed at), the
 * rest is zeros.
 */
#include "cpu.h"
#include "tap_class.h"

enum { MAX_WIDTH = TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_LANES };

typedef struct tap {
    int64_t j[TILEFOLD_AXES];
} tap;

static tap tap_at(const tilefold_tile *tile, int64_t index) {
    int64_t row = index / tile->part[2].taps;
    return (tap){{row / tile->part[1].taps, row % tile->part[1].taps, index % tile->part[2].taps}};
}

static void next_tap(tap *t, const tilefold_tile *tile) {
    if (++t->j[2] < tile->part[2].taps) return;
    t->j[2] = 0;
    if (++t->j[1] < tile->part[1].taps) return;
    t->j[1] = 0;
    t->j[0]++;
}

/* Of a run of `count` positions from the cursor on, those in [begin, end) lie inside the input at this tap; `at` is the
 * element of the first of them. */
typedef struct run_source {
    int64_t begin, end, at;
} run_source;

static int64_t axis_position(const tilefold_axis_part *part, int64_t q, int64_t j) {
    return part->in_first + q * part->in_step + j * part->in_tap;
}

static run_source find_source(const tilefold_geometry *geometry, const tilefold_tile *tile,
                              const tilefold_cursor *cursor, const tap *t, int64_t count) {
    const tilefold_axis_part *part = tile->part;
    int64_t z = axis_position(&part[0], cursor->q[0], t->j[0]), y = axis_position(&part[1], cursor->q[1], t->j[1]);
    int64_t x = axis_position(&part[2], cursor->q[2], t->j[2]), step = part[2].in_step;
    if (z < 0 || z >= geometry->axis[0].input || y < 0 || y >= geometry->axis[1].input) return (run_source){0, 0, 0};
    int64_t begin = x >= 0 ? 0 : tilefold_ceil_div(-x, step);
    int64_t last = geometry->axis[2].input - 1 - x; /* x + i*step is inside up to here */
    int64_t end = last < 0 ? 0 : tilefold_floor_div(last, step) + 1;
    begin = tilefold_min(begin, count);
    end = tilefold_max(begin, tilefold_min(end, count));
    if (begin == end) return (run_source){0, 0, 0};
    int64_t at = z * geometry->in_axis[0] + y * geometry->in_axis[1] + (x + begin * step) * geometry->in_axis[2];
    return (run_source){begin, end, at};
}

/* Elements between neighbouring positions of a row that both lie inside the input. */
static int64_t position_stride(const tilefold_geometry *geometry, const tilefold_tile *tile) {
    return tilefold_min(tile->part[2].in_step, geometry->axis[2].input) * geometry->in_axis[2];
}

static void zero_lanes(float *out, int64_t width, int64_t begin, int64_t end, int64_t k) {
    if (begin == end) return;
    for (int64_t p = 0; p < k; p++)
        for (int64_t i = begin; i < end; i++) out[p * width + i] = 0.0f;
}

/* Unfolds `channels` channels at one tap for a run of positions into out[c*width + i]. */
static void unfold_run(const tilefold_cpu_work *work, const run_source *source, int64_t stride, int64_t first_channel,
                       int64_t channels, int64_t count, int64_t width, float *out) {
    const tilefold_geometry *geometry = work->geometry;
    const tilefold_cpu_kernels *kernels = work->plan->kernels;
    int64_t inside = source->end - source->begin, channel_stride = geometry->in_channel;
    zero_lanes(out, width, 0, source->begin, channels);
    zero_lanes(out, width, source->end, count, channels);
    if (inside == 0) return;
    const char *in = work->input + (source->at + first_channel * channel_stride) * work->element_bytes;
    float *inner = out + source->begin;
    if (tilefold_max(stride, -stride) <= tilefold_max(channel_stride, -channel_stride)) {
        for (int64_t c = 0; c < channels; c++)
            kernels->load_run[geometry->type](inner + c * width, in + c * channel_stride * work->element_bytes, stride,
                                              inside);
    } else {
        const void *rows[MAX_WIDTH];
        for (int64_t i = 0; i < inside; i++) rows[i] = in + i * stride * work->element_bytes;
        kernels->transpose_rows[geometry->type](inner, width, rows, inside, channel_stride, channels);
    }
}

/* How many taps from t on, at most `left`, lie in one row of the kernel and continue each other in memory: channels side by
 * side, then those of the next tap. With few channels that makes a run worth copying. */
static int64_t adjoining_taps(const tilefold_cpu_work *work, const tilefold_tile *tile, const tap *t, int64_t left,
                              int64_t channels) {
    const tilefold_geometry *geometry = work->geometry;
    bool adjoin = channels == geometry->in_channels && geometry->in_channel == 1 && tile->part[2].in_tap == 1 &&
                  geometry->in_axis[2] == channels;
    return adjoin ? tilefold_min(left, tile->part[2].taps - t->j[2]) : 1;
}

/* Unfolds `taps` taps from t on, of one row of the kernel, for a run of positions of one row. */
static void unfold_taps(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor cursor, tap t,
                        int64_t taps, int64_t first_channel, int64_t channels, int64_t count, int64_t width,
                        float *out) {
    if (count == 0) return;
    int64_t stride = position_stride(work->geometry, tile);
    for (int64_t i = 0; i < taps; i++, t.j[2]++, out += channels * width) {
        run_source source = find_source(work->geometry, tile, &cursor, &t, count);
        unfold_run(work, &source, stride, first_channel, channels, count, width, out);
    }
}

/* The same for adjoining taps: one copy for the positions at which all of them lie inside the input. */
static void unfold_adjoining(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor cursor, tap t,
                             int64_t taps, int64_t channels, int64_t count, int64_t width, float *out) {
    tap last_tap = {{t.j[0], t.j[1], t.j[2] + taps - 1}};
    run_source first = find_source(work->geometry, tile, &cursor, &t, count);
    run_source last = find_source(work->geometry, tile, &cursor, &last_tap, count);
    int64_t begin = tilefold_max(first.begin, last.begin), end = tilefold_min(first.end, last.end);
    if (begin >= end) {
        unfold_taps(work, tile, cursor, t, taps, 0, channels, count, width, out);
        return;
    }
    int64_t stride = position_stride(work->geometry, tile);
    const char *in = work->input + (first.at + (begin - first.begin) * stride) * work->element_bytes;
    const void *rows[MAX_WIDTH];
    for (int64_t i = 0; i < end - begin; i++) rows[i] = in + i * stride * work->element_bytes;
    work->plan->kernels->transpose_rows[work->geometry->type](out + begin, width, rows, end - begin, 1,
                                                              taps * channels);

    unfold_taps(work, tile, cursor, t, taps, 0, channels, begin, width, out);
    cursor.q[2] += end;
    unfold_taps(work, tile, cursor, t, taps, 0, channels, count - end, width, out + end);
}

/* Unfolds a block for `count` positions into out[k][width]; lanes past count are zeros. */
static void unfold_panel(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor start, int64_t count,
                         int64_t width, const tilefold_block *block, float *out) {
    int64_t channels = block->channel_end - block->channel_begin;
    tap t = tap_at(tile, block->tap_begin);
    for (int64_t index = block->tap_begin; index < block->tap_end;) {
        int64_t taps = adjoining_taps(work, tile, &t, block->tap_end - index, channels);
        tilefold_cursor cursor = start;
        for (int64_t done = 0; done < count;) {
            int64_t run = tilefold_cursor_run(&cursor, tile, count - done);
            if (taps > 1)
                unfold_adjoining(work, tile, cursor, t, taps, channels, run, width, out + done);
            else
                unfold_taps(work, tile, cursor, t, 1, block->channel_begin, channels, run, width, out + done);
            tilefold_cursor_advance(&cursor, tile, run);
            done += run;
        }
        zero_lanes(out, width, count, width, taps * channels);
        out += taps * channels * width;
        index += taps;
        t.j[2] += taps - 1;
        next_tap(&t, tile);
    }
}

void tilefold_cpu_point_at_rows(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor start,
                                int64_t count, const tilefold_block *block, const void *zeros, const void **rows) {
    const char *input = work->input + block->channel_begin * work->geometry->in_channel * work->element_bytes;
    int64_t position_bytes = position_stride(work->geometry, tile) * work->element_bytes;
    tap t = tap_at(tile, block->tap_begin);
    for (int64_t index = block->tap_begin; index < block->tap_end; index++, next_tap(&t, tile)) {
        tilefold_cursor cursor = start;
        for (int64_t done = 0; done < count;) {
            int64_t run = tilefold_cursor_run(&cursor, tile, count - done);
            run_source source = find_source(work->geometry, tile, &cursor, &t, run);
            const char *inside = input + source.at * work->element_bytes;
            for (int64_t i = 0; i < source.begin; i++) rows[i] = zeros;
            for (int64_t i = source.begin; i < source.end; i++) rows[i] = inside + (i - source.begin) * position_bytes;
            for (int64_t i = source.end; i < run; i++) rows[i] = zeros;
            rows += run;
            tilefold_cursor_advance(&cursor, tile, run);
            done += run;
        }
    }
}

/* Taps [first, end) of the innermost axis, for one position of the outer axes: what a panel of lanes in one row reads is one
 * row of the input. */
typedef struct tap_row {
    int64_t z, y, x; /* input position of lane 0 at offset 0 */
    int64_t first, end;
    int64_t first_channel, channels;
    int64_t width;
    const float **lanes; /* pointers [tap][channel], to be filled in */
} tap_row;

static bool row_inside(const tilefold_geometry *geometry, const tap_row *row) {
    return row->z >= 0 && row->z < geometry->axis[0].input && row->y >= 0 && row->y < geometry->axis[1].input;
}

/* Element of the row at position 0 of the innermost axis, first channel. */
static int64_t row_element(const tilefold_geometry *geometry, const tap_row *row) {
    return row->z * geometry->in_axis[0] + row->y * geometry->in_axis[1] + row->first_channel * geometry->in_channel;
}

/* All lanes of all taps lie inside the input, side by side. */
static bool point_in_place(const tilefold_cpu_work *work, const tilefold_axis_part *part, const tap_row *row) {
    const tilefold_geometry *geometry = work->geometry;
    if (geometry->type != TILEFOLD_F32 || part->in_step != 1 || geometry->in_axis[2] != 1 || !row_inside(geometry, row))
        return false;
    int64_t early = row->first * part->in_tap, late = (row->end - 1) * part->in_tap;
    int64_t low = row->x + tilefold_min(early, late),
            high = row->x + tilefold_max(early, late) + (row->width - 1) * part->in_step;
    if (low < 0 || high >= geometry->axis[2].input) return false;
    const float *input = (const float *)work->input + row_element(geometry, row) + row->x * geometry->in_axis[2];
    for (int64_t j = row->first; j < row->end; j++)
        for (int64_t c = 0; c < row->channels; c++)
            row->lanes[(j - row->first) * row->channels + c] = input + j * part->in_tap * geometry->in_axis[2] +
                                                               c * geometry->in_channel;
    return true;
}

void tilefold_cpu_copy_row(const tilefold_cpu_work *work, int64_t z, int64_t y, int64_t first, int64_t step,
                           int64_t length, int64_t channel, float *out) {
    const tilefold_geometry *geometry = work->geometry;
    int64_t last = geometry->axis[2].input - 1 - first;
    int64_t begin = first >= 0 ? 0 : tilefold_min(length, tilefold_ceil_div(-first, step));
    int64_t end = last < 0 ? 0 : tilefold_min(length, tilefold_floor_div(last, step) + 1);
    bool inside = z >= 0 && z < geometry->axis[0].input && y >= 0 && y < geometry->axis[1].input && begin < end;
    if (!inside) begin = end = length;
    for (int64_t u = 0; u < begin; u++) out[u] = 0.0f;
    for (int64_t u = end; u < length; u++) out[u] = 0.0f;
    if (!inside) return;
    int64_t at = z * geometry->in_axis[0] + y * geometry->in_axis[1] + (first + begin * step) * geometry->in_axis[2] +
                 channel * geometry->in_channel;
    work->plan->kernels->load_run[geometry->type](out + begin, work->input + at * work->element_bytes,
                                                  tilefold_min(step, geometry->axis[2].input) * geometry->in_axis[2],
                                                  end - begin);
}

/* Copies the row once for each class of taps. Where taps of a class are so far apart that separate copies are smaller, each
 * tap has its own. Returns the end of the copies: at most taps * channels * width floats. */
static float *copy_taps(const tilefold_cpu_work *work, const tilefold_axis_part *part, const tap_row *row, float *out) {
    int64_t step = part->in_step, taps = row->end - row->first, period = tilefold_tap_period(part);
    int64_t apart = tilefold_floor_div(tilefold_max(part->in_tap, -part->in_tap) * period, step);
    if (period >= taps || apart >= row->width) period = taps;
    for (int64_t first = row->first; first < row->end && first < row->first + period; first++) {
        tilefold_tap_class class = tilefold_tap_class_at(part, first, row->end, period);
        int64_t length = row->width + class.spread, x = row->x + class.residue + class.shift * step;
        for (int64_t c = 0; c < row->channels; c++, out += length) {
            tilefold_cpu_copy_row(work, row->z, row->y, x, step, length, row->first_channel + c, out);
            for (int64_t j = class.first; j <= class.last; j += period)
                row->lanes[(j - row->first) * row->channels + c] = out + tilefold_tap_shift(part, j) - class.shift;
        }
    }
    return out;
}

/* Pointers [k] at `width` lanes each: in place where all of them lie side by side in the input, else at copies behind the
 * pointers. */
static void point_at_lanes(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor start,
                           int64_t count, int64_t width, const tilefold_block *block, char *panel) {
    const tilefold_axis_part *part = tile->part;
    const float **lanes = (const float **)panel;
    int64_t channels = block->channel_end - block->channel_begin, k = tilefold_block_size(block);
    float *copies = (float *)(panel + tilefold_round_up(k * (int64_t)sizeof *lanes, TILEFOLD_ARENA_ALIGNMENT));
    if (tilefold_cursor_run(&start, tile, count) < count) { /* the lanes lie in several rows */
        unfold_panel(work, tile, start, count, width, block, copies);
        for (int64_t p = 0; p < k; p++) lanes[p] = copies + p * width;
        return;
    }
    tap t = tap_at(tile, block->tap_begin);
    for (int64_t index = block->tap_begin; index < block->tap_end;) {
        tap_row row = {.first = t.j[2],
                       .end = tilefold_min(part[2].taps, t.j[2] + block->tap_end - index),
                       .first_channel = block->channel_begin,
                       .channels = channels,
                       .width = width,
                       .lanes = lanes};
        row.z = axis_position(&part[0], start.q[0], t.j[0]);
        row.y = axis_position(&part[1], start.q[1], t.j[1]);
        row.x = axis_position(&part[2], start.q[2], 0);
        if (!point_in_place(work, &part[2], &row)) copies = copy_taps(work, &part[2], &row, copies);
        lanes += (row.end - row.first) * channels;
        index += row.end - row.first;
        t.j[2] = row.end - 1;
        next_tap(&t, tile);
    }
}

void tilefold_cpu_build_operand(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor cursor,
                                int64_t count, int64_t width, const tilefold_block *block, const float *zeros,
                                char *panel) {
    switch (work->plan->operand) {
    case TILEFOLD_OPERAND_VALUES: unfold_panel(work, tile, cursor, count, width, block, (float *)panel); break;
    case TILEFOLD_OPERAND_ROWS:
        tilefold_cpu_point_at_rows(work, tile, cursor, count, block, zeros, (const void **)panel);
        break;
    case TILEFOLD_OPERAND_LANES: point_at_lanes(work, tile, cursor, count, width, block, panel); break;
    }
}
