/* What compilers call by themselves even where there is no libc. */
#include <stddef.h>
#include <stdint.h>

void *memset(void *to, int value, size_t size);
void *memcpy(void *to, const void *from, size_t size);

__attribute__((used)) void *memset(void *to, int value, size_t size)
{
    uint8_t *byte = to;
    while (size-- > 0)
        *byte++ = (uint8_t)value;
    return to;
}

__attribute__((used)) void *memcpy(void *to, const void *from, size_t size)
{
    uint8_t *byte = to;
    const uint8_t *source = from;
    while (size-- > 0)
        *byte++ = *source++;
    return to;
}
