/* SPDX-License-Identifier: MIT */
#include "report.h"
#include "reference.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const int64_t demo_limits_bytes[DEMO_LIMITS] = {16 << 20, 64 << 10};

/* A few seconds of the float64 loop: all outputs of most cases, an even sample of the largest. */
static const double max_checked_macs = 2.5e9;

const char *demo_bytes(int64_t bytes, char text[16]) {
    static const char units[][4] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024; unit++) value /= 1024;
    bool whole = value == (double)(int64_t)value || value >= 100;
    snprintf(text, 16, whole ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}

void demo_report_header(void) {
    printf("%-25s %6s %8s %8s %8s %8s %8s %6s %10s %7s %7s %7s %s\n", "convolution", "limit", "unfold", "scratch",
           "packed", "growth", "peak", "tiles", "time", "GFLOP/s", "error", "checked", "bits");
}

void demo_report_legend(void) {
    puts("unfold   what unfolding the whole input at once would take\n"
         "scratch  what the plan uses of the limit\n"
         "packed   the prepacked weights, which are outside the limit\n"
         "growth   by how much planning and executing raised the resident memory of the process\n"
         "peak     its largest, tensors and program included; each row has a process of its own\n"
         "time     of one execution, the fastest of several\n"
         "error    the largest difference to float64 over the largest output, among the share of outputs checked\n"
         "bits     whether they are the same under both limits");
}

void demo_report_check(demo_report *report, bool passed, const char *format, ...) {
    if (passed) return;
    va_list arguments;
    fflush(stdout);
    fputs("FAILED: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    report->failures++;
}

/* 0 of 0, silence, is no error. */
static double relative(const demo_comparison *c) { return c->error == 0 ? 0 : c->error / c->largest; }

static void print_row(const char *name, const demo_measurement *m, const demo_comparison *c, const char *bits) {
    const tilefold_plan_info *plan = &m->plan;
    char limit[16], unfold[16], scratch[16], packed[16], growth[16], peak[16];
    printf("%-25s %6s %8s %8s %8s %8s %8s %6lld %7.2f ms %7.1f %7.1e %6.3g%% %s\n", name,
           demo_bytes(plan->scratch_limit_bytes, limit), demo_bytes(plan->full_unfold_bytes, unfold),
           demo_bytes(plan->scratch_bytes, scratch), demo_bytes(plan->packed_weight_bytes, packed),
           demo_bytes(m->growth_bytes, growth), demo_bytes(m->peak_bytes, peak), (long long)plan->tiles,
           1e3 * m->seconds, 2e-9 * (double)plan->macs / m->seconds, relative(c),
           100 * (double)c->checked / (double)c->outputs, bits);
    fflush(stdout);
}

static void check_memory(demo_report *report, const char *name, const demo_measurement *m) {
    const tilefold_plan_info *plan = &m->plan;
    char a[16], b[16];
    int64_t used_bytes = plan->scratch_bytes + plan->plan_bytes;
    demo_report_check(report, used_bytes <= plan->scratch_limit_bytes,
                      "%s: %lld bytes of scratch and plan under a limit of %lld", name, (long long)used_bytes,
                      (long long)plan->scratch_limit_bytes);
    int64_t promised_bytes = plan->scratch_bytes + plan->packed_weight_bytes + (1 << 20);
    demo_report_check(report, m->growth_bytes <= promised_bytes,
                      "%s: memory grew by %s, which is more than scratch, packed weights and 1 MiB, %s", name,
                      demo_bytes(m->growth_bytes, a), demo_bytes(promised_bytes, b));
}

bool demo_report_case(demo_report *report, const char *name, const tilefold_problem *problem,
                      const demo_tensors *tensors, demo_measurement measured[DEMO_LIMITS]) {
    demo_comparison comparison;
    demo_array first_output = demo_map(tensors->output.bytes);
    for (int i = 0; i < DEMO_LIMITS; i++) {
        demo_measurement *m = &measured[i];
        demo_measure(problem, tensors, demo_limits_bytes[i], m);
        if (m->status != TILEFOLD_OK) {
            demo_report_check(report, false, "%s: %s", name, m->message.text);
            demo_unmap(first_output);
            return false;
        }
        const char *bits = "";
        if (i == 0) {
            demo_compare(problem, tensors, max_checked_macs, &comparison);
            demo_report_check(report, comparison.error <= comparison.tolerance * comparison.largest,
                              "%s: off by %g of the largest output, where %g is the rounding of such a sum", name,
                              relative(&comparison), comparison.tolerance);
            memcpy(first_output.data, tensors->output.data, first_output.bytes);
        } else {
            bool same = memcmp(first_output.data, tensors->output.data, first_output.bytes) == 0;
            bits = same ? "same" : "DIFFERENT";
            demo_report_check(report, same, "%s: the bits depend on the limit", name);
        }
        print_row(i == 0 ? name : "", m, &comparison, bits);
        check_memory(report, name, m);
    }
    demo_unmap(first_output);
    return true;
}
