/* STM32F405 and F407 (RM0090): 64 MHz from the internal oscillator, no crystal needed.
 *
 *   flash   sectors 0 and 1 (32 KB) firmware  sector 2  slot 0        sector 3  slot 1
 *   pins    PA9 PA10 link     PA2 PA3 UART 0  PB3 PB4 PB5 SPI clock, in, out
 *           PB6 PB7 I2C clock, data           PA15 low at start: forget
 *   adc     0..7 PA0..PA7, 8 9 PB0 PB1, 10..15 PC0..PC5           dac  0 1 PA4 PA5
 *
 * The part has one bank of flash: erasing a sector stops the processor for a quarter of a second or
 * more, and the one byte of buffer in the UART overruns. The link is quiet then (docs/leaf-link.md).
 */
#include "stm32.h"

#include "start.h"

enum {
    RCC = 0x40023800,
    RCC_CR = RCC + 0x00,
    RCC_PLLCFGR = RCC + 0x04,
    RCC_CFGR = RCC + 0x08,
    RCC_AHB1ENR = RCC + 0x30,
    RCC_AHB2ENR = RCC + 0x34,
    RCC_APB1ENR = RCC + 0x40,
    RCC_APB2ENR = RCC + 0x44,
    FLASH = 0x40023C00,
    FLASH_ACR = FLASH + 0x00,
    FLASH_KEYR = FLASH + 0x04,
    FLASH_SR = FLASH + 0x0C,
    FLASH_CR = FLASH + 0x10,
};

/* Registers' bits. */
enum {
    PLL_ON = 1 << 24,
    PLL_READY = 1 << 25,
    PLL_16_128_2_3 = 16 | 128 << 6 | 0 << 16 | 3 << 24, /* 16 MHz / 16 * 128 / 2; / 3 for the RNG */
    SWITCH_TO_PLL = 2,
    APB1_HALF = 4 << 10,
    SWITCHED = 2 << 2,
    ACR_2_WAITS_CACHES = 2 | 1 << 8 | 1 << 9 | 1 << 10,
    CLOCK_TURNS = 20000,
    BUSY = 1 << 16,
    FLASH_ERRORS = 0xF2,
    PROGRAM = 1,
    SECTOR_ERASE = 2,
    START = 1 << 16,
    BY_WORD = 2 << 8,
    SECTOR_OF_SLOT_0 = 2,
};
static const uint32_t KEYS[2] = {0x45670123, 0xCDEF89AB}, LOCK = 1u << 31;
/* A sector takes 1.1 s at most with 32 bits at a time (data sheet); a look takes over 100 ns. */
enum { ERASE_TURNS = 20000000, PROGRAM_TURNS = 20000 };

enum { ADC_SR = 0x00, ADC_CR2 = 0x08, ADC_SMPR1 = 0x0C, ADC_SMPR2 = 0x10, ADC_SQR3 = 0x34, ADC_DR = 0x4C };
enum { ADC_ON = 1, ADC_START = 1 << 30, ADC_DONE = 2, ADC_TURNS = 1000 };
static const uint32_t ADC_SLOW = 0xFFFFFFFF; /* 480 cycles for each input: sources may be weak */

const struct part PART = {
    .adc_inputs = 16,
    .dac_outputs = 2,
    .sck = PB3,
    .miso = PB4,
    .mosi = PB5,
    .scl = PB6,
    .sda = PB7,
    .release = PA15,
    .turns_per_us = CLOCK_HZ / 3000000,
    .slot = {0x08008000, 0x0800C000},
};

static void link_interrupt(void);
static void uart_interrupt(void);

VECTORS = {CORE_VECTORS};
INTERRUPTS = {link_interrupt, uart_interrupt}; /* USART1, USART2 */

/* -- start -------------------------------------------------------------------------------------- */

static void start_clocks(void)
{
    REG(FLASH_ACR) = ACR_2_WAITS_CACHES;
    REG(RCC_PLLCFGR) = PLL_16_128_2_3;
    REG(RCC_CR) |= PLL_ON;
    arm_wait(RCC_CR, PLL_READY, PLL_READY, CLOCK_TURNS);
    REG(RCC_CFGR) = SWITCH_TO_PLL | APB1_HALF; /* timers of APB1 run at twice its clock: 64 MHz */
    arm_wait(RCC_CFGR, 3 << 2, SWITCHED, CLOCK_TURNS);
    REG(RCC_AHB1ENR) |= 7;                          /* ports A to C */
    REG(RCC_AHB2ENR) |= 1 << 6;                     /* RNG */
    REG(RCC_APB1ENR) |= 1 | 1 << 17 | 1 << 29;      /* TIM2, USART2, DAC */
    REG(RCC_APB2ENR) |= 1 << 4 | 1 << 8;            /* USART1, ADC1 */
}

void part_start(void)
{
    start_clocks();
    stm32_start();
}

/* -- serial lines ------------------------------------------------------------------------------- */

static void link_interrupt(void)
{
    uint32_t status = REG(USART1_BASE + USART_STATUS);
    if (status & USART_OVERRUN)
        arm_overrun();
    if (status & (USART_RECEIVED | USART_OVERRUN)) /* reading clears both */
        arm_received((uint8_t)REG(USART1_BASE + USART_IN));
}

static void uart_interrupt(void)
{
    if (REG(USART2_BASE + USART_STATUS) & (USART_RECEIVED | USART_OVERRUN))
        arm_uart_received((uint8_t)REG(USART2_BASE + USART_IN));
}

/* -- flash -------------------------------------------------------------------------------------- */

static void flash_open(void)
{
    if (REG(FLASH_CR) & LOCK) {
        REG(FLASH_KEYR) = KEYS[0];
        REG(FLASH_KEYR) = KEYS[1];
    }
    REG(FLASH_SR) = FLASH_ERRORS;
}

static bool flash_done(uint32_t turns)
{
    bool done = arm_wait(FLASH_SR, BUSY, 0, turns);
    REG(FLASH_CR) = LOCK;
    return done && !(REG(FLASH_SR) & FLASH_ERRORS);
}

/* The data cache may hold what was there before (RM0090, 3.5.3). */
static void drop_caches(void)
{
    REG(FLASH_ACR) = 2;
    REG(FLASH_ACR) = 2 | 1 << 11 | 1 << 12;
    REG(FLASH_ACR) = ACR_2_WAITS_CACHES;
}

bool part_erase(uint32_t slot)
{
    flash_open();
    REG(FLASH_CR) = BY_WORD | SECTOR_ERASE | (SECTOR_OF_SLOT_0 + slot) << 3;
    REG(FLASH_CR) |= START;
    bool done = flash_done(ERASE_TURNS);
    drop_caches();
    return done;
}

bool part_program(uint32_t at, const uint8_t unit[FLASH_UNIT])
{
    bool done = true;
    for (uint32_t i = 0; i < FLASH_UNIT && done; i += 4) {
        flash_open();
        REG(FLASH_CR) = BY_WORD | PROGRAM;
        REG(at + i) = arm_word(unit + i);
        done = flash_done(PROGRAM_TURNS);
    }
    return done;
}

/* -- converter inputs --------------------------------------------------------------------------- */

void adc_configure(uint32_t input)
{
    stm32_pin_mode(input < 8 ? PA0 + input : input < 10 ? 16 + input - 8 : PC0 + input - 10, MODE_ANALOG, 0);
    REG(ADC1_BASE + ADC_SMPR1) = ADC_SLOW >> 5;
    REG(ADC1_BASE + ADC_SMPR2) = ADC_SLOW >> 2;
    REG(ADC1_BASE + ADC_CR2) = ADC_ON;
    arm_wait_us(3); /* to stabilise */
}

bool adc_read(uint32_t input, int32_t *counts)
{
    REG(ADC1_BASE + ADC_SQR3) = input;
    REG(ADC1_BASE + ADC_SR) = 0;
    REG(ADC1_BASE + ADC_CR2) = ADC_ON | ADC_START;
    bool done = arm_wait(ADC1_BASE + ADC_SR, ADC_DONE, ADC_DONE, ADC_TURNS);
    *counts = (int32_t)(REG(ADC1_BASE + ADC_DR) & 0xFFF);
    return done;
}
