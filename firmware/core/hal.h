/* What a board gives to the core: the leaf's only door to the outside. Bound when it is linked, so that
 * the compiler sees through it; `self` is the board's state, so that a test runs a thousand leaves in
 * one process. */
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

uint32_t hal_board(void *self);         /* of enum board in program.cddl */
uint32_t hal_receive_bytes(void *self); /* what the board's receive buffer holds */

uint32_t hal_now_ms(void *self);
/* Bytes that have come over the link, at most `size`; returns how many. */
uint32_t hal_receive(void *self, uint8_t *data, uint32_t size);
void hal_send(void *self, const uint8_t *data, uint32_t size);

/* Slots 0 and 1 of SLOT_BYTES each. A unit is programmed once between erasures. */
const uint8_t *hal_slot(void *self, uint32_t slot);
bool hal_erase(void *self, uint32_t slot);
/* While on: reading what lost power gives anything at all, each time something else perhaps, and does
 * not end the program. Not for long: no byte is received meanwhile. */
void hal_forgive(void *self, bool on);
bool hal_program(void *self, uint32_t slot, uint32_t at, const uint8_t unit[FLASH_UNIT]);

bool hal_has(const void *self, const struct resource *resource);
void hal_configure(void *self, const struct resource *resource);
/* False when nothing answers. */
bool hal_read(void *self, const struct resource *resource, int32_t *value);
bool hal_write(void *self, const struct resource *resource, int32_t value);
/* Whether a line has ended on that UART since the last call. */
bool hal_line_ended(void *self, const struct resource *resource);

void hal_random(void *self, uint8_t *data, uint32_t size);
void hal_firmware_digest(void *self, uint8_t digest[DIGEST_BYTES]);
uint32_t hal_reset_cause(void *self);
uint32_t hal_flash_bytes(void *self);
uint32_t hal_ram_bytes(void *self);
uint32_t hal_stack_bytes(void *self); /* most that was ever used */
uint32_t hal_overruns(void *self);
void hal_pet(void *self); /* the watchdog */
void hal_restart(void *self);

#endif
