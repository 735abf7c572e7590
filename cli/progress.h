/* The progress line, and the way an interruption reaches a running convolution.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_PROGRESS_H
#define TILEFOLD_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tilefold_cli_progress {
    bool wanted; /* standard error is a terminal, and --quiet is not there */
    bool shown;
    double begun, printed; /* seconds of tilefold_cli_clock() */
    int64_t band, bands;   /* the one in hand, of so many that take about equal time */
} tilefold_cli_progress;

void tilefold_cli_progress_begin(tilefold_cli_progress *progress, bool quiet);

/* From now on steps are of this band. Not while steps may come. */
void tilefold_cli_progress_band(tilefold_cli_progress *progress, int64_t band, int64_t bands);

/* A tilefold_progress; user is the tilefold_cli_progress. Prints about ten times a second, and cancels when interrupted. */
bool tilefold_cli_progress_step(void *user, int64_t done, int64_t total);

/* Takes the line off the terminal. */
void tilefold_cli_progress_end(tilefold_cli_progress *progress);

#endif
