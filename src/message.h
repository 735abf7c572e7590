/* How a failure is told: a status and one line with the numbers in it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_MESSAGE_H
#define TILEFOLD_MESSAGE_H

#include <tilefold.h>

#ifdef __GNUC__
#define TILEFOLD_PRINTF(string_at, first) __attribute__((__format__(__printf__, string_at, first)))
#else
#define TILEFOLD_PRINTF(string_at, first)
#endif

/* Writes the line where a message is wanted, and returns status: `return tilefold_fail(message, STATUS, "...", ...)`. */
tilefold_status tilefold_fail(tilefold_message *message, tilefold_status status, const char *format, ...)
    TILEFOLD_PRINTF(3, 4);

#endif /* TILEFOLD_MESSAGE_H */
