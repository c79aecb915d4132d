/* In place of ed25519.c while fuzzing: every signature is right but those that begin with 0xFF. With
 * real ones no mutated program would ever come past the first check; ed25519.c has tests of its own.
 * Never part of a firmware: it is not in core/. */
#include "../core/bytes.h"
#include "../core/ed25519.h"

bool ed25519_verify(const uint8_t key[KEY_BYTES], const struct signed_text *text,
                    const uint8_t signature[SIGNATURE_BYTES])
{
    (void)key;
    (void)text;
    return signature[0] != 0xFF;
}

void ed25519_public(const uint8_t seed[KEY_BYTES], uint8_t key[KEY_BYTES])
{
    bytes_copy(key, seed, KEY_BYTES);
}

void ed25519_sign(const uint8_t seed[KEY_BYTES], const uint8_t key[KEY_BYTES],
                  const struct signed_text *text, uint8_t signature[SIGNATURE_BYTES])
{
    uint8_t sum = seed[0];
    (void)key;
    for (uint32_t i = 0; i < text->data_bytes; i++)
        sum = (uint8_t)(sum * 31 + text->data[i]);
    bytes_fill(signature, sum, SIGNATURE_BYTES);
}
