/* Executing a band at a time. See bands.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bands.h"

static const int64_t most_band_bytes = INT64_C(64) << 20, least_band_bytes = INT64_C(1) << 20;

enum { MOST_DIMENSIONS = TILEFOLD_MAX_RANK + 2, NEAR = 4096 };

/* A box of an array of dense or other positive strides: where its first element lies in the file, and its dimensions, the widest
 * stride first, in bytes. */
typedef struct box {
    int64_t first, size[MOST_DIMENSIONS], step[MOST_DIMENSIONS];
    int dimensions;
} box;

typedef int (*page_call)(const tilefold_cli_pages *pages, tilefold_cli_byte_range range);

/* Keeps the dimensions sorted; one of a single element is none. */
static void add_dimension(box *b, int64_t begin, int64_t size, int64_t step) {
    b->first += begin * step;
    if (size == 1) return;
    int at = b->dimensions++;
    for (; at > 0 && b->step[at - 1] < step; at--) {
        b->step[at] = b->step[at - 1];
        b->size[at] = b->size[at - 1];
    }
    b->step[at] = step;
    b->size[at] = size;
}

static box make_box(const tilefold_window *w, const tilefold_tensor_strides *stride, int32_t rank, int64_t origin,
                    int64_t element) {
    box b = {.first = origin};
    add_dimension(&b, w->batch_begin, w->batch_size, stride->batch * element);
    add_dimension(&b, w->channel_begin, w->channel_size, stride->channel * element);
    for (int32_t axis = 0; axis < rank; axis++)
        add_dimension(&b, w->begin[axis], w->size[axis], stride->spatial[axis] * element);
    return b;
}

/* The bytes of each run that the box lies in, and how many dimensions lead from run to run. Runs that are less than a page apart are
 * one. */
static int find_runs(const box *b, int64_t element, int64_t *bytes) {
    int outer = b->dimensions;
    *bytes = element;
    while (outer > 0 && b->step[outer - 1] < *bytes + NEAR) {
        outer--;
        *bytes += (b->size[outer] - 1) * b->step[outer];
    }
    return outer;
}

/* Calls for each run of bytes that the box lies in. 0 or the first errno. */
static int for_each_run(const tilefold_cli_pages *pages, const box *b, int64_t element, page_call call) {
    int64_t bytes, index[MOST_DIMENSIONS] = {0}, at = b->first;
    int outer = find_runs(b, element, &bytes), error = 0;
    for (int i = 0; i < b->dimensions; i++)
        if (b->size[i] == 0) return 0;
    for (;;) {
        int failed = call(pages, (tilefold_cli_byte_range){(size_t)at, (size_t)(at + bytes)});
        if (!error) error = failed;
        int i = outer - 1;
        for (; i >= 0 && ++index[i] == b->size[i]; i--) {
            index[i] = 0;
            at -= (b->size[i] - 1) * b->step[i];
        }
        if (i < 0) return error;
        at += b->step[i];
    }
}

/* ------------------------------------------------------------------------------------------------------- a walk ---- */

typedef struct walk {
    const tilefold_cli_band_run *run;
    int64_t most_bytes, bands, element, input_origin, output_origin;
    bool short_of_memory;
} walk;

typedef struct band {
    tilefold_window output, input;
} band;

static tilefold_status find_band(walk *w, int64_t index, band *b, tilefold_message *message) {
    tilefold_weight_window weight;
    const tilefold_problem *problem = w->run->problem;
    tilefold_status status = tilefold_band(w->run->plan, problem, w->most_bytes, index, &b->output, &w->bands, message);
    return status ? status : tilefold_input_window(problem, &b->output, &b->input, &weight, message);
}

static box input_box(const walk *w, const tilefold_window *window) {
    const tilefold_problem *problem = w->run->problem;
    return make_box(window, &problem->input_stride, problem->rank, w->input_origin, w->element);
}

static box output_box(const walk *w, const tilefold_window *window) {
    const tilefold_problem *problem = w->run->problem;
    return make_box(window, &problem->output_stride, problem->rank, w->output_origin, w->element);
}

static int on_input(const walk *w, const tilefold_window *window, page_call call) {
    box b = input_box(w, window);
    return for_each_run(&w->run->input, &b, w->element, call);
}

static int on_output(const walk *w, const tilefold_window *window, page_call call) {
    box b = output_box(w, window);
    return for_each_run(&w->run->output, &b, w->element, call);
}

static void expect_runs(const walk *w, const tilefold_cli_pages *pages, box b) {
    int64_t bytes;
    int outer = find_runs(&b, w->element, &bytes);
    tilefold_cli_pages_expect(pages, outer == 0 && bytes >= least_band_bytes / 4);
}

static bool same_range(int64_t begin, int64_t size, int64_t other_begin, int64_t other_size) {
    return begin == other_begin && size == other_size;
}

/* Whether one follows the other along the first axis. */
static bool are_neighbours(const walk *w, const tilefold_window *a, const tilefold_window *b) {
    bool same = same_range(a->batch_begin, a->batch_size, b->batch_begin, b->batch_size);
    for (int32_t axis = 1; axis < w->run->problem->rank; axis++)
        same = same && same_range(a->begin[axis], a->size[axis], b->begin[axis], b->size[axis]);
    return same;
}

/* What of a band's input its neighbour has not read already (`after`), or will not read (before `other`). */
static tilefold_window without(const walk *w, const band *b, const band *other, bool after) {
    tilefold_window rest = b->input;
    if (!are_neighbours(w, &b->output, &other->output)) return rest;
    int64_t begin = b->input.begin[0], end = begin + b->input.size[0], other_begin = other->input.begin[0];
    int64_t other_end = other_begin + other->input.size[0];
    if (after && other_end > begin) begin = other_end < end ? other_end : end;
    if (!after && other_begin < end) end = other_begin > begin ? other_begin : begin;
    rest.begin[0] = begin;
    rest.size[0] = end - begin;
    return rest;
}

static int64_t offset_in(const tilefold_window *window, const tilefold_tensor_strides *stride, int32_t rank) {
    int64_t offset = window->batch_begin * stride->batch;
    for (int32_t axis = 0; axis < rank; axis++) offset += window->begin[axis] * stride->spatial[axis];
    return offset;
}

static tilefold_status execute_band(const walk *w, const band *b, tilefold_message *message) {
    const tilefold_problem *problem = w->run->problem;
    tilefold_execution execution = *w->run->execution;
    size_t in = (size_t)(offset_in(&b->input, &problem->input_stride, problem->rank) * w->element);
    size_t out = (size_t)(offset_in(&b->output, &problem->output_stride, problem->rank) * w->element);
    execution.input = (const char *)execution.input + in;
    execution.output = (char *)execution.output + out;
    if (execution.input_bytes) execution.input_bytes -= in;
    if (execution.output_bytes) execution.output_bytes -= out;
    return tilefold_execute_window(w->run->plan, problem, &b->output, &execution, message);
}

/* A band is done; the one before it has had the time that this one took to get to the disk. 0 or the errno of writing. */
static int drop_behind(const walk *w, const band *before, const band *b, const band *next) {
    tilefold_window input = next ? without(w, b, next, false) : b->input;
    on_input(w, &input, tilefold_cli_pages_unmap);
    on_output(w, &b->output, tilefold_cli_pages_unmap);
    if (!w->short_of_memory) return 0;
    int error = on_output(w, &b->output, tilefold_cli_pages_begin_writing);
    return !error && before ? on_output(w, &before->output, tilefold_cli_pages_forget) : error;
}

static tilefold_status walk_bands(walk *w, int *write_error, tilefold_message *message) {
    band before, now, next;
    tilefold_status status = find_band(w, 0, &now, message);
    if (!status) on_input(w, &now.input, tilefold_cli_pages_read_ahead);
    for (int64_t index = 0; !status && !*write_error && index < w->bands; index++) {
        bool last = index + 1 == w->bands;
        if (!last) status = find_band(w, index + 1, &next, message);
        if (status) return status;
        if (!last) {
            tilefold_window fresh = without(w, &next, &now, true);
            on_input(w, &fresh, tilefold_cli_pages_read_ahead);
        }
        tilefold_cli_progress_band(w->run->progress, index, w->bands);
        status = execute_band(w, &now, message);
        *write_error = drop_behind(w, index > 0 ? &before : NULL, &now, last ? NULL : &next);
        before = now;
        now = next;
    }
    return status;
}

tilefold_status tilefold_cli_execute_bands(const tilefold_cli_band_run *run, int *write_error,
                                           tilefold_message *message) {
    *write_error = 0;
    int64_t memory = tilefold_cli_memory_to_be_had(), eighth = memory / 8;
    walk w = {.run = run, .element = (int64_t)tilefold_type_bytes(run->problem->type)};
    w.short_of_memory = run->input.bytes > (uint64_t)memory / 2 ||
                        run->output.bytes > (uint64_t)memory / 2 - run->input.bytes;
    w.most_bytes = eighth > most_band_bytes ? most_band_bytes : eighth < least_band_bytes ? least_band_bytes : eighth;
    w.input_origin = (const char *)run->execution->input - run->input.memory;
    w.output_origin = (const char *)run->execution->output - run->output.memory;
    band first;
    tilefold_status status = find_band(&w, 0, &first, message);
    if (status) return status;
    if (w.bands == 1) return tilefold_execute(run->plan, run->execution, message);
    if (w.short_of_memory) { /* else what is read around a page is of use later, if not now */
        expect_runs(&w, &run->input, input_box(&w, &first.input));
        expect_runs(&w, &run->output, output_box(&w, &first.output));
    }
    return walk_bands(&w, write_error, message);
}
