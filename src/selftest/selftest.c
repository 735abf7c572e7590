/* Recomputes the golden problems in several ways each and compares the hashes of the outputs.
 *
 * SPDX-License-Identifier: MIT
 *
 * Which ways a problem is computed in depends on its place in the table alone: twice by every algorithm that does it, with
 * prepacked weights and without, each under one of four limits and in one of three layouts. So all combinations are met somewhere in
 * the table, in a time that allows a user to ask.
 */
#include "selftest.h"

#include <inttypes.h>
#include <stdio.h>

#include "../checked.h"
#include "../device.h"
#include "../message.h"
#include "golden.h"

/* ------------------------------------------------------------------------------------------------------------ arrays ---- */

/* Where a tensor's elements lie; dimension 0 is the outermost in logical order. */
typedef struct view {
    int dimensions;
    int64_t size[3 + TILEFOLD_MAX_RANK], stride[3 + TILEFOLD_MAX_RANK];
    int64_t elements, span; /* span: from the first to the last in memory, both counted */
} view;

static void add_dimension(view *v, int64_t size, int64_t stride) {
    v->size[v->dimensions] = size;
    v->stride[v->dimensions++] = stride;
    v->elements *= size;
    v->span += (size - 1) * stride;
}

static view tensor_view(int rank, int64_t batch, int64_t channels, const int64_t *spatial,
                        const tilefold_tensor_strides *stride) {
    view v = {.elements = 1, .span = 1};
    add_dimension(&v, batch, stride->batch);
    add_dimension(&v, channels, stride->channel);
    for (int a = 0; a < rank; a++) add_dimension(&v, spatial[a], stride->spatial[a]);
    return v;
}

static view weight_view(const tilefold_problem *p) {
    view v = {.elements = 1, .span = 1};
    add_dimension(&v, p->groups, p->weight_stride.group);
    add_dimension(&v, p->out_channels / p->groups, p->weight_stride.out_channel);
    add_dimension(&v, p->in_channels / p->groups, p->weight_stride.in_channel);
    for (int a = 0; a < p->rank; a++) add_dimension(&v, p->kernel[a], p->weight_stride.spatial[a]);
    return v;
}

static view bias_view(const tilefold_problem *p) {
    view v = {.elements = 1, .span = 1};
    add_dimension(&v, p->out_channels, 1);
    return v;
}

static int64_t offset_of(const view *v, int64_t index) {
    int64_t offset = 0;
    for (int d = v->dimensions - 1; d >= 0; d--) {
        offset += index % v->size[d] * v->stride[d];
        index /= v->size[d];
    }
    return offset;
}

typedef struct array {
    view view;
    tilefold_type type;
    unsigned char *data;
    size_t bytes;
} array;

enum { INPUT = TILEFOLD_GOLDEN_INPUT, WEIGHT = TILEFOLD_GOLDEN_WEIGHT, BIAS = TILEFOLD_GOLDEN_BIAS, OUTPUT, ARRAYS };

static unsigned char *element(const array *a, int64_t index) {
    return a->data + (size_t)offset_of(&a->view, index) * tilefold_type_bytes(a->type);
}

/* Gaps, and all of an output that is never written, hold no number. */
static bool make_array(tilefold_context *context, array *a, tilefold_type type, view v) {
    a->view = v;
    a->type = type;
    a->bytes = (size_t)v.span * tilefold_type_bytes(type);
    if (a->bytes == 0) return true; /* a bias that is not there */
    a->data = context->allocator.allocate(context->allocator.user, a->bytes, 64);
    if (a->data) memset(a->data, 0xff, a->bytes);
    return a->data != NULL;
}

static void release_arrays(tilefold_context *context, array arrays[ARRAYS]) {
    for (int i = 0; i < ARRAYS; i++)
        if (arrays[i].data) context->allocator.release(context->allocator.user, arrays[i].data, arrays[i].bytes);
}

static bool make_arrays(tilefold_context *context, const tilefold_golden *golden, const tilefold_problem *p,
                        array arrays[ARRAYS]) {
    int64_t output_size[TILEFOLD_MAX_RANK];
    if (tilefold_output_size(p, output_size, NULL) != TILEFOLD_OK) return false;
    memset(arrays, 0, ARRAYS * sizeof *arrays);
    view input = tensor_view(p->rank, p->batch, p->in_channels, p->input_size, &p->input_stride);
    view output = tensor_view(p->rank, p->batch, p->out_channels, output_size, &p->output_stride);
    bool made = make_array(context, &arrays[INPUT], p->type, input) &&
                make_array(context, &arrays[WEIGHT], p->type, weight_view(p)) &&
                make_array(context, &arrays[BIAS], p->bias_type, bias_view(p)) &&
                make_array(context, &arrays[OUTPUT], p->type, output);
    for (int tensor = INPUT; made && tensor <= BIAS; tensor++) {
        const array *a = &arrays[tensor];
        for (int64_t i = 0; a->data && i < a->view.elements; i++)
            tilefold_golden_store(a->type, element(a, i),
                                  tilefold_golden_element(golden, (tilefold_golden_tensor)tensor, i));
    }
    if (!made) release_arrays(context, arrays);
    return made;
}

static bool has_hash(const array *output, const char *wanted) {
    char text[TILEFOLD_SHA256_TEXT];
    tilefold_sha256 hash;
    tilefold_sha256_begin(&hash);
    for (int64_t i = 0; i < output->view.elements; i++)
        tilefold_golden_add(&hash, output->type, tilefold_golden_load(output->type, element(output, i)));
    tilefold_sha256_end(&hash, text);
    return strncmp(text, wanted, TILEFOLD_SHA256_TEXT - 1) == 0;
}

/* -------------------------------------------------------------------------------------------------------------- ways ---- */

enum { LAYOUTS = 3, LIMITS = 4, ALGORITHMS = TILEFOLD_ALGORITHM_DIRECT + 1 };

/* The third layout is the second with every other element left out. */
static const char *const layout_names[LAYOUTS] = {"channels-first", "channels-last", "channels-last with gaps"};

/* The least there is where a limit is below it. The last leaves these problems as good as unlimited. */
static const int64_t limits[LIMITS] = {0, 8192, 65536, 4194304};

typedef struct way {
    tilefold_plan_options options;
    int layout;
} way;

/* A way by each algorithm for even and odd numbers. Numbers are spread by a multiplication (Knuth, The Art of Computer
 * Programming, volume 3, 6.4), so that limits, layouts and prepacking do not keep step. */
static way make_way(uint32_t number, tilefold_algorithm algorithm) {
    uint32_t n = (number * 4 + (uint32_t)algorithm + 1) * 2654435769u;
    way w = {.layout = (int)((n >> 8 & 0xff) % LAYOUTS)};
    tilefold_plan_options_init(&w.options);
    w.options.algorithm = algorithm;
    w.options.scratch_limit_bytes = limits[n >> 30];
    w.options.prepack_weights = number & 1;
    return w;
}

static void spread(tilefold_tensor_strides *stride) {
    stride->batch *= 2;
    stride->group *= 2;
    stride->channel *= 2;
    for (int a = 0; a < TILEFOLD_MAX_RANK; a++) stride->spatial[a] *= 2;
}

static tilefold_status lay_out(tilefold_problem *p, int layout, tilefold_message *message) {
    tilefold_layout dense = layout == 0 ? TILEFOLD_CHANNELS_FIRST : TILEFOLD_CHANNELS_LAST;
    tilefold_status status = tilefold_problem_set_layout(p, dense, message);
    if (layout < 2) return status;
    spread(&p->input_stride);
    spread(&p->output_stride);
    return status;
}

/* Raises the limit to the least that there is. UNSUPPORTED where the algorithm does not do the problem. */
static tilefold_status raise_limit(tilefold_context *context, const tilefold_problem *p, way *w,
                                   tilefold_message *message) {
    tilefold_plan_options unlimited = w->options;
    unlimited.scratch_limit_bytes = INT64_MAX;
    tilefold_plan *plan;
    tilefold_status status = tilefold_plan_create(context, p, &unlimited, &plan, message);
    if (status != TILEFOLD_OK) return status;
    w->options.scratch_limit_bytes = tilefold_max(w->options.scratch_limit_bytes, plan->info.min_scratch_bytes);
    tilefold_plan_destroy(plan);
    return TILEFOLD_OK;
}

/* ------------------------------------------------------------------------------------------------------------ runs ---- */

typedef struct selftest {
    tilefold_context *context;
    tilefold_selftest_report report;
    void *user;
    int64_t compared, disagreed;
} selftest;

static tilefold_status compute(selftest *test, const tilefold_golden *golden, const tilefold_problem *p, const way *w,
                               bool *agrees, tilefold_message *message) {
    array arrays[ARRAYS];
    if (!make_arrays(test->context, golden, p, arrays))
        return tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY, "no memory for the tensors of: %s", golden->text);
    tilefold_status status = tilefold_convolve(test->context, p, &w->options, arrays[INPUT].data, arrays[WEIGHT].data,
                                               arrays[BIAS].data, arrays[OUTPUT].data, message);
    *agrees = status == TILEFOLD_OK && has_hash(&arrays[OUTPUT], golden->hash);
    release_arrays(test->context, arrays);
    return status;
}

static tilefold_status tell(selftest *test, const tilefold_golden *golden, const way *w, bool agrees,
                            tilefold_message *message) {
    char text[160];
    snprintf(text, sizeof text, "%s, %s, %sscratch limit %" PRId64, tilefold_algorithm_name(w->options.algorithm),
             layout_names[w->layout], w->options.prepack_weights ? "prepacked, " : "", w->options.scratch_limit_bytes);
    test->compared++;
    test->disagreed += !agrees;
    if (!test->report || test->report(test->user, golden->text, text, agrees)) return TILEFOLD_OK;
    return tilefold_fail(message, TILEFOLD_CANCELLED, "cancelled after %" PRId64 " outputs", test->compared);
}

static tilefold_status run_way(selftest *test, const tilefold_golden *golden, way w, tilefold_message *message) {
    tilefold_problem p = golden->problem;
    bool agrees = false;
    tilefold_status status = lay_out(&p, w.layout, message);
    if (status == TILEFOLD_OK) status = raise_limit(test->context, &p, &w, message);
    if (status == TILEFOLD_UNSUPPORTED && w.options.algorithm != TILEFOLD_ALGORITHM_AUTO) return TILEFOLD_OK;
    if (status == TILEFOLD_OK) status = compute(test, golden, &p, &w, &agrees, message);
    return status == TILEFOLD_OK ? tell(test, golden, &w, agrees, message) : status;
}

static tilefold_status run_line(selftest *test, const char *line, uint32_t number, tilefold_message *message) {
    tilefold_golden golden;
    if (!tilefold_golden_read(line, &golden))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "no golden problem: %s", line);
    tilefold_status status = TILEFOLD_OK;
    for (uint32_t i = 0; status == TILEFOLD_OK && i < 2 * ALGORITHMS; i++)
        status = run_way(test, &golden, make_way(2 * number + i % 2, (tilefold_algorithm)(i / 2)), message);
    return status;
}

tilefold_status tilefold_selftest_lines(tilefold_context *context, const char *const *lines,
                                        tilefold_selftest_report report, void *user, tilefold_message *message) {
    if (!context) return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "context is NULL");
    const char *other_bits = context->device->other_bits(context);
    if (other_bits)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "this device does not promise the bits of the CPU: %s",
                             other_bits);
    selftest test = {.context = context, .report = report, .user = user};
    tilefold_status status = TILEFOLD_OK;
    for (uint32_t number = 0; status == TILEFOLD_OK && lines[number]; number++)
        status = run_line(&test, lines[number], number, message);
    if (status == TILEFOLD_OK && test.disagreed > 0)
        status = tilefold_fail(message, TILEFOLD_DISAGREEMENT,
                               "%" PRId64 " of %" PRId64 " outputs have not the golden bits", test.disagreed,
                               test.compared);
    return status;
}

tilefold_status tilefold_selftest(tilefold_context *context, tilefold_selftest_report report, void *user,
                                  tilefold_message *message) {
    return tilefold_selftest_lines(context, tilefold_golden_lines, report, user, message);
}
