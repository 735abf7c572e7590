/* What the Vulkan device does when a call fails: each call that a run makes is failed in turn, with the errors it may give.
 *
 * SPDX-License-Identifier: MIT
 *
 * A run is a list of steps, from opening a context to reading the results. The step whose call failed must return the status
 * that goes with the error, with a message, and leave its result unwritten; taken again it must succeed, unless the device was
 * lost, and the outputs must be right. When all is closed no object of Vulkan's may be left, nor bytes of the allocator's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dlfcn.h>

#include "counting.h"
#include "runner.h"
#include "vulkan/vulkan.h"

/* ------------------------------------------------------------------------------------------------------- faults ---- */

enum { MAX_CALLS = 1024, MAX_OBJECTS = 256 };

typedef struct object {
    const char *type;
    uint64_t handle;
} object;

static struct {
    int64_t calls, fail_at;
    VkResult result;
    const char *names[MAX_CALLS]; /* of the calls so far */
    object objects[MAX_OBJECTS];
    int object_count;
    int strangers; /* destroyed, but never made */
} faults;

static VkResult injected(const char *name) {
    if (faults.calls < MAX_CALLS) faults.names[faults.calls] = name;
    return ++faults.calls == faults.fail_at ? faults.result : VK_SUCCESS;
}

static uint64_t handle_of(const void *handle, size_t bytes) {
    uint64_t value = 0;
    memcpy(&value, handle, bytes);
    return value;
}

static void made(const char *type, const void *handle, size_t bytes) {
    if (faults.object_count == MAX_OBJECTS) abort();
    faults.objects[faults.object_count++] = (object){type, handle_of(handle, bytes)};
}

static void gone(const char *type, const void *handle, size_t bytes) {
    uint64_t value = handle_of(handle, bytes);
    if (value == 0) return;
    for (int i = 0; i < faults.object_count; i++) {
        if (faults.objects[i].handle != value || strcmp(faults.objects[i].type, type) != 0) continue;
        faults.objects[i] = faults.objects[--faults.object_count];
        return;
    }
    faults.strangers++;
}

#include "vulkan_wrappers.h"

static PFN_vkGetInstanceProcAddr get_instance_proc;
static PFN_vkGetDeviceProcAddr get_device_proc;

/* The wrapper, which calls the real function from now on; the real one itself where it needs none. */
static PFN_vkVoidFunction wrap(const char *name, PFN_vkVoidFunction real) {
    for (size_t i = 0; real && i < sizeof wrappers / sizeof wrappers[0]; i++) {
        if (strcmp(wrappers[i].name, name) != 0) continue;
        *wrappers[i].real = real;
        return wrappers[i].wrapper;
    }
    return real;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_wrapped_device_proc(VkDevice device, const char *name) {
    return wrap(name, get_device_proc(device, name));
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_wrapped_proc(VkInstance instance, const char *name) {
    PFN_vkVoidFunction real = get_instance_proc(instance, name);
    if (strcmp(name, "vkGetDeviceProcAddr") != 0) return wrap(name, real);
    get_device_proc = (PFN_vkGetDeviceProcAddr)real;
    return (PFN_vkVoidFunction)get_wrapped_device_proc;
}

static int load_driver(void **state) {
    (void)state;
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    void *found = library ? dlsym(library, "vkGetInstanceProcAddr") : NULL;
    memcpy(&get_instance_proc, &found, sizeof found);
    return found ? 0 : -1;
}

static bool is_one_of(const char *name, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* Whether the specification lets a function return it. */
static bool may_return(const char *name, VkResult result) {
    static const char *const lose[] = {"vkCreateDevice", "vkQueueSubmit", "vkWaitForFences", "vkQueueWaitIdle",
                                       "vkGetQueryPoolResults"};
    static const char *const refuse[] = {"vkCreateInstance", "vkEnumeratePhysicalDevices", "vkCreateDevice"};
    if (result == VK_ERROR_DEVICE_LOST) return is_one_of(name, lose, sizeof lose / sizeof lose[0]);
    if (result == VK_ERROR_INITIALIZATION_FAILED) return is_one_of(name, refuse, sizeof refuse / sizeof refuse[0]);
    return true;
}

static tilefold_status status_of(VkResult result) {
    switch (result) {
    case VK_ERROR_DEVICE_LOST: return TILEFOLD_DEVICE_LOST;
    case VK_ERROR_INITIALIZATION_FAILED: return TILEFOLD_NO_DEVICE;
    default: return TILEFOLD_OUT_OF_MEMORY;
    }
}

/* --------------------------------------------------------------------------------------------------------- runs ---- */

/* A way to run the problem below. */
typedef struct scenario {
    const char *name;
    tilefold_algorithm algorithm;
    tilefold_type type;
    const char *preset; /* of limits, or NULL */
    int64_t limit;
    bool bound; /* in buffers over the tensors' own memory */
} scenario;

static const scenario scenarios[] = {
    {"direct", TILEFOLD_ALGORITHM_DIRECT, TILEFOLD_F32, NULL, 1 << 20, false},
    {"implicit, staged", TILEFOLD_ALGORITHM_IMPLICIT, TILEFOLD_BF16, "minimum", 1 << 20, false},
    {"unfold, staged, least scratch", TILEFOLD_ALGORITHM_UNFOLD, TILEFOLD_F16, "staging", 0, false},
    {"unfold, bound", TILEFOLD_ALGORITHM_UNFOLD, TILEFOLD_F32, NULL, 1 << 20, true},
};

enum { IMPORTS = 5, SCRATCH_BYTES = 1 << 16 };

typedef struct run {
    const scenario *scenario;
    tensors *tensors;
    const void *expected;
    ledger ledger;
    tilefold_context *context;
    tilefold_plan *plan;
    tilefold_vulkan_import *imports[IMPORTS];
    tilefold_vulkan_tensors bound;
    tilefold_vulkan_binding *binding;
    tilefold_message message;
} run;

static tilefold_status open_context(run *r) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.allocator = ledger_allocator(&r->ledger);
    tilefold_vulkan_options vulkan;
    tilefold_vulkan_options_init(&vulkan);
    vulkan.get_instance_proc_addr = get_wrapped_proc;
    const char *preset = r->scenario->preset;
    tilefold_vulkan_limits limits;
    tilefold_vulkan_limits_init(&limits);
    if (preset) assert_int_equal(tilefold_vulkan_limits_preset(preset, &limits, NULL), TILEFOLD_OK);
    vulkan.limits = &limits;
    return tilefold_vulkan_context_create(&options, &vulkan, &r->context, &r->message);
}

/* As opening a device does where all modes can be declared. */
static tilefold_status try_arithmetic(run *r) {
    uint32_t untouched = 0x5a5a, found = untouched;
    tilefold_status status = tilefold_vulkan_probe(r->context->state, &found, &r->message);
    if (status) assert_int_equal(found, untouched);
    if (!status) assert_in_range(found, 0, TILEFOLD_VULKAN_ARITHMETIC);
    return status;
}

static int64_t least_scratch(run *r, tilefold_plan_options *options, tilefold_status *status) {
    options->scratch_limit_bytes = 1 << 24;
    *status = tilefold_plan_create(r->context, &r->tensors->made.problem, options, &r->plan, &r->message);
    if (*status) return 0;
    int64_t least = get_info(r->plan).min_scratch_bytes;
    tilefold_plan_destroy(r->plan);
    r->plan = NULL;
    return least;
}

static tilefold_status make_a_plan(run *r) {
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.algorithm = r->scenario->algorithm;
    options.bind_buffers = r->scenario->bound;
    options.prepack_weights = false;
    options.scratch_limit_bytes = r->scenario->limit;
    tilefold_status status = TILEFOLD_OK;
    if (!r->scenario->limit) options.scratch_limit_bytes = least_scratch(r, &options, &status);
    if (status) return status;
    return tilefold_plan_create(r->context, &r->tensors->made.problem, &options, &r->plan, &r->message);
}

static void check_results(run *r) {
    unsigned char *got = malloc(tensors_output_bytes(r->tensors));
    const char *reason;
    int64_t index;
    assert_non_null(got);
    assert_true(collect_output(r->tensors, got, &reason));
    assert_true(same_bits(r->scenario->type, r->tensors->output_view.elements, r->expected, got, &index));
    free(got);
}

static tilefold_status execute(run *r) {
    tilefold_execution execution;
    tilefold_execution_init(&execution);
    double seconds = -1;
    execution.input = tensors_input(r->tensors);
    execution.weight = tensors_weight(r->tensors);
    execution.bias = tensors_bias(r->tensors);
    execution.output = tensors_output(r->tensors);
    execution.device_seconds = &seconds;
    tilefold_status status = tilefold_execute(r->plan, &execution, &r->message);
    if (status) {
        assert_true(seconds == -1);
        return status;
    }
    assert_true(seconds >= 0);
    check_results(r);
    return TILEFOLD_OK;
}

static tilefold_status import_tensors(run *r) {
    static _Alignas(4096) unsigned char scratch_memory[SCRATCH_BYTES];
    const guarded scratch = {.pages = scratch_memory, .page_bytes = SCRATCH_BYTES};
    const tensors *t = r->tensors;
    const struct {
        const guarded *memory;
        const void *element;
        tilefold_vulkan_range *range;
    } wanted[IMPORTS] = {{&t->input, tensors_input(t), &r->bound.input},
                         {&t->weight, tensors_weight(t), &r->bound.weight},
                         {&t->bias, tensors_bias(t), &r->bound.bias},
                         {&t->output, tensors_output(t), &r->bound.output},
                         {&scratch, scratch_memory, &r->bound.scratch}};
    tilefold_vulkan_tensors_init(&r->bound);
    for (int i = 0; i < IMPORTS; i++) {
        const guarded *memory = wanted[i].memory;
        tilefold_status status = TILEFOLD_OK;
        if (!r->imports[i])
            status = tilefold_vulkan_import_create(r->context, memory->pages, memory->page_bytes, &r->imports[i],
                                                   &r->message);
        if (status) return status;
        *wanted[i].range = tilefold_vulkan_import_get_range(r->imports[i]);
        wanted[i].range->offset += (VkDeviceSize)((const unsigned char *)wanted[i].element - memory->pages);
    }
    return TILEFOLD_OK;
}

static tilefold_status bind_plan(run *r) {
    tilefold_vulkan_requirements needs;
    tilefold_vulkan_requirements_init(&needs);
    assert_int_equal(tilefold_vulkan_get_requirements(r->plan, &needs, &r->message), TILEFOLD_OK);
    assert_in_range(needs.scratch_bytes, 1, SCRATCH_BYTES);
    return tilefold_vulkan_bind(r->plan, &r->bound, &r->binding, &r->message);
}

static tilefold_status run_binding(run *r) {
    double seconds = -1;
    tilefold_status status = tilefold_vulkan_run(r->binding, &seconds, &r->message);
    if (status) assert_true(seconds == -1);
    if (!status) check_results(r);
    return status;
}

static tilefold_status keep_cache(run *r) {
    char data[1 << 16];
    size_t bytes = sizeof data;
    tilefold_status status = tilefold_vulkan_get_pipeline_cache(r->context, data, &bytes, &r->message);
    if (!status) assert_in_range(bytes, 1, sizeof data - 1);
    return status;
}

typedef tilefold_status (*step)(run *r);
static const step copied_steps[] = {open_context, try_arithmetic, make_a_plan, execute, keep_cache, NULL};
static const step bound_steps[] = {open_context, make_a_plan, import_tensors, bind_plan,
                                   run_binding,  run_binding, keep_cache,     NULL};

static void close_all(run *r) {
    tilefold_vulkan_binding_destroy(r->binding);
    for (int i = 0; i < IMPORTS; i++) tilefold_vulkan_import_destroy(r->imports[i]);
    tilefold_plan_destroy(r->plan);
    tilefold_context_destroy(r->context);
}

static int objects_of(const run *r) {
    int count = (r->context != NULL) + (r->plan != NULL) + (r->binding != NULL);
    for (int i = 0; i < IMPORTS; i++) count += r->imports[i] != NULL;
    return count;
}

/* Whether a step failed; in the end the results are right all the same, and nothing is left. */
static bool run_steps(run *r, tilefold_status wanted, const char *what) {
    bool failed = false;
    for (const step *s = r->scenario->bound ? bound_steps : copied_steps; *s; s++) {
        int objects = objects_of(r);
        r->message.text[0] = '\0';
        tilefold_status status = (*s)(r);
        if (status == TILEFOLD_OK) continue;
        if (failed || status != wanted || !r->message.text[0])
            print_message("%s, %s: %s, not %s: %s\n", r->scenario->name, what, tilefold_status_name(status),
                          tilefold_status_name(wanted), r->message.text);
        assert_false(failed);
        assert_int_equal(status, wanted);
        assert_true(r->message.text[0] != '\0');
        assert_true(objects_of(r) >= objects);
        if (*s != import_tensors) assert_int_equal(objects_of(r), objects);
        failed = true;
        if (status == TILEFOLD_DEVICE_LOST) break;
        s--;
    }
    close_all(r);
    for (int i = 0; i < faults.object_count; i++)
        print_message("%s, %s: a %s is left\n", r->scenario->name, what, faults.objects[i].type);
    assert_int_equal(faults.object_count, 0);
    assert_int_equal(faults.strangers, 0);
    assert_int_equal(r->ledger.live, 0);
    assert_false(r->ledger.misused);
    return failed;
}

/* --------------------------------------------------------------------------------------------------------- tests ---- */

/* Two phases, groups, a bias, a stride in memory; sums of small integers, which every type holds exactly. */
static test_problem small_problem(tilefold_type type) {
    test_problem made = {.name = "small", .seed = 7, .data = DATA_INTEGER};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV_TRANSPOSE, type, 1);
    p->bias_type = TILEFOLD_F32;
    p->batch = 2;
    p->groups = 2;
    p->in_channels = 4;
    p->out_channels = 6;
    p->input_size[0] = 9;
    p->kernel[0] = 3;
    p->stride[0] = 2;
    assert_int_equal(tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_LAST, NULL), TILEFOLD_OK);
    return made;
}

static void fail_each_call(const scenario *s, tensors *t, const void *expected) {
    static const VkResult results[] = {VK_ERROR_OUT_OF_HOST_MEMORY, VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_DEVICE_LOST,
                                       VK_ERROR_INITIALIZATION_FAILED};
    faults.calls = faults.fail_at = 0;
    assert_false(run_steps(&(run){.scenario = s, .tensors = t, .expected = expected}, TILEFOLD_OK, "no fault"));
    int64_t calls = faults.calls;
    assert_in_range(calls, 20, MAX_CALLS);
    for (int64_t at = 1; at <= calls; at += list_step()) {
        const char *name = faults.names[at - 1];
        for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
            bool turn = i > 1 || i == (size_t)at % 2; /* out of the one memory or the other */
            if (!turn || !may_return(name, results[i])) continue;
            char what[128];
            snprintf(what, sizeof what, "call %d, %s, fails with %d", (int)at, name, (int)results[i]);
            faults.calls = 0, faults.fail_at = at, faults.result = results[i];
            run r = {.scenario = s, .tensors = t, .expected = expected};
            if (run_steps(&r, status_of(results[i]), what)) continue;
            print_message("%s: %s, and nobody notices\n", s->name, what);
            fail();
        }
    }
}

static void fail_each_allocation(const scenario *s, tensors *t, const void *expected) {
    faults.fail_at = 0;
    for (int64_t at = 1;; at++) {
        run r = {.scenario = s, .tensors = t, .expected = expected, .ledger = {.fail_at = at}};
        if (run_steps(&r, TILEFOLD_OUT_OF_MEMORY, "an allocation fails")) continue;
        assert_true(at > 2);
        return;
    }
}

static void try_scenario(const scenario *s) {
    test_problem problem = small_problem(s->type);
    tensors t = make_tensors(&problem);
    void *expected = expected_output(&t);
    fail_each_call(s, &t, expected);
    fail_each_allocation(s, &t, expected);
    free(expected);
    free_tensors(&t);
}

static void test_direct(void **state) {
    (void)state;
    try_scenario(&scenarios[0]);
}

static void test_implicit(void **state) {
    (void)state;
    try_scenario(&scenarios[1]);
}

static void test_unfold(void **state) {
    (void)state;
    try_scenario(&scenarios[2]);
}

static void test_bound(void **state) {
    (void)state;
    try_scenario(&scenarios[3]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct),
        cmocka_unit_test(test_implicit),
        cmocka_unit_test(test_unfold),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests_name("vulkan failures", tests, load_driver, NULL);
}
