/* From shapes and options to a problem. See problem.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "problem.h"

#include <inttypes.h>
#include <stdbool.h>

#include "error.h"

/* Ranks, and the sizes that must not be 0. */
static int check_shapes(const tilefold_cli_shape *input, const tilefold_cli_shape *weight) {
    tilefold_cli_shape_text text;
    if (input->count < 3) {
        return tilefold_cli_fail(
            "%s: shape %s has %d dimensions, but batch, channels and 1 to 3 spatial axes are 3 to 5", input->name,
            tilefold_cli_shape_print(input->count, input->size, &text), input->count);
    }
    if (weight->count != input->count) {
        return tilefold_cli_fail("%s: shape %s has %d dimensions, but %s has %d", weight->name,
                                 tilefold_cli_shape_print(weight->count, weight->size, &text), weight->count,
                                 input->name, input->count);
    }
    for (int i = 0; i < input->count; i++) {
        const tilefold_cli_shape *wrong = weight->size[i] < 1 ? weight : i > 0 && input->size[i] < 1 ? input : NULL;
        if (!wrong) continue;
        return tilefold_cli_fail("%s: shape %s: size %d is 0; only the batch may be", wrong->name,
                                 tilefold_cli_shape_print(wrong->count, wrong->size, &text), i);
    }
    return TILEFOLD_CLI_OK;
}

/* Channels and groups, from where each layout and operation keeps them. */
static int set_channels(const tilefold_cli_options *options, const tilefold_cli_shape *input,
                        const tilefold_cli_shape *weight, tilefold_problem *problem) {
    bool last = options->layout == TILEFOLD_CHANNELS_LAST;
    bool transposed = options->op == TILEFOLD_CONV_TRANSPOSE;
    int64_t groups = options->groups, channels = input->size[last ? input->count - 1 : 1];
    int64_t outputs = weight->size[0], per_group = weight->size[last ? weight->count - 1 : 1];
    tilefold_cli_shape_text text;
    const char *shape = tilefold_cli_shape_print(weight->count, weight->size, &text);

    if (channels % groups != 0) {
        return tilefold_cli_fail("--groups %" PRId64 ": does not divide the %" PRId64 " channels of %s", groups,
                                 channels, input->name);
    }
    if (transposed && !last) { /* (C, O/G, k...) */
        if (weight->size[0] != channels) {
            return tilefold_cli_fail("%s: shape %s is for %" PRId64 " input channels, but %s has %" PRId64,
                                     weight->name, shape, weight->size[0], input->name, channels);
        }
        if (per_group > INT64_MAX / groups) {
            return tilefold_cli_fail("%s: shape %s with --groups %" PRId64 " does not fit 64 bits", weight->name, shape,
                                     groups);
        }
        outputs = per_group * groups;
    } else { /* (O, C/G, k...) or (O, k..., C/G) */
        if (per_group != channels / groups) {
            return tilefold_cli_fail("%s: shape %s is for %" PRId64 " input channels per group, but %s has %" PRId64
                                     " channels in %" PRId64 " groups",
                                     weight->name, shape, per_group, input->name, channels, groups);
        }
        if (outputs % groups != 0) {
            return tilefold_cli_fail("--groups %" PRId64 ": does not divide the %" PRId64 " output channels of %s",
                                     groups, outputs, weight->name);
        }
    }
    problem->batch = input->size[0];
    problem->groups = groups;
    problem->in_channels = channels;
    problem->out_channels = outputs;
    for (int axis = 0; axis < problem->rank; axis++) {
        problem->input_size[axis] = input->size[axis + (last ? 1 : 2)];
        problem->kernel[axis] = weight->size[axis + (last ? 1 : 2)];
    }
    return TILEFOLD_CLI_OK;
}

/* A list with one value for all axes or one for each; left alone where the option was not given. */
static int spread(const char *option, const tilefold_cli_list *list, int rank, int64_t *values) {
    if (list->count > 1 && list->count != rank) {
        return tilefold_cli_misuse("--%s: %d numbers for %d spatial %s", option, list->count, rank,
                                   rank == 1 ? "axis" : "axes");
    }
    for (int axis = 0; axis < rank && list->count > 0; axis++) values[axis] = list->value[list->count == 1 ? 0 : axis];
    return TILEFOLD_CLI_OK;
}

/* *out = a * b + c for a, b, c >= 0; false where that does not fit. */
static bool multiply_add(int64_t a, int64_t b, int64_t c, int64_t *out) {
    if (b > 0 && a > (INT64_MAX - c) / b) return false;
    *out = a * b + c;
    return true;
}

/* The padding that gives an output of ceil(input / stride), never less than none. */
static bool same_total(const tilefold_problem *problem, int axis, int64_t *total) {
    int64_t input, extent, needed;
    if (!multiply_add(problem->input_size[axis] - 1, problem->input_dilation[axis], 1, &input)) return false;
    if (!multiply_add(problem->kernel[axis] - 1, problem->dilation[axis], 1, &extent)) return false;
    int64_t stride = problem->stride[axis], outputs = (input - 1) / stride + 1;
    if (!multiply_add(outputs - 1, stride, extent, &needed)) return false;
    *total = needed > input ? needed - input : 0;
    return true;
}

/* The padding that gives a transposed output of `output`, or of input * stride for an output of 0. */
static bool transposed_total(const tilefold_problem *problem, int axis, int64_t output, int64_t *total) {
    int64_t extent, reach;
    int64_t input = problem->input_size[axis], stride = problem->stride[axis];
    if (output == 0 && !multiply_add(input, stride, 0, &output)) return false;
    if (!multiply_add(problem->kernel[axis] - 1, problem->dilation[axis], 1, &extent)) return false;
    if (!multiply_add(1, extent, problem->output_padding[axis], &extent)) return false;
    if (!multiply_add(input - 1, stride, extent, &reach)) return false;
    *total = reach - output;
    return true;
}

/* ONNX: the halves, the odd one at the end for SAME_UPPER and at the beginning for all else. A negative total, an output
 * larger than the taps reach, is no padding and more outputs at the end, as ONNX's own cases have it. */
static void split(bool upper, int64_t total, int64_t *begin, int64_t *end) {
    int64_t half = total / 2;
    *begin = total < 0 ? 0 : upper ? half : total - half;
    *end = total - *begin;
}

static int set_padding(const tilefold_cli_options *options, const char *input_name, tilefold_problem *problem) {
    const tilefold_cli_padding *padding = &options->padding;
    bool upper = padding->mode == TILEFOLD_CLI_PADDING_SAME;
    bool same = upper || padding->mode == TILEFOLD_CLI_PADDING_SAME_LOWER;
    bool transposed = options->op == TILEFOLD_CONV_TRANSPOSE;
    int64_t outputs[TILEFOLD_MAX_RANK] = {0};
    int status = spread("output-shape", &options->output_shape, problem->rank, outputs);
    if (status == TILEFOLD_CLI_OK) status = spread("padding", &padding->begin, problem->rank, problem->padding_begin);
    if (status == TILEFOLD_CLI_OK) status = spread("padding", &padding->end, problem->rank, problem->padding_end);
    if (status != TILEFOLD_CLI_OK || (!same && !options->output_shape.count)) return status;
    for (int axis = 0; axis < problem->rank; axis++) {
        int64_t total;
        bool fits = transposed ? transposed_total(problem, axis, outputs[axis], &total)
                               : same_total(problem, axis, &total);
        if (!fits)
            return tilefold_cli_fail("%s: the padding of spatial axis %d does not fit 64 bits", input_name, axis);
        split(upper, total, &problem->padding_begin[axis], &problem->padding_end[axis]);
    }
    return TILEFOLD_CLI_OK;
}

static int set_options(const tilefold_cli_options *options, const char *input_name, tilefold_problem *problem) {
    int rank = problem->rank;
    int status = spread("stride", &options->stride, rank, problem->stride);
    if (status == TILEFOLD_CLI_OK) status = spread("dilation", &options->dilation, rank, problem->dilation);
    if (status == TILEFOLD_CLI_OK) {
        status = spread("input-dilation", &options->input_dilation, rank, problem->input_dilation);
    }
    if (status == TILEFOLD_CLI_OK) {
        status = spread("output-padding", &options->output_padding, rank, problem->output_padding);
    }
    if (status == TILEFOLD_CLI_OK) status = set_padding(options, input_name, problem);
    problem->flip = options->flip;
    problem->clamp_low = options->clamp_low;
    problem->clamp_high = options->clamp_high;
    return status;
}

int tilefold_cli_problem(const tilefold_cli_options *options, const tilefold_cli_shape *input,
                         const tilefold_cli_shape *weight, tilefold_type type, tilefold_problem *problem) {
    int status = check_shapes(input, weight);
    if (status != TILEFOLD_CLI_OK) return status;
    tilefold_problem_init(problem, options->op, type, input->count - 2);
    status = set_channels(options, input, weight, problem);
    if (status == TILEFOLD_CLI_OK) status = set_options(options, input->name, problem);
    if (status != TILEFOLD_CLI_OK) return status;

    tilefold_message message;
    if (tilefold_problem_set_layout(problem, options->layout, &message) != TILEFOLD_OK) {
        return tilefold_cli_fail("%s, %s: %s", input->name, weight->name, message.text);
    }
    return TILEFOLD_CLI_OK;
}

void tilefold_cli_output_shape(const tilefold_problem *problem, tilefold_layout layout,
                               const int64_t spatial[TILEFOLD_MAX_RANK], int64_t size[TILEFOLD_CLI_MAX_DIMENSIONS]) {
    bool last = layout == TILEFOLD_CHANNELS_LAST;
    size[0] = problem->batch;
    size[last ? problem->rank + 1 : 1] = problem->out_channels;
    for (int axis = 0; axis < problem->rank; axis++) size[axis + (last ? 1 : 2)] = spatial[axis];
}
