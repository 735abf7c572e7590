/* A writer of flat JSON. See json.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "json.h"

#include <inttypes.h>
#include <math.h>

static void put_string(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20) {
            fprintf(file, "\\u%04x", byte);
        } else {
            if (byte == '"' || byte == '\\') fputc('\\', file);
            fputc(byte, file);
        }
    }
    fputc('"', file);
}

static void begin_member(tilefold_cli_json *json, const char *name) {
    if (json->comma) fputs(", ", json->file);
    json->comma = true;
    if (!name) return;
    put_string(json->file, name);
    fputs(": ", json->file);
}

void tilefold_cli_json_open(tilefold_cli_json *json, const char *name, char bracket) {
    begin_member(json, name);
    fputc(bracket, json->file);
    json->comma = false;
}

void tilefold_cli_json_close(tilefold_cli_json *json, char bracket) {
    fputc(bracket, json->file);
    json->comma = true;
}

void tilefold_cli_json_string(tilefold_cli_json *json, const char *name, const char *value) {
    begin_member(json, name);
    put_string(json->file, value);
}

void tilefold_cli_json_integer(tilefold_cli_json *json, const char *name, int64_t value) {
    begin_member(json, name);
    fprintf(json->file, "%" PRId64, value);
}

void tilefold_cli_json_number(tilefold_cli_json *json, const char *name, double value) {
    begin_member(json, name);
    if (isfinite(value)) {
        fprintf(json->file, "%.9g", value);
    } else {
        fputs("null", json->file);
    }
}

void tilefold_cli_json_boolean(tilefold_cli_json *json, const char *name, bool value) {
    begin_member(json, name);
    fputs(value ? "true" : "false", json->file);
}

void tilefold_cli_json_null(tilefold_cli_json *json, const char *name) {
    begin_member(json, name);
    fputs("null", json->file);
}
