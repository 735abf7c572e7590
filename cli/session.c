/* What conv, plan and bench have in common. See session.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "problem.h"
#include "signals.h"

int tilefold_cli_open_context(const tilefold_cli_options *options, tilefold_context **context) {
    tilefold_message message;
    if (tilefold_context_create(&options->context, context, &message) == TILEFOLD_OK) return TILEFOLD_CLI_OK;
    if (options->context.device == TILEFOLD_VULKAN) {
        return tilefold_cli_fail("--device vulkan:%d: %s", (int)options->context.device_index, message.text);
    }
    if (options->context.isa != TILEFOLD_ISA_BEST) {
        return tilefold_cli_fail("--isa %s: %s", tilefold_isa_name(options->context.isa), message.text);
    }
    if (options->context.threads > 0) {
        return tilefold_cli_fail("--threads %d: %s", (int)options->context.threads, message.text);
    }
    return tilefold_cli_fail("--device cpu: %s", message.text);
}

/* The options that ask for one way to compute it; false where none does. */
static bool describe_choice(const tilefold_plan_options *plan, char *text, size_t bytes) {
    bool algorithm = plan->algorithm != TILEFOLD_ALGORITHM_AUTO, storage = plan->storage != TILEFOLD_STORAGE_BUFFER;
    const char *algorithm_name = tilefold_algorithm_name(plan->algorithm);
    const char *storage_name = tilefold_cli_storage_name(plan->storage);
    if (algorithm && storage) snprintf(text, bytes, "--algorithm %s, --storage %s", algorithm_name, storage_name);
    if (algorithm && !storage) snprintf(text, bytes, "--algorithm %s", algorithm_name);
    if (!algorithm && storage) snprintf(text, bytes, "--storage %s", storage_name);
    return algorithm || storage;
}

int tilefold_cli_plan_failed(const tilefold_cli_options *options, const char *subject, tilefold_status status,
                             const tilefold_message *message) {
    int64_t max_buffer = options->plan.max_buffer_bytes;
    if (status == TILEFOLD_LIMIT_TOO_SMALL && max_buffer > 0) { /* the message says which of the two it is */
        return tilefold_cli_fail("--scratch %" PRId64 ", --max-buffer %" PRId64 ": %s",
                                 options->plan.scratch_limit_bytes, max_buffer, message->text);
    }
    if (status == TILEFOLD_LIMIT_TOO_SMALL) {
        return tilefold_cli_fail("--scratch %" PRId64 ": %s", options->plan.scratch_limit_bytes, message->text);
    }
    char choice[64];
    if (status == TILEFOLD_UNSUPPORTED && describe_choice(&options->plan, choice, sizeof choice)) {
        return tilefold_cli_fail("%s: %s", choice, message->text);
    }
    if (status == TILEFOLD_UNSUPPORTED && max_buffer > 0) {
        return tilefold_cli_fail("--max-buffer %" PRId64 ": %s", max_buffer, message->text);
    }
    return tilefold_cli_fail("%s: %s", subject, message->text);
}

void tilefold_cli_report_plan(tilefold_cli_json *json, const tilefold_cli_options *options,
                              const tilefold_problem *problem, const tilefold_plan_info *info) {
    int64_t shape[TILEFOLD_CLI_MAX_DIMENSIONS];
    tilefold_cli_output_shape(problem, options->layout, info->output_size, shape);
    tilefold_cli_json_string(json, "op", problem->op == TILEFOLD_CONV ? "conv" : "conv-transpose");
    tilefold_cli_json_string(json, "device", info->device == TILEFOLD_CPU ? "cpu" : "vulkan");
    tilefold_cli_json_string(json, "algorithm", tilefold_algorithm_name(info->algorithm));
    if (info->device == TILEFOLD_CPU) {
        tilefold_cli_json_string(json, "isa", tilefold_isa_name(info->isa));
        tilefold_cli_json_integer(json, "threads", info->threads);
    } else {
        tilefold_cli_json_null(json, "isa");
        tilefold_cli_json_null(json, "threads");
    }
    tilefold_cli_json_open(json, "output_shape", '[');
    for (int i = 0; i < problem->rank + 2; i++) tilefold_cli_json_integer(json, NULL, shape[i]);
    tilefold_cli_json_close(json, ']');
    tilefold_cli_json_integer(json, "scratch_limit_bytes", info->scratch_limit_bytes);
    tilefold_cli_json_integer(json, "scratch_bytes", info->scratch_bytes);
    tilefold_cli_json_integer(json, "plan_bytes", info->plan_bytes);
    tilefold_cli_json_integer(json, "min_scratch_bytes", info->min_scratch_bytes);
    tilefold_cli_json_integer(json, "ideal_scratch_bytes", info->ideal_scratch_bytes);
    tilefold_cli_json_integer(json, "packed_weight_bytes", info->packed_weight_bytes);
    tilefold_cli_json_integer(json, "full_unfold_bytes", info->full_unfold_bytes);
    tilefold_cli_json_integer(json, "tiles", info->tiles);
    tilefold_cli_json_integer(json, "phases", info->phases);
    tilefold_cli_json_integer(json, "macs", info->macs);
    tilefold_cli_json_string(json, "math", tilefold_math_name(info->math));
    tilefold_cli_json_number(json, "error_bound", info->error_bound);
}

int tilefold_cli_print_plan(const tilefold_plan *plan) {
    size_t bytes = tilefold_plan_print(plan, NULL, 0) + 1;
    char *text = malloc(bytes);
    if (!text) return tilefold_cli_fail("no memory for %zu bytes of text", bytes);
    tilefold_plan_print(plan, text, bytes);
    fputs(text, stdout);
    free(text);
    return TILEFOLD_CLI_OK;
}

int tilefold_cli_flush(void) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return TILEFOLD_CLI_OK;
    if (tilefold_cli_interrupted()) return tilefold_cli_fail("interrupted");
    return tilefold_cli_fail("cannot write to standard output: %s", strerror(errno));
}
