/* The list of problems: see problems.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "problems.h"

#include <stdio.h>
#include <stdlib.h>

/* Entries that are 0 take the default, 1, where 0 would make no sense. */
typedef struct entry {
    const char *name;
    tilefold_op op;
    int32_t rank;
    int64_t batch, in, out, groups;
    int64_t input[3], kernel[3], stride[3], dilation[3], input_dilation[3], begin[3], end[3], output_padding[3];
    bool flip;
} entry;

#define CONV .op = TILEFOLD_CONV
#define TRANSPOSED .op = TILEFOLD_CONV_TRANSPOSE

static const entry entries[] = {
    {"3x3", CONV, .rank = 2, .batch = 2, .in = 40, .out = 34, .input = {9, 10}, .kernel = {3, 3}, .begin = {1, 1},
     .end = {1, 1}},
    {"1x1", CONV, .rank = 2, .in = 96, .out = 70, .input = {14, 9}},
    {"1x1 strided", CONV, .rank = 2, .in = 64, .out = 33, .input = {15, 18}, .stride = {2, 2}},
    {"7x7 of an image", CONV, .rank = 2, .in = 3, .out = 40, .input = {25, 30}, .kernel = {7, 7}, .stride = {2, 2},
     .begin = {3, 3}, .end = {3, 3}},
    {"patches", CONV, .rank = 2, .in = 3, .out = 50, .input = {32, 48}, .kernel = {16, 16}, .stride = {16, 16}},
    {"long sum", CONV, .rank = 2, .in = 1500, .out = 36, .input = {4, 4}, .kernel = {3, 3}},
    {"long kernel", CONV, .rank = 1, .in = 1, .out = 66, .input = {12288}, .kernel = {4096}, .stride = {1024}},
    {"long row", CONV, .rank = 1, .in = 2, .out = 5, .input = {30000}, .kernel = {3}, .begin = {1}, .end = {1}},
    {"dilated", CONV, .rank = 2, .in = 36, .out = 21, .input = {13, 14}, .kernel = {3, 3}, .dilation = {6, 6},
     .begin = {6, 6}, .end = {6, 6}},
    {"few outputs", CONV, .rank = 2, .in = 64, .out = 3, .input = {20, 24}, .kernel = {3, 3}, .begin = {1, 1},
     .end = {1, 1}},
    {"uneven groups", CONV, .rank = 2, .in = 85, .out = 119, .groups = 17, .input = {9, 10}, .kernel = {3, 3},
     .begin = {1, 0}, .end = {0, 2}},
    {"wide groups", CONV, .rank = 1, .in = 144, .out = 96, .groups = 3, .input = {31}, .kernel = {9}, .begin = {4},
     .end = {4}},
    {"depthwise", CONV, .rank = 2, .batch = 2, .in = 67, .out = 67, .groups = 67, .input = {19, 23}, .kernel = {3, 3},
     .begin = {1, 1}, .end = {1, 1}},
    {"depthwise strided", CONV, .rank = 2, .in = 48, .out = 48, .groups = 48, .input = {24, 21}, .kernel = {5, 5},
     .stride = {2, 2}, .begin = {2, 2}, .end = {1, 2}},
    {"depthwise 7x7", CONV, .rank = 2, .in = 96, .out = 96, .groups = 96, .input = {14, 14}, .kernel = {7, 7},
     .begin = {3, 3}, .end = {3, 3}},
    {"depthwise multiplied", CONV, .rank = 1, .in = 33, .out = 66, .groups = 33, .input = {90}, .kernel = {7},
     .dilation = {2}},
    {"3-D", CONV, .rank = 3, .in = 16, .out = 20, .input = {5, 6, 7}, .kernel = {3, 3, 3}, .begin = {1, 1, 1},
     .end = {1, 0, 2}},
    {"3-D depthwise", CONV, .rank = 3, .in = 20, .out = 20, .groups = 20, .input = {5, 9, 9}, .kernel = {3, 3, 3},
     .stride = {1, 2, 2}, .begin = {1, 1, 1}, .end = {1, 1, 1}},
    {"cropped", CONV, .rank = 2, .in = 31, .out = 29, .input = {20, 15}, .kernel = {3, 2}, .begin = {-3, 2},
     .end = {4, -5}},
    {"padding alone", CONV, .rank = 1, .in = 4, .out = 6, .input = {3}, .kernel = {3}, .begin = {-9}, .end = {15}},
    {"input-dilated", CONV, .rank = 2, .in = 30, .out = 24, .groups = 3, .input = {9, 8}, .kernel = {4, 5},
     .stride = {3, 1}, .dilation = {1, 2}, .input_dilation = {2, 4}, .begin = {5, 3}, .end = {2, 6}, .flip = true},
    {"inverse STFT, one channel", TRANSPOSED, .rank = 1, .in = 1, .out = 1, .input = {40}, .kernel = {4096},
     .stride = {1024}},
    {"inverse STFT", TRANSPOSED, .rank = 1, .in = 130, .out = 1, .input = {14}, .kernel = {1024}, .stride = {256}},
    {"upsampling by 8", TRANSPOSED, .rank = 1, .in = 48, .out = 40, .input = {30}, .kernel = {16}, .stride = {8},
     .begin = {4}, .end = {4}},
    {"2x2 stride 2", TRANSPOSED, .rank = 2, .in = 40, .out = 24, .input = {15, 13}, .kernel = {2, 2}, .stride = {2, 2}},
    {"4x4 stride 2", TRANSPOSED, .rank = 2, .in = 32, .out = 33, .input = {9, 10}, .kernel = {4, 4}, .stride = {2, 2},
     .begin = {1, 1}, .end = {1, 1}},
    {"9x9 stride 4", TRANSPOSED, .rank = 2, .in = 24, .out = 1, .input = {18, 16}, .kernel = {9, 9}, .stride = {4, 4},
     .begin = {4, 4}, .end = {4, 4}, .output_padding = {3, 3}},
    {"empty phases", TRANSPOSED, .rank = 2, .in = 19, .out = 17, .input = {8, 9}, .kernel = {2, 3}, .stride = {5, 4},
     .dilation = {1, 2}, .output_padding = {3, 0}},
    {"transposed, dilated", TRANSPOSED, .rank = 2, .in = 20, .out = 18, .input = {8, 9}, .kernel = {5, 3},
     .stride = {3, 2}, .dilation = {2, 3}, .begin = {9, 0}, .end = {1, -4}},
    {"transposed stride 1", TRANSPOSED, .rank = 2, .in = 36, .out = 20, .input = {12, 12}, .kernel = {3, 3},
     .begin = {1, 1}, .end = {1, 1}, .flip = true},
    {"depthwise upsampling", TRANSPOSED, .rank = 1, .in = 100, .out = 100, .groups = 100, .input = {50}, .kernel = {3},
     .stride = {2}, .begin = {1}, .end = {1}, .output_padding = {1}},
    {"transposed in groups", TRANSPOSED, .rank = 2, .in = 35, .out = 21, .groups = 7, .input = {10, 9},
     .kernel = {3, 4}, .stride = {2, 3}, .begin = {1, 7}, .end = {1, 0}},
    {"3-D upsampling", TRANSPOSED, .rank = 3, .in = 24, .out = 20, .input = {4, 5, 6}, .kernel = {2, 2, 2},
     .stride = {2, 2, 2}},
};

int listed_problems(void) { return (int)(sizeof entries / sizeof *entries); }

static void copy_axes(int64_t *to, const int64_t *from, int64_t least) {
    for (int a = 0; a < 3; a++) to[a] = from[a] == 0 ? least : from[a];
}

static void lay_out(test_problem *made, tilefold_layout layout) {
    if (tilefold_problem_set_layout(&made->problem, layout, NULL) == TILEFOLD_OK) return;
    fprintf(stderr, "refused: %s\n", describe_problem(made));
    abort();
}

test_problem listed_problem(int index, tilefold_type type, tilefold_type bias_type) {
    const entry *e = &entries[index];
    test_problem made = {.name = e->name, .seed = (uint64_t)index + 1, .data = DATA_WIDE};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, e->op, type, e->rank);
    p->bias_type = bias_type;
    p->batch = e->batch ? e->batch : 1;
    p->groups = e->groups ? e->groups : 1;
    p->in_channels = e->in;
    p->out_channels = e->out;
    copy_axes(p->input_size, e->input, 1);
    copy_axes(p->kernel, e->kernel, 1);
    copy_axes(p->stride, e->stride, 1);
    copy_axes(p->dilation, e->dilation, 1);
    copy_axes(p->input_dilation, e->input_dilation, 1);
    copy_axes(p->padding_begin, e->begin, 0);
    copy_axes(p->padding_end, e->end, 0);
    copy_axes(p->output_padding, e->output_padding, 0);
    p->flip = e->flip;
    lay_out(&made, TILEFOLD_CHANNELS_FIRST);
    return made;
}

test_problem founding_case_a(void) {
    test_problem made = {.name = "case A", .seed = 1};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV_TRANSPOSE, TILEFOLD_F32, 1);
    p->input_size[0] = 5158;
    p->kernel[0] = 4096;
    p->stride[0] = 1024;
    lay_out(&made, TILEFOLD_CHANNELS_LAST);
    return made;
}

test_problem founding_case_b(tilefold_type type, int64_t size) {
    test_problem made = {.name = "case B", .seed = 2};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV, type, 2);
    p->in_channels = p->out_channels = 64;
    for (int a = 0; a < 2; a++) {
        p->input_size[a] = size;
        p->kernel[a] = 3;
        p->padding_begin[a] = p->padding_end[a] = 1;
    }
    lay_out(&made, TILEFOLD_CHANNELS_FIRST);
    return made;
}

int list_step(void) {
    const char *scale = getenv("TILEFOLD_TEST_SCALE");
    double share = scale ? strtod(scale, NULL) : 1.0;
    return share >= 1.0 ? 1 : share >= 0.5 ? 2 : 5; /* coprime to 3, by which types are dealt out */
}

test_problem named_problem(const char *name, tilefold_type type, tilefold_type bias_type) {
    for (int index = 0; index < listed_problems(); index++) {
        if (strcmp(entries[index].name, name) == 0) return listed_problem(index, type, bias_type);
    }
    fprintf(stderr, "no problem is named %s\n", name);
    abort();
}

test_problem many_tiles_problem(void) {
    test_problem made = {.name = "many tiles", .seed = 9, .data = DATA_UNIT};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, TILEFOLD_CONV, TILEFOLD_F32, 2);
    p->in_channels = p->out_channels = 32;
    for (int axis = 0; axis < 2; axis++) {
        p->input_size[axis] = 64;
        p->kernel[axis] = 3;
        p->padding_begin[axis] = p->padding_end[axis] = 1;
    }
    if (tilefold_problem_set_layout(p, TILEFOLD_CHANNELS_LAST, NULL) != TILEFOLD_OK) abort();
    return made;
}
