/* What the library asks of the operating system: threads, a clock, aligned memory, libraries, and what the machine has.
 *
 * SPDX-License-Identifier: MIT
 *
 * One file implements it for each kind of system, platform_posix.c and platform_windows.c; nothing else in the library, but for
 * what a compiler's or a processor's own differences are, asks which one it is.
 */
#ifndef TILEFOLD_PLATFORM_H
#define TILEFOLD_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
/* SRWLOCK, CONDITION_VARIABLE and INIT_ONCE are one pointer each, null at first: windows.h stays out of our sources. */
typedef struct tilefold_mutex {
    void *word;
} tilefold_mutex;
typedef tilefold_mutex tilefold_condition, tilefold_once;
typedef struct tilefold_checked_mutex {
    tilefold_mutex lock;
    _Atomic uint32_t owner; /* a thread's number; 0: nobody */
} tilefold_checked_mutex;
typedef void *tilefold_thread_handle;
#define TILEFOLD_MUTEX_INIT                                                                                            \
    { NULL }
#define TILEFOLD_ONCE_INIT                                                                                             \
    { NULL }
#else
#include <pthread.h>
typedef pthread_mutex_t tilefold_mutex, tilefold_checked_mutex;
typedef pthread_cond_t tilefold_condition;
typedef pthread_once_t tilefold_once;
typedef pthread_t tilefold_thread_handle;
#define TILEFOLD_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define TILEFOLD_ONCE_INIT PTHREAD_ONCE_INIT
#endif

/* ------------------------------------------------------------------------------------------------------- threads ---- */

void tilefold_mutex_open(tilefold_mutex *mutex);
void tilefold_mutex_close(tilefold_mutex *mutex);
void tilefold_mutex_lock(tilefold_mutex *mutex);
void tilefold_mutex_unlock(tilefold_mutex *mutex);

/* A mutex whose lock() is false where the calling thread has it already. */
void tilefold_checked_mutex_open(tilefold_checked_mutex *mutex);
void tilefold_checked_mutex_close(tilefold_checked_mutex *mutex);
bool tilefold_checked_mutex_lock(tilefold_checked_mutex *mutex);
void tilefold_checked_mutex_unlock(tilefold_checked_mutex *mutex);

void tilefold_condition_open(tilefold_condition *condition);
void tilefold_condition_close(tilefold_condition *condition);
void tilefold_condition_wait(tilefold_condition *condition, tilefold_mutex *mutex);
void tilefold_condition_wake_one(tilefold_condition *condition);
void tilefold_condition_wake_all(tilefold_condition *condition);

/* Calls the function, once whoever asks; returns when that is done. */
void tilefold_call_once(tilefold_once *once, void (*function)(void));

/* A thread that has been started; it stays where it is until it is joined. */
typedef struct tilefold_thread {
    tilefold_thread_handle handle;
    void (*function)(void *argument);
    void *argument;
} tilefold_thread;

/* Starts a thread with about that much stack, on which the signals of a fault alone are delivered; false where the system
 * refuses one. */
bool tilefold_thread_start(tilefold_thread *thread, size_t stack_bytes, void (*function)(void *argument),
                           void *argument);
void tilefold_thread_join(tilefold_thread *thread);

/* Has these called around every fork(), where there is such a thing. */
void tilefold_watch_forks(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));

/* ----------------------------------------------------------------------------------------------- clock and memory ---- */

/* Of a clock that only runs forward. */
int64_t tilefold_nanoseconds_now(void);

/* Memory at a multiple of alignment, a power of two and a multiple of a pointer's size; NULL where there is none. */
void *tilefold_aligned_allocate(size_t bytes, size_t alignment);
void tilefold_aligned_free(void *memory);

/* ----------------------------------------------------------------------------------------------------- libraries ---- */

/* NULL where there is none of that name. It stays until the process ends: graphics drivers leave threads and exit handlers behind,
 * and crash where they are unloaded. */
void *tilefold_library_open(const char *name);
void *tilefold_library_find(void *library, const char *symbol);

/* --------------------------------------------------------------------------------------------------- the machine ---- */

/* Processors that this process may run on; at least 1. */
int32_t tilefold_count_cores(void);

/* Of main memory; 0 where nobody answers. */
int64_t tilefold_memory_bytes(void);

/* The data caches: of the first and second level per core, of the third as a whole. Sets those that the system tells. */
typedef struct tilefold_caches {
    int64_t l1_bytes, l2_bytes, l3_bytes;
} tilefold_caches;
void tilefold_ask_caches(tilefold_caches *caches);

#endif /* TILEFOLD_PLATFORM_H */
