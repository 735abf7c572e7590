/* The walk over the tiles of a problem: windows of output positions that are computed one at a time.
 *
 * SPDX-License-Identifier: MIT
 *
 * A part (geometry.h: one ordinary convolution) has positions, its q of all axes in row-major order, and columns, its
 * folds and output channels (fz, fy, fx, o) in row-major order. A tile is a run of consecutive positions by a block of
 * columns of one image, one group and one part:
 *
 *                  columns of the class
 *              0        128       256
 *     position +---------+---------+      the tiles of one part, numbered along the columns first, so that neighbours in
 *            0 | tile 0  | tile 1  |      time read the same input; then the next part, group and image
 *           96 | tile 2  | tile 3  |
 *          192 | tile 4  | tile 5  |      the last tiles are made as large as the others, not left short
 *              +---------+---------+
 */
#ifndef TILEFOLD_TILES_H
#define TILEFOLD_TILES_H

#include "geometry.h"

/* How a problem is cut. */
typedef struct tilefold_tiling {
    int64_t
        unit[TILEFOLD_AXES]; /* outputs to a position along each axis, the last position having fewer; 0 stands for 1 */
    int64_t groups;          /* the geometry's, or 1 where an algorithm takes all groups as columns */
    int64_t columns;         /* of one fold: output channels per group, or all channels */
    int64_t positions;       /* at most so many in a tile */
    int64_t position_granule; /* tiles begin at multiples of it; divides `positions` */
    int64_t block_columns;    /* at most so many columns in a tile */
    int64_t column_granule;   /* column blocks begin at multiples of it; divides block_columns */
} tilefold_tiling;

typedef struct tilefold_tile {
    int64_t image, group;
    tilefold_axis_part part[TILEFOLD_AXES];
    int64_t position_begin, position_end;
    int64_t column_begin, column_end; /* of the class; in a head or a tail some of them are not wanted */
} tilefold_tile;

/* Finds tiles by number, in ascending order. Plain data, one per thread. */
typedef struct tilefold_tile_walk {
    const tilefold_geometry *geometry;
    tilefold_tiling tiling;
    int64_t tiles_per_group;
    int64_t parts[TILEFOLD_AXES];
    /* the part in hand, and the number of its first tile within its group */
    int64_t at[TILEFOLD_AXES];
    int64_t image_group, first_tile;
    int64_t position_tiles, column_tiles, positions_each, columns_each;
    tilefold_tile tile;
} tilefold_tile_walk;

/* Positions of a part with so many outputs along its axes. */
int64_t tilefold_positions(const tilefold_tiling *tiling, int64_t z, int64_t y, int64_t x);

/* Tiles of one group of one image, and of everything. Saturating. */
int64_t tilefold_tiles_per_group(const tilefold_geometry *geometry, const tilefold_tiling *tiling);
int64_t tilefold_tiles_total(const tilefold_geometry *geometry, const tilefold_tiling *tiling);

void tilefold_tile_walk_init(tilefold_tile_walk *walk, const tilefold_geometry *geometry,
                             const tilefold_tiling *tiling);

/* Tile `number` of tilefold_tiles_total(); numbers must not descend. */
const tilefold_tile *tilefold_tile_walk_to(tilefold_tile_walk *walk, int64_t number);

/* Columns of the class that a part, given by its three axes, belongs to; for one group. */
int64_t tilefold_class_columns(const tilefold_tiling *tiling, const tilefold_axis_part *part);

#endif /* TILEFOLD_TILES_H */
