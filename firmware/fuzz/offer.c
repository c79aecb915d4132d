/* Makes what is deployed: programs with the counter that is wanted, signed, packed. */
#include <string.h>

#include "../core/bytes.h"
#include "fuzz.h"

enum { WINDOW_BYTES = 4096, LENGTH_MIN = 3, LENGTH_MAX = 18, GROUP = 8, LOOKS = 24 };

void offer_seal(struct offer *offer)
{
    struct program program;
    uint32_t size;
    struct cbor_reader from = cbor_reading(offer->package, offer->bytes);
    cbor_array(&from, 2, 2);
    const uint8_t *inside = cbor_bytes(&from, 1, PROGRAM_BYTES_MAX, &size);
    offer->counter = !cbor_failed(&from) && program_read(&program, inside, size) ? program.counter : 0;
    offer->stored_bytes = offer->bytes;
    bytes_copy(offer->stored, offer->package, offer->bytes);
    package_digest(offer->package, offer->bytes, offer->digest);
}

void offer_program(struct offer *offer, const uint8_t *program, uint32_t size, uint8_t sign)
{
    uint8_t signature[64] = {sign};
    struct cbor_writer whole = cbor_writing(offer->package, sizeof offer->package);
    cbor_put_array(&whole, 2);
    cbor_put_bytes(&whole, program, size);
    cbor_put_bytes(&whole, signature, sizeof signature);
    offer->bytes = (uint32_t)(whole.at - offer->package);
    offer_seal(offer);
}

/* A copy that may stand at `at`: anywhere in the window, also one that overlaps what it makes. */
static uint32_t match(const uint8_t *data, uint32_t size, uint32_t at, uint32_t *offset)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < LOOKS && at > 0; i++) {
        uint32_t back = 1 + roll(at < WINDOW_BYTES ? at : WINDOW_BYTES), length = 0;
        while (length < LENGTH_MAX && at + length < size && data[at + length - back] == data[at + length])
            length++;
        if (length > best) {
            best = length;
            *offset = back;
        }
    }
    return best;
}

void offer_pack(struct offer *offer)
{
    uint32_t at = 0, to = 0;
    while (at < offer->bytes) {
        uint32_t flags_at = to++;
        offer->stored[flags_at] = 0;
        for (uint32_t i = 0; i < GROUP && at < offer->bytes; i++) {
            uint32_t offset = 0, length = match(offer->package, offer->bytes, at, &offset);
            if (length < LENGTH_MIN) {
                offer->stored[to++] = offer->package[at++];
                continue;
            }
            offer->stored[flags_at] |= (uint8_t)(1u << i);
            offer->stored[to++] = (uint8_t)(offset - 1);
            offer->stored[to++] = (uint8_t)((offset - 1) >> 8 << 4 | (length - LENGTH_MIN));
            at += length;
        }
    }
    offer->stored_bytes = to;
}

uint32_t recount(uint8_t *program, uint32_t size, uint32_t counter)
{
    uint8_t made[INPUT_MAX + 8];
    uint32_t id_size;
    struct cbor_reader from = cbor_reading(program, size);
    cbor_array(&from, 5, 5);
    cbor_uint(&from, 1, 1);
    if (cbor_array(&from, 1, 2) == 2) {
        if (cbor_uint(&from, 0, 2) == TARGET_ONE) {
            const uint8_t *id = cbor_bytes(&from, 8, 8, &id_size);
            if (!cbor_failed(&from) && roll(4))
                bytes_copy(program + (id - program), board->leaf.key, 8);
        } else
            cbor_uint(&from, 0, UINT32_MAX);
    } else
        cbor_uint(&from, 0, 2);
    const uint8_t *before = from.at;
    cbor_uint(&from, 0, UINT32_MAX);
    if (cbor_failed(&from))
        return size;
    struct cbor_writer to = cbor_writing(made, sizeof made);
    bytes_copy(to.at, program, (uint32_t)(before - program));
    to.at += before - program;
    cbor_put_uint(&to, counter);
    uint32_t head = (uint32_t)(to.at - made), rest = size - (uint32_t)(from.at - program);
    if (head + rest > INPUT_MAX)
        return size;
    memmove(program + head, from.at, rest);
    bytes_copy(program, made, head);
    return head + rest;
}
