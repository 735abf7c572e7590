/* SPDX-License-Identifier: MIT */
/* Lists of kernels. A kernel family is written once, as an inline function whose tile is a constant argument; an
 * instruction set's list of tiles makes functions of it and fills in the table. For example
 *
 *     #define TILES(TILE) ROWS_14(TILE, 1) ROWS_14(TILE, 2) ROWS_9(TILE, 3) ROWS_6(TILE, 4)
 *
 * stands for TILE(nv, mr) of every mr up to 14, 14, 9 and 6, for nv of 1, 2, 3 and 4.
 */
#ifndef TILEFOLD_CPU_TILE_LISTS_H
#define TILEFOLD_CPU_TILE_LISTS_H

#define ROWS_1(TILE, nv) TILE(nv, 1)
#define ROWS_2(TILE, nv) ROWS_1(TILE, nv) TILE(nv, 2)
#define ROWS_3(TILE, nv) ROWS_2(TILE, nv) TILE(nv, 3)
#define ROWS_4(TILE, nv) ROWS_3(TILE, nv) TILE(nv, 4)
#define ROWS_5(TILE, nv) ROWS_4(TILE, nv) TILE(nv, 5)
#define ROWS_6(TILE, nv) ROWS_5(TILE, nv) TILE(nv, 6)
#define ROWS_7(TILE, nv) ROWS_6(TILE, nv) TILE(nv, 7)
#define ROWS_8(TILE, nv) ROWS_7(TILE, nv) TILE(nv, 8)
#define ROWS_9(TILE, nv) ROWS_8(TILE, nv) TILE(nv, 9)
#define ROWS_10(TILE, nv) ROWS_9(TILE, nv) TILE(nv, 10)
#define ROWS_11(TILE, nv) ROWS_10(TILE, nv) TILE(nv, 11)
#define ROWS_12(TILE, nv) ROWS_11(TILE, nv) TILE(nv, 12)
#define ROWS_13(TILE, nv) ROWS_12(TILE, nv) TILE(nv, 13)
#define ROWS_14(TILE, nv) ROWS_13(TILE, nv) TILE(nv, 14)

/* Only where the tile is a constant and its loops are unrolled do the sums stay in registers. Under a sanitizer or without
 * optimisation they do not anyway, and its checks in hundreds of unrolled functions would take compilers minutes. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#if defined(SANITIZED) || !defined(__OPTIMIZE__)
#define ALWAYS_INLINE static inline
#define UNROLL
#elif defined(__clang__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")
#endif

#endif
