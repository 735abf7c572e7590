/* The generator of problems: see problems.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _POSIX_C_SOURCE 200809L /* write */
#include "problems.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "oracle.h"

/* ------------------------------------------------------------------------------------------------------- choices ---- */

static test_data pick_data(rng *r) {
    return rng_percent(r, 60) ? DATA_UNIT : (test_data)rng_range(r, DATA_INTEGER, DATA_KINDS - 1);
}

static void pick_types(tilefold_problem *p, rng *r) {
    p->type = (tilefold_type)RNG_PICK(r, TILEFOLD_F32, TILEFOLD_F32, TILEFOLD_F16, TILEFOLD_BF16);
    p->bias_type = (tilefold_type)RNG_PICK(r, TILEFOLD_NONE, TILEFOLD_F32, p->type);
}

static void pick_clamp(tilefold_problem *p, rng *r) {
    switch (rng_range(r, 0, 9)) {
    case 0:
    case 1: p->clamp_low = 0; break;
    case 2: p->clamp_low = -0.375f, p->clamp_high = 0.1f; break;
    case 3: p->clamp_high = 0.25f; break;
    case 4: p->clamp_low = p->clamp_high = (float)rng_range(r, -1, 1); break;
    default: break;
    }
}

static void pick_channels(tilefold_problem *p, rng *r) {
    int64_t groups = rng_percent(r, 45) ? 1 : RNG_PICK(r, 2, 2, 3, 4, 5, 7, 8, 16, 17);
    int64_t in = RNG_PICK(r, 1, 1, 2, 3, 3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 33, 40);
    int64_t out = RNG_PICK(r, 1, 1, 2, 3, 4, 6, 7, 8, 9, 15, 16, 17, 24, 32, 33, 48, 65);
    if (rng_percent(r, 15)) { /* depthwise, with a channel multiplier now and then */
        groups = RNG_PICK(r, 1, 3, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 100);
        in = 1;
        out = RNG_PICK(r, 1, 1, 1, 1, 2, 3);
    } else if (rng_percent(r, 8)) { /* sums and panels longer than a block */
        groups = 1;
        in = RNG_PICK(r, 63, 100, 129, 257, 400);
        out = RNG_PICK(r, 5, 17, 64, 96, 130);
    }
    p->groups = groups;
    p->in_channels = in * groups;
    p->out_channels = out * groups;
    p->batch = RNG_PICK(r, 1, 1, 1, 1, 2, 2, 3);
    if (rng_percent(r, 1)) p->batch = 0;
}

/* What a network has most of: one small kernel and stride for every axis, no dilation. */
static void pick_plain_kernel(tilefold_problem *p, rng *r) {
    int64_t kernel = RNG_PICK(r, 1, 2, 3, 3, 3, 4, 5), stride = RNG_PICK(r, 1, 1, 1, 2, 2, 4);
    for (int a = 0; a < p->rank; a++) {
        p->kernel[a] = kernel;
        p->stride[a] = stride;
    }
}

static void pick_kernel(tilefold_problem *p, rng *r, int a) {
    bool transposed = p->op == TILEFOLD_CONV_TRANSPOSE, line = p->rank == 1;
    p->kernel[a] = RNG_PICK(r, 1, 1, 2, 3, 3, 3, 4, 5, 6, 7);
    p->stride[a] = RNG_PICK(r, 1, 1, 1, 2, 2, 3, 4, 5, 6);
    p->dilation[a] = RNG_PICK(r, 1, 1, 1, 1, 2, 2, 3, 4, 6);
    if (!transposed) p->input_dilation[a] = RNG_PICK(r, 1, 1, 1, 1, 1, 2, 3, 4, 6);
    if (line && rng_percent(r, 25)) { /* frames of a signal */
        p->stride[a] = RNG_PICK(r, 3, 8, 16, 20, 64);
        p->kernel[a] = rng_percent(r, 60) ? p->stride[a] * rng_range(r, 1, 4) : rng_range(r, 8, 150);
        p->dilation[a] = 1;
    } else if (rng_percent(r, 8)) { /* patches: the kernel is the stride */
        p->kernel[a] = p->stride[a] = RNG_PICK(r, 2, 2, 3, 4, 8);
        p->dilation[a] = p->input_dilation[a] = 1;
    }
}

/* A depthwise layer of a network: a stream of its own, since no other draw makes one often enough. */
static bool is_depthwise_layer(uint64_t seed) {
    rng r = rng_make(seed, 2);
    return rng_percent(&r, 18);
}

static void pick_depthwise_layer(tilefold_problem *p, rng *r) {
    int64_t kernel = RNG_PICK(r, 3, 3, 5, 7), stride = RNG_PICK(r, 1, 1, 2);
    p->groups = p->in_channels = p->out_channels = RNG_PICK(r, 3, 8, 15, 16, 17, 33, 64, 65, 100);
    for (int a = 0; a < p->rank; a++) {
        p->kernel[a] = kernel;
        p->stride[a] = stride;
        p->dilation[a] = p->input_dilation[a] = 1;
    }
}

/* The same of a grouped layer, with few channels a group. */
static bool is_grouped_layer(uint64_t seed) {
    rng r = rng_make(seed, 3);
    return !is_depthwise_layer(seed) && rng_percent(&r, 12);
}

static void pick_grouped_layer(tilefold_problem *p, rng *r) {
    int64_t channels = RNG_PICK(r, 2, 4, 4, 8, 8, 16, 24, 32), stride = RNG_PICK(r, 1, 1, 2, 3);
    p->groups = rng_range(r, 2, 40 / channels + 2);
    p->in_channels = p->out_channels = p->groups * channels;
    for (int a = 0; a < p->rank; a++) {
        p->kernel[a] = a == p->rank - 1 ? 3 : rng_range(r, 1, 4);
        p->stride[a] = stride;
        p->dilation[a] = p->input_dilation[a] = 1;
    }
}

static void pick_padding(tilefold_problem *p, rng *r, int a) {
    int64_t reach = p->dilation[a] * (p->kernel[a] - 1), I = p->input_size[a];
    int64_t begin = 0, end = 0;
    switch (rng_range(r, 0, 9)) {
    case 0:
    case 1:
    case 2: break;
    case 3:
    case 4: begin = end = reach / 2; break;
    case 5:
    case 6: begin = rng_range(r, 0, reach), end = rng_range(r, 0, reach); break;
    case 7: begin = rng_range(r, 0, 2 * reach + 3), end = rng_range(r, 0, 2 * reach + 3); break;
    case 8: begin = rng_range(r, -I, reach + 1), end = rng_range(r, -I, reach + 1); break;
    default: begin = rng_range(r, -I - 3, I + 3), end = rng_range(r, -I - 3, I + 3); break;
    }
    p->padding_begin[a] = begin;
    p->padding_end[a] = end;
    if (p->op == TILEFOLD_CONV_TRANSPOSE && rng_percent(r, 40))
        p->output_padding[a] = rng_range(r, 0, p->stride[a] + 1);
}

static void pick_sizes(tilefold_problem *p, rng *r) {
    for (int a = 0; a < p->rank; a++) {
        int64_t most = p->rank == 1 ? 200 : p->rank == 2 ? 24 : 9;
        p->input_size[a] = rng_percent(r, 12) ? 1 : rng_percent(r, 30) ? rng_range(r, 1, 6) : rng_range(r, 1, most);
    }
}

/* Gives the axis at least one output, by padding (or cropping less of) its end. */
static void ensure_output(tilefold_problem *p, rng *r, int a) {
    if (oracle_output_size(p, a) >= 1) return;
    int64_t I = p->input_size[a], reach = p->dilation[a] * (p->kernel[a] - 1), extra = rng_range(r, 0, 4);
    if (p->op == TILEFOLD_CONV_TRANSPOSE) {
        p->padding_end[a] -= 1 - oracle_output_size(p, a) + extra;
    } else {
        int64_t room = (I - 1) * p->input_dilation[a] + p->padding_begin[a] + p->padding_end[a] - reach;
        p->padding_end[a] += -room + extra;
    }
}

/* ---------------------------------------------------------------------------------------------------------- size ---- */

static int64_t halve(int64_t value) { return (value + 1) / 2; }

/* The most of: multiply-adds, elements of the output, of the input, of the weight, and taps tried by the oracle. */
static double work(const tilefold_problem *p) {
    double in = (double)p->batch * (double)p->in_channels, out = (double)p->batch * (double)p->out_channels;
    double weight = (double)p->out_channels * (double)(p->in_channels / p->groups), tried = out;
    for (int a = 0; a < p->rank; a++) {
        in *= (double)p->input_size[a];
        out *= (double)oracle_output_size(p, a);
        weight *= (double)p->kernel[a];
        tried *= (double)oracle_output_size(p, a) * (double)p->kernel[a];
    }
    double most = fmax(fmax(in, out), fmax(weight, tried));
    return fmax(most, (double)oracle_macs(p));
}

/* A grouped layer stays one: as many outputs as inputs to a group, and 3 taps. */
static int64_t shrink_layer(const tilefold_problem *p, int64_t what, int a, int64_t *in, int64_t *out) {
    if (what == 0) *in = *out = halve(*in);
    return what < 4 || (what == 6 && a == p->rank - 1) ? 7 : what;
}

static void shrink(tilefold_problem *p, rng *r, bool grouped_layer) {
    int64_t in = p->in_channels / p->groups, out = p->out_channels / p->groups, groups = p->groups;
    int a = (int)rng_range(r, 0, p->rank - 1);
    int64_t what = rng_range(r, 0, 7);
    if (grouped_layer) what = shrink_layer(p, what, a, &in, &out);
    switch (what) {
    case 0:
    case 1: in = halve(in); break;
    case 2:
    case 3: out = halve(out); break;
    case 4: groups = halve(groups); break;
    case 5: p->batch = halve(p->batch); break;
    case 6: p->kernel[a] = halve(p->kernel[a]); break;
    default: p->input_size[a] = halve(p->input_size[a]); break;
    }
    p->groups = groups;
    p->in_channels = in * groups;
    p->out_channels = out * groups;
    for (int axis = 0; axis < p->rank; axis++) {
        p->padding_begin[axis] /= 2; /* so that padding alone never keeps a problem large */
        p->padding_end[axis] /= 2;
        ensure_output(p, r, axis);
    }
}

void fit_problem(tilefold_problem *p, int64_t budget, rng *r) {
    for (int a = 0; a < p->rank; a++) ensure_output(p, r, a);
    while (work(p) > (double)budget) shrink(p, r, false);
}

/* ------------------------------------------------------------------------------------------------------- strides ---- */

/* Dense strides in a random order of the dimensions, with gaps between them, some reversed; a dimension of one element
 * may have any stride at all. */
static void random_strides(rng *r, int dimensions, const int64_t *size, int64_t **stride) {
    int order[8];
    for (int i = 0; i < dimensions; i++) order[i] = i;
    for (int i = dimensions - 1; i > 0; i--) {
        int j = (int)rng_range(r, 0, i), swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
    int64_t step = RNG_PICK(r, 1, 1, 1, 2, 3);
    for (int i = 0; i < dimensions; i++) {
        int d = order[i];
        *stride[d] = rng_percent(r, 20) ? -step : step;
        if (size[d] > 1) {
            step = step * size[d] + RNG_PICK(r, 0, 0, 0, 1, 5);
        } else if (rng_percent(r, 20)) {
            *stride[d] = RNG_PICK(r, 0, INT64_C(1) << 40, -(INT64_C(1) << 40), -7);
        }
    }
}

/* Of a tensor of these sizes, (image, group, channel of it, spatial...): groups by themselves, or as one with their channels. */
static void random_tensor_strides(rng *r, int rank, const int64_t *size, tilefold_tensor_strides *s) {
    int64_t *stride[6] = {&s->batch, &s->group, &s->channel, &s->spatial[0], &s->spatial[1], &s->spatial[2]};
    if (rng_percent(r, 50)) {
        random_strides(r, 3 + rank, size, stride);
        return;
    }
    int64_t joined[5] = {size[0], size[1] * size[2], size[3], size[4], size[5]};
    int64_t *joined_stride[5] = {stride[0], stride[2], stride[3], stride[4], stride[5]};
    random_strides(r, 2 + rank, joined, joined_stride);
    s->group = s->channel * size[2];
}

void randomize_strides(tilefold_problem *p, rng *r) {
    int64_t in[6] = {p->batch, p->groups, p->in_channels / p->groups};
    int64_t out[6] = {p->batch, p->groups, p->out_channels / p->groups};
    int64_t weight[6] = {p->groups, p->out_channels / p->groups, p->in_channels / p->groups};
    tilefold_tensor_strides *i = &p->input_stride;
    tilefold_weight_strides *w = &p->weight_stride;
    int64_t *in_stride[6] = {&i->batch, &i->group, &i->channel};
    int64_t *weight_stride[6] = {&w->group, &w->out_channel, &w->in_channel};
    for (int a = 0; a < p->rank; a++) {
        in[3 + a] = p->input_size[a], in_stride[3 + a] = &i->spatial[a];
        out[3 + a] = oracle_output_size(p, a);
        weight[3 + a] = p->kernel[a], weight_stride[3 + a] = &w->spatial[a];
    }
    if (rng_percent(r, 60)) random_tensor_strides(r, p->rank, in, i);
    if (rng_percent(r, 60)) random_tensor_strides(r, p->rank, out, &p->output_stride);
    if (rng_percent(r, 60)) random_strides(r, 3 + p->rank, weight, weight_stride);
    if (rng_percent(r, 10)) *in_stride[rng_range(r, 0, 2 + p->rank)] = 0; /* one element seen as many */
}

/* ------------------------------------------------------------------------------------------------------- problem ---- */

test_problem make_problem(uint64_t seed, int64_t budget) {
    rng r = rng_make(seed, 1);
    test_problem made = {.seed = seed, .data = pick_data(&r)};
    tilefold_problem *p = &made.problem;
    bool depthwise_layer = is_depthwise_layer(seed), grouped_layer = is_grouped_layer(seed);
    bool layer = depthwise_layer || grouped_layer;
    tilefold_op op = rng_percent(&r, 50) || layer ? TILEFOLD_CONV : TILEFOLD_CONV_TRANSPOSE;
    tilefold_problem_init(p, op, TILEFOLD_F32, (int32_t)RNG_PICK(&r, 1, 1, 1, 2, 2, 2, 2, 3, 3));
    pick_types(p, &r);
    pick_clamp(p, &r);
    pick_channels(p, &r);
    pick_sizes(p, &r);
    p->flip = rng_percent(&r, 20);
    bool plain = rng_percent(&r, 35);
    if (plain) pick_plain_kernel(p, &r);
    if (depthwise_layer) pick_depthwise_layer(p, &r);
    if (grouped_layer) pick_grouped_layer(p, &r);
    for (int a = 0; a < p->rank; a++) {
        if (!plain && !layer) pick_kernel(p, &r, a);
        pick_padding(p, &r, a);
        ensure_output(p, &r, a);
    }
    while (work(p) > (double)budget) shrink(p, &r, grouped_layer);
    tilefold_layout layout = rng_percent(&r, 50) && !grouped_layer ? TILEFOLD_CHANNELS_FIRST : TILEFOLD_CHANNELS_LAST;
    tilefold_message message;
    if (tilefold_problem_set_layout(p, layout, &message) != TILEFOLD_OK) {
        fprintf(stderr, "refused: %s\n%s\n", message.text, describe_problem(&made));
        abort();
    }
    if (rng_percent(&r, 50)) randomize_strides(p, &r);
    return made;
}

static const char *const data_names[DATA_KINDS] = {"unit", "integer", "zeros",   "wide",
                                                   "tiny", "huge",    "extreme", "special"};
static const char *const type_names[] = {"none", "f32", "f16", "bf16"};

/* A line that grows; what does not fit is left out. */
typedef struct line {
    char text[1024];
    size_t length;
} line;

#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
static void
append(line *to, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof to->text - to->length;
    int length = vsnprintf(to->text + to->length, room, format, arguments);
    va_end(arguments);
    to->length += (size_t)length < room ? (size_t)length : room - 1;
}

static void append_axes(line *to, const char *name, int rank, const int64_t *values) {
    append(to, " %s ", name);
    for (int a = 0; a < rank; a++) append(to, "%s%" PRId64, a ? "," : "", values[a]);
}

const char *describe_problem(const test_problem *made) {
    static _Thread_local line to;
    const tilefold_problem *p = &made->problem;
    to.length = 0;
    append(&to, "%s %s batch %" PRId64, p->op == TILEFOLD_CONV ? "conv" : "conv-transpose", type_names[p->type],
           p->batch);
    append(&to, " channels %" PRId64 "->%" PRId64 " groups %" PRId64, p->in_channels, p->out_channels, p->groups);
    append_axes(&to, "input", p->rank, p->input_size);
    append_axes(&to, "kernel", p->rank, p->kernel);
    append_axes(&to, "stride", p->rank, p->stride);
    append_axes(&to, "dilation", p->rank, p->dilation);
    append_axes(&to, "input-dilation", p->rank, p->input_dilation);
    append_axes(&to, "padding-begin", p->rank, p->padding_begin);
    append_axes(&to, "padding-end", p->rank, p->padding_end);
    append_axes(&to, "output-padding", p->rank, p->output_padding);
    append(&to, "%s bias %s clamp %g:%g data %s", p->flip ? " flip" : "", type_names[p->bias_type],
           (double)p->clamp_low, (double)p->clamp_high, data_names[made->data]);
    if (made->name)
        append(&to, " (%s)", made->name);
    else
        append(&to, " (TILEFOLD_TEST_PROBLEM=0x%" PRIx64 ")", made->seed);
    return to.text;
}

/* ------------------------------------------------------------------------------------------------------- crashes ---- */

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
enum { CRASHES = sizeof crashes / sizeof *crashes };
static void (*previous[CRASHES])(int);
static char announced[1100];
static pthread_t announcer;

/* cmocka jumps out of its handler, back to the test. From another thread, a driver's for instance, that would leave the test
 * waiting for ever: there the crash ends the program. */
static void tell_and_pass_on(int number) {
    if (write(STDERR_FILENO, announced, strlen(announced)) < 0) _exit(1);
    if (!pthread_equal(pthread_self(), announcer)) {
        signal(number, SIG_DFL);
        raise(number);
    }
    for (int i = 0; i < CRASHES; i++) {
        if (crashes[i] != number) continue;
        signal(number, previous[i]);
        raise(number);
    }
}

void announce_problem(const test_problem *made) {
    snprintf(announced, sizeof announced, "crashed in %s\n", describe_problem(made));
    announcer = pthread_self();
    for (int i = 0; i < CRASHES; i++) {
        void (*was)(int) = signal(crashes[i], tell_and_pass_on);
        if (was != tell_and_pass_on) previous[i] = was; /* cmocka sets its own again for each test */
    }
}

/* --------------------------------------------------------------------------------------------------- environment ---- */

problem_run begin_problems(int64_t count) {
    const char *scale = getenv("TILEFOLD_TEST_SCALE"), *seed = getenv("TILEFOLD_TEST_SEED");
    const char *problem = getenv("TILEFOLD_TEST_PROBLEM");
    problem_run run = {seed ? strtoull(seed, NULL, 0) : 20240607, count, problem != NULL};
    if (scale) run.count = (int64_t)ceil((double)count * strtod(scale, NULL));
    if (problem) run.seed = strtoull(problem, NULL, 0), run.count = 1;
    return run;
}

uint64_t problem_seed(const problem_run *run, int64_t index) {
    if (run->single) return run->seed;
    rng r = rng_make(run->seed, (uint64_t)index);
    return rng_next(&r);
}

bool has_outputs(const tilefold_problem *p) {
    for (int a = 0; a < p->rank; a++) {
        if (oracle_output_size(p, a) < 1) return false;
    }
    return true;
}

void shrink_randomly(tilefold_problem *p, rng *r) {
    p->batch = rng_range(r, rng_percent(r, 10) ? 0 : p->batch > 0, p->batch);
    for (int a = 0; a < p->rank; a++) {
        if (rng_percent(r, 60)) p->input_size[a] = rng_range(r, 1, p->input_size[a]);
    }
}
