#include "cbor.h"

enum { MAJOR_UINT = 0, MAJOR_NEGATIVE = 1, MAJOR_BYTES = 2, MAJOR_ARRAY = 4 };

/* The argument of an item of this major type. Arguments of 8 bytes never fit what we accept. */
static uint32_t head(struct cbor_reader *from, uint8_t major)
{
    if (from->failed || from->at >= from->end || *from->at >> 5 != major) {
        from->failed = true;
        return 0;
    }
    uint32_t info = *from->at++ & 31;
    if (info < 24)
        return info;
    uint32_t width = info == 24 ? 1 : info == 25 ? 2 : info == 26 ? 4 : 0;
    if (width == 0 || (uint32_t)(from->end - from->at) < width) {
        from->failed = true;
        return 0;
    }
    uint32_t value = 0;
    for (uint32_t i = 0; i < width; i++)
        value = value << 8 | *from->at++;
    uint32_t smallest = width == 1 ? 24 : width == 2 ? 1u << 8 : 1u << 16;
    if (value < smallest) /* there is a shorter encoding */
        from->failed = true;
    return value;
}

static uint32_t within(struct cbor_reader *from, uint32_t value, uint32_t low, uint32_t high)
{
    if (value < low || value > high)
        from->failed = true;
    return from->failed ? low : value;
}

uint32_t cbor_uint(struct cbor_reader *from, uint32_t low, uint32_t high)
{
    return within(from, head(from, MAJOR_UINT), low, high);
}

int32_t cbor_int(struct cbor_reader *from)
{
    bool negative = !from->failed && from->at < from->end && *from->at >> 5 == MAJOR_NEGATIVE;
    uint32_t value = head(from, negative ? MAJOR_NEGATIVE : MAJOR_UINT);
    value = within(from, value, 0, INT32_MAX);
    return negative ? -1 - (int32_t)value : (int32_t)value;
}

const uint8_t *cbor_bytes(struct cbor_reader *from, uint32_t low, uint32_t high, uint32_t *size)
{
    uint32_t length = within(from, head(from, MAJOR_BYTES), low, high);
    const uint8_t *data = from->at;
    if (from->failed || (uint32_t)(from->end - from->at) < length) {
        from->failed = true;
        *size = 0;
        return data;
    }
    from->at += length;
    *size = length;
    return data;
}

uint32_t cbor_array(struct cbor_reader *from, uint32_t low, uint32_t high)
{
    return within(from, head(from, MAJOR_ARRAY), low, high);
}

bool cbor_ended(const struct cbor_reader *from)
{
    return !from->failed && from->at == from->end;
}

static void put(struct cbor_writer *to, uint8_t byte)
{
    if (to->failed || to->at >= to->end)
        to->failed = true;
    else
        *to->at++ = byte;
}

static void put_head(struct cbor_writer *to, uint8_t major, uint32_t value)
{
    uint32_t width = value < 24 ? 0 : value < 1u << 8 ? 1 : value < 1u << 16 ? 2 : 4;
    uint8_t info = (uint8_t)(width == 0 ? value : width == 1 ? 24 : width == 2 ? 25 : 26);
    put(to, (uint8_t)(major << 5 | info));
    while (width-- > 0)
        put(to, (uint8_t)(value >> 8 * width));
}

void cbor_put_uint(struct cbor_writer *to, uint32_t value)
{
    put_head(to, MAJOR_UINT, value);
}

void cbor_put_int(struct cbor_writer *to, int32_t value)
{
    if (value >= 0)
        put_head(to, MAJOR_UINT, (uint32_t)value);
    else
        put_head(to, MAJOR_NEGATIVE, (uint32_t)(-1 - value));
}

void cbor_put_bytes(struct cbor_writer *to, const uint8_t *data, uint32_t size)
{
    put_head(to, MAJOR_BYTES, size);
    for (uint32_t i = 0; i < size; i++)
        put(to, data[i]);
}

void cbor_put_array(struct cbor_writer *to, uint32_t items)
{
    put_head(to, MAJOR_ARRAY, items);
}
