/* tilefold on a Vulkan device of the caller's, and in a command buffer of the caller's.
 *
 * SPDX-License-Identifier: MIT
 *
 * tilefold.h alone is enough to compute on a Vulkan device: a context whose options say TILEFOLD_VULKAN opens the driver, and
 * tilefold_execute() brings tensors from host memory to the device and back. This header is for a program that has a Vulkan
 * device already, or tensors in its buffers:
 *
 *     tilefold_vulkan_options vulkan;                          your device, or none; lower limits; a pipeline cache
 *     tilefold_vulkan_options_init(&vulkan);
 *     vulkan.get_instance_proc_addr = vkGetInstanceProcAddr;
 *     vulkan.instance = instance, vulkan.physical_device = physical_device, vulkan.device = device;
 *     tilefold_vulkan_context_create(&options, &vulkan, &context, &message);
 *
 *     plan_options.bind_buffers = true;                        the plan holds no tensors, and of scratch at most a texture
 *     tilefold_plan_create(context, &problem, &plan_options, &plan, &message);
 *     tilefold_vulkan_get_requirements(plan, &requirements);   how large a scratch buffer it wants
 *
 *     tilefold_vulkan_tensors tensors;                         your buffers, at your offsets
 *     tilefold_vulkan_tensors_init(&tensors);
 *     tensors.input.buffer = input_buffer, tensors.input.offset = input_offset; ...
 *     tilefold_vulkan_bind(plan, &tensors, &binding, &message);
 *     tilefold_vulkan_record(binding, command_buffer, &message);       touches no queue
 *
 * The command buffer may be submitted as often as you like. For a smaller problem, tilefold_vulkan_resize() the binding: the
 * same command buffer then computes that one; nothing is recorded or compiled again.
 *
 * The header needs Vulkan's own (1.1 or later); nothing here links libvulkan. A build of tilefold without Vulkan neither
 * installs this header nor has these functions.
 */
#ifndef TILEFOLD_VULKAN_H
#define TILEFOLD_VULKAN_H

#include <tilefold.h>
#include <vulkan/vulkan_core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------------- context ---- */

/* Limits below the device's own; what is above them changes nothing. */
typedef struct tilefold_vulkan_limits {
    size_t struct_size;
    int64_t max_buffer_bytes;  /* of a buffer, of what is bound of one, and of an allocation */
    int64_t max_workgroups[3]; /* of a dispatch, on each axis */
    int64_t max_image_2d;      /* texels along an axis of a two-dimensional image */
    int64_t max_image_3d;      /* and of a three-dimensional one */
    bool storage_16bit;        /* 16-bit elements in buffers; else they are read and written in 32-bit words */
    bool host_tensors;         /* tensors in memory that host and device share; else they pass through staging */
    bool cpu_vectors;          /* a CPU's subgroups are used as the vectors they are; else it computes as a GPU would */
    uint8_t reserved[5];
} tilefold_vulkan_limits;

/* No limits but the device's own. */
TILEFOLD_API void tilefold_vulkan_limits_init_sized(tilefold_vulkan_limits *limits, size_t struct_size);
static inline void tilefold_vulkan_limits_init(tilefold_vulkan_limits *limits) {
    tilefold_vulkan_limits_init_sized(limits, sizeof *limits);
}

/* Limits to try out on any device what another kind would do: "minimum" (what the Vulkan specification guarantees),
 * "moltenvk", "adreno", "mali" (stand-ins of the order of such devices' limits, not read from one), and "staging" (a device whose
 * memory the host cannot see). Fills in *limits, which was set up by its _init; INVALID_ARGUMENT for another name. */
TILEFOLD_API tilefold_status tilefold_vulkan_limits_preset(const char *name, tilefold_vulkan_limits *limits,
                                                           tilefold_message *message);

typedef struct tilefold_vulkan_options {
    size_t struct_size;
    PFN_vkGetInstanceProcAddr get_instance_proc_addr; /* NULL: from the driver's loader, opened at run time */

    /* A device of the caller's, made for Vulkan 1.1 or later and kept until the context has closed; with it
     * get_instance_proc_addr must be there too. device == VK_NULL_HANDLE: tilefold makes its own. With float controls shaders
     * declare that they keep signed zeros, infinities, NaN and subnormal numbers and round to nearest even, as far as it can. */
    VkInstance instance;
    VkPhysicalDevice physical_device;
    VkDevice device;
    bool storage_16bit_enabled;        /* the device was made with storageBuffer16BitAccess */
    bool external_memory_host_enabled; /* and with VK_EXT_external_memory_host */
    bool float_controls_enabled; /* and with VK_KHR_shader_float_controls, or for Vulkan 1.2 or later: without, results
                                          are not known to have the CPU's bits; with, opening the context may use the queue */
    uint8_t reserved[1];
    uint32_t queue_family; /* a family that computes; the caller's buffers are this family's while they are used, where
                                       their sharing mode is exclusive */
    VkQueue queue;         /* VK_NULL_HANDLE: plans can only be recorded */
    void (*lock_queue)(void *user); /* called around every use of the queue; NULL: nobody else uses it meanwhile */
    void (*unlock_queue)(void *user);
    void *queue_user;

    const tilefold_vulkan_limits *limits; /* NULL: none but the device's own */
    const void *pipeline_cache; /* what tilefold_vulkan_get_pipeline_cache() gave an earlier context; NULL: nothing */
    size_t pipeline_cache_bytes;
} tilefold_vulkan_options;

/* A device of tilefold's own, no lower limits, no pipeline cache: all zero but the size. */
TILEFOLD_API void tilefold_vulkan_options_init_sized(tilefold_vulkan_options *options, size_t struct_size);
static inline void tilefold_vulkan_options_init(tilefold_vulkan_options *options) {
    tilefold_vulkan_options_init_sized(options, sizeof *options);
}

/* tilefold_context_create() for a Vulkan device, whatever options->device says; options->device_index counts where the device is
 * tilefold's own. The caller owns *context; a device of the caller's outlives it and its plans and imports. *vulkan, the limits
 * and the pipeline cache are not read after the call. INVALID_ARGUMENT, NO_DEVICE, OUT_OF_MEMORY, DEVICE_LOST; UNSUPPORTED for a
 * driver's error that is none of these. Those hold for every function below that calls the driver. */
TILEFOLD_API tilefold_status tilefold_vulkan_context_create(const tilefold_context_options *options,
                                                            const tilefold_vulkan_options *vulkan,
                                                            tilefold_context **context, tilefold_message *message);

/* The compiled pipelines of a context, for the caller to keep: as vkGetPipelineCacheData(), *bytes says how much room there is
 * in data and becomes what was written, or, where data is NULL, what is needed. INVALID_ARGUMENT where there is too little room,
 * or the context is not of a Vulkan device. */
TILEFOLD_API tilefold_status tilefold_vulkan_get_pipeline_cache(tilefold_context *context, void *data, size_t *bytes,
                                                                tilefold_message *message);

/* ---------------------------------------------------------------------------------------------------- binding ---- */

/* What a plan made with tilefold_plan_options.bind_buffers asks of the caller's buffers. */
typedef struct tilefold_vulkan_requirements {
    size_t struct_size;
    int64_t scratch_bytes; /* of the scratch buffer: part of info.scratch_bytes; may be 0. The rest is the plan's own */
    int64_t offset_alignment; /* of the scratch's offset in bytes; a tensor's need only suit its type */
    VkBufferUsageFlags usage; /* that every buffer must have been made with */
    uint32_t reserved;
} tilefold_vulkan_requirements;

/* All zero but the size. */
TILEFOLD_API void tilefold_vulkan_requirements_init_sized(tilefold_vulkan_requirements *requirements,
                                                          size_t struct_size);
static inline void tilefold_vulkan_requirements_init(tilefold_vulkan_requirements *requirements) {
    tilefold_vulkan_requirements_init_sized(requirements, sizeof *requirements);
}

/* Fills in *requirements, which was set up by its _init. INVALID_ARGUMENT for its struct_size, or for a plan that was not made
 * with bind_buffers. */
TILEFOLD_API tilefold_status tilefold_vulkan_get_requirements(const tilefold_plan *plan,
                                                              tilefold_vulkan_requirements *requirements,
                                                              tilefold_message *message);

/* Element (0, ..., 0) of a tensor lies at byte `offset` of the buffer; the problem's strides say where the others do, none of
 * them at byte `end` or behind it, so that a wrong buffer is an error. end 0: not known, not checked. */
typedef struct tilefold_vulkan_range {
    VkBuffer buffer;
    VkDeviceSize offset, end;
} tilefold_vulkan_range;

/* Every buffer must reach to the end of the 4-byte word that its last element is in. The output must not overlap another. */
typedef struct tilefold_vulkan_tensors {
    size_t struct_size;
    tilefold_vulkan_range input, weight, bias, output; /* bias: only, and always, where the problem has one */
    tilefold_vulkan_range scratch;                     /* only where requirements.scratch_bytes > 0 */
} tilefold_vulkan_tensors;

TILEFOLD_API void tilefold_vulkan_tensors_init_sized(tilefold_vulkan_tensors *tensors, size_t struct_size);
static inline void tilefold_vulkan_tensors_init(tilefold_vulkan_tensors *tensors) {
    tilefold_vulkan_tensors_init_sized(tensors, sizeof *tensors);
}

/* A plan together with the buffers it runs on: descriptor sets, and the constants of every part. One binding serves one thread
 * and one command buffer at a time; a plan may have many. Bindings whose scratch is the same memory must not run at once;
 * nor must those of one plan that holds its scratch in a texture, which is the plan's own. */
typedef struct tilefold_vulkan_binding tilefold_vulkan_binding;

/* Binds a plan made with bind_buffers. The caller owns *binding, which keeps the plan alive, and destroys it before the buffers;
 * *tensors is not read after the call. Its constants, 256 bytes for each phase and window of the tensors, were counted by the plan.
 * INVALID_ARGUMENT for a plan made otherwise, a missing buffer, a bias that the problem does not have, an offset that does not
 * suit, or strides that lead past a range's end. */
TILEFOLD_API tilefold_status tilefold_vulkan_bind(const tilefold_plan *plan, const tilefold_vulkan_tensors *tensors,
                                                  tilefold_vulkan_binding **binding, tilefold_message *message);
/* No command buffer recorded from it may be running, or be submitted again. NULL is nothing to destroy. */
TILEFOLD_API void tilefold_vulkan_binding_destroy(tilefold_vulkan_binding *binding);

/* Records what computes the naive loop of tilefold.h, over n, o and x, into a command buffer that is being recorded, outside a
 * render pass, of a queue family that computes. Touches no queue. It begins with a barrier that waits for the transfers and compute shaders before it and ends with
 * one that those after it wait for; making the output visible to the host is the caller's part. The command buffer may be
 * submitted until the binding is destroyed, but not twice at once. INVALID_ARGUMENT without a command buffer. */
TILEFOLD_API tilefold_status tilefold_vulkan_record(const tilefold_vulkan_binding *binding, VkCommandBuffer commands,
                                                    tilefold_message *message);

/* From now on, what was recorded from the binding computes this problem, which may differ from the plan's as in
 * tilefold_execute_resized(). No submission of it may be running. Tensors keep their buffers and offsets; their strides may
 * change, as long as the elements stay within those of the plan's problem. INVALID_ARGUMENT for a problem that is larger or
 * otherwise different, or elements outside; then the binding is as it was. UNSUPPORTED where the plan's tensors do not fit one
 * binding each: then a smaller problem wants a binding of a plan of its own. */
TILEFOLD_API tilefold_status tilefold_vulkan_resize(tilefold_vulkan_binding *binding, const tilefold_problem *problem,
                                                    tilefold_message *message);

/* Records the binding, submits it to the context's queue and waits; in several submissions where one would hold the device for
 * long. *device_seconds, unless NULL, becomes the time that the device was busy with it by its own timestamps, 0 where it has none.
 * UNSUPPORTED where the context has no queue. */
TILEFOLD_API tilefold_status tilefold_vulkan_run(tilefold_vulkan_binding *binding, double *device_seconds,
                                                 tilefold_message *message);

/* ----------------------------------------------------------------------------------------------------- import ---- */

/* Host memory that the device reads and writes in place. */
typedef struct tilefold_vulkan_import tilefold_vulkan_import;

/* Imports [memory, memory + bytes) without a copy; the pages at either end are imported whole. The memory must outlive the
 * import, which the caller owns and destroys after every binding to it; it keeps the context alive. INVALID_ARGUMENT for no
 * memory; UNSUPPORTED where the driver cannot (VK_EXT_external_memory_host), or not that memory. */
TILEFOLD_API tilefold_status tilefold_vulkan_import_create(tilefold_context *context, void *memory, size_t bytes,
                                                           tilefold_vulkan_import **import, tilefold_message *message);
/* The buffer over it, and the bytes at which the memory begins and ends. The buffer is the import's. */
TILEFOLD_API tilefold_vulkan_range tilefold_vulkan_import_get_range(const tilefold_vulkan_import *import);
/* The memory stays the caller's. NULL is nothing to destroy. */
TILEFOLD_API void tilefold_vulkan_import_destroy(tilefold_vulkan_import *import);

#ifdef __cplusplus
}
#endif
#endif /* TILEFOLD_VULKAN_H */
