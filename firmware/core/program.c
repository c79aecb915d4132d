#include "program.h"

#include "bytes.h"
#include "cbor.h"

enum { FORMAT = 1, BOARDS = 5, EDGES = 3, CHANNEL_MAX = 65535 };

static void read_target(struct cbor_reader *from, struct program *out)
{
    uint32_t items = cbor_array(from, 1, 2);
    uint32_t size = 0;
    out->target_kind = (uint8_t)cbor_uint(from, TARGET_ANY, TARGET_BOARD);
    if (items != (out->target_kind == TARGET_ANY ? 1u : 2u))
        cbor_fail(from);
    else if (out->target_kind == TARGET_ONE)
        out->target_id = cbor_bytes(from, 8, 8, &size);
    else if (out->target_kind == TARGET_BOARD)
        out->target_board = (uint8_t)cbor_uint(from, 1, BOARDS);
}

static void read_resource(struct cbor_reader *from, struct resource *out)
{
    cbor_array(from, 4, 4);
    out->kind = (uint8_t)cbor_uint(from, KIND_GPIO, KIND_UART);
    out->access = (uint8_t)cbor_uint(from, 1, ACCESS_READ | ACCESS_WRITE);
    out->channel = (uint16_t)cbor_uint(from, 0, CHANNEL_MAX);
    out->param = cbor_uint(from, 0, UINT32_MAX);
}

static void read_trigger(struct cbor_reader *from, struct trigger *out)
{
    uint32_t items = cbor_array(from, 2, 3);
    out->kind = (uint8_t)cbor_uint(from, TRIGGER_EVERY, TRIGGER_LINE);
    if (items != (out->kind == TRIGGER_EDGE ? 3u : 2u))
        cbor_fail(from);
    if (out->kind == TRIGGER_EVERY) {
        out->period_ms = cbor_uint(from, PERIOD_MIN_MS, PERIOD_MAX_MS);
        return;
    }
    out->resource = (uint8_t)cbor_uint(from, 0, RESOURCES_MAX - 1);
    if (out->kind == TRIGGER_EDGE)
        out->edge = (uint8_t)cbor_uint(from, 1, EDGES);
}

static void read_rule(struct cbor_reader *from, struct rule *out)
{
    uint32_t size = 0;
    cbor_array(from, 5, 5);
    read_trigger(from, &out->trigger);
    out->slot_count = (uint8_t)cbor_array(from, 0, SLOTS_MAX);
    for (uint32_t i = 0; i < out->slot_count; i++)
        out->slots[i] = cbor_int(from);
    out->inputs = (uint8_t)cbor_uint(from, 0, UINT8_MAX);
    out->code = cbor_bytes(from, INSTRUCTION_BYTES, INSTRUCTIONS_MAX * INSTRUCTION_BYTES, &size);
    out->code_bytes = (uint16_t)size;
    out->worst = (uint8_t)cbor_uint(from, 0, INSTRUCTIONS_MAX);
}

bool program_read(struct program *out, const uint8_t *data, uint32_t size)
{
    struct cbor_reader from = cbor_reading(data, size);
    bytes_fill((uint8_t *)out, 0, sizeof *out);
    if (size > PROGRAM_BYTES_MAX)
        return false;
    cbor_array(&from, 5, 5);
    cbor_uint(&from, FORMAT, FORMAT);
    read_target(&from, out);
    out->counter = cbor_uint(&from, 0, UINT32_MAX);
    out->resource_count = (uint8_t)cbor_array(&from, 0, RESOURCES_MAX);
    for (uint32_t i = 0; i < out->resource_count; i++)
        read_resource(&from, &out->resources[i]);
    out->rule_count = (uint8_t)cbor_array(&from, 1, RULES_MAX);
    for (uint32_t i = 0; i < out->rule_count; i++)
        read_rule(&from, &out->rules[i]);
    return cbor_ended(&from);
}
