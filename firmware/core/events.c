#include "events.h"

#include "bytes.h"
#include "sha512.h"

static void digest_cut(struct sha512 *hash, uint8_t out[HEAD_BYTES])
{
    uint8_t digest[SHA512_BYTES];
    sha512_end(hash, digest);
    bytes_copy(out, digest, HEAD_BYTES);
}

static void chain(uint8_t head[HEAD_BYTES], const struct event *event)
{
    struct sha512 hash;
    uint8_t data[12];
    put_u32(data, event->time_ms);
    put_u32(data + 4, (uint32_t)event->value);
    data[8] = event->kind;
    data[9] = event->rule;
    data[10] = event->code;
    data[11] = event->slot;
    sha512_start(&hash);
    sha512_add(&hash, head, HEAD_BYTES);
    sha512_add(&hash, data, sizeof data);
    digest_cut(&hash, head);
}

void events_start(struct events *events, const uint8_t boot_nonce[BOOT_NONCE_BYTES])
{
    static const uint8_t CONTEXT[18] = "vitte-leaf-chain-1";
    struct sha512 hash;
    events->first = events->count = events->lost = 0;
    sha512_start(&hash);
    sha512_add(&hash, CONTEXT, sizeof CONTEXT);
    sha512_add(&hash, boot_nonce, BOOT_NONCE_BYTES);
    digest_cut(&hash, events->head);
}

static void drop_oldest(struct events *events)
{
    chain(events->head, &events->ring[events->first % EVENTS_KEPT]);
    events->first++;
    events->count--;
}

void events_add(struct events *events, const struct event *event)
{
    if (events->count == EVENTS_KEPT) {
        drop_oldest(events);
        events->lost++;
    }
    events->ring[(events->first + events->count++) % EVENTS_KEPT] = *event;
}

bool events_forget(struct events *events, uint32_t cursor)
{
    if (cursor > events->first + events->count)
        return false;
    while (events->first < cursor)
        drop_oldest(events);
    return true;
}

const struct event *events_at(const struct events *events, uint32_t number)
{
    return &events->ring[number % EVENTS_KEPT];
}

void events_head(const struct events *events, uint8_t out[HEAD_BYTES])
{
    bytes_copy(out, events->head, HEAD_BYTES);
    for (uint32_t i = 0; i < events->count; i++)
        chain(out, events_at(events, events->first + i));
}
