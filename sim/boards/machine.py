"""A Cortex-M processor on Unicorn with peripherals in Python: time, interrupts, resets, faults.

Rules
- Time is counted in instructions: each takes the part's mean time. It stands still while a slice
  runs and moves on between slices; no slice goes beyond the next moment at which a peripheral does
  something, so a byte that comes is taken before the next one does.
- `wfi` ends a slice and time jumps to the next such moment; so does polling a peripheral that says
  when it will be ready.
- Unicorn may carry out an instruction twice at which a slice is ended. So stores never end one, and
  a register whose reading changes something is only read in handlers.
- An interrupt is taken between slices: the registers that the hardware saves are written to the
  stack (so that its depth is real), the handler runs to its end, nothing nests.
- Reading a flash word whose ECC is torn gives garbage, another one each time, if the firmware has
  masked faults and has bus faults ignored then; otherwise it is a BoardFault.
- An access where nothing is, or an instruction that is none, is a BoardFault: the firmware never
  does that. So is a handler without end.
- A run is a function of the image, the flash and what comes from outside. No clock, no chance.
"""

from __future__ import annotations

import ctypes
import mmap
import random
import struct
from collections.abc import Callable, Mapping
from functools import partial

import attrs
from unicorn import (
    UC_ARCH_ARM,
    UC_HOOK_BLOCK,
    UC_HOOK_MEM_READ,
    UC_HOOK_MEM_WRITE_PROT,
    UC_MODE_MCLASS,
    UC_MODE_THUMB,
    UC_PROT_EXEC,
    UC_PROT_NONE,
    UC_PROT_READ,
    Uc,
    UcError,
)
from unicorn import arm_const as arm

from sim.boards.blocks import SYSTICK, Block, Core, FlashController
from sim.boards.flash import FlashMemory

PAGE = 0x1000
RETURN_AT = 0x1F000000
"""Where a handler returns to: a page of jumps to themselves that no part uses."""
NOWHERE = 0xFFFFFFFE
SLICE_MAX_NS = 1_000_000
SLICE_INSTRUCTIONS_MIN = 2
"""One would single-step, which Unicorn does differently."""
MASKED_STEPS_MAX = 16
HANDLER_INSTRUCTIONS_MAX = 200_000
HARD_FAULT = 3
WFI = b"\x30\xbf"
SAVED = (
    arm.UC_ARM_REG_R0,
    arm.UC_ARM_REG_R1,
    arm.UC_ARM_REG_R2,
    arm.UC_ARM_REG_R3,
    arm.UC_ARM_REG_R12,
    arm.UC_ARM_REG_LR,
    arm.UC_ARM_REG_PC,
    arm.UC_ARM_REG_XPSR,
)


RomCall = Callable[[int, int, int, int], int | None]


class BoardFault(Exception):
    """The firmware did what it must never do; the text says what and where."""


@attrs.frozen
class Processor:
    """What differs between parts, for the machine."""

    cpu_model: int
    """Of Unicorn's."""
    clock_hz: int
    cycles_per_instruction: float
    flash_base: int
    flash_bytes: int
    vectors_at: int
    ram: tuple[tuple[int, int], ...]
    """Base and size of each piece that the firmware may touch, in whole pages."""


class Machine:
    """One processor. Build it, add blocks, `power_on`, `run_until`."""

    def __init__(self, processor: Processor, flash: bytes, seed: int = 0) -> None:
        assert len(flash) == processor.flash_bytes
        self.processor = processor
        self.now_ns = 0
        self.instructions = 0
        """Carried out, about: slices that end early count in whole."""
        self.reset_cause = "power"
        self.resets = 0
        self.on_reset: Callable[[str], None] = lambda _cause: None
        """Told the cause of each start, before it."""
        self.begin: Callable[[], tuple[int, int]] = self._from_vectors
        """Stack and address of the first instruction; a part with a boot ROM knows better."""
        self._random = random.Random(seed)  # noqa: S311 - what RAM holds at power on
        self._uc = uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        uc.ctl_set_cpu_model(processor.cpu_model)
        self._cells = mmap.mmap(-1, processor.flash_bytes)
        """Flash, as Unicorn reads it."""
        cells_at = ctypes.addressof(ctypes.c_char.from_buffer(self._cells))
        flash_rights = UC_PROT_READ | UC_PROT_EXEC
        uc.mem_map_ptr(processor.flash_base, processor.flash_bytes, flash_rights, cells_at)
        uc.mem_write(processor.flash_base, flash)
        uc.mem_map(RETURN_AT, PAGE, UC_PROT_READ | UC_PROT_EXEC)
        uc.mem_write(RETURN_AT, b"\xfe\xe7" * 8)
        for base, size in processor.ram:
            uc.mem_map(base, size)
        uc.hook_add(UC_HOOK_MEM_WRITE_PROT, self._on_flash_store)
        self.flash = FlashMemory(processor.flash_base, flash, uc.mem_write)
        self.core = Core(self, processor.clock_hz, processor.vectors_at)
        self._blocks: list[Block] = []
        self._controller: FlashController | None = None
        self._pages: dict[int, list[Block]] = {}
        self._fault: BaseException | None = None
        self._reset_wanted: str | None = None
        self._skip_ns: int | None = None
        self._must_stop = False
        """Time has moved on within the slice: end it where that can be done."""
        self._in_handler = False
        self._pc = 0
        self._called: tuple[int, ...] = ()
        """The last call of the ROM, and what stood in the registers after it."""
        self.add(self.core)

    # -- building ----------------------------------------------------------------------------------
    def add(self, *blocks: Block) -> None:
        """Put peripherals where they say they are."""
        for block in blocks:
            self._blocks.append(block)
            if isinstance(block, FlashController):
                self._controller = block
            first, last = block.base // PAGE, (block.base + block.size - 1) // PAGE
            for page in range(first, last + 1):
                if page not in self._pages:
                    self._pages[page] = []
                    self._map(page * PAGE)
                self._pages[page].append(block)

    def add_rom(self, base: int, code: bytes, calls: Mapping[int, RomCall]) -> None:
        """Put read-only memory there. Reaching an address of `calls` calls that with the first four
        registers, and what it returns goes into the first one; then the code there runs."""

        def called(_uc: Uc, address: int, _size: int, _data: object) -> None:
            self._guarded(partial(self._call, address, calls[address]))

        self._uc.mem_map(base, -len(code) % PAGE + len(code), UC_PROT_READ | UC_PROT_EXEC)
        self._uc.mem_write(base, code)
        for address in calls:
            self._uc.hook_add(UC_HOOK_BLOCK, called, begin=address, end=address)

    def _call(self, address: int, call: RomCall) -> int:
        """Unicorn comes here again where a slice ended right after the call: that is seen by its
        answer, which stands where its first argument was."""
        if self._pc & ~1 == address and self._called == self._call_state(address):
            return 0
        answer = call(*(self.register(each) for each in SAVED[:4]))
        if answer is not None:
            self._uc.reg_write(arm.UC_ARM_REG_R0, answer)
        self._called = self._call_state(address)
        return 0

    def _call_state(self, address: int) -> tuple[int, ...]:
        return (address, *(self.register(each) for each in SAVED[:6]))

    def hide_flash(self, hidden: bool) -> None:
        """Nothing can be read from it, and no code run there."""
        flash = self.processor
        rights = UC_PROT_NONE if hidden else UC_PROT_READ | UC_PROT_EXEC
        self._uc.mem_protect(flash.flash_base, flash.flash_bytes, rights)

    def _map(self, base: int) -> None:
        def read(_uc: Uc, at: int, size: int, _data: object) -> int:
            return self._guarded(partial(self._read, base + at, size))

        def write(_uc: Uc, at: int, size: int, value: int, _data: object) -> None:
            self._guarded(partial(self._write, base + at, size, value))

        self._uc.mmio_map(base, PAGE, read, None, write, None)

    def _read(self, address: int, size: int) -> int:
        block = self._block_at(address)
        value = block.read(address - block.base, size)
        if self._must_stop:
            self._stop_at_read()
        return value

    def _write(self, address: int, size: int, value: int) -> int:
        block = self._block_at(address)
        block.write(address - block.base, size, value)
        return 0

    def _flash_store(self, address: int, size: int, value: int) -> int:
        if self._controller is None:
            raise BoardFault(f"a write to {address:#010x}, which is read-only")
        self._controller.flash_store(address, size, value)
        return 0

    def _block_at(self, address: int) -> Block:
        for block in self._pages[address // PAGE]:
            if block.base <= address < block.base + block.size:
                return block
        raise BoardFault(f"nothing is at {address:#010x}")

    # -- what peripherals ask for (blocks.Host) ----------------------------------------------------
    def skip_to(self, moment_ns: int) -> None:
        self._skip_ns = moment_ns
        self._stop_at_read()

    def stall_to(self, moment_ns: int) -> None:
        self.now_ns = max(self.now_ns, moment_ns)
        self._must_stop = True

    def request_reset(self, cause: str) -> None:
        self._reset_wanted = cause

    # -- power, reset ------------------------------------------------------------------------------
    def power_on(self) -> None:
        """RAM holds anything; the program starts from its vectors."""
        for base, size in self.processor.ram:
            self._uc.mem_write(base, self._random.randbytes(size))
        self.reset("power")

    def spoil(self, words: frozenset[int]) -> None:
        """These words of flash are unreadable: power failed while they were written. Before power
        on: code that has been translated would not notice."""
        self.flash.unreadable |= words
        if words:
            end = self.processor.flash_base + self.processor.flash_bytes - 1
            self._uc.hook_add(UC_HOOK_MEM_READ, self._on_flash_read, begin=min(words), end=end)

    def reset(self, cause: str) -> None:
        """Start again with RAM as it is. Causes: power, pin, software, watchdog, brownout."""
        self.reset_cause = cause
        self.resets += 1
        self._reset_wanted = self._skip_ns = None
        for block in self._blocks:
            block.reset()
        self.on_reset(cause)
        for register in SAVED[:-1]:
            self._uc.reg_write(register, 0)
        self._uc.reg_write(arm.UC_ARM_REG_PRIMASK, 0)
        self._uc.reg_write(arm.UC_ARM_REG_FAULTMASK, 0)
        stack, self._pc = self.begin()
        self._uc.reg_write(arm.UC_ARM_REG_SP, stack)

    def _from_vectors(self) -> tuple[int, int]:
        return self.word(self.core.vectors_at), self.word(self.core.vectors_at + 4)

    @property
    def is_dark(self) -> bool:
        """Power has failed (a cut)."""
        return self.flash.dark

    # -- looking -----------------------------------------------------------------------------------
    def word(self, address: int) -> int:
        return int(struct.unpack("<I", self._uc.mem_read(address, 4))[0])

    def memory(self, address: int, size: int) -> bytes:
        return bytes(self._uc.mem_read(address, size))

    def register(self, number: int) -> int:
        return int(self._uc.reg_read(number))

    @property
    def is_masked(self) -> bool:
        """Interrupts are off."""
        return bool(self.register(arm.UC_ARM_REG_PRIMASK) & 1) or self.masks_faults

    @property
    def masks_faults(self) -> bool:
        return bool(self.register(arm.UC_ARM_REG_FAULTMASK) & 1)

    # -- meddling ----------------------------------------------------------------------------------
    def put(self, address: int, data: bytes) -> None:
        self._uc.mem_write(address, data)

    def jump(self, address: int) -> None:
        """Go on there, as a program that lost its way."""
        self._pc = address | 1

    def raise_fault(self) -> None:
        """Let the firmware's own fault handler run."""
        self._interrupt(HARD_FAULT)

    # -- running -----------------------------------------------------------------------------------
    def run_until(self, moment_ns: int) -> None:
        """Run until that moment, or until power fails. Raises BoardFault."""
        while self.now_ns < moment_ns and not self.is_dark:
            for block in self._blocks:
                block.advance()
            if self._reset_wanted is not None:
                self.reset(self._reset_wanted)
            self._take_interrupts()
            if self._reset_wanted is None and not self.is_dark:
                self._slice(moment_ns)

    def _slice(self, moment_ns: int) -> None:
        end_ns = min(moment_ns, self.now_ns + SLICE_MAX_NS, self._next_event_ns())
        mean_ns = 1e9 * self.processor.cycles_per_instruction / self.processor.clock_hz
        count = max(SLICE_INSTRUCTIONS_MIN, int((end_ns - self.now_ns) / mean_ns))
        self._skip_ns = None
        begun_ns = self.now_ns
        self._emulate(self._pc, NOWHERE, count)
        self.instructions += count
        self._pc = self.register(arm.UC_ARM_REG_PC) | 1
        self._must_stop = False
        if self._reset_wanted is None and not self.is_dark:
            self._pass_time(begun_ns, end_ns, max(1, int(count * mean_ns)))

    def _pass_time(self, begun_ns: int, end_ns: int, taken_ns: int) -> None:
        """Move time on after a slice, by whatever ended it."""
        if self._skip_ns is not None:
            self.now_ns = max(self.now_ns, min(end_ns, self._skip_ns))
        elif self.memory(self._pc & ~1, 2) == WFI:
            self._wake(end_ns)
        elif self.now_ns == begun_ns:
            self.now_ns += taken_ns

    def _wake(self, moment_ns: int) -> None:
        """`wfi`: sleep until something is pending, also with interrupts masked; then unmask."""
        self._pc += 2
        if not self._raised():
            self.now_ns = max(self.now_ns, moment_ns)
        for _ in range(MASKED_STEPS_MAX):
            if not self.register(arm.UC_ARM_REG_PRIMASK) & 1:
                return
            self._emulate(self._pc, NOWHERE, SLICE_INSTRUCTIONS_MIN)
            self._pc = self.register(arm.UC_ARM_REG_PC) | 1

    def _next_event_ns(self) -> int:
        moments = [block.next_event_ns() for block in self._blocks]
        return min(
            (each for each in moments if each is not None and each > self.now_ns), default=1 << 62
        )

    def _emulate(self, begin: int, until: int, count: int) -> None:
        try:
            self._uc.emu_start(begin | 1, until, count=count)
        except UcError as error:
            raise self._fault_here(str(error)) from None
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise self._fault_here(str(fault)) from fault

    def _fault_here(self, what: str) -> BoardFault:
        pc, lr = self.register(arm.UC_ARM_REG_PC), self.register(arm.UC_ARM_REG_LR)
        return BoardFault(f"{what} (pc {pc:#010x}, lr {lr:#010x}, {self.now_ns / 1e6:.3f} ms)")

    def _stop_at_read(self) -> None:
        """End the slice at the load that is being carried out, but for loads of handlers. Unicorn
        does not hear of it while the load is in an IT block; then the program polls to the end."""
        if not self._in_handler:
            self._must_stop = False
            self._uc.emu_stop()

    # -- interrupts --------------------------------------------------------------------------------
    def _take_interrupts(self) -> None:
        if self.is_masked:
            return
        for number in self._raised():
            self._interrupt(number)
            if self._reset_wanted is not None or self.is_dark:
                return

    def _raised(self) -> list[int]:
        """Interrupts that are pending and enabled."""
        pending = (number for block in self._blocks for number in block.pending())
        return [each for each in pending if each == SYSTICK or each in self.core.enabled]

    def _interrupt(self, number: int) -> None:
        uc = self._uc
        uc.reg_write(arm.UC_ARM_REG_PC, self._pc)
        saved = uc.context_save()
        stack = (self.register(arm.UC_ARM_REG_SP) - 4 * len(SAVED)) & ~7
        uc.mem_write(stack, struct.pack("<8I", *(self.register(each) for each in SAVED)))
        uc.reg_write(arm.UC_ARM_REG_SP, stack)
        uc.reg_write(arm.UC_ARM_REG_LR, RETURN_AT | 1)
        self.core.taken(number)
        handler = self.word(self.core.vectors_at + 4 * number)
        self._in_handler = True
        self._emulate(handler, RETURN_AT, HANDLER_INSTRUCTIONS_MAX)
        self._in_handler = False
        if self._reset_wanted is None and not self.is_dark:
            if self.register(arm.UC_ARM_REG_PC) & ~1 != RETURN_AT:
                raise self._fault_here(f"the handler of {number} does not end")
            uc.context_restore(saved)

    # -- callbacks from Unicorn, where nothing may be raised ---------------------------------------
    def _guarded(self, access: Callable[[], int]) -> int:
        if self._fault is not None or self.is_dark or self._reset_wanted is not None:
            return 0
        try:
            return access()
        except (AssertionError, BoardFault, KeyError) as fault:
            self._fault = fault
            self._uc.emu_stop()
            return 0

    def _on_flash_read(
        self, _uc: Uc, _access: int, address: int, size: int, _value: int, _data: object
    ) -> None:
        self._guarded(partial(self._read_flash, address, size))

    def _read_flash(self, address: int, size: int) -> int:
        word_bytes = self.flash.ecc_bytes or 1
        for word in {at & -word_bytes for at in (address, address + size - 1)}:
            if word in self.flash.unreadable:
                if not (self.masks_faults and self.core.ignores_bus_faults):
                    raise BoardFault(f"a bus fault: the flash word at {word:#010x} is torn")
                # Not by `mem_write`: it may move what Unicorn is about to read this through.
                offset = word - self.flash.base
                self._cells[offset : offset + word_bytes] = self._random.randbytes(word_bytes)
        return 0

    def _on_flash_store(
        self, _uc: Uc, _access: int, address: int, size: int, value: int, _data: object
    ) -> bool:
        self._guarded(partial(self._flash_store, address, size, value & (1 << 8 * size) - 1))
        return True
