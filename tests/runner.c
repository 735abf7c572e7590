/* Running a problem through the library: see runner.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runner.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bound.h"
#include "oracle.h"

#ifdef TILEFOLD_HAVE_VULKAN
#include "vulkan_exact.h"
#endif

/* ------------------------------------------------------------------------------------------------------ contexts ---- */

static void run_sequential(void *user, void (*task)(void *argument, size_t index), void *argument, size_t count) {
    (void)user;
    for (size_t i = 0; i < count; i++) task(argument, i);
}

static void run_reversed(void *user, void (*task)(void *argument, size_t index), void *argument, size_t count) {
    (void)user;
    for (size_t i = count; i-- > 0;) task(argument, i);
}

enum { MAX_TASKS = 16 };

static void run_shuffled(void *user, void (*task)(void *argument, size_t index), void *argument, size_t count) {
    (void)user;
    static atomic_uint_least64_t runs;
    size_t order[MAX_TASKS];
    rng r = rng_make(atomic_fetch_add(&runs, 1), 29);
    if (count > MAX_TASKS) abort();
    for (size_t i = 0; i < count; i++) {
        size_t other = (size_t)rng_range(&r, 0, (int64_t)i);
        order[i] = order[other];
        order[other] = i;
    }
    for (size_t i = 0; i < count; i++) task(argument, order[i]);
}

typedef struct thread_task {
    void (*task)(void *argument, size_t index);
    void *argument;
    size_t index;
} thread_task;

static void *run_thread_task(void *pointer) {
    const thread_task *one = pointer;
    one->task(one->argument, one->index);
    return NULL;
}

/* A thread for each index. */
static void run_threads(void *user, void (*task)(void *argument, size_t index), void *argument, size_t count) {
    (void)user;
    pthread_t threads[MAX_TASKS];
    thread_task tasks[MAX_TASKS];
    if (count > MAX_TASKS) abort();
    for (size_t i = 0; i < count; i++) {
        tasks[i] = (thread_task){task, argument, i};
        if (pthread_create(&threads[i], NULL, run_thread_task, &tasks[i]) != 0) abort();
    }
    for (size_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static void (*const pools[POOL_KINDS])(void *, void (*)(void *, size_t), void *,
                                       size_t) = {[POOL_SEQUENTIAL] = run_sequential,
                                                  [POOL_REVERSED] = run_reversed,
                                                  [POOL_SHUFFLED] = run_shuffled,
                                                  [POOL_THREADS] = run_threads};
static const char *const pool_names[POOL_KINDS] = {"library", "sequential", "reversed", "shuffled", "threads"};

enum { ISAS = TILEFOLD_ISA_NEON + 1, MAX_CONTEXT_THREADS = 8 };
static tilefold_context *contexts[ISAS][MAX_CONTEXT_THREADS + 1][POOL_KINDS];

/* The device under test: the CPU, or the Vulkan device whose index TILEFOLD_TEST_VULKAN holds. */
static int32_t vulkan_index(void) {
    const char *set = getenv("TILEFOLD_TEST_VULKAN");
    return set ? (int32_t)strtol(set, NULL, 10) : -1;
}

bool on_vulkan(void) { return vulkan_index() >= 0; }

int machine_isas(tilefold_isa isas[8]) {
    if (on_vulkan()) {
        isas[0] = TILEFOLD_ISA_BEST;
        return 1;
    }
    tilefold_device_info info;
    tilefold_device_info_init(&info);
    if (tilefold_get_device_info(0, &info, NULL) != TILEFOLD_OK) abort();
    int count = 0;
    for (int isa = TILEFOLD_ISA_PORTABLE; isa < ISAS; isa++) {
        if (info.isa_mask & (1u << isa)) isas[count++] = (tilefold_isa)isa;
    }
    if (count == 0) abort();
    return count;
}

int machine_methods(method methods[MAX_METHODS]) {
    int count = 0;
    for (int algorithm = TILEFOLD_ALGORITHM_AUTO; algorithm <= TILEFOLD_ALGORITHM_DIRECT; algorithm++)
        methods[count++] = (method){(tilefold_algorithm)algorithm, TILEFOLD_STORAGE_BUFFER};
    if (!on_vulkan()) return count;
    methods[count++] = (method){TILEFOLD_ALGORITHM_UNFOLD, TILEFOLD_STORAGE_TEXTURE2D};
    methods[count++] = (method){TILEFOLD_ALGORITHM_UNFOLD, TILEFOLD_STORAGE_TEXTURE3D};
    return count;
}

tilefold_isa best_isa(void) {
    tilefold_isa isas[8];
    return isas[machine_isas(isas) - 1];
}

/* Below any device's limits, so that small problems are split every way there is. */
#ifdef TILEFOLD_HAVE_VULKAN
static void tiny_limits(tilefold_vulkan_limits *limits) {
    limits->max_buffer_bytes = 1 << 20;
    limits->max_workgroups[0] = limits->max_workgroups[1] = limits->max_workgroups[2] = 3;
    limits->max_image_2d = limits->max_image_3d = 64;
    limits->storage_16bit = false;
}

/* With the limits that TILEFOLD_TEST_LIMITS names, a preset or "tiny"; and where TILEFOLD_TEST_EXACT_FMA is set, by shaders that
 * have the CPU's bits on any device. */
static tilefold_status create_vulkan_context(const tilefold_context_options *options, tilefold_context **context,
                                             tilefold_message *message) {
    tilefold_vulkan_options vulkan;
    tilefold_vulkan_limits limits;
    tilefold_vulkan_options_init(&vulkan);
    tilefold_vulkan_limits_init(&limits);
    vulkan.limits = &limits;
    const char *named = getenv("TILEFOLD_TEST_LIMITS");
    tilefold_status status = TILEFOLD_OK;
    if (named && strcmp(named, "tiny") == 0)
        tiny_limits(&limits);
    else if (named)
        status = tilefold_vulkan_limits_preset(named, &limits, message);
    if (status) return status;
    if (getenv("TILEFOLD_TEST_EXACT_FMA")) return exact_open(&limits, context, message);
    return tilefold_vulkan_context_create(options, &vulkan, context, message);
}
#else
static tilefold_status create_vulkan_context(const tilefold_context_options *options, tilefold_context **context,
                                             tilefold_message *message) {
    return tilefold_context_create(options, context, message); /* which says that there is no Vulkan */
}
#endif

tilefold_context *get_context(const way *w) {
    tilefold_context **kept = on_vulkan() ? &contexts[0][0][0] : &contexts[w->isa][w->threads][w->pool];
    if (*kept) return *kept;
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.isa = w->isa;
    options.threads = w->threads;
    options.parallel_for = (tilefold_parallel_for){pools[w->pool], NULL, w->threads};
    if (on_vulkan()) {
        options.device = TILEFOLD_VULKAN;
        options.device_index = vulkan_index();
    }
    tilefold_message message;
    tilefold_status status = on_vulkan() ? create_vulkan_context(&options, kept, &message)
                                         : tilefold_context_create(&options, kept, &message);
    if (status != TILEFOLD_OK) {
        fprintf(stderr, "no context: %s\n", message.text);
        abort();
    }
    return *kept;
}

void close_contexts(void) {
    for (tilefold_context **kept = &contexts[0][0][0]; kept < &contexts[0][0][0] + sizeof contexts / sizeof *kept;
         kept++) {
        if (*kept) tilefold_context_destroy(*kept);
        *kept = NULL;
    }
#ifdef TILEFOLD_HAVE_VULKAN
    exact_close();
#endif
}

/* --------------------------------------------------------------------------------------------------------- plans ---- */

const char *describe_way(const way *w) {
    static const char *const storages[] = {"", " in texture2d", " in texture3d"};
    static _Thread_local char text[180];
    snprintf(text, sizeof text, "isa %s threads %d pool %s algorithm %s%s%s limit %" PRId64 " buffers %" PRId64 "%s",
             tilefold_isa_name(w->isa), (int)w->threads, pool_names[w->pool], tilefold_algorithm_name(w->algorithm),
             storages[w->storage], w->prepack ? " prepack" : "", w->limit, w->max_buffer, w->math ? " math fast" : "");
    return text;
}

way many_tiles_way(int32_t threads, pool pool) {
    return (way){best_isa(), threads, pool, TILEFOLD_ALGORITHM_AUTO, true, threads * INT64_C(32768)};
}

void complain(const test_problem *made, const way *w, const char *what) {
    fprintf(stderr, "%s\n  %s\n  %s\n", what, describe_problem(made), describe_way(w));
}

void fail_problem(const test_problem *made, const way *w, const char *what) {
    complain(made, w, what);
    fail();
}

tilefold_plan_options way_options(const way *w) {
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    options.scratch_limit_bytes = w->limit;
    options.max_buffer_bytes = w->max_buffer;
    options.algorithm = w->algorithm;
    options.storage = w->storage;
    options.math = w->math;
    options.prepack_weights = w->prepack;
    options.bind_buffers = runs_bound();
    return options;
}

tilefold_plan *make_plan(const test_problem *made, const way *w, bool *declined) {
    tilefold_plan_options options = way_options(w);
    tilefold_plan *plan = NULL;
    tilefold_message message;
    tilefold_status status = tilefold_plan_create(get_context(w), &made->problem, &options, &plan, &message);
    *declined = status == TILEFOLD_UNSUPPORTED && w->algorithm != TILEFOLD_ALGORITHM_AUTO;
    if (status == TILEFOLD_OK) return plan;
    if (!*declined) {
        fprintf(stderr, "%s: ", tilefold_status_name(status));
        complain(made, w, message.text);
    }
    return NULL;
}

tilefold_plan_info get_info(const tilefold_plan *plan) {
    tilefold_plan_info info;
    tilefold_plan_info_init(&info);
    if (tilefold_plan_get_info(plan, &info, NULL) != TILEFOLD_OK) abort();
    return info;
}

int64_t least_limit(const test_problem *made, const way *w) {
    way unlimited = *w;
    unlimited.limit = INT64_MAX;
    bool declined;
    tilefold_plan *plan = make_plan(made, &unlimited, &declined);
    if (!plan) return declined ? LEAST_DECLINED : LEAST_FAILED;
    int64_t least = get_info(plan).min_scratch_bytes;
    tilefold_plan_destroy(plan);
    return least;
}

static int64_t greatest_common_divisor(int64_t a, int64_t b) { return b == 0 ? a : greatest_common_divisor(b, a % b); }

static int64_t count_phases(const tilefold_problem *p) {
    int64_t phases = 1;
    for (int a = 0; a < p->rank; a++) {
        int64_t L = p->input_dilation[a];
        bool transposed = p->op == TILEFOLD_CONV_TRANSPOSE;
        phases *= transposed ? p->stride[a] : L / greatest_common_divisor(p->stride[a], L);
    }
    return phases;
}

static int64_t count_unfold_bytes(const tilefold_problem *p) {
    int64_t bytes = p->batch * p->in_channels * (int64_t)tilefold_type_bytes(p->type);
    for (int a = 0; a < p->rank; a++) bytes *= oracle_output_size(p, a) * p->kernel[a];
    return bytes;
}

/* What an oracle counts: the first figure that is not so, or NULL. */
static const char *counted_fault(const tilefold_problem *p, const tilefold_plan_info *i) {
    for (int a = 0; a < p->rank; a++) {
        if (i->output_size[a] != oracle_output_size(p, a)) return "output_size";
    }
    if (i->full_unfold_bytes != count_unfold_bytes(p)) return "full_unfold_bytes";
    if (i->phases != count_phases(p)) return "phases";
    if (i->macs != oracle_macs(p)) return "macs is not the necessary number";
    return NULL;
}

/* The first thing wrong with how a plan's figures fit the way and each other, or NULL. */
static const char *info_fault(const tilefold_problem *p, const way *w, const tilefold_plan_info *i) {
    bool vulkan = on_vulkan();
    if (i->device != (vulkan ? TILEFOLD_VULKAN : TILEFOLD_CPU)) return "device";
    if (i->algorithm == TILEFOLD_ALGORITHM_AUTO) return "algorithm is auto";
    if (w->algorithm != TILEFOLD_ALGORITHM_AUTO && i->algorithm != w->algorithm)
        return "algorithm is not what was asked for";
    if (i->isa != w->isa) return "isa";
    if (i->math > w->math) return "math";
    if (!(i->error_bound > 0)) return "error_bound";
    if (!vulkan && (i->threads < 1 || i->threads > w->threads)) return "threads";
    if (i->scratch_limit_bytes != w->limit) return "scratch_limit_bytes";
    int64_t used = i->scratch_bytes + i->plan_bytes;
    if (i->scratch_bytes < 0 || i->plan_bytes <= 0) return "scratch_bytes or plan_bytes";
    if (used > w->limit) return "scratch_bytes and plan_bytes are over the limit";
    if (used > i->ideal_scratch_bytes) return "scratch_bytes and plan_bytes are over the ideal";
    if (i->min_scratch_bytes < 0 || i->min_scratch_bytes > (vulkan ? 262144 : 65536))
        return "min_scratch_bytes is over 64 KiB, on a GPU 256 KiB";
    if (i->min_scratch_bytes > w->limit) return "planned below min_scratch_bytes";
    if (i->packed_weight_bytes < 0 || (!w->prepack && i->packed_weight_bytes)) return "packed_weight_bytes";
    if (w->max_buffer && i->packed_weight_bytes > w->max_buffer)
        return "packed_weight_bytes is over the largest buffer";
    if (w->max_buffer && !vulkan && i->scratch_bytes > w->max_buffer) return "scratch_bytes is over the largest buffer";
    if (i->full_unfold_bytes < 0 || i->macs < 0 || i->phases < 1) return "full_unfold_bytes, macs or phases";
    if (i->tiles < (p->batch > 0)) return "tiles";
    return NULL;
}

bool check_plan_info(const test_problem *made, const way *w, const tilefold_plan_info *info) {
    const char *fault = info_fault(&made->problem, w, info);
    if (!fault && !made->wild) fault = counted_fault(&made->problem, info);
    if (!fault) return true;
    fprintf(stderr,
            "plan: limit %" PRId64 " scratch %" PRId64 " min %" PRId64 " ideal %" PRId64 " packed %" PRId64
            " full unfold %" PRId64 " tiles %" PRId64 " phases %" PRId64 " macs %" PRId64 " (necessary %" PRId64
            "): wrong: ",
            info->scratch_limit_bytes, info->scratch_bytes, info->min_scratch_bytes, info->ideal_scratch_bytes,
            info->packed_weight_bytes, info->full_unfold_bytes, info->tiles, info->phases, info->macs,
            made->wild ? 0 : oracle_macs(&made->problem));
    complain(made, w, fault);
    return false;
}

/* ------------------------------------------------------------------------------------------------------- running ---- */

/* What there is of a tensor from its element 0 on: exactly as much as the library may ask for. */
static size_t bytes_from(const guarded *memory, const void *element) {
    return memory->bytes - (size_t)((const unsigned char *)element - memory->data);
}

tilefold_status prepare_execution(const tilefold_plan *plan, const tensors *t, prepared *p, tilefold_message *message) {
    tilefold_plan_info info = get_info(plan);
    rng r = rng_make(t->made.seed, 6);
    p->scratch = guarded_new((size_t)info.scratch_bytes, 64, true);
    p->packed = guarded_new((size_t)info.packed_weight_bytes, 64, rng_percent(&r, 50));
    fill_pattern(p->scratch.data, p->scratch.bytes);
    fill_pattern(p->packed.data, p->packed.bytes);
    tilefold_execution *e = &p->execution;
    tilefold_execution_init(e);
    e->input = tensors_input(t);
    e->input_bytes = bytes_from(&t->input, e->input);
    e->bias = tensors_bias(t);
    e->bias_bytes = t->bias.bytes;
    e->output = tensors_output(t);
    e->output_bytes = bytes_from(&t->output, e->output);
    e->scratch = p->scratch.data;
    e->scratch_bytes = p->scratch.bytes;
    if (p->packed.bytes == 0) {
        e->weight = tensors_weight(t);
        e->weight_bytes = bytes_from(&t->weight, e->weight);
        return TILEFOLD_OK;
    }
    e->packed_weight = p->packed.data;
    e->packed_weight_bytes = p->packed.bytes;
    return tilefold_pack_weight(plan, tensors_weight(t), bytes_from(&t->weight, tensors_weight(t)), p->packed.data,
                                p->packed.bytes, message);
}

bool finish_execution(prepared *p) {
    bool intact = guarded_intact(&p->scratch) && guarded_intact(&p->packed);
    guarded_delete(&p->scratch);
    guarded_delete(&p->packed);
    return intact;
}

outcome run_way(tensors *t, const way *w, void *dense, tilefold_plan_info *plan_info) {
    bool declined;
    tilefold_plan *plan = make_plan(&t->made, w, &declined);
    if (!plan) return declined ? DECLINED : FAILED;
    tilefold_plan_info info = get_info(plan);
    if (plan_info) *plan_info = info;
    bool right = check_plan_info(&t->made, w, &info);
    prepared p;
    tilefold_message message;
    tilefold_status status = prepare_execution(plan, t, &p, &message);
    if (status == TILEFOLD_OK)
        status = runs_bound() ? run_bound(get_context(w), plan, t, &message)
                              : tilefold_execute(plan, &p.execution, &message);
    if (status != TILEFOLD_OK) complain(&t->made, w, message.text);
    bool intact = finish_execution(&p);
    if (!intact) complain(&t->made, w, "memory around the scratch or the packed weights was written");
    tilefold_plan_destroy(plan);
    const char *reason;
    bool clean = collect_output(t, dense, &reason);
    if (!clean) complain(&t->made, w, reason);
    return right && intact && clean && status == TILEFOLD_OK ? DONE : FAILED;
}

/* a * b + c, by the device under test. */
static float multiply_add(float a, float b, float c) {
    tilefold_problem p;
    tilefold_problem_init(&p, TILEFOLD_CONV, TILEFOLD_F32, 1);
    p.bias_type = TILEFOLD_F32;
    tilefold_plan_options options;
    tilefold_plan_options_init(&options);
    way w = {.isa = best_isa(), .threads = 1};
    float sum = NAN;
    tilefold_message message;
    tilefold_status status = tilefold_problem_set_layout(&p, TILEFOLD_CHANNELS_FIRST, &message);
    if (status == TILEFOLD_OK) status = tilefold_convolve(get_context(&w), &p, &options, &a, &b, &c, &sum, &message);
    if (status != TILEFOLD_OK) {
        fprintf(stderr, "a * b + c: %s\n", message.text);
        abort();
    }
    return sum;
}

/* How the device under test multiplies and adds. (1 + 2^-12)^2 is half a unit in the last place above 1 + 2^-11, which it
 * rounds to. */
typedef struct arithmetic {
    bool known, rounds_twice, keeps_subnormals;
} arithmetic;

static const arithmetic *get_arithmetic(void) {
    static arithmetic a;
    if (!a.known)
        a = (arithmetic){.known = true,
                         .rounds_twice = multiply_add(0x1.001p0f, 0x1.001p0f, -0x1.002p0f) == 0,
                         .keeps_subnormals = multiply_add(0x1p-100f, 0x1p-40f, 0) != 0};
    return &a;
}

static bool has_subnormals(const tensors *t) {
    test_data data = t->made.data;
    return data == DATA_TINY || data == DATA_EXTREME || data == DATA_SPECIAL;
}

void *reference_output(tensors *t) {
    if (!on_vulkan() || getenv("TILEFOLD_TEST_EXACT_FMA")) return expected_output(t);
    const arithmetic *a = get_arithmetic();
    if (a->keeps_subnormals || !has_subnormals(t))
        return a->rounds_twice ? expected_output_rounded_twice(t) : expected_output(t);
    way w = {.algorithm = TILEFOLD_ALGORITHM_AUTO, .limit = INT64_MAX, .threads = 1};
    void *output = malloc(tensors_output_bytes(t) + 1);
    if (!output) abort();
    if (run_way(t, &w, output, NULL) == DONE) return output;
    free(output);
    return NULL;
}

bool agrees_with_double(const tensors *t, const void *output) {
    return (on_vulkan() && has_subnormals(t) && !get_arithmetic()->keeps_subnormals) || check_against_double(t, output);
}

bool check_output(const tensors *t, const way *w, const void *expected, const void *got) {
    tilefold_type type = t->made.problem.type;
    int64_t index;
    if (same_bits(type, t->output_view.elements, expected, got, &index)) return true;
    size_t at = (size_t)index * tilefold_type_bytes(type);
    fprintf(stderr, "output %" PRId64 " of %" PRId64 " (offset %" PRId64 ") is %.9g (%a), expected %.9g (%a)\n", index,
            t->output_view.elements, t->output_offset[index],
            (double)oracle_decode(type, (const unsigned char *)got + at),
            (double)oracle_decode(type, (const unsigned char *)got + at),
            (double)oracle_decode(type, (const unsigned char *)expected + at),
            (double)oracle_decode(type, (const unsigned char *)expected + at));
    complain(&t->made, w, "wrong output");
    return false;
}
