/* nRF52840 (Product Specification v1.7): 64 MHz, flash in pages of 4 KB. Registers are those of the
 * nRF51 where that part has the block, so the same driver runs on its Cortex-M0.
 *
 *   flash   pages 0 to 7 (32 KB) firmware  page 8  slot 0              page 9  slot 1
 *   pins    P0.06 P0.08 link  P1.02 P1.01 UART 0  P1.15 P1.14 P1.13 SPI clock, in, out
 *           P0.27 P0.26 I2C clock, data           P0.11 low at start: forget
 *   adc     0..7 P0.02..P0.05, P0.28..P0.31; the whole scale is the supply
 *
 * That is how the development kit is wired: its serial port over USB is the link, its first button the
 * one to forget by. The link is the old UART, whose FIFO needs no buffer in RAM; there is only one, so
 * the rules' UART is one with EasyDMA, a byte at a time. Erasing a page stops the processor for 85 ms.
 */
#include "part.h"
#include "start.h"

enum {
    FICR_PAGE_BYTES = 0x10000010,
    POWER_RESETREAS = 0x40000400,
    CLOCK_HFCLKSTART = 0x40000000,
    UART0 = 0x40002000,
    SAADC = 0x40007000,
    TIMER0 = 0x40008000,
    RNG = 0x4000D000,
    WDT = 0x40010000,
    NVMC = 0x4001E000,
    UARTE1 = 0x40028000,
    GPIO = 0x50000000,
    NEXT_PORT = 0x300,
};
enum { UART0_IRQ = 2, TIMER0_IRQ = 8, UARTE1_IRQ = 40 };

/* Registers that every block has at the same place. */
enum { SHORTS = 0x200, INTENSET = 0x304, ENABLE = 0x500 };

enum { TIMER_START = 0x00, TIMER_CAPTURE = 0x40, TIMER_COMPARE = 0x140, TIMER_BITMODE = 0x508 };
enum { TIMER_PRESCALER = 0x510, TIMER_CC = 0x540, BITS_32 = 3, DIVIDE_BY_16 = 4, TICK_US = 1000 };
enum { NOW = 0, TICK = 1, TICKED = 2, INTERRUPT_OF_TICK = 1 << 17 }; /* three of its channels */

enum { RNG_START = 0x00, RNG_READY = 0x100, RNG_CONFIG = 0x504, RNG_VALUE = 0x508, RNG_EVEN = 1 };
enum { WDT_START = 0x00, WDT_RELOAD_VALUE = 0x504, WDT_RELOAD = 0x600, WDT_HZ = 32768 };
enum { WDT_KEY = 0x6E524635 };

enum { NVMC_READY = 0x400, NVMC_CONFIG = 0x504, NVMC_ERASE_PAGE = 0x508, NVMC_CACHE = 0x540 };
enum { READ_ONLY, MAY_WRITE, MAY_ERASE };
/* A page takes 90 ms at most, a word 43 us (PS, 4.3.10); a look takes over 100 ns. */
enum { ERASE_TURNS = 2000000, WRITE_TURNS = 20000 };

enum {
    START_RECEIVING = 0x00,
    START_SENDING = 0x08,
    RECEIVED = 0x108,
    SENT = 0x11C,
    ERROR = 0x124,
    ERROR_SOURCE = 0x480,
    PIN_OUT = 0x50C,
    PIN_IN = 0x514,
    BYTE_IN = 0x518,
    BYTE_OUT = 0x51C,
    BAUD_RATE = 0x524,
    ENABLE_UART = 4,
    RATE_115200 = 0x01D7E000,
    INTERRUPT_OF_RECEIVED = 1 << 2,
    INTERRUPT_OF_ERROR = 1 << 9,
    OVERRUN = 1,
    SEND_TURNS = 100000,
};
/* What UARTE has besides; its bytes come and go through RAM. */
enum {
    DMA_RECEIVED = 0x110,
    DMA_SENT = 0x120,
    DMA_IN = 0x534,
    DMA_IN_COUNT = 0x538,
    DMA_OUT = 0x544,
    DMA_OUT_COUNT = 0x548,
    ENABLE_UARTE = 8,
    DMA_RATE_115200 = 0x01D60000,
    RECEIVE_ON = 1 << 5,
    INTERRUPT_OF_DMA_RECEIVED = 1 << 4,
};

enum { OUTSET = 0x508, OUTCLR = 0x50C, IN = 0x510, PIN_CNF = 0x700 };
enum { CNF_OUTPUT = 1, CNF_UNCONNECTED = 2, CNF_DOWN = 1 << 2, CNF_UP = 3 << 2, CNF_OPEN_DRAIN = 6 << 8 };

enum {
    ADC_START = 0x00,
    ADC_SAMPLE = 0x04,
    ADC_STOP = 0x08,
    ADC_STARTED = 0x100,
    ADC_END = 0x104,
    ADC_STOPPED = 0x114,
    ADC_POSITIVE = 0x510,
    ADC_CONFIG = 0x518,
    ADC_RESOLUTION = 0x5F0,
    ADC_RESULT = 0x62C,
    ADC_RESULT_COUNT = 0x630,
    QUARTER_OF_QUARTER_SUPPLY_40US = 2 << 8 | 1 << 12 | 5 << 16,
    TWELVE_BITS = 2,
    ADC_TURNS = 10000,
};

enum { LINK_OUT = 6, LINK_IN = 8, UART_OUT = 32 + 2, UART_IN = 32 + 1, PINS = 48 };

const struct part PART = {
    .adc_inputs = 8,
    .dac_outputs = 0,
    .sck = 32 + 15,
    .miso = 32 + 14,
    .mosi = 32 + 13,
    .scl = 27,
    .sda = 26,
    .release = 11,
    .turns_per_us = CLOCK_HZ / 3000000,
    .slot = {0x8000, 0x9000},
};

static void link_interrupt(void);
static void tick_interrupt(void);
static void uart_interrupt(void);

VECTORS = {
    CORE_VECTORS,
    [16 + UART0_IRQ] = link_interrupt,
    [16 + TIMER0_IRQ] = tick_interrupt,
};
INTERRUPTS = {uart_interrupt}; /* UARTE1 */

/* -- start, time, watchdog ---------------------------------------------------------------------- */

static uint32_t timer_us(uint32_t channel)
{
    REG(TIMER0 + TIMER_CAPTURE + 4 * channel) = 1;
    return REG(TIMER0 + TIMER_CC + 4 * channel);
}

/* SysTick stands still while the processor sleeps; a timer does not. A moment that has passed before
 * it is set would come in an hour. */
static void tick_interrupt(void)
{
    uint32_t next_us;
    REG(TIMER0 + TIMER_COMPARE + 4 * TICK) = 0;
    do {
        next_us = timer_us(TICKED) + TICK_US;
        REG(TIMER0 + TIMER_CC + 4 * TICK) = next_us;
    } while (next_us - timer_us(TICKED) - 1 >= TICK_US);
}

static void start_time(void)
{
    REG(TIMER0 + TIMER_BITMODE) = BITS_32;
    REG(TIMER0 + TIMER_PRESCALER) = DIVIDE_BY_16; /* of 16 MHz */
    REG(TIMER0 + INTENSET) = INTERRUPT_OF_TICK;
    REG(TIMER0 + TIMER_START) = 1;
    tick_interrupt();
    interrupt_enable(TIMER0_IRQ);
}

static void start_pins(uint32_t uart, uint32_t out, uint32_t in)
{
    pin_configure(in, PIN_PULL_UP);
    pin_write(out, true);
    pin_configure(out, PIN_OUTPUT);
    REG(uart + PIN_OUT) = out;
    REG(uart + PIN_IN) = in;
}

void part_start(void)
{
    REG(CLOCK_HFCLKSTART) = 1; /* the crystal; it takes over by itself when it is there */
    REG(NVMC + NVMC_CACHE) = 1;
    start_time();
    REG(RNG + RNG_CONFIG) = RNG_EVEN;
    REG(RNG + RNG_START) = 1;
    REG(WDT + WDT_RELOAD_VALUE) = WATCHDOG_MS * (WDT_HZ / 8) / 125 - 1;
    REG(WDT + WDT_START) = 1;
    start_pins(UART0, LINK_OUT, LINK_IN);
    REG(UART0 + BAUD_RATE) = RATE_115200;
    REG(UART0 + ENABLE) = ENABLE_UART;
    REG(UART0 + INTENSET) = INTERRUPT_OF_RECEIVED | INTERRUPT_OF_ERROR;
    REG(UART0 + START_RECEIVING) = 1;
    REG(UART0 + START_SENDING) = 1;
    interrupt_enable(UART0_IRQ);
}

uint32_t part_now_ms(void)
{
    return arm_ms_of_us(timer_us(NOW));
}

uint32_t part_reset_cause(void)
{
    static uint32_t cause;
    uint32_t flags = REG(POWER_RESETREAS);
    if (cause == 0) {
        REG(POWER_RESETREAS) = flags; /* forget them */
        cause = flags & 1        ? RESET_PIN /* the others may be wrong then (anomaly 136) */
                : flags & 1 << 1 ? RESET_WATCHDOG
                : flags & 1 << 2 ? RESET_SOFTWARE
                : flags & 1 << 3 ? RESET_FAULT
                                 : RESET_POWER;
    }
    return cause;
}

void part_restart(void)
{
    start_request_reset();
}

void part_pet(void)
{
    REG(WDT + WDT_RELOAD) = WDT_KEY;
}

bool part_random(uint32_t *word)
{
    uint32_t gathered = 0;
    for (uint32_t i = 0; i < 4; i++) {
        if (!arm_wait(RNG + RNG_READY, 1, 1, WRITE_TURNS))
            return false;
        REG(RNG + RNG_READY) = 0;
        gathered = gathered << 8 | (REG(RNG + RNG_VALUE) & 0xFF);
    }
    *word = gathered;
    return true;
}

/* -- serial lines ------------------------------------------------------------------------------- */

static void link_interrupt(void)
{
    if (REG(UART0 + ERROR)) {
        REG(UART0 + ERROR) = 0;
        if (REG(UART0 + ERROR_SOURCE) & OVERRUN)
            arm_overrun();
        REG(UART0 + ERROR_SOURCE) = 0xF;
    }
    while (REG(UART0 + RECEIVED)) { /* comes again while there is something in the FIFO */
        REG(UART0 + RECEIVED) = 0;
        arm_received((uint8_t)REG(UART0 + BYTE_IN));
    }
}

void part_send(uint8_t byte)
{
    REG(UART0 + SENT) = 0;
    REG(UART0 + BYTE_OUT) = byte;
    arm_wait(UART0 + SENT, 1, 1, SEND_TURNS);
}

static volatile uint8_t byte_in, byte_out;

static void uart_interrupt(void)
{
    REG(UARTE1 + DMA_RECEIVED) = 0;
    arm_uart_received(byte_in);
}

void part_uart_start(void)
{
    start_pins(UARTE1, UART_OUT, UART_IN);
    REG(UARTE1 + BAUD_RATE) = DMA_RATE_115200;
    REG(UARTE1 + DMA_IN) = (uint32_t)(uintptr_t)&byte_in;
    REG(UARTE1 + DMA_IN_COUNT) = 1;
    REG(UARTE1 + DMA_OUT) = (uint32_t)(uintptr_t)&byte_out;
    REG(UARTE1 + DMA_OUT_COUNT) = 1;
    REG(UARTE1 + SHORTS) = RECEIVE_ON; /* into the same byte: there are 87 us to fetch it */
    REG(UARTE1 + INTENSET) = INTERRUPT_OF_DMA_RECEIVED;
    REG(UARTE1 + ENABLE) = ENABLE_UARTE;
    REG(UARTE1 + START_RECEIVING) = 1;
    interrupt_enable(UARTE1_IRQ);
}

void part_uart_send(uint8_t byte)
{
    byte_out = byte;
    REG(UARTE1 + DMA_SENT) = 0;
    REG(UARTE1 + START_SENDING) = 1;
    arm_wait(UARTE1 + DMA_SENT, 1, 1, SEND_TURNS);
}

/* -- flash -------------------------------------------------------------------------------------- */

static bool flash_done(uint32_t turns)
{
    bool done = arm_wait(NVMC + NVMC_READY, 1, 1, turns);
    REG(NVMC + NVMC_CONFIG) = READ_ONLY;
    return done;
}

bool part_erase(uint32_t slot)
{
    bool done = true;
    for (uint32_t at = 0; at < SLOT_BYTES && done; at += REG(FICR_PAGE_BYTES)) {
        REG(NVMC + NVMC_CONFIG) = MAY_ERASE;
        REG(NVMC + NVMC_ERASE_PAGE) = PART.slot[slot] + at;
        done = flash_done(ERASE_TURNS);
    }
    return done;
}

bool part_program(uint32_t at, const uint8_t unit[FLASH_UNIT])
{
    bool done = true;
    for (uint32_t i = 0; i < FLASH_UNIT && done; i += 4) {
        REG(NVMC + NVMC_CONFIG) = MAY_WRITE;
        REG(at + i) = arm_word(unit + i);
        done = flash_done(WRITE_TURNS);
    }
    return done;
}

/* -- pins --------------------------------------------------------------------------------------- */

static uint32_t port(uint32_t pin)
{
    return GPIO + pin / 32 * NEXT_PORT;
}

/* Not those of the link, the buses, the one to forget by, the 32 kHz crystal, NFC and reset. */
bool pin_exists(uint32_t pin)
{
    const uint64_t taken = 1ull << 0 | 1ull << 1 | 1ull << LINK_OUT | 1ull << LINK_IN | 1ull << 9 |
                           1ull << 10 | 1ull << 11 | 1ull << 18 | 1ull << 26 | 1ull << 27 |
                           1ull << 45 | 1ull << 46 | 1ull << 47;
    return pin < PINS && !(taken >> pin & 1);
}

void pin_configure(uint32_t pin, enum pin_mode mode)
{
    static const uint16_t CNF[] = {
        [PIN_INPUT] = 0,
        [PIN_PULL_UP] = CNF_UP,
        [PIN_PULL_DOWN] = CNF_DOWN,
        [PIN_OUTPUT] = CNF_OUTPUT,
        [PIN_OPEN_DRAIN] = CNF_OUTPUT | CNF_UP | CNF_OPEN_DRAIN,
    };
    REG(port(pin) + PIN_CNF + pin % 32 * 4) = CNF[mode];
}

bool pin_read(uint32_t pin)
{
    return REG(port(pin) + IN) >> pin % 32 & 1;
}

void pin_write(uint32_t pin, bool level)
{
    REG(port(pin) + (level ? OUTSET : OUTCLR)) = 1u << pin % 32;
}

/* -- converter inputs --------------------------------------------------------------------------- */

void adc_configure(uint32_t input)
{
    uint32_t pin = input < 4 ? 2 + input : 28 + input - 4;
    REG(port(pin) + PIN_CNF + pin * 4) = CNF_UNCONNECTED;
    REG(SAADC + ADC_CONFIG) = QUARTER_OF_QUARTER_SUPPLY_40US;
    REG(SAADC + ADC_RESOLUTION) = TWELVE_BITS;
    REG(SAADC + ENABLE) = 1;
}

static bool adc_task(uint32_t task, uint32_t event)
{
    REG(SAADC + event) = 0;
    REG(SAADC + task) = 1;
    return arm_wait(SAADC + event, 1, 1, ADC_TURNS);
}

bool adc_read(uint32_t input, int32_t *counts)
{
    static volatile int16_t result; /* somewhat below 0 at 0 V */
    result = 0;
    REG(SAADC + ADC_POSITIVE) = input + 1;
    REG(SAADC + ADC_RESULT) = (uint32_t)(uintptr_t)&result;
    REG(SAADC + ADC_RESULT_COUNT) = 1;
    bool done = adc_task(ADC_START, ADC_STARTED) && adc_task(ADC_SAMPLE, ADC_END);
    adc_task(ADC_STOP, ADC_STOPPED);
    *counts = result < 0 ? 0 : result;
    return done;
}

/* There is no converter output; the linker wants the names. */
void dac_configure(uint32_t output)
{
    (void)output;
}

void dac_write(uint32_t output, uint32_t counts)
{
    (void)output;
    (void)counts;
}
