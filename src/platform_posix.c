/* Linux, macOS and other POSIX systems. See platform.h.
 *
 * SPDX-License-Identifier: MIT
 */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity, CPU_ALLOC */
#elif !defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L
#endif

#include "platform.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

/* ------------------------------------------------------------------------------------------------------- threads ---- */

void tilefold_mutex_open(tilefold_mutex *mutex) { pthread_mutex_init(mutex, NULL); }
void tilefold_mutex_close(tilefold_mutex *mutex) { pthread_mutex_destroy(mutex); }
void tilefold_mutex_lock(tilefold_mutex *mutex) { pthread_mutex_lock(mutex); }
void tilefold_mutex_unlock(tilefold_mutex *mutex) { pthread_mutex_unlock(mutex); }

void tilefold_checked_mutex_open(tilefold_checked_mutex *mutex) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

void tilefold_checked_mutex_close(tilefold_checked_mutex *mutex) { pthread_mutex_destroy(mutex); }
bool tilefold_checked_mutex_lock(tilefold_checked_mutex *mutex) { return pthread_mutex_lock(mutex) == 0; }
void tilefold_checked_mutex_unlock(tilefold_checked_mutex *mutex) { pthread_mutex_unlock(mutex); }

void tilefold_condition_open(tilefold_condition *condition) { pthread_cond_init(condition, NULL); }
void tilefold_condition_close(tilefold_condition *condition) { pthread_cond_destroy(condition); }
void tilefold_condition_wait(tilefold_condition *condition, tilefold_mutex *mutex) {
    pthread_cond_wait(condition, mutex);
}
void tilefold_condition_wake_one(tilefold_condition *condition) { pthread_cond_signal(condition); }
void tilefold_condition_wake_all(tilefold_condition *condition) { pthread_cond_broadcast(condition); }

void tilefold_call_once(tilefold_once *once, void (*function)(void)) { pthread_once(once, function); }

/* Signals sent to the process are for the threads that the program knows of; those of a fault are for the thread itself. */
static void get_foreign_signals(sigset_t *set) {
    static const int own[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    sigfillset(set);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(set, own[i]);
}

static void *run(void *thread) {
    const tilefold_thread *self = thread;
    self->function(self->argument);
    return NULL;
}

bool tilefold_thread_start(tilefold_thread *thread, size_t stack_bytes, void (*function)(void *argument),
                           void *argument) {
    sigset_t foreign, callers;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    thread->function = function;
    thread->argument = argument;
    get_foreign_signals(&foreign);
    pthread_sigmask(SIG_SETMASK, &foreign, &callers);
    /* Where that is too little for the program's thread-local variables, the default is not. */
    bool small = pthread_attr_setstacksize(&attributes, stack_bytes) == 0;
    bool started = (small && pthread_create(&thread->handle, &attributes, run, thread) == 0) ||
                   pthread_create(&thread->handle, NULL, run, thread) == 0;
    pthread_sigmask(SIG_SETMASK, &callers, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

void tilefold_thread_join(tilefold_thread *thread) { pthread_join(thread->handle, NULL); }

void tilefold_watch_forks(void (*before)(void), void (*in_parent)(void), void (*in_child)(void)) {
    pthread_atfork(before, in_parent, in_child);
}

/* ----------------------------------------------------------------------------------------------- clock and memory ---- */

int64_t tilefold_nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void *tilefold_aligned_allocate(size_t bytes, size_t alignment) {
    void *memory;
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

void tilefold_aligned_free(void *memory) { free(memory); }

/* ----------------------------------------------------------------------------------------------------- libraries ---- */

void *tilefold_library_open(const char *name) { return dlopen(name, RTLD_NOW | RTLD_LOCAL); }
void *tilefold_library_find(void *library, const char *symbol) { return dlsym(library, symbol); }

/* --------------------------------------------------------------------------------------------------- the machine ---- */

int32_t tilefold_count_cores(void) {
#if defined(__linux__)
    /* The kernel refuses a set smaller than its own; 2^20 processors are more than any has. */
    for (int processors = 1024; processors <= 1 << 20; processors *= 4) {
        cpu_set_t *set = CPU_ALLOC(processors);
        if (set == NULL) break;
        size_t bytes = CPU_ALLOC_SIZE(processors);
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
    }
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int32_t)online : 1;
}

int64_t tilefold_memory_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (int64_t)pages * page_bytes : 0;
}

#if defined(__APPLE__)

/* perflevel0 is the fast cores of those machines that have two kinds; hw.l2cachesize is then the slow ones'. */
static void ask_cache(const char *first, const char *second, int64_t *bytes) {
    int64_t answer = 0;
    size_t size = sizeof answer;
    bool known = sysctlbyname(first, &answer, &size, NULL, 0) == 0;
    size = sizeof answer;
    if (!known) known = sysctlbyname(second, &answer, &size, NULL, 0) == 0;
    if (known && answer > 0) *bytes = answer;
}

/* How many cores share one cache of the second level. */
static int64_t cores_per_l2(void) {
    int32_t cores = 1;
    size_t size = sizeof cores;
    return sysctlbyname("hw.perflevel0.cpusperl2", &cores, &size, NULL, 0) == 0 && cores > 0 ? cores : 1;
}

void tilefold_ask_caches(tilefold_caches *caches) {
    int64_t l2_bytes = 0;
    ask_cache("hw.perflevel0.l1dcachesize", "hw.l1dcachesize", &caches->l1_bytes);
    ask_cache("hw.perflevel0.l2cachesize", "hw.l2cachesize", &l2_bytes);
    if (l2_bytes > 0) caches->l2_bytes = l2_bytes / cores_per_l2();
    ask_cache("hw.perflevel0.l3cachesize", "hw.l3cachesize", &caches->l3_bytes);
}

#else

#if defined(__linux__)

/* What the kernel says of one of the first core's caches: "32K", "Data", "0-1". */
static bool read_word(int index, const char *name, char word[32]) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, name);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool read = fscanf(file, "%31s", word) == 1;
    fclose(file);
    return read;
}

/* musl's sysconf() knows no caches, and on AArch64 glibc's tells none. */
static void ask_kernel(tilefold_caches *caches) {
    int64_t *const levels[] = {&caches->l1_bytes, &caches->l2_bytes, &caches->l3_bytes};
    char type[32], level[32], size[32];
    for (int index = 0; read_word(index, "type", type); index++) {
        if (type[0] == 'I' || !read_word(index, "level", level) || !read_word(index, "size", size)) continue;
        char *unit;
        int64_t bytes = strtoll(size, &unit, 10) << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : 0);
        if (level[0] >= '1' && level[0] <= '3' && bytes > 0) *levels[level[0] - '1'] = bytes;
    }
}

#else

static void ask_kernel(tilefold_caches *caches) { (void)caches; }

#endif

#if defined(_SC_LEVEL1_DCACHE_SIZE)

static bool ask_cache(int name, int64_t *bytes) {
    long answer = sysconf(name);
    if (answer > 0) *bytes = answer;
    return answer > 0;
}

void tilefold_ask_caches(tilefold_caches *caches) {
    bool told = ask_cache(_SC_LEVEL1_DCACHE_SIZE, &caches->l1_bytes);
    if (!told) ask_kernel(caches);
    ask_cache(_SC_LEVEL2_CACHE_SIZE, &caches->l2_bytes);
    ask_cache(_SC_LEVEL3_CACHE_SIZE, &caches->l3_bytes);
}

#else

void tilefold_ask_caches(tilefold_caches *caches) { ask_kernel(caches); }

#endif
#endif
