/* Expands the compression of docs/leaf-link.md, in pieces as they come. The output so far is the
 * window, so there is no buffer here: it is read back from wherever it was written. */
#ifndef LEAF_LZSS_H
#define LEAF_LZSS_H

#include <stdbool.h>
#include <stdint.h>

struct lzss {
    uint32_t written;
    uint32_t limit;
    uint8_t flags;
    uint8_t left;    /* items that the flags still describe */
    uint8_t first;   /* first byte of a copy whose second has not come */
    bool in_copy;
    bool failed;     /* makes no sense, or goes beyond the limit */
};

struct lzss_window {
    void *self;
    uint8_t (*read)(void *self, uint32_t at);
    void (*write)(void *self, uint32_t at, uint8_t byte);
};

void lzss_start(struct lzss *state, uint32_t limit);
void lzss_add(struct lzss *state, const struct lzss_window *window, uint8_t byte);

#endif
