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

/* Columns run along the output channels; where folds of the innermost axis are innermost, or a fold has but one channel, along
 * those folds. */
static column_place place_column(const tilefold_cpu_work *work, const tilefold_tile *tile, int64_t index) {
    const tilefold_geometry *geometry = work->geometry;
    const tilefold_axis_part *part = tile->part, *inner = &part[2];
    const int64_t folds[TILEFOLD_AXES] = {part[0].class_folds, part[1].class_folds, inner->class_folds};
    int64_t columns = work->plan->tiling.columns, begin = inner->fold_begin, end = begin + inner->folds;
    tilefold_column column = tilefold_column_at(work->plan, folds, index);
    bool along_folds = inner->class_folds > 1 && (work->plan->folds_innermost || columns == 1);
    column_place place = {.run = columns - column.channel, .stride = geometry->out_channel, .wanted = true};
    place.offset = column.channel * geometry->out_channel;
    for (int axis = 0; axis < TILEFOLD_AXES; axis++) {
        int64_t f = column.fold[axis];
        place.wanted = place.wanted && f >= part[axis].fold_begin && f < part[axis].fold_begin + part[axis].folds;
        place.offset += (part[axis].out_first + f * part[axis].out_fold) * geometry->out_axis[axis];
    }
    if (along_folds) {
        int64_t f = column.fold[2];
        place.run = (f < begin ? begin : f < end ? end : inner->class_folds) - f;
        place.stride = inner->out_fold * geometry->out_axis[2];
    }
    return place;
}

int tilefold_cpu_column_runs(const tilefold_cpu_work *work, const tilefold_tile *tile, int64_t begin, int64_t end,
                             tilefold_column_run *runs) {
    int count = 0;
    for (int64_t column = begin; column < end;) {
        column_place place = place_column(work, tile, column);
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

/* Columns that lie side by side, beyond which turning them is faster than storing each by itself. */
enum { least_turned = 4 };

void tilefold_cpu_store_tile(const tilefold_cpu_work *work, const tilefold_tile *tile, const tilefold_cursor *start,
                             int64_t count, const tilefold_column_run *runs, int run_count, const float *stage,
                             int64_t stage_stride) {
    const tilefold_geometry *geometry = work->geometry;
    tilefold_store_run store = work->plan->kernels->store_run[geometry->type];
    tilefold_store_transposed turn = work->plan->kernels->store_transposed[geometry->type];
    int64_t position_stride = tile->part[2].out_step * geometry->out_axis[2];
    tilefold_cursor cursor = *start;
    for (int64_t done = 0; done < count;) {
        int64_t run = tilefold_cursor_run(&cursor, tile, count - done);
        int64_t offset = position_offset(geometry, tile, &cursor);
        for (int r = 0; r < run_count; r++) {
            const tilefold_column_run *columns = &runs[r];
            char *out = work->output + (offset + columns->offset) * work->element_bytes;
            bool turned = work->plan->positions_in_lanes && columns->stride == 1 &&
                          columns->count >= (columns->count == position_stride ? 2 : least_turned);
            if (turned) {
                turn(out, position_stride, stage + columns->first * stage_stride + done, stage_stride, columns->count,
                     run);
            } else if (work->plan->positions_in_lanes) {
                for (int64_t j = 0; j < columns->count; j++)
                    store(out + j * columns->stride * work->element_bytes, position_stride,
                          stage + (columns->first + j) * stage_stride + done, run);
            } else if (position_stride == 1 && columns->stride != 1) {
                turn(out, columns->stride, stage + done * stage_stride + columns->first, stage_stride, run,
                     columns->count);
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

/* How many columns from one on have the same bias, or biases side by side. */
static int64_t bias_run(const tilefold_cpu_plan *plan, const int64_t folds[TILEFOLD_AXES], tilefold_column column) {
    return plan->folds_innermost ? folds[2] - column.fold[2] : plan->tiling.columns - column.channel;
}

void tilefold_cpu_load_bias(const tilefold_cpu_work *work, const tilefold_tile *tile, int64_t column, int64_t count,
                            float *out) {
    const tilefold_geometry *geometry = work->geometry;
    memset(out, 0, (size_t)count * sizeof *out);
    if (!work->bias) return;
    const tilefold_cpu_plan *plan = work->plan;
    const int64_t folds[TILEFOLD_AXES] = {tile->part[0].class_folds, tile->part[1].class_folds,
                                          tile->part[2].class_folds};
    tilefold_load_run load = plan->kernels->load_run[geometry->bias_type];
    for (int64_t i = 0; i < count;) {
        tilefold_column at = tilefold_column_at(plan, folds, column + i);
        int64_t run = tilefold_min(bias_run(plan, folds, at), count - i);
        const char *bias = work->bias + (tile->group * plan->tiling.columns + at.channel) *
                                            (int64_t)tilefold_type_bytes(geometry->bias_type);
        load(out + i, bias, plan->folds_innermost ? 0 : 1, run);
        i += run;
    }
}
