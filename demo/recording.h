/* SPDX-License-Identifier: MIT
 *
 * A recording, read and written with libsndfile. Samples are interleaved, as in the file, and in the file's own units: a
 * 16-bit sample is a whole number from -32768 to 32767. In fp32, 32-bit samples lose their last 8 bits. */
#ifndef TILEFOLD_DEMO_RECORDING_H
#define TILEFOLD_DEMO_RECORDING_H

#include "memory.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct demo_recording {
    int format; /* libsndfile's encoding: SF_FORMAT_PCM_16, ... */
    int bits;   /* of a PCM sample; 0 for floating point */
    int channels, rate;
    int64_t frames;     /* samples per channel */
    demo_array samples; /* frames * channels floats */
} demo_recording;

/* Both say on standard error what is wrong. PCM of 8, 16, 24 or 32 bits and floating point can be read. */
bool demo_recording_read(const char *path, demo_recording *recording);
bool demo_recording_write_wav(const char *path, const demo_recording *recording);

/* Rounds the samples to what the encoding can hold. */
void demo_recording_round(demo_recording *recording);

/* How many samples in all channels together. */
int64_t demo_recording_count(const demo_recording *recording);

#endif
