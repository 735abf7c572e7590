/* Linux, macOS and other POSIX systems. See pages.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE /* madvise, sync_file_range */
#define _DARWIN_C_SOURCE

#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Linux reads no more of a request ahead than the device's own read-ahead, whose usual size this is. */
enum { READ_AHEAD_BYTES = 1 << 17 };

/* And maps so many bytes of what it has at once, by default; no page is larger anywhere. */
enum { FAULT_AROUND_BYTES = 1 << 16 };

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* From the page that the range's first byte is in to the one before that of its last, which is written with what lies behind; but the
 * last one of the file. */
static tilefold_cli_byte_range whole_pages(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    size_t page = page_bytes();
    bool last = range.end >= pages->bytes;
    return (tilefold_cli_byte_range){range.begin / page * page, last ? pages->bytes : range.end / page * page};
}

void tilefold_cli_pages_expect(const tilefold_cli_pages *pages, bool long_runs) {
    madvise(pages->memory, pages->bytes, long_runs ? MADV_SEQUENTIAL : MADV_RANDOM);
}

int tilefold_cli_pages_read_ahead(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    size_t at = range.begin / page_bytes() * page_bytes();
    while (at < range.end) {
        size_t bytes = range.end - at < READ_AHEAD_BYTES ? range.end - at : READ_AHEAD_BYTES;
        if (madvise(pages->memory + at, bytes, MADV_WILLNEED) != 0) break;
        at += bytes;
    }
    return 0;
}

/* Pages that are in the cache come with their neighbours, so those before the range may have come back since they went. */
int tilefold_cli_pages_unmap(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    size_t page = page_bytes(), around = range.begin < FAULT_AROUND_BYTES ? range.begin : FAULT_AROUND_BYTES;
    size_t begin = (range.begin - around) / page * page;
    if (range.begin < range.end) madvise(pages->memory + begin, range.end - begin, MADV_DONTNEED);
    return 0;
}

/* Where the system lacks the call, or a sandbox forbids it, the data get to the disk all the same. */
static int write_error(int result) {
    bool lost = result != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT);
    return lost ? errno : 0;
}

#ifdef __linux__
int tilefold_cli_pages_begin_writing(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    tilefold_cli_byte_range whole = whole_pages(pages, range);
    if (whole.begin >= whole.end) return 0;
    off_t begin = (off_t)whole.begin, bytes = (off_t)(whole.end - whole.begin);
    return write_error(sync_file_range((int)pages->file, begin, bytes, SYNC_FILE_RANGE_WRITE));
}

int tilefold_cli_pages_forget(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    tilefold_cli_byte_range whole = whole_pages(pages, range);
    if (whole.begin >= whole.end) return 0;
    off_t begin = (off_t)whole.begin, bytes = (off_t)(whole.end - whole.begin);
    int error = write_error(
        sync_file_range((int)pages->file, begin, bytes,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
    posix_fadvise((int)pages->file, begin, bytes, POSIX_FADV_DONTNEED);
    return error;
}
#else
static int write_pages(const tilefold_cli_pages *pages, tilefold_cli_byte_range range, int how) {
    tilefold_cli_byte_range whole = whole_pages(pages, range);
    if (whole.begin >= whole.end) return 0;
    return write_error(msync(pages->memory + whole.begin, whole.end - whole.begin, how));
}

int tilefold_cli_pages_begin_writing(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    return write_pages(pages, range, MS_ASYNC);
}

int tilefold_cli_pages_forget(const tilefold_cli_pages *pages, tilefold_cli_byte_range range) {
    return write_pages(pages, range, MS_SYNC);
}
#endif

/* ------------------------------------------------------------------------------------------------------ memory ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The number that a file holds; INT64_MAX for "max", or where there is no such file. */
static int64_t read_number(const char *path) {
    char text[64] = "";
    FILE *file = fopen(path, "r");
    bool found = file && fgets(text, sizeof text, file) && text[0] >= '0' && text[0] <= '9';
    if (file) fclose(file);
    return found ? (int64_t)strtoll(text, NULL, 10) : INT64_MAX;
}

/* The least limit of a control group and those that it is in, up to the root of what is mounted: which a container's own is, by
 * whatever name the system outside knows it. */
static int64_t group_limit(const char *mount, const char *group, const char *name) {
    char path[4400];
    int64_t limit = INT64_MAX;
    if (strlen(group) > 4096) return limit;
    for (size_t length = strlen(group);; length--) {
        if (length > 0 && group[length] != '\0' && group[length] != '/') continue;
        snprintf(path, sizeof path, "%s%.*s/%s", mount, (int)length, group, name);
        limit = least(limit, read_number(path));
        if (length == 0) return limit;
    }
}

/* Lines of /proc/self/cgroup: "0::/group", version 2, or "4:memory:/group". */
static int64_t groups_limit(void) {
    char line[4300];
    int64_t limit = INT64_MAX;
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *memory = strstr(line, ":memory:");
        if (strncmp(line, "0::/", 4) == 0) {
            limit = least(limit, group_limit("/sys/fs/cgroup", line + 3, "memory.max"));
            limit = least(limit, group_limit("/sys/fs/cgroup/unified", line + 3, "memory.max"));
        } else if (memory) {
            limit = least(limit, group_limit("/sys/fs/cgroup/memory", memory + 8, "memory.limit_in_bytes"));
        }
    }
    if (file) fclose(file);
    return limit;
}

/* What Linux says could be had without swapping; elsewhere, all there is. */
static int64_t machine_memory(void) {
    static const char field[] = "MemAvailable:";
    char line[256];
    int64_t kibibytes = -1;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && kibibytes < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, field, sizeof field - 1) == 0) kibibytes = strtoll(line + sizeof field - 1, NULL, 10);
    }
    if (file) fclose(file);
    if (kibibytes >= 0) return kibibytes * 1024;
    int64_t pages = -1;
#ifdef _SC_PHYS_PAGES
    pages = sysconf(_SC_PHYS_PAGES);
#endif
    return pages > 0 ? pages * (int64_t)page_bytes() : INT64_MAX;
}

int64_t tilefold_cli_memory_to_be_had(void) { return least(machine_memory(), groups_limit()); }
