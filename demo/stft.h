/* SPDX-License-Identifier: MIT
 *
 * The short-time Fourier transform and its inverse as two convolutions.
 *
 * Kernel 2j is the Hann window times a cosine of frequency j / size, kernel 2j+1 the same with a sine. A convolution of
 * stride `hop` of the signal with these kernels is its spectrum, two channels per frequency; a transposed convolution of
 * the spectrum with the very same kernels adds every frame up where it came from, windowed twice. The cosines and sines
 * are scaled to be orthonormal, so the sum is the signal times the overlapped squares of the window, which are the
 * transposed convolution of ones with the squared window:
 *
 *     signal = synthesis(analysis(signal)) / overlap
 *
 *     samples            0                                                     samples
 *     padding size-hop   |                                                     | size-hop or more
 *         [____frame 0___|_]                                                   |
 *              [__frame 1|______]                                              |
 *                   ...                               [____last frame__________|___]
 *
 * The padding makes every sample lie in size / hop frames, so that the overlap is nowhere near zero. */
#ifndef TILEFOLD_DEMO_STFT_H
#define TILEFOLD_DEMO_STFT_H

#include "memory.h"

#include <tilefold.h>

typedef struct demo_stft {
    int64_t size, hop, samples, recorded_channels;
    int64_t frames, bands; /* bands: two per frequency, from 0 to half of the sampling rate */
    tilefold_problem analysis, synthesis, overlap;
    demo_array kernels;        /* bands x size floats */
    demo_array window_squared; /* size floats */
    demo_array ones;           /* frames floats */
} demo_stft;

/* size: a multiple of 4 and of hop. The recording is interleaved: its channels are the batch, by strides. */
void demo_stft_create(demo_stft *stft, int64_t size, int64_t hop, int64_t samples, int64_t recorded_channels);
void demo_stft_destroy(demo_stft *stft);

#endif
