/* The memory promise, measured from outside: what the system says that this process holds, and what the C library's heap hands
 * out, while random problems are planned and computed, against what their plans said.
 *
 * SPDX-License-Identifier: MIT
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cmocka.h>

#include "counting.h"
#include "oracle.h"
#include "process.h"
#include "runner.h"

enum { PROBLEMS = 100, MEBIBYTE = 1 << 20 };

/* ------------------------------------------------------------------------------------------------------ problems ---- */

/* Of the size of a network's layers: their full unfold is many times any limit, and takes a fraction of a second to compute. */
static test_problem make_layer(uint64_t seed) {
    rng r = rng_make(seed, 25);
    test_problem made = {.name = "a layer", .seed = seed};
    tilefold_problem *p = &made.problem;
    tilefold_op op = rng_percent(&r, 60) ? TILEFOLD_CONV : TILEFOLD_CONV_TRANSPOSE;
    tilefold_problem_init(p, op, (tilefold_type)rng_range(&r, 1, 3), (int32_t)rng_range(&r, 1, 3));
    bool depthwise = rng_percent(&r, 20);
    p->groups = depthwise ? RNG_PICK(&r, 16, 33, 64) : RNG_PICK(&r, 1, 1, 1, 2, 4);
    p->in_channels = p->groups * (depthwise ? 1 : rng_range(&r, 1, 64));
    p->out_channels = p->groups * (depthwise ? 1 : rng_range(&r, 1, 64));
    p->bias_type = RNG_PICK(&r, 0, 1) ? TILEFOLD_F32 : TILEFOLD_NONE;
    for (int a = 0; a < p->rank; a++) {
        p->input_size[a] = p->rank == 1   ? rng_range(&r, 2000, 20000)
                           : p->rank == 2 ? rng_range(&r, 40, 140)
                                          : rng_range(&r, 10, 28);
        p->kernel[a] = p->rank == 1 ? rng_range(&r, 1, 30) : rng_range(&r, 1, 5);
        p->stride[a] = rng_range(&r, 1, op == TILEFOLD_CONV ? 2 : 3);
        p->dilation[a] = rng_range(&r, 1, 2);
        p->padding_begin[a] = p->padding_end[a] = rng_range(&r, 0, p->kernel[a] / 2);
    }
    tilefold_layout layout = rng_percent(&r, 50) ? TILEFOLD_CHANNELS_FIRST : TILEFOLD_CHANNELS_LAST;
    if (tilefold_problem_set_layout(p, layout, NULL) != TILEFOLD_OK) abort();
    return made;
}

static way make_way(const test_problem *made, rng *r) {
    way w = {best_isa(), (int32_t)rng_range(r, 1, 4), POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, rng_percent(r, 60),
             INT64_MAX};
    int64_t least = least_limit(made, &w);
    const int64_t limits[] = {least, least + rng_range(r, 0, 200000), INT64_C(1) << rng_range(r, 16, 24),
                              TILEFOLD_DEFAULT_SCRATCH_LIMIT_BYTES};
    w.limit = limits[rng_range(r, 0, 3)];
    if (w.limit < least) w.limit = least;
    return w;
}

/* -------------------------------------------------------------------------------------------------------- memory ---- */

typedef struct pages {
    void *data;
    size_t bytes;
} pages;

/* Memory that is not there until it is written, or is there already. */
static pages pages_new(int64_t bytes, bool resident) {
    pages p = {.bytes = (size_t)bytes + !bytes};
    p.data = mmap(NULL, p.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p.data == MAP_FAILED) abort();
    if (resident) memset(p.data, 0x01, p.bytes);
    return p;
}

static void pages_delete(pages *p) { munmap(p->data, p->bytes); }

/* The tensors, there before anything is measured. */
typedef struct arrays {
    pages input, weight, bias, output;
} arrays;

static arrays arrays_new(const tilefold_problem *p) {
    int64_t size = (int64_t)tilefold_type_bytes(p->type);
    return (arrays){pages_new(input_view(p).span * size, true), pages_new(weight_view(p).span * size, true),
                    pages_new(p->out_channels * 4, true), pages_new(output_view(p).span * size, true)};
}

static void arrays_delete(arrays *a) {
    pages_delete(&a->input);
    pages_delete(&a->weight);
    pages_delete(&a->bias);
    pages_delete(&a->output);
}

/* What could come into memory on its own while something is measured is there before: the program's code. */
static void touch_code(void) {
#ifdef __linux__
    extern const char __executable_start[], etext[];
    for (const char *at = __executable_start; at < etext; at += 4096) (void)*(const volatile char *)at;
#endif
}

/* ----------------------------------------------------------------------------------------------------- execution ---- */

static tilefold_status execute_in(const tilefold_plan *plan, const tilefold_plan_info *info, const tilefold_problem *p,
                                  const arrays *a, const pages *packed, const pages *scratch,
                                  tilefold_message *message) {
    tilefold_execution e;
    tilefold_execution_init(&e);
    e.input = a->input.data;
    e.bias = p->bias_type ? a->bias.data : NULL;
    e.output = a->output.data;
    e.weight = a->weight.data;
    e.scratch = scratch->data;
    e.scratch_bytes = scratch->bytes;
    tilefold_status status = TILEFOLD_OK;
    if (info->packed_weight_bytes > 0) {
        status = tilefold_pack_weight(plan, a->weight.data, 0, packed->data, packed->bytes, message);
        e.packed_weight = packed->data;
    }
    return status ? status : tilefold_execute(plan, &e, message);
}

/* What packing and executing adds to the process: no more than scratch, packed weights and 1 MiB. The exact count is of the end,
 * when all of it is still there; the peak is the kernel's, by counters that lag. */
static void check_growth(const test_problem *made, const way *w, bool *peaks) {
    bool declined;
    arrays a = arrays_new(&made->problem);
    tilefold_plan *plan = make_plan(made, w, &declined);
    if (!plan) fail();
    tilefold_plan_info info = get_info(plan);
    pages packed = pages_new(info.packed_weight_bytes, false), scratch = pages_new(info.scratch_bytes, false);
    tilefold_message message;
    *peaks = process_reset_peak() && *peaks;
    int64_t before = process_resident_bytes();
    tilefold_status status = execute_in(plan, &info, &made->problem, &a, &packed, &scratch, &message);
    int64_t after = process_resident_bytes(), peak = process_peak_bytes();
    if (status != TILEFOLD_OK) fail_problem(made, w, message.text);
    int64_t allowed = info.scratch_bytes + info.packed_weight_bytes + MEBIBYTE;
    if (after - before > allowed || (*peaks && peak - before > allowed + process_counter_slack_bytes(w->threads))) {
        fprintf(stderr,
                "%" PRId64 " bytes more, %" PRId64 " at the peak; scratch %" PRId64 ", packed weights %" PRId64 "\n",
                after - before, peak - before, info.scratch_bytes, info.packed_weight_bytes);
        fail_problem(made, w, "the process grew by more than scratch, packed weights and 1 MiB");
    }
    pages_delete(&packed);
    pages_delete(&scratch);
    arrays_delete(&a);
    tilefold_plan_destroy(plan);
}

/* A run that starts the threads of a way, whose stacks stay. */
static void start_threads(const way *w) {
    test_problem made = many_tiles_problem();
    way warm = many_tiles_way(w->threads, POOL_LIBRARY);
    bool declined;
    arrays a = arrays_new(&made.problem);
    tilefold_plan *plan = make_plan(&made, &warm, &declined);
    tilefold_plan_info info = get_info(plan);
    pages packed = pages_new(info.packed_weight_bytes, true), scratch = pages_new(info.scratch_bytes, true);
    tilefold_message message;
    if (execute_in(plan, &info, &made.problem, &a, &packed, &scratch, &message) != TILEFOLD_OK)
        fail_msg("%s", message.text);
    pages_delete(&packed);
    pages_delete(&scratch);
    arrays_delete(&a);
    tilefold_plan_destroy(plan);
}

static void test_resident_memory(void **state) {
    (void)state;
    if (!heap_is_watched()) {
        print_message("skipped: a sanitizer has memory of its own\n");
        skip();
    }
    if (process_resident_bytes() < 0) {
        print_message("skipped: this system does not say which pages are resident (/proc/self/smaps_rollup)\n");
        skip();
    }
    touch_code();
    bool peaks = true;
    problem_run run = begin_problems(PROBLEMS);
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_layer(problem_seed(&run, i));
        rng r = rng_make(made.seed, 26);
        way w = make_way(&made, &r);
        start_threads(&w);
        check_growth(&made, &w, &peaks);
    }
    if (!peaks) print_message("only what was resident after each execution was held: peaks cannot be reset here\n");
}

/* ----------------------------------------------------------------------------------------------------------- heap ---- */

/* tilefold_convolve() takes all that it needs from the C library's heap: no more than the limit and the packed weights, and a
 * heap's own rounding of a few blocks. */
static void check_heap(const test_problem *made, const way *w) {
    arrays a = arrays_new(&made->problem);
    bool declined;
    tilefold_plan *plan = make_plan(made, w, &declined);
    if (!plan) fail();
    int64_t packed = get_info(plan).packed_weight_bytes;
    tilefold_plan_destroy(plan);
    tilefold_plan_options options = way_options(w);
    tilefold_message message;
    int64_t before = heap_bytes();
    heap_reset_peak();
    tilefold_status status = tilefold_convolve(get_context(w), &made->problem, &options, a.input.data, a.weight.data,
                                               made->problem.bias_type ? a.bias.data : NULL, a.output.data, &message);
    int64_t grown = heap_peak_bytes() - before, left = heap_bytes() - before;
    if (status != TILEFOLD_OK) fail_problem(made, w, message.text);
    if (grown <= 0) fail_problem(made, w, "the heap is not watched");
    if (grown > w->limit + packed + 1024)
        fail_problem(made, w, "more of the heap than the limit and the packed weights");
    if (left != 0) fail_problem(made, w, "memory is left");
    arrays_delete(&a);
}

static void test_heap(void **state) {
    (void)state;
    if (!heap_is_watched()) {
        print_message("skipped: a sanitizer has a heap of its own\n");
        skip();
    }
    problem_run run = begin_problems(PROBLEMS);
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_layer(problem_seed(&run, i));
        rng r = rng_make(made.seed, 27);
        way w = make_way(&made, &r);
        w.pool = POOL_SEQUENTIAL; /* a thread's start takes from the heap too */
        check_heap(&made, &w);
    }
}

static int open_all(void **state) {
    (void)state;
#ifdef PR_SET_THP_DISABLE
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a huge page in place of a small one is the system's choice */
#endif
    return 0;
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resident_memory),
        cmocka_unit_test(test_heap),
    };
    return cmocka_run_group_tests_name("promise", tests, open_all, close_all);
}
