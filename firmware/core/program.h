/* A rule program as the leaf holds it: read from its encoding (firmware/program.cddl) once, when it
 * is committed or started. Code and target stay where they are, in flash; the rest is copied. */
#ifndef LEAF_PROGRAM_H
#define LEAF_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PROGRAM_BYTES_MAX = 2048,
    INSTRUCTIONS_MAX = 64,
    INSTRUCTION_BYTES = 4,
    REGISTERS = 8,
    SLOTS_MAX = 8,
    RESOURCES_MAX = 16,
    RULES_MAX = 4,
    PERIOD_MIN_MS = 10,
    PERIOD_MAX_MS = 86400000,
};

enum resource_kind { KIND_GPIO = 1, KIND_ADC, KIND_DAC, KIND_SPI, KIND_I2C, KIND_UART };
enum access { ACCESS_READ = 1, ACCESS_WRITE = 2 };
enum trigger_kind { TRIGGER_EVERY = 1, TRIGGER_EDGE, TRIGGER_LINE };
enum target_kind { TARGET_ANY, TARGET_ONE, TARGET_BOARD };

struct resource {
    uint8_t kind;
    uint8_t access;
    uint16_t channel;
    uint32_t param;
};

struct trigger {
    uint8_t kind;
    uint8_t resource;
    uint8_t edge;
    uint32_t period_ms;
};

struct rule {
    const uint8_t *code;
    struct trigger trigger;
    int32_t slots[SLOTS_MAX];
    uint16_t code_bytes;
    uint8_t slot_count;
    uint8_t inputs;
    uint8_t worst;
};

struct program {
    uint32_t counter;
    const uint8_t *target_id; /* 8 bytes, for TARGET_ONE */
    struct resource resources[RESOURCES_MAX];
    struct rule rules[RULES_MAX];
    uint8_t target_kind;
    uint8_t target_board;
    uint8_t resource_count;
    uint8_t rule_count;
};

/* Whether the bytes are the encoding of a program; shape and bounds only. */
bool program_read(struct program *out, const uint8_t *data, uint32_t size);

#endif
