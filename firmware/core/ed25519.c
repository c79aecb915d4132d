/* Numbers modulo p = 2^255 - 19 are eight 32-bit words, least first, and need not be below p, only
 * below 2^256: since 2^256 = 38 (mod p), what overflows comes back times 38. Points are in extended
 * coordinates (RFC 8032, section 5.1.4); its addition formula is complete for this curve, so it also
 * doubles and knows no special cases. */
#include "ed25519.h"

#include "bytes.h"
#include "sha512.h"
#include "words.h"

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
/* The order of the base point. */
static const uint32_t ORDER[WORDS] = {
    0x5cf5d3ed, 0x5812631a, 0xa2f79cd6, 0x14def9de,
    0x00000000, 0x00000000, 0x00000000, 0x10000000,
};
/* ONE, and behind it ZERO. */
static const uint32_t ONE[1 + WORDS] = {1};
static const uint32_t *const ZERO = ONE + 1;

/* -- the field ---------------------------------------------------------------------------------- */

/* a + overflow * 2^256. What overflows then is 1 at most and leaves a tiny number, or -1 and leaves
 * one near 2^256, so that the second time nothing does. */
static void fold(fe a, int32_t overflow)
{
    for (uint32_t times = 0; times < 2; times++) {
        int64_t carry = (int64_t)overflow * 38;
        for (uint32_t i = 0; i < WORDS; i++) {
            carry += a[i];
            a[i] = (uint32_t)carry;
            carry >>= 32;
        }
        overflow = (int32_t)carry;
    }
}

static void fe_sum(fe out, const fe a, const fe b, int32_t sign)
{
    fold(out, words_sum(out, a, b, sign));
}

static void fe_mul(fe out, const fe a, const fe b)
{
    uint32_t product[2 * WORDS];
    uint64_t carry = 0;
    words_multiply(product, a, WORDS, b);
    for (uint32_t i = 0; i < WORDS; i++) {
        carry += (uint64_t)product[i + WORDS] * 38 + product[i];
        out[i] = (uint32_t)carry;
        carry >>= 32;
    }
    fold(out, (int32_t)carry);
}

/* a ^ (2^bits - 1 - zeros): the exponents we need are all ones but for a few low bits. */
static void fe_power(fe out, const fe a, uint32_t bits, uint32_t zeros)
{
    fe result, base;
    words_copy(base, a);
    words_copy(result, ONE);
    for (uint32_t i = bits; i-- > 0;) {
        fe_mul(result, result, result);
        if (i >= 32 || !(zeros >> i & 1))
            fe_mul(result, result, base);
    }
    words_copy(out, result);
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
    words_reduce(a, P);
    words_reduce(a, P);
}

static bool fe_equal(const fe a, const fe b)
{
    fe difference;
    uint32_t any = 0;
    fe_sum(difference, a, b, MINUS);
    fe_reduce(difference);
    for (uint32_t i = 0; i < WORDS; i++)
        any |= difference[i];
    return any == 0;
}

/* Numbers are least byte first, as every processor here keeps them. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as bytes");

static void load(uint32_t *to, const uint8_t *bytes, uint32_t words)
{
    bytes_copy((uint8_t *)to, bytes, 4 * words);
}

static void store(uint8_t *bytes, const uint32_t *from)
{
    bytes_copy(bytes, (const uint8_t *)from, 4 * WORDS);
}

/* -- points ------------------------------------------------------------------------------------- */

static void point_copy(struct point *to, const struct point *from)
{
    bytes_copy((uint8_t *)to, (const uint8_t *)from, sizeof *to);
}

/* The neutral element: x = t = 0, y = z = 1. */
static void point_zero(struct point *out)
{
    bytes_fill((uint8_t *)out, 0, sizeof *out);
    out->y[0] = out->z[0] = 1;
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
        case ADD: fe_sum(to, of[1], of[0], PLUS); break;
        case SUBTRACT: fe_sum(to, of[1], of[0], MINUS); break;
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
    words_copy(out->z, ONE);
    CALCULATE(CANDIDATE, out, out, out, &scratch);
    for (uint32_t i = 0; i < 2; i++) {
        CALCULATE(SQUARE, out, out, out, &scratch);
        if (fe_equal(scratch.z, scratch.x))
            break;
        if (i == 1)
            return false;
        fe_sum(scratch.t, ONE, ONE, PLUS);
        fe_power(scratch.t, scratch.t, 253, 4); /* 2 ^ ((p - 1) / 4), a root of -1 */
        fe_mul(out->x, out->x, scratch.t);
    }
    fe_reduce(out->x);
    if ((out->x[0] & 1) != sign)
        fe_sum(out->x, ZERO, out->x, MINUS);
    fe_mul(out->t, out->x, out->y);
    point_encode(again, out);
    return bytes_equal(again, bytes, KEY_BYTES);
}

/* The base point is that of y = 4/5 and an even x. */
static void point_base(struct point *out)
{
    uint8_t bytes[KEY_BYTES];
    bytes_fill(bytes, 0x66, KEY_BYTES);
    bytes[0] = 0x58;
    point_decode(out, bytes);
}

static bool has_small_order(const struct point *p)
{
    struct point eight;
    point_copy(&eight, p);
    for (uint32_t i = 0; i < 3; i++)
        point_add(&eight, &eight, &eight);
    return fe_equal(eight.x, ZERO); /* (0, -1) is not among the points times eight */
}

static uint32_t bit_of(const uint32_t *scalar, uint32_t index)
{
    return scalar[index / 32] >> index % 32 & 1;
}

/* -- scalars ------------------------------------------------------------------------------------ */

/* out = number mod ORDER, bit by bit from the top. */
static void scalar_reduce(uint32_t out[WORDS], const uint32_t number[2 * WORDS])
{
    uint32_t rest[WORDS];
    words_copy(rest, ZERO);
    for (uint32_t i = 64 * WORDS; i-- > 0;) {
        words_sum(rest, rest, rest, PLUS); /* the order has 253 bits: no overflow */
        rest[0] |= bit_of(number, i);
        words_reduce(rest, ORDER);
    }
    words_copy(out, rest);
}

static void hash_to_scalar(uint32_t out[WORDS], const uint8_t *first, const uint8_t *second,
                           const struct signed_text *text)
{
    struct sha512 hash;
    uint32_t number[2 * WORDS];
    sha512_start(&hash);
    sha512_add(&hash, first, KEY_BYTES);
    sha512_add(&hash, second, second ? KEY_BYTES : 0);
    sha512_add(&hash, text->context, text->context_bytes);
    sha512_add(&hash, text->data, text->data_bytes);
    sha512_end(&hash, (uint8_t *)number, sizeof number);
    scalar_reduce(out, number);
}

/* p = scalar * p; the same steps for every scalar that is secret. */
static void multiply(struct point *p, const uint32_t scalar[WORDS], bool is_secret)
{
    struct point sum, more;
    point_zero(&sum);
    for (uint32_t i = 256; i-- > 0;) {
        point_add(&sum, &sum, &sum);
        if (!is_secret && !bit_of(scalar, i))
            continue;
        point_add(&more, &sum, p);
        words_choose(sum.x, more.x, 4 * WORDS, bit_of(scalar, i));
    }
    point_copy(p, &sum);
}

/* -- verifying ---------------------------------------------------------------------------------- */

bool ed25519_verify(const uint8_t key[KEY_BYTES], const struct signed_text *text,
                    const uint8_t signature[SIGNATURE_BYTES])
{
    struct point sum, a;
    uint32_t s[WORDS], k[WORDS], less[WORDS];
    uint8_t r[KEY_BYTES];
    load(s, signature + KEY_BYTES, WORDS);
    if (!words_sum(less, s, ORDER, MINUS) || !point_decode(&a, key) || has_small_order(&a))
        return false;
    hash_to_scalar(k, signature, key, text);
    fe_sum(a.x, ZERO, a.x, MINUS);
    fe_sum(a.t, ZERO, a.t, MINUS);
    multiply(&a, k, false);
    point_base(&sum);
    multiply(&sum, s, false);
    point_add(&sum, &sum, &a); /* S B - k A */
    point_encode(r, &sum);
    return bytes_equal(r, signature, KEY_BYTES) && !has_small_order(&sum);
}

/* -- signing ------------------------------------------------------------------------------------ */

/* out = scalar * B, encoded. */
static void base_times(uint8_t out[KEY_BYTES], const uint32_t scalar[WORDS])
{
    struct point point;
    point_base(&point);
    multiply(&point, scalar, true);
    point_encode(out, &point);
}

/* RFC 8032, section 5.1.5: the secret scalar and the prefix of the nonce. */
static void expand(const uint8_t seed[KEY_BYTES], uint32_t scalar[WORDS], uint8_t prefix[KEY_BYTES])
{
    uint8_t digest[SHA512_BYTES];
    sha512_pair(digest, sizeof digest, seed, KEY_BYTES, 0, 0);
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

void ed25519_sign(const uint8_t seed[KEY_BYTES], const uint8_t key[KEY_BYTES],
                  const struct signed_text *text, uint8_t signature[SIGNATURE_BYTES])
{
    uint32_t a[WORDS], r[WORDS], k[WORDS], product[2 * WORDS];
    uint8_t prefix[KEY_BYTES];
    expand(seed, a, prefix);
    hash_to_scalar(r, prefix, 0, text);
    base_times(signature, r);
    hash_to_scalar(k, signature, key, text);
    words_multiply(product, k, WORDS, a);
    uint32_t carry = (uint32_t)words_sum(product, product, r, PLUS); /* S = r + k a mod the order */
    for (uint32_t i = WORDS; i < 2 * WORDS && carry; i++)
        carry = ++product[i] == 0;
    scalar_reduce(k, product);
    store(signature + KEY_BYTES, k);
}
