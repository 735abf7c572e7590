// SPDX-License-Identifier: MIT
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// One invocation, one position and COLUMNS columns, a unit: for depthwise convolutions and few channels, where there is nothing to
// share between columns.
//
//     sum[j] = FIRST ? bias[j] : the partial sum
//     for k in [k_begin, k_end)        sum[j] = multiply_add(input, weight[j], sum[j])
//     LAST ? output = clamp(sum + 0) : keep the partial sum
//
// The same chain as the product's. COLUMNS_FIRST spreads the units of a position over neighbouring invocations, then positions;
// else positions are neighbours, and units lie in the second dimension.
#define READS_INPUT
#define WRITES_OUTPUT
#include "job.glsl"
#include "multiply_add.glsl"
#include "tensors.glsl"
#include "partial.glsl"

layout(constant_id = 1) const int COLUMNS = 4;
const int MOST_COLUMNS = 4; // Metal has no arrays whose size a specialisation sets

void main() {
    int run = int(gl_GlobalInvocationID.x), unit = int(gl_WorkGroupID.y);
    if ((tile.flags & COLUMNS_FIRST) != 0) run = divide(run, tile.units, unit);
    int position = tile.position_begin + run, row0 = unit * COLUMNS;
    int blocks = (job.total.y + COLUMNS - 1) / COLUMNS;
    unit += tile.group_begin;
    if (position >= position_end() || unit >= blocks * job.total.w) return;
    int group = unit / blocks, column0 = unit % blocks * COLUMNS;

    Position p = position_of(position);
    ivec3 origin = job.in_first.xyz + p.q * job.in_step.xyz;
    int in_offset = input_of_image(p.image, group);

    precise float sum[MOST_COLUMNS];
    int weight[MOST_COLUMNS], element[MOST_COLUMNS];
    [[unroll]] for (int j = 0; j < COLUMNS; j++) {
        int n = min(column0 + j, job.total.y - 1); // one past the end repeats the last
        Column column = column_of(n);
        weight[j] = job.first.y + group * job.weight_tap.w + weight_of_column(column);
        element[j] = output_of_group(group) + output_of_position(p) + output_of_column(column);
        if ((tile.flags & FIRST) != 0)
            sum[j] = first_value(group, n);
        else
            sum[j] = load_partial(position, row0 + j, element[j]);
    }

    int k = tile.k_begin;
    Link link = link_of(k);
    while (k < tile.k_end) {
        ivec3 at = origin + link.tap * job.in_tap.xyz;
        bool there = inside(at);
        int in_tap = in_offset + dot_int(at, job.in_stride.xyz) + link.channel * job.in_tap.w;
        int weight_tap = weight_of_link(link);
        int count = min(link.end - link.channel, tile.k_end - k);
        for (int c = 0; c < count; c++) {
            float value = 0.0;
            if (there) value = decode(input_bits(in_tap + c * job.in_tap.w));
            [[unroll]] for (int j = 0; j < COLUMNS; j++) {
                sum[j] = multiply_add(value, load_weight(weight[j] + weight_tap + c * job.weight_fold.w), sum[j]);
            }
        }
        k += count;
        link = next_tap(link);
    }
    [[unroll]] for (int j = 0; j < COLUMNS; j++) {
        if (column0 + j < job.total.y) store_sum(position, row0 + j, element[j], sum[j]);
    }
}
