#include "events.h"

#include "bytes.h"
#include "sha512.h"

static void chain(uint8_t head[HEAD_BYTES], const struct event *event)
{
    uint8_t data[12];
    put_u32(data, event->time_ms);
    put_u32(data + 4, (uint32_t)event->value);
    data[8] = event->kind;
    data[9] = event->rule;
    data[10] = event->code;
    data[11] = event->slot;
    sha512_pair(head, HEAD_BYTES, head, HEAD_BYTES, data, sizeof data);
}

void events_start(struct events *events, const uint8_t boot_nonce[BOOT_NONCE_BYTES])
{
    static const uint8_t CONTEXT[18] = "vitte-leaf-chain-1";
    events->first = events->count = events->lost = 0;
    sha512_pair(events->head, HEAD_BYTES, CONTEXT, sizeof CONTEXT, boot_nonce, BOOT_NONCE_BYTES);
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
