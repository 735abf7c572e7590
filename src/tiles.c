/* SPDX-License-Identifier: MIT */
#include "tiles.h"

#include "checked.h"

int64_t tilefold_class_columns(const tilefold_tiling *tiling, const tilefold_axis_part *part) {
    return tiling->columns * part[0].class_folds * part[1].class_folds * part[2].class_folds;
}

static int64_t in_units(int64_t count, int64_t unit) { return unit > 1 ? tilefold_ceil_div(count, unit) : count; }

int64_t tilefold_positions(const tilefold_tiling *tiling, int64_t z, int64_t y, int64_t x) {
    return in_units(z, tiling->unit[0]) * in_units(y, tiling->unit[1]) * in_units(x, tiling->unit[2]);
}

static int64_t part_positions(const tilefold_tiling *tiling, const tilefold_axis_part part[TILEFOLD_AXES]) {
    return tilefold_positions(tiling, part[0].count, part[1].count, part[2].count);
}

/* Cuts `size` into as few pieces of at most `most` as will do, all but the last of equal size, a multiple of granule. */
static int64_t cut_evenly(int64_t size, int64_t most, int64_t granule, int64_t *each) {
    int64_t pieces = tilefold_ceil_div(size, most);
    *each = tilefold_round_up(tilefold_ceil_div(size, tilefold_max(pieces, 1)), granule);
    return pieces ? tilefold_ceil_div(size, *each) : 0;
}

/* Tiles of a part with these counts and class folds. */
static int64_t count_tiles(const tilefold_tiling *tiling, int64_t positions, int64_t columns) {
    int64_t each;
    if (positions == 0) return 0;
    return tilefold_saturating_multiply(cut_evenly(positions, tiling->positions, tiling->position_granule, &each),
                                        cut_evenly(columns, tiling->block_columns, tiling->column_granule, &each));
}

/* The folds of the class behind a folded kind are needed, not those of the part: folded axes have few parts, so they are
 * walked; axes cut by phase are counted by kind. */
static int axis_kinds(const tilefold_axis *axis, tilefold_axis_kind kinds[TILEFOLD_MAX_KINDS]) {
    if (!axis->folded) return tilefold_axis_get_kinds(axis, kinds);
    int used = 0;
    for (int64_t index = 0; index < tilefold_axis_parts(axis); index++) {
        tilefold_axis_part part = tilefold_axis_get_part(axis, index);
        if (part.count > 0) kinds[used++] = (tilefold_axis_kind){1, part.count, part.class_folds, part.taps};
    }
    return used;
}

int64_t tilefold_tiles_per_group(const tilefold_geometry *geometry, const tilefold_tiling *tiling) {
    tilefold_axis_kind kinds[TILEFOLD_AXES][TILEFOLD_MAX_KINDS];
    int used[TILEFOLD_AXES];
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) used[axis] = axis_kinds(&geometry->axis[axis], kinds[axis]);
    int64_t total = 0;
    for (int z = 0; z < used[0]; z++)
        for (int y = 0; y < used[1]; y++)
            for (int x = 0; x < used[2]; x++) {
                const tilefold_axis_kind *kz = &kinds[0][z], *ky = &kinds[1][y], *kx = &kinds[2][x];
                int64_t tiles = count_tiles(tiling, tilefold_positions(tiling, kz->count, ky->count, kx->count),
                                            tiling->columns * kz->folds * ky->folds * kx->folds);
                tiles = tilefold_saturating_multiply(tiles, kz->parts);
                tiles = tilefold_saturating_multiply(tiles, ky->parts);
                total = tilefold_saturating_add(total, tilefold_saturating_multiply(tiles, kx->parts));
            }
    return total;
}

int64_t tilefold_tiles_total(const tilefold_geometry *geometry, const tilefold_tiling *tiling) {
    int64_t groups = tilefold_saturating_multiply(geometry->batch, tiling->groups);
    return tilefold_saturating_multiply(groups, tilefold_tiles_per_group(geometry, tiling));
}

/* Works out the tiles of the part in hand. */
static void enter_part(tilefold_tile_walk *walk) {
    tilefold_tile *tile = &walk->tile;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        tile->part[axis] = tilefold_axis_get_part(&walk->geometry->axis[axis], walk->at[axis]);
    int64_t positions = part_positions(&walk->tiling, tile->part);
    walk->position_tiles = walk->column_tiles = 0;
    if (positions == 0) return;
    int64_t columns = tilefold_class_columns(&walk->tiling, tile->part);
    walk->position_tiles = cut_evenly(positions, walk->tiling.positions, walk->tiling.position_granule,
                                      &walk->positions_each);
    walk->column_tiles = cut_evenly(columns, walk->tiling.block_columns, walk->tiling.column_granule,
                                    &walk->columns_each);
}

static void enter_group(tilefold_tile_walk *walk, int64_t image_group) {
    walk->image_group = image_group;
    walk->first_tile = 0;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) walk->at[axis] = 0;
    enter_part(walk);
}

static void next_part(tilefold_tile_walk *walk) {
    walk->first_tile += walk->position_tiles * walk->column_tiles;
    for (int axis = TILEFOLD_AXES - 1; axis >= 0; axis--) {
        if (++walk->at[axis] < walk->parts[axis]) break;
        walk->at[axis] = 0;
    }
    enter_part(walk);
}

void tilefold_tile_walk_init(tilefold_tile_walk *walk, const tilefold_geometry *geometry,
                             const tilefold_tiling *tiling) {
    walk->geometry = geometry;
    walk->tiling = *tiling;
    walk->tiles_per_group = tilefold_tiles_per_group(geometry, tiling);
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) walk->parts[axis] = tilefold_axis_parts(&geometry->axis[axis]);
    enter_group(walk, 0);
}

const tilefold_tile *tilefold_tile_walk_to(tilefold_tile_walk *walk, int64_t number) {
    int64_t image_group = number / walk->tiles_per_group, within = number % walk->tiles_per_group;
    if (image_group != walk->image_group) enter_group(walk, image_group);
    while (within >= walk->first_tile + walk->position_tiles * walk->column_tiles) next_part(walk);

    tilefold_tile *tile = &walk->tile;
    int64_t positions = part_positions(&walk->tiling, tile->part);
    int64_t columns = tilefold_class_columns(&walk->tiling, tile->part);
    int64_t position_tile = (within - walk->first_tile) / walk->column_tiles;
    int64_t column_tile = (within - walk->first_tile) % walk->column_tiles;
    tile->image = image_group / walk->tiling.groups;
    tile->group = image_group % walk->tiling.groups;
    tile->position_begin = position_tile * walk->positions_each;
    tile->position_end = tilefold_min(positions, tile->position_begin + walk->positions_each);
    tile->column_begin = column_tile * walk->columns_each;
    tile->column_end = tilefold_min(columns, tile->column_begin + walk->columns_each);
    return tile;
}
