/* The commands. Each runs to the end and returns the exit status, having printed the error if there was one.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_COMMANDS_H
#define TILEFOLD_CLI_COMMANDS_H

#include "options.h"

int tilefold_cli_run_conv(const tilefold_cli_options *options); /* conv and conv-transpose */
int tilefold_cli_run_plan(const tilefold_cli_options *options);
int tilefold_cli_run_bench(const tilefold_cli_options *options);
int tilefold_cli_run_devices(const tilefold_cli_options *options);
int tilefold_cli_run_selftest(const tilefold_cli_options *options);

#endif
