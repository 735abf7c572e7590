/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* fork(), clock_gettime() */

#include "measure.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define MAX_RUNS 25
#define ENOUGH_SECONDS 0.4 /* of timed execution, whatever the number of runs */

static void *allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    (void)alignment; /* a page suits every alignment that the library may ask for */
    return demo_map(bytes).data;
}

static void release(void *user, void *memory, size_t bytes) {
    (void)user;
    demo_unmap((demo_array){memory, bytes});
}

/* All memory comes by the page and goes back at once, so that resident memory follows what is allocated. */
static tilefold_status create_context(tilefold_context **context, tilefold_message *message) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.allocator.allocate = allocate;
    options.allocator.release = release;
    return tilefold_context_create(&options, context, message);
}

static tilefold_status create_plan(tilefold_context *context, const tilefold_problem *problem, int64_t limit_bytes,
                                   tilefold_plan **plan, tilefold_plan_info *info, tilefold_message *message) {
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.scratch_limit_bytes = limit_bytes;
    tilefold_status status = tilefold_plan_create(context, problem, &options, plan, message);
    if (status != TILEFOLD_OK) return status;
    tilefold_plan_info_init(info);
    return tilefold_plan_get_info(*plan, info, message);
}

tilefold_status demo_plan(const tilefold_problem *problem, int64_t scratch_limit_bytes, tilefold_plan_info *info,
                          tilefold_message *message) {
    tilefold_context *context;
    tilefold_plan *plan;
    tilefold_status status = create_context(&context, message);
    if (status != TILEFOLD_OK) return status;
    status = create_plan(context, problem, scratch_limit_bytes, &plan, info, message);
    if (status == TILEFOLD_OK) tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
    return status;
}

/* A field of /proc/self/status, "VmRSS:" or "VmHWM:", in bytes. */
static int64_t resident_bytes(const char *field) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long long kib = -1;
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, field, strlen(field)) == 0) sscanf(line + strlen(field), "%lld", &kib);
    }
    if (file) fclose(file);
    if (kib < 0) {
        fprintf(stderr, "tilefold-demo: error: /proc/self/status does not say %s\n", field);
        exit(EXIT_FAILURE);
    }
    return kib * 1024;
}

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static tilefold_status execute_timed(const tilefold_plan *plan, const tilefold_execution *execution, int max_runs,
                                     double *best_seconds, tilefold_message *message) {
    double total = 0;
    for (int run = 0; run < max_runs && total < ENOUGH_SECONDS; run++) {
        double start = now_seconds();
        tilefold_status status = tilefold_execute(plan, execution, message);
        if (status != TILEFOLD_OK) return status;
        double seconds = now_seconds() - start;
        *best_seconds = run == 0 ? seconds : fmin(*best_seconds, seconds);
        total += seconds;
    }
    return TILEFOLD_OK;
}

/* Plan, pack, execute, release. */
static tilefold_status convolve(tilefold_context *context, const tilefold_problem *problem, const demo_tensors *tensors,
                                int64_t limit_bytes, int max_runs, demo_measurement *measurement) {
    tilefold_plan *plan;
    tilefold_plan_info *info = &measurement->plan;
    tilefold_status status = create_plan(context, problem, limit_bytes, &plan, info, &measurement->message);
    if (status != TILEFOLD_OK) return status;
    demo_array packed = demo_map((size_t)info->packed_weight_bytes), scratch = demo_map((size_t)info->scratch_bytes);
    if (packed.bytes > 0)
        status = tilefold_pack_weight(plan, tensors->weight.data, tensors->weight.bytes, packed.data, packed.bytes,
                                      &measurement->message);

    tilefold_execution execution;
    tilefold_execution_init(&execution);
    execution.input = tensors->input.data;
    execution.weight = tensors->weight.data;
    execution.packed_weight = packed.data;
    execution.output = tensors->output.data;
    execution.input_bytes = tensors->input.bytes;
    execution.output_bytes = tensors->output.bytes;
    execution.scratch = scratch.data;
    execution.scratch_bytes = scratch.bytes;
    if (status == TILEFOLD_OK)
        status = execute_timed(plan, &execution, max_runs, &measurement->seconds, &measurement->message);
    measurement->peak_bytes = resident_bytes("VmHWM:");
    demo_unmap(scratch);
    demo_unmap(packed);
    tilefold_plan_destroy(plan);
    return status;
}

static void touch(demo_array array) {
    const volatile char *bytes = array.data;
    for (size_t i = 0; i < array.bytes; i += 4096) (void)bytes[i];
}

/* The growth is that of the second of two rounds: the first brings in the tensors, the program's code and the threads'
 * stacks, which are not what a limit is about, and warms the machine up. Memory that the C library kept from the first
 * round goes back before the second, or it would hide what the second takes. */
static void run_child(const tilefold_problem *problem, const demo_tensors *tensors, int64_t limit_bytes,
                      demo_measurement *measurement) {
    memset(tensors->output.data, 0, tensors->output.bytes);
    touch(tensors->input);
    touch(tensors->weight);
    tilefold_context *context;
    measurement->status = create_context(&context, &measurement->message);
    if (measurement->status != TILEFOLD_OK) return;
    measurement->status = convolve(context, problem, tensors, limit_bytes, 1, measurement);
    if (measurement->status == TILEFOLD_OK) {
#ifdef __GLIBC__
        malloc_trim(0);
#endif
        int64_t before_bytes = resident_bytes("VmRSS:");
        measurement->status = convolve(context, problem, tensors, limit_bytes, MAX_RUNS, measurement);
        measurement->growth_bytes = measurement->peak_bytes - before_bytes;
    }
    tilefold_context_destroy(context);
}

void demo_measure(const tilefold_problem *problem, const demo_tensors *tensors, int64_t scratch_limit_bytes,
                  demo_measurement *measurement) {
    demo_array array = demo_map(sizeof *measurement);
    demo_measurement *shared = array.data;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        run_child(problem, tensors, scratch_limit_bytes, shared);
        _exit(EXIT_SUCCESS);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        fprintf(stderr, "tilefold-demo: error: cannot run a child process: %s\n", strerror(errno));
        exit(EXIT_FAILURE);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "tilefold-demo: error: the child process died (wait status %d)\n", status);
        exit(EXIT_FAILURE);
    }
    *measurement = *shared;
    demo_unmap(array);
}
