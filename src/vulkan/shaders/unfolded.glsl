// SPDX-License-Identifier: MIT
// The unfolded tile of a step: the element that each position of it reads for each k of [k_begin, k_end), in each of its groups.
// `run` counts positions from position_begin, k from k_begin, groups from group_begin.
//
//     in the scratch                 in an image: a texel holds four consecutive k of a position, 0 past k_end
//     [group][k][pitch]
//                                    TEXTURE2D                      TEXTURE3D
//         run ->                         k/4 ->                         run % width ->
//     k   +-------------+             run +---------+                     +-----------+
//     |   | group 0     |              |  | group 0 | pitch          run  | k/4 = 0   |-+
//     v   +-------------+              v  +---------+               /width|           | |-+   depth: group, k/4
//         | group 1     |                 | group 1 |                     +-----------+ | |
//         +-------------+                 +---------+                       +-----------+ |
//                                                                             +-----------+
// Images are of unsigned integers, so that bits pass unchanged: 32 of them, or 16 (TEXELS16). What unfolds defines UNFOLDS.
#ifdef TEXTURE2D
#define TEXTURE utexture2D
#define IMAGE uimage2D
ivec2 texel_of(int group, int k, int run) { return ivec2(k / 4, group * tile.pitch + run); }
#endif
#ifdef TEXTURE3D
#define TEXTURE utexture3D
#define IMAGE uimage3D
ivec3 texel_of(int group, int k, int run) {
    int texels = (tile.k_end - tile.k_begin + 3) / 4;
    return ivec3(run % tile.width, run / tile.width, group * texels + k / 4);
}
#endif

#ifdef UNFOLDS
// What one invocation stores: so many k of so many neighbouring positions, a texel or a word, as bits[position][k].
#ifdef TEXTURE
#ifdef TEXELS16
layout(rgba16ui, set = 0, binding = 5) uniform writeonly IMAGE unfolded_image;
#else
layout(rgba32ui, set = 0, binding = 5) uniform writeonly IMAGE unfolded_image;
#endif
const int STORED_K = 4, STORED_RUN = 1;
void store_unfolded(int group, int k, int run, uvec4 bits) { imageStore(unfolded_image, texel_of(group, k, run), bits); }
#else
const int STORED_K = 1, STORED_RUN = TYPE == F32 ? 1 : 2;
void store_unfolded(int group, int k, int run, uvec4 bits) {
    int row = group * (tile.k_end - tile.k_begin) + k;
    scratch[tile.unfolded + (row * tile.pitch + run) / STORED_RUN] = STORED_RUN == 1 ? bits.x : bits.x | bits.y << 16;
}
#endif
#else
// The elements of k, a multiple of four, and the three that follow; past k_end they may be anything.
#ifdef TEXTURE
#extension GL_EXT_samplerless_texture_functions : require
layout(set = 0, binding = 6) uniform TEXTURE unfolded_texture;
vec4 load_unfolded(int group, int k, int run) {
    uvec4 bits = texelFetch(unfolded_texture, texel_of(group, k, run), 0);
    return vec4(decode(bits.x), decode(bits.y), decode(bits.z), decode(bits.w));
}
#else
// Counted from the first of the tile.
float unfolded_element(int element) {
    if (TYPE == F32) return uintBitsToFloat(unfolded[tile.unfolded + element]);
    return decode(half_of(unfolded[tile.unfolded + (element >> 1)], element));
}

vec4 load_unfolded(int group, int k, int run) {
    int rows = tile.k_end - tile.k_begin;
    vec4 values;
    for (int i = 0; i < 4; i++)
        values[i] = unfolded_element((group * rows + min(k + i, rows - 1)) * tile.pitch + run);
    return values;
}
#endif
#endif
