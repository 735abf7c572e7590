// SPDX-License-Identifier: MIT
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
// The product of product.comp, for devices whose invocations are the lanes of a CPU's vectors:
//
//     for each group, position p and column n of the step
//         sum = FIRST ? bias[n] : the partial sum
//         for k in [k_begin, k_end)     sum = fma(unfold[k][p], weight[k][n], sum)
//         LAST ? output = clamp(sum + 0) : keep the partial sum
//
// There shared memory is memory like any other, a barrier costs more than a sum, and a load from a buffer is a loop over the
// lanes; but registers are many (what spills stays in the first cache), and one lane's value goes to all lanes in one
// instruction. So nothing is shared but registers: a workgroup is one subgroup, a lane holds ROWS positions and loads every
// LANES-th column, and each k of ROWS*LANES positions x COLUMNS columns takes ROWS + COLUMNS/LANES loads:
//
//                 lane          0   1   2 ...             a lane's sums: its positions x all columns, as vectors over lanes
//     weights of a k          | n0| n1| n2| ...           +----------------------------+
//     input of a k, row 0     | p0| p1| p2| ...    ==>    | sum of row 0, column 0, 1..|  += input * (weight of one lane)
//                   row 1     | pL| ..                    | sum of row 1, column 0, 1..|
//
// The chain of every sum is that of product.comp.
#define WRITES_OUTPUT
#ifndef UNFOLDED
#define READS_INPUT
#endif
#define OWN_WORKGROUP
#include "job.glsl"
#include "multiply_add.glsl"
#include "tensors.glsl"
#ifdef UNFOLDED
#include "unfolded.glsl"
#endif
#include "partial.glsl"

layout(constant_id = 1) const int COLUMNS = 32;
layout(constant_id = 2) const int ROWS = 4;
layout(constant_id = 3) const int LANES = 8;
layout(local_size_x_id = 3) in;

const int WORDS = (COLUMNS + LANES - 1) / LANES; // columns that a lane loads

// Of this lane's positions: where their windows begin, and where their elements of a tap lie, from a channel on. Of a tap in
// the padding an element is read all the same, and a zero taken instead: a load takes as long for no lane as for all.
ivec3 origin[ROWS];
int left[ROWS], element[ROWS];
bool there[ROWS];

void find_elements(int k, Link link) {
    [[unroll]] for (int i = 0; i < ROWS; i++) {
#ifdef UNFOLDED
        element[i] = left[i] + (k - tile.k_begin) * tile.pitch;
#else
        ivec3 at = origin[i] + link.tap * job.in_tap.xyz;
        there[i] = inside(at);
        element[i] = left[i] + dot_int(at, job.in_stride.xyz) + link.channel * job.in_tap.w;
#endif
    }
}

// Of the `c`-th k of a tap.
float load_left(int i, int c) {
#ifdef UNFOLDED
    return unfolded_element(element[i] + c * tile.pitch);
#else
    float value = decode(input_bits(there[i] ? element[i] + c * job.in_tap.w : 0));
    return there[i] ? value : 0.0;
#endif
}

void main() {
    int lane = int(gl_SubgroupInvocationID), group = tile.group_begin + int(gl_WorkGroupID.z);
    int position0 = tile.position_begin + int(gl_WorkGroupID.x) * ROWS * LANES;
    int column0 = tile.column_begin + int(gl_WorkGroupID.y) * COLUMNS;
    if (position0 >= position_end() || column0 >= column_end()) return;

    // Past the end the last one is repeated, and not stored.
    int out_row[ROWS], out_column[WORDS], right[WORDS];
    [[unroll]] for (int i = 0; i < ROWS; i++) {
        int m = min(position0 + lane + i * LANES, position_end() - 1);
        Position p = position_of(m);
        out_row[i] = output_of_group(group) + output_of_position(p);
#ifdef UNFOLDED
        left[i] = int(gl_WorkGroupID.z) * (tile.k_end - tile.k_begin) * tile.pitch + m - tile.position_begin;
#else
        origin[i] = job.in_first.xyz + p.q * job.in_step.xyz;
        left[i] = input_of_image(p.image, group);
#endif
    }
    float bias[WORDS];
    [[unroll]] for (int w = 0; w < WORDS; w++) {
        int n = min(column0 + lane + w * LANES, column_end() - 1);
        Column c = column_of(n);
        out_column[w] = output_of_column(c);
        right[w] = job.first.y + group * job.weight_tap.w + weight_of_column(c);
        bias[w] = 0.0;
        if ((tile.flags & FIRST) != 0) bias[w] = first_value(group, n);
    }

    precise float sum[ROWS * COLUMNS];
    [[unroll]] for (int j = 0; j < COLUMNS; j++) {
        float first = subgroupShuffle(bias[j / LANES], uint(j % LANES));
        [[unroll]] for (int i = 0; i < ROWS; i++) sum[j * ROWS + i] = first;
    }
    int row0 = int(gl_WorkGroupID.z) * (tile.column_end - tile.column_begin) - tile.column_begin;
    if ((tile.flags & FIRST) == 0) {
        [[unroll]] for (int j = 0; j < COLUMNS; j++) {
            int column = subgroupShuffle(out_column[j / LANES], uint(j % LANES));
            [[unroll]] for (int i = 0; i < ROWS; i++) {
                int m = min(position0 + lane + i * LANES, position_end() - 1);
                sum[j * ROWS + i] = load_partial(m, row0 + min(column0 + j, column_end() - 1), out_row[i] + column);
            }
        }
    }

    int k = tile.k_begin;
    Link link = link_of(k);
    while (k < tile.k_end) {
        find_elements(k, link);
        int weight = weight_of_link(link);
        int run = min(link.end - link.channel, tile.k_end - k);
        for (int c = 0; c < run; c++) {
            float a[ROWS], b[WORDS];
            [[unroll]] for (int i = 0; i < ROWS; i++) a[i] = load_left(i, c);
            [[unroll]] for (int w = 0; w < WORDS; w++) b[w] = load_weight(right[w] + weight + c * job.weight_fold.w);
            [[unroll]] for (int j = 0; j < COLUMNS; j++) {
                float one = subgroupShuffle(b[j / LANES], uint(j % LANES));
                [[unroll]] for (int i = 0; i < ROWS; i++) sum[j * ROWS + i] = multiply_add(a[i], one, sum[j * ROWS + i]);
            }
        }
        k += run;
        link = next_tap(link);
    }

    [[unroll]] for (int j = 0; j < COLUMNS; j++) {
        int n = column0 + j, column = subgroupShuffle(out_column[j / LANES], uint(j % LANES));
        [[unroll]] for (int i = 0; i < ROWS; i++) {
            int m = position0 + lane + i * LANES;
            if (m < position_end() && n < column_end()) store_sum(m, row0 + n, out_row[i] + column, sum[j * ROWS + i]);
        }
    }
}
