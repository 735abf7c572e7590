/* What signals do to a run: stop it cleanly.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_SIGNALS_H
#define TILEFOLD_CLI_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>

/* SIGINT, SIGTERM and SIGHUP (unless that is ignored, as under nohup) are noted for tilefold_cli_interrupted(). SIGXFSZ
 * is ignored, so that writing too much is an error. SIGBUS, which is what a mapped file gives
 * where it was cut short or its disk failed, ends the process as any failure does: one line, status 1, nothing left. On
 * Windows the same goes for Ctrl-C, Ctrl-Break, the end of the console or the session, and a page that cannot be read. */
void tilefold_cli_catch_signals(void);

/* Tells what file is mapped to memory, so that the line can name it. Not for more than one thread. */
void tilefold_cli_name_mapping(const char *name, const void *memory, size_t bytes);
void tilefold_cli_forget_mapping(const void *memory);

bool tilefold_cli_interrupted(void);

#endif
