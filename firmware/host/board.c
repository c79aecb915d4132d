#include "board.h"

#include "../core/bytes.h"

static struct board *of(const void *self)
{
    return (struct board *)(uintptr_t)self;
}

/* -- flash -------------------------------------------------------------------------------------- */

static bool cut_now(struct board *board)
{
    return ++board->flash_ops == board->cut_at && board->cut_kind != CUT_NEVER;
}

const uint8_t *hal_slot(void *self, uint32_t slot)
{
    return of(self)->flash[slot];
}

/* Memory reads as what is there. */
void hal_forgive(void *self, bool on)
{
    (void)self;
    (void)on;
}

static enum fault fault_now(const struct board *board)
{
    return board->flash_ops == board->fault_at ? board->fault_kind : FAULT_NEVER;
}

bool hal_erase(void *self, uint32_t slot)
{
    struct board *board = of(self);
    bool cut = cut_now(board);
    if (!cut && fault_now(board) != FAULT_NEVER)
        return false;
    uint32_t done = !cut ? SLOT_BYTES : board->cut_kind == CUT_HALF ? SLOT_BYTES / 2 : 0;
    bytes_fill(board->flash[slot], 0xFF, done);
    if (cut)
        longjmp(board->dark, 1);
    return true;
}

bool hal_program(void *self, uint32_t slot, uint32_t at, const uint8_t unit[FLASH_UNIT])
{
    struct board *board = of(self);
    uint8_t *to = board->flash[slot] + at;
    bool erased = true, cut = cut_now(board);
    enum fault fault = cut ? FAULT_NEVER : fault_now(board);
    if (fault == FAULT_REFUSED)
        return false;
    for (uint32_t i = 0; i < FLASH_UNIT; i++)
        erased = erased && to[i] == 0xFF;
    uint32_t done = !cut ? FLASH_UNIT : board->cut_kind == CUT_TORN ? board->cut_byte : 0;
    if (!erased) {
        board->rewrites++;
        done = 0;
    }
    bytes_copy(to, unit, done);
    if (fault == FAULT_STUCK)
        to[0] = (uint8_t)~unit[0];
    if (cut)
        longjmp(board->dark, 1);
    return erased;
}

/* -- link and time ------------------------------------------------------------------------------ */

static void line_drop(struct line *line, uint32_t size)
{
    for (uint32_t i = size; i < line->size; i++)
        line->data[i - size] = line->data[i];
    line->size -= size;
}

static uint32_t line_put(struct line *line, const uint8_t *data, uint32_t size)
{
    uint32_t room = LINE_BYTES - line->size;
    uint32_t taken = size < room ? size : room;
    bytes_copy(line->data + line->size, data, taken);
    line->size += taken;
    return taken;
}

static uint32_t line_get(struct line *line, uint8_t *data, uint32_t size)
{
    uint32_t taken = size < line->size ? size : line->size;
    bytes_copy(data, line->data, taken);
    line_drop(line, taken);
    return taken;
}

uint32_t hal_now_ms(void *self)
{
    return of(self)->now_ms;
}

uint32_t hal_receive(void *self, uint8_t *data, uint32_t size)
{
    return line_get(&of(self)->in, data, size);
}

void hal_send(void *self, const uint8_t *data, uint32_t size)
{
    line_put(&of(self)->out, data, size);
}

/* -- resources ---------------------------------------------------------------------------------- */

bool hal_has(const void *self, const struct resource *resource)
{
    (void)self;
    if (resource->kind == KIND_UART)
        return resource->channel < UARTS;
    return resource->channel < PINS && !(resource->kind == KIND_ADC && resource->access != ACCESS_READ) &&
           !(resource->kind == KIND_DAC && resource->access != ACCESS_WRITE);
}

void hal_configure(void *self, const struct resource *resource)
{
    (void)self;
    (void)resource;
}

bool hal_read(void *self, const struct resource *resource, int32_t *value)
{
    struct board *board = of(self);
    uint8_t byte = 0;
    switch (resource->kind) {
    case KIND_GPIO: *value = board->pins[resource->channel]; return true;
    case KIND_ADC: *value = board->inputs[resource->channel]; return true;
    case KIND_UART:
        *value = line_get(&board->uart[resource->channel], &byte, 1) ? byte : -1;
        return true;
    default: *value = (int32_t)resource->param; return !board->bus_broken;
    }
}

bool hal_write(void *self, const struct resource *resource, int32_t value)
{
    struct board *board = of(self);
    switch (resource->kind) {
    case KIND_GPIO: board->pins[resource->channel] = value != 0; return true;
    case KIND_DAC: board->outputs[resource->channel] = value < 0 ? 0 : value > 4095 ? 4095 : value; return true;
    case KIND_UART: return true;
    default: return !board->bus_broken;
    }
}

bool hal_line_ended(void *self, const struct resource *resource)
{
    uint32_t *ended = &of(self)->uart_ended[resource->channel];
    bool was = *ended;
    *ended = 0;
    return was;
}

/* -- the rest ----------------------------------------------------------------------------------- */

void hal_random(void *self, uint8_t *data, uint32_t size)
{
    struct board *board = of(self);
    for (uint32_t i = 0; i < size; i++) { /* splitmix64, Steele et al. 2014 */
        uint64_t z = board->dice += 0x9E3779B97F4A7C15;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
        z = (z ^ z >> 27) * 0x94D049BB133111EB;
        data[i] = (uint8_t)(z ^ z >> 31);
    }
}

void hal_firmware_digest(void *self, uint8_t digest[DIGEST_BYTES])
{
    (void)self;
    bytes_fill(digest, 0x5A, DIGEST_BYTES);
}

uint32_t hal_reset_cause(void *self)
{
    return of(self)->cause;
}

uint32_t hal_board(void *self)
{
    return of(self)->kind;
}

uint32_t hal_receive_bytes(void *self)
{
    (void)self;
    return RECEIVE_BYTES;
}

uint32_t hal_flash_bytes(void *self)
{
    (void)self;
    return 0;
}

uint32_t hal_ram_bytes(void *self)
{
    (void)self;
    return 0;
}

uint32_t hal_stack_bytes(void *self)
{
    (void)self;
    return 0;
}

uint32_t hal_overruns(void *self)
{
    return of(self)->overruns;
}

void hal_pet(void *self)
{
    (void)self;
}

void hal_restart(void *self)
{
    of(self)->restarts++;
    longjmp(of(self)->dark, 2);
}

uint32_t board_bytes(void)
{
    return sizeof(struct board);
}

void board_make(struct board *board, uint32_t kind, uint64_t seed)
{
    bytes_fill((uint8_t *)board, 0, sizeof *board);
    bytes_fill(board->flash[0], 0xFF, sizeof board->flash);
    board->dice = seed;
    board->kind = kind;
}

int board_start(struct board *board, uint32_t cause)
{
    board->cause = cause;
    board->in.size = 0;
    if (setjmp(board->dark))
        return 0;
    leaf_start(&board->leaf, board);
    return 1;
}

int board_run(struct board *board, uint32_t until_ms)
{
    int why = setjmp(board->dark);
    if (why == 1)
        return 0;
    if (why == 2)
        return board_start(board, RESET_SOFTWARE);
    for (;;) {
        do
            leaf_poll(&board->leaf);
        while (board->in.size > 0);
        leaf_poll(&board->leaf); /* with nothing to receive, events may go out */
        if ((int32_t)(until_ms - board->now_ms) <= 0)
            return 1;
        board->now_ms++;
    }
}

uint32_t board_feed(struct board *board, const uint8_t *data, uint32_t size)
{
    uint32_t room = RECEIVE_BYTES - board->in.size;
    uint32_t taken = line_put(&board->in, data, size < room ? size : room);
    board->overruns += size - taken;
    return taken;
}

uint32_t board_take(struct board *board, uint8_t *data, uint32_t size)
{
    return line_get(&board->out, data, size);
}
