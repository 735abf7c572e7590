/* Unfolding fused into packing: the positions' side as panels [k][width] in the order of the chain (convgemm, arXiv 2005.06410;
 * SConv, arXiv 2303.04739). The unfolded matrix never exists beyond the tile's panels for one block of K.
 *
 * SPDX-License-Identifier: MIT
 *
 * The input of one tap for a run of positions of one row is itself a row of the input, so everything goes by runs: the part of
 * a run that lies inside the input is copied, the rest is zeros.
 */
#include "../checked.h"
#include "algorithm.h"
#include "cost.h"
#include "place.h"
#include "product.h"

enum { MAX_WIDTH = TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_LANES };

static void zero_lanes(float *out, int64_t width, int64_t begin, int64_t end, int64_t k) {
    if (begin == end) return;
    for (int64_t p = 0; p < k; p++)
        for (int64_t i = begin; i < end; i++) out[p * width + i] = 0.0f;
}

/* Unfolds `channels` channels at one tap for a run of positions into out[c*width + i]. */
static void unfold_run(const tilefold_cpu_work *work, const tilefold_run_source *source, int64_t stride,
                       int64_t first_channel, int64_t channels, int64_t count, int64_t width, float *out) {
    const tilefold_geometry *geometry = work->geometry;
    const tilefold_cpu_kernels *kernels = work->plan->kernels;
    int64_t inside = source->end - source->begin, channel_stride = geometry->in_channel;
    zero_lanes(out, width, 0, source->begin, channels);
    zero_lanes(out, width, source->end, count, channels);
    if (inside == 0) return;
    const char *in = work->input + (source->at + first_channel * channel_stride) * work->element_bytes;
    float *inner = out + source->begin;
    if (tilefold_max(stride, -stride) <= tilefold_max(channel_stride, -channel_stride)) {
        kernels->copy_rows[geometry->type](inner, in,
                                           &(tilefold_row_copy){.rows = channels,
                                                                .n = inside,
                                                                .out_stride = width,
                                                                .in_stride = channel_stride,
                                                                .in_step = stride});
    } else {
        const void *rows[MAX_WIDTH];
        for (int64_t i = 0; i < inside; i++) rows[i] = in + i * stride * work->element_bytes;
        kernels->transpose_rows[geometry->type](inner, width, rows, inside, channel_stride, channels);
    }
}

/* How many taps from t on, at most `left`, lie in one row of the kernel and continue each other in memory and in the chain:
 * channels side by side, then those of the next tap. With few channels that makes a run worth copying. */
static int64_t adjoining_taps(const tilefold_cpu_work *work, const tilefold_tile *tile, const tilefold_tap *t,
                              int64_t left, int64_t channels) {
    const tilefold_geometry *geometry = work->geometry;
    bool adjoin = channels == geometry->in_channels && geometry->in_channel == 1 && tile->part[2].in_tap == 1 &&
                  geometry->in_axis[2] == channels;
    return adjoin ? tilefold_min(left, tile->part[2].taps - t->j[2]) : 1;
}

/* Unfolds `taps` taps from t on, of one row of the kernel, for a run of positions of one row. */
static void unfold_taps(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor cursor,
                        tilefold_tap t, int64_t taps, int64_t first_channel, int64_t channels, int64_t count,
                        int64_t width, float *out) {
    if (count == 0) return;
    int64_t stride = tilefold_position_stride(work->geometry, tile);
    for (int64_t i = 0; i < taps; i++, t.j[2]++, out += channels * width) {
        tilefold_run_source source = tilefold_find_source(work->geometry, tile, &cursor, &t, count);
        unfold_run(work, &source, stride, first_channel, channels, count, width, out);
    }
}

/* The same where those taps adjoin: positions whose taps all lie inside the input are copied in one run of taps * channels. */
static void unfold_adjoining(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor cursor,
                             tilefold_tap t, int64_t taps, int64_t channels, int64_t count, int64_t width, float *out) {
    tilefold_tap late = t;
    late.j[2] += taps - 1;
    tilefold_run_source first = tilefold_find_source(work->geometry, tile, &cursor, &t, count);
    tilefold_run_source last = tilefold_find_source(work->geometry, tile, &cursor, &late, count);
    int64_t begin = tilefold_max(first.begin, last.begin), end = tilefold_min(first.end, last.end);
    if (begin >= end) {
        unfold_taps(work, tile, cursor, t, taps, 0, channels, count, width, out);
        return;
    }
    int64_t stride = tilefold_position_stride(work->geometry, tile);
    const char *in = work->input + (first.at + (begin - first.begin) * stride) * work->element_bytes;
    const void *rows[MAX_WIDTH];
    for (int64_t i = 0; i < end - begin; i++) rows[i] = in + i * stride * work->element_bytes;
    work->plan->kernels->transpose_rows[work->geometry->type](out + begin, width, rows, end - begin, 1,
                                                              taps * channels);

    unfold_taps(work, tile, cursor, t, taps, 0, channels, begin, width, out);
    cursor.q[2] += end;
    unfold_taps(work, tile, cursor, t, taps, 0, channels, count - end, width, out + end);
}

/* Unfolds channels [channel, channel + channels), of one channel block, at taps [begin, end) for `count` positions into
 * out[k][width]; lanes past count are zeros. Returns its end. */
static float *unfold_channel_block(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor start,
                                   int64_t count, int64_t width, int64_t begin, int64_t end, int64_t channel,
                                   int64_t channels, float *out) {
    tilefold_tap t = tilefold_tap_at(tile->part, begin);
    for (int64_t index = begin; index < end;) {
        int64_t taps = adjoining_taps(work, tile, &t, end - index, channels);
        tilefold_cursor cursor = start;
        for (int64_t done = 0; done < count;) {
            int64_t run = tilefold_cursor_run(&cursor, tile, count - done);
            if (taps > 1)
                unfold_adjoining(work, tile, cursor, t, taps, channels, run, width, out + done);
            else
                unfold_taps(work, tile, cursor, t, 1, channel, channels, run, width, out + done);
            tilefold_cursor_advance(&cursor, tile, run);
            done += run;
        }
        zero_lanes(out, width, count, width, taps * channels);
        out += taps * channels * width;
        index += taps;
        t.j[2] += taps - 1;
        tilefold_tap_next(&t, tile->part);
    }
    return out;
}

/* -------------------------------------------------------------------------------------------------- the operand ---- */

static int64_t panel_width(const tilefold_product *p, int64_t count) {
    return p->plan->positions_in_lanes ? tilefold_round_up(count, p->plan->kernels->lanes) : count;
}

static void build(tilefold_product *p) {
    p->panels = tilefold_ceil_div(p->positions, p->plan->operand_width);
    if (p->taps == 0) return;
    for (int64_t index = 0; index < p->panels; index++) {
        tilefold_position_panel panel;
        tilefold_product_place_panel(p, index, &panel);
        float *out = (float *)(p->arena + index * p->plan->arena.operand_bytes);
        for (int64_t channel = p->block.channel_begin; channel < p->block.channel_end;) {
            int64_t end = tilefold_channel_block_end(channel, p->block.channel_end);
            out = unfold_channel_block(p->work, p->tile, panel.at, panel.count, panel_width(p, panel.count),
                                       p->block.tap_begin, p->block.tap_end, channel, end - channel, out);
            channel = end;
        }
    }
    p->segments[0] = (tilefold_segment){.count = tilefold_block_length(&p->block)};
    p->segment_count = 1;
}

static void panel(tilefold_product *p, int64_t index, tilefold_position_panel *panel) {
    tilefold_product_place_panel(p, index, panel);
    panel->values = p->arena + index * p->plan->arena.operand_bytes;
    panel->step = panel_width(p, panel->count);
    panel->segments = p->segments;
    panel->segment_count = p->segment_count;
}

static const tilefold_operand_kind unfolded = {.box = tilefold_product_whole_tile, .build = build, .panel = panel};

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    tilefold_cpu_run_product(work, tile, arena, &unfolded);
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

/* What merged classes have in common is not one run of an unfolded panel. */
static bool applies(const tilefold_cpu_shape *shape) { return !shape->geometry->merged; }

static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    if (index >= 2 * TILEFOLD_MAX_VECTORS) return false;
    tilefold_product_choose_tile(shape, index % TILEFOLD_MAX_VECTORS + 1, index >= TILEFOLD_MAX_VECTORS,
                                 shape->positions, plan);
    return true;
}

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    (void)shape;
    int64_t panels = tilefold_ceil_div(plan->tiling.positions, plan->operand_width);
    int64_t bytes = plan->block.taps * plan->block.channels * plan->operand_width * (int64_t)sizeof(float);
    return tilefold_product_lay_out(plan, tilefold_round_up(bytes, TILEFOLD_ARENA_ALIGNMENT), panels, panels, 1, 0);
}

const tilefold_cpu_algorithm tilefold_cpu_unfold = {
    .id = TILEFOLD_ALGORITHM_UNFOLD,
    .words = "unfolded",
    .applies = applies,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = tilefold_cpu_estimate_unfold,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};
