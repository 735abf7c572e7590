/* Winograd's convolution, F(4, 3) along the last axis or the last two: fewer multiplications, and so other bits than the chain
 * of the definition (Lavin and Gray, Fast algorithms for convolutional neural networks, arXiv 1509.09308).
 *
 * SPDX-License-Identifier: MIT
 *
 * A position is a block of 4x4 outputs (or 4, along one axis), counted from output 0. It reads 6x6 inputs, which overlap those of
 * its neighbours by two. With constant matrices A, B and G (winograd_template.h; G below), for each output channel
 *
 *     outputs = A^T [ sum over c of  (G w_c G^T) .* (B^T d_c B) ] A
 *
 * so 36 products, each summed over the channels, stand for 16 * 9:
 *
 *     d  [6][4n+2][channel]    halo of n positions, fp32, channels side by side whatever the input's layout
 *     V  [36][position][channel]          B^T d B, a vector of channels at a time
 *     U  [panel][36][channel][column]     G w G^T, made when weights are packed
 *     M  [36][position][column]           36 products, by the kernels that every product is made by
 *     outputs                             A^T M A + bias, a vector of columns at a time
 *
 * An axis before those (the first of three; the first of two, where only the last one has 3 taps) is summed over as it is: its
 * taps lengthen the sum. That runs in the order of the chain (chain.h), over channel blocks, such taps and channels, as a chain of
 * fused multiply-adds that may wait in memory; every transform has its fixed order too. Nothing of this depends on the plan.
 */
#include "../checked.h"
#include "algorithm.h"
#include "cost.h"
#include "product.h"

#include <math.h>

enum { STEP = 4, SPAN = 6, TAPS = 3, IN_RUN = 7, OUT_RUN = 8, MAX_COLUMNS = TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_LANES };

/* How a problem is taken. */
typedef struct form {
    bool two;           /* axes transformed: the last two, or the last */
    int64_t unit, span; /* of the second to last axis: outputs of a position, and inputs it reads */
    int64_t products;   /* 36 or 6 */
    int64_t taps;       /* of the axes before */
} form;

static bool is_plain(const tilefold_axis *axis) {
    return axis->kernel == TAPS && axis->stride == 1 && axis->input_dilation == 1 &&
           (axis->tap_step == 1 || axis->tap_step == -1);
}

static form get_form(const tilefold_geometry *geometry) {
    const tilefold_axis *axis = geometry->axis;
    bool two = is_plain(&axis[1]);
    return (form){.two = two,
                  .unit = two ? STEP : 1,
                  .span = two ? SPAN : 1,
                  .products = two ? SPAN * SPAN : SPAN,
                  .taps = axis[0].kernel * (two ? 1 : axis[1].kernel)};
}

/* ------------------------------------------------------------------------------------------------------ weights ---- */

/* U = G w: the rows of
 *
 *     [   64/81        0         0    ]
 *     [ -128/243   -32/81    -8/27   ]
 *     [ -128/243    32/81    -8/27   ]
 *     [   32/243    16/81     8/27   ]
 *     [   32/243   -16/81     8/27   ]
 *     [     0          0         1    ]
 *
 * in double, which is rounded to fp32 once both axes are done. */
static void transform_taps(double u[SPAN], double w0, double w1, double w2) {
    double near = -128.0 / 243 * w0 + -8.0 / 27 * w2, far = 32.0 / 243 * w0 + 8.0 / 27 * w2;
    double near_odd = 32.0 / 81 * w1, far_odd = 16.0 / 81 * w1;
    u[0] = 64.0 / 81 * w0;
    u[1] = near - near_odd;
    u[2] = near + near_odd;
    u[3] = far + far_odd;
    u[4] = far - far_odd;
    u[5] = w2;
}

static void transform_kernel(const form *f, const float *w, ptrdiff_t step, float *out, ptrdiff_t out_step) {
    double rows[TAPS][SPAN], u[SPAN];
    int count = f->two ? TAPS : 1;
    for (int y = 0; y < count; y++) {
        const float *row = w + y * TAPS * step;
        transform_taps(rows[y], row[0], row[step], row[2 * step]);
    }
    for (int x = 0; x < SPAN; x++) {
        if (f->two)
            transform_taps(u, rows[0][x], rows[1][x], rows[2][x]);
        else
            u[0] = rows[0][x];
        for (int y = 0; y < f->span; y++) out[(y * SPAN + x) * out_step] = (float)u[y];
    }
}

/* What the transformed weights of a block are packed from. */
typedef struct packing {
    const tilefold_geometry *geometry;
    const tilefold_cpu_plan *plan;
    form form;
    const char *weight; /* of the group */
} packing;

static packing begin_packing(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight,
                             int64_t group) {
    int64_t at = geometry->weight_offset + group * geometry->weight_group;
    return (packing){geometry, plan, get_form(geometry),
                     (const char *)weight + at * (int64_t)tilefold_type_bytes(geometry->type)};
}

/* The taps that are transformed of some channels of one column at an outer tap, [tap][channel], in the order of their inputs. */
static void load_taps(const packing *p, int64_t column, int64_t outer, int64_t channel, int64_t channels,
                      float w[TAPS * TAPS][TILEFOLD_CHANNEL_BLOCK]) {
    const tilefold_geometry *g = p->geometry;
    const tilefold_axis *axis = g->axis;
    int64_t middle = p->form.two ? 1 : axis[1].kernel, bytes = (int64_t)tilefold_type_bytes(g->type);
    int64_t at = column * g->weight_out + channel * g->weight_in + outer / middle * g->weight_axis[0];
    if (!p->form.two) at += outer % middle * g->weight_axis[1];
    for (int y = 0; y < (p->form.two ? TAPS : 1); y++)
        for (int x = 0; x < TAPS; x++) {
            int64_t tap = (axis[2].tap_step > 0 ? x : TAPS - 1 - x) * g->weight_axis[2];
            if (p->form.two) tap += (axis[1].tap_step > 0 ? y : TAPS - 1 - y) * g->weight_axis[1];
            p->plan->kernels->load_run[g->type](w[y * TAPS + x], p->weight + (at + tap) * bytes, g->weight_in,
                                                channels);
        }
}

/* A block of one panel, [product][k][width], `product_step` floats from one product to the next. */
static void pack_block(const packing *p, int64_t column_begin, const tilefold_block *block, int64_t product_step,
                       float *out) {
    int64_t columns = p->plan->tiling.columns, width = tilefold_cpu_panel_width(p->plan, columns, column_begin);
    int64_t count = tilefold_min(width, columns - column_begin), k = 0;
    float w[TAPS * TAPS][TILEFOLD_CHANNEL_BLOCK];
    for (int64_t channel = block->channel_begin, end; channel < block->channel_end; channel = end) {
        end = tilefold_channel_block_end(channel, block->channel_end);
        for (int64_t tap = block->tap_begin; tap < block->tap_end; tap++, k += end - channel)
            for (int64_t i = 0; i < width; i++) {
                if (i < count)
                    load_taps(p, column_begin + i, tap, channel, end - channel, w);
                else
                    memset(w, 0, sizeof w);
                for (int64_t c = 0; c < end - channel; c++)
                    transform_kernel(&p->form, &w[0][c], TILEFOLD_CHANNEL_BLOCK, out + (k + c) * width + i,
                                     product_step);
            }
    }
}

/* Floats of the panels before a column, for each k and product. */
static int64_t padded_columns(const tilefold_cpu_plan *plan, int64_t columns) {
    int64_t whole = columns / plan->weight_width * plan->weight_width;
    return whole + (whole < columns ? tilefold_cpu_panel_width(plan, columns, whole) : 0);
}

static int64_t group_floats(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan) {
    form f = get_form(geometry);
    int64_t sum = tilefold_saturating_multiply(f.products * f.taps, geometry->in_channels);
    return tilefold_saturating_multiply(sum, padded_columns(plan, plan->tiling.columns));
}

static int64_t packed_floats(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan) {
    int64_t panels = tilefold_saturating_multiply(geometry->groups, group_floats(geometry, plan));
    return tilefold_saturating_add(panels, TILEFOLD_PACKED_HEADER);
}

/* Padding is transformed like any input, so nothing here asks whether weights are finite. */
static void pack(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight, float *packed) {
    memset(packed, 0, TILEFOLD_PACKED_HEADER * sizeof *packed);
    packed += TILEFOLD_PACKED_HEADER;
    for (int64_t group = 0; group < geometry->groups; group++) {
        packing p = begin_packing(geometry, plan, weight, group);
        int64_t sum = p.form.taps * geometry->in_channels;
        tilefold_block all = {0, p.form.taps, 0, geometry->in_channels};
        for (int64_t column = 0; column < plan->tiling.columns; column += plan->weight_width) {
            int64_t step = sum * tilefold_cpu_panel_width(plan, plan->tiling.columns, column);
            pack_block(&p, column, &all, step, packed);
            packed += p.form.products * step;
        }
    }
}

/* ------------------------------------------------------------------------------------------------------- arena ---- */

static int64_t round_channels(int64_t channels) { return tilefold_round_up(channels, TILEFOLD_MAX_LANES); }

/* From one position's channels in V to the next: not a multiple of 4 KiB. */
static int64_t channel_pitch(int64_t channels) {
    int64_t pitch = round_channels(channels);
    return pitch % 256 ? pitch : pitch + TILEFOLD_MAX_LANES;
}

/* The sizes that a plan comes to, floats unless said otherwise, and where they lie in the arena, in bytes. */
typedef struct places {
    tilefold_block_size block; /* of the chain over outer taps and channels */
    int64_t chunk;             /* channels that are transformed at once */
    int64_t run, out_run;      /* positions of a row that are transformed at once, of inputs and of products */
    int64_t pitch;
    int64_t values, halo, rows_done, pointers, segments, products, weight, stage, bias, zeros, bytes;
} places;

static bool reserve(int64_t *at, int64_t *place, int64_t count, int64_t each, int64_t size) {
    int64_t bytes;
    *place = *at;
    return tilefold_multiply(count, each, &bytes) && tilefold_multiply(bytes, size, &bytes) &&
           tilefold_add(tilefold_round_up(tilefold_min(bytes, INT64_MAX / 2), TILEFOLD_ARENA_ALIGNMENT), *at, at) &&
           *at < INT64_MAX / 4;
}

static bool find_places(const form *f, int64_t channels, const tilefold_cpu_plan *plan, places *p) {
    *p = (places){.block = {tilefold_min(plan->block.taps, f->taps), tilefold_min(plan->block.channels, channels)}};
    p->chunk = tilefold_min(p->block.channels, TILEFOLD_CHANNEL_BLOCK);
    p->run = tilefold_min(plan->tiling.positions, IN_RUN);
    p->out_run = tilefold_min(plan->tiling.positions, OUT_RUN);
    p->pitch = channel_pitch(p->block.channels);
    int64_t positions = plan->tiling.positions, floats = sizeof(float), at = 0;
    int64_t halo = f->span * (STEP * p->run + SPAN - STEP) * round_channels(p->chunk);
    int64_t columns = plan->cut ? tilefold_round_up(plan->tiling.block_columns, plan->nr) : plan->nr;
    int64_t block = p->block.taps * p->block.channels;
    return reserve(&at, &p->values, f->products * p->block.taps * p->pitch, positions, floats) &&
           reserve(&at, &p->halo, halo, 1, floats) && reserve(&at, &p->rows_done, f->two ? halo : 0, 1, floats) &&
           reserve(&at, &p->pointers, p->block.taps * plan->mr, 1, sizeof(void *)) &&
           reserve(&at, &p->segments, p->block.taps, tilefold_ceil_div(p->block.channels, TILEFOLD_CHANNEL_BLOCK),
                   sizeof(tilefold_segment)) &&
           reserve(&at, &p->products, f->products * positions, columns, floats) &&
           reserve(&at, &p->weight, plan->prepacked ? 0 : f->products * block, plan->nr, floats) &&
           reserve(&at, &p->stage, f->unit * STEP * p->out_run, plan->nr, floats) &&
           reserve(&at, &p->bias, MAX_COLUMNS, 1, floats) && reserve(&at, &p->zeros, MAX_COLUMNS, 1, floats) &&
           reserve(&at, &p->bytes, 0, 0, 0);
}

/* --------------------------------------------------------------------------------------------------------- tile ---- */

typedef struct winograd {
    const tilefold_cpu_work *work;
    const tilefold_cpu_plan *plan;
    const tilefold_tile *tile;
    char *arena;
    form form;
    places at;
    int64_t rows, columns; /* positions of the part along its last two axes */
    int64_t positions;     /* of the tile */
    tilefold_block block;
    bool first, last;
} winograd;

/* Some positions of one row. */
typedef struct position_run {
    int64_t first, count;     /* counted from the tile's first */
    int64_t q[TILEFOLD_AXES]; /* output of the first position */
} position_run;

static float *floats_at(const winograd *w, int64_t place) { return (float *)(w->arena + place); }

static position_run run_at(const winograd *w, int64_t first, int64_t most) {
    int64_t position = w->tile->position_begin + first, row = position / w->columns, x = position % w->columns;
    position_run run = {.first = first, .count = tilefold_min(w->columns - x, w->positions - first)};
    run.count = tilefold_min(run.count, most);
    run.q[0] = row / w->rows;
    run.q[1] = row % w->rows * w->form.unit;
    run.q[2] = x * STEP;
    return run;
}

/* The input position of the first input that an output's transform reads: taps that step backwards end there. */
static int64_t first_input(const tilefold_axis_part *part, int64_t q) {
    return part->in_first + q * part->in_step + (part->in_tap < 0 ? (TAPS - 1) * part->in_tap : 0);
}

/* Where inputs of a transformed axis end. Those that only outputs past the last would read count as zeros: they are not in the
 * input of a window that ends with the output, and could spoil others if they are infinite. */
static int64_t inputs_end(const tilefold_axis *axis, const tilefold_axis_part *part) {
    return tilefold_min(axis->input, first_input(part, part->count - 1) + TAPS);
}

/* One row of the halo, [x][channel]: `width` inputs from position x on, zeros where they are outside. */
static void copy_row(const winograd *w, bool inside, int64_t offset, int64_t x, int64_t width, int64_t channel,
                     int64_t channels, float *out) {
    const tilefold_geometry *g = w->work->geometry;
    const tilefold_cpu_kernels *kernels = w->plan->kernels;
    int64_t pitch = round_channels(w->at.chunk), bytes = w->work->element_bytes;
    int64_t begin = tilefold_min(width, tilefold_max(0, -x));
    int64_t end = inside ? tilefold_max(begin, tilefold_min(width, inputs_end(&g->axis[2], &w->tile->part[2]) - x))
                         : begin;
    memset(out, 0, (size_t)(begin * pitch) * sizeof *out);
    memset(out + end * pitch, 0, (size_t)((width - end) * pitch) * sizeof *out);
    if (begin == end) return;
    if (channels < pitch) memset(out + begin * pitch, 0, (size_t)((end - begin) * pitch) * sizeof *out);
    int64_t step = g->in_axis[2], at = offset + (x + begin) * step + channel * g->in_channel;
    const char *in = w->work->input + at * bytes;
    float *to = out + begin * pitch;
    if (g->in_channel == 1 || channels == 1) {
        tilefold_row_copy copy = {
            .rows = end - begin, .n = channels, .out_stride = pitch, .in_stride = step, .in_step = g->in_channel};
        kernels->copy_rows[g->type](to, in, &copy);
    } else {
        const void *rows[TILEFOLD_CHANNEL_BLOCK];
        for (int64_t c = 0; c < channels; c++) rows[c] = in + c * g->in_channel * bytes;
        kernels->transpose_rows[g->type](to, pitch, rows, channels, step, end - begin);
    }
}

/* The halo of a run at an outer tap, [y][x][channel]. */
static void copy_halo(const winograd *w, const position_run *run, int64_t tap, int64_t channel, int64_t channels) {
    const tilefold_geometry *g = w->work->geometry;
    const tilefold_axis_part *part = w->tile->part;
    int64_t width = STEP * run->count + SPAN - STEP, middle = w->form.two ? 1 : part[1].taps;
    int64_t z = part[0].in_first + run->q[0] * part[0].in_step + tap / middle * part[0].in_tap;
    int64_t y = w->form.two ? first_input(&part[1], run->q[1])
                            : part[1].in_first + run->q[1] * part[1].in_step + tap % middle * part[1].in_tap;
    int64_t x = first_input(&part[2], run->q[2]);
    int64_t rows_end = w->form.two ? inputs_end(&g->axis[1], &part[1]) : g->axis[1].input;
    float *out = floats_at(w, w->at.halo);
    for (int64_t row = y; row < y + w->form.span; row++, out += width * round_channels(w->at.chunk)) {
        bool inside = z >= 0 && z < g->axis[0].input && row >= 0 && row < rows_end;
        int64_t offset = inside ? z * g->in_axis[0] + row * g->in_axis[1] : 0;
        copy_row(w, inside, offset, x, width, channel, channels, out);
    }
}

/* V of a run at an outer tap, for some channels of the block. */
static void transform_run(const winograd *w, const position_run *run, int64_t tap, int64_t channel, int64_t channels) {
    tilefold_winograd_input transform = w->plan->kernels->winograd_input;
    int64_t pitch = round_channels(w->at.chunk), row = (STEP * run->count + SPAN - STEP) * pitch;
    int64_t taps = w->block.tap_end - w->block.tap_begin, n = round_channels(channels);
    int64_t product = taps * w->positions * w->at.pitch; /* from one product to the next */
    copy_halo(w, run, tap, channel, channels);
    const float *in = floats_at(w, w->at.halo);
    if (w->form.two) {
        transform(floats_at(w, w->at.rows_done), row, in, row, row);
        in = floats_at(w, w->at.rows_done);
    }
    float *values = floats_at(w, w->at.values) + channel - w->block.channel_begin +
                    ((tap - w->block.tap_begin) * w->positions + run->first) * w->at.pitch;
    for (int64_t i = 0; i < run->count; i++)
        for (int64_t y = 0; y < w->form.span; y++)
            transform(values + y * SPAN * product + i * w->at.pitch, product, in + y * row + i * STEP * pitch, pitch,
                      n);
}

static void transform_inputs(const winograd *w) {
    for (int64_t tap = w->block.tap_begin; tap < w->block.tap_end; tap++)
        for (int64_t channel = w->block.channel_begin; channel < w->block.channel_end; channel += w->at.chunk) {
            int64_t channels = tilefold_min(w->at.chunk, w->block.channel_end - channel);
            for (int64_t first = 0; first < w->positions;) {
                position_run run = run_at(w, first, w->at.run);
                transform_run(w, &run, tap, channel, channels);
                first += run.count;
            }
        }
}

/* One panel of columns. */
typedef struct panel {
    int64_t column, count, width;
    const float *weights; /* of the first product, the block's */
    int64_t weights_step; /* from one product to the next */
    float *products;
    tilefold_column_run runs[MAX_COLUMNS];
    int run_count;
} panel;

static void find_weights(const winograd *w, panel *p) {
    const tilefold_geometry *g = w->work->geometry;
    int64_t sum = w->form.taps * g->in_channels;
    if (w->plan->prepacked) {
        p->weights_step = sum * p->width;
        p->weights = w->work->packed + w->tile->group * group_floats(g, w->plan) + w->form.products * sum * p->column +
                     tilefold_block_offset(&w->block, w->form.taps, g->in_channels) * p->width;
        return;
    }
    packing packing = begin_packing(g, w->plan, w->work->weight, w->tile->group);
    p->weights_step = tilefold_block_length(&w->block) * p->width;
    p->weights = floats_at(w, w->at.weight);
    pack_block(&packing, p->column, &w->block, p->weights_step, floats_at(w, w->at.weight));
}

/* The segments of the block: one for each channel block and outer tap. */
static int64_t find_segments(const winograd *w, int64_t width) {
    tilefold_segment *segments = (tilefold_segment *)(w->arena + w->at.segments);
    int64_t count = 0, k = 0;
    for (int64_t channel = w->block.channel_begin, end; channel < w->block.channel_end; channel = end) {
        end = tilefold_channel_block_end(channel, w->block.channel_end);
        for (int64_t tap = w->block.tap_begin; tap < w->block.tap_end; tap++, k += end - channel)
            segments[count++] = (tilefold_segment){.count = end - channel,
                                                   .a = channel - w->block.channel_begin,
                                                   .b = k * width,
                                                   .tap = tap - w->block.tap_begin};
    }
    if (w->form.taps > 1) return count;
    segments[0].count = k; /* all side by side */
    return 1;
}

/* While a product is made, the weights of the next are fetched, a share with each kernel call. */
static void fetch_next(const winograd *w, const panel *p, const float *weights, int64_t call, int64_t calls,
                       tilefold_tile_io *io) {
    io->next = (const char *)weights;
    if (!w->plan->prepacked) return;
    int64_t width = p->width * (int64_t)sizeof *weights, share = tilefold_block_length(&w->block) * width / calls;
    io->next += p->weights_step * (int64_t)sizeof *weights + call * share;
    io->next_step = (ptrdiff_t)tilefold_ceil_div(width, calls);
}

/* One of the 36 products, of all positions of the tile by a panel. */
static void multiply(const winograd *w, const panel *p, int64_t product, int64_t segments) {
    const float **rows = (const float **)(w->arena + w->at.pointers);
    const tilefold_segment *list = (const tilefold_segment *)(w->arena + w->at.segments);
    int64_t taps = w->block.tap_end - w->block.tap_begin, calls = tilefold_ceil_div(w->positions, w->plan->mr);
    const float *values = floats_at(w, w->at.values) + product * taps * w->positions * w->at.pitch;
    const float *weights = p->weights + product * p->weights_step;
    for (int64_t call = 0; call < calls; call++) {
        int64_t begin = call * w->positions / calls, count = (call + 1) * w->positions / calls - begin;
        for (int64_t tap = 0; tap < taps; tap++)
            for (int64_t i = 0; i < count; i++)
                rows[tap * count + i] = values + (tap * w->positions + begin + i) * w->at.pitch;
        float *out = p->products + (product * w->positions + begin) * p->width;
        tilefold_tile_io io = {.init = w->first ? floats_at(w, w->at.zeros) : out,
                               .init_stride = w->first ? 0 : p->width,
                               .out = out,
                               .out_stride = p->width,
                               .lanes = p->width,
                               .low = -INFINITY,
                               .high = INFINITY};
        fetch_next(w, p, weights, call, calls, &io);
        w->plan->kernels->product_rows[p->width / w->plan->kernels->lanes - 1][count - 1](list, segments, rows, weights,
                                                                                          &io);
    }
}

/* Where a run of whole positions of fp32 outputs with channels side by side may be written at once; NULL if it may not. */
static float *direct_output(const winograd *w, const panel *p, const position_run *run) {
    const tilefold_geometry *g = w->work->geometry;
    const tilefold_axis_part *part = w->tile->part;
    bool whole = run->q[1] + w->form.unit <= part[1].count && run->q[2] + run->count * STEP <= part[2].count;
    if (!whole || g->type != TILEFOLD_F32 || p->run_count != 1 || p->runs[0].stride != 1) return NULL;
    int64_t at = p->runs[0].offset;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) at += run->q[axis] * part[axis].out_step * g->out_axis[axis];
    return (float *)w->work->output + at;
}

/* A run that was staged, [y][x][column], but for what is past the outputs' end. */
static void store_run(const winograd *w, const panel *p, const position_run *run) {
    const tilefold_axis_part *part = w->tile->part;
    const float *stage = floats_at(w, w->at.stage);
    int64_t width = tilefold_min(STEP * run->count, part[2].count - run->q[2]);
    for (int64_t y = 0; y < w->form.unit && run->q[1] + y < part[1].count;
         y++, stage += STEP * w->at.out_run * p->width) {
        tilefold_cursor cursor = {{run->q[0], run->q[1] + y, run->q[2]}};
        tilefold_cpu_store_tile(w->work, w->tile, &cursor, width, p->runs, p->run_count, stage, p->width);
    }
}

/* A^T M A of a run of positions, on its way to the output. */
static void transform_products(const winograd *w, const panel *p, const position_run *run) {
    const tilefold_geometry *g = w->work->geometry;
    const tilefold_axis_part *part = w->tile->part;
    float *direct = direct_output(w, p, run);
    tilefold_winograd_tile tile = {.bias = floats_at(w, w->at.bias),
                                   .out = floats_at(w, w->at.stage),
                                   .out_row = STEP * w->at.out_run * p->width,
                                   .out_step = p->width,
                                   .lanes = p->width,
                                   .low = g->clamp_low,
                                   .high = g->clamp_high};
    if (direct) {
        tile.out = direct;
        tile.out_row = part[1].out_step * g->out_axis[1];
        tile.out_step = part[2].out_step * g->out_axis[2];
        tile.lanes = p->count;
    }
    for (int64_t i = 0; i < run->count; i++, tile.out += STEP * tile.out_step)
        w->plan->kernels->winograd_output[w->form.two](p->products + (run->first + i) * p->width,
                                                       w->positions * p->width, &tile);
    if (!direct) store_run(w, p, run);
}

static void transform_outputs(const winograd *w, const panel *p) {
    for (int64_t first = 0; first < w->positions;) {
        position_run run = run_at(w, first, w->at.out_run);
        transform_products(w, p, &run);
        first += run.count;
    }
}

static void multiply_panels(winograd *w) {
    float *products = floats_at(w, w->at.products);
    for (int64_t column = w->tile->column_begin; column < w->tile->column_end; column += w->plan->weight_width) {
        panel p = {.column = column, .products = products};
        p.count = tilefold_min(w->plan->weight_width, w->plan->tiling.columns - column);
        p.width = tilefold_cpu_panel_width(w->plan, w->plan->tiling.columns, column);
        p.run_count = tilefold_cpu_column_runs(w->work, w->tile, column, column + p.count, p.runs);
        find_weights(w, &p);
        int64_t segments = find_segments(w, p.width);
        for (int64_t product = 0; product < w->form.products; product++) multiply(w, &p, product, segments);
        if (w->last) {
            tilefold_cpu_load_bias(w->work, w->tile, column, p.count, floats_at(w, w->at.bias));
            transform_outputs(w, &p);
        }
        if (w->plan->cut) products += w->form.products * w->plan->tiling.positions * w->plan->nr;
    }
}

static void run(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena) {
    const tilefold_geometry *g = work->geometry;
    winograd w = {.work = work, .plan = work->plan, .tile = tile, .arena = arena, .form = get_form(g), .first = true};
    find_places(&w.form, g->in_channels, work->plan, &w.at);
    w.rows = tilefold_ceil_div(tile->part[1].count, w.form.unit);
    w.columns = tilefold_ceil_div(tile->part[2].count, STEP);
    w.positions = tile->position_end - tile->position_begin;
    memset(arena + w.at.bias, 0, MAX_COLUMNS * sizeof(float));
    memset(arena + w.at.zeros, 0, MAX_COLUMNS * sizeof(float));
    w.block = tilefold_block_at(0, 0, &w.at.block, w.form.taps, g->in_channels);
    for (;; w.first = false) {
        w.last = tilefold_block_is_last(&w.block, w.form.taps, g->in_channels);
        transform_inputs(&w);
        multiply_panels(&w);
        if (w.last) return;
        w.block = tilefold_block_after(&w.block, &w.at.block, w.form.taps, g->in_channels);
    }
}

/* ------------------------------------------------------------------------------------------------------- record ---- */

/* Multiply-adds that take as long, for each image, group, input and output channel: exactly, and this way. Transforms take time
 * for each input and each output, which the channels on the other side share; weights are read once an image, from farther away
 * where they are many. Measured roughly; what counts is that it depends on the problem alone. */
static double exact_work(const tilefold_geometry *g) {
    double work = 1;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        work *= (double)g->axis[axis].output * (double)g->axis[axis].kernel;
    return work;
}

static double fast_work(const tilefold_geometry *g) {
    const tilefold_axis *axis = g->axis;
    form f = get_form(g);
    double in = (double)g->in_channels, out = (double)g->out_channels, products = (double)(f.products * f.taps);
    double positions = (double)axis[0].output * (double)tilefold_ceil_div(axis[1].output, f.unit) *
                       (double)tilefold_ceil_div(axis[2].output, STEP);
    double weights = products * in * out * (double)sizeof(float) > 0x1p24 ? 20 : 10;
    return products * (positions * (1.3 + 20 / out + 20 / in / (double)f.taps) + weights);
}

static bool applies(const tilefold_cpu_shape *shape) {
    const tilefold_geometry *g = shape->geometry;
    if (g->axis[0].input_dilation != 1 || g->axis[1].input_dilation != 1 || !is_plain(&g->axis[2])) return false;
    return exact_work(g) >= 1.2 * fast_work(g);
}

/* Each kernel width, with as many rows as there are, and with few for small limits. */
static bool propose(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan) {
    static const int64_t most_rows[] = {INT64_MAX, 4, 1};
    if (index >= 3 * TILEFOLD_MAX_VECTORS) return false;
    plan->tiling.unit[1] = get_form(shape->geometry).unit;
    plan->tiling.unit[2] = STEP;
    int64_t positions = tilefold_cpu_positions(shape, plan);
    positions = tilefold_min(positions, most_rows[index / TILEFOLD_MAX_VECTORS]);
    tilefold_product_choose_tile(shape, index % TILEFOLD_MAX_VECTORS + 1, false, positions, plan);
    return true;
}

static bool lay_out(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan) {
    form f = get_form(shape->geometry);
    places p;
    if (plan->block.taps < shape->most_taps && plan->block.taps > 1) return false; /* the same as fewer channels */
    if (!find_places(&f, shape->geometry->in_channels, plan, &p)) return false;
    plan->arena.bytes = p.bytes;
    return true;
}

static double estimate(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan) {
    const tilefold_geometry *g = shape->geometry;
    const tilefold_cpu_throughput *core = &shape->target->throughput;
    form f = get_form(g);
    double positions = (double)tilefold_cpu_positions(shape, plan), columns = (double)g->out_channels;
    double sum = (double)(f.taps * g->in_channels), products = (double)f.products, lanes = plan->kernels->lanes;
    double tiles = ceil(positions / (double)plan->tiling.positions), calls = ceil(positions / tiles / plan->mr);
    double rows = positions / tiles / calls, panels = ceil(columns / plan->nr);
    double vectors = ceil(columns / panels / lanes), block = (double)(plan->block.taps * plan->block.channels);
    double blocks = fmax(1, ceil((double)(shape->most_taps * g->in_channels) / block));
    double step = fmax(fmax(rows * vectors / core->multiply_adds, (rows + vectors) / core->loads), core->latency);
    double call = sum * (step + 0.15) + blocks * (40 + rows * (3 + 1.5 * vectors));
    double cycles = tiles * calls * panels * products * call;
    double column_tiles = ceil(columns / (double)plan->tiling.block_columns), weights = sum * columns * products;
    cycles += positions * sum * products * column_tiles * 4 / lanes;
    cycles += positions * columns * products * 5 / lanes;
    if (weights * sizeof(float) > (double)shape->target->l2_bytes / 2) cycles += tiles * weights * sizeof(float) / 24;
    if (!plan->prepacked) cycles += tiles * weights * 6;
    return cycles;
}

/* Along one axis an output is at most this many times the largest input times the sum of its weights' magnitudes, were there no
 * cancellation: the largest, over outputs i and taps k, of the sum over j of |A^T|[i][j] * |G|[j][k] * sum of |B^T|[j]. */
#define GROWTH 14.4

/* Each transform of an input rounds 3 times in a row, that of a weight once, a sum once a link, a transform of an output 4 times;
 * then comes the bias. To first order, with some room for the rest. */
static double error_bound(const tilefold_geometry *geometry) {
    form f = get_form(geometry);
    double axes = f.two ? 2 : 1, links = (double)(f.taps * geometry->in_channels);
    return (f.two ? GROWTH * GROWTH : GROWTH) * (7 * axes + links + 4) * 1.01 * 0x1p-24;
}

const tilefold_cpu_algorithm tilefold_cpu_winograd = {
    .id = TILEFOLD_ALGORITHM_IMPLICIT,
    .words = "Winograd F(4, 3) along each 3-tap axis",
    .math = TILEFOLD_MATH_FAST,
    .applies = applies,
    .propose = propose,
    .lay_out = lay_out,
    .estimate = estimate,
    .packed_floats = packed_floats,
    .pack = pack,
    .error_bound = error_bound,
    .run = run,
};
