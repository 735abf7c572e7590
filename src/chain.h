/* The order of a sum, and how it is cut into blocks.
 *
 * SPDX-License-Identifier: MIT
 *
 * A sum runs over blocks of TILEFOLD_CHANNEL_BLOCK channels of a group (the last one shorter), within a block over the taps,
 * within a tap over the block's channels. That order is part of what tilefold promises (tilefold.h, THE SAME BITS). With five
 * channels, channel blocks of two and taps a, b, c:
 *
 *     chain     a0 a1 b0 b1 c0 c1 | a2 a3 b2 b3 c2 c3 | a4 b4 c4
 *     k         0  1  2  3  4  5    6  7  8  9  10 11   12 13 14
 *
 * so that the input that a channel block's taps share stays in the first-level cache for all of them. What is computed at once
 * is a consecutive stretch of the chain: several channel blocks with all taps, some taps of one channel block, or some of its
 * channels at one tap.
 */
#ifndef TILEFOLD_CHAIN_H
#define TILEFOLD_CHAIN_H

#include <tilefold.h>

/* How much of a sum is computed at once, at most: `channels` is a multiple of a channel block, or all there are, or less than
 * one block; `taps` is all there are where there is more than one channel block, and 1 where there is less than one. */
typedef struct tilefold_block_size {
    int64_t taps, channels;
} tilefold_block_size;

/* A stretch of the chain. */
typedef struct tilefold_block {
    int64_t tap_begin, tap_end, channel_begin, channel_end;
} tilefold_block;

static inline int64_t tilefold_chain_least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Where the channel block of a channel ends. */
static inline int64_t tilefold_channel_block_end(int64_t channel, int64_t channels) {
    return tilefold_chain_least(channels,
                                channel / TILEFOLD_CHANNEL_BLOCK * TILEFOLD_CHANNEL_BLOCK + TILEFOLD_CHANNEL_BLOCK);
}

/* The block that begins at a tap and a channel, of a sum over so many. */
static inline tilefold_block tilefold_block_at(int64_t tap, int64_t channel, const tilefold_block_size *size,
                                               int64_t taps, int64_t channels) {
    int64_t end = tilefold_chain_least(channels, channel + size->channels);
    if (size->channels < TILEFOLD_CHANNEL_BLOCK)
        end = tilefold_chain_least(end, tilefold_channel_block_end(channel, channels));
    return (tilefold_block){tap, tilefold_chain_least(taps, tap + size->taps), channel, end};
}

static inline bool tilefold_block_is_last(const tilefold_block *block, int64_t taps, int64_t channels) {
    return block->tap_end == taps && block->channel_end == channels;
}

/* The block after one that is not the last. */
static inline tilefold_block tilefold_block_after(const tilefold_block *block, const tilefold_block_size *size,
                                                  int64_t taps, int64_t channels) {
    int64_t channel_block = block->channel_begin / TILEFOLD_CHANNEL_BLOCK * TILEFOLD_CHANNEL_BLOCK;
    if (block->channel_end < tilefold_channel_block_end(block->channel_begin, channels)) /* the rest of the tap */
        return tilefold_block_at(block->tap_begin, block->channel_end, size, taps, channels);
    if (block->tap_end < taps) return tilefold_block_at(block->tap_end, channel_block, size, taps, channels);
    return tilefold_block_at(0, block->channel_end, size, taps, channels);
}

/* How many multiply-adds a block is, for one output. */
static inline int64_t tilefold_block_length(const tilefold_block *block) {
    return (block->tap_end - block->tap_begin) * (block->channel_end - block->channel_begin);
}

/* k of the block's first multiply-add. */
static inline int64_t tilefold_block_offset(const tilefold_block *block, int64_t taps, int64_t channels) {
    int64_t begin = block->channel_begin / TILEFOLD_CHANNEL_BLOCK * TILEFOLD_CHANNEL_BLOCK;
    int64_t width = tilefold_channel_block_end(begin, channels) - begin;
    return begin * taps + block->tap_begin * width + block->channel_begin - begin;
}

#endif /* TILEFOLD_CHAIN_H */
