/* What is chosen on Vulkan devices that are written down here: which shaders, steps and scratch; and, where there is a device,
 * that the shaders chosen are those that its plans use. The table needs no device.
 *
 * SPDX-License-Identifier: MIT
 *
 * The table is vulkan_choices.txt. Where a change is meant to change it, `test_vulkan_choices --write` writes the new one: look
 * at the difference before it is committed.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "choices.h"
#include "vulkan/vulkan.h"

/* -------------------------------------------------------------------------------------------------------- choices ---- */

typedef struct described_device {
    const char *name;
    tilefold_vulkan_traits traits;
} described_device;

#define GPU .max_image_2d = 16384, .max_image_3d = 2048, .storage16 = true, .offset_alignment = 64
static const described_device devices[] = {
    {"a GPU of its own",
     {GPU, .step_macs = INT64_C(1) << 34, .max_binding_bytes = INT64_C(1) << 31,
      .max_groups = {INT64_C(1) << 30, 65535}}},
    {"a small GPU with shared memory",
     {GPU, .step_macs = INT64_C(1) << 31, .max_binding_bytes = INT64_C(1) << 27, .max_groups = {65535, 65535},
      .host_tensors = true}},
    {"a CPU of 8 lanes",
     {GPU, .step_macs = INT64_C(1) << 32, .max_binding_bytes = INT64_C(1) << 27, .max_groups = {65535, 65535},
      .host_tensors = true, .lanes = 8}},
};
enum { DEVICES = sizeof devices / sizeof devices[0] };

static const struct {
    tilefold_algorithm algorithm;
    int64_t budget;
} settings[] = {{TILEFOLD_ALGORITHM_AUTO, INT64_C(16) << 20},
                {TILEFOLD_ALGORITHM_UNFOLD, INT64_C(16) << 20},
                {TILEFOLD_ALGORITHM_UNFOLD, 131072}};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

/* As planning does it, but that nothing is allocated and sizes are not rounded. */
static tilefold_vulkan_plan decide(const test_problem *made, const tilefold_vulkan_traits *traits, int setting,
                                   int64_t *least) {
    tilefold_geometry geometry;
    tilefold_message message;
    if (tilefold_geometry_init(&geometry, &made->problem, &message) != TILEFOLD_OK) fail_msg("%s", message.text);
    if (tilefold_geometry_can_fold(&geometry)) tilefold_geometry_fold(&geometry);
    tilefold_vulkan_plan p = {0};
    tilefold_vulkan_sizes most;
    for (int i = 0; i < TILEFOLD_TENSORS; i++) most.bytes[i] = traits->max_binding_bytes;
    if (tilefold_vulkan_choose_chunks(&geometry, false, &most, &p.chunking, &message) != TILEFOLD_OK)
        fail_msg("%s", message.text);
    p.sizes = tilefold_vulkan_chunk_sizes(&geometry, &p.chunking);
    tilefold_vulkan_shape shape = tilefold_vulkan_get_shape(&geometry, traits, false);
    p.algorithm = tilefold_vulkan_choose_algorithm(&shape, settings[setting].algorithm);
    *least = tilefold_vulkan_least_scratch(&shape, &p);
    if (!tilefold_vulkan_decide(&shape, settings[setting].budget, &p)) fail_msg("%s: nothing decided", made->name);
    return p;
}

static void describe_choice(const described_device *device, int setting, int index, char line[CHOICE_LINE]) {
    test_problem made = choice_problem(index);
    int64_t least;
    tilefold_vulkan_plan p = decide(&made, &device->traits, setting, &least);
    const tilefold_vulkan_constants *c = &p.constants;
    snprintf(line, CHOICE_LINE,
             "%s | %s, %s, %" PRId64 " bytes | %s: %s of %d columns x %d rows; step %" PRId64 " positions x %" PRId64
             " columns x %" PRId64 " groups, block %" PRId64 "%s | scratch %" PRId64 " least %" PRId64,
             made.name, device->name, tilefold_algorithm_name(settings[setting].algorithm), settings[setting].budget,
             tilefold_algorithm_name(p.algorithm), c->lanes ? "subgroups" : "workgroups", (int)c->columns, (int)c->rows,
             p.tiling.positions, p.tiling.columns, p.tiling.groups, p.tiling.block_k, p.cut ? ", cut" : "",
             tilefold_vulkan_scratch_bytes(&p.scratch), least);
}

static int for_each_choice(visit_choice visit) {
    int faults = 0;
    char line[CHOICE_LINE];
    for (int index = 0; index < choice_problems(); index++)
        for (int device = 0; device < DEVICES; device++)
            for (int setting = 0; setting < SETTINGS; setting++) {
                describe_choice(&devices[device], setting, index, line);
                faults += visit(line);
            }
    return faults;
}

static void test_table(void **state) {
    (void)state;
    assert_int_equal(compare_choices(VULKAN_CHOICES, for_each_choice), 0);
}

/* ------------------------------------------------------------------------------------------------------ pipelines ---- */

static bool has_pipeline(const tilefold_vulkan_context *vulkan, tilefold_vulkan_shader shader) {
    for (int i = 0; i < vulkan->pipeline_count; i++)
        if (vulkan->pipelines[i].shader == shader) return true;
    return false;
}

/* The pipelines of a plan for many columns by this algorithm: by subgroups exactly where a subgroup is a CPU's vector. */
static void check_pipelines(bool cpu_vectors, tilefold_algorithm algorithm, tilefold_vulkan_shader by_workgroups,
                            tilefold_vulkan_shader by_subgroups) {
    tilefold_context_options options;
    tilefold_context_options_init(&options);
    options.device = TILEFOLD_VULKAN;
    tilefold_vulkan_options vulkan_options;
    tilefold_vulkan_options_init(&vulkan_options);
    tilefold_vulkan_limits limits;
    tilefold_vulkan_limits_init(&limits);
    limits.cpu_vectors = cpu_vectors;
    vulkan_options.limits = &limits;
    tilefold_context *context;
    tilefold_message message;
    if (tilefold_vulkan_context_create(&options, &vulkan_options, &context, &message) != TILEFOLD_OK)
        fail_msg("%s", message.text);
    const tilefold_vulkan_context *vulkan = context->state;
    bool subgroups = vulkan->traits.lanes > 0;
    if (!cpu_vectors) assert_false(subgroups);
    test_problem made = choice_problem(0);
    tilefold_plan_options plan_options;
    tilefold_plan_options_init(&plan_options);
    plan_options.algorithm = algorithm;
    tilefold_plan *plan;
    if (tilefold_plan_create(context, &made.problem, &plan_options, &plan, &message) != TILEFOLD_OK)
        fail_msg("%s", message.text);
    assert_int_equal(has_pipeline(vulkan, by_subgroups), subgroups);
    assert_int_equal(has_pipeline(vulkan, by_workgroups), !subgroups);
    tilefold_plan_destroy(plan);
    tilefold_context_destroy(context);
}

static void test_products_by_subgroups(void **state) {
    (void)state;
    if (tilefold_device_count() < 2) skip();
    for (int cpu_vectors = 0; cpu_vectors < 2; cpu_vectors++) {
        check_pipelines(cpu_vectors, TILEFOLD_ALGORITHM_IMPLICIT, TILEFOLD_VULKAN_IMPLICIT,
                        TILEFOLD_VULKAN_BROADCAST_IMPLICIT);
        check_pipelines(cpu_vectors, TILEFOLD_ALGORITHM_UNFOLD, TILEFOLD_VULKAN_UNFOLDED,
                        TILEFOLD_VULKAN_BROADCAST_UNFOLDED);
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--write") == 0) return write_choices(VULKAN_CHOICES, for_each_choice);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_products_by_subgroups),
    };
    return cmocka_run_group_tests_name("vulkan_choices", tests, NULL, NULL);
}
