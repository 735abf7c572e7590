/* An algorithm: one record of functions, one file each, and the table of them.
 *
 * SPDX-License-Identifier: MIT
 *
 * The planner, the packing of weights and the execution know an algorithm by nothing but its record. Adding one is a file and
 * a line in algorithms.c.
 */
#ifndef TILEFOLD_CPU_ALGORITHM_H
#define TILEFOLD_CPU_ALGORITHM_H

#include "cpu.h"

typedef struct tilefold_cpu_shape tilefold_cpu_shape;

/* What the planner knows about the part that does most of the work, and about the whole. */
struct tilefold_cpu_shape {
    const tilefold_geometry *geometry;
    const tilefold_cpu_target *target;
    const tilefold_cpu_kernels *kernels; /* the target's */
    int64_t budget;                      /* scratch bytes of one thread */
    int64_t buffer_bytes;                /* of the largest buffer there may be */
    int32_t threads;
    bool prepack;
    tilefold_math math;                     /* of the algorithms that are looked at */
    int64_t positions, taps, folds;         /* of the dominant part */
    int64_t class_folds;                    /* of the class of it that has most: all, unless it is merged */
    tilefold_axis_part part[TILEFOLD_AXES]; /* its counts, taps and steps; where it begins is left open */
    int64_t most_taps;                      /* of any part */
    double share;                   /* of all multiply-adds that are in one dominant part of one group and image */
    struct tilefold_cpu_pick *pick; /* NULL: the cheapest candidate is kept */
};

struct tilefold_cpu_algorithm {
    tilefold_algorithm id;
    const char *words; /* how a plan describes it */
    bool whole_rows;   /* tiles are whole rows of positions, or part of one, where they can be */
    /* FAST: bits of its own. Where it applies, which must depend on the geometry alone, and is allowed, the planner looks at no
     * exact algorithm. */
    tilefold_math math;
    bool (*applies)(const tilefold_cpu_shape *shape);
    /* Fills in variant `index` of the plan: the kernel's tile, which side the positions are on, what the columns are. False
     * past the last; a variant without a kernel has mr = 0. */
    bool (*propose)(const tilefold_cpu_shape *shape, int index, tilefold_cpu_plan *plan);
    /* Lays out one thread's arena for tiles of plan->tiling and blocks of plan->block, and says how many bytes it takes. False
     * where that does not fit 64 bits. */
    bool (*lay_out)(const tilefold_cpu_shape *shape, tilefold_cpu_plan *plan);
    /* Cycles for the dominant part of one image and group (of all groups, where those are columns). */
    double (*estimate)(const tilefold_cpu_shape *shape, const tilefold_cpu_plan *plan);
    /* Packed weights: how many floats, saturating, and filling them in. */
    int64_t (*packed_floats)(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan);
    void (*pack)(const tilefold_geometry *geometry, const tilefold_cpu_plan *plan, const void *weight, float *packed);
    /* tilefold_plan_info's error_bound; NULL of exact ones, where it is the definition's. */
    double (*error_bound)(const tilefold_geometry *geometry);
    /* Computes a tile. */
    void (*run)(const tilefold_cpu_work *work, const tilefold_tile *tile, char *arena);
};

/* Ends with NULL. Of equals the first wins. */
extern const tilefold_cpu_algorithm *const tilefold_cpu_algorithms[];

extern const tilefold_cpu_algorithm tilefold_cpu_unfold, tilefold_cpu_in_place, tilefold_cpu_copied_rows,
    tilefold_cpu_halo, tilefold_cpu_direct, tilefold_cpu_depthwise, tilefold_cpu_depthwise_pixels,
    tilefold_cpu_depthwise_row, tilefold_cpu_depthwise_plane, tilefold_cpu_grouped_row, tilefold_cpu_few_channels,
    tilefold_cpu_winograd;

#endif /* TILEFOLD_CPU_ALGORITHM_H */
