/* SHA-512 (FIPS 180-4), in pieces. */
#ifndef LEAF_SHA512_H
#define LEAF_SHA512_H

#include <stdint.h>

enum { SHA512_BYTES = 64, SHA512_BLOCK_BYTES = 128 };

struct sha512 {
    uint64_t state[8];
    uint64_t block[SHA512_BLOCK_BYTES / 8];
    uint32_t size; /* bytes so far; a leaf never hashes half a GiB */
};

void sha512_start(struct sha512 *hash);
void sha512_add(struct sha512 *hash, const uint8_t *data, uint32_t size);
/* Writes the first `size` bytes of the digest. */
void sha512_end(struct sha512 *hash, uint8_t *out, uint32_t size);
/* The first `size` bytes of the digest of two pieces. */
void sha512_pair(uint8_t *out, uint32_t size, const uint8_t *first, uint32_t first_bytes,
                 const uint8_t *second, uint32_t second_bytes);

#endif
