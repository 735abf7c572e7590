/* What signals do to a run. See signals.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _POSIX_C_SOURCE 200809L

#include "signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "error.h"
#include "output_file.h"

static atomic_bool interrupted; /* set by a handler on any thread, read by the threads that compute */

static void note(int number) {
    (void)number;
    atomic_store(&interrupted, true);
}

static void die_of_bus_error(int number) {
    (void)number;
    static const char text[] =
        "tilefold: error: a mapped file could not be read or written: was it cut short meanwhile?\n";
    tilefold_cli_output_unlink_temporary();
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    _exit(TILEFOLD_CLI_FAILED);
}

static void handle(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void tilefold_cli_catch_signals(void) {
    struct sigaction hangup;
    handle(SIGINT, note);
    handle(SIGTERM, note);
    if (sigaction(SIGHUP, NULL, &hangup) != 0 || hangup.sa_handler != SIG_IGN) handle(SIGHUP, note);
    handle(SIGXFSZ, SIG_IGN);
    handle(SIGBUS, die_of_bus_error);
}

bool tilefold_cli_interrupted(void) { return atomic_load(&interrupted); }
