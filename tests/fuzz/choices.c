/* Problems and ways made of bytes: see fuzz.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>

#include "oracle.h"

static void take_types(tilefold_problem *p, fuzz_bytes *b) {
    p->type = (tilefold_type)fuzz_range(b, TILEFOLD_F32, TILEFOLD_BF16);
    const tilefold_type bias_types[] = {TILEFOLD_NONE, TILEFOLD_F32, p->type};
    p->bias_type = bias_types[fuzz_range(b, 0, 2)];
    p->flip = fuzz_chance(b, 20);
    switch (fuzz_range(b, 0, 7)) {
    case 0: p->clamp_low = 0; break;
    case 1: p->clamp_low = -0.375f, p->clamp_high = 0.1f; break;
    case 2: p->clamp_high = -0.0f; break;
    case 3: p->clamp_low = p->clamp_high = -INFINITY; break;
    default: break;
    }
}

static void take_channels(tilefold_problem *p, fuzz_bytes *b) {
    int64_t in = fuzz_range(b, 1, 80), out = fuzz_range(b, 1, 80);
    p->groups = fuzz_chance(b, 50) ? 1 : fuzz_range(b, 1, 72);
    if (fuzz_chance(b, 25)) in = 1; /* depthwise, with a multiplier or not */
    if (fuzz_chance(b, 40)) out = in;
    if (fuzz_chance(b, 10)) in *= 6; /* sums longer than the blocks of channels */
    p->in_channels = in * p->groups;
    p->out_channels = out * p->groups;
    p->batch = fuzz_range(b, 0, 7) % 4;
}

static void take_axis(tilefold_problem *p, fuzz_bytes *b, int a) {
    const int64_t longest = p->rank == 1 ? 240 : p->rank == 2 ? 40 : 12;
    p->input_size[a] = fuzz_range(b, 1, longest);
    p->kernel[a] = fuzz_chance(b, 70) ? fuzz_range(b, 1, 8) : fuzz_range(b, 1, longest);
    p->stride[a] = fuzz_chance(b, 60) ? fuzz_range(b, 1, 3) : fuzz_range(b, 1, 40);
    p->dilation[a] = fuzz_chance(b, 60) ? 1 : fuzz_range(b, 1, 12);
    if (p->op == TILEFOLD_CONV) p->input_dilation[a] = fuzz_chance(b, 70) ? 1 : fuzz_range(b, 1, 12);
    if (p->op == TILEFOLD_CONV_TRANSPOSE) p->output_padding[a] = fuzz_range(b, 0, 12) % (p->stride[a] + 2);
    bool wide = fuzz_chance(b, 25);
    p->padding_begin[a] = wide ? fuzz_range(b, -100, 100) : fuzz_range(b, 0, 8);
    p->padding_end[a] = wide ? fuzz_range(b, -100, 100) : fuzz_range(b, 0, 8);
}

test_problem fuzz_small_problem(fuzz_bytes *b, int64_t budget) {
    test_problem made = {.name = "of bytes"};
    tilefold_problem *p = &made.problem;
    tilefold_op op = fuzz_chance(b, 50) ? TILEFOLD_CONV_TRANSPOSE : TILEFOLD_CONV;
    tilefold_problem_init(p, op, TILEFOLD_F32, (int32_t)fuzz_range(b, 1, 3));
    take_types(p, b);
    take_channels(p, b);
    for (int a = 0; a < p->rank; a++) take_axis(p, b, a);
    made.data = (test_data)fuzz_range(b, 0, DATA_KINDS - 1);
    tilefold_layout layout = fuzz_chance(b, 50) ? TILEFOLD_CHANNELS_LAST : TILEFOLD_CHANNELS_FIRST;
    bool views = fuzz_chance(b, 40);
    made.seed = fuzz_word(b);
    rng r = rng_make(made.seed, 1);
    fit_problem(p, budget, &r);
    if (tilefold_problem_set_layout(p, layout, NULL) != TILEFOLD_OK) abort();
    if (views) randomize_strides(p, &r);
    return made;
}

/* A value near an end of the range, a power of two or zero; or any. */
static int64_t take_edge(fuzz_bytes *b) {
    static const int64_t edges[] = {INT64_MAX, INT64_MIN, 0, INT64_MAX / 4, INT64_MAX / 2, INT32_MAX, INT64_C(1) << 32};
    uint8_t kind = fuzz_byte(b);
    int64_t delta = (int8_t)fuzz_byte(b);
    if (kind < 120) return (int64_t)((uint64_t)edges[kind % 7] + (uint64_t)delta);
    if (kind < 200) return (int64_t)((UINT64_C(1) << kind % 64) + (uint64_t)delta);
    return (int64_t)(fuzz_word(b) >> kind % 64);
}

static void set_field(tilefold_problem *p, uint8_t which, int64_t value) {
    tilefold_tensor_strides *in = &p->input_stride, *out = &p->output_stride;
    tilefold_weight_strides *w = &p->weight_stride;
    int64_t *const single[] = {&p->batch,  &p->in_channels, &p->out_channels, &p->groups,  &in->batch,
                               &in->group, &in->channel,    &out->batch,      &out->group, &out->channel,
                               &w->group,  &w->in_channel,  &w->out_channel};
    int64_t *const axes[] = {p->input_size,     p->kernel,        p->stride,      p->dilation,
                             p->input_dilation, p->padding_begin, p->padding_end, p->output_padding,
                             in->spatial,       out->spatial,     w->spatial};
    const size_t singles = sizeof single / sizeof *single, spatial = sizeof axes / sizeof *axes;
    if (which < 64)
        *single[which % singles] = value;
    else
        axes[which % spatial][which / spatial % TILEFOLD_MAX_RANK] = value;
}

/* In half of them the strides follow from the sizes, where those fit at all; else the sizes need not even be consistent. */
test_problem fuzz_wild_problem(fuzz_bytes *b) {
    test_problem made = fuzz_small_problem(b, 2000);
    tilefold_problem *p = &made.problem;
    made.wild = true;
    bool whole_groups = fuzz_chance(b, 50), dense = fuzz_chance(b, 60);
    for (int64_t changes = fuzz_range(b, 1, 6); changes > 0; changes--) {
        uint8_t which = fuzz_byte(b);
        set_field(p, which, take_edge(b));
    }
    if (whole_groups) p->groups = 1;
    if (dense)
        tilefold_problem_set_layout(p, fuzz_chance(b, 50) ? TILEFOLD_CHANNELS_LAST : TILEFOLD_CHANNELS_FIRST, NULL);
    return made;
}

way fuzz_way(fuzz_bytes *b) {
    tilefold_isa isas[8];
    int count = machine_isas(isas);
    way w = {.isa = isas[fuzz_byte(b) % count],
             .threads = (int32_t)fuzz_range(b, 1, 4),
             .pool = (pool)fuzz_range(b, POOL_SEQUENTIAL, POOL_SHUFFLED),
             .algorithm = (tilefold_algorithm)(fuzz_chance(b, 40) ? fuzz_range(b, 1, TILEFOLD_ALGORITHM_DIRECT) : 0),
             .prepack = fuzz_chance(b, 60),
             .limit = INT64_MAX};
    return w;
}
