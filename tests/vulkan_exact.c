/* See vulkan_exact.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "vulkan_exact.h"

#include "message.h"
#include "vulkan/vulkan.h"
#include "vulkan_own.h"

static const uint32_t broadcast_implicit_words[] =
#include "exact/broadcast_implicit.h"
    ;
static const uint32_t broadcast_implicit16_words[] =
#include "exact/broadcast_implicit16.h"
    ;
static const uint32_t broadcast_unfolded_words[] =
#include "exact/broadcast_unfolded.h"
    ;
static const uint32_t broadcast_unfolded16_words[] =
#include "exact/broadcast_unfolded16.h"
    ;
static const uint32_t direct_words[] =
#include "exact/direct.h"
    ;
static const uint32_t direct16_words[] =
#include "exact/direct16.h"
    ;
static const uint32_t implicit_words[] =
#include "exact/implicit.h"
    ;
static const uint32_t implicit16_words[] =
#include "exact/implicit16.h"
    ;
static const uint32_t unfolded_words[] =
#include "exact/unfolded.h"
    ;
static const uint32_t unfolded16_words[] =
#include "exact/unfolded16.h"
    ;
static const uint32_t unfolded2d_words[] =
#include "exact/unfolded2d.h"
    ;
static const uint32_t unfolded2d16_words[] =
#include "exact/unfolded2d16.h"
    ;
static const uint32_t unfolded3d_words[] =
#include "exact/unfolded3d.h"
    ;
static const uint32_t unfolded3d16_words[] =
#include "exact/unfolded3d16.h"
    ;
static const uint32_t probe_words[] =
#include "exact/probe.h"
    ;

#define SHADER(name)                                                                                                   \
    { name##_words, sizeof name##_words / 4 }
#define SHADERS(name)                                                                                                  \
    { SHADER(name), SHADER(name##16) }

static const tilefold_vulkan_modules exact_modules = {
    [TILEFOLD_VULKAN_IMPLICIT] = SHADERS(implicit),
    [TILEFOLD_VULKAN_UNFOLDED] = SHADERS(unfolded),
    [TILEFOLD_VULKAN_UNFOLDED_2D] = SHADERS(unfolded2d),
    [TILEFOLD_VULKAN_UNFOLDED_3D] = SHADERS(unfolded3d),
    [TILEFOLD_VULKAN_BROADCAST_IMPLICIT] = SHADERS(broadcast_implicit),
    [TILEFOLD_VULKAN_BROADCAST_UNFOLDED] = SHADERS(broadcast_unfolded),
    [TILEFOLD_VULKAN_DIRECT] = SHADERS(direct),
    [TILEFOLD_VULKAN_PROBE] = {SHADER(probe)},
};

static struct {
    bool is_open;
    own_device own;
    tilefold_vulkan_modules shaders; /* of the library, those above in their places */
} exact;

static void replace_shaders(tilefold_vulkan_context *context) {
    memcpy(exact.shaders, *context->shaders, sizeof exact.shaders);
    for (int shader = 0; shader < TILEFOLD_VULKAN_SHADERS; shader++)
        for (int half = 0; half < 2; half++)
            if (exact_modules[shader][half].words) exact.shaders[shader][half] = exact_modules[shader][half];
    context->shaders = (const tilefold_vulkan_modules *)&exact.shaders;
}

/* As tilefold_vulkan_find_bits(), with all modes. */
static tilefold_status find_bits(tilefold_vulkan_context *context, tilefold_message *message) {
    uint32_t found;
    tilefold_status status = tilefold_vulkan_probe(context, &found, message);
    if (status) return status;
    context->other_bits = tilefold_vulkan_judge_bits(TILEFOLD_VULKAN_ARITHMETIC, found);
    if (!context->other_bits) return TILEFOLD_OK;
    return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "exact shaders: %s", context->other_bits);
}

tilefold_status exact_open(const tilefold_vulkan_limits *limits, tilefold_context **context,
                           tilefold_message *message) {
    if (exact.is_open) return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "an exact context is open");
    exact.own = own_open(true);
    exact.is_open = true;
    if (!exact.own.float64) return tilefold_fail(message, TILEFOLD_UNSUPPORTED, "the device has no doubles");
    tilefold_context_options options;
    tilefold_vulkan_options vulkan = own_options(&exact.own);
    vulkan.limits = limits;
    tilefold_context_options_init(&options);
    tilefold_status status = tilefold_vulkan_context_create(&options, &vulkan, context, message);
    if (status) return status;
    replace_shaders((*context)->state);
    status = find_bits((*context)->state, message);
    if (status) tilefold_context_destroy(*context);
    return status;
}

void exact_close(void) {
    if (exact.is_open) own_close(&exact.own);
    exact.is_open = false;
}
