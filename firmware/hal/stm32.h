/* Where the blocks are that STM32F405 and STM32H7A3 have in common, and what stm32.c asks of the
 * part's own file. Addresses: RM0090 and RM0455, chapter "Memory map". */
#ifndef LEAF_STM32_H
#define LEAF_STM32_H

#include "part.h"

enum { BOARD_STM32F405 = 1, BOARD_STM32H7A3 = 2 };

#if BOARD == 1
enum { GPIO_BASE = 0x40020000, RNG_BASE = 0x50060800, WATCHDOG_BASE = 0x40003000 };
enum { USART_STATUS = 0x00, USART_IN = 0x04, USART_OUT = 0x04, USART_BRR = 0x08, USART_CR1 = 0x0C };
enum { USART_ON = 1 << 13 | 1 << 5 | 1 << 3 | 1 << 2, USART2_HZ = CLOCK_HZ / 2 };
enum { RESET_FLAGS = 0x40023874, RESET_FLAGS_AT = 25, RESET_FORGET = 1 << 24 };
#else
enum { GPIO_BASE = 0x58020000, RNG_BASE = 0x48021800, WATCHDOG_BASE = 0x58004800 };
enum { USART_CR1 = 0x00, USART_BRR = 0x0C, USART_STATUS = 0x1C, USART_IN = 0x24, USART_OUT = 0x28 };
enum { USART_ON = 1 << 29 | 1 << 5 | 1 << 3 | 1 << 2 | 1, USART2_HZ = CLOCK_HZ };
enum { RESET_FLAGS = 0x58024530, RESET_FLAGS_AT = 21, RESET_FORGET = 1 << 16 };
#endif
enum { USART_OVERRUN = 1 << 3, USART_RECEIVED = 1 << 5, USART_ROOM = 1 << 7 }; /* of the status */

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
/* TIM2 at 1 kHz, watchdog, random numbers, link; the part has switched their clocks on. */
void stm32_start(void);

#endif
