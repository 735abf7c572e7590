// SPDX-License-Identifier: MIT
// What every shader is told, and the two index maps that all of them share.
//
// A job is one part of a chunk (see ../vulkan.h): an ordinary convolution over positions (image, z, y, x), whose columns are
// (fold z, y, x, output channel). Offsets are elements within the bound windows and fit 32 bits. src/vulkan/job.c fills it in.
#ifndef OWN_WORKGROUP
#define SIDE 8 // a workgroup of 64 is 8 x 8
layout(local_size_x = 64) in;
#endif

struct Job {
    ivec4 count;       // positions along x, y, z; images
    ivec4 taps;        // taps along x, y, z; channels of a group
    ivec4 in_first;    // first input position along x, y, z; elements from image to image
    ivec4 in_step;     // input positions from position to position; elements from group to group
    ivec4 in_tap;      // input positions from tap to tap; elements from channel to channel
    ivec4 in_size;     // of the input window
    ivec4 in_stride;   // elements along x, y, z
    ivec4 out_step;    // elements from position to position along x, y, z; from image to image
    ivec4 out_fold;    // elements from fold to fold along x, y, z; from channel to channel
    ivec4 folds;       // along x, y, z; output channels of a group
    ivec4 weight_tap;  // elements from tap to tap along x, y, z; from group to group
    ivec4 weight_fold; // elements from fold to fold along x, y, z; from channel to channel
    ivec4 first;       // of the output; of the weights; of the bias, or -1; elements from group to group of outputs
    ivec4 base;        // first element of the input; elements from column to column of the weights; the bias is fp32
    ivec4 total;       // positions, columns, depth of the sum; groups
    vec4 clamp_range;  // low, high
};

const int FIRST = 1, LAST = 2;    // the sum begins here; it ends here
const int COLUMNS_FIRST = 4;     // neighbouring outputs lie along the columns: so do neighbouring invocations

struct Step {
    int position_begin, position_end; // as planned: a smaller problem may have fewer, see ends below
    int column_begin, column_end;
    int group_begin;
    int k_begin, k_end;   // of the sum: k counts the links of the chain, see Link
    int flags;            // of the above
    int unfolded;         // word of the scratch where the unfolded tile begins, if it is held there: see unfolded.glsl
    int pitch;            // its elements from k to k: even, so that a row is whole words
    int width;            // of the three-dimensional image that holds it
    int units;            // direct: of the step
};

layout(std140, set = 0, binding = 4) uniform Bound { Job bound; };
layout(push_constant) uniform Pushed { Step pushed; };

// What a step and its job are told, plus a zero that only the hardware knows. lavapipe compiles a shader anew, at every
// dispatch, for the values of uniforms and push constants that by themselves decide a branch or end a loop (Mesa's
// lvp_inline_uniforms.c); these never do. All is loaded first of all: within a branch or a loop that would be slow there too.
int zero = min(int(gl_WorkGroupID.x), 0);
Job job = bound;
Step tile = Step(pushed.position_begin + zero, pushed.position_end + zero, pushed.column_begin + zero,
                 pushed.column_end + zero, pushed.group_begin + zero, pushed.k_begin + zero, pushed.k_end + zero,
                 pushed.flags + zero, pushed.unfolded + zero, pushed.pitch + zero, pushed.width + zero,
                 pushed.units + zero);
ivec4 taps = job.taps + zero;

bool has_bias() { return job.first.z + zero >= 0; }
bool bias_is_f32() { return job.base.z + zero != 0; }

// A step planned for an upper bound also runs a job that is smaller.
int position_end() { return min(tile.position_end, job.total.x); }
int column_end() { return min(tile.column_end, job.total.y); }

// n/d and what remains of n, for n >= 0 and d > 0: the quotient of floats is put right, which is faster by far than dividing
// integers on a device that does so lane by lane. The first quotient is wrong by n/d * 2^-21 at most, the second by 1.
int divide(int n, int d, out int rest) {
    float inverse = 1.0 / float(d);
    int quotient = int(float(n) * inverse);
    rest = n - quotient * d;
    int more = int(floor(float(rest) * inverse));
    quotient += more;
    rest -= more * d;
    int wrong = rest < 0 ? -1 : rest >= d ? 1 : 0;
    rest -= wrong * d;
    return quotient + wrong;
}

int dot_int(ivec3 a, ivec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }

struct Position {
    ivec3 q;
    int image;
};

Position position_of(int index) {
    Position p;
    int rows = divide(index, job.count.x, p.q.x);
    int planes = divide(rows, job.count.y, p.q.y);
    p.image = divide(planes, job.count.z, p.q.z);
    return p;
}

ivec3 tap_of(int index) {
    ivec3 tap;
    tap.z = divide(divide(index, taps.x, tap.x), taps.y, tap.y);
    return tap;
}

// A link of a sum's chain, in the order of ../../chain.h: blocks of CHANNEL_BLOCK channels of the group (the last one shorter),
// within a block the taps, within a tap the block's channels. `block` is the first channel of the link's block, `end` is one past
// its last.
const int CHANNEL_BLOCK = 32;

struct Link {
    ivec3 tap;
    int channel, block, end;
};

int end_of_block(int block) { return min(block + CHANNEL_BLOCK, taps.w); }

// Past the chain's end it may be anything.
Link link_of(int k) {
    Link link;
    int of_block, of_tap;
    link.block = divide(k, min(taps.w, CHANNEL_BLOCK) * taps.x * taps.y * taps.z, of_block) * CHANNEL_BLOCK;
    link.end = end_of_block(link.block);
    link.tap = tap_of(divide(of_block, max(1, link.end - link.block), of_tap));
    link.channel = link.block + of_tap;
    return link;
}

// The first link of the tap after this link's: of the next block's first tap, after the last.
Link next_tap(Link link) {
    link.channel = link.block;
    if (++link.tap.x < taps.x) return link;
    link.tap.x = 0;
    if (++link.tap.y < taps.y) return link;
    link.tap.y = 0;
    if (++link.tap.z < taps.z) return link;
    link.tap.z = 0;
    link.channel = link.block = link.end;
    link.end = end_of_block(link.block);
    return link;
}

int weight_of_link(Link link) { return dot_int(link.tap, job.weight_tap.xyz) + link.channel * job.weight_fold.w; }

int output_of_position(Position p) { return p.image * job.out_step.w + dot_int(p.q, job.out_step.xyz); }

struct Column {
    ivec3 fold;
    int channel;
};

Column column_of(int index) {
    Column c;
    int fold = divide(index, job.folds.w, c.channel);
    c.fold.z = divide(divide(fold, job.folds.x, c.fold.x), job.folds.y, c.fold.y);
    return c;
}

int output_of_column(Column c) { return c.channel * job.out_fold.w + dot_int(c.fold, job.out_fold.xyz); }
int weight_of_column(Column c) { return c.channel * job.base.y + dot_int(c.fold, job.weight_fold.xyz); }

int output_of_group(int group) { return job.first.x + group * job.first.w; }

// The input element of channel 0 at position 0 of an image and group.
int input_of_image(int image, int group) { return job.base.x + image * job.in_first.w + group * job.in_step.w; }

// Whether a tap meets an input element, or the zero of the padding.
bool inside(ivec3 at) {
    return uint(at.x) < uint(job.in_size.x) && uint(at.y) < uint(job.in_size.y) && uint(at.z) < uint(job.in_size.z);
}

// The end of a chain, as on the CPU: + 0.0, which makes +0 of -0 and changes nothing else. Of its bits, as compilers leave a sum
// with a zero out.
float end_chain(float sum) {
    uint bits = floatBitsToUint(sum);
    return uintBitsToFloat(bits == 0x80000000u ? 0u : bits);
}

// Integers in the order of what is not a NaN. Of bits, as a device may compare subnormal numbers as zeros.
int order_of(float value) {
    int bits = floatBitsToInt(value);
    return bits < 0 ? int(0x80000000u) - bits : bits;
}

// As on the CPU: a NaN stays a NaN.
float activate(float value) {
    if ((floatBitsToUint(value) & 0x7fffffffu) > 0x7f800000u) return value;
    value = order_of(value) < order_of(job.clamp_range.x) ? job.clamp_range.x : value;
    return order_of(value) > order_of(job.clamp_range.y) ? job.clamp_range.y : value;
}
