/* Finished tiles on their way to the output, whatever its strides.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../checked.h"
#include "cpu.h"

typedef struct column_place {
    int64_t offset, run, stride; /* elements; `run` columns from this one on lie `stride` apart */
    bool wanted;                 /* the part has its fold */
} column_place;

/* Columns run along the output channels; where a fold has but one, along the folds of the innermost axis. */
static column_place place_column(const tilefold_geometry *geometry, const tilefold_tile *tile, int64_t column) {
    column_place place = {.wanted = true};
    int64_t columns_per_fold = geometry->out_channels, channel_stride = geometry->out_channel;
    int64_t channel = column % columns_per_fold, fold = column / columns_per_fold;
    place.run = columns_per_fold - channel;
    place.stride = channel_stride;
    place.offset = channel * channel_stride;
    for (int axis = TILEFOLD_AXES - 1; axis >= 0; axis--) {
        const tilefold_axis_part *part = &tile->part[axis];
        int64_t f = fold % part->class_folds, end = part->fold_begin + part->folds;
        fold /= part->class_folds;
        place.wanted = place.wanted && f >= part->fold_begin && f < end;
        place.offset += (part->out_first + f * part->out_fold) * geometry->out_axis[axis];
        if (axis == TILEFOLD_AXES - 1 && columns_per_fold == 1 && place.wanted) {
            place.run = end - f;
            place.stride = part->out_fold * geometry->out_axis[axis];
        }
    }
    return place;
}

int tilefold_cpu_column_runs(const tilefold_geometry *geometry, const tilefold_tile *tile, int64_t begin, int64_t end,
                             tilefold_column_run *runs) {
    int count = 0;
    for (int64_t column = begin; column < end;) {
        column_place place = place_column(geometry, tile, column);
        int64_t run = tilefold_min(place.run, end - column);
        tilefold_column_run *last = count ? &runs[count - 1] : NULL;
        bool joins = place.wanted && last && last->first + last->count == column - begin &&
                     last->stride == place.stride && last->offset + last->count * last->stride == place.offset;
        if (joins)
            last->count += run;
        else if (place.wanted)
            runs[count++] = (tilefold_column_run){column - begin, run, place.offset, place.stride};
        column += run;
    }
    return count;
}

/* Element offset of the position at the cursor, beyond what columns add. */
static int64_t position_offset(const tilefold_geometry *geometry, const tilefold_tile *tile,
                               const tilefold_cursor *cursor) {
    int64_t offset = 0;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++)
        offset += cursor->q[axis] * tile->part[axis].out_step * geometry->out_axis[axis];
    return offset;
}

/* Whether `count` positions from the start on are evenly spaced in the output, and how. */
static bool evenly_spaced(const tilefold_geometry *geometry, const tilefold_tile *tile, const tilefold_cursor *start,
                          int64_t count, int64_t stride) {
    if (start->q[2] + count <= tile->part[2].count) return true;
    tilefold_cursor cursor = *start;
    int64_t expected = position_offset(geometry, tile, &cursor);
    while (count > 0) {
        if (position_offset(geometry, tile, &cursor) != expected) return false;
        int64_t run = tilefold_cursor_run(&cursor, tile, count);
        expected += run * stride;
        count -= run;
        tilefold_cursor_advance(&cursor, tile, run);
    }
    return true;
}

float *tilefold_cpu_direct_output(const tilefold_cpu_work *work, const tilefold_tile *tile,
                                  const tilefold_cursor *start, int64_t count, int64_t columns,
                                  const tilefold_column_run *runs, int run_count, ptrdiff_t *out_stride) {
    const tilefold_geometry *geometry = work->geometry;
    int64_t position_stride = tile->part[2].out_step * geometry->out_axis[2];
    if (geometry->type != TILEFOLD_F32 || run_count != 1 || runs->count != columns) return NULL;
    int64_t lane_stride = work->plan->positions_in_lanes ? position_stride : runs->stride;
    if (lane_stride != 1 || !evenly_spaced(geometry, tile, start, count, position_stride)) return NULL;
    *out_stride = (ptrdiff_t)(work->plan->positions_in_lanes ? runs->stride : position_stride);
    return (float *)work->output + runs->offset + position_offset(geometry, tile, start);
}

void tilefold_cpu_store_tile(const tilefold_cpu_work *work, const tilefold_tile *tile, const tilefold_cursor *start,
                             int64_t count, const tilefold_column_run *runs, int run_count, const float *stage,
                             int64_t stage_stride) {
    const tilefold_geometry *geometry = work->geometry;
    tilefold_store_run store = work->plan->kernels->store_run[geometry->type];
    int64_t position_stride = tile->part[2].out_step * geometry->out_axis[2];
    tilefold_cursor cursor = *start;
    for (int64_t done = 0; done < count;) {
        int64_t run = tilefold_cursor_run(&cursor, tile, count - done);
        int64_t offset = position_offset(geometry, tile, &cursor);
        for (int r = 0; r < run_count; r++) {
            const tilefold_column_run *columns = &runs[r];
            char *out = work->output + (offset + columns->offset) * work->element_bytes;
            if (work->plan->positions_in_lanes) {
                for (int64_t j = 0; j < columns->count; j++)
                    store(out + j * columns->stride * work->element_bytes, position_stride,
                          stage + (columns->first + j) * stage_stride + done, run);
            } else if (position_stride == 1 && columns->stride != 1) {
                work->plan->kernels->store_transposed[geometry->type](out, columns->stride,
                                                                      stage + done * stage_stride + columns->first,
                                                                      stage_stride, run, columns->count);
            } else {
                for (int64_t i = 0; i < run; i++)
                    store(out + i * position_stride * work->element_bytes, columns->stride,
                          stage + (done + i) * stage_stride + columns->first, columns->count);
            }
        }
        tilefold_cursor_advance(&cursor, tile, run);
        done += run;
    }
}

void tilefold_cpu_load_bias(const tilefold_cpu_work *work, const tilefold_tile *tile, int64_t column, int64_t count,
                            float *out) {
    const tilefold_geometry *geometry = work->geometry;
    memset(out, 0, (size_t)count * sizeof *out);
    if (!work->bias) return;
    int64_t bytes = (int64_t)tilefold_type_bytes(geometry->bias_type), columns = work->plan->tiling.columns;
    for (int64_t i = 0; i < count;) {
        int64_t channel = (column + i) % columns, run = tilefold_min(columns - channel, count - i);
        const char *bias = work->bias + (tile->group * columns + channel) * bytes;
        work->plan->kernels->load_run[geometry->bias_type](out + i, bias, 1, run);
        i += run;
    }
}
