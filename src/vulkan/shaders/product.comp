// SPDX-License-Identifier: MIT
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// The product of positions and columns: of an unfolded tile (UNFOLDED), else implicit, reading the input where it lies.
//
//     for each group, position p and column n of the step
//         sum = FIRST ? bias[n] : the partial sum
//         for k in [k_begin, k_end)     sum = fma(unfold[k][p], weight[k][n], sum)
//         LAST ? output = clamp(sum + 0) : keep the partial sum
//
// A workgroup computes 64 positions x 8*COLUMNS columns, an invocation 8 x COLUMNS of them in registers. DEPTH rows of both
// sides at a time pass through shared memory:
//
//                        weights [DEPTH][8*COLUMNS]
//     unfold             +----------------+
//     [DEPTH][64]  +--+  |                |    invocation (r, c) has positions r + 8*i and columns c + 8*j, so that
//                  |  |  |  64 x 8*COLUMNS |    neighbours write neighbouring elements
//                  +--+  +----------------+
//
// Each sum is one chain in ascending k, whatever the tile: the bits do not depend on it. k past k_end are not multiplied at all.
#define WRITES_OUTPUT
#ifndef UNFOLDED
#define READS_INPUT
#endif
#include "job.glsl"
#include "multiply_add.glsl"
#include "tensors.glsl"
#ifdef UNFOLDED
#include "unfolded.glsl"
#endif
#include "partial.glsl"

layout(constant_id = 1) const int COLUMNS = 8;

const int ROWS = 8, DEPTH = 16, HEIGHT = SIDE * ROWS;

shared float left[DEPTH * HEIGHT];
shared float right[DEPTH * SIDE * 8];
// Of each k of this block and the next: what it adds to the input position, to the input offset, and to the weight's.
shared ivec4 k_input[2 * DEPTH];
shared int k_weight[2 * DEPTH];

void describe_k(int k, int slot) {
    Link link = link_of(k);
    k_input[slot] = ivec4(link.tap * job.in_tap.xyz, link.channel * job.in_tap.w);
    k_weight[slot] = weight_of_link(link);
}

// Rows of the left side: this invocation fills the column of one position.
#ifdef UNFOLDED
void fill_left(int lane, int position, ivec3 origin, int offset, int k0, int count, int slot) {
    for (int r = 0; r < count; r += 4) {
        vec4 values = vec4(0.0);
        if (position < position_end())
            values = load_unfolded(int(gl_WorkGroupID.z), k0 - tile.k_begin + r, position - tile.position_begin);
        [[unroll]] for (int i = 0; i < 4; i++) left[(r + i) * HEIGHT + lane] = values[i];
    }
}
#else
void fill_left(int lane, int position, ivec3 origin, int offset, int k0, int count, int slot) {
    for (int r = 0; r < count; r++) {
        float value = 0.0;
        if (position < position_end()) {
            ivec4 k = k_input[slot + r];
            ivec3 at = origin + k.xyz;
            if (inside(at)) value = decode(input_bits(offset + k.w + dot_int(at, job.in_stride.xyz)));
        }
        left[r * HEIGHT + lane] = value;
    }
}
#endif

void fill_right(int lane, int column, int offset, int count, int slot) {
    int width = SIDE * COLUMNS;
    for (int r = lane / width; r < count; r += 64 / width) {
        float value = 0.0;
        if (column < column_end()) value = load_weight(offset + k_weight[slot + r]);
        right[r * width + lane % width] = value;
    }
}

void main() {
    int lane = int(gl_LocalInvocationID.x), width = SIDE * COLUMNS;
    bool columns_first = (tile.flags & COLUMNS_FIRST) != 0;
    int row = columns_first ? lane / SIDE : lane % SIDE, column = columns_first ? lane % SIDE : lane / SIDE;
    int group = tile.group_begin + int(gl_WorkGroupID.z);
    int position0 = tile.position_begin + int(gl_WorkGroupID.x) * HEIGHT;
    int column0 = tile.column_begin + int(gl_WorkGroupID.y) * width;
    if (position0 >= position_end() || column0 >= column_end()) return;

    int left_position = position0 + lane, right_column = column0 + lane % width;
    Position p = position_of(left_position);
    ivec3 origin = job.in_first.xyz + p.q * job.in_step.xyz;
    int left_offset = input_of_image(p.image, group);
    int right_offset = job.first.y + group * job.weight_tap.w + weight_of_column(column_of(right_column));

    int out_row[ROWS], out_column[8];
    [[unroll]] for (int i = 0; i < ROWS; i++) out_row[i] = output_of_position(position_of(position0 + row + i * SIDE));
    [[unroll]] for (int j = 0; j < COLUMNS; j++) {
        out_column[j] = output_of_group(group) + output_of_column(column_of(column0 + column + j * SIDE));
    }

    int row0 = int(gl_WorkGroupID.z) * (tile.column_end - tile.column_begin) - tile.column_begin;
    precise float sum[ROWS][8];
    [[unroll]] for (int j = 0; j < COLUMNS; j++) {
        int n = column0 + column + j * SIDE;
        float bias = (tile.flags & FIRST) != 0 && n < column_end() ? first_value(group, n) : 0.0;
        [[unroll]] for (int i = 0; i < ROWS; i++) {
            int m = position0 + row + i * SIDE;
            sum[i][j] = bias;
            if ((tile.flags & FIRST) == 0 && n < column_end() && m < position_end())
                sum[i][j] = load_partial(m, row0 + n, out_row[i] + out_column[j]);
        }
    }

    if (lane < DEPTH) describe_k(tile.k_begin + lane, lane);
    int slot = 0;
    for (int k0 = tile.k_begin; k0 < tile.k_end; k0 += DEPTH) {
        int count = min(DEPTH, tile.k_end - k0);
        barrier(); // the description is there; the last block has been read
        fill_left(lane, left_position, origin, left_offset, k0, count, slot);
        fill_right(lane, right_column, right_offset, count, slot);
        slot = DEPTH - slot;
        if (lane < DEPTH) describe_k(k0 + DEPTH + lane, slot + lane);
        barrier();
        for (int r = 0; r < count; r++) {
            float a[ROWS], b[8];
            [[unroll]] for (int i = 0; i < ROWS; i++) a[i] = left[r * HEIGHT + row + i * SIDE];
            [[unroll]] for (int j = 0; j < COLUMNS; j++) b[j] = right[r * width + column + j * SIDE];
            [[unroll]] for (int i = 0; i < ROWS; i++) {
                [[unroll]] for (int j = 0; j < COLUMNS; j++) sum[i][j] = multiply_add(a[i], b[j], sum[i][j]);
            }
        }
    }

    [[unroll]] for (int i = 0; i < ROWS; i++) {
        int m = position0 + row + i * SIDE;
        [[unroll]] for (int j = 0; j < COLUMNS; j++) {
            int n = column0 + column + j * SIDE;
            if (m < position_end() && n < column_end()) store_sum(m, row0 + n, out_row[i] + out_column[j], sum[i][j]);
        }
    }
}
