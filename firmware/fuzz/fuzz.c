/* Feeds a leaf with good, bad and worse input: `fuzz SEED INPUTS SECONDS CORPUS [FIRST]`.
 *
 * The corpus is a file of records: a byte of kind, two of length (least first), the bytes. Kind 0 is
 * a frame (header and body), kind 1 a program. An input is a record with up to eight mutations, made
 * into what reaches deepest: programs go straight to decoder, verifier and machine, in a buffer of
 * exactly their size; frames get a right checksum and the session's epoch, mostly. Each 64th input is
 * a scene, a whole life of a leaf (scenes.c). Everything follows from the seed, and an input is made
 * from its number alone, so `fuzz SEED 1 60 CORPUS NUMBER` plays a program's or a scene again; what
 * frames did depends on those since the last multiple of 2000.
 *
 * What must hold is checked here and in scenes.c; what must never happen is the sanitizers' part. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/verifier.h"
#include "../core/vm.h"
#include "fuzz.h"

enum { RECORDS_MAX = 4096, BOARD_INPUTS = 2000, MUTATIONS_MAX = 8, SCENE_EACH = 64 };

struct tally tally;
static struct record records[RECORDS_MAX];
static uint32_t record_count, number;
static uint64_t dice;

uint32_t roll(uint32_t sides)
{
    uint64_t z = dice += 0x9E3779B97F4A7C15; /* splitmix64 */
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return (uint32_t)((z ^ z >> 31) >> 16) % sides;
}

/* Whoever ends the run, the sanitizers too if they are told to, does it by abort(). */
static void name_input(int signal)
{
    (void)signal;
    fprintf(stderr, "in input %u\n", number);
}

void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

const struct record *some_record(uint8_t kind)
{
    const struct record *record;
    do
        record = &records[roll(record_count)];
    while (record->kind != kind);
    return record;
}

/* -- inputs ------------------------------------------------------------------------------------- */

uint32_t mutate(uint8_t *data, uint32_t size)
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

static void load(const uint8_t *data, uint32_t size)
{
    const struct bench bench = {0, any, swallow, swallow, swallow_question, some_time};
    struct program program;
    uint8_t *exact = malloc(size ? size : 1); /* one byte too far is the sanitizer's */
    memcpy(exact, data, size);
    if (program_read(&program, exact, size) &&
        program_verify(&program, nearly_everywhere, 0).flaw == FLAW_NONE) {
        tally.accepted++;
        for (uint32_t i = 0; i < program.rule_count; i++) {
            uint8_t steps = vm_run(&program.rules[i], &bench);
            check(steps > 0 && steps <= program.rules[i].worst, "a run's length");
            tally.runs++;
        }
    }
    free(exact);
}

/* -- the board that lives on -------------------------------------------------------------------- */

static struct board lasting;

/* A board that belongs to a mesh; power fails now and then. */
static void new_board(void)
{
    board_make(&lasting, 1, dice);
    board = &lasting;
    power();
    greet();
    provision();
    if (roll(4) == 0)
        board_cut(board, 1 + roll(200), CUT_CLEAN + roll(3), roll(FLASH_UNIT));
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
    bool has_program = false;
    for (uint32_t i = 0; i < record_count; i++)
        has_program = has_program || records[i].kind == RECORD_PROGRAM;
    check(has_program, "a corpus without a program");
}

static void input(uint64_t seed)
{
    uint8_t data[INPUT_MAX];
    dice = seed * 1000003 + number * UINT64_C(0xD1342543DE82EF95);
    if (number % BOARD_INPUTS == 0)
        new_board();
    if (number % SCENE_EACH == SCENE_EACH - 1) {
        scene();
        board = &lasting;
        return;
    }
    const struct record *record = &records[roll(record_count)];
    memcpy(data, record->data, record->size);
    uint32_t size = mutate(data, record->size);
    if (record->kind == RECORD_FRAME)
        talk(data, size);
    else
        load(data, size);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    uint64_t seed = strtoull(argv[1], 0, 10);
    uint32_t inputs = (uint32_t)strtoul(argv[2], 0, 10);
    uint32_t first = argc > 5 ? (uint32_t)strtoul(argv[5], 0, 10) : 0;
    time_t end = time(0) + strtol(argv[3], 0, 10);
    signal(SIGABRT, name_input);
    read_corpus(argv[4]);
    new_board();
    uint32_t done = 0;
    for (; done < inputs; done++) {
        if (done % 256 == 0 && time(0) >= end)
            break;
        number = first + done;
        input(seed);
    }
    printf("{\"inputs\": %u, \"accepted_programs\": %lu, \"rule_runs\": %lu, \"scenes\": %lu, "
           "\"deploys\": %lu, \"fallbacks\": %lu, \"refreshes\": %lu, \"answers\": %lu, "
           "\"starts\": %lu}\n",
           done, tally.accepted, tally.runs, tally.scenes, tally.deployed, tally.fallbacks,
           tally.refreshes, tally.answers, tally.starts);
    return 0;
}
