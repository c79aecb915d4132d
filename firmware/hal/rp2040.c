/* RP2040 (data sheet of 2024): 96 MHz from a crystal of 12 MHz, flash on the other side of a bus.
 *
 *   flash   256 bytes boot2.c   up to 24 KB firmware   0x6000  slot 0   0x7000  slot 1
 *   pins    GPIO 0 1 link  8 9 UART 0  18 16 19 SPI clock, in, out  21 20 I2C clock, data
 *           22 low at start: forget
 *   adc     0..3 GPIO 26..29
 *
 * 96 MHz is what one PLL can give beside the 48 MHz of the converter. Nothing can be read from flash
 * while it changes: what changes it stands in RAM, with interrupts off, and calls the boot ROM. A
 * sector takes 45 ms, in which the 32 bytes of FIFO in the UART overrun; a page takes less than they
 * last. The chip is told to program a page of 256 bytes of which all but one unit are ones, which
 * leaves them as they are.
 */
#include "part.h"
#include "xip.h"

#include "../core/bytes.h"

enum {
    CLOCKS = 0x40008000,
    RESETS_CLEAR = 0x4000F000, /* writing to it clears bits */
    RESETS_DONE = 0x4000C008,
    POWER_ON_WATCHDOG = 0x40010008,
    IO_BANK = 0x40014000,
    PADS_BANK = 0x4001C000,
    XOSC = 0x40024000,
    PLL = 0x40028000,
    UART0 = 0x40034000,
    UART1 = 0x40038000,
    ADC = 0x4004C000,
    TIMER_NOW_US = 0x40054028,
    WATCHDOG = 0x40058000,
    ROSC_RANDOM = 0x4006001C,
    CHIP_RESET = 0x40064008,
    SIO = 0xD0000000,
    FLASH = 0x10000000,
};
enum { UART0_IRQ = 20, UART1_IRQ = 21 };

/* Blocks that are let out of reset: ADC, IO_BANK0, PADS_BANK0, PLL_SYS, TIMER, UART0, UART1. */
enum { BLOCKS = 1 << 0 | 1 << 5 | 1 << 8 | 1 << 12 | 1 << 21 | 1 << 22 | 1 << 23, CLOCK_TURNS = 20000 };

enum { XOSC_CTRL = XOSC + 0x00, XOSC_STATUS = XOSC + 0x04, XOSC_STARTUP = XOSC + 0x0C };
enum { XOSC_ON = 0xFAB << 12 | 0xAA0, XOSC_1_MS = 47, CRYSTAL_HZ = 12000000 };
static const uint32_t STABLE = 1u << 31; /* of the crystal; the PLL's lock as well */

enum { PLL_CS = PLL + 0x00, PLL_POWER = PLL + 0x04, PLL_FEEDBACK = PLL + 0x08, PLL_DIVIDERS = PLL + 0x0C };
enum { TIMES_96 = 96, BY_6_BY_2 = 6 << 16 | 2 << 12, ALL_BUT_DIVIDERS_ON = 1 << 3, ALL_ON = 0 };

enum {
    CLK_REF_CTRL = CLOCKS + 0x30,
    CLK_REF_SELECTED = CLOCKS + 0x38,
    CLK_SYS_CTRL = CLOCKS + 0x3C,
    CLK_SYS_SELECTED = CLOCKS + 0x44,
    CLK_PERI_CTRL = CLOCKS + 0x48,
    CLK_ADC_CTRL = CLOCKS + 0x60,
    CLK_ADC_DIVIDER = CLOCKS + 0x64,
    REF_FROM_CRYSTAL = 2,
    SYS_FROM_PLL = 1,
    CLOCK_ON = 1 << 11,
    ADC_FROM_PLL = 1 << 5,
    ADC_BY_2 = 2 << 8,
};

enum {
    WATCHDOG_CTRL = WATCHDOG + 0x00,
    WATCHDOG_LOAD = WATCHDOG + 0x04,
    WATCHDOG_REASON = WATCHDOG + 0x08,
    WATCHDOG_TICK = WATCHDOG + 0x2C,
    TICK_ON = 1 << 9,
    WATCHDOG_ON = 1 << 30,
    ALL_BUT_OSCILLATORS = 0x1FFFC,
    COUNTS_PER_MS = 2000, /* it counts twice in a microsecond (erratum E1) */
};
static const uint32_t WATCHDOG_NOW = 1u << 31;

/* PL011. */
enum { DATA = 0x00, FLAGS = 0x18, BAUD_WHOLE = 0x24, BAUD_64TH = 0x28, LINE = 0x2C, CONTROL = 0x30 };
enum { LEVELS = 0x34, MASK = 0x38, RAW = 0x3C, CLEAR = 0x44 };
enum { EMPTY = 1 << 4, FULL = 1 << 5, EIGHT_BITS_FIFO = 7 << 4, BOTH_WAYS = 0x301 };
enum { RECEIVED_4_OR_LATE_OR_OVERRUN = 1 << 4 | 1 << 6 | 1 << 10, OVERRUN = 1 << 10, ROOM_TURNS = 100000 };

enum { GPIO_IN = SIO + 0x04, OUT_SET = SIO + 0x14, OUT_CLEAR = SIO + 0x18, OE_SET = SIO + 0x24, OE_CLEAR = SIO + 0x28 };
enum { FUNCTION_UART = 2, FUNCTION_SIO = 5, FUNCTION_NONE = 31 };
enum { PAD_INPUT = 1 << 6, PAD_UP = 1 << 3, PAD_DOWN = 1 << 2, PAD_4_MA = 1 << 4, PAD_SCHMITT = 1 << 1, PAD_OFF = 1 << 7 };

enum { ADC_CS = ADC + 0x00, ADC_RESULT = ADC + 0x04, ADC_ON = 1, ADC_ONCE = 1 << 2, ADC_READY = 1 << 8 };
enum { ADC_TURNS = 10000, ADC_FIRST_PIN = 26 };

enum { LINK_OUT = 0, LINK_IN = 1, UART_OUT = 8, UART_IN = 9, PINS = 30 };

const struct part PART = {
    .adc_inputs = 4,
    .dac_outputs = 0,
    .sck = 18,
    .miso = 16,
    .mosi = 19,
    .scl = 21,
    .sda = 20,
    .release = 22,
    .turns_per_us = CLOCK_HZ / 3000000,
    .slot = {FLASH + 0x6000, FLASH + 0x7000},
};

static void link_interrupt(void);
static void uart_interrupt(void);

VECTORS = {CORE_VECTORS};
INTERRUPTS = {link_interrupt, uart_interrupt}; /* UART0, UART1 */

/* -- start, time, watchdog ---------------------------------------------------------------------- */

static void start_clocks(void)
{
    REG(XOSC_STARTUP) = XOSC_1_MS;
    REG(XOSC_CTRL) = XOSC_ON;
    arm_wait(XOSC_STATUS, STABLE, STABLE, CLOCK_TURNS);
    REG(CLK_REF_CTRL) = REF_FROM_CRYSTAL;
    arm_wait(CLK_REF_SELECTED, 1 << REF_FROM_CRYSTAL, 1 << REF_FROM_CRYSTAL, CLOCK_TURNS);
    REG(RESETS_CLEAR) = BLOCKS & ~(1 << 22 | 1 << 23); /* the UARTs once their clock runs */
    arm_wait(RESETS_DONE, 1 << 12, 1 << 12, CLOCK_TURNS);
    REG(PLL_CS) = 1;
    REG(PLL_FEEDBACK) = TIMES_96;
    REG(PLL_POWER) = ALL_BUT_DIVIDERS_ON;
    arm_wait(PLL_CS, STABLE, STABLE, CLOCK_TURNS);
    REG(PLL_DIVIDERS) = BY_6_BY_2;
    REG(PLL_POWER) = ALL_ON;
    REG(CLK_SYS_CTRL) = SYS_FROM_PLL;
    arm_wait(CLK_SYS_SELECTED, 1 << SYS_FROM_PLL, 1 << SYS_FROM_PLL, CLOCK_TURNS);
    REG(CLK_PERI_CTRL) = CLOCK_ON;
    REG(CLK_ADC_DIVIDER) = ADC_BY_2;
    REG(CLK_ADC_CTRL) = CLOCK_ON | ADC_FROM_PLL;
    REG(RESETS_CLEAR) = BLOCKS;
    arm_wait(RESETS_DONE, BLOCKS, BLOCKS, CLOCK_TURNS);
}

static void pin_function(uint32_t pin, uint32_t function, uint32_t pad)
{
    REG(PADS_BANK + 4 + 4 * pin) = pad;
    REG(IO_BANK + 4 + 8 * pin) = function;
}

static void start_uart(uint32_t base, uint32_t out, uint32_t interrupt)
{
    enum { BAUD_64THS = (CLOCK_HZ * 4 + BAUD / 2) / BAUD }; /* of a sixteenth of the clock */
    pin_function(out, FUNCTION_UART, PAD_INPUT | PAD_4_MA | PAD_UP);
    pin_function(out + 1, FUNCTION_UART, PAD_INPUT | PAD_SCHMITT | PAD_UP);
    REG(base + BAUD_WHOLE) = BAUD_64THS / 64;
    REG(base + BAUD_64TH) = BAUD_64THS % 64;
    REG(base + LINE) = EIGHT_BITS_FIFO;
    REG(base + LEVELS) = 0;
    REG(base + MASK) = RECEIVED_4_OR_LATE_OR_OVERRUN;
    REG(base + CONTROL) = BOTH_WAYS;
    interrupt_enable(interrupt);
}

void part_start(void)
{
    start_clocks();
    start_ticks();
    REG(WATCHDOG_TICK) = TICK_ON | CRYSTAL_HZ / 1000000;
    REG(POWER_ON_WATCHDOG) = ALL_BUT_OSCILLATORS;
    part_pet();
    REG(WATCHDOG_CTRL) = WATCHDOG_ON;
    start_uart(UART0, LINK_OUT, UART0_IRQ);
}

uint32_t part_now_ms(void)
{
    return arm_ms_of_us(REG(TIMER_NOW_US));
}

uint32_t part_reset_cause(void)
{
    uint32_t watchdog = REG(WATCHDOG_REASON), chip = REG(CHIP_RESET);
    return watchdog & 1       ? RESET_WATCHDOG
           : watchdog & 2     ? RESET_SOFTWARE
           : chip & 1 << 16   ? RESET_PIN
           : chip & 1 << 20   ? RESET_SOFTWARE /* by a debugger */
                              : RESET_POWER;
}

/* The processor's own request would leave the peripherals as they are. */
void part_restart(void)
{
    REG(POWER_ON_WATCHDOG) = ALL_BUT_OSCILLATORS;
    for (;;) /* the reset comes within a few cycles */
        REG(WATCHDOG_CTRL) = WATCHDOG_NOW;
}

void part_pet(void)
{
    REG(WATCHDOG_LOAD) = WATCHDOG_MS * COUNTS_PER_MS;
}

/* The ring oscillator gives one bit at a time, of unknown bias, and the same ones when read too fast:
 * each bit is the parity of several, some time apart. False when it stands still. */
bool part_random(uint32_t *word)
{
    enum { SAMPLES = 16, APART_US = 1 };
    uint32_t ones = 0, bits = 0;
    for (uint32_t i = 0; i < 32 * SAMPLES; i++) {
        uint32_t bit = REG(ROSC_RANDOM) & 1;
        ones += bit;
        bits = (i % SAMPLES ? bits : bits << 1) ^ bit;
        arm_wait_us(APART_US);
    }
    *word = bits;
    return ones != 0 && ones != 32 * SAMPLES;
}

/* -- serial lines ------------------------------------------------------------------------------- */

static void link_interrupt(void)
{
    if (REG(UART0 + RAW) & OVERRUN)
        arm_overrun();
    REG(UART0 + CLEAR) = RECEIVED_4_OR_LATE_OR_OVERRUN;
    while (!(REG(UART0 + FLAGS) & EMPTY))
        arm_received((uint8_t)REG(UART0 + DATA));
}

static void uart_interrupt(void)
{
    REG(UART1 + CLEAR) = RECEIVED_4_OR_LATE_OR_OVERRUN;
    while (!(REG(UART1 + FLAGS) & EMPTY))
        arm_uart_received((uint8_t)REG(UART1 + DATA));
}

static void uart_send(uint32_t base, uint8_t byte)
{
    arm_wait(base + FLAGS, FULL, 0, ROOM_TURNS);
    REG(base + DATA) = byte;
}

void part_send(uint8_t byte)
{
    uart_send(UART0, byte);
}

void part_uart_start(void)
{
    start_uart(UART1, UART_OUT, UART1_IRQ);
}

void part_uart_send(uint8_t byte)
{
    uart_send(UART1, byte);
}

/* -- flash -------------------------------------------------------------------------------------- */

enum { PAGE_BYTES = 256, BIG_ERASE_BYTES = 1 << 16, BIG_ERASE_COMMAND = 0xD8 };

/* Entries of the boot ROM (data sheet, 2.8.3), in the order of ROM_NAMES. */
struct rom {
    void (*connect)(void);
    void (*leave_xip)(void);
    void (*erase)(uint32_t at, uint32_t size, uint32_t block_size, uint32_t block_command);
    void (*program)(uint32_t at, const uint8_t *data, uint32_t size);
    void (*flush)(void);
};
enum { ROM_FUNCTIONS = 0x14, ROM_LOOK_UP = 0x18, ROM_ENTRIES = 5 };

/* A pointer of 16 bits that the ROM keeps at `at`. */
static uintptr_t rom_pointer(uintptr_t at)
{
    return *(volatile uint16_t *)at;
}

static void find_rom(uintptr_t entries[ROM_ENTRIES])
{
    static const uint8_t ROM_NAMES[2 * ROM_ENTRIES] = "IFEXRERPFC";
    uintptr_t (*look_up)(uintptr_t, uint32_t) =
        (uintptr_t (*)(uintptr_t, uint32_t))rom_pointer(ROM_LOOK_UP);
    for (uint32_t i = 0; i < ROM_ENTRIES; i++) {
        uint32_t name = ROM_NAMES[2 * i] | (uint32_t)ROM_NAMES[2 * i + 1] << 8;
        entries[i] = look_up(rom_pointer(ROM_FUNCTIONS), name);
    }
}

/* In RAM: there is no flash to run from. `page` 0: erase a slot. */
static __attribute__((section(".ram_code"), noinline)) void
change_with(const struct rom *rom, uint32_t at, const uint8_t *page)
{
    __asm volatile("cpsid i" ::: "memory");
    rom->connect();
    rom->leave_xip();
    if (page)
        rom->program(at, page, PAGE_BYTES);
    else
        rom->erase(at, SLOT_BYTES, BIG_ERASE_BYTES, BIG_ERASE_COMMAND);
    rom->flush();
    xip_start();
    __asm volatile("cpsie i" ::: "memory");
}

static void change_flash(uint32_t at, const uint8_t *page)
{
    union {
        uintptr_t entries[ROM_ENTRIES];
        struct rom rom;
    } found;
    find_rom(found.entries);
    change_with(&found.rom, at - FLASH, page);
}

bool part_erase(uint32_t slot)
{
    change_flash(PART.slot[slot], 0);
    return true; /* the ROM says nothing; the core reads back what it writes */
}

bool part_program(uint32_t at, const uint8_t unit[FLASH_UNIT])
{
    uint8_t page[PAGE_BYTES];
    bytes_fill(page, 0xFF, PAGE_BYTES);
    bytes_copy(page + at % PAGE_BYTES, unit, FLASH_UNIT);
    change_flash(at / PAGE_BYTES * PAGE_BYTES, page);
    return true;
}

/* -- pins --------------------------------------------------------------------------------------- */

static uint32_t open_drains; /* pins that are either low or let go */

/* Not those of the link, the buses, and the one to forget by. */
bool pin_exists(uint32_t pin)
{
    const uint32_t taken = 1u << LINK_OUT | 1u << LINK_IN | 1u << 16 | 1u << 18 | 1u << 19 | 1u << 20 |
                           1u << 21 | 1u << 22;
    return pin < PINS && !(taken >> pin & 1);
}

void pin_configure(uint32_t pin, enum pin_mode mode)
{
    static const uint8_t PAD[] = {
        [PIN_INPUT] = PAD_INPUT | PAD_SCHMITT,
        [PIN_PULL_UP] = PAD_INPUT | PAD_SCHMITT | PAD_UP,
        [PIN_PULL_DOWN] = PAD_INPUT | PAD_SCHMITT | PAD_DOWN,
        [PIN_OUTPUT] = PAD_INPUT | PAD_4_MA,
        [PIN_OPEN_DRAIN] = PAD_INPUT | PAD_SCHMITT | PAD_UP | PAD_4_MA,
    };
    uint32_t bit = 1u << pin;
    open_drains &= ~bit;
    if (mode == PIN_OPEN_DRAIN) {
        open_drains |= bit;
        REG(OUT_CLEAR) = bit;
    }
    REG(mode == PIN_OUTPUT ? OE_SET : OE_CLEAR) = bit;
    pin_function(pin, FUNCTION_SIO, PAD[mode]);
}

bool pin_read(uint32_t pin)
{
    return REG(GPIO_IN) >> pin & 1;
}

void pin_write(uint32_t pin, bool level)
{
    uint32_t bit = 1u << pin;
    if (open_drains & bit)
        REG(level ? OE_CLEAR : OE_SET) = bit;
    else
        REG(level ? OUT_SET : OUT_CLEAR) = bit;
}

/* -- converter inputs --------------------------------------------------------------------------- */

void adc_configure(uint32_t input)
{
    pin_function(ADC_FIRST_PIN + input, FUNCTION_NONE, PAD_OFF);
    REG(ADC_CS) = ADC_ON;
    arm_wait(ADC_CS, ADC_READY, ADC_READY, ADC_TURNS);
}

bool adc_read(uint32_t input, int32_t *counts)
{
    REG(ADC_CS) = ADC_ON | input << 12;
    REG(ADC_CS) = ADC_ON | input << 12 | ADC_ONCE;
    bool done = arm_wait(ADC_CS, ADC_READY, ADC_READY, ADC_TURNS);
    *counts = (int32_t)(REG(ADC_RESULT) & 0xFFF);
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
