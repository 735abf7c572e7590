/* The Vulkan device: what its files share.
 *
 * SPDX-License-Identifier: MIT
 *
 * Tensors lie in host memory. They are brought to the device a CHUNK at a time: a box of the output (some images, groups,
 * output channels, rows...), with the window of the input and the slice of the weights that it needs, each dense in a buffer
 * of its own that is no larger than one binding. A chunk is itself a smaller problem, so it has parts (geometry.h) like any
 * other; mostly there is one chunk, the whole problem. Within a chunk offsets fit 32 bits.
 *
 *     host tensor            device buffers                  a part of the chunk is a JOB (its constants, 256 bytes),
 *     any strides            dense, one chunk                run in STEPS: one dispatch, or unfold + product
 *     +-------------+        +--------+
 *     |    +-----+  |  ----> | input  | --+   +---------+
 *     |    +-----+  |        +--------+   +-> | product | --> +--------+ ----> host tensor
 *     +-------------+  ----> | weight | --+   | direct  |     | output |
 *                            +--------+       +---------+     +--------+
 *
 * Positions of a part here run over images as well: (image, z, y, x), row-major.
 */
#ifndef TILEFOLD_VULKAN_INTERNAL_H
#define TILEFOLD_VULKAN_INTERNAL_H

#define VK_NO_PROTOTYPES
#include <pthread.h>
#include <vulkan/vulkan_core.h>

#include "../device.h"

/* ---------------------------------------------------------------------------------------------------- driver ---- */

typedef struct tilefold_vulkan_functions {
    void *library; /* from dlopen */
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
#define GLOBAL(name) PFN_vk##name name;
#define INSTANCE(name) PFN_vk##name name;
#define DEVICE(name) PFN_vk##name name;
#include "functions.h"
} tilefold_vulkan_functions;

/* Loads the driver's loader and makes an instance. On failure there is nothing to close. NO_DEVICE, OUT_OF_MEMORY. */
tilefold_status tilefold_vulkan_load(tilefold_vulkan_functions *vk, VkInstance *instance, tilefold_message *message);
void tilefold_vulkan_unload(tilefold_vulkan_functions *vk, VkInstance instance);
void tilefold_vulkan_load_device(tilefold_vulkan_functions *vk, VkDevice device);

/* The status that a driver's error is, with a message that says what failed. */
tilefold_status tilefold_vulkan_fail(tilefold_message *message, VkResult result, const char *what);

/* The limits that matter, as they are or lower. */
typedef struct tilefold_vulkan_limits {
    int64_t max_binding_bytes;
    int64_t max_groups[2]; /* of a dispatch, along x, and along y and z */
    int64_t uniform_alignment;
    bool storage16;                        /* 16-bit elements in buffers */
    bool host_tensors;                     /* device memory for tensors can be mapped, and is no slower for it */
    int64_t memory_bytes;                  /* of the largest heap of the device's own */
    int64_t shared_bytes;                  /* of one workgroup */
    int32_t workgroup_size, subgroup_size; /* invocations: the most of one workgroup; those that run in step */
} tilefold_vulkan_limits;

/* What TILEFOLD_VULKAN_LIMITS in the environment asks for: only ever lower. INVALID_ARGUMENT for a name it does not know. */
tilefold_status tilefold_vulkan_clamp_limits(tilefold_vulkan_limits *limits, tilefold_message *message);

enum { TILEFOLD_VULKAN_MAX_DEVICES = 16 };

/* The devices that can run tilefold, in the driver's order. Returns how many. */
uint32_t tilefold_vulkan_enumerate(const tilefold_vulkan_functions *vk, VkInstance instance,
                                   VkPhysicalDevice devices[TILEFOLD_VULKAN_MAX_DEVICES]);
tilefold_vulkan_limits tilefold_vulkan_get_limits(const tilefold_vulkan_functions *vk, VkPhysicalDevice device,
                                                  char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE]);

/* --------------------------------------------------------------------------------------------------- context ---- */

typedef enum tilefold_vulkan_shader {
    TILEFOLD_VULKAN_PRODUCT,
    TILEFOLD_VULKAN_UNFOLD,
    TILEFOLD_VULKAN_DIRECT,
    TILEFOLD_VULKAN_SHADERS
} tilefold_vulkan_shader;

/* The specialisation constants of the shaders, in the order of their ids. */
typedef struct tilefold_vulkan_constants {
    int32_t type, columns;
    VkBool32 unfolded;
} tilefold_vulkan_constants;

typedef struct tilefold_vulkan_pipeline {
    tilefold_vulkan_shader shader;
    tilefold_vulkan_constants constants;
    VkPipeline pipeline;
} tilefold_vulkan_pipeline;

/* As many as there are combinations: 3 types x (2 widths x 2 of the product, 1 unfold, 2 direct). */
enum { TILEFOLD_VULKAN_MAX_PIPELINES = 21 };

typedef struct tilefold_vulkan_context {
    tilefold_vulkan_functions vk;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t queue_family;
    tilefold_vulkan_limits limits;
    VkPhysicalDeviceMemoryProperties memory;
    char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE];
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkShaderModule modules[TILEFOLD_VULKAN_SHADERS][2]; /* without and with 16-bit storage */
    VkCommandPool pool;
    VkCommandBuffer commands;
    VkFence fence;
    pthread_mutex_t lock; /* held while executing, and while pipelines are looked up */
    tilefold_vulkan_pipeline pipelines[TILEFOLD_VULKAN_MAX_PIPELINES];
    int pipeline_count;
} tilefold_vulkan_context;

/* Layouts, modules, command buffer; and what they are released by, as far as they got. */
tilefold_status tilefold_vulkan_create_objects(tilefold_vulkan_context *context, tilefold_message *message);
void tilefold_vulkan_destroy_objects(tilefold_vulkan_context *context);

/* A pipeline of the context's, compiled at its first use. */
tilefold_status tilefold_vulkan_get_pipeline(tilefold_vulkan_context *context, tilefold_vulkan_shader shader,
                                             const tilefold_vulkan_constants *constants, VkPipeline *pipeline,
                                             tilefold_message *message);

/* ---------------------------------------------------------------------------------------------------- memory ---- */

typedef struct tilefold_vulkan_buffer {
    VkBuffer buffer;
    VkDeviceMemory memory;
    int64_t bytes;
    void *mapped; /* NULL where the host cannot see it */
} tilefold_vulkan_buffer;

/* for_host: mapped and coherent, else the device's own memory. */
tilefold_status tilefold_vulkan_create_buffer(tilefold_vulkan_context *context, int64_t bytes, VkBufferUsageFlags usage,
                                              bool for_host, tilefold_vulkan_buffer *buffer, tilefold_message *message);
void tilefold_vulkan_destroy_buffer(tilefold_vulkan_context *context, tilefold_vulkan_buffer *buffer);

/* A box of a tensor in host memory, and the dense row-major array of the same elements. */
enum { TILEFOLD_BOX_DIMENSIONS = 6 };
typedef struct tilefold_vulkan_box {
    char *host; /* element (0, ..., 0) of the box; only read when uploading */
    int64_t element_bytes;
    int64_t size[TILEFOLD_BOX_DIMENSIONS], stride[TILEFOLD_BOX_DIMENSIONS]; /* strides in elements, of the host */
} tilefold_vulkan_box;

int64_t tilefold_vulkan_box_elements(const tilefold_vulkan_box *box);

/* Copies elements [begin, end) of the dense array from, or to, the host. `dense` is where element `begin` lies. */
void tilefold_vulkan_copy_box(const tilefold_vulkan_box *box, int64_t begin, int64_t end, void *dense, bool to_host);

/* ---------------------------------------------------------------------------------------------------- chunks ---- */

/* How a problem is cut into chunks: so many of each at most. */
typedef struct tilefold_vulkan_chunking {
    int64_t images, groups, outputs, axis[TILEFOLD_AXES];
} tilefold_vulkan_chunking;

typedef struct tilefold_vulkan_sizes {
    int64_t input, weight, output; /* bytes */
} tilefold_vulkan_sizes;

typedef struct tilefold_vulkan_chunk {
    tilefold_geometry geometry; /* of the chunk, a problem by itself, with the strides of the device's dense arrays */
    tilefold_vulkan_box input, weight, output; /* whose host pointers are offsets from NULL: elements of the tensor */
    int64_t input_at, weight_at, output_at;    /* elements of the host tensors at which the boxes begin */
    int64_t weight_elements, bias_begin;       /* of the dense weights; of the host's bias */
} tilefold_vulkan_chunk;

/* The largest chunks whose buffers are within the sizes. UNSUPPORTED where not even one output has such a chunk. */
tilefold_status tilefold_vulkan_choose_chunks(const tilefold_geometry *geometry, const tilefold_vulkan_sizes *most,
                                              tilefold_vulkan_chunking *chunking, tilefold_message *message);
/* What the largest chunk takes. */
tilefold_vulkan_sizes tilefold_vulkan_chunk_sizes(const tilefold_geometry *geometry,
                                                  const tilefold_vulkan_chunking *chunking);
int64_t tilefold_vulkan_chunk_count(const tilefold_geometry *geometry, const tilefold_vulkan_chunking *chunking);
/* Chunks of the same weights follow each other. */
void tilefold_vulkan_get_chunk(const tilefold_geometry *geometry, const tilefold_vulkan_chunking *chunking,
                               int64_t number, tilefold_vulkan_chunk *chunk);

/* ------------------------------------------------------------------------------------------------------ jobs ---- */

/* The uniform block `Job` of shaders/job.glsl: std140, so every member is four words. */
typedef struct tilefold_vulkan_job {
    int32_t count[4], taps[4], in_first[4], in_step[4], in_tap[4], in_size[4], in_stride[4], out_step[4], out_fold[4],
        folds[4], weight_tap[4], weight_fold[4], first[4], total[4];
    float clamp[4];
} tilefold_vulkan_job;

enum { TILEFOLD_JOB_BYTES = 256 }; /* a multiple of any uniform buffer alignment */

/* The push constants `Step` of shaders/job.glsl. */
typedef struct tilefold_vulkan_step {
    int32_t position_begin, position_end, column_begin, column_end, group_begin, k_begin, k_end, flags, unfolded, pitch,
        partial, spread;
} tilefold_vulkan_step;

enum { TILEFOLD_STEP_FIRST = 1, TILEFOLD_STEP_LAST = 2, TILEFOLD_STEP_COLUMNS_FIRST = 4 };

/* Fills in the job of a part, given by its number on each axis; false where it is empty. */
bool tilefold_vulkan_make_job(const tilefold_vulkan_chunk *chunk, const int64_t parts[TILEFOLD_AXES],
                              tilefold_vulkan_job *job);

/* ------------------------------------------------------------------------------------------------------ plan ---- */

typedef struct tilefold_vulkan_plan tilefold_vulkan_plan;

/* How jobs are cut into steps: at most so many in one. A direct step counts its units (blocks of columns of all groups) as
 * groups. */
typedef struct tilefold_vulkan_tiling {
    int64_t positions, columns, groups, block_k;
} tilefold_vulkan_tiling;

/* What there is to cut: of one group where there are columns. */
typedef struct tilefold_vulkan_extent {
    int64_t positions, columns, groups, depth;
} tilefold_vulkan_extent;

/* The extent as the plan's algorithm counts it. */
tilefold_vulkan_extent tilefold_vulkan_get_extent(const tilefold_vulkan_plan *plan, int64_t positions, int64_t columns,
                                                  int64_t groups, int64_t depth);
int64_t tilefold_vulkan_extent_steps(const tilefold_vulkan_tiling *tiling, const tilefold_vulkan_extent *extent);

/* The scratch:
 *
 *     | jobs | staging | unfolded tile | partial sums |      staging: where tensors cannot be mapped
 *       host   host      the device's own               partial sums: where K is cut and outputs are not fp32
 */
typedef struct tilefold_vulkan_scratch {
    int64_t jobs, staging_bytes, unfolded_bytes, partial_bytes;
} tilefold_vulkan_scratch;

enum { TILEFOLD_VULKAN_BINDINGS = 5 };

struct tilefold_vulkan_plan {
    tilefold_algorithm algorithm;
    tilefold_vulkan_tiling tiling;
    tilefold_vulkan_scratch scratch;
    tilefold_vulkan_sizes sizes;
    tilefold_vulkan_constants constants;
    bool cut;                   /* some sum is cut into blocks */
    bool columns_first;         /* neighbouring outputs lie along the columns */
    VkPipeline product, unfold; /* product or direct; unfold */
    tilefold_vulkan_buffer input, weight, output, device_scratch, jobs, staging;
    VkDescriptorPool pool;
    VkDescriptorSet set;
};

/* plan.c: decides, then allocates everything. */
tilefold_status tilefold_vulkan_plan_problem(tilefold_plan *plan, tilefold_message *message);
void tilefold_vulkan_release_plan(tilefold_plan *plan);
size_t tilefold_vulkan_print(const tilefold_plan *plan, char *text, size_t bytes);

/* Steps of a geometry under a plan, over all chunks. Saturating. */
int64_t tilefold_vulkan_count_steps(const tilefold_vulkan_plan *plan, const tilefold_geometry *geometry,
                                    const tilefold_vulkan_chunking *chunking);

/* Positions and columns of a workgroup of the product; positions or units of one of the others. */
enum { TILEFOLD_WORKGROUP = 64, TILEFOLD_WORKGROUP_SIDE = 8 };

/* peak.c */
tilefold_status tilefold_vulkan_measure_peak(tilefold_context *context, double *flops_per_second,
                                             tilefold_message *message);

/* execute.c */
tilefold_status tilefold_vulkan_execute(const tilefold_plan *plan, const tilefold_geometry *geometry,
                                        const tilefold_execution *request, tilefold_message *message);

#endif /* TILEFOLD_VULKAN_INTERNAL_H */
