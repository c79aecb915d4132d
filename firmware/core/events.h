/* Events: a ring of the last ones, numbered and chained (docs/leaf-link.md, "Events"). The ring is
 * also what is sent again from: an event leaves it when its number is below the cursor, or when the
 * ring is full, and then `lost` counts it and its hash goes into `head` all the same. */
#ifndef LEAF_EVENTS_H
#define LEAF_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

enum { EVENTS_KEPT = 64, HEAD_BYTES = 32, BOOT_NONCE_BYTES = 8 };

enum event_kind { EVENT_EMITTED, EVENT_ASKED, EVENT_SYSTEM };

enum system_event {
    SYSTEM_STARTED = 1,
    SYSTEM_PROGRAM_STARTED,
    SYSTEM_CONFIRMED,
    SYSTEM_WENT_BACK,
    SYSTEM_RESOURCE_FAILED,
    SYSTEM_FLASH_FAILED,
    SYSTEM_RULE_STOPPED,
};

struct event {
    uint32_t time_ms;
    int32_t value;
    uint8_t kind, rule, code, slot;
};

struct events {
    uint32_t first; /* number of the oldest event kept */
    uint32_t count;
    uint32_t lost;
    uint8_t head[HEAD_BYTES]; /* of the chain, before `first` */
    struct event ring[EVENTS_KEPT];
};

void events_start(struct events *events, const uint8_t boot_nonce[BOOT_NONCE_BYTES]);
void events_add(struct events *events, const struct event *event);
/* Everything below `cursor` is safe elsewhere. False for a cursor from another life. */
bool events_forget(struct events *events, uint32_t cursor);
const struct event *events_at(const struct events *events, uint32_t number);
/* The head of the chain after the newest event. */
void events_head(const struct events *events, uint8_t out[HEAD_BYTES]);

#endif
