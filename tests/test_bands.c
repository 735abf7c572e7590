/* Bands: windows that hold every output once, in few bytes, in an order that reads inputs once; and arrays that are larger than the
 * memory that a process may have.
 *
 * SPDX-License-Identifier: MIT
 */
#define _DEFAULT_SOURCE /* pread */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "process.h"
#include "runner.h"

/* ------------------------------------------------------------------------------------------------------- shapes ---- */

static int64_t elements_of(const tilefold_window *w, int32_t rank) {
    int64_t elements = w->batch_size * w->channel_size;
    for (int32_t axis = 0; axis < rank; axis++) elements *= w->size[axis];
    return elements;
}

static bool is_smallest(const tilefold_window *w, int32_t rank) { return elements_of(w, rank) == w->channel_size; }

static int64_t count_bands(const tilefold_plan *plan, const tilefold_problem *p, int64_t most_bytes) {
    tilefold_window band;
    int64_t bands = -1;
    assert_int_equal(tilefold_band(plan, p, most_bytes, 0, &band, &bands, NULL), TILEFOLD_OK);
    return bands;
}

static void find_band(const tilefold_plan *plan, const tilefold_problem *p, int64_t most_bytes, int64_t index,
                      tilefold_window *output, tilefold_window *input) {
    int64_t bands;
    tilefold_weight_window weight;
    assert_int_equal(tilefold_band(plan, p, most_bytes, index, output, &bands, NULL), TILEFOLD_OK);
    assert_int_equal(tilefold_input_window(p, output, input, &weight, NULL), TILEFOLD_OK);
}

/* --------------------------------------------------------------------------------------------------------- bits ---- */

/* Computes one band in the arrays of the whole. */
static bool run_band(const tilefold_plan *plan, const tensors *t, const tilefold_execution *prepared,
                     const tilefold_window *band) {
    const tilefold_problem *p = &t->made.problem;
    tilefold_problem part;
    tilefold_window_offsets at;
    tilefold_problem_init(&part, TILEFOLD_CONV, TILEFOLD_F32, 1);
    assert_int_equal(tilefold_window_problem(p, band, &part, &at, NULL), TILEFOLD_OK);
    tilefold_execution e = *prepared;
    int64_t element = (int64_t)tilefold_type_bytes(p->type);
    e.input = (const char *)e.input + at.input * element;
    e.output = (char *)e.output + at.output * element;
    e.input_bytes = e.output_bytes = 0;
    tilefold_message message;
    tilefold_status status = tilefold_execute_window(plan, p, band, &e, &message);
    if (status) fprintf(stderr, "%s\n", message.text);
    return status == TILEFOLD_OK;
}

static int64_t computed_in_several;

/* All bands of the problem, within the bytes, have the bits of the whole: so they hold each output, and as they hold no more
 * outputs than there are, each once. */
static bool run_bands(const tilefold_plan *plan, tensors *t, const way *w, int64_t most_bytes, const void *expected,
                      void *dense) {
    const tilefold_problem *p = &t->made.problem;
    prepared ready;
    assert_int_equal(prepare_execution(plan, t, &ready, NULL), TILEFOLD_OK);
    int64_t bands = count_bands(plan, p, most_bytes), outputs = 0, element = (int64_t)tilefold_type_bytes(p->type);
    bool right = true;
    for (int64_t i = 0; right && i < bands; i++) {
        tilefold_window output, input;
        find_band(plan, p, most_bytes, i, &output, &input);
        int64_t bytes = element * (elements_of(&output, p->rank) + elements_of(&input, p->rank));
        outputs += elements_of(&output, p->rank);
        right = (bytes <= most_bytes || w->math == TILEFOLD_MATH_FAST || is_smallest(&output, p->rank)) &&
                run_band(plan, t, &ready.execution, &output);
    }
    computed_in_several += bands > 1;
    const char *reason = "bands that are too large, or fail";
    right = finish_execution(&ready) && right && collect_output(t, dense, &reason);
    if (!right) complain(&t->made, w, reason);
    return right && outputs == t->output_view.elements && check_output(t, w, expected, dense);
}

static bool try_problem(const test_problem *larger, way w, int tries) {
    rng r = rng_make(larger->seed, 60);
    test_problem smaller = *larger;
    if (w.math == TILEFOLD_MATH_EXACT && rng_percent(&r, 30)) shrink_randomly(&smaller.problem, &r);
    if (!has_outputs(&smaller.problem)) return true;
    bool declined;
    tilefold_plan *plan = make_plan(larger, &w, &declined);
    assert_non_null(plan);
    tensors t = make_tensors(&smaller);
    void *dense = malloc(tensors_output_bytes(&t) + 1), *expected = NULL;
    bool right = true;
    if (w.math == TILEFOLD_MATH_FAST) {
        expected = malloc(tensors_output_bytes(&t) + 1);
        right = run_way(&t, &w, expected, NULL) == DONE;
    } else {
        expected = reference_output(&t);
    }
    for (int i = 0; right && i < tries; i++) {
        int64_t most = rng_percent(&r, 10) ? INT64_MAX : rng_range(&r, 1, INT64_C(1) << rng_range(&r, 1, 18));
        right = run_bands(plan, &t, &w, most, expected, dense);
    }
    right = right && count_bands(plan, &smaller.problem, INT64_MAX) == 1;
    tilefold_plan_destroy(plan);
    free(expected), free(dense);
    free_tensors(&t);
    return right;
}

static way any_way(rng *r) {
    return (way){.isa = best_isa(),
                 .algorithm = TILEFOLD_ALGORITHM_AUTO,
                 .prepack = rng_percent(r, 60),
                 .threads = (int32_t)rng_range(r, 1, 3),
                 .pool = POOL_SEQUENTIAL,
                 .limit = 1 << 20};
}

static void test_problems_of_every_kind(void **state) {
    (void)state;
    problem_run run = begin_problems(600);
    computed_in_several = 0;
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_problem(problem_seed(&run, i), 15000);
        rng r = rng_make(made.seed, 61);
        assert_true(try_problem(&made, any_way(&r), 3));
    }
    assert_true(run.single || computed_in_several > run.count / 2);
}

/* Blocks of fast arithmetic are not cut; where the input goes on behind the last, which is not whole, there is one band. */
static void test_fast(void **state) {
    (void)state;
    for (int64_t crop = 0; crop < 3; crop++) {
        test_problem made = {.seed = (uint64_t)crop};
        tilefold_problem *p = &made.problem;
        tilefold_problem_init(p, TILEFOLD_CONV, TILEFOLD_F32, 2);
        p->in_channels = p->out_channels = 32;
        p->input_size[0] = 30, p->input_size[1] = 35;
        p->kernel[0] = p->kernel[1] = 3;
        p->padding_begin[0] = p->padding_begin[1] = p->padding_end[0] = 1, p->padding_end[1] = 1 - crop;
        assert_int_equal(tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
        rng r = rng_make(made.seed, 62);
        way w = any_way(&r);
        w.limit = INT64_MAX;
        w.math = TILEFOLD_MATH_FAST;
        assert_true(crop == 2 || try_problem(&made, w, 4));
        bool declined;
        tilefold_plan *plan = make_plan(&made, &w, &declined);
        assert_int_equal(get_info(plan).math, TILEFOLD_MATH_FAST);
        int64_t bands = count_bands(plan, p, 40000);
        assert_true(crop == 2 ? bands == 1 : bands > 1);
        tilefold_plan_destroy(plan);
    }
}

/* ------------------------------------------------------------------------------------------------------ reading ---- */

/* Bytes that all bands read, of which what neighbours have in common along the first axis counts once: it is still there. */
static double bytes_read(const tilefold_plan *plan, const tilefold_problem *p, int64_t most_bytes, int64_t *bands) {
    *bands = count_bands(plan, p, most_bytes);
    double read = 0;
    tilefold_window output, input, before = {.begin = {-1}}, output_before = {.begin = {-1}};
    for (int64_t i = 0; i < *bands; i++) {
        find_band(plan, p, most_bytes, i, &output, &input);
        bool neighbours = output.batch_begin == output_before.batch_begin &&
                          output.begin[0] == output_before.begin[0] + output_before.size[0];
        int64_t rows = input.size[0];
        if (neighbours) rows -= before.begin[0] + before.size[0] - input.begin[0];
        read += (double)elements_of(&input, p->rank) / (double)input.size[0] * (double)rows;
        before = input, output_before = output;
    }
    return read * (double)tilefold_type_bytes(p->type);
}

static tilefold_problem large_problem(tilefold_op op, int32_t rank, int64_t batch, const int64_t *size,
                                      tilefold_layout layout) {
    tilefold_problem p;
    tilefold_problem_init(&p, op, TILEFOLD_F32, rank);
    p.batch = batch;
    p.in_channels = 32, p.out_channels = op == TILEFOLD_CONV ? 32 : 8;
    for (int32_t axis = 0; axis < rank; axis++) {
        p.input_size[axis] = size[axis];
        p.kernel[axis] = 3;
        p.padding_begin[axis] = p.padding_end[axis] = 1;
        if (op == TILEFOLD_CONV_TRANSPOSE) p.stride[axis] = 2;
    }
    assert_int_equal(tilefold_problem_set_layout(&p, layout, NULL), TILEFOLD_OK);
    return p;
}

/* Arrays of GiB in bands of 16 MiB: every byte is read once, or nearly, in a number of bands that goes with their bytes. */
static void test_every_byte_once(void **state) {
    (void)state;
    const int64_t most = 16 << 20;
    static const struct {
        int32_t rank;
        int64_t batch, size[TILEFOLD_MAX_RANK];
        double read; /* at most so many times */
    } shapes[] = {{1, 1, {1 << 24}, 1},          {1, 3, {1 << 22}, 1},           {2, 1, {4096, 4096}, 1},
                  {2, 5000, {56, 56}, 1},        {2, 1, {1 << 22, 4}, 1},        {2, 1, {3, 1 << 22}, 1.001},
                  {3, 1, {256, 256, 256}, 1.05}, {3, 1, {16, 1024, 1024}, 1.35}, {3, 700, {4, 64, 64}, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int kind = 0; kind < 4; kind++) {
            tilefold_layout layout = kind % 2 ? TILEFOLD_CHANNELS_LAST : TILEFOLD_CHANNELS_FIRST;
            tilefold_op op = kind / 2 ? TILEFOLD_CONV_TRANSPOSE : TILEFOLD_CONV;
            test_problem made = {.problem = large_problem(op, shapes[i].rank, shapes[i].batch, shapes[i].size, layout)};
            rng r = rng_make(1, 63);
            way w = any_way(&r);
            bool declined;
            tilefold_plan *plan = make_plan(&made, &w, &declined);
            int64_t bands, input = made.problem.batch * made.problem.in_channels, output = 1;
            double read = bytes_read(plan, &made.problem, most, &bands);
            tilefold_window whole;
            assert_int_equal(tilefold_output_window(&made.problem, &whole, NULL), TILEFOLD_OK);
            for (int32_t axis = 0; axis < shapes[i].rank; axis++) input *= shapes[i].size[axis];
            output = elements_of(&whole, shapes[i].rank);
            double least_bands = 4.0 * (double)(input + output) / (double)most;
            if (read > 4.0 * (double)input * shapes[i].read || (double)bands > 4 * least_bands)
                fail_msg("shape %zu, kind %d: %g of %g bytes read, %" PRId64 " bands", i, kind, read,
                         4.0 * (double)input, bands);
            tilefold_plan_destroy(plan);
        }
}

/* ------------------------------------------------------------------------------------------------ little memory ---- */

/* A signal of two channels in a file, to a file, under a ceiling on the process's memory that is far below either. */
enum { CHANNELS = 2, LENGTH = 1 << 22, TAPS = 31, BAND_BYTES = 1 << 20, CEILING = 12 << 20 };

static float sample(int64_t channel, int64_t at) { return (float)((at * 7 + channel * 13) % 17 - 8); }

static float tap(int64_t out, int64_t in, int64_t k) { return (float)((out * 5 + in * 3 + k) % 7 - 3); }

/* Small integers: exact in any order. */
static float expected_sample(int64_t out, int64_t at) {
    float sum = 0;
    for (int64_t in = 0; in < CHANNELS; in++)
        for (int64_t k = 0; k < TAPS; k++) {
            int64_t from = at + k - TAPS / 2;
            if (from >= 0 && from < LENGTH) sum += sample(in, from) * tap(out, in, k);
        }
    return sum;
}

typedef struct files {
    FILE *input, *output;
} files;

/* A window between its place in a file of whole channels and an array of its own. */
static bool move_window(FILE *file, const tilefold_window *w, float *array, bool to_file) {
    for (int64_t c = 0; c < CHANNELS; c++) {
        float *row = array + c * w->size[0];
        size_t bytes = (size_t)w->size[0] * sizeof *row;
        off_t at = (off_t)(c * LENGTH + w->begin[0]) * (off_t)sizeof *row;
        ssize_t moved = to_file ? pwrite(fileno(file), row, bytes, at) : pread(fileno(file), row, bytes, at);
        if (moved != (ssize_t)bytes) return false;
    }
    return true;
}

static tilefold_problem signal_problem(void) {
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 1);
    p.in_channels = p.out_channels = CHANNELS;
    p.input_size[0] = LENGTH;
    p.kernel[0] = TAPS;
    p.padding_begin[0] = p.padding_end[0] = TAPS / 2;
    assert_int_equal(tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    return p;
}

static bool convolve_band(const files *f, const tilefold_plan *plan, tilefold_problem p, tilefold_execution e,
                          const tilefold_window *output, const tilefold_window *input) {
    size_t in = (size_t)(CHANNELS * input->size[0]), out = (size_t)(CHANNELS * output->size[0]);
    float *from = malloc(in * sizeof *from), *to = malloc(out * sizeof *to);
    p.input_stride.channel = input->size[0];
    p.output_stride.channel = output->size[0];
    e.input = from, e.output = to;
    e.input_bytes = in * sizeof *from, e.output_bytes = out * sizeof *to;
    bool done = from && to && move_window(f->input, input, from, false) &&
                tilefold_execute_window(plan, &p, output, &e, NULL) == TILEFOLD_OK &&
                move_window(f->output, output, to, true);
    free(from), free(to);
    return done;
}

enum { FILES_DONE, NO_LIMIT, NO_ROOM_AT_ALL, TOO_MUCH_ROOM, FILES_FAILED };

/* In a process that may have CEILING bytes more than it has. */
static int convolve_files(void *argument) {
    const files *f = argument;
    tilefold_problem p = signal_problem();
    rlim_t bytes = (rlim_t)process_address_space_bytes() + CEILING;
    if (setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes}) != 0) return NO_LIMIT;
    void *whole = malloc((size_t)LENGTH * CHANNELS * sizeof(float));
    if (whole) return TOO_MUCH_ROOM;
    tilefold_context_options context_options;
    tilefold_context_options_init(&context_options);
    context_options.threads = 1;
    tilefold_context *context;
    if (tilefold_context_create(&context_options, &context, NULL) != TILEFOLD_OK) return NO_ROOM_AT_ALL;
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.scratch_limit_bytes = 256 << 10;
    options.prepack_weights = false;
    tilefold_plan *plan;
    if (tilefold_plan_create(context, &p, &options, &plan, NULL) != TILEFOLD_OK) return NO_ROOM_AT_ALL;
    static float weight[CHANNELS * CHANNELS * TAPS];
    for (int64_t i = 0; i < CHANNELS * CHANNELS * TAPS; i++)
        weight[i] = tap(i / TAPS / CHANNELS, i / TAPS % CHANNELS, i % TAPS);
    static _Alignas(TILEFOLD_ALIGNMENT) char scratch[256 << 10];
    tilefold_execution e;
    tilefold_execution_init(&e);
    e.weight = weight;
    e.scratch = scratch, e.scratch_bytes = sizeof scratch;
    bool done = count_bands(plan, &p, BAND_BYTES) > 32;
    for (int64_t i = 0, bands = count_bands(plan, &p, BAND_BYTES); done && i < bands; i++) {
        tilefold_window output, input;
        find_band(plan, &p, BAND_BYTES, i, &output, &input);
        done = convolve_band(f, plan, p, e, &output, &input);
    }
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
    return done ? FILES_DONE : FILES_FAILED;
}

static void fill_input(FILE *file) {
    static float row[1 << 14];
    for (int64_t c = 0; c < CHANNELS; c++)
        for (int64_t at = 0; at < LENGTH; at += 1 << 14) {
            for (int64_t i = 0; i < 1 << 14; i++) row[i] = sample(c, at + i);
            assert_int_equal(fwrite(row, sizeof row, 1, file), 1);
        }
    assert_int_equal(fflush(file), 0);
}

static void check_output_file(FILE *file) {
    static float row[1 << 14];
    for (int64_t c = 0; c < CHANNELS; c++)
        for (int64_t at = 0; at < LENGTH; at += 1 << 14) {
            assert_int_equal(pread(fileno(file), row, sizeof row, (off_t)(c * LENGTH + at) * 4), sizeof row);
            for (int64_t i = 0; i < 1 << 14; i += at == 0 || at + (1 << 14) == LENGTH ? 1 : 61)
                if (row[i] != expected_sample(c, at + i)) fail_msg("channel %d, %d", (int)c, (int)(at + i));
        }
}

static void test_files_larger_than_memory(void **state) {
    (void)state;
    if (process_address_space_bytes() < 0) skip();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* they need address space of their own */
#endif
    files f = {tmpfile(), tmpfile()};
    assert_non_null(f.input);
    assert_non_null(f.output);
    fill_input(f.input);
    int status = run_in_child(convolve_files, &f);
    if (status == NO_LIMIT || status == TOO_MUCH_ROOM) { /* an emulator keeps no such limit */
        print_message("no ceiling on this system: skipped\n");
        fclose(f.input), fclose(f.output);
        skip();
    }
    assert_int_equal(status, FILES_DONE);
    check_output_file(f.output);
    fclose(f.input), fclose(f.output);
}

/* ------------------------------------------------------------------------------------------------------- errors ---- */

static void test_errors(void **state) {
    (void)state;
    test_problem made = {
        .problem = large_problem(TILEFOLD_CONV, 2, 1, (const int64_t[]){40, 50}, TILEFOLD_CHANNELS_FIRST)};
    rng r = rng_make(1, 64);
    way w = any_way(&r);
    bool declined;
    tilefold_plan *plan = make_plan(&made, &w, &declined);
    tilefold_problem *p = &made.problem;
    tilefold_window band = {.batch_begin = 77};
    tilefold_message message;
    int64_t bands = 55, count = count_bands(plan, p, 100000);
    assert_true(count > 1);
    const struct {
        int64_t most, index;
    } wrong[] = {
        {0, 0}, {-1, 0}, {INT64_MIN, 0}, {100000, -1}, {100000, count}, {100000, INT64_MAX}, {100000, INT64_MIN}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(tilefold_band(plan, p, wrong[i].most, wrong[i].index, &band, &bands, &message),
                         TILEFOLD_INVALID_ARGUMENT);
        assert_true(band.batch_begin == 77 && bands == 55);
    }
    assert_int_equal(tilefold_band(plan, p, 100000, count - 1, &band, &bands, &message), TILEFOLD_OK);
    assert_int_equal(bands, count);
    p->input_size[0]++;
    assert_int_equal(tilefold_band(plan, p, 100000, 0, &band, &bands, &message), TILEFOLD_INVALID_ARGUMENT);
    p->input_size[0]--;
    p->batch = 0; /* a band without images */
    assert_int_equal(count_bands(plan, p, 100000), count);
    assert_int_equal(tilefold_band(plan, p, 100000, 0, &band, &bands, &message), TILEFOLD_OK);
    assert_int_equal(band.batch_size, 0);
    tilefold_plan_destroy(plan);
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_problems_of_every_kind),
        cmocka_unit_test(test_fast),
        cmocka_unit_test(test_every_byte_once),
        cmocka_unit_test(test_files_larger_than_memory),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("bands", tests, NULL, close_all);
}
