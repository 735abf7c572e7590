/* The CPU device: what its files share.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every algorithm here is a product of two sides. The positions of a tile (the unfolded input, K deep, K = taps * channels)
 * meet the columns of a class (its weights, K deep); one side is broadcast, in up to mr rows, the other lies in nr lanes:
 *
 *     positions in rows    for outputs whose channels are contiguous (channels-last)
 *     positions in lanes   for outputs whose pixels are contiguous (channels-first), and for few columns
 *
 * Both sides are cut into panels as wide as the micro-kernel's side. A panel is laid out [k][width], so that a kernel walks
 * both panels straight ahead:
 *
 *                      weight panels (width V)                    one panel
 *                      +-----+-----+--+                           k = 0   w w w w ... V of them
 *                      |     |     |  | K                             1   w w w w
 *                      +-----+-----+--+                               :
 *     operand   +----+ +-----+-----+--+
 *     panels    |    | | mr x nr tile |
 *     (width U) +----+ +     |     |  |
 *               |    | |     |     |  |
 *               +----+ +-----+-----+--+
 *                  K       columns
 */
#ifndef TILEFOLD_CPU_H
#define TILEFOLD_CPU_H

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

/* How the positions' side of the product is presented to the kernel. */
typedef enum tilefold_operand {
    TILEFOLD_OPERAND_VALUES, /* unfolded into panels [k][width] */
    TILEFOLD_OPERAND_ROWS,   /* positions in rows: pointers [tap][row] at channels in place */
    TILEFOLD_OPERAND_LANES,  /* positions in lanes: pointers [k] at lanes in place, or at unfolded rows of them */
} tilefold_operand;

/* One thread's share of the scratch, in bytes from its beginning:
 *
 *     | operand panels | partial sums | weight panel | stage | init | zeros |
 *       positions x      positions x     where not     one     bias   what
 *       block of K       columns, where  prepacked     tile    tile   padding
 *                        K is cut                                     reads
 */
typedef struct tilefold_cpu_arena {
    int64_t partial, weight, stage, init, zeros, bytes;
    int64_t operand_panel_bytes;
} tilefold_cpu_arena;

/* Parts of a depthwise operand panel: pointers [tap][pixel]; and for channels that cannot be read in place, pointers at
 * unfolded rows and those rows, [tap][pixel][lane]. */
typedef struct tilefold_depthwise_panel {
    int64_t unfolded_pointers, unfolded, bytes;
} tilefold_depthwise_panel;

struct tilefold_cpu_work;

/* One way to compute: a file each. Registered in planner.c. */
typedef struct tilefold_cpu_algorithm {
    tilefold_algorithm id;
    void (*run)(const struct tilefold_cpu_work *work, const tilefold_tile *tile, char *arena);
} tilefold_cpu_algorithm;

typedef struct tilefold_cpu_plan {
    const tilefold_cpu_kernels *kernels;
    const tilefold_cpu_algorithm *algorithm;
    tilefold_tiling tiling;
    tilefold_operand operand;
    bool positions_in_lanes;
    bool builds_tiles; /* operands for a whole tile at once; else for one kernel call at a time */
    bool depthwise;    /* all groups are columns */
    bool prepacked;
    bool cut;              /* some sum is cut into blocks */
    bool overlaps;         /* a last weight panel that is not full begins earlier instead, and repeats some columns */
    int32_t mr, nv, nr;    /* the largest tile used */
    int32_t operand_width; /* U: mr or nr; for direct, a multiple of nr */
    int32_t weight_width;  /* V: nr or mr */
    int32_t threads;
    int32_t row;     /* of the planner's table */
    int64_t block_k; /* a block of the sum: at most so much of K, whole taps or part of one tap's channels */
    tilefold_cpu_arena arena;
    double cost; /* the planner's estimate, in vector operations */
} tilefold_cpu_plan;

/* One execution, shared by its threads. */
typedef struct tilefold_cpu_work {
    const tilefold_cpu_plan *plan;
    const tilefold_geometry *geometry;
    const char *input;
    const char *weight;  /* where not prepacked */
    const float *packed; /* where prepacked */
    const char *bias;    /* or NULL */
    char *output;
    int64_t element_bytes;
} tilefold_cpu_work;

/* Rounds a size within an arena. */
enum { TILEFOLD_ARENA_ALIGNMENT = 64 };

/* ------------------------------------------------------------------------------------------------ blocks of K ---- */

/* k = tap*channels + c. A block is whole taps [tap_begin, tap_end) with all channels, or one tap with some of them. */
typedef struct tilefold_block {
    int64_t tap_begin, tap_end, channel_begin, channel_end;
} tilefold_block;

static inline int64_t tilefold_part_taps(const tilefold_tile *tile) {
    return tile->part[0].taps * tile->part[1].taps * tile->part[2].taps;
}

/* The block that begins at k, for a sum of `taps` taps. */
static inline tilefold_block tilefold_block_at(int64_t k, int64_t block_k, int64_t taps, int64_t channels) {
    int64_t tap = k / channels, channel = k % channels;
    if (block_k >= channels) {
        int64_t end = tap + block_k / channels;
        return (tilefold_block){tap, end < taps ? end : taps, 0, channels};
    }
    int64_t end = channel + block_k;
    return (tilefold_block){tap, tap + 1, channel, end < channels ? end : channels};
}

static inline int64_t tilefold_block_size(const tilefold_block *block) {
    return (block->tap_end - block->tap_begin) * (block->channel_end - block->channel_begin);
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

/* ------------------------------------------------------------------------------------------------------ files ---- */

/* operand.c: builds the operand panel of `count` positions from the cursor on, `width` wide. `panel` is
 * arena.operand_panel_bytes long; zeros points at the arena's row of zeros. */
void tilefold_cpu_build_operand(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor cursor,
                                int64_t count, int64_t width, const tilefold_block *block, const float *zeros,
                                char *panel);

/* Pointers [tap][position] at the block's first channel, or at zeros where a tap lies outside the input. */
void tilefold_cpu_point_at_rows(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor start,
                                int64_t count, const tilefold_block *block, const void *zeros, const void **rows);

/* One row of the input, at (z, y) and x = first, first + step, ...: `length` floats, zeros outside the input. */
void tilefold_cpu_copy_row(const tilefold_cpu_work *work, int64_t z, int64_t y, int64_t first, int64_t step,
                           int64_t length, int64_t channel, float *out);

/* band.c: several whole rows of positions as lanes that run on from row to row, `pitch` lanes to a row. */
int64_t tilefold_cpu_band_pitch(const tilefold_tile *tile);
/* How many rows may be built together with room for so many floats of copies; less than 2 where it does not pay. */
int64_t tilefold_cpu_band_rows(const tilefold_cpu_work *work, const tilefold_tile *tile, int64_t floats);
/* Points [k] at the lanes of `rows` rows from the cursor, the beginning of a row, on. */
void tilefold_cpu_build_band(const tilefold_cpu_work *work, const tilefold_tile *tile, const tilefold_cursor *cursor,
                             int64_t rows, char *panel);

/* weights.c: packed weights, [group][class][panel][k][width]. Saturating. */
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
int tilefold_cpu_column_runs(const tilefold_geometry *geometry, const tilefold_tile *tile, int64_t begin, int64_t end,
                             tilefold_column_run *runs);
/* Where the kernel may write a whole tile of fp32 outputs itself: NULL if it may not. */
float *tilefold_cpu_direct_output(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor cursor,
                                  int64_t count, int64_t columns, int32_t kernel_nr, const tilefold_column_run *runs,
                                  int run_count, ptrdiff_t *out_stride);
/* Writes a finished tile, staged with nr floats to a row, to the output. */
void tilefold_cpu_store_tile(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor cursor,
                             int64_t count, const tilefold_column_run *runs, int run_count, const float *stage,
                             int64_t stage_stride);

/* product.c: unfold and implicit; and direct for few columns. */
void tilefold_cpu_run_product(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena);
void tilefold_cpu_run_direct(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena);

/* depthwise.c: direct, one channel a group, channels in lanes. */
void tilefold_cpu_run_depthwise(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena);
tilefold_depthwise_panel tilefold_cpu_depthwise_panel(const tilefold_cpu_plan *plan);

/* planner.c */
tilefold_status tilefold_cpu_plan_problem(tilefold_plan *plan, tilefold_message *message);
size_t tilefold_cpu_print(const tilefold_plan *plan, char *text, size_t bytes);

#endif /* TILEFOLD_CPU_H */
