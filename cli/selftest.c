/* tilefold selftest: whether this build gives the promised bits on this machine.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <stdio.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "session.h"

/* What is said about the devices and instruction sets one after another. */
typedef struct selftest {
    tilefold_cli_json json;
    bool as_json;
    int64_t compared, disagreed; /* outputs, of the context in hand */
    int64_t all_disagreed;
    char first[512]; /* the first of them: context, problem and way */
    char context[320];
} selftest;

static bool take_output(void *user, const char *problem, const char *way, bool agrees) {
    selftest *test = user;
    test->compared++;
    if (agrees) return true;
    test->disagreed++;
    if (test->all_disagreed++ == 0)
        snprintf(test->first, sizeof test->first, "%s: %s (%s)", test->context, problem, way);
    if (!test->as_json) {
        printf("  differs: %s (%s)\n", problem, way);
        return true;
    }
    tilefold_cli_json_open(&test->json, NULL, '{');
    tilefold_cli_json_string(&test->json, "problem", problem);
    tilefold_cli_json_string(&test->json, "way", way);
    tilefold_cli_json_close(&test->json, '}');
    return true;
}

/* The context in hand, in words and as the first members of its object. */
static void begin_context(selftest *test, const tilefold_device_info *info, const tilefold_context_options *options) {
    const char *isa = tilefold_isa_name(options->isa);
    bool cpu = info->kind == TILEFOLD_CPU;
    test->compared = test->disagreed = 0;
    if (cpu)
        snprintf(test->context, sizeof test->context, "cpu, %s, %d thread%s", isa, (int)options->threads,
                 options->threads > 1 ? "s" : "");
    else
        snprintf(test->context, sizeof test->context, "vulkan:%d, %s", (int)info->index, info->name);
    if (!test->as_json) return;
    tilefold_cli_json_open(&test->json, NULL, '{');
    tilefold_cli_json_string(&test->json, "device", cpu ? "cpu" : "vulkan");
    if (cpu) {
        tilefold_cli_json_string(&test->json, "isa", isa);
        tilefold_cli_json_integer(&test->json, "threads", options->threads);
    } else {
        tilefold_cli_json_integer(&test->json, "index", info->index);
        tilefold_cli_json_string(&test->json, "name", info->name);
    }
    tilefold_cli_json_open(&test->json, "disagreements", '[');
}

static void end_context(selftest *test, bool left_out, const tilefold_message *message) {
    if (test->as_json) {
        tilefold_cli_json_close(&test->json, ']');
        tilefold_cli_json_integer(&test->json, "outputs", test->compared);
        if (left_out) tilefold_cli_json_string(&test->json, "left_out", message->text);
        tilefold_cli_json_close(&test->json, '}');
    } else if (left_out) {
        printf("%s: left out: %s\n", test->context, message->text);
    } else {
        printf("%s: %" PRId64 " of %" PRId64 " outputs agree\n", test->context, test->compared - test->disagreed,
               test->compared);
    }
}

/* One device, by one instruction set and number of threads. */
static int run_context(selftest *test, const tilefold_device_info *info, tilefold_isa isa, int32_t threads) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.device = info->kind;
    options.device_index = info->index;
    options.isa = isa;
    options.threads = threads;
    begin_context(test, info, &options);
    tilefold_context *context;
    tilefold_message message;
    tilefold_status status = tilefold_context_create(&options, &context, &message);
    if (status == TILEFOLD_OK) {
        status = tilefold_selftest(context, take_output, test, &message);
        tilefold_context_destroy(context);
    }
    bool left_out = status == TILEFOLD_UNSUPPORTED && info->kind != TILEFOLD_CPU; /* it promises no such bits */
    if (status != TILEFOLD_OK && status != TILEFOLD_DISAGREEMENT && !left_out)
        return tilefold_cli_fail("%s: %s", test->context, message.text);
    end_context(test, left_out, &message);
    return tilefold_cli_flush();
}

/* Each instruction set on one thread; the best one on two, and on as many as it would use. */
static int run_cpu(selftest *test, const tilefold_device_info *info) {
    int status = TILEFOLD_CLI_OK;
    for (int isa = TILEFOLD_ISA_PORTABLE; status == TILEFOLD_CLI_OK && tilefold_isa_name((tilefold_isa)isa); isa++)
        if (info->isa_mask >> isa & 1) status = run_context(test, info, (tilefold_isa)isa, 1);
    if (status == TILEFOLD_CLI_OK) status = run_context(test, info, info->isa, 2);
    if (status == TILEFOLD_CLI_OK && info->threads > 2) status = run_context(test, info, info->isa, info->threads);
    return status;
}

static int run_devices(selftest *test) {
    int status = TILEFOLD_CLI_OK;
    for (size_t number = 0; status == TILEFOLD_CLI_OK && number < tilefold_device_count(); number++) {
        tilefold_device_info info;
        tilefold_message message;
        tilefold_device_info_init(&info);
        if (tilefold_get_device_info(number, &info, &message) != TILEFOLD_OK)
            return tilefold_cli_fail("device %zu: %s", number, message.text);
        status = info.kind == TILEFOLD_CPU ? run_cpu(test, &info) : run_context(test, &info, TILEFOLD_ISA_BEST, 0);
    }
    return status;
}

int tilefold_cli_run_selftest(const tilefold_cli_options *options) {
    selftest test = {.json = {stdout, false}, .as_json = options->json};
    if (test.as_json) {
        tilefold_cli_json_open(&test.json, NULL, '{');
        tilefold_cli_json_open(&test.json, "runs", '[');
    }
    int status = run_devices(&test);
    if (status != TILEFOLD_CLI_OK) return status;
    if (test.as_json) {
        tilefold_cli_json_close(&test.json, ']');
        tilefold_cli_json_boolean(&test.json, "agrees", test.all_disagreed == 0);
        tilefold_cli_json_string(&test.json, "version", tilefold_version());
        tilefold_cli_json_close(&test.json, '}');
        putchar('\n');
    }
    status = tilefold_cli_flush();
    if (status != TILEFOLD_CLI_OK || test.all_disagreed == 0) return status;
    return tilefold_cli_fail("%" PRId64 " outputs have not the golden bits, the first: %s", test.all_disagreed,
                             test.first);
}
