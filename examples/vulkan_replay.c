/* SPDX-License-Identifier: MIT
 *
 * A transposed convolution on a Vulkan device, recorded once and replayed: for the size it was planned for, and for a smaller
 * one. The arrays are the program's own; the device reads and writes them in place.
 *
 *     cc -std=c11 examples/vulkan_replay.c $(pkg-config --cflags --libs tilefold) -o vulkan_replay && ./vulkan_replay
 */
#include <tilefold_vulkan.h>

#include <stdio.h>
#include <stdlib.h>

enum { FRAMES = 2048, WINDOW = 1024, HOP = 256, EXIT_SKIPPED = 77 };

static void must(tilefold_status status, const tilefold_message *message) {
    if (status == TILEFOLD_OK) return;
    fprintf(stderr, "%s: %s\n", tilefold_status_name(status), message->text);
    exit(status == TILEFOLD_NO_DEVICE || status == TILEFOLD_UNSUPPORTED ? EXIT_SKIPPED : EXIT_FAILURE);
}

/* An overlap-add: each frame adds a window, HOP samples after the one before. */
static tilefold_problem overlap_add(int64_t frames) {
    tilefold_problem problem;
    tilefold_problem_init(&problem, TILEFOLD_CONV_TRANSPOSE, TILEFOLD_F32, 1);
    problem.input_size[0] = frames;
    problem.kernel[0] = WINDOW;
    problem.stride[0] = HOP;
    tilefold_message message;
    must(tilefold_problem_set_layout(&problem, TILEFOLD_CHANNELS_LAST, &message), &message);
    return problem;
}

static tilefold_vulkan_range import(tilefold_context *context, float *memory, size_t elements,
                                    tilefold_vulkan_import **made) {
    tilefold_message message;
    must(tilefold_vulkan_import_create(context, memory, elements * sizeof *memory, made, &message), &message);
    return tilefold_vulkan_import_get_range(*made);
}

static float *ones(size_t elements) {
    float *memory = malloc(elements * sizeof *memory);
    if (!memory) exit(EXIT_FAILURE);
    for (size_t i = 0; i < elements; i++) memory[i] = 1;
    return memory;
}

int main(void) {
    tilefold_message message;
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.device = TILEFOLD_VULKAN;
    tilefold_context *context;
    must(tilefold_context_create(&options, &context, &message), &message);

    tilefold_plan_options plan_options;
    tilefold_plan_options_init(&plan_options);
    plan_options.bind_buffers = true;
    tilefold_problem problem = overlap_add(FRAMES);
    tilefold_plan *plan;
    must(tilefold_plan_create(context, &problem, &plan_options, &plan, &message), &message);
    char description[1024];
    tilefold_plan_print(plan, description, sizeof description);
    puts(description);

    enum { INPUT, WEIGHT, OUTPUT, ARRAYS };
    const size_t elements[ARRAYS] = {FRAMES, WINDOW, (FRAMES - 1) * HOP + WINDOW};
    float *array[ARRAYS];
    tilefold_vulkan_import *imported[ARRAYS];
    tilefold_vulkan_tensors tensors;
    tilefold_vulkan_tensors_init(&tensors);
    tilefold_vulkan_range *ranges[ARRAYS] = {&tensors.input, &tensors.weight, &tensors.output};
    for (int i = 0; i < ARRAYS; i++) {
        array[i] = ones(elements[i]);
        *ranges[i] = import(context, array[i], elements[i], &imported[i]);
    }
    tilefold_vulkan_binding *binding;
    must(tilefold_vulkan_bind(plan, &tensors, &binding, &message), &message);

    double seconds;
    must(tilefold_vulkan_run(binding, &seconds, &message), &message);
    printf("%d frames: the middle is %g, the last sample %g, in %.3f ms\n", FRAMES, array[OUTPUT][elements[OUTPUT] / 2],
           array[OUTPUT][elements[OUTPUT] - 1], 1e3 * seconds);
    tilefold_problem shorter = overlap_add(FRAMES / 2);
    must(tilefold_vulkan_resize(binding, &shorter, &message), &message);
    must(tilefold_vulkan_run(binding, &seconds, &message), &message);
    printf("%d frames: the last sample %g, in %.3f ms, nothing recorded again\n", FRAMES / 2,
           array[OUTPUT][(FRAMES / 2 - 1) * HOP + WINDOW - 1], 1e3 * seconds);

    tilefold_vulkan_binding_destroy(binding);
    for (int i = 0; i < ARRAYS; i++) {
        tilefold_vulkan_import_destroy(imported[i]);
        free(array[i]);
    }
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
    return EXIT_SUCCESS;
}
