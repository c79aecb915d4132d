/* One forward pass is enough because jumps only go forward: when an instruction is looked at, every
 * way to it has been seen. `set` holds, per instruction, the registers that are set on all of these
 * ways; `UNSEEN` marks one that no way has reached yet, which no mask of eight registers can be
 * confused with because it is kept in 16 bits. The backward pass gives the longest path. */
#include "verifier.h"

#include "isa.h"

enum role { UNUSED, SETS, READS, CHANGES, SLOT, INPUT, SOURCE, SINK, SKIP, ANY };
enum { UNSEEN = 0x100 };

struct check {
    const struct program *program;
    const struct rule *rule;
    uint32_t count;
};

/* What the three operands of the ops from `first` to `last` are, 4 bits each, first operand highest. */
struct form {
    uint8_t first, last;
    uint16_t roles;
};
#define ROLES(a, b, c) (uint16_t)((a) << 8 | (b) << 4 | (c))

static const struct form FORMS[] = {
    {OP_RET, OP_RET, ROLES(UNUSED, UNUSED, UNUSED)}, {OP_LDI, OP_LDI, ROLES(SETS, ANY, ANY)},
    {OP_LDH, OP_LDH, ROLES(CHANGES, ANY, ANY)},      {OP_MOV, OP_MOV, ROLES(SETS, READS, UNUSED)},
    {OP_LDV, OP_LDV, ROLES(SETS, SLOT, UNUSED)},     {OP_STV, OP_STV, ROLES(SLOT, READS, UNUSED)},
    {OP_ADD, OP_SAR, ROLES(SETS, READS, READS)},     {OP_LT, OP_GE, ROLES(SETS, READS, READS)},
    {OP_JMP, OP_JMP, ROLES(SKIP, UNUSED, UNUSED)},   {OP_BRT, OP_BRF, ROLES(READS, SKIP, UNUSED)},
    {OP_RES, OP_RES, ROLES(SETS, SOURCE, UNUSED)},   {OP_ACT, OP_ACT, ROLES(SINK, READS, UNUSED)},
    {OP_EVT, OP_EVT, ROLES(ANY, READS, UNUSED)},     {OP_LLM, OP_LLM, ROLES(ANY, READS, INPUT)},
    {OP_TIM, OP_TIM, ROLES(SETS, UNUSED, UNUSED)},
};

/* 0xFFF: no such op. */
static uint16_t roles(uint8_t op)
{
    for (uint32_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++)
        if (op >= FORMS[i].first && op <= FORMS[i].last)
            return FORMS[i].roles;
    return 0xFFF;
}

static uint8_t role_of(uint16_t all, uint32_t operand)
{
    return (uint8_t)(all >> (8 - 4 * operand) & 15);
}

static const uint8_t *instruction(const struct check *check, uint32_t index)
{
    return check->rule->code + INSTRUCTION_BYTES * index;
}

/* Where control can go after an instruction: at most two places. Returns how many. */
static uint32_t ways(const uint8_t *code, uint32_t index, uint32_t to[2])
{
    to[0] = index + 1;
    switch (code[0]) {
    case OP_RET: return 0;
    case OP_JMP: to[0] += code[1]; return 1;
    case OP_BRT:
    case OP_BRF: to[1] = index + 1 + code[2]; return 2;
    default: return 1;
    }
}

static uint8_t known_instructions(const struct check *check, int8_t *where)
{
    if (check->rule->code_bytes % INSTRUCTION_BYTES != 0)
        return FLAW_INSTRUCTION;
    for (uint32_t index = 0; index < check->count; index++) {
        const uint8_t *code = instruction(check, index);
        uint16_t all = roles(code[0]);
        bool good = all != 0xFFF;
        for (uint32_t i = 0; i < 3 && good; i++) {
            uint8_t role = role_of(all, i);
            bool is_register = role == SETS || role == READS || role == CHANGES;
            good = !(is_register && code[1 + i] >= REGISTERS) && !(role == UNUSED && code[1 + i]);
        }
        if (!good) {
            *where = (int8_t)index;
            return FLAW_INSTRUCTION;
        }
    }
    return FLAW_NONE;
}

/* Rules 6 to 8 for one operand; `set` gains the register that is written. */
static uint8_t check_operand(const struct check *check, uint8_t role, uint8_t value, uint16_t before,
                             uint16_t *set)
{
    const struct program *program = check->program;
    if ((role == READS || role == CHANGES) && !(before >> value & 1))
        return FLAW_UNSET_REGISTER;
    if (role == SETS || role == CHANGES)
        *set |= (uint16_t)(1u << value);
    if ((role == SLOT || role == INPUT) && value >= check->rule->slot_count)
        return FLAW_SLOT;
    if (role == INPUT && !(check->rule->inputs >> value & 1))
        return FLAW_SLOT;
    if (role == SOURCE || role == SINK) {
        uint8_t need = role == SOURCE ? ACCESS_READ : ACCESS_WRITE;
        if (value >= program->resource_count || !(program->resources[value].access & need))
            return FLAW_ACCESS;
    }
    return FLAW_NONE;
}

static uint8_t check_flow(const struct check *check, int8_t *where)
{
    uint16_t set[INSTRUCTIONS_MAX];
    for (uint32_t i = 0; i < check->count; i++)
        set[i] = UNSEEN;
    set[0] = 0;
    for (uint32_t index = 0; index < check->count; index++) {
        const uint8_t *code = instruction(check, index);
        uint16_t all = roles(code[0]);
        uint16_t after = set[index];
        uint32_t to[2];
        *where = (int8_t)index;
        if (set[index] == UNSEEN)
            return FLAW_UNREACHABLE;
        for (uint32_t i = 0; i < 3; i++) {
            uint8_t flaw = check_operand(check, role_of(all, i), code[1 + i], set[index], &after);
            if (flaw)
                return flaw;
        }
        for (uint32_t i = ways(code, index, to); i-- > 0;) {
            if (to[i] >= check->count)
                return FLAW_RUNS_OFF;
            set[to[i]] = set[to[i]] == UNSEEN ? after : (uint16_t)(set[to[i]] & after);
        }
    }
    *where = -1;
    return FLAW_NONE;
}

static uint8_t longest_path(const struct check *check)
{
    uint8_t longest[INSTRUCTIONS_MAX];
    for (uint32_t index = check->count; index-- > 0;) {
        uint32_t to[2];
        uint8_t most = 0;
        for (uint32_t i = ways(instruction(check, index), index, to); i-- > 0;)
            if (longest[to[i]] > most)
                most = longest[to[i]];
        longest[index] = (uint8_t)(most + 1);
    }
    return longest[0];
}

static bool trigger_is_sound(const struct check *check)
{
    const struct trigger *trigger = &check->rule->trigger;
    if (trigger->kind == TRIGGER_EVERY)
        return true;
    if (trigger->resource >= check->program->resource_count)
        return false;
    const struct resource *resource = &check->program->resources[trigger->resource];
    uint8_t wanted = trigger->kind == TRIGGER_EDGE ? KIND_GPIO : KIND_UART;
    return resource->kind == wanted && resource->access & ACCESS_READ;
}

static uint8_t check_rule(const struct check *check, int8_t *where)
{
    if (!trigger_is_sound(check))
        return FLAW_TRIGGER;
    if (check->rule->inputs >> check->rule->slot_count)
        return FLAW_SLOT;
    uint8_t flaw = known_instructions(check, where);
    if (flaw)
        return flaw;
    if (instruction(check, check->count - 1)[0] != OP_RET) {
        *where = (int8_t)(check->count - 1);
        return FLAW_RUNS_OFF;
    }
    flaw = check_flow(check, where);
    if (flaw)
        return flaw;
    return longest_path(check) == check->rule->worst ? FLAW_NONE : FLAW_WORST;
}

static bool resources_are_sound(const struct program *program, has_resource has, const void *board)
{
    for (uint32_t i = 0; i < program->resource_count; i++) {
        const struct resource *one = &program->resources[i];
        if (!has(board, one))
            return false;
        for (uint32_t j = 0; j < i && one->kind == KIND_GPIO; j++) {
            const struct resource *other = &program->resources[j];
            if (other->kind == KIND_GPIO && other->channel == one->channel &&
                other->param != one->param)
                return false;
        }
    }
    return true;
}

struct verdict program_verify(const struct program *program, has_resource has, const void *board)
{
    struct verdict verdict = {FLAW_NONE, -1, -1};
    if (!resources_are_sound(program, has, board)) {
        verdict.flaw = FLAW_RESOURCE;
        return verdict;
    }
    for (uint32_t i = 0; i < program->rule_count; i++) {
        const struct rule *rule = &program->rules[i];
        struct check check = {program, rule, rule->code_bytes / INSTRUCTION_BYTES};
        verdict.flaw = check_rule(&check, &verdict.instruction);
        if (verdict.flaw) {
            verdict.rule = (int8_t)i;
            return verdict;
        }
    }
    return verdict;
}
