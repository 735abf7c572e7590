/* A writer of flat JSON: members go out as they are added. A NULL name adds an element to the open array.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_JSON_H
#define TILEFOLD_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct tilefold_cli_json {
    FILE *file;
    bool comma; /* the next member needs one before it */
} tilefold_cli_json;

void tilefold_cli_json_open(tilefold_cli_json *json, const char *name, char bracket); /* '{' or '[' */
void tilefold_cli_json_close(tilefold_cli_json *json, char bracket);                  /* '}' or ']' */
void tilefold_cli_json_string(tilefold_cli_json *json, const char *name, const char *value);
void tilefold_cli_json_integer(tilefold_cli_json *json, const char *name, int64_t value);
/* JSON has no infinity and no NaN: those become null. */
void tilefold_cli_json_number(tilefold_cli_json *json, const char *name, double value);
void tilefold_cli_json_boolean(tilefold_cli_json *json, const char *name, bool value);
void tilefold_cli_json_null(tilefold_cli_json *json, const char *name); /* there is no such figure */

#endif
