/* The verifier: what a program must be before anything runs it. The rules and their numbers are
 * those of docs/leaf-vm.md; mesh/rules/verifier.py is the other implementation. */
#ifndef LEAF_VERIFIER_H
#define LEAF_VERIFIER_H

#include "program.h"

enum flaw {
    FLAW_NONE = 0,
    FLAW_FORM = 1, /* not the encoding of a program */
    FLAW_RESOURCE = 2,
    FLAW_INSTRUCTION = 3,
    FLAW_RUNS_OFF = 4,
    FLAW_UNREACHABLE = 5,
    FLAW_UNSET_REGISTER = 6,
    FLAW_SLOT = 7,
    FLAW_ACCESS = 8,
    FLAW_WORST = 9,
    FLAW_TRIGGER = 10,
};

struct verdict {
    uint8_t flaw;
    int8_t rule; /* the first rule and instruction with the flaw; -1: not one in particular */
    int8_t instruction;
};

/* Whether the board has the resource with that access. */
typedef bool (*has_resource)(const void *board, const struct resource *resource);

struct verdict program_verify(const struct program *program, has_resource has, const void *board);

#endif
