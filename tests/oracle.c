/* The oracle: see oracle.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "oracle.h"

#include <math.h>
#include <stdlib.h>

enum { AXES = TILEFOLD_MAX_RANK };

/* ------------------------------------------------------------------------------------------------ element types ---- */

/* An IEEE-like format below fp32: 1 sign bit, then the exponent, then the mantissa. */
typedef struct small_format {
    int mantissa_bits, bias;
} small_format;

static small_format format_of(tilefold_type type) {
    return type == TILEFOLD_F16 ? (small_format){10, 15} : (small_format){7, 127};
}

static float decode_small(small_format format, uint16_t bits) {
    int mantissa = bits & ((1 << format.mantissa_bits) - 1);
    int exponent = (bits & 0x7fff) >> format.mantissa_bits;
    double magnitude;
    if (exponent == 2 * format.bias + 1) {
        magnitude = mantissa ? NAN : INFINITY;
    } else if (exponent == 0) {
        magnitude = ldexp(mantissa, 1 - format.bias - format.mantissa_bits);
    } else {
        magnitude = ldexp(mantissa + (1 << format.mantissa_bits), exponent - format.bias - format.mantissa_bits);
    }
    return (float)copysign(magnitude, bits & 0x8000 ? -1.0 : 1.0);
}

static uint16_t encode_small(small_format format, float value) {
    int sign = signbit(value) ? 0x8000 : 0;
    int infinity = (2 * format.bias + 1) << format.mantissa_bits;
    if (isnan(value)) return (uint16_t)(sign | infinity | (1 << (format.mantissa_bits - 1)));
    double magnitude = fabs((double)value);
    if (magnitude == 0) return (uint16_t)sign;
    if (isinf(magnitude)) return (uint16_t)(sign | infinity);
    int exponent = ilogb(magnitude);
    if (exponent < 1 - format.bias) exponent = 1 - format.bias;
    /* A mantissa that rounds up to the next power of two carries into the exponent, and from the last one to infinity. */
    int mantissa = (int)rint(ldexp(magnitude, format.mantissa_bits - exponent));
    int bits = ((exponent + format.bias - 1) << format.mantissa_bits) + mantissa;
    return (uint16_t)(sign | (bits < infinity ? bits : infinity));
}

float oracle_decode(tilefold_type type, const void *element) {
    if (type == TILEFOLD_F32) {
        float value;
        memcpy(&value, element, sizeof value);
        return value;
    }
    uint16_t bits;
    memcpy(&bits, element, sizeof bits);
    return decode_small(format_of(type), bits);
}

void oracle_encode(tilefold_type type, float value, void *element) {
    if (type == TILEFOLD_F32) {
        memcpy(element, &value, sizeof value);
        return;
    }
    uint16_t bits = encode_small(format_of(type), value);
    memcpy(element, &bits, sizeof bits);
}

/* ------------------------------------------------------------------------------------------------------ geometry ---- */

/* One spatial axis in the letters of the formulas. Axes past the rank are of size 1. */
typedef struct axis {
    bool transposed;
    int64_t I, K, S, D, L, P0, X;
} axis;

static axis get_axis(const tilefold_problem *p, int a) {
    if (a >= p->rank) return (axis){false, 1, 1, 1, 1, 1, 0, 1};
    return (axis){p->op == TILEFOLD_CONV_TRANSPOSE,
                  p->input_size[a],
                  p->kernel[a],
                  p->stride[a],
                  p->dilation[a],
                  p->input_dilation[a],
                  p->padding_begin[a],
                  oracle_output_size(p, a)};
}

int64_t oracle_output_size(const tilefold_problem *p, int a) {
    int64_t I = p->input_size[a], K = p->kernel[a], S = p->stride[a], D = p->dilation[a], L = p->input_dilation[a];
    int64_t P0 = p->padding_begin[a], P1 = p->padding_end[a];
    if (p->op == TILEFOLD_CONV_TRANSPOSE) return (I - 1) * S - P0 - P1 + D * (K - 1) + 1 + p->output_padding[a];
    int64_t room = (I - 1) * L + 1 + P0 + P1 - D * (K - 1) - 1;
    return room < 0 ? 0 : room / S + 1;
}

enum { OFF_GRID = -2, OUTSIDE = -1 };

/* The input position that output x reads at tap k, or OFF_GRID or OUTSIDE. */
static int64_t input_position(const axis *a, int64_t x, int64_t k) {
    int64_t numerator = a->transposed ? x + a->P0 - k * a->D : x * a->S + k * a->D - a->P0;
    int64_t divisor = a->transposed ? a->S : a->L;
    if (numerator % divisor != 0) return OFF_GRID;
    int64_t position = numerator / divisor;
    return position >= 0 && position < a->I ? position : OUTSIDE;
}

/* The output to which input i contributes through tap k, or -1. */
static int64_t output_position(const axis *a, int64_t i, int64_t k) {
    int64_t numerator = a->transposed ? i * a->S + k * a->D - a->P0 : i * a->L + a->P0 - k * a->D;
    int64_t divisor = a->transposed ? 1 : a->S;
    if (numerator < 0 || numerator % divisor != 0) return -1;
    return numerator / divisor < a->X ? numerator / divisor : -1;
}

/* How many whole n, first <= n < end, have 0 <= n*step + at < size. */
static int64_t count_within(int64_t end, int64_t step, int64_t at, int64_t size) {
    int64_t first = at >= 0 ? 0 : (-at + step - 1) / step, last = at < size ? (size - 1 - at) / step : -1;
    if (last > end - 1) last = end - 1;
    return last >= first ? last - first + 1 : 0;
}

int64_t oracle_axis_pairs_met(const tilefold_problem *p, int axis_index) {
    axis a = get_axis(p, axis_index);
    int64_t pairs = 0;
    if (!a.transposed && a.S > 1 && a.L > 1) return oracle_axis_pairs(p, axis_index);
    for (int64_t k = 0; k < a.K; k++) {
        if (!a.transposed && a.L == 1)
            pairs += count_within(a.X, a.S, k * a.D - a.P0, a.I); /* outputs */
        else
            pairs += count_within(a.I, a.transposed ? a.S : a.L, (a.transposed ? k * a.D - a.P0 : a.P0 - k * a.D),
                                  a.X); /* inputs */
    }
    return pairs;
}

/* Pairs (output x, tap k) on the grid. Which taps an output meets repeats in x with a period that divides L (or S of a
 * transposed convolution), so one period is counted and each x in it stands for all that are congruent. */
int64_t oracle_axis_pairs(const tilefold_problem *p, int axis_index) {
    axis a = get_axis(p, axis_index);
    int64_t period = a.transposed ? a.S : a.L, pairs = 0;
    for (int64_t x = 0; x < period && x < a.X; x++) {
        int64_t taps = 0;
        for (int64_t k = 0; k < a.K; k++) taps += input_position(&a, x, k) != OFF_GRID;
        pairs += taps * ((a.X - 1 - x) / period + 1);
    }
    return pairs;
}

int64_t oracle_macs(const tilefold_problem *p) {
    int64_t macs = p->batch * p->out_channels * (p->in_channels / p->groups);
    for (int a = 0; a < p->rank; a++) macs *= oracle_axis_pairs_met(p, a);
    return macs;
}

/* ---------------------------------------------------------------------------------------------------------- sums ---- */

static int64_t *allocate_table(int64_t entries) {
    int64_t *table = malloc((size_t)entries * sizeof *table);
    if (!table) abort();
    return table;
}

/* table[row * K + k] of one axis: rows are outputs (gather) or inputs (scatter), columns are taps. */
static int64_t *make_table(const axis *a, bool scatter) {
    int64_t rows = scatter ? a->I : a->X, *table = allocate_table(rows * a->K);
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t k = 0; k < a->K; k++) {
            table[row * a->K + k] = scatter ? output_position(a, row, k) : input_position(a, row, k);
        }
    }
    return table;
}

/* One row of the gathering table. */
static int64_t *make_row(const axis *a, int64_t x) {
    int64_t *row = allocate_table(a->K);
    for (int64_t k = 0; k < a->K; k++) row[k] = input_position(a, x, k);
    return row;
}

typedef struct space {
    axis axis[AXES];
    int64_t inputs, outputs, taps; /* spatial positions */
} space;

static space make_space(const tilefold_problem *p) {
    space s = {.inputs = 1, .outputs = 1, .taps = 1};
    for (int a = 0; a < AXES; a++) {
        s.axis[a] = get_axis(p, a);
        s.inputs *= s.axis[a].I;
        s.outputs *= s.axis[a].X;
        s.taps *= s.axis[a].K;
    }
    return s;
}

/* Tap t stands for (k0, k1, k2) in row-major order and uses that weight, or its mirror image where flipped. */
static int64_t weight_tap(const tilefold_problem *p, const space *s, int64_t t) {
    return p->flip ? s->taps - 1 - t : t;
}

/* The input positions that one output reads at the taps of each axis. */
typedef struct reads {
    const int64_t *axis[AXES];
} reads;

/* One link of a chain. */
typedef float multiply_add(float a, float b, float sum);

static float round_twice(float a, float b, float sum) {
    volatile float product = a * b; /* for no compiler to fuse, whatever it is told */
    return product + sum;
}

/* The order of the chain: blocks of so many channels of a group (the last one shorter), within a block the taps row-major,
 * within a tap the block's channels. This line, and `make golden`, are all that an order is told by here. */
static const int64_t CHANNEL_BLOCK = 32;

/* The links of one block of channels, [begin, end). input and weight point at channel 0 of the group, weight also at the
 * output channel. */
static float chain_block(const tilefold_problem *p, const space *s, const float *input, const float *weight, float sum,
                         const reads *at, int64_t begin, int64_t end, multiply_add *link) {
    const axis *a = s->axis;
    for (int64_t t = 0; t < s->taps; t++) {
        int64_t i0 = at->axis[0][t / (a[1].K * a[2].K)];
        int64_t i1 = at->axis[1][t / a[2].K % a[1].K];
        int64_t i2 = at->axis[2][t % a[2].K];
        if (i0 == OFF_GRID || i1 == OFF_GRID || i2 == OFF_GRID) continue;
        bool outside = i0 == OUTSIDE || i1 == OUTSIDE || i2 == OUTSIDE;
        int64_t position = outside ? 0 : (i0 * a[1].I + i1) * a[2].I + i2;
        const float *w = weight + weight_tap(p, s, t);
        for (int64_t c = begin; c < end; c++) {
            sum = link(outside ? 0.0f : input[c * s->inputs + position], w[c * s->taps], sum);
        }
    }
    return sum;
}

/* One output's chain, its end included: a sum that is zero is +0. */
static float chain(const tilefold_problem *p, const space *s, const float *input, const float *weight, float start,
                   const reads *at, multiply_add *link) {
    int64_t channels = p->in_channels / p->groups;
    float sum = start;
    for (int64_t begin = 0, end; begin < channels; begin = end) {
        end = channels - begin > CHANNEL_BLOCK ? begin + CHANNEL_BLOCK : channels;
        sum = chain_block(p, s, input, weight, sum, at, begin, end, link);
    }
    return sum + 0.0f;
}

/* The finished sum of output number `index`, which reads at these positions. */
static float exact_output(const tilefold_problem *p, const space *s, const float *input, const float *weight,
                          const float *bias, int64_t index, const reads *at, multiply_add *link) {
    int64_t channels = p->in_channels / p->groups, group_outputs = p->out_channels / p->groups;
    int64_t o = index / s->outputs % p->out_channels, n = index / s->outputs / p->out_channels;
    const float *in = input + (n * p->in_channels + o / group_outputs * channels) * s->inputs;
    float sum = chain(p, s, in, weight + o * channels * s->taps, bias ? bias[o] : 0.0f, at, link);
    sum = sum < p->clamp_low ? p->clamp_low : sum;
    return sum > p->clamp_high ? p->clamp_high : sum;
}

/* Coordinate `a` of output number `index`. */
static int64_t output_coordinate(const space *s, int64_t index, int a) {
    for (int inner = AXES - 1; inner > a; inner--) index /= s->axis[inner].X;
    return index % s->axis[a].X;
}

static void compute_chains(const tilefold_problem *p, const float *input, const float *weight, const float *bias,
                           float *output, multiply_add *link) {
    space s = make_space(p);
    int64_t *table[AXES];
    for (int a = 0; a < AXES; a++) table[a] = make_table(&s.axis[a], false);
    for (int64_t index = 0; index < p->batch * p->out_channels * s.outputs; index++) {
        reads at;
        for (int a = 0; a < AXES; a++) at.axis[a] = table[a] + output_coordinate(&s, index, a) * s.axis[a].K;
        output[index] = exact_output(p, &s, input, weight, bias, index, &at, link);
    }
    for (int a = 0; a < AXES; a++) free(table[a]);
}

void oracle_exact(const tilefold_problem *p, const float *input, const float *weight, const float *bias,
                  float *output) {
    compute_chains(p, input, weight, bias, output, fmaf);
}

void oracle_rounded_twice(const tilefold_problem *p, const float *input, const float *weight, const float *bias,
                          float *output) {
    compute_chains(p, input, weight, bias, output, round_twice);
}

float oracle_exact_at(const tilefold_problem *p, const float *input, const float *weight, const float *bias,
                      int64_t index) {
    space s = make_space(p);
    int64_t *row[AXES];
    reads at;
    for (int a = 0; a < AXES; a++) {
        int64_t x = output_coordinate(&s, index, a);
        row[a] = make_row(&s.axis[a], x);
        at.axis[a] = row[a];
    }
    float output = exact_output(p, &s, input, weight, bias, index, &at, fmaf);
    for (int a = 0; a < AXES; a++) free(row[a]);
    return output;
}

/* A tap through which an input position contributes, and the output position it contributes to. */
typedef struct hit {
    int64_t weight_tap, x;
} hit;

/* The hits of input position i; returns how many. hits has room for all taps. */
static int64_t find_hits(const tilefold_problem *p, const space *s, int64_t *const table[AXES], int64_t position,
                         hit *hits) {
    const axis *a = s->axis;
    int64_t i0 = position / (a[1].I * a[2].I), i1 = position / a[2].I % a[1].I, i2 = position % a[2].I, count = 0;
    for (int64_t k0 = 0; k0 < a[0].K; k0++) {
        int64_t x0 = table[0][i0 * a[0].K + k0];
        for (int64_t k1 = 0; x0 >= 0 && k1 < a[1].K; k1++) {
            int64_t x1 = table[1][i1 * a[1].K + k1];
            for (int64_t k2 = 0; x1 >= 0 && k2 < a[2].K; k2++) {
                int64_t x2 = table[2][i2 * a[2].K + k2];
                int64_t tap = (k0 * a[1].K + k1) * a[2].K + k2;
                if (x2 >= 0) hits[count++] = (hit){weight_tap(p, s, tap), (x0 * a[1].X + x1) * a[2].X + x2};
            }
        }
    }
    return count;
}

/* Adds the products of input[...][position], for all images, channels and the outputs they meet. */
static void scatter(const tilefold_problem *p, const space *s, int64_t position, const hit *hits, int64_t count,
                    const float *input, const float *weight, double *sum, double *magnitude) {
    int64_t channels = p->in_channels / p->groups, group_outputs = p->out_channels / p->groups;
    for (int64_t pair = 0; pair < p->batch * p->in_channels * group_outputs; pair++) {
        int64_t n = pair / group_outputs / p->in_channels, c = pair / group_outputs % p->in_channels;
        int64_t o = c / channels * group_outputs + pair % group_outputs;
        double value = (double)input[(n * p->in_channels + c) * s->inputs + position];
        const float *w = weight + (o * channels + c % channels) * s->taps;
        int64_t out = (n * p->out_channels + o) * s->outputs;
        for (int64_t i = 0; i < count; i++) {
            double product = value * (double)w[hits[i].weight_tap];
            sum[out + hits[i].x] += product;
            magnitude[out + hits[i].x] += fabs(product);
        }
    }
}

void oracle_double(const tilefold_problem *p, const float *input, const float *weight, const float *bias, double *sum,
                   double *magnitude) {
    space s = make_space(p);
    int64_t *table[AXES];
    for (int a = 0; a < AXES; a++) table[a] = make_table(&s.axis[a], true);
    hit *hits = malloc((size_t)s.taps * sizeof *hits);
    if (!hits) abort();
    for (int64_t index = 0; index < p->batch * p->out_channels * s.outputs; index++) {
        sum[index] = bias ? (double)bias[index / s.outputs % p->out_channels] : 0;
        magnitude[index] = fabs(sum[index]);
    }
    for (int64_t position = 0; position < s.inputs; position++) {
        int64_t count = find_hits(p, &s, table, position, hits);
        scatter(p, &s, position, hits, count, input, weight, sum, magnitude);
    }
    free(hits);
    for (int a = 0; a < AXES; a++) free(table[a]);
}

double oracle_clamp(const tilefold_problem *p, double sum) {
    sum = sum < (double)p->clamp_low ? (double)p->clamp_low : sum;
    return sum > (double)p->clamp_high ? (double)p->clamp_high : sum;
}

/* Higham, "Accuracy and Stability of Numerical Algorithms", §3.1 and §4.2: a chain of n rounded steps is off by at most
 * gamma_n times the sum of magnitudes; each step that underflows adds half of the least subnormal. Then one rounding. */
double oracle_error_bound(const tilefold_problem *p, double sum, double magnitude) {
    double steps = (double)(p->in_channels / p->groups) + 1;
    for (int a = 0; a < p->rank; a++) steps *= (double)p->kernel[a];
    double gamma = steps * 0x1p-24 / (1 - steps * 0x1p-24);
    double error = gamma * magnitude + steps * 0x1p-150;
    double largest = p->type == TILEFOLD_F16 ? 65504.0 : p->type == TILEFOLD_BF16 ? 0x1.fep127 : 0x1.fffffep127;
    double reach = fabs(oracle_clamp(p, sum)) + error;
    if (!(magnitude * (1 + gamma) < 0x1.fffffep127) || !(reach < largest)) return INFINITY;
    if (p->type == TILEFOLD_F16) error += reach * 0x1p-11 + 0x1p-25;
    if (p->type == TILEFOLD_BF16) error += reach * 0x1p-8 + 0x1p-134;
    return error;
}
