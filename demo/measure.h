/* SPDX-License-Identifier: MIT
 *
 * One convolution under one limit, in a process of its own, with its time and its memory. */
#ifndef TILEFOLD_DEMO_MEASURE_H
#define TILEFOLD_DEMO_MEASURE_H

#include "memory.h"

#include <tilefold.h>

typedef struct demo_tensors {
    demo_array input, weight, output;
} demo_tensors;

typedef struct demo_measurement {
    tilefold_status status;
    tilefold_message message; /* where status is not TILEFOLD_OK */
    tilefold_plan_info plan;
    double seconds;       /* one execution: the fastest of several */
    int64_t peak_bytes;   /* the largest resident memory of the process, tensors and program included */
    int64_t growth_bytes; /* by how much planning, packing and executing raised it */
} demo_measurement;

/* Forks, plans, packs and executes; the output is left in tensors->output, which lies, like the input and the weight, in
 * memory from demo_map(). Ends the program where the child cannot be started or dies. */
void demo_measure(const tilefold_problem *problem, const demo_tensors *tensors, int64_t scratch_limit_bytes,
                  demo_measurement *measurement);

/* The same plan, not executed, and in this process. */
tilefold_status demo_plan(const tilefold_problem *problem, int64_t scratch_limit_bytes, tilefold_plan_info *info,
                          tilefold_message *message);

#endif
