// SPDX-License-Identifier: MIT
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// One invocation, one position and COLUMNS columns: for depthwise convolutions and few channels, where there is nothing to
// share between columns.
//
//     for each tap, row-major
//         for each channel              sum[j] = fma(input, weight[j], sum[j])
//
// The same chain as the product's. COLUMNS_FIRST spreads groups and columns over neighbouring invocations, else positions.
#define READS_INPUT
#define WRITES_OUTPUT
#include "job.glsl"
#include "tensors.glsl"

layout(constant_id = 1) const int COLUMNS = 4;

void main() {
    int first = int(gl_GlobalInvocationID.x), second = int(gl_WorkGroupID.y);
    if (first >= tile.spread) return;
    bool columns_first = (tile.flags & COLUMNS_FIRST) != 0;
    int unit = tile.group_begin + (columns_first ? first : second);
    int position = tile.position_begin + (columns_first ? second : first);
    int blocks = (job.total.y + COLUMNS - 1) / COLUMNS;
    if (position >= job.total.x || unit >= blocks * job.total.w) return;
    int group = unit / blocks, column0 = unit % blocks * COLUMNS;

    Position p = position_of(position);
    ivec3 origin = job.in_first.xyz + p.q * job.in_step.xyz;
    int in_offset = input_of_image(p.image, group);
    int out_offset = output_of_group(group) + output_of_position(p);

    precise float sum[COLUMNS];
    int weight[COLUMNS];
    [[unroll]] for (int j = 0; j < COLUMNS; j++) {
        int n = min(column0 + j, job.total.y - 1); // one past the end repeats the last
        weight[j] = job.first.y + group * job.weight_tap.w + weight_of_column(column_of(n));
        sum[j] = first_value(group, n);
    }
    for (int z = 0; z < taps.z; z++) {
        for (int y = 0; y < taps.y; y++) {
            for (int x = 0; x < taps.x; x++) {
                ivec3 at = origin + ivec3(x, y, z) * job.in_tap.xyz;
                bool there = inside(at);
                int element = in_offset + dot_int(at, job.in_stride.xyz);
                int tap = dot_int(ivec3(x, y, z), job.weight_tap.xyz);
                for (int c = 0; c < taps.w; c++) {
                    float value = 0.0;
                    if (there) value = decode(input_bits(element + c * job.in_tap.w));
                    [[unroll]] for (int j = 0; j < COLUMNS; j++) {
                        sum[j] = fma(value, load_weight(weight[j] + tap + c * job.weight_fold.w), sum[j]);
                    }
                }
            }
        }
    }
    [[unroll]] for (int j = 0; j < COLUMNS; j++) {
        if (column0 + j < job.total.y) {
            store_output(out_offset + output_of_column(column_of(column0 + j)), activate(sum[j]));
        }
    }
}
