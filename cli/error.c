/* The one line of a failure. See error.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* File names may hold line ends and terminal escapes; the contract is one line. */
static void compose(char *text, size_t bytes, const char *format, va_list arguments) {
    static const char head[] = "tilefold: error: ";
    size_t begin = sizeof head - 1;
    memcpy(text, head, sizeof head);
    vsnprintf(text + begin, bytes - begin - 1, format, arguments);
    char *at = text + begin;
    for (; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
    }
    memcpy(at, "\n", 2);
}

static void print_error(const char *format, va_list arguments) {
    char text[8192];
    compose(text, sizeof text, format, arguments);
    fputs(text, stderr);
}

void tilefold_cli_error_line(char *text, size_t bytes, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    compose(text, bytes, format, arguments);
    va_end(arguments);
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
