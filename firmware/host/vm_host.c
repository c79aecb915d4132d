/* The rule machine and verifier for tests on a PC: flat functions that Python's ctypes can call. */
#include "../core/verifier.h"
#include "../core/vm.h"

enum { LOG_MAX = 256 };

/* What a run did, in order; kind 1: write, 2: emit, 3: ask. */
struct entry {
    int32_t kind, a, value, slot;
};

struct outcome {
    int32_t steps;
    int32_t slots[SLOTS_MAX];
    int32_t entries;
    struct entry log[LOG_MAX];
};

struct table {
    const int32_t *values;
    uint32_t time_ms;
    struct outcome *out;
};

static bool everywhere(const void *board, const struct resource *resource)
{
    (void)board;
    (void)resource;
    return true;
}

static void note(struct table *table, int32_t kind, int32_t a, int32_t value, int32_t slot)
{
    if (table->out->entries < LOG_MAX)
        table->out->log[table->out->entries++] = (struct entry){kind, a, value, slot};
}

static int32_t read(void *self, uint8_t resource)
{
    return ((struct table *)self)->values[resource];
}

static void write(void *self, uint8_t resource, int32_t value)
{
    note(self, 1, resource, value, 0);
}

static void emit(void *self, uint8_t code, int32_t value)
{
    note(self, 2, code, value, 0);
}

static void ask(void *self, uint8_t prompt, int32_t value, uint8_t slot)
{
    note(self, 3, prompt, value, slot);
}

static uint32_t now_ms(void *self)
{
    return ((struct table *)self)->time_ms;
}

/* flaw, rule and instruction of a program's bytes. */
void host_verify(const uint8_t *data, uint32_t size, int32_t out[3])
{
    struct program program;
    struct verdict verdict = {FLAW_FORM, -1, -1};
    if (program_read(&program, data, size))
        verdict = program_verify(&program, everywhere, 0);
    out[0] = verdict.flaw;
    out[1] = verdict.rule;
    out[2] = verdict.instruction;
}

/* Run one rule of a verified program once. */
void host_run(const uint8_t *data, uint32_t size, uint32_t rule, const int32_t *values,
              uint32_t time_ms, struct outcome *out)
{
    struct program program;
    *out = (struct outcome){0};
    if (!program_read(&program, data, size) || rule >= program.rule_count)
        return;
    struct table table = {values, time_ms, out};
    struct bench bench = {&table, read, write, emit, ask, now_ms};
    out->steps = vm_run(&program.rules[rule], &bench);
    for (uint32_t i = 0; i < SLOTS_MAX; i++)
        out->slots[i] = program.rules[rule].slots[i];
}
