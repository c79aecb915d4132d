/* What a part's vector table is made of, and the processor's own registers. */
#ifndef LEAF_START_H
#define LEAF_START_H

#include <stdbool.h>
#include <stdint.h>

typedef void (*handler)(void);

extern uint8_t _stack_bottom[], _stack_top[]; /* of the linker script */

void start_reset(void);
void start_fault(void); /* anything that should not happen: note it and start again */
void start_tick(void);  /* SysTick: only there to end the sleep of `start_sleep` */
void start_sleep(bool (*is_needed)(void));
bool start_has_failed(void); /* the last start ended in `start_fault` */
void start_ticks(void); /* SysTick each millisecond, for parts where it runs on in sleep */
_Noreturn void start_request_reset(void); /* by the processor's own register */

/* The 16 entries that all Cortex-M have; a part puts its interrupts behind them. */
#define CORE_VECTORS                                                                               \
    (handler)(uintptr_t)_stack_top, start_reset, start_fault, start_fault, start_fault,            \
        start_fault, start_fault, 0, 0, 0, 0, start_fault, start_fault, 0, start_fault, start_tick

#define VECTORS __attribute__((section(".vectors"), used)) const handler vectors[]

/* The interrupts of a part, from the first one it uses on; its linker script says where they
 * stand, and puts constants into the gap. */
#define INTERRUPTS __attribute__((section(".interrupts"), used)) const handler interrupts[]

/* A register by its address. */
#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

enum { NVIC_ENABLE = 0xE000E100 };

static inline void interrupt_enable(uint32_t number)
{
    REG(NVIC_ENABLE + 4 * (number / 32)) = 1u << number % 32;
}

#endif
