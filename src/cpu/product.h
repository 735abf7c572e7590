/* A tile as a product, with the positions' side left open: unfolded, copied once for all taps, or read in place.
 *
 * SPDX-License-Identifier: MIT
 *
 *     for each box of the tile's positions:
 *         for each block of K:                       (more than one only where the whole of K does not pay or fit)
 *             build the operand of the box           (by the algorithm)
 *             for each weight panel:
 *                 for each panel of positions:       one call of a micro-kernel
 *
 * A kernel's sums start from the bias in the first block and from the partial sums in later ones, and end as partial sums or,
 * in the last block, as outputs: one chain of fused multiply-adds, wherever K is cut.
 */
#ifndef TILEFOLD_CPU_PRODUCT_H
#define TILEFOLD_CPU_PRODUCT_H

#include "halo_layout.h"

typedef struct tilefold_operand_kind tilefold_operand_kind;

/* The state of one tile under way. */
typedef struct tilefold_product {
    const tilefold_cpu_work *work;
    const tilefold_cpu_plan *plan;
    const tilefold_tile *tile;
    const tilefold_operand_kind *operand;
    char *arena;
    int64_t taps;
    /* the columns in hand: the tile's, or, where parts are merged, those of one class after the other, with some of the taps */
    tilefold_tile side;
    tilefold_axis_class classes[TILEFOLD_AXES];
    int64_t side_taps;
    int64_t class_columns;
    int64_t class_offset; /* within the packed weights */
    /* the box in hand */
    tilefold_cursor start;
    int64_t positions, panels;
    /* the next of its panels, which have `each` positions, or one more where `carry` passes the number of panels */
    tilefold_cursor next;
    int64_t left, each, rest, carry;
    /* the block in hand */
    tilefold_block block;
    bool first, last;
    /* what the kernel walks, set by the operand's build: the positions' offsets by the operand, the weights' here */
    tilefold_segment *segments;
    int64_t segment_count;
    int64_t segment_width;                                    /* weight panel width that the segments are for */
    int64_t met_begin[TILEFOLD_AXES], met_end[TILEFOLD_AXES]; /* taps that a panel's own segments are of */
    int64_t met_count;                                        /* of those; -1 where there are none yet */
    /* where the plan is stepped: the steps that the segments of the last call stand for; none yet where NULL */
    tilefold_step *steps;
    const tilefold_segment *stepped_segments;
    int64_t stepped_count, step_count;
    /* the operand's own state, for the box */
    tilefold_axis_part box_part[TILEFOLD_AXES];
    tilefold_halo_layout halo;
    int64_t row_panels; /* kernel calls to a row of the box */
    int64_t next_row;   /* of the box, and where in it the next panel begins */
    int64_t next_begin;
    int64_t window_row; /* floats of a row of the copy */
} tilefold_product;

/* Some positions of the box, side by side in a row unless the kind says otherwise. */
typedef struct tilefold_position_panel {
    tilefold_cursor at;
    int64_t count;
    const void *values;
    int64_t step;  /* floats from one k to the next, within a segment */
    int64_t apart; /* floats from one position to the next, in rows and by steps; else they are neighbours */
    const tilefold_segment *segments; /* the block's, or fewer where padding is left out */
    int64_t segment_count;
    const char *next; /* what the next panel reads that this one does not, where it lies in the input; or NULL */
    int64_t next_bytes;
} tilefold_position_panel;

/* How the positions' side is made. */
struct tilefold_operand_kind {
    bool by_pointer; /* values are pointers at rows, for product_rows */
    /* How many of `left` positions from the cursor on make one box. */
    int64_t (*box)(const tilefold_product *p, const tilefold_cursor *cursor, int64_t left);
    /* Builds the operand of the box for the block in hand, and its segments; sets panels. */
    void (*build)(tilefold_product *p);
    /* Fills in panel number 0 <= index < p->panels, in order. In place: a struct that is written by members and then copied by vectors
     * waits until the stores before it, the last kernel's outputs, are through. */
    void (*panel)(tilefold_product *p, int64_t index, tilefold_position_panel *panel);
};

/* For kinds whose panels are operand_width positions of the box, whatever their rows: as even as can be in rows, full ones in
 * lanes. */
int64_t tilefold_product_whole_tile(const tilefold_product *p, const tilefold_cursor *cursor, int64_t left);
/* Fills in `at` and `count`; panels come in order, from 0 on. */
void tilefold_product_place_panel(tilefold_product *p, int64_t index, tilefold_position_panel *panel);

/* For kinds whose panels lie in rows of the box, `length` positions to each, in row_panels panels: which of the row's the next has,
 * as even as can be in rows, full ones in lanes. No division: a kernel call of a short sum takes as long as a few of them. */
typedef struct tilefold_row_run {
    int64_t row, begin, end;
} tilefold_row_run;
tilefold_row_run tilefold_product_place_in_row(tilefold_product *p, int64_t index, int64_t length);

void tilefold_cpu_run_product(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena,
                              const tilefold_operand_kind *operand);

/* The segments of a block: one for each channel block and tap, in the order of the chain, `a` being its first channel and `tap`
 * its tap, both counted from the block's first. Returns their number. */
int64_t tilefold_product_segments(const tilefold_block *block, tilefold_segment *segments);

/* Has the panel leave out the segments of taps at which none of its positions meets an input element. Blocks of some taps only
 * keep all of theirs. */
void tilefold_product_skip_padding(tilefold_product *p, tilefold_position_panel *panel);

/* The most segments a block of this size makes. There is room for twice as many, for a panel's own. */
int64_t tilefold_product_max_segments(const tilefold_block_size *block);

/* For the records: whether channels are so few, and sums so short, that steps are listed; they have a place in the arena then. */
enum { TILEFOLD_FEW_CHANNELS = 8 };
bool tilefold_product_is_stepped(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan,
                                 int64_t operand_floats);

/* For the records: the tile of a kernel as wide as `vectors`; mr = 0 where there is none. */
struct tilefold_cpu_shape;
void tilefold_product_choose_tile(const struct tilefold_cpu_shape *shape, int32_t vectors, bool positions_in_lanes,
                                  int64_t positions, tilefold_cpu_plan *plan);

/* Lays out the arena, `operand_bytes` a panel or copy, `panels` of those, `position_panels` kernel calls to a column panel. */
bool tilefold_product_lay_out(tilefold_cpu_plan *plan, int64_t operand_bytes, int64_t panels, int64_t position_panels,
                              int64_t segments, int64_t zeros);

#endif /* TILEFOLD_CPU_PRODUCT_H */
