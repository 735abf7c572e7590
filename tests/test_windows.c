/* Windows of outputs: what they read, exactly; and computed by themselves, from nothing else, with the bits of the whole.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bound.h"
#include "oracle.h"
#include "runner.h"
#include "window.h"

static tilefold_window whole_output(const tilefold_problem *p) {
    tilefold_window whole;
    assert_int_equal(tilefold_output_window(p, &whole, NULL), TILEFOLD_OK);
    return whole;
}

static void narrow(int64_t *begin, int64_t *size, int64_t least, rng *r) {
    int64_t whole = *size;
    *size = rng_percent(r, 30) ? rng_range(r, least, whole < 3 ? whole : 3) : rng_range(r, least, whole);
    *begin += rng_range(r, 0, whole - *size);
}

static tilefold_window random_window(const tilefold_problem *p, rng *r) {
    tilefold_window w = whole_output(p);
    if (rng_percent(r, 30)) narrow(&w.batch_begin, &w.batch_size, 0, r);
    if (rng_percent(r, 50)) narrow(&w.channel_begin, &w.channel_size, 1, r);
    for (int a = 0; a < p->rank; a++)
        if (rng_percent(r, 80)) narrow(&w.begin[a], &w.size[a], 1, r);
    return w;
}

/* ------------------------------------------------------------------------------------------------ what is read ---- */

/* The input position of output x at tap k, by the formulas of the header; false where there is none in the input. */
static bool reads(const tilefold_problem *p, int a, int64_t x, int64_t k, int64_t *i) {
    bool transposed = p->op == TILEFOLD_CONV_TRANSPOSE;
    int64_t at = transposed ? x + p->padding_begin[a] - k * p->dilation[a]
                            : x * p->stride[a] + k * p->dilation[a] - p->padding_begin[a];
    int64_t by = transposed ? p->stride[a] : p->input_dilation[a];
    *i = at / by;
    return at >= 0 && at % by == 0 && *i < p->input_size[a];
}

/* The loop of the header. */
static void find_read(const tilefold_problem *p, int a, const tilefold_window *output, int64_t *first, int64_t *last) {
    *first = INT64_MAX, *last = -1;
    for (int64_t x = output->begin[a]; x < output->begin[a] + output->size[a]; x++)
        for (int64_t k = 0; k < p->kernel[a]; k++) {
            int64_t i;
            if (!reads(p, a, x, k, &i)) continue;
            if (i < *first) *first = i;
            if (i > *last) *last = i;
        }
}

static bool right_axis(const tilefold_problem *p, int a, const tilefold_window *output, const tilefold_window *input) {
    int64_t first, last;
    find_read(p, a, output, &first, &last);
    if (last < 0) return input->size[a] == 0 && input->begin[a] >= 0 && input->begin[a] < p->input_size[a];
    return input->begin[a] == first && input->size[a] == last - first + 1;
}

/* Channels and the slice of the weight, by asking of every output channel. */
static bool right_channels(const tilefold_problem *p, const tilefold_window *output, const tilefold_window *input,
                           const tilefold_weight_window *weight) {
    int64_t each = p->out_channels / p->groups, channels = p->in_channels / p->groups;
    int64_t groups[2] = {INT64_MAX, -1}, outs[2] = {INT64_MAX, -1};
    for (int64_t o = output->channel_begin; o < output->channel_begin + output->channel_size; o++) {
        if (o / each < groups[0]) groups[0] = o / each;
        if (o / each > groups[1]) groups[1] = o / each;
        if (o % each < outs[0]) outs[0] = o % each;
        if (o % each > outs[1]) outs[1] = o % each;
    }
    return weight->group_begin == groups[0] && weight->group_size == groups[1] - groups[0] + 1 &&
           weight->out_channel_begin == outs[0] && weight->out_channel_size == outs[1] - outs[0] + 1 &&
           input->channel_begin == groups[0] * channels && input->channel_size == weight->group_size * channels;
}

static int64_t empty_axes;

static void check_input_window(const test_problem *made, const tilefold_window *output) {
    const tilefold_problem *p = &made->problem;
    tilefold_window input;
    tilefold_weight_window weight;
    assert_int_equal(tilefold_input_window(p, output, &input, &weight, NULL), TILEFOLD_OK);
    bool right = input.batch_begin == output->batch_begin && input.batch_size == output->batch_size &&
                 right_channels(p, output, &input, &weight);
    for (int a = 0; right && a < p->rank; a++) {
        right = right_axis(p, a, output, &input);
        empty_axes += input.size[a] == 0;
        if (!right)
            fprintf(stderr, "axis %d: outputs from %" PRId64 ", %" PRId64 ", read from %" PRId64 ", %" PRId64 "\n", a,
                    output->begin[a], output->size[a], input.begin[a], input.size[a]);
    }
    if (!right) fail_msg("%s: another input window than the loop finds", describe_problem(made));
}

/* One axis of any parameters, crops and gaps wider than the kernel among them. */
static test_problem random_axis(uint64_t seed) {
    rng r = rng_make(seed, 40);
    test_problem made = {.seed = seed};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, rng_percent(&r, 50) ? TILEFOLD_CONV_TRANSPOSE : TILEFOLD_CONV, TILEFOLD_F32, 1);
    p->input_size[0] = rng_range(&r, 1, 14);
    p->kernel[0] = rng_range(&r, 1, rng_percent(&r, 20) ? 30 : 5);
    p->stride[0] = rng_range(&r, 1, 8);
    p->dilation[0] = rng_range(&r, 1, 7);
    p->padding_begin[0] = rng_range(&r, -9, 14);
    p->padding_end[0] = rng_range(&r, -9, 14);
    if (p->op == TILEFOLD_CONV)
        p->input_dilation[0] = rng_range(&r, 1, 8);
    else
        p->output_padding[0] = rng_range(&r, 0, 12);
    return made;
}

static void test_axes(void **state) {
    (void)state;
    problem_run run = begin_problems(40000);
    int64_t tried = 0;
    empty_axes = 0;
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = random_axis(problem_seed(&run, i));
        if (!has_outputs(&made.problem)) continue;
        rng r = rng_make(made.seed, 41);
        tilefold_window whole = whole_output(&made.problem);
        check_input_window(&made, &whole);
        for (int j = 0; j < 4; j++) {
            tilefold_window w = random_window(&made.problem, &r);
            check_input_window(&made, &w);
        }
        tried++;
    }
    assert_true(run.single || (tried > run.count / 3 && empty_axes > tried / 50));
}

static void test_problems_of_every_kind(void **state) {
    (void)state;
    problem_run run = begin_problems(5000);
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_problem(problem_seed(&run, i), 15000);
        rng r = rng_make(made.seed, 42);
        for (int j = 0; j < 4; j++) {
            tilefold_window w = random_window(&made.problem, &r);
            check_input_window(&made, &w);
        }
    }
}

/* Sizes that no loop goes through. Dilation and stride have a divisor in common, so every other element is never read. */
static void test_far_windows(void **state) {
    (void)state;
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 1);
    p.input_size[0] = INT64_C(1) << 50;
    p.kernel[0] = 5;
    p.stride[0] = 1000, p.dilation[0] = 6;
    p.padding_begin[0] = 7;
    tilefold_window output = whole_output(&p), input;
    tilefold_weight_window weight;
    output.begin[0] = INT64_C(1) << 39, output.size[0] = INT64_C(1) << 30;
    assert_int_equal(tilefold_input_window(&p, &output, &input, &weight, NULL), TILEFOLD_OK);
    assert_int_equal(input.begin[0], output.begin[0] * 1000 - 7);
    assert_int_equal(input.size[0], (output.size[0] - 1) * 1000 + 25);
    output.begin[0] = 0;
    assert_int_equal(tilefold_input_window(&p, &output, &input, &weight, NULL), TILEFOLD_OK);
    assert_int_equal(input.begin[0], 5); /* tap 2 of output 0 */

    /* More padding than input: the first outputs that read anything are far from the first. */
    p.stride[0] = 2;
    p.padding_begin[0] = (INT64_C(1) << 45) + 1;
    output.size[0] = INT64_C(1) << 46;
    assert_int_equal(tilefold_input_window(&p, &output, &input, &weight, NULL), TILEFOLD_OK);
    assert_int_equal(input.begin[0], 1);
    assert_int_equal(input.size[0], 2 * (output.size[0] - 1) + 24 - p.padding_begin[0]);
}

/* ---------------------------------------------------------------------------------------------------- computing ---- */

/* The memory of one piece: the input window and the output window in arrays of their own, or in ones like the whole's. */
typedef struct piece {
    tilefold_problem whole; /* with the strides of the arrays */
    tilefold_problem part;
    tilefold_window_offsets offsets; /* in those */
    guarded input, output;
    tensor_view input_view, output_view; /* of the part, within input and output */
} piece;

static int64_t element_bytes(const tensors *t) { return (int64_t)tilefold_type_bytes(t->made.problem.type); }

/* Element `index` of a window in logical order: where it lies, from the window's first element, given its strides. */
static const unsigned char *input_element(const tensors *t, const tilefold_window_offsets *in_whole,
                                          const tensor_view *window, int64_t index) {
    const unsigned char *first = tensors_input(t);
    return first + (in_whole->input + view_offset(window, index)) * element_bytes(t);
}

/* Arrays that hold the windows and nothing else. */
static void use_own_arrays(piece *p, rng *r) {
    bool last = p->whole.input_stride.channel == 1 || p->whole.input_stride.group == 1 || rng_percent(r, 50);
    tilefold_layout layout = last ? TILEFOLD_CHANNELS_LAST : TILEFOLD_CHANNELS_FIRST;
    assert_int_equal(tilefold_problem_set_layout(&p->part, layout, NULL), TILEFOLD_OK);
    p->part.weight_stride = p->whole.weight_stride;
    p->whole.input_stride = p->part.input_stride;
    p->whole.output_stride = p->part.output_stride;
    p->offsets.input = p->offsets.output = 0;
}

/* Whether a plan for channels, or groups of one channel, side by side would take an array of the part's own. */
static bool own_arrays_suit(const tilefold_problem *whole) {
    return whole->groups == 1 || whole->in_channels == whole->groups || whole->input_stride.group != 1;
}

static int64_t empty_pieces;

/* as_problem: an empty input has one element all the same. */
static piece make_piece(const tensors *t, const tilefold_window *output, bool as_problem, rng *r) {
    const tilefold_problem *whole = &t->made.problem;
    piece p = {.whole = *whole};
    tilefold_window_offsets in_whole;
    tilefold_problem_init(&p.part, TILEFOLD_CONV, TILEFOLD_F32, 1);
    assert_int_equal(tilefold_window_problem(whole, output, &p.part, &in_whole, NULL), TILEFOLD_OK);
    p.offsets = in_whole;
    tensor_view in_place = input_view(&p.part);
    if (rng_percent(r, 60) && own_arrays_suit(whole)) use_own_arrays(&p, r);
    p.input_view = input_view(&p.part);
    p.output_view = output_view(&p.part);
    size_t size = (size_t)element_bytes(t);
    p.output = guarded_new((size_t)p.output_view.span * size, size, rng_percent(r, 50));
    fill_pattern(p.output.data, p.output.bytes);
    tilefold_window input;
    tilefold_weight_window weight;
    assert_int_equal(tilefold_input_window(whole, output, &input, &weight, NULL), TILEFOLD_OK);
    bool empty = false;
    for (int a = 0; a < whole->rank; a++) empty = empty || input.size[a] == 0;
    empty_pieces += empty;
    bool nothing = empty && !as_problem; /* then what is not to be read is not there */
    if (nothing) p.input_view.low = p.input_view.span = 0;
    p.input = guarded_new((size_t)p.input_view.span * size, size, nothing || rng_percent(r, 50));
    fill_pattern(p.input.data, p.input.bytes);
    for (int64_t i = 0; !empty && i < p.input_view.elements; i++)
        memcpy(p.input.data + (view_offset(&p.input_view, i) - p.input_view.low) * (int64_t)size,
               input_element(t, &in_whole, &in_place, i), size);
    return p;
}

static void *first_element(const guarded *memory, const tensor_view *view, const tensors *t) {
    return memory->data + (size_t)(-view->low * element_bytes(t));
}

/* The index, in logical order, of the whole's output that is element `index` of the window. */
static int64_t index_in_whole(const tilefold_problem *p, const tilefold_window *window, int64_t index) {
    int64_t at = 0, step = 1;
    for (int a = p->rank - 1; a >= 0; a--) {
        at += (window->begin[a] + index % window->size[a]) * step;
        index /= window->size[a];
        step *= oracle_output_size(p, a);
    }
    at += (window->channel_begin + index % window->channel_size) * step;
    index /= window->channel_size;
    return at + (window->batch_begin + index) * step * p->out_channels;
}

/* Whether the piece's output is the window of what was expected, and nothing else was written; then it is released. */
static bool finish_piece(piece *p, const tensors *t, const tilefold_window *window, const unsigned char *expected) {
    size_t size = (size_t)element_bytes(t);
    bool right = guarded_intact(&p->input) && guarded_intact(&p->output);
    for (int64_t i = 0; right && i < p->output_view.elements; i++) {
        unsigned char *got = p->output.data + (size_t)(view_offset(&p->output_view, i) - p->output_view.low) * size;
        const unsigned char *should = expected + (size_t)index_in_whole(&t->made.problem, window, i) * size;
        int64_t unused;
        right = same_bits(t->made.problem.type, 1, should, got, &unused);
        if (!right) fprintf(stderr, "output %" PRId64 " of the window is wrong\n", i);
        unsigned char pattern[8];
        fill_pattern(pattern, sizeof pattern);
        memcpy(got, pattern + (size_t)(got - p->output.data) % 4, size);
    }
    if (right && !holds_pattern(&p->output)) {
        fprintf(stderr, "written where no output of the window is\n");
        right = false;
    }
    guarded_delete(&p->input);
    guarded_delete(&p->output);
    return right;
}

static size_t bytes_behind(const guarded *memory, const void *element) {
    return memory->bytes - (size_t)((const unsigned char *)element - memory->data);
}

/* One window under the plan. */
static bool run_window(const tilefold_plan *plan, const tensors *t, const tilefold_window *output,
                       const tilefold_execution *prepared, const unsigned char *expected, const way *w, rng *r) {
    piece p = make_piece(t, output, false, r);
    tilefold_execution e = *prepared;
    e.input = first_element(&p.input, &p.input_view, t);
    e.output = first_element(&p.output, &p.output_view, t);
    e.input_bytes = bytes_behind(&p.input, e.input);
    e.output_bytes = bytes_behind(&p.output, e.output);
    tilefold_message message;
    tilefold_status status = tilefold_execute_window(plan, &p.whole, output, &e, &message);
    bool right = finish_piece(&p, t, output, expected);
    if (!status && right) return true;
    for (int a = 0; a < t->made.problem.rank; a++)
        fprintf(stderr, "axis %d from %" PRId64 ", %" PRId64 "\n", a, output->begin[a], output->size[a]);
    complain(&t->made, w, status ? message.text : "another window than the whole has");
    return false;
}

/* Cuts a box in two at random, again and again, and runs what is left. */
static bool run_pieces(const tilefold_plan *plan, const tensors *t, tilefold_window box, int cuts,
                       const tilefold_execution *e, const unsigned char *expected, const way *w, rng *r) {
    int64_t *begins[] = {&box.batch_begin, &box.begin[0], &box.begin[1], &box.begin[2]};
    int64_t *sizes[] = {&box.batch_size, &box.size[0], &box.size[1], &box.size[2]};
    int along = (int)rng_range(r, 0, t->made.problem.rank);
    if (cuts == 0 || *sizes[along] < 2) return run_window(plan, t, &box, e, expected, w, r);
    int64_t size = *sizes[along], first = rng_range(r, 1, size - 1);
    *sizes[along] = first;
    bool right = run_pieces(plan, t, box, cuts - 1, e, expected, w, r);
    *begins[along] += first;
    *sizes[along] = size - first;
    return right && run_pieces(plan, t, box, cuts - 1, e, expected, w, r);
}

/* One plan and one set of packed weights for all pieces, and for those of a smaller problem. */
static bool try_way(const test_problem *larger, const tensors *t, const way *w, const unsigned char *expected, rng *r) {
    bool declined;
    tilefold_plan *plan = make_plan(larger, w, &declined);
    if (!plan) return declined;
    prepared p;
    tilefold_message message;
    assert_int_equal(prepare_execution(plan, t, &p, &message), TILEFOLD_OK);
    int cuts = (int)rng_range(r, 0, 5);
    bool right = run_pieces(plan, t, whole_output(&t->made.problem), cuts, &p.execution, expected, w, r);
    right = finish_execution(&p) && right;
    tilefold_plan_destroy(plan);
    return right;
}

static int64_t random_limit(rng *r, int64_t least) {
    if (rng_percent(r, 30)) return INT64_MAX;
    return least + (rng_percent(r, 30) ? 0 : rng_range(r, 0, INT64_C(1) << rng_range(r, 6, 20)));
}

static bool try_problem(const test_problem *larger) {
    rng r = rng_make(larger->seed, 43);
    test_problem smaller = *larger;
    if (rng_percent(&r, 30)) shrink_randomly(&smaller.problem, &r);
    if (!has_outputs(&smaller.problem)) return true;
    tensors t = make_tensors(&smaller);
    unsigned char *expected = reference_output(&t);
    bool right = expected != NULL;
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    method methods[MAX_METHODS];
    int method_count = machine_methods(methods);
    for (int m = 0; right && m < method_count; m++) {
        way w = {.isa = isas[rng_range(&r, 0, isa_count - 1)],
                 .algorithm = methods[m].algorithm,
                 .storage = methods[m].storage,
                 .prepack = rng_percent(&r, 60),
                 .threads = (int32_t)rng_range(&r, 1, 2),
                 .pool = POOL_SEQUENTIAL,
                 .limit = INT64_MAX};
        int64_t least = least_limit(larger, &w);
        if (least >= 0) w.limit = random_limit(&r, least);
        right = try_way(larger, &t, &w, expected, &r);
    }
    free(expected);
    free_tensors(&t);
    return right;
}

static void test_pieces(void **state) {
    (void)state;
    problem_run run = begin_problems(1500);
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_problem(problem_seed(&run, i), 15000);
        assert_true(try_problem(&made));
    }
    assert_true(run.single || empty_pieces > run.count / 50);
}

static void test_listed_pieces(void **state) {
    (void)state;
    for (int i = 0; i < listed_problems(); i += list_step()) {
        test_problem made = listed_problem(i, TILEFOLD_F32, TILEFOLD_F32);
        made.seed = (uint64_t)i;
        assert_true(try_problem(&made));
        if (i % 3 != 0) continue;
        assert_int_equal(tilefold_problem_set_layout(&made.problem, TILEFOLD_CHANNELS_LAST, NULL), TILEFOLD_OK);
        assert_true(try_problem(&made));
    }
}

/* All outputs reach around the only row there is: a copy of rows from the first that is read to the last would have it, too. */
static void test_unread_rows(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        test_problem made = {.seed = seed};
        tilefold_problem *p = &made.problem;
        tilefold_problem_init(p, TILEFOLD_CONV, TILEFOLD_F32, 2);
        p->in_channels = p->out_channels = 8;
        p->input_size[1] = 8;
        p->kernel[0] = p->kernel[1] = 3;
        p->stride[0] = p->dilation[0] = 2;
        p->padding_begin[0] = 1, p->padding_end[0] = 7;
        tilefold_layout layout = seed % 2 ? TILEFOLD_CHANNELS_LAST : TILEFOLD_CHANNELS_FIRST;
        assert_int_equal(tilefold_problem_set_layout(p, layout, NULL), TILEFOLD_OK);
        int64_t before = empty_pieces;
        assert_true(try_problem(&made));
        assert_true(empty_pieces > before);
    }
}

/* --------------------------------------------------------------------------------------------------- as problems ---- */

/* Rounds a window of channels to whole groups, unless it lies within one. */
static void round_channels(const tilefold_problem *p, tilefold_window *w) {
    int64_t each = p->out_channels / p->groups, first = w->channel_begin, last = first + w->channel_size - 1;
    if (first / each == last / each) return;
    w->channel_begin = first / each * each;
    w->channel_size = (last / each + 1) * each - w->channel_begin;
}

/* A plan of its own computes the window, with its slice of the weights and the bias. */
static void try_window_problem(const test_problem *made) {
    rng r = rng_make(made->seed, 44);
    tensors t = make_tensors(made);
    unsigned char *expected = reference_output(&t);
    assert_non_null(expected);
    for (int i = 0; i < 3; i++) {
        tilefold_window output = random_window(&made->problem, &r);
        round_channels(&made->problem, &output);
        piece p = make_piece(&t, &output, true, &r);
        way w = {.isa = best_isa(), .threads = 1, .prepack = rng_percent(&r, 50), .limit = INT64_MAX};
        tilefold_plan_options options = way_options(&w);
        tilefold_message message;
        const char *weight = tensors_weight(&t), *bias = tensors_bias(&t);
        tilefold_type bias_type = made->problem.bias_type;
        tilefold_status status = tilefold_convolve(get_context(&w), &p.part, &options,
                                                   first_element(&p.input, &p.input_view, &t),
                                                   weight + p.offsets.weight * element_bytes(&t),
                                                   bias
                                                       ? bias + p.offsets.bias * (int64_t)tilefold_type_bytes(bias_type)
                                                       : NULL,
                                                   first_element(&p.output, &p.output_view, &t), &message);
        bool right = finish_piece(&p, &t, &output, expected);
        if (status || !right) fail_problem(made, &w, status ? message.text : "its window is another problem");
    }
    free(expected);
    free_tensors(&t);
}

static void test_window_problems(void **state) {
    (void)state;
    problem_run run = begin_problems(1500);
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_problem(problem_seed(&run, i), 15000);
        try_window_problem(&made);
    }
}

/* The offsets are those of the first elements, in the whole's arrays. */
static void test_offsets(void **state) {
    (void)state;
    problem_run run = begin_problems(2000);
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_problem(problem_seed(&run, i), 15000);
        const tilefold_problem *p = &made.problem;
        rng r = rng_make(made.seed, 45);
        tilefold_window output = random_window(p, &r);
        round_channels(p, &output);
        if (output.batch_size == 0) continue;
        tilefold_problem part;
        tilefold_window_offsets offsets;
        tilefold_problem_init(&part, TILEFOLD_CONV, TILEFOLD_F32, 1);
        assert_int_equal(tilefold_window_problem(p, &output, &part, &offsets, NULL), TILEFOLD_OK);
        tensor_view whole = output_view(p);
        assert_int_equal(offsets.output, view_offset(&whole, index_in_whole(p, &output, 0)));
        assert_int_equal(offsets.bias, output.channel_begin);
        for (int a = 0; a < p->rank; a++) assert_int_equal(oracle_output_size(&part, a), output.size[a]);
    }
}

/* ------------------------------------------------------------------------------------------------------- limits ---- */

/* A signal that no memory holds, 2^50 samples of two channels, in arrays of a window's size; every sum is exact. */
static void test_endless_signal(void **state) {
    (void)state;
    if (runs_bound()) skip();
    enum { OUTPUTS = 300, TAPS = 5, INPUTS = OUTPUTS + TAPS - 1 };
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 1);
    p.in_channels = 2;
    p.input_size[0] = INT64_C(1) << 50;
    p.kernel[0] = TAPS;
    p.padding_begin[0] = p.padding_end[0] = 2;
    p.input_stride = (tilefold_tensor_strides){.channel = INT64_C(1) << 50, .spatial = {1}};
    p.output_stride = (tilefold_tensor_strides){.channel = INT64_C(1) << 50, .spatial = {1}};
    p.weight_stride = (tilefold_weight_strides){.out_channel = 2 * TAPS, .in_channel = TAPS, .spatial = {1}};
    way w = {.isa = best_isa(), .threads = 1, .limit = 65536};
    tilefold_plan_options options = way_options(&w);
    tilefold_plan *plan;
    tilefold_message message;
    assert_int_equal(tilefold_plan_create(get_context(&w), &p, &options, &plan, &message), TILEFOLD_OK);
    float input[2 * INPUTS], weight[2 * TAPS], output[OUTPUTS];
    for (int i = 0; i < 2 * INPUTS; i++) input[i] = (float)(i % 7 - 3);
    for (int i = 0; i < 2 * TAPS; i++) weight[i] = (float)(i % 5 - 1);
    tilefold_plan_info info = get_info(plan);
    void *scratch = aligned_alloc(TILEFOLD_ALIGNMENT, ((size_t)info.scratch_bytes + 64) / 64 * 64);
    assert_non_null(scratch);
    tilefold_execution e;
    tilefold_execution_init(&e);
    e.input = input, e.input_bytes = sizeof input;
    e.weight = weight, e.weight_bytes = sizeof weight;
    e.output = output, e.output_bytes = sizeof output;
    e.scratch = scratch, e.scratch_bytes = (size_t)info.scratch_bytes;
    tilefold_window window = whole_output(&p);
    window.size[0] = OUTPUTS;
    window.begin[0] = (INT64_C(1) << 49) + 3;
    tilefold_problem held = p;
    held.input_stride.channel = INPUTS;
    assert_int_equal(tilefold_execute_window(plan, &held, &window, &e, &message), TILEFOLD_OK);
    for (int x = 0; x < OUTPUTS; x++) {
        float sum = 0;
        for (int k = 0; k < TAPS; k++) sum += input[x + k] * weight[k] + input[INPUTS + x + k] * weight[TAPS + k];
        assert_true(output[x] == sum);
    }
    free(scratch);
    tilefold_plan_destroy(plan);
}

static void test_what_is_refused(void **state) {
    (void)state;
    test_problem made = make_problem(7, 15000);
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 2);
    p.batch = 2, p.in_channels = 4, p.out_channels = 8, p.groups = 2;
    p.input_size[0] = 9, p.input_size[1] = 7;
    assert_int_equal(tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    made.problem = p;
    tilefold_window good = whole_output(&p), input = {.batch_begin = 77}, bad;
    tilefold_weight_window weight = {.group_begin = 78};
    assert_int_equal(good.size[0], 9);
    assert_int_equal(good.size[2], 0);
    const struct {
        int64_t *begin, *size, begin_value, size_value;
    } wrong[] = {
        {&bad.batch_begin, &bad.batch_size, 0, 3},
        {&bad.batch_begin, &bad.batch_size, -1, 1},
        {&bad.batch_begin, &bad.batch_size, 0, -1},
        {&bad.channel_begin, &bad.channel_size, 0, 9},
        {&bad.channel_begin, &bad.channel_size, 3, 0},
        {&bad.channel_begin, &bad.channel_size, INT64_MAX, 1},
        {&bad.begin[0], &bad.size[0], 0, 10},
        {&bad.begin[0], &bad.size[0], 9, 1},
        {&bad.begin[1], &bad.size[1], INT64_MAX, INT64_MAX},
        {&bad.begin[1], &bad.size[1], 2, 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        bad = good;
        *wrong[i].begin = wrong[i].begin_value, *wrong[i].size = wrong[i].size_value;
        tilefold_message message = {""};
        assert_int_equal(tilefold_input_window(&p, &bad, &input, &weight, &message), TILEFOLD_INVALID_ARGUMENT);
        assert_true(message.text[0] != 0);
        assert_int_equal(input.batch_begin, 77);
        assert_int_equal(weight.group_begin, 78);
    }
    /* Channels across groups are no problem; some of a group are, but not under the whole's plan. */
    tilefold_problem part = p;
    bad = good;
    bad.channel_begin = 2, bad.channel_size = 4;
    assert_int_equal(tilefold_window_problem(&p, &bad, &part, NULL, NULL), TILEFOLD_INVALID_ARGUMENT);
    bad.channel_begin = 5, bad.channel_size = 2;
    tilefold_window_offsets offsets;
    assert_int_equal(tilefold_window_problem(&p, &bad, &part, &offsets, NULL), TILEFOLD_OK);
    assert_int_equal(part.groups, 1);
    assert_int_equal(part.in_channels, 2);
    assert_int_equal(part.out_channels, 2);
    assert_int_equal(offsets.input, 2 * 63);
    assert_int_equal(offsets.weight, 5 * 2);

    way w = {.isa = best_isa(), .threads = 1, .limit = INT64_MAX};
    bool declined;
    tilefold_plan *plan = make_plan(&made, &w, &declined);
    assert_non_null(plan);
    tilefold_execution e;
    tilefold_execution_init(&e);
    tilefold_message message;
    assert_int_equal(tilefold_execute_window(plan, &p, &bad, &e, &message), TILEFOLD_UNSUPPORTED);
    bad = good, bad.size[0] = 10;
    assert_int_equal(tilefold_execute_window(plan, &p, &bad, &e, &message), TILEFOLD_INVALID_ARGUMENT);
    tilefold_problem other = p;
    other.padding_begin[0] = 1;
    assert_int_equal(tilefold_execute_window(plan, &other, &good, &e, &message), TILEFOLD_INVALID_ARGUMENT);
    assert_int_equal(tilefold_execute_window(plan, &p, &good, &e, &message), TILEFOLD_INVALID_ARGUMENT); /* no arrays */
    tilefold_plan_destroy(plan);
}

/* Arithmetic that computes several outputs together has the whole's bits only if a window does not cut them apart. */
static void test_units_stay_whole(void **state) {
    (void)state;
    test_problem made = {.seed = 1};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV, TILEFOLD_F32, 2);
    p->input_size[0] = 5, p->input_size[1] = 20;
    p->kernel[1] = 3;
    for (int crop = 0; crop < 2; crop++) {
        p->padding_end[1] = -crop; /* 18 or 17 outputs; cropped, there is input behind those that the last one reads */
        assert_int_equal(tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
        tilefold_window w = whole_output(p);
        int64_t size = w.size[1];
        const struct {
            int64_t begin, size;
            tilefold_status status;
        } windows[] = {{0, 4, TILEFOLD_OK},
                       {8, 8, TILEFOLD_OK},
                       {0, 3, TILEFOLD_UNSUPPORTED},
                       {2, 4, TILEFOLD_UNSUPPORTED},
                       {4, 5, TILEFOLD_UNSUPPORTED},
                       {12, 4, TILEFOLD_OK},
                       {8, size - 8, crop ? TILEFOLD_UNSUPPORTED : TILEFOLD_OK}};
        for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
            w.begin[0] = 1, w.size[0] = 3;
            w.begin[1] = windows[i].begin, w.size[1] = windows[i].size;
            assert_int_equal(tilefold_check_units(p, &w, (const int64_t[]){0, 1, 4}, NULL), windows[i].status);
        }
    }
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_axes),
        cmocka_unit_test(test_problems_of_every_kind),
        cmocka_unit_test(test_far_windows),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_listed_pieces),
        cmocka_unit_test(test_unread_rows),
        cmocka_unit_test(test_window_problems),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_endless_signal),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_units_stay_whole),
    };
    return cmocka_run_group_tests_name("windows", tests, NULL, close_all);
}
