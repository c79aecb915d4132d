/* The first 256 bytes of an RP2040's flash: makes the rest of it readable, and starts what is there.
 *
 * The boot ROM copies these bytes to the end of RAM, compares their checksum (which build.py writes
 * into the last four) and jumps to the first. So nothing here may depend on where it stands. */
#include "xip.h"

enum { VECTOR_TABLE = 0xE000ED08, FIRMWARE = 0x10000100 };

__attribute__((section(".boot2"), used, noreturn)) void boot2(void)
{
    xip_start();
    REG(VECTOR_TABLE) = FIRMWARE;
    uint32_t stack = REG(FIRMWARE), begin = REG(FIRMWARE + 4);
    __asm volatile("msr msp, %0\n bx %1" ::"r"(stack), "r"(begin));
    __builtin_unreachable();
}
