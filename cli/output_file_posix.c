/* A file that appears under its name only when it is complete, on POSIX systems. See output_file.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE /* O_TMPFILE, fallocate, syscall */

#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/fs.h> /* RENAME_EXCHANGE, which older C libraries lack */
#include <sys/syscall.h>
#endif

#include "error.h"
#include "permissions_posix.h"
#include "signals.h"

/* The temporary name of the one output there is at a time, where a signal handler can see it. */
static _Atomic(const char *) temporary_name;

void tilefold_cli_output_unlink_temporary(void) {
    const char *name = temporary_name;
    if (name) unlink(name);
}

static void forget_temporary(tilefold_cli_output *output) {
    temporary_name = NULL;
    free(output->temporary);
    output->temporary = NULL;
}

/* The directory that a path is in, to be freed; NULL where memory is out. */
static char *directory_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* What the symbolic link at path says, as a path from here, to be freed. NULL with errno EINVAL or ENOENT: no link. */
static char *read_link(const char *path) {
    char target[4096];
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0) return NULL;
    target[length] = '\0';
    if (target[0] == '/') return strdup(target);
    char *directory = directory_of(path);
    size_t bytes = directory ? strlen(directory) + (size_t)length + 2 : 0;
    char *joined = directory ? malloc(bytes) : NULL;
    if (joined) snprintf(joined, bytes, "%s/%s", directory, target);
    free(directory);
    return joined;
}

/* Where name leads once symbolic links are followed, whether anything is there or not; realpath() needs something. NULL
 * where memory is out. */
static char *follow(const char *name) {
    char *path = strdup(name);
    for (char *next; path && (next = read_link(path)); path = next) free(path);
    if (errno != ENOMEM) return path;
    free(path);
    return NULL;
}

static int resolve(tilefold_cli_output *output) {
    struct stat named, found;
    errno = 0;
    bool exists = stat(output->name, &named) == 0; /* goes round in no circle of links: that is ELOOP */
    if (exists && !S_ISREG(named.st_mode))
        return tilefold_cli_fail("%s: exists and is not a regular file", output->name);
    if (!exists && (errno != ENOENT || !output->name[0]))
        return tilefold_cli_fail("%s: cannot write there: %s", output->name, strerror(errno));
    output->path = follow(output->name);
    if (output->path) output->directory = directory_of(output->path);
    if (!output->directory) return tilefold_cli_fail("%s: out of memory", output->name);
    /* Links of /proc lead to files that may have lost their names. */
    if (exists && (stat(output->path, &found) != 0 || found.st_ino != named.st_ino || found.st_dev != named.st_dev))
        return tilefold_cli_fail("%s: cannot write there: the file has no name", output->name);
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
static int open_unnamed(const char *directory, mode_t mode) {
#ifdef O_TMPFILE
    int file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    if (file < 0) return -1;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (access(link, F_OK) == 0) return file;
    close(file);
#else
    (void)directory;
    (void)mode;
#endif
    errno = EOPNOTSUPP;
    return -1;
}

static int open_named(tilefold_cli_output *output, mode_t mode) {
    for (int number = 0; number < MOST_NAMES; number++) {
        if (!invent_name(output, number)) return -1;
        int file = open(output->temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode);
        if (file >= 0) {
            temporary_name = output->temporary;
            return file;
        }
        if (errno != EEXIST) break;
    }
    int error = errno;
    forget_temporary(output);
    errno = error;
    return -1;
}

/* Opens it with the permissions that it will have; never, for a moment, with more. */
static int open_file(tilefold_cli_output *output) {
    mode_t mode = access(output->path, F_OK) == 0 ? 0600 : 0666;
    output->file = open_unnamed(output->directory, mode);
    /* Kernels and file systems without O_TMPFILE say so in these ways. */
    if (output->file < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT)) {
        output->file = open_named(output, mode);
    }
    int error = output->file < 0 ? errno : tilefold_cli_copy_permissions(output->path, output->file);
    if (error) return tilefold_cli_fail("%s: cannot create it: %s", output->name, strerror(error));
    return TILEFOLD_CLI_OK;
}

/* Makes a file have bytes by writing them, where the file system cannot reserve them otherwise. 0 or an errno. */
static int write_zeros(int file, int64_t bytes) {
    static const char zeros[1 << 16];
    int64_t done = 0;
    while (done < bytes) {
        int64_t left = bytes - done;
        ssize_t written = pwrite(file, zeros, left < (int64_t)sizeof zeros ? (size_t)left : sizeof zeros, (off_t)done);
        if (written >= 0) done += written;
        if (written == 0) return ENOSPC;
        if (written < 0 && (errno != EINTR || tilefold_cli_interrupted())) return errno;
    }
    return 0;
}

/* Gives the file its size and its place on the disk, through signals that do not ask to stop. 0 or an errno. */
static int reserve(int file, int64_t bytes) {
    int error = EOPNOTSUPP;
#ifdef __linux__
    do {
        error = fallocate(file, 0, 0, (off_t)bytes) == 0 ? 0 : errno;
    } while (error == EINTR && !tilefold_cli_interrupted());
#endif
    return error == EOPNOTSUPP || error == ENOSYS ? write_zeros(file, bytes) : error;
}

static int fill(tilefold_cli_output *output, int64_t bytes) {
    int status = resolve(output);
    if (status == TILEFOLD_CLI_OK) status = open_file(output);
    if (status != TILEFOLD_CLI_OK) return status;
    int error = (int64_t)(off_t)bytes == bytes && (uint64_t)bytes <= SIZE_MAX ? reserve(output->file, bytes) : EFBIG;
    if (error == EINTR) return tilefold_cli_fail("interrupted");
    if (error)
        return tilefold_cli_fail("%s: cannot reserve %" PRId64 " bytes: %s", output->name, bytes, strerror(error));
    void *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, output->file, 0);
    if (memory == MAP_FAILED) {
        return tilefold_cli_fail("%s: cannot map %" PRId64 " bytes: %s", output->name, bytes, strerror(errno));
    }
    output->memory = memory;
    output->bytes = (size_t)bytes;
    tilefold_cli_name_mapping(output->name, memory, output->bytes);
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

/* Gives an unnamed file a name: its final one where that is free, else a temporary one, since a link replaces nothing. 0
 * or an errno. */
static int name_file(tilefold_cli_output *output) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", (int)output->file);
    output->made = linkat(AT_FDCWD, link, AT_FDCWD, output->path, AT_SYMLINK_FOLLOW) == 0;
    if (output->made) return 0;
    int error = errno;
    for (int number = 0; error == EEXIST && number < MOST_NAMES; number++) {
        if (!invent_name(output, number)) return ENOMEM;
        temporary_name = output->temporary;
        if (linkat(AT_FDCWD, link, AT_FDCWD, output->temporary, AT_SYMLINK_FOLLOW) == 0) return 0;
        error = errno;
    }
    forget_temporary(output);
    return error;
}

/* Lets two files change places; 0, or -1 where that cannot be done. */
static int exchange(const char *first, const char *second) {
#if defined(__linux__) && defined(SYS_renameat2)
    return (int)syscall(SYS_renameat2, AT_FDCWD, first, AT_FDCWD, second, RENAME_EXCHANGE);
#else
    (void)first;
    (void)second;
    return -1;
#endif
}

/* Moves the file from its temporary name to its final one. 0 or an errno. */
static int move_file(tilefold_cli_output *output) {
    struct stat old;
    bool is_there = lstat(output->path, &old) == 0;
    output->exchanged = is_there && S_ISREG(old.st_mode) && exchange(output->temporary, output->path) == 0;
    if (output->exchanged) {
        temporary_name = NULL;
        return 0;
    }
    if (rename(output->temporary, output->path) != 0) return errno;
    output->made = !is_there;
    forget_temporary(output);
    return 0;
}

static void unmap(tilefold_cli_output *output) {
    if (!output->memory) return;
    tilefold_cli_forget_mapping(output->memory);
    munmap(output->memory, output->bytes);
    output->memory = NULL;
}

int tilefold_cli_output_commit(tilefold_cli_output *output) {
    unmap(output);
    int error = tilefold_cli_copy_permissions(output->path, output->file); /* they may have changed meanwhile */
    if (!error && !output->temporary) error = name_file(output);
    if (!error && output->temporary) error = move_file(output);
    if (error) return tilefold_cli_fail("%s: cannot give the output its name: %s", output->name, strerror(error));
    return TILEFOLD_CLI_OK;
}

void tilefold_cli_output_keep(tilefold_cli_output *output) { output->made = output->exchanged = false; }

/* Undoes a commit. Where what was replaced cannot be moved back, it stays under its temporary name: it is not ours. */
static void take_back(tilefold_cli_output *output) {
    if (output->made) unlink(output->path);
    if (!output->exchanged) return;
    rename(output->temporary, output->path);
    forget_temporary(output);
}

void tilefold_cli_output_discard(tilefold_cli_output *output) {
    take_back(output);
    unmap(output);
    if (output->temporary) unlink(output->temporary);
    forget_temporary(output);
    if (output->file >= 0) close(output->file);
    free(output->directory);
    free(output->path);
    *output = (tilefold_cli_output){.file = -1};
}
