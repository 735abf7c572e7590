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

struct bound {
    guarded scratch;
    tilefold_vulkan_import *imports[MEMORIES];
    tilefold_vulkan_tensors tensors;
    tilefold_vulkan_binding *binding;
};

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

static tilefold_status import_all(tilefold_context *context, const tensors *t, bound *b, tilefold_message *message) {
    const struct {
        const guarded *memory;
        const void *element;
        tilefold_vulkan_range *range;
    } wanted[MEMORIES] = {
        [INPUT] = {&t->input, tensors_input(t), &b->tensors.input},
        [WEIGHT] = {&t->weight, tensors_weight(t), &b->tensors.weight},
        [BIAS] = {&t->bias, tensors_bias(t), &b->tensors.bias},
        [OUTPUT] = {&t->output, tensors_output(t), &b->tensors.output},
        [SCRATCH] = {&b->scratch, b->scratch.data, &b->tensors.scratch},
    };
    tilefold_status status = TILEFOLD_OK;
    for (int i = 0; i < MEMORIES && !status; i++)
        status = import(context, wanted[i].memory, wanted[i].element, &b->imports[i], wanted[i].range, message);
    return status;
}

tilefold_status bound_open(tilefold_context *context, const tilefold_plan *plan, const tensors *t, bound **opened,
                           tilefold_message *message) {
    tilefold_vulkan_requirements needs;
    tilefold_vulkan_requirements_init(&needs);
    tilefold_status status = tilefold_vulkan_get_requirements(plan, &needs, message);
    if (status) return status;
    bound *b = calloc(1, sizeof *b);
    if (!b) abort();
    b->scratch = guarded_new((size_t)needs.scratch_bytes, (size_t)needs.offset_alignment, true);
    fill_pattern(b->scratch.data, b->scratch.bytes);
    tilefold_vulkan_tensors_init(&b->tensors);
    status = import_all(context, t, b, message);
    if (!status) status = tilefold_vulkan_bind(plan, &b->tensors, &b->binding, message);
    if (status)
        bound_close(b);
    else
        *opened = b;
    return status;
}

tilefold_status bound_resize(bound *b, const tilefold_problem *problem, tilefold_message *message) {
    return tilefold_vulkan_resize(b->binding, problem, message);
}

tilefold_status bound_run(bound *b, tilefold_message *message) {
    double seconds;
    return tilefold_vulkan_run(b->binding, &seconds, message);
}

bool bound_close(bound *b) {
    tilefold_vulkan_binding_destroy(b->binding);
    for (int i = 0; i < MEMORIES; i++) tilefold_vulkan_import_destroy(b->imports[i]);
    bool intact = guarded_intact(&b->scratch);
    guarded_delete(&b->scratch);
    free(b);
    return intact;
}
#else
tilefold_status bound_open(tilefold_context *context, const tilefold_plan *plan, const tensors *t, bound **opened,
                           tilefold_message *message) {
    (void)context, (void)plan, (void)t, (void)opened;
    snprintf(message->text, sizeof message->text, "this build has no Vulkan");
    return TILEFOLD_UNSUPPORTED;
}

/* None was ever opened. */
tilefold_status bound_resize(bound *b, const tilefold_problem *problem, tilefold_message *message) {
    (void)b, (void)problem, (void)message;
    abort();
}

tilefold_status bound_run(bound *b, tilefold_message *message) {
    (void)b, (void)message;
    abort();
}

bool bound_close(bound *b) {
    (void)b;
    abort();
}
#endif

tilefold_status run_bound(tilefold_context *context, const tilefold_plan *plan, const tensors *t,
                          tilefold_message *message) {
    bound *b;
    tilefold_status status = bound_open(context, plan, t, &b, message);
    if (status) return status;
    status = bound_run(b, message);
    if (bound_close(b) || status) return status;
    snprintf(message->text, sizeof message->text, "memory around the scratch was written");
    return TILEFOLD_DEVICE_LOST;
}
