// SPDX-License-Identifier: MIT
#version 450
#extension GL_EXT_control_flow_attributes : require
// How fast the device multiplies and adds: every invocation runs CHAINS chains of fma that do not wait for each other.
//
//     for each round
//         STEPS times
//             for each chain              x[i] = fma(x[i], factor, addend)
//
// Nothing is read or written in between. The result is stored only where it is `never`, which no compiler can know of.
layout(local_size_x = 64) in;

layout(push_constant) uniform Run { int rounds; float factor, addend, never; } run;
layout(std430, binding = 0) writeonly buffer Result { float result; };

// Enough to fill every multiplier's latency, few enough for the 16 vector registers of a CPU that plays the device.
const int CHAINS = 12, STEPS = 16;

void main() {
    float x[CHAINS];
    [[unroll]] for (int i = 0; i < CHAINS; i++) x[i] = float(gl_GlobalInvocationID.x + i);
    for (int round = 0; round < run.rounds; round++) {
        [[unroll]] for (int step = 0; step < STEPS; step++) {
            [[unroll]] for (int i = 0; i < CHAINS; i++) x[i] = fma(x[i], run.factor, run.addend);
        }
    }
    float sum = 0.0;
    [[unroll]] for (int i = 0; i < CHAINS; i++) sum += x[i];
    if (sum == run.never) result = sum;
}
