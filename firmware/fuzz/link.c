/* Talks to the board as a gateway would, or nearly: frames with a right checksum, requests with an id. */
#include "../core/bytes.h"
#include "fuzz.h"

enum { STEP_BYTES = 400 };

struct board *board;
static uint32_t request_id;

void power(void)
{
    do
        tally.starts++;
    while (!board_start(board, RESET_BROWNOUT));
}

static void drain(void)
{
    uint8_t out[4096];
    while (board_take(board, out, sizeof out))
        tally.answers++;
}

void wait_ms(uint32_t duration_ms)
{
    if (!board_run(board, board->now_ms + duration_ms))
        power();
    drain();
}

static void feed(const uint8_t *wire, uint32_t size)
{
    while (size > 0) {
        uint32_t part = size < STEP_BYTES ? size : STEP_BYTES;
        board_feed(board, wire, part);
        wait_ms(1);
        wire += part;
        size -= part;
    }
}

static void say(uint8_t kind, uint8_t epoch, const uint8_t *body, uint32_t size)
{
    uint8_t wire[FRAME_BUFFER_BYTES];
    size = size > BODY_BYTES_MAX ? BODY_BYTES_MAX : size;
    bytes_copy(wire + FRAME_BODY_AT, body, size);
    feed(wire, frame_finish(wire, kind, epoch, size));
}

struct cbor_writer asking(uint8_t body[BODY_BYTES_MAX], uint32_t items, uint8_t op)
{
    struct cbor_writer to = cbor_writing(body, BODY_BYTES_MAX);
    cbor_put_array(&to, items);
    cbor_put_uint(&to, ++request_id & 0xFFFF);
    cbor_put_uint(&to, op);
    return to;
}

void ask(const uint8_t *body, const struct cbor_writer *to)
{
    if (board->leaf.session.epoch == 0) /* it has restarted */
        greet();
    say(FRAME_REQUEST, board->leaf.session.epoch, body, (uint32_t)(to->at - body));
}

void ask_plain(uint8_t op)
{
    uint8_t body[BODY_BYTES_MAX];
    struct cbor_writer to = asking(body, 2, op);
    ask(body, &to);
}

void greet(void)
{
    static const uint8_t HELLO[] = {0x82, 0x01, 0x48, 1, 2, 3, 4, 5, 6, 7, 8};
    say(FRAME_HELLO, 0, HELLO, sizeof HELLO);
}

void provision(void)
{
    uint8_t body[BODY_BYTES_MAX], key[KEY_SIZE] = {7};
    struct cbor_writer to = asking(body, 5, ASK_PROVISION);
    for (uint32_t i = 0; i < 3; i++)
        cbor_put_bytes(&to, key, KEY_SIZE);
    ask(body, &to);
}

void confirm(uint32_t counter)
{
    uint8_t body[BODY_BYTES_MAX];
    struct cbor_writer to = asking(body, 3, ASK_CONFIRM);
    cbor_put_uint(&to, counter);
    ask(body, &to);
}

void noise(uint32_t size)
{
    uint8_t data[STEP_BYTES];
    uint8_t ends_frames = (uint8_t)roll(2);
    for (; size > 0; size -= size < STEP_BYTES ? size : STEP_BYTES) {
        for (uint32_t i = 0; i < STEP_BYTES; i++)
            data[i] = (uint8_t)(roll(256) | !ends_frames);
        feed(data, size < STEP_BYTES ? size : STEP_BYTES);
    }
}

void talk(const uint8_t *data, uint32_t size)
{
    if (size == 0)
        return;
    uint8_t kind = data[0] >> 4 & 3, epoch = kind == FRAME_HELLO ? 0 : board->leaf.session.epoch;
    switch (roll(8)) {
    case 0: feed(data, size); break; /* as it is: noise */
    case 1: say(kind, data[0] & 15, data + 1, size - 1); break;
    default: say(kind, epoch, data + 1, size - 1); break;
    }
    if (board->leaf.session.epoch == 0)
        greet();
}
