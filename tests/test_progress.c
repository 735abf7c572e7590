/* Progress and cancelling: callbacks come one at a time and wait for nobody, nobody waits for them, and a cancelled run stops.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

#include "process.h"
#include "runner.h"

typedef struct watcher {
    atomic_bool inside; /* the callback is running */
    bool overlapped, out_of_order;
    int64_t calls, done, total, stop_at;
    int dwell_milliseconds;
} watcher;

static bool watch(void *user, int64_t done, int64_t total) {
    watcher *w = user;
    if (atomic_exchange(&w->inside, true)) w->overlapped = true;
    for (int i = 0; i < w->dwell_milliseconds; i++) sleep_briefly();
    w->calls++;
    w->out_of_order = w->out_of_order || done <= w->done || done > total || (w->total && w->total != total);
    w->done = done;
    w->total = total;
    atomic_store(&w->inside, false);
    return w->stop_at == 0 || done < w->stop_at;
}

static int64_t count_written(const tensors *t) {
    size_t size = tilefold_type_bytes(t->made.problem.type);
    guarded untouched = guarded_new(t->output.bytes, 64, false);
    fill_pattern(untouched.data, untouched.bytes);
    int64_t written = 0;
    for (int64_t i = 0; i < t->output_view.elements; i++) {
        size_t at = (size_t)(t->output_offset[i] - t->output_view.low) * size;
        written += memcmp(t->output.data + at, untouched.data + at, size) != 0;
    }
    guarded_delete(&untouched);
    return written;
}

/* Runs with a watcher that cancels at a tile (0: never), and looks at what it saw. Returns how many outputs were written. */
static int64_t watch_run(const test_problem *made, const way *w, watcher seen, tensors *t, const void *expected) {
    bool declined;
    tilefold_plan *plan = make_plan(made, w, &declined);
    if (!plan) fail_problem(made, w, "no plan");
    prepared p;
    tilefold_message message = {""};
    assert_int_equal(prepare_execution(plan, t, &p, &message), TILEFOLD_OK);
    p.execution.progress = watch;
    p.execution.progress_user = &seen;
    tilefold_status status = tilefold_execute(plan, &p.execution, &message);
    int64_t tiles = get_info(plan).tiles;
    bool cancelled = seen.stop_at > 0 && seen.stop_at <= tiles;
    bool one_by_one = w->threads == 1 || w->pool == POOL_SEQUENTIAL || w->pool == POOL_REVERSED;
    if (status != (cancelled ? TILEFOLD_CANCELLED : TILEFOLD_OK)) fail_problem(made, w, message.text);
    if (seen.overlapped || seen.out_of_order) fail_problem(made, w, "progress overlapped or out of order");
    if (seen.total != tiles || (!cancelled && seen.done != tiles))
        fail_problem(made, w, "the last call was not of all");
    if (one_by_one && seen.calls != seen.done) fail_problem(made, w, "progress was not called once for each tile");
    if (one_by_one && cancelled && seen.done != seen.stop_at) fail_problem(made, w, "progress was called once more");
    if (!finish_execution(&p)) fail_problem(made, w, "memory around the scratch was written");
    int64_t written = count_written(t);
    void *got = malloc(tensors_output_bytes(t) + 1);
    const char *reason;
    if (!collect_output(t, got, &reason)) fail_problem(made, w, reason);
    if (status == TILEFOLD_OK && !check_output(t, w, expected, got)) fail();
    free(got);
    tilefold_plan_destroy(plan);
    return written;
}

static void test_progress(void **state) {
    (void)state;
    const pool pools[] = {POOL_LIBRARY, POOL_REVERSED, POOL_THREADS};
    for (int index = 0; index < listed_problems(); index += list_step()) {
        test_problem made = listed_problem(index, TILEFOLD_F32, TILEFOLD_F32);
        way w = {best_isa(), 1 + index % 4, pools[index % 3], TILEFOLD_ALGORITHM_AUTO, true, 16384};
        tensors t = make_tensors(&made);
        void *expected = expected_output(&t);
        for (int64_t stop_at = 0; stop_at <= 3; stop_at++)
            watch_run(&made, &w, (watcher){.stop_at = stop_at}, &t, expected);
        free(expected);
        free_tensors(&t);
    }
}

/* A callback that dwells is still alone, where several threads have tiles to report. */
static void test_progress_dwells(void **state) {
    (void)state;
    test_problem made = many_tiles_problem();
    tensors t = make_tensors(&made);
    void *expected = expected_output(&t);
    const pool pools[] = {POOL_LIBRARY, POOL_THREADS};
    for (int i = 0; i < 6; i++) {
        way w = many_tiles_way(2 + i / 2, pools[i & 1]);
        watch_run(&made, &w, (watcher){.dwell_milliseconds = 1}, &t, expected);
    }
    free(expected);
    free_tensors(&t);
}

/* Once cancelled, no tile is begun: by threads one after the other, exactly those are written that were reported. */
static void test_cancelled_runs_stop(void **state) {
    (void)state;
    test_problem made = many_tiles_problem();
    tensors t = make_tensors(&made);
    void *expected = expected_output(&t);
    const way ways[] = {many_tiles_way(1, POOL_LIBRARY), many_tiles_way(4, POOL_SEQUENTIAL),
                        many_tiles_way(4, POOL_REVERSED)};
    for (int i = 0; i < 3; i++) {
        int64_t one = watch_run(&made, &ways[i], (watcher){.stop_at = 1}, &t, expected);
        int64_t two = watch_run(&made, &ways[i], (watcher){.stop_at = 2}, &t, expected);
        int64_t five = watch_run(&made, &ways[i], (watcher){.stop_at = 5}, &t, expected);
        assert_true(one > 0 && one < t.output_view.elements / 5);
        assert_true(two > one && two <= 2 * one);
        assert_true(five > two && five <= 5 * one);
    }
    free(expected);
    free_tensors(&t);
}

typedef struct dweller {
    const tensors *tensors;
    bool others_finished, others_slept;
    int64_t calls, second_done, total;
} dweller;

/* Reads what other threads are writing, so not for the thread sanitizer's eyes. */
__attribute__((no_sanitize("thread"))) static bool is_written(const tensors *t) {
    const volatile float *output = (const volatile float *)(const void *)t->output.data;
    for (int64_t i = 0; i < t->output_view.elements; i++) {
        if (output[i] != output[i]) return false; /* the pattern is NaNs, the outputs are numbers */
    }
    return true;
}

/* In the first call, stays until the other threads have done all the rest and sleep. */
static bool dwell_until_done(void *user, int64_t done, int64_t total) {
    dweller *d = user;
    d->total = total;
    if (++d->calls == 2) d->second_done = done;
    if (d->calls > 1) return true;
    for (int i = 0; i < 20000 && !d->others_finished; i++) {
        d->others_finished = is_written(d->tensors);
        sleep_briefly();
    }
    d->others_slept = d->others_finished && others_go_to_sleep();
    return true;
}

/* Threads wait for no callback, neither with tiles to do nor without, when they take no processor time. */
static void test_nobody_waits_for_progress(void **state) {
    (void)state;
    if (process_threads() < 0) skip();
    test_problem made = many_tiles_problem();
    tensors t = make_tensors(&made);
    way w = many_tiles_way(4, POOL_LIBRARY);
    bool declined;
    tilefold_plan *plan = make_plan(&made, &w, &declined);
    assert_true(get_info(plan).threads > 1);
    prepared p;
    tilefold_message message;
    dweller d = {.tensors = &t};
    assert_int_equal(prepare_execution(plan, &t, &p, &message), TILEFOLD_OK);
    for (int64_t i = 0; i < t.output_view.elements; i++) ((float *)(void *)t.output.data)[i] = NAN;
    p.execution.progress = dwell_until_done;
    p.execution.progress_user = &d;
    assert_int_equal(tilefold_execute(plan, &p.execution, &message), TILEFOLD_OK);
    assert_true(d.others_finished);
    assert_true(d.others_slept);
    assert_int_equal(d.calls, 2);
    assert_int_equal(d.second_done, d.total);
    assert_true(finish_execution(&p));
    free_tensors(&t);
    tilefold_plan_destroy(plan);
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_progress_dwells),
        cmocka_unit_test(test_cancelled_runs_stop),
        cmocka_unit_test(test_nobody_waits_for_progress),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, close_all);
}
