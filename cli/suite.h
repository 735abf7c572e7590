/* Suites of problems: tables of one problem a line, as bench/shapes.tsv.
 *
 * SPDX-License-Identifier: MIT
 *
 * Columns, between tabs: name, op, rank, batch, spatial, in_channels, out_channels, kernel, stride, padding, dilation,
 * output_padding, groups; commas between axes. Lines that are empty or begin with # are left out.
 */
#ifndef TILEFOLD_CLI_SUITE_H
#define TILEFOLD_CLI_SUITE_H

#include <stddef.h>

#include <tilefold.h>

typedef struct tilefold_cli_suite_row {
    char name[64];
    tilefold_problem problem; /* fp32, without strides */
} tilefold_cli_suite_row;

typedef struct tilefold_cli_suite {
    tilefold_cli_suite_row *rows;
    size_t count;
} tilefold_cli_suite;

/* The lines of bench/shapes.tsv, made by the build from cli/default_suite.c.in; a NULL ends them. */
extern const char *const tilefold_cli_default_suite[];

/* Reads the table at path, or the built-in one for NULL. OK or FAILED (then there is nothing to free). */
int tilefold_cli_suite_read(const char *path, tilefold_cli_suite *suite);
void tilefold_cli_suite_free(tilefold_cli_suite *suite);

#endif
