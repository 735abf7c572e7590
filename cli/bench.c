/* tilefold bench: how fast the problems of a suite run here, against the machine's measured peak.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "session.h"
#include "suite.h"
#include "system.h"

enum { LEAST_RUNS = 3, MOST_RUNS = 10 };
static const double seconds_enough = 0.3; /* of runs, after which there are no more than LEAST_RUNS */

/* The tensors and the scratch of one problem. */
typedef struct bench_data {
    void *input, *weight, *output, *packed, *scratch;
} bench_data;

typedef struct bench_result {
    double median_seconds, best_seconds;
    double device_seconds; /* the median by the device's own clock; 0 where it has none */
    tilefold_plan_info info;
} bench_result;

/* The product of the sizes, and of the bytes of an element; -1 where that does not fit. */
static int64_t tensor_bytes(tilefold_type type, int64_t outer, int64_t inner, int rank, const int64_t *spatial) {
    int64_t sizes[2 + TILEFOLD_MAX_RANK] = {outer, inner};
    int64_t bytes = (int64_t)tilefold_type_bytes(type);
    memcpy(sizes + 2, spatial, sizeof *spatial * (size_t)rank);
    for (int i = 0; i < rank + 2; i++) {
        if (sizes[i] > 0 && bytes > INT64_MAX / sizes[i]) return -1;
        bytes *= sizes[i];
    }
    return bytes;
}

/* Memory for what a problem needs. OK or FAILED. */
static int allocate(const char *name, const char *what, int64_t bytes, void **memory) {
    *memory = bytes < 0 ? NULL : tilefold_cli_allocate(bytes);
    if (*memory) return TILEFOLD_CLI_OK;
    return tilefold_cli_fail("%s: no memory for its %s of %" PRId64 " bytes", name, what, bytes);
}

/* Random values, of either sign and of magnitude in [0.5, 1), so that no sum grows out of the type's range and none meets a
 * subnormal number. */
static void fill_random(tilefold_type type, int64_t bytes, uint32_t seed, void *tensor) {
    uint32_t state = seed;
    for (int64_t i = 0; i < bytes / (int64_t)tilefold_type_bytes(type); i++) {
        state ^= state << 13; /* xorshift32: Marsaglia, Xorshift RNGs, 2003 */
        state ^= state >> 17;
        state ^= state << 5;
        uint32_t sign = state >> 31;
        if (type == TILEFOLD_F32) ((uint32_t *)tensor)[i] = sign << 31 | 0x3f000000 | (state & 0x7fffff);
        if (type == TILEFOLD_F16) ((uint16_t *)tensor)[i] = (uint16_t)(sign << 15 | 0x3800 | (state & 0x3ff));
        if (type == TILEFOLD_BF16) ((uint16_t *)tensor)[i] = (uint16_t)(sign << 15 | 0x3f00 | (state & 0x7f));
    }
}

static void free_data(bench_data *data) {
    tilefold_cli_release(data->input);
    tilefold_cli_release(data->weight);
    tilefold_cli_release(data->output);
    tilefold_cli_release(data->packed);
    tilefold_cli_release(data->scratch);
}

/* All memory first, so that nothing is filled where there is too little. OK or FAILED; free_data() either way. */
static int make_data(const char *name, const tilefold_problem *problem, const tilefold_plan_info *info,
                     bench_data *data) {
    int rank = problem->rank;
    tilefold_type type = problem->type;
    int64_t input = tensor_bytes(type, problem->batch, problem->in_channels, rank, problem->input_size);
    int64_t weight = tensor_bytes(type, problem->out_channels, problem->in_channels / problem->groups, rank,
                                  problem->kernel);
    int64_t output = tensor_bytes(type, problem->batch, problem->out_channels, rank, info->output_size);
    *data = (bench_data){0};
    int status = allocate(name, "input", input, &data->input);
    if (status == TILEFOLD_CLI_OK) status = allocate(name, "weights", weight, &data->weight);
    if (status == TILEFOLD_CLI_OK) status = allocate(name, "output", output, &data->output);
    if (status == TILEFOLD_CLI_OK) status = allocate(name, "scratch", info->scratch_bytes, &data->scratch);
    if (status == TILEFOLD_CLI_OK) status = allocate(name, "packed weights", info->packed_weight_bytes, &data->packed);
    if (status != TILEFOLD_CLI_OK) return status;
    fill_random(type, input, 1, data->input);
    fill_random(type, weight, 2, data->weight);
    memset(data->output, 0, (size_t)output); /* touched, so that no run pays for its pages */
    return TILEFOLD_CLI_OK;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* One run to warm up, then runs until there have been enough of them. */
static tilefold_status time_runs(const tilefold_plan *plan, tilefold_execution *execution, bench_result *result,
                                 tilefold_message *message) {
    double seconds[MOST_RUNS], device_seconds[MOST_RUNS] = {0}, total = 0;
    int runs = 0;
    execution->device_seconds = device_seconds;
    tilefold_status status = tilefold_execute(plan, execution, message);
    while (status == TILEFOLD_OK && runs < MOST_RUNS && (runs < LEAST_RUNS || total < seconds_enough)) {
        execution->device_seconds = &device_seconds[runs];
        double begun = tilefold_cli_clock();
        status = tilefold_execute(plan, execution, message);
        seconds[runs] = tilefold_cli_clock() - begun;
        total += seconds[runs++];
    }
    if (status != TILEFOLD_OK) return status;
    result->median_seconds = median(seconds, runs);
    result->best_seconds = seconds[0];
    result->device_seconds = median(device_seconds, runs);
    return TILEFOLD_OK;
}

static int run_plan(const char *name, const tilefold_problem *problem, const tilefold_plan *plan,
                    bench_result *result) {
    bench_data data;
    tilefold_message message;
    tilefold_plan_info_init(&result->info);
    if (tilefold_plan_get_info(plan, &result->info, &message) != TILEFOLD_OK)
        return tilefold_cli_fail("%s: %s", name, message.text);
    int made = make_data(name, problem, &result->info, &data);
    if (made != TILEFOLD_CLI_OK) {
        free_data(&data);
        return made;
    }
    tilefold_execution execution;
    tilefold_execution_init(&execution);
    execution.input = data.input;
    execution.weight = data.weight;
    execution.packed_weight = data.packed;
    execution.output = data.output;
    execution.scratch = data.scratch;
    execution.scratch_bytes = (size_t)result->info.scratch_bytes;
    tilefold_status status = TILEFOLD_OK;
    size_t packed_bytes = (size_t)result->info.packed_weight_bytes;
    if (packed_bytes > 0) status = tilefold_pack_weight(plan, data.weight, 0, data.packed, packed_bytes, &message);
    if (status == TILEFOLD_OK) status = time_runs(plan, &execution, result, &message);
    free_data(&data);
    return status == TILEFOLD_OK ? TILEFOLD_CLI_OK : tilefold_cli_fail("%s: %s", name, message.text);
}

static void print_head(const tilefold_cli_options *options, double peak) {
    bool vulkan = options->context.device == TILEFOLD_VULKAN;
    if (peak > 0) printf("measured peak: %.1f GFLOP/s of fused multiply-adds\n\n", peak / 1e9);
    printf("%-20s %-9s %10s %10s", "name", "algorithm", "median ms", "best ms");
    if (vulkan) printf(" %10s", "device ms");
    printf(" %9s %7s %11s\n", "GFLOP/s", "% peak", "scratch B");
}

/* A column with the figure, or with a dash where there is none. */
static void print_figure(int width, int decimals, double figure) {
    if (figure > 0) {
        printf(" %*.*f", width, decimals, figure);
    } else {
        printf(" %*s", width, "-");
    }
}

static double gflops_of(const bench_result *result) {
    return 2.0 * (double)result->info.macs / result->median_seconds / 1e9;
}

/* peak is in FLOP/s, 0 where the device cannot tell. */
static void print_row(const char *name, const bench_result *result, double peak) {
    printf("%-20s %-9s %10.3f %10.3f", name, tilefold_algorithm_name(result->info.algorithm),
           1e3 * result->median_seconds, 1e3 * result->best_seconds);
    if (result->info.device == TILEFOLD_VULKAN) print_figure(10, 3, 1e3 * result->device_seconds);
    print_figure(9, 1, gflops_of(result));
    print_figure(7, 1, peak > 0 ? 100 * gflops_of(result) * 1e9 / peak : 0);
    printf(" %11" PRId64 "\n", result->info.scratch_bytes);
}

static void write_row(const char *name, const bench_result *result, double peak) {
    tilefold_cli_json json = {stdout, false};
    tilefold_cli_json_open(&json, NULL, '{');
    tilefold_cli_json_string(&json, "name", name);
    tilefold_cli_json_number(&json, "seconds", result->median_seconds);
    tilefold_cli_json_number(&json, "best_seconds", result->best_seconds);
    if (result->info.device == TILEFOLD_VULKAN)
        tilefold_cli_json_number(&json, "device_seconds", result->device_seconds > 0 ? result->device_seconds : NAN);
    tilefold_cli_json_number(&json, "gflops", gflops_of(result));
    tilefold_cli_json_number(&json, "peak_fraction", gflops_of(result) * 1e9 / peak);
    tilefold_cli_json_integer(&json, "scratch_bytes", result->info.scratch_bytes);
    tilefold_cli_json_string(&json, "algorithm", tilefold_algorithm_name(result->info.algorithm));
    tilefold_cli_json_string(&json, "math", tilefold_math_name(result->info.math));
    tilefold_cli_json_close(&json, '}');
    putchar('\n');
}

/* A problem that the algorithm or the storage asked for cannot do. */
static void print_skipped(bool as_json, const char *name, const char *reason) {
    if (!as_json) {
        printf("%-20s -         %s\n", name, reason);
        return;
    }
    tilefold_cli_json json = {stdout, false};
    tilefold_cli_json_open(&json, NULL, '{');
    tilefold_cli_json_string(&json, "name", name);
    tilefold_cli_json_string(&json, "error", reason);
    tilefold_cli_json_close(&json, '}');
    putchar('\n');
}

static int bench_row(const tilefold_cli_options *options, tilefold_context *context, double peak,
                     const tilefold_cli_suite_row *row) {
    tilefold_message message;
    tilefold_problem problem = row->problem;
    if (options->type != TILEFOLD_NONE) problem.type = options->type;
    if (tilefold_problem_set_layout(&problem, options->layout, &message) != TILEFOLD_OK) {
        return tilefold_cli_fail("%s: %s", row->name, message.text);
    }
    tilefold_plan *plan;
    tilefold_status planned = tilefold_plan_create(context, &problem, &options->plan, &plan, &message);
    bool chosen = options->plan.algorithm != TILEFOLD_ALGORITHM_AUTO ||
                  options->plan.storage != TILEFOLD_STORAGE_BUFFER;
    if (planned == TILEFOLD_UNSUPPORTED && chosen) {
        print_skipped(options->json, row->name, message.text);
        return tilefold_cli_flush();
    }
    if (planned != TILEFOLD_OK) return tilefold_cli_plan_failed(options, row->name, planned, &message);
    bench_result result;
    int status = run_plan(row->name, &problem, plan, &result);
    tilefold_plan_destroy(plan);
    if (status != TILEFOLD_CLI_OK) return status;
    if (options->json) {
        write_row(row->name, &result, peak);
    } else {
        print_row(row->name, &result, peak);
    }
    return tilefold_cli_flush();
}

static int bench_suite(const tilefold_cli_options *options, tilefold_context *context,
                       const tilefold_cli_suite *suite) {
    double peak = 0;
    tilefold_message message;
    tilefold_status status = tilefold_measure_peak(context, &peak, &message);
    if (status != TILEFOLD_OK && status != TILEFOLD_UNSUPPORTED) return tilefold_cli_fail("peak: %s", message.text);
    if (!options->json) print_head(options, peak);
    int matching = 0;
    for (size_t i = 0; i < suite->count; i++) {
        if (options->filter && !strstr(suite->rows[i].name, options->filter)) continue;
        matching++;
        int row_status = bench_row(options, context, peak, &suite->rows[i]);
        if (row_status != TILEFOLD_CLI_OK) return row_status;
    }
    if (matching == 0)
        return tilefold_cli_fail("--filter %s: matches none of %zu names", options->filter, suite->count);
    return TILEFOLD_CLI_OK;
}

int tilefold_cli_run_bench(const tilefold_cli_options *options) {
    tilefold_cli_suite suite;
    int status = tilefold_cli_suite_read(options->suite_path, &suite);
    if (status != TILEFOLD_CLI_OK) return status;
    tilefold_context *context;
    status = tilefold_cli_open_context(options, &context);
    if (status == TILEFOLD_CLI_OK) {
        status = bench_suite(options, context, &suite);
        tilefold_context_destroy(context);
    }
    tilefold_cli_suite_free(&suite);
    return status;
}
