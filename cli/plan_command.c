/* tilefold plan: how a convolution would be computed, from shapes alone.
 *
 * SPDX-License-Identifier: MIT
 */
#include "commands.h"
#include "error.h"
#include "problem.h"
#include "session.h"

static int print(const tilefold_cli_options *options, const tilefold_problem *problem, const tilefold_plan *plan) {
    if (!options->json) return tilefold_cli_print_plan(plan);
    tilefold_plan_info info;
    tilefold_plan_info_init(&info);
    tilefold_message message;
    if (tilefold_plan_get_info(plan, &info, &message) != TILEFOLD_OK) return tilefold_cli_fail("%s", message.text);
    tilefold_cli_json json = {stdout, false};
    tilefold_cli_json_open(&json, NULL, '{');
    tilefold_cli_report_plan(&json, options, problem, &info);
    tilefold_cli_json_string(&json, "version", tilefold_version());
    tilefold_cli_json_close(&json, '}');
    putchar('\n');
    return TILEFOLD_CLI_OK;
}

static tilefold_cli_shape shape_of(const char *option, const tilefold_cli_list *list) {
    tilefold_cli_shape shape = {.name = option, .count = list->count};
    for (int i = 0; i < list->count; i++) shape.size[i] = list->value[i];
    return shape;
}

int tilefold_cli_run_plan(const tilefold_cli_options *options) {
    tilefold_cli_shape input = shape_of("--input", &options->input_shape);
    tilefold_cli_shape weight = shape_of("--weight", &options->weight_shape);
    tilefold_type type = options->type == TILEFOLD_NONE ? TILEFOLD_F32 : options->type;
    tilefold_problem problem;
    int status = tilefold_cli_problem(options, &input, &weight, type, &problem);
    if (status != TILEFOLD_CLI_OK) return status;

    tilefold_context *context;
    status = tilefold_cli_open_context(options, &context);
    if (status != TILEFOLD_CLI_OK) return status;
    tilefold_plan *plan;
    tilefold_message message;
    tilefold_status planned = tilefold_plan_create(context, &problem, &options->plan, &plan, &message);
    if (planned == TILEFOLD_OK) {
        status = print(options, &problem, plan);
        tilefold_plan_destroy(plan);
    } else {
        status = tilefold_cli_plan_failed(options, "--input, --weight", planned, &message);
    }
    tilefold_context_destroy(context);
    return status == TILEFOLD_CLI_OK ? tilefold_cli_flush() : status;
}
