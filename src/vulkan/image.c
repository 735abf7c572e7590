/* The image that holds an unfolded tile.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../message.h"
#include "vulkan.h"

#include <stdio.h>

static bool is_3d(tilefold_storage storage) { return storage == TILEFOLD_STORAGE_TEXTURE3D; }

/* Every device reads and stores both, and neither changes a bit. */
static VkFormat format_of(tilefold_type type) {
    return type == TILEFOLD_F32 ? VK_FORMAT_R32G32B32A32_UINT : VK_FORMAT_R16G16B16A16_UINT;
}

static VkResult create_image(const tilefold_vulkan_context *context, const tilefold_vulkan_image_size *size,
                             VkImage *image) {
    VkImageCreateInfo info = {.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
                              .imageType = is_3d(size->storage) ? VK_IMAGE_TYPE_3D : VK_IMAGE_TYPE_2D,
                              .format = format_of(size->type),
                              .extent = {(uint32_t)size->width, (uint32_t)size->height, (uint32_t)size->depth},
                              .mipLevels = 1,
                              .arrayLayers = 1,
                              .samples = VK_SAMPLE_COUNT_1_BIT,
                              .tiling = VK_IMAGE_TILING_OPTIMAL,
                              .usage = VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_SAMPLED_BIT,
                              .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
                              .initialLayout = VK_IMAGE_LAYOUT_UNDEFINED};
    return context->vk.CreateImage(context->device, &info, NULL, image);
}

VkResult tilefold_vulkan_ask_image(const tilefold_vulkan_context *context, const tilefold_vulkan_image_size *size,
                                   int64_t *bytes) {
    VkImage image;
    VkMemoryRequirements needs;
    VkResult result = create_image(context, size, &image);
    if (result != VK_SUCCESS) return result;
    context->vk.GetImageMemoryRequirements(context->device, image, &needs);
    context->vk.DestroyImage(context->device, image, NULL);
    *bytes = (int64_t)needs.size;
    return VK_SUCCESS;
}

static VkResult fill_image(const tilefold_vulkan_context *context, const tilefold_vulkan_image_size *size,
                           tilefold_vulkan_image *image) {
    const tilefold_vulkan_functions *vk = &context->vk;
    VkResult result = create_image(context, size, &image->image);
    if (result != VK_SUCCESS) return result;
    VkMemoryRequirements needs;
    vk->GetImageMemoryRequirements(context->device, image->image, &needs);
    result = tilefold_vulkan_allocate(context, &needs, false, &image->memory);
    if (result == VK_SUCCESS) result = vk->BindImageMemory(context->device, image->image, image->memory, 0);
    if (result != VK_SUCCESS) return result;
    VkImageViewCreateInfo view = {.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
                                  .image = image->image,
                                  .viewType = is_3d(size->storage) ? VK_IMAGE_VIEW_TYPE_3D : VK_IMAGE_VIEW_TYPE_2D,
                                  .format = format_of(size->type),
                                  .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1}};
    return vk->CreateImageView(context->device, &view, NULL, &image->view);
}

tilefold_status tilefold_vulkan_create_image(const tilefold_vulkan_context *context,
                                             const tilefold_vulkan_image_size *size, tilefold_vulkan_image *image,
                                             tilefold_message *message) {
    *image = (tilefold_vulkan_image){0};
    VkResult result = fill_image(context, size, image);
    if (result == VK_SUCCESS) return TILEFOLD_OK;
    char what[96];
    snprintf(what, sizeof what, "an image of %lld x %lld x %lld texels", (long long)size->width,
             (long long)size->height, (long long)size->depth);
    tilefold_vulkan_destroy_image(context, image);
    return tilefold_vulkan_fail(message, result, what);
}

void tilefold_vulkan_destroy_image(const tilefold_vulkan_context *context, tilefold_vulkan_image *image) {
    context->vk.DestroyImageView(context->device, image->view, NULL);
    context->vk.DestroyImage(context->device, image->image, NULL);
    context->vk.FreeMemory(context->device, image->memory, NULL);
    *image = (tilefold_vulkan_image){0};
}

/* From whatever layout it was in: nothing that an earlier call left there is wanted. What that call still reads is. */
void tilefold_vulkan_discard_image(const tilefold_vulkan_functions *vk, VkCommandBuffer commands,
                                   const tilefold_vulkan_image *image) {
    VkImageMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                    .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT,
                                    .oldLayout = VK_IMAGE_LAYOUT_UNDEFINED,
                                    .newLayout = VK_IMAGE_LAYOUT_GENERAL,
                                    .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                    .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                    .image = image->image,
                                    .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1}};
    vk->CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 0,
                           NULL, 0, NULL, 1, &barrier);
}
