/* SPDX-License-Identifier: MIT
 *
 * A recording through a forward and an inverse STFT. */
#ifndef TILEFOLD_DEMO_ROUND_TRIP_H
#define TILEFOLD_DEMO_ROUND_TRIP_H

#include "recording.h"
#include "report.h"

/* Adds the three convolutions of a round trip to the table: analysis, synthesis and overlap. What comes back is the
 * caller's to unmap. False where a convolution failed. */
bool demo_round_trip(demo_report *report, const demo_recording *recording, int64_t size, int64_t hop,
                     demo_recording *reconstruction);

/* Says how near the reconstruction is, checks that it is near enough, and rounds it to the recording's encoding. */
void demo_compare_recordings(demo_report *report, const demo_recording *recording, demo_recording *reconstruction,
                             int64_t size, int64_t hop);

#endif
