/* What STM32F405 and STM32H7A3 do alike: pins, converter outputs, time, watchdog, random numbers. */
#include "stm32.h"

#include "start.h"

enum { MODER = 0x00, OTYPER = 0x04, PUPDR = 0x0C, IDR = 0x10, BSRR = 0x18, AFR = 0x20, PORT = 0x400 };
enum { TIM_CR1 = 0x00, TIM_EGR = 0x14, TIM_CNT = 0x24, TIM_PSC = 0x28, TIM_ARR = 0x2C };
enum { DAC_CR = 0x00, DAC_DHR12R1 = 0x08, DAC_DHR12R2 = 0x14 };
enum { RNG_CR = 0x00, RNG_SR = 0x04, RNG_DR = 0x08, RNG_ON = 4, RNG_READY = 1, RNG_TURNS = 10000 };
enum { ROOM_TURNS = 100000 };
enum { RNG_FAULTS = 0x66 }; /* clock and seed errors, now or since */
enum {
    WATCHDOG_KEY = 0x00,
    WATCHDOG_PRESCALER = 0x04,
    WATCHDOG_RELOAD = 0x08,
    KEY_START = 0xCCCC,
    KEY_CONFIGURE = 0x5555,
    KEY_PET = 0xAAAA,
    DIVIDE_BY_64 = 4,
    LOW_SPEED_HZ = 32000,
};

/* -- time, watchdog, randomness ----------------------------------------------------------------- */

/* A timer that counts milliseconds by itself: erasing flash stops the processor for up to half a
 * second, and ticks counted in an interrupt would be lost. */
static void start_time(void)
{
    REG(TIM2_BASE + TIM_PSC) = CLOCK_HZ / 1000 - 1;
    REG(TIM2_BASE + TIM_ARR) = 0xFFFFFFFF;
    REG(TIM2_BASE + TIM_EGR) = 1;
    REG(TIM2_BASE + TIM_CR1) = 1;
}

uint32_t part_now_ms(void)
{
    return REG(TIM2_BASE + TIM_CNT);
}

uint32_t part_reset_cause(void)
{
    static uint32_t cause;
    uint32_t flags = REG(RESET_FLAGS) >> RESET_FLAGS_AT;
    uint32_t watchdog = BOARD == BOARD_STM32F405 ? 1 << 4 : 1 << 5;
    if (cause == 0) {
        REG(RESET_FLAGS) |= RESET_FORGET;
        cause = flags & watchdog ? RESET_WATCHDOG
                : flags & 1 << 3 ? RESET_SOFTWARE
                : flags & 1 << 2 ? RESET_POWER
                : flags & 1 << 0 ? RESET_BROWNOUT
                                 : RESET_PIN;
    }
    return cause;
}

void part_restart(void)
{
    start_request_reset();
}

void part_pet(void)
{
    REG(WATCHDOG_BASE + WATCHDOG_KEY) = KEY_PET;
}

bool part_random(uint32_t *word)
{
    if (!arm_wait(RNG_BASE + RNG_SR, RNG_READY | RNG_FAULTS, RNG_READY, RNG_TURNS))
        return false;
    *word = REG(RNG_BASE + RNG_DR);
    return true;
}

/* -- serial lines: USART1 is the link, USART2 the rules' ------------------------------------------ */

static void start_usart(uint32_t base, uint32_t clock_hz, uint32_t interrupt)
{
    REG(base + USART_BRR) = (clock_hz + BAUD / 2) / BAUD;
    REG(base + USART_CR1) = USART_ON;
    interrupt_enable(interrupt);
}

static void send_byte(uint32_t base, uint8_t byte)
{
    arm_wait(base + USART_STATUS, USART_ROOM, USART_ROOM, ROOM_TURNS);
    REG(base + USART_OUT) = byte;
}

void part_send(uint8_t byte)
{
    send_byte(USART1_BASE, byte);
}

void part_uart_start(void)
{
    stm32_pin_alternate(PA2, 7);
    stm32_pin_alternate(PA3, 7);
    start_usart(USART2_BASE, USART2_HZ, USART2_IRQ);
}

void part_uart_send(uint8_t byte)
{
    send_byte(USART2_BASE, byte);
}

/* -- pins --------------------------------------------------------------------------------------- */

static uint32_t port(uint32_t pin)
{
    return GPIO_BASE + PORT * (pin / 16);
}

static void put_field(uint32_t address, uint32_t bits, uint32_t at, uint32_t value)
{
    uint32_t mask = (1u << bits) - 1;
    REG(address) = (REG(address) & ~(mask << at)) | value << at;
}

void stm32_pin_mode(uint32_t pin, enum pin_function mode, uint32_t pull)
{
    put_field(port(pin) + PUPDR, 2, pin % 16 * 2, pull);
    put_field(port(pin) + MODER, 2, pin % 16 * 2, mode);
}

void stm32_pin_alternate(uint32_t pin, uint32_t number)
{
    put_field(port(pin) + AFR + pin % 16 / 8 * 4, 4, pin % 8 * 4, number);
    stm32_pin_mode(pin, MODE_ALTERNATE, PIN_PULL_UP);
}

/* Not those of the link, the debugger, the buses, and the one to forget by. */
bool pin_exists(uint32_t pin)
{
    const uint64_t taken = 1ull << PA9 | 1ull << PA10 | 1ull << PA13 | 1ull << PA14 | 1ull << PA15 |
                           1ull << PB3 | 1ull << PB4 | 1ull << PB5 | 1ull << PB6 | 1ull << PB7;
    return pin < PINS && !(taken >> pin & 1);
}

void pin_configure(uint32_t pin, enum pin_mode mode)
{
    put_field(port(pin) + OTYPER, 1, pin % 16, mode == PIN_OPEN_DRAIN);
    if (mode == PIN_OUTPUT || mode == PIN_OPEN_DRAIN)
        stm32_pin_mode(pin, MODE_OUTPUT, mode == PIN_OPEN_DRAIN);
    else
        stm32_pin_mode(pin, MODE_INPUT, mode);
}

bool pin_read(uint32_t pin)
{
    return REG(port(pin) + IDR) >> pin % 16 & 1;
}

void pin_write(uint32_t pin, bool level)
{
    REG(port(pin) + BSRR) = 1u << (pin % 16 + (level ? 0 : 16));
}

/* -- start ------------------------------------------------------------------------------------- */

void stm32_start(void)
{
    start_ticks();
    start_time();
    REG(RNG_BASE + RNG_CR) = RNG_ON;
    REG(WATCHDOG_BASE + WATCHDOG_KEY) = KEY_START;
    REG(WATCHDOG_BASE + WATCHDOG_KEY) = KEY_CONFIGURE;
    REG(WATCHDOG_BASE + WATCHDOG_PRESCALER) = DIVIDE_BY_64;
    REG(WATCHDOG_BASE + WATCHDOG_RELOAD) = WATCHDOG_MS * (LOW_SPEED_HZ / 64) / 1000;
    part_pet();
    stm32_pin_alternate(PA9, 7);
    stm32_pin_alternate(PA10, 7);
    start_usart(USART1_BASE, CLOCK_HZ, USART1_IRQ);
}

/* -- converter outputs: PA4 and PA5 ------------------------------------------------------------- */

void dac_configure(uint32_t output)
{
    stm32_pin_mode(PA4 + output, MODE_ANALOG, 0);
    REG(DAC_BASE + DAC_CR) |= 1u << 16 * output;
}

void dac_write(uint32_t output, uint32_t counts)
{
    REG(DAC_BASE + (output ? DAC_DHR12R2 : DAC_DHR12R1)) = counts;
}
