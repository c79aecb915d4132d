/* Frames of the serial link (firmware/link.cddl, docs/leaf-link.md): COBS, one header byte, CRC-32C.
 * The receiver takes byte by byte, as an interrupt gives them, and survives garbage. */
#ifndef LEAF_FRAME_H
#define LEAF_FRAME_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FRAME_VERSION = 1,
    BODY_BYTES_MAX = 240,
    CRC_BYTES = 4,
    FRAME_BYTES_MAX = 1 + BODY_BYTES_MAX + CRC_BYTES,
    WIRE_BYTES_MAX = FRAME_BYTES_MAX + 1, /* before the zero */
};

enum frame_kind { FRAME_HELLO, FRAME_REQUEST, FRAME_ANSWER, FRAME_EVENTS };

struct frame_receiver {
    uint8_t data[WIRE_BYTES_MAX];
    uint16_t size; /* above WIRE_BYTES_MAX: too long, wait for the zero */
    uint32_t errors;
};

struct frame {
    uint8_t kind;
    uint8_t epoch;
    const uint8_t *body;
    uint32_t size;
};

uint32_t crc32c(const uint8_t *data, uint32_t size);

/* Take one byte. True when it completed a frame, which stays valid until the next call. */
bool frame_take(struct frame_receiver *from, uint8_t byte, struct frame *out);

/* Put header, checksum and stuffing around a body that stands at wire + FRAME_BODY_AT, in place.
 * Returns the number of bytes to send, the zero included. */
enum { FRAME_BODY_AT = 2, FRAME_BUFFER_BYTES = WIRE_BYTES_MAX + 1 };
uint32_t frame_finish(uint8_t wire[FRAME_BUFFER_BYTES], uint8_t kind, uint8_t epoch,
                      uint32_t body_size);

#endif
