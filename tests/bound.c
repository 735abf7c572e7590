/* Running a plan that was made for buffers.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bound.h"

#include <stdio.h>
#include <stdlib.h>

bool runs_bound(void) { return getenv("TILEFOLD_TEST_BIND") != NULL; }

#ifdef TILEFOLD_HAVE_VULKAN
#include <tilefold_vulkan.h>

enum { INPUT, WEIGHT, BIAS, OUTPUT, SCRATCH, MEMORIES };

typedef struct imports {
    tilefold_vulkan_import *of[MEMORIES];
} imports;

/* Imports all pages of the memory; `element` is where element (0, ..., 0) lies in it. */
static tilefold_status import(tilefold_context *context, const guarded *memory, const void *element,
                              tilefold_vulkan_import **made, tilefold_vulkan_range *range, tilefold_message *message) {
    if (!element || memory->page_bytes == 0) return TILEFOLD_OK;
    tilefold_status status = tilefold_vulkan_import_create(context, memory->pages, memory->page_bytes, made, message);
    if (status) return status;
    *range = tilefold_vulkan_import_get_range(*made);
    range->offset += (VkDeviceSize)((const unsigned char *)element - memory->pages);
    return TILEFOLD_OK;
}

static tilefold_status import_all(tilefold_context *context, const tensors *t, const guarded *scratch, imports *made,
                                  tilefold_vulkan_tensors *bound, tilefold_message *message) {
    const struct {
        const guarded *memory;
        const void *element;
        tilefold_vulkan_range *range;
    } wanted[MEMORIES] = {
        [INPUT] = {&t->input, tensors_input(t), &bound->input},
        [WEIGHT] = {&t->weight, tensors_weight(t), &bound->weight},
        [BIAS] = {&t->bias, tensors_bias(t), &bound->bias},
        [OUTPUT] = {&t->output, tensors_output(t), &bound->output},
        [SCRATCH] = {scratch, scratch->data, &bound->scratch},
    };
    tilefold_status status = TILEFOLD_OK;
    for (int i = 0; i < MEMORIES && !status; i++)
        status = import(context, wanted[i].memory, wanted[i].element, &made->of[i], wanted[i].range, message);
    return status;
}

static tilefold_status bind_and_run(const tilefold_plan *plan, const tilefold_vulkan_tensors *bound,
                                    tilefold_message *message) {
    tilefold_vulkan_binding *binding;
    tilefold_status status = tilefold_vulkan_bind(plan, bound, &binding, message);
    if (status) return status;
    double seconds;
    status = tilefold_vulkan_run(binding, &seconds, message);
    tilefold_vulkan_binding_destroy(binding);
    return status;
}

tilefold_status run_bound(tilefold_context *context, const tilefold_plan *plan, const tensors *t,
                          tilefold_message *message) {
    tilefold_vulkan_requirements needs = {.struct_size = sizeof needs};
    tilefold_status status = tilefold_vulkan_get_requirements(plan, &needs, message);
    if (status) return status;
    guarded scratch = guarded_new((size_t)needs.scratch_bytes, (size_t)needs.offset_alignment, true);
    fill_pattern(scratch.data, scratch.bytes);
    imports made = {{NULL}};
    tilefold_vulkan_tensors bound;
    tilefold_vulkan_tensors_init(&bound);
    status = import_all(context, t, &scratch, &made, &bound, message);
    if (!status) status = bind_and_run(plan, &bound, message);
    for (int i = 0; i < MEMORIES; i++) tilefold_vulkan_import_destroy(made.of[i]);
    bool intact = guarded_intact(&scratch);
    guarded_delete(&scratch);
    if (status || intact) return status;
    snprintf(message->text, sizeof message->text, "memory around the scratch was written");
    return TILEFOLD_DEVICE_LOST;
}
#else
tilefold_status run_bound(tilefold_context *context, const tilefold_plan *plan, const tensors *t,
                          tilefold_message *message) {
    (void)context, (void)plan, (void)t;
    snprintf(message->text, sizeof message->text, "this build has no Vulkan");
    return TILEFOLD_UNSUPPORTED;
}
#endif
