/* The command line, read and checked for everything that does not depend on the files.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_OPTIONS_H
#define TILEFOLD_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <tilefold.h>

#include "parse.h"

typedef enum tilefold_cli_command {
    TILEFOLD_CLI_CONV,
    TILEFOLD_CLI_CONV_TRANSPOSE,
    TILEFOLD_CLI_PLAN,
    TILEFOLD_CLI_BENCH,
    TILEFOLD_CLI_DEVICES,
    TILEFOLD_CLI_SELFTEST,
    TILEFOLD_CLI_COMMANDS,
} tilefold_cli_command;

typedef struct tilefold_cli_options {
    tilefold_cli_command command;
    bool help;      /* --help was there: nothing else has been checked */
    tilefold_op op; /* of conv, conv-transpose and plan */
    const char *input_path, *weight_path, *bias_path, *output_path; /* bias_path NULL: no bias */
    const char *suite_path, *filter;                                /* NULL: the built-in suite, all of it */
    tilefold_cli_list input_shape, weight_shape;                    /* of plan, in the layout's order */
    tilefold_layout layout;
    tilefold_cli_list stride, dilation, input_dilation, output_padding, output_shape;
    tilefold_cli_padding padding;
    int64_t groups;
    bool flip;
    float clamp_low, clamp_high;
    tilefold_type type; /* NONE: as the files say */
    tilefold_context_options context;
    tilefold_plan_options plan;
    bool json, quiet;
} tilefold_cli_options;

/* Which command a word is; false for none. */
bool tilefold_cli_find_command(const char *word, tilefold_cli_command *command);

/* Reads the arguments after the command's name, argv[0]. OK or MISUSED. */
int tilefold_cli_options_read(tilefold_cli_command command, int argc, char **argv, tilefold_cli_options *options);

/* "buffer", "texture2d", "texture3d". */
const char *tilefold_cli_storage_name(tilefold_storage storage);

/* To standard output: all commands, or one with its options. */
void tilefold_cli_print_overview(void);
void tilefold_cli_print_help(tilefold_cli_command command);

#endif
