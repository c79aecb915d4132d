/* How an RP2040 reads its flash chip as memory: with command 03h, one bit at a time, which every chip
 * knows. Set up by boot2.c at start and by rp2040.c after each change of the flash; both run while
 * there is no flash to run from, so this is inlined and calls nothing. RP2040 data sheet, 4.10. */
#ifndef LEAF_XIP_H
#define LEAF_XIP_H

#include "start.h"

enum {
    SSI = 0x18000000,
    SSI_CTRLR0 = SSI + 0x00,
    SSI_CTRLR1 = SSI + 0x04,
    SSI_ENABLE = SSI + 0x08,
    SSI_BAUD = SSI + 0x14,
    SSI_SPI_CTRLR0 = SSI + 0xF4,
    WORDS_BY_EEPROM_READ = 31 << 16 | 3 << 8,
    COMMAND_03_ADDRESS_24 = 0x03 << 24 | 2 << 8 | 6 << 2,
    BY_4 = 4, /* of the processor's clock */
};

static inline __attribute__((always_inline)) void xip_start(void)
{
    REG(SSI_ENABLE) = 0;
    REG(SSI_BAUD) = BY_4;
    REG(SSI_CTRLR0) = WORDS_BY_EEPROM_READ;
    REG(SSI_CTRLR1) = 0;
    REG(SSI_SPI_CTRLR0) = COMMAND_03_ADDRESS_24;
    REG(SSI_ENABLE) = 1;
}

#endif
