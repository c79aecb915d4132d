#include "words.h"

void words_copy(uint32_t *to, const uint32_t *from)
{
    for (uint32_t i = 0; i < WORDS; i++)
        to[i] = from[i];
}

int32_t words_sum(uint32_t *out, const uint32_t *a, const uint32_t *b, int32_t sign)
{
    uint64_t carry = (uint32_t)-sign; /* a - b = a + ~b + 1 */
    for (uint32_t i = 0; i < WORDS; i++) {
        carry += (uint64_t)a[i] + (b[i] ^ (uint32_t)sign);
        out[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return (int32_t)carry + sign;
}

void words_choose(uint32_t *to, const uint32_t *from, uint32_t words, uint32_t flag)
{
    uint32_t mask = 0 - flag;
    for (uint32_t i = 0; i < words; i++)
        to[i] ^= mask & (to[i] ^ from[i]);
}

void words_reduce(uint32_t *number, const uint32_t *modulus)
{
    uint32_t less[WORDS];
    uint32_t fits = (uint32_t)(words_sum(less, number, modulus, MINUS) + 1);
    words_choose(number, less, WORDS, fits);
}

void words_multiply(uint32_t *out, const uint32_t *a, uint32_t words, const uint32_t *b)
{
    for (uint32_t i = 0; i < words + WORDS; i++)
        out[i] = 0;
    for (uint32_t i = 0; i < words; i++) {
        uint64_t carry = 0;
        for (uint32_t j = 0; j < WORDS; j++) {
            carry += (uint64_t)a[i] * b[j] + out[i + j];
            out[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        out[i + WORDS] = (uint32_t)carry;
    }
}
