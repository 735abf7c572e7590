/* The problems whose plans are held by a table, and the table: see choices.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "choices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Entries that are 0 take the default, 1, where 0 would make no sense. The same on all spatial axes. */
typedef struct entry {
    const char *name;
    tilefold_op op;
    tilefold_type type;
    tilefold_layout layout;
    int32_t rank;
    int64_t in, out, groups, input, kernel, stride, padding;
} entry;

#define CONV .op = TILEFOLD_CONV
#define TRANSPOSED .op = TILEFOLD_CONV_TRANSPOSE
#define FIRST .layout = TILEFOLD_CHANNELS_FIRST
#define LAST .layout = TILEFOLD_CHANNELS_LAST
#define F32 .type = TILEFOLD_F32
#define F16 .type = TILEFOLD_F16

static const entry entries[] = {
    {"3x3, 64 channels", CONV, F32, FIRST, 2, 64, 64, 1, 56, 3, 1, 1},
    {"3x3, 64 channels, last", CONV, F32, LAST, 2, 64, 64, 1, 56, 3, 1, 1},
    {"3x3, 512 channels", CONV, F32, FIRST, 2, 512, 512, 1, 7, 3, 1, 1},
    {"3x3 strided, 512 channels, last", CONV, F32, LAST, 2, 256, 512, 1, 14, 3, 2, 1},
    {"1x1", CONV, F32, FIRST, 2, 256, 64, 1, 56, 1, 1, 0},
    {"1x1, last", CONV, F32, LAST, 2, 256, 64, 1, 56, 1, 1, 0},
    {"1x1 of a 4x4 image", CONV, F32, FIRST, 2, 1, 1, 1, 4, 1, 1, 0},
    {"7x7 of an image", CONV, F32, FIRST, 2, 3, 64, 1, 224, 7, 2, 3},
    {"7x7 of an image, last", CONV, F32, LAST, 2, 3, 64, 1, 224, 7, 2, 3},
    {"3x3 to an image", CONV, F32, FIRST, 2, 64, 3, 1, 128, 3, 1, 1},
    {"depthwise", CONV, F32, FIRST, 2, 144, 144, 144, 56, 3, 1, 1},
    {"depthwise, last", CONV, F32, LAST, 2, 144, 144, 144, 56, 3, 1, 1},
    {"32 groups", CONV, F32, FIRST, 2, 128, 128, 32, 56, 3, 1, 1},
    {"32 groups, last", CONV, F32, LAST, 2, 256, 256, 32, 28, 3, 1, 1},
    {"half floats, founding case B", CONV, F16, FIRST, 2, 64, 64, 1, 512, 3, 1, 1},
    {"1-D, last", CONV, F32, LAST, 1, 80, 512, 1, 3000, 3, 1, 1},
    {"3-D", CONV, F32, FIRST, 3, 32, 32, 1, 24, 3, 1, 1},
    {"transposed 4x4", TRANSPOSED, F32, FIRST, 2, 128, 64, 1, 32, 4, 2, 1},
    {"transposed 2x2, last", TRANSPOSED, F32, LAST, 2, 128, 64, 1, 32, 2, 2, 0},
    {"inverse STFT, founding case A", TRANSPOSED, F32, LAST, 1, 1, 1, 1, 5158, 4096, 1024, 0},
};

int choice_problems(void) { return sizeof entries / sizeof entries[0]; }

test_problem choice_problem(int index) {
    const entry *e = &entries[index];
    test_problem made = {.name = e->name};
    tilefold_problem *p = &made.problem;
    tilefold_problem_init(p, e->op, e->type, e->rank);
    p->in_channels = e->in, p->out_channels = e->out, p->groups = e->groups;
    for (int a = 0; a < e->rank; a++) {
        p->input_size[a] = e->input, p->kernel[a] = e->kernel, p->stride[a] = e->stride;
        p->padding_begin[a] = p->padding_end[a] = e->padding;
    }
    if (tilefold_problem_set_layout(p, e->layout, NULL) != TILEFOLD_OK) abort();
    return made;
}

static char table[262144]; /* with a line's end before it, so that every line begins after one */

static void read_table(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "cannot open %s\n", path);
        exit(1);
    }
    size_t bytes = fread(table + 1, 1, sizeof table - 2, file);
    fclose(file);
    table[0] = '\n';
    table[1 + bytes] = 0;
}

static int look_up(const char *line) {
    char whole[CHOICE_LINE + 2];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr(table, whole)) return 0;
    fprintf(stderr, "not in the table: %s\n", line);
    return 1;
}

int compare_choices(const char *path, make_choices make) {
    read_table(path);
    return make(look_up);
}

static FILE *out;

static int write_line(const char *line) { return fprintf(out, "%s\n", line) < 0; }

int write_choices(const char *path, make_choices make) {
    read_table(path);
    out = fopen(path, "wb");
    if (!out) return 1;
    int faults = make(write_line);
    return fclose(out) != 0 || faults > 0;
}

bool find_choice(const char *beginning, char line[CHOICE_LINE]) {
    char after_a_line[CHOICE_LINE + 1];
    snprintf(after_a_line, sizeof after_a_line, "\n%s", beginning);
    const char *at = strstr(table, after_a_line);
    if (at) snprintf(line, CHOICE_LINE, "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
    return at != NULL;
}
