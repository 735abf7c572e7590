/* SPDX-License-Identifier: MIT */
#include "window.h"

#include "checked.h"
#include "message.h"
#include "modular.h"
#include "versioned.h"

/* ------------------------------------------------------------------------------------------------------ one axis ---- */

/* base + u*u_step + v*v_step for u in [0, u_count) and v in [0, v_count); steps >= 1. */
typedef struct sums {
    int64_t base, u_step, u_count, v_step, v_count;
} sums;

/* The least v >= 0 that makes at + v*step a multiple of the modulus and >= 0; a negative one where there is none. */
static int64_t least_factor(int64_t at, int64_t step, int64_t common, int64_t period, int64_t inverse) {
    if (at % common) return -1;
    int64_t residue = tilefold_multiply_modulo(tilefold_modulo(-(at / common), period), inverse, period);
    int64_t from = at >= 0 ? 0 : tilefold_ceil_div(-at, step);
    return from + tilefold_modulo(residue - from, period);
}

/* The least of the sums that is >= 0 and a multiple of the modulus; false where there is none. Goes through the fewer of u and v,
 * ascending, until none of those that are left can be less. */
static bool least_multiple(sums s, int64_t modulus, int64_t *least) {
    if (s.u_count > s.v_count) s = (sums){s.base, s.v_step, s.v_count, s.u_step, s.u_count};
    int64_t common = tilefold_gcd(s.v_step, modulus), period = modulus / common;
    int64_t inverse = tilefold_inverse_modulo(s.v_step / common, period);
    bool found = false;
    for (int64_t u = 0; u < s.u_count; u++) {
        int64_t at = s.base + u * s.u_step;
        if (found && tilefold_max(at, 0) > *least - modulus) break;
        int64_t v = least_factor(at, s.v_step, common, period, inverse);
        if (v < 0 || v >= s.v_count || (found && at + v * s.v_step >= *least)) continue;
        *least = at + v * s.v_step;
        found = true;
    }
    return found;
}

tilefold_range tilefold_axis_input_range(const tilefold_axis *axis, tilefold_range outputs) {
    int64_t dilation = axis->input_dilation, tap_step = tilefold_max(axis->tap_step, -axis->tap_step);
    int64_t low = outputs.begin * axis->stride + axis->origin, high = low + (outputs.count - 1) * axis->stride;
    int64_t reach = (axis->kernel - 1) * axis->tap_step, end = (axis->input - 1) * dilation, first, after;
    low += tilefold_min(reach, 0);
    high += tilefold_max(reach, 0);
    sums s = {low, axis->stride, outputs.count, tap_step, axis->kernel};
    bool apart = high < 0 || low > end; /* no need to search */
    if (apart || !least_multiple(s, dilation, &first) || first > end)
        return (tilefold_range){tilefold_ceil_div(low, dilation), 0};
    s.base = end - high; /* from the end of the input backwards */
    least_multiple(s, dilation, &after);
    return (tilefold_range){first / dilation, (end - after - first) / dilation + 1};
}

tilefold_range tilefold_axis_cut(tilefold_axis *axis, tilefold_range outputs) {
    tilefold_range input = tilefold_axis_input_range(axis, outputs);
    axis->input = input.count;
    axis->output = outputs.count;
    axis->origin += outputs.begin * axis->stride - input.begin * axis->input_dilation;
    return input;
}

/* ------------------------------------------------------------------------------------------------------ checking ---- */

static tilefold_status check_range(const char *name, int64_t begin, int64_t size, int64_t least, int64_t whole,
                                   tilefold_message *message) {
    if (begin >= 0 && size >= least && size <= whole && begin <= whole - size) return TILEFOLD_OK;
    return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                         "the window has %lld %s from %lld on; the output has %lld, and at least %lld must be wanted",
                         (long long)size, name, (long long)begin, (long long)whole, (long long)least);
}

/* The whole output of a problem that has been read. */
static tilefold_status find_whole(const tilefold_problem *problem, tilefold_window *whole, tilefold_message *message) {
    *whole = (tilefold_window){.batch_size = problem->batch, .channel_size = problem->out_channels};
    return tilefold_find_output_size(problem, whole->size, message);
}

static tilefold_status check_window(const tilefold_problem *problem, const tilefold_window *output,
                                    tilefold_window *whole, tilefold_message *message) {
    static const char *const positions[TILEFOLD_MAX_RANK] = {"positions of axis 0", "positions of axis 1",
                                                             "positions of axis 2"};
    tilefold_status status = find_whole(problem, whole, message);
    if (!status) status = check_range("images", output->batch_begin, output->batch_size, 0, whole->batch_size, message);
    if (!status)
        status = check_range("channels", output->channel_begin, output->channel_size, 1, whole->channel_size, message);
    for (int32_t axis = 0; !status && axis < problem->rank; axis++)
        status = check_range(positions[axis], output->begin[axis], output->size[axis], 1, whole->size[axis], message);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- windows ---- */

static tilefold_weight_window find_weight(const tilefold_problem *problem, const tilefold_window *output) {
    int64_t each = problem->out_channels / problem->groups;
    int64_t first = output->channel_begin, last = first + output->channel_size - 1;
    tilefold_weight_window weight = {.group_begin = first / each, .group_size = last / each - first / each + 1};
    bool one = weight.group_size == 1;
    weight.out_channel_begin = one ? first % each : 0;
    weight.out_channel_size = one ? output->channel_size
                                  : each; /* the box of the end of one and the beginning of the next */
    return weight;
}

/* Of an output window that has been checked. */
static tilefold_window find_input(const tilefold_problem *problem, const tilefold_window *output,
                                  const tilefold_window *whole, const tilefold_weight_window *weight) {
    int64_t channels = problem->in_channels / problem->groups;
    tilefold_window input = {.batch_begin = output->batch_begin,
                             .batch_size = output->batch_size,
                             .channel_begin = weight->group_begin * channels,
                             .channel_size = weight->group_size * channels};
    for (int32_t at = 0; at < problem->rank; at++) {
        tilefold_axis axis;
        tilefold_axis_init(&axis, problem, at, whole->size[at]);
        tilefold_range range = tilefold_axis_input_range(&axis, (tilefold_range){output->begin[at], output->size[at]});
        input.size[at] = range.count;
        input.begin[at] = tilefold_min(tilefold_max(range.begin, 0), axis.input - 1);
    }
    return input;
}

tilefold_status tilefold_output_window(const tilefold_problem *problem, tilefold_window *window,
                                       tilefold_message *message) {
    tilefold_problem full;
    tilefold_window whole;
    tilefold_status status = tilefold_read_problem(problem, &full, message);
    if (!status) status = find_whole(&full, &whole, message);
    if (!status) *window = whole;
    return status;
}

tilefold_status tilefold_input_window(const tilefold_problem *problem, const tilefold_window *output,
                                      tilefold_window *input, tilefold_weight_window *weight,
                                      tilefold_message *message) {
    tilefold_problem full;
    tilefold_window whole;
    tilefold_status status = tilefold_read_problem(problem, &full, message);
    if (!status) status = check_window(&full, output, &whole, message);
    if (status) return status;
    tilefold_weight_window slice = find_weight(&full, output);
    *input = find_input(&full, output, &whole, &slice);
    *weight = slice;
    return TILEFOLD_OK;
}

/* ------------------------------------------------------------------------------------------------------ problems ---- */

/* Padding with which the axis of the part has `outputs` outputs, and the taps of the first of them meet what those of output
 * `first` meet in the whole. */
static void set_padding(tilefold_problem *part, int32_t at, int64_t first, int64_t outputs, int64_t input_begin) {
    bool transposed = part->op == TILEFOLD_CONV_TRANSPOSE;
    int64_t dilation = transposed ? part->stride[at] : part->input_dilation[at];
    int64_t spread = (part->input_size[at] - 1) * dilation + 1, reach = part->dilation[at] * (part->kernel[at] - 1);
    int64_t *begin = &part->padding_begin[at], *end = &part->padding_end[at];
    part->output_padding[at] = 0;
    if (transposed) {
        *begin += first - input_begin * dilation;
        *end = spread + reach - *begin - outputs;
    } else {
        *begin += input_begin * dilation - first * part->stride[at];
        *end = (outputs - 1) * part->stride[at] + reach + 1 - *begin - spread;
    }
}

/* The window of a problem that has been read, and which input it has. */
static tilefold_status make_part(const tilefold_problem *problem, const tilefold_window *output, tilefold_problem *part,
                                 tilefold_window *input, tilefold_weight_window *weight, tilefold_message *message) {
    tilefold_window whole;
    tilefold_status status = check_window(problem, output, &whole, message);
    if (status) return status;
    *weight = find_weight(problem, output);
    *input = find_input(problem, output, &whole, weight);
    if (weight->group_size * weight->out_channel_size != output->channel_size)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "%lld output channels from %lld on are neither within one of %lld groups nor whole groups",
                             (long long)output->channel_size, (long long)output->channel_begin,
                             (long long)problem->groups);
    *part = *problem;
    part->batch = output->batch_size;
    part->groups = weight->group_size;
    part->in_channels = input->channel_size;
    part->out_channels = output->channel_size;
    for (int32_t at = 0; at < problem->rank; at++) {
        part->input_size[at] = tilefold_max(input->size[at], 1);
        set_padding(part, at, output->begin[at], output->size[at], input->begin[at]);
    }
    return tilefold_find_output_size(part, whole.size, message);
}

/* *sum += index * stride. */
static bool step(int64_t index, int64_t stride, int64_t *sum) {
    int64_t product;
    return tilefold_multiply(index, stride, &product) && tilefold_add(*sum, product, sum);
}

static bool find_offset(const tilefold_tensor_strides *stride, int32_t rank, const tilefold_window *window,
                        int64_t group, int64_t channel, int64_t *offset) {
    *offset = 0;
    bool fits = step(window->batch_begin, stride->batch, offset) && step(group, stride->group, offset) &&
                step(channel, stride->channel, offset);
    for (int32_t axis = 0; axis < rank; axis++) fits = fits && step(window->begin[axis], stride->spatial[axis], offset);
    return fits;
}

static bool find_offsets(const tilefold_problem *problem, const tilefold_window *output, const tilefold_window *input,
                         const tilefold_weight_window *weight, tilefold_window_offsets *offsets) {
    int64_t group = weight->group_begin, channel = weight->out_channel_begin;
    offsets->bias = output->channel_begin;
    offsets->weight = 0;
    return find_offset(&problem->input_stride, problem->rank, input, group, 0, &offsets->input) &&
           find_offset(&problem->output_stride, problem->rank, output, group, channel, &offsets->output) &&
           step(group, problem->weight_stride.group, &offsets->weight) &&
           step(channel, problem->weight_stride.out_channel, &offsets->weight);
}

tilefold_status tilefold_window_problem(const tilefold_problem *problem, const tilefold_window *output,
                                        tilefold_problem *part, tilefold_window_offsets *offsets,
                                        tilefold_message *message) {
    tilefold_problem full, window;
    tilefold_window input;
    tilefold_weight_window weight;
    tilefold_window_offsets found;
    tilefold_status status = tilefold_read_problem(problem, &full, message);
    if (!status) status = make_part(&full, output, &window, &input, &weight, message);
    if (!status && offsets && !find_offsets(&full, output, &input, &weight, &found))
        status = tilefold_fail(message, TILEFOLD_OVERFLOW, "the window begins at an offset that does not fit 64 bits");
    if (!status) status = tilefold_write_problem(&window, part, message);
    if (!status && offsets) *offsets = found;
    return status;
}

tilefold_status tilefold_window_geometry(const tilefold_problem *problem, const tilefold_window *output,
                                         tilefold_geometry *geometry, tilefold_message *message) {
    tilefold_problem part;
    tilefold_window input;
    tilefold_weight_window weight;
    tilefold_status status = make_part(problem, output, &part, &input, &weight, message);
    if (!status && output->channel_size != problem->out_channels)
        status = tilefold_fail(message, TILEFOLD_UNSUPPORTED,
                               "the window has %lld of %lld output channels; a plan computes all of them",
                               (long long)output->channel_size, (long long)problem->out_channels);
    if (!status) status = tilefold_geometry_init(geometry, &part, message);
    if (status) return status;
    for (int32_t at = 0; at < problem->rank; at++)
        if (input.size[at] == 0) geometry->axis[TILEFOLD_AXES - problem->rank + at].input = 0;
    return TILEFOLD_OK;
}

static bool ends_between_units(const tilefold_axis *axis, tilefold_range outputs, int64_t unit) {
    int64_t end = outputs.begin + outputs.count;
    if (outputs.begin % unit) return false;
    if (end % unit == 0) return true;
    tilefold_range input = tilefold_axis_input_range(axis, outputs);
    return end == axis->output && input.begin + input.count >= axis->input;
}

tilefold_status tilefold_check_units(const tilefold_problem *problem, const tilefold_window *output,
                                     const int64_t unit[TILEFOLD_AXES], tilefold_message *message) {
    int64_t size[TILEFOLD_MAX_RANK];
    tilefold_status status = tilefold_find_output_size(problem, size, message);
    for (int32_t at = 0; !status && at < problem->rank; at++) {
        int64_t each = unit[TILEFOLD_AXES - problem->rank + at];
        if (each <= 1) continue;
        tilefold_axis axis;
        tilefold_axis_init(&axis, problem, at, size[at]);
        if (!ends_between_units(&axis, (tilefold_range){output->begin[at], output->size[at]}, each))
            status = tilefold_fail(
                message, TILEFOLD_UNSUPPORTED,
                "fast arithmetic computes %lld outputs of axis %d together; the window has %lld from "
                "%lld on, of %lld",
                (long long)each, (int)at, (long long)output->size[at], (long long)output->begin[at],
                (long long)size[at]);
    }
    return status;
}
