/* What a plan's figures promise of limits, checked at each figure and one byte beside it. What does not hold is said on standard
 * error, and fails the test.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_LIMITS_H
#define TESTS_LIMITS_H

#include "runner.h"

/* A plan's figures and its own words. */
typedef struct planned {
    tilefold_plan_info info;
    char text[4096];
} planned;

/* Plans, and checks the figures by themselves. What it returns other than OK is for the caller to judge. */
tilefold_status try_plan(const test_problem *made, const way *w, planned *p, tilefold_message *message);

/* A plan that must be made, under that limit. */
planned must_plan(const test_problem *made, way w, int64_t limit);

int64_t used_bytes(const planned *p);

/* A plan without a limit; false where the algorithm asked for declines. */
bool can_plan(const test_problem *made, const way *w, planned *unlimited);

/* Everything about the scratch limit, under the way's largest buffer. */
void check_scratch_limits(const test_problem *made, const way *w, const planned *unlimited, rng *r);

/* Plans with this largest buffer, and checks the limits there; false where that is refused. */
bool check_buffer(const test_problem *made, way w, int64_t most, const planned *unlimited, rng *r, planned *bounded);

#endif /* TESTS_LIMITS_H */
