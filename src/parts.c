/* The parts and classes of an axis, and how many there are of each kind, without walking them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "checked.h"
#include "geometry.h"
#include "modular.h"

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
    bool one_class = !axis->merged || axis->kernel % axis->tap_period == 0;
    int64_t longer = axis->merged && one_class ? 1 : index / 3; /* class 0 has no folds then */
    tilefold_axis_class class = tilefold_axis_get_class(axis, longer);
    if (!one_class) class.folds = axis->tap_period; /* of both, with as many taps as those of class 0 have */
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
                               .class_index = longer,
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
    if (axis->folded) return axis->merged ? 3 : 6;
    return tilefold_min(axis->phases, axis->output);
}

tilefold_axis_part tilefold_axis_share_part(const tilefold_axis *axis, const tilefold_axis_part *part, int64_t index) {
    tilefold_axis_part share = *part;
    if (!axis->merged) return share;
    tilefold_axis_class class = tilefold_axis_get_class(axis, index),
                        whole = tilefold_axis_get_class(axis, part->class_index);
    int64_t begin = tilefold_max(part->fold_begin + whole.tap_first, class.tap_first);
    int64_t end = tilefold_min(part->fold_begin + whole.tap_first + part->folds, class.tap_first + class.folds);
    share.fold_begin = begin - class.tap_first;
    share.folds = tilefold_max(0, end - begin);
    share.out_first -= (class.tap_first - whole.tap_first) * axis->tap_step;
    share.taps = class.taps;
    share.class_index = index;
    share.class_folds = class.folds;
    return share;
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
            for (int64_t class = 0; class < (axis->merged ? 2 : 1); class ++) {
                tilefold_axis_part share = tilefold_axis_share_part(axis, &part, class);
                add_kind(kinds, &used, share.folds > 0, share.count, share.folds, share.taps);
            }
        }
        return used;
    }
    int64_t parts = tilefold_axis_parts(axis), longer = axis->output % axis->phases,
            count = axis->output / axis->phases;
    add_phases(axis, 0, tilefold_min(longer, parts), count + 1, kinds, &used);
    add_phases(axis, tilefold_min(longer, parts), parts, count, kinds, &used);
    return used;
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

/* How many 0 <= i < rows, 0 <= j < columns have 0 <= a*i + b*j + c < end, for a > 0; b counts down where it is negative. A step
 * that is never taken may be of any size. */
static int64_t points_between(int64_t rows, int64_t columns, int64_t a, int64_t b, int64_t c, int64_t end) {
    int64_t product;
    if (!tilefold_multiply(rows, columns, &product)) return INT64_MAX;
    if (rows == 1) a = 1;
    if (columns == 1) b = 1;
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
