/* Suites of problems. See suite.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _POSIX_C_SOURCE 200809L

#include "suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "parse.h"

enum column {
    NAME,
    OP,
    RANK,
    BATCH,
    SPATIAL,
    IN,
    OUT,
    KERNEL,
    STRIDE,
    PADDING,
    DILATION,
    OUTPUT_PADDING,
    GROUPS,
    COLUMNS
};

static const char *const column_names[COLUMNS] = {"name",    "op",          "rank",         "batch",
                                                  "spatial", "in_channels", "out_channels", "kernel",
                                                  "stride",  "padding",     "dilation",     "output_padding",
                                                  "groups"};

/* Cuts a line at its tabs, in place; returns how many fields there are, at most COLUMNS + 1. */
static int split(char *line, char *fields[COLUMNS + 1]) {
    int count = 0;
    for (char *next = line; next && count <= COLUMNS;) {
        fields[count++] = next;
        next = strchr(next, '\t');
        if (next) *next++ = '\0';
    }
    return count;
}

static bool read_axes(const char *text, int rank, int64_t least, int64_t values[TILEFOLD_MAX_RANK]) {
    tilefold_cli_list list;
    if (!tilefold_cli_parse_list(text, TILEFOLD_MAX_RANK, least, &list) || list.count != rank) return false;
    memcpy(values, list.value, sizeof *values * (size_t)rank);
    return true;
}

static bool read_count(const char *text, int64_t *value) {
    return tilefold_cli_parse_integer(text, value) && *value >= 1;
}

static bool read_padding(const char *text, tilefold_problem *problem) {
    tilefold_cli_padding padding;
    if (!tilefold_cli_parse_padding(text, &padding) || padding.begin.count != problem->rank) return false;
    memcpy(problem->padding_begin, padding.begin.value, sizeof problem->padding_begin);
    memcpy(problem->padding_end, padding.end.value, sizeof problem->padding_end);
    return true;
}

static bool read_field(int column, const char *text, tilefold_cli_suite_row *row) {
    tilefold_problem *problem = &row->problem;
    int64_t number;
    switch (column) {
    case NAME: return snprintf(row->name, sizeof row->name, "%s", text) < (int)sizeof row->name && text[0];
    case OP:
        problem->op = strcmp(text, "conv") == 0 ? TILEFOLD_CONV : TILEFOLD_CONV_TRANSPOSE;
        return problem->op == TILEFOLD_CONV || strcmp(text, "conv-transpose") == 0;
    case RANK:
        if (!read_count(text, &number) || number > TILEFOLD_MAX_RANK) return false;
        problem->rank = (int32_t)number;
        return true;
    case BATCH: return read_count(text, &problem->batch);
    case SPATIAL: return read_axes(text, problem->rank, 1, problem->input_size);
    case IN: return read_count(text, &problem->in_channels);
    case OUT: return read_count(text, &problem->out_channels);
    case KERNEL: return read_axes(text, problem->rank, 1, problem->kernel);
    case STRIDE: return read_axes(text, problem->rank, 1, problem->stride);
    case PADDING: return read_padding(text, problem);
    case DILATION: return read_axes(text, problem->rank, 1, problem->dilation);
    case OUTPUT_PADDING: return read_axes(text, problem->rank, 0, problem->output_padding);
    default: return read_count(text, &problem->groups);
    }
}

/* One line of the table, without its end; source and number are for messages. */
static int read_line(char *line, const char *source, int number, tilefold_cli_suite *suite) {
    char *fields[COLUMNS + 1];
    if (!line[0] || line[0] == '#') return TILEFOLD_CLI_OK;
    int count = split(line, fields);
    if (count != COLUMNS) {
        return tilefold_cli_fail("%s:%d: %s %d columns between tabs, not %d", source, number,
                                 count > COLUMNS ? "more than" : "only", count > COLUMNS ? COLUMNS : count, COLUMNS);
    }
    tilefold_cli_suite_row row = {.name = ""};
    tilefold_problem_init(&row.problem, TILEFOLD_CONV, TILEFOLD_F32, 1);
    for (int column = 0; column < COLUMNS; column++) {
        if (read_field(column, fields[column], &row)) continue;
        return tilefold_cli_fail("%s:%d: %s '%s' is out of range or not one value per axis", source, number,
                                 column_names[column], fields[column]);
    }
    tilefold_cli_suite_row *rows = realloc(suite->rows, (suite->count + 1) * sizeof *rows);
    if (!rows) return tilefold_cli_fail("%s:%d: out of memory", source, number);
    suite->rows = rows;
    suite->rows[suite->count++] = row;
    return TILEFOLD_CLI_OK;
}

static int read_built_in(tilefold_cli_suite *suite) {
    int status = TILEFOLD_CLI_OK;
    for (int i = 0; status == TILEFOLD_CLI_OK && tilefold_cli_default_suite[i]; i++) {
        char *line = strdup(tilefold_cli_default_suite[i]);
        if (!line) return tilefold_cli_fail("no memory for the built-in suite");
        status = read_line(line, "built-in suite", i + 1, suite);
        free(line);
    }
    return status;
}

enum { MOST_LINE_BYTES = 4096 }; /* with its end: a file without line ends must not fill the memory */

static int read_file(const char *path, tilefold_cli_suite *suite) {
    FILE *file = fopen(path, "r");
    if (!file) return tilefold_cli_fail("%s: cannot open it: %s", path, strerror(errno));
    char line[MOST_LINE_BYTES], *last = line + MOST_LINE_BYTES - 1;
    int status = TILEFOLD_CLI_OK;
    *last = 'x'; /* until a line fills the buffer; a line may hold NULs, so its length does not tell */
    for (int number = 1; status == TILEFOLD_CLI_OK && fgets(line, sizeof line, file); number++) {
        if (!*last && last[-1] != '\n') {
            status = tilefold_cli_fail("%s:%d: the line is longer than %d bytes", path, number, MOST_LINE_BYTES - 2);
            break;
        }
        size_t length = strlen(line);
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) line[--length] = '\0';
        status = read_line(line, path, number, suite);
        *last = 'x';
    }
    if (status == TILEFOLD_CLI_OK && ferror(file))
        status = tilefold_cli_fail("%s: cannot read it: %s", path, strerror(errno));
    fclose(file);
    return status;
}

int tilefold_cli_suite_read(const char *path, tilefold_cli_suite *suite) {
    *suite = (tilefold_cli_suite){0};
    int status = path ? read_file(path, suite) : read_built_in(suite);
    if (status == TILEFOLD_CLI_OK && suite->count == 0)
        status = tilefold_cli_fail("%s: there is no problem in it", path);
    if (status != TILEFOLD_CLI_OK) tilefold_cli_suite_free(suite);
    return status;
}

void tilefold_cli_suite_free(tilefold_cli_suite *suite) {
    free(suite->rows);
    *suite = (tilefold_cli_suite){0};
}
