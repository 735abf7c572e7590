/* SPDX-License-Identifier: MIT */
#include "round_trip.h"
#include "stft.h"

#include <math.h>
#include <stdio.h>

static bool run(demo_report *report, const char *what, const demo_stft *stft, const tilefold_problem *problem,
                const demo_tensors *tensors) {
    char name[64];
    demo_measurement measured[DEMO_LIMITS];
    snprintf(name, sizeof name, "STFT %lld/%lld, %s", (long long)stft->size, (long long)stft->hop, what);
    return demo_report_case(report, name, problem, tensors, measured);
}

/* samples /= overlap, each channel alike */
static void normalise(const demo_recording *recording, const float *overlap) {
    float *samples = recording->samples.data;
    for (int64_t t = 0; t < recording->frames; t++)
        for (int channel = 0; channel < recording->channels; channel++)
            samples[t * recording->channels + channel] /= overlap[t];
}

bool demo_round_trip(demo_report *report, const demo_recording *recording, int64_t size, int64_t hop,
                     demo_recording *reconstruction) {
    demo_stft stft;
    demo_stft_create(&stft, size, hop, recording->frames, recording->channels);
    *reconstruction = *recording;
    reconstruction->samples = demo_map(recording->samples.bytes);
    demo_array spectrum = demo_map((size_t)(recording->channels * stft.bands * stft.frames) * sizeof(float));
    demo_array overlap = demo_map((size_t)recording->frames * sizeof(float));

    demo_tensors analysis = {.input = recording->samples, .weight = stft.kernels, .output = spectrum};
    demo_tensors synthesis = {.input = spectrum, .weight = stft.kernels, .output = reconstruction->samples};
    demo_tensors overlapping = {.input = stft.ones, .weight = stft.window_squared, .output = overlap};
    bool good = run(report, "analysis", &stft, &stft.analysis, &analysis) &&
                run(report, "synthesis", &stft, &stft.synthesis, &synthesis) &&
                run(report, "overlap", &stft, &stft.overlap, &overlapping);
    if (good)
        normalise(reconstruction, overlap.data);
    else
        demo_unmap(reconstruction->samples);
    demo_unmap(spectrum);
    demo_unmap(overlap);
    demo_stft_destroy(&stft);
    return good;
}

void demo_compare_recordings(demo_report *report, const demo_recording *recording, demo_recording *reconstruction,
                             int64_t size, int64_t hop) {
    const float *before = recording->samples.data, *after = reconstruction->samples.data;
    int64_t count = demo_recording_count(recording), identical = 0;
    double peak = 0, error = 0;
    for (int64_t i = 0; i < count; i++) {
        double off = fabs((double)after[i] - (double)before[i]);
        peak = fmax(peak, fabs((double)before[i]));
        if (off > error || isnan(off)) error = off; /* once NaN, always NaN */
    }
    demo_recording_round(reconstruction);
    for (int64_t i = 0; i < count; i++) identical += before[i] == after[i];

    printf("STFT %lld/%lld and back: off by at most %.1e of the recording's peak", (long long)size, (long long)hop,
           peak > 0 ? error / peak : 0);
    if (recording->bits) printf("; rounded to its %d bits", recording->bits);
    printf(", %lld of %lld samples are identical\n", (long long)identical, (long long)count);
    /* Two sums of about `size` terms in fp32, whose errors grow as the square root (see reference.c). */
    double tolerance = 2 * 8 * sqrt((double)size) * ldexp(1, -24);
    demo_report_check(report, error <= tolerance * peak,
                      "STFT %lld/%lld and back: off by %g of the recording's peak, where two fp32 sums may be by %g",
                      (long long)size, (long long)hop, error / peak, tolerance);
}
