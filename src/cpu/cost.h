/* What the planner (planner.c) asks the cost model (cost.c).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CPU_COST_H
#define TILEFOLD_CPU_COST_H

#include "cpu.h"

/* What the planner knows about the part that does most of the work, and about the whole. */
typedef struct tilefold_cpu_shape {
    const tilefold_geometry *geometry;
    const tilefold_cpu_kernels *kernels;
    int64_t l2_bytes;
    int64_t budget;       /* scratch bytes of one thread */
    int64_t buffer_bytes; /* of the largest buffer there may be */
    int32_t threads;
    bool prepack;
    struct tilefold_cpu_pick *pick; /* NULL: the cheapest candidate is kept */
    int64_t taps, positions, row;   /* of the dominant part; positions in one row of it */
    int64_t row_taps;               /* taps of its innermost axis */
    int64_t folds;                  /* of its class */
    int64_t most_taps;              /* of any part */
    double share;                   /* of all multiply-adds that are in one dominant part of one group and image */
} tilefold_cpu_shape;

/* Fills in taps, positions, row, row_taps, folds, most_taps and share from the geometry. */
void tilefold_cpu_find_dominant(tilefold_cpu_shape *shape);

/* Input elements from one position of a row to the next, counted along the row. */
int64_t tilefold_cpu_position_step(const tilefold_cpu_shape *shape);

/* The whole problem, in dominant parts: of one group, or of all groups where those are columns. */
double tilefold_cpu_parts_alike(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);

/* Cycles that the problem takes with a plan whose kernel, block and tile are chosen. */
double tilefold_cpu_estimate(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);

#endif /* TILEFOLD_CPU_COST_H */
