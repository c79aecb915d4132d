#include "vm.h"

#include "isa.h"

static int32_t saturate(int64_t value)
{
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

static int32_t divide(int64_t dividend, int32_t divisor)
{
    if (divisor == 0)
        return dividend == 0 ? 0 : dividend > 0 ? INT32_MAX : INT32_MIN;
    return saturate(dividend / divisor);
}

static int32_t arithmetic(uint8_t op, int32_t x, int32_t y)
{
    switch (op) {
    case OP_ADD: return saturate((int64_t)x + y);
    case OP_SUB: return saturate((int64_t)x - y);
    case OP_MUL: return saturate((int64_t)x * y);
    case OP_DIV: return divide(x, y);
    case OP_MOD: return y == 0 || y == -1 ? 0 : x % y;
    case OP_MLQ: return saturate((int64_t)x * y >> 16);
    case OP_DVQ: return divide((int64_t)x * 65536, y);
    case OP_MIN: return x < y ? x : y;
    case OP_MAX: return x > y ? x : y;
    case OP_AND: return x & y;
    case OP_OR: return x | y;
    case OP_XOR: return x ^ y;
    case OP_SHL: return (int32_t)((uint32_t)x << (y & 31));
    case OP_SAR: return x >> (y & 31);
    case OP_LT: return x < y;
    case OP_LE: return x <= y;
    case OP_EQ: return x == y;
    case OP_NE: return x != y;
    case OP_GT: return x > y;
    default: return x >= y;
    }
}

/* Ops that only set a register: what to. */
static int32_t taken(const struct rule *rule, const struct bench *bench, const uint8_t *code,
                     const int32_t *registers)
{
    uint32_t immediate = code[2] | (uint32_t)code[3] << 8;
    switch (code[0]) {
    case OP_LDI: return (int16_t)immediate;
    case OP_LDH: return (int32_t)(((uint32_t)registers[code[1]] & 0xFFFF) | immediate << 16);
    case OP_MOV: return registers[code[2]];
    case OP_LDV: return rule->slots[code[2]];
    case OP_RES: return bench->read(bench->self, code[2]);
    case OP_TIM: return (int32_t)(bench->now_ms(bench->self) & INT32_MAX);
    default: return arithmetic(code[0], registers[code[2]], registers[code[3]]);
    }
}

uint8_t vm_run(struct rule *rule, const struct bench *bench)
{
    int32_t registers[REGISTERS] = {0};
    uint32_t count = rule->code_bytes / INSTRUCTION_BYTES;
    uint8_t steps = 0;
    for (uint32_t at = 0; at < count && steps < INSTRUCTIONS_MAX;) {
        const uint8_t *code = rule->code + INSTRUCTION_BYTES * at++;
        uint8_t a = code[1], b = code[2];
        steps++;
        switch (code[0]) {
        case OP_RET: return steps;
        case OP_JMP: at += a; break;
        case OP_BRT: at += registers[a] ? b : 0; break;
        case OP_BRF: at += registers[a] ? 0 : b; break;
        case OP_STV: rule->slots[a] = registers[b]; break;
        case OP_ACT: bench->write(bench->self, a, registers[b]); break;
        case OP_EVT: bench->emit(bench->self, a, registers[b]); break;
        case OP_LLM: bench->ask(bench->self, a, registers[b], code[3]); break;
        default: registers[a] = taken(rule, bench, code, registers); break;
        }
    }
    return 0;
}
