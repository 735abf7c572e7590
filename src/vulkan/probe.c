/* Whether a device's results have the bits of the CPU: what its shaders can declare, and what they are found to do.
 *
 * SPDX-License-Identifier: MIT
 *
 * SPIR-V leaves it to a driver whether fma() is one operation or two, and a declared mode is only as good as the driver. So a
 * device that lets shaders declare all modes is given sums that differ where it does otherwise.
 */
#include "../message.h"
#include "vulkan.h"

/* a * b + c, and what goes wrong where it comes out otherwise. NaN stands for any. tests/test_vulkan_exact.c holds the sums against
 * the C library's fmaf(). */
const tilefold_vulkan_probe_sum tilefold_vulkan_probe_sums[TILEFOLD_VULKAN_PROBE_SUMS] = {
    {0x3f800800, 0x3f800800, 0xbf801000, 0x33800000, TILEFOLD_VULKAN_FUSES}, /* the product is a tie */
    {0xbf800800, 0x3f800800, 0x3f801000, 0xb3800000, TILEFOLD_VULKAN_FUSES},
    {0x3f800800, 0x3f800800, 0x21800000, 0x3f801001, TILEFOLD_VULKAN_FUSES}, /* and goes by what is added */
    {0x3f800800, 0x3f800800, 0xa1800000, 0x3f801000, TILEFOLD_VULKAN_FUSES},
    {0x3f800008, 0x337ffff0, 0x3f800001, 0x3f800001, TILEFOLD_VULKAN_FUSES}, /* a tie in double, where it is less */
    {0xbf800008, 0x337ffff0, 0xbf800001, 0xbf800001, TILEFOLD_VULKAN_FUSES},
    {0x3fffffff, 0x3fffffff, 0xc07ffffe, 0x28800000, TILEFOLD_VULKAN_FUSES}, /* all digits cancel but the last */
    {0x44aaaaa0, 0x35c00008, 0xbb000004, 0xb0d55560, TILEFOLD_VULKAN_FUSES},
    {0x7f000000, 0x40000000, 0xff000000, 0x7f000000, TILEFOLD_VULKAN_FUSES}, /* a product past the largest number */
    {0x7f400000, 0xbfc00000, 0x7f7fffff, 0xfe000004, TILEFOLD_VULKAN_FUSES},
    {0x1a000000, 0x1a000000, 0x00000001, 0x00000002, TILEFOLD_VULKAN_FUSES}, /* a tie below the smallest number */
    {0x00000001, 0x3f800000, 0x00000000, 0x00000001, TILEFOLD_VULKAN_KEEPS_SUBNORMALS},
    {0x3f800000, 0x80000001, 0x00000000, 0x80000001, TILEFOLD_VULKAN_KEEPS_SUBNORMALS},
    {0x00000000, 0x3f800000, 0x00000001, 0x00000001, TILEFOLD_VULKAN_KEEPS_SUBNORMALS},
    {0x00000001, 0x7e800000, 0x00000000, 0x34000000, TILEFOLD_VULKAN_KEEPS_SUBNORMALS}, /* in, not out */
    {0x0d800000, 0x2b800000, 0x00000000, 0x00000200, TILEFOLD_VULKAN_KEEPS_SUBNORMALS}, /* out, not in */
    {0x0dc00000, 0x26800000, 0x00000000, 0x00000001, TILEFOLD_VULKAN_KEEPS_SUBNORMALS}, /* rounded to one */
    {0x007fffff, 0x3f800000, 0x00000001, 0x00800000,
     TILEFOLD_VULKAN_KEEPS_SUBNORMALS}, /* up to the smallest normal one */
    {0x80000001, 0x3f800000, 0x00800000, 0x007fffff, TILEFOLD_VULKAN_KEEPS_SUBNORMALS}, /* down from it */
    {0x20400000, 0x1fc00000, 0x80800000, 0x00100000, TILEFOLD_VULKAN_KEEPS_SUBNORMALS},
    {0x7f800000, 0x00000000, 0x3f800000, 0x7fc00000, TILEFOLD_VULKAN_KEEPS_SPECIALS},
    {0x7f800000, 0x3f800000, 0xff800000, 0x7fc00000, TILEFOLD_VULKAN_KEEPS_SPECIALS},
    {0x7f800000, 0xc0000000, 0x3f800000, 0xff800000, TILEFOLD_VULKAN_KEEPS_SPECIALS},
    {0x7f000000, 0xff000000, 0x7f800000, 0x7f800000, TILEFOLD_VULKAN_KEEPS_SPECIALS},
    {0x00000000, 0x7fc00000, 0x3f800000, 0x7fc00000, TILEFOLD_VULKAN_KEEPS_SPECIALS},
    {0x3f800000, 0x3f800000, 0x7fc00000, 0x7fc00000, TILEFOLD_VULKAN_KEEPS_SPECIALS},
    {0x80000000, 0x3f800000, 0x80000000, 0x80000000, TILEFOLD_VULKAN_KEEPS_SPECIALS},
    {0x00000000, 0xbf800000, 0x80000000, 0x80000000, TILEFOLD_VULKAN_KEEPS_SPECIALS},
    {0x00000000, 0x3f800000, 0x80000000, 0x00000000, TILEFOLD_VULKAN_KEEPS_SPECIALS},
    {0x3f800000, 0xbf800000, 0x3f800000, 0x00000000, TILEFOLD_VULKAN_KEEPS_SPECIALS},
    {0x3f800000, 0x3f800000, 0x33800000, 0x3f800000, TILEFOLD_VULKAN_ROUNDS_TO_EVEN},
    {0xbf800000, 0x3f800001, 0xb3800000, 0xbf800002, TILEFOLD_VULKAN_ROUNDS_TO_EVEN},
    {0x3f800000, 0x3f800000, 0x33800001, 0x3f800001, TILEFOLD_VULKAN_ROUNDS_TO_EVEN},
    {0x3f800000, 0xbf800000, 0x33000000, 0xbf800000, TILEFOLD_VULKAN_ROUNDS_TO_EVEN},
    {0x7f7fffff, 0x3f800000, 0x73000000, 0x7f800000,
     TILEFOLD_VULKAN_ROUNDS_TO_EVEN}, /* a tie with the next, which is infinity */
    {0xff7fffff, 0x3f800000, 0xf2ffffff, 0xff7fffff, TILEFOLD_VULKAN_ROUNDS_TO_EVEN},
};

/* The buffer `Sums` of shaders/probe.comp. */
typedef struct probe_words {
    uint32_t a, b, sum, unused;
} probe_words;

enum { PROBE_BYTES = TILEFOLD_VULKAN_PROBE_SUMS * sizeof(probe_words) };
_Static_assert((int)TILEFOLD_VULKAN_PROBE_SUMS <= (int)TILEFOLD_WORKGROUP, "they are one workgroup's");
_Static_assert((int)PROBE_BYTES >= (int)TILEFOLD_JOB_BYTES, "the buffer is bound in place of the job, too");

static void write_sums(probe_words *words) {
    for (int i = 0; i < TILEFOLD_VULKAN_PROBE_SUMS; i++) {
        const tilefold_vulkan_probe_sum *sum = &tilefold_vulkan_probe_sums[i];
        words[i] = (probe_words){sum->a, sum->b, sum->c, 0};
    }
}

static bool is_nan(uint32_t bits) { return (bits & 0x7fffffff) > 0x7f800000; }

/* What every sum that shows it came out right for. */
static uint32_t read_sums(const probe_words *words) {
    uint32_t found = TILEFOLD_VULKAN_ARITHMETIC;
    for (int i = 0; i < TILEFOLD_VULKAN_PROBE_SUMS; i++) {
        const tilefold_vulkan_probe_sum *sum = &tilefold_vulkan_probe_sums[i];
        bool right = is_nan(sum->expected) ? is_nan(words[i].sum) : words[i].sum == sum->expected;
        if (!right) found &= ~sum->shows;
    }
    return found;
}

static VkResult run_probe(tilefold_vulkan_context *context, VkPipeline pipeline, VkDescriptorSet set) {
    const tilefold_vulkan_functions *vk = &context->vk;
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                     .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    const uint32_t job_at = 0;
    VkResult result = vk->ResetCommandPool(context->device, context->pool, 0);
    if (result == VK_SUCCESS) result = vk->BeginCommandBuffer(context->commands, &info);
    if (result != VK_SUCCESS) return result;
    vk->CmdBindPipeline(context->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vk->CmdBindDescriptorSets(context->commands, VK_PIPELINE_BIND_POINT_COMPUTE, context->layout, 0, 1, &set, 1,
                              &job_at);
    vk->CmdDispatch(context->commands, 1, 1, 1);
    tilefold_vulkan_show_to_host(vk, context->commands);
    result = vk->EndCommandBuffer(context->commands);
    return result == VK_SUCCESS ? tilefold_vulkan_submit(context, context->commands) : result;
}

/* The sets of a plan whose tensors are all the one buffer. */
static VkResult run_on(tilefold_vulkan_context *context, VkPipeline pipeline, const tilefold_vulkan_buffer *buffer,
                       VkDescriptorPool *pool) {
    static const tilefold_vulkan_plan no_plan = {.algorithm = TILEFOLD_ALGORITHM_IMPLICIT};
    const tilefold_vulkan_bound all = {buffer->buffer, 0, buffer->bytes};
    const tilefold_vulkan_bound tensors[TILEFOLD_TENSORS] = {all, all, all, all};
    tilefold_vulkan_sets sets;
    VkResult result = tilefold_vulkan_create_pool(context, 1, pool);
    if (result == VK_SUCCESS)
        result = tilefold_vulkan_create_sets(context, *pool, tensors, &all, buffer->buffer, &no_plan, &sets);
    if (result != VK_SUCCESS) return result;
    tilefold_mutex_lock(&context->queue_lock);
    result = run_probe(context, pipeline, sets.product);
    tilefold_mutex_unlock(&context->queue_lock);
    return result;
}

tilefold_status tilefold_vulkan_probe(tilefold_vulkan_context *context, uint32_t *found, tilefold_message *message) {
    const VkBufferUsageFlags usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT;
    const tilefold_vulkan_constants none = {.type = TILEFOLD_F32};
    VkPipeline pipeline;
    tilefold_vulkan_buffer buffer;
    tilefold_status status = tilefold_vulkan_get_pipeline(context, TILEFOLD_VULKAN_PROBE, &none, &pipeline, message);
    if (!status) status = tilefold_vulkan_create_buffer(context, PROBE_BYTES, usage, true, &buffer, message);
    if (status) return status;
    write_sums(buffer.mapped);
    VkDescriptorPool pool = VK_NULL_HANDLE;
    VkResult result = run_on(context, pipeline, &buffer, &pool);
    if (result == VK_SUCCESS) *found = read_sums(buffer.mapped);
    context->vk.DestroyDescriptorPool(context->device, pool, NULL);
    tilefold_vulkan_destroy_buffer(context, &buffer);
    return result == VK_SUCCESS ? TILEFOLD_OK : tilefold_vulkan_fail(message, result, "trying the device's arithmetic");
}

const char *tilefold_vulkan_judge_bits(uint32_t declared, uint32_t found) {
    static const struct {
        uint32_t bit;
        const char *not_declared, *not_found;
    } reasons[] = {
        {TILEFOLD_VULKAN_KEEPS_SUBNORMALS, "its shaders cannot declare that subnormal numbers are kept",
         "it takes subnormal numbers for zeros, which its driver denies"},
        {TILEFOLD_VULKAN_KEEPS_SPECIALS, "its shaders cannot declare that signed zeros, infinities and NaN are kept",
         "it computes with signed zeros, infinities or NaN otherwise than its driver says"},
        {TILEFOLD_VULKAN_ROUNDS_TO_EVEN, "its shaders cannot declare that sums are rounded to nearest even",
         "it does not round to nearest even, which its driver denies"},
        {TILEFOLD_VULKAN_FUSES, NULL, "its fma() is not fused: a product is rounded before it is added"},
    };
    enum { REASONS = sizeof reasons / sizeof reasons[0] };
    for (int i = 0; i < REASONS; i++)
        if (reasons[i].not_declared && !(declared & reasons[i].bit)) return reasons[i].not_declared;
    for (int i = 0; i < REASONS; i++)
        if (!(found & reasons[i].bit)) return reasons[i].not_found;
    return NULL;
}

tilefold_status tilefold_vulkan_find_bits(tilefold_vulkan_context *context, tilefold_message *message) {
    uint32_t declared = context->traits.float_modes, found = TILEFOLD_VULKAN_ARITHMETIC;
    tilefold_status status = TILEFOLD_OK;
    context->other_bits = tilefold_vulkan_judge_bits(declared, found);
    if (context->other_bits) return TILEFOLD_OK; /* there is no need to try */
    context->other_bits = "it has no queue here to try its arithmetic on";
    if (!context->queue) return TILEFOLD_OK;
    status = tilefold_vulkan_probe(context, &found, message);
    if (!status) context->other_bits = tilefold_vulkan_judge_bits(declared, found);
    return status;
}
