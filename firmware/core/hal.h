/* What a board gives to the core: the leaf's only door to the outside. One constant table per board
 * and `self` for its state, so that a test runs a thousand leaves in one process. */
#ifndef LEAF_HAL_H
#define LEAF_HAL_H

#include "program.h"

enum { SLOTS = 2, FLASH_UNIT = 32, SLOT_BYTES = 4096, DIGEST_BYTES = 16 };

/* Numbers of system events and of `firmware-error`. */
enum reset_cause {
    RESET_POWER = 1,
    RESET_PIN,
    RESET_SOFTWARE,
    RESET_WATCHDOG,
    RESET_BROWNOUT,
    RESET_FAULT, /* the processor met something impossible */
};

struct hal {
    uint8_t board;          /* of enum board in program.cddl */
    uint16_t receive_bytes; /* what the board's receive buffer holds */

    uint32_t (*now_ms)(void *self);
    /* Bytes that have come over the link, at most `size`; returns how many. */
    uint32_t (*receive)(void *self, uint8_t *data, uint32_t size);
    void (*send)(void *self, const uint8_t *data, uint32_t size);

    /* Slots 0 and 1 of SLOT_BYTES each. A unit is programmed once between erasures. */
    const uint8_t *(*slot)(void *self, uint32_t slot);
    bool (*erase)(void *self, uint32_t slot);
    bool (*program)(void *self, uint32_t slot, uint32_t at, const uint8_t unit[FLASH_UNIT]);

    bool (*has)(const void *self, const struct resource *resource);
    void (*configure)(void *self, const struct resource *resource);
    /* False when nothing answers. */
    bool (*read)(void *self, const struct resource *resource, int32_t *value);
    bool (*write)(void *self, const struct resource *resource, int32_t value);
    /* Whether a line has ended on that UART since the last call. */
    bool (*line_ended)(void *self, const struct resource *resource);

    void (*random)(void *self, uint8_t *data, uint32_t size);
    void (*firmware_digest)(void *self, uint8_t digest[DIGEST_BYTES]);
    uint32_t (*reset_cause)(void *self);
    uint32_t (*flash_bytes)(void *self);
    uint32_t (*ram_bytes)(void *self);
    uint32_t (*stack_bytes)(void *self); /* most that was ever used */
    uint32_t (*overruns)(void *self);
    void (*pet)(void *self); /* the watchdog */
    void (*restart)(void *self);
};

#endif
