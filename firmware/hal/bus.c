/* SPI and I2C over plain pins: the same code on every part, and any pins will do.
 *
 * SPI: mode 0 at about 500 kHz, most significant bit first. I2C: about 100 kHz, open drain; a device
 * may stretch the clock for a bounded time. Both as in NXP UM10204 and the usual SPI practice; there
 * is one bus of each, and nobody else on it. */
#include "part.h"

enum { SPI_HALF_US = 1, I2C_HALF_US = 5, STRETCH_MAX_US = 1000 };

/* -- SPI ---------------------------------------------------------------------------------------- */

static uint8_t spi_exchange(uint8_t out)
{
    uint32_t bits = out;
    for (uint32_t i = 0; i < 8; i++) {
        pin_write(PART.mosi, bits & 0x80);
        arm_wait_us(SPI_HALF_US);
        pin_write(PART.sck, true);
        bits = bits << 1 | pin_read(PART.miso);
        arm_wait_us(SPI_HALF_US);
        pin_write(PART.sck, false);
    }
    return (uint8_t)bits;
}

void spi_configure(uint32_t param)
{
    uint32_t select = param & 0xFFFF;
    pin_write(select, true);
    pin_write(PART.sck, false);
    pin_configure(select, PIN_OUTPUT);
    pin_configure(PART.sck, PIN_OUTPUT);
    pin_configure(PART.mosi, PIN_OUTPUT);
    pin_configure(PART.miso, PIN_INPUT);
}

/* Sends the first byte and then `value`; returns what came in meanwhile. */
static uint32_t spi_transfer(uint32_t param, uint32_t value)
{
    uint32_t came = 0;
    pin_write(param & 0xFFFF, false);
    spi_exchange((uint8_t)(param >> 16));
    for (uint32_t i = param >> 24; i-- > 0;)
        came = came << 8 | spi_exchange((uint8_t)(value >> 8 * i));
    pin_write(param & 0xFFFF, true);
    return came;
}

void spi_read(uint32_t param, int32_t *value)
{
    *value = (int32_t)spi_transfer(param, 0);
}

void spi_write(uint32_t param, int32_t value)
{
    spi_transfer(param, (uint32_t)value);
}

/* -- I2C ---------------------------------------------------------------------------------------- */

void i2c_configure(void)
{
    pin_write(PART.scl, true);
    pin_write(PART.sda, true);
    pin_configure(PART.scl, PIN_OPEN_DRAIN);
    pin_configure(PART.sda, PIN_OPEN_DRAIN);
}

static void clock_up(void)
{
    pin_write(PART.scl, true);
    for (uint32_t i = 0; i < STRETCH_MAX_US && !pin_read(PART.scl); i++)
        arm_wait_us(1);
    arm_wait_us(I2C_HALF_US);
}

static void clock_down(void)
{
    pin_write(PART.scl, false);
    arm_wait_us(I2C_HALF_US);
}

/* Also when the bus is in use: a repeated start. */
static void start(void)
{
    pin_write(PART.sda, true);
    clock_up();
    pin_write(PART.sda, false);
    arm_wait_us(I2C_HALF_US);
    clock_down();
}

static void stop(void)
{
    pin_write(PART.sda, false);
    clock_up();
    pin_write(PART.sda, true);
    arm_wait_us(I2C_HALF_US);
}

static bool bit(bool out)
{
    pin_write(PART.sda, out);
    clock_up();
    bool in = pin_read(PART.sda);
    clock_down();
    return in;
}

/* Nine bits: a byte and who has it. What is ours to leave alone is 1. */
static uint32_t exchange(uint32_t out)
{
    uint32_t in = 0;
    for (uint32_t i = 9; i-- > 0;)
        in = in << 1 | bit(out >> i & 1);
    return in;
}

static bool put(uint32_t byte)
{
    return !(exchange(byte << 1 | 1) & 1); /* a device that is there pulls it down */
}

static uint32_t get(bool more)
{
    return exchange(0xFF << 1 | !more) >> 1;
}

/* The address to write to, and the register. */
static bool begin(uint32_t param)
{
    start();
    return put((param & 0x7F) << 1) && put(param >> 8 & 0xFF);
}

bool i2c_read(uint32_t param, int32_t *value)
{
    uint32_t read = 0;
    bool good = begin(param);
    if (good) {
        start();
        good = put((param & 0x7F) << 1 | 1);
    }
    for (uint32_t i = param >> 16; i-- > 0 && good;)
        read = read << 8 | get(i > 0);
    stop();
    *value = (int32_t)read;
    return good;
}

bool i2c_write(uint32_t param, int32_t value)
{
    bool good = begin(param);
    for (uint32_t i = param >> 16; i-- > 0 && good;)
        good = put((uint32_t)value >> 8 * i & 0xFF);
    stop();
    return good;
}
