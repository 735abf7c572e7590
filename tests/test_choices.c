/* What the planner chooses, held: the plans of a few problems that networks and signal processing have, on a machine that is
 * written down here, in the plans' own words; and that a plan does what its words say, by counting what it copies.
 *
 * SPDX-License-Identifier: MIT
 *
 * The table is choices.txt. Where a change of the planner is meant to change it, `test_choices --write` writes the new one: look
 * at the difference before it is committed.
 */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "choices.h"
#include "cpu/candidates.h"
#include "runner.h"

/* -------------------------------------------------------------------------------------------------------- choices ---- */

/* What plans are made with: few threads and a large limit, more threads and a small one, weights left as they are. */
typedef struct setting {
    int32_t threads;
    int64_t room; /* within the limit, beside the plan object */
    bool prepack;
} setting;

static const setting settings[] = {{1, INT64_C(16) << 20, true}, {4, 65536, true}, {2, 12288, false}};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

/* The machines of the table: kernels where this build has them, whether or not this machine runs them, since these plans are
 * not run; caches; and which core it is. */
typedef struct machine {
    const char *name;
    tilefold_isa isa;
    const tilefold_cpu_kernels *kernels;
    int64_t l1_bytes, l2_bytes;
    tilefold_cpu_model model;
} machine;

#define ARM TILEFOLD_CPU_VENDOR_ARM
#define AMD TILEFOLD_CPU_VENDOR_AMD
#define INTEL TILEFOLD_CPU_VENDOR_INTEL

static const machine machines[] = {
    {"a core", TILEFOLD_ISA_PORTABLE, &tilefold_cpu_kernels_portable, 32768, 262144, {0}},
#ifdef TILEFOLD_HAVE_AVX2
    {"Zen 3", TILEFOLD_ISA_AVX2, &tilefold_cpu_kernels_avx2, 32768, 524288, {AMD, 0x19, 0x21}},
#else
    {"Zen 3", TILEFOLD_ISA_AVX2, NULL},
#endif
#ifdef TILEFOLD_HAVE_AVX512
    {"Zen 4", TILEFOLD_ISA_AVX512, &tilefold_cpu_kernels_avx512, 32768, 1048576, {AMD, 0x19, 0x61}},
    {"Sapphire Rapids", TILEFOLD_ISA_AVX512, &tilefold_cpu_kernels_avx512, 49152, 2097152, {INTEL, 0x06, 0x8f}},
#else
    {"Zen 4", TILEFOLD_ISA_AVX512, NULL},
    {"Sapphire Rapids", TILEFOLD_ISA_AVX512, NULL},
#endif
#ifdef TILEFOLD_HAVE_NEON
    {"Neoverse N1", TILEFOLD_ISA_NEON, &tilefold_cpu_kernels_neon, 65536, 1048576, {ARM, 0x41, 0xd0c}},
#else
    {"Neoverse N1", TILEFOLD_ISA_NEON, NULL},
#endif
};
enum { MACHINES = sizeof machines / sizeof machines[0] };

/* The plan's own lines about its choice, in one. */
static void get_words(const tilefold_plan *plan, char *words, size_t bytes) {
    char text[4096];
    tilefold_plan_print(plan, text, sizeof text);
    const char *at = strstr(text, "  algorithm");
    assert_non_null(at);
    size_t used = 0;
    for (; *at && used + 2 < bytes; at++) {
        if (*at == ' ' && (used == 0 || words[used - 1] == ' ')) continue;
        if (*at == '\n' && at[1] == 0) continue;
        if (*at == '\n') words[used++] = ';';
        words[used++] = *at == '\n' ? ' ' : *at;
    }
    words[used] = 0;
}

/* A plan for a machine of the table. */
static tilefold_plan *plan_there(const machine *there, const test_problem *made, const way *w) {
    tilefold_cpu_target *target = tilefold_cpu_get_target(get_context(w)), here = *target;
    *target = (tilefold_cpu_target){there->kernels,    w->threads,
                                    there->l1_bytes,   there->l2_bytes,
                                    INT64_C(32) << 20, tilefold_cpu_get_throughput(&there->model, there->isa)};
    bool declined;
    tilefold_plan *plan = make_plan(made, w, &declined);
    *target = here;
    if (!plan) fail_problem(made, w, "no plan");
    return plan;
}

/* One line of the table, which has its beginning. The plan object, whose size is no choice, is left out of all figures. */
static void describe_choice(const machine *there, const setting *with, const test_problem *made,
                            char line[CHOICE_LINE]) {
    way w = {best_isa(), with->threads, POOL_SEQUENTIAL, TILEFOLD_ALGORITHM_AUTO, with->prepack, INT64_MAX};
    tilefold_plan *unlimited = plan_there(there, made, &w);
    int64_t own = get_info(unlimited).plan_bytes;
    tilefold_plan_destroy(unlimited);
    w.limit = with->room + own;
    tilefold_plan *plan = plan_there(there, made, &w);
    tilefold_plan_info info = get_info(plan);
    char words[CHOICE_LINE / 2];
    get_words(plan, words, sizeof words);
    size_t begun = strlen(line);
    snprintf(line + begun, CHOICE_LINE - begun,
             "%s | scratch %" PRId64 " least %" PRId64 " ideal %" PRId64 " packed %" PRId64 " tiles %" PRId64, words,
             info.scratch_bytes, info.min_scratch_bytes - own, info.ideal_scratch_bytes - own, info.packed_weight_bytes,
             info.tiles);
    tilefold_plan_destroy(plan);
}

/* One line of each machine, made where this build has its kernels; else as it is in the table in hand. */
static int visit_choices(const setting *with, int index, visit_choice visit) {
    int faults = 0;
    test_problem made = choice_problem(index);
    for (int i = 0; i < MACHINES; i++) {
        const machine *there = &machines[i];
        char line[CHOICE_LINE];
        snprintf(line, sizeof line, "%s | %s, %s, %" PRId64 " bytes%s | ", made.name, tilefold_isa_name(there->isa),
                 there->name, with->room, with->prepack ? "" : ", not packed");
        if (there->kernels)
            describe_choice(there, with, &made, line);
        else if (!find_choice(line, line))
            continue;
        faults += visit(line);
    }
    return faults;
}

static int for_each_choice(visit_choice visit) {
    int faults = 0;
    for (int index = 0; index < choice_problems(); index++)
        for (int with = 0; with < SETTINGS; with++) faults += visit_choices(&settings[with], index, visit);
    return faults;
}

static void test_table(void **state) {
    (void)state;
    assert_int_equal(compare_choices(CHOICES, for_each_choice), 0);
}

/* Each core by what its own registers say, and what is not known by what most have. */
static void test_throughput(void **state) {
    (void)state;
    static const struct {
        const char *vendor; /* NULL: Arm */
        uint32_t signature;
        tilefold_isa isa;
        tilefold_cpu_throughput expected;
    } cores[] = {
        {"AuthenticAMD", 0x00a60f12, TILEFOLD_ISA_AVX512, {1, 1, 4}}, /* Raphael, Zen 4 */
        {"AuthenticAMD", 0x00a10f11, TILEFOLD_ISA_AVX512, {1, 1, 4}}, /* Genoa, Zen 4 */
        {"AuthenticAMD", 0x00a60f12, TILEFOLD_ISA_AVX2, {2, 2, 4}},
        {"AuthenticAMD", 0x00b40f40, TILEFOLD_ISA_AVX512, {2, 2, 4}}, /* Granite Ridge, Zen 5 */
        {"AuthenticAMD", 0x00b20f40, TILEFOLD_ISA_AVX512, {1, 1, 4}}, /* Strix Point, Zen 5 */
        {"AuthenticAMD", 0x00800f12, TILEFOLD_ISA_AVX2, {1, 1, 5}},   /* Naples, Zen */
        {"GenuineIntel", 0x000806f8, TILEFOLD_ISA_AVX512, {2, 2, 4}}, /* Sapphire Rapids */
        {"GenuineIntel", 0x000c06f2, TILEFOLD_ISA_AVX2, {2, 2, 4}},   /* Emerald Rapids */
        {"GenuineIntel", 0x000806c1, TILEFOLD_ISA_AVX512, {1, 2, 4}}, /* Tiger Lake */
        {"GenuineIntel", 0x000306c3, TILEFOLD_ISA_AVX2, {2, 2, 5}},   /* Haswell */
        {"another maker", 0x000806c1, TILEFOLD_ISA_AVX512, {2, 2, 4}},
        {NULL, 0x410fd034, TILEFOLD_ISA_NEON, {1, 0.5, 4}}, /* Cortex-A53 */
        {NULL, 0x413fd0c1, TILEFOLD_ISA_NEON, {2, 2, 4}},   /* Neoverse N1 */
        {NULL, 0x411fd401, TILEFOLD_ISA_NEON, {4, 3, 4}},   /* Neoverse V1 */
        {NULL, 0x61000000, TILEFOLD_ISA_NEON, {4, 3, 4}},   /* Apple */
        {NULL, 0, TILEFOLD_ISA_NEON, {2, 2, 4}},
    };
    for (size_t i = 0; i < sizeof cores / sizeof cores[0]; i++) {
        tilefold_cpu_model model = cores[i].vendor ? tilefold_cpu_model_of_x86(cores[i].vendor, cores[i].signature)
                                                   : tilefold_cpu_model_of_arm(cores[i].signature);
        tilefold_cpu_throughput found = tilefold_cpu_get_throughput(&model, cores[i].isa);
        assert_memory_equal(&found, &cores[i].expected, sizeof found);
    }
}

/* --------------------------------------------------------------------------------------------------------- counts ---- */

/* Kernels that count the elements that they copy for the positions' side of a product: the plans are packed before, and there
 * is no bias. */
static const tilefold_cpu_kernels *real;
static int64_t copied;

static void count_load(float *out, const void *in, ptrdiff_t stride, int64_t n) {
    copied += n;
    real->load_run[TILEFOLD_F32](out, in, stride, n);
}

static void count_rows(float *out, const void *in, const tilefold_row_copy *copy) {
    copied += copy->rows * copy->n;
    real->copy_rows[TILEFOLD_F32](out, in, copy);
}

static void count_transpose(float *out, int64_t width, const void *const *rows, int64_t count, ptrdiff_t stride,
                            int64_t k) {
    copied += count * k;
    real->transpose_rows[TILEFOLD_F32](out, width, rows, count, stride, k);
}

/* Elements that an execution of the plan copies. */
static int64_t count_copied(const tilefold_plan *plan, tensors *t) {
    tilefold_message message;
    prepared p;
    tilefold_status status = prepare_execution(plan, t, &p, &message);
    copied = 0;
    if (status == TILEFOLD_OK) status = tilefold_execute(plan, &p.execution, &message);
    assert_true(finish_execution(&p));
    if (status != TILEFOLD_OK) fail_msg("%s", message.text);
    return copied;
}

/* Elements that a candidate is to copy, by its own words, of a problem without padding and of stride 1. To unfold is to copy
 * every tap of every position, once for each block of columns and not for each panel of them. What is read in place is not
 * copied; a halo is, and is no larger than the unfold of its box. */
static void expect_copies(const test_problem *made, const tilefold_plan_info *info, const char *words, int64_t *least,
                          int64_t *most) {
    const tilefold_problem *p = &made->problem;
    long long positions, columns;
    if (sscanf(strstr(words, "tile"), "tile %lld positions x %lld columns", &positions, &columns) != 2) abort();
    int64_t blocks = (p->out_channels / p->groups + columns - 1) / columns;
    int64_t unfolded = info->macs / p->out_channels * p->groups * blocks;
    bool in_place = strstr(words, "in place") != NULL;
    *least = *most = unfolded;
    if (info->algorithm == TILEFOLD_ALGORITHM_UNFOLD) return;
    *least = in_place ? 0 : 1;
    *most = in_place ? 0 : unfolded;
}

static void check_copies(const test_problem *made, const way *w, const tilefold_plan *plan, int64_t count) {
    tilefold_plan_info info = get_info(plan);
    char words[CHOICE_LINE];
    get_words(plan, words, sizeof words);
    bool says = strstr(words, ", unfolded") != NULL;
    if (says != (info.algorithm == TILEFOLD_ALGORITHM_UNFOLD)) fail_problem(made, w, words);
    int64_t least, most;
    expect_copies(made, &info, words, &least, &most);
    if (count >= least && count <= most) return;
    fprintf(stderr, "%s: %" PRId64 " elements copied, not %" PRId64 " to %" PRId64 "\n", words, count, least, most);
    fail_problem(made, w, "more or less is copied than the name says");
}

static test_problem counted_problem(tilefold_layout layout, int64_t out_channels, int64_t groups) {
    test_problem made = {.name = "counted"};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV, TILEFOLD_F32, 2);
    p->in_channels = groups == 1 ? 12 : groups, p->out_channels = out_channels, p->groups = groups;
    p->input_size[0] = 6, p->input_size[1] = 66;
    p->kernel[0] = p->kernel[1] = 3;
    if (tilefold_problem_set_layout(p, layout, NULL) != TILEFOLD_OK) abort();
    return made;
}

static void count_candidates_of(const test_problem *made, way w) {
    tensors t = make_tensors(made);
    tilefold_plan_options options = way_options(&w);
    tilefold_context *context = get_context(&w);
    int64_t count = tilefold_cpu_count_candidates(context, &made->problem, &options);
    for (int64_t number = 0; number < count; number += list_step()) {
        tilefold_plan *plan;
        tilefold_message message;
        if (tilefold_cpu_plan_candidate(context, &made->problem, &options, number, &plan, &message) != TILEFOLD_OK)
            fail_problem(made, &w, message.text);
        check_copies(made, &w, plan, count_copied(plan, &t));
        tilefold_plan_destroy(plan);
    }
    free_tensors(&t);
}

static void test_names_say_what_runs(void **state) {
    (void)state;
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    const test_problem problems[] = {counted_problem(TILEFOLD_CHANNELS_FIRST, 90, 1),
                                     counted_problem(TILEFOLD_CHANNELS_LAST, 90, 1),
                                     counted_problem(TILEFOLD_CHANNELS_FIRST, 4, 1),
                                     counted_problem(TILEFOLD_CHANNELS_LAST, 64, 64)};
    for (int i = 0; i < isa_count; i++) {
        for (size_t k = 0; k < sizeof problems / sizeof problems[0]; k++) {
            way w = {isas[i], 1, POOL_SEQUENTIAL, TILEFOLD_ALGORITHM_AUTO, true, INT64_MAX};
            tilefold_cpu_target *target = tilefold_cpu_get_target(get_context(&w));
            real = target->kernels;
            tilefold_cpu_kernels counting = *real;
            counting.load_run[TILEFOLD_F32] = count_load;
            counting.transpose_rows[TILEFOLD_F32] = count_transpose;
            counting.copy_rows[TILEFOLD_F32] = count_rows;
            target->kernels = &counting;
            count_candidates_of(&problems[k], w);
            w.limit = least_limit(&problems[k], &w) + 2000;
            count_candidates_of(&problems[k], w);
            target->kernels = real;
        }
    }
}

/* ----------------------------------------------------------------------------------------------------- what is left out ---- */

/* Steps of the sums that the kernels of one tile are called for, through all of its calls. */
static int64_t steps;
static tilefold_product_kernel real_product;
static tilefold_product_rows_kernel real_rows;
static tilefold_product_steps_kernel real_steps;

static void count_product(const tilefold_segment *segments, int64_t count, const float *a, ptrdiff_t a_step,
                          const float *b, ptrdiff_t b_step, const tilefold_tile_io *io) {
    for (int64_t i = 0; i < count; i++) steps += segments[i].count;
    real_product(segments, count, a, a_step, b, b_step, io);
}

static void count_product_rows(const tilefold_segment *segments, int64_t count, const float *const *rows,
                               const float *b, const tilefold_tile_io *io) {
    for (int64_t i = 0; i < count; i++) steps += segments[i].count;
    real_rows(segments, count, rows, b, io);
}

static void count_product_steps(const tilefold_step *list, int64_t count, const float *a, ptrdiff_t a_stride,
                                const float *b, const tilefold_tile_io *io) {
    steps += count;
    real_steps(list, count, a, a_stride, b, io);
}

/* One row of 12 outputs whose middle tap alone meets the input, one output channel: every kernel call is of the same kernels. Of
 * 3 x channels steps a call takes a third, unless a weight is infinite. */
static int64_t count_steps(tilefold_layout layout, tilefold_algorithm algorithm, int64_t channels, float special) {
    test_problem made = {.name = "padding"};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV, TILEFOLD_F32, 1);
    p->in_channels = channels;
    p->input_size[0] = 12, p->kernel[0] = 3, p->dilation[0] = p->padding_begin[0] = p->padding_end[0] = 20;
    if (tilefold_problem_set_layout(p, layout, NULL) != TILEFOLD_OK) abort();
    way w = {TILEFOLD_ISA_PORTABLE, 1, POOL_SEQUENTIAL, algorithm, true, INT64_MAX};
    tilefold_cpu_target *target = tilefold_cpu_get_target(get_context(&w));
    real = target->kernels;
    tilefold_cpu_kernels counting = *real;
    bool declined;
    tilefold_plan *plan = make_plan(&made, &w, &declined);
    if (!plan) fail_problem(&made, &w, "no plan");
    char words[CHOICE_LINE];
    get_words(plan, words, sizeof words);
    tilefold_plan_destroy(plan);
    for (int nv = 0; nv < TILEFOLD_MAX_VECTORS; nv++)
        for (int mr = 0; mr < TILEFOLD_MAX_ROWS; mr++) {
            if (counting.product[nv][mr]) counting.product[nv][mr] = count_product;
            if (counting.product_rows[nv][mr]) counting.product_rows[nv][mr] = count_product_rows;
            if (counting.product_steps[nv][mr]) counting.product_steps[nv][mr] = count_product_steps;
        }
    target->kernels = &counting;
    plan = make_plan(&made, &w, &declined);
    target->kernels = real;
    long long rows, lanes;
    if (sscanf(strstr(words, "kernel"), "kernel %lldx%lld", &rows, &lanes) != 2) abort();
    real_product = real->product[lanes / real->lanes - 1][rows - 1];
    real_rows = real->product_rows[lanes / real->lanes - 1][rows - 1];
    real_steps = real->product_steps[lanes / real->lanes - 1][rows - 1];
    tensors t = make_tensors(&made);
    if (special != 0) ((float *)t.weight.data)[7] = special;
    tilefold_message message;
    prepared e;
    tilefold_status status = prepare_execution(plan, &t, &e, &message);
    steps = 0;
    if (status == TILEFOLD_OK) status = tilefold_execute(plan, &e.execution, &message);
    finish_execution(&e);
    if (status != TILEFOLD_OK) fail_msg("%s", message.text);
    free_tensors(&t);
    tilefold_plan_destroy(plan);
    return steps;
}

static void test_padding_is_left_out(void **state) {
    (void)state;
    const struct {
        tilefold_layout layout;
        tilefold_algorithm algorithm;
        int64_t channels; /* of few, steps are listed */
    } cases[] = {{TILEFOLD_CHANNELS_FIRST, TILEFOLD_ALGORITHM_DIRECT, 40},
                 {TILEFOLD_CHANNELS_LAST, TILEFOLD_ALGORITHM_IMPLICIT, 40},
                 {TILEFOLD_CHANNELS_FIRST, TILEFOLD_ALGORITHM_DIRECT, 4}};
    for (int i = 0; i < 3; i++) {
        int64_t without = count_steps(cases[i].layout, cases[i].algorithm, cases[i].channels, 0);
        int64_t with = count_steps(cases[i].layout, cases[i].algorithm, cases[i].channels, INFINITY);
        assert_true(without > 0);
        assert_int_equal(with, 3 * without);
    }
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        int failed = write_choices(CHOICES, for_each_choice);
        close_contexts();
        return failed;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_throughput),
        cmocka_unit_test(test_names_say_what_runs),
        cmocka_unit_test(test_padding_is_left_out),
    };
    return cmocka_run_group_tests_name("choices", tests, NULL, close_all);
}
