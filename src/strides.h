/* Where strides lead: dense ones, how far they reach, and whether two elements lie in one place.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_STRIDES_H
#define TILEFOLD_STRIDES_H

#include "geometry.h"

/* No size, position or offset may pass this, so that sums of a few of them still fit. */
#define TILEFOLD_MAX_POSITION (INT64_MAX / 8)

/* tilefold_problem_set_layout() of a problem that has been read, whose output is of that size. INVALID_ARGUMENT for an unknown
 * layout, OVERFLOW. */
tilefold_status tilefold_make_dense(tilefold_problem *problem, const int64_t output_size[TILEFOLD_MAX_RANK],
                                    tilefold_layout layout, tilefold_message *message);

/* OVERFLOW where strides lead past 64 bits, INVALID_ARGUMENT where elements of the output overlap, UNSUPPORTED where that takes
 * too long to find out. */
tilefold_status tilefold_check_strides(const tilefold_problem *problem, const int64_t output_size[TILEFOLD_MAX_RANK],
                                       tilefold_message *message);

/* Bytes from each tensor's pointer to the end of its highest element; 0 of a tensor without elements. */
typedef struct tilefold_reach {
    int64_t input, weight, bias, output;
} tilefold_reach;

tilefold_reach tilefold_get_reach(const tilefold_geometry *geometry);

enum { TILEFOLD_MAX_DIMENSIONS = 6 };

typedef enum tilefold_overlap { TILEFOLD_APART, TILEFOLD_OVERLAP, TILEFOLD_OVERLAP_UNKNOWN } tilefold_overlap;

/* Whether two different elements of an array lie in one place: exact, but for strides so entangled that the search is given up
 * (see strides.c). At most TILEFOLD_MAX_DIMENSIONS of them, sizes >= 1, and the sum of (size - 1) * |stride| is at most
 * TILEFOLD_MAX_POSITION. */
tilefold_overlap tilefold_find_overlap(int dimensions, const int64_t *size, const int64_t *stride);

#endif /* TILEFOLD_STRIDES_H */
