/* SPDX-License-Identifier: MIT */
#include "stft.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double pi = 3.14159265358979323846;

static void fill_kernels(demo_stft *stft) {
    int64_t size = stft->size;
    float *kernels = stft->kernels.data, *window_squared = stft->window_squared.data;
    double *cosine = malloc((size_t)size * sizeof *cosine); /* of one turn in `size` steps */
    if (!cosine) {
        fprintf(stderr, "tilefold-demo: error: out of memory\n");
        exit(EXIT_FAILURE);
    }
    for (int64_t t = 0; t < size; t++) cosine[t] = cos(2 * pi * (double)t / (double)size);
    for (int64_t j = 0; j <= size / 2; j++) {
        /* Frequencies 0 and size/2 stand for themselves, every other also for its conjugate. */
        double scale = sqrt((j == 0 || j == size / 2 ? 1.0 : 2.0) / (double)size);
        for (int64_t t = 0; t < size; t++) {
            double window = 0.5 - 0.5 * cosine[t];
            int64_t turn = j * t % size;
            kernels[2 * j * size + t] = (float)(scale * window * cosine[turn]);
            kernels[(2 * j + 1) * size + t] = (float)(-scale * window * cosine[(turn + 3 * size / 4) % size]);
        }
    }
    for (int64_t t = 0; t < size; t++) {
        double window = 0.5 - 0.5 * cosine[t];
        window_squared[t] = (float)(window * window);
    }
    free(cosine);
}

/* 1-D, channels-first, with the strides of dense tensors. */
static void init_problem(tilefold_problem *problem, const demo_stft *stft, tilefold_op op, int64_t batch,
                         int64_t in_channels, int64_t out_channels, int64_t input_size, int64_t padding_end) {
    tilefold_problem_init(problem, op, TILEFOLD_F32, 1);
    problem->batch = batch;
    problem->in_channels = in_channels;
    problem->out_channels = out_channels;
    problem->input_size[0] = input_size;
    problem->kernel[0] = stft->size;
    problem->stride[0] = stft->hop;
    problem->padding_begin[0] = stft->size - stft->hop;
    problem->padding_end[0] = padding_end;
    tilefold_message message;
    if (tilefold_problem_set_layout(problem, TILEFOLD_CHANNELS_FIRST, &message) != TILEFOLD_OK) {
        fprintf(stderr, "tilefold-demo: error: %s\n", message.text);
        exit(EXIT_FAILURE);
    }
}

void demo_stft_create(demo_stft *stft, int64_t size, int64_t hop, int64_t samples, int64_t recorded_channels) {
    *stft = (demo_stft){.size = size, .hop = hop, .samples = samples, .recorded_channels = recorded_channels};
    stft->bands = size + 2;
    stft->frames = (samples + size - hop + hop - 1) / hop; /* the last begins within the last hop samples */
    int64_t padding_end = (stft->frames - 1) * hop + size - (size - hop) - samples;
    stft->kernels = demo_map((size_t)(stft->bands * size) * sizeof(float));
    stft->window_squared = demo_map((size_t)size * sizeof(float));
    stft->ones = demo_map((size_t)stft->frames * sizeof(float));
    fill_kernels(stft);
    for (int64_t i = 0; i < stft->frames; i++) ((float *)stft->ones.data)[i] = 1;

    init_problem(&stft->analysis, stft, TILEFOLD_CONV, recorded_channels, 1, stft->bands, samples, padding_end);
    init_problem(&stft->synthesis, stft, TILEFOLD_CONV_TRANSPOSE, recorded_channels, stft->bands, 1, stft->frames,
                 padding_end);
    init_problem(&stft->overlap, stft, TILEFOLD_CONV_TRANSPOSE, 1, 1, 1, stft->frames, padding_end);
    tilefold_tensor_strides interleaved = {.batch = 1, .channel = 1, .spatial = {recorded_channels}};
    stft->analysis.input_stride = stft->synthesis.output_stride = interleaved;
}

void demo_stft_destroy(demo_stft *stft) {
    demo_unmap(stft->kernels);
    demo_unmap(stft->window_squared);
    demo_unmap(stft->ones);
}
