/* The golden problems: see golden.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "golden.h"

#include <stdlib.h>

/* ---------------------------------------------------------------------------------------------------------- words ---- */

/* Each read_ function moves *at past what it has read; false where that is not there. */
static bool read_word(const char **at, const char *word) {
    size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0) return false;
    *at += length;
    return true;
}

/* Which of the words, NULL at their end; the longer of two that begin alike comes first. */
static bool read_choice(const char **at, const char *const *words, int *place) {
    for (*place = 0; words[*place]; ++*place)
        if (read_word(at, words[*place])) return true;
    return false;
}

static bool read_number(const char **at, int64_t *number) {
    char *end;
    if (**at != '-' && (**at < '0' || **at > '9')) return false;
    *number = strtoll(*at, &end, 10);
    bool read = end != *at;
    *at = end;
    return read;
}

/* Numbers with `between` between them; returns how many, 0 where there is something else or more than room. */
static int read_numbers(const char **at, char between, int room, int64_t *numbers) {
    for (int count = 0; count < room; ++*at) {
        if (!read_number(at, &numbers[count++])) return 0;
        if (**at != between) return count;
    }
    return 0;
}

/* One for all axes, or one for each. */
static bool read_axes(const char **at, int rank, int64_t axes[TILEFOLD_MAX_RANK]) {
    int count = read_numbers(at, ',', rank, axes);
    for (int a = count; count == 1 && a < rank; a++) axes[a] = axes[0];
    return count == 1 || count == rank;
}

static bool read_padding(const char **at, tilefold_problem *p) {
    int count = 0;
    do {
        if (count == p->rank || !read_number(at, &p->padding_begin[count])) return false;
        p->padding_end[count] = p->padding_begin[count];
        if (read_word(at, ":") && !read_number(at, &p->padding_end[count])) return false;
        count++;
    } while (read_word(at, ","));
    for (int a = count; count == 1 && a < p->rank; a++) {
        p->padding_begin[a] = p->padding_begin[0];
        p->padding_end[a] = p->padding_end[0];
    }
    return count == 1 || count == p->rank;
}

/* An integer or an infinity. */
static bool read_bound(const char **at, float *bound) {
    int64_t number;
    if (read_word(at, "-inf")) return *bound = (float)-1e39, true;
    if (read_word(at, "inf")) return *bound = (float)1e39, true;
    bool read = read_number(at, &number);
    if (read) *bound = (float)number;
    return read;
}

static bool read_type(const char **at, tilefold_type *type) {
    static const char *const types[] = {"f32", "f16", "bf16", NULL};
    int place;
    if (!read_choice(at, types, &place)) return false;
    *type = (tilefold_type)(TILEFOLD_F32 + place);
    return true;
}

static bool read_data(const char **at, tilefold_golden *golden) {
    static const char *const kinds[] = {"unit", "wide", "tiny", "huge", "subnormal", "integer", "zero", NULL};
    int place;
    if (!read_choice(at, kinds, &place)) return false;
    golden->data = (tilefold_golden_data)place;
    return true;
}

static bool read_plant(const char **at, tilefold_golden *golden) {
    static const char *const tensors[] = {"input:", "weight:", "bias:", NULL};
    static const char *const values[] = {"inf", "-inf", "nan", "-0", "denormal", "max", NULL};
    int tensor, value;
    if (!read_choice(at, tensors, &tensor) || !read_number(at, &golden->planted_index) || !read_word(at, ":") ||
        !read_choice(at, values, &value))
        return false;
    golden->planted = (tilefold_golden_tensor)tensor;
    golden->planted_value = (tilefold_golden_value)value;
    return true;
}

static bool read_option(const char **at, tilefold_golden *golden) {
    tilefold_problem *p = &golden->problem;
    if (read_word(at, "flip")) return p->flip = true;
    if (read_word(at, "groups=")) return read_number(at, &p->groups);
    if (read_word(at, "stride=")) return read_axes(at, p->rank, p->stride);
    if (read_word(at, "dilation=")) return read_axes(at, p->rank, p->dilation);
    if (read_word(at, "input-dilation=")) return read_axes(at, p->rank, p->input_dilation);
    if (read_word(at, "output-padding=")) return read_axes(at, p->rank, p->output_padding);
    if (read_word(at, "pad=")) return read_padding(at, p);
    if (read_word(at, "bias=")) return read_type(at, &p->bias_type);
    if (read_word(at, "clamp="))
        return read_bound(at, &p->clamp_low) && read_word(at, ":") && read_bound(at, &p->clamp_high);
    if (read_word(at, "data=")) return read_data(at, golden);
    return read_word(at, "plant=") && read_plant(at, golden);
}

/* Op, type, input and weight. */
static bool read_shape(const char **at, tilefold_problem *p) {
    static const char *const ops[] = {"conv ", "transposed ", NULL};
    int64_t input[2 + TILEFOLD_MAX_RANK], weight[1 + TILEFOLD_MAX_RANK];
    int op;
    tilefold_type type;
    if (!read_choice(at, ops, &op) || !read_type(at, &type) || !read_word(at, " ")) return false;
    int rank = read_numbers(at, 'x', 2 + TILEFOLD_MAX_RANK, input) - 2;
    if (rank < 1 || !read_word(at, " ") || read_numbers(at, 'x', 1 + rank, weight) != 1 + rank) return false;
    tilefold_problem_init(p, (tilefold_op)op, type, rank);
    p->batch = input[0];
    p->in_channels = input[1];
    p->out_channels = weight[0];
    memcpy(p->input_size, input + 2, sizeof *input * (size_t)rank);
    memcpy(p->kernel, weight + 1, sizeof *weight * (size_t)rank);
    return true;
}

bool tilefold_golden_read(const char *line, tilefold_golden *golden) {
    enum { DIGITS = TILEFOLD_SHA256_TEXT - 1 };
    memset(golden, 0, sizeof *golden);
    golden->planted = TILEFOLD_GOLDEN_NOTHING;
    golden->hash = line;
    if (strspn(line, "0123456789abcdef") != DIGITS) return false;
    const char *at = line + DIGITS;
    if (!read_word(&at, "  ")) return false;
    golden->text = at;
    if (!read_shape(&at, &golden->problem)) return false;
    while (read_word(&at, " "))
        if (!read_option(&at, golden)) return false;
    return *at == '\0';
}

/* ----------------------------------------------------------------------------------------------------------- data ---- */

/* A floating-point format: its mantissa, and the exponent field of 1. */
typedef struct format {
    int mantissa_bits, one;
} format;

static format format_of(tilefold_type type) {
    if (type == TILEFOLD_F32) return (format){23, 127};
    return type == TILEFOLD_F16 ? (format){10, 15} : (format){7, 127};
}

static uint64_t random_bits(tilefold_golden_tensor tensor, int64_t index) {
    uint64_t z = (uint64_t)tensor + ((uint64_t)index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The exponent field. */
static uint32_t exponent_field(const tilefold_golden *golden, tilefold_golden_tensor tensor, format f, uint32_t r) {
    bool half = golden->problem.type == TILEFOLD_F16;
    switch (golden->data) {
    case TILEFOLD_GOLDEN_WIDE: return (uint32_t)(f.one - 13) + r % 19;
    case TILEFOLD_GOLDEN_TINY: return (uint32_t)(f.one - (half ? 9 : 71)) - r % 6;
    case TILEFOLD_GOLDEN_HUGE: return (uint32_t)(f.one + (half ? 4 : 58)) + r % 5;
    case TILEFOLD_GOLDEN_SUBNORMAL:
        if (tensor != TILEFOLD_GOLDEN_WEIGHT) return 0;
        /* fall through */
    default: return (uint32_t)(f.one - 1) - r % 3;
    }
}

static uint32_t special_bits(format f, tilefold_golden_value value) {
    uint32_t infinity = (uint32_t)(2 * f.one + 1) << f.mantissa_bits;
    uint32_t sign = UINT32_C(1) << (f.mantissa_bits + (f.one > 15 ? 8 : 5));
    switch (value) {
    case TILEFOLD_GOLDEN_INF: return infinity;
    case TILEFOLD_GOLDEN_MINUS_INF: return sign | infinity;
    case TILEFOLD_GOLDEN_NAN: return infinity | UINT32_C(1) << (f.mantissa_bits - 1);
    case TILEFOLD_GOLDEN_MINUS_ZERO: return sign;
    case TILEFOLD_GOLDEN_DENORMAL: return 1;
    default: return infinity - 1;
    }
}

uint32_t tilefold_golden_element(const tilefold_golden *golden, tilefold_golden_tensor tensor, int64_t index) {
    format f = format_of(tensor == TILEFOLD_GOLDEN_BIAS ? golden->problem.bias_type : golden->problem.type);
    if (tensor == golden->planted && index == golden->planted_index) return special_bits(f, golden->planted_value);
    uint64_t u = random_bits(tensor, index);
    uint32_t sign = u >> 63 ? special_bits(f, TILEFOLD_GOLDEN_MINUS_ZERO) : 0, r = (uint32_t)(u >> 32) & 0xffff;
    uint32_t one = (uint32_t)f.one << f.mantissa_bits, half = UINT32_C(1) << (f.mantissa_bits - 1);
    const uint32_t integers[] = {0, one, one + 2 * half, one + 3 * half}; /* 0, 1, 2, 3 */
    if (golden->data == TILEFOLD_GOLDEN_ZERO) return sign;
    if (golden->data == TILEFOLD_GOLDEN_INTEGER) return sign | integers[r % 4];
    return sign | exponent_field(golden, tensor, f, r) << f.mantissa_bits | ((uint32_t)u & (2 * half - 1));
}

void tilefold_golden_add(tilefold_sha256 *hash, tilefold_type type, uint32_t bits) {
    format f = format_of(type);
    uint32_t magnitude = bits & (special_bits(f, TILEFOLD_GOLDEN_MINUS_ZERO) - 1);
    if (magnitude > special_bits(f, TILEFOLD_GOLDEN_INF)) bits = special_bits(f, TILEFOLD_GOLDEN_NAN);
    const uint8_t bytes[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
    tilefold_sha256_add(hash, bytes, type == TILEFOLD_F32 ? 4 : 2);
}
