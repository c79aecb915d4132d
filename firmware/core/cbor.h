/* Strict, deterministic CBOR (RFC 8949 section 4.2.1): a reader and a writer over a buffer.
 *
 * Only unsigned and negative integers, byte strings and arrays exist here; anything else, a longer
 * encoding than needed, or bytes that are not there make the reader fail, and it stays failed, so
 * that callers check once at the end. The writer leaves out what does not fit; what is written here is of
 * bounded size, and fits.
 */
#ifndef LEAF_CBOR_H
#define LEAF_CBOR_H

#include <stdbool.h>
#include <stdint.h>

struct cbor_reader {
    const uint8_t *at;
    const uint8_t *end; /* 0 once it failed */
};

struct cbor_writer {
    uint8_t *at;
    uint8_t *end;
};

static inline struct cbor_reader cbor_reading(const uint8_t *data, uint32_t size)
{
    return (struct cbor_reader){data, data + size};
}

/* Fails unless the value is in low..high; gives low then. */
uint32_t cbor_uint(struct cbor_reader *from, uint32_t low, uint32_t high);
/* Any signed number of 32 bits. */
int32_t cbor_int(struct cbor_reader *from);
/* A byte string of low..high bytes; its length goes to *size. */
const uint8_t *cbor_bytes(struct cbor_reader *from, uint32_t low, uint32_t high, uint32_t *size);
/* An array header with low..high items. */
uint32_t cbor_array(struct cbor_reader *from, uint32_t low, uint32_t high);
void cbor_fail(struct cbor_reader *from);
static inline bool cbor_failed(const struct cbor_reader *from)
{
    return from->end == 0;
}
/* Whether everything was read and nothing failed. */
bool cbor_ended(const struct cbor_reader *from);

static inline struct cbor_writer cbor_writing(uint8_t *buffer, uint32_t size)
{
    return (struct cbor_writer){buffer, buffer + size};
}

void cbor_put_uint(struct cbor_writer *to, uint32_t value);
void cbor_put_int(struct cbor_writer *to, int32_t value);
void cbor_put_bytes(struct cbor_writer *to, const uint8_t *data, uint32_t size);
void cbor_put_array(struct cbor_writer *to, uint32_t items);

#endif
