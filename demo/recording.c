/* SPDX-License-Identifier: MIT */
#include "recording.h"

#include <math.h>
#include <sndfile.h>
#include <stdio.h>

static bool complain(const char *path, const char *what) {
    fprintf(stderr, "tilefold-demo: error: %s: %s\n", path, what);
    return false;
}

/* 0 for floating point, -1 for an encoding whose samples are not numbers of a fixed step. */
static int bits_of(int encoding) {
    switch (encoding) {
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8: return 8;
    case SF_FORMAT_PCM_16: return 16;
    case SF_FORMAT_PCM_24: return 24;
    case SF_FORMAT_PCM_32: return 32;
    case SF_FORMAT_FLOAT:
    case SF_FORMAT_DOUBLE: return 0;
    default: return -1;
    }
}

int64_t demo_recording_count(const demo_recording *recording) { return recording->frames * recording->channels; }

static bool read_samples(SNDFILE *file, const char *path, demo_recording *recording) {
    sf_command(file, SFC_SET_NORM_FLOAT, NULL, SF_FALSE); /* the file's own units */
    float *samples = recording->samples.data;
    if (sf_readf_float(file, samples, recording->frames) != recording->frames)
        return complain(path, "ends before its last sample");
    for (int64_t i = 0; i < demo_recording_count(recording); i++)
        if (!isfinite(samples[i])) return complain(path, "has a sample that is infinite or not a number");
    return true;
}

bool demo_recording_read(const char *path, demo_recording *recording) {
    SF_INFO info = {0};
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file) return complain(path, sf_strerror(NULL));
    recording->format = info.format & SF_FORMAT_SUBMASK;
    recording->bits = bits_of(recording->format);
    recording->channels = info.channels;
    recording->rate = info.samplerate;
    recording->frames = info.frames;
    bool good;
    if (recording->bits < 0) {
        good = complain(path, "is neither PCM nor floating point");
    } else if (recording->frames < 1) {
        good = complain(path, "has no samples");
    } else {
        recording->samples = demo_map((size_t)demo_recording_count(recording) * sizeof(float));
        good = read_samples(file, path, recording);
    }
    sf_close(file);
    return good;
}

void demo_recording_round(demo_recording *recording) {
    if (recording->bits == 0) return;
    float low = -ldexpf(1, recording->bits - 1);
    float high = fminf(-low - 1, nextafterf(-low, 0)); /* 2^31 - 1 is no fp32 */
    float *samples = recording->samples.data;
    for (int64_t i = 0; i < demo_recording_count(recording); i++)
        samples[i] = fminf(fmaxf(rintf(samples[i]), low), high);
}

bool demo_recording_write_wav(const char *path, const demo_recording *recording) {
    int encoding = recording->format == SF_FORMAT_PCM_S8 ? SF_FORMAT_PCM_U8 : recording->format; /* WAV's 8 bits */
    SF_INFO info = {.channels = recording->channels, .samplerate = recording->rate, .format = SF_FORMAT_WAV | encoding};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    if (!file) return complain(path, sf_strerror(NULL));
    sf_command(file, SFC_SET_NORM_FLOAT, NULL, SF_FALSE);
    sf_command(file, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE); /* it holds the time of day */
    bool good = sf_writef_float(file, recording->samples.data, recording->frames) == recording->frames;
    if (sf_close(file) != 0) good = false;
    return good || complain(path, "cannot be written");
}
