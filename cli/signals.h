/* What signals do to a run: stop it cleanly.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_SIGNALS_H
#define TILEFOLD_CLI_SIGNALS_H

#include <stdbool.h>

/* SIGINT, SIGTERM and SIGHUP (unless that is ignored, as under nohup) are noted for tilefold_cli_interrupted(). SIGXFSZ
 * is ignored, so that writing too much is an error. SIGBUS, which is what a mapped file gives
 * where it was cut short or its disk failed, ends the process as any failure does: one line, status 1, nothing left. */
void tilefold_cli_catch_signals(void);

bool tilefold_cli_interrupted(void);

#endif
