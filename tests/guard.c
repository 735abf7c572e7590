/* Guarded memory: see guard.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "guard.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CANARY = 0xc5 };

guarded guarded_new(size_t bytes, size_t alignment, bool at_end) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g = {.bytes = bytes, .page_bytes = (bytes + page - 1) / page * page};
    if (g.page_bytes == 0) g.page_bytes = page;
    unsigned char *map = mmap(NULL, g.page_bytes + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                              0);
    if (map == MAP_FAILED || mprotect(map, page, PROT_NONE) != 0 ||
        mprotect(map + page + g.page_bytes, page, PROT_NONE) != 0) {
        abort();
    }
    g.pages = map + page;
    size_t front = at_end ? (g.page_bytes - bytes) / alignment * alignment : 0;
    g.data = g.pages + front;
    memset(g.pages, CANARY, front);
    memset(g.data + bytes, CANARY, g.page_bytes - front - bytes);
    return g;
}

static bool all_canaries(const unsigned char *from, const unsigned char *to) {
    for (; from < to; from++) {
        if (*from != CANARY) return false;
    }
    return true;
}

bool guarded_intact(const guarded *g) {
    return all_canaries(g->pages, g->data) && all_canaries(g->data + g->bytes, g->pages + g->page_bytes);
}

void guarded_delete(guarded *g) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (g->pages) munmap(g->pages - page, g->page_bytes + 2 * page);
    *g = (guarded){0};
}

/* 0xffd1 twice over: a NaN as fp32, as fp16 and as bf16. */
void fill_pattern(void *memory, size_t bytes) {
    static const unsigned char pattern[4] = {0xd1, 0xff, 0xd1, 0xff};
    unsigned char *to = memory;
    size_t done = bytes < 4 ? bytes : 4;
    memcpy(to, pattern, done);
    for (size_t more; done < bytes; done += more) { /* what there is, once more */
        more = done < bytes - done ? done : bytes - done;
        memcpy(to + done, to, more);
    }
}

bool holds_pattern(const guarded *g) {
    unsigned char pattern[4];
    fill_pattern(pattern, sizeof pattern);
    for (size_t i = 0; i < g->bytes; i++) {
        if (g->data[i] != pattern[i % 4]) return false;
    }
    return true;
}
