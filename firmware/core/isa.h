/* The instructions; docs/leaf-vm.md says what each does. */
#ifndef LEAF_ISA_H
#define LEAF_ISA_H

enum op {
    OP_RET = 0x01,
    OP_LDI,
    OP_LDH,
    OP_MOV,
    OP_LDV,
    OP_STV,
    OP_ADD = 0x10,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_MLQ,
    OP_DVQ,
    OP_MIN,
    OP_MAX,
    OP_AND,
    OP_OR,
    OP_XOR,
    OP_SHL,
    OP_SAR,
    OP_LT = 0x20,
    OP_LE,
    OP_EQ,
    OP_NE,
    OP_GT,
    OP_GE,
    OP_JMP = 0x30,
    OP_BRT,
    OP_BRF,
    OP_RES = 0x40,
    OP_ACT,
    OP_EVT,
    OP_LLM,
    OP_TIM,
};

#endif
