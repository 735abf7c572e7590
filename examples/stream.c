/* SPDX-License-Identifier: MIT
 *
 * A long signal convolved in pieces: of the input only the window that a piece's outputs read is in memory, its halo included;
 * one plan, one set of packed weights and one scratch serve all pieces, and the bits are those of one piece.
 *
 *     cc -std=c11 examples/stream.c $(pkg-config --cflags --libs tilefold) -o stream
 *     ./stream                             a generated signal, in pieces of several lengths; says whether all agree
 *     ./stream LENGTH < in.f32 > out.f32   fp32 samples from a file, LENGTH outputs at a time
 *
 * The convolution is a low-pass of 255 taps that keeps every third sample.
 */
#include <tilefold.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAPS = 255, STEP = 3 };

static void must(tilefold_status status, const tilefold_message *message) {
    if (status == TILEFOLD_OK) return;
    fprintf(stderr, "%s: %s\n", tilefold_status_name(status), message->text);
    exit(EXIT_FAILURE);
}

static void *must_allocate(size_t bytes) {
    void *memory = aligned_alloc(TILEFOLD_ALIGNMENT,
                                 (bytes + TILEFOLD_ALIGNMENT) / TILEFOLD_ALIGNMENT * TILEFOLD_ALIGNMENT);
    if (memory) return memory;
    fprintf(stderr, "no memory for %zu bytes\n", bytes);
    exit(EXIT_FAILURE);
}

/* Samples [begin, begin + count) of the signal, and what becomes of outputs. */
typedef struct signal_source {
    void (*read)(void *user, int64_t begin, int64_t count, float *samples);
    void (*write)(void *user, int64_t begin, int64_t count, const float *samples);
    void *user;
} signal_source;

/* What an execution needs, made once. */
typedef struct filter {
    tilefold_context *context;
    tilefold_problem problem;
    tilefold_plan *plan;
    tilefold_execution execution; /* its packed weights and scratch */
} filter;

static filter open_filter(int64_t length) {
    filter f;
    tilefold_message message;
    tilefold_problem_init(&f.problem, TILEFOLD_CONV, TILEFOLD_F32, 1);
    f.problem.input_size[0] = length;
    f.problem.kernel[0] = TAPS;
    f.problem.stride[0] = STEP;
    f.problem.padding_begin[0] = f.problem.padding_end[0] = TAPS / 2;
    must(tilefold_problem_set_layout(&f.problem, TILEFOLD_CHANNELS_FIRST, &message), &message);
    tilefold_context_options context_options;
    tilefold_context_options_init(&context_options);
    must(tilefold_context_create(&context_options, &f.context, &message), &message);
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.scratch_limit_bytes = 64 * 1024;
    must(tilefold_plan_create(f.context, &f.problem, &options, &f.plan, &message), &message);

    float weight[TAPS];
    for (int k = 0; k < TAPS; k++) {
        double x = 3.14159265358979 * (k - TAPS / 2) / STEP, fade = cos(3.14159265358979 * (k - TAPS / 2) / TAPS);
        weight[k] = (float)((k == TAPS / 2 ? 1 : sin(x) / x) * fade * fade / STEP);
    }
    tilefold_plan_info info;
    tilefold_plan_info_init(&info);
    must(tilefold_plan_get_info(f.plan, &info, &message), &message);
    size_t packed_bytes = (size_t)info.packed_weight_bytes;
    void *packed = must_allocate(packed_bytes);
    must(tilefold_pack_weight(f.plan, weight, sizeof weight, packed, packed_bytes, &message), &message);
    tilefold_execution_init(&f.execution);
    f.execution.packed_weight = packed;
    f.execution.scratch_bytes = (size_t)info.scratch_bytes;
    f.execution.scratch = must_allocate(f.execution.scratch_bytes);
    return f;
}

static void close_filter(filter *f) {
    free(f->execution.scratch);
    free((void *)f->execution.packed_weight);
    tilefold_plan_destroy(f->plan);
    tilefold_context_destroy(f->context);
}

/* Computes the whole output, `piece` outputs at a time. */
static void run_filter(const filter *f, const signal_source *source, int64_t piece) {
    tilefold_message message;
    tilefold_window whole;
    must(tilefold_output_window(&f->problem, &whole, &message), &message);
    size_t most = (size_t)(piece - 1) * STEP + TAPS; /* what a piece reads at most */
    float *input = must_allocate(most * sizeof *input), *output = must_allocate((size_t)piece * sizeof *output);
    for (int64_t begin = 0; begin < whole.size[0]; begin += piece) {
        tilefold_window window = whole, read;
        tilefold_weight_window weight;
        window.begin[0] = begin;
        window.size[0] = whole.size[0] - begin < piece ? whole.size[0] - begin : piece;
        must(tilefold_input_window(&f->problem, &window, &read, &weight, &message), &message);
        source->read(source->user, read.begin[0], read.size[0], input);

        tilefold_execution execution = f->execution;
        execution.input = input;
        execution.input_bytes = (size_t)read.size[0] * sizeof *input;
        execution.output = output;
        execution.output_bytes = (size_t)window.size[0] * sizeof *output;
        must(tilefold_execute_window(f->plan, &f->problem, &window, &execution, &message), &message);
        source->write(source->user, window.begin[0], window.size[0], output);
    }
    free(output);
    free(input);
}

/* ------------------------------------------------------------------------------------------------ two kinds of signals ---- */

typedef struct memory {
    float *outputs;
} memory;

static void make_samples(void *user, int64_t begin, int64_t count, float *samples) {
    (void)user;
    for (int64_t i = 0; i < count; i++) samples[i] = (float)((begin + i) * (begin + i) % 1999) / 1999 - 0.5f;
}

static void keep_samples(void *user, int64_t begin, int64_t count, const float *samples) {
    memory *to = user;
    memcpy(to->outputs + begin, samples, (size_t)count * sizeof *samples);
}

static void file_failed(const char *what) {
    perror(what);
    exit(EXIT_FAILURE);
}

static void read_file(void *user, int64_t begin, int64_t count, float *samples) {
    (void)user;
    if (fseek(stdin, (long)(begin * (int64_t)sizeof *samples), SEEK_SET) != 0) file_failed("standard input");
    if (fread(samples, sizeof *samples, (size_t)count, stdin) != (size_t)count) file_failed("standard input");
}

static void write_file(void *user, int64_t begin, int64_t count, const float *samples) {
    (void)user, (void)begin; /* outputs come in order */
    if (fwrite(samples, sizeof *samples, (size_t)count, stdout) != (size_t)count) file_failed("standard output");
}

static int filter_file(int64_t piece) {
    if (fseek(stdin, 0, SEEK_END) != 0) file_failed("standard input");
    filter f = open_filter((int64_t)(ftell(stdin) / (long)sizeof(float)));
    run_filter(&f, &(signal_source){read_file, write_file, NULL}, piece);
    close_filter(&f);
    return EXIT_SUCCESS;
}

static int compare_pieces(void) {
    enum { LENGTH = 1000000, OUTPUTS = (LENGTH - 1) / STEP + 1 };
    static const int64_t pieces[] = {OUTPUTS, 100000, 4096, 777, 64};
    filter f = open_filter(LENGTH);
    memory whole = {must_allocate(OUTPUTS * sizeof(float))}, parts = {must_allocate(OUTPUTS * sizeof(float))};
    bool same = true;
    for (int i = 0; i < 5; i++) {
        run_filter(&f, &(signal_source){make_samples, keep_samples, i == 0 ? &whole : &parts}, pieces[i]);
        bool equal = i == 0 || memcmp(whole.outputs, parts.outputs, OUTPUTS * sizeof(float)) == 0;
        printf("%d outputs, %ld at a time: %s\n", OUTPUTS, (long)pieces[i],
               i == 0  ? "the whole"
               : equal ? "the same bits"
                       : "other bits");
        same = same && equal;
    }
    free(parts.outputs);
    free(whole.outputs);
    close_filter(&f);
    return same ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
    if (argc == 1) return compare_pieces();
    int64_t piece = strtoll(argv[1], NULL, 10);
    if (piece >= 1) return filter_file(piece);
    fprintf(stderr, "not a number of outputs: %s\n", argv[1]);
    return EXIT_FAILURE;
}
