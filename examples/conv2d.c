/* SPDX-License-Identifier: MIT
 *
 * A 3x3 convolution of a 64-channel image, planned once and executed with memory of the caller's own.
 *
 *     cc -std=c11 examples/conv2d.c $(pkg-config --cflags --libs tilefold) -o conv2d && ./conv2d
 */
#include <tilefold.h>

#include <stdio.h>
#include <stdlib.h>

static void must(tilefold_status status, const tilefold_message *message) {
    if (status == TILEFOLD_OK) return;
    fprintf(stderr, "%s: %s\n", tilefold_status_name(status), message->text);
    exit(EXIT_FAILURE);
}

/* Aligned as tilefold asks of scratch and packed weights, and never NULL for no bytes at all. */
static void *must_allocate(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (memory) return memory;
    fprintf(stderr, "no memory for %zu bytes\n", bytes);
    exit(EXIT_FAILURE);
}

int main(void) {
    const size_t image_elements = 64 * 256 * 256, weight_elements = 64 * 64 * 3 * 3;
    tilefold_message message;
    tilefold_problem problem;
    tilefold_problem_init(&problem, TILEFOLD_CONV, TILEFOLD_F32, 2);
    problem.in_channels = problem.out_channels = 64;
    for (int axis = 0; axis < 2; axis++) {
        problem.input_size[axis] = 256;
        problem.kernel[axis] = 3;
        problem.padding_begin[axis] = problem.padding_end[axis] = 1;
    }
    must(tilefold_problem_set_layout(&problem, TILEFOLD_CHANNELS_FIRST, &message), &message);

    tilefold_context *context;
    tilefold_context_options context_options;
    tilefold_context_options_init(&context_options);
    must(tilefold_context_create(&context_options, &context, &message), &message);

    tilefold_plan *plan;
    tilefold_plan_options plan_options;
    tilefold_plan_options_init(&plan_options);
    plan_options.scratch_limit_bytes = 64 * 1024;
    must(tilefold_plan_create(context, &problem, &plan_options, &plan, &message), &message);
    char description[1024];
    tilefold_plan_print(plan, description, sizeof description);
    puts(description);

    float *input = must_allocate(image_elements * sizeof *input);
    float *weight = must_allocate(weight_elements * sizeof *weight);
    float *output = must_allocate(image_elements * sizeof *output);
    for (size_t i = 0; i < image_elements; i++) input[i] = 1;
    for (size_t i = 0; i < weight_elements; i++) weight[i] = 1.0f / 576;

    tilefold_plan_info info;
    tilefold_plan_info_init(&info);
    must(tilefold_plan_get_info(plan, &info, &message), &message);
    tilefold_execution execution;
    tilefold_execution_init(&execution);
    void *packed_weight = must_allocate((size_t)info.packed_weight_bytes);
    must(tilefold_pack_weight(plan, weight, weight_elements * sizeof *weight, packed_weight,
                              (size_t)info.packed_weight_bytes, &message),
         &message);
    execution.input = input;
    execution.input_bytes = execution.output_bytes = image_elements * sizeof *input;
    execution.packed_weight = packed_weight;
    execution.output = output;
    execution.scratch = must_allocate((size_t)info.scratch_bytes);
    execution.scratch_bytes = (size_t)info.scratch_bytes;
    must(tilefold_execute(plan, &execution, &message), &message);
    printf("a mean of 3x3 pixels of 1: %g in the middle, %g in the corner\n", output[128 * 256 + 128], output[0]);

    free(execution.scratch);
    free(packed_weight);
    free(output);
    free(weight);
    free(input);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
    return EXIT_SUCCESS;
}
