/* tilefold conv and conv-transpose: from .npy files to a .npy file.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bands.h"
#include "commands.h"
#include "error.h"
#include "npy.h"
#include "output_file.h"
#include "problem.h"
#include "progress.h"
#include "session.h"
#include "signals.h"
#include "system.h"

/* One run; whatever is there is released by close_run(). */
typedef struct conv_run {
    const tilefold_cli_options *options;
    tilefold_cli_array input, weight, bias;
    tilefold_problem problem;
    tilefold_context *context;
    tilefold_plan *plan;
    tilefold_plan_info info;
    tilefold_cli_output output;
    void *packed, *scratch;
    double seconds;
} conv_run;

/* Element strides from those of the arrays' dimensions. */
static void set_strides(conv_run *run) {
    tilefold_problem *problem = &run->problem;
    bool last = run->options->layout == TILEFOLD_CHANNELS_LAST;
    bool weight_by_input = problem->op == TILEFOLD_CONV_TRANSPOSE && !last; /* (C, O/G, k...), else O comes first */
    int rank = problem->rank, inner = last ? rank + 1 : 1, first_axis = last ? 1 : 2;
    tilefold_weight_strides *weight = &problem->weight_stride;
    problem->input_stride.batch = run->input.stride[0];
    problem->input_stride.channel = run->input.stride[inner];
    problem->input_stride.group = run->input.stride[inner] * (problem->in_channels / problem->groups);
    weight->out_channel = run->weight.stride[weight_by_input ? inner : 0];
    weight->in_channel = run->weight.stride[weight_by_input ? 0 : inner];
    int64_t per_group = (weight_by_input ? problem->in_channels : problem->out_channels) / problem->groups;
    weight->group = run->weight.stride[0] * per_group;
    for (int axis = 0; axis < rank; axis++) {
        problem->input_stride.spatial[axis] = run->input.stride[first_axis + axis];
        weight->spatial[axis] = run->weight.stride[first_axis + axis];
    }
}

static int open_inputs(conv_run *run) {
    const tilefold_cli_options *options = run->options;
    int status = tilefold_cli_npy_open(options->input_path, options->type, false, &run->input);
    if (status != TILEFOLD_CLI_OK) return status;
    status = tilefold_cli_npy_open(options->weight_path, options->type, false, &run->weight);
    if (status != TILEFOLD_CLI_OK) return status;
    if (run->weight.type != run->input.type) {
        return tilefold_cli_fail("%s: dtype '%s', but %s has '%s'", options->weight_path, run->weight.descr,
                                 options->input_path, run->input.descr);
    }
    if (!options->bias_path) return TILEFOLD_CLI_OK;
    return tilefold_cli_npy_open(options->bias_path, run->input.type, true, &run->bias);
}

static int check_bias(conv_run *run) {
    const tilefold_cli_shape *bias = &run->bias.shape;
    if (!run->options->bias_path) return TILEFOLD_CLI_OK;
    if (bias->count != 1 || bias->size[0] != run->problem.out_channels) {
        tilefold_cli_shape_text text;
        return tilefold_cli_fail("%s: shape %s, but there are %" PRId64 " output channels", bias->name,
                                 tilefold_cli_shape_print(bias->count, bias->size, &text), run->problem.out_channels);
    }
    run->problem.bias_type = run->bias.type;
    return TILEFOLD_CLI_OK;
}

static int make_plan(conv_run *run) {
    const tilefold_cli_options *options = run->options;
    int status = tilefold_cli_problem(options, &run->input.shape, &run->weight.shape, run->input.type, &run->problem);
    if (status == TILEFOLD_CLI_OK) status = check_bias(run);
    if (status != TILEFOLD_CLI_OK) return status;
    set_strides(run);
    status = tilefold_cli_open_context(options, &run->context);
    if (status != TILEFOLD_CLI_OK) return status;

    tilefold_message message;
    tilefold_status planned = tilefold_plan_create(run->context, &run->problem, &options->plan, &run->plan, &message);
    if (planned != TILEFOLD_OK) return tilefold_cli_plan_failed(options, options->input_path, planned, &message);
    tilefold_plan_info_init(&run->info);
    if (tilefold_plan_get_info(run->plan, &run->info, &message) != TILEFOLD_OK)
        return tilefold_cli_fail("%s: %s", options->input_path, message.text);
    return TILEFOLD_CLI_OK;
}

static int create_output(conv_run *run) {
    int64_t shape[TILEFOLD_CLI_MAX_DIMENSIONS];
    int count = run->problem.rank + 2;
    tilefold_cli_output_shape(&run->problem, run->options->layout, run->info.output_size, shape);
    int64_t bytes = (int64_t)tilefold_type_bytes(run->problem.type);
    for (int i = 0; i < count; i++) {
        if (shape[i] > 0 && bytes > (INT64_MAX - TILEFOLD_CLI_NPY_HEADER_BYTES) / shape[i]) {
            tilefold_cli_shape_text text;
            return tilefold_cli_fail("%s: an output of shape %s does not fit 64 bits", run->options->output_path,
                                     tilefold_cli_shape_print(count, shape, &text));
        }
        bytes *= shape[i];
    }
    int status = tilefold_cli_output_create(run->options->output_path, bytes + TILEFOLD_CLI_NPY_HEADER_BYTES,
                                            &run->output);
    if (status == TILEFOLD_CLI_OK) tilefold_cli_npy_header(run->input.descr, count, shape, run->output.memory);
    return status;
}

static int allocate(conv_run *run) {
    run->scratch = tilefold_cli_allocate(run->info.scratch_bytes);
    if (run->info.packed_weight_bytes > 0) run->packed = tilefold_cli_allocate(run->info.packed_weight_bytes);
    if (!run->scratch) {
        return tilefold_cli_fail("no memory for %" PRId64 " bytes of scratch: try a smaller --scratch",
                                 run->info.scratch_bytes);
    }
    if (run->info.packed_weight_bytes > 0 && !run->packed) {
        return tilefold_cli_fail("no memory for %" PRId64 " bytes of packed weights: try --no-prepack",
                                 run->info.packed_weight_bytes);
    }
    return TILEFOLD_CLI_OK;
}

/* From element 0 to the end of the file; 0 where there is no array. */
static size_t array_bytes(const tilefold_cli_array *array) {
    if (!array->data) return 0;
    return array->mapping_bytes - (size_t)((const char *)array->data - (const char *)array->mapping);
}

/* On the CPU, in bands. */
static tilefold_status execute_bands(conv_run *run, const tilefold_execution *execution,
                                     tilefold_cli_progress *progress, int *write_error, tilefold_message *message) {
    tilefold_cli_band_run bands = {
        .plan = run->plan,
        .problem = &run->problem,
        .execution = execution,
        .progress = progress,
        .input = {run->input.mapping, run->input.mapping_bytes, -1},
        .output = {run->output.memory, run->output.bytes, run->output.file},
    };
    return tilefold_cli_execute_bands(&bands, write_error, message);
}

static int execute(conv_run *run) {
    tilefold_message message;
    if (run->packed && tilefold_pack_weight(run->plan, run->weight.data, array_bytes(&run->weight), run->packed,
                                            (size_t)run->info.packed_weight_bytes, &message) != TILEFOLD_OK) {
        return tilefold_cli_fail("%s: %s", run->options->weight_path, message.text);
    }
    int write_error = 0;
    tilefold_cli_progress progress;
    tilefold_execution execution;
    tilefold_execution_init(&execution);
    execution.input = run->input.data;
    execution.weight = run->weight.data;
    execution.packed_weight = run->packed;
    execution.bias = run->bias.data;
    execution.output = (char *)run->output.memory + TILEFOLD_CLI_NPY_HEADER_BYTES;
    execution.input_bytes = array_bytes(&run->input);
    execution.weight_bytes = array_bytes(&run->weight);
    execution.bias_bytes = array_bytes(&run->bias);
    execution.packed_weight_bytes = (size_t)run->info.packed_weight_bytes;
    execution.scratch = run->scratch;
    execution.scratch_bytes = (size_t)run->info.scratch_bytes;
    execution.progress = tilefold_cli_progress_step;
    execution.progress_user = &progress;

    tilefold_cli_progress_begin(&progress, run->options->quiet);
    tilefold_status status = run->info.device == TILEFOLD_CPU
                                 ? execute_bands(run, &execution, &progress, &write_error, &message)
                                 : tilefold_execute(run->plan, &execution, &message);
    run->seconds = tilefold_cli_clock() - progress.begun;
    tilefold_cli_progress_end(&progress);
    if (tilefold_cli_interrupted()) return tilefold_cli_fail("interrupted");
    if (status != TILEFOLD_OK) return tilefold_cli_fail("%s: %s", run->options->input_path, message.text);
    if (write_error)
        return tilefold_cli_fail("%s: cannot write it: %s", run->options->output_path, strerror(write_error));
    return TILEFOLD_CLI_OK;
}

static int report(conv_run *run) {
    double flops = 2.0 * (double)run->info.macs;
    double gflops = run->seconds > 0 ? flops / run->seconds / 1e9 : 0;
    int64_t peak = tilefold_cli_peak_memory();
    if (run->options->json) {
        tilefold_cli_json json = {stdout, false};
        tilefold_cli_json_open(&json, NULL, '{');
        tilefold_cli_report_plan(&json, run->options, &run->problem, &run->info);
        tilefold_cli_json_number(&json, "seconds", run->seconds);
        tilefold_cli_json_number(&json, "gflops", gflops);
        tilefold_cli_json_integer(&json, "peak_rss_bytes", peak);
        tilefold_cli_json_string(&json, "version", tilefold_version());
        tilefold_cli_json_close(&json, '}');
        putchar('\n');
    } else {
        int status = tilefold_cli_print_plan(run->plan);
        if (status != TILEFOLD_CLI_OK) return status;
        printf("  time         %.6g s, %.4g GFLOP/s\n", run->seconds, gflops);
        printf("  memory       %.1f MiB at its peak, touched pages of the files included\n", (double)peak / 1048576);
    }
    return tilefold_cli_flush();
}

static int commit(conv_run *run) { return tilefold_cli_output_commit(&run->output); }

/* From the open files to the complete output and then what is said about it: a run that fails leaves no output, and one
 * that reports a success has one. */
static int run_all(conv_run *run) {
    int (*const steps[])(conv_run *) = {open_inputs, make_plan, create_output, allocate, execute, commit, report};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (tilefold_cli_interrupted()) return tilefold_cli_fail("interrupted");
        int status = steps[i](run);
        if (status != TILEFOLD_CLI_OK) return status;
    }
    tilefold_cli_output_keep(&run->output);
    return TILEFOLD_CLI_OK;
}

static void close_run(conv_run *run) {
    tilefold_cli_output_discard(&run->output);
    tilefold_cli_release(run->packed);
    tilefold_cli_release(run->scratch);
    tilefold_plan_destroy(run->plan);
    tilefold_context_destroy(run->context);
    tilefold_cli_npy_close(&run->bias);
    tilefold_cli_npy_close(&run->weight);
    tilefold_cli_npy_close(&run->input);
}

int tilefold_cli_run_conv(const tilefold_cli_options *options) {
    conv_run run = {.options = options, .output.file = -1};
    tilefold_cli_catch_signals();
    int status = run_all(&run);
    close_run(&run);
    return status;
}
