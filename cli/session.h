/* What conv, plan and bench have in common: a context and a plan made from the options, and what is said about
 * them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CLI_SESSION_H
#define TILEFOLD_CLI_SESSION_H

#include <stddef.h>

#include <tilefold.h>

#include "json.h"
#include "options.h"

/* Opens the device that the options name. OK or FAILED. */
int tilefold_cli_open_context(const tilefold_cli_options *options, tilefold_context **context);

/* Prints the line for a plan that could not be made, naming the option it failed on, or else `subject`. FAILED. */
int tilefold_cli_plan_failed(const tilefold_cli_options *options, const char *subject, tilefold_status status,
                             const tilefold_message *message);

/* The members of the JSON object that are known before anything runs, all but the version. */
void tilefold_cli_report_plan(tilefold_cli_json *json, const tilefold_cli_options *options,
                              const tilefold_problem *problem, const tilefold_plan_info *info);

/* The plan's own description, to standard output. OK or FAILED. */
int tilefold_cli_print_plan(const tilefold_plan *plan);

/* Makes sure that what was printed has arrived. OK or FAILED. */
int tilefold_cli_flush(void);

#endif
