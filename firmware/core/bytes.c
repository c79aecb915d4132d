#include "bytes.h"

void bytes_copy(uint8_t *to, const uint8_t *from, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        to[i] = from[i];
}

void bytes_fill(uint8_t *to, uint8_t value, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        to[i] = value;
}

bool bytes_equal(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

void put_u32(uint8_t *to, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

uint32_t get_u32(const uint8_t *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}
