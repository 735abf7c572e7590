/* SPDX-License-Identifier: MIT */
#include "reference.h"

#include <math.h>

uint64_t demo_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

float demo_half_to_float(uint16_t half) {
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    float sign = half >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexpf((float)mantissa, -24);
    return sign * ldexpf((float)(1024 + mantissa), exponent - 25);
}

static float load(tilefold_type type, const void *tensor, int64_t index) {
    return type == TILEFOLD_F16 ? demo_half_to_float(((const uint16_t *)tensor)[index])
                                : ((const float *)tensor)[index];
}

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* A problem seen with two spatial axes: one of rank 1 has a first axis of size 1. */
typedef struct axes {
    int64_t input[2], kernel[2], stride[2], padding[2], output[2];
    int64_t input_stride[2], weight_stride[2], output_stride[2];
} axes;

static axes two_axes(const tilefold_problem *p, const int64_t *output_size) {
    axes a = {.input = {1, 1}, .kernel = {1, 1}, .stride = {1, 1}, .output = {1, 1}};
    for (int axis = 0; axis < p->rank; axis++) {
        int to = 2 - p->rank + axis;
        a.input[to] = p->input_size[axis];
        a.kernel[to] = p->kernel[axis];
        a.stride[to] = p->stride[axis];
        a.padding[to] = p->padding_begin[axis];
        a.output[to] = output_size[axis];
        a.input_stride[to] = p->input_stride.spatial[axis];
        a.weight_stride[to] = p->weight_stride.spatial[axis];
        a.output_stride[to] = p->output_stride.spatial[axis];
    }
    return a;
}

enum { STRIP = 64 }; /* consecutive outputs along the last axis, computed together */

/* Outputs o, x[0], x[1] to x[1] + count - 1 of image n. */
typedef struct strip {
    int64_t n, o, x[2], count;
} strip;

/* The j of [0, count) for which begin + j*stride lies in [0, size). */
static void clip(int64_t begin, int64_t stride, int64_t size, int64_t count, int64_t *low, int64_t *high) {
    *low = begin >= 0 ? 0 : (-begin + stride - 1) / stride;
    *high = begin + (count - 1) * stride < size ? count : begin < size ? (size - begin + stride - 1) / stride : 0;
}

/* sum over c, k of in[n][c][x*S + k - P0] * w[o][c][k] */
static void conv(const tilefold_problem *p, const axes *a, const float *input, const float *weight, const strip *s,
                 double *sum) {
    int64_t step = a->stride[1] * a->input_stride[1];
    for (int64_t c = 0; c < p->in_channels; c++) {
        const float *plane = input + s->n * p->input_stride.batch + c * p->input_stride.channel;
        const float *kernel = weight + s->o * p->weight_stride.out_channel + c * p->weight_stride.in_channel;
        for (int64_t k0 = 0; k0 < a->kernel[0]; k0++) {
            int64_t y = s->x[0] * a->stride[0] + k0 - a->padding[0];
            if (y < 0 || y >= a->input[0]) continue;
            for (int64_t k1 = 0; k1 < a->kernel[1]; k1++) {
                int64_t begin = s->x[1] * a->stride[1] + k1 - a->padding[1], low, high;
                clip(begin, a->stride[1], a->input[1], s->count, &low, &high);
                double w = kernel[k0 * a->weight_stride[0] + k1 * a->weight_stride[1]];
                const float *in = plane + y * a->input_stride[0] + begin * a->input_stride[1];
                for (int64_t j = low; j < high; j++) sum[j] += (double)in[j * step] * w;
            }
        }
    }
}

/* sum over c, i of in[n][c][i] * w[c][o][k] where k = x + P0 - i*S is a tap */
static void transposed(const tilefold_problem *p, const axes *a, const float *input, const float *weight,
                       const strip *s, double *sum) {
    int64_t position = s->x[1] + a->padding[1], stride = a->stride[1];
    int64_t first = position < a->kernel[1] ? 0 : (position - a->kernel[1]) / stride + 1;
    int64_t last = min64(a->input[1] - 1, (position + s->count - 1) / stride);
    for (int64_t c = 0; c < p->in_channels; c++) {
        const float *line = input + s->n * p->input_stride.batch + c * p->input_stride.channel;
        const float *kernel = weight + s->o * p->weight_stride.out_channel + c * p->weight_stride.in_channel;
        for (int64_t i = first; i <= last; i++) {
            double in = line[i * a->input_stride[1]];
            int64_t k = position - i * stride, step = a->weight_stride[1];
            int64_t low = max64(0, -k), high = min64(s->count, a->kernel[1] - k);
            const float *w = kernel + k * step;
            for (int64_t j = low; j < high; j++) sum[j] += in * (double)w[j * step];
        }
    }
}

/* The tensor in fp32: itself, or a copy. */
static demo_array as_floats(tilefold_type type, demo_array tensor) {
    if (type == TILEFOLD_F32) return tensor;
    size_t count = tensor.bytes / tilefold_type_bytes(type);
    demo_array copy = demo_map(count * sizeof(float));
    for (size_t i = 0; i < count; i++) ((float *)copy.data)[i] = load(type, tensor.data, (int64_t)i);
    return copy;
}

/* The rounding errors of a sum of n terms behave like a random walk, so they grow as the square root of n (Higham and
 * Mary, A new approach to probabilistic rounding error analysis, SIAM J. Sci. Comput. 2019); 8 leaves room for the largest
 * of millions. A tap left out or misplaced is off by far more. */
static double tolerance(tilefold_type type, double terms) {
    double unit = ldexp(1, -24), rounding_to_half = type == TILEFOLD_F16 ? ldexp(1, -11) : 0;
    return 8 * sqrt(terms) * unit + rounding_to_half;
}

/* Strip number `index` of all strips, n, o, x[0], x[1] from the slowest to the fastest. */
static strip strip_at(const tilefold_problem *p, const axes *a, int64_t index) {
    int64_t strips = (a->output[1] + STRIP - 1) / STRIP;
    strip s;
    s.x[1] = index % strips * STRIP, index /= strips;
    s.x[0] = index % a->output[0], index /= a->output[0];
    s.o = index % p->out_channels, s.n = index / p->out_channels;
    s.count = min64(STRIP, a->output[1] - s.x[1]);
    return s;
}

static void compare_strip(const tilefold_problem *p, const axes *a, const strip *s, const double *exact,
                          const void *output, demo_comparison *comparison) {
    int64_t base = s->n * p->output_stride.batch + s->o * p->output_stride.channel + s->x[0] * a->output_stride[0] +
                   s->x[1] * a->output_stride[1];
    for (int64_t j = 0; j < s->count; j++) {
        double off = fabs((double)load(p->type, output, base + j * a->output_stride[1]) - exact[j]);
        comparison->largest = fmax(comparison->largest, fabs(exact[j]));
        if (off > comparison->error || isnan(off)) comparison->error = off; /* once NaN, always NaN */
    }
    comparison->checked += s->count;
}

void demo_compare(const tilefold_problem *p, const demo_tensors *tensors, double max_macs,
                  demo_comparison *comparison) {
    int64_t output_size[TILEFOLD_MAX_RANK];
    memset(comparison, 0, sizeof *comparison);
    if (tilefold_output_size(p, output_size, NULL) != TILEFOLD_OK) return;
    axes a = two_axes(p, output_size);
    bool is_transposed = p->op == TILEFOLD_CONV_TRANSPOSE;
    int64_t taps = a.kernel[0] * (is_transposed ? (a.kernel[1] + a.stride[1] - 1) / a.stride[1] : a.kernel[1]);
    double terms = (double)taps * (double)p->in_channels;
    comparison->outputs = p->batch * p->out_channels * a.output[0] * a.output[1];
    comparison->tolerance = tolerance(p->type, terms);

    demo_array input = as_floats(p->type, tensors->input), weight = as_floats(p->type, tensors->weight);
    int64_t strips = p->batch * p->out_channels * a.output[0] * ((a.output[1] + STRIP - 1) / STRIP);
    int64_t most = (int64_t)fmax(1, max_macs / (terms * STRIP)), checked = min64(strips, most);
    uint64_t random = 1;
    for (int64_t i = 0; i < checked; i++) {
        /* One strip of each of `checked` equal ranges. */
        int64_t range = strips / checked, first = i * range + min64(i, strips % checked);
        strip s = strip_at(p, &a, first + (int64_t)(demo_random(&random) % (uint64_t)range));
        double exact[STRIP] = {0};
        (is_transposed ? transposed : conv)(p, &a, input.data, weight.data, &s, exact);
        compare_strip(p, &a, &s, exact, tensors->output.data, comparison);
    }
    if (input.data != tensors->input.data) demo_unmap(input);
    if (weight.data != tensors->weight.data) demo_unmap(weight);
}
