/* Running a plan that was made for buffers: on Vulkan, over the very memory of the test's tensors.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_BOUND_H
#define TESTS_BOUND_H

#include "tensors.h"

/* Whether TILEFOLD_TEST_BIND asks for that. */
bool runs_bound(void);

/* Imports the tensors' pages and a scratch of the size that the plan wants, binds and runs. UNSUPPORTED where this build has no
 * Vulkan. A scratch whose surroundings were written is DEVICE_LOST. */
tilefold_status run_bound(tilefold_context *context, const tilefold_plan *plan, const tensors *t,
                          tilefold_message *message);

#endif /* TESTS_BOUND_H */
