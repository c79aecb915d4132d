/* What Python sees and sets of a board made of memory, as flat functions: the layout of `struct
 * board` stays a matter of C. */
#include "board.h"

enum count { COUNT_FLASH_OPS, COUNT_REWRITES, COUNT_OVERRUNS, COUNT_RESTARTS, COUNT_LOST, COUNT_KEPT };

void board_set_pin(struct board *board, uint32_t pin, int32_t level)
{
    board->pins[pin % PINS] = level != 0;
}

int32_t board_pin(const struct board *board, uint32_t pin)
{
    return board->pins[pin % PINS];
}

void board_set_input(struct board *board, uint32_t input, int32_t counts)
{
    board->inputs[input % PINS] = counts;
}

int32_t board_output(const struct board *board, uint32_t output)
{
    return board->outputs[output % PINS];
}

void board_break_buses(struct board *board, uint32_t broken)
{
    board->bus_broken = broken;
}

/* Power fails during flash operation `at`, counted from now, the first being 1; 0: never. */
void board_cut(struct board *board, uint32_t at, uint32_t kind, uint32_t byte)
{
    board->cut_at = at ? board->flash_ops + at : 0;
    board->cut_kind = at ? kind : CUT_NEVER;
    board->cut_byte = byte;
}

/* Flash operation `at`, counted from now, fails though power lasts; 0: none. */
void board_fault(struct board *board, uint32_t at, uint32_t kind)
{
    board->fault_at = at ? board->flash_ops + at : 0;
    board->fault_kind = at ? kind : FAULT_NEVER;
}

/* Bytes come in on a UART of the rules; a newline ends a line. Returns how many had room. */
uint32_t board_uart(struct board *board, uint32_t port, const uint8_t *data, uint32_t size)
{
    struct line *line = &board->uart[port % UARTS];
    uint32_t taken = 0;
    while (taken < size && line->size < UART_BYTES) {
        line->data[line->size++] = data[taken];
        board->uart_ended[port % UARTS] |= data[taken++] == '\n';
    }
    return taken;
}

uint8_t *board_flash(struct board *board, uint32_t slot)
{
    return board->flash[slot % SLOTS];
}

const uint8_t *board_boot_nonce(const struct board *board)
{
    return board->leaf.boot_nonce;
}

/* All events that are kept, oldest first; returns the number of the first. */
uint32_t board_events(const struct board *board, struct event out[EVENTS_KEPT])
{
    const struct events *events = &board->leaf.events;
    for (uint32_t i = 0; i < events->count; i++)
        out[i] = *events_at(events, events->first + i);
    return events->first;
}

uint32_t board_count(const struct board *board, uint32_t which)
{
    switch (which) {
    case COUNT_FLASH_OPS: return board->flash_ops;
    case COUNT_REWRITES: return board->rewrites;
    case COUNT_OVERRUNS: return board->overruns;
    case COUNT_RESTARTS: return board->restarts;
    case COUNT_LOST: return board->leaf.events.lost;
    default: return board->leaf.events.count;
    }
}
