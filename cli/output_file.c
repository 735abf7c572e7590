/* A file that appears under its name only when it is complete. See output_file.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE /* O_TMPFILE, realpath */

#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "signals.h"

/* The temporary name of the one output there is at a time, where a signal handler can see it. */
static _Atomic(const char *) temporary_name;

void tilefold_cli_output_unlink_temporary(void) {
    const char *name = temporary_name;
    if (name) unlink(name);
}

/* Where name leads once symbolic links are followed; name itself where there is no file yet. */
static int resolve(tilefold_cli_output *output) {
    output->path = realpath(output->name, NULL);
    if (output->path) {
        struct stat info;
        if (stat(output->path, &info) == 0 && !S_ISREG(info.st_mode)) {
            return tilefold_cli_fail("%s: exists and is not a regular file", output->name);
        }
    } else if (errno == ENOENT && output->name[0]) {
        output->path = strdup(output->name);
    } else {
        return tilefold_cli_fail("%s: cannot write there: %s", output->name, strerror(errno));
    }
    if (output->path) output->directory = strdup(output->path);
    if (!output->directory) return tilefold_cli_fail("%s: out of memory", output->name);
    char *slash = strrchr(output->directory, '/');
    if (!slash) {
        strcpy(output->directory, ".");
    } else {
        slash[slash == output->directory] = '\0';
    }
    return TILEFOLD_CLI_OK;
}

/* Sets output->temporary to a name that this process alone uses. */
static bool invent_name(tilefold_cli_output *output, int number) {
    size_t bytes = strlen(output->directory) + 64;
    if (!output->temporary) output->temporary = malloc(bytes);
    if (!output->temporary) return false;
    snprintf(output->temporary, bytes, "%s/.tilefold-%ld-%d.tmp", output->directory, (long)getpid(), number);
    return true;
}

enum { MOST_NAMES = 100 }; /* tried before giving up: leftovers of an earlier process with this number */

/* A file without a name; -1 where the file system has no such thing. The link from /proc is what names it later. */
static int open_unnamed(const char *directory) {
#ifdef O_TMPFILE
    int file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (file < 0) return -1;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (access(link, F_OK) == 0) return file;
    close(file);
#else
    (void)directory;
#endif
    errno = EOPNOTSUPP;
    return -1;
}

static int open_named(tilefold_cli_output *output) {
    for (int number = 0; number < MOST_NAMES; number++) {
        if (!invent_name(output, number)) return -1;
        int file = open(output->temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
        if (file >= 0) {
            temporary_name = output->temporary;
            return file;
        }
        if (errno != EEXIST) break;
    }
    int error = errno;
    free(output->temporary);
    output->temporary = NULL;
    errno = error;
    return -1;
}

/* posix_fallocate() through signals that do not ask to stop. */
static int reserve(int file, off_t bytes) {
    int error;
    do {
        error = posix_fallocate(file, 0, bytes);
    } while (error == EINTR && !tilefold_cli_interrupted());
    return error;
}

static int fill(tilefold_cli_output *output, int64_t bytes) {
    int status = resolve(output);
    if (status != TILEFOLD_CLI_OK) return status;
    output->file = open_unnamed(output->directory);
    /* Kernels and file systems without O_TMPFILE say so in these ways. */
    if (output->file < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT)) {
        output->file = open_named(output);
    }
    if (output->file < 0) return tilefold_cli_fail("%s: cannot create it: %s", output->name, strerror(errno));

    int error = reserve(output->file, (off_t)bytes);
    if (error == EINTR) return tilefold_cli_fail("interrupted");
    if (error)
        return tilefold_cli_fail("%s: cannot reserve %" PRId64 " bytes: %s", output->name, bytes, strerror(error));
    void *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, output->file, 0);
    if (memory == MAP_FAILED) {
        return tilefold_cli_fail("%s: cannot map %" PRId64 " bytes: %s", output->name, bytes, strerror(errno));
    }
    output->memory = memory;
    output->bytes = (size_t)bytes;
    return TILEFOLD_CLI_OK;
}

int tilefold_cli_output_create(const char *name, int64_t bytes, tilefold_cli_output *output) {
    memset(output, 0, sizeof *output);
    output->name = name;
    output->file = -1;
    int status = fill(output, bytes);
    if (status != TILEFOLD_CLI_OK) tilefold_cli_output_discard(output);
    return status;
}

/* Gives an unnamed file a name: its final one where that is free, else a temporary one to be renamed, since a link
 * replaces nothing. 0 or an errno. */
static int name_file(tilefold_cli_output *output) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", output->file);
    if (linkat(AT_FDCWD, link, AT_FDCWD, output->path, AT_SYMLINK_FOLLOW) == 0) return 0;
    int error = errno;
    for (int number = 0; error == EEXIST && number < MOST_NAMES; number++) {
        if (!invent_name(output, number)) return ENOMEM;
        temporary_name = output->temporary;
        if (linkat(AT_FDCWD, link, AT_FDCWD, output->temporary, AT_SYMLINK_FOLLOW) == 0) return 0;
        error = errno;
    }
    temporary_name = NULL;
    free(output->temporary);
    output->temporary = NULL;
    return error;
}

int tilefold_cli_output_commit(tilefold_cli_output *output) {
    munmap(output->memory, output->bytes);
    output->memory = NULL;
    int error = output->temporary ? 0 : name_file(output);
    if (error == 0 && output->temporary) {
        if (rename(output->temporary, output->path) == 0) {
            temporary_name = NULL;
            free(output->temporary);
            output->temporary = NULL;
        } else {
            error = errno;
        }
    }
    int status = TILEFOLD_CLI_OK;
    if (error) status = tilefold_cli_fail("%s: cannot give the output its name: %s", output->name, strerror(error));
    tilefold_cli_output_discard(output);
    return status;
}

void tilefold_cli_output_discard(tilefold_cli_output *output) {
    if (output->memory) munmap(output->memory, output->bytes);
    if (output->temporary) unlink(output->temporary);
    temporary_name = NULL;
    if (output->file >= 0) close(output->file);
    free(output->temporary);
    free(output->directory);
    free(output->path);
    *output = (tilefold_cli_output){.file = -1};
}
