/* Counting memory: see counting.h.
 *
 * SPDX-License-Identifier: MIT
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "counting.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* ------------------------------------------------------------------------------------------------------- ledger ---- */

/* Before each block, at its alignment of 64, its size. */
enum { PREFIX = 64 };

static void *system_memory(const ledger *l, size_t bytes) {
    if (!l->from_pages) return aligned_alloc(64, (bytes + 63) / 64 * 64);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void *allocate(void *user, size_t bytes, size_t alignment) {
    ledger *l = user;
    if (alignment == 0 || alignment > 64 || (alignment & (alignment - 1)) || bytes == 0) l->misused = true;
    if (++l->calls == l->fail_at) return NULL;
    char *block = system_memory(l, bytes + PREFIX);
    if (!block) return NULL;
    memcpy(block, &bytes, sizeof bytes);
    memset(block + PREFIX, 0xd1, bytes);
    l->live += (int64_t)bytes;
    if (l->live > l->peak) l->peak = l->live;
    return block + PREFIX;
}

static void release(void *user, void *memory, size_t bytes) {
    ledger *l = user;
    char *block = (char *)memory - PREFIX;
    size_t allocated;
    memcpy(&allocated, block, sizeof allocated);
    if (allocated != bytes) l->misused = true;
    l->live -= (int64_t)allocated;
    if (l->from_pages)
        munmap(block, allocated + PREFIX);
    else
        free(block);
}

tilefold_allocator ledger_allocator(ledger *l) { return (tilefold_allocator){allocate, release, l}; }

/* --------------------------------------------------------------------------------------------------------- heap ---- */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

static atomic_llong calls, held, most;

int64_t heap_calls(void) { return atomic_load(&calls); }
int64_t heap_bytes(void) { return atomic_load(&held); }
int64_t heap_peak_bytes(void) { return atomic_load(&most); }
void heap_reset_peak(void) { atomic_store(&most, atomic_load(&held)); }

#if defined(__GLIBC__) && !defined(SANITIZED)

/* These take the place of glibc's, as its manual allows ("Replacing malloc"), and pass on to the same heap. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *memory);

bool heap_is_watched(void) { return true; }

static void *count_new(void *memory) {
    atomic_fetch_add(&calls, 1);
    long long bytes = (long long)malloc_usable_size(memory), now = atomic_fetch_add(&held, bytes) + bytes;
    for (long long was = atomic_load(&most); was < now && !atomic_compare_exchange_weak(&most, &was, now);) {}
    return memory;
}

static void count_old(void *memory) { atomic_fetch_sub(&held, (long long)malloc_usable_size(memory)); }

void *malloc(size_t bytes) { return count_new(__libc_malloc(bytes)); }

void *calloc(size_t count, size_t bytes) { return count_new(__libc_calloc(count, bytes)); }

void *realloc(void *memory, size_t bytes) {
    long long before = (long long)malloc_usable_size(memory);
    void *moved = count_new(__libc_realloc(memory, bytes));
    if (moved || bytes == 0) atomic_fetch_sub(&held, before);
    return moved;
}

void *aligned_alloc(size_t alignment, size_t bytes) { return count_new(__libc_memalign(alignment, bytes)); }

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    *memory = count_new(__libc_memalign(alignment, bytes));
    return *memory ? 0 : 12; /* ENOMEM */
}

void free(void *memory) {
    count_old(memory);
    __libc_free(memory);
}

#else

bool heap_is_watched(void) { return false; }

#endif
