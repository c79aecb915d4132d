#include "lzss.h"

enum { GROUP = 8, LENGTH_MIN = 3 };

void lzss_start(struct lzss *state, uint32_t limit)
{
    *state = (struct lzss){0};
    state->limit = limit;
}

static void put_out(struct lzss *state, const struct lzss_window *window, uint8_t byte)
{
    if (state->written >= state->limit)
        state->failed = true;
    else
        window->write(window->self, state->written++, byte);
}

static void put_copy(struct lzss *state, const struct lzss_window *window, uint8_t second)
{
    uint32_t offset = (state->first | (uint32_t)(second >> 4) << 8) + 1;
    uint32_t length = (second & 15u) + LENGTH_MIN;
    if (offset > state->written)
        state->failed = true;
    while (length-- > 0 && !state->failed)
        put_out(state, window, window->read(window->self, state->written - offset));
}

void lzss_add(struct lzss *state, const struct lzss_window *window, uint8_t byte)
{
    if (state->failed)
        return;
    if (state->left == 0) {
        state->flags = byte;
        state->left = GROUP;
        return;
    }
    if (state->in_copy) {
        put_copy(state, window, byte);
        state->in_copy = false;
    } else if (state->flags & 1) {
        state->first = byte;
        state->in_copy = true;
        return;
    } else {
        put_out(state, window, byte);
    }
    state->flags >>= 1;
    state->left--;
}
