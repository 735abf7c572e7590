/* One tile as a product of its positions and its columns, in one of two loop nests.
 *
 * SPDX-License-Identifier: MIT
 *
 *     unfold, implicit: operand panels are built once and serve every weight panel
 *
 *         for each block of K:                       (more than one only where the whole of K does not pay or fit)
 *             build the operand panels of the tile   (unfold, or point at the input)
 *             for each weight panel:
 *                 for each operand panel:            one call of a micro-kernel
 *
 *     direct: so few columns that building for a tile does not pay; one small operand panel is all the scratch
 *
 *         for each weight panel:
 *             for each run of positions of a row:
 *                 for each block of K:               point at the input
 *                     for each nr of the run:        one call of a micro-kernel
 *
 * A micro-kernel's sums start from the bias in the first block and from the partial sums in later ones, and end as partial
 * sums or, in the last block, as outputs: one chain of fused multiply-adds, wherever K is cut.
 */
#include "../checked.h"
#include "cpu.h"

#include <math.h>

/* The state of one tile under way. */
typedef struct product {
    const tilefold_cpu_work *work;
    const tilefold_cpu_plan *plan;
    const tilefold_tile *tile;
    char *arena;
    tilefold_axis_class classes[TILEFOLD_AXES];
    tilefold_cursor start;
    int64_t positions, panels; /* operand panels */
    int64_t sum;               /* K of this part */
    int64_t class_columns;
    int64_t class_offset; /* within the packed weights */
    int64_t k;            /* where the block in hand begins */
    tilefold_block block;
    bool first, last; /* block */
} product;

/* One weight panel of it. */
typedef struct weight_panel {
    int64_t column, count, width; /* count columns, in a panel of this width */
    const float *values;
    tilefold_column_run *runs;
    int run_count;
} weight_panel;

static product begin_product(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    const tilefold_geometry *geometry = work->geometry;
    const tilefold_cpu_plan *plan = work->plan;
    int64_t taps = tilefold_part_taps(tile);
    product p = {.work = work, .plan = plan, .tile = tile, .arena = arena, .sum = taps * geometry->in_channels};
    p.positions = tile->position_end - tile->position_begin;
    p.panels = tilefold_ceil_div(p.positions, plan->operand_width);
    p.start = tilefold_cursor_at(tile, tile->position_begin);
    p.class_columns = tilefold_class_columns(&plan->tiling, tile->part);
    p.class_offset = tilefold_cpu_class_offset(geometry, plan, tile);
    if (taps)
        for (int axis = 0; axis < TILEFOLD_AXES; axis++)
            p.classes[axis] = tilefold_axis_get_class(&geometry->axis[axis], tile->part[axis].class_index);
    return p;
}

static void skip_positions(tilefold_cursor *cursor, const tilefold_tile *tile, int64_t count) {
    while (count > 0) {
        int64_t run = tilefold_cursor_run(cursor, tile, count);
        tilefold_cursor_advance(cursor, tile, run);
        count -= run;
    }
}

/* The lanes a kernel needs for so many. */
static int64_t lanes_for(const tilefold_cpu_plan *plan, int64_t count) {
    return tilefold_round_up(count, plan->kernels->lanes);
}

static int64_t operand_width(const tilefold_cpu_plan *plan, int64_t count) {
    return plan->positions_in_lanes ? lanes_for(plan, count) : count;
}

static void build_operands(const product *p) {
    const float *zeros = (const float *)(p->arena + p->plan->arena.zeros);
    tilefold_cursor cursor = p->start;
    for (int64_t panel = 0; panel < p->panels; panel++) {
        int64_t count = tilefold_min(p->plan->operand_width, p->positions - panel * p->plan->operand_width);
        tilefold_cpu_build_operand(p->work, p->tile, cursor, count, operand_width(p->plan, count), &p->block, zeros,
                                   p->arena + panel * p->plan->arena.operand_panel_bytes);
        skip_positions(&cursor, p->tile, count);
    }
}

/* The bias of the panel's columns, zeros in its padding. */
static void load_bias(const product *p, const weight_panel *panel, float *out) {
    const tilefold_geometry *geometry = p->work->geometry;
    memset(out, 0, (size_t)panel->width * sizeof *out);
    if (!p->work->bias) return;
    int64_t bytes = (int64_t)tilefold_type_bytes(geometry->bias_type);
    for (int64_t i = 0; i < panel->count;) {
        int64_t channel = (panel->column + i) % geometry->out_channels;
        int64_t run = tilefold_min(geometry->out_channels - channel, panel->count - i);
        const char *bias = p->work->bias + (p->tile->group * geometry->out_channels + channel) * bytes;
        p->plan->kernels->load_run[geometry->bias_type](out + i, bias, 1, run);
        i += run;
    }
}

/* The sums' beginnings: one row of nr for columns in lanes, an mr x nr tile for columns in rows. */
static void fill_init(const product *p, const weight_panel *panel) {
    float *init = (float *)(p->arena + p->plan->arena.init);
    if (!p->plan->positions_in_lanes) {
        load_bias(p, panel, init);
        return;
    }
    float bias[TILEFOLD_MAX_ROWS];
    load_bias(p, panel, bias);
    for (int64_t i = 0; i < panel->width; i++)
        for (int64_t j = 0; j < p->plan->nr; j++) init[i * p->plan->nr + j] = bias[i];
}

static const float *weight_values(const product *p, const weight_panel *panel) {
    if (p->sum == 0) return NULL;
    if (p->plan->prepacked) return p->work->packed + p->class_offset + panel->column * p->sum + p->k * panel->width;
    float *out = (float *)(p->arena + p->plan->arena.weight);
    tilefold_cpu_pack_panel(p->work->geometry, p->plan, p->work->weight, p->tile->group, p->classes, panel->column,
                            &p->block, out);
    return out;
}

static void call_kernel(const product *p, const weight_panel *panel, int64_t count, const void *operand,
                        const tilefold_tile_io *io) {
    const tilefold_cpu_kernels *kernels = p->plan->kernels;
    int64_t mr = p->plan->positions_in_lanes ? panel->count : count;
    int64_t nr = p->plan->positions_in_lanes ? lanes_for(p->plan, count) : panel->width;
    int64_t nv = nr / kernels->lanes, k = tilefold_block_size(&p->block);
    switch (p->plan->operand) {
    case TILEFOLD_OPERAND_VALUES:
        if (p->plan->positions_in_lanes)
            kernels->product[nv - 1][mr - 1](k, panel->values, operand, io);
        else
            kernels->product[nv - 1][mr - 1](k, operand, panel->values, io);
        break;
    case TILEFOLD_OPERAND_ROWS:
        kernels->product_rows[nv - 1][mr - 1](p->block.tap_end - p->block.tap_begin,
                                              p->block.channel_end - p->block.channel_begin, operand, 0, panel->values,
                                              io);
        break;
    case TILEFOLD_OPERAND_LANES: kernels->product_lanes[nv - 1][mr - 1](k, panel->values, operand, io); break;
    }
}

/* One operand panel, of `count` positions from the cursor on, by one weight panel. Sums of blocks before the last are left
 * in `partial`. */
static void multiply_panels(const product *p, const weight_panel *panel, const tilefold_cursor *cursor, int64_t count,
                            const void *operand, float *partial) {
    const tilefold_cpu_plan *plan = p->plan;
    float *stage = (float *)(p->arena + plan->arena.stage), *direct = NULL;
    tilefold_tile_io io = {.init = (const float *)(p->arena + plan->arena.init),
                           .init_stride = plan->positions_in_lanes ? plan->nr : 0,
                           .out = partial,
                           .out_stride = plan->nr,
                           .low = -INFINITY,
                           .high = INFINITY};
    if (!p->first) io.init = partial, io.init_stride = plan->nr;
    if (p->last) {
        int64_t nr = plan->positions_in_lanes ? lanes_for(plan, count) : panel->width;
        direct = tilefold_cpu_direct_output(p->work, p->tile, *cursor, count, panel->count, (int32_t)nr, panel->runs,
                                            panel->run_count, &io.out_stride);
        io.out = direct ? direct : stage;
        io.low = p->work->geometry->clamp_low, io.high = p->work->geometry->clamp_high;
    }
    call_kernel(p, panel, count, operand, &io);
    if (p->last && !direct)
        tilefold_cpu_store_tile(p->work, p->tile, *cursor, count, panel->runs, panel->run_count, stage, plan->nr);
}

/* Finds the wanted columns of the panel at `column`; false where there are none: no fold of it exists in this head or
 * tail. */
static bool enter_weight_panel(const product *p, int64_t column, tilefold_column_run *runs, weight_panel *panel) {
    *panel = (weight_panel){.column = column, .runs = runs};
    panel->count = tilefold_min(p->plan->weight_width, p->class_columns - column);
    panel->width = tilefold_cpu_panel_width(p->plan, p->class_columns, column);
    panel->run_count = tilefold_cpu_column_runs(p->work->geometry, p->tile, column, column + panel->count, runs);
    return panel->run_count > 0;
}

/* Block k of the sum. */
static void enter_block(product *p, int64_t k) {
    const tilefold_geometry *geometry = p->work->geometry;
    int64_t taps = p->sum / geometry->in_channels;
    p->k = k;
    p->block = taps ? tilefold_block_at(k, p->plan->block_k, taps, geometry->in_channels) : (tilefold_block){0};
    p->first = k == 0;
    p->last = k + tilefold_block_size(&p->block) == p->sum;
}

static void multiply_block(const product *p) {
    const tilefold_cpu_plan *plan = p->plan;
    tilefold_column_run runs[TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_LANES];
    float *partial = (float *)(p->arena + plan->arena.partial);
    for (int64_t column = p->tile->column_begin; column < p->tile->column_end; column += plan->weight_width) {
        weight_panel panel;
        if (!enter_weight_panel(p, column, runs, &panel)) continue;
        panel.values = weight_values(p, &panel);
        if (p->first) fill_init(p, &panel);
        tilefold_cursor cursor = p->start;
        for (int64_t at = 0; at < p->panels; at++, partial += (int64_t)plan->mr * plan->nr) {
            int64_t count = tilefold_min(plan->operand_width, p->positions - at * plan->operand_width);
            multiply_panels(p, &panel, &cursor, count, p->arena + at * plan->arena.operand_panel_bytes, partial);
            if (p->last) skip_positions(&cursor, p->tile, count);
        }
    }
}

void tilefold_cpu_run_product(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    product p = begin_product(work, tile, arena);
    if (work->plan->operand == TILEFOLD_OPERAND_ROWS)
        memset(arena + work->plan->arena.zeros, 0,
               (size_t)tilefold_min(work->plan->block_k, work->geometry->in_channels) * sizeof(float));
    do {
        enter_block(&p, p.k);
        if (p.sum) build_operands(&p);
        multiply_block(&p);
        p.k += tilefold_block_size(&p.block);
    } while (!p.last);
}

/* Positions to point at together: of one row, so that the input can be read in place, unless rows are shorter than a
 * vector. */
static int64_t direct_run(const product *p, const tilefold_cursor *cursor, int64_t left) {
    int64_t most = tilefold_min(left, p->plan->operand_width);
    return p->tile->part[2].count < p->plan->kernels->lanes ? most : tilefold_cursor_run(cursor, p->tile, most);
}

/* A block of the sum for a run of positions. Only where the sum is not cut is the run longer than one kernel call. */
static void multiply_run(const product *p, const weight_panel *panel, tilefold_cursor cursor, int64_t run) {
    const float **lanes = (const float **)p->arena;
    float *stage = (float *)(p->arena + p->plan->arena.stage);
    int64_t k = tilefold_block_size(&p->block), nr = p->plan->nr;
    if (k)
        tilefold_cpu_build_operand(p->work, p->tile, cursor, run, lanes_for(p->plan, run), &p->block, NULL, p->arena);
    for (;;) {
        int64_t count = tilefold_min(run, nr);
        multiply_panels(p, panel, &cursor, count, lanes, stage);
        run -= count;
        if (run == 0) return;
        skip_positions(&cursor, p->tile, count);
        for (int64_t i = 0; i < k; i++) lanes[i] += nr;
    }
}

/* Stores the lanes [begin, begin + count) of a band, of which only the first X of each pitch are positions. */
static void store_band(const product *p, const weight_panel *panel, tilefold_cursor cursor, int64_t begin,
                       int64_t count) {
    const float *stage = (const float *)(p->arena + p->plan->arena.stage);
    int64_t pitch = tilefold_cpu_band_pitch(p->tile), row = begin / pitch, x = begin % pitch;
    int64_t positions = p->tile->part[2].count;
    cursor.q[1] += row;
    for (int64_t done = 0; done < count; cursor.q[1]++, x = 0) {
        int64_t run = tilefold_min(positions - x, count - done);
        cursor.q[2] = x;
        if (run > 0)
            tilefold_cpu_store_tile(p->work, p->tile, cursor, run, panel->runs, panel->run_count, stage + done,
                                    p->plan->nr);
        done += pitch - x;
    }
}

/* The whole sum for `rows` rows from the cursor on. */
static void multiply_band(const product *p, const weight_panel *panel, tilefold_cursor cursor, int64_t rows) {
    const float **lanes = (const float **)p->arena;
    int64_t k = p->sum, nr = p->plan->nr, pitch = tilefold_cpu_band_pitch(p->tile);
    int64_t total = (rows - 1) * pitch + p->tile->part[2].count;
    tilefold_cpu_build_band(p->work, p->tile, &cursor, rows, p->arena);
    for (int64_t begin = 0; begin < total; begin += nr) {
        int64_t count = tilefold_min(nr, total - begin), x = begin % pitch;
        if (x + count <= p->tile->part[2].count) {
            tilefold_cursor at = {{cursor.q[0], cursor.q[1] + begin / pitch, x}};
            multiply_panels(p, panel, &at, count, lanes, NULL);
        } else {
            tilefold_tile_io io = {.init = (const float *)(p->arena + p->plan->arena.init),
                                   .init_stride = nr,
                                   .out = (float *)(p->arena + p->plan->arena.stage),
                                   .out_stride = nr,
                                   .low = p->work->geometry->clamp_low,
                                   .high = p->work->geometry->clamp_high};
            call_kernel(p, panel, count, lanes, &io);
            store_band(p, panel, cursor, begin, count);
        }
        for (int64_t i = 0; i < k; i++) lanes[i] += nr;
    }
}

/* How many whole rows from the cursor on to compute together: none at the ragged ends of a tile. */
static int64_t direct_rows(const product *p, const tilefold_cursor *cursor, int64_t left, int64_t most_rows) {
    const tilefold_axis_part *part = p->tile->part;
    if (cursor->q[2] != 0 || p->plan->cut) return 0;
    return tilefold_min(tilefold_min(left / part[2].count, part[1].count - cursor->q[1]), most_rows);
}

void tilefold_cpu_run_direct(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    product p = begin_product(work, tile, arena);
    tilefold_column_run runs[TILEFOLD_MAX_ROWS];
    int64_t most_rows = tilefold_cpu_band_rows(work, tile, work->plan->block_k * work->plan->operand_width);
    for (int64_t column = tile->column_begin; column < tile->column_end; column += work->plan->weight_width) {
        weight_panel panel;
        if (!enter_weight_panel(&p, column, runs, &panel)) continue;
        fill_init(&p, &panel);
        tilefold_cursor cursor = p.start;
        for (int64_t left = p.positions, run; left > 0; left -= run) {
            int64_t rows = direct_rows(&p, &cursor, left, most_rows);
            run = rows > 1 ? rows * tile->part[2].count : direct_run(&p, &cursor, left);
            enter_block(&p, 0);
            for (;;) {
                bool packed_before = panel.values && p.first && p.last && !work->plan->prepacked;
                if (!packed_before) panel.values = weight_values(&p, &panel);
                if (rows > 1)
                    multiply_band(&p, &panel, cursor, rows);
                else
                    multiply_run(&p, &panel, cursor, run);
                if (p.last) break;
                enter_block(&p, p.k + tilefold_block_size(&p.block));
            }
            skip_positions(&cursor, tile, run);
        }
    }
}
