/* SPDX-License-Identifier: MIT */
#include "geometry.h"

#include "checked.h"
#include "message.h"
#include "modular.h"
#include "strides.h"
#include "versioned.h"

#include <stdio.h>

/* More columns than this gain nothing from being computed together. */
#define MAX_FOLDED_COLUMNS INT32_MAX

/* ------------------------------------------------------------------------------------------------- checking ---- */

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

/* ----------------------------------------------------------------------------------------------- normal form ---- */

void tilefold_axis_init(tilefold_axis *axis, const tilefold_problem *p, int32_t at, int64_t output) {
    bool transposed = p->op == TILEFOLD_CONV_TRANSPOSE;
    axis->input = p->input_size[at];
    axis->output = output;
    axis->kernel = p->kernel[at];
    axis->stride = transposed ? 1 : p->stride[at];
    axis->tap_step = transposed ? -p->dilation[at] : p->dilation[at];
    axis->origin = transposed ? p->padding_begin[at] : -p->padding_begin[at];
    axis->input_dilation = transposed ? p->stride[at] : p->input_dilation[at];
    axis->phases = axis->input_dilation / tilefold_gcd(axis->stride, axis->input_dilation);
    axis->common = tilefold_gcd(p->dilation[at], axis->input_dilation);
    axis->tap_period = axis->input_dilation / axis->common;
    axis->tap_inverse = tilefold_inverse_modulo(axis->tap_step / axis->common, axis->tap_period);
    axis->folded = false;
}

static void init_unit_axis(tilefold_axis *axis) {
    *axis = (tilefold_axis){.input = 1,
                            .output = 1,
                            .kernel = 1,
                            .stride = 1,
                            .tap_step = 1,
                            .input_dilation = 1,
                            .phases = 1,
                            .common = 1,
                            .tap_period = 1};
}

static void init_strides(tilefold_geometry *g, const tilefold_problem *p) {
    g->in_batch = p->input_stride.batch;
    g->in_channel = p->input_stride.channel;
    g->in_group = p->input_stride.group;
    g->out_batch = p->output_stride.batch;
    g->out_channel = p->output_stride.channel;
    g->out_group = p->output_stride.group;
    g->weight_group = p->weight_stride.group;
    g->weight_out = p->weight_stride.out_channel;
    g->weight_in = p->weight_stride.in_channel;
    g->weight_offset = 0;
    for (int32_t at = 0; at < p->rank; at++) {
        int axis = TILEFOLD_AXES - p->rank + at;
        g->in_axis[axis] = p->input_stride.spatial[at];
        g->out_axis[axis] = p->output_stride.spatial[at];
        g->weight_axis[axis] = p->flip ? -p->weight_stride.spatial[at] : p->weight_stride.spatial[at];
        if (p->flip) g->weight_offset += (p->kernel[at] - 1) * p->weight_stride.spatial[at];
    }
}

/* The stride of an axis of size 1, or of the only group, may be anything; it is never taken. */
static void drop_idle_strides(tilefold_geometry *g) {
    if (g->groups == 1) g->in_group = g->out_group = 0;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        if (g->axis[axis].input == 1) g->in_axis[axis] = 0;
        if (g->axis[axis].output == 1) g->out_axis[axis] = 0;
    }
}

tilefold_status tilefold_geometry_init(tilefold_geometry *geometry, const tilefold_problem *problem,
                                       tilefold_message *message) {
    int64_t output_size[TILEFOLD_MAX_RANK];
    tilefold_status status = tilefold_find_output_size(problem, output_size, message);
    if (!status) status = tilefold_check_strides(problem, output_size, message);
    if (status) return status;

    tilefold_geometry g = {.type = problem->type,
                           .bias_type = problem->bias_type,
                           .batch = problem->batch,
                           .groups = problem->groups,
                           .in_channels = problem->in_channels / problem->groups,
                           .out_channels = problem->out_channels / problem->groups,
                           .clamp_low = problem->clamp_low,
                           .clamp_high = problem->clamp_high};
    int64_t outputs = tilefold_max(problem->batch, 1);
    bool fits = tilefold_multiply(outputs, problem->out_channels, &outputs);
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        int at = axis - (TILEFOLD_AXES - problem->rank);
        if (at < 0)
            init_unit_axis(&g.axis[axis]);
        else
            tilefold_axis_init(&g.axis[axis], problem, at, output_size[at]);
        fits = fits && tilefold_multiply(outputs, g.axis[axis].output, &outputs);
    }
    if (!fits || outputs > TILEFOLD_MAX_POSITION)
        return tilefold_fail(message, TILEFOLD_OVERFLOW, "the number of outputs does not fit 64 bits");
    init_strides(&g, problem);
    drop_idle_strides(&g);
    *geometry = g;
    return TILEFOLD_OK;
}

/* ----------------------------------------------------------------------------------------- parts and classes ---- */

bool tilefold_geometry_can_fold(const tilefold_geometry *geometry) {
    int64_t columns = geometry->out_channels;
    bool dilated = false;
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        const tilefold_axis *axis = &geometry->axis[at];
        if (axis->input_dilation == 1) continue;
        if (axis->stride != 1 || (axis->tap_step != 1 && axis->tap_step != -1)) return false;
        if (!tilefold_multiply(columns, axis->input_dilation, &columns) || columns > MAX_FOLDED_COLUMNS) return false;
        dilated = true;
    }
    return dilated;
}

void tilefold_geometry_fold(tilefold_geometry *geometry) {
    for (int at = 0; at < TILEFOLD_AXES; at++) geometry->axis[at].folded = geometry->axis[at].input_dilation > 1;
    geometry->folded = true;
}

/* How many taps start at k0 < m: k0, k0 + m, ... below K. */
static int64_t taps_from(const tilefold_axis *axis, int64_t first) {
    return first < axis->kernel ? (axis->kernel - 1 - first) / axis->tap_period + 1 : 0;
}

int64_t tilefold_axis_classes(const tilefold_axis *axis) {
    return axis->folded ? 2 : tilefold_min(axis->kernel, axis->tap_period);
}

/* Folded, class 0 has one tap more than class 1. */
tilefold_axis_class tilefold_axis_get_class(const tilefold_axis *axis, int64_t index) {
    int64_t split = axis->kernel % axis->tap_period;
    if (!axis->folded)
        return (tilefold_axis_class){.tap_first = index,
                                     .tap_step = axis->tap_period,
                                     .taps = taps_from(axis, index),
                                     .folds = 1};
    int64_t begin = index == 0 ? 0 : split, end = index == 0 ? split : axis->tap_period;
    return (tilefold_axis_class){.tap_first = begin,
                                 .tap_step = axis->tap_period,
                                 .taps = taps_from(axis, begin),
                                 .folds = end - begin};
}

/* The folds of `class` that exist at position q: those f with 0 <= q*L - f*T - B < X. T is +1 or -1. */
static void folds_at(const tilefold_axis *axis, const tilefold_axis_class *class, int64_t q, int64_t *begin,
                     int64_t *end) {
    int64_t shift = q * axis->input_dilation - axis->origin;
    int64_t low = axis->tap_step < 0 ? -shift : shift - axis->output + 1;
    *begin = tilefold_max(class->tap_first, low);
    *end = tilefold_min(class->tap_first + class->folds, low + axis->output);
}

/* The least and the largest q at which the fold f exists (largest < least where it never does). */
static int64_t first_position(const tilefold_axis *axis, int64_t fold) {
    return tilefold_ceil_div(axis->origin + fold * axis->tap_step, axis->input_dilation);
}

static int64_t last_position(const tilefold_axis *axis, int64_t fold) {
    return tilefold_floor_div(axis->output - 1 + axis->origin + fold * axis->tap_step, axis->input_dilation);
}

/* Parts 0, 1, 2 of a class are its head, body and tail. Folds of one class spread over less than one period, so at most
 * one q at either end lacks some of them. */
static tilefold_axis_part folded_part(const tilefold_axis *axis, int64_t index) {
    tilefold_axis_class class = tilefold_axis_get_class(axis, index / 3);
    if (class.folds == 0) return (tilefold_axis_part){0};
    int64_t low_fold = class.tap_first, high_fold = class.tap_first + class.folds - 1;
    int64_t early = axis->tap_step < 0 ? high_fold : low_fold, late = axis->tap_step < 0 ? low_fold : high_fold;
    int64_t first = first_position(axis, early), full_first = first_position(axis, late);
    int64_t last = last_position(axis, late), full_last = last_position(axis, early);

    int64_t q = full_first, count = full_last - full_first + 1;
    if (index % 3 == 0) q = first, count = first < full_first;
    if (index % 3 == 2) q = last, count = last > full_last && last >= full_first;
    tilefold_axis_part part = {.count = tilefold_max(count, 0),
                               .taps = class.taps,
                               .class_index = index / 3,
                               .class_folds = class.folds};
    if (part.count == 0) return part;
    int64_t end;
    folds_at(axis, &class, q, &part.fold_begin, &end);
    part.folds = end - part.fold_begin;
    if (part.folds <= 0) return (tilefold_axis_part){0};
    part.fold_begin -= class.tap_first; /* folds are counted within their class */
    part.out_first = q * axis->input_dilation - axis->origin - class.tap_first * axis->tap_step;
    part.out_step = axis->input_dilation;
    part.out_fold = -axis->tap_step;
    part.in_first = q;
    part.in_step = 1;
    part.in_tap = axis->tap_step;
    return part;
}

/* The first tap of phase r, or -1 where it meets none. */
static int64_t first_tap(const tilefold_axis *axis, int64_t phase) {
    int64_t at = phase * axis->stride + axis->origin;
    if (at % axis->common) return -1;
    int64_t residue = tilefold_modulo(-(at / axis->common), axis->tap_period);
    int64_t tap = tilefold_multiply_modulo(residue, axis->tap_inverse, axis->tap_period);
    return tap < axis->kernel ? tap : -1;
}

static tilefold_axis_part phase_part(const tilefold_axis *axis, int64_t phase) {
    tilefold_axis_part part = {.count = (axis->output - 1 - phase) / axis->phases + 1,
                               .folds = 1,
                               .class_index = -1,
                               .class_folds = 1,
                               .out_first = phase,
                               .out_step = axis->phases};
    int64_t tap = first_tap(axis, phase);
    if (tap < 0) return part;
    part.taps = taps_from(axis, tap);
    part.in_first = (phase * axis->stride + axis->origin + tap * axis->tap_step) / axis->input_dilation;
    part.in_step = axis->stride / (axis->input_dilation / axis->phases);
    part.in_tap = axis->tap_step / axis->common;
    part.class_index = tap;
    return part;
}

int64_t tilefold_axis_parts(const tilefold_axis *axis) {
    return axis->folded ? 6 : tilefold_min(axis->phases, axis->output);
}

/* Steps that are never taken become 1, so that their product with a stride cannot overflow. */
tilefold_axis_part tilefold_axis_get_part(const tilefold_axis *axis, int64_t index) {
    tilefold_axis_part part = axis->folded ? folded_part(axis, index) : phase_part(axis, index);
    if (part.count <= 1) part.in_step = part.out_step = 1;
    if (part.taps <= 1) part.in_tap = 1;
    return part;
}

tilefold_axis_part tilefold_axis_get_largest_part(const tilefold_axis *axis, int64_t index) {
    tilefold_axis_part part = tilefold_axis_get_part(axis, index);
    if (!axis->folded) return part;
    tilefold_axis_class class = tilefold_axis_get_class(axis, index / 3);
    if (class.folds == 0) return part;
    if (index % 3 != 1) part.count = 1; /* a head or a tail, be there one now or not */
    part.folds = class.folds;
    part.taps = class.taps;
    return part;
}

/* ---------------------------------------------------------------------------------------------------- counts ---- */

/* Sum over 0 <= i < n of floor((a*i + b) / m), modulo 2^64, for a, b >= 0 and m > 0: a Euclidean descent on (a, m). Knuth,
 * Graham and Patashnik, Concrete Mathematics, section 3.5, treats the sum. */
static uint64_t floor_sum(uint64_t n, uint64_t m, uint64_t a, uint64_t b) {
    uint64_t sum = 0;
    for (;;) {
        sum += (n & 1 ? (n - 1) / 2 * n : n / 2 * (n - 1)) * (a / m) + n * (b / m);
        a %= m, b %= m;
        tilefold_wide top = (tilefold_wide)a * n + b;
        if (top < m) return sum;
        n = (uint64_t)(top / m);
        b = (uint64_t)(top % m);
        uint64_t old = m;
        m = a, a = old;
    }
}

/* How many 0 <= i < n have (a*i + b) mod m < bound, for 0 <= a, b < m and 0 <= bound <= m. */
static int64_t count_below(int64_t n, int64_t m, int64_t a, int64_t b, int64_t bound) {
    uint64_t whole = floor_sum((uint64_t)n, (uint64_t)m, (uint64_t)a, (uint64_t)b);
    uint64_t shifted = floor_sum((uint64_t)n, (uint64_t)m, (uint64_t)a, (uint64_t)(b - bound + m));
    return (int64_t)(whole - shifted + (uint64_t)n);
}

/* How many phases r < limit have their first tap below bound <= m. */
static int64_t phases_with_tap_below(const tilefold_axis *axis, int64_t limit, int64_t bound) {
    int64_t h = tilefold_gcd(axis->stride, axis->common);
    if (bound <= 0 || axis->origin % h) return 0;
    /* r*S + B must be a multiple of g: r = r0 + i*step. */
    int64_t step = axis->common / h;
    int64_t inverse = tilefold_inverse_modulo(axis->stride / h, step);
    int64_t r0 = tilefold_multiply_modulo(tilefold_modulo(-(axis->origin / h), step), inverse, step);
    if (r0 >= limit) return 0;
    int64_t n = (limit - 1 - r0) / step + 1, m = axis->tap_period;
    /* The first tap is -((r*S + B) / g) * inverse mod m, linear in i. */
    int64_t b = tilefold_multiply_modulo(tilefold_modulo(-((r0 * axis->stride + axis->origin) / axis->common), m),
                                         axis->tap_inverse, m);
    int64_t a = tilefold_multiply_modulo(tilefold_modulo(-(axis->stride / h), m), axis->tap_inverse, m);
    return count_below(n, m, a, b, tilefold_min(bound, m));
}

static void add_kind(tilefold_axis_kind *kinds, int *used, int64_t parts, int64_t count, int64_t folds, int64_t taps) {
    if (parts > 0 && count > 0) kinds[(*used)++] = (tilefold_axis_kind){parts, count, folds, taps};
}

/* The phases [begin, end), all of `count` outputs, by their number of taps: K/m + 1, K/m, none. */
static void add_phases(const tilefold_axis *axis, int64_t begin, int64_t end, int64_t count, tilefold_axis_kind *kinds,
                       int *used) {
    if (begin >= end) return;
    int64_t m = axis->tap_period, least = axis->kernel / m, more = axis->kernel % m;
    int64_t with_more = phases_with_tap_below(axis, end, more) - phases_with_tap_below(axis, begin, more);
    int64_t with_any = least ? phases_with_tap_below(axis, end, m) - phases_with_tap_below(axis, begin, m) : with_more;
    add_kind(kinds, used, with_more, count, 1, least + 1);
    add_kind(kinds, used, with_any - with_more, count, 1, least);
    add_kind(kinds, used, end - begin - with_any, count, 1, 0);
}

int tilefold_axis_get_kinds(const tilefold_axis *axis, tilefold_axis_kind kinds[TILEFOLD_MAX_KINDS]) {
    int used = 0;
    if (axis->folded) {
        for (int64_t index = 0; index < tilefold_axis_parts(axis); index++) {
            tilefold_axis_part part = tilefold_axis_get_part(axis, index);
            add_kind(kinds, &used, 1, part.count, part.folds, part.taps);
        }
        return used;
    }
    int64_t parts = tilefold_axis_parts(axis), longer = axis->output % axis->phases,
            count = axis->output / axis->phases;
    add_phases(axis, 0, tilefold_min(longer, parts), count + 1, kinds, &used);
    add_phases(axis, tilefold_min(longer, parts), parts, count, kinds, &used);
    return used;
}

/* A sum of n products, each product and each addition rounded once: at most (n + 1) units of 2^-24 of the sum of magnitudes
 * (Jeannerod and Rump, Improved error bounds for inner products in floating-point arithmetic, 2013); fused, less. */
double tilefold_geometry_error_bound(const tilefold_geometry *geometry) {
    double links = (double)geometry->in_channels;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) links *= (double)geometry->axis[axis].kernel;
    return (links + 2) * 0x1p-24;
}

int64_t tilefold_axis_pairs(const tilefold_axis *axis) {
    tilefold_axis_kind kinds[TILEFOLD_MAX_KINDS];
    int used = tilefold_axis_get_kinds(axis, kinds);
    int64_t sum = 0;
    for (int i = 0; i < used; i++) {
        int64_t part = tilefold_saturating_multiply(kinds[i].parts, kinds[i].count);
        part = tilefold_saturating_multiply(part, kinds[i].folds);
        sum = tilefold_saturating_add(sum, tilefold_saturating_multiply(part, kinds[i].taps));
    }
    return sum;
}

/* How many i, j >= 0 have a*i + b*j <= n, modulo 2^64, for a, b > 0. */
static uint64_t points_in_triangle(int64_t a, int64_t b, int64_t n) {
    if (n < 0) return 0;
    uint64_t columns = (uint64_t)(n / a) + 1;
    return floor_sum(columns, (uint64_t)b, (uint64_t)a, (uint64_t)(n % a)) + columns;
}

/* How many 0 <= i < rows, 0 <= j < columns have a*i + b*j <= n: a triangle without what lies beyond either side. */
static int64_t points_below(int64_t rows, int64_t columns, int64_t a, int64_t b, int64_t n) {
    return (int64_t)(points_in_triangle(a, b, n) - points_in_triangle(a, b, n - rows * a) -
                     points_in_triangle(a, b, n - columns * b) + points_in_triangle(a, b, n - rows * a - columns * b));
}

/* How many 0 <= i < rows, 0 <= j < columns have 0 <= a*i + b*j + c < end, for a > 0; b counts down where it is negative. */
static int64_t points_between(int64_t rows, int64_t columns, int64_t a, int64_t b, int64_t c, int64_t end) {
    int64_t product;
    if (!tilefold_multiply(rows, columns, &product)) return INT64_MAX;
    if (b < 0) c += (columns - 1) * b, b = -b;
    return points_below(rows, columns, a, b, end - 1 - c) - points_below(rows, columns, a, b, -1 - c);
}

/* Output x and tap k meet input i where x*S + k*T + B = i*L: pairs (x, k) are counted where L = 1, pairs (i, k) where S = 1. */
int64_t tilefold_axis_pairs_met(const tilefold_axis *axis) {
    if (axis->input_dilation == 1)
        return points_between(axis->output, axis->kernel, axis->stride, axis->tap_step, axis->origin, axis->input);
    if (axis->stride == 1)
        return points_between(axis->input, axis->kernel, axis->input_dilation, -axis->tap_step, -axis->origin,
                              axis->output);
    return tilefold_axis_pairs(axis);
}

static int64_t count_macs(const tilefold_geometry *geometry, int64_t (*pairs)(const tilefold_axis *)) {
    int64_t macs = tilefold_saturating_multiply(geometry->batch, geometry->groups);
    macs = tilefold_saturating_multiply(macs, geometry->in_channels);
    macs = tilefold_saturating_multiply(macs, geometry->out_channels);
    for (int at = 0; at < TILEFOLD_AXES; at++) macs = tilefold_saturating_multiply(macs, pairs(&geometry->axis[at]));
    return macs;
}

int64_t tilefold_geometry_macs(const tilefold_geometry *geometry) {
    return count_macs(geometry, tilefold_axis_pairs_met);
}

int64_t tilefold_geometry_padded_macs(const tilefold_geometry *geometry) {
    return count_macs(geometry, tilefold_axis_pairs);
}

int64_t tilefold_geometry_phases(const tilefold_geometry *geometry) {
    int64_t phases = 1;
    for (int at = 0; at < TILEFOLD_AXES; at++) phases = tilefold_saturating_multiply(phases, geometry->axis[at].phases);
    return phases;
}

int64_t tilefold_geometry_full_unfold_bytes(const tilefold_geometry *geometry) {
    int64_t bytes = tilefold_saturating_multiply(geometry->batch, (int64_t)tilefold_type_bytes(geometry->type));
    bytes = tilefold_saturating_multiply(bytes, tilefold_saturating_multiply(geometry->groups, geometry->in_channels));
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        bytes = tilefold_saturating_multiply(bytes, geometry->axis[at].output);
        bytes = tilefold_saturating_multiply(bytes, geometry->axis[at].kernel);
    }
    return bytes;
}
