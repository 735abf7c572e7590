/* Executing from mapped files, a band at a time: its pages are read ahead, and dropped behind.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_BANDS_H
#define TILEFOLD_CLI_BANDS_H

#include <tilefold.h>

#include "pages.h"
#include "progress.h"

/* A plan on the CPU and the files that its arrays are in. */
typedef struct tilefold_cli_band_run {
    const tilefold_plan *plan;
    const tilefold_problem *problem;     /* the plan's */
    const tilefold_execution *execution; /* of the whole; its progress is this one: */
    tilefold_cli_progress *progress;
    tilefold_cli_pages input, output;
} tilefold_cli_band_run;

/* Does the equal of tilefold_execute(). Of the two files no more is in this process's memory at a time than a band of some
 * MiB, fewer where memory is short, and the next one's input. Where the files are more than half of what memory there
 * is, what has been computed is written to the disk as it goes on, and at most two bands wait for that; *write_error then becomes
 * the errno of a disk that did not take it, else 0. */
tilefold_status tilefold_cli_execute_bands(const tilefold_cli_band_run *run, int *write_error,
                                           tilefold_message *message);

#endif
