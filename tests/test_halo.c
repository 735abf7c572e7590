/* The copy of what a box of positions reads, by itself: that every tap of every position is found in it where the layout says,
 * that nothing is read or written elsewhere, and that it is never larger than unfolding would be.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cpu/halo_layout.h"
#include "guard.h"
#include "oracle.h"
#include "problems.h"

/* A box of positions of one part, and the input that it reads. */
typedef struct scene {
    uint64_t seed;
    tilefold_geometry geometry;
    tilefold_axis_part part[TILEFOLD_AXES];
    tilefold_cursor start;
    int64_t rows, count, tap_begin, tap_end;
    int64_t channels;
    guarded input;
    char *first; /* element 0 of channel 0 */
} scene;

static void fail_scene(const scene *s, const char *what) {
    fail_msg("%s; TILEFOLD_TEST_PROBLEM=%" PRIu64 " runs it alone", what, s->seed);
}

static tilefold_axis_part random_part(rng *r) {
    int64_t tap = rng_range(r, 1, 5);
    return (tilefold_axis_part){.count = rng_range(r, 1, rng_percent(r, 10) ? 150 : 9),
                                .folds = 1,
                                .taps = rng_range(r, 1, 6),
                                .in_first = rng_range(r, -12, 12),
                                .in_step = RNG_PICK(r, 1, 1, 2, 3, 4, 6),
                                .in_tap = rng_percent(r, 50) ? tap : -tap};
}

/* All taps, one, or a run of a row of them. */
static void choose_taps(scene *s, rng *r) {
    int64_t inner = s->part[2].taps, rows = s->part[0].taps * s->part[1].taps;
    s->tap_begin = 0, s->tap_end = rows * inner;
    if (rng_percent(r, 60)) return;
    int64_t from = rng_range(r, 0, inner - 1);
    s->tap_begin = rng_range(r, 0, rows - 1) * inner + from;
    s->tap_end = s->tap_begin + rng_range(r, 1, inner - from);
}

/* Strides of a dense array with some gaps, axes and channels in any order, some of them walked backwards. */
static void new_input(scene *s, rng *r) {
    int64_t sizes[TILEFOLD_AXES + 1] = {s->channels}, strides[TILEFOLD_AXES + 1], at = 0, reach = 1;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) sizes[axis + 1] = s->geometry.axis[axis].input;
    int shift = (int)rng_range(r, 0, TILEFOLD_AXES);
    for (int i = 0; i <= TILEFOLD_AXES; i++) {
        int dimension = (i + shift) % (TILEFOLD_AXES + 1);
        int64_t stride = reach + (rng_percent(r, 30) ? rng_range(r, 0, 3) : 0);
        reach += (sizes[dimension] - 1) * stride;
        bool backwards = rng_percent(r, 15);
        strides[dimension] = backwards ? -stride : stride;
        if (backwards) at += (sizes[dimension] - 1) * stride;
    }
    size_t bytes = tilefold_type_bytes(s->geometry.type);
    s->input = guarded_new((size_t)reach * bytes, bytes, true);
    for (int64_t i = 0; i < reach; i++) oracle_encode(s->geometry.type, rng_unit(r), s->input.data + (size_t)i * bytes);
    s->first = (char *)s->input.data + at * (int64_t)bytes;
    s->geometry.in_channel = strides[0];
    memcpy(s->geometry.in_axis, strides + 1, sizeof s->geometry.in_axis);
}

static scene make_scene(uint64_t seed) {
    rng r = rng_make(seed, 21);
    scene s = {.seed = seed, .channels = rng_range(&r, 1, rng_percent(&r, 10) ? 70 : 5)};
    s.geometry.type = (tilefold_type)rng_range(&r, TILEFOLD_F32, TILEFOLD_BF16);
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        s.part[axis] = random_part(&r);
        s.geometry.axis[axis].input = rng_range(&r, 1, rng_percent(&r, 10) ? 200 : 14);
        s.start.q[axis] = rng_range(&r, 0, s.part[axis].count - 1);
    }
    s.rows = rng_range(&r, 1, s.part[1].count - s.start.q[1]);
    s.count = rng_range(&r, 1, s.part[2].count - s.start.q[2]);
    choose_taps(&s, &r);
    new_input(&s, &r);
    return s;
}

/* What the position at (row, column) of the box reads at a tap of the part. */
static float value_read(const scene *s, int64_t channel, int64_t row, int64_t column, int64_t tap) {
    tilefold_tap t = tilefold_tap_at(s->part, tap);
    const int64_t q[TILEFOLD_AXES] = {s->start.q[0], s->start.q[1] + row, s->start.q[2] + column};
    int64_t at = channel * s->geometry.in_channel;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        const tilefold_axis_part *part = &s->part[axis];
        int64_t x = part->in_first + q[axis] * part->in_step + t.j[axis] * part->in_tap;
        if (x < 0 || x >= s->geometry.axis[axis].input) return 0.0f;
        at += x * s->geometry.in_axis[axis];
    }
    return oracle_decode(s->geometry.type, s->first + at * (int64_t)tilefold_type_bytes(s->geometry.type));
}

/* `copy` holds one value for each channel, tap and position, in planes that lie apart. */
static void check_copy(const scene *s, const tilefold_halo_layout *layout, const float *copy) {
    int64_t row_floats = layout->outer[1].position_rows * layout->pitch;
    for (int64_t tap = s->tap_begin; tap < s->tap_end; tap++) {
        int64_t offset = tilefold_halo_tap_offset(layout, tap - s->tap_begin);
        if (offset < 0 || offset + (s->rows - 1) * row_floats + s->count > layout->plane) fail_scene(s, "past a plane");
        for (int64_t channel = 0; channel < s->channels; channel++)
            for (int64_t row = 0; row < s->rows; row++)
                for (int64_t x = 0; x < s->count; x++)
                    if (copy[channel * layout->plane + offset + row * row_floats + x] !=
                        value_read(s, channel, row, x, tap))
                        fail_scene(s, "another value");
    }
}

static void run_scene(const scene *s, tilefold_isa isa) {
    tilefold_halo_layout layout = tilefold_halo_lay_out(s->part, &s->start, s->rows, s->count, s->tap_begin,
                                                        s->tap_end);
    int64_t floats = tilefold_halo_floats(&layout, s->channels);
    int64_t unfolded = (s->tap_end - s->tap_begin) * s->rows * s->count;
    if (layout.plane > tilefold_halo_least_plane(unfolded)) fail_scene(s, "larger than unfolding");
    if (floats < s->channels * layout.plane + TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_LANES)
        fail_scene(s, "no room past the end");
    if (tilefold_halo_channels(&layout, floats) != s->channels) fail_scene(s, "room for other channels");

    guarded copy = guarded_new((size_t)floats * sizeof(float), TILEFOLD_ARENA_ALIGNMENT, true);
    fill_pattern(copy.data, copy.bytes);
    tilefold_cpu_plan plan = {.kernels = tilefold_cpu_kernels_for(isa)};
    tilefold_cpu_work work = {.plan = &plan,
                              .geometry = &s->geometry,
                              .element_bytes = (int64_t)tilefold_type_bytes(s->geometry.type)};
    tilefold_halo_copy(&layout, &work, s->first, s->geometry.in_channel, s->channels, (float *)copy.data);
    check_copy(s, &layout, (const float *)copy.data);
    if (!guarded_intact(&copy)) fail_scene(s, "written past the copy");
    guarded_delete(&copy);
}

static void test_copies(void **state) {
    (void)state;
    problem_run run = begin_problems(1200);
    for (int64_t i = 0; i < run.count; i++) {
        scene s = make_scene(problem_seed(&run, i));
        for (int isa = TILEFOLD_ISA_PORTABLE; isa <= TILEFOLD_ISA_NEON; isa++)
            if (tilefold_cpu_kernels_for((tilefold_isa)isa)) run_scene(&s, (tilefold_isa)isa);
        if (!guarded_intact(&s.input)) fail_scene(&s, "written into the input");
        guarded_delete(&s.input);
    }
}

/* What fits into so many floats does, and one row, or one position, more would not. */
static void test_boxes(void **state) {
    (void)state;
    problem_run run = begin_problems(3000);
    for (int64_t i = 0; i < run.count; i++) {
        scene s = make_scene(problem_seed(&run, i));
        rng r = rng_make(s.seed, 22);
        int64_t taps = s.part[0].taps * s.part[1].taps * s.part[2].taps, run_length = s.part[2].count - s.start.q[2];
        int64_t least = s.channels * tilefold_halo_least_plane(taps) + TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_LANES;
        int64_t floats = least * rng_range(&r, 1, 12), left = rng_range(&r, 1, s.part[1].count * s.part[2].count);
        int64_t rows = tilefold_halo_whole_rows(s.part, &s.start, left, taps, s.channels, floats);
        int64_t most = s.start.q[2] ? 0 : tilefold_min(left / s.part[2].count, s.part[1].count - s.start.q[1]);
        if (rows > most) fail_scene(&s, "rows that are not left");
        for (int64_t more = 0; more <= 1 && rows + more <= most; more++) {
            if (rows + more == 0) continue;
            tilefold_halo_layout layout = tilefold_halo_lay_out(s.part, &s.start, rows + more, s.part[2].count, 0,
                                                                taps);
            if ((tilefold_halo_floats(&layout, s.channels) <= floats) != (more == 0)) fail_scene(&s, "rows");
        }
        int64_t length = tilefold_halo_run(s.part, &s.start, left, taps, s.channels, floats);
        if (length < 1 || length > tilefold_min(left, run_length)) fail_scene(&s, "a run that is not left");
        tilefold_halo_layout layout = tilefold_halo_lay_out(s.part, &s.start, 1, length, 0, taps);
        if (tilefold_halo_floats(&layout, s.channels) > floats) fail_scene(&s, "a run that does not fit");
        guarded_delete(&s.input);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_copies), cmocka_unit_test(test_boxes)};
    return cmocka_run_group_tests_name("halo", tests, NULL, NULL);
}
