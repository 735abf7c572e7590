/* SPDX-License-Identifier: MIT
 *
 * Memory and time against the limit, for the picture. */
#ifndef TILEFOLD_DEMO_SWEEP_H
#define TILEFOLD_DEMO_SWEEP_H

#include "founding.h"
#include "report.h"

#include <stdio.h>

/* Runs the case under its least limit and under every power of two of bytes from there to 64 MiB, and writes one line
 * each: limit, scratch and growth of the process without its packed weights, all in bytes, seconds, threads. Two empty
 * lines end the block: one data set of gnuplot. */
void demo_sweep(demo_report *report, const demo_founding_case *founding, FILE *data);

#endif
