/* The tensors of a problem: see tensors.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tensors.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "oracle.h"

/* --------------------------------------------------------------------------------------------------------- views ---- */

static void measure_view(tensor_view *v) {
    int64_t high = 0;
    v->elements = 1;
    for (int d = 0; d < v->dimensions; d++) {
        v->elements *= v->size[d];
        int64_t reach = v->size[d] > 1 ? (v->size[d] - 1) * v->stride[d] : 0;
        if (reach < 0) v->low += reach;
        if (reach > 0) high += reach;
    }
    v->span = v->elements ? high - v->low + 1 : 0;
}

tensor_view input_view(const tilefold_problem *p) {
    const tilefold_tensor_strides *s = &p->input_stride;
    tensor_view v = {.dimensions = 3 + p->rank,
                     .size = {p->batch, p->groups, p->in_channels / p->groups},
                     .stride = {s->batch, s->group, s->channel}};
    for (int a = 0; a < p->rank; a++) {
        v.size[3 + a] = p->input_size[a];
        v.stride[3 + a] = s->spatial[a];
    }
    measure_view(&v);
    return v;
}

tensor_view weight_view(const tilefold_problem *p) {
    const tilefold_weight_strides *s = &p->weight_stride;
    tensor_view v = {.dimensions = 3 + p->rank,
                     .size = {p->groups, p->out_channels / p->groups, p->in_channels / p->groups},
                     .stride = {s->group, s->out_channel, s->in_channel}};
    for (int a = 0; a < p->rank; a++) {
        v.size[3 + a] = p->kernel[a];
        v.stride[3 + a] = s->spatial[a];
    }
    measure_view(&v);
    return v;
}

tensor_view output_view(const tilefold_problem *p) {
    const tilefold_tensor_strides *s = &p->output_stride;
    tensor_view v = {.dimensions = 3 + p->rank,
                     .size = {p->batch, p->groups, p->out_channels / p->groups},
                     .stride = {s->batch, s->group, s->channel}};
    for (int a = 0; a < p->rank; a++) {
        v.size[3 + a] = oracle_output_size(p, a);
        v.stride[3 + a] = s->spatial[a];
    }
    measure_view(&v);
    return v;
}

int64_t view_offset(const tensor_view *v, int64_t index) {
    int64_t offset = 0;
    for (int d = v->dimensions - 1; d >= 0; d--) {
        int64_t at = index % v->size[d];
        index /= v->size[d];
        if (at) offset += at * v->stride[d];
    }
    return offset;
}

/* ---------------------------------------------------------------------------------------------------------- data ---- */

static float largest_of(tilefold_type type) {
    return type == TILEFOLD_F32 ? FLT_MAX : type == TILEFOLD_F16 ? 65504.0f : 0x1.fep127f;
}

/* A value whose products with its like are subnormal in the type. */
static float tiny(tilefold_type type, rng *r) { return ldexpf(rng_unit(r), type == TILEFOLD_F16 ? -8 : -70); }

static float extreme(tilefold_type type, rng *r) {
    float sign = rng_percent(r, 50) ? -1.0f : 1.0f;
    switch (rng_range(r, 0, 4)) {
    case 0: return sign * 0.0f;
    case 1: return sign * largest_of(type);
    case 2: return sign * ldexpf(rng_unit(r), type == TILEFOLD_F16 ? -16 : -128); /* subnormal */
    case 3: return sign * (type == TILEFOLD_F16 ? 0x1p-24f : type == TILEFOLD_BF16 ? 0x1p-133f : 0x1p-149f);
    default: return sign;
    }
}

static float make_value(test_data data, tilefold_type type, rng *r) {
    switch (data) {
    case DATA_INTEGER: return (float)rng_range(r, -3, 3);
    case DATA_ZEROS: return rng_percent(r, 50) ? -0.0f : 0.0f;
    case DATA_WIDE: return ldexpf(rng_unit(r), (int)rng_range(r, -12, 6));
    case DATA_TINY: return tiny(type, r);
    case DATA_HUGE: return 300.0f * rng_unit(r);
    case DATA_EXTREME: return rng_percent(r, 92) ? rng_unit(r) : extreme(type, r);
    case DATA_SPECIAL:
        if (rng_percent(r, 3)) return rng_percent(r, 30) ? NAN : rng_percent(r, 50) ? INFINITY : -INFINITY;
        return rng_percent(r, 95) ? rng_unit(r) : extreme(type, r);
    default: return rng_unit(r);
    }
}

/* Allocates a tensor and fills it, gaps with the pattern. */
static guarded make_tensor(const tensor_view *v, tilefold_type type, test_data data, rng r) {
    size_t size = tilefold_type_bytes(type);
    guarded g = guarded_new((size_t)v->span * size, size, rng_percent(&r, 50));
    fill_pattern(g.data, g.bytes);
    for (int64_t i = 0; i < v->elements; i++) {
        oracle_encode(type, make_value(data, type, &r), g.data + (size_t)(view_offset(v, i) - v->low) * size);
    }
    return g;
}

static tensor_view bias_view(const tilefold_problem *p) {
    tensor_view v = {.dimensions = 1, .size = {p->out_channels}, .stride = {1}};
    measure_view(&v);
    return v;
}

/* FNV-1a, taken eight bytes at a time. */
static uint64_t hash_bytes(uint64_t hash, const guarded *g) {
    for (size_t i = 0; i < g->page_bytes; i += 8) {
        uint64_t word;
        memcpy(&word, g->pages + i, 8);
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static uint64_t hash_inputs(const tensors *t) {
    uint64_t hash = hash_bytes(hash_bytes(UINT64_C(0xcbf29ce484222325), &t->input), &t->weight);
    return t->bias.pages ? hash_bytes(hash, &t->bias) : hash;
}

tensors make_tensors(const test_problem *made) {
    announce_problem(made);
    const tilefold_problem *p = &made->problem;
    tensors t = {.made = *made,
                 .input_view = input_view(p),
                 .weight_view = weight_view(p),
                 .output_view = output_view(p)};
    t.input = make_tensor(&t.input_view, p->type, made->data, rng_make(made->seed, 2));
    t.weight = make_tensor(&t.weight_view, p->type, made->data, rng_make(made->seed, 3));
    if (p->bias_type != TILEFOLD_NONE) {
        tensor_view v = bias_view(p);
        t.bias = make_tensor(&v, p->bias_type, made->data, rng_make(made->seed, 4));
    }
    t.input_hash = hash_inputs(&t);
    size_t size = tilefold_type_bytes(p->type);
    rng r = rng_make(made->seed, 5);
    t.output = guarded_new((size_t)t.output_view.span * size, size, rng_percent(&r, 50));
    fill_pattern(t.output.data, t.output.bytes);
    t.output_offset = malloc((size_t)(t.output_view.elements + 1) * sizeof *t.output_offset);
    if (!t.output_offset) abort();
    for (int64_t i = 0; i < t.output_view.elements; i++) t.output_offset[i] = view_offset(&t.output_view, i);
    return t;
}

void plant_value(tensors *t, planted where, int64_t index, float value) {
    const tilefold_problem *p = &t->made.problem;
    const tensor_view bias = bias_view(p), *views[] = {&t->input_view, &t->weight_view, &bias}, *v = views[where];
    const guarded *memory[] = {&t->input, &t->weight, &t->bias};
    tilefold_type type = where == PLANTED_BIAS ? p->bias_type : p->type;
    size_t place = (size_t)(view_offset(v, index) - v->low) * tilefold_type_bytes(type);
    oracle_encode(type, value, memory[where]->data + place);
    t->input_hash = hash_inputs(t);
}

void free_tensors(tensors *t) {
    guarded_delete(&t->input);
    guarded_delete(&t->weight);
    guarded_delete(&t->bias);
    guarded_delete(&t->output);
    free(t->output_offset);
}

static unsigned char *element_zero(const guarded *g, const tensor_view *v, tilefold_type type) {
    return g->data + (size_t)-v->low * tilefold_type_bytes(type);
}

const void *tensors_input(const tensors *t) { return element_zero(&t->input, &t->input_view, t->made.problem.type); }
const void *tensors_weight(const tensors *t) { return element_zero(&t->weight, &t->weight_view, t->made.problem.type); }
const void *tensors_bias(const tensors *t) { return t->bias.data; }
void *tensors_output(const tensors *t) { return element_zero(&t->output, &t->output_view, t->made.problem.type); }

size_t tensors_output_bytes(const tensors *t) {
    return (size_t)t->output_view.elements * tilefold_type_bytes(t->made.problem.type);
}

/* ------------------------------------------------------------------------------------------------------- results ---- */

static float *decode_tensor(const guarded *g, const tensor_view *v, tilefold_type type) {
    size_t size = tilefold_type_bytes(type);
    float *dense = malloc((size_t)(v->elements + 1) * sizeof *dense);
    if (!dense) abort();
    for (int64_t i = 0; i < v->elements; i++) {
        dense[i] = oracle_decode(type, g->data + (size_t)(view_offset(v, i) - v->low) * size);
    }
    return dense;
}

typedef struct decoded {
    float *input, *weight, *bias;
} decoded;

static decoded decode_inputs(const tensors *t) {
    const tilefold_problem *p = &t->made.problem;
    tensor_view bias = bias_view(p);
    return (decoded){decode_tensor(&t->input, &t->input_view, p->type),
                     decode_tensor(&t->weight, &t->weight_view, p->type),
                     t->bias.data ? decode_tensor(&t->bias, &bias, p->bias_type) : NULL};
}

static void free_decoded(decoded *d) {
    free(d->input);
    free(d->weight);
    free(d->bias);
}

static void *encode_output(const tensors *t, void (*oracle)(const tilefold_problem *, const float *, const float *,
                                                            const float *, float *)) {
    const tilefold_problem *p = &t->made.problem;
    decoded d = decode_inputs(t);
    float *sums = malloc((size_t)(t->output_view.elements + 1) * sizeof *sums);
    unsigned char *expected = malloc(tensors_output_bytes(t) + 1);
    if (!sums || !expected) abort();
    oracle(p, d.input, d.weight, d.bias, sums);
    for (int64_t i = 0; i < t->output_view.elements; i++) {
        oracle_encode(p->type, sums[i], expected + (size_t)i * tilefold_type_bytes(p->type));
    }
    free(sums);
    free_decoded(&d);
    return expected;
}

void *expected_output(const tensors *t) { return encode_output(t, oracle_exact); }

void *expected_output_rounded_twice(const tensors *t) { return encode_output(t, oracle_rounded_twice); }

bool check_samples(const tensors *t, const void *got, int64_t samples) {
    const tilefold_problem *p = &t->made.problem;
    size_t size = tilefold_type_bytes(p->type);
    decoded d = decode_inputs(t);
    rng r = rng_make(t->made.seed, 19);
    bool right = true;
    for (int64_t i = 0; i < samples && right; i++) {
        int64_t index = i == 0   ? 0
                        : i == 1 ? t->output_view.elements - 1
                                 : rng_range(&r, 0, t->output_view.elements - 1);
        unsigned char expected[4];
        int64_t unused;
        oracle_encode(p->type, oracle_exact_at(p, d.input, d.weight, d.bias, index), expected);
        right = same_bits(p->type, 1, expected, (const unsigned char *)got + (size_t)index * size, &unused);
        if (!right) fprintf(stderr, "output %" PRId64 " is wrong\n  %s\n", index, describe_problem(&t->made));
    }
    free_decoded(&d);
    return right;
}

/* Where an infinity or a NaN takes part, or an fp32 sum may overflow, float64 has nothing to say. */
static bool near_enough(const tilefold_problem *p, double got, double sum, double magnitude, test_data data) {
    double bound = oracle_error_bound(p, sum, magnitude);
    if (!isfinite(magnitude) || !isfinite(got)) return data == DATA_SPECIAL || !isfinite(bound);
    return !isfinite(bound) || fabs(got - oracle_clamp(p, sum)) <= bound;
}

bool check_against_double(const tensors *t, const void *expected) {
    const tilefold_problem *p = &t->made.problem;
    decoded d = decode_inputs(t);
    int64_t elements = t->output_view.elements, wrong = 0;
    double *sum = malloc((size_t)(elements + 1) * sizeof *sum),
           *magnitude = malloc((size_t)(elements + 1) * sizeof *sum);
    if (!sum || !magnitude) abort();
    oracle_double(p, d.input, d.weight, d.bias, sum, magnitude);
    for (int64_t i = 0; i < elements; i++) {
        const unsigned char *at = (const unsigned char *)expected + (size_t)i * tilefold_type_bytes(p->type);
        double got = (double)oracle_decode(p->type, at);
        if (near_enough(p, got, sum[i], magnitude[i], t->made.data)) continue;
        if (wrong++ == 0) {
            fprintf(stderr, "output %" PRId64 " is %.9g; in float64 it is %.17g\n  %s\n", i, got,
                    oracle_clamp(p, sum[i]), describe_problem(&t->made));
        }
    }
    free(sum);
    free(magnitude);
    free_decoded(&d);
    return wrong == 0;
}

/* Writes the pattern over one element, as fill_pattern had it there. */
static void restore_pattern(unsigned char *data, size_t offset, size_t size) {
    unsigned char pattern[8];
    fill_pattern(pattern, sizeof pattern);
    memcpy(data + offset, pattern + offset % 4, size);
}

bool collect_output(tensors *t, void *dense, const char **reason) {
    size_t size = tilefold_type_bytes(t->made.problem.type);
    for (int64_t i = 0; i < t->output_view.elements; i++) {
        size_t offset = (size_t)(t->output_offset[i] - t->output_view.low) * size;
        memcpy((unsigned char *)dense + (size_t)i * size, t->output.data + offset, size);
        restore_pattern(t->output.data, offset, size);
    }
    bool in_view = guarded_intact(&t->output) && holds_pattern(&t->output);
    bool unchanged = t->input_hash == hash_inputs(t);
    *reason = !in_view ? "memory around the outputs was written" : "an input was written";
    if (!in_view) fill_pattern(t->output.data, t->output.bytes);
    return in_view && unchanged;
}

static bool is_nan(tilefold_type type, const unsigned char *element) { return isnan(oracle_decode(type, element)); }

bool same_bits(tilefold_type type, int64_t elements, const void *a, const void *b, int64_t *index) {
    size_t size = tilefold_type_bytes(type);
    if (memcmp(a, b, (size_t)elements * size) == 0) return true;
    for (int64_t i = 0; i < elements; i++) {
        const unsigned char *x = (const unsigned char *)a + (size_t)i * size,
                            *y = (const unsigned char *)b + (size_t)i * size;
        if (memcmp(x, y, size) != 0 && !(is_nan(type, x) && is_nan(type, y))) {
            *index = i;
            return false;
        }
    }
    return true;
}
