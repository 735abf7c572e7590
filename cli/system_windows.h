/* What system_windows.c has for the other files of Windows.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_SYSTEM_WINDOWS_H
#define TILEFOLD_CLI_SYSTEM_WINDOWS_H

#include <wchar.h>

/* UTF-8 as UTF-16 and back, to be freed; NULL where memory is out, or where it is no UTF-8. */
wchar_t *tilefold_cli_widen(const char *text);
char *tilefold_cli_narrow(const wchar_t *text);

/* What GetLastError() says, in text, which is returned. */
typedef struct tilefold_cli_windows_error {
    char text[256];
} tilefold_cli_windows_error;
const char *tilefold_cli_last_error(tilefold_cli_windows_error *error);

#endif
