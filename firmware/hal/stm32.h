/* Where the blocks are that STM32F405 and STM32H7A3 have in common, and what stm32.c asks of the
 * part's own file. Addresses: RM0090 and RM0455, chapter "Memory map". */
#ifndef LEAF_STM32_H
#define LEAF_STM32_H

#include "part.h"

enum { BOARD_STM32F405 = 1, BOARD_STM32H7A3 = 2 };

#if BOARD == 1
enum { GPIO_BASE = 0x40020000, RNG_BASE = 0x50060800, WATCHDOG_BASE = 0x40003000 };
#else
enum { GPIO_BASE = 0x58020000, RNG_BASE = 0x48021800, WATCHDOG_BASE = 0x58004800 };
#endif

enum {
    TIM2_BASE = 0x40000000,
    DAC_BASE = 0x40007400,
    USART1_BASE = 0x40011000,
    USART2_BASE = 0x40004400,
    ADC1_BASE = 0x40012000, /* F405 */
    ADC_BASE = 0x40022000,  /* H7A3 */
};

enum { USART1_IRQ = 37, USART2_IRQ = 38 };

/* A pin is 16 * port + number: PA0 is 0, PB0 is 16. */
enum {
    PA0 = 0,
    PA2 = 2,
    PA3 = 3,
    PA4 = 4,
    PA9 = 9,
    PA10 = 10,
    PA13 = 13,
    PA14 = 14,
    PA15 = 15,
    PB3 = 19,
    PB4 = 20,
    PB5 = 21,
    PB6 = 22,
    PB7 = 23,
    PC0 = 32,
    PINS = 48,
};

enum pin_function { MODE_INPUT, MODE_OUTPUT, MODE_ALTERNATE, MODE_ANALOG };

void stm32_pin_mode(uint32_t pin, enum pin_function mode, uint32_t pull);
void stm32_pin_alternate(uint32_t pin, uint32_t number);
/* TIM2 at 1 kHz, watchdog, random numbers; the part has switched their clocks on. */
void stm32_start(void);

#endif
