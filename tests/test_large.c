/* Arrays of more than 2^31 and 2^32 elements, computed: whole inputs and outputs, and windows of outputs, against the naive loop.
 *
 * SPDX-License-Identifier: MIT
 *
 * The arrays are address space without memory (MAP_NORESERVE): pages that nobody writes are never there. Inputs are zero but for
 * some planted elements, most of them where 32-bit offsets would go wrong, so that every output is known; outputs are looked at,
 * and given back to the system, while the rest is being computed. TILEFOLD_TEST_LARGE=1 in the environment runs all cases, which
 * takes minutes; without it, those that take seconds.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE, madvise */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "oracle.h"
#include "runner.h"

#define TWO_31 (INT64_C(1) << 31)
#define TWO_32 (INT64_C(1) << 32)

/* -------------------------------------------------------------------------------------------------------- arrays ---- */

typedef struct sparse {
    unsigned char *data;
    size_t bytes;
} sparse;

static sparse sparse_new(int64_t elements, tilefold_type type) {
    sparse s = {.bytes = (size_t)elements * tilefold_type_bytes(type)};
    void *memory = mmap(NULL, s.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        print_message("skipped: no address space for %zu bytes\n", s.bytes);
        skip();
    }
#ifdef MADV_NOHUGEPAGE
    madvise(memory, s.bytes, MADV_NOHUGEPAGE); /* one element written is one page */
#endif
    s.data = memory;
    return s;
}

static void sparse_delete(sparse *s) { munmap(s->data, s->bytes); }

/* Gives the pages back that lie wholly in [begin, end); they read as zeros from then on. */
static void sparse_forget(const sparse *s, size_t begin, size_t end) {
    const size_t page = 65536; /* of any system's */
    begin = (begin + page - 1) / page * page;
    end = end / page * page;
    if (begin < end) madvise(s->data + begin, end - begin, MADV_DONTNEED);
}

/* ---------------------------------------------------------------------------------------------------- naive loop ---- */

/* A problem with one image and one group, in such arrays. */
typedef struct large {
    test_problem made;
    sparse input, output;
    int64_t outputs[TILEFOLD_MAX_RANK];
    unsigned char weight[4096];
    float bias[8];
} large;

static float read_element(tilefold_type type, const unsigned char *data, int64_t at) {
    return oracle_decode(type, data + (size_t)at * tilefold_type_bytes(type));
}

/* Where the input position of an output and a tap lies; -1 over padding or between two elements. */
static int64_t input_position(const tilefold_problem *p, int a, int64_t x, int64_t k) {
    bool transposed = p->op == TILEFOLD_CONV_TRANSPOSE;
    int64_t at = transposed ? x + p->padding_begin[a] - k * p->dilation[a]
                            : x * p->stride[a] + k * p->dilation[a] - p->padding_begin[a];
    int64_t step = transposed ? p->stride[a] : 1;
    return at >= 0 && at % step == 0 && at / step < p->input_size[a] ? at / step : -1;
}

/* The formula of <tilefold.h> for one output, of a rank of 1 or 2 and at most 32 channels. */
static float naive(const large *l, int64_t o, const int64_t *x) {
    const tilefold_problem *p = &l->made.problem;
    const tilefold_tensor_strides *in = &p->input_stride;
    const tilefold_weight_strides *w = &p->weight_stride;
    int64_t inner_taps = p->rank == 2 ? p->kernel[1] : 1;
    float sum = l->bias[o];
    for (int64_t k = 0; k < p->kernel[0] * inner_taps; k++) {
        int64_t tap[2] = {k / inner_taps, k % inner_taps}, from = 0, weight = o * w->out_channel;
        bool met = true;
        for (int a = 0; a < p->rank; a++) {
            int64_t at = input_position(p, a, x[a], tap[a]);
            met = met && at >= 0;
            from += at * in->spatial[a];
            weight += tap[a] * w->spatial[a];
        }
        for (int64_t c = 0; met && c < p->in_channels; c++)
            sum = fmaf(read_element(p->type, l->input.data, from + c * in->channel),
                       read_element(p->type, l->weight, weight + c * w->in_channel), sum);
    }
    return sum + 0.0f;
}

/* Outputs that were looked at and are not their bias alone: that nothing planted is read must not pass for success. */
static int64_t met;

static void require_output(const large *l, const unsigned char *output, int64_t o, const int64_t *x, int64_t offset) {
    const tilefold_problem *p = &l->made.problem;
    unsigned char expected[4];
    float sum = naive(l, o, x);
    oracle_encode(p->type, sum, expected);
    met += sum != l->bias[o];
    size_t size = tilefold_type_bytes(p->type);
    if (memcmp(expected, output + (size_t)offset * size, size) == 0) return;
    fail_msg("output %" PRId64 " at %" PRId64 ",%" PRId64 " is %g, not %g: %s", o, x[0], p->rank == 2 ? x[1] : 0,
             (double)read_element(p->type, output, offset), (double)naive(l, o, x), describe_problem(&l->made));
}

/* ------------------------------------------------------------------------------------------------------ problems ---- */

static tilefold_problem problem_of(tilefold_op op, tilefold_type type, int32_t rank, int64_t in, int64_t out) {
    tilefold_problem p;
    tilefold_problem_init(&p, op, type, rank);
    p.bias_type = TILEFOLD_F32;
    p.in_channels = in;
    p.out_channels = out;
    return p;
}

/* Lays it out and takes the address space; weights and biases are small whole numbers, so that sums are exact in any type. */
static large large_new(const char *name, tilefold_problem p, tilefold_layout layout) {
    large l = {.made = {.name = name, .seed = 1, .problem = p}};
    tilefold_message message;
    if (tilefold_problem_set_layout(&l.made.problem, layout, &message) != TILEFOLD_OK) fail_msg("%s", message.text);
    if (tilefold_output_size(&l.made.problem, l.outputs, &message) != TILEFOLD_OK) fail_msg("%s", message.text);
    int64_t in = p.in_channels, out = p.out_channels, weights = p.in_channels * p.out_channels;
    for (int a = 0; a < p.rank; a++) in *= p.input_size[a], out *= l.outputs[a], weights *= p.kernel[a];
    rng r = rng_make(1, 24);
    for (int64_t i = 0; i < weights; i++)
        oracle_encode(p.type, (float)rng_range(&r, 1, 4), l.weight + (size_t)i * tilefold_type_bytes(p.type));
    for (int64_t o = 0; o < p.out_channels; o++) l.bias[o] = (float)(o + 1);
    l.input = sparse_new(in, p.type);
    l.output = sparse_new(out, p.type);
    return l;
}

static void large_delete(large *l) {
    sparse_delete(&l->input);
    sparse_delete(&l->output);
}

static void plant(large *l, int64_t element) {
    const tilefold_problem *p = &l->made.problem;
    int64_t elements = (int64_t)(l->input.bytes / tilefold_type_bytes(p->type));
    if (element < 0 || element >= elements) return;
    oracle_encode(p->type, (float)(1 + element % 3), l->input.data + (size_t)element * tilefold_type_bytes(p->type));
}

/* Around the ends and the powers of two, counted in elements, in outputs and in bytes. */
static const int64_t edges[] = {0, TWO_31 / 4, TWO_31 / 2, TWO_31, TWO_31 + TWO_31 / 2, TWO_32, TWO_32 + TWO_31};
enum { EDGES = sizeof edges / sizeof *edges };

static way large_way(void) {
    return (way){best_isa(), on_vulkan() ? 1 : 2, POOL_LIBRARY, TILEFOLD_ALGORITHM_AUTO, true, 262144};
}

static tilefold_plan *plan_of(const large *l, const way *w) {
    bool declined;
    tilefold_plan *plan = make_plan(&l->made, w, &declined);
    if (!plan) fail();
    return plan;
}

static void *memory_for(int64_t bytes) {
    void *memory = aligned_alloc(TILEFOLD_ALIGNMENT, (size_t)(bytes + 2 * TILEFOLD_ALIGNMENT) / 64 * 64);
    if (!memory) abort();
    return memory;
}

/* An execution of the plan, with weights and scratch; the tensors are the caller's to set. */
static tilefold_execution execution_of(const large *l, const tilefold_plan *plan) {
    tilefold_plan_info info = get_info(plan);
    tilefold_execution e;
    tilefold_execution_init(&e);
    e.bias = l->bias;
    e.scratch = memory_for(info.scratch_bytes);
    e.scratch_bytes = (size_t)info.scratch_bytes;
    void *packed = memory_for(info.packed_weight_bytes);
    e.packed_weight = packed;
    e.packed_weight_bytes = (size_t)info.packed_weight_bytes;
    tilefold_message message;
    if (tilefold_pack_weight(plan, l->weight, 0, packed, e.packed_weight_bytes, &message) != TILEFOLD_OK)
        fail_msg("%s", message.text);
    return e;
}

static void end_execution(tilefold_execution *e) {
    free(e->scratch);
    free((void *)(uintptr_t)e->packed_weight);
}

/* ------------------------------------------------------------------------------------------------- large inputs ---- */

/* Few outputs over an input that is mostly holes: all of them. */
static void check_large_input(const char *name, tilefold_problem p, tilefold_layout layout) {
    large l = large_new(name, p, layout);
    int64_t elements = (int64_t)(l.input.bytes / tilefold_type_bytes(p.type)),
            outputs = l.outputs[0] * (p.rank == 2 ? l.outputs[1] : 1);
    assert_true(elements > TWO_32);
    rng r = rng_make(2, 24);
    for (int i = 0; i < EDGES; i++) {
        for (int64_t near = -70; near < 70; near++) plant(&l, edges[i] + near), plant(&l, elements - 70 + near);
    }
    for (int64_t i = 0; i < 500; i++) { /* and where outputs read */
        int64_t x = rng_range(&r, 0, outputs - 1), inner = p.rank == 2 ? l.outputs[1] : 1;
        int64_t at = x / inner * p.stride[0] * l.made.problem.input_stride.spatial[0];
        if (p.rank == 2) at += x % inner * p.stride[1] * l.made.problem.input_stride.spatial[1];
        plant(&l, at);
    }
    way w = large_way();
    tilefold_plan *plan = plan_of(&l, &w);
    tilefold_execution e = execution_of(&l, plan);
    e.input = l.input.data;
    e.output = l.output.data;
    e.input_bytes = l.input.bytes;
    e.output_bytes = l.output.bytes;
    tilefold_message message;
    if (tilefold_execute(plan, &e, &message) != TILEFOLD_OK) fail_msg("%s", message.text);
    const tilefold_tensor_strides *out = &l.made.problem.output_stride;
    for (int64_t i = 0; i < outputs * p.out_channels; i++) {
        int64_t o = i / outputs, inner = p.rank == 2 ? l.outputs[1] : 1, x[2] = {i % outputs / inner, i % inner};
        int64_t offset = o * out->channel + x[0] * out->spatial[0] + (p.rank == 2 ? x[1] * out->spatial[1] : 0);
        require_output(&l, l.output.data, o, x, offset);
    }
    assert_true(met > 100);
    met = 0;
    end_execution(&e);
    tilefold_plan_destroy(plan);
    large_delete(&l);
}

static void test_large_inputs(void **state) {
    (void)state;
    if (sizeof(void *) < 8) skip();
    for (int layout = 0; layout < (on_vulkan() ? 1 : 2); layout++) { /* there all of the input is copied */
        tilefold_problem line = problem_of(TILEFOLD_CONV, layout ? TILEFOLD_F16 : TILEFOLD_F32, 1, 2, 3);
        line.input_size[0] = TWO_31 + 12345;
        line.kernel[0] = 3;
        line.stride[0] = 1 << 20;
        line.padding_begin[0] = 1;
        check_large_input("a long line", line, (tilefold_layout)layout);
        tilefold_problem plane = problem_of(TILEFOLD_CONV, layout ? TILEFOLD_F32 : TILEFOLD_BF16, 2, 1, 2);
        plane.input_size[0] = 65537;
        plane.input_size[1] = 65541;
        plane.kernel[0] = 3, plane.kernel[1] = 2;
        plane.stride[0] = 2048, plane.stride[1] = 2047;
        plane.padding_end[1] = 1;
        check_large_input("a large plane", plane, (tilefold_layout)layout);
    }
}

/* ------------------------------------------------------------------------------------------------ large windows ---- */

/* A window of the outputs, wherever it lies, by a plan of the whole. */
static void check_window(const large *l, const tilefold_plan *plan, tilefold_execution *e, int64_t begin,
                         int64_t size) {
    const tilefold_problem *p = &l->made.problem;
    tilefold_window output, input;
    tilefold_weight_window weight;
    tilefold_message message;
    if (begin < 0 || begin + size > l->outputs[0]) return;
    if (tilefold_output_window(p, &output, &message) != TILEFOLD_OK) fail_msg("%s", message.text);
    output.begin[0] = begin;
    output.size[0] = size;
    if (tilefold_input_window(p, &output, &input, &weight, &message) != TILEFOLD_OK) fail_msg("%s", message.text);
    size_t element = tilefold_type_bytes(p->type);
    e->input = l->input.data + (size_t)(input.begin[0] * p->input_stride.spatial[0]) * element;
    e->output = l->output.data + (size_t)(begin * p->output_stride.spatial[0]) * element;
    if (tilefold_execute_window(plan, p, &output, e, &message) != TILEFOLD_OK) fail_msg("%s", message.text);
    for (int64_t o = 0; o < p->out_channels; o++) {
        for (int64_t x = begin; x < begin + size; x++)
            require_output(l, l->output.data, o, &x, o * p->output_stride.channel + x * p->output_stride.spatial[0]);
    }
}

static void check_windows(const char *name, tilefold_problem p, tilefold_layout layout) {
    large l = large_new(name, p, layout);
    assert_true(l.outputs[0] > TWO_32);
    for (int i = 0; i < EDGES; i++) {
        for (int64_t near = -300; near < 300; near++) {
            plant(&l, edges[i] + near);
            plant(&l, edges[i] / (p.op == TILEFOLD_CONV_TRANSPOSE ? p.stride[0] : 1) + near);
            plant(&l, l.made.problem.input_size[0] - 300 + near);
        }
    }
    way w = large_way();
    tilefold_plan *plan = plan_of(&l, &w);
    tilefold_execution e = execution_of(&l, plan);
    for (int i = 0; i < EDGES; i++) check_window(&l, plan, &e, edges[i] > 500 ? edges[i] - 500 : edges[i], 1000);
    check_window(&l, plan, &e, l.outputs[0] - 777, 777);
    assert_true(met > 100 * EDGES);
    met = 0;
    end_execution(&e);
    tilefold_plan_destroy(plan);
    large_delete(&l);
}

static void test_windows_of_large_outputs(void **state) {
    (void)state;
    if (sizeof(void *) < 8) skip();
    for (int layout = 0; layout < 2; layout++) {
        for (int type = on_vulkan() ? TILEFOLD_BF16 : TILEFOLD_F32; type <= TILEFOLD_BF16; type++) {
            tilefold_problem forward = problem_of(TILEFOLD_CONV, (tilefold_type)type, 1, 2, 3);
            forward.input_size[0] = TWO_32 + 4321;
            forward.kernel[0] = 5;
            forward.dilation[0] = 2;
            forward.padding_begin[0] = forward.padding_end[0] = 4;
            check_windows("a long line", forward, (tilefold_layout)layout);
            tilefold_problem transposed = problem_of(TILEFOLD_CONV_TRANSPOSE, (tilefold_type)type, 1, 3, 2);
            transposed.input_size[0] = TWO_32 / 3 + 4321;
            transposed.kernel[0] = 5;
            transposed.stride[0] = 3;
            transposed.padding_begin[0] = 1;
            check_windows("a long line, transposed", transposed, (tilefold_layout)layout);
        }
    }
}

/* -------------------------------------------------------------------------------------------------- whole outputs ---- */

enum { CHUNK = 1 << 22 }; /* outputs along the line that are looked at together */

/* What has been looked at so far, by a callback that follows the computation. */
typedef struct follower {
    const large *l;
    unsigned char *constant; /* CHUNK outputs of each channel where nothing is planted: the bias */
    int64_t checked, calls;
} follower;

/* Whether an output meets something planted: within the kernel's reach of an edge. */
static bool near_planted(const large *l, int64_t x) {
    const tilefold_problem *p = &l->made.problem;
    int64_t step = p->op == TILEFOLD_CONV_TRANSPOSE ? p->stride[0] : 1;
    for (int i = 0; i < EDGES; i++) {
        if (x >= edges[i] / step * step - 64 * step - 64 && x <= edges[i] / step * step + 64 * step + 64) return true;
    }
    return x < 1024 || x > l->outputs[0] - 1024;
}

static bool chunk_is_right(const follower *f, int64_t begin, int64_t end) {
    const large *l = f->l;
    const tilefold_problem *p = &l->made.problem;
    const size_t size = tilefold_type_bytes(p->type);
    bool last = p->output_stride.channel == 1;
    bool quiet = !near_planted(l, begin) && !near_planted(l, end - 1);
    for (int i = 0; i < EDGES; i++) quiet = quiet && !(edges[i] >= begin && edges[i] < end);
    for (int64_t o = 0; o < (last ? 1 : p->out_channels); o++) {
        const unsigned char *at = l->output.data +
                                  (size_t)(o * p->output_stride.channel + begin * p->output_stride.spatial[0]) * size;
        size_t bytes = (size_t)((end - begin) * p->output_stride.spatial[0]) * size;
        if (quiet && memcmp(at, f->constant + (size_t)o * CHUNK * size, bytes) != 0) return false;
    }
    for (int64_t x = begin; !quiet && x < end; x++) {
        for (int64_t o = 0; o < p->out_channels; o++) {
            unsigned char expected[4];
            int64_t offset = o * p->output_stride.channel + x * p->output_stride.spatial[0];
            oracle_encode(p->type, near_planted(l, x) ? naive(l, o, &x) : l->bias[o], expected);
            if (memcmp(expected, l->output.data + (size_t)offset * size, size) != 0) return false;
        }
    }
    return true;
}

/* Looks at the chunks behind the computation, and lets go of them. */
static void follow(follower *f, int64_t most) {
    const large *l = f->l;
    const tilefold_problem *p = &l->made.problem;
    const size_t size = tilefold_type_bytes(p->type);
    while (f->checked < l->outputs[0]) {
        int64_t begin = f->checked, end = begin + CHUNK < l->outputs[0] ? begin + CHUNK : l->outputs[0];
        if (end > most || !chunk_is_right(f, begin, end)) return;
        bool last = p->output_stride.channel == 1;
        for (int64_t o = 0; o < (last ? 1 : p->out_channels); o++) {
            size_t from = (size_t)(o * p->output_stride.channel + begin * p->output_stride.spatial[0]) * size;
            size_t to = from + (size_t)((end - begin) * p->output_stride.spatial[0]) * size;
            sparse_forget(&l->output, from, to);
        }
        f->checked = end;
    }
}

static bool follow_progress(void *user, int64_t done, int64_t total) {
    follower *f = user;
    int64_t step = total / 512 + 1;
    if (++f->calls % step == 0) follow(f, (int64_t)((double)f->l->outputs[0] * (double)done / (double)total) - CHUNK);
    return true;
}

static unsigned char *constant_chunk(const large *l) {
    const tilefold_problem *p = &l->made.problem;
    const size_t size = tilefold_type_bytes(p->type);
    unsigned char *constant = malloc((size_t)CHUNK * (size_t)p->out_channels * size);
    if (!constant) abort();
    bool last = p->output_stride.channel == 1;
    for (int64_t i = 0; i < CHUNK * p->out_channels; i++)
        oracle_encode(p->type, l->bias[last ? i % p->out_channels : i / CHUNK], constant + (size_t)i * size);
    return constant;
}

/* Every output, of more than 2^32 in all. */
static void check_whole(const char *name, tilefold_problem p, tilefold_layout layout) {
    large l = large_new(name, p, layout);
    assert_true(l.outputs[0] * p.out_channels > TWO_32);
    for (int i = 0; i < EDGES; i++) {
        int64_t step = p.op == TILEFOLD_CONV_TRANSPOSE ? p.stride[0] : 1;
        for (int64_t near = -16; near < 16; near++) {
            for (int64_t c = 0; c < p.in_channels; c++) {
                int64_t x = edges[i] / step + near;
                if (x >= 0 && x < p.input_size[0])
                    plant(&l, c * l.made.problem.input_stride.channel + x * l.made.problem.input_stride.spatial[0]);
            }
        }
    }
    way w = large_way();
    tilefold_plan *plan = plan_of(&l, &w);
    tilefold_execution e = execution_of(&l, plan);
    follower f = {.l = &l, .constant = constant_chunk(&l)};
    e.input = l.input.data;
    e.output = l.output.data;
    e.input_bytes = l.input.bytes;
    e.output_bytes = l.output.bytes;
    e.progress = follow_progress;
    e.progress_user = &f;
    tilefold_message message;
    if (tilefold_execute(plan, &e, &message) != TILEFOLD_OK) fail_msg("%s", message.text);
    follow(&f, INT64_MAX);
    if (f.checked != l.outputs[0])
        fail_msg("outputs from %" PRId64 " on are wrong: %s", f.checked, describe_problem(&l.made));
    free(f.constant);
    end_execution(&e);
    tilefold_plan_destroy(plan);
    large_delete(&l);
}

static void test_whole_outputs(void **state) {
    (void)state;
    if (sizeof(void *) < 8 || !getenv("TILEFOLD_TEST_LARGE")) skip();
    for (int layout = 0; layout < 2; layout++) {
        tilefold_problem one = problem_of(TILEFOLD_CONV, TILEFOLD_F16, 1, 1, 1);
        one.input_size[0] = TWO_32 + 54321;
        one.kernel[0] = 3;
        one.padding_begin[0] = one.padding_end[0] = 1;
        if (layout == 0) check_whole("a line", one, TILEFOLD_CHANNELS_FIRST);
        tilefold_problem two = problem_of(TILEFOLD_CONV, layout ? TILEFOLD_BF16 : TILEFOLD_F16, 1, 1, 2);
        two.input_size[0] = TWO_31 + 54321;
        check_whole("a line to two", two, (tilefold_layout)layout);
        tilefold_problem back = problem_of(TILEFOLD_CONV_TRANSPOSE, layout ? TILEFOLD_F16 : TILEFOLD_BF16, 1, 1, 1);
        back.input_size[0] = TWO_31 + 54321;
        back.kernel[0] = back.stride[0] = 2;
        check_whole("a line, transposed", back, (tilefold_layout)layout);
    }
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_inputs),
        cmocka_unit_test(test_windows_of_large_outputs),
        cmocka_unit_test(test_whole_outputs),
    };
    return cmocka_run_group_tests_name("large", tests, NULL, close_all);
}
