/* Cutting a problem into chunks whose tensors fit bindings.
 *
 * SPDX-License-Identifier: MIT
 *
 * A chunk is a window of the problem (window.h), and so in the same normal form: it needs no rules of its own. Where it has but a
 * stretch of its sums, it is a window of a problem with fewer channels, or of one channel block's whose kernel is a box of the kernel.
 */
#include "../chain.h"
#include "../checked.h"
#include "../message.h"
#include "../window.h"
#include "vulkan.h"

/* Input positions that a chunk of an axis reaches at most; sums of a few of them fit 32 bits. */
#define MAX_REACH (INT64_C(1) << 28)

/* Positions, of the dilated input, that `count` outputs read at so many taps. The products were checked with the problem. */
static int64_t axis_reach(const tilefold_axis *axis, int64_t count, int64_t taps) {
    int64_t step = axis->tap_step < 0 ? -axis->tap_step : axis->tap_step;
    return (count - 1) * axis->stride + (taps - 1) * step + 1;
}

static int64_t most_window(const tilefold_geometry *g, const tilefold_vulkan_chunking *c, int at) {
    int64_t reach = axis_reach(&g->axis[at], c->axis[at], c->taps[at]);
    return tilefold_min(g->axis[at].input, tilefold_ceil_div(reach, g->axis[at].input_dilation));
}

/* A tensor of so many elements along each stride: those between its first and its last, or those it has. */
static int64_t tensor_elements(bool in_place, int dimensions, const int64_t *size, const int64_t *stride) {
    int64_t elements = 1;
    for (int i = 0; i < dimensions; i++) {
        int64_t step = stride[i] < 0 ? -stride[i] : stride[i];
        elements = in_place ? tilefold_saturating_add(elements, tilefold_saturating_multiply(size[i] - 1, step))
                            : tilefold_saturating_multiply(elements, size[i]);
    }
    return elements;
}

tilefold_vulkan_sizes tilefold_vulkan_chunk_sizes(const tilefold_geometry *g, const tilefold_vulkan_chunking *c) {
    int64_t bytes = (int64_t)tilefold_type_bytes(c->widened ? TILEFOLD_F32 : g->type);
    int64_t elements[TILEFOLD_TENSORS] = {
        [TILEFOLD_INPUT] = tensor_elements(c->in_place, 6,
                                           (int64_t[]){c->images, c->groups, c->channels, most_window(g, c, 0),
                                                       most_window(g, c, 1), most_window(g, c, 2)},
                                           (int64_t[]){g->in_batch, g->in_group, g->in_channel, g->in_axis[0],
                                                       g->in_axis[1], g->in_axis[2]}),
        [TILEFOLD_WEIGHT] = tensor_elements(c->in_place, 6,
                                            (int64_t[]){c->groups, c->channels, c->outputs, c->taps[0], c->taps[1],
                                                        c->taps[2]},
                                            (int64_t[]){g->weight_group, g->weight_in, g->weight_out, g->weight_axis[0],
                                                        g->weight_axis[1], g->weight_axis[2]}),
        [TILEFOLD_BIAS] = tensor_elements(c->in_place, 2, (int64_t[]){c->groups, c->outputs},
                                          (int64_t[]){g->out_channels, 1}),
        [TILEFOLD_OUTPUT] = tensor_elements(
            c->in_place, 6, (int64_t[]){c->images, c->groups, c->outputs, c->axis[0], c->axis[1], c->axis[2]},
            (int64_t[]){g->out_batch, g->out_group, g->out_channel, g->out_axis[0], g->out_axis[1], g->out_axis[2]})};
    if (g->bias_type == TILEFOLD_NONE) elements[TILEFOLD_BIAS] = 0;
    tilefold_vulkan_sizes sizes;
    for (int i = 0; i < TILEFOLD_TENSORS; i++)
        sizes.bytes[i] = tilefold_saturating_multiply(elements[i], i == TILEFOLD_BIAS ? 4 : bytes);
    return sizes;
}

static int64_t halve(int64_t *size) { return *size = tilefold_ceil_div(*size, 2); }

/* Makes the weights smaller: fewer groups, then fewer output channels. */
static bool cut_weights(tilefold_vulkan_chunking *c) {
    int64_t *sizes[] = {&c->groups, &c->outputs};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (*sizes[i] > 1) return halve(sizes[i]);
    return false;
}

enum { TENSOR_CUTS = 6 };

static int64_t *tensor_cut(tilefold_vulkan_chunking *c, int cut) {
    int64_t *const sizes[TENSOR_CUTS] = {&c->images, &c->axis[0], &c->axis[1], &c->groups, &c->axis[2], &c->outputs};
    return sizes[cut];
}

/* What is left to bind of input and output after a cut. Copies shrink by any; of tensors in place, which are bound from their
 * first element to their last, by some cuts much and by others hardly. */
static int64_t bytes_after(const tilefold_geometry *g, tilefold_vulkan_chunking c, int cut) {
    halve(tensor_cut(&c, cut));
    tilefold_vulkan_sizes sizes = tilefold_vulkan_chunk_sizes(g, &c);
    return tilefold_saturating_add(sizes.bytes[TILEFOLD_INPUT], sizes.bytes[TILEFOLD_OUTPUT]);
}

/* Makes the input, or with it the output, smaller. Copied: images, rows, then groups, which read separate channels. */
static bool cut_tensors(const tilefold_geometry *g, tilefold_vulkan_chunking *c, bool output_alone) {
    int best = -1;
    int64_t least = INT64_MAX;
    for (int cut = 0; cut < TENSOR_CUTS - !output_alone; cut++) {
        if (*tensor_cut(c, cut) == 1 || (best >= 0 && !c->in_place)) continue;
        int64_t bytes = bytes_after(g, *c, cut);
        if (best < 0 || bytes < least) best = cut, least = bytes;
    }
    if (best >= 0) halve(tensor_cut(c, best));
    return best >= 0;
}

static int far_axis(const tilefold_geometry *g, const tilefold_vulkan_chunking *c) {
    for (int at = 0; at < TILEFOLD_AXES; at++)
        if (axis_reach(&g->axis[at], c->axis[at], c->taps[at]) > MAX_REACH) return at;
    return -1;
}

static bool within(const tilefold_vulkan_sizes *sizes, const tilefold_vulkan_sizes *most, int tensor) {
    return sizes->bytes[tensor] <= most->bytes[tensor];
}

static bool fits(const tilefold_geometry *g, const tilefold_vulkan_chunking *c, const tilefold_vulkan_sizes *most) {
    tilefold_vulkan_sizes sizes = tilefold_vulkan_chunk_sizes(g, c);
    bool all = far_axis(g, c) < 0;
    for (int tensor = 0; tensor < TILEFOLD_TENSORS; tensor++) all = all && within(&sizes, most, tensor);
    return all;
}

/* All outputs, with such stretches of their sums. */
static tilefold_vulkan_chunking all_outputs(const tilefold_geometry *g, const tilefold_vulkan_chunking *stretch) {
    tilefold_vulkan_chunking c = *stretch;
    c.images = tilefold_max(g->batch, 1);
    c.groups = g->groups;
    c.outputs = g->out_channels;
    for (int at = 0; at < TILEFOLD_AXES; at++) c.axis[at] = g->axis[at].output;
    return c;
}

static tilefold_vulkan_chunking whole_of(const tilefold_geometry *g, bool in_place) {
    return all_outputs(g, &(tilefold_vulkan_chunking){.channels = g->in_channels,
                                                      .taps = {g->axis[0].kernel, g->axis[1].kernel, g->axis[2].kernel},
                                                      .in_place = in_place});
}

/* Halves are coarse: each size grows as far as the chunk fits, and then its pieces are made alike. What the weights are cut by
 * comes first, then the innermost axis. */
static void grow_chunks(const tilefold_geometry *g, const tilefold_vulkan_sizes *most, tilefold_vulkan_chunking *c) {
    tilefold_vulkan_chunking whole = all_outputs(g, c);
    static const int order[TENSOR_CUTS] = {5, 3, 4, 2, 1, 0};
    for (int i = 0; i < TENSOR_CUTS; i++) {
        int64_t *size = tensor_cut(c, order[i]), all = *tensor_cut(&whole, order[i]);
        int64_t low = *size, high = all; /* the first fits */
        while (low < high) {
            *size = high - (high - low) / 2;
            if (fits(g, c, most))
                low = *size;
            else
                high = *size - 1;
        }
        *size = tilefold_ceil_div(all, tilefold_ceil_div(all, low));
    }
}

tilefold_vulkan_chunking tilefold_vulkan_fit_chunks(const tilefold_geometry *g,
                                                    const tilefold_vulkan_chunking *larger) {
    tilefold_vulkan_chunking c = all_outputs(g, larger), most = *larger;
    for (int cut = 0; cut < TENSOR_CUTS; cut++)
        *tensor_cut(&c, cut) = tilefold_min(*tensor_cut(&c, cut), *tensor_cut(&most, cut));
    return c;
}

/* Cuts outputs until what they read fits; false where that does not do. */
static bool cut_outputs(const tilefold_geometry *g, const tilefold_vulkan_sizes *most, tilefold_vulkan_chunking *c) {
    int far;
    while ((far = far_axis(g, c)) >= 0) {
        if (c->axis[far] == 1) return false;
        halve(&c->axis[far]);
    }
    for (;;) {
        tilefold_vulkan_sizes sizes = tilefold_vulkan_chunk_sizes(g, c);
        bool weight_fits = within(&sizes, most, TILEFOLD_WEIGHT) && within(&sizes, most, TILEFOLD_BIAS);
        bool input_fits = within(&sizes, most, TILEFOLD_INPUT);
        if (weight_fits && input_fits && within(&sizes, most, TILEFOLD_OUTPUT)) return true;
        if (weight_fits ? !cut_tensors(g, c, input_fits) : !cut_weights(c)) return false;
    }
}

/* Makes the stretches of a sum shorter, in the order of the chain: fewer blocks of channels, then fewer taps of one block, then fewer
 * of its channels at one tap. */
static bool cut_sums(tilefold_vulkan_chunking *c) {
    if (c->channels > TILEFOLD_CHANNEL_BLOCK) {
        c->channels = tilefold_round_up(tilefold_ceil_div(c->channels, 2), TILEFOLD_CHANNEL_BLOCK);
        return true;
    }
    for (int at = 0; at < TILEFOLD_AXES; at++)
        if (c->taps[at] > 1) return halve(&c->taps[at]);
    if (c->channels > 1) return halve(&c->channels);
    return false;
}

static int64_t links(const tilefold_vulkan_chunking *c) {
    return tilefold_saturating_multiply(tilefold_saturating_multiply(c->channels, c->taps[0]),
                                        tilefold_saturating_multiply(c->taps[1], c->taps[2]));
}

/* As long as bindings are wide then: a stretch of as many outputs as it has links shares what it reads. */
static void cut_sums_square(const tilefold_vulkan_sizes *most, tilefold_vulkan_chunking *c) {
    int64_t elements = most->bytes[TILEFOLD_WEIGHT] / 4;
    while (links(c) > elements / links(c) && cut_sums(c)) {}
}

/* The longest stretches that fit with these outputs. */
static void grow_stretches(const tilefold_geometry *g, const tilefold_vulkan_sizes *most, tilefold_vulkan_chunking *c) {
    tilefold_vulkan_chunking longer = *c, whole = whole_of(g, c->in_place);
    longer.channels = whole.channels;
    memcpy(longer.taps, whole.taps, sizeof longer.taps);
    while (!fits(g, &longer, most) && cut_sums(&longer)) {} /* comes to those of c in the end */
    *c = longer;
}

static tilefold_status refuse(const tilefold_geometry *g, const tilefold_vulkan_sizes *most, bool in_place,
                              tilefold_message *message) {
    tilefold_vulkan_sizes sizes = tilefold_vulkan_chunk_sizes(
        g, &(tilefold_vulkan_chunking){1, 1, 1, {1, 1, 1}, 1, {1, 1, 1}, in_place, false});
    return tilefold_fail(message, TILEFOLD_LIMIT_TOO_SMALL,
                         "one product needs buffers of %lld bytes of input, %lld of weights and %lld of output; the "
                         "largest buffer is %lld bytes",
                         (long long)sizes.bytes[TILEFOLD_INPUT], (long long)sizes.bytes[TILEFOLD_WEIGHT],
                         (long long)sizes.bytes[TILEFOLD_OUTPUT], (long long)most->bytes[TILEFOLD_INPUT]);
}

/* Chunks of such stretches, or of the next shorter ones that can be bound at all; false where none can. */
static bool cut_into(const tilefold_geometry *g, const tilefold_vulkan_sizes *most, tilefold_vulkan_chunking stretch,
                     tilefold_vulkan_chunking *c) {
    *c = all_outputs(g, &stretch);
    while (!cut_outputs(g, most, c)) {
        if (!cut_sums(&stretch)) return false;
        *c = all_outputs(g, &stretch);
    }
    grow_chunks(g, most, c);
    grow_stretches(g, most, c);
    return true;
}

/* What a submission costs, in bytes that might be brought to the device instead: some ten microseconds. */
#define SUBMISSION_BYTES 131072

/* Bytes that are brought to the device and back, chunk by chunk. */
static int64_t traffic(const tilefold_geometry *g, const tilefold_vulkan_chunking *c) {
    tilefold_vulkan_sizes sizes = tilefold_vulkan_chunk_sizes(g, c);
    int64_t chunks = tilefold_vulkan_chunk_count(g, c), stretches = tilefold_vulkan_stretches(g, c);
    int64_t there = tilefold_saturating_add(sizes.bytes[TILEFOLD_INPUT], sizes.bytes[TILEFOLD_WEIGHT]);
    return tilefold_saturating_add(tilefold_saturating_multiply(chunks,
                                                                tilefold_saturating_add(there, SUBMISSION_BYTES)),
                                   tilefold_saturating_multiply(chunks / stretches, sizes.bytes[TILEFOLD_OUTPUT]));
}

/* Whole sums where they can be bound: but of few outputs at a time they are worth less than stretches of many, which share what they
 * read. Tensors in place are not brought anywhere. */
tilefold_status tilefold_vulkan_choose_chunks(const tilefold_geometry *g, bool in_place,
                                              const tilefold_vulkan_sizes *most, tilefold_vulkan_chunking *chunking,
                                              tilefold_message *message) {
    tilefold_vulkan_chunking whole = whole_of(g, in_place), square = whole;
    bool fits = cut_outputs(g, most, &whole), halves = g->type != TILEFOLD_F32;
    if (fits) grow_chunks(g, most, &whole);
    *chunking = whole;
    if (fits && (in_place || tilefold_vulkan_chunk_count(g, &whole) == 1)) return TILEFOLD_OK;
    if (in_place && halves)
        return tilefold_fail(
            message, TILEFOLD_UNSUPPORTED,
            "what one output reads passes the largest buffer of %lld bytes, and sums cannot wait in an "
            "output of 16 bits that is bound in place",
            (long long)most->bytes[TILEFOLD_INPUT]);
    square.widened = halves;
    cut_sums_square(most, &square);
    bool cut = cut_into(g, most, square, &square);
    if (cut && (!fits || traffic(g, &square) < traffic(g, &whole))) *chunking = square;
    if (tilefold_vulkan_stretches(g, chunking) == 1) chunking->widened = false;
    return fits || cut ? TILEFOLD_OK : refuse(g, most, in_place, message);
}

/* --------------------------------------------------------------------------------------------------- stretches ---- */

/* The links of a stretch: channels of a group, and taps. */
typedef struct stretch {
    tilefold_range channels, taps[TILEFOLD_AXES];
} stretch;

/* Channels whose stretches follow each other tap by tap. */
static int64_t block_channels(const tilefold_vulkan_chunking *c) {
    return tilefold_max(c->channels, TILEFOLD_CHANNEL_BLOCK);
}

/* Of a block of so many channels. */
static int64_t block_stretches(const tilefold_geometry *g, const tilefold_vulkan_chunking *c, int64_t channels) {
    int64_t count = tilefold_ceil_div(channels, c->channels);
    for (int at = 0; at < TILEFOLD_AXES; at++)
        count = tilefold_saturating_multiply(count, tilefold_ceil_div(g->axis[at].kernel, c->taps[at]));
    return count;
}

int64_t tilefold_vulkan_stretches(const tilefold_geometry *g, const tilefold_vulkan_chunking *c) {
    int64_t block = block_channels(c), whole = g->in_channels / block;
    return tilefold_saturating_add(tilefold_saturating_multiply(whole, block_stretches(g, c, block)),
                                   block_stretches(g, c, g->in_channels % block));
}

static tilefold_range nth_range(int64_t size, int64_t each, int64_t number) {
    int64_t begin = number * each;
    return (tilefold_range){begin, tilefold_min(each, size - begin)};
}

/* Numbers of a mixed radix, least significant last. */
static int64_t take_digit(int64_t *number, int64_t size, int64_t each) {
    int64_t digits = tilefold_ceil_div(size, each), digit = *number % digits;
    *number /= digits;
    return digit;
}

static stretch get_stretch(const tilefold_geometry *g, const tilefold_vulkan_chunking *c, int64_t number) {
    int64_t each = block_channels(c), of_block = block_stretches(g, c, each);
    int64_t block = tilefold_min(number / of_block, g->in_channels / each), rest = number - block * of_block;
    tilefold_range channels = nth_range(g->in_channels, each, block);
    stretch s = {.channels = nth_range(channels.count, c->channels, take_digit(&rest, channels.count, c->channels))};
    s.channels.begin += channels.begin;
    for (int at = TILEFOLD_AXES - 1; at >= 0; at--) {
        int64_t kernel = g->axis[at].kernel;
        s.taps[at] = nth_range(kernel, c->taps[at], take_digit(&rest, kernel, c->taps[at]));
    }
    return s;
}

/* Leaves a geometry the links of the stretch: position (x*S + k*T + B) / L of tap k, counted from the first, begins elsewhere. Its
 * tensors' element 0 is where it was. */
static void keep_stretch(tilefold_geometry *g, const stretch *s) {
    g->in_channels = s->channels.count;
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        g->axis[at].kernel = s->taps[at].count;
        g->axis[at].origin += s->taps[at].begin * g->axis[at].tap_step;
    }
}

/* ----------------------------------------------------------------------------------------------------- chunks ---- */

int64_t tilefold_vulkan_chunk_count(const tilefold_geometry *g, const tilefold_vulkan_chunking *c) {
    int64_t count = tilefold_saturating_multiply(tilefold_ceil_div(g->batch, c->images),
                                                 tilefold_ceil_div(g->groups, c->groups));
    count = tilefold_saturating_multiply(count, tilefold_ceil_div(g->out_channels, c->outputs));
    for (int at = 0; at < TILEFOLD_AXES; at++)
        count = tilefold_saturating_multiply(count, tilefold_ceil_div(g->axis[at].output, c->axis[at]));
    return tilefold_saturating_multiply(count, tilefold_vulkan_stretches(g, c));
}

/* Dense strides of a box in row-major order. */
static void dense_strides(const int64_t *size, int64_t *stride) {
    int64_t step = 1;
    for (int i = TILEFOLD_BOX_DIMENSIONS - 1; i >= 0; i--) {
        stride[i] = step;
        step *= size[i];
    }
}

/* A tensor's box and dense strides: (image, group, channel, z, y, x) or (image, z, y, x, group, channel), whichever is nearer
 * to the host's order. */
static tilefold_vulkan_box tensor_box(const int64_t size[6], const int64_t host[6], tilefold_type type,
                                      tilefold_type dense_type, int64_t dense[6]) {
    static const int first[6] = {0, 1, 2, 3, 4, 5}, last[6] = {0, 3, 4, 5, 1, 2};
    int64_t channels = size[1] * size[2];
    bool channels_last = channels > 1 && host[size[2] > 1 ? 2 : 1] == 1; /* the stride that is taken */
    const int *order = channels_last ? last : first;
    tilefold_vulkan_box box = {.type = type, .dense_type = dense_type};
    int64_t step[6];
    for (int i = 0; i < 6; i++) box.size[i] = size[order[i]], box.stride[i] = host[order[i]];
    dense_strides(box.size, step);
    for (int i = 0; i < 6; i++) dense[order[i]] = step[i];
    return box;
}

/* The window of a tensor whose element 0 is number `at` of the whole. */
static tilefold_vulkan_window tensor_window(int64_t at, int dimensions, const int64_t *size, const int64_t *stride) {
    tilefold_vulkan_window window = {.at = at};
    for (int i = 0; i < dimensions; i++) {
        int64_t reach = (size[i] - 1) * stride[i];
        if (size[i] > 0 && reach < 0) window.low += reach;
        if (size[i] > 0 && reach > 0) window.high += reach;
    }
    return window;
}

static void make_tensors(const tilefold_geometry *g, tilefold_vulkan_chunk *chunk, tilefold_range images,
                         tilefold_range groups, tilefold_range outputs, tilefold_range channels,
                         const tilefold_range window[TILEFOLD_AXES], const tilefold_range out[TILEFOLD_AXES],
                         bool in_place) {
    tilefold_geometry *own = &chunk->geometry;
    int64_t dense[6];
    const int64_t in_size[6] = {images.count,    groups.count,    channels.count,
                                window[0].count, window[1].count, window[2].count};
    const int64_t in_host[6] = {g->in_batch, g->in_group, g->in_channel, g->in_axis[0], g->in_axis[1], g->in_axis[2]};
    const int64_t out_size[6] = {images.count, groups.count, outputs.count, out[0].count, out[1].count, out[2].count};
    const int64_t out_host[6] = {g->out_batch,   g->out_group,   g->out_channel,
                                 g->out_axis[0], g->out_axis[1], g->out_axis[2]};
    int64_t in_at = images.begin * g->in_batch + groups.begin * g->in_group + channels.begin * g->in_channel;
    int64_t out_at = images.begin * g->out_batch + groups.begin * g->out_group + outputs.begin * g->out_channel;
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        if (window[at].count > 0) in_at += window[at].begin * g->in_axis[at];
        out_at += out[at].begin * g->out_axis[at];
    }
    chunk->window[TILEFOLD_INPUT] = tensor_window(in_at, 6, in_size, in_host);
    chunk->window[TILEFOLD_OUTPUT] = tensor_window(out_at, 6, out_size, out_host);
    if (in_place) return;
    chunk->input = tensor_box(in_size, in_host, g->type, own->type, dense);
    own->in_batch = dense[0], own->in_group = dense[1], own->in_channel = dense[2];
    memcpy(own->in_axis, dense + 3, sizeof own->in_axis);
    chunk->output = tensor_box(out_size, out_host, g->type, own->type, dense);
    own->out_batch = dense[0], own->out_group = dense[1], own->out_channel = dense[2];
    memcpy(own->out_axis, dense + 3, sizeof own->out_axis);
}

/* The box of all weights, (group, k z, k y, k x, channel, output channel) */
static tilefold_vulkan_box weight_box(const tilefold_geometry *g, tilefold_range groups, tilefold_range outputs) {
    return (tilefold_vulkan_box){.type = g->type,
                                 .dense_type = g->type,
                                 .size = {groups.count, g->axis[0].kernel, g->axis[1].kernel, g->axis[2].kernel,
                                          g->in_channels, outputs.count},
                                 .stride = {g->weight_group, g->weight_axis[0], g->weight_axis[1], g->weight_axis[2],
                                            g->weight_in, g->weight_out}};
}

/* The strides of a dense array of that box: columns lie side by side. */
static void set_dense_weights(tilefold_geometry *g, const tilefold_vulkan_box *box) {
    int64_t dense[TILEFOLD_BOX_DIMENSIONS];
    dense_strides(box->size, dense);
    g->weight_offset = 0;
    g->weight_group = dense[0], g->weight_in = dense[4], g->weight_out = dense[5];
    memcpy(g->weight_axis, dense + 1, sizeof g->weight_axis);
}

tilefold_vulkan_box tilefold_vulkan_pack_geometry(tilefold_geometry *g) {
    tilefold_vulkan_box box = weight_box(g, (tilefold_range){0, g->groups}, (tilefold_range){0, g->out_channels});
    set_dense_weights(g, &box);
    return box;
}

/* g: of the whole; chunk->geometry has the channels and taps of the chunk's stretch. */
static void make_weights(const tilefold_geometry *g, tilefold_vulkan_chunk *chunk, tilefold_range groups,
                         tilefold_range outputs, const stretch *s, bool in_place) {
    tilefold_vulkan_box box = weight_box(&chunk->geometry, groups, outputs);
    int64_t at = g->weight_offset + groups.begin * g->weight_group + outputs.begin * g->weight_out;
    at += s->channels.begin * g->weight_in;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) at += s->taps[axis].begin * g->weight_axis[axis];
    chunk->window[TILEFOLD_WEIGHT] = tensor_window(at, TILEFOLD_BOX_DIMENSIONS, box.size, box.stride);
    chunk->window[TILEFOLD_BIAS] = tensor_window(groups.begin * g->out_channels + outputs.begin, 2,
                                                 (int64_t[]){groups.count, outputs.count},
                                                 (int64_t[]){g->out_channels, 1});
    chunk->geometry.weight_offset = 0;
    if (in_place) return;
    chunk->weight = box;
    chunk->weight.type = g->type;
    set_dense_weights(&chunk->geometry, &box);
}

void tilefold_vulkan_get_chunk(const tilefold_geometry *g, const tilefold_vulkan_chunking *c, int64_t number,
                               tilefold_vulkan_chunk *chunk) {
    tilefold_range window[TILEFOLD_AXES], out[TILEFOLD_AXES];
    int64_t stretches = tilefold_vulkan_stretches(g, c), at_stretch = number % stretches;
    stretch s = get_stretch(g, c, at_stretch);
    *chunk = (tilefold_vulkan_chunk){.geometry = *g,
                                     .first = at_stretch == 0,
                                     .last = at_stretch == stretches - 1,
                                     .bias_type = c->in_place ? g->bias_type : TILEFOLD_F32};
    if (c->widened) chunk->geometry.type = TILEFOLD_F32;
    keep_stretch(&chunk->geometry, &s);
    number /= stretches;
    for (int at = TILEFOLD_AXES - 1; at >= 0; at--) {
        int64_t digit = take_digit(&number, g->axis[at].output, c->axis[at]);
        out[at] = nth_range(g->axis[at].output, c->axis[at], digit);
        window[at] = tilefold_axis_cut(&chunk->geometry.axis[at], out[at]);
    }
    tilefold_range images = nth_range(g->batch, c->images, take_digit(&number, g->batch, c->images));
    tilefold_range outputs = nth_range(g->out_channels, c->outputs, take_digit(&number, g->out_channels, c->outputs));
    tilefold_range groups = nth_range(g->groups, c->groups, number);
    chunk->geometry.batch = images.count;
    chunk->geometry.groups = groups.count;
    chunk->geometry.out_channels = outputs.count;
    make_tensors(g, chunk, images, groups, outputs, s.channels, window, out, c->in_place);
    make_weights(g, chunk, groups, outputs, &s, c->in_place);
}
