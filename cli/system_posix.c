/* Linux, macOS and other POSIX systems. See system.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _DEFAULT_SOURCE /* getrusage, struct winsize */
#define _DARWIN_C_SOURCE

#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "signals.h"

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

enum { STACK_BYTES = 256 << 10, LEAST_STACK_BYTES = 64 << 10 };

/* A stack that ends too early would end the process without a word. The main thread's grows up to a limit that may be raised as
 * long as the hard one allows it. */
static int make_sure_of_stack(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= STACK_BYTES)
        return TILEFOLD_CLI_OK;
    rlim_t most = limit.rlim_max;
    limit.rlim_cur = most == RLIM_INFINITY || most > STACK_BYTES ? STACK_BYTES : most;
    bool raised = setrlimit(RLIMIT_STACK, &limit) == 0;
    if (raised && limit.rlim_cur >= LEAST_STACK_BYTES) return TILEFOLD_CLI_OK;
    static const char text[] = "tilefold: error: a stack of less than 64 KiB is too small: see ulimit -s\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1); /* printf() needs more stack than there may be */
    (void)written;
    return TILEFOLD_CLI_FAILED;
}

int tilefold_cli_begin_process(int *argc, char ***argv) {
    (void)argc, (void)argv;
    signal(SIGPIPE, SIG_IGN);
    int status = make_sure_of_stack();
    return status == TILEFOLD_CLI_OK ? occupy_standard_streams() : status;
}

bool tilefold_cli_can_print(void) {
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

bool tilefold_cli_is_terminal(void) { return isatty(STDERR_FILENO); }

int tilefold_cli_terminal_columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void *tilefold_cli_allocate(int64_t bytes) {
    void *memory;
    if ((uint64_t)bytes > SIZE_MAX - 64) return NULL;
    return posix_memalign(&memory, 64, bytes > 0 ? (size_t)bytes : 1) == 0 ? memory : NULL;
}

void tilefold_cli_release(void *memory) { free(memory); }

/* Linux's own figure first: getrusage() starts from the figure of the process that started this one. */
int64_t tilefold_cli_peak_memory(void) {
    static const char field[] = "VmHWM:";
#ifdef __APPLE__
    const int64_t unit = 1;
#else
    const int64_t unit = 1024;
#endif
    int64_t kibibytes = -1;
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && kibibytes < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, field, sizeof field - 1) == 0) kibibytes = strtoll(line + sizeof field - 1, NULL, 10);
    }
    if (file) fclose(file);
    if (kibibytes >= 0) return kibibytes * 1024;
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss * unit : 0;
}

double tilefold_cli_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int map_open_file(const char *path, int file, void **memory, size_t *bytes) {
    struct stat info;
    if (fstat(file, &info) != 0) return tilefold_cli_fail("%s: cannot read it: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return tilefold_cli_fail("%s: not a regular file", path);
    *bytes = (size_t)info.st_size;
    if (*bytes == 0) return TILEFOLD_CLI_OK;
    void *mapped = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, file, 0);
    if (mapped == MAP_FAILED)
        return tilefold_cli_fail("%s: cannot map its %zu bytes: %s", path, *bytes, strerror(errno));
    *memory = mapped;
    tilefold_cli_name_mapping(path, mapped, *bytes);
    return TILEFOLD_CLI_OK;
}

int tilefold_cli_map_file(const char *path, void **memory, size_t *bytes) {
    *memory = NULL;
    *bytes = 0;
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return tilefold_cli_fail("%s: cannot open it: %s", path, strerror(errno));
    int status = map_open_file(path, file, memory, bytes);
    close(file);
    return status;
}

void tilefold_cli_unmap_file(void *memory, size_t bytes) {
    tilefold_cli_forget_mapping(memory);
    munmap(memory, bytes);
}
