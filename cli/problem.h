/* From shapes and options to a problem.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_PROBLEM_H
#define TILEFOLD_CLI_PROBLEM_H

#include <tilefold.h>

#include "npy.h"
#include "options.h"

/* Fills in *problem, with the strides of dense tensors of the layout, for an input and a weight of these shapes. Padding
 * by name and by output shape is resolved here. Has no bias. OK, FAILED or MISUSED (a list with too many axes). */
int tilefold_cli_problem(const tilefold_cli_options *options, const tilefold_cli_shape *input,
                         const tilefold_cli_shape *weight, tilefold_type type, tilefold_problem *problem);

/* The shape of the output, in the layout's order: size[0 .. rank + 2). */
void tilefold_cli_output_shape(const tilefold_problem *problem, tilefold_layout layout,
                               const int64_t spatial[TILEFOLD_MAX_RANK], int64_t size[TILEFOLD_CLI_MAX_DIMENSIONS]);

#endif
