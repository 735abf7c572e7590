/* The CPU device: contexts, threads, and the loop that hands out tiles.
 *
 * SPDX-License-Identifier: MIT
 */
#include "algorithm.h"

#include "../checked.h"
#include "../message.h"
#include "float_environment.h"
#include "pool.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

/* ---------------------------------------------------------------------------------------------------- context ---- */

static size_t count_devices(void) { return 1; }

static void describe(size_t index, tilefold_device_info *info) {
    (void)index;
    const tilefold_cpu_machine *machine = tilefold_cpu_detect();
    const tilefold_cpu_kernels *best = tilefold_cpu_kernels_for(TILEFOLD_ISA_BEST);
    snprintf(info->name, sizeof info->name, "%s", machine->name);
    info->threads = machine->cores;
    info->isa = best->isa;
    for (tilefold_isa isa = TILEFOLD_ISA_PORTABLE; isa <= TILEFOLD_ISA_NEON; isa++)
        if (tilefold_cpu_kernels_for(isa)) info->isa_mask |= UINT32_C(1) << isa;
    info->l1_bytes = machine->l1_bytes;
    info->l2_bytes = machine->l2_bytes;
    info->l3_bytes = machine->l3_bytes;
    info->memory_bytes = machine->memory_bytes;
    info->same_bits_as_cpu = true;
}

static void run_serially(void *user, void (*task)(void *argument, size_t index), void *argument, size_t count) {
    (void)user;
    for (size_t i = 0; i < count; i++) task(argument, i);
}

static tilefold_status open_pool(tilefold_context *context, int32_t threads, tilefold_message *message) {
    tilefold_cpu_context *cpu = context->state;
    cpu->parallel_for = (tilefold_parallel_for){run_serially, NULL, 1};
    if (threads == 1) return TILEFOLD_OK;
    size_t bytes = tilefold_pool_bytes(threads);
    cpu->pool = context->allocator.allocate(context->allocator.user, bytes, TILEFOLD_ALIGNMENT);
    if (!cpu->pool)
        return tilefold_fail(message, TILEFOLD_OUT_OF_MEMORY, "no memory for a pool of %d threads, %zu bytes",
                             (int)threads, bytes);
    tilefold_pool_open(cpu->pool, threads);
    cpu->parallel_for = (tilefold_parallel_for){tilefold_pool_run, cpu->pool, threads};
    return TILEFOLD_OK;
}

static tilefold_status open_cpu(tilefold_context *context, const tilefold_context_options *options,
                                const void *device_options, tilefold_message *message) {
    (void)device_options;
    tilefold_cpu_context *cpu = context->state;
    if (options->device_index != 0)
        return tilefold_fail(message, TILEFOLD_NO_DEVICE, "there is no CPU device %d, only 0",
                             (int)options->device_index);
    const tilefold_cpu_machine *machine = tilefold_cpu_detect();
    cpu->target = (tilefold_cpu_target){.kernels = tilefold_cpu_kernels_for(options->isa),
                                        .l1_bytes = machine->l1_bytes,
                                        .l2_bytes = machine->l2_bytes,
                                        .l3_bytes = machine->l3_bytes};
    if (!cpu->target.kernels)
        return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "this machine or this build of tilefold has no %s kernels",
                             tilefold_isa_name(options->isa));
    cpu->target.throughput = tilefold_cpu_get_throughput(&machine->model, cpu->target.kernels->isa);
    cpu->parallel_for = options->parallel_for;
    if (!cpu->parallel_for.run) {
        int32_t cores = machine->cores, most = TILEFOLD_MAX_THREADS;
        int32_t threads = options->threads ? options->threads : cores < most ? cores : most;
        tilefold_status status = open_pool(context, threads, message);
        if (status) return status;
    }
    cpu->target.threads = cpu->parallel_for.threads;
    return TILEFOLD_OK;
}

static void close_cpu(tilefold_context *context) {
    tilefold_cpu_context *cpu = context->state;
    if (!cpu->pool) return;
    tilefold_pool_close(cpu->pool);
    size_t bytes = tilefold_pool_bytes((int32_t)cpu->parallel_for.threads);
    context->allocator.release(context->allocator.user, cpu->pool, bytes);
}

/* ---------------------------------------------------------------------------------------------------- execute ---- */

typedef struct execution {
    const tilefold_cpu_work *work;
    const tilefold_plan *plan;
    const tilefold_execution *request;
    int64_t tiles;
    atomic_llong next;
    atomic_bool cancelled;
    atomic_llong unreported; /* tiles done; who finds it 0 reports until it is 0 again */
    int64_t done;            /* tiles reported, the reporter's alone */
} execution;

/* Nobody waits for a callback: a tile that is done while one runs is left to the thread that is in it. */
static void report(execution *e) {
    if (atomic_fetch_add(&e->unreported, 1) > 0) return;
    for (long long count = 1; count > 0;) {
        e->done += count;
        if (!atomic_load(&e->cancelled) && !e->request->progress(e->request->progress_user, e->done, e->tiles))
            atomic_store(&e->cancelled, true);
        count = atomic_fetch_sub(&e->unreported, count) - count;
    }
}

/* One thread's share: tiles by ascending number, as long as there are any, in its own part of the scratch. */
static void run_tiles(void *argument, size_t index) {
    execution *e = argument;
    const tilefold_cpu_plan *cpu = e->work->plan;
    const tilefold_geometry *geometry = e->work->geometry;
    char *arena = (char *)e->request->scratch + (int64_t)index * cpu->arena.bytes;
    tilefold_tile_walk walk;
    tilefold_tile_walk_init(&walk, geometry, &cpu->tiling);
    for (;;) {
        int64_t number = atomic_fetch_add_explicit(&e->next, 1, memory_order_relaxed);
        if (number >= e->tiles || atomic_load_explicit(&e->cancelled, memory_order_relaxed)) return;
        const tilefold_tile *tile = tilefold_tile_walk_to(&walk, number);
        tilefold_cpu_work work = *e->work;
        work.input += (tile->image * geometry->in_batch + tile->group * geometry->in_group) * work.element_bytes;
        work.output += (tile->image * geometry->out_batch + tile->group * geometry->out_group) * work.element_bytes;
        tilefold_float_environment callers = tilefold_enter_float_environment();
        cpu->algorithm->run(&work, tile, arena);
        tilefold_leave_float_environment(callers);
        if (e->request->progress) report(e);
    }
}

static tilefold_status execute(const tilefold_plan *plan, const tilefold_geometry *geometry,
                               const tilefold_execution *request, tilefold_message *message) {
    const tilefold_cpu_plan *cpu = plan->state;
    const tilefold_cpu_context *context = plan->context->state;
    tilefold_cpu_work work = {.plan = cpu,
                              .geometry = geometry,
                              .input = request->input,
                              .weight = request->weight,
                              .output = request->output,
                              .bias = geometry->bias_type == TILEFOLD_NONE ? NULL : request->bias,
                              .element_bytes = (int64_t)tilefold_type_bytes(geometry->type)};
    if (cpu->prepacked) {
        const float *packed = request->packed_weight;
        work.finite = packed[0] != 0;
        work.packed = packed + TILEFOLD_PACKED_HEADER;
    }
    execution e = {.work = &work,
                   .plan = plan,
                   .request = request,
                   .tiles = tilefold_tiles_total(geometry, &cpu->tiling)};
    atomic_init(&e.next, 0);
    atomic_init(&e.cancelled, false);
    atomic_init(&e.unreported, 0);
    int64_t threads = tilefold_min(cpu->threads, e.tiles);
    if (threads == 1)
        run_tiles(&e, 0);
    else
        context->parallel_for.run(context->parallel_for.user, run_tiles, &e, (size_t)threads);
    if (atomic_load(&e.cancelled))
        return tilefold_fail(message, TILEFOLD_CANCELLED, "cancelled after %lld of %lld tiles", (long long)e.done,
                             (long long)e.tiles);
    return TILEFOLD_OK;
}

static tilefold_status pack_weight(const tilefold_plan *plan, const void *weight, void *packed,
                                   tilefold_message *message) {
    (void)message;
    tilefold_float_environment callers = tilefold_enter_float_environment();
    const tilefold_cpu_plan *cpu = plan->state;
    cpu->algorithm->pack(&plan->geometry, cpu, weight, packed);
    tilefold_leave_float_environment(callers);
    return TILEFOLD_OK;
}

/* The estimates are in floating point too: the same plan in any environment, and no trap. */
static tilefold_status plan_problem(tilefold_plan *plan, tilefold_message *message) {
    tilefold_float_environment callers = tilefold_enter_float_environment();
    tilefold_status status = tilefold_cpu_plan_problem(plan, message);
    tilefold_leave_float_environment(callers);
    return status;
}

static void release_plan(tilefold_plan *plan) { (void)plan; }

/* ------------------------------------------------------------------------------------------------------- peak ---- */

typedef struct peak_run {
    const tilefold_cpu_kernels *kernels;
    int64_t rounds;
    atomic_llong done;
} peak_run;

static void run_rounds(void *argument, size_t index) {
    (void)index;
    peak_run *run = argument;
    volatile float sink;
    float value = 0.0f;
    tilefold_float_environment callers = tilefold_enter_float_environment();
    atomic_fetch_add(&run->done, run->kernels->fma_rounds(run->rounds, &value));
    sink = value;
    (void)sink;
    tilefold_leave_float_environment(callers);
}

static double seconds_now(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static tilefold_status measure_peak(tilefold_context *context, double *flops_per_second, tilefold_message *message) {
    (void)message;
    const tilefold_cpu_context *cpu = context->state;
    peak_run run = {.kernels = cpu->target.kernels, .rounds = 1000};
    double best = 0, spent = 0;
    for (int timed = 0; timed < 50 || spent < 0.1;) {
        atomic_init(&run.done, 0);
        double begin = seconds_now();
        cpu->parallel_for.run(cpu->parallel_for.user, run_rounds, &run, (size_t)cpu->parallel_for.threads);
        double seconds = seconds_now() - begin;
        if (seconds < 0.001) { /* too short to be timed well; longer ones are seldom left alone on a busy machine */
            run.rounds *= 2;
            continue;
        }
        timed++;
        spent += seconds;
        best = fmax(best, 2.0 * (double)atomic_load(&run.done) / seconds);
    }
    *flops_per_second = best;
    return TILEFOLD_OK;
}

static const char *get_other_bits(const tilefold_context *context) {
    (void)context;
    return NULL;
}

const tilefold_device tilefold_cpu_device = {
    .kind = TILEFOLD_CPU,
    .context_bytes = sizeof(tilefold_cpu_context),
    .plan_bytes = sizeof(tilefold_cpu_plan),
    .count = count_devices,
    .describe = describe,
    .open = open_cpu,
    .close = close_cpu,
    .other_bits = get_other_bits,
    .plan = plan_problem,
    .release = release_plan,
    .print = tilefold_cpu_print,
    .pack_weight = pack_weight,
    .execute = execute,
    .measure_peak = measure_peak,
};
