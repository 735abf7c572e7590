// SPDX-License-Identifier: MIT
#version 450
#extension GL_GOOGLE_include_directive : require
// How the device multiplies and adds:
//
//     for each i         sums[i].z = fma(sums[i].x, sums[i].y, sums[i].z)
//
// as a link of a chain is computed. ../probe.c chooses the numbers.
#include "multiply_add.glsl"

layout(local_size_x = 64) in;
layout(std430, set = 0, binding = 0) buffer Sums { uvec4 sums[]; };

void main() {
    int i = int(gl_GlobalInvocationID.x);
    if (i >= sums.length()) return;
    precise float sum = uintBitsToFloat(sums[i].z);
    sum = multiply_add(uintBitsToFloat(sums[i].x), uintBitsToFloat(sums[i].y), sum);
    sums[i].z = floatBitsToUint(sum);
}
