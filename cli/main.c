/* The command line of tilefold: which command it is.
 *
 * SPDX-License-Identifier: MIT
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tilefold.h>

#include "commands.h"
#include "error.h"
#include "session.h"

/* A process started without standard streams must not get a file of its own under their numbers, and then print into it.
 * Read-only, so that printing fails and is noticed. */
static int occupy_standard_streams(void) {
    int file;
    do {
        file = open("/dev/null", O_RDONLY);
    } while (file >= 0 && file <= STDERR_FILENO);
    if (file >= 0) close(file);
    return file < 0 ? tilefold_cli_fail("cannot open /dev/null") : TILEFOLD_CLI_OK;
}

/* Nobody should compute for hours and then find out. */
static int check_standard_output(void) {
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) return TILEFOLD_CLI_OK;
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
    int status = occupy_standard_streams();
    if (status != TILEFOLD_CLI_OK) return status;
    signal(SIGPIPE, SIG_IGN); /* printing to nobody is an error like any other */
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
