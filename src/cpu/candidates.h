/* The planner as tests see it: on a machine that they describe, and by candidates that it would not choose.
 *
 * SPDX-License-Identifier: MIT
 *
 * A candidate is one way to run a problem within its limits: a row of the planner's table of algorithms, with a kernel, a
 * block, a tile and a number of threads. The planner estimates each one's cost and takes the cheapest, the first of equals.
 */
#ifndef TILEFOLD_CPU_CANDIDATES_H
#define TILEFOLD_CPU_CANDIDATES_H

#include "../device.h"
#include "kernels.h"
#include "throughput.h"

/* All that the planner knows of a machine. */
typedef struct tilefold_cpu_target {
    const tilefold_cpu_kernels *kernels;
    int32_t threads;
    int64_t l1_bytes, l2_bytes, l3_bytes; /* of data; per core, per core, shared */
    tilefold_cpu_throughput throughput;   /* of the kernels' vectors */
} tilefold_cpu_target;

/* What the context's plans are made for. Another one than the context was opened with is for plans that are looked at: they
 * can be executed only where its kernels run, and on no more threads than the context has. */
tilefold_cpu_target *tilefold_cpu_get_target(tilefold_context *context);

/* How many candidates tilefold_plan_create() would choose among; 0 where it would fail. Not while another thread plans on the
 * context. */
int64_t tilefold_cpu_count_candidates(tilefold_context *context, const tilefold_problem *problem,
                                      const tilefold_plan_options *options);

/* tilefold_plan_create(), by candidate 0 <= number < tilefold_cpu_count_candidates(). */
tilefold_status tilefold_cpu_plan_candidate(tilefold_context *context, const tilefold_problem *problem,
                                            const tilefold_plan_options *options, int64_t number, tilefold_plan **plan,
                                            tilefold_message *message);

/* The rows of the table: how many, what each is in words, and which a plan was made by. */
int tilefold_cpu_rows(void);
const char *tilefold_cpu_row_name(int row);
tilefold_math tilefold_cpu_row_math(int row);
int tilefold_cpu_plan_row(const tilefold_plan *plan);

/* Whether its parts have the folds of all classes (geometry.h). */
bool tilefold_cpu_plan_merged(const tilefold_plan *plan);

/* The estimate of a plan: of the candidates for one problem, context and limit the planner's plan has the least. */
double tilefold_cpu_plan_cost(const tilefold_plan *plan);

#endif /* TILEFOLD_CPU_CANDIDATES_H */
