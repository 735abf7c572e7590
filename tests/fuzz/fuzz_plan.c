/* Any problem: planned or refused, and a plan's figures are what they are said to be, at each of them and one byte beside it; and
 * any window of its outputs has an input window, and is a problem of its own.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "limits.h"

/* Outputs that differ are looked at as a caller would see them, so a crash says which. */
static void require(const test_problem *made, const way *w, bool holds, const char *what) {
    if (holds) return;
    complain(made, w, what);
    abort();
}

static int64_t take_within(fuzz_bytes *b, int64_t low, int64_t high) {
    return low + (int64_t)(fuzz_word(b) % ((uint64_t)(high - low) + 1));
}

static void take_window(fuzz_bytes *b, const tilefold_problem *p, tilefold_window *window) {
    if (window->batch_size > 0) {
        window->batch_begin = take_within(b, 0, window->batch_size - 1);
        window->batch_size = take_within(b, 0, window->batch_size - window->batch_begin);
    }
    for (int a = 0; a < p->rank; a++) {
        window->begin[a] = take_within(b, 0, window->size[a] - 1);
        int64_t most = window->size[a] - window->begin[a];
        window->size[a] = take_within(b, 1,
                                      most < 100000 ? most
                                                    : 100000); /* its time grows with the smaller of this and K */
    }
}

static bool within(int64_t begin, int64_t size, int64_t whole) {
    return begin >= 0 && size >= 0 && begin <= whole && size <= whole - begin;
}

/* A window's problem has the window's outputs, and reads the same elements. */
static void check_part(const test_problem *made, const way *w, const tilefold_window *output,
                       const tilefold_window *input) {
    tilefold_problem part;
    tilefold_problem_init(&part, TILEFOLD_CONV, TILEFOLD_F32, 1);
    tilefold_window_offsets offsets;
    tilefold_message message = {""};
    tilefold_status status = tilefold_window_problem(&made->problem, output, &part, &offsets, &message);
    require(made, w, status != TILEFOLD_OK || !message.text[0], "a message without an error");
    if (status == TILEFOLD_OVERFLOW || (status == TILEFOLD_INVALID_ARGUMENT && message.text[0])) return;
    require(made, w, status == TILEFOLD_OK, message.text);
    tilefold_window whole;
    require(made, w, tilefold_output_window(&part, &whole, &message) == TILEFOLD_OK, message.text);
    require(made, w, memcmp(whole.size, output->size, sizeof whole.size) == 0, "a window's problem has other outputs");
    for (int a = 0; a < part.rank; a++)
        require(made, w, part.input_size[a] == (input->size[a] ? input->size[a] : 1), "or another input");
}

static void check_windows(const test_problem *made, const way *w, fuzz_bytes *b) {
    const tilefold_problem *p = &made->problem;
    tilefold_window output, input;
    tilefold_weight_window weight;
    tilefold_message message = {""};
    if (tilefold_output_window(p, &output, &message) != TILEFOLD_OK) return;
    take_window(b, p, &output);
    for (int a = 0; a < p->rank; a++) {
        if (output.size[a] > 1000 && p->kernel[a] > 1000) output.size[a] = 1000;
    }
    tilefold_status status = tilefold_input_window(p, &output, &input, &weight, &message);
    if (status == TILEFOLD_OVERFLOW) return;
    require(made, w, status == TILEFOLD_OK, message.text);
    for (int a = 0; a < p->rank; a++)
        require(made, w, within(input.begin[a], input.size[a], p->input_size[a]), "an input window outside the input");
    require(made, w, within(input.channel_begin, input.channel_size, p->in_channels), "or outside its channels");
    require(made, w, within(weight.group_begin, weight.group_size, p->groups), "or outside the groups");
    check_part(made, w, &output, &input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_bytes b = fuzz_begin(data, size);
    bool wild = fuzz_chance(&b, 60);
    test_problem made = wild ? fuzz_wild_problem(&b) : fuzz_small_problem(&b, INT64_C(1) << fuzz_range(&b, 8, 34));
    announce_problem(&made);
    way w = fuzz_way(&b);
    if (fuzz_chance(&b, 25)) w.max_buffer = 1 + (int64_t)(fuzz_word(&b) >> fuzz_range(&b, 2, 62));
    rng r = rng_make(fuzz_word(&b), 1);
    planned unlimited;
    tilefold_message message;
    if (try_plan(&made, &w, &unlimited, &message) == TILEFOLD_OK) check_scratch_limits(&made, &w, &unlimited, &r);
    if (!wild && w.max_buffer) {
        way any = w;
        any.max_buffer = 0;
        if (can_plan(&made, &any, &unlimited)) check_buffer(&made, any, w.max_buffer, &unlimited, &r, &(planned){0});
    }
    check_windows(&made, &w, &b);
    return 0;
}
