/* When rules run, and what they touch: triggers, resources, slots. */
#include "bytes.h"
#include "leaf.h"
#include "vm.h"

enum { EDGE_RISING = 1, EDGE_FALLING = 2 };

static const struct resource *resource_of(const struct leaf *leaf, uint8_t index)
{
    return &leaf->engine.program.resources[index];
}

/* Tell the first failure in a row of a resource; count all. */
static void answered(struct leaf *leaf, uint8_t resource, bool good)
{
    uint16_t bit = (uint16_t)(1u << resource);
    bool before = leaf->engine.failed & bit;
    leaf->engine.failed = (uint16_t)(good ? leaf->engine.failed & ~bit : leaf->engine.failed | bit);
    leaf->engine.failures += !good;
    if (!good && !before)
        leaf_note(leaf, SYSTEM_RESOURCE_FAILED, resource);
}

static int32_t read(void *self, uint8_t resource)
{
    struct leaf *leaf = self;
    int32_t value = 0;
    bool good = hal_read(leaf->self, resource_of(leaf, resource), &value);
    answered(leaf, resource, good);
    return good ? value : INT32_MIN;
}

static void write(void *self, uint8_t resource, int32_t value)
{
    struct leaf *leaf = self;
    answered(leaf, resource, hal_write(leaf->self, resource_of(leaf, resource), value));
}

static void add_event(struct leaf *leaf, uint8_t kind, uint8_t code, int32_t value, uint8_t slot)
{
    struct event event = {hal_now_ms(leaf->self), value, kind, leaf->engine.rule, code, slot};
    events_add(&leaf->events, &event);
}

static void emit(void *self, uint8_t code, int32_t value)
{
    add_event(self, EVENT_EMITTED, code, value, 0);
}

static void ask(void *self, uint8_t prompt, int32_t value, uint8_t slot)
{
    add_event(self, EVENT_ASKED, prompt, value, slot);
}

static uint32_t now_ms(void *self)
{
    struct leaf *leaf = self;
    return hal_now_ms(leaf->self) - leaf->engine.started_ms;
}

static void run(struct leaf *leaf, uint8_t index)
{
    const struct bench bench = {leaf, read, write, emit, ask, now_ms};
    leaf->engine.rule = index;
    leaf->engine.runs[index]++;
    if (vm_run(&leaf->engine.program.rules[index], &bench) == 0) {
        leaf_note(leaf, SYSTEM_RULE_STOPPED, index);
        leaf->engine.running = false; /* verified code cannot do this: the flash is not what it was */
    }
}

static uint8_t level(struct leaf *leaf, const struct trigger *trigger)
{
    int32_t value = 0;
    hal_read(leaf->self, resource_of(leaf, trigger->resource), &value);
    return value != 0;
}

void engine_run(struct leaf *leaf, const struct program *program)
{
    struct engine *engine = &leaf->engine;
    bytes_fill((uint8_t *)engine, 0, sizeof *engine);
    bytes_copy((uint8_t *)&engine->program, (const uint8_t *)program, sizeof *program);
    engine->running = true;
    engine->started_ms = hal_now_ms(leaf->self);
    for (uint8_t i = 0; i < program->resource_count; i++)
        hal_configure(leaf->self, &program->resources[i]);
    for (uint8_t i = 0; i < program->rule_count; i++) {
        const struct trigger *trigger = &program->rules[i].trigger;
        engine->due_ms[i] = engine->started_ms + trigger->period_ms;
        if (trigger->kind == TRIGGER_EDGE)
            engine->level[i] = level(leaf, trigger);
    }
    leaf_note(leaf, SYSTEM_PROGRAM_STARTED, (int32_t)program->counter);
}

void engine_start(struct leaf *leaf)
{
    struct program program;
    uint8_t detail[3];
    uint32_t size;
    const uint8_t *package = slots_package(&leaf->slots, &size);
    if (package && package_check(leaf, package, size, &program, detail) == ERROR_NONE)
        engine_run(leaf, &program);
}

/* The board tells once that a line has ended; every rule that waits for that UART is to hear it. */
static bool has_line(struct leaf *leaf, uint8_t index, uint8_t fired)
{
    const struct program *program = &leaf->engine.program;
    const struct resource *uart = resource_of(leaf, program->rules[index].trigger.resource);
    for (uint8_t i = 0; i < index; i++) {
        const struct trigger *before = &program->rules[i].trigger;
        if (before->kind == TRIGGER_LINE && resource_of(leaf, before->resource)->channel == uart->channel)
            return fired >> i & 1;
    }
    return hal_line_ended(leaf->self, uart);
}

/* `fired`: bits of the rules before this one. */
static bool has_fired(struct leaf *leaf, uint8_t index, uint8_t fired)
{
    struct engine *engine = &leaf->engine;
    const struct trigger *trigger = &engine->program.rules[index].trigger;
    uint32_t now = hal_now_ms(leaf->self);
    if (trigger->kind == TRIGGER_EVERY) {
        uint32_t late_ms = now - engine->due_ms[index];
        if (late_ms > INT32_MAX)
            return false;
        /* The beat is kept; whole periods that were missed are left out. */
        engine->due_ms[index] += trigger->period_ms * ((uint32_t)vm_divide(late_ms, (int32_t)trigger->period_ms) + 1);
        return true;
    }
    if (trigger->kind == TRIGGER_LINE)
        return has_line(leaf, index, fired);
    uint8_t before = engine->level[index], after = level(leaf, trigger);
    engine->level[index] = after;
    return before != after && trigger->edge & (after ? EDGE_RISING : EDGE_FALLING);
}

APART void engine_poll(struct leaf *leaf)
{
    struct engine *engine = &leaf->engine;
    uint8_t fired = 0;
    for (uint8_t i = 0; engine->running && i < engine->program.rule_count; i++)
        fired |= (uint8_t)(has_fired(leaf, i, fired) << i);
    for (uint8_t i = 0; engine->running && i < engine->program.rule_count; i++)
        if (fired >> i & 1)
            run(leaf, i);
}

uint8_t engine_input(struct leaf *leaf, struct cbor_reader *from)
{
    struct engine *engine = &leaf->engine;
    uint32_t rule = cbor_uint(from, 0, RULES_MAX - 1);
    uint32_t slot = cbor_uint(from, 0, SLOTS_MAX - 1);
    int32_t value = cbor_int(from);
    uint32_t counter = cbor_uint(from, 0, UINT32_MAX);
    if (!cbor_ended(from))
        return ERROR_MALFORMED;
    if (!engine->running || counter != engine->program.counter || rule >= engine->program.rule_count ||
        slot >= engine->program.rules[rule].slot_count ||
        !(engine->program.rules[rule].inputs >> slot & 1))
        return ERROR_NOT_AN_INPUT;
    engine->program.rules[rule].slots[slot] = value;
    return ERROR_NONE;
}
