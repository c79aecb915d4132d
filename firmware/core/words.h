/* Numbers of eight 32-bit words, least first. */
#ifndef LEAF_WORDS_H
#define LEAF_WORDS_H

#include <stdint.h>

enum { WORDS = 8 };
enum { PLUS = 0, MINUS = -1 };

void words_copy(uint32_t *to, const uint32_t *from);
/* out = a + b or a - b; returns what carries out: 0 or 1, or 0 or -1. Any two may be the same. */
int32_t words_sum(uint32_t *out, const uint32_t *a, const uint32_t *b, int32_t sign);
/* to = flag ? from : to, without a branch; flag is 0 or 1. */
void words_choose(uint32_t *to, const uint32_t *from, uint32_t words, uint32_t flag);
/* number -= modulus where that is not below zero, without a branch. */
void words_reduce(uint32_t *number, const uint32_t *modulus);
/* out = a * b; `a` has so many words, 8 at most, `out` as many and 8 more. */
void words_multiply(uint32_t *out, const uint32_t *a, uint32_t words, const uint32_t *b);

#endif
