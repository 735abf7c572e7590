/* The library's own threads: every index once, several at once, started late, and what happens where they cannot start, after a
 * fork, and when there is nothing to do.
 *
 * SPDX-License-Identifier: MIT
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "counting.h"
#include "cpu/pool.h"
#include "process.h"

enum { MAX_COUNT = 100 };

static tilefold_pool *open_pool(int32_t threads) {
    tilefold_pool *pool = malloc(tilefold_pool_bytes(threads));
    if (!pool) abort();
    tilefold_pool_open(pool, threads);
    return pool;
}

static void close_pool(tilefold_pool *pool) {
    tilefold_pool_close(pool);
    free(pool);
}

/* ---------------------------------------------------------------------------------------------------- every index ---- */

typedef struct tally {
    atomic_int times[MAX_COUNT];
} tally;

static void count_index(void *argument, size_t index) {
    tally *t = argument;
    atomic_fetch_add(&t->times[index], 1);
}

/* Whether a run of that many indices does each once. */
static bool runs_each_once(tilefold_pool *pool, size_t count) {
    tally t = {0};
    tilefold_pool_run(pool, count_index, &t, count);
    for (size_t i = 0; i < MAX_COUNT; i++) {
        if (atomic_load(&t.times[i]) != (i < count)) return false;
    }
    return true;
}

static void test_every_index_once(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= 6; threads++) {
        tilefold_pool *pool = open_pool(threads);
        for (size_t count = 0; count <= MAX_COUNT; count += count < 10 ? 1 : 15) {
            for (int round = 0; round < 20; round++) assert_true(runs_each_once(pool, count));
        }
        close_pool(pool);
    }
}

static void test_pools_come_and_go(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        tilefold_pool *pool = open_pool(1 + i % 5);
        for (int run = 0; run < i % 4; run++) assert_true(runs_each_once(pool, 5));
        if (i % 50 == 49) assert_true(others_go_to_sleep());
        close_pool(pool);
    }
}

/* ------------------------------------------------------------------------------------------------------- at once ---- */

typedef struct meeting {
    pthread_mutex_t lock;
    size_t here, wanted;
    pthread_t who[MAX_COUNT];
    bool took_signals; /* some thread other than the caller's would have taken SIGINT */
} meeting;

static bool all_here(meeting *m) {
    pthread_mutex_lock(&m->lock);
    bool all = m->here == m->wanted;
    pthread_mutex_unlock(&m->lock);
    return all;
}

/* Stays until all indices are being done, for at most 20 seconds. */
static void meet(void *argument, size_t index) {
    meeting *m = argument;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    pthread_mutex_lock(&m->lock);
    m->here++;
    m->who[index] = pthread_self();
    if (index > 0 && !sigismember(&blocked, SIGINT)) m->took_signals = true;
    pthread_mutex_unlock(&m->lock);
    for (int i = 0; i < 20000 && !all_here(m); i++) sleep_briefly();
}

/* Whether that many indices are done at once, each by a thread of its own. */
static bool all_meet(tilefold_pool *pool, size_t count) {
    meeting m = {.lock = PTHREAD_MUTEX_INITIALIZER, .wanted = count};
    tilefold_pool_run(pool, meet, &m, count);
    if (m.here != count || m.took_signals) return false;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (pthread_equal(m.who[i], m.who[j])) return false;
        }
    }
    return true;
}

static void test_all_at_once(void **state) {
    (void)state;
    for (int32_t threads = 2; threads <= 9; threads++) {
        tilefold_pool *pool = open_pool(threads);
        for (size_t count = 2; count <= (size_t)threads; count++) assert_true(all_meet(pool, count));
        assert_true(others_go_to_sleep());
        assert_true(all_meet(pool, (size_t)threads)); /* all of them wake */
        close_pool(pool);
    }
}

static void test_signals_are_left_to_the_program(void **state) {
    (void)state;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    tilefold_pool *pool = open_pool(3);
    assert_true(all_meet(pool, 3));
    close_pool(pool);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signal = 1; signal < 32; signal++) {
        assert_int_equal(sigismember(&before, signal), sigismember(&after, signal));
    }
}

/* Runs within the tasks of runs, from several threads at once. */

typedef struct family {
    tilefold_pool *pool;
    int depth;
    atomic_int leaves;
} family;

static void nest(void *argument, size_t index) {
    family *f = argument;
    (void)index;
    if (f->depth == 0) {
        atomic_fetch_add(&f->leaves, 1);
        return;
    }
    family inner = {.pool = f->pool, .depth = f->depth - 1};
    tilefold_pool_run(f->pool, nest, &inner, 4);
    atomic_fetch_add(&f->leaves, atomic_load(&inner.leaves));
}

static void *nest_from_here(void *argument) {
    for (int round = 0; round < 50; round++) {
        family f = {.pool = argument, .depth = 3};
        nest(&f, 0);
        if (atomic_load(&f.leaves) != 64) return "wrong";
    }
    return NULL;
}

static void test_runs_within_runs_at_once(void **state) {
    (void)state;
    enum { CALLERS = 4 };
    for (int32_t threads = 1; threads <= 4; threads++) {
        tilefold_pool *pool = open_pool(threads);
        pthread_t callers[CALLERS];
        for (int i = 0; i < CALLERS; i++) {
            assert_int_equal(pthread_create(&callers[i], NULL, nest_from_here, pool), 0);
        }
        for (int i = 0; i < CALLERS; i++) {
            void *wrong;
            pthread_join(callers[i], &wrong);
            assert_null(wrong);
        }
        close_pool(pool);
    }
}

/* ------------------------------------------------------------------------------------------------------ starting ---- */

static void test_threads_start_late(void **state) {
    (void)state;
    int64_t before = process_threads();
    if (before < 0) skip();
    tilefold_pool *pool = open_pool(1024);
    assert_true(process_threads() <= before); /* fewer where one of an earlier test was about to go */
    assert_true(runs_each_once(pool, 1));
    assert_true(process_threads() <= before);
    assert_true(all_meet(pool, 3)); /* a run starts what it has use for */
    assert_true(process_threads() <= before + 2);
    close_pool(pool);
}

static void test_idle_threads_sleep(void **state) {
    (void)state;
    if (process_threads() < 0) skip();
    tilefold_pool *pool = open_pool(4);
    assert_true(all_meet(pool, 4));
    assert_true(others_go_to_sleep());
    close_pool(pool);
}

typedef struct cramped {
    tilefold_pool *pool;
    int32_t threads;
    int64_t room; /* bytes of address space that are left */
} cramped;

enum { NO_LIMIT = 2 };

static bool limit_address_space(int64_t room) {
    rlim_t bytes = (rlim_t)(process_address_space_bytes() + room);
    if (setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes}) != 0) return false;
    void *refused = mmap(NULL, (size_t)room + 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return refused == MAP_FAILED; /* an emulator's limits are its own */
}

static void *wait_for_the_end(void *argument) {
    for (;;) sleep_briefly();
    return argument;
}

/* The C library keeps stacks of threads that have ended, and gives out those that are not much too large: threads of every size
 * of stack, until no more can start. */
static void take_kept_stacks(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    for (size_t bytes = (size_t)sysconf(_SC_THREAD_STACK_MIN); bytes <= 8 << 20; bytes *= 2) {
        pthread_attr_setstacksize(&attributes, bytes);
        while (pthread_create(&thread, &attributes, wait_for_the_end, NULL) == 0) {}
    }
    pthread_attr_destroy(&attributes);
}

/* In a child: 0 where runs are right with fewer threads than asked for, or with the calling one alone where there is no room. */
static int run_cramped(void *argument) {
    const cramped *c = argument;
    if (!limit_address_space(c->room)) return NO_LIMIT;
    if (c->room == 0) take_kept_stacks();
    int64_t before = process_threads(), most = c->room == 0 ? before : before + c->threads - 2;
    tilefold_pool_open(c->pool, c->threads);
    for (int round = 0; round < 20; round++) {
        if (!runs_each_once(c->pool, (size_t)c->threads)) return 1;
    }
    int64_t threads = process_threads();
    tilefold_pool_close(c->pool);
    return threads > most;
}

/* With what can be started, a few or none at all. */
static void test_threads_that_cannot_start(void **state) {
    (void)state;
    if (!heap_is_watched()) skip(); /* a sanitizer needs the address space for itself */
    if (process_threads() < 0) skip();
    const int64_t rooms[] = {0, 1 << 20, 4 << 20, 16 << 20};
    for (int i = 0; i < 4; i++) {
        cramped c = {malloc(tilefold_pool_bytes(MAX_COUNT)), MAX_COUNT, rooms[i]};
        int exit_status = run_in_child(run_cramped, &c);
        free(c.pool);
        if (exit_status == NO_LIMIT) skip();
        assert_int_equal(exit_status, 0);
    }
}

/* ----------------------------------------------------------------------------------------------------------- fork ---- */

static int meet_in_child(void *argument) {
    tilefold_pool *pool = argument;
    int wrong = !all_meet(pool, 3) || !runs_each_once(pool, MAX_COUNT);
    tilefold_pool_close(pool);
    return wrong;
}

static int only_close(void *argument) {
    tilefold_pool_close(argument);
    return 0;
}

static int fork_again(void *argument) { return run_in_child(meet_in_child, argument) || meet_in_child(argument); }

static void test_fork(void **state) {
    (void)state;
    if (!children_may_start_threads()) skip();
    int (*const children[])(void *argument) = {meet_in_child, only_close, fork_again};
    for (int i = 0; i < 12; i++) {
        tilefold_pool *pool = open_pool(3);
        if (i & 1) assert_true(all_meet(pool, 3)); /* its threads are there, or not yet */
        if (i & 2) assert_true(others_go_to_sleep());
        assert_int_equal(run_in_child(children[i % 3], pool), 0);
        assert_true(all_meet(pool, 3));
        close_pool(pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_index_once),
        cmocka_unit_test(test_pools_come_and_go),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_signals_are_left_to_the_program),
        cmocka_unit_test(test_runs_within_runs_at_once),
        cmocka_unit_test(test_threads_start_late),
        cmocka_unit_test(test_idle_threads_sleep),
        cmocka_unit_test(test_threads_that_cannot_start),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
