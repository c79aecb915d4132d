"""What a peripheral is to the machine: registers at an address, interrupts, and moments to come.

`Registers` is the base of most: words that keep what is written, with verbs for those that do more.
`Core` is what every Cortex-M has: SysTick, the interrupt controller, the reset request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Protocol

SYSTICK = 15
FIRST_INTERRUPT = 16
NS_PER_S = 1_000_000_000


class Host(Protocol):
    """What a peripheral may ask of the machine that it is in."""

    @property
    def now_ns(self) -> int: ...
    def skip_to(self, moment_ns: int) -> None:
        """The program polls for something that comes at that moment: no need to until then."""

    def stall_to(self, moment_ns: int) -> None:
        """The processor stands still until that moment, interrupts and all."""

    def request_reset(self, cause: str) -> None: ...


class Bus(Host, Protocol):
    """The same, for a peripheral that reads and writes RAM by itself."""

    def memory(self, address: int, size: int) -> bytes: ...
    def put(self, address: int, data: bytes) -> None: ...


class Block(ABC):
    """A peripheral. Offsets are from `base`; an access is 1, 2 or 4 bytes."""

    def __init__(self, host: Host, base: int, size: int) -> None:
        self.host, self.base, self.size = host, base, size

    @abstractmethod
    def read(self, at: int, size: int) -> int:
        """What the program gets there."""

    @abstractmethod
    def write(self, at: int, size: int, value: int) -> None:
        """The program puts that there."""

    @abstractmethod
    def reset(self) -> None:
        """As after a reset of the part."""

    def advance(self) -> None:  # noqa: B027 - most have nothing to do then
        """Time has come to `host.now_ns`; looked at between slices, whatever the program masks."""

    def pending(self) -> Iterable[int]:
        """Exception numbers that are raised now, and stay so until the program deals with them."""
        return ()

    def next_event_ns(self) -> int | None:
        """When something will happen here that the program may notice."""
        return None


class Registers(Block):
    """32-bit registers that keep what is written to them. Subclasses override `load` and `store`
    for those that do more; an offset outside `names` is a mistake of the firmware."""

    NAMES: Mapping[int, str] = {}
    RESET: Mapping[int, int] = {}

    def __init__(self, host: Host, base: int, size: int = 0x400) -> None:
        super().__init__(host, base, size)
        self.values: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        self.values = {at: self.RESET.get(at, 0) for at in self.NAMES}

    def load(self, at: int) -> int:
        return self.values[at]

    def store(self, at: int, value: int) -> None:
        self.values[at] = value

    def read(self, at: int, size: int) -> int:
        assert size == 4, f"{type(self).__name__}: a read of {size} bytes at {at:#x}"
        assert at in self.NAMES, f"{type(self).__name__}: nothing at {at:#x}"
        return self.load(at)

    def write(self, at: int, size: int, value: int) -> None:
        assert size == 4, f"{type(self).__name__}: a write of {size} bytes at {at:#x}"
        assert at in self.NAMES, f"{type(self).__name__}: nothing at {at:#x}"
        self.store(at, value)


class FlashController(Registers):
    """The block that stores to flash addresses go through."""

    @abstractmethod
    def flash_store(self, address: int, size: int, value: int) -> None:
        """The program stores to flash."""


class Core(Block):
    """The system control space: SysTick, interrupt enables, VTOR, AIRCR."""

    CONTROL, RELOAD, VALUE = 0x010, 0x014, 0x018
    ENABLE, DISABLE, VECTORS, RESET_CONTROL = 0x100, 0x180, 0xD08, 0xD0C
    RESET_REQUEST = 0x05FA0004
    CONFIGURATION, IGNORE_BUS_FAULTS = 0xD14, 1 << 8

    def __init__(self, host: Host, clock_hz: int, vectors_at: int) -> None:
        super().__init__(host, 0xE000E000, 0x1000)
        self._clock_hz = clock_hz
        self._vectors_at = vectors_at
        self.reset()

    def reset(self) -> None:
        self._control = self._reload = 0
        self._due_ns = 0
        self._ticked = False
        self.enabled: set[int] = set()
        self.vectors_at = self._vectors_at
        self._configuration = 0x200

    def _period_ns(self) -> int:
        return (self._reload + 1) * NS_PER_S // self._clock_hz

    def read(self, at: int, size: int) -> int:  # noqa: ARG002 - the interface
        if at == self.VALUE:
            left_ns = max(0, self._due_ns - self.host.now_ns)
            return min(self._reload, left_ns * self._clock_hz // NS_PER_S)
        kept = {
            self.CONTROL: self._control,
            self.RELOAD: self._reload,
            self.CONFIGURATION: self._configuration,
        }
        return kept.get(at, 0)

    @property
    def ignores_bus_faults(self) -> bool:
        """While faults are masked."""
        return bool(self._configuration & self.IGNORE_BUS_FAULTS)

    def write(self, at: int, size: int, value: int) -> None:  # noqa: ARG002
        if at == self.CONTROL:
            self._control = value
            self._due_ns = self.host.now_ns + self._period_ns()
        elif at == self.RELOAD:
            self._reload = value & 0xFFFFFF
        elif self.ENABLE <= at < self.ENABLE + 32 or self.DISABLE <= at < self.DISABLE + 32:
            first = FIRST_INTERRUPT + (at & 0x1F) * 8
            named = {first + bit for bit in range(32) if value >> bit & 1}
            self.enabled = self.enabled | named if at < self.DISABLE else self.enabled - named
        elif at == self.CONFIGURATION:
            self._configuration = value
        elif at == self.VECTORS:
            self.vectors_at = value
        elif at == self.RESET_CONTROL and value == self.RESET_REQUEST:
            self.host.request_reset("software")

    def pending(self) -> Iterable[int]:
        if self._control & 3 == 3 and self.host.now_ns >= self._due_ns:
            missed = (self.host.now_ns - self._due_ns) // self._period_ns()
            self._due_ns += (missed + 1) * self._period_ns()  # those missed are lost, as they are
            self._ticked = True
        return (SYSTICK,) if self._ticked else ()

    def taken(self, number: int) -> None:
        """SysTick's interrupt needs no other acknowledgement than being taken."""
        if number == SYSTICK:
            self._ticked = False

    def next_event_ns(self) -> int | None:
        return self._due_ns if self._control & 3 == 3 else None
