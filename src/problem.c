/* Checking a problem, its output sizes and the strides of common layouts.
 *
 * SPDX-License-Identifier: MIT
 */
#include "checked.h"
#include "geometry.h"
#include "message.h"
#include "modular.h"
#include "strides.h"
#include "versioned.h"

#include <stdio.h>

static tilefold_status check_positive(int64_t value, const char *name, int32_t axis, tilefold_message *message) {
    if (value >= 1) return TILEFOLD_OK;
    return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "%s of axis %d is %lld, below 1", name, (int)axis,
                         (long long)value);
}

static tilefold_status check_axis(const tilefold_problem *p, int32_t axis, tilefold_message *message) {
    bool transposed = p->op == TILEFOLD_CONV_TRANSPOSE;
    tilefold_status status;
    if ((status = check_positive(p->input_size[axis], "input size", axis, message)) ||
        (status = check_positive(p->kernel[axis], "kernel size", axis, message)) ||
        (status = check_positive(p->stride[axis], "stride", axis, message)) ||
        (status = check_positive(p->dilation[axis], "dilation", axis, message)) ||
        (status = check_positive(p->input_dilation[axis], "input dilation", axis, message)))
        return status;
    if (transposed && p->input_dilation[axis] != 1)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "input dilation of axis %d is %lld; a transposed convolution has only its stride",
                             (int)axis, (long long)p->input_dilation[axis]);
    if (p->output_padding[axis] < 0 || (!transposed && p->output_padding[axis] != 0))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "output padding of axis %d is %lld; %s", (int)axis,
                             (long long)p->output_padding[axis],
                             transposed ? "it must not be negative" : "only a transposed convolution has one");
    if ((transposed ? p->stride[axis] : p->input_dilation[axis]) > TILEFOLD_MAX_MODULUS)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "input dilation of axis %d is above %lld", (int)axis,
                             (long long)TILEFOLD_MAX_MODULUS);
    return TILEFOLD_OK;
}

static tilefold_status check_fields(const tilefold_problem *p, tilefold_message *message) {
    if (p->op != TILEFOLD_CONV && p->op != TILEFOLD_CONV_TRANSPOSE)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "op %d is unknown", (int)p->op);
    if (p->type < TILEFOLD_F32 || p->type > TILEFOLD_BF16)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "type %d is unknown", (int)p->type);
    if (p->bias_type != TILEFOLD_NONE && p->bias_type != TILEFOLD_F32 && p->bias_type != p->type)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "bias type %d is neither none, fp32 nor the tensors' type", (int)p->bias_type);
    if (p->rank < 1 || p->rank > TILEFOLD_MAX_RANK)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "rank is %d, not 1 to %d", (int)p->rank,
                             TILEFOLD_MAX_RANK);
    if (p->batch < 0)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "batch is %lld, below 0", (long long)p->batch);
    if (p->groups < 1 || p->in_channels < 1 || p->out_channels < 1)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "input channels %lld, output channels %lld and groups %lld must be at least 1",
                             (long long)p->in_channels, (long long)p->out_channels, (long long)p->groups);
    if (p->in_channels % p->groups || p->out_channels % p->groups)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "%lld groups do not divide %lld input and %lld output channels", (long long)p->groups,
                             (long long)p->in_channels, (long long)p->out_channels);
    if (!(p->clamp_low <= p->clamp_high))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "clamp low %g is not at most clamp high %g",
                             (double)p->clamp_low, (double)p->clamp_high);
    for (int32_t axis = 0; axis < p->rank; axis++) {
        tilefold_status status = check_axis(p, axis, message);
        if (status) return status;
    }
    return TILEFOLD_OK;
}

static bool in_bounds(int64_t value) { return value <= TILEFOLD_MAX_POSITION && value >= -TILEFOLD_MAX_POSITION; }

/* a*b + c, bounded. */
static bool multiply_add(int64_t a, int64_t b, int64_t c, int64_t *out) {
    return tilefold_multiply(a, b, out) && tilefold_add(*out, c, out) && in_bounds(*out);
}

/* X by the formulas of tilefold.h; false on overflow. */
static bool axis_output(const tilefold_problem *p, int32_t axis, int64_t *output) {
    bool transposed = p->op == TILEFOLD_CONV_TRANSPOSE;
    int64_t begin = p->padding_begin[axis], end = p->padding_end[axis], spread, kernel_reach;
    if (!in_bounds(begin) || !in_bounds(end) || !in_bounds(p->output_padding[axis])) return false;
    if (!multiply_add(p->input_size[axis] - 1, transposed ? p->stride[axis] : p->input_dilation[axis], 1, &spread))
        return false;
    if (!multiply_add(p->kernel[axis] - 1, p->dilation[axis], 0, &kernel_reach)) return false;
    if (transposed)
        *output = spread - begin - end + kernel_reach + p->output_padding[axis];
    else
        *output = tilefold_floor_div(spread + begin + end - kernel_reach - 1, p->stride[axis]) + 1;
    int64_t last;
    return in_bounds(*output) && multiply_add(tilefold_max(*output, 1) - 1, transposed ? 1 : p->stride[axis], 0, &last);
}

/* Why an axis has no output size, with all that it is made of; what is left as it is by default goes unsaid. */
static tilefold_status fail_axis(const tilefold_problem *p, int32_t axis, tilefold_status status, const char *what,
                                 tilefold_message *message) {
    char spread[32] = "", added[40] = "";
    if (p->input_dilation[axis] != 1)
        snprintf(spread, sizeof spread, " dilated by %lld", (long long)p->input_dilation[axis]);
    if (p->output_padding[axis] != 0)
        snprintf(added, sizeof added, ", output padding %lld", (long long)p->output_padding[axis]);
    return tilefold_fail(message, status,
                         "sizes along axis %d %s: input %lld%s, kernel %lld, stride %lld, dilation %lld, "
                         "padding %lld and %lld%s",
                         (int)axis, what, (long long)p->input_size[axis], spread, (long long)p->kernel[axis],
                         (long long)p->stride[axis], (long long)p->dilation[axis], (long long)p->padding_begin[axis],
                         (long long)p->padding_end[axis], added);
}

tilefold_status tilefold_find_output_size(const tilefold_problem *problem, int64_t output_size[TILEFOLD_MAX_RANK],
                                          tilefold_message *message) {
    tilefold_status status = check_fields(problem, message);
    if (status) return status;
    int64_t output[TILEFOLD_MAX_RANK];
    for (int32_t axis = 0; axis < problem->rank; axis++) {
        if (!axis_output(problem, axis, &output[axis]))
            return fail_axis(problem, axis, TILEFOLD_OVERFLOW, "do not fit 64 bits", message);
        if (output[axis] < 1) return fail_axis(problem, axis, TILEFOLD_INVALID_ARGUMENT, "leave no output", message);
    }
    for (int32_t axis = 0; axis < problem->rank; axis++) output_size[axis] = output[axis];
    return TILEFOLD_OK;
}

tilefold_status tilefold_output_size(const tilefold_problem *problem, int64_t output_size[TILEFOLD_MAX_RANK],
                                     tilefold_message *message) {
    tilefold_problem full;
    tilefold_status status = tilefold_read_problem(problem, &full, message);
    return status ? status : tilefold_find_output_size(&full, output_size, message);
}

tilefold_status tilefold_problem_set_layout(tilefold_problem *problem, tilefold_layout layout,
                                            tilefold_message *message) {
    tilefold_problem full;
    int64_t output_size[TILEFOLD_MAX_RANK];
    tilefold_status status = tilefold_read_problem(problem, &full, message);
    if (!status) status = tilefold_find_output_size(&full, output_size, message);
    if (!status) status = tilefold_make_dense(&full, output_size, layout, message);
    return status ? status : tilefold_write_problem(&full, problem, message);
}
