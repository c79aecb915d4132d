#include "cbor.h"

enum { MAJOR_UINT = 0, MAJOR_NEGATIVE = 1, MAJOR_BYTES = 2, MAJOR_ARRAY = 4 };

void cbor_fail(struct cbor_reader *from)
{
    from->end = 0;
}

/* The argument of an item of this major type. Arguments of 8 bytes never fit what we accept. */
static uint32_t get_head(struct cbor_reader *from, uint8_t major)
{
    uint32_t info = from->at < from->end ? *from->at ^ (uint32_t)major << 5 : 31;
    uint32_t value = 0, width = 1u << (info & 7);
    if (info < 24) {
        from->at++;
        return info;
    }
    if (info > 26 || (uint32_t)(from->end - from->at) <= width) {
        cbor_fail(from);
        return 0;
    }
    from->at++;
    for (uint32_t i = 0; i < width; i++)
        value = value << 8 | *from->at++;
    if (value < (width == 1 ? 24 : 1u << 4 * width)) /* there is a shorter encoding */
        cbor_fail(from);
    return value;
}

static uint32_t within(struct cbor_reader *from, uint32_t value, uint32_t low, uint32_t high)
{
    if (value < low || value > high)
        cbor_fail(from);
    return cbor_failed(from) ? low : value;
}

uint32_t cbor_uint(struct cbor_reader *from, uint32_t low, uint32_t high)
{
    return within(from, get_head(from, MAJOR_UINT), low, high);
}

int32_t cbor_int(struct cbor_reader *from)
{
    uint8_t major = from->at < from->end && *from->at >> 5 == MAJOR_NEGATIVE;
    uint32_t value = within(from, get_head(from, major), 0, INT32_MAX);
    return (int32_t)(value ^ (0u - major)); /* -1 - value is the complement */
}

const uint8_t *cbor_bytes(struct cbor_reader *from, uint32_t low, uint32_t high, uint32_t *size)
{
    uint32_t length = within(from, get_head(from, MAJOR_BYTES), low, high);
    const uint8_t *data = from->at;
    if (cbor_failed(from) || (uint32_t)(from->end - from->at) < length) {
        cbor_fail(from);
        length = 0;
    }
    from->at += length;
    *size = length;
    return data;
}

uint32_t cbor_array(struct cbor_reader *from, uint32_t low, uint32_t high)
{
    return within(from, get_head(from, MAJOR_ARRAY), low, high);
}

bool cbor_ended(const struct cbor_reader *from)
{
    return from->at == from->end;
}

static void put(struct cbor_writer *to, uint8_t byte)
{
    if (to->at < to->end)
        *to->at++ = byte;
}

static void put_head(struct cbor_writer *to, uint8_t major, uint32_t value)
{
    uint32_t width = value < 24 ? 0 : value < 1u << 8 ? 1 : value < 1u << 16 ? 2 : 4;
    put(to, (uint8_t)(major << 5 | (width ? 24 + width / 2 : value)));
    while (width-- > 0)
        put(to, (uint8_t)(value >> 8 * width));
}

void cbor_put_uint(struct cbor_writer *to, uint32_t value)
{
    put_head(to, MAJOR_UINT, value);
}

void cbor_put_int(struct cbor_writer *to, int32_t value)
{
    uint32_t sign = (uint32_t)(value >> 31);
    put_head(to, sign & MAJOR_NEGATIVE, (uint32_t)value ^ sign);
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
