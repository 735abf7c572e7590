/* The command line of tilefold: which command it is.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include <tilefold.h>

#include "commands.h"
#include "error.h"
#include "session.h"
#include "system.h"

/* Nobody should compute for hours and then find out. */
static int check_standard_output(void) {
    if (tilefold_cli_can_print()) return TILEFOLD_CLI_OK;
    return tilefold_cli_fail("cannot write to standard output: it is closed");
}

static int run(const tilefold_cli_options *options) {
    switch (options->command) {
    case TILEFOLD_CLI_PLAN: return tilefold_cli_run_plan(options);
    case TILEFOLD_CLI_BENCH: return tilefold_cli_run_bench(options);
    case TILEFOLD_CLI_DEVICES: return tilefold_cli_run_devices(options);
    case TILEFOLD_CLI_SELFTEST: return tilefold_cli_run_selftest(options);
    default: return tilefold_cli_run_conv(options);
    }
}

int main(int argc, char **argv) {
    int status = tilefold_cli_begin_process(&argc, &argv);
    if (status != TILEFOLD_CLI_OK) return status;
    if (argc < 2) return tilefold_cli_misuse("no command given (see tilefold --help)");
    if (strcmp(argv[1], "--help") == 0) {
        tilefold_cli_print_overview();
        return tilefold_cli_flush();
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("tilefold %s\n", tilefold_version());
        return tilefold_cli_flush();
    }
    tilefold_cli_command command;
    if (!tilefold_cli_find_command(argv[1], &command)) {
        return tilefold_cli_misuse("unknown command '%s' (see tilefold --help)", argv[1]);
    }
    tilefold_cli_options options;
    status = tilefold_cli_options_read(command, argc - 1, argv + 1, &options);
    if (status != TILEFOLD_CLI_OK) return status;
    if (options.help) {
        tilefold_cli_print_help(command);
        return tilefold_cli_flush();
    }
    status = check_standard_output();
    return status == TILEFOLD_CLI_OK ? run(&options) : status;
}
