/* The few things of <string.h> that a core without libc needs. */
#ifndef LEAF_BYTES_H
#define LEAF_BYTES_H

#include <stdbool.h>
#include <stdint.h>

/* Not put into its caller: measured, larger there. */
#define APART __attribute__((noinline))

void bytes_copy(uint8_t *to, const uint8_t *from, uint32_t size);
void bytes_fill(uint8_t *to, uint8_t value, uint32_t size);
bool bytes_equal(const uint8_t *a, const uint8_t *b, uint32_t size);
void put_u32(uint8_t *to, uint32_t value); /* least byte first */
uint32_t get_u32(const uint8_t *from);

#endif
