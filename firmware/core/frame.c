#include "frame.h"

/* CRC-32C bit by bit: a table would make it four times as fast and three times as large. */
uint32_t crc32c(const uint8_t *data, uint32_t size)
{
    uint32_t crc = 0xFFFFFFFF;
    for (uint32_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (uint32_t j = 0; j < 8; j++)
            crc = crc >> 1 ^ (0x82F63B78 & (0 - (crc & 1)));
    }
    return ~crc;
}

/* Undo COBS in place. Returns the plain size, 0 for what no sender makes. */
static uint32_t unstuff(uint8_t *data, uint32_t size)
{
    uint32_t in = 0, out = 0;
    while (in < size) {
        uint32_t end = in + data[in];
        if (data[in] == 0 || end > size)
            return 0;
        if (in > 0)
            data[out++] = 0;
        for (in++; in < end; in++)
            data[out++] = data[in];
    }
    return out;
}

static bool complete(struct frame_receiver *from, struct frame *out)
{
    uint32_t size = from->size > WIRE_BYTES_MAX ? 0 : unstuff(from->data, from->size);
    if (size < 1 + CRC_BYTES)
        return false;
    uint32_t crc = 0;
    for (uint32_t i = CRC_BYTES; i > 0; i--)
        crc = crc << 8 | from->data[size - 1 - CRC_BYTES + i];
    uint8_t header = from->data[0];
    if (crc != crc32c(from->data, size - CRC_BYTES) || header >> 6 != FRAME_VERSION)
        return false;
    out->kind = header >> 4 & 3;
    out->epoch = header & 15;
    out->body = from->data + 1;
    out->size = size - 1 - CRC_BYTES;
    return true;
}

bool frame_take(struct frame_receiver *from, uint8_t byte, struct frame *out)
{
    if (byte != 0) {
        if (from->size < WIRE_BYTES_MAX)
            from->data[from->size] = byte;
        if (from->size <= WIRE_BYTES_MAX)
            from->size++;
        return false;
    }
    if (from->size == 0) /* two zeros in a row: a sender that clears the line first */
        return false;
    bool good = complete(from, out);
    from->errors += !good;
    from->size = 0;
    return good;
}

uint32_t frame_finish(uint8_t wire[FRAME_BUFFER_BYTES], uint8_t kind, uint8_t epoch,
                      uint32_t body_size)
{
    uint8_t *plain = wire + 1;
    uint32_t size = 1 + body_size;
    plain[0] = (uint8_t)(FRAME_VERSION << 6 | kind << 4 | epoch);
    uint32_t crc = crc32c(plain, size);
    for (uint32_t i = 0; i < CRC_BYTES; i++)
        plain[size++] = (uint8_t)(crc >> 8 * i);
    uint32_t run = 0; /* each zero becomes the distance to the next; at most 254 bytes in all */
    for (uint32_t i = 1; i <= size; i++) {
        if (wire[i] == 0) {
            wire[run] = (uint8_t)(i - run);
            run = i;
        }
    }
    wire[run] = (uint8_t)(size + 1 - run);
    wire[size + 1] = 0;
    return size + 2;
}
