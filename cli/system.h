/* What the command line asks of the operating system, beside signals.h and output_file.h: its streams, its terminal, memory, a
 * clock, mapped files.
 *
 * SPDX-License-Identifier: MIT
 *
 * system_posix.c and system_windows.c implement it. Names of files are UTF-8 on Windows, what the user wrote elsewhere.
 */
#ifndef TILEFOLD_CLI_SYSTEM_H
#define TILEFOLD_CLI_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* To be called first, with main()'s parameters. Makes sure of the standard streams, which take bytes as they are, and that
 * printing to nobody is an error like any other. OK or FAILED. */
int tilefold_cli_begin_process(int *argc, char ***argv);

/* Whether standard output is there to be written to. */
bool tilefold_cli_can_print(void);

/* Whether standard error is a terminal, which it also makes ready for the escape sequence that clears a line; and its columns,
 * 0 where nobody knows. */
bool tilefold_cli_is_terminal(void);
int tilefold_cli_terminal_columns(void);

/* At least `bytes` bytes (never none), aligned to 64, or NULL where memory is out. */
void *tilefold_cli_allocate(int64_t bytes);
void tilefold_cli_release(void *memory);

/* The most bytes of memory this process has had resident; 0 where nobody knows. */
int64_t tilefold_cli_peak_memory(void);

/* Seconds of a clock that only runs forward. */
double tilefold_cli_clock(void);

/* Maps the regular file at path, read-only; NULL and 0 for an empty one. path must outlive the mapping. OK or FAILED. */
int tilefold_cli_map_file(const char *path, void **memory, size_t *bytes);
void tilefold_cli_unmap_file(void *memory, size_t bytes);

#endif
