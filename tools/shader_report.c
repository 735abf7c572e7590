/* What drivers make of the Vulkan shaders: registers, spills, shared memory, occupancy, and of the loop that multiplies how much
 * of it multiplies and how often it waits. For AMD, whose driver in Mesa (RADV) compiles for a GPU that is not there.
 *
 * SPDX-License-Identifier: MIT
 *
 *     shader_report                  a table of every variant that plans have, for three generations
 *     shader_report --check          exit 1 where one of them spills, or the product's loop is worse than it is meant to be
 *     shader_report --code NAME      the machine code of the variants whose name has NAME in it
 *
 * Exit 77 where Mesa's driver for AMD is not there. The figures are those of one version of the driver: what it is stands above the
 * table. RADV_FORCE_FAMILY is Mesa's own (docs/envvars).
 */
#define _POSIX_C_SOURCE 200809L

#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "choices.h"
#include "shader_code.h"
#include "vulkan/vulkan.h"

static void stop(int status, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(status);
}

enum { SKIPPED = 77 };

/* ------------------------------------------------------------------------------------------------------- the device ---- */

/* Three generations, and what versions of the driver call them. */
static const struct {
    const char *name, *called[3];
} families[] = {{"gfx900", {"VEGA10", "gfx900"}},
                {"gfx1030", {"NAVI21", "gfx1030"}},
                {"gfx1100", {"GFX1100", "NAVI31"}}};
enum { FAMILIES = sizeof families / sizeof families[0] };

typedef struct null_device {
    tilefold_vulkan_functions vk;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    PFN_vkGetPipelineExecutablePropertiesKHR GetProperties;
    PFN_vkGetPipelineExecutableStatisticsKHR GetStatistics;
    PFN_vkGetPipelineExecutableInternalRepresentationsKHR GetRepresentations;
} null_device;

/* The driver, unless the environment names one already. */
static void choose_driver(void) {
    glob_t found;
    if (getenv("VK_ICD_FILENAMES") || getenv("VK_DRIVER_FILES")) return;
    if (glob("/usr/share/vulkan/icd.d/radeon_icd*.json", 0, NULL, &found) != 0)
        stop(SKIPPED, "skipped: Mesa's driver for AMD is not there (Debian: mesa-vulkan-drivers)");
    setenv("VK_ICD_FILENAMES", found.gl_pathv[0], 1);
    globfree(&found);
}

static void check_driver(const null_device *d) {
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &driver};
    static bool told;
    d->vk.GetPhysicalDeviceProperties2(d->physical, &all);
    if (driver.driverID != VK_DRIVER_ID_MESA_RADV)
        stop(SKIPPED, "skipped: %s is not Mesa's driver for AMD", all.properties.deviceName);
    if (!told) printf("%s %s\n", driver.driverName, driver.driverInfo);
    told = true;
}

static void make_device(null_device *d) {
    static const char *const extensions[] = {VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME,
                                             VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME};
    const float priority = 1;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR tell = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pipelineExecutableInfo = VK_TRUE};
    VkPhysicalDevice16BitStorageFeatures half = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                 .pNext = &tell,
                                                 .storageBuffer16BitAccess = VK_TRUE};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &half,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = sizeof extensions / sizeof extensions[0],
                               .ppEnabledExtensionNames = extensions};
    if (d->vk.CreateDevice(d->physical, &info, NULL, &d->device) != VK_SUCCESS)
        stop(SKIPPED, "skipped: the driver does not tell what it makes of shaders");
    d->GetProperties = (PFN_vkGetPipelineExecutablePropertiesKHR)
                           d->vk.GetDeviceProcAddr(d->device, "vkGetPipelineExecutablePropertiesKHR");
    d->GetStatistics = (PFN_vkGetPipelineExecutableStatisticsKHR)
                           d->vk.GetDeviceProcAddr(d->device, "vkGetPipelineExecutableStatisticsKHR");
    d->GetRepresentations = (PFN_vkGetPipelineExecutableInternalRepresentationsKHR)
                                d->vk.GetDeviceProcAddr(d->device, "vkGetPipelineExecutableInternalRepresentationsKHR");
}

/* False where the driver knows no family of this name. */
static bool find_physical(null_device *d, const char *called) {
    tilefold_message message = {""};
    VkPhysicalDevice devices[TILEFOLD_VULKAN_MAX_DEVICES];
    uint32_t count = 0;
    d->instance = VK_NULL_HANDLE;
    setenv("RADV_FORCE_FAMILY", called, 1);
    if (tilefold_vulkan_load(&d->vk, NULL, &d->instance, &message) != TILEFOLD_OK)
        stop(SKIPPED, "skipped: %s", message.text);
    if (tilefold_vulkan_enumerate(&d->vk, d->instance, devices, &count) == VK_SUCCESS && count > 0) {
        d->physical = devices[0];
        return true;
    }
    d->vk.DestroyInstance(d->instance, NULL);
    return false;
}

static null_device open_device(int family) {
    null_device d;
    bool found = false;
    for (int i = 0; families[family].called[i] && !found; i++) found = find_physical(&d, families[family].called[i]);
    if (!found) stop(SKIPPED, "skipped: the driver has no %s without a GPU", families[family].name);
    check_driver(&d);
    make_device(&d);
    return d;
}

static void close_device(null_device *d) {
    tilefold_vulkan_load_device(&d->vk, d->device);
    d->vk.DestroyDevice(d->device, NULL);
    d->vk.DestroyInstance(d->instance, NULL);
}

/* ------------------------------------------------------------------------------------------------------- the report ---- */

static struct {
    const char *code; /* of which variants it is wanted */
    bool check;
    int faults;
} wanted;

static PFN_vkCreateComputePipelines create_pipelines;

/* As the driver's, but that it keeps what is told of them. */
static VKAPI_ATTR VkResult VKAPI_CALL create_telling(VkDevice device, VkPipelineCache cache, uint32_t count,
                                                     const VkComputePipelineCreateInfo *info,
                                                     const VkAllocationCallbacks *allocator, VkPipeline *pipelines) {
    VkComputePipelineCreateInfo telling = *info;
    (void)cache, (void)count; /* one, and what a cache holds tells nothing */
    telling.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                     VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
    return create_pipelines(device, VK_NULL_HANDLE, 1, &telling, allocator, pipelines);
}

typedef struct figures {
    int64_t vector_registers, scalar_registers, spilled, scratch_bytes, shared_bytes, waves;
    shader_loops loops; /* that multiply */
} figures;

enum { MAX_STATISTICS = 64, MAX_REPRESENTATIONS = 16 };

static int64_t find_statistic(const VkPipelineExecutableStatisticKHR *all, uint32_t count, const char *name) {
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(all[i].name, name) == 0) return (int64_t)all[i].value.u64;
    stop(SKIPPED, "skipped: the driver does not tell '%s'", name);
    return 0;
}

static void read_statistics(const null_device *d, VkPipeline pipeline, figures *f) {
    VkPipelineExecutableInfoKHR which = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
    VkPipelineExecutableStatisticKHR all[MAX_STATISTICS];
    uint32_t count = MAX_STATISTICS;
    for (int i = 0; i < MAX_STATISTICS; i++)
        all[i] = (VkPipelineExecutableStatisticKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
    if (d->GetStatistics(d->device, &which, &count, all) != VK_SUCCESS) stop(1, "no statistics");
    f->vector_registers = find_statistic(all, count, "VGPRs");
    f->scalar_registers = find_statistic(all, count, "SGPRs");
    f->spilled = find_statistic(all, count, "Spilled VGPRs") + find_statistic(all, count, "Spilled SGPRs");
    f->scratch_bytes = find_statistic(all, count, "Scratch size");
    f->shared_bytes = find_statistic(all, count, "LDS size");
    f->waves = find_statistic(all, count, "Subgroups per SIMD");
}

/* The machine code, as text. Freed by the caller. */
static char *read_code(const null_device *d, VkPipeline pipeline) {
    VkPipelineExecutableInfoKHR which = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
    VkPipelineExecutableInternalRepresentationKHR all[MAX_REPRESENTATIONS];
    uint32_t count = MAX_REPRESENTATIONS;
    char *code = NULL;
    for (int i = 0; i < MAX_REPRESENTATIONS; i++)
        all[i] = (VkPipelineExecutableInternalRepresentationKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR};
    if (d->GetRepresentations(d->device, &which, &count, all) < VK_SUCCESS) stop(1, "no representations");
    for (uint32_t i = 0; i < count; i++) {
        all[i].pData = calloc(1, all[i].dataSize + 1);
        if (!all[i].pData) abort();
    }
    if (d->GetRepresentations(d->device, &which, &count, all) < VK_SUCCESS) stop(1, "no representations");
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(all[i].name, "Assembly") == 0)
            code = all[i].pData;
        else
            free(all[i].pData);
    }
    if (!code) stop(SKIPPED, "skipped: the driver does not tell its machine code");
    return code;
}

/* In the order of tilefold_vulkan_shader. */
static const char *const shader_names[TILEFOLD_VULKAN_SHADERS] = {
    [TILEFOLD_VULKAN_IMPLICIT] = "product implicit",
    [TILEFOLD_VULKAN_UNFOLDED] = "product unfolded",
    [TILEFOLD_VULKAN_UNFOLDED_2D] = "product unfolded2d",
    [TILEFOLD_VULKAN_UNFOLDED_3D] = "product unfolded3d",
    [TILEFOLD_VULKAN_UNFOLD] = "unfold",
    [TILEFOLD_VULKAN_UNFOLD_2D] = "unfold2d",
    [TILEFOLD_VULKAN_UNFOLD_3D] = "unfold3d",
    [TILEFOLD_VULKAN_DIRECT] = "direct",
};

static double ratio(int a, int b) { return b ? (double)a / b : 0; }

/* Of what the loop that multiplies issues, multiply-adds are so much; those of a dual instruction are two. */
static double share_of(const figures *f) { return ratio(f->loops.inner.multiply_adds, f->loops.inner.instructions); }

/* What the products have today, less a margin for other versions of the driver: of 8 columns an invocation, and of 2. */
static double least_share(int32_t columns) { return columns == 8 ? 0.65 : 0.15; }

static void check_variant(const char *name, const figures *f, double least) {
    bool spills = f->spilled > 0 || f->scratch_bytes > 0, idle = share_of(f) < least;
    if (spills) printf("^ %s spills\n", name);
    if (idle) printf("^ %s: less than %.0f %% of its loop are multiply-adds\n", name, least * 100);
    wanted.faults += spills || idle;
}

static void report_variant(const null_device *d, const char *family, const tilefold_vulkan_pipeline *p) {
    const tilefold_vulkan_constants *c = &p->constants;
    static const char *const types[] = {[TILEFOLD_F32] = "fp32", [TILEFOLD_F16] = "fp16", [TILEFOLD_BF16] = "bf16"};
    figures f;
    char name[64];
    snprintf(name, sizeof name, "%s %s x%d", shader_names[p->shader], types[c->type], (int)c->columns);
    read_statistics(d, p->pipeline, &f);
    char *code = read_code(d, p->pipeline);
    f.loops = shader_code_find_loops(code);
    const shader_loop *inner = &f.loops.inner, *outer = &f.loops.outer;
    printf("%-28s %-8s %5d %5d %5d %6d %5d  %5d/%-5d %3.0f %%  %6.1f  %6.1f\n", name, family, (int)f.vector_registers,
           (int)f.scalar_registers, (int)f.spilled, (int)f.shared_bytes, (int)f.waves, inner->multiply_adds,
           inner->instructions, 100 * share_of(&f), ratio(inner->shared_loads, inner->shared_waits),
           ratio(outer->loads, outer->waits));
    if (wanted.code && strstr(name, wanted.code)) fputs(code, stdout);
    free(code);
    bool product = strncmp(name, "product", 7) == 0;
    if (wanted.check) check_variant(name, &f, product ? least_share(c->columns) : 0);
}

/* Plans as callers have them, which compile what they need. */
static void make_plan(tilefold_context *context, int index, tilefold_type type, tilefold_algorithm algorithm) {
    test_problem made = choice_problem(index);
    tilefold_plan_options options;
    tilefold_plan *plan;
    tilefold_message message = {""};
    tilefold_plan_options_init(&options);
    made.problem.type = type;
    options.algorithm = algorithm;
    options.bind_buffers = true;
    options.scratch_limit_bytes = INT64_C(1) << 30;
    if (tilefold_plan_create(context, &made.problem, &options, &plan, &message) != TILEFOLD_OK)
        stop(1, "%s: %s", made.name, message.text);
    tilefold_plan_destroy(plan);
}

/* What reads or makes an unfolded tile in images, as plans would have it: the driver has no images without a GPU. */
static void add_textures(tilefold_vulkan_context *vulkan) {
    static const struct {
        tilefold_vulkan_shader of_buffer, of_images[2];
    } same[] = {{TILEFOLD_VULKAN_UNFOLDED, {TILEFOLD_VULKAN_UNFOLDED_2D, TILEFOLD_VULKAN_UNFOLDED_3D}},
                {TILEFOLD_VULKAN_UNFOLD, {TILEFOLD_VULKAN_UNFOLD_2D, TILEFOLD_VULKAN_UNFOLD_3D}}};
    tilefold_message message = {""};
    VkPipeline made;
    for (int i = 0, count = vulkan->pipeline_count; i < count; i++)
        for (int j = 0; j < 4; j++)
            if (vulkan->pipelines[i].shader == same[j / 2].of_buffer &&
                tilefold_vulkan_get_pipeline(vulkan, same[j / 2].of_images[j % 2], &vulkan->pipelines[i].constants,
                                             &made, &message) != TILEFOLD_OK)
                stop(1, "%s", message.text);
}

static void make_plans(tilefold_context *context) {
    for (int type = TILEFOLD_F32; type <= TILEFOLD_F16; type++)
        for (int i = 0; i < choice_problems(); i++) {
            make_plan(context, i, (tilefold_type)type, TILEFOLD_ALGORITHM_AUTO);
            make_plan(context, i, (tilefold_type)type, TILEFOLD_ALGORITHM_UNFOLD);
        }
    add_textures(context->state);
}

static tilefold_context *open_context(const null_device *d) {
    tilefold_context_options options;
    tilefold_vulkan_options vulkan;
    tilefold_context *context;
    tilefold_message message = {""};
    tilefold_context_options_init(&options);
    tilefold_vulkan_options_init(&vulkan);
    vulkan.get_instance_proc_addr = d->vk.GetInstanceProcAddr;
    vulkan.instance = d->instance;
    vulkan.physical_device = d->physical;
    vulkan.device = d->device;
    vulkan.storage_16bit_enabled = vulkan.float_controls_enabled = true;
    if (tilefold_vulkan_context_create(&options, &vulkan, &context, &message) != TILEFOLD_OK)
        stop(1, "%s", message.text);
    return context;
}

static int compare_pipelines(const void *left, const void *right) {
    const tilefold_vulkan_pipeline *a = left, *b = right;
    if (a->shader != b->shader) return a->shader < b->shader ? -1 : 1;
    return memcmp(&a->constants, &b->constants, sizeof a->constants);
}

static void report_family(int family) {
    null_device d = open_device(family);
    tilefold_context *context = open_context(&d);
    tilefold_vulkan_context *vulkan = context->state;
    create_pipelines = vulkan->vk.CreateComputePipelines;
    vulkan->vk.CreateComputePipelines = create_telling;
    make_plans(context);
    qsort(vulkan->pipelines, (size_t)vulkan->pipeline_count, sizeof vulkan->pipelines[0], compare_pipelines);
    for (int i = 0; i < vulkan->pipeline_count; i++) report_variant(&d, families[family].name, &vulkan->pipelines[i]);
    tilefold_context_destroy(context);
    close_device(&d);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--check") == 0)
        wanted.check = true;
    else if (argc == 3 && strcmp(argv[1], "--code") == 0)
        wanted.code = argv[2];
    else if (argc != 1)
        stop(2, "usage: shader_report [--check | --code NAME]");
    choose_driver();
    printf("%-28s %-8s %5s %5s %5s %6s %5s  %-17s  %s\n", "variant", "for", "VGPRs", "SGPRs", "spilt", "shared",
           "waves", "multiply-adds", "loads a wait: shared, buffers");
    for (int i = 0; i < FAMILIES; i++) report_family(i);
    return wanted.faults > 0;
}
