/* What the parts of the fuzzer share: one dice, one corpus, one board at a time. `fuzz.c` is the run,
 * `link.c` talks to the board, `offer.c` makes what is deployed, `scenes.c` plays whole lives. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "../host/board.h"

enum { INPUT_MAX = 2300, RECORD_FRAME = 0, RECORD_PROGRAM = 1 };
/* Of firmware/link.cddl. */
enum { ASK_PROVE = 1, ASK_STATUS, ASK_BEGIN, ASK_CHUNK, ASK_COMMIT, ASK_CONFIRM, ASK_WRITE_INPUT };
enum { ASK_PROVISION = 8, ASK_RESTART, ASK_RULES };

struct record {
    uint8_t kind;
    uint32_t size;
    const uint8_t *data;
};

struct tally {
    unsigned long runs, accepted, deployed, answers, starts, scenes, fallbacks, refreshes;
};
extern struct tally tally;

/* -- fuzz.c ------------------------------------------------------------------------------------- */
uint32_t roll(uint32_t sides);
/* Ends the run, and names the input, unless it is good. */
void check(bool good, const char *what);
const struct record *some_record(uint8_t kind);
/* Up to eight changes of at most INPUT_MAX bytes; returns the new size. */
uint32_t mutate(uint8_t *data, uint32_t size);

/* -- link.c ------------------------------------------------------------------------------------- */
extern struct board *board; /* who is talked to */
void power(void);           /* on, or off and on again */
void wait_ms(uint32_t duration_ms);
void greet(void);
struct cbor_writer asking(uint8_t body[BODY_BYTES_MAX], uint32_t items, uint8_t op);
void ask(const uint8_t *body, const struct cbor_writer *to);
void ask_plain(uint8_t op);
void provision(void);
void confirm(uint32_t counter);
void noise(uint32_t size); /* bytes at random */
/* A frame's header and body, mostly made into one that is listened to. */
void talk(const uint8_t *data, uint32_t size);

/* -- offer.c ------------------------------------------------------------------------------------ */
struct offer {
    uint8_t package[INPUT_MAX + 80], stored[2 * INPUT_MAX];
    uint32_t bytes, stored_bytes; /* fewer are stored if it is packed */
    uint8_t digest[DIGEST_BYTES];
    uint32_t counter; /* of the program inside, if it is one */
};
/* A program, signed (all signatures are good but those that begin with 0xFF). */
void offer_program(struct offer *offer, const uint8_t *program, uint32_t size, uint8_t sign);
/* After a change of the package: what else follows from it. */
void offer_seal(struct offer *offer);
void offer_pack(struct offer *offer); /* compress what is stored */
/* The same program with another counter, and for this leaf if it was for a certain one. */
uint32_t recount(uint8_t *program, uint32_t size, uint32_t counter);

/* -- scenes.c ----------------------------------------------------------------------------------- */
void scene(void);

/* -- host/access.c ------------------------------------------------------------------------------ */
void board_set_pin(struct board *board, uint32_t pin, int32_t level);
void board_set_input(struct board *board, uint32_t input, int32_t counts);
void board_break_buses(struct board *board, uint32_t broken);
void board_cut(struct board *board, uint32_t at, uint32_t kind, uint32_t byte);
void board_fault(struct board *board, uint32_t at, uint32_t kind);
uint32_t board_uart(struct board *board, uint32_t port, const uint8_t *data, uint32_t size);

#endif
