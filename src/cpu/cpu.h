/* The CPU device: what its files share.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every algorithm here is a product of two sides. The positions of a tile meet the columns of a class (its weights); one side
 * is broadcast, in up to mr rows, the other lies in nr lanes:
 *
 *     positions in rows    columns fill the lanes: outputs whose channels lie side by side are stored as they are, others are
 *                          turned in registers on their way out
 *     positions in lanes   for few columns
 *
 * The columns' side is packed into panels as wide as the micro-kernel's, [k][width] in the order of the chain (chain.h), so
 * that a kernel walks them straight ahead. The positions' side is unfolded into such panels, too (unfold.c); or copied once
 * for all taps (halo.c); or pointed at where it lies (rows.c).
 *
 *                      weight panels (width V)                    one panel
 *                      +-----+-----+--+                           k = 0   w w w w ... V of them
 *                      |     |     |  | K                             1   w w w w
 *                      +-----+-----+--+                               :
 *     positions  +---+ +-----+-----+--+
 *                |   | | mr x nr tile |
 *                +---+ +     |     |  |
 *                |   | |     |     |  |
 *                +---+ +-----+-----+--+
 *                  K       columns
 */
#ifndef TILEFOLD_CPU_H
#define TILEFOLD_CPU_H

#include "../chain.h"
#include "../device.h"
#include "../tiles.h"
#include "candidates.h"
#include "detect.h"
#include "kernels.h"
#include "pool.h"

typedef struct tilefold_cpu_context {
    tilefold_cpu_target target;
    tilefold_parallel_for parallel_for; /* never without run */
    tilefold_pool *pool;                /* the library's own, or NULL */
    struct tilefold_cpu_pick *pick;     /* of a candidate by number: NULL but for tests */
} tilefold_cpu_context;

/* One thread's share of the scratch, in bytes from its beginning. What an algorithm does not use takes no room.
 *
 *     | operand            | partial sums     | segments | weights   | stage    | init | zeros |
 *       positions x block    positions x        of one     one panel,  one tile   bias   what
 *       of K, or a copy      columns, where     kernel     where not   of sums           padding
 *       of a halo            sums are cut       call       prepacked                     reads
 */
typedef struct tilefold_cpu_arena {
    int64_t partial, segments, weight, stage, init, zeros, bytes;
    int64_t operand_bytes;  /* of one operand panel, or of the copy */
    int64_t partial_panels; /* kernel calls to a weight panel that there is room for the sums of */
    int64_t in_place_bytes; /* beside the arena: of the input, which a tile reads again for each weight panel */
} tilefold_cpu_arena;

typedef struct tilefold_cpu_algorithm tilefold_cpu_algorithm;

typedef struct tilefold_cpu_plan {
    const tilefold_cpu_kernels *kernels;
    const tilefold_cpu_algorithm *algorithm;
    tilefold_tiling tiling;
    bool positions_in_lanes;
    bool groups_are_columns; /* columns are the output channels of all groups */
    bool folds_innermost;    /* columns of a class run (fz, fy, o, fx) in place of (fz, fy, fx, o) */
    bool prepacked;
    bool cut;              /* some sum is cut into blocks */
    bool stepped;          /* kernels walk a list of steps in place of segments: their runs would be short */
    bool overlaps;         /* a last weight panel that is not full begins earlier instead, and repeats some columns */
    bool paired;           /* two rows of outputs at once */
    int32_t mr, nv, nr;    /* the largest tile used */
    int32_t operand_width; /* positions in one kernel call: mr or nr */
    int32_t weight_width;  /* V, columns in one kernel call: nr or mr */
    int32_t threads;
    int32_t row; /* of the table of algorithms */
    tilefold_block_size block;
    tilefold_cpu_arena arena;
    double cost; /* the planner's estimate, in cycles */
} tilefold_cpu_plan;

/* One execution, shared by its threads. */
typedef struct tilefold_cpu_work {
    const tilefold_cpu_plan *plan;
    const tilefold_geometry *geometry;
    const char *input;
    const char *weight;  /* where not prepacked */
    const float *packed; /* where prepacked: the panels */
    bool finite; /* every weight is known to be finite: a product with padding may be left out (design.md, section 8) */
    const char *bias; /* or NULL */
    char *output;
    int64_t element_bytes;
} tilefold_cpu_work;

/* Rounds a size within an arena. */
enum { TILEFOLD_ARENA_ALIGNMENT = 64 };

static inline int64_t tilefold_part_taps(const tilefold_tile *tile) {
    return tile->part[0].taps * tile->part[1].taps * tile->part[2].taps;
}

/* -------------------------------------------------------------------------------------------------- positions ---- */

/* Walks the positions of a part in row-major order. */
typedef struct tilefold_cursor {
    int64_t q[TILEFOLD_AXES];
} tilefold_cursor;

static inline tilefold_cursor tilefold_cursor_at(const tilefold_tile *tile, int64_t position) {
    int64_t row = position / tile->part[2].count;
    return (tilefold_cursor){{row / tile->part[1].count, row % tile->part[1].count, position % tile->part[2].count}};
}

/* The positions from the cursor on that lie in one row, at most `most`. */
static inline int64_t tilefold_cursor_run(const tilefold_cursor *cursor, const tilefold_tile *tile, int64_t most) {
    int64_t run = tile->part[2].count - cursor->q[2];
    return run < most ? run : most;
}

/* Past a run. */
static inline void tilefold_cursor_advance(tilefold_cursor *cursor, const tilefold_tile *tile, int64_t run) {
    cursor->q[2] += run;
    if (cursor->q[2] < tile->part[2].count) return;
    cursor->q[2] = 0;
    if (++cursor->q[1] < tile->part[1].count) return;
    cursor->q[1] = 0;
    cursor->q[0]++;
}

/* One tap of a part. */
typedef struct tilefold_tap {
    int64_t j[TILEFOLD_AXES];
} tilefold_tap;

static inline tilefold_tap tilefold_tap_at(const tilefold_axis_part *part, int64_t index) {
    int64_t row = index / part[2].taps;
    return (tilefold_tap){{row / part[1].taps, row % part[1].taps, index % part[2].taps}};
}

static inline void tilefold_tap_next(tilefold_tap *tap, const tilefold_axis_part *part) {
    if (++tap->j[2] < part[2].taps) return;
    tap->j[2] = 0;
    if (++tap->j[1] < part[1].taps) return;
    tap->j[1] = 0;
    tap->j[0]++;
}

/* ---------------------------------------------------------------------------------------------------- columns ---- */

typedef struct tilefold_column {
    int64_t channel, fold[TILEFOLD_AXES];
} tilefold_column;

/* A column of a class with so many folds along each axis. */
static inline tilefold_column tilefold_column_at(const tilefold_cpu_plan *plan, const int64_t folds[TILEFOLD_AXES],
                                                 int64_t index) {
    tilefold_column column;
    int64_t columns = plan->tiling.columns;
    if (plan->folds_innermost) {
        column.fold[2] = index % folds[2], index /= folds[2];
        column.channel = index % columns, index /= columns;
    } else {
        column.channel = index % columns, index /= columns;
        column.fold[2] = index % folds[2], index /= folds[2];
    }
    column.fold[1] = index % folds[1];
    column.fold[0] = index / folds[1];
    return column;
}

static inline void tilefold_column_next(const tilefold_cpu_plan *plan, const int64_t folds[TILEFOLD_AXES],
                                        tilefold_column *column) {
    int64_t *inner = plan->folds_innermost ? &column->fold[2] : &column->channel;
    int64_t *outer = plan->folds_innermost ? &column->channel : &column->fold[2];
    if (++*inner < (plan->folds_innermost ? folds[2] : plan->tiling.columns)) return;
    *inner = 0;
    if (++*outer < (plan->folds_innermost ? plan->tiling.columns : folds[2])) return;
    *outer = 0;
    if (++column->fold[1] < folds[1]) return;
    column->fold[1] = 0;
    column->fold[0]++;
}

/* ------------------------------------------------------------------------------------------------------ files ---- */

/* weights.c: packed weights: a header, the first float of which is 1 where every weight is finite and 0 where not; then
 * [group][class][panel][k][width]. Saturating. */
enum { TILEFOLD_PACKED_HEADER = 16 };
int64_t tilefold_cpu_packed_floats(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan);
void tilefold_cpu_pack_weight(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight,
                              float *packed);
/* Where the class of the tile begins within the packed weights. */
int64_t tilefold_cpu_class_offset(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan,
                                  const tilefold_tile *tile);
/* Packs a block of one panel, [k][width], columns from column_begin on. */
void tilefold_cpu_pack_panel(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight,
                             int64_t group, const tilefold_axis_class classes[TILEFOLD_AXES], int64_t column_begin,
                             const tilefold_block *block, float *out);
/* The width of the panel that begins at a column: V, or less for the last. */
int64_t tilefold_cpu_panel_width(const tilefold_cpu_plan *plan, int64_t columns, int64_t column_begin);
/* Where that panel really begins: earlier, if the plan overlaps and its width would pass the columns. */
int64_t tilefold_cpu_panel_column(const tilefold_cpu_plan *plan, int64_t columns, int64_t column_begin);

/* store.c: runs of columns of a panel whose outputs are evenly spaced. */
typedef struct tilefold_column_run {
    int64_t first, count;   /* columns of the panel */
    int64_t offset, stride; /* elements, from position (0, 0, 0) of the part */
} tilefold_column_run;

/* The wanted columns in [begin, end) as runs; returns how many runs there are, at most end - begin. */
int tilefold_cpu_column_runs(const tilefold_cpu_work *work, const tilefold_tile *tile, int64_t begin, int64_t end,
                             tilefold_column_run *runs);
/* Where the kernel may write a tile of fp32 outputs itself, `columns` of them by `count` positions: NULL if it may not. */
float *tilefold_cpu_direct_output(const tilefold_cpu_work *work, const tilefold_tile *tile,
                                  const tilefold_cursor *start, int64_t count, int64_t columns,
                                  const tilefold_column_run *runs, int run_count, ptrdiff_t *out_stride);
/* Writes a finished tile, staged with stage_stride floats to a row, to the output. */
void tilefold_cpu_store_tile(const tilefold_cpu_work *work, const tilefold_tile *tile, const tilefold_cursor *start,
                             int64_t count, const tilefold_column_run *runs, int run_count, const float *stage,
                             int64_t stage_stride);
/* The bias of `count` columns of the tile from `column` on, or zeros. */
void tilefold_cpu_load_bias(const tilefold_cpu_work *work, const tilefold_tile *tile, int64_t column, int64_t count,
                            float *out);

/* planner.c */
tilefold_status tilefold_cpu_plan_problem(tilefold_plan *plan, tilefold_message *message);
size_t tilefold_cpu_print(const tilefold_plan *plan, char *text, size_t bytes);

#endif /* TILEFOLD_CPU_H */
