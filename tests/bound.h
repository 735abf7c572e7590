/* Plans made for buffers: on Vulkan, bound to the very memory of a test's tensors.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_BOUND_H
#define TESTS_BOUND_H

#include "tensors.h"

/* Whether TILEFOLD_TEST_BIND asks for that. */
bool runs_bound(void);

/* A plan bound to imported memory: the tensors' pages, and a guarded scratch of the size that it wants. */
typedef struct bound bound;

/* UNSUPPORTED where this build has no Vulkan. The caller closes *opened. */
tilefold_status bound_open(tilefold_context *context, const tilefold_plan *plan, const tensors *t, bound **opened,
                           tilefold_message *message);
tilefold_status bound_resize(bound *b, const tilefold_problem *problem, tilefold_message *message);
tilefold_status bound_run(bound *b, tilefold_message *message);
/* False where memory around the scratch was written. */
bool bound_close(bound *b);

/* All of that at once; a scratch whose surroundings were written is DEVICE_LOST. */
tilefold_status run_bound(tilefold_context *context, const tilefold_plan *plan, const tensors *t,
                          tilefold_message *message);

#endif /* TESTS_BOUND_H */
