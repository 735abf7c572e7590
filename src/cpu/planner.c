/* Choosing an algorithm and its tiling under a scratch limit, by a cost model.
 *
 * SPDX-License-Identifier: MIT
 *
 * Candidates are the rows of the table of algorithms, in each cut of the problem (by phase, folded), in each of their variants,
 * with a few block sizes. For each, the tile is the largest that the limit and the cache allow; the cheapest by the cost model
 * (cost.c) wins. Nothing here changes bits.
 */
#include "../checked.h"
#include "../message.h"
#include "cost.h"

#include <math.h>
#include <stdio.h>

typedef tilefold_cpu_shape shape;

/* Where a search for a candidate by number stands. */
struct tilefold_cpu_pick {
    int64_t wanted, seen;
};

/* Keeps a candidate if it is the cheapest so far, or the one that is wanted. */
static void offer(const shape *s, const tilefold_cpu_plan *p, tilefold_cpu_plan *best) {
    bool better = best->algorithm == NULL || p->cost < best->cost;
    if (s->pick ? s->pick->seen++ == s->pick->wanted : better) *best = *p;
}

/* ------------------------------------------------------------------------------------------------------- tiles ---- */

/* Tiles of `count` granules; whether their arena can be laid out and fits. */
static bool fits(const shape *s, tilefold_cpu_plan *p, int64_t count, int64_t granule) {
    p->tiling.position_granule = granule;
    if (!tilefold_multiply(count, granule, &p->tiling.positions)) return false;
    return p->algorithm->lay_out(s, p) && p->arena.bytes <= s->budget;
}

/* A tile, what it reads in place, and its outputs stay in the second-level cache. */
static bool is_cached(const shape *s, const tilefold_cpu_plan *p) {
    double outputs = (double)p->tiling.positions * (double)p->tiling.block_columns * sizeof(float);
    return (double)p->arena.bytes + (double)p->arena.in_place_bytes + outputs / 2 <= (double)s->target->l2_bytes / 2;
}

/* The largest tile of at most `most` granules that fits and is cached; the least one need only fit. False where it does not. */
static bool find_tile(const shape *s, tilefold_cpu_plan *p, int64_t most, int64_t granule) {
    if (fits(s, p, most, granule) && (most == 1 || is_cached(s, p))) return true;
    int64_t low = 1, high = most; /* high is too large */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (fits(s, p, middle, granule) && is_cached(s, p))
            low = middle;
        else
            high = middle;
    }
    return fits(s, p, low, granule);
}

/* No fewer tiles than keep the threads busy. */
static int64_t most_positions(const shape *s, const tilefold_cpu_plan *p) {
    int64_t columns = tilefold_ceil_div(p->tiling.columns * s->folds, p->tiling.block_columns);
    int64_t positions = tilefold_cpu_positions(s, p);
    double alike = tilefold_cpu_parts_alike(s, p) * (double)columns;
    int64_t wanted = s->threads > 1 ? (int64_t)ceil(4.0 * s->threads / alike) : 1;
    return tilefold_max(1, tilefold_ceil_div(positions, tilefold_max(1, wanted)));
}

static bool choose_tile(const shape *s, tilefold_cpu_plan *p) {
    int64_t most = tilefold_min(most_positions(s, p), INT64_C(1) << 40), row = s->part[2].count;
    if (p->algorithm->whole_rows && row <= most && find_tile(s, p, most / row, row)) return true;
    if (p->algorithm->whole_rows) most = tilefold_min(most, row);
    return find_tile(s, p, tilefold_ceil_div(most, p->operand_width), p->operand_width);
}

/* Chooses the tile for the block and the columns in *p, which makes it a candidate; false where none fits. */
static bool consider(const shape *s, tilefold_cpu_plan *p, tilefold_cpu_plan *best) {
    p->tiling.column_granule = p->weight_width;
    if (!choose_tile(s, p)) return false;
    p->cost = tilefold_cpu_estimate(s, p);
    offer(s, p, best);
    return true;
}

/* ------------------------------------------------------------------------------------------------------ blocks ---- */

/* A block of at most `most` of the chain: channel blocks with all taps, taps of one channel block, or some of its channels at
 * one tap; as even as can be. */
static tilefold_block_size round_block(int64_t most, int64_t taps, int64_t channels) {
    int64_t width = tilefold_min(channels, TILEFOLD_CHANNEL_BLOCK), blocks = tilefold_ceil_div(channels, width), whole;
    if (!tilefold_multiply(width, taps, &whole)) whole = INT64_MAX;
    if (most >= whole) {
        int64_t pieces = tilefold_ceil_div(blocks, most / whole);
        return (tilefold_block_size){taps, tilefold_min(channels, tilefold_ceil_div(blocks, pieces) * width)};
    }
    if (most >= width) {
        int64_t pieces = tilefold_ceil_div(taps, most / width);
        return (tilefold_block_size){tilefold_ceil_div(taps, pieces), width};
    }
    return (tilefold_block_size){1, tilefold_ceil_div(width, tilefold_ceil_div(width, most))};
}

static bool is_cut(const shape *s, const tilefold_cpu_plan *p) {
    return s->most_taps > p->block.taps || s->geometry->in_channels > p->block.channels;
}

/* Blocks that are tried, downwards. */
static const int64_t block_limits[] = {INT64_MAX, 1536, 768, 512, 384, 288, 128, 64, 32, 16, 8, 4, 2, 1};
enum { BLOCKS = sizeof block_limits / sizeof block_limits[0] };

static tilefold_block_size block_candidate(const shape *s, int i) {
    return round_block(block_limits[i], tilefold_max(1, s->most_taps), s->geometry->in_channels);
}

/* Column blocks from all columns downwards: fewer columns leave more of the budget to positions. */
static bool consider_columns(const shape *s, tilefold_cpu_plan *p, tilefold_cpu_plan *best) {
    int64_t columns = tilefold_round_up(p->tiling.columns * s->folds, p->weight_width);
    bool any = false;
    for (;;) {
        p->tiling.block_columns = columns;
        bool fit = consider(s, p, best);
        any = any || fit;
        if (s->geometry->merged) return any; /* a tile has all classes */
        bool thrifty = fit && (!p->cut || p->tiling.positions >= 2 * p->operand_width);
        bool busy = s->threads == 1 || tilefold_cpu_positions(s, p) > 8 * p->operand_width;
        if (columns <= p->weight_width || (thrifty && busy)) return any;
        columns = tilefold_round_up(tilefold_ceil_div(columns, 2), p->weight_width);
    }
}

/* ---------------------------------------------------------------------------------------------------- variants ---- */

static int64_t packed_bytes(const tilefold_geometry *geometry, const tilefold_cpu_plan *p) {
    return tilefold_saturating_multiply(p->algorithm->packed_floats(geometry, p), (int64_t)sizeof(float));
}

/* Begins variant `index` of row `row` of the table; false past the last. Packed weights that are larger than any buffer may be
 * are packed tile by tile instead. */
static bool begin_variant(const shape *s, int row, int index, tilefold_cpu_plan *p) {
    *p = (tilefold_cpu_plan){.kernels = s->kernels,
                             .algorithm = tilefold_cpu_algorithms[row],
                             .threads = s->threads,
                             .row = row};
    if (!p->algorithm->propose(s, index, p)) return false;
    p->prepacked = p->mr > 0 && s->prepack && packed_bytes(s->geometry, p) <= s->buffer_bytes;
    return true;
}

static bool suits(const shape *s, int row, tilefold_algorithm algorithm) {
    const tilefold_cpu_algorithm *record = tilefold_cpu_algorithms[row];
    if (record->math != s->math) return false;
    return (algorithm == TILEFOLD_ALGORITHM_AUTO || algorithm == record->id) && record->applies(s);
}

/* Where fast arithmetic is allowed and some algorithm has it for this problem, it is what all candidates have. */
static tilefold_math find_math(const shape *s, const tilefold_plan_options *options) {
    shape fast = *s;
    fast.math = TILEFOLD_MATH_FAST;
    if (options->math == TILEFOLD_MATH_EXACT) return TILEFOLD_MATH_EXACT;
    for (int row = 0; tilefold_cpu_algorithms[row]; row++)
        if (suits(&fast, row, options->algorithm)) return TILEFOLD_MATH_FAST;
    return TILEFOLD_MATH_EXACT;
}

/* ---------------------------------------------------------------------------------------------------- proposals ---- */

/* Walks every way to run a geometry, tile left open: the rows of the table, their variants, and for each the blocks. The search
 * under a limit, the least limit, the plan without one and tests by number all choose among these. */
typedef struct proposals {
    const shape *shape;
    tilefold_algorithm algorithm;
    int row, variant, block;
    tilefold_cpu_plan plan; /* the proposal in hand */
} proposals;

static proposals begin_proposals(const shape *s, tilefold_algorithm algorithm) {
    return (proposals){.shape = s, .algorithm = algorithm, .row = -1, .block = BLOCKS};
}

/* On to the next variant that there is a kernel for; false where there is none. */
static bool next_variant(proposals *at) {
    do {
        at->variant++;
        while (at->row < 0 || !begin_variant(at->shape, at->row, at->variant, &at->plan)) {
            do
                if (!tilefold_cpu_algorithms[++at->row]) return false;
            while (!suits(at->shape, at->row, at->algorithm));
            at->variant = 0;
        }
    } while (at->plan.mr == 0);
    return true;
}

/* Blocks that come out alike are one. */
static bool next_proposal(proposals *at) {
    for (;;) {
        if (++at->block >= BLOCKS) {
            if (!next_variant(at)) return false;
            at->block = 0;
        }
        tilefold_block_size block = block_candidate(at->shape, at->block), last = at->plan.block;
        if (block.taps == last.taps && block.channels == last.channels) continue;
        at->plan.block = block;
        at->plan.cut = is_cut(at->shape, &at->plan);
        if (at->plan.cut && at->shape->geometry->merged) continue; /* partial sums have no room for several classes */
        return true;
    }
}

/* Smaller blocks than the fifth that fits gain nothing. */
enum { BLOCKS_THAT_FIT = 5 };

/* Keeps in *best the cheapest way to run the geometry within the budget, if one is cheaper. */
static void choose(const shape *s, tilefold_algorithm algorithm, tilefold_cpu_plan *best) {
    int fitting = 0;
    for (proposals at = begin_proposals(s, algorithm); next_proposal(&at);) {
        if (at.block == 0) fitting = 0;
        fitting += consider_columns(s, &at.plan, best);
        if (fitting == BLOCKS_THAT_FIT) at.block = BLOCKS;
    }
}

/* The least budget of one thread that a proposal can be laid out in: one panel of each side. */
static int64_t least_of_proposal(const shape *s, tilefold_cpu_plan *p) {
    p->tiling.block_columns = p->tiling.column_granule = p->weight_width;
    p->tiling.positions = p->tiling.position_granule = p->operand_width;
    if (p->algorithm->whole_rows && s->part[2].count < p->operand_width)
        p->tiling.positions = p->tiling.position_granule = tilefold_max(1, s->part[2].count);
    return p->algorithm->lay_out(s, p) ? p->arena.bytes : INT64_MAX;
}

static int64_t least_of(const shape *s, tilefold_algorithm algorithm) {
    int64_t least = INT64_MAX;
    for (proposals at = begin_proposals(s, algorithm); next_proposal(&at);)
        least = tilefold_min(least, least_of_proposal(s, &at.plan));
    return least;
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

/* The plan's geometry, cut by phase, and where it can be also folded, and merged; returns how many. */
enum { CUTS = 3 };
static int get_cuts(const tilefold_plan *plan, tilefold_geometry cuts[CUTS]) {
    cuts[0] = cuts[1] = plan->geometry;
    if (!tilefold_geometry_can_fold(&plan->geometry)) return 1;
    tilefold_geometry_fold(&cuts[1]);
    cuts[2] = cuts[1];
    if (!tilefold_geometry_can_merge(&cuts[1])) return 2;
    tilefold_geometry_merge(&cuts[2]);
    return CUTS;
}

static shape make_shape(const tilefold_plan *plan, const tilefold_geometry *geometry, int64_t buffer, int64_t limit,
                        int32_t threads) {
    const tilefold_cpu_target *target = tilefold_cpu_get_target(plan->context);
    shape s = {.geometry = geometry,
               .target = target,
               .kernels = target->kernels,
               .budget = limit / threads / TILEFOLD_ARENA_ALIGNMENT * TILEFOLD_ARENA_ALIGNMENT,
               .buffer_bytes = buffer,
               .threads = threads,
               .prepack = plan->options.prepack_weights};
    s.math = find_math(&s, &plan->options);
    tilefold_cpu_find_dominant(&s);
    return s;
}

static void decide(const tilefold_plan *plan, int64_t limit, int32_t threads, struct tilefold_cpu_pick *pick,
                   decision *best) {
    tilefold_geometry cuts[CUTS];
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

/* The least of all candidates, with buffers of at most so many bytes; INT64_MAX where the algorithm has none. */
static int64_t least_budget(const tilefold_plan *plan, int64_t buffer) {
    tilefold_geometry cuts[CUTS];
    int ways = get_cuts(plan, cuts);
    int64_t least = INT64_MAX;
    for (int way = 0; way < ways; way++) {
        shape s = make_shape(plan, &cuts[way], buffer, INT64_MAX, 1);
        least = tilefold_min(least, least_of(&s, plan->options.algorithm));
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
    info->math = cpu->algorithm->math;
    memcpy(plan->unit, cpu->tiling.unit, sizeof plan->unit);
    if (cpu->algorithm->error_bound) info->error_bound = cpu->algorithm->error_bound(&plan->geometry);
    info->tiles = tilefold_tiles_total(&plan->geometry, &cpu->tiling);
    info->packed_weight_bytes = cpu->prepacked ? packed_bytes(&plan->geometry, cpu) : 0;
    return TILEFOLD_OK;
}

size_t tilefold_cpu_print(const tilefold_plan *plan, char *text, size_t bytes) {
    const tilefold_cpu_plan *cpu = plan->state;
    int written = snprintf(text, bytes,
                           "  algorithm    %s on the CPU, %s, %d threads; positions in %s, %s%s\n"
                           "  tile         %lld positions x %lld columns, kernel %dx%d, sums %s\n",
                           tilefold_algorithm_name(cpu->algorithm->id), tilefold_isa_name(cpu->kernels->isa),
                           (int)cpu->threads, cpu->positions_in_lanes ? "lanes" : "rows", cpu->algorithm->words,
                           plan->geometry.merged   ? ", phases folded into columns, all in one part"
                           : plan->geometry.folded ? ", phases folded into columns"
                                                   : "",
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

int tilefold_cpu_rows(void) {
    int rows = 0;
    while (tilefold_cpu_algorithms[rows]) rows++;
    return rows;
}

const char *tilefold_cpu_row_name(int row) { return tilefold_cpu_algorithms[row]->words; }

tilefold_math tilefold_cpu_row_math(int row) { return tilefold_cpu_algorithms[row]->math; }

int tilefold_cpu_plan_row(const tilefold_plan *plan) { return ((const tilefold_cpu_plan *)plan->state)->row; }

bool tilefold_cpu_plan_merged(const tilefold_plan *plan) { return plan->geometry.merged; }

double tilefold_cpu_plan_cost(const tilefold_plan *plan) { return ((const tilefold_cpu_plan *)plan->state)->cost; }
