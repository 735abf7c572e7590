/* SHA-256, as FIPS 180-4 defines it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_SHA256_H
#define TILEFOLD_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct tilefold_sha256 {
    uint32_t state[8];
    uint64_t bytes;    /* added so far */
    uint8_t block[64]; /* those of them that fill no block yet */
} tilefold_sha256;

enum { TILEFOLD_SHA256_TEXT = 65 }; /* 64 hexadecimal digits and a NUL */

void tilefold_sha256_begin(tilefold_sha256 *hash);
void tilefold_sha256_add(tilefold_sha256 *hash, const void *data, size_t bytes);
void tilefold_sha256_end(tilefold_sha256 *hash, char text[TILEFOLD_SHA256_TEXT]);

#endif /* TILEFOLD_SHA256_H */
