/* The error contract: one line on standard error, and the exit status that goes with it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_ERROR_H
#define TILEFOLD_CLI_ERROR_H

#include <stddef.h>

/* Exit statuses. Functions of the command line that can fail return one of these, having printed the line. */
enum {
    TILEFOLD_CLI_OK = 0,
    TILEFOLD_CLI_FAILED = 1,
    TILEFOLD_CLI_MISUSED = 2, /* the command line itself is wrong */
};

#ifdef __GNUC__
#define TILEFOLD_CLI_PRINTF(format_place) __attribute__((format(printf, format_place, format_place + 1)))
#else
#define TILEFOLD_CLI_PRINTF(format_place)
#endif

/* Print "tilefold: error: " and the text as one line (control characters in it become '?') and return FAILED or MISUSED. */
int tilefold_cli_fail(const char *format, ...) TILEFOLD_CLI_PRINTF(1);
int tilefold_cli_misuse(const char *format, ...) TILEFOLD_CLI_PRINTF(1);

/* Writes that line, with its end, to text instead. */
void tilefold_cli_error_line(char *text, size_t bytes, const char *format, ...) TILEFOLD_CLI_PRINTF(3);

#endif
