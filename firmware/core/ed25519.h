/* Ed25519 (RFC 8032), small rather than fast: one field multiplication, one complete addition.
 *
 * Verification accepts what libsodium accepts: S below the group's order, a canonical public key,
 * neither key nor R of small order, and R equal to the bytes computed (no cofactor). Signing walks
 * through the same steps whatever the key. Derivation and tests: tests/firmware. */
#ifndef LEAF_ED25519_H
#define LEAF_ED25519_H

#include <stdbool.h>
#include <stdint.h>

enum { KEY_BYTES = 32, SIGNATURE_BYTES = 64 };

/* The message is context || data, so that a signature of one kind is never one of another. */
struct signed_text {
    const uint8_t *context;
    uint32_t context_bytes;
    const uint8_t *data;
    uint32_t data_bytes;
};

bool ed25519_verify(const uint8_t key[KEY_BYTES], const struct signed_text *text,
                    const uint8_t signature[SIGNATURE_BYTES]);
void ed25519_public(const uint8_t seed[KEY_BYTES], uint8_t key[KEY_BYTES]);
/* `key` is the seed's own: a signature with another one would give the seed away. */
void ed25519_sign(const uint8_t seed[KEY_BYTES], const uint8_t key[KEY_BYTES],
                  const struct signed_text *text, uint8_t signature[SIGNATURE_BYTES]);

#endif
