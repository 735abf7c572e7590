/* Advice about the pages of mapped files, and how much memory there is for them. None of it changes what is in a file.
 *
 * SPDX-License-Identifier: MIT
 *
 * pages_posix.c and pages_windows.c implement it; what a system has no call for, it does by itself as it thinks best.
 */
#ifndef TILEFOLD_CLI_PAGES_H
#define TILEFOLD_CLI_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A whole file in memory. */
typedef struct tilefold_cli_pages {
    char *memory;
    size_t bytes;
    intptr_t file; /* as tilefold_cli_output's; -1 where it is only read */
} tilefold_cli_pages;

/* Bytes [begin, end) of such a file. */
typedef struct tilefold_cli_byte_range {
    size_t begin, end;
} tilefold_cli_byte_range;

/* How a file is going to be gone through: by runs of bytes that are long, or short and far apart, where reading a page is no reason to
 * read those around it. */
void tilefold_cli_pages_expect(const tilefold_cli_pages *pages, bool long_runs);

/* Begins to read these bytes, and returns. 0: what cannot be read is found out when it is needed. */
int tilefold_cli_pages_read_ahead(const tilefold_cli_pages *pages, tilefold_cli_byte_range range);

/* Takes the pages of the range, which perhaps are being written, out of this process's memory; the system keeps them as long as it has
 * room for them, and gives back what is still of use. 0. */
int tilefold_cli_pages_unmap(const tilefold_cli_pages *pages, tilefold_cli_byte_range range);

/* Begins to write unmapped pages of the range to the disk; and, later, waits until that is done and has the system forget them. 0, or
 * an errno where the disk did not take them. */
int tilefold_cli_pages_begin_writing(const tilefold_cli_pages *pages, tilefold_cli_byte_range range);
int tilefold_cli_pages_forget(const tilefold_cli_pages *pages, tilefold_cli_byte_range range);

/* Bytes of memory that this process may still get, files' pages included: the machine's, or less where it is in a group with a
 * limit. INT64_MAX where nobody knows. */
int64_t tilefold_cli_memory_to_be_had(void);

#endif
