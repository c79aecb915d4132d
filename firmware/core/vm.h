/* The rule machine: runs one verified rule. docs/leaf-vm.md is the specification, mesh/rules/vm.py
 * the other implementation. */
#ifndef LEAF_VM_H
#define LEAF_VM_H

#include "program.h"

/* The outside as a rule may see it; `self` is handed back to each call. Resources by their index in
 * the program. */
struct bench {
    void *self;
    int32_t (*read)(void *self, uint8_t resource);
    void (*write)(void *self, uint8_t resource, int32_t value);
    void (*emit)(void *self, uint8_t code, int32_t value);
    void (*ask)(void *self, uint8_t prompt, int32_t value, uint8_t slot);
    uint32_t (*now_ms)(void *self);
};

/* One run; the rule's slots change. Returns the number of instructions carried out, 0 if the code
 * did what verified code cannot do (a flash fault): the run ended there. */
uint8_t vm_run(struct rule *rule, const struct bench *bench);

/* Towards zero, saturated; 0 / 0 is 0, and anything else by 0 the largest number there is, with its
 * sign. Also used where a processor without an instruction for it must divide. */
int32_t vm_divide(int64_t dividend, int32_t divisor);

#endif
