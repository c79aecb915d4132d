/* Whole lives of a leaf: provisioned, or with a flash that was found somewhere; then programs that are
 * good or nearly, brought as a gateway would, or nearly; with power cuts, flash that wears out, pins that
 * move and buses that do not answer. A scene follows from its input's number alone.
 *
 * While nobody else touches its flash, a leaf must keep its key, its highest counter and a program: the one
 * of before or the one that was offered. Nothing is programmed twice between erasures, unless flash has
 * failed. */
#include <string.h>

#include "../core/bytes.h"
#include "../core/isa.h"
#include "fuzz.h"

enum { STEPS_MAX = 24, PACE_MAX_MS = 60, TURN_BACKS = 160, CHUNK_MAX = 208, OPS_AHEAD = 40 };
/* firmware/core/slots.c */
enum { VALID_AT = 128, STARTED_AT = 160, CONFIRMED_AT = 192, NOTES_AT = 2400, CHECKSUM_AT = 16 };

static struct board stage;
static struct offer offer;
static bool is_sound;    /* nobody but the leaf has touched its flash */
static bool is_worn;     /* an operation of it has failed, though power lasted */
static uint32_t settled; /* counter of what it ran when no trial was on; 0: nothing */

/* -- what is true ------------------------------------------------------------------------------- */

struct truth {
    bool provisioned;
    uint8_t key[KEY_SIZE];
    uint32_t counter, highest;
};

static struct truth look(void)
{
    const struct leaf *leaf = &board->leaf;
    struct truth now = {.provisioned = leaf->slots.active != NO_SLOT};
    bytes_copy(now.key, leaf->key, KEY_SIZE);
    now.counter = leaf->engine.running ? leaf->engine.program.counter : 0;
    now.highest = now.provisioned ? leaf->slots.highest : 0;
    if (!leaf->slots.trial)
        settled = now.counter;
    return now;
}

static void compare(const struct truth *before)
{
    uint32_t to_go_back_to = settled;
    struct truth now = look();
    check(is_worn || board->rewrites == 0, "flash programmed twice");
    if (!before->provisioned)
        return;
    check(now.provisioned && bytes_equal(now.key, before->key, KEY_SIZE), "the key is another one");
    check(now.highest >= before->highest, "a counter is forgotten");
    check(now.counter == before->counter || now.counter == to_go_back_to || now.counter == offer.counter,
          "a program that nobody offered");
}

/* -- trouble ------------------------------------------------------------------------------------ */

/* Power or flash may fail, in one of so many cases. */
static void trouble(uint32_t seldom)
{
    uint32_t ahead = 1 + roll(OPS_AHEAD);
    board_cut(board, 0, CUT_NEVER, 0);
    board_fault(board, 0, FAULT_NEVER);
    if (roll(seldom))
        return;
    if (roll(3))
        board_cut(board, ahead, CUT_CLEAN + roll(3), roll(FLASH_UNIT));
    else {
        board_fault(board, ahead, FAULT_REFUSED + roll(2));
        is_worn = true;
    }
}

static void outside(void)
{
    static const uint8_t LINE[] = "a1\nbc\n";
    for (uint32_t i = roll(6); i > 0; i--) {
        board_set_pin(board, 4 + roll(4), (int32_t)roll(2));
        board_set_input(board, roll(2), (int32_t)roll(4096));
        if (roll(2))
            board_uart(board, roll(UARTS), LINE, 1 + roll(sizeof LINE - 1));
        board_break_buses(board, roll(3) == 0);
        wait_ms(1 + roll(PACE_MAX_MS));
    }
}

/* Programs run from flash: its bits may go on their own. Then a rule has no end, which must be seen. */
static void fade(void)
{
    struct program *program = &board->leaf.engine.program;
    if (!board->leaf.engine.running)
        return;
    is_sound = false;
    const struct rule *rule = &program->rules[roll(program->rule_count)];
    for (uint32_t i = 0; i < rule->code_bytes; i += INSTRUCTION_BYTES) {
        uint8_t *code = (uint8_t *)(uintptr_t)(rule->code + i);
        code[0] = OP_JMP; /* to the next one */
        code[1] = 0;
    }
    wait_ms(PACE_MAX_MS);
}

/* -- a flash that was found --------------------------------------------------------------------- */

static void found_mark(uint8_t *unit, uint32_t number)
{
    switch (roll(6)) {
    case 0:
    case 1: return;
    case 2: bytes_fill(unit, (uint8_t)roll(256), 1 + roll(FLASH_UNIT)); return;
    default:
        bytes_copy(unit, (const uint8_t *)"MARK", 4);
        put_u32(unit + 4, number);
        put_u32(unit + 8, ~number ^ (roll(8) == 0));
    }
}

static void found_slot(uint8_t *slot)
{
    uint8_t program[INPUT_MAX];
    const struct record *record = some_record(RECORD_PROGRAM);
    bytes_copy(program, record->data, record->size);
    offer_program(&offer, program, recount(program, record->size, 1 + roll(9)), roll(9) ? 0 : 0xFF);
    if (roll(8) == 0 || offer.bytes > PACKAGE_BYTES_MAX)
        return;
    bytes_copy(slot, (const uint8_t *)"VLF1", 4);
    put_u32(slot + 4, roll(4));
    put_u32(slot + 8, roll(9) ? offer.bytes : roll(5000));
    put_u32(slot + 12, roll(30));
    for (uint32_t i = 32; i < VALID_AT; i++)
        slot[i] = (uint8_t)roll(256);
    bytes_copy(slot + PACKAGE_AT, offer.package, offer.bytes);
    uint32_t sum = crc32c(slot, CHECKSUM_AT) + 3 * crc32c(slot + 32, IDENTITY_BYTES) +
                   5 * crc32c(slot + PACKAGE_AT, offer.bytes);
    put_u32(slot + CHECKSUM_AT, sum + (roll(8) == 0));
    found_mark(slot + VALID_AT, 1);
    found_mark(slot + STARTED_AT, 1);
    found_mark(slot + CONFIRMED_AT, 1);
    for (uint32_t at = NOTES_AT; at + FLASH_UNIT <= SLOT_BYTES && roll(40); at += FLASH_UNIT)
        found_mark(slot + at, roll(50));
}

/* -- deploys ------------------------------------------------------------------------------------ */

static uint32_t some_counter(void)
{
    uint32_t highest = board->leaf.slots.highest;
    switch (roll(10)) {
    case 0: return roll(highest + 2);
    case 1: return highest + 1 + roll(300);
    default: return highest + 1;
    }
}

static void make_offer(uint32_t counter)
{
    uint8_t program[INPUT_MAX];
    const struct record *record = some_record(RECORD_PROGRAM);
    bytes_copy(program, record->data, record->size);
    uint32_t size = recount(program, record->size, counter);
    if (roll(6) == 0)
        size = mutate(program, size);
    offer_program(&offer, program, size, roll(16) ? 0 : 0xFF);
    if (roll(16) == 0) { /* signed, and then something happened to it */
        offer.bytes = mutate(offer.package, offer.bytes);
        offer_seal(&offer);
    }
    if (roll(2))
        offer_pack(&offer);
    if (roll(16) == 0 && offer.stored_bytes > 0)
        offer.stored[roll(offer.stored_bytes)] ^= (uint8_t)(1 + roll(255));
}

static void begin(int32_t off)
{
    uint8_t body[BODY_BYTES_MAX];
    struct cbor_writer to = asking(body, 5, ASK_BEGIN);
    cbor_put_uint(&to, (uint32_t)((int32_t)offer.bytes + off));
    cbor_put_uint(&to, offer.stored_bytes);
    cbor_put_bytes(&to, offer.digest, DIGEST_BYTES);
    ask(body, &to);
}

static void chunk(uint32_t at, uint32_t size)
{
    uint8_t body[BODY_BYTES_MAX];
    struct cbor_writer to = asking(body, 4, ASK_CHUNK);
    cbor_put_uint(&to, at);
    cbor_put_bytes(&to, offer.stored + at, size);
    ask(body, &to);
}

/* Chunks from where the leaf is, some of them lost, doubled or elsewhere. */
static void carry(void)
{
    const struct transfer *transfer = &board->leaf.transfer;
    uint32_t most = roll(16) ? 24 + roll(CHUNK_MAX - 23) : 1 + roll(8);
    for (uint32_t left = 400; left > 0 && transfer->open && transfer->next < offer.stored_bytes; left--) {
        uint32_t at = roll(100) ? transfer->next : roll(offer.stored_bytes);
        uint32_t rest = offer.stored_bytes - at;
        if (roll(150) == 0)
            begin(0); /* goes on where it was */
        if (roll(400) == 0)
            power();
        chunk(at, rest < most ? rest : most);
    }
}

static void deploy(uint32_t counter)
{
    make_offer(counter);
    if (offer.stored_bytes == 0)
        return;
    int32_t off = roll(12) ? 0 : roll(4) ? (int32_t)roll(9) - 4 : 3000;
    begin(off < 0 && (uint32_t)-off > offer.bytes ? 0 : off);
    if (roll(24) == 0)
        offer.digest[0] ^= 1; /* begin has been said with another one: a new transfer, now */
    carry();
    bool was_on_trial = board->leaf.slots.trial;
    ask_plain(ASK_COMMIT);
    tally.deployed += board->leaf.slots.trial && !was_on_trial;
}

static void answer_a_question(void)
{
    uint8_t body[BODY_BYTES_MAX];
    struct cbor_writer to = asking(body, 6, ASK_WRITE_INPUT);
    cbor_put_uint(&to, roll(RULES_MAX));
    cbor_put_uint(&to, roll(SLOTS_MAX));
    cbor_put_int(&to, (int32_t)roll(1 << 16) - (1 << 15));
    cbor_put_uint(&to, board->leaf.engine.program.counter + (roll(8) == 0));
    ask(body, &to);
}

static void ask_around(void)
{
    static const uint8_t NONCE[16] = {9};
    uint8_t body[BODY_BYTES_MAX];
    struct cbor_writer to = asking(body, 3, ASK_PROVE);
    cbor_put_bytes(&to, NONCE, roll(8) ? sizeof NONCE : roll(sizeof NONCE));
    ask(body, &to);
    ask_plain(ASK_STATUS);
    ask_plain(ASK_RULES);
    if (roll(4) == 0)
        greet();
    if (roll(4) == 0)
        noise(roll(800));
}

/* Programs that do not prove themselves, one after the other: each leaves a counter to be kept. */
static void turn_back(void)
{
    for (uint32_t i = 0; i < 4; i++) {
        deploy(some_counter());
        confirm(board->leaf.engine.program.counter);
    }
    for (uint32_t i = 0; i < TURN_BACKS && is_sound; i++) {
        struct truth before = look();
        uint32_t active = board->leaf.slots.active;
        trouble(6);
        deploy(before.highest + 1);
        compare(&before);
        if (board->leaf.slots.trial) {
            power();
            tally.fallbacks += board->leaf.slots.fell_back;
            tally.refreshes += board->leaf.slots.active != active;
        }
    }
}

/* -- a life ------------------------------------------------------------------------------------- */

static void step(void)
{
    uint32_t counter = board->leaf.slots.active == NO_SLOT ? 1 : some_counter();
    struct truth before = look();
    trouble(3);
    bool was_sound = is_sound;
    switch (roll(20)) {
    case 0: answer_a_question(); break;
    case 9:
    case 10: ask_around(); break;
    case 1: outside(); break;
    case 2: power(); break;
    case 3: ask_plain(ASK_RESTART); break;
    case 4: provision(); break;
    case 5: fade(); break;
    case 6:
    case 7:
    case 8: confirm(board->leaf.engine.program.counter + (roll(8) == 0)); break;
    default: deploy(counter); break;
    }
    wait_ms(1 + roll(PACE_MAX_MS));
    if (was_sound && is_sound)
        compare(&before);
}

void scene(void)
{
    tally.scenes++;
    board = &stage;
    board_make(board, 1, roll(1 << 30));
    is_sound = true;
    is_worn = false;
    settled = 0;
    if (roll(4) == 0) {
        is_sound = false;
        found_slot(board->flash[0]);
        found_slot(board->flash[1]);
    }
    trouble(4);
    power();
    greet();
    if (roll(16))
        provision();
    if (is_sound && board->leaf.slots.active != NO_SLOT && roll(16) == 0)
        turn_back();
    for (uint32_t left = roll(STEPS_MAX); left > 0; left--)
        step();
    if (roll(4) == 0) { /* its release pin; power lasts here, since no board runs */
        board_cut(board, 0, CUT_NEVER, 0);
        slots_forget(&board->leaf.slots);
        power();
    }
}
