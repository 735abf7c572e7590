/* Where strides lead: see strides.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "strides.h"

#include "checked.h"
#include "message.h"
#include "modular.h"

#include <stdio.h>

/* ----------------------------------------------------------------------------------------------------- dense ---- */

/* Row-major strides of a dense tensor of the given sizes, outermost first; false on overflow of its byte count. */
static bool dense(int count, const int64_t *sizes, int64_t **strides) {
    int64_t stride = 1;
    for (int i = count - 1; i >= 0; i--) {
        *strides[i] = stride;
        if (!tilefold_multiply(stride, tilefold_max(sizes[i], 1), &stride) || stride > TILEFOLD_MAX_POSITION / 4)
            return false;
    }
    return true;
}

/* Groups and the channels in them make up one dimension of the caller's array. */
static bool dense_tensor(tilefold_layout layout, const tilefold_problem *p, int64_t channels, const int64_t *spatial,
                         tilefold_tensor_strides *out) {
    int64_t sizes[TILEFOLD_MAX_RANK + 3] = {p->batch}, *strides[TILEFOLD_MAX_RANK + 3] = {&out->batch};
    int group_at = layout == TILEFOLD_CHANNELS_FIRST ? 1 : p->rank + 1,
        spatial_at = layout == TILEFOLD_CHANNELS_FIRST ? 3 : 1;
    sizes[group_at] = p->groups, strides[group_at] = &out->group;
    sizes[group_at + 1] = channels / p->groups, strides[group_at + 1] = &out->channel;
    for (int32_t axis = 0; axis < p->rank; axis++) {
        sizes[spatial_at + axis] = spatial[axis];
        strides[spatial_at + axis] = &out->spatial[axis];
    }
    return dense(p->rank + 3, sizes, strides);
}

/* The three weight layouts, outermost first: (G, O/G, C/G, k), transposed channels-first (G, C/G, O/G, k), and
 * channels-last (G, O/G, k, C/G); G and the channels after it make up one dimension of the caller's array. */
static bool dense_weight(tilefold_layout layout, const tilefold_problem *p, tilefold_weight_strides *out) {
    int64_t sizes[TILEFOLD_MAX_RANK + 3], *strides[TILEFOLD_MAX_RANK + 3];
    bool last = layout == TILEFOLD_CHANNELS_LAST, in_first = !last && p->op == TILEFOLD_CONV_TRANSPOSE;
    int in_at = last ? p->rank + 2 : in_first ? 1 : 2, out_at = in_first ? 2 : 1, spatial_at = last ? 2 : 3;
    sizes[0] = p->groups, strides[0] = &out->group;
    sizes[out_at] = p->out_channels / p->groups, strides[out_at] = &out->out_channel;
    sizes[in_at] = p->in_channels / p->groups, strides[in_at] = &out->in_channel;
    for (int32_t axis = 0; axis < p->rank; axis++) {
        sizes[spatial_at + axis] = p->kernel[axis];
        strides[spatial_at + axis] = &out->spatial[axis];
    }
    return dense(p->rank + 3, sizes, strides);
}

/* Sizes are told in the order of the header's shapes, whatever the layout. */
static tilefold_status too_large(const char *what, int64_t outer, int64_t inner, int32_t rank, const int64_t *spatial,
                                 tilefold_message *message) {
    char sizes[24 * TILEFOLD_MAX_RANK + 1] = "";
    size_t used = 0;
    for (int32_t axis = 0; axis < rank; axis++)
        used += (size_t)snprintf(sizes + used, sizeof sizes - used, " x %lld", (long long)spatial[axis]);
    return tilefold_fail(message, TILEFOLD_OVERFLOW, "the %s of %lld x %lld%s elements does not fit 64 bits", what,
                         (long long)outer, (long long)inner, sizes);
}

tilefold_status tilefold_make_dense(tilefold_problem *p, const int64_t output_size[TILEFOLD_MAX_RANK],
                                    tilefold_layout layout, tilefold_message *message) {
    if (layout != TILEFOLD_CHANNELS_FIRST && layout != TILEFOLD_CHANNELS_LAST)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "layout %d is unknown", (int)layout);
    if (!dense_tensor(layout, p, p->in_channels, p->input_size, &p->input_stride))
        return too_large("input", p->batch, p->in_channels, p->rank, p->input_size, message);
    if (!dense_tensor(layout, p, p->out_channels, output_size, &p->output_stride))
        return too_large("output", p->batch, p->out_channels, p->rank, output_size, message);
    if (!dense_weight(layout, p, &p->weight_stride))
        return too_large("weight", p->out_channels, p->in_channels / p->groups, p->rank, p->kernel, message);
    return TILEFOLD_OK;
}

/* ----------------------------------------------------------------------------------------------------- reach ---- */

/* Adds (size - 1) * |stride| to *reach; false on overflow. */
static bool extend(int64_t size, int64_t stride, int64_t *reach) {
    int64_t step;
    if (stride < -TILEFOLD_MAX_POSITION || stride > TILEFOLD_MAX_POSITION) return false;
    return tilefold_multiply(tilefold_max(size, 1) - 1, stride < 0 ? -stride : stride, &step) &&
           tilefold_add(*reach, step, reach) && *reach <= TILEFOLD_MAX_POSITION / 4;
}

/* The dimensions of a tensor: images, groups, channels of a group, and the axes. Returns how many there are. */
static int tensor_dimensions(const tilefold_problem *p, int64_t channels, const int64_t *spatial,
                             const tilefold_tensor_strides *strides, int64_t size[TILEFOLD_MAX_DIMENSIONS],
                             int64_t stride[TILEFOLD_MAX_DIMENSIONS]) {
    size[0] = p->batch, stride[0] = strides->batch;
    size[1] = p->groups, stride[1] = strides->group;
    size[2] = channels / p->groups, stride[2] = strides->channel;
    for (int32_t axis = 0; axis < p->rank; axis++)
        size[3 + axis] = spatial[axis], stride[3 + axis] = strides->spatial[axis];
    return 3 + p->rank;
}

static bool dimensions_fit(int dimensions, const int64_t *size, const int64_t *stride) {
    int64_t reach = 0;
    for (int i = 0; i < dimensions; i++)
        if (!extend(size[i], stride[i], &reach)) return false;
    return true;
}

static bool weight_fits(const tilefold_problem *p) {
    const tilefold_weight_strides *strides = &p->weight_stride;
    int64_t reach = 0, elements = p->in_channels / p->groups;
    if (!tilefold_multiply(elements, p->out_channels, &elements)) return false;
    if (!extend(p->groups, strides->group, &reach) ||
        !extend(p->out_channels / p->groups, strides->out_channel, &reach) ||
        !extend(p->in_channels / p->groups, strides->in_channel, &reach))
        return false;
    for (int32_t axis = 0; axis < p->rank; axis++) {
        if (!extend(p->kernel[axis], strides->spatial[axis], &reach)) return false;
        if (!tilefold_multiply(elements, p->kernel[axis], &elements)) return false;
    }
    return elements <= TILEFOLD_MAX_POSITION / 16384; /* leaves room for the bytes of any panel made of them */
}

/* Says where the output's elements lie, in a message that says why that will not do. */
static tilefold_status refuse_output(tilefold_status status, const char *why, int dimensions, const int64_t *size,
                                     const int64_t *stride, tilefold_message *message) {
    static const char *const names[] = {"images", "groups", "channels", "axis 0", "axis 1", "axis 2"};
    char text[TILEFOLD_MAX_DIMENSIONS * 48] = "";
    size_t length = 0;
    for (int i = 0; i < dimensions; i++)
        if (size[i] > 1)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%s %lld by %lld", length ? ", " : "",
                                       names[i], (long long)size[i], (long long)stride[i]);
    return tilefold_fail(message, status, "%s; extents and strides are: %s", why, text);
}

tilefold_status tilefold_check_strides(const tilefold_problem *p, const int64_t output_size[TILEFOLD_MAX_RANK],
                                       tilefold_message *message) {
    int64_t size[TILEFOLD_MAX_DIMENSIONS], stride[TILEFOLD_MAX_DIMENSIONS];
    int dimensions = tensor_dimensions(p, p->in_channels, p->input_size, &p->input_stride, size, stride);
    if (!dimensions_fit(dimensions, size, stride))
        return tilefold_fail(message, TILEFOLD_OVERFLOW, "the input's strides lead past 64 bits");
    if (!weight_fits(p)) return tilefold_fail(message, TILEFOLD_OVERFLOW, "the weight does not fit 64 bits");
    tensor_dimensions(p, p->out_channels, output_size, &p->output_stride, size, stride);
    if (!dimensions_fit(dimensions, size, stride))
        return tilefold_fail(message, TILEFOLD_OVERFLOW, "the output's strides lead past 64 bits");
    size[0] = tilefold_max(size[0], 1);
    switch (tilefold_find_overlap(dimensions, size, stride)) {
    case TILEFOLD_APART: break;
    case TILEFOLD_OVERLAP:
        return refuse_output(TILEFOLD_INVALID_ARGUMENT, "elements of the output overlap", dimensions, size, stride,
                             message);
    case TILEFOLD_OVERLAP_UNKNOWN:
        return refuse_output(TILEFOLD_UNSUPPORTED, "whether elements of the output overlap takes too long to find out",
                             dimensions, size, stride, message);
    }
    return TILEFOLD_OK;
}

/* Elements from the pointer to the end of the highest one, `offset` beyond what the strides add. */
static int64_t highest(int64_t offset, int dimensions, const int64_t *size, const int64_t *stride) {
    for (int i = 0; i < dimensions; i++) {
        if (size[i] == 0) return 0;
        if (size[i] > 1 && stride[i] > 0) offset += (size[i] - 1) * stride[i];
    }
    return offset + 1;
}

tilefold_reach tilefold_get_reach(const tilefold_geometry *g) {
    const tilefold_axis *axis = g->axis;
    const int64_t input[] = {g->batch, g->groups, g->in_channels, axis[0].input, axis[1].input, axis[2].input},
                  output[] = {g->batch, g->groups, g->out_channels, axis[0].output, axis[1].output, axis[2].output},
                  weight[] = {g->groups,      g->out_channels, g->in_channels,
                              axis[0].kernel, axis[1].kernel,  axis[2].kernel};
    const int64_t in[] = {g->in_batch, g->in_group, g->in_channel, g->in_axis[0], g->in_axis[1], g->in_axis[2]},
                  out[] = {g->out_batch, g->out_group, g->out_channel, g->out_axis[0], g->out_axis[1], g->out_axis[2]},
                  at[] = {g->weight_group,   g->weight_out,     g->weight_in,
                          g->weight_axis[0], g->weight_axis[1], g->weight_axis[2]};
    int64_t bytes = (int64_t)tilefold_type_bytes(g->type), bias_bytes = (int64_t)tilefold_type_bytes(g->bias_type);
    return (tilefold_reach){.input = bytes * highest(0, 6, input, in),
                            .weight = bytes * highest(g->weight_offset, 6, weight, at),
                            .bias = bias_bytes * g->groups * g->out_channels,
                            .output = bytes * highest(0, 6, output, out)};
}

/* --------------------------------------------------------------------------------------------------- overlap ---- */

/* Two elements lie in one place where their indices differ by some d, not all 0, with
 *
 *     d[0]*s[0] + d[1]*s[1] + ... = 0      and |d[i]| <= n[i] - 1.
 *
 * That is a knapsack problem, hard in the number of dimensions only, of which there are six at most. With strides in ascending
 * order, positive (the sign of d makes up for theirs):
 *
 *   1. Where all that the dimensions below i reach is less than the greatest common divisor of the strides from i on, neither
 *      part of the sum can make up for the other, and each must be 0 by itself: two smaller problems. This takes apart every
 *      dense array, view and transpose, and most others, into single dimensions.
 *   2. Dimensions with more elements than places from their first to their last overlap.
 *   3. The rest is searched, from the largest stride down: d[i] must bring the sum within reach of the smaller strides, and make
 *      it a multiple of their common divisor. The last two dimensions are solved in closed form, by an inverse modulo, so two
 *      entangled dimensions take no search. Of three, d[2] is at most n[2] and n[0] + n[1]: fewer steps than the square root of
 *      the number of elements.
 *
 * What is left are arrays of over 10^12 elements and four or more dimensions with strides of one order of magnitude that share
 * no divisor, such as nobody makes but to try this. Their search is given up after MAX_STEPS, some hundredths of a second. */
#define MAX_STEPS 1000000

typedef struct dimension {
    int64_t stride, most; /* both > 0; |d| <= most */
    /* Of a search: what the dimensions below reach, and have in common with this stride. A d makes a sum that is a multiple of
     * divisor one of what the strides below have in common if it is congruent to -sum/divisor * inverse modulo period. */
    int64_t reach, divisor, period, inverse;
} dimension;

/* The least d >= low that the congruence allows; the sum is a multiple of the divisor. */
static int64_t first_congruent(const dimension *at, int64_t sum, int64_t low) {
    int64_t residue = tilefold_multiply_modulo(tilefold_modulo(-(sum / at->divisor), at->period), at->inverse,
                                               at->period);
    return low + tilefold_modulo(residue - low, at->period);
}

/* Whether dimensions [0, count) can make up for the sum, which is a multiple of what their strides have in common; `begun` where
 * a d above them is not 0. Gives up, with false, when *steps passes MAX_STEPS. */
static bool search(const dimension *dimensions, int count, int64_t sum, bool begun, int64_t *steps) {
    const dimension *at = &dimensions[count - 1];
    if (sum == 0 && begun) return true;
    /* Of d and -d one will do, so the first that is not 0 is positive; the last but one must not be 0 if none was. */
    int64_t low = begun ? tilefold_max(-at->most, tilefold_ceil_div(-at->reach - sum, at->stride)) : count == 2;
    int64_t high = tilefold_min(at->most, tilefold_floor_div(at->reach - sum, at->stride));
    int64_t first = first_congruent(at, sum, low);
    if (count == 2) return first <= high; /* the rest is a multiple of stride 0, and within its reach */
    for (int64_t d = first; d <= high; d += at->period) {
        if (++*steps > MAX_STEPS) return false;
        if (search(dimensions, count - 1, sum + d * at->stride, begun || d != 0, steps)) return true;
    }
    return false;
}

/* Whether some of the dimensions have more elements than places. */
static bool crowded(const dimension *at, int count) {
    int64_t common = at[0].stride;
    for (int i = 1; i < count; i++) common = tilefold_gcd(common, at[i].stride);
    for (unsigned chosen = 1; chosen < 1u << count; chosen++) {
        int64_t elements = 1, places = 0;
        for (int i = 0; i < count; i++) {
            if (!(chosen >> i & 1)) continue;
            elements = tilefold_saturating_multiply(elements, at[i].most + 1);
            places += at[i].most * (at[i].stride / common);
        }
        if (elements > places + 1) return true;
    }
    return false;
}

/* Dimensions that step 1 does not take apart. */
static tilefold_overlap entangled(dimension *at, int count) {
    if (count < 2) return TILEFOLD_APART;
    if (crowded(at, count)) return TILEFOLD_OVERLAP;
    int64_t reach = 0, common = 0, steps = 0;
    for (int i = 0; i < count; i++) {
        if (common > TILEFOLD_MAX_MODULUS) return TILEFOLD_OVERLAP_UNKNOWN;
        at[i].reach = reach;
        at[i].divisor = tilefold_gcd(common, at[i].stride);
        at[i].period = common / at[i].divisor;
        at[i].inverse = i ? tilefold_inverse_modulo(at[i].stride / at[i].divisor, at[i].period) : 0;
        reach += at[i].most * at[i].stride;
        common = at[i].divisor;
    }
    if (search(at, count, 0, false, &steps)) return TILEFOLD_OVERLAP;
    return steps > MAX_STEPS ? TILEFOLD_OVERLAP_UNKNOWN : TILEFOLD_APART;
}

/* The dimensions that have more than one element, by ascending stride; -1 where one of them has stride 0. */
static int sort_dimensions(int dimensions, const int64_t *size, const int64_t *stride, dimension *sorted) {
    int count = 0;
    for (int i = 0; i < dimensions; i++) {
        if (size[i] <= 1) continue;
        if (stride[i] == 0) return -1;
        dimension next = {.stride = stride[i] < 0 ? -stride[i] : stride[i], .most = size[i] - 1};
        int at = count++;
        for (; at > 0 && sorted[at - 1].stride > next.stride; at--) sorted[at] = sorted[at - 1];
        sorted[at] = next;
    }
    return count;
}

tilefold_overlap tilefold_find_overlap(int dimensions, const int64_t *size, const int64_t *stride) {
    dimension sorted[TILEFOLD_MAX_DIMENSIONS];
    int count = sort_dimensions(dimensions, size, stride, sorted), end = count;
    if (count < 0) return TILEFOLD_OVERLAP;
    int64_t reach = 0, common = 0;
    for (int i = 0; i < count; i++) reach += sorted[i].most * sorted[i].stride;
    tilefold_overlap worst = TILEFOLD_APART;
    for (int i = count - 1; i >= 0; i--) {
        reach -= sorted[i].most * sorted[i].stride; /* of those below i */
        common = tilefold_gcd(common, sorted[i].stride);
        if (reach >= common) continue;
        tilefold_overlap found = entangled(sorted + i, end - i);
        if (found == TILEFOLD_OVERLAP) return found;
        if (found == TILEFOLD_OVERLAP_UNKNOWN) worst = found;
        end = i;
    }
    return worst;
}
