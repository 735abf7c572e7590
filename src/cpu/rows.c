/* Reading the input where it lies: pointers at the channels of each tap and position, where channels lie side by side. An
 * indirect convolution (arXiv 1907.02129) whose table of pointers covers one tile only.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "algorithm.h"
#include "cost.h"
#include "place.h"
#include "product.h"
#include "rows.h"

void tilefold_cpu_point_at_rows(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor start,
                                int64_t count, const tilefold_block *block, const void *zeros, const void **rows) {
    const char *input = work->input + block->channel_begin * work->geometry->in_channel * work->element_bytes;
    int64_t position_bytes = tilefold_position_stride(work->geometry, tile) * work->element_bytes;
    tilefold_tap t = tilefold_tap_at(tile->part, block->tap_begin);
    for (int64_t index = block->tap_begin; index < block->tap_end; index++, tilefold_tap_next(&t, tile->part)) {
        tilefold_cursor cursor = start;
        for (int64_t done = 0; done < count;) {
            int64_t run = tilefold_cursor_run(&cursor, tile, count - done);
            tilefold_run_source source = tilefold_find_source(work->geometry, tile, &cursor, &t, run);
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

static void build(tilefold_product *p) {
    void *zeros = p->arena + p->plan->arena.zeros;
    p->panels = tilefold_ceil_div(p->positions, p->plan->operand_width);
    if (p->taps == 0) return;
    if (p->first) memset(zeros, 0, (size_t)p->plan->block.channels * sizeof(float));
    for (int64_t index = 0; index < p->panels; index++) {
        tilefold_position_panel panel;
        tilefold_product_place_panel(p, index, &panel);
        tilefold_cpu_point_at_rows(p->work, p->tile, panel.at, panel.count, &p->block, zeros,
                                   (const void **)(p->arena + index * p->plan->arena.operand_bytes));
    }
    p->segment_count = tilefold_product_segments(&p->block, p->segments);
}

/* The next panel's last tap is what no panel before it has read, about as many positions as this one has. Its table may be one pointer
 * a tap shorter than this one's: what is taken lies within either, at that tap or just before. */
static void find_next(const tilefold_product *p, int64_t index, tilefold_position_panel *panel) {
    if (index + 1 == p->panels || p->taps == 0) return;
    int64_t last = p->block.tap_end - p->block.tap_begin - 1;
    const void *const *rows = (const void *const *)(p->arena + (index + 1) * p->plan->arena.operand_bytes);
    panel->next = rows[last * p->each];
    panel->next_bytes = tilefold_position_stride(p->work->geometry, p->tile) * panel->count * (int64_t)sizeof(float);
}

static void panel(tilefold_product *p, int64_t index, tilefold_position_panel *panel) {
    tilefold_product_place_panel(p, index, panel);
    panel->values = p->arena + index * p->plan->arena.operand_bytes;
    find_next(p, index, panel);
    tilefold_product_skip_padding(p, panel);
}

static const tilefold_operand_kind rows = {
    .by_pointer = true,
    .box = tilefold_product_whole_tile,
    .build = build,
    .panel = panel,
};

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    tilefold_cpu_run_product(work, tile, arena, &rows);
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

static bool applies(const tilefold_cpu_shape *shape) {
    const tilefold_geometry *geometry = shape->geometry;
    return geometry->type == TILEFOLD_F32 && (geometry->in_channel == 1 || geometry->in_channels == 1);
}

static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    if (index >= TILEFOLD_MAX_VECTORS) return false;
    tilefold_product_choose_tile(shape, index + 1, false, shape->positions, plan);
    return true;
}

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    int64_t channels = tilefold_min(plan->block.channels, shape->geometry->in_channels);
    plan->arena.in_place_bytes = tilefold_saturating_multiply(plan->tiling.positions,
                                                              channels * (int64_t)sizeof(float));
    int64_t panels = tilefold_ceil_div(plan->tiling.positions, plan->operand_width);
    int64_t bytes = tilefold_saturating_multiply(plan->block.taps, plan->operand_width * (int64_t)sizeof(void *));
    if (bytes > INT64_MAX / 16) return false;
    return tilefold_product_lay_out(plan, tilefold_round_up(bytes, TILEFOLD_ARENA_ALIGNMENT), panels, panels,
                                    tilefold_product_max_segments(&plan->block), plan->block.channels);
}

const tilefold_cpu_algorithm tilefold_cpu_in_place = {
    .id = TILEFOLD_ALGORITHM_IMPLICIT,
    .words = "read in place",
    .applies = applies,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = tilefold_cpu_estimate_rows,
    .packed_floats = tilefold_cpu_packed_floats,
    .pack = tilefold_cpu_pack_weight,
    .run = run,
};
