/* core/hal.h on a Cortex-M: receive buffers, resources, randomness, flash by slots; what differs
 * between parts is behind part.h.
 *
 * The only thing that happens in interrupts is that a byte goes into a ring: one writer, one reader,
 * so that neither needs a lock. */
#include "arm.h"

#include "../core/bytes.h"
#include "../core/sha512.h"
#include "part.h"
#include "start.h"

enum { DAC_MAX = 4095, BUS_SIZE_MAX = 4 };

extern uint8_t _image_start[], _image_bytes[], _static_bytes[]; /* the last two are numbers */

struct ring {
    volatile uint16_t head, tail; /* written, read; modulo its size, a power of two */
};

_Static_assert((RECEIVE_BYTES & (RECEIVE_BYTES - 1)) == 0 && (LINE_BYTES & (LINE_BYTES - 1)) == 0,
               "rings are of a power of two");

static uint8_t link_bytes[RECEIVE_BYTES], line_bytes[LINE_BYTES];
static struct ring link_ring, line_ring;
static volatile uint32_t overruns;
static volatile uint8_t lines, lines_seen;
static volatile uint32_t noise __attribute__((section(".noinit")));

/* -- received bytes ----------------------------------------------------------------------------- */

static bool ring_put(struct ring *ring, uint8_t *bytes, uint32_t size, uint8_t byte)
{
    uint16_t next = (uint16_t)((ring->head + 1u) & (size - 1));
    if (next == ring->tail)
        return false;
    bytes[ring->head] = byte;
    ring->head = next;
    return true;
}

static bool ring_get(struct ring *ring, const uint8_t *bytes, uint32_t size, uint8_t *byte)
{
    if (ring->tail == ring->head)
        return false;
    *byte = bytes[ring->tail];
    ring->tail = (uint16_t)((ring->tail + 1u) & (size - 1));
    return true;
}

void arm_received(uint8_t byte)
{
    if (!ring_put(&link_ring, link_bytes, RECEIVE_BYTES, byte))
        overruns++;
}

void arm_overrun(void)
{
    overruns++;
}

void arm_uart_received(uint8_t byte)
{
    ring_put(&line_ring, line_bytes, LINE_BYTES, byte);
    lines = (uint8_t)(lines + (byte == '\n'));
}

bool arm_has_received(void)
{
    return link_ring.head != link_ring.tail;
}

uint32_t hal_receive(void *self, uint8_t *data, uint32_t size)
{
    uint32_t taken = 0;
    (void)self;
    while (taken < size && ring_get(&link_ring, link_bytes, RECEIVE_BYTES, &data[taken]))
        taken++;
    return taken;
}

void hal_send(void *self, const uint8_t *data, uint32_t size)
{
    (void)self;
    for (uint32_t i = 0; i < size; i++)
        part_send(data[i]);
}

/* -- time and start ----------------------------------------------------------------------------- */

uint32_t hal_now_ms(void *self)
{
    (void)self;
    return part_now_ms();
}

void arm_wait_us(uint32_t us)
{
    for (uint32_t turns = us * PART.turns_per_us; turns > 0; turns--)
        __asm volatile("" ::: "memory");
}

bool arm_wait(uint32_t address, uint32_t mask, uint32_t wanted, uint32_t turns)
{
    do {
        if ((REG(address) & mask) == wanted)
            return true;
    } while (--turns > 0);
    return false;
}

uint32_t arm_ms_of_us(uint32_t now_us)
{
    static uint32_t ms, until_us;
    for (; now_us - until_us >= 1000; until_us += 1000) {
        ms++;
        __asm volatile(""); /* or a compiler divides instead, which not every part can */
    }
    return ms;
}

uint32_t hal_reset_cause(void *self)
{
    uint32_t cause = part_reset_cause(); /* always asked: the part forgets it then */
    (void)self;
    return start_has_failed() ? RESET_FAULT : cause;
}

void hal_pet(void *self)
{
    (void)self;
    part_pet();
}

void hal_restart(void *self)
{
    (void)self;
    part_restart();
}

/* -- flash -------------------------------------------------------------------------------------- */

uint32_t arm_word(const uint8_t bytes[4])
{
    return get_u32(bytes);
}

const uint8_t *hal_slot(void *self, uint32_t slot)
{
    (void)self;
    return (const uint8_t *)(uintptr_t)PART.slot[slot];
}

bool hal_erase(void *self, uint32_t slot)
{
    (void)self;
    part_pet();
    return part_erase(slot);
}

bool hal_program(void *self, uint32_t slot, uint32_t at, const uint8_t unit[FLASH_UNIT])
{
    (void)self;
    return part_program(PART.slot[slot] + at, unit);
}

void hal_forgive(void *self, bool on)
{
    (void)self;
#if BOARD == 2 /* an STM32H7A3: the others have no ECC and read what is there */
    part_forgive(on);
#else
    (void)on;
#endif
}

/* -- resources ---------------------------------------------------------------------------------- */

static bool has_spi(uint32_t param)
{
    uint32_t size = param >> 24;
    return size >= 1 && size <= BUS_SIZE_MAX && pin_exists(param & 0xFFFF);
}

static bool has_i2c(uint32_t param)
{
    uint32_t size = param >> 16;
    return size >= 1 && size <= BUS_SIZE_MAX && (param & 0x80) == 0;
}

bool hal_has(const void *self, const struct resource *resource)
{
    uint32_t channel = resource->channel;
    (void)self;
    switch (resource->kind) {
    case KIND_GPIO: return pin_exists(channel) && resource->param <= 2;
    case KIND_ADC: return channel < PART.adc_inputs && resource->access == ACCESS_READ;
    case KIND_DAC: return channel < PART.dac_outputs && resource->access == ACCESS_WRITE;
    case KIND_SPI: return channel == 0 && has_spi(resource->param);
    case KIND_I2C: return channel == 0 && has_i2c(resource->param);
    case KIND_UART: return channel == 0;
    default: return false;
    }
}

APART void hal_configure(void *self, const struct resource *resource)
{
    (void)self;
    switch (resource->kind) {
    case KIND_GPIO:
        pin_configure(resource->channel, resource->access & ACCESS_WRITE ? PIN_OUTPUT
                                                                         : (enum pin_mode)resource->param);
        break;
    case KIND_ADC: adc_configure(resource->channel); break;
    case KIND_DAC: dac_configure(resource->channel); break;
    case KIND_SPI: spi_configure(resource->param); break;
    case KIND_I2C: i2c_configure(); break;
    default: part_uart_start(); break;
    }
}

bool hal_read(void *self, const struct resource *resource, int32_t *value)
{
    uint8_t byte = 0;
    (void)self;
    switch (resource->kind) {
    case KIND_GPIO: *value = pin_read(resource->channel); return true;
    case KIND_ADC: return adc_read(resource->channel, value);
    case KIND_SPI: spi_read(resource->param, value); return true;
    case KIND_I2C: return i2c_read(resource->param, value);
    case KIND_UART:
        *value = ring_get(&line_ring, line_bytes, LINE_BYTES, &byte) ? byte : -1;
        return true;
    default: return false;
    }
}

bool hal_write(void *self, const struct resource *resource, int32_t value)
{
    (void)self;
    switch (resource->kind) {
    case KIND_GPIO: pin_write(resource->channel, value != 0); return true;
    case KIND_DAC:
        dac_write(resource->channel, value < 0 ? 0 : value > DAC_MAX ? DAC_MAX : (uint32_t)value);
        return true;
    case KIND_SPI: spi_write(resource->param, value); return true;
    case KIND_I2C: return i2c_write(resource->param, value);
    case KIND_UART: part_uart_send((uint8_t)value); return true;
    default: return false;
    }
}

APART bool hal_line_ended(void *self, const struct resource *resource)
{
    bool ended = lines != lines_seen;
    (void)self;
    (void)resource;
    lines_seen = lines;
    return ended;
}

/* -- the rest ----------------------------------------------------------------------------------- */

/* Should the generator fail, what is left is a counter in RAM that resets do not clear: names of
 * starts stay different, and keys are made with the host's randomness as well. */
void hal_random(void *self, uint8_t *data, uint32_t size)
{
    (void)self;
    for (uint32_t i = 0, word = 0; i < size; i++, word >>= 8) {
        if (i % 4 == 0) {
            part_random(&word);
            noise = noise * 1664525u + 1013904223u; /* Numerical Recipes' ranqd1: a counter here */
            word ^= noise;
        }
        data[i] = (uint8_t)word;
    }
}

void hal_firmware_digest(void *self, uint8_t digest[DIGEST_BYTES])
{
    sha512_pair(digest, DIGEST_BYTES, _image_start, hal_flash_bytes(self), 0, 0);
}

uint32_t hal_flash_bytes(void *self)
{
    (void)self;
    return (uint32_t)(uintptr_t)_image_bytes;
}

uint32_t hal_ram_bytes(void *self)
{
    (void)self;
    return (uint32_t)(uintptr_t)_static_bytes; /* without the stack, which is told apart */
}

uint32_t hal_overruns(void *self)
{
    (void)self;
    return overruns;
}

uint32_t hal_board(void *self)
{
    (void)self;
    return BOARD;
}

uint32_t hal_receive_bytes(void *self)
{
    (void)self;
    return RECEIVE_BYTES - 1;
}
