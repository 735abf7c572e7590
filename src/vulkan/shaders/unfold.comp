// SPDX-License-Identifier: MIT
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Unfolds a tile of positions (im2col) into the scratch or an image:
//
//     for each group, k in [k_begin, k_end) and position p of the tile
//         unfolded[group][k][p] = the input element that link k of the chain reads at p, or 0 in the padding
//
// unfolded.glsl says how that is held. An invocation writes one word or one texel.
#define READS_INPUT
#define UNFOLDS
#include "job.glsl"
#include "tensors.glsl"
#include "unfolded.glsl"

uint element_bits(int group, int k, int position) {
    if (position >= position_end() || k >= tile.k_end) return 0u;
    Link link = link_of(k);
    Position p = position_of(position);
    ivec3 at = job.in_first.xyz + p.q * job.in_step.xyz + link.tap * job.in_tap.xyz;
    if (!inside(at)) return 0u;
    return input_bits(input_of_image(p.image, group) + link.channel * job.in_tap.w + dot_int(at, job.in_stride.xyz));
}

void main() {
    int run = int(gl_GlobalInvocationID.x) * STORED_RUN, k = int(gl_WorkGroupID.y) * STORED_K;
    int group = int(gl_WorkGroupID.z);
    if (run >= tile.pitch) return;
    uvec4 bits = uvec4(0u);
    [[unroll]] for (int i = 0; i < STORED_RUN * STORED_K; i++) {
        bits[i] = element_bits(tile.group_begin + group, tile.k_begin + k + i % STORED_K,
                               tile.position_begin + run + i / STORED_K);
    }
    store_unfolded(group, k, run, bits);
}
