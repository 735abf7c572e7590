/* What signals do to a run. See signals.h.
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
#include "output_file.h"

static atomic_bool interrupted; /* set by a handler on any thread, read by the threads that compute */

static void note(int number) {
    (void)number;
    atomic_store(&interrupted, true);
}

/* The mapped files, with what there is to say when one of them fails: a handler may compose no text. */
enum { MOST_MAPPINGS = 4 }; /* input, weight, bias, output */
static struct {
    const char *memory; /* NULL: free */
    size_t bytes;
    char text[4608]; /* a whole path */
} mappings[MOST_MAPPINGS];

void tilefold_cli_name_mapping(const char *name, const void *memory, size_t bytes) {
    for (int i = 0; i < MOST_MAPPINGS; i++) {
        if (mappings[i].memory) continue;
        tilefold_cli_error_line(mappings[i].text, sizeof mappings[i].text,
                                "%s: cannot be read or written where it is mapped: was it cut short meanwhile?", name);
        mappings[i].bytes = bytes;
        mappings[i].memory = memory;
        return;
    }
}

void tilefold_cli_forget_mapping(const void *memory) {
    for (int i = 0; i < MOST_MAPPINGS; i++) {
        if (mappings[i].memory == memory) mappings[i].memory = NULL;
    }
}

static void die_of_bus_error(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    const char *text = "tilefold: error: memory cannot be read or written\n", *at = info->si_addr;
    for (int i = 0; i < MOST_MAPPINGS; i++) {
        const char *memory = mappings[i].memory;
        if (memory && at >= memory && (size_t)(at - memory) < mappings[i].bytes) text = mappings[i].text;
    }
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
