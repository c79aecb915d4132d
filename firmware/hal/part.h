/* Between a part's file (stm32f405.c, ...) and the files that all parts share.
 *
 * `arm.c` makes the core's `struct hal` out of what a part gives here, `bus.c` runs SPI and I2C over
 * its pins, `start.c` brings the processor up. A part knows registers and nothing of leaves. Bound at
 * link time: there is one part in an image, and the linker can inline it. */
#ifndef LEAF_PART_H
#define LEAF_PART_H

#include "../core/hal.h"

enum { RECEIVE_BYTES = 512, LINE_BYTES = 64, BAUD = 115200, WATCHDOG_MS = 8000 };

enum pin_mode { PIN_INPUT, PIN_PULL_UP, PIN_PULL_DOWN, PIN_OUTPUT, PIN_OPEN_DRAIN };

/* The pins of the two buses belong to them alone; `pin_exists` is false for them. */
struct part {
    uint8_t adc_inputs;      /* numbered from 0 */
    uint8_t dac_outputs;     /* numbered from 0 */
    uint8_t sck, miso, mosi; /* pins of SPI bus 0 */
    uint8_t scl, sda;        /* pins of I2C bus 0 */
    uint8_t release;         /* held low at start: the leaf forgets who it is */
    uint8_t turns_per_us;    /* of a loop of a subtraction and a jump */
    uint32_t slot[SLOTS];    /* addresses */
};

extern const struct part PART;

/* -- what the part's file gives ----------------------------------------------------------------- */

/* Clocks, link, second UART, a time that runs on while flash is erased, watchdog. */
void part_start(void); /* and something that ends sleep each millisecond: start_ticks, or its own */
uint32_t part_now_ms(void);
_Noreturn void part_restart(void); /* the whole part, peripherals too */
uint32_t part_reset_cause(void); /* read once, at start */
void part_pet(void);
/* False when the generator gives nothing in bounded time. */
bool part_random(uint32_t *word);

/* Both return once the flash is done, within a bounded time; false for an error. */
bool part_erase(uint32_t slot);
bool part_program(uint32_t at, const uint8_t unit[FLASH_UNIT]);
void part_forgive(bool on); /* hal_forgive, on a part that faults otherwise */

void part_send(uint8_t byte);      /* over the link; waits for room */
void part_uart_start(void);        /* UART 0 of the rules */
void part_uart_send(uint8_t byte);

bool pin_exists(uint32_t pin); /* and rules may have it */
void pin_configure(uint32_t pin, enum pin_mode mode);
bool pin_read(uint32_t pin);
void pin_write(uint32_t pin, bool level);

void adc_configure(uint32_t input);
bool adc_read(uint32_t input, int32_t *counts); /* 0..4095 */
void dac_configure(uint32_t output);
void dac_write(uint32_t output, uint32_t counts);

/* -- what the shared files give ----------------------------------------------------------------- */

void arm_received(uint8_t byte); /* of the link, from its interrupt */
void arm_overrun(void);          /* the link lost at least one byte */
void arm_uart_received(uint8_t byte);
void arm_wait_us(uint32_t us); /* at least */
/* False when the bits of `mask` do not become `wanted` within `turns` looks. */
bool arm_wait(uint32_t address, uint32_t mask, uint32_t wanted, uint32_t turns);
/* Milliseconds out of a counter of microseconds that is looked at once an hour or more. */
uint32_t arm_ms_of_us(uint32_t now_us);
uint32_t arm_word(const uint8_t bytes[4]); /* as the flash takes it */

/* -- buses (bus.c); `param` as in docs/leaf-vm.md ----------------------------------------------- */

void spi_configure(uint32_t param);
void spi_read(uint32_t param, int32_t *value);
void spi_write(uint32_t param, int32_t value);
void i2c_configure(void);
/* False when no device answers. */
bool i2c_read(uint32_t param, int32_t *value);
bool i2c_write(uint32_t param, int32_t value);

#endif
