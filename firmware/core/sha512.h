/* SHA-512 (FIPS 180-4), in pieces. */
#ifndef LEAF_SHA512_H
#define LEAF_SHA512_H

#include <stdint.h>

enum { SHA512_BYTES = 64, SHA512_BLOCK_BYTES = 128 };

struct sha512 {
    uint64_t state[8];
    uint8_t block[SHA512_BLOCK_BYTES];
    uint32_t size; /* bytes so far; a leaf never hashes 4 GiB */
};

void sha512_start(struct sha512 *hash);
void sha512_add(struct sha512 *hash, const uint8_t *data, uint32_t size);
void sha512_end(struct sha512 *hash, uint8_t out[SHA512_BYTES]);

#endif
