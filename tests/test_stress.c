/* Everything at once: threads that share contexts and plans of every kind of pool plan, execute, convolve, cancel and let go, in an
 * order drawn for each, and every output has the bits of the naive loop.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runner.h"

enum { WORKERS = 6, SHARED = 16, ACTIONS = 500, LEAST_ACTIONS = 30 };

/* A problem with a plan for all, in a context of some kind. */
typedef struct shared {
    test_problem made;
    way way;
    tilefold_plan *plan;
    void *expected;
} shared;

static shared all[SHARED];

typedef struct worker {
    rng r;
    int64_t actions;
    tensors tensors[SHARED]; /* its own */
    bool failed;
} worker;

static void say(worker *w, const shared *s, const char *what) {
    w->failed = true;
    complain(&s->made, &s->way, what);
}

/* ------------------------------------------------------------------------------------------------------- actions ---- */

static void compare(worker *w, const shared *s, tensors *t) {
    void *got = malloc(tensors_output_bytes(t) + 1);
    if (!got) abort();
    const char *reason;
    if (!collect_output(t, got, &reason)) say(w, s, reason);
    if (!check_output(t, &s->way, s->expected, got)) w->failed = true;
    free(got);
}

static void execute(worker *w, const shared *s, tensors *t, const tilefold_plan *plan) {
    prepared p;
    tilefold_message message;
    tilefold_status status = prepare_execution(plan, t, &p, &message);
    if (!status && rng_percent(&w->r, 30))
        status = tilefold_execute_resized(plan, &s->made.problem, &p.execution, &message);
    else if (!status)
        status = tilefold_execute(plan, &p.execution, &message);
    if (status) say(w, s, message.text);
    if (!finish_execution(&p)) say(w, s, "memory around the scratch or the packed weights was written");
    compare(w, s, t);
}

static void plan_anew(worker *w, const shared *s, tensors *t) {
    bool declined;
    way other = s->way;
    other.prepack = rng_percent(&w->r, 50);
    other.limit = other.limit + rng_range(&w->r, 0, 100000);
    tilefold_plan *plan = make_plan(&s->made, &other, &declined);
    if (plan)
        execute(w, s, t, plan);
    else
        w->failed = true;
    tilefold_plan_destroy(plan);
}

static void convolve(worker *w, const shared *s, tensors *t) {
    tilefold_plan_options options = way_options(&s->way);
    tilefold_message message;
    tilefold_status status = tilefold_convolve(get_context(&s->way), &s->made.problem, &options, tensors_input(t),
                                               tensors_weight(t), tensors_bias(t), tensors_output(t), &message);
    if (status) say(w, s, message.text);
    compare(w, s, t);
}

static bool cancel(void *user, int64_t done, int64_t total) {
    (void)user, (void)done, (void)total;
    return false;
}

/* Leaves an output half written, and nothing else wrong. */
static void execute_cancelled(worker *w, const shared *s, tensors *t) {
    prepared p;
    tilefold_message message;
    tilefold_status status = prepare_execution(s->plan, t, &p, &message);
    p.execution.progress = cancel;
    if (!status) status = tilefold_execute(s->plan, &p.execution, &message);
    if (status && status != TILEFOLD_CANCELLED) say(w, s, message.text);
    if (!finish_execution(&p)) say(w, s, "memory around the scratch or the packed weights was written");
    fill_pattern(t->output.data, t->output.bytes);
}

/* A context of its own, which its plan outlives. */
static void open_context(worker *w, const shared *s, tensors *t) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.threads = (int32_t)rng_range(&w->r, 1, 3);
    tilefold_context *context;
    tilefold_plan *plan = NULL;
    tilefold_plan_options plan_options = way_options(&s->way);
    tilefold_message message;
    tilefold_status status = tilefold_context_create(&options, &context, &message);
    if (!status) {
        status = tilefold_plan_create(context, &s->made.problem, &plan_options, &plan, &message);
        tilefold_context_destroy(context);
    }
    if (status)
        say(w, s, message.text);
    else
        execute(w, s, t, plan);
    tilefold_plan_destroy(plan);
}

static void *work(void *argument) {
    worker *w = argument;
    for (int64_t i = 0; i < w->actions && !w->failed; i++) {
        int64_t which = rng_range(&w->r, 0, SHARED - 1), action = rng_range(&w->r, 0, 19);
        const shared *s = &all[which];
        tensors *t = &w->tensors[which];
        if (action < 12)
            execute(w, s, t, s->plan);
        else if (action < 15)
            plan_anew(w, s, t);
        else if (action < 17)
            convolve(w, s, t);
        else if (action < 19)
            execute_cancelled(w, s, t);
        else
            open_context(w, s, t);
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------------- test ---- */

/* Several plans to a context: what differs is the problem, its type and the limit. */
static void share(shared *s, int number, rng *r) {
    const pool pools[] = {POOL_LIBRARY, POOL_LIBRARY, POOL_SHUFFLED, POOL_THREADS};
    tilefold_isa isas[8];
    int isa_count = machine_isas(isas);
    int64_t index = rng_range(r, 0, listed_problems() - 1);
    s->made = listed_problem((int)index, (tilefold_type)(1 + number % 3), TILEFOLD_F32);
    s->way = (way){isas[number % 2 ? isa_count - 1 : number / 2 % isa_count],
                   3,
                   pools[number % 4],
                   TILEFOLD_ALGORITHM_AUTO,
                   number % 3 > 0,
                   INT64_C(1) << (16 + number % 5)};
    bool declined;
    s->plan = make_plan(&s->made, &s->way, &declined);
    if (!s->plan) fail();
    tensors t = make_tensors(&s->made);
    s->expected = reference_output(&t);
    free_tensors(&t);
}

static void test_everything_at_once(void **state) {
    (void)state;
    problem_run run = begin_problems(ACTIONS);
    rng r = rng_make(run.seed, 30);
    static worker workers[WORKERS];
    pthread_t threads[WORKERS];
    for (int i = 0; i < SHARED; i++) share(&all[i], i, &r);
    for (int i = 0; i < WORKERS; i++) {
        workers[i].r = rng_make(run.seed, (uint64_t)(31 + i));
        workers[i].actions = run.count > LEAST_ACTIONS ? run.count : LEAST_ACTIONS;
        for (int j = 0; j < SHARED; j++) workers[i].tensors[j] = make_tensors(&all[j].made);
    }
    for (int i = 0; i < WORKERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < WORKERS; i++) {
        assert_false(workers[i].failed);
        for (int j = 0; j < SHARED; j++) free_tensors(&workers[i].tensors[j]);
    }
    for (int i = 0; i < SHARED; i++) {
        tilefold_plan_destroy(all[i].plan);
        free(all[i].expected);
    }
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_at_once),
    };
    return cmocka_run_group_tests_name("stress", tests, NULL, close_all);
}
