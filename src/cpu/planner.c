/* Choosing an algorithm and its tiling under a scratch limit, by a cost model.
 *
 * SPDX-License-Identifier: MIT
 *
 * Candidates are the algorithms below, in each cut of the problem (by phase, folded), with each kernel width and a few
 * block sizes. For each, the tile is the largest that the limit and the cache allow; the cheapest by the cost model (cost.c)
 * wins. Nothing here changes bits.
 */
#include "../checked.h"
#include "../message.h"
#include "cost.h"

#include <math.h>
#include <stdio.h>

typedef tilefold_cpu_shape shape;

static const tilefold_cpu_algorithm unfold = {TILEFOLD_ALGORITHM_UNFOLD, tilefold_cpu_run_product};
static const tilefold_cpu_algorithm implicit = {TILEFOLD_ALGORITHM_IMPLICIT, tilefold_cpu_run_product};
static const tilefold_cpu_algorithm direct = {TILEFOLD_ALGORITHM_DIRECT, tilefold_cpu_run_direct};
static const tilefold_cpu_algorithm depthwise = {TILEFOLD_ALGORITHM_DIRECT, tilefold_cpu_run_depthwise};

/* A way to run a tile, before its sizes are chosen. */
typedef struct variant {
    const char *name;
    const tilefold_cpu_algorithm *algorithm;
    tilefold_operand operand;
    bool positions_in_lanes;
    bool (*applies)(const shape *s);
} variant;

static bool unit_stride(int64_t stride, int64_t size) { return stride == 1 || size == 1; }

static bool always(const shape *s) {
    (void)s;
    return true;
}

/* Channels can be read in place. */
static bool channels_in_place(const shape *s) {
    return s->geometry->type == TILEFOLD_F32 && unit_stride(s->geometry->in_channel, s->geometry->in_channels);
}

static bool few_columns(const shape *s) { return s->folds * s->geometry->out_channels <= s->kernels->max_rows[0]; }

/* A vector lies within a row: lanes that run over its end must be unfolded. */
static bool rows_hold_lanes(const shape *s) { return s->row >= s->kernels->lanes; }

static bool channels_are_groups(const shape *s) {
    const tilefold_geometry *g = s->geometry;
    return g->in_channels == 1 && g->out_channels == 1 && unit_stride(g->in_group, g->groups) && !g->folded;
}

/* The table of algorithms: adding one is a file and a line. Of equals the first wins. */
static const variant variants[] = {
    {"unfold, positions in rows", &unfold, TILEFOLD_OPERAND_VALUES, false, always},
    {"unfold, positions in lanes", &unfold, TILEFOLD_OPERAND_VALUES, true, always},
    {"direct, depthwise", &depthwise, TILEFOLD_OPERAND_ROWS, false, channels_are_groups},
    {"direct, few columns", &direct, TILEFOLD_OPERAND_LANES, true, few_columns},
    {"implicit, positions in rows", &implicit, TILEFOLD_OPERAND_ROWS, false, channels_in_place},
    {"implicit, positions in lanes", &implicit, TILEFOLD_OPERAND_LANES, true, rows_hold_lanes},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

/* ------------------------------------------------------------------------------------------------------ sizes ---- */

static int64_t align(int64_t bytes) { return tilefold_round_up(bytes, TILEFOLD_ARENA_ALIGNMENT); }

/* Bytes of one operand panel for a block of K. */
static int64_t operand_panel_bytes(const shape *s, const tilefold_cpu_plan *p) {
    int64_t channels = tilefold_max(1, s->geometry->in_channels), pointer = (int64_t)sizeof(void *);
    int64_t values = p->block_k * p->operand_width * (int64_t)sizeof(float);
    if (p->depthwise) return tilefold_cpu_depthwise_panel(p).bytes;
    if (p->operand == TILEFOLD_OPERAND_ROWS) return align(tilefold_max(1, p->block_k / channels) * p->mr * pointer);
    if (p->operand == TILEFOLD_OPERAND_LANES) return align(p->block_k * pointer) + align(values);
    return align(values);
}

/* Lays out one thread's arena for tiles of `panels` operand panels; false where it passes the budget or 64 bits. */
static bool lay_out(const shape *s, tilefold_cpu_plan *p, int64_t panels) {
    tilefold_cpu_arena *arena = &p->arena;
    int64_t tile_bytes = align((int64_t)p->mr * p->nr * (int64_t)sizeof(float)), bytes, partial = 0;
    arena->operand_panel_bytes = operand_panel_bytes(s, p);
    if (!tilefold_multiply(arena->operand_panel_bytes, p->builds_tiles ? panels : 1, &bytes)) return false;
    arena->partial = bytes;
    if (p->cut && p->builds_tiles &&
        (!tilefold_multiply(tile_bytes, panels, &partial) ||
         !tilefold_multiply(partial, tilefold_ceil_div(p->tiling.block_columns, p->weight_width), &partial)))
        return false;
    if (!tilefold_add(bytes, partial, &bytes) || bytes > s->budget) return false;
    arena->weight = bytes;
    arena->stage = arena->weight + (p->prepacked ? 0 : align(p->block_k * p->weight_width * (int64_t)sizeof(float)));
    int64_t lanes = p->nr, zeros = 0;
    if (p->operand == TILEFOLD_OPERAND_ROWS) zeros = tilefold_min(p->block_k, s->geometry->in_channels);
    if (p->depthwise) lanes = zeros = tilefold_round_up(p->tiling.block_columns, p->nr);
    arena->init = arena->stage + tile_bytes;
    arena->zeros = arena->init + (p->positions_in_lanes ? tile_bytes : align(lanes * (int64_t)sizeof(float)));
    arena->bytes = arena->zeros + align(zeros * (int64_t)sizeof(float));
    return arena->bytes <= s->budget;
}

/* The largest number of operand panels, at most `most`, that fit; 0 where not one does. */
static int64_t panels_that_fit(const shape *s, tilefold_cpu_plan *p, int64_t most) {
    if (!lay_out(s, p, 1)) return 0;
    if (lay_out(s, p, most)) return most;
    int64_t low = 1, high = most; /* low fits, high does not */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (lay_out(s, p, middle))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* As many panels as keep a tile and its outputs in the second-level cache, and no fewer tiles than keep the threads busy. */
static int64_t useful_panels(const shape *s, const tilefold_cpu_plan *p) {
    int64_t all = tilefold_max(1, tilefold_ceil_div(s->positions, p->operand_width));
    int64_t partial = p->cut ? tilefold_ceil_div(p->tiling.block_columns, p->weight_width) * p->mr * p->nr * 4 : 0;
    int64_t output = p->operand_width * p->tiling.block_columns * (int64_t)sizeof(float);
    int64_t cached = tilefold_max(1, s->l2_bytes / 2 / (operand_panel_bytes(s, p) + partial / 2 + output / 2));
    if (!p->builds_tiles) cached = tilefold_max(1, 4096 / p->operand_width);
    int64_t wanted = s->threads > 1 ? (int64_t)ceil(4.0 * s->threads / tilefold_cpu_parts_alike(s, p)) : 1;
    int64_t shared = tilefold_max(1, all / tilefold_max(1, wanted));
    return tilefold_min(tilefold_min(all, cached), shared);
}

/* Direct points at the input once for many kernel calls, as long as the pointers and copies stay in the first-level cache
 * and no partial sums need to wait. */
static int64_t kernels_per_panel(const shape *s, const tilefold_cpu_plan *p) {
    if (p->algorithm != &direct || p->cut) return 1;
    int64_t cached = 24576 / (p->block_k * p->nr * (int64_t)sizeof(float));
    return tilefold_max(1, tilefold_min(cached, tilefold_ceil_div(s->positions, p->nr)));
}

static bool is_cut(const shape *s, const tilefold_cpu_plan *p) {
    return s->most_taps * s->geometry->in_channels > p->block_k;
}

/* Where a search for a candidate by number stands. */
struct tilefold_cpu_pick {
    int64_t wanted, seen;
};

/* Keeps a candidate if it is the cheapest so far, or the one that is wanted. */
static void offer(const shape *s, const tilefold_cpu_plan *p, tilefold_cpu_plan *best) {
    bool better = best->algorithm == NULL || p->cost < best->cost;
    if (s->pick ? s->pick->seen++ == s->pick->wanted : better) *best = *p;
}

/* Chooses the tile for the block and the columns in *p, which makes it a candidate; false where none fits. */
static bool consider(const shape *s, tilefold_cpu_plan *p, tilefold_cpu_plan *best) {
    p->cut = is_cut(s, p);
    p->overlaps = p->depthwise && p->tiling.block_columns >= p->tiling.columns;
    int64_t panels = 0;
    for (int64_t kernels = kernels_per_panel(s, p); kernels >= 1 && panels == 0; kernels /= 2) {
        if (p->algorithm == &direct) p->operand_width = (int32_t)(kernels * p->nr);
        panels = panels_that_fit(s, p, useful_panels(s, p));
    }
    if (panels == 0) return false;
    lay_out(s, p, panels);
    p->tiling.position_granule = p->operand_width;
    p->tiling.positions = panels * p->operand_width;
    p->tiling.column_granule = p->weight_width;
    p->cost = tilefold_cpu_estimate(s, p);
    offer(s, p, best);
    return true;
}

/* A block of at most `most` of K: whole taps, or an even share of one tap's channels. */
static int64_t round_block(int64_t most, int64_t taps, int64_t channels) {
    if (most >= channels) {
        int64_t blocks = tilefold_ceil_div(taps, most / channels);
        return tilefold_ceil_div(taps, tilefold_max(1, blocks)) * channels;
    }
    return tilefold_ceil_div(channels, tilefold_ceil_div(channels, most));
}

/* Column blocks from all columns downwards: fewer columns leave more of the budget to positions. */
static bool consider_columns(const shape *s, tilefold_cpu_plan *p, tilefold_cpu_plan *best) {
    int64_t columns = tilefold_round_up(p->tiling.columns * s->folds, p->weight_width);
    bool any = false;
    for (;;) {
        p->tiling.block_columns = columns;
        bool fits = consider(s, p, best);
        any = any || fits;
        bool thrifty = fits && (!p->cut || p->tiling.positions >= 2 * p->operand_width);
        bool busy = s->threads == 1 || s->positions > 8 * p->operand_width;
        if (columns <= p->weight_width || (thrifty && busy)) return any;
        columns = tilefold_round_up(tilefold_ceil_div(columns, 2), p->weight_width);
    }
}

/* Blocks of K that are tried, downwards. */
static const int64_t block_limits[] = {INT64_MAX, 1536, 768, 512, 384, 256, 128, 64, 32, 16, 8, 4, 2, 1};
enum { BLOCKS = sizeof block_limits / sizeof block_limits[0] };

static int64_t block_candidate(const shape *s, int i) {
    int64_t taps = tilefold_max(1, s->most_taps), channels = s->geometry->in_channels;
    return round_block(tilefold_min(block_limits[i], taps * channels), taps, channels);
}

static void consider_blocks(const shape *s, tilefold_cpu_plan *p, tilefold_cpu_plan *best) {
    int64_t last = -1;
    int fitting = 0;
    for (int i = 0; i < BLOCKS && fitting < 5; i++) {
        p->block_k = block_candidate(s, i);
        if (p->block_k == last) continue;
        last = p->block_k;
        fitting += consider_columns(s, p, best);
    }
}

static int64_t packed_bytes(const tilefold_geometry *geometry, const tilefold_cpu_plan *p) {
    return tilefold_saturating_multiply(tilefold_cpu_packed_floats(geometry, p), (int64_t)sizeof(float));
}

/* As rows_hold_lanes(), of all the vectors of a kernel. */
static bool lanes_suit(const shape *s, const tilefold_cpu_plan *p) {
    return p->operand != TILEFOLD_OPERAND_LANES || !p->builds_tiles || p->nr <= s->row;
}

/* Sets the kernel's tile; false where there is none of this width. Packed weights that are larger than any buffer may be are
 * packed tile by tile instead. */
static bool choose_kernel(const shape *s, const variant *v, int32_t vectors, tilefold_cpu_plan *p) {
    const tilefold_cpu_kernels *kernels = s->kernels;
    int64_t most_rows = v->algorithm == &depthwise ? kernels->max_pixels[vectors - 1] : kernels->max_rows[vectors - 1];
    if (most_rows == 0) return false;
    int64_t columns = p->tiling.columns * s->folds;
    int64_t rows = v->positions_in_lanes ? columns : s->positions;
    p->mr = (int32_t)tilefold_ceil_div(rows, tilefold_ceil_div(rows, most_rows));
    p->nv = vectors;
    p->nr = vectors * kernels->lanes;
    p->operand_width = v->positions_in_lanes ? p->nr : p->mr;
    p->weight_width = v->positions_in_lanes ? p->mr : p->nr;
    p->prepacked = s->prepack && packed_bytes(s->geometry, p) <= s->buffer_bytes;
    return lanes_suit(s, p);
}

static tilefold_cpu_plan new_candidate(const shape *s, const variant *v) {
    tilefold_cpu_plan p = {.kernels = s->kernels,
                           .algorithm = v->algorithm,
                           .operand = v->operand,
                           .positions_in_lanes = v->positions_in_lanes,
                           .threads = s->threads,
                           .row = (int32_t)(v - variants),
                           .depthwise = v->algorithm == &depthwise,
                           .builds_tiles = v->algorithm == &unfold || v->algorithm == &implicit};
    p.tiling.groups = v->algorithm == &depthwise ? 1 : s->geometry->groups;
    p.tiling.columns = v->algorithm == &depthwise ? s->geometry->groups : s->geometry->out_channels;
    return p;
}

static bool suits(const variant *v, const shape *s, tilefold_algorithm algorithm) {
    return (algorithm == TILEFOLD_ALGORITHM_AUTO || algorithm == v->algorithm->id) && v->applies(s);
}

/* Keeps in *best the cheapest way to run the geometry within the budget, if one is cheaper. */
static void choose(shape *s, tilefold_algorithm algorithm, tilefold_cpu_plan *best) {
    tilefold_cpu_find_dominant(s);
    for (int i = 0; i < VARIANTS; i++) {
        if (!suits(&variants[i], s, algorithm)) continue;
        for (int32_t vectors = 1; vectors <= TILEFOLD_MAX_VECTORS; vectors++) {
            tilefold_cpu_plan p = new_candidate(s, &variants[i]);
            if (choose_kernel(s, &variants[i], vectors, &p)) consider_blocks(s, &p, best);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------- plan ---- */

/* A choice and the geometry that it is for. */
typedef struct decision {
    tilefold_cpu_plan plan;
    tilefold_geometry geometry;
} decision;

static int64_t scratch_bytes(const decision *d) { return d->plan.arena.bytes * d->plan.threads; }

#define UNLIMITED (INT64_MAX / 2)

/* No buffer may be larger, neither the scratch nor the packed weights. */
static int64_t largest_buffer(const tilefold_plan *plan) {
    int64_t set = plan->options.max_buffer_bytes;
    return set ? tilefold_min(set, UNLIMITED) : UNLIMITED;
}

/* The plan's geometry, and where it can be folded also that; returns how many. */
static int get_cuts(const tilefold_plan *plan, tilefold_geometry cuts[2]) {
    cuts[0] = cuts[1] = plan->geometry;
    if (!tilefold_geometry_can_fold(&plan->geometry)) return 1;
    tilefold_geometry_fold(&cuts[1]);
    return 2;
}

static shape make_shape(const tilefold_plan *plan, const tilefold_geometry *geometry, int64_t buffer, int64_t limit,
                        int32_t threads) {
    const tilefold_cpu_target *target = tilefold_cpu_get_target(plan->context);
    return (shape){.geometry = geometry,
                   .kernels = target->kernels,
                   .l2_bytes = target->l2_bytes,
                   .budget = limit / threads / TILEFOLD_ARENA_ALIGNMENT * TILEFOLD_ARENA_ALIGNMENT,
                   .buffer_bytes = buffer,
                   .threads = threads,
                   .prepack = plan->options.prepack_weights};
}

static void decide(const tilefold_plan *plan, int64_t limit, int32_t threads, struct tilefold_cpu_pick *pick,
                   decision *best) {
    tilefold_geometry cuts[2];
    int ways = get_cuts(plan, cuts);
    for (int way = 0; way < ways; way++) {
        shape s = make_shape(plan, &cuts[way], largest_buffer(plan), limit, threads);
        s.pick = pick;
        decision d = *best;
        choose(&s, plan->options.algorithm, &d.plan);
        if (d.plan.algorithm && (!best->plan.algorithm || d.plan.cost < best->plan.cost))
            *best = (decision){d.plan, cuts[way]};
    }
}

/* The least budget of one thread with which the variant can be planned: one panel of each side, by the best block. */
static int64_t least_of_variant(const shape *s, const variant *v, int32_t vectors) {
    tilefold_cpu_plan p = new_candidate(s, v);
    if (!choose_kernel(s, v, vectors, &p)) return INT64_MAX;
    p.tiling.block_columns = p.weight_width;
    int64_t least = INT64_MAX;
    for (int i = 0; i < BLOCKS; i++) {
        p.block_k = block_candidate(s, i);
        p.cut = is_cut(s, &p);
        if (lay_out(s, &p, 1)) least = tilefold_min(least, p.arena.bytes);
    }
    return least;
}

/* The least of all candidates, with buffers of at most so many bytes; INT64_MAX where the algorithm has none. */
static int64_t least_budget(const tilefold_plan *plan, int64_t buffer) {
    tilefold_geometry cuts[2];
    int ways = get_cuts(plan, cuts);
    int64_t least = INT64_MAX;
    for (int way = 0; way < ways; way++) {
        shape s = make_shape(plan, &cuts[way], buffer, INT64_MAX, 1);
        tilefold_cpu_find_dominant(&s);
        for (int i = 0; i < VARIANTS; i++)
            for (int32_t vectors = 1;
                 suits(&variants[i], &s, plan->options.algorithm) && vectors <= TILEFOLD_MAX_VECTORS; vectors++)
                least = tilefold_min(least, least_of_variant(&s, &variants[i], vectors));
    }
    return least;
}

/* With as many threads as the limit feeds, or with fewer where they would have more scratch each, or the work is too small
 * to share. `least` is the least budget of one thread. */
static void decide_threads(const tilefold_plan *plan, int64_t limit, int64_t least, struct tilefold_cpu_pick *pick,
                           decision *best) {
    int64_t most = tilefold_cpu_get_target(plan->context)->threads;
    *best = (decision){.geometry = plan->geometry};
    for (int64_t threads = tilefold_min(most, limit / least); threads >= 1; threads /= 2)
        decide(plan, limit, (int32_t)threads, pick, best);
}

static tilefold_status check_options(const tilefold_plan_options *options, tilefold_message *message) {
    if (options->storage != TILEFOLD_STORAGE_BUFFER)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED,
                             "the CPU holds its scratch in memory only, not in textures");
    if (options->bind_buffers)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "the CPU has no buffers to bind: only Vulkan devices do");
    return TILEFOLD_OK;
}

/* The least buffer that holds the least budget. Larger ones hold more packed weights, so that budget never grows with them. */
static int64_t least_buffer(const tilefold_plan *plan, int64_t low) {
    int64_t high = least_budget(plan, low); /* low is too small, high is not */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (least_budget(plan, middle) <= middle)
            high = middle;
        else
            low = middle;
    }
    return high;
}

/* Why nothing could be decided. */
static tilefold_status refuse(const tilefold_plan *plan, int64_t least, tilefold_message *message) {
    if (least == INT64_MAX)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "algorithm '%s' does not suit this problem on the CPU",
                             tilefold_algorithm_name(plan->options.algorithm));
    if (least > largest_buffer(plan))
        return tilefold_fail(
            message, TILEFOLD_LIMIT_TOO_SMALL,
            "the buffer limit of %lld bytes is below the %lld bytes that the scratch of this problem needs",
            (long long)plan->options.max_buffer_bytes, (long long)least_buffer(plan, largest_buffer(plan)));
    return tilefold_fail(message, TILEFOLD_LIMIT_TOO_SMALL,
                         "the scratch limit of %lld bytes is below the %lld bytes that this problem needs",
                         (long long)plan->options.scratch_limit_bytes, (long long)(least + plan->own_bytes));
}

tilefold_status tilefold_cpu_plan_problem(tilefold_plan *plan, tilefold_message *message) {
    tilefold_status status = check_options(&plan->options, message);
    if (status) return status;
    struct tilefold_cpu_pick *pick = ((tilefold_cpu_context *)plan->context->state)->pick;
    int64_t buffer = largest_buffer(plan), limit = tilefold_min(plan->scratch_limit_bytes, buffer);
    int64_t least = least_budget(plan, buffer);
    if (least > limit) return refuse(plan, least, message);
    decision ideal, chosen; /* a limit that the plan without it keeps to changes nothing */
    decide_threads(plan, UNLIMITED, least, NULL, &ideal);
    if (scratch_bytes(&ideal) > buffer) decide_threads(plan, buffer, least, NULL, &ideal);
    chosen = ideal;
    if (scratch_bytes(&ideal) > limit || pick) decide_threads(plan, limit, least, pick, &chosen);
    if (!chosen.plan.algorithm) return refuse(plan, least, message);

    tilefold_cpu_plan *cpu = plan->state;
    *cpu = chosen.plan;
    plan->geometry = chosen.geometry;
    tilefold_plan_info *info = &plan->info;
    info->algorithm = cpu->algorithm->id;
    info->isa = cpu->kernels->isa;
    info->threads = cpu->threads;
    info->scratch_bytes = scratch_bytes(&chosen);
    info->min_scratch_bytes = least + plan->own_bytes;
    info->ideal_scratch_bytes = scratch_bytes(&ideal) + plan->own_bytes;
    info->tiles = tilefold_tiles_total(&plan->geometry, &cpu->tiling);
    info->packed_weight_bytes = cpu->prepacked ? packed_bytes(&plan->geometry, cpu) : 0;
    return TILEFOLD_OK;
}

/* How the plan reads the input. */
static const char *describe_operand(const tilefold_plan *plan) {
    const tilefold_cpu_plan *cpu = plan->state;
    const tilefold_geometry *g = &plan->geometry;
    shape s = {.geometry = g};
    bool pixels_in_place = g->type == TILEFOLD_F32 && g->in_axis[TILEFOLD_AXES - 1] == 1 &&
                           tilefold_cpu_position_step(&s) == 1;
    if (cpu->operand == TILEFOLD_OPERAND_VALUES) return "unfolded";
    if (cpu->operand == TILEFOLD_OPERAND_ROWS) return "read in place by rows";
    if (cpu->algorithm == &direct && pixels_in_place) return "read by lanes, in place or from copies of rows";
    return pixels_in_place ? "read in place by lanes" : "read by lanes from copies of rows";
}

size_t tilefold_cpu_print(const tilefold_plan *plan, char *text, size_t bytes) {
    const tilefold_cpu_plan *cpu = plan->state;
    int written = snprintf(text, bytes,
                           "  algorithm    %s on the CPU, %s, %d threads; positions in %s, %s%s\n"
                           "  tile         %lld positions x %lld columns, kernel %dx%d, sums %s\n",
                           tilefold_algorithm_name(cpu->algorithm->id), tilefold_isa_name(cpu->kernels->isa),
                           (int)cpu->threads, cpu->positions_in_lanes ? "lanes" : "rows", describe_operand(plan),
                           plan->geometry.folded ? ", phases folded into columns" : "",
                           (long long)cpu->tiling.positions, (long long)cpu->tiling.block_columns, (int)cpu->mr,
                           (int)cpu->nr, cpu->cut ? "cut into blocks" : "whole");
    return written > 0 ? (size_t)written : 0;
}

/* ------------------------------------------------------------------------------------------------- candidates ---- */

tilefold_cpu_target *tilefold_cpu_get_target(tilefold_context *context) {
    return &((tilefold_cpu_context *)context->state)->target;
}

tilefold_status tilefold_cpu_plan_candidate(tilefold_context *context, const tilefold_problem *problem,
                                            const tilefold_plan_options *options, int64_t number, tilefold_plan **plan,
                                            tilefold_message *message) {
    tilefold_cpu_context *cpu = context->state;
    struct tilefold_cpu_pick pick = {.wanted = number};
    cpu->pick = &pick;
    tilefold_status status = tilefold_plan_create(context, problem, options, plan, message);
    cpu->pick = NULL;
    return status;
}

int64_t tilefold_cpu_count_candidates(tilefold_context *context, const tilefold_problem *problem,
                                      const tilefold_plan_options *options) {
    tilefold_cpu_context *cpu = context->state;
    struct tilefold_cpu_pick pick = {.wanted = -1};
    tilefold_plan *none = NULL;
    cpu->pick = &pick;
    tilefold_plan_create(context, problem, options, &none, NULL); /* which fails, having seen them all */
    cpu->pick = NULL;
    return pick.seen;
}

int tilefold_cpu_rows(void) { return VARIANTS; }

const char *tilefold_cpu_row_name(int row) { return variants[row].name; }

int tilefold_cpu_plan_row(const tilefold_plan *plan) { return ((const tilefold_cpu_plan *)plan->state)->row; }

double tilefold_cpu_plan_cost(const tilefold_plan *plan) { return ((const tilefold_cpu_plan *)plan->state)->cost; }
