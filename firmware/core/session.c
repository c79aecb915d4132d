/* Sessions, requests and answers, and events on their way out (docs/leaf-link.md). */
#include "bytes.h"
#include "leaf.h"

enum { PROTOCOL = 1, NONCE_BYTES = 8, EPOCHS = 15, WAIT_FIRST_MS = 40, WAIT_EVENT_MS = 8, WAIT_MAX_MS = 2000, ALONE_MAX = 4 };

static struct cbor_writer writing(struct leaf *leaf)
{
    return cbor_writing(leaf->wire + FRAME_BODY_AT, BODY_BYTES_MAX);
}

static void send(struct leaf *leaf, uint8_t kind, uint8_t epoch, const struct cbor_writer *body)
{
    uint32_t size = (uint32_t)(body->at - (leaf->wire + FRAME_BODY_AT));
    hal_send(leaf->self, leaf->wire, frame_finish(leaf->wire, kind, epoch, size));
}

/* The gateway is there: no need to wait long for it. */
static void on_line(struct session *session)
{
    session->wait_ms = WAIT_FIRST_MS;
    session->alone = 0;
}

static void on_hello(struct leaf *leaf, const struct frame *frame)
{
    struct cbor_reader from = cbor_reading(frame->body, frame->size);
    struct session *session = &leaf->session;
    struct identity identity;
    uint32_t size;
    cbor_array(&from, 2, 2);
    cbor_uint(&from, PROTOCOL, PROTOCOL);
    const uint8_t *nonce = cbor_bytes(&from, NONCE_BYTES, NONCE_BYTES, &size);
    if (!cbor_ended(&from))
        return;
    session->epoch = session->epoch < EPOCHS ? session->epoch + 1 : 1;
    session->answered = session->greeted = false;
    session->waiting = true;
    session->sent_ms = hal_now_ms(leaf->self);
    on_line(session);
    session->batch = BATCH_MAX;
    bool known = slots_identity(&leaf->slots, &identity);
    struct cbor_writer to = writing(leaf);
    cbor_put_array(&to, 7);
    cbor_put_uint(&to, PROTOCOL);
    cbor_put_bytes(&to, nonce, NONCE_BYTES);
    cbor_put_uint(&to, session->epoch);
    cbor_put_bytes(&to, leaf->boot_nonce, BOOT_NONCE_BYTES);
    cbor_put_uint(&to, hal_board(leaf->self));
    cbor_put_bytes(&to, leaf->key, known ? KEY_SIZE : 0);
    cbor_put_uint(&to, hal_receive_bytes(leaf->self));
    send(leaf, FRAME_HELLO, 0, &to);
}

/* The last answer is kept as it goes over the wire. */
static void on_request(struct leaf *leaf, const struct frame *frame)
{
    struct session *session = &leaf->session;
    struct cbor_reader from = cbor_reading(frame->body, frame->size);
    uint32_t items = cbor_array(&from, 2, 15);
    uint16_t id = (uint16_t)cbor_uint(&from, 0, UINT16_MAX);
    if (cbor_failed(&from))
        return;
    if (!session->answered || session->last_id != id) {
        struct cbor_writer to = cbor_writing(session->answer + FRAME_BODY_AT, BODY_BYTES_MAX);
        session->last_id = id;
        session->answered = true;
        request_answer(leaf, &from, items, &to);
        session->answer_size =
            (uint16_t)frame_finish(session->answer, FRAME_ANSWER, session->epoch,
                                   (uint32_t)(to.at - session->answer) - FRAME_BODY_AT);
    }
    hal_send(leaf->self, session->answer, session->answer_size);
    if (session->restart)
        hal_restart(leaf->self);
}

/* -- events ------------------------------------------------------------------------------------- */

static void on_cursor(struct leaf *leaf, const struct frame *frame)
{
    struct session *session = &leaf->session;
    struct cbor_reader from = cbor_reading(frame->body, frame->size);
    cbor_array(&from, 1, 1);
    uint32_t cursor = cbor_uint(&from, 0, UINT32_MAX);
    uint32_t before = leaf->events.first;
    if (!cbor_ended(&from) || !events_forget(&leaf->events, cursor))
        return;
    if (leaf->events.first > before || !session->greeted) {
        session->waiting = false;
        session->greeted = true;
        on_line(session);
        session->batch = session->batch < BATCH_MAX ? session->batch + 1 : BATCH_MAX;
    }
}

static void put_event(struct cbor_writer *to, const struct event *event)
{
    cbor_put_array(to, 6);
    cbor_put_uint(to, event->time_ms);
    cbor_put_uint(to, event->kind);
    cbor_put_uint(to, event->rule);
    cbor_put_uint(to, event->code);
    cbor_put_int(to, event->value);
    cbor_put_uint(to, event->slot);
}

static void send_events(struct leaf *leaf)
{
    const struct events *events = &leaf->events;
    uint32_t count = events->count < leaf->session.batch ? events->count : leaf->session.batch;
    struct cbor_writer to = writing(leaf);
    cbor_put_array(&to, 4);
    cbor_put_uint(&to, events->first);
    cbor_put_uint(&to, events->lost);
    cbor_put_bytes(&to, events->head, HEAD_BYTES);
    cbor_put_array(&to, count);
    for (uint32_t i = 0; i < count; i++)
        put_event(&to, events_at(events, events->first + i));
    send(leaf, FRAME_EVENTS, leaf->session.epoch, &to);
}

static void events_poll(struct leaf *leaf)
{
    struct session *session = &leaf->session;
    uint32_t now_ms = hal_now_ms(leaf->self);
    if (session->epoch == 0 || leaf->events.count == 0)
        return;
    if (session->waiting) {
        if (now_ms - session->sent_ms < session->wait_ms + WAIT_EVENT_MS * session->batch)
            return;
        if (session->batch > 1)
            session->batch /= 2;
        else if (session->alone < ALONE_MAX)
            session->alone++;
        else
            session->wait_ms = session->wait_ms * 2 > WAIT_MAX_MS ? WAIT_MAX_MS : session->wait_ms * 2;
    }
    session->waiting = true;
    session->sent_ms = now_ms;
    send_events(leaf);
}

void session_poll(struct leaf *leaf)
{
    uint8_t data[32];
    struct frame frame;
    uint32_t size = hal_receive(leaf->self, data, sizeof data);
    for (uint32_t i = 0; i < size; i++) {
        if (!frame_take(&leaf->receiver, data[i], &frame))
            continue;
        if (frame.kind == FRAME_HELLO && frame.epoch == 0)
            on_hello(leaf, &frame);
        else if (frame.epoch != leaf->session.epoch || frame.epoch == 0)
            leaf->receiver.errors++;
        else if (frame.kind == FRAME_REQUEST)
            on_request(leaf, &frame);
        else if (frame.kind == FRAME_EVENTS)
            on_cursor(leaf, &frame);
    }
    if (size == 0)
        events_poll(leaf);
}
