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

static void refuse(const tilefold_vulkan_options *vulkan) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    tilefold_context *context = (tilefold_context *)&options;
    tilefold_message message = {""};
    assert_int_equal(tilefold_vulkan_context_create(&options, vulkan, &context, &message), TILEFOLD_INVALID_ARGUMENT);
    assert_ptr_equal(context, &options);
    assert_true(message.text[0] != '\0');
}

static void test_wrong_options(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options options = own_options(&own);
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
    options.reserved[1] = 1;
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

static tilefold_context *context_with_cache(const void *data, size_t bytes) {
    tilefold_vulkan_options options;
    tilefold_vulkan_options_init(&options);
    options.pipeline_cache = data;
    options.pipeline_cache_bytes = bytes;
    return own_context(&options);
}

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

/* What tilefold asked of the device most. */
static struct {
    PFN_vkGetInstanceProcAddr get;
    PFN_vkGetDeviceProcAddr get_device;
    PFN_vkCreateBuffer create_buffer;
    PFN_vkCmdDispatch dispatch;
    VkDeviceSize buffer_bytes;
    uint32_t groups[3];
} watched;

static VKAPI_ATTR VkResult VKAPI_CALL watch_buffer(VkDevice device, const VkBufferCreateInfo *info,
                                                   const VkAllocationCallbacks *allocator, VkBuffer *buffer) {
    if (info->size > watched.buffer_bytes) watched.buffer_bytes = info->size;
    return watched.create_buffer(device, info, allocator, buffer);
}

static VKAPI_ATTR void VKAPI_CALL watch_dispatch(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z) {
    const uint32_t groups[3] = {x, y, z};
    for (int i = 0; i < 3; i++)
        if (groups[i] > watched.groups[i]) watched.groups[i] = groups[i];
    watched.dispatch(commands, x, y, z);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL watch_device_proc(VkDevice device, const char *name) {
    PFN_vkVoidFunction found = watched.get_device(device, name);
    if (strcmp(name, "vkCreateBuffer") == 0) {
        watched.create_buffer = (PFN_vkCreateBuffer)found;
        return (PFN_vkVoidFunction)watch_buffer;
    }
    if (strcmp(name, "vkCmdDispatch") != 0) return found;
    watched.dispatch = (PFN_vkCmdDispatch)found;
    return (PFN_vkVoidFunction)watch_dispatch;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL watch_proc(VkInstance instance, const char *name) {
    PFN_vkVoidFunction found = watched.get(instance, name);
    if (strcmp(name, "vkGetDeviceProcAddr") != 0) return found;
    watched.get_device = (PFN_vkGetDeviceProcAddr)found;
    return (PFN_vkVoidFunction)watch_device_proc;
}

/* 240 KiB of input and output each. */
static test_problem wide_problem(void) {
    test_problem made = {.name = "wide", .seed = 3, .data = DATA_UNIT};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV, TILEFOLD_F32, 2);
    p->in_channels = p->out_channels = 16;
    for (int axis = 0; axis < 2; axis++) {
        p->input_size[axis] = 62;
        p->kernel[axis] = 3;
        p->padding_begin[axis] = p->padding_end[axis] = 1;
    }
    assert_int_equal(tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
    return made;
}

static void test_lowered_limits(void **state) {
    (void)state;
    enum { BUFFER_BYTES = 65536, GROUPS = 2, ELEMENTS = 16 * 62 * 62 };
    own_device own = own_open(true);
    tilefold_vulkan_options options = own_options(&own);
    options.get_instance_proc_addr = watch_proc;
    tilefold_vulkan_limits limits;
    tilefold_vulkan_limits_init(&limits);
    options.limits = &limits;
    watched.get = own.GetInstanceProcAddr;
    test_problem made = wide_problem();
    float *got[2] = {malloc(ELEMENTS * 4), malloc(ELEMENTS * 4)};
    static const tilefold_algorithm algorithms[] = {TILEFOLD_ALGORITHM_UNFOLD, TILEFOLD_ALGORITHM_IMPLICIT,
                                                    TILEFOLD_ALGORITHM_DIRECT};
    for (int i = 0; i < 3; i++) {
        for (int lowered = 0; lowered < 2; lowered++) {
            limits.max_buffer_bytes = lowered ? BUFFER_BYTES : INT64_MAX;
            for (int axis = 0; axis < 3; axis++) limits.max_workgroups[axis] = lowered ? GROUPS : INT64_MAX;
            tilefold_context *context = own_context(&options);
            watched.buffer_bytes = watched.groups[0] = watched.groups[1] = watched.groups[2] = 0;
            check_problem(context, &made, algorithms[i], got[lowered]);
            tilefold_context_destroy(context);
            assert_int_equal(watched.buffer_bytes <= BUFFER_BYTES, lowered);
            assert_int_equal(watched.groups[0] <= GROUPS, lowered);
            if (lowered) assert_true(watched.groups[1] <= GROUPS && watched.groups[2] <= GROUPS);
        }
        assert_memory_equal(got[0], got[1], ELEMENTS * 4);
    }
    free(got[0]);
    free(got[1]);
    own_close(&own);
}

/* A plan's own limit on buffers, below the device's. */
static void test_max_buffer_of_a_plan(void **state) {
    (void)state;
    own_device own = own_open(true);
    tilefold_vulkan_options vulkan = own_options(&own);
    vulkan.get_instance_proc_addr = watch_proc;
    watched.get = own.GetInstanceProcAddr;
    tilefold_context *context = own_context(&vulkan);
    test_problem made = wide_problem();
    tilefold_plan_options options = plan_options(TILEFOLD_ALGORITHM_AUTO, 1 << 20);
    int64_t tiles[2];
    char text[2][2048];
    for (int lowered = 0; lowered < 2; lowered++) {
        options.max_buffer_bytes = lowered ? 32768 : 0;
        watched.buffer_bytes = 0;
        tilefold_plan *plan;
        assert_int_equal(tilefold_plan_create(context, &made.problem, &options, &plan, NULL), TILEFOLD_OK);
        tiles[lowered] = get_info(plan).tiles;
        tilefold_plan_print(plan, text[lowered], sizeof text[lowered]);
        tilefold_plan_destroy(plan);
        assert_int_equal(watched.buffer_bytes <= 32768, lowered);
    }
    assert_true(tiles[1] > tiles[0]);
    assert_string_not_equal(text[0], text[1]);
    tilefold_context_destroy(context);
    own_close(&own);
}

/* ------------------------------------------------------------------------------------------------------- shaders ---- */

/* Few columns, whose shaders are the smallest: the layers' own checks are compiled into them by GPU-assisted validation. */
static void check_shaders(tilefold_algorithm algorithm) {
    tilefold_context *context = context_with_cache(NULL, 0);
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
    check_shaders(TILEFOLD_ALGORITHM_DIRECT);
}

static void test_implicit_shader(void **state) {
    (void)state;
    check_shaders(TILEFOLD_ALGORITHM_IMPLICIT);
}

static void test_unfold_shaders(void **state) {
    (void)state;
    check_shaders(TILEFOLD_ALGORITHM_UNFOLD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_device),
        cmocka_unit_test(test_shared_queue),
        cmocka_unit_test(test_without_queue),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_pipeline_cache),
        cmocka_unit_test(test_pipeline_cache_of_the_cpu),
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_lowered_limits),
        cmocka_unit_test(test_max_buffer_of_a_plan),
        cmocka_unit_test(test_direct_shader),
        cmocka_unit_test(test_implicit_shader),
        cmocka_unit_test(test_unfold_shaders),
    };
    cmocka_set_test_filter(getenv("TILEFOLD_TEST_FILTER"));
    return cmocka_run_group_tests_name("vulkan device", tests, NULL, NULL);
}
