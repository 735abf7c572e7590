/* What a plan's figures promise of limits: see limits.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

tilefold_status try_plan(const test_problem *made, const way *w, planned *p, tilefold_message *message) {
    tilefold_plan_options options = way_options(w);
    tilefold_plan *plan = NULL;
    *message = (tilefold_message){""};
    tilefold_status status = tilefold_plan_create(get_context(w), &made->problem, &options, &plan, message);
    if (status != TILEFOLD_OK) {
        if (plan || !message->text[0]) fail_problem(made, w, "no message, or an out-parameter written");
        return status;
    }
    p->info = get_info(plan);
    tilefold_plan_print(plan, p->text, sizeof p->text);
    tilefold_plan_destroy(plan);
    if (!check_plan_info(made, w, &p->info)) fail_problem(made, w, "wrong figures");
    return status;
}

planned must_plan(const test_problem *made, way w, int64_t limit) {
    planned p;
    tilefold_message message;
    w.limit = limit;
    if (try_plan(made, &w, &p, &message) != TILEFOLD_OK) fail_problem(made, &w, message.text);
    return p;
}

int64_t used_bytes(const planned *p) { return p->info.scratch_bytes + p->info.plan_bytes; }

/* Whether two plans are one choice: the same figures but for the limit, and the same words but for the line that names it. */
static bool same_plan(planned a, planned b) {
    a.info.scratch_limit_bytes = b.info.scratch_limit_bytes = 0;
    const char *rest_a = strstr(a.text, "  weights"), *rest_b = strstr(b.text, "  weights");
    if (!rest_a || !rest_b) return false;
    return memcmp(&a.info, &b.info, sizeof a.info) == 0 && strcmp(rest_a, rest_b) == 0;
}

/* Planning at this limit fails, and says how many bytes it would take. */
static void check_too_small(const test_problem *made, way w, int64_t limit, int64_t least) {
    if (limit < 0) return;
    w.limit = limit;
    planned p;
    tilefold_message message;
    char bytes[32];
    snprintf(bytes, sizeof bytes, "%" PRId64, least);
    if (try_plan(made, &w, &p, &message) != TILEFOLD_LIMIT_TOO_SMALL) fail_problem(made, &w, "planned below the least");
    if (!strstr(message.text, bytes)) fail_problem(made, &w, message.text);
}

/* Any limit from the least up: planned, within it, with the same least and ideal; from the ideal up the unlimited plan. */
static planned check_limit(const test_problem *made, way w, int64_t limit, const planned *unlimited) {
    planned p = must_plan(made, w, limit);
    w.limit = limit;
    int64_t ideal = unlimited->info.ideal_scratch_bytes;
    if (p.info.min_scratch_bytes != unlimited->info.min_scratch_bytes)
        fail_problem(made, &w, "the least depends on the limit");
    if (p.info.ideal_scratch_bytes != ideal) fail_problem(made, &w, "the ideal depends on the limit");
    if (limit >= ideal && !same_plan(p, *unlimited)) fail_problem(made, &w, "another plan than the unlimited one");
    return p;
}

void check_scratch_limits(const test_problem *made, const way *w, const planned *unlimited, rng *r) {
    int64_t least = unlimited->info.min_scratch_bytes, ideal = unlimited->info.ideal_scratch_bytes;
    if (used_bytes(unlimited) != ideal) fail_problem(made, w, "the ideal is not what is used");
    if (least > ideal) fail_problem(made, w, "the least is above the ideal");
    check_too_small(made, *w, least - 1, least);
    check_too_small(made, *w, rng_range(r, 0, least - 1), least);
    check_limit(made, *w, least, unlimited);
    check_limit(made, *w, ideal, unlimited);
    check_limit(made, *w, ideal + rng_range(r, 1, INT64_C(1) << rng_range(r, 0, 40)), unlimited);
    if (ideal > least) check_limit(made, *w, ideal - 1, unlimited);
    planned between = check_limit(made, *w, rng_range(r, least, ideal), unlimited);
    planned again = check_limit(made, *w, used_bytes(&between),
                                unlimited); /* what a plan used is a limit that will do */
    check_limit(made, *w, used_bytes(&again), unlimited);
    check_limit(made, *w, least + rng_range(r, 0, INT64_C(1) << rng_range(r, 0, 20)), unlimited);
}

bool can_plan(const test_problem *made, const way *w, planned *unlimited) {
    way any = *w;
    any.limit = INT64_MAX;
    tilefold_message message;
    tilefold_status status = try_plan(made, &any, unlimited, &message);
    if (status == TILEFOLD_OK) return true;
    bool declined = status == TILEFOLD_UNSUPPORTED && w->algorithm != TILEFOLD_ALGORITHM_AUTO;
    if (!declined) fail_problem(made, &any, message.text);
    return false;
}

/* Buffers of at most so many bytes were refused: with as many as the message asks for it can be planned, with one less not. */
static void check_refused_buffer(const test_problem *made, way w, const tilefold_message *message) {
    long long limit, needed;
    if (on_vulkan()) return; /* where other things than the scratch may be what is too large */
    if (sscanf(message->text, "the buffer limit of %lld bytes is below the %lld bytes", &limit, &needed) != 2)
        fail_problem(made, &w, message->text);
    if (limit != w.max_buffer || needed <= limit) fail_problem(made, &w, message->text);
    tilefold_message other;
    planned p;
    w.max_buffer = needed;
    if (try_plan(made, &w, &p, &other) != TILEFOLD_OK) fail_problem(made, &w, other.text);
    if (p.info.scratch_bytes > needed) fail_problem(made, &w, "the scratch is over the buffer");
    w.max_buffer = needed - 1;
    if (try_plan(made, &w, &p, &other) != TILEFOLD_LIMIT_TOO_SMALL)
        fail_problem(made, &w, "planned below what it needs");
}

bool check_buffer(const test_problem *made, way w, int64_t most, const planned *unlimited, rng *r, planned *bounded) {
    if (most < 1) return false;
    w.max_buffer = most;
    tilefold_message message;
    tilefold_status status = try_plan(made, &w, bounded, &message);
    if (status == TILEFOLD_LIMIT_TOO_SMALL) check_refused_buffer(made, w, &message);
    if (status == TILEFOLD_LIMIT_TOO_SMALL) return false;
    if (status != TILEFOLD_OK) fail_problem(made, &w, message.text);
    bool ample = most >= unlimited->info.scratch_bytes && most >= unlimited->info.packed_weight_bytes;
    planned same = *unlimited; /* but for the least: that may be another plan's, whose packed weights are larger */
    same.info.min_scratch_bytes = bounded->info.min_scratch_bytes;
    if (ample && !on_vulkan() && !same_plan(*bounded, same))
        fail_problem(made, &w, "buffers large enough change the plan");
    check_scratch_limits(made, &w, bounded, r);
    return true;
}
