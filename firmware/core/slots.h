/* Two slots of flash that hold everything a leaf must not forget: who it is, and its program.
 *
 *   0      header: magic, generation, program bytes, counter, checksum of settings and program
 *   32     seed of the device key
 *   64     mesh id
 *   96     authority's public key
 *   128    VALID      written last: the slot counts from then on
 *   160    STARTED    its trial has begun
 *   192    CONFIRMED  its trial has ended well
 *   224    signed program, up to 2176 bytes
 *   2400   used counters, a unit each, up to 53
 *
 * Every mark is a unit of 32 bytes of its own, programmed once, so that parts whose flash words
 * cannot be programmed twice will do. A new program, and a new identity, goes into the slot that is
 * not in use; the power may fail at any point, and the leaf starts with the old slot or the new one:
 *
 *   no VALID mark or a wrong checksum      the slot does not count
 *   VALID, CONFIRMED                       good
 *   VALID only                             new: STARTED is written, and it runs on trial
 *   VALID, STARTED (or a torn STARTED)     its trial was cut short: not used while the other is good
 *
 * Of two usable slots the higher generation wins. Counters are never forgotten: a leaf that has gone
 * back notes the counter of what it went back from, in the slot it went back to, before it does
 * anything else; when the room for notes runs out, that slot is copied over the other one, which
 * starts with an empty list, and the leaf runs there. Nothing new is written while a program is on
 * trial: the slot to go back to stays.
 */
#ifndef LEAF_SLOTS_H
#define LEAF_SLOTS_H

#include "hal.h"

enum {
    IDENTITY_BYTES = 96,
    PACKAGE_AT = 224,
    PACKAGE_BYTES_MAX = 2176,
    NO_SLOT = 2,
};

/* The three parts of an identity, as they stand in flash. */
struct identity {
    const uint8_t *seed;
    const uint8_t *mesh;
    const uint8_t *authority;
};

struct slots {
    void *self;
    uint8_t active; /* 0, 1 or NO_SLOT */
    bool trial;     /* the active one has not been confirmed */
    bool fell_back; /* at start, a trial had been cut short */
    uint32_t highest; /* counter that was ever accepted */
};

/* Choose the slot to start with. Marks a new one as started, or keeps the counter of one that was not
 * chosen: it may take as long as a deploy. */
void slots_start(struct slots *slots);

bool slots_identity(const struct slots *slots, struct identity *out);
const uint8_t *slots_package(const struct slots *slots, uint32_t *size);

/* Erase the slot not in use, to be filled. Not while a program is on trial. */
bool slots_prepare(struct slots *slots);
/* Write one unit of the package into it; `at` from the package's start. */
bool slots_fill(const struct slots *slots, uint32_t at, const uint8_t unit[FLASH_UNIT]);
const uint8_t *slots_filled(const struct slots *slots);
/* Make it count, and make it the active one, on trial. */
bool slots_commit(struct slots *slots, uint32_t size, uint32_t counter);
bool slots_confirm(struct slots *slots);

/* Write the first slot of a leaf that has none; or forget everything. */
bool slots_provision(struct slots *slots, const uint8_t identity[IDENTITY_BYTES]);
bool slots_forget(struct slots *slots);

#endif
