/* A small problem, by every candidate that its planner would consider within some limit, against the naive loop: in arrays between
 * guard pages, in exactly the scratch that each asks for, with an infinity, a NaN, a zero or a subnormal number planted.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/candidates.h"
#include "oracle.h"

enum { BUDGET = 12000 };

static void fail_input(const test_problem *made, const way *w, const char *what) {
    complain(made, w, what);
    abort();
}

/* ------------------------------------------------------------------------------------------------------ specials ---- */

/* Whether a tap of an axis reads padding, or nothing, for every output. */
static bool tap_misses(const tilefold_problem *p, int a, int64_t tap) {
    bool transposed = p->op == TILEFOLD_CONV_TRANSPOSE;
    int64_t outputs = oracle_output_size(p, a);
    for (int64_t x = 0; x < outputs; x++) {
        int64_t at = transposed ? x + p->padding_begin[a] - tap * p->dilation[a]
                                : x * p->stride[a] + tap * p->dilation[a] - p->padding_begin[a];
        int64_t step = transposed ? p->stride[a] : p->input_dilation[a];
        if (at % step == 0 && at >= 0 && at / step < p->input_size[a]) return false;
    }
    return true;
}

/* The number of a weight, in logical order, whose tap only ever lies over padding; -1 where there is none. */
static int64_t padding_weight(const tilefold_problem *p, int64_t column) {
    int64_t taps = 1, tap = -1;
    for (int a = 0; a < p->rank; a++) taps *= p->kernel[a];
    for (int64_t k = 0; k < taps && tap < 0; k++) {
        int64_t rest = k;
        for (int a = p->rank - 1; a >= 0 && tap < 0; a--) {
            int64_t own = rest % p->kernel[a];
            rest /= p->kernel[a];
            if (tap_misses(p, a, p->flip ? p->kernel[a] - 1 - own : own)) tap = k;
        }
    }
    return tap < 0 ? -1 : column * taps + tap;
}

static float take_special(fuzz_bytes *b, tilefold_type type) {
    float least = type == TILEFOLD_F16 ? 0x1p-24f : type == TILEFOLD_BF16 ? 0x1p-133f : 0x1p-149f;
    const float specials[] = {INFINITY, -INFINITY, NAN, -0.0f, least, -least, 0x1p-140f, 65504.0f};
    return specials[fuzz_range(b, 0, 7)];
}

static void plant_special(tensors *t, fuzz_bytes *b) {
    const tilefold_problem *p = &t->made.problem;
    planted where = (planted)fuzz_range(b, PLANTED_INPUT, p->bias_type ? PLANTED_BIAS : PLANTED_WEIGHT);
    const int64_t elements[] = {t->input_view.elements, t->weight_view.elements, p->out_channels};
    int64_t at = (int64_t)(fuzz_word(b) >> 1);
    bool over_padding = where == PLANTED_WEIGHT && fuzz_chance(b, 60);
    float value = take_special(b, where == PLANTED_BIAS ? p->bias_type : p->type);
    if (elements[where] == 0) return; /* no image */
    int64_t index = over_padding ? padding_weight(p, at % (p->out_channels * (p->in_channels / p->groups))) : -1;
    plant_value(t, where, index < 0 ? at % elements[where] : index, value);
}

/* ---------------------------------------------------------------------------------------------------- candidates ---- */

static tilefold_plan *plan_candidate(const tensors *t, const way *w, int64_t number) {
    tilefold_plan_options options = way_options(w);
    tilefold_plan *plan = NULL;
    tilefold_message message;
    if (tilefold_cpu_plan_candidate(get_context(w), &t->made.problem, &options, number, &plan, &message) != TILEFOLD_OK)
        fail_input(&t->made, w, message.text);
    return plan;
}

/* Executes the plan in exactly the memory that it asks for. */
static void run_plan(tensors *t, const way *w, const tilefold_plan *plan, void *got) {
    tilefold_message message;
    prepared p;
    tilefold_status status = prepare_execution(plan, t, &p, &message);
    if (status == TILEFOLD_OK) status = tilefold_execute(plan, &p.execution, &message);
    if (status != TILEFOLD_OK) fail_input(&t->made, w, message.text);
    const char *reason;
    if (!finish_execution(&p)) fail_input(&t->made, w, "memory around the scratch or the packed weights was written");
    if (!collect_output(t, got, &reason)) fail_input(&t->made, w, reason);
}

/* Every candidate gives the bits of the naive loop; those of faster arithmetic, those of the first of them. */
static void run_candidate(tensors *t, const way *w, int64_t number, void *expected, bool *known, void *got) {
    tilefold_plan *plan = plan_candidate(t, w, number);
    tilefold_plan_info info = get_info(plan);
    if (info.scratch_bytes + info.plan_bytes > w->limit) fail_input(&t->made, w, "a candidate over the limit");
    if (w->max_buffer && (info.scratch_bytes > w->max_buffer || info.packed_weight_bytes > w->max_buffer))
        fail_input(&t->made, w, "a candidate over the largest buffer");
    run_plan(t, w, plan, got);
    bool fast = info.math == TILEFOLD_MATH_FAST;
    if (fast && !*known) memcpy(expected, got, tensors_output_bytes(t));
    if (!check_output(t, w, expected, got)) {
        fprintf(stderr, "by the row '%s', candidate %lld\n", tilefold_cpu_row_name(tilefold_cpu_plan_row(plan)),
                (long long)number);
        abort();
    }
    *known = fast;
    tilefold_plan_destroy(plan);
}

static void run_candidates(tensors *t, const way *w) {
    void *expected = expected_output(t), *got = malloc(tensors_output_bytes(t) + 1);
    if (!got) abort();
    tilefold_plan_options options = way_options(w);
    int64_t count = tilefold_cpu_count_candidates(get_context(w), &t->made.problem, &options);
    bool known = false;
    for (int64_t number = 0; number < count; number++) run_candidate(t, w, number, expected, &known, got);
    free(expected);
    free(got);
}

/* The least, a little more, or none; and sometimes a largest buffer. */
static bool take_limits(const test_problem *made, way *w, fuzz_bytes *b) {
    int64_t least = least_limit(made, w);
    if (least == LEAST_FAILED) abort();
    if (least == LEAST_DECLINED) return false;
    int64_t room = (int64_t)(fuzz_word(b) >> 45);
    if (fuzz_chance(b, 75)) w->limit = least + (room >> fuzz_range(b, 0, 18));
    if (fuzz_chance(b, 15)) w->max_buffer = 1 + (room >> fuzz_range(b, 0, 12));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_bytes b = fuzz_begin(data, size);
    test_problem made = fuzz_small_problem(&b, BUDGET);
    way w = fuzz_way(&b);
    w.math = fuzz_chance(&b, 10) ? TILEFOLD_MATH_FAST : TILEFOLD_MATH_EXACT;
    if (!take_limits(&made, &w, &b)) return 0;
    tensors t = make_tensors(&made);
    if (fuzz_chance(&b, 50)) plant_special(&t, &b);
    run_candidates(&t, &w);
    free_tensors(&t);
    return 0;
}
