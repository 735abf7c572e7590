/* The smallest use of the installed library from C: a 1-D convolution whose answer is known.
 *
 * SPDX-License-Identifier: MIT
 */
#include <tilefold.h>

#include <stdio.h>

int main(void) {
    tilefold_problem problem;
    tilefold_problem_init(&problem, TILEFOLD_CONV, TILEFOLD_F32, 1);
    problem.input_size[0] = 5;
    problem.kernel[0] = 3;

    tilefold_message message = {""};
    tilefold_context_options context_options;
    tilefold_context_options_init(&context_options);
    tilefold_plan_options plan_options;
    tilefold_plan_options_init(&plan_options);

    const float input[5] = {1, 2, 3, 4, 5}, weight[3] = {1, 10, 100}, expected[3] = {321, 432, 543};
    float output[3] = {0};
    tilefold_context *context;
    if (tilefold_problem_set_layout(&problem, TILEFOLD_CHANNELS_FIRST, &message) != TILEFOLD_OK ||
        tilefold_context_create(&context_options, &context, &message) != TILEFOLD_OK) {
        fprintf(stderr, "%s\n", message.text);
        return 1;
    }
    tilefold_status status = tilefold_convolve(context, &problem, &plan_options, input, weight, NULL, output, &message);
    tilefold_context_destroy(context);
    if (status != TILEFOLD_OK) {
        fprintf(stderr, "%s\n", message.text);
        return 1;
    }
    if (memcmp(output, expected, sizeof output) != 0) {
        fprintf(stderr, "got %g %g %g\n", output[0], output[1], output[2]);
        return 1;
    }
    printf("%s\n", tilefold_version());
    return 0;
}
