#include "sha512.h"

#include <stdbool.h>

#include "bytes.h"
#include "words.h"

enum { ROUNDS = 80, STATE_WORDS = 8, ROOT_BITS = 67, ROOT_WORDS = 3, DIVISOR_MAX = 20 };

/* Made once, since flash is dearer than RAM here, and the same for every leaf of a process. */
static uint64_t round_constant[ROUNDS], first_state[STATE_WORDS];

/* The first 64 bits of the fractional part of a prime's square or cube root (`power` 2 or 3), by
 * trying every bit: the root of prime * 2^(64 * power), whose power is not to reach it. */
static uint64_t root(uint32_t prime, uint32_t power)
{
    uint32_t x[WORDS], square[ROOT_WORDS + WORDS], cube[ROOT_WORDS + WORDS];
    bytes_fill((uint8_t *)x, 0, sizeof x);
    for (uint32_t i = ROOT_BITS; i-- > 0;) {
        x[i / 32] ^= 1u << i % 32;
        words_multiply(square, x, ROOT_WORDS, x);
        words_multiply(cube, x, ROOT_WORDS, square);
        if ((power == 2 ? square[4] : cube[6]) >= prime)
            x[i / 32] ^= 1u << i % 32;
    }
    return (uint64_t)x[1] << 32 | x[0];
}

static bool is_prime(uint32_t number)
{
    for (uint32_t divisor = 2; divisor < number && divisor <= DIVISOR_MAX; divisor++) {
        uint32_t multiple = divisor;
        while (multiple < number)
            multiple += divisor;
        if (multiple == number)
            return false;
    }
    return true;
}

/* FIPS 180-4, sections 4.2.3 and 5.3.5: roots of the first 80 and of the first 8 primes. */
static void make_constants(void)
{
    uint32_t prime = 1;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        do
            prime++;
        while (!is_prime(prime));
        round_constant[i] = root(prime, 3);
        if (i < STATE_WORDS)
            first_state[i] = root(prime, 2);
    }
}

enum { SHIFT = 0x80 };
#define TURNS(a, b, c) ((uint32_t)(c) << 16 | (uint32_t)(b) << 8 | (uint32_t)(a))

/* The four sigma functions of section 4.1.3: three rotations, of which the small ones' last is a
 * SHIFT. One function with numbers: a quarter of the code. */
static uint64_t sigma(uint64_t x, uint32_t turns)
{
    uint32_t sum_low = 0, sum_high = 0;
    for (; turns != 0; turns >>= 8) {
        uint32_t low = (uint32_t)x, high = (uint32_t)(x >> 32), by = turns & 31;
        if (turns & 32) {
            low = high;
            high = (uint32_t)x;
        }
        sum_low ^= low >> by | high << 1 << (31 - by);
        sum_high ^= high >> by;
        if (!(turns & SHIFT))
            sum_high ^= low << 1 << (31 - by);
    }
    return (uint64_t)sum_high << 32 | sum_low;
}

/* The message schedule is kept as a ring of its last 16 words, in place of the block. */
static void compress(struct sha512 *hash)
{
    uint64_t *w = hash->block, v[8];
    bytes_copy((uint8_t *)v, (const uint8_t *)hash->state, sizeof v);
    for (uint32_t t = 0; t < 80; t++) {
        if (t >= 16) {
            w[t & 15] += w[(t + 9) & 15] + sigma(w[(t + 1) & 15], TURNS(1, 8, SHIFT | 7)) +
                         sigma(w[(t + 14) & 15], TURNS(19, 61, SHIFT | 6));
        }
        uint64_t a = v[0], e = v[4];
        uint64_t first = v[7] + sigma(e, TURNS(14, 18, 41)) + (v[6] ^ (e & (v[5] ^ v[6]))) +
                         round_constant[t] + w[t & 15];
        uint64_t second = sigma(a, TURNS(28, 34, 39)) + ((a & (v[1] | v[2])) | (v[1] & v[2]));
        for (uint32_t i = 7; i > 0; i--)
            v[i] = v[i - 1];
        v[4] += first;
        v[0] = first + second;
    }
    for (uint32_t i = 0; i < 8; i++)
        hash->state[i] += v[i];
}

/* A word of the block is full once eight bytes have pushed out what was in it. */
static void add_byte(struct sha512 *hash, uint8_t byte)
{
    uint64_t *word = &hash->block[hash->size++ / 8 % 16];
    *word = *word << 8 | byte;
    if (hash->size % SHA512_BLOCK_BYTES == 0)
        compress(hash);
}

void sha512_start(struct sha512 *hash)
{
    if (first_state[0] == 0)
        make_constants();
    bytes_copy((uint8_t *)hash->state, (const uint8_t *)first_state, sizeof hash->state);
    hash->size = 0;
}

void sha512_add(struct sha512 *hash, const uint8_t *data, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        add_byte(hash, data[i]);
}

void sha512_end(struct sha512 *hash, uint8_t *out, uint32_t size)
{
    uint32_t bits = hash->size * 8;
    add_byte(hash, 0x80);
    while (hash->size % SHA512_BLOCK_BYTES != SHA512_BLOCK_BYTES - 16)
        add_byte(hash, 0);
    for (uint32_t i = 16; i-- > 0;) /* the length has 16 bytes, of which ours needs the last 4 */
        add_byte(hash, i < 4 ? (uint8_t)(bits >> 8 * i) : 0);
    for (uint32_t i = 0; i < size; i++)
        out[i] = ((const uint8_t *)hash->state)[i ^ 7];
}

void sha512_pair(uint8_t *out, uint32_t size, const uint8_t *first, uint32_t first_bytes,
                 const uint8_t *second, uint32_t second_bytes)
{
    struct sha512 hash;
    sha512_start(&hash);
    sha512_add(&hash, first, first_bytes);
    sha512_add(&hash, second, second_bytes);
    sha512_end(&hash, out, size);
}
