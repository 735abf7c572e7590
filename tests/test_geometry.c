/* The normal form of a problem: phases, folds, parts, classes, kinds and tiles, against counting by hand.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "geometry.h"
#include "oracle.h"
#include "runner.h"
#include "tiles.h"

/* Names the problem, then fails. */
static void fail_geometry(const test_problem *made, const char *what) {
    fprintf(stderr, "%s\n  %s\n", what, describe_problem(made));
    fail();
}

/* How axes are cut into parts. */
typedef enum cut { BY_PHASE, FOLDED, MERGED } cut;

static tilefold_geometry get_geometry(const test_problem *made, cut way) {
    tilefold_geometry geometry;
    tilefold_message message = {""};
    if (tilefold_geometry_init(&geometry, &made->problem, &message) != TILEFOLD_OK) fail_geometry(made, message.text);
    if (way != BY_PHASE) tilefold_geometry_fold(&geometry);
    if (way == MERGED) tilefold_geometry_merge(&geometry);
    return geometry;
}

/* The weights of a part's class: the geometry has no class for a part without taps. */
static tilefold_axis_class get_class(const tilefold_axis *axis, const tilefold_axis_part *part) {
    return part->taps ? tilefold_axis_get_class(axis, part->class_index) : (tilefold_axis_class){0};
}

/* Whether output x of the part's fold f at position q has exactly the taps it must, in ascending order, reading where it
 * must. */
static bool taps_are_right(const tilefold_axis *axis, const tilefold_axis_part *part, int64_t q, int64_t f, int64_t x) {
    tilefold_axis_class class = get_class(axis, part);
    int64_t j = 0;
    for (int64_t k = 0; k < axis->kernel; k++) {
        int64_t numerator = x * axis->stride + k * axis->tap_step + axis->origin;
        if (numerator % axis->input_dilation != 0) continue;
        if (j >= part->taps || class.tap_first + j * class.tap_step + f != k) return false;
        if (part->in_first + q * part->in_step + j * part->in_tap != numerator / axis->input_dilation) return false;
        j++;
    }
    return j == part->taps && (!part->taps || class.taps == part->taps);
}

/* A part's folds of one class, and how many of those there are. */
static int64_t count_shares(const tilefold_axis *axis) { return axis->merged ? 2 : 1; }

static const char *parts_fault(const tilefold_axis *axis) {
    int64_t *seen = calloc((size_t)axis->output, sizeof *seen);
    const char *fault = NULL;
    for (int64_t index = 0; index < tilefold_axis_parts(axis); index++) {
        const tilefold_axis_part whole = tilefold_axis_get_part(axis, index);
        int64_t folds = 0;
        for (int64_t class = 0; class < count_shares(axis); class ++) {
            tilefold_axis_part part = tilefold_axis_share_part(axis, &whole, class);
            folds += part.folds;
            for (int64_t at = 0; at < part.count * part.folds; at++) {
                int64_t q = at / part.folds, f = part.fold_begin + at % part.folds;
                int64_t x = part.out_first + q * part.out_step + f * part.out_fold;
                if (x < 0 || x >= axis->output || seen[x]++)
                    fault = "an output is outside or in two parts";
                else if (!taps_are_right(axis, &part, q, f, x))
                    fault = "an output's taps are wrong";
            }
        }
        if (folds != whole.folds) fault = "the classes' shares are not the part";
    }
    for (int64_t x = 0; x < axis->output; x++) {
        if (!seen[x]) fault = "an output is in no part";
    }
    free(seen);
    return fault;
}

static const char *classes_fault(const tilefold_axis *axis) {
    int64_t *seen = calloc((size_t)axis->kernel, sizeof *seen);
    const char *fault = NULL;
    for (int64_t index = 0; index < tilefold_axis_classes(axis); index++) {
        tilefold_axis_class class = tilefold_axis_get_class(axis, index);
        for (int64_t f = 0; f < class.folds; f++) {
            for (int64_t j = 0; j < class.taps; j++) {
                int64_t k = class.tap_first + j * class.tap_step + f;
                if (k < 0 || k >= axis->kernel || seen[k]++) fault = "a tap is outside or in two classes";
            }
        }
    }
    for (int64_t k = 0; k < axis->kernel; k++) {
        if (!seen[k]) fault = "a tap is in no class";
    }
    free(seen);
    return fault;
}

/* Kinds are the parts that have outputs, counted. */
static const char *kinds_fault(const tilefold_axis *axis) {
    tilefold_axis_kind kinds[TILEFOLD_MAX_KINDS];
    int used = tilefold_axis_get_kinds(axis, kinds);
    if (used > TILEFOLD_MAX_KINDS) return "too many kinds";
    int64_t parts = 0;
    for (int64_t index = 0; index < tilefold_axis_parts(axis); index++) {
        const tilefold_axis_part whole = tilefold_axis_get_part(axis, index);
        for (int64_t class = 0; class < count_shares(axis); class ++) {
            tilefold_axis_part part = tilefold_axis_share_part(axis, &whole, class);
            if (part.count == 0 || part.folds == 0) continue;
            parts++;
            int i = 0;
            while (i < used && (kinds[i].parts == 0 || kinds[i].count != part.count || kinds[i].taps != part.taps ||
                                kinds[i].folds != part.folds)) {
                i++;
            }
            if (i == used) return "a part is of no kind, or there are more of its kind than counted";
            kinds[i].parts--;
        }
    }
    for (int i = 0; i < used; i++) {
        if (kinds[i].parts) return "fewer parts of a kind than counted";
    }
    return parts ? NULL : "no parts";
}

static void check_axes(const test_problem *made, cut way) {
    tilefold_geometry geometry = get_geometry(made, way);
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        const tilefold_axis *axis = &geometry.axis[at];
        const char *fault = parts_fault(axis);
        if (!fault) fault = classes_fault(axis);
        if (!fault) fault = kinds_fault(axis);
        if (fault) fail_geometry(made, fault);
    }
    if (tilefold_geometry_macs(&geometry) != oracle_macs(&made->problem)) fail_geometry(made, "macs");
    for (int at = 0; at < made->problem.rank; at++) {
        const tilefold_axis *axis = &geometry.axis[TILEFOLD_AXES - made->problem.rank + at];
        if (tilefold_axis_pairs(axis) != oracle_axis_pairs(&made->problem, at)) fail_geometry(made, "pairs");
    }
}

/* Whether the parts of a smaller problem are within what those of this one are said to have at most. */
static void check_smaller(const test_problem *made, cut way) {
    rng r = rng_make(made->seed, 21);
    test_problem smaller = *made;
    shrink_randomly(&smaller.problem, &r);
    if (!has_outputs(&smaller.problem)) return;
    tilefold_geometry geometry = get_geometry(made, way), small = get_geometry(&smaller, way);
    for (int at = 0; at < TILEFOLD_AXES; at++) {
        for (int64_t index = 0; index < tilefold_axis_parts(&small.axis[at]); index++) {
            tilefold_axis_part most = tilefold_axis_get_largest_part(&geometry.axis[at], index);
            tilefold_axis_part part = tilefold_axis_get_part(&small.axis[at], index);
            if (part.count == 0) continue;
            if (part.count > most.count || part.folds > most.folds || part.taps != most.taps)
                fail_geometry(made, "a part is larger in a smaller problem");
        }
    }
}

static void test_axes(void **state) {
    (void)state;
    problem_run run = begin_problems(6000);
    int64_t folded = 0;
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_problem(problem_seed(&run, i), 30000);
        tilefold_geometry geometry = get_geometry(&made, BY_PHASE);
        check_axes(&made, BY_PHASE);
        check_smaller(&made, BY_PHASE);
        if (!tilefold_geometry_can_fold(&geometry)) continue;
        check_axes(&made, FOLDED);
        check_axes(&made, MERGED);
        check_smaller(&made, FOLDED);
        folded++;
    }
    if (!run.single) assert_true(folded > run.count / 50);
}

/* Marks the outputs of one tile; false where one is outside or was marked before. */
static bool mark_tile(const tilefold_geometry *g, const tilefold_tiling *tiling, const tilefold_tile *tile,
                      unsigned char *seen) {
    const tilefold_axis_part *part = tile->part;
    for (int64_t position = tile->position_begin; position < tile->position_end; position++) {
        int64_t q[3] = {position / part[2].count / part[1].count, position / part[2].count % part[1].count,
                        position % part[2].count};
        if (q[0] >= part[0].count) return false;
        for (int64_t column = tile->column_begin; column < tile->column_end; column++) {
            int64_t o = tile->group * tiling->columns + column % tiling->columns, fold = column / tiling->columns;
            int64_t f[3] = {fold / part[2].class_folds / part[1].class_folds,
                            fold / part[2].class_folds % part[1].class_folds, fold % part[2].class_folds};
            int64_t at = tile->image * g->groups * g->out_channels + o;
            bool wanted = true;
            for (int a = 0; a < 3; a++) {
                int64_t x = part[a].out_first + q[a] * part[a].out_step + f[a] * part[a].out_fold;
                wanted = wanted && f[a] >= part[a].fold_begin && f[a] < part[a].fold_begin + part[a].folds;
                if (wanted && (x < 0 || x >= g->axis[a].output)) return false;
                at = at * g->axis[a].output + x;
            }
            if (wanted && seen[at]++) return false;
        }
    }
    return true;
}

static tilefold_tiling random_tiling(const tilefold_geometry *g, rng *r) {
    bool all_groups = rng_percent(r, 20);
    tilefold_tiling t = {.groups = all_groups ? 1 : g->groups,
                         .columns = g->out_channels * (all_groups ? g->groups : 1)};
    t.position_granule = RNG_PICK(r, 1, 1, 6, 8, 14, 16);
    t.positions = t.position_granule * rng_range(r, 1, 12);
    t.column_granule = RNG_PICK(r, 1, 4, 16, 32, 48);
    t.block_columns = t.column_granule * rng_range(r, 1, 6);
    return t;
}

/* Walks all tiles, or every second one and then the others, as two threads would. */
static void check_tiles(const test_problem *made, cut way) {
    rng r = rng_make(made->seed, 7);
    tilefold_geometry g = get_geometry(made, way);
    tilefold_tiling tiling = random_tiling(&g, &r);
    int64_t outputs = g.batch * g.groups * g.out_channels, step = rng_range(&r, 1, 3);
    for (int a = 0; a < 3; a++) outputs *= g.axis[a].output;
    unsigned char *seen = calloc((size_t)outputs + 1, 1);
    int64_t total = tilefold_tiles_total(&g, &tiling);
    for (int64_t start = 0; start < step; start++) {
        tilefold_tile_walk walk;
        if (start >= total) break;
        tilefold_tile_walk_init(&walk, &g, &tiling);
        for (int64_t number = start; number < total; number += step) {
            const tilefold_tile *tile = tilefold_tile_walk_to(&walk, number);
            if (tile->position_end - tile->position_begin > tiling.positions ||
                tile->column_end - tile->column_begin > tiling.block_columns ||
                tile->position_begin >= tile->position_end || tile->column_begin >= tile->column_end) {
                fail_geometry(made, "a tile is empty or too large");
            }
            if (!mark_tile(&g, &tiling, tile, seen)) fail_geometry(made, "an output is outside or in two tiles");
        }
    }
    for (int64_t i = 0; i < outputs; i++) {
        if (!seen[i]) fail_geometry(made, "an output is in no tile");
    }
    free(seen);
}

static void test_tiles(void **state) {
    (void)state;
    problem_run run = begin_problems(4000);
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_problem(problem_seed(&run, i), 30000);
        tilefold_geometry geometry = get_geometry(&made, BY_PHASE);
        check_tiles(&made, BY_PHASE);
        if (!tilefold_geometry_can_fold(&geometry)) continue;
        check_tiles(&made, FOLDED);
        check_tiles(&made, MERGED);
    }
}

/* Large coprime strides, where parts can only be counted, not walked: kinds account for every output and every tap. */
static void test_large_axes(void **state) {
    (void)state;
    problem_run run = begin_problems(2000);
    for (int64_t i = 0; i < run.count; i++) {
        rng r = rng_make(problem_seed(&run, i), 8);
        test_problem made = {.seed = problem_seed(&run, i)};
        tilefold_problem *p = &made.problem;
        tilefold_problem_init(p, TILEFOLD_CONV, TILEFOLD_F32, 1);
        p->input_size[0] = rng_range(&r, 1, 3000);
        p->kernel[0] = rng_range(&r, 1, 60);
        p->stride[0] = rng_range(&r, 1, INT64_C(1) << rng_range(&r, 1, 20));
        p->dilation[0] = rng_range(&r, 1, INT64_C(1) << rng_range(&r, 1, 20));
        p->input_dilation[0] = rng_range(&r, 1, INT64_C(1) << rng_range(&r, 1, 12));
        p->padding_begin[0] = rng_range(&r, 0, 1000000);
        p->padding_end[0] = p->dilation[0] * (p->kernel[0] - 1) + rng_range(&r, 0, 1000000);
        assert_int_equal(tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_FIRST, NULL), TILEFOLD_OK);
        tilefold_geometry geometry = get_geometry(&made, BY_PHASE);
        int64_t outputs = 0;
        tilefold_axis_kind kinds[TILEFOLD_MAX_KINDS];
        int used = tilefold_axis_get_kinds(&geometry.axis[TILEFOLD_AXES - 1], kinds);
        for (int kind = 0; kind < used; kind++) outputs += kinds[kind].parts * kinds[kind].count * kinds[kind].folds;
        if (outputs != oracle_output_size(p, 0)) fail_geometry(&made, "kinds do not account for every output");
        if (tilefold_geometry_macs(&geometry) != oracle_macs(p)) fail_geometry(&made, "macs");
    }
}

/* From outside: after every tile the outputs that it wrote are counted and blotted out, so that a later tile that writes
 * one of them again is seen. */
typedef struct tally {
    tensors *tensors;
    unsigned char *written; /* how often, for each output */
} tally;

static bool count_written(void *user, int64_t done, int64_t total) {
    (void)done, (void)total;
    tally *seen = user;
    const tensors *t = seen->tensors;
    size_t size = tilefold_type_bytes(t->made.problem.type);
    unsigned char pattern[8];
    fill_pattern(pattern, sizeof pattern);
    for (int64_t i = 0; i < t->output_view.elements; i++) {
        size_t offset = (size_t)(t->output_offset[i] - t->output_view.low) * size;
        if (memcmp(t->output.data + offset, pattern + offset % 4, size) == 0) continue;
        seen->written[i]++;
        memcpy(t->output.data + offset, pattern + offset % 4, size);
    }
    return true;
}

static void check_written_once(const test_problem *made, const way *w) {
    bool declined;
    tilefold_plan *plan = make_plan(made, w, &declined);
    if (!plan && declined) return;
    if (!plan) fail_problem(made, w, "no plan");
    tensors t = make_tensors(made);
    tally seen = {&t, calloc((size_t)t.output_view.elements + 1, 1)};
    prepared p;
    tilefold_message message = {""};
    assert_int_equal(prepare_execution(plan, &t, &p, &message), TILEFOLD_OK);
    p.execution.progress = count_written;
    p.execution.progress_user = &seen;
    if (tilefold_execute(plan, &p.execution, &message) != TILEFOLD_OK) fail_problem(made, w, message.text);
    for (int64_t i = 0; i < t.output_view.elements; i++) {
        if (seen.written[i] != 1) fail_problem(made, w, "an output was not written by exactly one tile");
    }
    finish_execution(&p);
    free(seen.written);
    free_tensors(&t);
    tilefold_plan_destroy(plan);
}

static void test_outputs_written_once(void **state) {
    (void)state;
    problem_run run = begin_problems(600);
    for (int64_t i = 0; i < run.count; i++) {
        test_problem made = make_problem(problem_seed(&run, i), 20000);
        made.data = DATA_INTEGER; /* never a NaN, and so never the pattern */
        for (int algorithm = TILEFOLD_ALGORITHM_UNFOLD; algorithm <= TILEFOLD_ALGORITHM_DIRECT; algorithm++) {
            way w = {best_isa(), 1, POOL_LIBRARY, (tilefold_algorithm)algorithm, true, INT64_MAX};
            int64_t least = least_limit(&made, &w);
            if (least >= 0) w.limit = least + 1024 * (i % 4);
            check_written_once(&made, &w);
        }
    }
}

static int close_all(void **state) {
    (void)state;
    close_contexts();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_axes),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_large_axes),
        cmocka_unit_test(test_outputs_written_once),
    };
    return cmocka_run_group_tests_name("geometry", tests, NULL, close_all);
}
