/* The hal of every Cortex-M (arm.c), for the start-up code. */
#ifndef LEAF_ARM_H
#define LEAF_ARM_H

#include "../core/hal.h"

extern const struct hal ARM_HAL;

bool arm_has_received(void);
uint32_t arm_stack_bytes(void *self);

#endif
