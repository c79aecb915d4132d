/* A leaf, whole: what it keeps in RAM, and the verbs that a board's main loop needs.
 *
 *     static struct leaf leaf;
 *     leaf_start(&leaf, &board);
 *     for (;;) leaf_poll(&leaf);
 *
 * Everything happens inside leaf_poll, one thing after the other: received bytes, due rules, events
 * to send. Interrupts only fill the board's receive buffer. docs/leaf-link.md says what the link
 * does; `session.c` and `requests.c` are that page, `deploy.c` fills slots, `engine.c` runs rules. */
#ifndef LEAF_LEAF_H
#define LEAF_LEAF_H

#include "cbor.h"
#include "events.h"
#include "frame.h"
#include "hal.h"
#include "lzss.h"
#include "slots.h"

enum { BATCH_MAX = 12, KEY_SIZE = 32, ERROR_OF_RESET = 0x20 };

enum leaf_error {
    ERROR_NONE,
    ERROR_UNKNOWN_OP,
    ERROR_MALFORMED,
    ERROR_NOT_PROVISIONED,
    ERROR_PROVISIONED,
    ERROR_BUSY,
    ERROR_NO_TRANSFER,
    ERROR_WRONG_OFFSET,
    ERROR_TOO_BIG,
    ERROR_WRONG_DIGEST,
    ERROR_BAD_SIGNATURE,
    ERROR_OLD_COUNTER,
    ERROR_WRONG_TARGET,
    ERROR_BAD_PROGRAM,
    ERROR_FLASH_FAILED,
    ERROR_NOT_AN_INPUT,
    ERROR_NOT_ON_TRIAL,
    ERROR_BAD_STREAM,
};

struct session {
    uint8_t epoch; /* 0: none yet */
    bool answered; /* `answer` is that of request `last_id` */
    bool waiting;  /* for a cursor, since `sent_ms` */
    bool greeted;  /* by a cursor, in this session */
    bool restart;  /* asked for */
    uint8_t batch;
    uint8_t alone; /* times in a row that a batch of one was sent in vain */
    uint16_t last_id;
    uint16_t answer_size;
    uint32_t sent_ms;
    uint32_t wait_ms;
    uint8_t answer[FRAME_BUFFER_BYTES];
};

struct transfer {
    bool open;
    bool compressed;
    bool failed; /* a unit could not be written */
    uint16_t bytes, stored, next; /* package, what chunks carry, how much of that has come */
    uint8_t digest[DIGEST_BYTES];
    uint8_t unit[FLASH_UNIT];
    struct lzss lzss;
};

struct engine {
    bool running;
    uint8_t rule;    /* the one that runs now */
    uint16_t failed; /* resources that did not answer last time */
    uint32_t started_ms;
    uint32_t due_ms[RULES_MAX];
    uint8_t level[RULES_MAX];
    uint32_t runs[RULES_MAX];
    uint32_t failures;
    struct program program;
};

struct leaf {
    void *self;
    uint32_t firmware_error; /* the last serious one since the start: a system event's number, or
                                ERROR_OF_RESET + what ended the start before */
    uint8_t boot_nonce[BOOT_NONCE_BYTES];
    uint8_t key[KEY_SIZE]; /* our public key once provisioned; making it takes up to a second */
    struct slots slots;
    struct events events;
    struct engine engine;
    struct session session;
    struct transfer transfer;
    struct frame_receiver receiver;
    uint8_t wire[FRAME_BUFFER_BYTES];
};

void leaf_start(struct leaf *leaf, void *self);
void leaf_poll(struct leaf *leaf);

/* -- among the core's files --------------------------------------------------------------------- */

void leaf_note(struct leaf *leaf, uint8_t code, int32_t value); /* a system event */

void session_poll(struct leaf *leaf);
/* Carry out a request of so many items that stands after its id; writes error and results. */
void request_answer(struct leaf *leaf, struct cbor_reader *from, uint32_t items,
                    struct cbor_writer *to);

uint8_t deploy_begin(struct leaf *leaf, struct cbor_reader *from);
uint8_t deploy_chunk(struct leaf *leaf, struct cbor_reader *from);
/* `detail` gets the verdict of ERROR_BAD_PROGRAM: flaw, rule + 1, instruction + 1. */
uint8_t deploy_commit(struct leaf *leaf, uint8_t detail[3]);
void package_digest(const uint8_t *package, uint32_t size, uint8_t out[DIGEST_BYTES]);
/* Check a signed program as it stands in flash; on success `out` is ready to run. */
uint8_t package_check(const struct leaf *leaf, const uint8_t *package, uint32_t size,
                      struct program *out, uint8_t detail[3]);

void engine_start(struct leaf *leaf); /* the active slot's program, if it is good */
void engine_run(struct leaf *leaf, const struct program *program); /* one that has been checked */
void engine_poll(struct leaf *leaf);
uint8_t engine_input(struct leaf *leaf, struct cbor_reader *from);

#endif
