// The smallest use of the installed library from C++: plan a problem, print the plan.
//
// SPDX-License-Identifier: MIT
#include <tilefold.h>

#include <cstdio>

int main() {
    tilefold_problem problem;
    tilefold_problem_init(&problem, TILEFOLD_CONV_TRANSPOSE, TILEFOLD_F32, 1);
    problem.input_size[0] = 5158;
    problem.kernel[0] = 4096;
    problem.stride[0] = 1024;

    tilefold_context_options context_options;
    tilefold_context_options_init(&context_options);
    tilefold_plan_options plan_options;
    tilefold_plan_options_init(&plan_options);

    tilefold_message message;
    tilefold_context *context = nullptr;
    tilefold_plan *plan = nullptr;
    if (tilefold_problem_set_layout(&problem, TILEFOLD_CHANNELS_LAST, &message) != TILEFOLD_OK ||
        tilefold_context_create(&context_options, &context, &message) != TILEFOLD_OK ||
        tilefold_plan_create(context, &problem, &plan_options, &plan, &message) != TILEFOLD_OK) {
        std::fprintf(stderr, "%s\n", message.text);
        return 1;
    }
    char text[4096];
    std::size_t length = tilefold_plan_print(plan, text, sizeof text);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
    std::printf("%s\n", tilefold_version());
    return length > 0 && length < sizeof text ? 0 : 1;
}
