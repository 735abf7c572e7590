/* The operation in normal form, and how it splits into ordinary convolutions.
 *
 * SPDX-License-Identifier: MIT
 *
 * Whatever the op and the rank, a problem becomes three spatial axes (leading ones of size 1 where the rank is lower), and
 * on each axis
 *
 *     output x reads at tap k the input position (x*S + k*T + B) / L, where that is whole,
 *
 *     conv:        S = stride,  T = +dilation,  B = -padding_begin,  L = input dilation
 *     transposed:  S = 1,       T = -dilation,  B = +padding_begin,  L = stride
 *
 * so k keeps the meaning and the order it has in the public formulas. The outputs of an axis fall into e = L / gcd(S, L)
 * phases, x = r + q*e. All outputs of a phase meet the same taps, k = k0 + j*m with m = L / gcd(D, L), and read
 *
 *     (r*S + k0*T + B) / L  +  q * S/gcd(S, L)  +  j * T/gcd(D, L):
 *
 * an ordinary convolution with stride S/gcd(S, L) and dilation D/gcd(D, L), over the taps of the phase only.
 *
 * Two ways to cut an axis into parts, each of which is one such convolution:
 *
 *   by phase    one part per phase. Works always.
 *   folded      for S = D = 1 < L. Phases are named by their first tap f = k0 in [0, L); with x = q*L - f*T - B every
 *               phase reads positions q + j*T, so all phases with the same number of taps read the same window and become
 *               columns of one product. There are two such classes: f in [0, K mod L) with K/L + 1 taps, and
 *               f in [K mod L, L) with K/L taps (none, where K < L: bias only).
 *
 *                   transposed, L = 4, K = 6:   f    taps          class
 *                                               0    0, 4          A    2 folds x 2 taps
 *                                               1    1, 5          A
 *                                               2    2             B    2 folds x 1 tap
 *                                               3    3             B
 *
 *               Where the output begins or ends inside a period of L only some folds of that q exist; such a q is a part
 *               of its own (head, tail), so that no part ever computes an output that is not wanted:
 *
 *                   x           -2 -1 | 0  1  2  3  4  5  6  7  8 | 9
 *                   q            0     .     1           2        .
 *                   f        0  1  2  3  0  1  2  3  0  1  2  3     (one class of four folds, B = 2)
 *                                    [head ][  body  ][  tail ]
 *
 *               Merged, the folds of both classes are in one part, which reads what the longer class reads; the classes keep
 *               weights of their own (tilefold_axis_share_part()).
 */
#ifndef TILEFOLD_GEOMETRY_H
#define TILEFOLD_GEOMETRY_H

#include <tilefold.h>

enum { TILEFOLD_AXES = 3, TILEFOLD_MAX_KINDS = 6 };

typedef struct tilefold_axis {
    int64_t input, output, kernel; /* sizes I, X, K */
    int64_t stride;                /* S */
    int64_t tap_step;              /* T */
    int64_t origin;                /* B */
    int64_t input_dilation;        /* L */
    int64_t phases;                /* e */
    int64_t common;                /* gcd(D, L) */
    int64_t tap_period;            /* m */
    int64_t tap_inverse;           /* (T / common)^-1 mod m */
    bool folded;                   /* how the axis is cut into parts */
    bool merged;                   /* folded, and the folds of both classes are in one part */
} tilefold_axis;

/* One part of an axis. In it, position q in [0, count) and fold f in [fold_begin, fold_begin + folds) is
 *     output   out_first + q*out_step + f*out_fold
 * and reads, for tap j in [0, taps),
 *     input    in_first + q*in_step + j*in_tap          (outside [0, I): a zero)
 * with the weights of its class, below. Unless folded, f = 0. */
typedef struct tilefold_axis_part {
    int64_t count, fold_begin, folds, taps;
    int64_t out_first, out_step, out_fold;
    int64_t in_first, in_step, in_tap;
    int64_t class_index; /* which class of weights; -1 for a phase that meets no tap */
    int64_t class_folds; /* folds of the whole class */
} tilefold_axis_part;

/* The weights shared by parts: kernel indices tap_first + j*tap_step + f for j in [0, taps) and f in [0, folds). */
typedef struct tilefold_axis_class {
    int64_t tap_first, tap_step, taps, folds;
} tilefold_axis_class;

/* How many parts of an axis look alike: all a planner needs to know. */
typedef struct tilefold_axis_kind {
    int64_t parts, count, folds, taps;
} tilefold_axis_kind;

typedef struct tilefold_geometry {
    tilefold_type type, bias_type;
    int64_t batch, groups;
    int64_t in_channels, out_channels; /* of one group */
    tilefold_axis axis[TILEFOLD_AXES];
    bool folded, merged; /* every axis with L > 1 is */
    float clamp_low, clamp_high;
    /* Element strides, those of groups independent of those of channels. The weight's offset and signs carry flip. */
    int64_t in_batch, in_group, in_channel, in_axis[TILEFOLD_AXES];
    int64_t out_batch, out_group, out_channel, out_axis[TILEFOLD_AXES];
    int64_t weight_group, weight_out, weight_in, weight_axis[TILEFOLD_AXES], weight_offset;
} tilefold_geometry;

/* tilefold_output_size() of a problem that has been read: see versioned.h. */
tilefold_status tilefold_find_output_size(const tilefold_problem *problem, int64_t output_size[TILEFOLD_MAX_RANK],
                                          tilefold_message *message);

/* Spatial axis `at` of a problem that has such an output size, in normal form, cut by phase. */
void tilefold_axis_init(tilefold_axis *axis, const tilefold_problem *problem, int32_t at, int64_t output);

/* Checks every field and every product of sizes that the library will form, and brings the problem, which has been read, to
 * normal form, cut by phase. INVALID_ARGUMENT, OVERFLOW, UNSUPPORTED. */
tilefold_status tilefold_geometry_init(tilefold_geometry *geometry, const tilefold_problem *problem,
                                       tilefold_message *message);

/* Whether the geometry can be folded, and doing it. */
bool tilefold_geometry_can_fold(const tilefold_geometry *geometry);
void tilefold_geometry_fold(tilefold_geometry *geometry);
/* Whether folding leaves two classes of some axis, and merging the parts of those that are folded. */
bool tilefold_geometry_can_merge(const tilefold_geometry *geometry);
void tilefold_geometry_merge(tilefold_geometry *geometry);

/* The parts of an axis, 0 <= index < tilefold_axis_parts(axis). Some folded ones are empty (count 0). Every output of the
 * axis is in exactly one part. */
int64_t tilefold_axis_parts(const tilefold_axis *axis);
tilefold_axis_part tilefold_axis_get_part(const tilefold_axis *axis, int64_t index);

/* A class's share of a part: the positions are the part's, the folds those that are of the class (folds = 0 where none is). Of an
 * axis that is not merged, the part itself. */
tilefold_axis_part tilefold_axis_share_part(const tilefold_axis *axis, const tilefold_axis_part *part, int64_t index);

/* What the part has at most, of positions, folds and taps, over this and every smaller input. */
tilefold_axis_part tilefold_axis_get_largest_part(const tilefold_axis *axis, int64_t index);

/* The classes of an axis, 0 <= index < tilefold_axis_classes(axis). They depend on neither input nor output size, and
 * every tap is in exactly one. */
int64_t tilefold_axis_classes(const tilefold_axis *axis);
tilefold_axis_class tilefold_axis_get_class(const tilefold_axis *axis, int64_t index);

/* Counts the parts of an axis by kind, in time logarithmic in the sizes. Kinds without parts are left out; returns how
 * many there are. */
int tilefold_axis_get_kinds(const tilefold_axis *axis, tilefold_axis_kind kinds[TILEFOLD_MAX_KINDS]);

/* Pairs of an output and a tap of an axis: those whose position is whole, within the input or not; and those that meet an input
 * element, where the axis has a stride or an input dilation but not both (of one with both, the first figure again). In time
 * logarithmic in the sizes; saturating. */
int64_t tilefold_axis_pairs(const tilefold_axis *axis);
int64_t tilefold_axis_pairs_met(const tilefold_axis *axis);

/* Figures of the whole problem, saturating at INT64_MAX. Multiply-adds by input elements, and with those by padding too. */
int64_t tilefold_geometry_macs(const tilefold_geometry *geometry);
int64_t tilefold_geometry_padded_macs(const tilefold_geometry *geometry);
/* Of the definition's chain: see tilefold_plan_info. */
double tilefold_geometry_error_bound(const tilefold_geometry *geometry);
int64_t tilefold_geometry_phases(const tilefold_geometry *geometry);
int64_t tilefold_geometry_full_unfold_bytes(const tilefold_geometry *geometry);

#endif /* TILEFOLD_GEOMETRY_H */
