/* A library to be loaded before the C library's functions are found (LD_PRELOAD): one call of one function fails.
 *
 * SPDX-License-Identifier: MIT
 *
 *     TILEFOLD_TEST_FAULT=malloc:7     the seventh call fails, as it does where the system has no more of it
 *     TILEFOLD_TEST_FAULT=malloc:7+    so do all after it
 *     TILEFOLD_TEST_FAULT=malloc:7!    the process is killed in place of the seventh call
 *     TILEFOLD_TEST_FAULT_MARK=FILE    which is made when one has failed
 *     TILEFOLD_TEST_CUT=FILE           is cut to nothing by the call of fallocate(), when the inputs have been mapped
 *     TILEFOLD_TEST_MEMINFO=FILE       is read in place of /proc/meminfo
 *
 * Calls of the C library and the dynamic linker among themselves are not seen, but for those for memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    char name[32];
    long long first;
    bool all_after, kills;
    const char *mark;
} fault;

static atomic_llong calls;

/* By no function that may be one of those below. */
static void leave_mark(void) {
    if (fault.mark) syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, fault.mark, O_CREAT | O_WRONLY, 0666));
}

/* Whether this call of the function is to fail. */
static bool fails(const char *name) {
    if (fault.first == 0 || strcmp(fault.name, name) != 0) return false;
    long long number = atomic_fetch_add(&calls, 1) + 1;
    if (number != fault.first && !(fault.all_after && number > fault.first)) return false;
    if (number == fault.first) leave_mark();
    if (fault.kills) kill(getpid(), SIGKILL);
    return true;
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("TILEFOLD_TEST_FAULT"), *colon = text ? strchr(text, ':') : NULL;
    if (!colon || (size_t)(colon - text) >= sizeof fault.name) return;
    memcpy(fault.name, text, (size_t)(colon - text));
    fault.mark = getenv("TILEFOLD_TEST_FAULT_MARK");
    char *end;
    long long first = strtoll(colon + 1, &end, 10);
    fault.all_after = *end == '+';
    fault.kills = *end == '!';
    fault.first = first;
}

/* ------------------------------------------------------------------------------------------------------ memory ---- */

/* glibc's own names of what is interposed; dlsym() allocates, so it cannot be asked for them. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static bool out_of_memory(void) {
    if (!fails("malloc")) return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes) { return out_of_memory() ? NULL : __libc_malloc(bytes); }
void *calloc(size_t count, size_t bytes) { return out_of_memory() ? NULL : __libc_calloc(count, bytes); }
void *realloc(void *memory, size_t bytes) { return out_of_memory() ? NULL : __libc_realloc(memory, bytes); }
void *aligned_alloc(size_t alignment, size_t bytes) {
    return out_of_memory() ? NULL : __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    void *found = out_of_memory() ? NULL : __libc_memalign(alignment, bytes);
    if (!found) return ENOMEM;
    *memory = found;
    return 0;
}

/* ------------------------------------------------------------------------------------------------- the system ---- */

/* TYPE NAME(PARAMETERS), which calls the real one with ARGUMENTS, or fails with this result and error number. */
#define MAY_FAIL(type, name, parameters, arguments, result, number)                                                    \
    type name parameters {                                                                                             \
        if (!fails(#name)) return REAL(name) arguments;                                                                \
        errno = number;                                                                                                \
        return result;                                                                                                 \
    }

MAY_FAIL(void *, mmap, (void *at, size_t bytes, int protection, int flags, int file, off_t offset),
         (at, bytes, protection, flags, file, offset), MAP_FAILED, ENOMEM)
MAY_FAIL(int, madvise, (void *at, size_t bytes, int advice), (at, bytes, advice), -1, EAGAIN)
MAY_FAIL(int, sync_file_range, (int file, off_t from, off_t bytes, unsigned flags), (file, from, bytes, flags), -1, EIO)
MAY_FAIL(int, linkat, (int from, const char *name, int to, const char *link, int flags), (from, name, to, link, flags),
         -1, ENOSPC)
MAY_FAIL(int, rename, (const char *from, const char *to), (from, to), -1, EIO)
MAY_FAIL(int, fstat, (int file, struct stat *info), (file, info), -1, EIO)
MAY_FAIL(int, close, (int file), (file), -1, EIO)
MAY_FAIL(int, munmap, (void *at, size_t bytes), (at, bytes), -1, EINVAL)
MAY_FAIL(int, unlink, (const char *name), (name), -1, EIO)
MAY_FAIL(int, fchmod, (int file, mode_t mode), (file, mode), -1, EIO)

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    return fails("pthread_create") ? EAGAIN : REAL(pthread_create)(thread, attributes, run, argument);
}

int fallocate(int file, int mode, off_t from, off_t bytes) {
    const char *cut = getenv("TILEFOLD_TEST_CUT");
    if (cut && truncate(cut, 0) != 0) abort();
    if (!fails("fallocate")) return REAL(fallocate)(file, mode, from, bytes);
    errno = ENOSPC;
    return -1;
}

FILE *fopen(const char *name, const char *mode) {
    const char *meminfo = strcmp(name, "/proc/meminfo") == 0 ? getenv("TILEFOLD_TEST_MEMINFO") : NULL;
    if (!fails("fopen")) return REAL(fopen)(meminfo ? meminfo : name, mode);
    errno = EMFILE;
    return NULL;
}

int open(const char *name, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    /* cpuinfo reads its lists twice, and crashes where it can only once. */
    bool counts = fault.all_after || strncmp(name, "/sys/devices/system/cpu/", 24) != 0;
    if (!counts || !fails("open")) return REAL(open)(name, flags, mode);
    errno = EMFILE;
    return -1;
}
