/* See shader_code.h. A loop is what lies between a branch and the block before it that it goes back to.
 *
 * SPDX-License-Identifier: MIT
 */
#include "shader_code.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BLOCKS = 16384, MAX_LOOPS = 4096 };

typedef struct span {
    const char *begin, *end;
} span;

typedef struct text {
    const char *blocks[MAX_BLOCKS]; /* where each begins */
    span loops[MAX_LOOPS];
    int loop_count;
} text;

static const char *line_end(const char *line) {
    const char *end = strchr(line, '\n');
    return end ? end : line + strlen(line);
}

static const char *next_line(const char *line) {
    const char *end = line_end(line);
    return *end ? end + 1 : end;
}

static int count_words(const char *line, const char *word) {
    const char *end = line_end(line);
    int count = 0;
    for (const char *at = strstr(line, word); at && at < end; at = strstr(at + 1, word)) count++;
    return count;
}

static bool has(const char *line, const char *word) { return count_words(line, word) > 0; }

/* The block that a line jumps to, or -1. */
static int branch_target(const char *line) {
    char name[32];
    int block;
    if (sscanf(line, " %31s BB%d", name, &block) != 2) return -1;
    bool branch = strcmp(name, "s_branch") == 0 || strncmp(name, "s_cbranch", 9) == 0;
    return branch && block >= 0 && block < MAX_BLOCKS ? block : -1;
}

static void find_loops(const char *code, text *t) {
    for (const char *line = code; *line; line = next_line(line)) {
        int block = -1;
        if (*line != '\t') {
            if (sscanf(line, "BB%d:", &block) == 1 && block >= 0 && block < MAX_BLOCKS) t->blocks[block] = line;
            continue;
        }
        block = branch_target(line);
        if (block >= 0 && t->blocks[block] && t->loop_count < MAX_LOOPS)
            t->loops[t->loop_count++] = (span){t->blocks[block], line_end(line)};
    }
}

static shader_loop count_loop(span s) {
    shader_loop l = {0};
    for (const char *line = s.begin; line < s.end; line = next_line(line)) {
        if (*line != '\t') continue;
        l.instructions++;
        l.multiply_adds += count_words(line, "fma_f32") + count_words(line, "fmac_f32");
        l.shared_loads += has(line, "\tds_read") || has(line, "\tds_load");
        l.loads += has(line, "\tbuffer_load") || has(line, "\tglobal_load") || has(line, "\timage_load");
        l.shared_waits += has(line, "\ts_waitcnt") && has(line, "lgkmcnt");
        l.waits += has(line, "\ts_waitcnt") && has(line, "vmcnt");
    }
    return l;
}

static bool within(span inner, span outer) {
    return outer.begin <= inner.begin && inner.end <= outer.end &&
           (outer.begin != inner.begin || outer.end != inner.end);
}

/* Branches of one loop's `continue` go back to the same block: the longest of them is the loop. What has no multiply-adds in it,
 * a loop over the lanes for a descriptor say, is no loop here. */
static bool is_innermost(const text *t, int index) {
    for (int i = 0; i < t->loop_count; i++) {
        bool same = t->loops[i].begin == t->loops[index].begin;
        if (same && t->loops[i].end > t->loops[index].end) return false;
        if (!same && within(t->loops[i], t->loops[index]) && count_loop(t->loops[i]).multiply_adds > 0) return false;
    }
    return true;
}

shader_loops shader_code_find_loops(const char *code) {
    text *t = calloc(1, sizeof *t);
    shader_loops found = {{0}, {0}};
    span inner = {NULL, NULL}, outer = {NULL, NULL};
    if (!t) abort();
    find_loops(code, t);
    for (int i = 0; i < t->loop_count; i++) {
        if (!is_innermost(t, i)) continue;
        shader_loop l = count_loop(t->loops[i]);
        if (l.multiply_adds <= found.inner.multiply_adds) continue;
        found.inner = l;
        inner = t->loops[i];
    }
    for (int i = 0; i < t->loop_count && inner.begin; i++)
        if (t->loops[i].begin != inner.begin && within(inner, t->loops[i]) &&
            (!outer.begin || within(t->loops[i], outer)))
            outer = t->loops[i];
    found.outer = outer.begin ? count_loop(outer) : found.inner;
    free(t);
    return found;
}
