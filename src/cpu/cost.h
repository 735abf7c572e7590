/* Estimates of what a plan takes, in cycles of the machine that is planned for. They only need to rank candidates.
 *
 * SPDX-License-Identifier: MIT
 *
 * Everything is estimated for the dominant part of one image and group (of all groups, where those are columns).
 */
#ifndef TILEFOLD_CPU_COST_H
#define TILEFOLD_CPU_COST_H

#include "algorithm.h"

/* Fills in what the shape says of the dominant part, from the geometry. */
void tilefold_cpu_find_dominant(tilefold_cpu_shape *shape);

/* The whole problem, in dominant parts: of one group, or of all groups where those are columns. */
double tilefold_cpu_parts_alike(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);

/* Positions of the dominant part, in the tiling's units. */
int64_t tilefold_cpu_positions(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);

/* Cycles that the problem takes with a plan whose kernel, block and tile are chosen. */
double tilefold_cpu_estimate(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);

/* For the records. */
double tilefold_cpu_estimate_unfold(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);
double tilefold_cpu_estimate_rows(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);
/* With `copied` positions of the input copied for each output position. */
double tilefold_cpu_estimate_copied_rows(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan, double copied);
/* Boxes of so many rows of so many positions, which each copy so many floats. */
double tilefold_cpu_estimate_few_channels(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan, int64_t rows,
                                          int64_t count, double floats);
double tilefold_cpu_estimate_halo(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);
double tilefold_cpu_estimate_depthwise(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);
double tilefold_cpu_estimate_depthwise_pixels(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);

#endif /* TILEFOLD_CPU_COST_H */
