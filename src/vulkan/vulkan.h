/* The Vulkan device: what its files share.
 *
 * SPDX-License-Identifier: MIT
 *
 * A problem is computed a CHUNK at a time: a box of the output (some images, groups, output channels, rows...), with the window
 * of the input and the slice of the weights that it needs, none of them larger than one binding. A chunk is itself a smaller
 * problem, so it has parts (geometry.h) like any other; mostly there is one chunk, the whole problem. Within a chunk offsets fit
 * 32 bits. Tensors in host memory are copied, each chunk's dense into buffers of the plan's (execute.c); tensors in the caller's
 * buffers are bound in place, with their strides (binding.c). Below it is as copied:
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
#include <tilefold_vulkan.h>

#include "../device.h"
#include "../platform.h"

/* ---------------------------------------------------------------------------------------------------- driver ---- */

typedef struct tilefold_vulkan_functions {
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
#define GLOBAL(name) PFN_vk##name name;
#define INSTANCE(name) PFN_vk##name name;
#define DEVICE(name) PFN_vk##name name;
#include "functions.h"
} tilefold_vulkan_functions;

/* Gets the functions, from `get` or the driver's loader, and makes an instance unless *instance is one. On failure there is
 * nothing to close. NO_DEVICE, OUT_OF_MEMORY. */
tilefold_status tilefold_vulkan_load(tilefold_vulkan_functions *vk, PFN_vkGetInstanceProcAddr get, VkInstance *instance,
                                     tilefold_message *message);
void tilefold_vulkan_load_device(tilefold_vulkan_functions *vk, VkDevice device);

/* The status that a driver's error is, with a message that says what failed. */
tilefold_status tilefold_vulkan_fail(tilefold_message *message, VkResult result, const char *what);

/* What of a device matters to a plan: limits, as they are or lower. */
typedef struct tilefold_vulkan_traits {
    int64_t max_binding_bytes;
    int64_t max_groups[2];    /* of a dispatch, along x, and along y and z */
    int64_t offset_alignment; /* of bindings, in bytes */
    int64_t max_image_2d, max_image_3d;
    bool storage16;                        /* 16-bit elements in buffers */
    bool host_tensors;                     /* device memory for tensors can be mapped, and is no slower for it */
    int64_t memory_bytes;                  /* of the largest heap of the device's own */
    int64_t shared_bytes;                  /* of one workgroup */
    int32_t workgroup_size, subgroup_size; /* invocations: the most of one workgroup; those that run in step */
    int64_t import_alignment;              /* of imported host memory; 0 where none can be imported */
    int64_t step_macs;                     /* multiply-adds of a dispatch, at most */
    double timestamp_seconds;              /* of a timestamp's unit; 0 where the queue has no timestamps */
    uint64_t timestamp_mask;               /* of the bits that its timestamps have */
    int64_t lanes;                         /* of a subgroup that is a CPU's vector; 0 on a device of its own */
    uint32_t float_modes;                  /* that shaders declare: of the bits below */
} tilefold_vulkan_traits;

/* What a device can be told to do with fp32, bit by bit; and the words that declaring it takes at most. */
enum {
    TILEFOLD_VULKAN_KEEPS_SUBNORMALS = 1,
    TILEFOLD_VULKAN_KEEPS_SPECIALS = 2, /* signed zeros, infinities, NaN */
    TILEFOLD_VULKAN_ROUNDS_TO_EVEN = 4,
    TILEFOLD_VULKAN_FLOAT_MODES = 3,
    TILEFOLD_VULKAN_MODE_WORDS = 32
};

/* And what a device is found to do: those, and that its fma() is fused. */
enum { TILEFOLD_VULKAN_FUSES = 8, TILEFOLD_VULKAN_ARITHMETIC = 15 };

/* Those that a device with VK_KHR_shader_float_controls has. */
uint32_t tilefold_vulkan_get_float_modes(const tilefold_vulkan_functions *vk, VkPhysicalDevice device);

/* spirv.c: copies a module of so many words, with the modes declared, to `to`, which has room for TILEFOLD_VULKAN_MODE_WORDS more.
 * Returns the words of the copy. */
size_t tilefold_vulkan_declare_modes(const uint32_t *module, size_t words, uint32_t modes, uint32_t *to);

/* What imported host memory must be aligned to, on a device with VK_EXT_external_memory_host. */
int64_t tilefold_vulkan_import_alignment(const tilefold_vulkan_functions *vk, VkPhysicalDevice device);

/* Whether a device has an extension; `extensions` is room to look them up in. */
VkResult tilefold_vulkan_has_extension(const tilefold_vulkan_functions *vk, VkPhysicalDevice device, const char *name,
                                       VkExtensionProperties *extensions, uint32_t room, bool *has);

/* Lowers them to the caller's limits, which are checked before. */
tilefold_status tilefold_vulkan_check_limits(const tilefold_vulkan_limits *limits, tilefold_message *message);
void tilefold_vulkan_clamp(tilefold_vulkan_traits *traits, const tilefold_vulkan_limits *limits);

enum { TILEFOLD_VULKAN_MAX_DEVICES = 16 };

/* The `used` devices that can run tilefold, in the driver's order. */
VkResult tilefold_vulkan_enumerate(const tilefold_vulkan_functions *vk, VkInstance instance,
                                   VkPhysicalDevice devices[TILEFOLD_VULKAN_MAX_DEVICES], uint32_t *used);
tilefold_vulkan_traits tilefold_vulkan_get_traits(const tilefold_vulkan_functions *vk, VkPhysicalDevice device,
                                                  char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE]);

/* --------------------------------------------------------------------------------------------------- context ---- */

typedef enum tilefold_vulkan_shader {
    TILEFOLD_VULKAN_IMPLICIT, /* the product, reading the input where it lies */
    TILEFOLD_VULKAN_UNFOLDED, /* the product of an unfolded tile, one for each storage */
    TILEFOLD_VULKAN_UNFOLDED_2D,
    TILEFOLD_VULKAN_UNFOLDED_3D,
    TILEFOLD_VULKAN_BROADCAST_IMPLICIT, /* the same by subgroups, of what is in buffers */
    TILEFOLD_VULKAN_BROADCAST_UNFOLDED,
    TILEFOLD_VULKAN_UNFOLD, /* into each storage */
    TILEFOLD_VULKAN_UNFOLD_2D,
    TILEFOLD_VULKAN_UNFOLD_3D,
    TILEFOLD_VULKAN_DIRECT,
    TILEFOLD_VULKAN_PROBE, /* of the device's arithmetic */
    TILEFOLD_VULKAN_SHADERS
} tilefold_vulkan_shader;

/* Modules, made from shaders/ when the library is built. Of each shader there are two: without and with 16-bit storage; but those
 * that unfold into images never need that, and are for texels of 32 and of 16 bits. */
typedef struct tilefold_vulkan_module {
    const uint32_t *words;
    size_t count;
} tilefold_vulkan_module;
typedef tilefold_vulkan_module tilefold_vulkan_modules[TILEFOLD_VULKAN_SHADERS][2];

/* The specialisation constants of the shaders, in the order of their ids. */
typedef struct tilefold_vulkan_constants {
    int32_t type, columns;
    int32_t rows, lanes; /* of the products by subgroups */
} tilefold_vulkan_constants;

typedef struct tilefold_vulkan_pipeline {
    tilefold_vulkan_shader shader;
    tilefold_vulkan_constants constants;
    VkPipeline pipeline;
} tilefold_vulkan_pipeline;

/* As many as there are combinations: 3 types x (2 widths x 4 of the product, 5 x 2 of that by subgroups, 3 unfolds, 2 direct), and the
 * probe. */
enum { TILEFOLD_VULKAN_MAX_PIPELINES = 70 };

/* Of the largest shader with its modes declared. */
enum { TILEFOLD_VULKAN_MODULE_WORDS = 16384 };

typedef struct tilefold_vulkan_context {
    tilefold_vulkan_functions vk;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue; /* VK_NULL_HANDLE: a caller's device without one, on which nothing runs, it is only recorded */
    uint32_t queue_family;
    bool owns_instance, owns_device; /* else they are the caller's */
    void (*lock_queue)(void *user);
    void (*unlock_queue)(void *user);
    void *queue_user;
    tilefold_vulkan_traits traits;
    VkPhysicalDeviceMemoryProperties memory;
    char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE];
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    const tilefold_vulkan_modules *shaders;             /* the library's own, or a test's */
    VkShaderModule modules[TILEFOLD_VULKAN_SHADERS][2]; /* those of them that were used */
    const char *other_bits;                             /* why results have not the CPU's bits; NULL where they have */
    VkPipelineCache cache;
    VkCommandPool pool;
    VkCommandBuffer commands;
    VkQueryPool timestamps; /* two, where the queue has them */
    VkFence fence;
    tilefold_mutex queue_lock;    /* held while recording and running commands: of all above it, and of the next */
    int64_t submission_macs;      /* of one submission: it ends when it has so many */
    tilefold_mutex pipeline_lock; /* of all below: planning does not wait for what runs */
    tilefold_vulkan_pipeline pipelines[TILEFOLD_VULKAN_MAX_PIPELINES];
    int pipeline_count;
    uint32_t module_words[TILEFOLD_VULKAN_MODULE_WORDS]; /* room to make a module in */
} tilefold_vulkan_context;

/* Layouts, modules, command buffer; and what they are released by, as far as they got. */
tilefold_status tilefold_vulkan_create_objects(tilefold_vulkan_context *context, const void *cache, size_t cache_bytes,
                                               tilefold_message *message);
void tilefold_vulkan_destroy_objects(tilefold_vulkan_context *context);

/* Submits a recorded command buffer and waits for it. */
VkResult tilefold_vulkan_submit(tilefold_vulkan_context *context, VkCommandBuffer commands);
/* Sets context->submission_macs by the time that a submission of so many took, while the queue is locked. */
void tilefold_vulkan_learn_pace(tilefold_vulkan_context *context, int64_t macs, int64_t nanoseconds);
/* Timestamps around what is recorded in between, and the seconds between them once it has run. */
void tilefold_vulkan_begin_time(const tilefold_vulkan_context *context, VkCommandBuffer commands);
void tilefold_vulkan_end_time(const tilefold_vulkan_context *context, VkCommandBuffer commands);
VkResult tilefold_vulkan_get_time(const tilefold_vulkan_context *context, double *seconds);

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

/* A memory type among `allowed` with all the properties, or -1. */
int32_t tilefold_vulkan_find_memory_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t allowed,
                                         VkMemoryPropertyFlags wanted);
/* Memory that suits, like that of such a buffer. */
VkResult tilefold_vulkan_allocate(const tilefold_vulkan_context *context, const VkMemoryRequirements *needs,
                                  bool for_host, VkDeviceMemory *memory);

/* The texels of an image that holds an unfolded tile, of elements of a type; storage BUFFER: there is none. */
typedef struct tilefold_vulkan_image_size {
    tilefold_storage storage;
    tilefold_type type;
    int64_t width, height, depth;
} tilefold_vulkan_image_size;

typedef struct tilefold_vulkan_image {
    VkImage image;
    VkDeviceMemory memory;
    VkImageView view;
} tilefold_vulkan_image;

/* image.c: the bytes that such an image takes on this device, its padding included. */
VkResult tilefold_vulkan_ask_image(const tilefold_vulkan_context *context, const tilefold_vulkan_image_size *size,
                                   int64_t *bytes);
tilefold_status tilefold_vulkan_create_image(const tilefold_vulkan_context *context,
                                             const tilefold_vulkan_image_size *size, tilefold_vulkan_image *image,
                                             tilefold_message *message);
void tilefold_vulkan_destroy_image(const tilefold_vulkan_context *context, tilefold_vulkan_image *image);
/* A barrier: what shaders before it did with the image is done; those after it find it usable, and its contents undefined. */
void tilefold_vulkan_discard_image(const tilefold_vulkan_functions *vk, VkCommandBuffer commands,
                                   const tilefold_vulkan_image *image);

/* A box of a tensor in host memory, and the dense row-major array of the same elements; of fp32 where it is widened. */
enum { TILEFOLD_BOX_DIMENSIONS = 6 };
typedef struct tilefold_vulkan_box {
    char *host; /* element (0, ..., 0) of the box; only read when uploading */
    tilefold_type type, dense_type;
    int64_t size[TILEFOLD_BOX_DIMENSIONS], stride[TILEFOLD_BOX_DIMENSIONS]; /* strides in elements, of the host */
} tilefold_vulkan_box;

int64_t tilefold_vulkan_box_elements(const tilefold_vulkan_box *box);
int64_t tilefold_vulkan_dense_bytes(const tilefold_vulkan_box *box); /* of an element */

/* Copies elements [begin, end) of the dense array from, or to, the host. `dense` is where element `begin` lies. */
void tilefold_vulkan_copy_box(const tilefold_vulkan_box *box, int64_t begin, int64_t end, void *dense, bool to_host);

/* ---------------------------------------------------------------------------------------------------- chunks ---- */

enum { TILEFOLD_INPUT, TILEFOLD_WEIGHT, TILEFOLD_BIAS, TILEFOLD_OUTPUT, TILEFOLD_TENSORS };

/* How a problem is cut into chunks: so many of each at most. Where not even one output has what it reads in bindings, sums are cut
 * too, into stretches of so many channels and taps: docs/design.md draws them. */
typedef struct tilefold_vulkan_chunking {
    int64_t images, groups, outputs, axis[TILEFOLD_AXES];
    int64_t channels, taps[TILEFOLD_AXES];
    bool in_place; /* tensors are bound where they lie, with their strides; else dense copies of chunks are */
    bool widened;  /* copies of 16-bit elements are fp32: sums that are cut wait in the output's */
} tilefold_vulkan_chunking;

typedef struct tilefold_vulkan_sizes {
    int64_t bytes[TILEFOLD_TENSORS];
} tilefold_vulkan_sizes;

/* Elements of a tensor that a chunk touches lie in [low, high], counted from the chunk's element 0, which is number `at` of
 * the tensor. `first` is where element 0 lies in what is bound. */
typedef struct tilefold_vulkan_window {
    int64_t at, low, high, first;
} tilefold_vulkan_window;

typedef struct tilefold_vulkan_chunk {
    tilefold_geometry geometry; /* of the chunk, a problem by itself, with the strides of the tensors that are bound */
    bool first, last;           /* stretch of its sums */
    tilefold_vulkan_window window[TILEFOLD_TENSORS];
    tilefold_type bias_type;                   /* of the bias that is bound: copies of it are fp32 */
    tilefold_vulkan_box input, weight, output; /* where tensors are copied: host pointers are left out */
} tilefold_vulkan_chunk;

/* The largest chunks whose buffers are within the sizes. LIMIT_TOO_SMALL where not even one product has such a chunk; UNSUPPORTED where
 * sums would have to wait in an output of 16 bits that is bound in place. */
tilefold_status tilefold_vulkan_choose_chunks(const tilefold_geometry *geometry, bool in_place,
                                              const tilefold_vulkan_sizes *most, tilefold_vulkan_chunking *chunking,
                                              tilefold_message *message);
/* The same chunks of a problem that is nowhere larger than the one that they were chosen for. */
tilefold_vulkan_chunking tilefold_vulkan_fit_chunks(const tilefold_geometry *geometry,
                                                    const tilefold_vulkan_chunking *larger);
/* Packed weights are dense, columns side by side. Gives the geometry their strides; returns the box of the weights it had. */
tilefold_vulkan_box tilefold_vulkan_pack_geometry(tilefold_geometry *geometry);
/* What the largest chunk takes. */
tilefold_vulkan_sizes tilefold_vulkan_chunk_sizes(const tilefold_geometry *geometry,
                                                  const tilefold_vulkan_chunking *chunking);
int64_t tilefold_vulkan_chunk_count(const tilefold_geometry *geometry, const tilefold_vulkan_chunking *chunking);
/* Into how many stretches a sum is cut. */
int64_t tilefold_vulkan_stretches(const tilefold_geometry *geometry, const tilefold_vulkan_chunking *chunking);
/* Chunks of the same outputs follow each other, in the order of their sums; then those of the same weights. */
void tilefold_vulkan_get_chunk(const tilefold_geometry *geometry, const tilefold_vulkan_chunking *chunking,
                               int64_t number, tilefold_vulkan_chunk *chunk);

/* ------------------------------------------------------------------------------------------------------ jobs ---- */

/* The uniform block `Job` of shaders/job.glsl: std140, so every member is four words. */
typedef struct tilefold_vulkan_job {
    int32_t count[4], taps[4], in_first[4], in_step[4], in_tap[4], in_size[4], in_stride[4], out_step[4], out_fold[4],
        folds[4], weight_tap[4], weight_fold[4], first[4], base[4], total[4];
    float clamp[4];
} tilefold_vulkan_job;

enum { TILEFOLD_JOB_BYTES = sizeof(tilefold_vulkan_job) }; /* 256: a multiple of any uniform buffer alignment */

/* The push constants `Step` of shaders/job.glsl. */
typedef struct tilefold_vulkan_step {
    int32_t position_begin, position_end, column_begin, column_end, group_begin, k_begin, k_end, flags, unfolded, pitch,
        width, units;
} tilefold_vulkan_step;

enum { TILEFOLD_STEP_FIRST = 1, TILEFOLD_STEP_LAST = 2, TILEFOLD_STEP_COLUMNS_FIRST = 4 };

/* Fills in the job of a part, given by its number on each axis; false, and a job of nothing, where it is empty or not there. */
bool tilefold_vulkan_make_job(const tilefold_vulkan_chunk *chunk, const int64_t parts[TILEFOLD_AXES],
                              tilefold_vulkan_job *job);

/* Calls visit for each part of a geometry, x fastest, until it fails. */
typedef tilefold_status (*tilefold_vulkan_visit)(void *user, const int64_t parts[TILEFOLD_AXES]);
tilefold_status tilefold_vulkan_for_each_part(const tilefold_geometry *geometry, tilefold_vulkan_visit visit,
                                              void *user);

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

/* What a workgroup of the product computes. */
typedef struct tilefold_vulkan_workgroup {
    int64_t positions, columns;
} tilefold_vulkan_workgroup;

/* The scratch:
 *
 *     | jobs | staging | unfolded tile | partial sums | image |      staging: where tensors cannot be mapped
 *       host   host      the device's own                        partial sums: where K is cut and outputs are not fp32
 *                                                                image: instead of the unfolded tile, if so wanted
 */
typedef struct tilefold_vulkan_scratch {
    int64_t jobs, staging_bytes, unfolded_bytes, partial_bytes, image_bytes;
    tilefold_vulkan_image_size image_size;
} tilefold_vulkan_scratch;

/* Bindings of every shader, in shaders/tensors.glsl and unfolded.glsl: four storage buffers, the job, and the image of an
 * unfolded tile, as what stores it and what reads it see it. */
enum {
    TILEFOLD_VULKAN_STORAGE_BINDINGS = 4,
    TILEFOLD_VULKAN_JOB_BINDING = 4,
    TILEFOLD_VULKAN_STORED_BINDING,
    TILEFOLD_VULKAN_FETCHED_BINDING,
    TILEFOLD_VULKAN_BINDINGS
};

/* The descriptor sets of a chunk. */
typedef struct tilefold_vulkan_sets {
    VkDescriptorSet product; /* of what makes outputs; with unfolding, of what makes partial sums too */
    VkDescriptorSet
        to_scratch; /* of an unfold; without one, of a block of a sum whose partial sums wait in the scratch */
    VkDescriptorSet from_scratch; /* of the last block of such a sum */
} tilefold_vulkan_sets;

/* What is bound of a buffer, in bytes. */
typedef struct tilefold_vulkan_bound {
    VkBuffer buffer;
    int64_t offset, bytes;
} tilefold_vulkan_bound;

struct tilefold_vulkan_plan {
    tilefold_algorithm algorithm;
    tilefold_vulkan_tiling tiling;
    tilefold_vulkan_scratch scratch;
    tilefold_vulkan_chunking chunking;
    tilefold_vulkan_sizes sizes; /* of the buffers of copied tensors */
    tilefold_vulkan_constants constants;
    tilefold_vulkan_workgroup workgroup;
    bool cut;                   /* some sum is cut into blocks */
    bool columns_first;         /* neighbouring outputs lie along the columns */
    VkPipeline product, unfold; /* whatever makes outputs; unfold */
    tilefold_vulkan_image image;
    /* All below is empty where the plan is made for the caller's buffers. */
    tilefold_vulkan_buffer tensors[TILEFOLD_TENSORS], device_scratch, jobs, staging;
    VkDescriptorPool pool;
    tilefold_vulkan_sets sets;
    tilefold_checked_mutex
        running; /* held while executing, which goes on in the buffers above between two submissions */
};

/* tiling.c: what a problem can be planned with under a scratch limit. */
typedef struct tilefold_vulkan_shape {
    const tilefold_geometry *geometry;
    const tilefold_vulkan_traits *traits;
    int64_t positions, columns, depth; /* at most, of one part: images and folds counted in */
    int64_t row;                       /* positions along x, at most */
    int64_t parts;                     /* that are not empty */
    int64_t element_bytes;
    tilefold_storage storage;               /* of unfolded tiles; if not in a buffer, then */
    const tilefold_vulkan_context *context; /* is asked what images take, */
    VkResult *asked;                        /* and this says what went wrong */
} tilefold_vulkan_shape;

/* smaller_too: a plan that will run smaller problems too, without being recorded again. The storage is a buffer, until the
 * caller sets the last three fields. */
tilefold_vulkan_shape tilefold_vulkan_get_shape(const tilefold_geometry *geometry, const tilefold_vulkan_traits *traits,
                                                bool smaller_too);
tilefold_algorithm tilefold_vulkan_choose_algorithm(const tilefold_vulkan_shape *shape, tilefold_algorithm wanted);
/* Decides everything within the budget, or as well as it can without one; false where it is too small, or *asked not
 * VK_SUCCESS. Given are the
 * algorithm, the chunking and the sizes. */
bool tilefold_vulkan_decide(const tilefold_vulkan_shape *shape, int64_t budget_bytes, tilefold_vulkan_plan *plan);
/* The least scratch with which that succeeds. */
int64_t tilefold_vulkan_least_scratch(const tilefold_vulkan_shape *shape, const tilefold_vulkan_plan *plan);
int64_t tilefold_vulkan_scratch_bytes(const tilefold_vulkan_scratch *scratch);

/* plan.c: decides, then allocates everything. */
tilefold_status tilefold_vulkan_plan_problem(tilefold_plan *plan, tilefold_message *message);
void tilefold_vulkan_release_plan(tilefold_plan *plan);
size_t tilefold_vulkan_print(const tilefold_plan *plan, char *text, size_t bytes);

/* sets.c: the layout of every descriptor set; sets for so many chunks; and what those of a chunk point at: tensors (the bias may
 * be none), scratch, jobs, and the plan's image if it has one. */
VkResult tilefold_vulkan_create_set_layout(tilefold_vulkan_context *context);
VkResult tilefold_vulkan_create_pool(tilefold_vulkan_context *context, int64_t chunks, VkDescriptorPool *pool);
VkResult tilefold_vulkan_create_sets(tilefold_vulkan_context *context, VkDescriptorPool pool,
                                     const tilefold_vulkan_bound tensors[TILEFOLD_TENSORS],
                                     const tilefold_vulkan_bound *scratch, VkBuffer jobs,
                                     const tilefold_vulkan_plan *plan, tilefold_vulkan_sets *sets);

/* Steps of a geometry under a plan, over all chunks. Saturating. */
int64_t tilefold_vulkan_count_steps(const tilefold_vulkan_plan *plan, const tilefold_geometry *geometry,
                                    const tilefold_vulkan_chunking *chunking);

/* Invocations of a workgroup, but for the products by subgroups; and those of the product on each side. */
enum { TILEFOLD_WORKGROUP = 64, TILEFOLD_WORKGROUP_SIDE = 8 };

/* ---------------------------------------------------------------------------------------------------- record ---- */

/* A job being recorded: into which commands, with which sets, and where its constants are. */
typedef struct tilefold_vulkan_recorder {
    const tilefold_vulkan_context *context;
    const tilefold_vulkan_plan *plan;
    VkCommandBuffer commands;
    tilefold_vulkan_sets sets;
    bool first, last; /* stretch of the sums: steps begin them, end them */
    uint32_t job_at;  /* bytes, of its constants in the buffer of jobs */
    int64_t steps;    /* recorded so far */
    bool image_there; /* the image has been discarded since the recorder began: what is in it is ours */
    /* Called before each step of so many multiply-adds, or NULL: may submit what is there, and move the job's constants. */
    tilefold_status (*before_step)(void *user, struct tilefold_vulkan_recorder *recorder, int64_t macs);
    void *user;
} tilefold_vulkan_recorder;

/* Records the steps of a job of this extent. */
tilefold_status tilefold_vulkan_record_job(tilefold_vulkan_recorder *recorder, const tilefold_vulkan_extent *extent);
/* A barrier: transfers and shaders before it are done, and seen by those after it. */
void tilefold_vulkan_wait_for_all(const tilefold_vulkan_functions *vk, VkCommandBuffer commands);
/* And by the host. */
void tilefold_vulkan_show_to_host(const tilefold_vulkan_functions *vk, VkCommandBuffer commands);

/* binding.c: the bytes of a binding of so many chunks. */
size_t tilefold_vulkan_binding_bytes(int64_t chunks);
/* probe.c: tries the device's arithmetic, finds out of it TILEFOLD_VULKAN_ARITHMETIC. */
tilefold_status tilefold_vulkan_probe(tilefold_vulkan_context *context, uint32_t *found, tilefold_message *message);
/* Why a device of which shaders can declare so much, and which is found to do so much, gives other bits than the CPU; or NULL. */
const char *tilefold_vulkan_judge_bits(uint32_t declared, uint32_t found);
/* Both: sets context->other_bits. */
tilefold_status tilefold_vulkan_find_bits(tilefold_vulkan_context *context, tilefold_message *message);

/* What is tried: a * b + c, as bits, and what it shows. */
typedef struct tilefold_vulkan_probe_sum {
    uint32_t a, b, c, expected, shows;
} tilefold_vulkan_probe_sum;
enum { TILEFOLD_VULKAN_PROBE_SUMS = 36 };
extern const tilefold_vulkan_probe_sum tilefold_vulkan_probe_sums[TILEFOLD_VULKAN_PROBE_SUMS];

/* peak.c */
tilefold_status tilefold_vulkan_measure_peak(tilefold_context *context, double *flops_per_second,
                                             tilefold_message *message);

/* execute.c */
tilefold_status tilefold_vulkan_pack_weight(const tilefold_plan *plan, const void *weight, void *packed,
                                            tilefold_message *message);
tilefold_status tilefold_vulkan_execute(const tilefold_plan *plan, const tilefold_geometry *geometry,
                                        const tilefold_execution *request, tilefold_message *message);

#endif /* TILEFOLD_VULKAN_INTERNAL_H */
