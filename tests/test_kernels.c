/* Every kernel of every instruction set that this machine runs, bit for bit against the serial loop that kernels.h defines
 * it by; and how fast they are.
 *
 * SPDX-License-Identifier: MIT
 *
 *     test_kernels            the tests
 *     test_kernels --bench    GFLOP/s or GB/s of chosen kernels, and the share of the multiply-add peak
 *
 * Arrays end at a page that cannot be touched, so reading past one crashes; what an output's loop does not name must
 * stay as it was.
 */
#include "bench_kernels.h"
#include "cpu/detect.h"
#include "cpu/kernels.h"
#include "guard.h"
#include "oracle.h"
#include "rng.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MAX_ARRAYS = 80 };

/* ----------------------------------------------------------------------------------------------------- the machine ---- */

static const tilefold_cpu_kernels *tables[TILEFOLD_ISA_NEON];
static int table_count;

static void find_tables(void) {
    for (int isa = TILEFOLD_ISA_PORTABLE; isa <= TILEFOLD_ISA_NEON; isa++) {
        const tilefold_cpu_kernels *table = tilefold_cpu_kernels_for((tilefold_isa)isa);
        if (table != NULL) tables[table_count++] = table;
    }
}

static const char *isa_name(const tilefold_cpu_kernels *table) { return tilefold_isa_name(table->isa); }

static int repeats(void) {
    const char *scale = getenv("TILEFOLD_TEST_SCALE");
    int times = scale != NULL ? atoi(scale) : 1;
    return times > 0 ? times : 1;
}

/* --------------------------------------------------------------------------------- one case's arrays and its numbers ---- */

typedef struct scene {
    rng random;
    bool specials; /* infinities, NaNs, zeros of both signs, subnormals */
    guarded arrays[MAX_ARRAYS];
    int count;
} scene;

static void scene_begin(scene *s, uint64_t stream) {
    s->random = rng_make(0x6b65726e656c73, stream);
    s->specials = rng_percent(&s->random, 40);
    s->count = 0;
}

static void *new_array(scene *s, int64_t elements, size_t element_bytes) {
    assert_true(s->count < MAX_ARRAYS);
    s->arrays[s->count] = guarded_new((size_t)elements * element_bytes, element_bytes, true);
    return s->arrays[s->count++].data;
}

static void scene_end(scene *s) {
    for (int i = 0; i < s->count; i++) {
        assert_true(guarded_intact(&s->arrays[i]));
        guarded_delete(&s->arrays[i]);
    }
}

static float bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float random_float(scene *s) {
    static const float specials[] = {0.0f,    -0.0f,    INFINITY, -INFINITY, NAN,
                                     FLT_MAX, -FLT_MAX, FLT_MIN,  1e-42f,    -1e-45f};
    if (s->specials && rng_percent(&s->random, 4))
        return specials[rng_range(&s->random, 0, sizeof specials / sizeof specials[0] - 1)];
    return rng_unit(&s->random);
}

static float *new_floats(scene *s, int64_t n) {
    float *floats = new_array(s, n, sizeof(float));
    for (int64_t i = 0; i < n; i++) floats[i] = random_float(s);
    return floats;
}

/* n random elements of a type. */
static void *new_elements(scene *s, tilefold_type type, int64_t n) {
    if (type == TILEFOLD_F32) return new_floats(s, n);
    uint16_t *halves = new_array(s, n, sizeof(uint16_t));
    int exponent_bits = type == TILEFOLD_F16 ? 5 : 8, mantissa_bits = 15 - exponent_bits;
    for (int64_t i = 0; i < n; i++) {
        int64_t ones = (1 << (exponent_bits - 1)) - 1; /* the exponent of 1 */
        int64_t exponent = s->specials ? rng_range(&s->random, 0, 2 * ones + 1) : rng_range(&s->random, ones - 4, ones);
        int64_t rest = rng_range(&s->random, 0, (2 << mantissa_bits) - 1);
        halves[i] = (uint16_t)((rest >> mantissa_bits) << 15 | exponent << mantissa_bits |
                               (rest & ((1 << mantissa_bits) - 1)));
    }
    return halves;
}

static bool same(float x, float y) { return (isnan(x) && isnan(y)) || memcmp(&x, &y, sizeof x) == 0; }

static float element_value(tilefold_type type, const void *elements, int64_t index) {
    return oracle_decode(type, (const char *)elements + index * (int64_t)tilefold_type_bytes(type));
}

static float half_value(tilefold_type type, uint16_t half) { return oracle_decode(type, &half); }

static uint16_t nearest_half(tilefold_type type, float value) {
    uint16_t half;
    oracle_encode(type, value, &half);
    return half;
}

static bool is_nan(tilefold_type type, uint16_t half) {
    return (half & 0x7fff) > (type == TILEFOLD_F16 ? 0x7c00 : 0x7f80);
}

/* --------------------------------------------------------------------------------------------------------- products ---- */

enum {
    MAX_NR = TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_LANES,
    MAX_GAP = 5,
    MOST_ROWS = 2 * TILEFOLD_MAX_PIXELS /* of any kernel: of depthwise_pair */
};

/* Where a case's tile comes from and goes to, and what must be there afterwards. */
typedef struct tile {
    tilefold_tile_io io;
    int mr, nr;
    float sums[MOST_ROWS][MAX_NR];
    float before[MOST_ROWS * (MAX_NR + MAX_GAP)];
} tile;

static void tile_begin(scene *s, tile *t, int lanes, int mr, int nr) {
    static const float limits[][2] = {{-INFINITY, INFINITY}, {0, INFINITY}, {0, 0.5f},
                                      {-0.25f, 0.25f},       {-0.0f, 1},    {-1, -0.0f}};
    int64_t clamp = rng_range(&s->random, 0, 5);
    bool in_place = rng_percent(&s->random, 30), one_row = !in_place && rng_percent(&s->random, 30);
    int64_t out_stride = nr + rng_range(&s->random, 0, MAX_GAP), out_count = (mr - 1) * out_stride + nr;
    int64_t init_stride = in_place ? out_stride : one_row ? 0 : nr + rng_range(&s->random, 0, MAX_GAP);

    t->mr = mr;
    t->nr = nr;
    t->io.out = new_floats(s, out_count);
    t->io.init = in_place ? t->io.out : new_floats(s, (mr - 1) * init_stride + nr);
    t->io.init_stride = init_stride;
    t->io.out_stride = out_stride;
    t->io.lanes = nr - rng_range(&s->random, 0, 1) * rng_range(&s->random, 0, lanes - 1);
    t->io.init_by_row = rng_percent(&s->random, 30);
    if (in_place && t->io.lanes < nr) t->io.lanes = nr; /* what is not stored would be read by the next block */
    t->io.low = limits[clamp][0];
    t->io.high = limits[clamp][1];
    t->io.next = (const char *)t->io.init; /* any address will do */
    t->io.next_step = rng_range(&s->random, -4096, 4096);
    memcpy(t->before, t->io.out, (size_t)out_count * sizeof(float));
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) t->sums[i][j] = t->io.init[i * init_stride + (t->io.init_by_row ? 0 : j)];
}

static void tile_end(const tile *t, const tilefold_cpu_kernels *table, const char *kernel) {
    for (int64_t x = 0; x < (t->mr - 1) * t->io.out_stride + t->nr; x++) {
        int64_t i = x / t->io.out_stride, j = x % t->io.out_stride;
        float expected = t->before[x];
        if (j < t->io.lanes) {
            float x = t->sums[i][j] + 0.0f, y = x < t->io.low ? t->io.low : x;
            expected = y > t->io.high ? t->io.high : y;
        }
        if (!same(expected, t->io.out[x]))
            fail_msg("%s %s %dx%d: %a at row %d, lane %d, not %a", isa_name(table), kernel, t->mr, t->nr / table->lanes,
                     (double)t->io.out[x], (int)i, (int)j, (double)expected);
    }
}

enum { MAX_SEGMENTS = 5 };

/* Segments of `depth` steps in all, some of them empty. */
static int64_t random_segments(scene *s, int64_t depth, tilefold_segment segments[MAX_SEGMENTS]) {
    int64_t count = rng_range(&s->random, depth > 0, MAX_SEGMENTS);
    for (int64_t i = 0; i < count; i++) {
        int64_t steps = i == count - 1 ? depth : rng_range(&s->random, 0, depth);
        segments[i] = (tilefold_segment){.count = steps};
        depth -= steps;
    }
    return count;
}

/* Both sides in arrays of their own, steps of any width, segments anywhere in them. */
static void check_product(scene *s, const tilefold_cpu_kernels *table, int nv, int mr, int64_t k) {
    tile t;
    int nr = nv * table->lanes;
    tile_begin(s, &t, table->lanes, mr, nr);
    tilefold_segment segments[MAX_SEGMENTS];
    int64_t count = random_segments(s, k, segments), a_step = rng_range(&s->random, 0, mr + 5),
            b_step = rng_range(&s->random, 0, nr + 5), reach = rng_range(&s->random, 0, 9);
    const float *a = new_floats(s, k * a_step + reach + mr), *b = new_floats(s, k * b_step + reach + nr);
    for (int64_t x = 0; x < count; x++) {
        segments[x].a = rng_range(&s->random, 0, reach);
        segments[x].b = rng_range(&s->random, 0, reach);
    }

    for (const tilefold_segment *g = segments; g < segments + count; g++)
        for (int64_t p = 0; p < g->count; p++)
            for (int i = 0; i < mr; i++)
                for (int j = 0; j < nr; j++)
                    t.sums[i][j] = fmaf(a[g->a + p * a_step + i], b[g->b + p * b_step + j], t.sums[i][j]);
    table->product[nv - 1][mr - 1](segments, count, a, a_step, b, b_step, &t.io);
    tile_end(&t, table, "product");
}

static void check_product_rows(scene *s, const tilefold_cpu_kernels *table, int nv, int mr, int64_t k) {
    tile t;
    int nr = nv * table->lanes;
    tile_begin(s, &t, table->lanes, mr, nr);
    tilefold_segment segments[MAX_SEGMENTS];
    int64_t count = random_segments(s, k, segments), taps = rng_range(&s->random, 1, 4);
    const float *in = new_floats(s, 40 + 2 * k), *b = new_floats(s, k * nr);
    const float **rows = new_array(s, taps * mr, sizeof *rows);
    for (int64_t i = 0; i < taps * mr; i++) rows[i] = in + rng_range(&s->random, 0, 40);
    int64_t at = 0;
    for (int64_t x = 0; x < count; x++) {
        segments[x].tap = rng_range(&s->random, 0, taps - 1);
        segments[x].a = rng_range(&s->random, 0, k - segments[x].count);
        segments[x].b = at * nr;
        at += segments[x].count;
    }

    for (const tilefold_segment *g = segments; g < segments + count; g++)
        for (int64_t p = 0; p < g->count; p++)
            for (int i = 0; i < mr; i++)
                for (int j = 0; j < nr; j++)
                    t.sums[i][j] = fmaf(rows[g->tap * mr + i][g->a + p], b[g->b + p * nr + j], t.sums[i][j]);
    table->product_rows[nv - 1][mr - 1](segments, count, rows, b, &t.io);
    tile_end(&t, table, "product_rows");
}

/* Rows as far apart as may be, also none or backwards; steps anywhere. */
static void check_product_steps(scene *s, const tilefold_cpu_kernels *table, int nv, int mr, int64_t k) {
    tile t;
    int nr = nv * table->lanes;
    tile_begin(s, &t, table->lanes, mr, nr);
    int64_t stride = rng_range(&s->random, -20, 20), span = (mr - 1) * (stride < 0 ? -stride : stride);
    const float *a = new_floats(s, span + 30), *b = new_floats(s, 40 + nr);
    tilefold_step *steps = new_array(s, k, sizeof *steps);
    for (int64_t p = 0; p < k; p++) {
        steps[p].a = (int32_t)rng_range(&s->random, 0, 29);
        steps[p].b = (int32_t)rng_range(&s->random, 0, 40);
    }
    if (stride < 0) a += span;

    for (int64_t p = 0; p < k; p++)
        for (int i = 0; i < mr; i++)
            for (int j = 0; j < nr; j++)
                t.sums[i][j] = fmaf(a[steps[p].a + i * stride], b[steps[p].b + j], t.sums[i][j]);
    table->product_steps[nv - 1][mr - 1](steps, k, a, stride, b, &t.io);
    tile_end(&t, table, "product_steps");
}

static void check_depthwise(scene *s, const tilefold_cpu_kernels *table, tilefold_type type, int nv, int pixels,
                            int64_t taps) {
    tile t;
    int nr = nv * table->lanes;
    int64_t offset = rng_range(&s->random, -3, 3), w_stride = nr + rng_range(&s->random, 0, 9);
    tile_begin(s, &t, table->lanes, pixels, nr);
    const char *in = new_elements(s, type, 2 * nr);
    const float *w = new_floats(s, taps > 0 ? (taps - 1) * w_stride + nr : 0);
    const void **rows = new_array(s, taps * pixels, sizeof *rows);
    for (int64_t i = 0; i < taps * pixels; i++)
        rows[i] = in + (rng_range(&s->random, 0, nr) - offset) * (ptrdiff_t)tilefold_type_bytes(type);

    for (int64_t p = 0; p < taps; p++)
        for (int i = 0; i < pixels; i++)
            for (int j = 0; j < nr; j++)
                t.sums[i][j] = fmaf(element_value(type, rows[p * pixels + i], offset + j), w[p * w_stride + j],
                                    t.sums[i][j]);
    table->depthwise[type][nv - 1][pixels - 1](taps, rows, offset, w, w_stride, &t.io);
    tile_end(&t, table, "depthwise");
}

static void check_depthwise_pixels(scene *s, const tilefold_cpu_kernels *table, int nv, int rows, int64_t taps) {
    tile t;
    int nr = nv * table->lanes;
    tile_begin(s, &t, table->lanes, rows, nr);
    int64_t in_stride = rng_range(&s->random, 0, nr), reach = rng_range(&s->random, 0, 20);
    const float *in = new_floats(s, (rows - 1) * in_stride + reach + nr), *w = new_floats(s, taps);
    int64_t *tap = new_array(s, taps, sizeof *tap);
    for (int64_t p = 0; p < taps; p++) tap[p] = rng_range(&s->random, 0, reach);

    for (int64_t p = 0; p < taps; p++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < nr; j++) t.sums[i][j] = fmaf(in[tap[p] + i * in_stride + j], w[p], t.sums[i][j]);
    table->depthwise_pixels[nv - 1][rows - 1](taps, tap, in, in_stride, w, &t.io);
    tile_end(&t, table, "depthwise_pixels");
}

/* Panels of channels after each other, each with weights of its own. */
static void check_depthwise_row(scene *s, const tilefold_cpu_kernels *table, tilefold_type type, int taps, int step,
                                int pixels) {
    tile t;
    int lanes = table->lanes, panels = (int)rng_range(&s->random, 0, TILEFOLD_MAX_VECTORS), width = lanes * panels;
    int columns = (pixels - 1) * step + taps;
    int64_t rows = rng_range(&s->random, 0, 4), offset = rng_range(&s->random, -3, 3);
    tile_begin(s, &t, lanes, pixels, width > 0 ? width : lanes);
    t.io.init_by_row = false;
    for (int i = 0; i < pixels; i++)
        for (int j = 0; j < t.nr; j++) t.sums[i][j] = t.io.init[i * t.io.init_stride + j];
    if (panels == 1)
        t.io.lanes = t.io.init == t.io.out ? lanes : rng_range(&s->random, 1, lanes);
    else
        t.io.lanes = lanes;
    const char *in = new_elements(s, type, 2 * width);
    const float *w = new_floats(s, panels * rows * taps * lanes);
    const void **pointers = new_array(s, rows * columns, sizeof *pointers);
    for (int64_t i = 0; i < rows * columns; i++)
        pointers[i] = in + (rng_range(&s->random, 0, width) - offset) * (ptrdiff_t)tilefold_type_bytes(type);

    for (int64_t y = 0; y < rows; y++)
        for (int x = 0; x < taps; x++)
            for (int i = 0; i < pixels; i++)
                for (int j = 0; j < width; j++)
                    t.sums[i][j] = fmaf(element_value(type, pointers[y * columns + i * step + x], offset + j),
                                        w[((j / lanes * rows + y) * taps + x) * lanes + j % lanes], t.sums[i][j]);
    const tilefold_row_windows windows = {rows, panels, pointers, offset, w, 0};
    table->depthwise_row[type][taps / 2 - 1][step - 1][pixels - 1](&windows, &t.io);
    if (panels != 1) t.io.lanes = width; /* those of all panels */
    tile_end(&t, table, "depthwise_row");
}

/* The second row's tile follows the first's. */
static void check_depthwise_pair(scene *s, const tilefold_cpu_kernels *table, int pixels) {
    enum { TAPS = TILEFOLD_PAIR_TAPS };
    tile t;
    int lanes = table->lanes, panels = (int)rng_range(&s->random, 1, TILEFOLD_MAX_VECTORS), width = lanes * panels;
    int columns = pixels - 1 + TAPS;
    int64_t rows = rng_range(&s->random, 1, 4), offset = rng_range(&s->random, -3, 3);
    tile_begin(s, &t, lanes, 2 * pixels, width);
    t.io.init = new_floats(s, width);
    t.io.init_stride = 0;
    t.io.init_by_row = false;
    t.io.lanes = panels == 1 ? rng_range(&s->random, 1, lanes) : lanes;
    for (int i = 0; i < 2 * pixels; i++)
        for (int j = 0; j < width; j++) t.sums[i][j] = t.io.init[j];
    const float *in = new_floats(s, 2 * width), *w = new_floats(s, panels * rows * TAPS * lanes);
    const void **pointers = new_array(s, (rows + 1) * columns, sizeof *pointers);
    for (int64_t i = 0; i < (rows + 1) * columns; i++) pointers[i] = in + rng_range(&s->random, 0, width) - offset;

    for (int64_t y = 0; y < rows; y++)
        for (int x = 0; x < TAPS; x++)
            for (int i = 0; i < 2 * pixels; i++)
                for (int j = 0; j < width; j++) {
                    const float *column = pointers[(y + i / pixels) * columns + i % pixels + x];
                    t.sums[i][j] = fmaf(column[offset + j], w[((j / lanes * rows + y) * TAPS + x) * lanes + j % lanes],
                                        t.sums[i][j]);
                }
    const tilefold_row_windows windows = {rows, panels, pointers, offset, w, pixels * t.io.out_stride};
    table->depthwise_pair[pixels - 1](&windows, &t.io);
    if (panels != 1) t.io.lanes = width; /* those of all panels */
    tile_end(&t, table, "depthwise_pair");
}

/* Of groups of `channels`, panels from anywhere a panel may begin, each with weights of its own. Columns hold the groups that the
 * panels are of and no more. */
static void check_grouped_row(scene *s, const tilefold_cpu_kernels *table, int64_t channels, int step, int pixels) {
    tile t;
    int lanes = table->lanes, panels = (int)rng_range(&s->random, 0, TILEFOLD_MAX_VECTORS), width = lanes * panels;
    int columns = (pixels - 1) * step + TILEFOLD_GROUP_TAPS;
    int64_t rows = rng_range(&s->random, 0, 4), together = channels < lanes ? channels : lanes;
    int64_t first = rng_range(&s->random, 0, 5) * together, groups = (first + width + channels - 1) / channels;
    tile_begin(s, &t, lanes, pixels, width > 0 ? width : lanes);
    t.io.init_by_row = false;
    for (int i = 0; i < pixels; i++)
        for (int j = 0; j < t.nr; j++) t.sums[i][j] = t.io.init[i * t.io.init_stride + j];
    t.io.lanes = panels == 1 && t.io.init != t.io.out ? rng_range(&s->random, 1, lanes) : lanes;
    int64_t spread_count = channels < lanes ? channels : 0;
    int32_t *spread = new_array(s, spread_count * lanes, sizeof *spread);
    for (int32_t k = 0; k < spread_count; k++)
        for (int32_t j = 0; j < lanes; j++) spread[k * lanes + j] = j - j % (int32_t)channels + k;
    const float *in = new_floats(s, 2 * groups * channels);
    const float *w = new_floats(s, panels * rows * TILEFOLD_GROUP_TAPS * channels * lanes);
    int64_t offset = rng_range(&s->random, -3, 3);
    const void **pointers = new_array(s, rows * columns, sizeof *pointers);
    for (int64_t i = 0; i < rows * columns; i++)
        pointers[i] = in + rng_range(&s->random, 0, groups * channels) - offset;

    for (int64_t y = 0; y < rows; y++)
        for (int x = 0; x < TILEFOLD_GROUP_TAPS; x++)
            for (int64_t k = 0; k < channels; k++)
                for (int i = 0; i < pixels; i++)
                    for (int j = 0; j < width; j++) {
                        const float *column = pointers[y * columns + i * step + x];
                        int64_t at = offset + (first + j) / channels * channels + k;
                        int64_t tap = (j / lanes * rows + y) * TILEFOLD_GROUP_TAPS + x;
                        t.sums[i][j] = fmaf(column[at], w[(tap * channels + k) * lanes + j % lanes], t.sums[i][j]);
                    }
    const tilefold_group_windows windows = {rows, panels, channels, first, pointers, offset, w, spread};
    table->grouped_row[step - 1][pixels - 1](&windows, &t.io);
    if (panels != 1) t.io.lanes = width; /* those of all panels */
    tile_end(&t, table, "grouped_row");
}

/* A range [begin, end) within [0, size), sometimes all of it, sometimes none. */
static void random_range(scene *s, int64_t size, int64_t *begin, int64_t *end) {
    *begin = rng_percent(&s->random, 50) ? 0 : rng_range(&s->random, 0, size);
    *end = rng_percent(&s->random, 50) ? size : rng_range(&s->random, *begin, size);
}

/* What may not be read is not there: the array ends with the last element that counts, and begins with the first. */
static void check_depthwise_plane(scene *s, const tilefold_cpu_kernels *table, int taps, int step, int rows) {
    tile t[TILEFOLD_PLANE_CHANNELS];
    tilefold_tile_io io[TILEFOLD_PLANE_CHANNELS];
    int lanes = table->lanes, in_rows = (rows - 1) * step + taps, width = (lanes - 1) * step + taps;
    tilefold_plane_windows p = {.planes = rng_range(&s->random, 0, 3),
                                .row_stride = width + rng_range(&s->random, 0, 5)};
    random_range(s, p.planes, &p.plane_begin, &p.plane_end);
    random_range(s, in_rows, &p.row_begin, &p.row_end);
    random_range(s, width, &p.begin, &p.end);
    p.plane_stride = p.row_stride * rng_range(&s->random, 1, 30);
    p.in_channel = rng_range(&s->random, 0, 1) * rng_range(&s->random, 0, 500);
    p.w_channel = rng_range(&s->random, 0, 1) * p.planes * taps * taps;
    bool any = p.plane_begin < p.plane_end && p.row_begin < p.row_end && p.begin < p.end;
    int64_t first = p.plane_begin * p.plane_stride + p.row_begin * p.row_stride + p.begin;
    int64_t last = (p.plane_end - 1) * p.plane_stride + (p.row_end - 1) * p.row_stride + p.end;
    p.in = new_floats(s, any ? p.in_channel + last - first : 0);
    p.offset = -first;
    p.w = new_floats(s, p.w_channel + p.planes * taps * taps);
    for (int c = 0; c < TILEFOLD_PLANE_CHANNELS; c++) {
        tile_begin(s, &t[c], lanes, rows, lanes);
        io[c] = t[c].io;
        for (int64_t k = 0; k < p.planes * taps * taps; k++) {
            int64_t z = k / (taps * taps), y = k / taps % taps, x = k % taps;
            for (int64_t i = 0; i < rows; i++)
                for (int64_t j = 0; j < lanes; j++) {
                    int64_t row = i * step + y, e = j * step + x;
                    bool inside = z >= p.plane_begin && z < p.plane_end && row >= p.row_begin && row < p.row_end &&
                                  e >= p.begin && e < p.end;
                    int64_t at = p.offset + c * p.in_channel + z * p.plane_stride + row * p.row_stride + e;
                    t[c].sums[i][j] = fmaf(inside ? p.in[at] : 0.0f, p.w[c * p.w_channel + k], t[c].sums[i][j]);
                }
        }
    }
    table->depthwise_plane[taps / 2 - 1][step - 1][rows - 1](&p, io);
    for (int c = 0; c < TILEFOLD_PLANE_CHANNELS; c++) tile_end(&t[c], table, "depthwise_plane");
}

typedef void (*product_check)(scene *s, const tilefold_cpu_kernels *table, int nv, int mr, int64_t k);

/* *state points at the check. */
static void test_tiles(void **state) {
    static const int64_t depths[] = {0, 1, 2, 3, 9, 17};
    const product_check *check = *state;
    for (int x = 0; x < table_count; x++) {
        for (int tile = 0; tile < TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_ROWS * 6 * repeats(); tile++) {
            int nv = tile % TILEFOLD_MAX_VECTORS + 1, mr = tile / TILEFOLD_MAX_VECTORS % TILEFOLD_MAX_ROWS + 1;
            if (mr > tables[x]->max_rows[nv - 1]) continue;
            scene s;
            scene_begin(&s, (uint64_t)(tile * 5 + x));
            (*check)(&s, tables[x], nv, mr, depths[tile / (TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_ROWS) % 6]);
            scene_end(&s);
        }
    }
}

static void test_depthwise(void **state) {
    (void)state;
    for (int x = 0; x < table_count; x++) {
        for (int tile = 0; tile < TILEFOLD_MAX_VECTORS * TILEFOLD_MAX_PIXELS * repeats(); tile++) {
            int nv = tile / TILEFOLD_MAX_PIXELS % TILEFOLD_MAX_VECTORS + 1, pixels = tile % TILEFOLD_MAX_PIXELS + 1;
            if (pixels > tables[x]->max_pixels[nv - 1]) continue;
            for (int type = TILEFOLD_F32; type <= TILEFOLD_BF16; type++) {
                scene s;
                scene_begin(&s, (uint64_t)((tile * 3 + type) * 5 + x));
                check_depthwise(&s, tables[x], (tilefold_type)type, nv, pixels, rng_range(&s.random, 0, 10));
                scene_end(&s);
            }
            scene s;
            scene_begin(&s, (uint64_t)(tile * 7 + x));
            check_depthwise_pixels(&s, tables[x], nv, pixels, rng_range(&s.random, 0, 10));
            scene_end(&s);
        }
    }
}

static void test_depthwise_row(void **state) {
    (void)state;
    int kernels = TILEFOLD_ROW_KERNELS * TILEFOLD_ROW_STEPS * TILEFOLD_MAX_PIXELS;
    for (int x = 0; x < table_count; x++)
        for (int number = 0; number < kernels * 4 * repeats(); number++) {
            int pixels = number % TILEFOLD_MAX_PIXELS + 1, rest = number / TILEFOLD_MAX_PIXELS;
            int step = rest % TILEFOLD_ROW_STEPS + 1, taps = 2 * (rest / TILEFOLD_ROW_STEPS % TILEFOLD_ROW_KERNELS) + 3;
            if (pixels > tables[x]->max_row_pixels) continue;
            for (int type = TILEFOLD_F32; type <= TILEFOLD_BF16; type++) {
                scene s;
                scene_begin(&s, (uint64_t)((number * 3 + type) * 11 + x));
                check_depthwise_row(&s, tables[x], (tilefold_type)type, taps, step, pixels);
                scene_end(&s);
            }
        }
}

static void test_depthwise_pair(void **state) {
    (void)state;
    for (int x = 0; x < table_count; x++)
        for (int number = 0; number < TILEFOLD_MAX_PIXELS * 24 * repeats(); number++) {
            int pixels = number % TILEFOLD_MAX_PIXELS + 1;
            bool there = pixels <= tables[x]->max_pair_pixels;
            assert_int_equal(tables[x]->depthwise_pair[pixels - 1] != NULL, there);
            if (!there) continue;
            scene s;
            scene_begin(&s, (uint64_t)(number * 11 + x));
            check_depthwise_pair(&s, tables[x], pixels);
            scene_end(&s);
        }
}

/* Groups that the lanes are several of, one, and a part. */
static void test_grouped_row(void **state) {
    (void)state;
    for (int x = 0; x < table_count; x++)
        for (int number = 0; number < TILEFOLD_ROW_STEPS * TILEFOLD_MAX_PIXELS * 24 * repeats(); number++) {
            int pixels = number % TILEFOLD_MAX_PIXELS + 1, rest = number / TILEFOLD_MAX_PIXELS;
            int step = rest % TILEFOLD_ROW_STEPS + 1, lanes = tables[x]->lanes;
            bool there = pixels <= tables[x]->max_group_pixels;
            assert_int_equal(tables[x]->grouped_row[step - 1][pixels - 1] != NULL, there);
            if (!there) continue;
            scene s;
            scene_begin(&s, (uint64_t)(number * 17 + x));
            int64_t part = lanes / RNG_PICK(&s.random, 1, 2, 4);
            int64_t channels = rng_percent(&s.random, 40) ? rng_range(&s.random, 1, 3) * lanes : part;
            check_grouped_row(&s, tables[x], channels, step, pixels);
            scene_end(&s);
        }
}

static void test_depthwise_plane(void **state) {
    (void)state;
    int kernels = TILEFOLD_ROW_KERNELS * TILEFOLD_ROW_STEPS * TILEFOLD_MAX_PIXELS;
    for (int x = 0; x < table_count; x++)
        for (int number = 0; number < kernels * 8 * repeats(); number++) {
            int rows = number % TILEFOLD_MAX_PIXELS + 1, rest = number / TILEFOLD_MAX_PIXELS;
            int step = rest % TILEFOLD_ROW_STEPS + 1, taps = 2 * (rest / TILEFOLD_ROW_STEPS % TILEFOLD_ROW_KERNELS) + 3;
            bool there = rows <= tables[x]->max_plane_rows;
            assert_int_equal(tables[x]->depthwise_plane[taps / 2 - 1][step - 1][rows - 1] != NULL, there);
            if (!there) continue;
            scene s;
            scene_begin(&s, (uint64_t)(number * 13 + x));
            check_depthwise_plane(&s, tables[x], taps, step, rows);
            scene_end(&s);
        }
}

/* ------------------------------------------------------------------------------------------------------------- runs ---- */

/* A run's length: mostly short, where the tails are. */
static int64_t random_length(scene *s) {
    return rng_percent(&s->random, 80) ? rng_range(&s->random, 0, 40) : rng_range(&s->random, 0, 300);
}

/* An array of n elements so strided, and in *first the index of the first: not 0 where the stride is negative. */
static int64_t strided_span(int64_t n, int64_t stride, int64_t *first) {
    int64_t reach = n > 0 ? (n - 1) * stride : 0;
    *first = reach < 0 ? -reach : 0;
    return n > 0 ? (reach < 0 ? -reach : reach) + 1 : 0;
}

static void check_load_run(scene *s, const tilefold_cpu_kernels *table, tilefold_type type) {
    int64_t n = random_length(s), stride = RNG_PICK(&s->random, 1, 1, 2, 2, 3, 4, 7, 0, -1, -2), first;
    int64_t span = strided_span(n, stride, &first);
    const char *in = new_elements(s, type, span);
    float *out = new_array(s, n, sizeof(float));

    table->load_run[type](out, in + first * (int64_t)tilefold_type_bytes(type), stride, n);
    for (int64_t i = 0; i < n; i++)
        if (!same(out[i], element_value(type, in, first + i * stride)))
            fail_msg("%s load_run of type %d, stride %d: element %d of %d", isa_name(table), (int)type, (int)stride,
                     (int)i, (int)n);
}

static void check_store_run(scene *s, const tilefold_cpu_kernels *table, tilefold_type type) {
    int64_t n = random_length(s), stride = RNG_PICK(&s->random, 1, 1, 2, 2, 3, 4, 7, -1, -2), first;
    int64_t span = strided_span(n, stride, &first);
    const float *in = new_floats(s, n);
    unsigned char *out = new_array(s, span, tilefold_type_bytes(type));
    fill_pattern(out, (size_t)span * tilefold_type_bytes(type));
    unsigned char *expected = new_array(s, span, tilefold_type_bytes(type));
    fill_pattern(expected, (size_t)span * tilefold_type_bytes(type));

    for (int64_t i = 0; i < n; i++)
        oracle_encode(type, in[i], expected + (first + i * stride) * (int64_t)tilefold_type_bytes(type));
    table->store_run[type](out + first * (int64_t)tilefold_type_bytes(type), stride, in, n);
    for (int64_t i = 0; i < span; i++)
        if (!same(element_value(type, out, i), element_value(type, expected, i)))
            fail_msg("%s store_run of type %d, stride %d: element %d of %d", isa_name(table), (int)type, (int)stride,
                     (int)i, (int)span);
}

static void check_copy_rows(scene *s, const tilefold_cpu_kernels *table, tilefold_type type) {
    tilefold_row_copy c = {.rows = rng_range(&s->random, 0, 4),
                           .left = rng_range(&s->random, 0, 3),
                           .n = rng_range(&s->random, 0, 40),
                           .right = rng_range(&s->random, 0, 3),
                           .in_step = RNG_PICK(&s->random, 1, 1, 2, 3, 0, -1, -2)};
    int64_t width = c.left + c.n + c.right, first;
    c.out_stride = width + rng_range(&s->random, 0, 5);
    int64_t span = strided_span(c.n, c.in_step, &first);
    c.in_stride = rng_range(&s->random, 0, span + 3);
    const char *in = new_elements(s, type, c.rows > 0 ? (c.rows - 1) * c.in_stride + span : 0);
    int64_t out_count = c.rows > 0 ? (c.rows - 1) * c.out_stride + width : 0;
    float *out = new_array(s, out_count, sizeof(float));
    for (int64_t x = 0; x < out_count; x++) out[x] = (float)x;

    table->copy_rows[type](out, in + first * (int64_t)tilefold_type_bytes(type), &c);
    for (int64_t x = 0; x < out_count; x++) {
        int64_t r = x / c.out_stride, i = x % c.out_stride;
        float expected = i >= width ? (float)x : 0.0f;
        if (i >= c.left && i < c.left + c.n)
            expected = element_value(type, in, first + r * c.in_stride + (i - c.left) * c.in_step);
        if (!same(out[x], expected))
            fail_msg("%s copy_rows of type %d: row %d, element %d", isa_name(table), (int)type, (int)r, (int)i);
    }
}

static void check_store_transposed(scene *s, const tilefold_cpu_kernels *table, tilefold_type type) {
    bool dense = rng_percent(&s->random, 50); /* as folds are that make whole rows of outputs */
    int64_t rows = dense ? RNG_PICK(&s->random, 2, 4, 8, 3) : rng_range(&s->random, 0, 40);
    int64_t columns = rng_range(&s->random, 0, 40), in_stride = columns + rng_range(&s->random, 0, 5);
    int64_t out_stride = rows + (dense ? 0 : rng_range(&s->random, 0, 5));
    const float *in = new_floats(s, rows > 0 ? (rows - 1) * in_stride + columns : 0);
    int64_t span = columns > 0 ? (columns - 1) * out_stride + rows : 0;
    unsigned char *out = new_array(s, span, tilefold_type_bytes(type));
    unsigned char *expected = new_array(s, span, tilefold_type_bytes(type));
    fill_pattern(out, (size_t)span * tilefold_type_bytes(type));
    fill_pattern(expected, (size_t)span * tilefold_type_bytes(type));

    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++)
            oracle_encode(type, in[i * in_stride + j],
                          expected + (j * out_stride + i) * (int64_t)tilefold_type_bytes(type));
    table->store_transposed[type](out, out_stride, in, in_stride, rows, columns);
    for (int64_t i = 0; i < span; i++)
        if (!same(element_value(type, out, i), element_value(type, expected, i)))
            fail_msg("%s store_transposed of type %d: element %d of %d", isa_name(table), (int)type, (int)i, (int)span);
}

static void check_transpose_rows(scene *s, const tilefold_cpu_kernels *table, tilefold_type type) {
    int64_t count = RNG_PICK(&s->random, 1, 2, 4, 6, 8, 12, 14, 16, 32, 48, 64, rng_range(&s->random, 0, 64));
    int64_t width = count + (rng_percent(&s->random, 50) ? 0 : rng_range(&s->random, 0, 20));
    int64_t k = random_length(s), stride = RNG_PICK(&s->random, 1, 1, 1, 2, 9, -1), first;
    int64_t span = strided_span(k, stride, &first);
    const void **rows = new_array(s, count, sizeof *rows);
    const char *in[64];
    for (int64_t i = 0; i < count; i++) {
        in[i] = new_elements(s, type, span);
        rows[i] = in[i] + first * (int64_t)tilefold_type_bytes(type);
    }
    int64_t out_count = k > 0 ? (k - 1) * width + count : 0;
    float *out = new_array(s, out_count, sizeof(float));
    for (int64_t x = 0; x < out_count; x++) out[x] = (float)x;

    table->transpose_rows[type](out, width, rows, count, stride, k);
    for (int64_t x = 0; x < out_count; x++) {
        int64_t p = x / width, i = x % width;
        float expected = i < count ? element_value(type, in[i], first + p * stride) : (float)x;
        if (!same(out[x], expected))
            fail_msg("%s transpose_rows of type %d: row %d of %d, column %d of %d, width %d, stride %d",
                     isa_name(table), (int)type, (int)i, (int)count, (int)p, (int)k, (int)width, (int)stride);
    }
}

typedef void (*run_check)(scene *s, const tilefold_cpu_kernels *table, tilefold_type type);

/* *state points at the check. */
static void test_runs(void **state) {
    const run_check *check = *state;
    for (int x = 0; x < table_count; x++) {
        for (int type = TILEFOLD_F32; type <= TILEFOLD_BF16; type++) {
            for (int time = 0; time < 200 * repeats(); time++) {
                scene s;
                scene_begin(&s, (uint64_t)((x * 4 + type) * 100003 + time));
                (*check)(&s, tables[x], (tilefold_type)type);
                scene_end(&s);
            }
        }
    }
}

/* ------------------------------------------------------------------------------------------------------ conversions ---- */

enum { HALVES = 65536 };

/* Every fp16 and bf16 number becomes the fp32 number of the same value, and that number becomes it again. */
static void test_every_half(void **state) {
    (void)state;
    static uint16_t halves[HALVES], back[HALVES];
    static float floats[HALVES];
    for (int i = 0; i < HALVES; i++) halves[i] = (uint16_t)i;
    for (int x = 0; x < table_count; x++) {
        for (int type = TILEFOLD_F16; type <= TILEFOLD_BF16; type++) {
            tables[x]->load_run[type](floats, halves, 1, HALVES);
            tables[x]->store_run[type](back, 1, floats, HALVES);
            for (int i = 0; i < HALVES; i++) {
                bool nan = is_nan((tilefold_type)type, halves[i]);
                assert_true(same(floats[i], half_value((tilefold_type)type, halves[i])));
                assert_true(nan ? is_nan((tilefold_type)type, back[i]) : back[i] == halves[i]);
            }
        }
    }
}

static void check_rounding(const tilefold_cpu_kernels *table, tilefold_type type, const float *floats, int n) {
    static uint16_t halves[HALVES];
    table->store_run[type](halves, 1, floats, n);
    for (int i = 0; i < n; i++) {
        uint16_t expected = nearest_half(type, floats[i]);
        if (isnan(floats[i]) ? !is_nan(type, halves[i]) : halves[i] != expected)
            fail_msg("%s store_run of type %d: %a gives %04x, not %04x", isa_name(table), (int)type, (double)floats[i],
                     halves[i], expected);
    }
}

/* Halfway from a number to the next greater in magnitude: exact in fp32. Past the greatest comes infinity, halfway to which
 * is as far on as halfway from the one before. */
static float midpoint(tilefold_type type, uint16_t half) {
    double here = (double)half_value(type, half), next = (double)half_value(type, half + 1);
    if (isfinite(next)) return (float)((here + next) / 2);
    return (float)(here + (here - (double)half_value(type, half - 1)) / 2);
}

/* Between any two neighbours the midpoint goes to the even one, and the fp32 numbers beside it to the nearer; so do random
 * numbers of all sizes. */
static void test_rounding(void **state) {
    (void)state;
    static float floats[HALVES];
    rng random = rng_make(1, 2);
    for (int x = 0; x < table_count; x++) {
        for (int type = TILEFOLD_F16; type <= TILEFOLD_BF16; type++) {
            for (int step = -1; step <= 1; step++) {
                for (int i = 0; i < HALVES; i++) {
                    float tie = midpoint((tilefold_type)type, (uint16_t)i);
                    floats[i] = step == 0 ? tie : nextafterf(tie, step * INFINITY);
                }
                check_rounding(tables[x], (tilefold_type)type, floats, HALVES);
            }
            for (int i = 0; i < HALVES; i++) floats[i] = bits_float((uint32_t)rng_next(&random));
            check_rounding(tables[x], (tilefold_type)type, floats, HALVES);
        }
    }
}

/* ----------------------------------------------------------------------------------------------------------- tables ---- */

static void test_tables(void **state) {
    (void)state;
    assert_true(table_count >= 1);
    assert_ptr_equal(tilefold_cpu_kernels_for(TILEFOLD_ISA_BEST), tables[table_count - 1]);
    for (int x = 0; x < table_count; x++) {
        const tilefold_cpu_kernels *table = tables[x];
        assert_ptr_equal(tilefold_cpu_kernels_for(table->isa), table);
        assert_in_range(table->lanes, 1, TILEFOLD_MAX_LANES);
        assert_true(table->max_rows[0] >= 1 && table->max_pixels[0] >= 1);
        for (int nv = 1; nv <= TILEFOLD_MAX_VECTORS; nv++) {
            for (int mr = 1; mr <= TILEFOLD_MAX_ROWS; mr++) {
                bool there = mr <= table->max_rows[nv - 1];
                assert_int_equal(table->product[nv - 1][mr - 1] != NULL, there);
                assert_int_equal(table->product_rows[nv - 1][mr - 1] != NULL, there);
                assert_int_equal(table->product_steps[nv - 1][mr - 1] != NULL, there);
            }
            for (int pixels = 1; pixels <= TILEFOLD_MAX_PIXELS; pixels++)
                assert_int_equal(table->depthwise_pixels[nv - 1][pixels - 1] != NULL,
                                 pixels <= table->max_pixels[nv - 1]);
            for (int pixels = 1; pixels <= TILEFOLD_MAX_PIXELS; pixels++)
                for (int type = TILEFOLD_F32; type <= TILEFOLD_BF16; type++)
                    assert_int_equal(table->depthwise[type][nv - 1][pixels - 1] != NULL,
                                     pixels <= table->max_pixels[nv - 1]);
        }
        float sink = NAN;
        assert_true(table->fma_rounds(3, &sink) >= 3 * table->lanes);
        assert_true(isfinite(sink));
    }
}

static void test_machine(void **state) {
    (void)state;
    const tilefold_cpu_machine *machine = tilefold_cpu_detect();
    assert_true(machine->isa_mask >> TILEFOLD_ISA_PORTABLE & 1);
    assert_true(machine->cores >= 1);
    assert_true(machine->l1_bytes >= 4096 && machine->l2_bytes > 0 && machine->l3_bytes >= 0);
    assert_true(machine->memory_bytes > machine->l2_bytes);
    assert_true(strlen(machine->name) > 0);
}

int main(int argc, char **argv) {
    find_tables();
    if (argc == 2 && strcmp(argv[1], "--bench") == 0) return bench_kernels(tables, table_count);
    static product_check packed = check_product, rows = check_product_rows, listed = check_product_steps;
    static run_check load = check_load_run, transpose = check_transpose_rows, store = check_store_run,
                     copy = check_copy_rows, turn = check_store_transposed;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_machine),
        cmocka_unit_test(test_every_half),
        cmocka_unit_test(test_rounding),
        {"test_product", test_tiles, NULL, NULL, &packed},
        {"test_product_rows", test_tiles, NULL, NULL, &rows},
        {"test_product_steps", test_tiles, NULL, NULL, &listed},
        cmocka_unit_test(test_depthwise),
        cmocka_unit_test(test_depthwise_row),
        cmocka_unit_test(test_depthwise_pair),
        cmocka_unit_test(test_depthwise_plane),
        cmocka_unit_test(test_grouped_row),
        {"test_load_run", test_runs, NULL, NULL, &load},
        {"test_transpose_rows", test_runs, NULL, NULL, &transpose},
        {"test_store_run", test_runs, NULL, NULL, &store},
        {"test_copy_rows", test_runs, NULL, NULL, &copy},
        {"test_store_transposed", test_runs, NULL, NULL, &turn},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
