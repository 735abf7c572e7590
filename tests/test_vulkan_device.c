/* tilefold on a Vulkan device of the caller's; limits; the pipeline cache; every shader, small enough to be instrumented.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>

#include "runner.h"
#include "vulkan_own.h"

/* ------------------------------------------------------------------------------------------------------- helpers ---- */

static tilefold_status compute(tilefold_context *context, const tensors *t, const tilefold_plan_options *options,
                               tilefold_message *message) {
    return tilefold_convolve(context, &t->made.problem, options, tensors_input(t), tensors_weight(t), tensors_bias(t),
                             tensors_output(t), message);
}

static tilefold_plan_options plan_options(tilefold_algorithm algorithm, int64_t limit) {
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.algorithm = algorithm;
    options.scratch_limit_bytes = limit;
    return options;
}

/* Computes the problem and compares it with float64. The outputs are left in `got`, or not kept where that is NULL. */
static void check_problem(tilefold_context *context, const test_problem *made, tilefold_algorithm algorithm,
                          void *got) {
    tensors t = make_tensors(made);
    tilefold_plan_options options = plan_options(algorithm, TILEFOLD_DEFAULT_SCRATCH_LIMIT_BYTES);
    tilefold_message message = {""};
    tilefold_status status = compute(context, &t, &options, &message);
    if (status) fail_msg("%s: %s", describe_problem(made), message.text);
    void *dense = got ? got : malloc(tensors_output_bytes(&t) + 1);
    const char *reason;
    assert_non_null(dense);
    assert_true(collect_output(&t, dense, &reason));
    assert_true(check_against_double(&t, dense));
    if (!got) free(dense);
    free_tensors(&t);
}

/* One problem of each of a few kinds. */
static void check_some_problems(tilefold_context *context) {
    for (int index = 0; index < listed_problems(); index += 5) {
        test_problem made = listed_problem(index, (tilefold_type)(1 + index % 3), TILEFOLD_F32);
        check_problem(context, &made, TILEFOLD_ALGORITHM_AUTO, NULL);
    }
}

/* A device of tilefold's own. */
static tilefold_context *context_with_cache(const void *data, size_t bytes) {
    tilefold_vulkan_options options;
    tilefold_vulkan_options_init(&options);
    options.pipeline_cache = data;
    options.pipeline_cache_bytes = bytes;
    return own_context(&options);
}

/* ------------------------------------------------------------------------------------------------ a device of ours ---- */

/* A lock around the queue that counts. */
typedef struct queue_lock {
    pthread_mutex_t mutex;
    pthread_t holder;
    bool held;
    int64_t locked;
    int misused;
} queue_lock;

static void lock(void *user) {
    queue_lock *l = user;
    pthread_mutex_lock(&l->mutex);
    l->misused += l->held;
    l->held = true;
    l->holder = pthread_self();
    l->locked++;
}

static void unlock(void *user) {
    queue_lock *l = user;
    l->misused += !l->held || !pthread_equal(l->holder, pthread_self());
    l->held = false;
    pthread_mutex_unlock(&l->mutex);
}

static tilefold_vulkan_options locked_options(const own_device *own, queue_lock *l) {
    tilefold_vulkan_options options = own_options(own);
    options.lock_queue = lock;
    options.unlock_queue = unlock;
    options.queue_user = l;
    return options;
}

static void test_own_device(void **state) {
    (void)state;
    for (int storage16 = 0; storage16 < 2; storage16++) {
        own_device own = own_open(storage16);
        queue_lock l = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        tilefold_vulkan_options options = locked_options(&own, &l);
        tilefold_context *context = own_context(&options);
        check_some_problems(context);
        tilefold_context_destroy(context);
        assert_true(l.locked > 0);
        assert_false(l.held);
        assert_int_equal(l.misused, 0);
        own_close(&own);
    }
}

typedef struct worker {
    tilefold_context *context;
    tensors tensors;
    tilefold_status status;
    pthread_t thread;
} worker;

static void *work(void *user) {
    worker *w = user;
    tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_UNFOLD, 1 << 20);
    for (int i = 0; i < 8 && !w->status; i++) w->status = compute(w->context, &w->tensors, &options, NULL);
    return NULL;
}

/* Two contexts, a thread for each, one queue. */
static void test_shared_queue(void **state) {
    (void)state;
    own_device own = own_open(true);
    queue_lock l = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    tilefold_vulkan_options options = locked_options(&own, &l);
    worker workers[2];
    for (int i = 0; i < 2; i++) {
        test_problem made = listed_problem(i, TILEFOLD_F32, TILEFOLD_NONE);
        workers[i] = (worker){.context = own_context(&options), .tensors = make_tensors(&made)};
    }
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].status, TILEFOLD_OK);
        free_tensors(&workers[i].tensors);
        tilefold_context_destroy(workers[i].context);
    }
    assert_true(l.locked >= 16);
    assert_int_equal(l.misused, 0);
    own_close(&own);
}

/* ------------------------------------------------------------------------------------------------- one context ---- */

/* A thread with tensors of its own; the plan is its own or shared. */
typedef struct sharer {
    const tilefold_plan *plan;
    tensors tensors;
    unsigned char *expected, *got;
    int wrong;
    pthread_t thread;
} sharer;

static tilefold_status execute(const tilefold_plan *plan, const tensors *t, tilefold_progress progress, void *user) {
    prepared p;
    tilefold_status status = prepare_execution(plan, t, &p, NULL);
    p.execution.progress = progress;
    p.execution.progress_user = user;
    if (!status) status = tilefold_execute(plan, &p.execution, NULL);
    return finish_execution(&p) ? status : TILEFOLD_DEVICE_LOST;
}

static bool execute_again(sharer *s) {
    const char *reason;
    int64_t index;
    tilefold_status status = execute(s->plan, &s->tensors, NULL, NULL);
    return collect_output(&s->tensors, s->got, &reason) && status == TILEFOLD_OK &&
           same_bits(s->tensors.made.problem.type, s->tensors.output_view.elements, s->expected, s->got, &index);
}

static void *share(void *user) {
    sharer *s = user;
    for (int i = 0; i < 12; i++) s->wrong += !execute_again(s);
    return NULL;
}

static tilefold_plan *plan_of(tilefold_context *context, const test_problem *made) {
    tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_UNFOLD, 1 << 17);
    tilefold_plan *plan;
    assert_int_equal(tilefold_plan_create(context, &made->problem, &options, &plan, NULL), TILEFOLD_OK);
    return plan;
}

/* Threads that execute at once on one context, two of them one plan, get what each gets alone. */
static void test_shared_context(void **state) {
    (void)state;
    enum { THREADS = 4, PLANS = 3 };
    tilefold_context *context = context_with_cache(NULL, 0);
    tilefold_plan *plans[PLANS];
    sharer sharers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        test_problem made = listed_problem(i % PLANS, TILEFOLD_F32, TILEFOLD_F32);
        if (i < PLANS) plans[i] = plan_of(context, &made);
        made.seed += (uint64_t)i * 1000; /* other values */
        sharer *s = &sharers[i];
        *s = (sharer){.plan = plans[i % PLANS], .tensors = make_tensors(&made)};
        s->expected = malloc(tensors_output_bytes(&s->tensors));
        s->got = malloc(tensors_output_bytes(&s->tensors));
        const char *reason;
        assert_true(s->expected && s->got);
        assert_int_equal(execute(s->plan, &s->tensors, NULL, NULL), TILEFOLD_OK);
        assert_true(collect_output(&s->tensors, s->expected, &reason));
        assert_true(check_against_double(&s->tensors, s->expected));
    }
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&sharers[i].thread, NULL, share, &sharers[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(sharers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(sharers[i].wrong, 0);
        free(sharers[i].expected);
        free(sharers[i].got);
        free_tensors(&sharers[i].tensors);
    }
    for (int i = 0; i < PLANS; i++) tilefold_plan_destroy(plans[i]);
    tilefold_context_destroy(context);
}

/* What a progress callback does on the context that it is called from. */
typedef struct caller {
    tilefold_context *context;
    const tilefold_plan *plan; /* that is running */
    tensors running, other;
    int calls;
    tilefold_status other_status, same_status;
} caller;

static bool call_back(void *user, int64_t done, int64_t total) {
    caller *c = user;
    (void)done, (void)total;
    c->calls++;
    tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_AUTO, 1 << 20);
    c->other_status = compute(c->context, &c->other, &options, NULL);
    c->same_status = execute(c->plan, &c->running, NULL, NULL);
    return true;
}

/* It may plan and execute there; the plan that runs refuses to be executed by it. */
static void test_progress_uses_the_context(void **state) {
    (void)state;
    tilefold_context *context = context_with_cache(NULL, 0);
    test_problem running = listed_problem(0, TILEFOLD_F32, TILEFOLD_F32);
    test_problem other = listed_problem(1, TILEFOLD_F32, TILEFOLD_NONE);
    tilefold_plan *plan = plan_of(context, &running);
    caller c = {.context = context, .plan = plan, .running = make_tensors(&running), .other = make_tensors(&other)};
    assert_int_equal(execute(plan, &c.running, call_back, &c), TILEFOLD_OK);
    assert_true(c.calls > 0);
    assert_int_equal(c.other_status, TILEFOLD_OK);
    assert_int_equal(c.same_status, TILEFOLD_INVALID_ARGUMENT);
    tensors *const computed[] = {&c.running, &c.other};
    for (int i = 0; i < 2; i++) {
        void *got = malloc(tensors_output_bytes(computed[i]));
        const char *reason;
        assert_non_null(got);
        assert_true(collect_output(computed[i], got, &reason));
        assert_true(check_against_double(computed[i], got));
        free(got);
        free_tensors(computed[i]);
    }
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
}

static void test_without_queue(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options options = own_options(&own);
    options.queue = VK_NULL_HANDLE;
    tilefold_context *context = own_context(&options);
    test_problem made = listed_problem(0, TILEFOLD_F32, TILEFOLD_NONE);
    tensors t = make_tensors(&made);
    tilefold_plan_options plan = plan_options(TILEFOLD_ALGORITHM_AUTO, 1 << 20);
    tilefold_message message = {""};
    assert_int_equal(compute(context, &t, &plan, &message), TILEFOLD_UNSUPPORTED);
    assert_non_null(strstr(message.text, "queue"));
    free_tensors(&t);
    tilefold_context_destroy(context);
    own_close(&own);
}

/* ---------------------------------------------------------------------------------------------------- the queue ---- */

typedef struct planner {
    pthread_t thread;
    tilefold_context *context;
    tilefold_status status;
    bool done;
} planner;

static void *plan_a_problem(void *argument) {
    planner *p = argument;
    test_problem made = listed_problem(0, TILEFOLD_F32, TILEFOLD_NONE);
    tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_UNFOLD, 1 << 20); /* a shader of its own */
    tilefold_plan *plan = NULL;
    p->status = tilefold_plan_create(p->context, &made.problem, &options, &plan, NULL);
    tilefold_plan_destroy(plan);
    return NULL;
}

/* Called when a command buffer is about to be submitted: another thread plans, to the end. */
static void plan_meanwhile(void *user) {
    planner *p = user;
    if (p->done || !p->context) return; /* it tries the device's arithmetic when there is no context yet */
    p->done = true;
    assert_int_equal(pthread_create(&p->thread, NULL, plan_a_problem, p), 0);
    assert_int_equal(pthread_join(p->thread, NULL), 0);
}

static void do_nothing(void *user) { (void)user; }

static void test_planning_waits_for_no_execution(void **state) {
    (void)state;
    own_device own = own_open(false);
    planner p = {.status = TILEFOLD_INVALID_ARGUMENT};
    tilefold_vulkan_options options = own_options(&own);
    options.lock_queue = plan_meanwhile;
    options.unlock_queue = do_nothing;
    options.queue_user = &p;
    p.context = own_context(&options);
    test_problem made = listed_problem(0, TILEFOLD_F32, TILEFOLD_NONE);
    tensors t = make_tensors(&made);
    tilefold_plan_options plan = plan_options(TILEFOLD_ALGORITHM_DIRECT, 1 << 20);
    tilefold_message message = {""};
    assert_int_equal(compute(p.context, &t, &plan, &message), TILEFOLD_OK);
    assert_true(p.done);
    assert_int_equal(p.status, TILEFOLD_OK);
    free_tensors(&t);
    tilefold_context_destroy(p.context);
    own_close(&own);
}

enum { LONG_CHANNELS = 512, LONG_POSITIONS = 17000 }; /* 4.5 * 10^9 multiply-adds */

static tilefold_problem long_problem(void) {
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 1);
    p.in_channels = p.out_channels = LONG_CHANNELS;
    p.input_size[0] = LONG_POSITIONS;
    assert_int_equal(tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_LAST, NULL), TILEFOLD_OK);
    return p;
}

static int at_position(int64_t position) { return (int)(position % 7); }
static int of_output(int64_t output) { return (int)(output % 5); }

/* Every input of a position is the same, and every weight of an output: so the sum is known. */
static void check_long_outputs(const float *output) {
    for (int64_t p = 0; p < LONG_POSITIONS; p++)
        for (int64_t o = 0; o < LONG_CHANNELS; o++)
            if (output[p * LONG_CHANNELS + o] != (float)(LONG_CHANNELS * at_position(p) * of_output(o)))
                fail_msg("output %lld of position %lld is wrong", (long long)o, (long long)p);
}

/* More work than a driver should be given at once. */
static void test_long_binding_is_several_submissions(void **state) {
    (void)state;
    own_device own = own_open(false);
    queue_lock l = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    tilefold_vulkan_options vulkan = locked_options(&own, &l);
    tilefold_context *context = own_context(&vulkan);
    tilefold_problem problem = long_problem();
    tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_IMPLICIT, 1 << 20);
    options.bind_buffers = true;
    tilefold_plan *plan;
    tilefold_message message = {""};
    if (tilefold_plan_create(context, &problem, &options, &plan, &message)) fail_msg("%s", message.text);
    size_t image = sizeof(float) * LONG_CHANNELS * LONG_POSITIONS;
    own_buffer input = own_buffer_new(&own, image), output = own_buffer_new(&own, image);
    own_buffer weight = own_buffer_new(&own, sizeof(float) * LONG_CHANNELS * LONG_CHANNELS);
    float *inputs = (float *)(void *)input.mapped, *weights = (float *)(void *)weight.mapped;
    for (int64_t i = 0; i < (int64_t)LONG_CHANNELS * LONG_POSITIONS; i++)
        inputs[i] = (float)at_position(i / LONG_CHANNELS);
    for (int64_t i = 0; i < (int64_t)LONG_CHANNELS * LONG_CHANNELS; i++)
        weights[i] = (float)of_output(i / LONG_CHANNELS);
    tilefold_vulkan_tensors bound;
    tilefold_vulkan_tensors_init(&bound);
    bound.input.buffer = input.buffer;
    bound.weight.buffer = weight.buffer;
    bound.output.buffer = output.buffer;
    tilefold_vulkan_binding *binding;
    if (tilefold_vulkan_bind(plan, &bound, &binding, &message)) fail_msg("%s", message.text);
    for (int run = 0; run < 2; run++) {
        memset(output.mapped, 0xff, image);
        int64_t before = l.locked;
        if (tilefold_vulkan_run(binding, NULL, &message)) fail_msg("%s", message.text);
        assert_true(l.locked >= before + 2 && l.misused == 0);
        check_long_outputs((const float *)(const void *)output.mapped);
    }
    tilefold_vulkan_binding_destroy(binding);
    own_buffer_delete(&own, &weight);
    own_buffer_delete(&own, &input);
    own_buffer_delete(&own, &output);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
    own_close(&own);
}

static void refuse(const tilefold_vulkan_options *vulkan) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    tilefold_context *context = (tilefold_context *)&options;
    tilefold_message message = {""};
    assert_int_equal(tilefold_vulkan_context_create(&options, vulkan, &context, &message), TILEFOLD_INVALID_ARGUMENT);
    assert_ptr_equal(context, &options);
    assert_true(message.text[0] != '\0');
}

static PFN_vkGetInstanceProcAddr instance_functions;

/* Those of an instance of Vulkan 1.0. */
static PFN_vkVoidFunction VKAPI_CALL find_of_1_0(VkInstance instance, const char *name) {
    return strcmp(name, "vkGetPhysicalDeviceProperties2") == 0 ? NULL : instance_functions(instance, name);
}

static void test_wrong_options(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options options = own_options(&own);
    instance_functions = options.get_instance_proc_addr;
    options.get_instance_proc_addr = find_of_1_0;
    refuse(&options);
    options = own_options(&own);
    options.queue_family = 63; /* there is no such family */
    refuse(&options);
    options.get_instance_proc_addr = NULL;
    refuse(&options);
    options = own_options(&own);
    options.instance = VK_NULL_HANDLE;
    refuse(&options);
    options = own_options(&own);
    options.physical_device = VK_NULL_HANDLE;
    refuse(&options);
    options = own_options(&own);
    options.lock_queue = lock;
    refuse(&options);
    options = own_options(&own);
    options.struct_size--;
    refuse(&options);
    options = own_options(&own);
    options.reserved[0] = 1;
    refuse(&options);
    options = own_options(&own);
    tilefold_vulkan_limits limits;
    options.limits = &limits;
    tilefold_vulkan_limits_init(&limits);
    limits.struct_size = 0;
    refuse(&options);
    tilefold_vulkan_limits_init(&limits);
    limits.max_workgroups[1] = 0;
    refuse(&options);
    tilefold_vulkan_limits_init(&limits);
    limits.max_buffer_bytes = 16;
    refuse(&options);
    own_close(&own);
}

/* ------------------------------------------------------------------------------------------------ pipeline cache ---- */

static void test_pipeline_cache(void **state) {
    (void)state;
    tilefold_context *context = context_with_cache(NULL, 0);
    test_problem made = listed_problem(0, TILEFOLD_F32, TILEFOLD_NONE);
    check_problem(context, &made, TILEFOLD_ALGORITHM_IMPLICIT, NULL);
    size_t needed = 0, bytes = 1;
    tilefold_message message = {""};
    assert_int_equal(tilefold_vulkan_get_pipeline_cache(context, NULL, &needed, &message), TILEFOLD_OK);
    assert_true(needed >= 32); /* the header that the specification gives every cache */
    unsigned char *data = calloc(1, needed + 64);
    assert_int_equal(tilefold_vulkan_get_pipeline_cache(context, data, &bytes, &message), TILEFOLD_INVALID_ARGUMENT);
    bytes = needed + 64;
    assert_int_equal(tilefold_vulkan_get_pipeline_cache(context, data, &bytes, &message), TILEFOLD_OK);
    assert_in_range(bytes, 32, needed);
    tilefold_context_destroy(context);

    context = context_with_cache(data, bytes);
    check_problem(context, &made, TILEFOLD_ALGORITHM_IMPLICIT, NULL);
    tilefold_context_destroy(context);
    data[16] ^= 0xff; /* of another driver, by its UUID: to be ignored */
    context = context_with_cache(data, bytes);
    check_problem(context, &made, TILEFOLD_ALGORITHM_IMPLICIT, NULL);
    tilefold_context_destroy(context);
    free(data);
}

static void test_pipeline_cache_of_the_cpu(void **state) {
    (void)state;
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    tilefold_context *context;
    assert_int_equal(tilefold_context_create(&options, &context, NULL), TILEFOLD_OK);
    size_t bytes = 0;
    assert_int_equal(tilefold_vulkan_get_pipeline_cache(context, NULL, &bytes, NULL), TILEFOLD_INVALID_ARGUMENT);
    tilefold_context_destroy(context);
}

/* -------------------------------------------------------------------------------------------------------- limits ---- */

static void test_presets(void **state) {
    (void)state;
    static const char *const names[] = {"minimum", "moltenvk", "adreno", "mali", "staging"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        tilefold_vulkan_limits limits;
        tilefold_vulkan_limits_init(&limits);
        assert_int_equal(tilefold_vulkan_limits_preset(names[i], &limits, NULL), TILEFOLD_OK);
        assert_int_equal(limits.struct_size, sizeof limits);
        assert_true(limits.max_buffer_bytes >= 1 << 27); /* what the specification guarantees */
        assert_true(limits.max_workgroups[0] >= 65535 && limits.max_image_2d >= 4096 && limits.max_image_3d >= 256);
    }
    static const char *const wrong[] = {"", "Minimum", "minimum ", "metal", NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tilefold_vulkan_limits limits = {.max_image_2d = 7}, before = limits;
        tilefold_message message = {""};
        assert_int_equal(tilefold_vulkan_limits_preset(wrong[i], &limits, &message), TILEFOLD_INVALID_ARGUMENT);
        assert_memory_equal(&limits, &before, sizeof limits);
        assert_non_null(strstr(message.text, "moltenvk"));
    }
}

/* ------------------------------------------------------------------------------------------------------- shaders ---- */

/* Few columns, whose shaders are the smallest: the layers' own checks are compiled into them by GPU-assisted validation. */
static void check_shaders(tilefold_algorithm algorithm, bool cpu_vectors) {
    tilefold_vulkan_options options;
    tilefold_vulkan_limits limits;
    tilefold_vulkan_options_init(&options);
    tilefold_vulkan_limits_init(&limits);
    options.limits = &limits;
    limits.cpu_vectors = cpu_vectors;
    tilefold_context *context = own_context(&options);
    test_problem made = {.name = "few columns", .seed = 5, .data = DATA_UNIT};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV_TRANSPOSE, TILEFOLD_F32, 2);
    p->bias_type = TILEFOLD_F32;
    p->in_channels = 3;
    p->out_channels = 2;
    p->input_size[0] = 7, p->input_size[1] = 9;
    p->kernel[0] = p->kernel[1] = 3;
    p->stride[1] = 2;
    p->padding_begin[1] = 1;
    assert_int_equal(tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    check_problem(context, &made, algorithm, NULL);
    tilefold_context_destroy(context);
}

static void test_direct_shader(void **state) {
    (void)state;
    check_shaders(TILEFOLD_ALGORITHM_DIRECT, true);
}

static void test_implicit_shader(void **state) {
    (void)state;
    check_shaders(TILEFOLD_ALGORITHM_IMPLICIT, true);
    check_shaders(TILEFOLD_ALGORITHM_IMPLICIT, false);
}

static void test_unfold_shaders(void **state) {
    (void)state;
    check_shaders(TILEFOLD_ALGORITHM_UNFOLD, true);
    check_shaders(TILEFOLD_ALGORITHM_UNFOLD, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_device),
        cmocka_unit_test(test_shared_queue),
        cmocka_unit_test(test_planning_waits_for_no_execution),
        cmocka_unit_test(test_long_binding_is_several_submissions),
        cmocka_unit_test(test_shared_context),
        cmocka_unit_test(test_progress_uses_the_context),
        cmocka_unit_test(test_without_queue),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_pipeline_cache),
        cmocka_unit_test(test_pipeline_cache_of_the_cpu),
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_direct_shader),
        cmocka_unit_test(test_implicit_shader),
        cmocka_unit_test(test_unfold_shaders),
    };
    cmocka_set_test_filter(getenv("TILEFOLD_TEST_FILTER"));
    return cmocka_run_group_tests_name("vulkan device", tests, NULL, NULL);
}
