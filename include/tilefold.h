/* tilefold: convolution in bounded memory.
 *
 * SPDX-License-Identifier: MIT
 *
 * This header is the manual of the C library. The life of a convolution is
 *
 *     problem   what to compute: sizes, strides, padding; plain data, owned by the caller
 *     context   where to compute it: a device, its threads, an allocator
 *     plan      how to compute it under a scratch limit: immutable, shared freely between threads
 *     execute   compute it: allocates nothing (a context's first executions may start its threads), touches only the tensors
 *               and the scratch it is given
 *
 * A worked example, a 3x3 convolution of a 64-channel image with 1 MiB of scratch:
 *
 *     tilefold_problem problem;
 *     tilefold_problem_init(&problem, TILEFOLD_CONV, TILEFOLD_F32, 2);
 *     problem.in_channels = problem.out_channels = 64;
 *     for (int axis = 0; axis < 2; axis++) {
 *         problem.input_size[axis] = 256;
 *         problem.kernel[axis] = 3;
 *         problem.padding_begin[axis] = problem.padding_end[axis] = 1;
 *     }
 *     tilefold_problem_set_layout(&problem, TILEFOLD_CHANNELS_FIRST, NULL);
 *
 *     tilefold_context_options context_options;
 *     tilefold_context_options_init(&context_options);
 *     tilefold_context *context;
 *     if (tilefold_context_create(&context_options, &context, NULL) != TILEFOLD_OK) return 1;
 *
 *     tilefold_plan_options plan_options;
 *     tilefold_plan_options_init(&plan_options);
 *     plan_options.scratch_limit_bytes = 1 << 20;
 *
 *     tilefold_message message;
 *     if (tilefold_convolve(context, &problem, &plan_options, input, weight, NULL, output, &message) != TILEFOLD_OK)
 *         fprintf(stderr, "%s\n", message.text);
 *     tilefold_context_destroy(context);
 *
 * tilefold_convolve() plans, packs, executes and releases in one call. An engine that runs the same problem more than
 * once does those steps itself, with memory of its own: tilefold_plan_create(), tilefold_plan_get_info(),
 * tilefold_pack_weight(), tilefold_execute(). One that has only parts of the input at a time, or wants only parts of the
 * output, asks tilefold_input_window() and calls tilefold_execute_window(); arrays larger than memory go band by band:
 * tilefold_band().
 *
 * THE OPERATION. Per spatial axis: size I, kernel K, stride S, dilation D, input dilation L, padding P0 (begin) and P1
 * (end); C input and O output channels in G groups (a channel c and an output o meet only within one group):
 *
 *     conv:       out[n][o][x] = bias[o] + sum over k, c of  in[n][c][(x*S + k*D - P0) / L] * w[o][c][k]
 *                 X = floor(((I-1)*L + 1 + P0 + P1 - D*(K-1) - 1) / S) + 1
 *     transposed: out[n][o][x] = bias[o] + sum over k, c of  in[n][c][(x + P0 - k*D) / S] * w[c][o][k]
 *                 X = (I-1)*S - P0 - P1 + D*(K-1) + 1 + output_padding
 *
 * A tap k whose position is no multiple of L (conv) or S (transposed) is left out. A tap whose position lies outside
 * the input reads a zero there, and COUNTS AS A PRODUCT WITH ZERO: an infinite or NaN weight over padding gives NaN, as in
 * an explicit unfold with zero padding, for every algorithm, instruction set and tiling. (Where packed weights are all
 * finite, such products change no bit and are left out where that saves time.)
 *
 * THE SAME BITS. Every output is one chain of fused multiply-adds in fp32 that starts at bias[o] (or +0) and runs over
 * the channels of its group in blocks of TILEFOLD_CHANNEL_BLOCK (the last one shorter), within a block over the taps in
 * row-major order of k as written above, and within a tap over the block's channels, all in ascending order; + 0.0f ends
 * the chain, once, for every output, also where no tap meets the input and the bias stands alone, so a sum that is zero is
 * +0; then clamp, then one rounding (to nearest, ties to even) to the tensor's type. On the CPU nothing else ever happens, so the
 * bits depend on neither limit, threads, instruction set, algorithm, layout nor prepacking. Which NaN a NaN is (its sign
 * and payload) is not promised. tilefold_selftest() says whether a build does so on the machine it stands on. A Vulkan device
 * computes the same chain in the same order, whatever the limit, algorithm, storage and layout, so its bits depend on none of
 * these either; but it may round a product before it is added, or take subnormal numbers for zeros. Where its driver lets shaders
 * declare that subnormal numbers, signed zeros, infinities and NaN are kept and sums rounded to nearest even, and its fma() is found
 * to be fused by sums that are tried when it is opened, they are the CPU's bits: device_info.same_bits_as_cpu, and
 * tilefold_selftest() holds it to that.
 *
 * MEMORY. plan_options.scratch_limit_bytes bounds everything that tilefold allocates or is handed to carry the operation
 * out: tiles, packing panels, partial sums, tables and the plan itself. Outside it are the tensors and the packed weights,
 * whose size the plan reports and which the caller can refuse.
 *
 * ERRORS. A function that can fail returns a tilefold_status and, where it takes a tilefold_message, leaves one line with
 * the numbers in it there; a NULL message means that the text is not wanted. On failure no out-parameter is written.
 *
 * THREADS. A context and a plan may be used from many threads at once, provided each execution has its own scratch and
 * output. Two executions at once on one context share its threads. A context on the CPU starts them in the first executions
 * that have work for several; where the system refuses some, the others do the work, if need be the calling thread alone. The
 * child of a fork() may go on with a context of the CPU, in threads of its own, if the fork was not made within an execution.
 *
 * FLOATING-POINT ENVIRONMENT. Whatever rounding mode, flush-to-zero, denormals-are-zero or traps the calling thread has set,
 * and the threads of its parallel_for: the CPU plans, packs and computes in the default environment, and gives theirs back as
 * it was, raised exception flags included.
 *
 * LIFETIMES. A plan keeps its context alive, so the two may be destroyed in either order, by a garbage collector too. What the
 * context was given (allocator, parallel_for and their users, Vulkan objects) must therefore outlive the last of its plans.
 *
 * STRUCTS that carry a struct_size can grow, at their end; those that do not, nested in others or by themselves, stay as they
 * are. An _init function sets every member to its default; _init_sized is the same function for whoever brings the size. So
 *
 *   a C caller compiled against an older header hands over a shorter struct: its missing members have their defaults, and of
 *     an info struct as much is filled in as there is room for;
 *   a caller compiled against a newer header than the library's hands over a longer one: it is served if everything that the
 *     library does not know is zero, which is what "as before" will always be; else it is INVALID_ARGUMENT;
 *   a binding without C headers declares a struct as it is here, or only as far as it needs (and at least as far as the
 *     member marked so, where one is), and passes the size of that declaration to _init_sized, which stores it and writes no
 *     byte beyond it. Nothing else of this header is inline.
 *
 * A struct_size that no struct has (too small, no multiple of a pointer's size, above 4096) is INVALID_ARGUMENT, and the message
 * names it. Members called reserved must be zero.
 */
#ifndef TILEFOLD_H
#define TILEFOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TILEFOLD_VERSION_MAJOR 0
#define TILEFOLD_VERSION_MINOR 2
#define TILEFOLD_VERSION_PATCH 0

#if defined(TILEFOLD_BUILDING) && defined(_WIN32)
#define TILEFOLD_API __declspec(dllexport)
#elif defined(TILEFOLD_BUILDING) && defined(__GNUC__)
#define TILEFOLD_API __attribute__((visibility("default")))
#else /* functions need no __declspec(dllimport) */
#define TILEFOLD_API
#endif

#define TILEFOLD_MAX_RANK 3

/* Channels of a group that a sum runs over before it comes back to the first tap. */
#define TILEFOLD_CHANNEL_BLOCK 32

/* Bytes. Scratch and packed weights begin at a multiple of this, and no allocator is asked for more. */
#define TILEFOLD_ALIGNMENT 64

typedef enum tilefold_status {
    TILEFOLD_OK = 0,
    TILEFOLD_INVALID_ARGUMENT, /* a size, option or pointer is out of its range */
    TILEFOLD_OVERFLOW,         /* a size or an offset does not fit 64 bits */
    TILEFOLD_UNSUPPORTED,      /* this device, build or algorithm does not do that */
    TILEFOLD_LIMIT_TOO_SMALL,  /* the scratch limit is below the least; the message names the bytes needed */
    TILEFOLD_OUT_OF_MEMORY,    /* an allocation failed */
    TILEFOLD_CANCELLED,        /* the progress callback asked to stop */
    TILEFOLD_NO_DEVICE,        /* no such device here */
    TILEFOLD_DEVICE_LOST,      /* the device failed while computing */
    TILEFOLD_DISAGREEMENT,     /* the self-test got other bits than it must */
} tilefold_status;

typedef struct tilefold_message {
    char text[384];
} tilefold_message;

/* A short English name of the status, for example "limit too small". Never NULL; static storage. */
TILEFOLD_API const char *tilefold_status_name(tilefold_status status);

/* "0.2.0"; static storage. */
TILEFOLD_API const char *tilefold_version(void);

/* ---------------------------------------------------------------------------------------------------- problem ---- */

typedef enum tilefold_op { TILEFOLD_CONV = 0, TILEFOLD_CONV_TRANSPOSE = 1 } tilefold_op;

/* Element types. Input, weight and output have one type; a bias has that type or F32. Sums are always fp32. */
typedef enum tilefold_type {
    TILEFOLD_NONE = 0, /* only as a bias_type: there is no bias */
    TILEFOLD_F32 = 1,
    TILEFOLD_F16 = 2,  /* IEEE 754 binary16 */
    TILEFOLD_BF16 = 3, /* the upper half of an fp32 */
} tilefold_type;

/* Bytes of one element: 4, 2, 2; 0 for TILEFOLD_NONE. */
TILEFOLD_API size_t tilefold_type_bytes(tilefold_type type);

typedef enum tilefold_layout {
    /* (N, C, spatial...); conv weight (O, C/G, k...), transposed weight (C, O/G, k...). As PyTorch and ONNX. */
    TILEFOLD_CHANNELS_FIRST = 0,
    /* (N, spatial..., C); conv and transposed weight (O, k..., C/G). As MLX. */
    TILEFOLD_CHANNELS_LAST = 1,
} tilefold_layout;

/* Where an element of the input or the output lies, in elements from the tensor's pointer, with c in [0, C/G) counted within
 * group g (of an output: o in [0, O/G)):
 *     n*batch + g*group + c*channel + x[0]*spatial[0] + ... + x[rank-1]*spatial[rank-1]
 * Channel number i of the whole tensor is channel i % (C/G) of group i / (C/G); where all channels are evenly spaced, group is
 * C/G * channel. Of one group, its stride is never taken, and of channels that are groups (depthwise), that of the channel;
 * nor is any other whose extent is 1. Strides may be negative or, of an input, zero, so a crop, a slice or a transposed array
 * needs no copy. Elements of an output must not overlap: two that lie in one place are INVALID_ARGUMENT, whatever the strides
 * (one that is 0 or was never set among them). That an output does not overlap the input is the caller's part. */
typedef struct tilefold_tensor_strides {
    int64_t batch, group, channel, spatial[TILEFOLD_MAX_RANK];
} tilefold_tensor_strides;

/* Where w(g, o, c, k) lies, with o in [0, O/G) and c in [0, C/G) counted within group g:
 *     g*group + o*out_channel + c*in_channel + k[0]*spatial[0] + ... */
typedef struct tilefold_weight_strides {
    int64_t group, out_channel, in_channel, spatial[TILEFOLD_MAX_RANK];
} tilefold_weight_strides;

/* One convolution. Axis 0 is the outermost spatial axis; entries at or past the rank are ignored. */
typedef struct tilefold_problem {
    size_t struct_size;
    tilefold_op op;
    tilefold_type type;
    tilefold_type bias_type;                             /* TILEFOLD_NONE, TILEFOLD_F32 or type */
    int32_t rank;                                        /* 1, 2 or 3 */
    int64_t batch, in_channels, out_channels;            /* batch >= 0, channels >= 1 and divisible by groups */
    int64_t groups;                                      /* >= 1 */
    int64_t input_size[TILEFOLD_MAX_RANK];               /* >= 1 */
    int64_t kernel[TILEFOLD_MAX_RANK];                   /* >= 1 */
    int64_t stride[TILEFOLD_MAX_RANK];                   /* >= 1 */
    int64_t dilation[TILEFOLD_MAX_RANK];                 /* >= 1 */
    int64_t input_dilation[TILEFOLD_MAX_RANK];           /* >= 1; conv only, 1 for transposed (whose stride it is) */
    int64_t padding_begin[TILEFOLD_MAX_RANK];            /* any sign; negative crops */
    int64_t padding_end[TILEFOLD_MAX_RANK];              /* any sign; negative crops */
    int64_t output_padding[TILEFOLD_MAX_RANK];           /* >= 0; transposed only, 0 for conv */
    tilefold_tensor_strides input_stride, output_stride; /* elements */
    tilefold_weight_strides weight_stride;               /* elements; a declaration goes at least so far */
    bool flip;                                           /* use w[..][K-1-k] in place of w[..][k] on every axis */
    uint8_t reserved[7];
    float clamp_low, clamp_high; /* activation: out = min(max(out, low), high); a NaN stays a NaN */
} tilefold_problem;

/* Sets every field to its default: batch, groups, channels, sizes, kernels, strides and dilations 1, no padding, no bias,
 * no activation. Strides are left zero: call tilefold_problem_set_layout() once the sizes are set, or fill them in. */
TILEFOLD_API void tilefold_problem_init_sized(tilefold_problem *problem, size_t struct_size, tilefold_op op,
                                              tilefold_type type, int32_t rank);
static inline void tilefold_problem_init(tilefold_problem *problem, tilefold_op op, tilefold_type type, int32_t rank) {
    tilefold_problem_init_sized(problem, sizeof *problem, op, type, rank);
}

/* output_size[0..rank) = X of the formulas above. INVALID_ARGUMENT where a field is out of range or an X is below 1,
 * OVERFLOW where a size does not fit. Looks at no strides. */
TILEFOLD_API tilefold_status tilefold_output_size(const tilefold_problem *problem,
                                                  int64_t output_size[TILEFOLD_MAX_RANK], tilefold_message *message);

/* Fills in the strides of dense input, weight and output tensors of the given layout, those of groups included. Errors as
 * tilefold_output_size(). */
TILEFOLD_API tilefold_status tilefold_problem_set_layout(tilefold_problem *problem, tilefold_layout layout,
                                                         tilefold_message *message);

/* ---------------------------------------------------------------------------------------------------- windows ---- */

/* A box of an input or an output: images, channels of the whole tensor, and positions of each spatial axis, from `begin` on so
 * many. Entries at or past the rank are not read, and written 0. */
typedef struct tilefold_window {
    int64_t batch_begin, batch_size;
    int64_t channel_begin, channel_size;
    int64_t begin[TILEFOLD_MAX_RANK], size[TILEFOLD_MAX_RANK];
} tilefold_window;

/* A slice of a weight: so many groups, of each so many output channels, with all of their input channels and taps. */
typedef struct tilefold_weight_window {
    int64_t group_begin, group_size;
    int64_t out_channel_begin, out_channel_size; /* counted within a group */
} tilefold_weight_window;

/* All of the output. INVALID_ARGUMENT and OVERFLOW as tilefold_output_size(). Looks at no strides. */
TILEFOLD_API tilefold_status tilefold_output_window(const tilefold_problem *problem, tilefold_window *window,
                                                    tilefold_message *message);

/* What a window of the outputs is made of: the smallest boxes of the input and of the weight that hold what the formulas at the
 * top of this header read for it, taps that fall outside the input left out. Per axis
 *
 *     first = I, last = -1
 *     for x in [output->begin, output->begin + output->size), for k in [0, K), where i = position of (x, k) is whole:
 *         if 0 <= i < I: first = min(first, i), last = max(last, i)
 *     input->begin = first, input->size = last - first + 1
 *
 * without that loop: in fewer than min(output->size, K) steps. Where it reads nothing (all padding, or between the elements of
 * a dilated input), the size is 0 and begin that of some element of the input. Images are those of the output; channels of the
 * input, those of the groups that the output channels are in; of a group, the output channels that are wanted, all of them where
 * more than one group takes part. Looks at no strides. INVALID_ARGUMENT where a field is out of range, or the window not within the output or empty
 * (batch_size may be 0); OVERFLOW. */
TILEFOLD_API tilefold_status tilefold_input_window(const tilefold_problem *problem, const tilefold_window *output,
                                                   tilefold_window *input, tilefold_weight_window *weight,
                                                   tilefold_message *message);

/* Where the first elements of windows lie, in elements from element (0, ..., 0) of the whole tensors. */
typedef struct tilefold_window_offsets {
    int64_t input, weight, bias, output;
} tilefold_window_offsets;

/* Makes a window of the outputs a problem of its own, *part, which was set up by its _init: its input is the input window (one
 * element, which no tap meets, where that is empty), its padding what makes the same taps meet the same elements, so that each
 * of its outputs is the whole problem's, with the same bits. Strides are the whole's: it computes in the whole's arrays, from
 * *offsets on (which may be NULL), or, once the strides are set anew, in arrays of its own. For a plan that is to be made
 * for one window; for many windows under one plan there is tilefold_execute_window(). The output channels must be within one
 * group or be whole groups. Errors as tilefold_input_window(), OVERFLOW also where an offset does not fit. */
TILEFOLD_API tilefold_status tilefold_window_problem(const tilefold_problem *problem, const tilefold_window *output,
                                                     tilefold_problem *part, tilefold_window_offsets *offsets,
                                                     tilefold_message *message);

/* ---------------------------------------------------------------------------------------------------- context ---- */

typedef enum tilefold_device_kind { TILEFOLD_CPU = 0, TILEFOLD_VULKAN = 1 } tilefold_device_kind;

/* CPU instruction sets. A value above what the machine has is UNSUPPORTED. All give the same bits. */
typedef enum tilefold_isa {
    TILEFOLD_ISA_BEST = 0,
    TILEFOLD_ISA_PORTABLE, /* plain C */
    TILEFOLD_ISA_AVX2,     /* with FMA and F16C */
    TILEFOLD_ISA_AVX512,   /* F, BW, DQ, VL */
    TILEFOLD_ISA_NEON,     /* AArch64 */
} tilefold_isa;

/* "best", "portable", "avx2", "avx512", "neon"; NULL for a value outside the enumeration. */
TILEFOLD_API const char *tilefold_isa_name(tilefold_isa isa);

/* Memory for the context, plans and tilefold_convolve(). allocate returns bytes aligned to alignment (a power of two of
 * at most TILEFOLD_ALIGNMENT), or NULL; release gets the same bytes back. Both may be called from several threads at once. */
typedef struct tilefold_allocator {
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *memory, size_t bytes);
    void *user;
} tilefold_allocator;

/* A caller's thread pool. run must do the equal of
 *     for (size_t i = 0; i < count; i++) task(argument, i);
 * in any order, on any threads, and return when all are done. count is at most threads. */
typedef struct tilefold_parallel_for {
    void (*run)(void *user, void (*task)(void *argument, size_t index), void *argument, size_t count);
    void *user;
    int64_t threads; /* 1 to TILEFOLD_MAX_THREADS */
} tilefold_parallel_for;

#define TILEFOLD_MAX_THREADS 1024

typedef struct tilefold_context tilefold_context;

typedef struct tilefold_context_options {
    size_t struct_size;
    tilefold_device_kind device;
    int32_t device_index;               /* which of several devices of a kind; 0 for the CPU */
    int32_t threads;                    /* CPU: how many, at most TILEFOLD_MAX_THREADS; 0 for one per core. Ignored with
                                           parallel_for.run */
    tilefold_isa isa;                   /* CPU */
    tilefold_allocator allocator;       /* allocate == NULL: the C library's */
    tilefold_parallel_for parallel_for; /* run == NULL: the library's own threads */
} tilefold_context_options;

/* The CPU, all cores, best instruction set, the C library's memory. */
TILEFOLD_API void tilefold_context_options_init_sized(tilefold_context_options *options, size_t struct_size);
static inline void tilefold_context_options_init(tilefold_context_options *options) {
    tilefold_context_options_init_sized(options, sizeof *options);
}

/* Opens a device. The caller owns *context. INVALID_ARGUMENT, UNSUPPORTED (the isa), NO_DEVICE, OUT_OF_MEMORY. */
TILEFOLD_API tilefold_status tilefold_context_create(const tilefold_context_options *options,
                                                     tilefold_context **context, tilefold_message *message);
/* Gives up the caller's hold of the context: it closes now, or with the last of its plans. NULL is nothing to destroy. */
TILEFOLD_API void tilefold_context_destroy(tilefold_context *context);

/* What a device is. Figures that do not apply or are not known are 0. */
typedef struct tilefold_device_info {
    size_t struct_size;
    tilefold_device_kind kind; /* a declaration goes at least as far as index */
    int32_t index;
    char name[256];
    int32_t threads;                      /* CPU: how many tilefold would use */
    tilefold_isa isa;                     /* CPU: the best */
    uint32_t isa_mask;                    /* CPU: bit (1 << isa) for each that runs here */
    int32_t subgroup_size;                /* Vulkan: invocations that run in step */
    int64_t l1_bytes, l2_bytes, l3_bytes; /* CPU: per core, per core, shared */
    int64_t max_buffer_bytes;             /* the largest binding */
    int64_t memory_bytes;                 /* the device's own memory */
    int64_t shared_memory_bytes;          /* Vulkan: of one workgroup */
    int64_t max_workgroups;               /* Vulkan: of one dispatch, along the axis that takes fewest */
    int32_t max_workgroup_size;           /* Vulkan: invocations of one workgroup */
    bool storage16;                       /* Vulkan: 2-byte elements are read and written by themselves, not by words */
    uint8_t reserved[3];
    bool same_bits_as_cpu; /* THE SAME BITS above hold on it, fused and with subnormal numbers */
    char other_bits[127];  /* why they do not, in a line; "" where they do */
} tilefold_device_info;

/* All zero but the size. */
TILEFOLD_API void tilefold_device_info_init_sized(tilefold_device_info *info, size_t struct_size);
static inline void tilefold_device_info_init(tilefold_device_info *info) {
    tilefold_device_info_init_sized(info, sizeof *info);
}

/* How many devices there are: the CPU, which is device 0 and always there, and the Vulkan devices. */
TILEFOLD_API size_t tilefold_device_count(void);

/* Fills in *info, which was set up by its _init, for device number 0 <= number < tilefold_device_count(). A Vulkan device is opened
 * for that, once in a process. INVALID_ARGUMENT for its struct_size, NO_DEVICE for the number. */
TILEFOLD_API tilefold_status tilefold_get_device_info(size_t number, tilefold_device_info *info,
                                                      tilefold_message *message);

/* Measures the device's fused-multiply-add peak in FLOP/s (a multiply-add counts as two): registers only, every thread of
 * the context (Vulkan: more workgroups than a device runs at once), the best of several short runs (about 0.1 s in all).
 * UNSUPPORTED where a device has no such measurement. */
TILEFOLD_API tilefold_status tilefold_measure_peak(tilefold_context *context, double *flops_per_second,
                                                   tilefold_message *message);

/* ------------------------------------------------------------------------------------------------------- plan ---- */

typedef enum tilefold_algorithm {
    TILEFOLD_ALGORITHM_AUTO = 0,
    TILEFOLD_ALGORITHM_UNFOLD,   /* unfold a tile into panels, multiply it by packed weights */
    TILEFOLD_ALGORITHM_IMPLICIT, /* the same product, reading the input where it lies, or rows of it copied once */
    TILEFOLD_ALGORITHM_DIRECT,   /* no product: depthwise, and few output channels per group */
} tilefold_algorithm;

/* "auto", "unfold", "implicit", "direct"; NULL for a value outside the enumeration. */
TILEFOLD_API const char *tilefold_algorithm_name(tilefold_algorithm algorithm);

/* Vulkan: how the unfolded tile is held. A texel of a texture is four consecutive links of the chain (THE SAME BITS) of one
 * position of the tile. To ask for a texture is to ask for the unfold; with another algorithm it is UNSUPPORTED. */
typedef enum tilefold_storage {
    TILEFOLD_STORAGE_BUFFER = 0,
    TILEFOLD_STORAGE_TEXTURE2D, /* K/4 x positions of the tile */
    TILEFOLD_STORAGE_TEXTURE3D, /* output width x rows of the tile x K/4 */
} tilefold_storage;

/* Which arithmetic. EXACT is what THE SAME BITS above describes. FAST may compute with fewer multiplications (Winograd, for
 * 3-tap axes of stride 1 on the CPU) and so give other bits. Whether it does, and how, depends on the problem alone, so these bits
 * depend on neither limit, threads, instruction set, layout nor prepacking either; where it would gain nothing (few channels, few
 * outputs, other kernels) or the algorithm asked for is another, the plan is EXACT, and says so. Two things are different with it:
 * an infinite or NaN element of the input spoils all outputs of the blocks that read it, of 4 along each of those axes and counted
 * from output 0, and elements beyond a hundredth of the largest number may overflow. */
typedef enum tilefold_math { TILEFOLD_MATH_EXACT = 0, TILEFOLD_MATH_FAST } tilefold_math;

/* "exact", "fast"; NULL for a value outside the enumeration. */
TILEFOLD_API const char *tilefold_math_name(tilefold_math math);

#define TILEFOLD_DEFAULT_SCRATCH_LIMIT_BYTES (16 * INT64_C(1048576))

typedef struct tilefold_plan_options {
    size_t struct_size;
    int64_t scratch_limit_bytes;  /* a hard ceiling, not a target */
    int64_t max_buffer_bytes;     /* no buffer larger than this; 0 for the device's own limit */
    tilefold_algorithm algorithm; /* a choice that the problem does not allow is UNSUPPORTED */
    tilefold_storage storage;     /* Vulkan only */
    bool prepack_weights;         /* hold a packed copy of the weights outside the limit */
    bool bind_buffers;            /* Vulkan only: the plan is for tensors in buffers, see tilefold_vulkan.h; it is bound
                                     and recorded, tilefold_execute() refuses it. UNSUPPORTED where what one output of
                                     16 bits reads is more than a buffer: its sum could wait nowhere */
    uint8_t reserved[2];
    tilefold_math math; /* FAST allows it, where it gains */
} tilefold_plan_options;

/* 16 MiB, the device's buffer limit, auto, buffer, prepacked, exact. */
TILEFOLD_API void tilefold_plan_options_init_sized(tilefold_plan_options *options, size_t struct_size);
static inline void tilefold_plan_options_init(tilefold_plan_options *options) {
    tilefold_plan_options_init_sized(options, sizeof *options);
}

typedef struct tilefold_plan tilefold_plan;

/* Decides how to compute the problem. The caller owns *plan. The problem is copied. The plan's memory is from the context's
 * allocator, and the context lives as long as the plan. INVALID_ARGUMENT, OVERFLOW, UNSUPPORTED, LIMIT_TOO_SMALL, OUT_OF_MEMORY. */
TILEFOLD_API tilefold_status tilefold_plan_create(tilefold_context *context, const tilefold_problem *problem,
                                                  const tilefold_plan_options *options, tilefold_plan **plan,
                                                  tilefold_message *message);
/* No execution of it may be running. NULL is nothing to destroy. */
TILEFOLD_API void tilefold_plan_destroy(tilefold_plan *plan);

/* What a plan is going to do; all known before anything runs. Byte counts are exact. */
typedef struct tilefold_plan_info {
    size_t struct_size;
    tilefold_device_kind device;
    tilefold_algorithm algorithm; /* never AUTO; a declaration goes at least so far */
    tilefold_isa isa;             /* CPU; never BEST */
    int32_t threads;              /* that the plan will use: fewer than the context's where scratch is short */
    int64_t output_size[TILEFOLD_MAX_RANK];
    int64_t scratch_limit_bytes; /* as asked for */
    int64_t scratch_bytes;       /* what tilefold_execute() must be handed */
    int64_t plan_bytes;          /* of the plan object; scratch_bytes + plan_bytes <= scratch_limit_bytes */
    int64_t min_scratch_bytes;   /* the least scratch_limit_bytes with which this problem can be planned */
    int64_t ideal_scratch_bytes; /* from this scratch_limit_bytes on, the plan is the one that no limit would give */
    int64_t packed_weight_bytes; /* 0 without prepacking */
    int64_t full_unfold_bytes;   /* batch * outputs * taps * C * element: what im2col of it all would take.
                                            INT64_MAX where that does not fit */
    int64_t tiles;               /* units of work, each a window of output positions of one phase; on Vulkan, where
                                            tensors are brought to the device in thousands of pieces, at most so many */
    int64_t phases;              /* residue classes of output positions, empty ones included */
    int64_t macs;       /* multiply-adds by elements of the input that the sums consist of, also where math is FAST
                                            and does fewer. Padding is counted only along an axis that has both a stride
                                            and an input dilation; where weights are finite it is left out but for what
                                            shares a kernel call with other outputs. INT64_MAX where that does not fit */
    tilefold_math math; /* that runs */
    uint8_t reserved[4];
    /* How far from the real sum an output can be at worst, before its last rounding to the tensor's type:
     * error_bound * (|bias| + the largest |input| that it may read * the sum of its |weights|). Typical errors are far smaller. */
    double error_bound;
} tilefold_plan_info;

/* All zero but the size. */
TILEFOLD_API void tilefold_plan_info_init_sized(tilefold_plan_info *info, size_t struct_size);
static inline void tilefold_plan_info_init(tilefold_plan_info *info) {
    tilefold_plan_info_init_sized(info, sizeof *info);
}

/* Fills in *info, which was set up by its _init. INVALID_ARGUMENT for its struct_size; then nothing is written. */
TILEFOLD_API tilefold_status tilefold_plan_get_info(const tilefold_plan *plan, tilefold_plan_info *info,
                                                    tilefold_message *message);

/* Writes a description of a few lines into text, as snprintf does: at most bytes - 1 characters and a NUL. Returns the
 * length of the whole description. */
TILEFOLD_API size_t tilefold_plan_print(const tilefold_plan *plan, char *text, size_t bytes);

/* ---------------------------------------------------------------------------------------------------- execute ---- */

/* Rearranges a weight for the plan. weight points at its element (0, ..., 0), aligned to its type, and weight_bytes is how much
 * memory there is from there on, or 0 where that is not known. packed is the caller's, info.packed_weight_bytes long,
 * TILEFOLD_ALIGNMENT-aligned, and good for every execution of every plan made from the same context, problem and options.
 * INVALID_ARGUMENT where the plan does not prepack, a pointer is missing or misaligned, packed_bytes are too few, or the problem's
 * strides lead past weight_bytes. */
TILEFOLD_API tilefold_status tilefold_pack_weight(const tilefold_plan *plan, const void *weight, size_t weight_bytes,
                                                  void *packed, size_t packed_bytes, tilefold_message *message);

/* Called as tiles are done, on a GPU after each submission of some, from any thread but never two at once: done tiles of total.
 * done ascends, and is total in the last call unless cancelled. On the CPU no thread waits for a callback: tiles that are done
 * while one runs are counted by the next. Returning false cancels: no further tile is begun. A callback may plan and execute on
 * the same context; on a GPU the plan that it is told of is not one of those, which is an INVALID_ARGUMENT. */
typedef bool (*tilefold_progress)(void *user, int64_t done, int64_t total);

/* Pointers point at element (0, 0, ..., 0) of their tensor and are aligned to its type. The _bytes of a tensor say how much
 * memory there is from its pointer on, so that a wrong array is an error: the highest element that the problem's strides lead to
 * must end within them. 0: not known, not checked. What negative strides reach before the pointer they do not speak of. */
typedef struct tilefold_execution {
    size_t struct_size;
    const void *input;
    const void *weight;        /* the weight itself; read only by a plan without prepacking */
    const void *packed_weight; /* read only by a plan with prepacking */
    const void *bias;          /* out_channels dense elements; NULL where the problem has no bias */
    void *output;
    void *scratch; /* TILEFOLD_ALIGNMENT-aligned. Vulkan: NULL, the plan holds its scratch in the device's memory */
    size_t scratch_bytes;       /* at least info.scratch_bytes; not read on Vulkan */
    tilefold_progress progress; /* NULL: none */
    void *progress_user;
    /* GPU: unless NULL, becomes the time that the device was busy, by its own timestamps; 0 where it has none. Not written
     * on the CPU. */
    double *device_seconds;
    size_t input_bytes, weight_bytes, packed_weight_bytes, bias_bytes, output_bytes; /* 0: not known */
} tilefold_execution;

/* All zero but the size. */
TILEFOLD_API void tilefold_execution_init_sized(tilefold_execution *execution, size_t struct_size);
static inline void tilefold_execution_init(tilefold_execution *execution) {
    tilefold_execution_init_sized(execution, sizeof *execution);
}

/* Computes the naive loop of the formulas at the top of this header, over n, o and x. Allocates nothing.
 * INVALID_ARGUMENT for a pointer that is missing or misaligned, a bias that the problem does not have, too little scratch, or
 * strides that lead past a tensor's bytes; CANCELLED leaves the output half written. */
TILEFOLD_API tilefold_status tilefold_execute(const tilefold_plan *plan, const tilefold_execution *execution,
                                              tilefold_message *message);

/* The same for a problem that differs from the plan's only by a smaller batch, smaller spatial input sizes and its tensor
 * strides: one plan made for an upper bound serves every size below it. Where the plan's input has its channels or groups side
 * by side (a stride of 1), so must this one. Anything larger or otherwise different is INVALID_ARGUMENT. */
TILEFOLD_API tilefold_status tilefold_execute_resized(const tilefold_plan *plan, const tilefold_problem *problem,
                                                      const tilefold_execution *execution, tilefold_message *message);

/* Computes one window of the outputs: those and no others are written, with the bits that they have in the whole, and nothing
 * is read but the input window of tilefold_input_window(). problem is the whole: the plan's, or one that
 * tilefold_execute_resized() would take, its tensor strides those of the arrays that hold the windows. execution->input and
 * ->output point at the first elements of the two windows (the former is needed, but not read, where the input window is empty),
 * their _bytes count from there. The weights, packed or not, the bias and the scratch are the plan's: one plan and one set of
 * packed weights serve all windows, of any place and size, also from several threads at once. Windows may overlap. So a signal
 * that is longer than memory can be computed in pieces, with a plan for the whole of it.
 *
 *     for n in output->batch, for o in [0, O), for x in the output's window:
 *         out[n - batch_begin][o][x - begin] = the formula, with in[n][c][i] = input[n - batch_begin][c][i - input window's begin]
 *
 * INVALID_ARGUMENT as tilefold_execute_resized() and tilefold_input_window(); UNSUPPORTED where the window has not all output
 * channels. Under a plan whose math is FAST outputs are computed by blocks of 4, which a window must not cut: along 3-tap axes of
 * stride 1 it begins at a multiple of 4, and ends at one or where output and input end; else it is UNSUPPORTED. Plans for
 * buffers (Vulkan) are bound as a whole: INVALID_ARGUMENT, as tilefold_execute(). */
TILEFOLD_API tilefold_status tilefold_execute_window(const tilefold_plan *plan, const tilefold_problem *problem,
                                                     const tilefold_window *output, const tilefold_execution *execution,
                                                     tilefold_message *message);

/* The output of a problem in bands, windows that hold every output once, for arrays that are larger than memory: mapped files whose
 * pages are read ahead of a band and dropped behind it, or pieces that are read and written by themselves. Band number `index` of
 * *bands, of which there is at least one, becomes *band. problem is the plan's, or one that tilefold_execute_resized() would take.
 *
 *     for (int64_t i = 0, bands = 1; i < bands; i++) {
 *         tilefold_band(plan, problem, 64 << 20, i, &band, &bands, &message);
 *         tilefold_input_window(problem, &band, &input, &weight, &message);
 *         ... make sure of the input window, and perhaps begin to read that of the next band
 *         tilefold_execute_window(plan, problem, &band, &execution, &message);
 *         ... write the band, forget the inputs before the next one's
 *     }
 *
 * A band has all channels, and takes at most most_bytes, its outputs and its input window counted: several images, or of one image
 * a stretch along the first spatial axis; where one output along that axis is too much already, one along it and a stretch of
 * the next. Where a single output of all channels takes more than most_bytes, a band is one (of axes along which math = FAST computes
 * blocks of 4, one block; all of the output, for tilefold_execute(), where no window has its last blocks whole). Bands follow one
 * another along the first axis, then along the others, then come the next images: so along the first axis each input is in the
 * windows of neighbouring bands only, and those of images and of stretches of the first axis are each read once but for the halo.
 * Allocates nothing. INVALID_ARGUMENT for most_bytes below 1, an index that no band has, and as tilefold_execute_resized(). */
TILEFOLD_API tilefold_status tilefold_band(const tilefold_plan *plan, const tilefold_problem *problem,
                                           int64_t most_bytes, int64_t index, tilefold_window *band, int64_t *bands,
                                           tilefold_message *message);

/* Plans, packs, executes and releases, with memory from the context's allocator. bias is NULL where bias_type is NONE, and only
 * there. Errors are those of the functions it calls. */
TILEFOLD_API tilefold_status tilefold_convolve(tilefold_context *context, const tilefold_problem *problem,
                                               const tilefold_plan_options *options, const void *input,
                                               const void *weight, const void *bias, void *output,
                                               tilefold_message *message);

/* --------------------------------------------------------------------------------------------------- self-test ---- */

/* Called for each output that the self-test has compared: the problem and the way it was computed in, each in words that live
 * until the callback returns, and whether the output has the bits it must have. Returning false cancels. */
typedef bool (*tilefold_selftest_report)(void *user, const char *problem, const char *way, bool agrees);

/* Whether this build, on this machine, gives the bits that this version of tilefold promises. The library carries a table of a
 * few hundred small problems of every kind with the SHA-256 of each output, computed once from the formulas above without the
 * library; this computes them all, each by several algorithms, layouts and limits, with the context's instruction set,
 * threads and allocator, and compares. It takes about a second, and at most 8 MiB at a time from the allocator. report may be NULL.
 * OK where all agree; DISAGREEMENT where one does not; UNSUPPORTED, with the reason, on a device that does not promise the bits of
 * the CPU (device_info.same_bits_as_cpu); CANCELLED; the errors of tilefold_convolve(). */
TILEFOLD_API tilefold_status tilefold_selftest(tilefold_context *context, tilefold_selftest_report report, void *user,
                                               tilefold_message *message);

#ifdef __cplusplus
}
#endif
#endif /* TILEFOLD_H */
