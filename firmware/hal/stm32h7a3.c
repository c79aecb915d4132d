/* STM32H7A3, H7B3 and H7B0 (RM0455): 64 MHz from the internal oscillator, as after reset.
 *
 *   flash   sectors 0 to 3 (32 KB) firmware   sector 4  slot 0        sector 5  slot 1
 *   pins    as on the STM32F405
 *   adc     the same numbers and pins as on the STM32F405               dac  0 1 PA4 PA5
 *
 * Flash is programmed 16 bytes at a time and carries ECC: such a word is written once between two
 * erasures. Reading one that lost power in the middle is a bus fault (an ECC double error, RM0455 chapter
 * "Embedded flash memory"), which the processor can be told to ignore while faults are masked
 * (ARMv7-M, B3.2.8: CCR.BFHFNMIGN). The FIFO of the UART holds what comes while the flash is busy. */
#include "stm32.h"

#include "start.h"

enum {
    RCC = 0x58024400,
    RCC_CR = RCC + 0x00,
    RCC_AHB1ENR = RCC + 0x138,
    RCC_AHB2ENR = RCC + 0x13C,
    RCC_AHB4ENR = RCC + 0x140,
    RCC_APB1LENR = RCC + 0x148,
    RCC_APB2ENR = RCC + 0x150,
    FLASH = 0x52002000,
    FLASH_KEYR = FLASH + 0x04,
    FLASH_CR = FLASH + 0x0C,
    FLASH_SR = FLASH + 0x10,
    FLASH_CCR = FLASH + 0x14,
};

/* Registers' bits. */
enum {
    HSI48_ON = 1 << 12,
    HSI48_READY = 1 << 13,
    CLOCK_TURNS = 20000,
    LOCK = 1,
    PROGRAM = 2,
    SECTOR_ERASE = 4,
    START = 1 << 5,
    WORKING = 7, /* busy, filling its buffer, or waiting */
    FLASH_ERRORS = 0x17EE0000,
    SECTOR_OF_SLOT_0 = 4,
};
static const uint32_t KEYS[2] = {0x45670123, 0xCDEF89AB};
/* A sector takes 10 ms at most (data sheet); a look takes over 50 ns. */
enum { ERASE_TURNS = 2000000, PROGRAM_TURNS = 20000, FLASH_WORD = 16 };

enum { USART_CLEAR = 0x20, CONFIGURATION = 0xE000ED14, IGNORE_BUS_FAULTS = 1 << 8 };

enum {
    ADC_ISR = ADC_BASE + 0x00,
    ADC_CR = ADC_BASE + 0x08,
    ADC_CFGR = ADC_BASE + 0x0C,
    ADC_SMPR1 = ADC_BASE + 0x14,
    ADC_SMPR2 = ADC_BASE + 0x18,
    ADC_PCSEL = ADC_BASE + 0x1C,
    ADC_SQR1 = ADC_BASE + 0x30,
    ADC_DR = ADC_BASE + 0x40,
    ADC_CCR = ADC_BASE + 0x308,
};
enum {
    ADC_ENABLE = 1,
    ADC_START = 1 << 2,
    ADC_REGULATOR = 1 << 28,
    ADC_READY = 1,
    ADC_DONE = 4,
    ADC_TURNS = 10000,
    TWELVE_BITS = 2 << 2,
    BUS_CLOCK_BY_4 = 3 << 16,
    REGULATOR_US = 20,
    SLOW = 0x3FFFFFFF, /* 810 cycles for each input: sources may be weak */
};

const struct part PART = {
    .adc_inputs = 16,
    .dac_outputs = 2,
    .sck = PB3,
    .miso = PB4,
    .mosi = PB5,
    .scl = PB6,
    .sda = PB7,
    .release = PA15,
    .turns_per_us = CLOCK_HZ / 1000000,
    .slot = {0x08008000, 0x0800A000},
};

static void link_interrupt(void);
static void uart_interrupt(void);

VECTORS = {CORE_VECTORS};
INTERRUPTS = {link_interrupt, uart_interrupt}; /* USART1, USART2 */

/* -- start -------------------------------------------------------------------------------------- */

void part_start(void)
{
    REG(RCC_CR) |= HSI48_ON; /* for random numbers */
    arm_wait(RCC_CR, HSI48_READY, HSI48_READY, CLOCK_TURNS);
    REG(RCC_AHB1ENR) |= 1 << 5;                 /* ADC */
    REG(RCC_AHB2ENR) |= 1 << 6;                 /* RNG */
    REG(RCC_AHB4ENR) |= 7;                      /* ports A to C */
    REG(RCC_APB1LENR) |= 1 | 1 << 17 | 1 << 29; /* TIM2, USART2, DAC */
    REG(RCC_APB2ENR) |= 1 << 4;                 /* USART1 */
    stm32_start();
}

/* -- serial lines ------------------------------------------------------------------------------- */

static void link_interrupt(void)
{
    if (REG(USART1_BASE + USART_STATUS) & USART_OVERRUN) {
        REG(USART1_BASE + USART_CLEAR) = USART_OVERRUN;
        arm_overrun();
    }
    while (REG(USART1_BASE + USART_STATUS) & USART_RECEIVED)
        arm_received((uint8_t)REG(USART1_BASE + USART_IN));
}

static void uart_interrupt(void)
{
    REG(USART2_BASE + USART_CLEAR) = USART_OVERRUN;
    while (REG(USART2_BASE + USART_STATUS) & USART_RECEIVED)
        arm_uart_received((uint8_t)REG(USART2_BASE + USART_IN));
}

/* -- flash -------------------------------------------------------------------------------------- */

static void flash_open(void)
{
    if (REG(FLASH_CR) & LOCK) {
        REG(FLASH_KEYR) = KEYS[0];
        REG(FLASH_KEYR) = KEYS[1];
    }
    REG(FLASH_CCR) = FLASH_ERRORS;
}

static bool flash_done(uint32_t turns)
{
    __asm volatile("dsb" ::: "memory"); /* what was written has reached the flash */
    bool done = arm_wait(FLASH_SR, WORKING, 0, turns);
    REG(FLASH_CR) = LOCK;
    return done && !(REG(FLASH_SR) & FLASH_ERRORS);
}

bool part_erase(uint32_t slot)
{
    flash_open();
    REG(FLASH_CR) = SECTOR_ERASE | (SECTOR_OF_SLOT_0 + slot) << 6;
    REG(FLASH_CR) |= START;
    return flash_done(ERASE_TURNS);
}

bool part_program(uint32_t at, const uint8_t unit[FLASH_UNIT])
{
    bool done = true;
    for (uint32_t i = 0; i < FLASH_UNIT && done; i += 4) {
        flash_open();
        REG(FLASH_CR) = PROGRAM;
        REG(at + i) = arm_word(unit + i);
        if (i % FLASH_WORD == FLASH_WORD - 4)
            done = flash_done(PROGRAM_TURNS);
    }
    return done;
}

void part_forgive(bool on)
{
    REG(CONFIGURATION) |= IGNORE_BUS_FAULTS;
    if (on)
        __asm volatile("cpsid f\n dsb\n isb" ::: "memory");
    else
        __asm volatile("dsb\n cpsie f" ::: "memory");
}

/* -- converter inputs --------------------------------------------------------------------------- */

/* Channels of ADC1 for PA0..PA7, PB0, PB1, PC0..PC5 (data sheet, pin table). */
static const uint8_t CHANNEL[16] = {16, 17, 14, 15, 18, 19, 3, 7, 9, 5, 10, 11, 12, 13, 4, 8};

void adc_configure(uint32_t input)
{
    REG(ADC_CCR) = BUS_CLOCK_BY_4;
    if (!(REG(ADC_CR) & ADC_ENABLE)) {
        REG(ADC_CR) = ADC_REGULATOR; /* and out of deep power-down */
        arm_wait_us(REGULATOR_US);
        REG(ADC_CFGR) = TWELVE_BITS;
        REG(ADC_SMPR1) = SLOW;
        REG(ADC_SMPR2) = SLOW;
        REG(ADC_CR) = ADC_REGULATOR | ADC_ENABLE;
        arm_wait(ADC_ISR, ADC_READY, ADC_READY, ADC_TURNS);
    }
    REG(ADC_PCSEL) |= 1u << CHANNEL[input];
}

bool adc_read(uint32_t input, int32_t *counts)
{
    REG(ADC_SQR1) = (uint32_t)CHANNEL[input] << 6;
    REG(ADC_CR) = ADC_REGULATOR | ADC_ENABLE | ADC_START;
    bool done = arm_wait(ADC_ISR, ADC_DONE, ADC_DONE, ADC_TURNS);
    *counts = (int32_t)(REG(ADC_DR) & 0xFFF); /* reading takes the flag back */
    return done;
}
