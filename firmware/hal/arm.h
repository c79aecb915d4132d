/* The hal of every Cortex-M (arm.c), for the start-up code. */
#ifndef LEAF_ARM_H
#define LEAF_ARM_H

#include "../core/hal.h"

bool arm_has_received(void);

#endif
