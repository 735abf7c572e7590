/* The library's own threads.
 *
 * SPDX-License-Identifier: MIT
 *
 * A pool of n threads is whoever calls tilefold_pool_run() and n - 1 workers. It is made without them: the first runs that have
 * something for them start them, and never more than the run has indices. Where the system refuses one, those that there are
 * have to do; with none, a run is a loop in the calling thread. So a run cannot fail.
 */
#ifndef TILEFOLD_CPU_POOL_H
#define TILEFOLD_CPU_POOL_H

#include <stddef.h>
#include <stdint.h>

typedef struct tilefold_pool tilefold_pool;

/* What a pool of that many threads (>= 1) takes. */
size_t tilefold_pool_bytes(int32_t threads);

/* Makes one in memory of the caller's, tilefold_pool_bytes(threads) long. */
void tilefold_pool_open(tilefold_pool *pool, int32_t threads);

/* No run may be under way. Waits for the workers to end. */
void tilefold_pool_close(tilefold_pool *pool);

/* Does the equal of
 *     for (size_t i = 0; i < count; i++) task(argument, i);
 * in several threads, this one among them, and returns when all are done. `pool` is a tilefold_pool; the signature is that of
 * tilefold_parallel_for.
 *
 * May be called from several threads at once, which then share the workers, and from within a task. An index may be done by any
 * thread, and several by one: tasks must not wait for each other. In the child of a fork(), the pool starts workers anew. (Not
 * of a fork from within a task: what other threads were doing then, nobody does in the child.) */
void tilefold_pool_run(void *pool, void (*task)(void *argument, size_t index), void *argument, size_t count);

#endif /* TILEFOLD_CPU_POOL_H */
