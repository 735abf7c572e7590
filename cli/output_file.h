/* A file that appears under its name only when it is complete.
 *
 * SPDX-License-Identifier: MIT
 *
 * Where the file system can hold a file without a name (O_TMPFILE), the output has none until it is committed, so that
 * nothing remains of a process that is killed. Elsewhere it is written as .tilefold-PID-N.tmp beside its final name, and
 * removed on failure. So it is on Windows, where a process that is killed leaves it. Symbolic links are followed: it is what they lead to that is made or replaced, beside itself.
 *
 *     create -> (fill in memory) -> commit -> keep
 *         \___________________________\____-> discard
 */
#ifndef TILEFOLD_CLI_OUTPUT_FILE_H
#define TILEFOLD_CLI_OUTPUT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tilefold_cli_output {
    const char *name; /* as the user wrote it, for messages */
    char *path;       /* the same with symbolic links followed: what is replaced */
    char *directory;  /* that of path */
    char *temporary;  /* the name until it is committed, then that of the file it replaced; NULL for none */
    intptr_t file;    /* a descriptor, on Windows a handle; -1 for none */
    void *memory;     /* the whole file, mapped */
    size_t bytes;
    bool made;      /* committed under a name that was free */
    bool exchanged; /* committed in place of a file, which is at `temporary` until this one is kept */
} tilefold_cli_output;

/* Makes the file, with the permissions of the one that it will replace, and reserves and maps all its bytes, so that a full
 * disk is an error here and not a signal later. OK or FAILED (then there is nothing to discard); name must outlive
 * *output. */
int tilefold_cli_output_create(const char *name, int64_t bytes, tilefold_cli_output *output);

/* Unmaps it and gives it its final name, in place of what had that name. OK or FAILED. */
int tilefold_cli_output_commit(tilefold_cli_output *output);

/* The end of a run that succeeded: a committed output stays, and what it replaced goes. */
void tilefold_cli_output_keep(tilefold_cli_output *output);

/* Drops it. One that is committed and not kept is taken back, and what it replaced is there again; only where the file
 * system cannot exchange two names does a file that replaced another stay. Harmless after keep(). */
void tilefold_cli_output_discard(tilefold_cli_output *output);

/* Removes a named temporary file; for signal handlers of last resort. */
void tilefold_cli_output_unlink_temporary(void);

#endif
