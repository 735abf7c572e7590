/* Several whole rows of positions at once, for direct convolution: the input rows they need are copied once, padded, and
 * serve every tap.
 *
 * SPDX-License-Identifier: MIT
 *
 * With stride 1 and a 3x3 kernel over rows of X = 5 positions, two rows of outputs:
 *
 *     copies, a row every `pitch` floats               lanes (o wanted, - computed in vain)
 *
 *         0 a a a a a 0                                    o o o o o - - o o o o o
 *         0 b b b b b 0
 *         0 c c c c c 0                                tap (ky, kx) of lane i is copies[ky*pitch + kx + i]
 *         0 0 0 0 0 0 0
 *
 * so lanes run on over the ends of rows, and a tap of all lanes is one pointer. There are as many copies as classes of taps
 * (tap_class.h), over both axes; axis 0 and the channels have copies of their own.
 */
#include "cpu.h"
#include "tap_class.h"

typedef tilefold_tap_class tap_class;

static int64_t class_count(const tilefold_axis_part *part) {
    return tilefold_min(tilefold_tap_period(part), part->taps);
}

static tap_class get_class(const tilefold_axis_part *part, int64_t first) {
    return tilefold_tap_class_at(part, first, part->taps, tilefold_tap_period(part));
}

int64_t tilefold_cpu_band_pitch(const tilefold_tile *tile) {
    int64_t spread = 0;
    for (int64_t first = 0; first < class_count(&tile->part[2]); first++)
        spread = tilefold_max(spread, get_class(&tile->part[2], first).spread);
    return tile->part[2].count + spread;
}

int64_t tilefold_cpu_band_rows(const tilefold_cpu_work *work, const tilefold_tile *tile, int64_t floats) {
    const tilefold_axis_part *part = tile->part;
    int64_t pitch = tilefold_cpu_band_pitch(tile), classes = class_count(&part[1]), spread = 0;
    if (part[0].taps * part[1].taps * part[2].taps == 0 || pitch > part[2].count + part[2].count / 2) return 0;
    for (int64_t first = 0; first < classes; first++) spread += get_class(&part[1], first).spread;
    int64_t planes = part[0].taps * work->geometry->in_channels * class_count(&part[2]);
    return ((floats - TILEFOLD_MAX_LANES) / (planes * pitch) - spread) / classes;
}

/* Where the copies of a band come from. */
typedef struct band {
    const tilefold_cpu_work *work;
    const tilefold_axis_part *part;
    int64_t rows, pitch;
    int64_t z, y, x; /* input position of lane 0 at tap offset 0 */
} band;

/* Copies what a class of taps along y and one along x read of a plane, and points their taps at it. Returns its end. */
static float *copy_class(const band *b, const tap_class *y, const tap_class *x, int64_t tap_z, int64_t channel,
                         const float **lanes, float *out) {
    const tilefold_axis_part *part = b->part;
    int64_t channels = b->work->geometry->in_channels;
    int64_t rows = b->rows + y->spread, z = b->z + tap_z * part[0].in_tap;
    for (int64_t u = 0; u < rows; u++)
        tilefold_cpu_copy_row(b->work, z, b->y + y->residue + (y->shift + u) * part[1].in_step,
                              b->x + x->residue + x->shift * part[2].in_step, part[2].in_step, b->pitch, channel,
                              out + u * b->pitch);
    for (int64_t jy = y->first; jy <= y->last; jy += tilefold_tap_period(&part[1]))
        for (int64_t jx = x->first; jx <= x->last; jx += tilefold_tap_period(&part[2])) {
            int64_t tap = (tap_z * part[1].taps + jy) * part[2].taps + jx;
            lanes[tap * channels + channel] = out + (tilefold_tap_shift(&part[1], jy) - y->shift) * b->pitch +
                                              tilefold_tap_shift(&part[2], jx) - x->shift;
        }
    return out + rows * b->pitch;
}

void tilefold_cpu_build_band(const tilefold_cpu_work *work, const tilefold_tile *tile, const tilefold_cursor *cursor,
                             int64_t rows, char *panel) {
    const tilefold_axis_part *part = tile->part;
    int64_t channels = work->geometry->in_channels, k = tilefold_part_taps(tile) * channels;
    const float **lanes = (const float **)panel;
    float *out = (float *)(panel + tilefold_round_up(k * (int64_t)sizeof *lanes, TILEFOLD_ARENA_ALIGNMENT));
    band b = {.work = work, .part = part, .rows = rows, .pitch = tilefold_cpu_band_pitch(tile)};
    b.z = part[0].in_first + cursor->q[0] * part[0].in_step;
    b.y = part[1].in_first + cursor->q[1] * part[1].in_step;
    b.x = part[2].in_first;
    for (int64_t tap_z = 0; tap_z < part[0].taps; tap_z++)
        for (int64_t first_y = 0; first_y < class_count(&part[1]); first_y++)
            for (int64_t first_x = 0; first_x < class_count(&part[2]); first_x++) {
                tap_class y = get_class(&part[1], first_y), x = get_class(&part[2], first_x);
                for (int64_t channel = 0; channel < channels; channel++)
                    out = copy_class(&b, &y, &x, tap_z, channel, lanes, out);
            }
    memset(out, 0, TILEFOLD_MAX_LANES * sizeof *out); /* what the last lanes of the last taps read */
}
