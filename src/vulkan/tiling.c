/* Choosing an algorithm and the steps it takes under a scratch limit.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "vulkan.h"

/* An unfolded tile larger than this gains nothing: it is read back from memory, not from a cache. */
#define TILE_BYTES (INT64_C(8) << 20)

/* An invocation runs through so much of a sum in one step at most; longer sums are cut, and their partial sums wait in memory.
 * Mesa's software device ends an invocation's loops, in silence, after 65 535 iterations in all, and no shader takes more than
 * 13/4 for each k (product.comp: 3 loops of 16 + 1, and 1 around them, for 16 k). A step is short for one invocation too, then:
 * 16384 times the 64 multiply-adds of product.comp at most. */
#define STEP_DEPTH 16384

enum {
    MAX_JOBS = 64, /* in one submission */
    MIN_JOBS = 8,
    MIN_STAGING_BYTES = 16384,
    MAX_STAGING_BYTES = 4 << 20,
    MIN_BLOCK = 16,   /* of the sum */
    CUT_COLUMNS = 64, /* of a step, where its sum is cut and waits in the scratch */
    FEW_COLUMNS = 4   /* up to here there is nothing to share between columns */
};

static void widen(tilefold_axis_kind *most, int64_t count, int64_t folds, int64_t taps) {
    most->count = tilefold_max(most->count, count);
    most->folds = tilefold_max(most->folds, folds);
    most->taps = tilefold_max(most->taps, taps);
}

/* What the parts of an axis have at most; counting those that smaller problems have, or only those that are there. */
static tilefold_axis_kind most_of_axis(const tilefold_axis *axis, bool smaller_too) {
    tilefold_axis_kind kinds[TILEFOLD_MAX_KINDS], most = {0, 1, 1, 1};
    int used = tilefold_axis_get_kinds(axis, kinds);
    for (int i = 0; i < used; i++) {
        most.parts += kinds[i].parts;
        widen(&most, kinds[i].count, kinds[i].folds, kinds[i].taps);
    }
    for (int64_t index = 0; smaller_too && axis->folded && index < tilefold_axis_parts(axis); index++) {
        tilefold_axis_part part = tilefold_axis_get_largest_part(axis, index);
        widen(&most, part.count, part.folds, part.taps);
    }
    return most;
}

tilefold_vulkan_shape tilefold_vulkan_get_shape(const tilefold_geometry *g, const tilefold_vulkan_traits *traits,
                                                bool smaller_too) {
    tilefold_vulkan_shape s = {.geometry = g,
                               .traits = traits,
                               .positions = tilefold_max(1, g->batch),
                               .columns = g->out_channels,
                               .depth = g->in_channels,
                               .parts = 1,
                               .element_bytes = (int64_t)tilefold_type_bytes(g->type)};
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        tilefold_axis_kind most = most_of_axis(&g->axis[at], smaller_too);
        s.parts = tilefold_saturating_multiply(s.parts, most.parts);
        s.positions = tilefold_saturating_multiply(s.positions, most.count);
        s.columns = tilefold_saturating_multiply(s.columns, most.folds);
        s.depth = tilefold_saturating_multiply(s.depth, most.taps);
        s.row = most.count;
    }
    return s;
}

static int64_t round_down(int64_t value, int64_t granule) { return value / granule * granule; }

/* As many of something as keep a step short, given the multiply-adds of one. */
static int64_t bounded(const tilefold_vulkan_shape *s, int64_t most, int64_t macs_of_one) {
    return tilefold_max(1, tilefold_min(most, s->traits->step_macs / tilefold_max(1, macs_of_one)));
}

/* As few tiles of at most so many positions as there must be, alike: the last would be a small rest else. */
static int64_t balance(int64_t positions, int64_t most, int64_t granule) {
    int64_t tiles = tilefold_ceil_div(positions, most);
    return tilefold_min(most, tilefold_round_up(tilefold_ceil_div(positions, tiles), granule));
}

/* --------------------------------------------------------------------------------------------------- algorithms ---- */

tilefold_algorithm tilefold_vulkan_choose_algorithm(const tilefold_vulkan_shape *s, tilefold_algorithm wanted) {
    if (wanted != TILEFOLD_ALGORITHM_AUTO) return wanted;
    if (s->storage != TILEFOLD_STORAGE_BUFFER) return TILEFOLD_ALGORITHM_UNFOLD; /* who names one wants it */
    bool direct = s->columns <= FEW_COLUMNS && s->traits->lanes == 0;
    return direct ? TILEFOLD_ALGORITHM_DIRECT : TILEFOLD_ALGORITHM_IMPLICIT;
}

/* Columns of a workgroup are eight times these. Two widths: each is a shader more to compile. */
static int32_t product_width(int64_t columns) { return columns <= 2 * TILEFOLD_WORKGROUP_SIDE ? 2 : 8; }

/* Columns and rows of positions of a product by subgroups: all the columns where they are few, and as many sums as the first
 * cache holds without a compiler taking long over them. */
static void choose_broadcast(const tilefold_vulkan_shape *s, tilefold_vulkan_plan *p) {
    static const struct { int32_t columns, rows; } choices[] = {{1, 8}, {4, 8}, {8, 8}, {16, 8}, {32, 4}};
    int choice = 0, last = sizeof choices / sizeof choices[0] - 1;
    while (choice < last && choices[choice].columns < s->columns) choice++;
    p->constants.columns = choices[choice].columns;
    p->constants.rows = choices[choice].rows;
    p->constants.lanes = (int32_t)s->traits->lanes;
    p->workgroup = (tilefold_vulkan_workgroup){p->constants.rows * p->constants.lanes, p->constants.columns};
}

static void choose_constants(const tilefold_vulkan_shape *s, tilefold_vulkan_plan *p) {
    const tilefold_geometry *g = s->geometry;
    bool direct = p->algorithm == TILEFOLD_ALGORITHM_DIRECT;
    p->columns_first = g->out_channel == 1 && g->out_channels > 1;
    if (direct && g->out_channels == 1) p->columns_first = g->out_group == 1 && g->groups > 1;
    p->constants = (tilefold_vulkan_constants){.type = g->type};
    /* Textures are for devices with texture units: there is no product by subgroups of them. */
    if (!direct && s->traits->lanes > 0 && s->storage == TILEFOLD_STORAGE_BUFFER) {
        choose_broadcast(s, p);
        return;
    }
    p->constants.columns = direct ? (s->columns > 1 ? FEW_COLUMNS : 1) : product_width(s->columns);
    p->workgroup = (tilefold_vulkan_workgroup){TILEFOLD_WORKGROUP, TILEFOLD_WORKGROUP_SIDE * p->constants.columns};
}

static bool partial_in_scratch(const tilefold_vulkan_shape *s) { return s->geometry->type != TILEFOLD_F32; }

static int64_t step_depth(const tilefold_vulkan_shape *s) {
    return tilefold_min(tilefold_max(1, s->depth), STEP_DEPTH);
}

static void set_block(const tilefold_vulkan_shape *s, int64_t block_k, tilefold_vulkan_plan *p) {
    p->tiling.block_k = block_k;
    p->cut = block_k < s->depth;
}

/* Of the partial sums of a step that wait in the scratch, as shaders/partial.glsl draws them. */
static int64_t partial_bytes(const tilefold_vulkan_shape *s, const tilefold_vulkan_plan *p) {
    const tilefold_vulkan_tiling *t = &p->tiling;
    if (!p->cut || !partial_in_scratch(s)) return 0;
    int64_t columns = p->algorithm == TILEFOLD_ALGORITHM_DIRECT ? p->constants.columns : t->columns;
    int64_t bytes = tilefold_saturating_multiply(tilefold_round_up(t->positions, 2) * 4, columns);
    return tilefold_saturating_multiply(bytes, t->groups);
}

/* The least tile, of those whose partial sums are all their scratch: of 64 positions and columns, or what there is or the largest
 * buffer holds of them. */
static tilefold_vulkan_tiling least_tile(const tilefold_vulkan_shape *s, const tilefold_vulkan_plan *plan) {
    tilefold_vulkan_plan p = *plan;
    bool direct = p.algorithm == TILEFOLD_ALGORITHM_DIRECT;
    p.tiling = (tilefold_vulkan_tiling){.positions = tilefold_min(s->positions, TILEFOLD_WORKGROUP),
                                        .columns = direct ? 1 : tilefold_min(s->columns, CUT_COLUMNS),
                                        .groups = 1};
    set_block(s, step_depth(s), &p);
    while (partial_bytes(s, &p) > s->traits->max_binding_bytes && p.tiling.positions * p.tiling.columns > 1) {
        int64_t *longer = p.tiling.columns > p.tiling.positions ? &p.tiling.columns : &p.tiling.positions;
        *longer = tilefold_ceil_div(*longer, 2);
    }
    return p.tiling;
}

/* Halves what of the tile is the largest multiple of the least tile's; false where nothing is left to halve. */
static bool halve_tile(const tilefold_vulkan_tiling *least, tilefold_vulkan_tiling *t) {
    int64_t *const sizes[] = {&t->positions, &t->groups, &t->columns};
    const int64_t floors[] = {least->positions, least->groups, least->columns};
    int most = 0;
    for (int i = 1; i < 3; i++)
        if (*sizes[i] / floors[i] > *sizes[most] / floors[most]) most = i;
    if (*sizes[most] <= floors[most]) return false;
    *sizes[most] = tilefold_round_up(tilefold_ceil_div(*sizes[most], 2), floors[most]);
    return true;
}

/* Shrinks the tile until its partial sums fit; false where they never do. */
static bool fit_partial(const tilefold_vulkan_shape *s, int64_t budget, tilefold_vulkan_plan *p) {
    const tilefold_vulkan_tiling least = least_tile(s, p);
    int64_t room = tilefold_min(TILE_BYTES, tilefold_min(budget, s->traits->max_binding_bytes));
    while ((p->scratch.partial_bytes = partial_bytes(s, p)) > room)
        if (!halve_tile(&least, &p->tiling)) return false;
    return true;
}

static bool tile_implicit(const tilefold_vulkan_shape *s, int64_t budget, tilefold_vulkan_plan *p) {
    const int64_t *groups = s->traits->max_groups;
    int64_t each = p->workgroup.positions, most = tilefold_min(groups[0], tilefold_ceil_div(s->positions, each));
    int64_t position_macs = tilefold_saturating_multiply(step_depth(s), s->columns);
    p->tiling.positions = bounded(s, most, tilefold_saturating_multiply(position_macs, each)) * each;
    p->tiling.positions = balance(s->positions, p->tiling.positions, each);
    p->tiling.columns = tilefold_min(s->columns, groups[1] * p->workgroup.columns);
    p->tiling.groups = bounded(s, tilefold_min(s->geometry->groups, groups[1]),
                               tilefold_saturating_multiply(position_macs, p->tiling.positions));
    set_block(s, step_depth(s), p);
    return fit_partial(s, budget, p);
}

/* Invocations along the first dimension of a direct step are all its positions and units, those of a position side by side, or
 * its positions alone: as its outputs lie. Their numbers are 32-bit. */
#define MAX_INVOCATIONS (INT64_C(1) << 30)

static bool tile_direct(const tilefold_vulkan_shape *s, int64_t budget, tilefold_vulkan_plan *p) {
    const int64_t *groups = s->traits->max_groups;
    int64_t units = tilefold_saturating_multiply(s->geometry->groups,
                                                 tilefold_ceil_div(s->columns, p->constants.columns));
    int64_t first = tilefold_min(groups[0] * TILEFOLD_WORKGROUP, MAX_INVOCATIONS), second = groups[1];
    int64_t unit_macs = tilefold_saturating_multiply(step_depth(s), p->constants.columns);
    p->tiling.columns = 1;
    p->tiling.groups = tilefold_min(units, p->columns_first ? first : second);
    int64_t most = p->columns_first ? first / p->tiling.groups : first;
    p->tiling.positions = bounded(s, tilefold_min(s->positions, most),
                                  tilefold_saturating_multiply(unit_macs, p->tiling.groups));
    set_block(s, step_depth(s), p);
    return fit_partial(s, budget, p);
}

enum {
    TEXEL_ELEMENTS = 4, /* consecutive k of a position */
    TEXEL_BLOCK = 4     /* drivers lay texels out in blocks of 4 x 4 or more, padded to whole ones */
};

/* Positions along x of a three-dimensional image: a row of the output; several where they are shorter than a block. */
static int64_t texel_row(const tilefold_vulkan_shape *s) {
    int64_t row = tilefold_max(1, s->row);
    if (row < TEXEL_BLOCK) row = tilefold_round_up(TEXEL_BLOCK, row);
    return tilefold_min(row, s->traits->max_image_3d);
}

/* What an unfolded tile can be at most, by the device's limits: of dispatches, and of images. */
static tilefold_vulkan_extent most_of_tile(const tilefold_vulkan_shape *s) {
    const int64_t *groups = s->traits->max_groups, in_2d = s->traits->max_image_2d, in_3d = s->traits->max_image_3d;
    tilefold_vulkan_extent most = {groups[0] * TILEFOLD_WORKGROUP, s->columns, groups[1],
                                   tilefold_min(groups[1], STEP_DEPTH)};
    if (s->storage == TILEFOLD_STORAGE_BUFFER) return most;
    bool flat = s->storage == TILEFOLD_STORAGE_TEXTURE2D;
    int64_t positions = flat ? in_2d : texel_row(s) * in_3d;
    most.positions = tilefold_min(most.positions, round_down(positions, TILEFOLD_WORKGROUP));
    most.depth = tilefold_min(tilefold_min(groups[1], flat ? in_2d : in_3d) * TEXEL_ELEMENTS, STEP_DEPTH);
    return most;
}

/* As shaders/unfolded.glsl draws it. Of a tile of few rows, pieces of them lie below each other. */
static tilefold_vulkan_image_size texels_of_tile(const tilefold_vulkan_shape *s, const tilefold_vulkan_tiling *t) {
    int64_t deep = tilefold_ceil_div(t->block_k, TEXEL_ELEMENTS);
    if (s->storage == TILEFOLD_STORAGE_TEXTURE2D)
        return (tilefold_vulkan_image_size){s->storage, s->geometry->type, deep, t->positions * t->groups, 1};
    int64_t width = tilefold_min(texel_row(s), t->positions / TEXEL_BLOCK);
    int64_t height = tilefold_ceil_div(t->positions, width);
    return (tilefold_vulkan_image_size){s->storage, s->geometry->type, width, height, deep * t->groups};
}

/* Groups of such tiles in one image: they lie below or behind each other. */
static int64_t most_groups_of_tile(const tilefold_vulkan_shape *s, const tilefold_vulkan_tiling *t) {
    int64_t most = tilefold_min(s->geometry->groups, s->traits->max_groups[1]);
    if (s->storage == TILEFOLD_STORAGE_BUFFER) return most;
    int64_t room = s->storage == TILEFOLD_STORAGE_TEXTURE2D
                       ? s->traits->max_image_2d / t->positions
                       : s->traits->max_image_3d / tilefold_ceil_div(t->block_k, TEXEL_ELEMENTS);
    return tilefold_min(most, room);
}

/* The image of the tile and its bytes; more than there are where the driver fails to say. */
static void lay_out_image(const tilefold_vulkan_shape *s, tilefold_vulkan_plan *p) {
    p->scratch.image_size = texels_of_tile(s, &p->tiling);
    VkResult result = tilefold_vulkan_ask_image(s->context, &p->scratch.image_size, &p->scratch.image_bytes);
    if (result == VK_SUCCESS) return;
    p->scratch.image_bytes = INT64_MAX / 4;
    *s->asked = result;
}

static int64_t tile_bytes(const tilefold_vulkan_plan *p) {
    int64_t bytes = tilefold_saturating_add(p->scratch.unfolded_bytes, p->scratch.partial_bytes);
    return tilefold_saturating_add(bytes, p->scratch.image_bytes);
}

/* Sizes of the scratch for the tiling; false where it passes the budget, or its buffer or image the largest there may be. */
static bool lay_out_unfold(const tilefold_vulkan_shape *s, int64_t budget, tilefold_vulkan_plan *p) {
    const tilefold_vulkan_tiling *t = &p->tiling;
    int64_t row = t->positions * s->element_bytes, something_to_bind = 16;
    set_block(s, t->block_k, p);
    p->scratch.unfolded_bytes = something_to_bind;
    if (s->storage == TILEFOLD_STORAGE_BUFFER) {
        int64_t rows = tilefold_saturating_multiply(t->block_k, t->groups);
        p->scratch.unfolded_bytes = tilefold_max(something_to_bind, tilefold_saturating_multiply(row, rows));
    } else {
        lay_out_image(s, p);
    }
    p->scratch.partial_bytes = partial_bytes(s, p);
    int64_t most = s->traits->max_binding_bytes, buffer_bytes = tile_bytes(p) - p->scratch.image_bytes;
    return tile_bytes(p) <= budget && buffer_bytes <= most && p->scratch.image_bytes <= most;
}

/* Fewer positions that might fit, at least 64. */
static int64_t fewer_positions(const tilefold_vulkan_shape *s, const tilefold_vulkan_plan *p, int64_t budget) {
    int64_t room = tilefold_min(budget, s->traits->max_binding_bytes);
    int64_t share = round_down(p->tiling.positions * room / tile_bytes(p), TILEFOLD_WORKGROUP);
    return tilefold_max(TILEFOLD_WORKGROUP, tilefold_min(share, p->tiling.positions - TILEFOLD_WORKGROUP));
}

/* As much of the sum as fits, for 64 positions. */
static bool cut_sum(const tilefold_vulkan_shape *s, int64_t budget, int64_t depth, tilefold_vulkan_plan *p) {
    int64_t room = tilefold_min(budget, s->traits->max_binding_bytes), *block = &p->tiling.block_k;
    if (partial_in_scratch(s)) {
        int64_t row = TILEFOLD_WORKGROUP * 4, half = s->traits->max_binding_bytes / 2;
        int64_t columns = tilefold_max(1, tilefold_min(CUT_COLUMNS, half / row));
        p->tiling.columns = tilefold_min(p->tiling.columns, columns);
        room -= p->tiling.columns * row;
    }
    *block = tilefold_min(depth, room / (TILEFOLD_WORKGROUP * s->element_bytes));
    for (; *block >= 1; *block = *block * 3 / 4) { /* what pads an image may be anything */
        if (*block > MIN_BLOCK) *block = round_down(*block, MIN_BLOCK);
        if (lay_out_unfold(s, budget, p)) return true;
    }
    return false;
}

/* The least tile: a block of the sum, as large as the largest buffer if that is small, or all of it where that is less than a
 * block and the partial sums. INT64_MAX where no buffer is large enough. */
static int64_t least_unfold(const tilefold_vulkan_shape *s, tilefold_vulkan_plan *p) {
    const int64_t unlimited = INT64_MAX, whole = tilefold_min(tilefold_max(1, s->depth), most_of_tile(s).depth);
    p->tiling = (tilefold_vulkan_tiling){TILEFOLD_WORKGROUP, tilefold_min(s->columns, CUT_COLUMNS), 1, whole};
    int64_t least = lay_out_unfold(s, unlimited, p) ? tile_bytes(p) : unlimited;
    return cut_sum(s, unlimited, tilefold_min(MIN_BLOCK, whole), p) ? tilefold_min(least, tile_bytes(p)) : least;
}

/* The whole sum for as many positions as fit; else for 64 positions as much of the sum as fits. */
static bool tile_unfold(const tilefold_vulkan_shape *s, int64_t budget, tilefold_vulkan_plan *p) {
    const tilefold_vulkan_extent most = most_of_tile(s);
    int64_t depth = tilefold_min(tilefold_max(1, s->depth), most.depth);
    int64_t columns = tilefold_min(s->columns, s->traits->max_groups[1] * p->workgroup.columns);
    int64_t dispatched = s->traits->max_groups[0] * tilefold_min(TILEFOLD_WORKGROUP, p->workgroup.positions);
    int64_t all = tilefold_min(tilefold_min(most.positions, dispatched),
                               tilefold_round_up(s->positions, TILEFOLD_WORKGROUP));
    int64_t wanted = round_down(TILE_BYTES / s->element_bytes / depth, TILEFOLD_WORKGROUP);
    wanted = tilefold_min(wanted, s->traits->step_macs / tilefold_saturating_multiply(depth, columns) / 64 * 64);
    wanted = tilefold_max(TILEFOLD_WORKGROUP, tilefold_min(all, wanted));
    if (depth < s->depth && partial_in_scratch(s)) columns = tilefold_min(columns, CUT_COLUMNS);
    p->tiling = (tilefold_vulkan_tiling){wanted, columns, 1, depth};
    bool fits = lay_out_unfold(s, budget, p);
    while (!fits && p->tiling.positions > TILEFOLD_WORKGROUP) {
        p->tiling.positions = fewer_positions(s, p, budget);
        fits = lay_out_unfold(s, budget, p);
    }
    if (!fits) return cut_sum(s, budget, depth, p);
    if (p->tiling.positions < all) {
        int64_t most_that_fit = p->tiling.positions;
        p->tiling.positions = balance(s->positions, most_that_fit, TILEFOLD_WORKGROUP);
        if (lay_out_unfold(s, budget, p)) return true;
        p->tiling.positions = most_that_fit; /* an image of fewer rows may be padded more */
        return lay_out_unfold(s, budget, p);
    }
    if (p->cut) return true;
    int64_t room = tilefold_min(budget, tilefold_min(s->traits->max_binding_bytes, TILE_BYTES));
    p->tiling.groups = tilefold_max(1, tilefold_min(room / tile_bytes(p), most_groups_of_tile(s, &p->tiling)));
    while (!lay_out_unfold(s, budget, p) && p->tiling.groups > 1) p->tiling.groups--;
    return true;
}

/* ------------------------------------------------------------------------------------------------------ scratch ---- */

int64_t tilefold_vulkan_scratch_bytes(const tilefold_vulkan_scratch *s) {
    return s->jobs * TILEFOLD_JOB_BYTES + s->staging_bytes + s->unfolded_bytes + s->partial_bytes + s->image_bytes;
}

static int64_t staging_bytes(const tilefold_vulkan_shape *s, const tilefold_vulkan_plan *p, int64_t budget) {
    if (s->traits->host_tensors || p->chunking.in_place) return 0;
    int64_t largest = 0;
    for (int i = 0; i < TILEFOLD_TENSORS; i++) largest = tilefold_max(largest, p->sizes.bytes[i]);
    int64_t bytes = tilefold_min(round_down(budget / 4, 4096), tilefold_min(MAX_STAGING_BYTES, largest));
    bytes = tilefold_round_up(tilefold_max(MIN_STAGING_BYTES, bytes), 16);
    return tilefold_min(bytes, s->traits->max_binding_bytes); /* a multiple of 16 too */
}

/* Slots for constants: what is recorded for good keeps those of all its parts; else a submission uses some at a time. */
static int64_t job_slots(const tilefold_vulkan_shape *s, const tilefold_vulkan_plan *p, int64_t most) {
    int64_t in_a_buffer = tilefold_max(1, s->traits->max_binding_bytes / TILEFOLD_JOB_BYTES);
    if (!p->chunking.in_place) return tilefold_min(s->parts, tilefold_min(most, in_a_buffer));
    int64_t parts = tilefold_vulkan_chunk_count(s->geometry, &p->chunking);
    for (int at = 0; at < TILEFOLD_AXES; at++)
        parts = tilefold_saturating_multiply(parts, tilefold_axis_parts(&s->geometry->axis[at]));
    return tilefold_min(parts, INT64_MAX / TILEFOLD_JOB_BYTES / 2);
}

bool tilefold_vulkan_decide(const tilefold_vulkan_shape *s, int64_t budget, tilefold_vulkan_plan *p) {
    p->scratch = (tilefold_vulkan_scratch){.jobs = job_slots(s, p, budget < 1 << 20 ? MIN_JOBS : MAX_JOBS)};
    p->scratch.staging_bytes = staging_bytes(s, p, budget);
    choose_constants(s, p);
    int64_t left = budget - tilefold_vulkan_scratch_bytes(&p->scratch);
    if (left < 0 || p->scratch.jobs * TILEFOLD_JOB_BYTES > s->traits->max_binding_bytes) return false;
    if (p->algorithm == TILEFOLD_ALGORITHM_UNFOLD) return tile_unfold(s, left, p);
    return p->algorithm == TILEFOLD_ALGORITHM_DIRECT ? tile_direct(s, left, p) : tile_implicit(s, left, p);
}

int64_t tilefold_vulkan_least_scratch(const tilefold_vulkan_shape *s, const tilefold_vulkan_plan *plan) {
    tilefold_vulkan_plan p = *plan;
    p.scratch = (tilefold_vulkan_scratch){.jobs = job_slots(s, &p, MIN_JOBS), .staging_bytes = staging_bytes(s, &p, 0)};
    choose_constants(s, &p);
    int64_t bytes = tilefold_vulkan_scratch_bytes(&p.scratch);
    if (p.algorithm == TILEFOLD_ALGORITHM_UNFOLD) return tilefold_saturating_add(bytes, least_unfold(s, &p));
    p.tiling = least_tile(s, &p);
    set_block(s, step_depth(s), &p);
    return bytes + partial_bytes(s, &p);
}
