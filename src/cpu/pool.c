/* The library's own threads: see pool.h.
 *
 * SPDX-License-Identifier: MIT
 *
 * A run is a job in a list, from which its caller and the workers take indices under one lock:
 *
 *     caller   post job ─ take 0 ─ do ─ take 2 ─ do ─ none left ─ wait for index 1 ─ return
 *     worker        (called) take 1 ── do ─────────────────────── finished ─ look for more ─ sleep
 *
 * A caller waits for nothing but indices that a worker is doing: never for a worker that has yet to wake, and no two can wait
 * for each other. A job that is over before a worker has woken costs its caller what calling the worker costs.
 *
 * Whoever takes an index calls two more workers as long as there are indices for them, so that many are awake after few
 * wake-ups one after the other, and a caller pays for two.
 *
 * A thread that has nothing to do looks for a little while (LOOK_NANOSECONDS) before it sleeps, so that many small executions in
 * a row find the workers awake. Measured, a 1x1 convolution of 42 us again and again: on two idle cores two threads take 24 us,
 * 47 us if they never look (a worker is then awake when all is done); where other programs have the second core, 46 us without
 * looking, 48 and 54 us with 5 and 20 us of it. So it is short.
 */
#include "pool.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "../platform.h"
#include "float_environment.h"

/* Tasks do with 64 KiB (test_memory); the rest is for a caller's progress callback, which may be an interpreter's: as much as
 * macOS gives a thread. It is address space, not memory, until it is touched. */
enum { STACK_BYTES = 512 << 10 };

enum { LOOK_NANOSECONDS = 10000 };

/* How many a thread that takes an index calls. */
enum { CALLS = 2 };

typedef struct job {
    void (*task)(void *argument, size_t index);
    void *argument;
    size_t count, next;  /* indices; the first that nobody has taken */
    atomic_size_t doing; /* indices that workers have taken and not finished */
    struct job *later;   /* in the list */
} job;

struct tilefold_pool {
    tilefold_mutex lock; /* around all that follows */
    tilefold_condition called, finished;
    job *jobs;             /* those with indices left, first come first served */
    atomic_size_t left;    /* indices in them; read without the lock by who is looking */
    size_t sleeping;       /* workers that wait to be called */
    size_t coming;         /* workers that are looking, or were called and have not come yet */
    size_t calls;          /* to sleeping workers, not yet answered */
    int32_t most, started; /* workers */
    bool starting, closing;
    atomic_uint fork_count; /* when the workers were started */
    tilefold_thread workers[];
};

size_t tilefold_pool_bytes(int32_t threads) {
    return sizeof(tilefold_pool) + (size_t)(threads - 1) * sizeof(tilefold_thread);
}

/* -------------------------------------------------------------------------------------------------------- forks ---- */

/* The child of a fork has one thread, and a pool's lock as whichever thread held it left it. */

static tilefold_once watch_once = TILEFOLD_ONCE_INIT;
static tilefold_mutex renewing = TILEFOLD_MUTEX_INIT;
static atomic_uint fork_count;

static void before_fork(void) { tilefold_mutex_lock(&renewing); }
static void in_parent(void) { tilefold_mutex_unlock(&renewing); }
static void in_child(void) {
    atomic_fetch_add(&fork_count, 1);
    tilefold_mutex_unlock(&renewing);
}

static void watch_forks(void) { tilefold_watch_forks(before_fork, in_parent, in_child); }

/* A pool without workers. */
static void reset(tilefold_pool *pool, int32_t most) {
    memset(pool, 0, sizeof *pool);
    pool->most = most;
    tilefold_mutex_open(&pool->lock);
    tilefold_condition_open(&pool->called);
    tilefold_condition_open(&pool->finished);
    atomic_init(&pool->left, 0);
    atomic_init(&pool->fork_count, atomic_load(&fork_count));
}

static bool is_inherited(const tilefold_pool *pool) {
    return atomic_load(&pool->fork_count) != atomic_load(&fork_count);
}

static void renew_if_inherited(tilefold_pool *pool) {
    if (!is_inherited(pool)) return;
    tilefold_mutex_lock(&renewing);
    if (is_inherited(pool)) reset(pool, pool->most);
    tilefold_mutex_unlock(&renewing);
}

/* --------------------------------------------------------------------------------------------------------- jobs ---- */

/* All of these with the lock held. */

static void post(tilefold_pool *pool, job *posted) {
    job **end = &pool->jobs;
    while (*end) end = &(*end)->later;
    *end = posted;
    atomic_fetch_add(&pool->left, posted->count);
}

static size_t take_index(tilefold_pool *pool, job *from) {
    size_t index = from->next++;
    atomic_fetch_sub(&pool->left, 1);
    if (from->next == from->count) {
        job **place = &pool->jobs;
        while (*place != from) place = &(*place)->later;
        *place = from->later;
    }
    return index;
}

static void call_one(tilefold_pool *pool) {
    pool->sleeping--;
    pool->coming++;
    pool->calls++;
    tilefold_condition_wake_one(&pool->called);
}

static void call_some(tilefold_pool *pool) {
    for (int i = 0; i < CALLS && pool->sleeping > 0 && pool->left > pool->coming; i++) call_one(pool);
}

/* ------------------------------------------------------------------------------------------------------ looking ---- */

static void pause_briefly(void) {
#if defined(__GNUC__) && defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__GNUC__) && defined(__aarch64__)
    __asm__ volatile("isb"); /* some ten nanoseconds, where yield takes none */
#endif
}

/* Looks at a count, without the lock, until it is zero or is not, or for long enough. */
static void look(tilefold_pool *pool, const atomic_size_t *count, bool until_zero) {
    tilefold_mutex_unlock(&pool->lock);
    int64_t begin = tilefold_nanoseconds_now();
    while ((atomic_load(count) == 0) != until_zero && tilefold_nanoseconds_now() - begin < LOOK_NANOSECONDS)
        for (int i = 0; i < 4; i++) pause_briefly();
    tilefold_mutex_lock(&pool->lock);
}

/* ------------------------------------------------------------------------------------------------------ workers ---- */

/* Waits until there may be an index to take; false once the pool closes. With the lock held. */
static bool await_job(tilefold_pool *pool) {
    pool->coming++;
    if (!pool->closing) look(pool, &pool->left, false);
    pool->coming--;
    while (pool->left == 0 && !pool->closing) {
        pool->sleeping++;
        while (pool->calls == 0) tilefold_condition_wait(&pool->called, &pool->lock);
        pool->calls--;
        pool->coming--;
    }
    return !pool->closing;
}

/* With the lock held, but for the task. The job is its caller's again once nobody is doing any of it. */
static void do_index_of(tilefold_pool *pool, job *j) {
    size_t index = take_index(pool, j);
    atomic_fetch_add(&j->doing, 1);
    call_some(pool);
    tilefold_mutex_unlock(&pool->lock);
    j->task(j->argument, index);
    tilefold_mutex_lock(&pool->lock);
    if (atomic_fetch_sub(&j->doing, 1) == 1) tilefold_condition_wake_all(&pool->finished);
}

static void work(void *argument) {
    tilefold_pool *pool = argument;
    tilefold_enter_float_environment(); /* threads inherit that of who starts them */
    tilefold_mutex_lock(&pool->lock);
    do {
        while (pool->jobs) do_index_of(pool, pool->jobs);
    } while (await_job(pool));
    tilefold_mutex_unlock(&pool->lock);
}

/* Starts workers as long as the job has indices for more than there are. With the lock held, but while the system starts one:
 * those that have been started get to work meanwhile. */
static void start_workers(tilefold_pool *pool, const job *j) {
    if (pool->starting) return;
    pool->starting = true;
    while (pool->started < pool->most && (size_t)pool->started < j->count - 1 && j->next < j->count) {
        tilefold_mutex_unlock(&pool->lock);
        bool started = tilefold_thread_start(&pool->workers[pool->started], STACK_BYTES, work, pool);
        tilefold_mutex_lock(&pool->lock);
        if (started)
            pool->started++;
        else
            pool->most = pool->started; /* nor will it be asked for another */
    }
    pool->starting = false;
}

/* --------------------------------------------------------------------------------------------------------- runs ---- */

void tilefold_pool_open(tilefold_pool *pool, int32_t threads) {
    tilefold_call_once(&watch_once, watch_forks);
    reset(pool, threads - 1);
}

void tilefold_pool_close(tilefold_pool *pool) {
    if (is_inherited(pool)) return; /* its workers are another process's */
    tilefold_mutex_lock(&pool->lock);
    pool->closing = true;
    while (pool->sleeping > 0) call_one(pool);
    tilefold_mutex_unlock(&pool->lock);
    for (int32_t i = 0; i < pool->started; i++) tilefold_thread_join(&pool->workers[i]);
    tilefold_condition_close(&pool->finished);
    tilefold_condition_close(&pool->called);
    tilefold_mutex_close(&pool->lock);
}

void tilefold_pool_run(void *user, void (*task)(void *argument, size_t index), void *argument, size_t count) {
    tilefold_pool *pool = user;
    if (count == 0) return;
    job j = {.task = task, .argument = argument, .count = count};
    renew_if_inherited(pool);
    tilefold_mutex_lock(&pool->lock);
    post(pool, &j);
    size_t index = take_index(pool, &j);
    call_some(pool);
    start_workers(pool, &j);
    for (;;) {
        tilefold_mutex_unlock(&pool->lock);
        task(argument, index);
        tilefold_mutex_lock(&pool->lock);
        if (j.next == count) break;
        index = take_index(pool, &j);
    }
    if (atomic_load(&j.doing) > 0) look(pool, &j.doing, true);
    while (atomic_load(&j.doing) > 0) tilefold_condition_wait(&pool->finished, &pool->lock);
    tilefold_mutex_unlock(&pool->lock);
}
