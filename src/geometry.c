/* SPDX-License-Identifier: MIT */
#include "geometry.h"

#include "checked.h"
#include "message.h"
#include "modular.h"
#include "strides.h"

/* More columns than this gain nothing from being computed together. */
#define MAX_FOLDED_COLUMNS INT32_MAX

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

bool tilefold_geometry_can_merge(const tilefold_geometry *geometry) {
    bool any = false;
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        const tilefold_axis *axis = &geometry->axis[at];
        any = any || (axis->folded && axis->kernel % axis->input_dilation != 0);
    }
    return any;
}

void tilefold_geometry_merge(tilefold_geometry *geometry) {
    for (int at = 0; at < TILEFOLD_AXES; at++) geometry->axis[at].merged = geometry->axis[at].folded;
    geometry->merged = true;
}

/* --------------------------------------------------------------------------------------------------- figures ---- */

/* A sum of n products, each product and each addition rounded once: at most (n + 1) units of 2^-24 of the sum of magnitudes
 * (Jeannerod and Rump, Improved error bounds for inner products in floating-point arithmetic, 2013); fused, less. */
double tilefold_geometry_error_bound(const tilefold_geometry *geometry) {
    double links = (double)geometry->in_channels;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) links *= (double)geometry->axis[axis].kernel;
    return (links + 2) * 0x1p-24;
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
