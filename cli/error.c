/* The one line of a failure. See error.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

/* File names may hold line ends and terminal escapes; the contract is one line. */
static void print_error(const char *format, va_list arguments) {
    char text[8192];
    vsnprintf(text, sizeof text, format, arguments);
    for (char *at = text; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
    }
    fprintf(stderr, "tilefold: error: %s\n", text);
}

int tilefold_cli_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_error(format, arguments);
    va_end(arguments);
    return TILEFOLD_CLI_FAILED;
}

int tilefold_cli_misuse(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_error(format, arguments);
    va_end(arguments);
    return TILEFOLD_CLI_MISUSED;
}
