/* A board made of memory, for tests on a PC: the core as it is, thousands of times in a process.
 *
 * Python drives it through ctypes: bytes in, bytes out, time, pins. Its flash has the rules of the
 * strictest part (a unit is programmed once between erasures; a second time fails and is counted) and
 * can lose power in the middle of any operation. */
#ifndef LEAF_HOST_BOARD_H
#define LEAF_HOST_BOARD_H

#include <setjmp.h>

#include "../core/leaf.h"

enum { LINE_BYTES = 8192, PINS = 64, UARTS = 4, UART_BYTES = 64, RECEIVE_BYTES = 512 };

enum cut { CUT_NEVER, CUT_CLEAN, CUT_TORN, CUT_HALF };

/* Flash that wears out: the operation is refused, or it says that it went well and has not. */
enum fault { FAULT_NEVER, FAULT_REFUSED, FAULT_STUCK };

/* Bytes on their way; oldest first. */
struct line {
    uint32_t size;
    uint8_t data[LINE_BYTES];
};

struct board {
    struct leaf leaf;
    uint32_t kind; /* of enum board in program.cddl */
    uint8_t flash[SLOTS][SLOT_BYTES];
    struct line in, out;
    uint32_t now_ms;
    uint32_t cause;
    uint64_t dice;           /* state of the random numbers: seeded, so that runs repeat */
    int32_t pins[PINS];      /* gpio levels, by pin */
    int32_t inputs[PINS];    /* adc counts */
    int32_t outputs[PINS];   /* dac counts */
    uint32_t bus_broken;     /* spi and i2c do not answer */
    struct line uart[UARTS];
    uint32_t uart_ended[UARTS];
    uint32_t flash_ops;      /* since the board was made */
    uint32_t cut_at;         /* the operation during which power fails, from 1; 0: none */
    uint32_t cut_kind;
    uint32_t cut_byte;       /* a torn unit keeps this many bytes */
    uint32_t fault_at;       /* the operation that fails though power lasts, from 1; 0: none */
    uint32_t fault_kind;
    uint32_t rewrites;       /* units programmed twice: must stay 0 */
    uint32_t overruns;
    uint32_t restarts;       /* asked for by the firmware */
    jmp_buf dark;
};

uint32_t board_bytes(void);
void board_make(struct board *board, uint32_t kind, uint64_t seed);
/* Power on, with flash as it is. Returns 0 if power failed again during the start. */
int board_start(struct board *board, uint32_t cause);
/* Let it run until it is `until_ms`, a millisecond at a time. Returns 0 if power failed. */
int board_run(struct board *board, uint32_t until_ms);
uint32_t board_feed(struct board *board, const uint8_t *data, uint32_t size);
uint32_t board_take(struct board *board, uint8_t *data, uint32_t size);

#endif
