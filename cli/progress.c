/* The progress line. See progress.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _POSIX_C_SOURCE 200809L

#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "session.h"
#include "signals.h"

static const double seconds_between_lines = 0.1;

void tilefold_cli_progress_begin(tilefold_cli_progress *progress, bool quiet) {
    double now = tilefold_cli_clock();
    *progress = (tilefold_cli_progress){.wanted = !quiet && isatty(STDERR_FILENO), .begun = now, .printed = now};
}

bool tilefold_cli_progress_step(void *user, int64_t done, int64_t total) {
    tilefold_cli_progress *progress = user;
    if (tilefold_cli_interrupted()) return false;
    if (!progress->wanted) return true;
    double now = tilefold_cli_clock();
    if (now - progress->printed < seconds_between_lines) return true;
    progress->printed = now;
    progress->shown = true;
    fprintf(stderr, "\r%3.0f %%  %" PRId64 " of %" PRId64 " tiles, %.1f s\033[K", 100.0 * (double)done / (double)total,
            done, total, now - progress->begun);
    return true;
}

void tilefold_cli_progress_end(tilefold_cli_progress *progress) {
    if (progress->shown) fputs("\r\033[K", stderr);
    progress->shown = false;
}
