/* SPDX-License-Identifier: MIT
 *
 * The table, one convolution under two limits after the other, and the checks. */
#ifndef TILEFOLD_DEMO_REPORT_H
#define TILEFOLD_DEMO_REPORT_H

#include "measure.h"

enum { DEMO_LIMITS = 2 };
extern const int64_t demo_limits_bytes[DEMO_LIMITS]; /* 16 MiB and 64 KiB */

typedef struct demo_report {
    int failures;
} demo_report;

void demo_report_header(void);

/* What the columns mean. */
void demo_report_legend(void);

/* Runs the problem under each limit, prints a row for each, and checks: the plan keeps to the limit, memory grows by no
 * more than scratch, packed weights and 1 MiB, the output agrees with float64, and its bits are the same under both. False
 * where there is no output, or not under both. */
bool demo_report_case(demo_report *report, const char *name, const tilefold_problem *problem,
                      const demo_tensors *tensors, demo_measurement measured[DEMO_LIMITS]);

/* Where passed is false, says so and counts it. */
void demo_report_check(demo_report *report, bool passed, const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* "16 MiB", "80.6 GiB": at most 8 characters. */
const char *demo_bytes(int64_t bytes, char text[16]);

#endif
