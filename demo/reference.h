/* SPDX-License-Identifier: MIT
 *
 * The same convolutions once more, in float64 and straight from the formulas at the top of tilefold.h: nothing here comes
 * from the library but the problem. */
#ifndef TILEFOLD_DEMO_REFERENCE_H
#define TILEFOLD_DEMO_REFERENCE_H

#include "measure.h"

typedef struct demo_comparison {
    int64_t outputs, checked; /* all of them, and how many were computed again: evenly spread, at random within that */
    double largest;           /* the largest |float64 result| among them */
    double error;             /* the largest |result - float64 result| among them; NaN where a result is one */
    double tolerance;         /* what rounding may make of error / largest */
} demo_comparison;

/* Compares tensors->output with at most max_macs multiply-adds' worth of float64 results. Knows conv of rank 1 and 2 and transposed
 * conv of rank 1, both without groups, dilation, flip, bias and activation, in F32 or F16. */
void demo_compare(const tilefold_problem *problem, const demo_tensors *tensors, double max_macs,
                  demo_comparison *comparison);

/* The value of an IEEE 754 binary16. */
float demo_half_to_float(uint16_t half);

/* The next of a sequence of random numbers (splitmix64, https://prng.di.unimi.it/splitmix64.c). */
uint64_t demo_random(uint64_t *state);

#endif
