/* SPDX-License-Identifier: MIT */
#include "founding.h"
#include "reference.h"

#include <stdio.h>
#include <stdlib.h>

/* fp32: uniform in [-1, 1). fp16: any sign and fraction, magnitudes from 1/16 to 1. */
static demo_array map_random(tilefold_type type, int64_t count, uint64_t seed) {
    demo_array tensor = demo_map((size_t)count * tilefold_type_bytes(type));
    for (int64_t i = 0; i < count; i++) {
        uint64_t random = demo_random(&seed);
        if (type == TILEFOLD_F16)
            ((uint16_t *)tensor.data)[i] = (uint16_t)((random & 0x83ff) | (11 + (random >> 16 & 3)) << 10);
        else
            ((float *)tensor.data)[i] = (float)((double)(int64_t)(random >> 40) / (1 << 23) - 1);
    }
    return tensor;
}

static void create(demo_founding_case *founding, tilefold_layout layout) {
    tilefold_problem *problem = &founding->problem;
    int64_t output_size[TILEFOLD_MAX_RANK];
    tilefold_message message;
    if (tilefold_problem_set_layout(problem, layout, &message) != TILEFOLD_OK ||
        tilefold_output_size(problem, output_size, &message) != TILEFOLD_OK) {
        fprintf(stderr, "tilefold-demo: error: %s\n", message.text);
        exit(EXIT_FAILURE);
    }
    int64_t inputs = problem->in_channels, outputs = problem->out_channels;
    int64_t weights = problem->in_channels * problem->out_channels;
    for (int axis = 0; axis < problem->rank; axis++) {
        inputs *= problem->input_size[axis];
        outputs *= output_size[axis];
        weights *= problem->kernel[axis];
    }
    founding->tensors = (demo_tensors){.input = map_random(problem->type, inputs, 1),
                                       .weight = map_random(problem->type, weights, 2),
                                       .output = demo_map((size_t)outputs * tilefold_type_bytes(problem->type))};
}

void demo_create_case_a(demo_founding_case *founding) {
    tilefold_problem *problem = &founding->problem;
    founding->name = "A transposed 4096/1024";
    tilefold_problem_init(problem, TILEFOLD_CONV_TRANSPOSE, TILEFOLD_F32, 1);
    problem->input_size[0] = 5158;
    problem->kernel[0] = 4096;
    problem->stride[0] = 1024;
    create(founding, TILEFOLD_CHANNELS_LAST);
}

void demo_create_case_b(demo_founding_case *founding, const char *name, tilefold_type type, int64_t size) {
    tilefold_problem *problem = &founding->problem;
    founding->name = name;
    tilefold_problem_init(problem, TILEFOLD_CONV, type, 2);
    problem->in_channels = problem->out_channels = 64;
    for (int axis = 0; axis < 2; axis++) {
        problem->input_size[axis] = size;
        problem->kernel[axis] = 3;
        problem->padding_begin[axis] = problem->padding_end[axis] = 1;
    }
    create(founding, TILEFOLD_CHANNELS_FIRST);
}

void demo_destroy_case(demo_founding_case *founding) {
    demo_unmap(founding->tensors.input);
    demo_unmap(founding->tensors.weight);
    demo_unmap(founding->tensors.output);
}
