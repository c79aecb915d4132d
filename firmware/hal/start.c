/* From reset to the main loop, the same on every Cortex-M.
 *
 * RAM holds, from the bottom: the stack, growing down towards the end of RAM, so that an overflow is a
 * fault and not silent damage; data; zeroed data; what survives a reset. The stack is painted at
 * start, and what has lost its paint is the most that was ever used. */
#include "start.h"

#include "../core/leaf.h"
#include "arm.h"
#include "part.h"

enum {
    SYSTICK_CONTROL = 0xE000E010,
    SYSTICK_RELOAD = 0xE000E014,
    SYSTICK_VALUE = 0xE000E018,
    SYSTICK_ON = 7, /* counting, interrupt, the processor's clock */
    RESET_CONTROL = 0xE000ED0C,
    RELEASE_HELD_MS = 1000,
};

enum { RESET_REQUEST = 0x05FA0004, FAULT_MARK = 0x4641554C, PAINT = 0x5EAF5EAF };

extern uint32_t _data_from[], _data_start[], _data_end[], _bss_start[], _bss_end[];

static struct leaf leaf;
static volatile uint32_t fault_mark __attribute__((section(".noinit")));
static bool has_failed;

_Noreturn void start_request_reset(void)
{
    __asm volatile("dsb" ::: "memory");
    REG(RESET_CONTROL) = RESET_REQUEST;
    for (;;) { /* the reset comes within a few cycles */
    }
}

void start_fault(void)
{
    fault_mark = FAULT_MARK;
    part_restart();
}

void start_tick(void)
{
}

bool start_has_failed(void)
{
    return has_failed;
}

void start_sleep(bool (*is_needed)(void))
{
    __asm volatile("cpsid i" ::: "memory"); /* what comes now still ends the sleep */
    if (!is_needed())
        __asm volatile("dsb\n wfi" ::: "memory");
    __asm volatile("cpsie i" ::: "memory");
}

void start_ticks(void)
{
    REG(SYSTICK_RELOAD) = CLOCK_HZ / 1000 - 1;
    REG(SYSTICK_VALUE) = 0;
    REG(SYSTICK_CONTROL) = SYSTICK_ON;
}

static bool nothing(void)
{
    return false;
}

/* The owner's way to take a leaf back: hold its release pin low while it starts. */
static bool is_released(void)
{
    pin_configure(PART.release, PIN_PULL_UP);
    uint32_t begun_ms = part_now_ms();
    arm_wait_us(10); /* for the pull to win */
    while (part_now_ms() - begun_ms < RELEASE_HELD_MS) {
        if (pin_read(PART.release))
            return false;
        start_sleep(nothing);
    }
    return true;
}

static _Noreturn void run_forever(void)
{
    part_start();
    if (is_released()) {
        struct slots slots = {0};
        slots_forget(&slots);
    }
    leaf_start(&leaf, 0);
    for (;;) {
        leaf_poll(&leaf);
        start_sleep(arm_has_received);
    }
}

void start_reset(void)
{
    uint32_t *stack = (uint32_t *)(uintptr_t)_stack_bottom;
    while (stack < (uint32_t *)__builtin_frame_address(0) - 8) /* not what stands on it now */
        *stack++ = PAINT;
    for (uint32_t *to = _data_start, *from = _data_from; to < _data_end;)
        *to++ = *from++;
    for (uint32_t *to = _bss_start; to < _bss_end;)
        *to++ = 0;
    has_failed = fault_mark == FAULT_MARK;
    fault_mark = 0;
    run_forever();
}

uint32_t hal_stack_bytes(void *self)
{
    const uint32_t *stack = (const uint32_t *)(uintptr_t)_stack_bottom;
    const uint32_t *top = (const uint32_t *)(uintptr_t)_stack_top;
    (void)self;
    while (stack < top && *stack == PAINT)
        stack++;
    return 4 * (uint32_t)(top - stack);
}
