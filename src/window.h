/* Windows of outputs: what they read, and as problems of their own.
 *
 * SPDX-License-Identifier: MIT
 *
 * Outputs [x0, x0 + n) of an axis, with the input window [i0, i0 + m) that they read, are an axis of the same kind: in
 *
 *     (x*S + k*T + B) / L     with x = x0 + x', and positions counted from i0,
 *
 * only the origin changes, to B + x0*S - i0*L. Since the window holds every element that any of the outputs reads, what falls
 * outside of it falls outside the whole input, and is a zero in both.
 */
#ifndef TILEFOLD_WINDOW_H
#define TILEFOLD_WINDOW_H

#include "geometry.h"

typedef struct tilefold_range {
    int64_t begin, count;
} tilefold_range;

/* The smallest range of the input that holds what the outputs read of it. Empty where that is nothing; it then begins where the
 * first tap falls, be that inside the input or not. In fewer than min(outputs, kernel) steps, mostly in one. */
tilefold_range tilefold_axis_input_range(const tilefold_axis *axis, tilefold_range outputs);

/* Makes the axis that of these outputs and of the input range that they read, which it returns. */
tilefold_range tilefold_axis_cut(tilefold_axis *axis, tilefold_range outputs);

/* The normal form of a window of a problem that has been read, in arrays that begin where the windows do. Errors as
 * tilefold_window_problem(). */
tilefold_status tilefold_window_geometry(const tilefold_problem *problem, const tilefold_window *output,
                                         tilefold_geometry *geometry, tilefold_message *message);

/* Whether a window of a problem, both checked, has all that outputs computed together read: it begins and ends between units of
 * so many outputs of each axis, or where the output ends and no input lies behind. UNSUPPORTED. */
tilefold_status tilefold_check_units(const tilefold_problem *problem, const tilefold_window *output,
                                     const int64_t unit[TILEFOLD_AXES], tilefold_message *message);

#endif /* TILEFOLD_WINDOW_H */
