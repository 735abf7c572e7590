/* SPDX-License-Identifier: MIT
 *
 * The cases that the project was founded on, with random tensors. */
#ifndef TILEFOLD_DEMO_FOUNDING_H
#define TILEFOLD_DEMO_FOUNDING_H

#include "measure.h"

typedef struct demo_founding_case {
    const char *name;
    tilefold_problem problem;
    demo_tensors tensors;
} demo_founding_case;

/* A: the overlap-add of an inverse STFT, 81 GiB unfolded: beyond the largest buffer of every GPU of its day. */
void demo_create_case_a(demo_founding_case *founding);

/* B: a 3x3 convolution of 64 to 64 channels of an image of size x size, whose unfold doubles a phone's memory. */
void demo_create_case_b(demo_founding_case *founding, const char *name, tilefold_type type, int64_t size);

void demo_destroy_case(demo_founding_case *founding);

#endif
