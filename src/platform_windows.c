/* Windows 7 and later. See platform.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define WIN32_LEAN_AND_MEAN

#include "platform.h"

#include <malloc.h>
#include <process.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

_Static_assert(sizeof(SRWLOCK) == sizeof(tilefold_mutex) && sizeof(CONDITION_VARIABLE) == sizeof(tilefold_condition) &&
                   sizeof(INIT_ONCE) == sizeof(tilefold_once),
               "platform.h declares them as one pointer each");

/* ------------------------------------------------------------------------------------------------------- threads ---- */

static PSRWLOCK lock_of(tilefold_mutex *mutex) { return (PSRWLOCK)(void *)mutex; }
static PCONDITION_VARIABLE variable_of(tilefold_condition *condition) { return (PCONDITION_VARIABLE)(void *)condition; }

void tilefold_mutex_open(tilefold_mutex *mutex) { InitializeSRWLock(lock_of(mutex)); }
void tilefold_mutex_close(tilefold_mutex *mutex) { (void)mutex; }
void tilefold_mutex_lock(tilefold_mutex *mutex) { AcquireSRWLockExclusive(lock_of(mutex)); }
void tilefold_mutex_unlock(tilefold_mutex *mutex) { ReleaseSRWLockExclusive(lock_of(mutex)); }

void tilefold_checked_mutex_open(tilefold_checked_mutex *mutex) {
    tilefold_mutex_open(&mutex->lock);
    atomic_init(&mutex->owner, 0);
}

void tilefold_checked_mutex_close(tilefold_checked_mutex *mutex) { (void)mutex; }

bool tilefold_checked_mutex_lock(tilefold_checked_mutex *mutex) {
    uint32_t self = GetCurrentThreadId();
    if (atomic_load(&mutex->owner) == self) return false; /* nobody but this thread writes its number */
    tilefold_mutex_lock(&mutex->lock);
    atomic_store(&mutex->owner, self);
    return true;
}

void tilefold_checked_mutex_unlock(tilefold_checked_mutex *mutex) {
    atomic_store(&mutex->owner, 0);
    tilefold_mutex_unlock(&mutex->lock);
}

void tilefold_condition_open(tilefold_condition *condition) { InitializeConditionVariable(variable_of(condition)); }
void tilefold_condition_close(tilefold_condition *condition) { (void)condition; }
void tilefold_condition_wait(tilefold_condition *condition, tilefold_mutex *mutex) {
    SleepConditionVariableSRW(variable_of(condition), lock_of(mutex), INFINITE, 0);
}
void tilefold_condition_wake_one(tilefold_condition *condition) { WakeConditionVariable(variable_of(condition)); }
void tilefold_condition_wake_all(tilefold_condition *condition) { WakeAllConditionVariable(variable_of(condition)); }

/* A pointer to a function travels through the context, which is one to an object, by a place that holds it. */
typedef struct call {
    void (*function)(void);
} call;

static BOOL CALLBACK make_call(PINIT_ONCE once, void *context, void **result) {
    (void)once, (void)result;
    ((const call *)context)->function();
    return TRUE;
}

void tilefold_call_once(tilefold_once *once, void (*function)(void)) {
    call what = {function};
    InitOnceExecuteOnce((PINIT_ONCE)(void *)once, make_call, &what, NULL);
}

static unsigned __stdcall run(void *thread) {
    const tilefold_thread *self = thread;
    self->function(self->argument);
    return 0;
}

bool tilefold_thread_start(tilefold_thread *thread, size_t stack_bytes, void (*function)(void *argument),
                           void *argument) {
    thread->function = function;
    thread->argument = argument;
    uintptr_t handle = _beginthreadex(NULL, (unsigned)stack_bytes, run, thread, STACK_SIZE_PARAM_IS_A_RESERVATION,
                                      NULL);
    thread->handle = (HANDLE)handle;
    return handle != 0;
}

void tilefold_thread_join(tilefold_thread *thread) {
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
}

void tilefold_watch_forks(void (*before)(void), void (*in_parent)(void), void (*in_child)(void)) {
    (void)before, (void)in_parent, (void)in_child; /* no process is a copy of another */
}

/* ----------------------------------------------------------------------------------------------- clock and memory ---- */

int64_t tilefold_nanoseconds_now(void) {
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    int64_t seconds = ticks.QuadPart / per_second.QuadPart, rest = ticks.QuadPart % per_second.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / per_second.QuadPart;
}

void *tilefold_aligned_allocate(size_t bytes, size_t alignment) { return _aligned_malloc(bytes, alignment); }
void tilefold_aligned_free(void *memory) { _aligned_free(memory); }

/* ----------------------------------------------------------------------------------------------------- libraries ---- */

/* Not from the current folder, where anybody may have left one. */
void *tilefold_library_open(const char *name) { return LoadLibraryExA(name, NULL, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS); }

void *tilefold_library_find(void *library, const char *symbol) {
    FARPROC function = GetProcAddress(library, symbol);
    void *found;
    _Static_assert(sizeof found == sizeof function, "both are addresses");
    memcpy(&found, &function, sizeof found); /* a cast from function to object is no C */
    return found;
}

/* --------------------------------------------------------------------------------------------------- the machine ---- */

/* Of the group of at most 64 processors that the process was started in: threads run in others only if they ask to. */
int32_t tilefold_count_cores(void) {
    DWORD_PTR own, all;
    int32_t count = 0;
    if (!GetProcessAffinityMask(GetCurrentProcess(), &own, &all)) return 1;
    for (; own != 0; own &= own - 1) count++;
    return count > 0 ? count : 1; /* 0: a process in several groups */
}

int64_t tilefold_memory_bytes(void) {
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? (int64_t)status.ullTotalPhys : 0;
}

/* The first cache of each level that holds data. */
static void read_caches(const char *entries, DWORD bytes, tilefold_caches *caches) {
    int64_t *const levels[] = {&caches->l1_bytes, &caches->l2_bytes, &caches->l3_bytes};
    bool known[3] = {false};
    for (DWORD at = 0; at < bytes;) {
        const SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX *entry = (const void *)(entries + at);
        const CACHE_RELATIONSHIP *cache = &entry->Cache;
        at += entry->Size;
        if (cache->Type == CacheInstruction || cache->Level < 1 || cache->Level > 3 || cache->CacheSize == 0) continue;
        if (!known[cache->Level - 1]) *levels[cache->Level - 1] = cache->CacheSize;
        known[cache->Level - 1] = true;
    }
}

void tilefold_ask_caches(tilefold_caches *caches) {
    DWORD bytes = 0;
    GetLogicalProcessorInformationEx(RelationCache, NULL, &bytes);
    void *entries = bytes > 0 ? malloc(bytes) : NULL;
    if (entries && GetLogicalProcessorInformationEx(RelationCache, entries, &bytes))
        read_caches(entries, bytes, caches);
    free(entries);
}
