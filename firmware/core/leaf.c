#include "leaf.h"

#include "bytes.h"
#include "ed25519.h"

void leaf_note(struct leaf *leaf, uint8_t code, int32_t value)
{
    struct event event = {hal_now_ms(leaf->self), value, EVENT_SYSTEM, 0, code, 0};
    events_add(&leaf->events, &event);
    if (code >= SYSTEM_WENT_BACK)
        leaf->firmware_error = code;
}

void leaf_start(struct leaf *leaf, void *self)
{
    struct identity identity;
    bytes_fill((uint8_t *)leaf, 0, sizeof *leaf);
    leaf->self = self;
    leaf->slots.self = self;
    hal_random(self, leaf->boot_nonce, BOOT_NONCE_BYTES);
    events_start(&leaf->events, leaf->boot_nonce);
    uint32_t cause = hal_reset_cause(self);
    leaf_note(leaf, SYSTEM_STARTED, (int32_t)cause);
    if (cause == RESET_WATCHDOG || cause == RESET_FAULT)
        leaf->firmware_error = ERROR_OF_RESET + cause;
    slots_start(&leaf->slots);
    if (slots_identity(&leaf->slots, &identity))
        ed25519_public(identity.seed, leaf->key);
    if (leaf->slots.fell_back)
        leaf_note(leaf, SYSTEM_WENT_BACK, (int32_t)leaf->slots.active);
    engine_start(leaf);
}

void leaf_poll(struct leaf *leaf)
{
    hal_pet(leaf->self);
    session_poll(leaf);
    engine_poll(leaf);
}
