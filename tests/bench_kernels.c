/* How fast the kernels are: see bench_kernels.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "bench_kernels.h"

#include "cpu/detect.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

enum { TAPS = 9, BENCH_CHANNELS = 32, BENCH_FLOATS = 1 << 16 };

/* What a kernel is timed on; the arrays are as large as the largest use. */
typedef struct workload {
    const tilefold_cpu_kernels *table;
    tilefold_type type;
    int nv, mr;
    int64_t k, stride;
    tilefold_tile_io io;
    float *a, *b;
    const float *rows[TILEFOLD_MAX_ROWS * TAPS];
    const void *elements[64];
} workload;

static void run_product(workload *w) {
    tilefold_segment all = {.count = w->k};
    w->table->product[w->nv - 1][w->mr - 1](&all, 1, w->a, w->mr, w->b, w->nv * w->table->lanes, &w->io);
}

/* As over a copy of a halo: channels far apart, a segment for each tap. */
static void run_product_halo(workload *w) {
    int nr = w->nv * w->table->lanes;
    tilefold_segment taps[TAPS];
    for (int t = 0; t < TAPS; t++)
        taps[t] = (tilefold_segment){BENCH_CHANNELS, t / 3 * 60 + t % 3, (int64_t)t * BENCH_CHANNELS * nr, 0};
    w->table->product[w->nv - 1][w->mr - 1](taps, TAPS, w->a, 240, w->b, nr, &w->io);
}

static void run_product_rows(workload *w) {
    tilefold_segment taps[TAPS];
    for (int t = 0; t < TAPS; t++)
        taps[t] = (tilefold_segment){BENCH_CHANNELS, 0, (int64_t)t * BENCH_CHANNELS * w->nv * w->table->lanes, t};
    w->table->product_rows[w->nv - 1][w->mr - 1](taps, TAPS, w->rows, w->b, &w->io);
}

static void run_depthwise_pixels(workload *w) {
    static const int64_t taps[TAPS] = {0, 1, 2, 80, 81, 82, 160, 161, 162};
    w->table->depthwise_pixels[w->nv - 1][w->mr - 1](TAPS, taps, w->a, 80, w->b, &w->io);
}

static void run_depthwise(workload *w) {
    w->table->depthwise[w->type][w->nv - 1][w->mr - 1](TAPS, (const void *const *)w->rows, 0, w->b, 64, &w->io);
}

static void run_depthwise_row(workload *w) {
    const tilefold_row_windows windows = {3, 1, (const void *const *)w->rows, 0, w->b};
    w->table->depthwise_row[w->type][0][0][w->mr - 1](&windows, &w->io);
}

/* Groups of w->k channels; two panels. */
static void run_grouped_row(workload *w) {
    int32_t spread[TILEFOLD_MAX_LANES * TILEFOLD_MAX_LANES];
    int32_t lanes = w->table->lanes, channels = (int32_t)w->k;
    for (int32_t k = 0; k < channels; k++)
        for (int32_t j = 0; j < lanes; j++) spread[k * lanes + j] = j - j % channels + k;
    const tilefold_group_windows windows = {3, 2, channels, 0, (const void *const *)w->rows, 0, w->b, spread};
    w->table->grouped_row[0][w->mr - 1](&windows, &w->io);
}

/* In rows that begin anywhere, of a plane that is all inside; both channels are the same. */
static void run_depthwise_plane(workload *w) {
    const tilefold_plane_windows windows = {.in = w->a + 1,
                                            .row_stride = 80,
                                            .planes = 1,
                                            .plane_end = 1,
                                            .row_end = w->mr + 2,
                                            .end = w->table->lanes + 2,
                                            .w = w->b};
    const tilefold_tile_io io[TILEFOLD_PLANE_CHANNELS] = {w->io, w->io};
    w->table->depthwise_plane[0][0][w->mr - 1](&windows, io);
}

static void run_load_run(workload *w) { w->table->load_run[w->type](w->io.out, w->a, w->stride, w->k); }

static void run_store_run(workload *w) { w->table->store_run[w->type](w->b, w->stride, w->a, w->k); }

static void run_transpose_rows(workload *w) {
    w->table->transpose_rows[w->type](w->io.out, w->mr, w->elements, w->mr, w->stride, w->k);
}

/* Seconds of one call, the best of several short runs. */
static double time_of(void (*run)(workload *w), workload *w) {
    double best = INFINITY, deadline = seconds() + 0.06;
    int64_t calls = 1;
    do {
        double start = seconds();
        for (int64_t i = 0; i < calls; i++) run(w);
        double spent = seconds() - start;
        if (spent / (double)calls < best) best = spent / (double)calls;
        if (spent < 1e-3) calls *= 2;
    } while (seconds() < deadline);
    return best;
}

static double measure_peak(const tilefold_cpu_kernels *table) {
    double best = 0;
    float sink;
    for (int i = 0; i < 40; i++) {
        double start = seconds();
        int64_t done = table->fma_rounds(20000, &sink);
        best = fmax(best, 2e-9 * (double)done / (seconds() - start));
    }
    return best;
}

static const char *const type_names[] = {"", "f32", "f16", "bf16"};

static void bench_tile(workload *w, const char *name, void (*run)(workload *w), int64_t k, double peak) {
    double gflops = 2e-9 * (double)(k * w->mr * w->nv * w->table->lanes) / time_of(run, w);
    printf("%-9s %-14s %-4s %2dx%d  k = %-4d %7.1f GFLOP/s  %5.1f %% of peak\n", tilefold_isa_name(w->table->isa), name,
           type_names[w->type], w->mr, w->nv, (int)k, gflops, 100 * gflops / peak);
}

static void bench_run(workload *w, const char *name, void (*run)(workload *w)) {
    double gigabytes = 4e-9 * (double)(w->k * w->mr) / time_of(run, w);
    printf("%-9s %-14s %-4s %2d x %-4d stride %d %6.1f GB/s of floats\n", tilefold_isa_name(w->table->isa), name,
           type_names[w->type], w->mr, (int)w->k, (int)w->stride, gigabytes);
}

static void bench_tiles(workload *w, double peak) {
    for (w->nv = 1; w->nv <= TILEFOLD_MAX_VECTORS && w->table->max_rows[w->nv - 1] > 0; w->nv++) {
        int nr = w->nv * w->table->lanes;
        w->type = TILEFOLD_F32;
        w->mr = w->table->max_rows[w->nv - 1];
        w->k = 256;
        for (int i = 0; i < TAPS * w->mr; i++) w->rows[i] = w->a + (i / w->mr + i % w->mr) * BENCH_CHANNELS;
        w->io.lanes = nr;
        bench_tile(w, "product", run_product, w->k, peak);
        w->io.lanes = nr;
        bench_tile(w, "product_halo", run_product_halo, TAPS * BENCH_CHANNELS, peak);
        bench_tile(w, "product_rows", run_product_rows, TAPS * BENCH_CHANNELS, peak);
        w->mr = w->table->max_pixels[w->nv - 1];
        for (int i = 0; i < TAPS * w->mr; i++) w->rows[i] = w->a + (i / w->mr * 7 + i % w->mr) * nr;
        bench_tile(w, "depthwise_pixels", run_depthwise_pixels, TAPS, peak);
        for (; w->type <= TILEFOLD_BF16; w->type++) bench_tile(w, "depthwise", run_depthwise, TAPS, peak);
        if (w->nv > 1) continue;
        w->mr = w->table->max_row_pixels;
        for (w->type = TILEFOLD_F32; w->type <= TILEFOLD_BF16; w->type++)
            bench_tile(w, "depthwise_row", run_depthwise_row, TAPS, peak);
        w->type = TILEFOLD_F32;
        w->mr = w->table->max_plane_rows;
        bench_tile(w, "depthwise_plane", run_depthwise_plane, TILEFOLD_PLANE_CHANNELS * TAPS, peak);
        w->mr = w->table->max_group_pixels;
        for (w->k = nr / 2; w->k <= nr; w->k *= 2) bench_tile(w, "grouped_row", run_grouped_row, 2 * TAPS * w->k, peak);
    }
}

static void bench_runs(workload *w) {
    static const int counts[] = {6, 14, 32};
    for (w->type = TILEFOLD_F32; w->type <= TILEFOLD_BF16; w->type++) {
        w->mr = 1;
        w->k = 1024;
        for (w->stride = 1; w->stride <= 2; w->stride++) {
            bench_run(w, "load_run", run_load_run);
            bench_run(w, "store_run", run_store_run);
        }
        w->stride = 1;
        w->k = 256;
        for (int i = 0; i < 3; i++) {
            w->mr = counts[i];
            bench_run(w, "transpose_rows", run_transpose_rows);
        }
    }
}

int bench_kernels(const tilefold_cpu_kernels *const *tables, int count) {
    static _Alignas(64) float a[BENCH_FLOATS], b[BENCH_FLOATS], out[BENCH_FLOATS];
    workload w = {
        .a = a,
        .b = b,
        .io = {.init = out, .init_stride = 64, .out = out, .out_stride = 64, .low = -INFINITY, .high = INFINITY}};
    for (int i = 0; i < 64; i++) w.elements[i] = a + i * 272;
    printf("%s\n", tilefold_cpu_detect()->name);
    for (int x = 0; x < count; x++) {
        w.table = tables[x];
        double peak = measure_peak(w.table);
        printf("%-9s fma_rounds %27.1f GFLOP/s\n", tilefold_isa_name(w.table->isa), peak);
        bench_tiles(&w, peak);
        bench_runs(&w);
    }
    return 0;
}
