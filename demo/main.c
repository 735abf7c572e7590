/* SPDX-License-Identifier: MIT
 *
 * The main job of tilefold on real input: `tilefold-demo RECORDING OUTPUT_FOLDER`. demo/run.sh builds and runs it.
 *
 * Runs the founding cases and a round trip of a recording through the STFT, each convolution under two limits and checked
 * against float64, prints one table, and writes the recording that came back and the data of the picture. */
#include "founding.h"
#include "round_trip.h"
#include "sweep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const int64_t case_a_most_macs = 26400000, case_a_most_bytes = 60 << 20;

static void print_machine(void) {
    tilefold_device_info info;
    tilefold_device_info_init(&info);
    if (tilefold_get_device_info(0, &info, NULL) != TILEFOLD_OK) return;
    printf("tilefold %s on %s: %d threads, %s\n", tilefold_version(), info.name, info.threads,
           tilefold_isa_name(info.isa));
}

static void print_recording(const char *path, const demo_recording *recording) {
    printf("recording %s: %.2f s, %d Hz, channels: %d\n\n", path, (double)recording->frames / recording->rate,
           recording->rate, recording->channels);
}

static void run_founding_cases(demo_report *report, FILE *data) {
    demo_founding_case founding;
    demo_measurement measured[DEMO_LIMITS];
    demo_create_case_a(&founding);
    bool good = demo_report_case(report, founding.name, &founding.problem, &founding.tensors, measured);
    for (int i = 0; good && i < DEMO_LIMITS; i++) {
        const demo_measurement *m = &measured[i];
        long long macs = m->plan.macs, peak_bytes = m->peak_bytes;
        demo_report_check(report, macs <= case_a_most_macs, "case A: %lld multiply-adds, more than %lld", macs,
                          (long long)case_a_most_macs);
        demo_report_check(report, peak_bytes < case_a_most_bytes, "case A: a peak of %lld bytes, not below %lld",
                          peak_bytes, (long long)case_a_most_bytes);
    }
    demo_sweep(report, &founding, data);
    demo_destroy_case(&founding);

    demo_create_case_b(&founding, "B 3x3, 256x256, fp32", TILEFOLD_F32, 256);
    demo_report_case(report, founding.name, &founding.problem, &founding.tensors, measured);
    demo_sweep(report, &founding, data);
    demo_destroy_case(&founding);

    demo_create_case_b(&founding, "B 3x3, 512x512, fp16", TILEFOLD_F16, 512);
    demo_report_case(report, founding.name, &founding.problem, &founding.tensors, measured);
    demo_destroy_case(&founding);
}

/* The small frame of speech processing, and that of case A. */
static const int64_t stft_sizes[] = {1024, 4096};
enum { STFTS = sizeof stft_sizes / sizeof stft_sizes[0] };

static void run_round_trips(demo_report *report, const demo_recording *recording, const char *folder) {
    demo_recording reconstructions[STFTS];
    bool good[STFTS];
    for (int i = 0; i < STFTS; i++)
        good[i] = demo_round_trip(report, recording, stft_sizes[i], stft_sizes[i] / 4, &reconstructions[i]);
    putchar('\n');
    demo_report_legend();
    putchar('\n');
    for (int i = 0; i < STFTS; i++) {
        demo_recording *reconstruction = &reconstructions[i];
        if (!good[i]) continue;
        demo_compare_recordings(report, recording, reconstruction, stft_sizes[i], stft_sizes[i] / 4);
        char path[4096];
        snprintf(path, sizeof path, "%s/reconstruction-%lld.wav", folder, (long long)stft_sizes[i]);
        demo_report_check(report, demo_recording_write_wav(path, reconstruction), "%s is not written", path);
        demo_unmap(reconstruction->samples);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: tilefold-demo RECORDING OUTPUT_FOLDER\n");
        return 2;
    }
    demo_recording recording;
    if (!demo_recording_read(argv[1], &recording)) return EXIT_FAILURE;
    char path[4096];
    snprintf(path, sizeof path, "%s/limits.dat", argv[2]);
    FILE *data = fopen(path, "w");
    if (!data) {
        fprintf(stderr, "tilefold-demo: error: %s: %s\n", path, strerror(errno));
        return EXIT_FAILURE;
    }
    demo_report report = {0};
    print_machine();
    print_recording(argv[1], &recording);
    demo_report_header();
    run_founding_cases(&report, data);
    demo_report_check(&report, fclose(data) == 0, "%s is not written: %s", path, strerror(errno));
    run_round_trips(&report, &recording, argv[2]);
    demo_unmap(recording.samples);
    if (report.failures) fprintf(stderr, "%d checks failed\n", report.failures);
    return report.failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
