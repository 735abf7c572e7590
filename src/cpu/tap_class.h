/* Taps of one axis that can share a copy of the input.
 *
 * SPDX-License-Identifier: MIT
 *
 * With stride S and tap step T, lane i of tap j reads i*S + j*T. With j*T = s*S + r, 0 <= r < S, that is (i + s)*S + r: taps
 * of equal residue r read one copy of every S-th element, s elements into it. Taps of equal r are `period` apart.
 */
#ifndef TILEFOLD_CPU_TAP_CLASS_H
#define TILEFOLD_CPU_TAP_CLASS_H

#include "../checked.h"
#include "../geometry.h"

/* The taps first, first + period, ... up to last. */
typedef struct tilefold_tap_class {
    int64_t first, last, residue;
    int64_t shift;  /* the least s of them */
    int64_t spread; /* the largest s less the least */
} tilefold_tap_class;

static inline int64_t tilefold_tap_period(const tilefold_axis_part *part) {
    int64_t step = part->in_step;
    return step == 1 ? 1 : step / tilefold_gcd(step, tilefold_max(part->in_tap, -part->in_tap));
}

/* s of tap j. */
static inline int64_t tilefold_tap_shift(const tilefold_axis_part *part, int64_t j) {
    return tilefold_floor_div(j * part->in_tap, part->in_step);
}

/* The class of tap `first` among the taps below `end`. */
static inline tilefold_tap_class tilefold_tap_class_at(const tilefold_axis_part *part, int64_t first, int64_t end,
                                                       int64_t period) {
    int64_t last = first + tilefold_floor_div(end - 1 - first, period) * period;
    int64_t from = tilefold_tap_shift(part, first), to = tilefold_tap_shift(part, last);
    return (tilefold_tap_class){first, last, tilefold_modulo(first * part->in_tap, part->in_step),
                                tilefold_min(from, to), tilefold_max(from, to) - tilefold_min(from, to)};
}

#endif /* TILEFOLD_CPU_TAP_CLASS_H */
