/* A writer of flat JSON. See json.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "json.h"

#include <inttypes.h>
#include <math.h>

/* Bytes of the UTF-8 character at text; 0 where they are none (Unicode, table 3-7: neither overlong nor a surrogate). */
static int character_bytes(const unsigned char *text) {
    static const struct {
        unsigned char first, last, second_least, second_most;
        int bytes;
    } rows[] = {{0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (text[0] < rows[i].first || text[0] > rows[i].last) continue;
        if (rows[i].bytes > 1 && (text[1] < rows[i].second_least || text[1] > rows[i].second_most)) return 0;
        for (int k = 2; k < rows[i].bytes; k++) {
            if (text[k] < 0x80 || text[k] > 0xbf) return 0;
        }
        return rows[i].bytes;
    }
    return 0;
}

/* JSON is UTF-8, but the names in a table of problems may be anything: what is no character is replaced by U+FFFD. */
static void put_string(FILE *file, const char *text) {
    fputc('"', file);
    for (int bytes; *text; text += bytes) {
        bytes = character_bytes((const unsigned char *)text);
        if (bytes == 0) {
            fputs("\\ufffd", file);
            bytes = 1;
        } else if ((unsigned char)*text < 0x20) {
            fprintf(file, "\\u%04x", (unsigned)*text);
        } else {
            if (*text == '"' || *text == '\\') fputc('\\', file);
            fwrite(text, 1, (size_t)bytes, file);
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
