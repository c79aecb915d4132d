#include "vm.h"

#include "bytes.h"
#include "isa.h"

static int32_t saturate(int64_t value)
{
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

/* Bit by bit: half the size of what compilers bring along for 64 bits, and no part of the kind has
 * an instruction for it. */
int32_t vm_divide(int64_t dividend, int32_t divisor)
{
    bool negative = (dividend < 0) != (divisor < 0);
    uint64_t left = dividend < 0 ? 0 - (uint64_t)dividend : (uint64_t)dividend;
    uint32_t by = divisor < 0 ? 0 - (uint32_t)divisor : (uint32_t)divisor;
    uint64_t rest = 0;
    if (by == 0) { /* of everything but 0 the largest number there is */
        by = 1;
        left = left ? UINT32_MAX : 0;
    }
    for (uint32_t i = 0; i < 64; i++) { /* the quotient comes in from below */
        rest = rest << 1 | left >> 63;
        left <<= 1;
        if (rest >= by) {
            rest -= by;
            left |= 1;
        }
    }
    return saturate(negative ? -(int64_t)left : (int64_t)left);
}

/* Of each comparison from OP_LT on: bit 0 for less, 1 for equal, 2 for greater. */
static bool compare(uint32_t op, int32_t x, int32_t y)
{
    static const uint8_t TRUE_FOR[] = {1, 3, 2, 5, 4, 6};
    return TRUE_FOR[op - OP_LT] >> ((x >= y) + (x > y)) & 1;
}

static int32_t arithmetic(uint8_t op, int32_t x, int32_t y)
{
    int64_t wide = x;
    switch (op) {
    case OP_ADD: wide += y; break;
    case OP_SUB: wide -= y; break;
    case OP_MUL: wide *= y; break;
    case OP_DIV: return vm_divide(wide, y);
    case OP_MOD: return y == 0 || y == -1 ? 0 : x - vm_divide(wide, y) * y;
    case OP_MLQ: wide = wide * y >> 16; break;
    case OP_DVQ: return vm_divide(wide * 65536, y);
    case OP_MIN: return x < y ? x : y;
    case OP_MAX: return x > y ? x : y;
    case OP_AND: return x & y;
    case OP_OR: return x | y;
    case OP_XOR: return x ^ y;
    case OP_SHL: return (int32_t)((uint32_t)x << (y & 31));
    case OP_SAR: return x >> (y & 31);
    default: return compare(op, x, y);
    }
    return saturate(wide);
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
    int32_t registers[REGISTERS];
    uint32_t count = rule->code_bytes / INSTRUCTION_BYTES;
    uint8_t steps = 0;
    bytes_fill((uint8_t *)registers, 0, sizeof registers);
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
