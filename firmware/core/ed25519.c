/* Numbers modulo p = 2^255 - 19 are eight 32-bit words, least first, and need not be below p, only
 * below 2^256: since 2^256 = 38 (mod p), what overflows comes back times 38. Points are in extended
 * coordinates (RFC 8032, section 5.1.4); its addition formula is complete for this curve, so it also
 * doubles and knows no special cases. */
#include "ed25519.h"

#include "bytes.h"
#include "sha512.h"

enum { WORDS = 8 };
typedef uint32_t fe[WORDS];

struct point {
    fe x, y, z, t;
};

/* Formulas over points are short programs, since a call of a field operation takes seven times the
 * room of a line of those: 16 bits, operation | to | first | second, each a coordinate of one of
 * four points. */
enum operation { MULTIPLY, ADD, SUBTRACT, TIMES_D, ROOT };
enum place { PX, PY, PZ, PT, QX, QY, QZ, QT, X, Y, Z, T, A, B, C, D };
#define DO(operation, to, first, second) \
    (uint16_t)((operation) << 12 | (to) << 8 | (first) << 4 | (second))

static const fe CURVE_D = {
    0x135978a3, 0x75eb4dca, 0x4141d8ab, 0x00700a4d,
    0x7779e898, 0x8cc74079, 0x2b6ffe73, 0x52036cee,
};
static const fe SQRT_MINUS_1 = {
    0x4a0ea0b0, 0xc4ee1b27, 0xad2fe478, 0x2f431806,
    0x3dfbd7a7, 0x2b4d0099, 0x4fc1df0b, 0x2b832480,
};
static const fe BASE_X = {
    0x8f25d51a, 0xc9562d60, 0x9525a7b2, 0x692cc760,
    0xfdd6dc5c, 0xc0a4e231, 0xcd6e53fe, 0x216936d3,
};
static const fe BASE_Y = {
    0x66666658, 0x66666666, 0x66666666, 0x66666666,
    0x66666666, 0x66666666, 0x66666666, 0x66666666,
};
/* The order of the base point. */
static const uint32_t ORDER[WORDS] = {
    0x5cf5d3ed, 0x5812631a, 0xa2f79cd6, 0x14def9de,
    0x00000000, 0x00000000, 0x00000000, 0x10000000,
};
static const fe ONE = {1};
static const fe ZERO = {0};

static void copy(uint32_t *to, const uint32_t *from)
{
    for (uint32_t i = 0; i < WORDS; i++)
        to[i] = from[i];
}

/* to = to + from; returns what carries out. */
static uint32_t add_words(uint32_t *to, const uint32_t *from)
{
    uint64_t carry = 0;
    for (uint32_t i = 0; i < WORDS; i++) {
        carry += (uint64_t)to[i] + from[i];
        to[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return (uint32_t)carry;
}

/* to = to - from; returns 1 if it went below zero. */
static uint32_t sub_words(uint32_t *to, const uint32_t *from)
{
    int64_t borrow = 0;
    for (uint32_t i = 0; i < WORDS; i++) {
        borrow += (int64_t)to[i] - from[i];
        to[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    return (uint32_t)-borrow;
}

/* to = flag ? from : to, without a branch; flag is 0 or 1. */
static void choose(uint32_t *to, const uint32_t *from, uint32_t words, uint32_t flag)
{
    uint32_t mask = 0 - flag;
    for (uint32_t i = 0; i < words; i++)
        to[i] ^= mask & (to[i] ^ from[i]);
}

/* -- the field ---------------------------------------------------------------------------------- */

static void fold(fe a, uint32_t overflow)
{
    fe back = {0};
    back[0] = overflow * 38;
    back[0] = add_words(a, back) * 38;
    a[0] += back[0]; /* a second overflow leaves a tiny number: no carry */
}

static void fe_add(fe out, const fe a, const fe b)
{
    fe sum;
    copy(sum, a);
    fold(sum, add_words(sum, b));
    copy(out, sum);
}

static void fe_sub(fe out, const fe a, const fe b)
{
    fe difference, back = {0};
    copy(difference, a);
    back[0] = sub_words(difference, b) * 38;
    back[0] = sub_words(difference, back) * 38;
    difference[0] -= back[0]; /* a second borrow leaves a number near 2^256: no borrow */
    copy(out, difference);
}

static void multiply_words(uint32_t out[2 * WORDS], const uint32_t *a, const uint32_t *b)
{
    for (uint32_t i = 0; i < 2 * WORDS; i++)
        out[i] = 0;
    for (uint32_t i = 0; i < WORDS; i++) {
        uint64_t carry = 0;
        for (uint32_t j = 0; j < WORDS; j++) {
            carry += (uint64_t)a[i] * b[j] + out[i + j];
            out[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        out[i + WORDS] = (uint32_t)carry;
    }
}

static void fe_mul(fe out, const fe a, const fe b)
{
    uint32_t product[2 * WORDS];
    uint64_t carry = 0;
    multiply_words(product, a, b);
    for (uint32_t i = 0; i < WORDS; i++) {
        carry += (uint64_t)product[i + WORDS] * 38 + product[i];
        out[i] = (uint32_t)carry;
        carry >>= 32;
    }
    fold(out, (uint32_t)carry);
}

/* a ^ (2^bits - 1 - zeros): the exponents we need are all ones but for a few low bits. */
static void fe_power(fe out, const fe a, uint32_t bits, uint32_t zeros)
{
    fe result, base;
    copy(base, a);
    copy(result, ONE);
    for (uint32_t i = bits; i-- > 0;) {
        fe_mul(result, result, result);
        if (i >= 32 || !(zeros >> i & 1))
            fe_mul(result, result, base);
    }
    copy(out, result);
}

static void fe_invert(fe out, const fe a)
{
    fe_power(out, a, 255, 20); /* a ^ (p - 2) */
}

/* The one representation below p. */
static void fe_reduce(fe a)
{
    static const fe P = {0xFFFFFFED, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF,
                         0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0x7FFFFFFF};
    for (uint32_t i = 0; i < 2; i++) {
        fe less;
        copy(less, a);
        choose(a, less, WORDS, 1 - sub_words(less, P));
    }
}

static bool fe_equal(const fe a, const fe b)
{
    fe difference;
    uint32_t any = 0;
    fe_sub(difference, a, b);
    fe_reduce(difference);
    for (uint32_t i = 0; i < WORDS; i++)
        any |= difference[i];
    return any == 0;
}

static void load(uint32_t *to, const uint8_t *bytes, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++)
        to[i] = bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 | (uint32_t)bytes[4 * i + 2] << 16 |
                (uint32_t)bytes[4 * i + 3] << 24;
}

static void store(uint8_t *bytes, const uint32_t *from)
{
    for (uint32_t i = 0; i < 4 * WORDS; i++)
        bytes[i] = (uint8_t)(from[i / 4] >> 8 * (i % 4));
}

/* -- points ------------------------------------------------------------------------------------- */

static void point_set(struct point *out, const fe x, const fe y)
{
    copy(out->x, x);
    copy(out->y, y);
    copy(out->z, ONE);
    fe_mul(out->t, x, y);
}

static void calculate(const uint16_t *lines, uint32_t count, const struct point *p,
                      const struct point *q, struct point *out, struct point *scratch)
{
    const struct point *points[4] = {p, q, out, scratch};
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t *of[3]; /* second, first, to */
        for (uint32_t j = 0; j < 3; j++) {
            uint32_t place = lines[i] >> 4 * j & 15;
            of[j] = points[place / 4]->x + WORDS * (place % 4);
        }
        uint32_t *to = (uint32_t *)(uintptr_t)of[2];
        switch (lines[i] >> 12) {
        case MULTIPLY: fe_mul(to, of[1], of[0]); break;
        case ADD: fe_add(to, of[1], of[0]); break;
        case SUBTRACT: fe_sub(to, of[1], of[0]); break;
        case TIMES_D: fe_mul(to, of[1], CURVE_D); break;
        default: fe_power(to, of[1], 252, 2); break; /* ^ ((p - 5) / 8) */
        }
    }
}

#define CALCULATE(lines, p, q, out, scratch) \
    calculate(lines, sizeof lines / sizeof lines[0], p, q, out, scratch)

static void point_add(struct point *out, const struct point *p, const struct point *q)
{
    static const uint16_t LINES[] = {
        DO(SUBTRACT, A, PY, PX), DO(SUBTRACT, B, QY, QX), DO(MULTIPLY, A, A, B),
        DO(ADD, B, PY, PX),      DO(ADD, C, QY, QX),      DO(MULTIPLY, B, B, C),
        DO(MULTIPLY, C, PT, QT), DO(TIMES_D, C, C, C),    DO(ADD, C, C, C),
        DO(MULTIPLY, D, PZ, QZ), DO(ADD, D, D, D),
        DO(SUBTRACT, X, B, A), /* E */
        DO(ADD, Y, B, A),      /* H */
        DO(SUBTRACT, A, D, C), /* F */
        DO(ADD, B, D, C),      /* G */
        DO(MULTIPLY, T, X, Y),   DO(MULTIPLY, X, X, A),
        DO(MULTIPLY, Y, Y, B),   DO(MULTIPLY, Z, A, B),
    };
    struct point scratch;
    CALCULATE(LINES, p, q, out, &scratch);
}

static void point_encode(uint8_t out[KEY_BYTES], const struct point *p)
{
    fe x, y;
    fe_invert(y, p->z);
    fe_mul(x, p->x, y);
    fe_mul(y, p->y, y);
    fe_reduce(x);
    fe_reduce(y);
    y[WORDS - 1] |= x[0] << 31;
    store(out, y);
}

/* RFC 8032, section 5.1.3; also refuses a y that is not below p. X and Y of `out` are the point's,
 * A and B are u and v there; C is v^3 and then what x^2 v must be u. */
static bool point_decode(struct point *out, const uint8_t bytes[KEY_BYTES])
{
    static const uint16_t CANDIDATE[] = {
        DO(MULTIPLY, A, Y, Y), DO(TIMES_D, B, A, A),  DO(SUBTRACT, A, A, Z), DO(ADD, B, B, Z),
        DO(MULTIPLY, C, B, B), DO(MULTIPLY, C, C, B), DO(MULTIPLY, X, C, C), DO(MULTIPLY, X, X, B),
        DO(MULTIPLY, X, X, A), DO(ROOT, X, X, X),     DO(MULTIPLY, X, X, C), DO(MULTIPLY, X, X, A),
    };
    static const uint16_t SQUARE[] = {DO(MULTIPLY, C, X, X), DO(MULTIPLY, C, C, B)};
    struct point scratch;
    uint8_t again[KEY_BYTES];
    load(out->y, bytes, WORDS);
    uint32_t sign = out->y[WORDS - 1] >> 31;
    out->y[WORDS - 1] &= 0x7FFFFFFF;
    copy(out->z, ONE);
    CALCULATE(CANDIDATE, out, out, out, &scratch);
    for (uint32_t i = 0; i < 2; i++) {
        CALCULATE(SQUARE, out, out, out, &scratch);
        if (fe_equal(scratch.z, scratch.x))
            break;
        if (i == 1)
            return false;
        fe_mul(out->x, out->x, SQRT_MINUS_1);
    }
    fe_reduce(out->x);
    if ((out->x[0] & 1) != sign)
        fe_sub(out->x, ZERO, out->x);
    fe_mul(out->t, out->x, out->y);
    point_encode(again, out);
    return bytes_equal(again, bytes, KEY_BYTES);
}

static bool has_small_order(const struct point *p)
{
    struct point eight = *p;
    for (uint32_t i = 0; i < 3; i++)
        point_add(&eight, &eight, &eight);
    return fe_equal(eight.x, ZERO) && fe_equal(eight.y, eight.z);
}

static uint32_t bit(const uint32_t *scalar, uint32_t index)
{
    return scalar[index / 32] >> index % 32 & 1;
}

/* -- scalars ------------------------------------------------------------------------------------ */

/* out = number mod ORDER, bit by bit from the top. */
static void scalar_reduce(uint32_t out[WORDS], const uint32_t number[2 * WORDS])
{
    uint32_t rest[WORDS] = {0};
    for (uint32_t i = 64 * WORDS; i-- > 0;) {
        uint32_t less[WORDS];
        add_words(rest, rest); /* the order has 253 bits: no overflow */
        rest[0] |= bit(number, i);
        copy(less, rest);
        choose(rest, less, WORDS, 1 - sub_words(less, ORDER));
    }
    copy(out, rest);
}

static void hash_to_scalar(uint32_t out[WORDS], const uint8_t *first, const uint8_t *second,
                           const struct signed_text *text)
{
    struct sha512 hash;
    uint8_t digest[SHA512_BYTES];
    uint32_t number[2 * WORDS];
    sha512_start(&hash);
    sha512_add(&hash, first, KEY_BYTES);
    sha512_add(&hash, second, second ? KEY_BYTES : 0);
    sha512_add(&hash, text->context, text->context_bytes);
    sha512_add(&hash, text->data, text->data_bytes);
    sha512_end(&hash, digest);
    load(number, digest, 2 * WORDS);
    scalar_reduce(out, number);
}

/* -- verifying ---------------------------------------------------------------------------------- */

bool ed25519_verify(const uint8_t key[KEY_BYTES], const struct signed_text *text,
                    const uint8_t signature[SIGNATURE_BYTES])
{
    struct point table[3], sum; /* B, -A, B - A */
    uint32_t s[WORDS], k[WORDS], less[WORDS];
    uint8_t r[KEY_BYTES];
    load(s, signature + KEY_BYTES, WORDS);
    copy(less, s);
    if (!sub_words(less, ORDER) || !point_decode(&table[1], key) || has_small_order(&table[1]))
        return false;
    hash_to_scalar(k, signature, key, text);
    fe_sub(table[1].x, ZERO, table[1].x);
    fe_sub(table[1].t, ZERO, table[1].t);
    point_set(&table[0], BASE_X, BASE_Y);
    point_add(&table[2], &table[0], &table[1]);
    point_set(&sum, ZERO, ONE);
    for (uint32_t i = 253; i-- > 0;) { /* S B - k A, both at once */
        uint32_t which = bit(s, i) | bit(k, i) << 1;
        point_add(&sum, &sum, &sum);
        if (which)
            point_add(&sum, &sum, &table[which - 1]);
    }
    point_encode(r, &sum);
    return bytes_equal(r, signature, KEY_BYTES) && !has_small_order(&sum);
}

/* -- signing ------------------------------------------------------------------------------------ */

/* out = scalar * B, encoded; the same steps for every scalar. */
static void base_times(uint8_t out[KEY_BYTES], const uint32_t scalar[WORDS])
{
    struct point base, sum, more;
    point_set(&base, BASE_X, BASE_Y);
    point_set(&sum, ZERO, ONE);
    for (uint32_t i = 256; i-- > 0;) {
        uint32_t flag = bit(scalar, i);
        point_add(&sum, &sum, &sum);
        point_add(&more, &sum, &base);
        choose(sum.x, more.x, 4 * WORDS, flag);
    }
    point_encode(out, &sum);
}

/* RFC 8032, section 5.1.5: the secret scalar and the prefix of the nonce. */
static void expand(const uint8_t seed[KEY_BYTES], uint32_t scalar[WORDS], uint8_t prefix[KEY_BYTES])
{
    struct sha512 hash;
    uint8_t digest[SHA512_BYTES];
    sha512_start(&hash);
    sha512_add(&hash, seed, KEY_BYTES);
    sha512_end(&hash, digest);
    digest[0] &= 0xF8;
    digest[31] = (digest[31] & 0x7F) | 0x40;
    load(scalar, digest, WORDS);
    bytes_copy(prefix, digest + KEY_BYTES, KEY_BYTES);
}

void ed25519_public(const uint8_t seed[KEY_BYTES], uint8_t key[KEY_BYTES])
{
    uint32_t scalar[WORDS];
    uint8_t prefix[KEY_BYTES];
    expand(seed, scalar, prefix);
    base_times(key, scalar);
}

void ed25519_sign(const uint8_t seed[KEY_BYTES], const struct signed_text *text,
                  uint8_t signature[SIGNATURE_BYTES])
{
    uint32_t a[WORDS], r[WORDS], k[WORDS], product[2 * WORDS];
    uint8_t prefix[KEY_BYTES], key[KEY_BYTES];
    expand(seed, a, prefix);
    base_times(key, a);
    hash_to_scalar(r, prefix, 0, text);
    base_times(signature, r);
    hash_to_scalar(k, signature, key, text);
    multiply_words(product, k, a);
    uint32_t carry = add_words(product, r); /* S = r + k a mod the order */
    for (uint32_t i = WORDS; i < 2 * WORDS && carry; i++)
        carry = ++product[i] == 0;
    scalar_reduce(k, product);
    store(signature + KEY_BYTES, k);
}
