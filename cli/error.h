/* The error contract: one line on standard error, and the exit status that goes with it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_ERROR_H
#define TILEFOLD_CLI_ERROR_H

/* Exit statuses. Functions of the command line that can fail return one of these, having printed the line. */
enum {
    TILEFOLD_CLI_OK = 0,
    TILEFOLD_CLI_FAILED = 1,
    TILEFOLD_CLI_MISUSED = 2, /* the command line itself is wrong */
};

#ifdef __GNUC__
#define TILEFOLD_CLI_PRINTF __attribute__((format(printf, 1, 2)))
#else
#define TILEFOLD_CLI_PRINTF
#endif

/* Print "tilefold: error: " and the text as one line (control characters in it become '?') and return FAILED or MISUSED. */
int tilefold_cli_fail(const char *format, ...) TILEFOLD_CLI_PRINTF;
int tilefold_cli_misuse(const char *format, ...) TILEFOLD_CLI_PRINTF;

#endif
