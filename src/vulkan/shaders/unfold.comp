// SPDX-License-Identifier: MIT
#version 450
#extension GL_GOOGLE_include_directive : require
// Unfolds a tile of positions (im2col) into the scratch:
//
//     for each group, k in [k_begin, k_end) and position p of the tile
//         unfolded[group][k][p] = the input element that tap and channel k reads at p, or 0 in the padding
//
// An invocation writes one word: one fp32, or two 16-bit elements.
#define READS_INPUT
#include "job.glsl"
#include "tensors.glsl"

uint element_bits(int position, ivec3 tap, int offset) {
    if (position >= position_end()) return 0u;
    Position p = position_of(position);
    ivec3 at = job.in_first.xyz + p.q * job.in_step.xyz + tap;
    if (!inside(at)) return 0u;
    return input_bits(offset + p.image * job.in_first.w + dot_int(at, job.in_stride.xyz));
}

void main() {
    int word = int(gl_GlobalInvocationID.x), per_word = TYPE == F32 ? 1 : 2, words = tile.pitch / per_word;
    if (word >= words) return;
    int k = tile.k_begin + int(gl_WorkGroupID.y), group = tile.group_begin + int(gl_WorkGroupID.z);
    int channel = k % taps.w, tap = k / taps.w;
    ivec3 j;
    j.x = tap % taps.x;
    tap /= taps.x;
    j.y = tap % taps.y;
    j.z = tap / taps.y;
    int position = tile.position_begin + word * per_word, offset = input_of_image(0, group) + channel * job.in_tap.w;
    uint bits = element_bits(position, j * job.in_tap.xyz, offset);
    if (TYPE != F32) bits |= element_bits(position + 1, j * job.in_tap.xyz, offset) << 16;
    int row = int(gl_WorkGroupID.z) * (tile.k_end - tile.k_begin) + int(gl_WorkGroupID.y);
    scratch[tile.unfolded + row * words + word] = bits;
}
