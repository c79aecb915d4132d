/* Feeds a leaf with good, bad and worse input: `fuzz SEED INPUTS SECONDS CORPUS [FIRST]`.
 *
 * The corpus is a file of records: a byte of kind, two of length (least first), the bytes. Kind 0 is
 * a frame (header and body), kind 1 a program. Each input is a record with up to eight mutations,
 * made into what reaches deepest: programs go straight to decoder, verifier and machine, in a buffer
 * of exactly their size, and some of them through begin, chunk, commit; frames get a right checksum
 * and the session's epoch, mostly. Everything follows from the seed, and an input is made from its
 * number alone, so `fuzz SEED 1 60 CORPUS NUMBER` plays the loader's one again.
 *
 * What must hold is checked here (the longest run, flash programmed once); what must never happen is
 * the sanitizers' part. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/bytes.h"
#include "../core/verifier.h"
#include "../core/vm.h"
#include "../host/board.h"

enum { RECORDS_MAX = 4096, INPUT_MAX = 2300, BOARD_INPUTS = 2000, MUTATIONS_MAX = 8 };

struct record {
    uint8_t kind;
    uint32_t size;
    const uint8_t *data;
};

static struct record records[RECORDS_MAX];
static uint32_t record_count;
static uint64_t dice;
static struct board board;
static uint32_t request_id, counter;
static unsigned long runs, accepted, deployed, taken, restarted;

static uint32_t roll(uint32_t sides)
{
    uint64_t z = dice += 0x9E3779B97F4A7C15; /* splitmix64 */
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return (uint32_t)((z ^ z >> 31) >> 16) % sides;
}

static void check(bool good, const char *what, uint32_t number)
{
    if (good)
        return;
    fprintf(stderr, "broken: %s in input %u\n", what, number);
    abort();
}

/* -- inputs ------------------------------------------------------------------------------------- */

static uint32_t mutate(uint8_t *data, uint32_t size)
{
    static const uint8_t ODD[] = {0, 1, 2, 4, 7, 8, 9, 0x17, 0x18, 0x19, 0x1A, 0x20, 0x40, 0x58,
                                  0x59, 0x80, 0x84, 0x85, 0x9F, 0xF4, 0xF6, 0xFE, 0xFF};
    for (uint32_t left = roll(MUTATIONS_MAX + 1); left > 0 && size > 0; left--) {
        uint32_t at = roll(size), span = 1 + roll(8);
        const struct record *other = &records[roll(record_count)];
        switch (roll(7)) {
        case 0: data[at] ^= (uint8_t)(1u << roll(8)); break;
        case 1: data[at] = ODD[roll(sizeof ODD)]; break;
        case 2: data[at] = (uint8_t)roll(256); break;
        case 3: data[at] = (uint8_t)(data[at] + roll(9) - 4); break;
        case 4: /* drop */
            span = span > size - at ? size - at : span;
            memmove(data + at, data + at + span, size - at - span);
            size -= span;
            break;
        case 5: /* repeat */
            if (size + span <= INPUT_MAX && span <= size - at) {
                memmove(data + at + span, data + at, size - at);
                size += span;
            }
            break;
        default: /* splice */
            span = roll(other->size + 1);
            span = span > size - at ? size - at : span;
            memcpy(data + at, other->data + (other->size - span), span);
            break;
        }
    }
    return size;
}

/* -- programs ----------------------------------------------------------------------------------- */

static bool nearly_everywhere(const void *self, const struct resource *resource)
{
    (void)self;
    return resource->channel != 63;
}

static int32_t any(void *self, uint8_t resource)
{
    (void)self;
    return (int32_t)((uint32_t)roll(256) << 24 | roll(1 << 16)) + resource;
}

static void swallow(void *self, uint8_t resource, int32_t value)
{
    (void)self, (void)resource, (void)value;
}

static void swallow_question(void *self, uint8_t prompt, int32_t value, uint8_t slot)
{
    (void)self, (void)prompt, (void)value, (void)slot;
}

static uint32_t some_time(void *self)
{
    (void)self;
    return roll(1 << 16);
}

static void load(const uint8_t *data, uint32_t size, uint32_t number)
{
    const struct bench bench = {0, any, swallow, swallow, swallow_question, some_time};
    struct program program;
    uint8_t *exact = malloc(size ? size : 1); /* one byte too far is the sanitizer's */
    memcpy(exact, data, size);
    if (program_read(&program, exact, size) &&
        program_verify(&program, nearly_everywhere, 0).flaw == FLAW_NONE) {
        accepted++;
        for (uint32_t i = 0; i < program.rule_count; i++) {
            uint8_t steps = vm_run(&program.rules[i], &bench);
            check(steps > 0 && steps <= program.rules[i].worst, "a run's length", number);
            runs++;
        }
    }
    free(exact);
}

/* -- the link ----------------------------------------------------------------------------------- */

static void power(void)
{
    do
        restarted++;
    while (!board_start(&board, RESET_BROWNOUT));
}

static void feed(const uint8_t *wire, uint32_t size)
{
    uint8_t out[4096];
    while (size > 0) {
        uint32_t part = size < 400 ? size : 400;
        board_feed(&board, wire, part);
        if (!board_run(&board, board.now_ms + 1))
            power();
        while (board_take(&board, out, sizeof out))
            taken++;
        wire += part;
        size -= part;
    }
}

static void say(uint8_t kind, uint8_t epoch, const uint8_t *body, uint32_t size)
{
    uint8_t wire[FRAME_BUFFER_BYTES];
    size = size > BODY_BYTES_MAX ? BODY_BYTES_MAX : size;
    bytes_copy(wire + FRAME_BODY_AT, body, size);
    feed(wire, frame_finish(wire, kind, epoch, size));
}

static struct cbor_writer asking(uint8_t *body, uint32_t items, uint8_t op)
{
    struct cbor_writer to = cbor_writing(body, BODY_BYTES_MAX);
    cbor_put_array(&to, items);
    cbor_put_uint(&to, ++request_id & 0xFFFF);
    cbor_put_uint(&to, op);
    return to;
}

static void ask(const uint8_t *body, const struct cbor_writer *to)
{
    say(FRAME_REQUEST, board.leaf.session.epoch, body, (uint32_t)(to->at - body));
}

static void greet(void)
{
    static const uint8_t HELLO[] = {0x82, 0x01, 0x48, 1, 2, 3, 4, 5, 6, 7, 8};
    say(FRAME_HELLO, 0, HELLO, sizeof HELLO);
}

/* A board that belongs to a mesh; power fails now and then. */
static void new_board(void)
{
    uint8_t body[BODY_BYTES_MAX], key[KEY_SIZE] = {7};
    board_make(&board, 1, dice);
    power();
    greet();
    struct cbor_writer to = asking(body, 5, 8);
    for (uint32_t i = 0; i < 3; i++)
        cbor_put_bytes(&to, key, KEY_SIZE);
    ask(body, &to);
    counter = 0;
    if (roll(4) == 0) {
        board.cut_at = board.flash_ops + 1 + roll(200);
        board.cut_kind = CUT_CLEAN + roll(3);
        board.cut_byte = roll(FLASH_UNIT);
    }
}

/* With a counter that is high enough, mostly: it stands after the target. */
static void count_up(uint8_t *program, uint32_t size)
{
    if (size > 9 && program[2] == 0x81 && program[4] < 0x18 && ++counter < 0x18)
        program[4] = (uint8_t)counter;
}

static void deploy(uint8_t *program, uint32_t size, uint32_t number)
{
    uint8_t package[INPUT_MAX + 80], body[BODY_BYTES_MAX], digest[DIGEST_BYTES], signature[64] = {0};
    count_up(program, size);
    struct cbor_writer whole = cbor_writing(package, sizeof package);
    cbor_put_array(&whole, 2);
    cbor_put_bytes(&whole, program, size);
    cbor_put_bytes(&whole, signature, sizeof signature);
    uint32_t bytes = (uint32_t)(whole.at - package);
    package_digest(package, bytes, digest);
    struct cbor_writer to = asking(body, 5, 3);
    cbor_put_uint(&to, bytes);
    cbor_put_uint(&to, bytes);
    cbor_put_bytes(&to, digest, sizeof digest);
    ask(body, &to);
    for (uint32_t at = 0; at < bytes; at += 200) {
        to = asking(body, 4, 4);
        cbor_put_uint(&to, at);
        cbor_put_bytes(&to, package + at, bytes - at < 200 ? bytes - at : 200);
        ask(body, &to);
    }
    to = asking(body, 2, 5);
    ask(body, &to);
    deployed += board.leaf.slots.trial;
    if (!board_run(&board, board.now_ms + 1 + roll(300)))
        power();
    to = asking(body, 3, 6);
    cbor_put_uint(&to, board.leaf.engine.program.counter);
    if (roll(3))
        ask(body, &to);
    else {
        power();
        greet();
    }
    check(board.rewrites == 0, "flash programmed twice", number);
}

static void talk(uint8_t *data, uint32_t size)
{
    if (size == 0)
        return;
    uint8_t kind = data[0] >> 4 & 3, epoch = kind == FRAME_HELLO ? 0 : board.leaf.session.epoch;
    switch (roll(8)) {
    case 0: feed(data, size); break; /* as it is: noise */
    case 1: say(kind, data[0] & 15, data + 1, size - 1); break;
    default: say(kind, epoch, data + 1, size - 1); break;
    }
    if (board.leaf.session.epoch == 0)
        greet();
}

/* -- the run ------------------------------------------------------------------------------------ */

static void read_corpus(const char *path)
{
    static uint8_t all[1 << 21];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(2);
    }
    size_t size = fread(all, 1, sizeof all, file), at = 0;
    fclose(file);
    while (at + 3 <= size && record_count < RECORDS_MAX) {
        uint32_t length = all[at + 1] | (uint32_t)all[at + 2] << 8;
        if (length > INPUT_MAX || at + 3 + length > size)
            break;
        records[record_count++] = (struct record){all[at], length, all + at + 3};
        at += 3 + length;
    }
    check(record_count > 0, "an empty corpus", 0);
}

static void input(uint64_t seed, uint32_t number)
{
    uint8_t data[INPUT_MAX];
    dice = seed * 1000003 + number * UINT64_C(0xD1342543DE82EF95);
    if (number % BOARD_INPUTS == 0)
        new_board();
    const struct record *record = &records[roll(record_count)];
    memcpy(data, record->data, record->size);
    uint32_t size = mutate(data, record->size);
    if (record->kind == 0)
        talk(data, size);
    else {
        load(data, size, number);
        if (roll(8) == 0)
            deploy(data, size, number);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    uint64_t seed = strtoull(argv[1], 0, 10);
    uint32_t inputs = (uint32_t)strtoul(argv[2], 0, 10);
    uint32_t first = argc > 5 ? (uint32_t)strtoul(argv[5], 0, 10) : 0;
    time_t end = time(0) + strtol(argv[3], 0, 10);
    read_corpus(argv[4]);
    new_board();
    uint32_t done = 0;
    for (; done < inputs; done++) {
        if (done % 256 == 0 && time(0) >= end)
            break;
        input(seed, first + done);
    }
    printf("{\"inputs\": %u, \"accepted_programs\": %lu, \"rule_runs\": %lu, \"deploys\": %lu, "
           "\"answers\": %lu, \"starts\": %lu}\n",
           done, accepted, runs, deployed, taken, restarted);
    return 0;
}
