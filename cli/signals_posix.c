/* What signals do to a run on POSIX systems. See signals.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _POSIX_C_SOURCE 200809L

#include "signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "mappings.h"
#include "output_file.h"

static atomic_bool interrupted; /* set by a handler on any thread, read by the threads that compute */

static void note(int number) {
    (void)number;
    atomic_store(&interrupted, true);
}

static void die_of_bus_error(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    const char *text = tilefold_cli_mapping_text(info->si_addr);
    tilefold_cli_output_unlink_temporary();
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
    _exit(TILEFOLD_CLI_FAILED);
}

static void handle(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static void handle_bus_error(void) {
    struct sigaction action = {.sa_sigaction = die_of_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

void tilefold_cli_catch_signals(void) {
    struct sigaction hangup;
    handle(SIGINT, note);
    handle(SIGTERM, note);
    if (sigaction(SIGHUP, NULL, &hangup) != 0 || hangup.sa_handler != SIG_IGN) handle(SIGHUP, note);
    handle(SIGXFSZ, SIG_IGN);
    handle_bus_error();
}

bool tilefold_cli_interrupted(void) { return atomic_load(&interrupted); }
