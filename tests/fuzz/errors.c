/* See errors.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int lines;

int fuzz_error_lines(void) { return lines; }

/* Composed, so that every argument is read as its conversion says. */
static void count_line(const char *format, va_list arguments) {
    char text[4096];
    if (vsnprintf(text, sizeof text, format, arguments) < 1) abort();
    lines++;
}

int tilefold_cli_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    count_line(format, arguments);
    va_end(arguments);
    return TILEFOLD_CLI_FAILED;
}

int tilefold_cli_misuse(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    count_line(format, arguments);
    va_end(arguments);
    return TILEFOLD_CLI_MISUSED;
}
