"""What rules touch when they run here: a board made of numbers, or this machine through adapters.

    SimulatedBoard().set("adc(0)", 850)
    RealBoard(program, adapters)            # adapters: resource as written -> settings

Settings of an adapter, one of: `file = "/sys/..."`, `command = ["prog", "arg"]`,
`chip = "/dev/gpiochip0"` with `line = 5`, `device = "/dev/i2c-1"`. A GPIO, I2C or SPI resource that
is not mentioned is the kernel's device of that number.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mesh.ports.real.hardware.devices import GpioLine, I2cDevice, SpiDevice
from mesh.ports.real.hardware.plain import CommandAdapter, FileAdapter
from mesh.rules.program import Class, Program, Resource
from mesh.rules.resources import spell

DAC_MAX = 4095


class Adapter(Protocol):
    def read(self) -> int | None: ...
    def write(self, value: int) -> bool: ...
    def close(self) -> None: ...


class AdapterWrong(Exception):
    """A resource cannot be had on this machine; the text says why."""


class SimulatedBoard:
    """Every resource holds a number: what was set from outside, or written by a rule."""

    def __init__(self) -> None:
        self._values: dict[tuple[Class, int, int], int] = {}
        self._lines: dict[int, bytearray] = {}
        self._ended: set[int] = set()

    def set(self, resource: Resource, value: int) -> None:
        self._values[_key(resource)] = value

    def type_in(self, port: int, text: bytes) -> None:
        """Bytes arrive on a UART; a newline ends a line."""
        self._lines.setdefault(port, bytearray()).extend(text)
        if b"\n" in text:
            self._ended.add(port)

    # -- Outside ---------------------------------------------------------------------------------
    def read(self, resource: Resource) -> int | None:
        if resource.kind is Class.UART:
            line = self._lines.get(resource.channel)
            return line.pop(0) if line else -1
        return self._values.get(_key(resource), 0)

    def write(self, resource: Resource, value: int) -> bool:
        if resource.kind is Class.GPIO:
            value = int(value != 0)
        elif resource.kind is Class.DAC:
            value = max(0, min(DAC_MAX, value))
        if resource.kind is not Class.UART:
            self.set(resource, value)
        return True

    def line_ended(self, resource: Resource) -> bool:
        ended = resource.channel in self._ended
        self._ended.discard(resource.channel)
        return ended


def _key(resource: Resource) -> tuple[Class, int, int]:
    param = 0 if resource.kind is Class.GPIO else resource.param
    return (resource.kind, resource.channel, param)


class RealBoard:
    """The resources of one program on this machine."""

    def __init__(self, program: Program, settings: Mapping[str, Any]) -> None:
        """Raises AdapterWrong."""
        self._adapters: dict[Resource, Adapter] = {}
        for resource in program.resources:
            name = spell(resource)
            mine = settings.get(name, {})
            try:
                self._adapters[resource] = make_adapter(resource, mine)
            except (OSError, KeyError, TypeError, ValueError) as error:
                self.close()
                raise AdapterWrong(f"{name}: {error}") from None

    def read(self, resource: Resource) -> int | None:
        value = self._adapters[resource].read()
        return int(value != 0) if value is not None and resource.kind is Class.GPIO else value

    def write(self, resource: Resource, value: int) -> bool:
        return self._adapters[resource].write(value)

    def line_ended(self, resource: Resource) -> bool:  # noqa: ARG002 - no UART has an adapter yet
        return False

    def close(self) -> None:
        for adapter in self._adapters.values():
            adapter.close()
        self._adapters.clear()


def make_adapter(resource: Resource, settings: Mapping[str, Any]) -> Adapter:
    """What the settings ask for, or the kernel's device. Raises OSError and ValueError."""
    if "file" in settings:
        return FileAdapter(Path(settings["file"]))
    if "command" in settings:
        argv = settings["command"]
        if not isinstance(argv, list) or not argv or not all(isinstance(x, str) for x in argv):
            raise ValueError("command is a list of words")
        return CommandAdapter(argv)
    channel, param = resource.channel, resource.param
    if resource.kind is Class.GPIO:
        chip, line = settings.get("chip", "/dev/gpiochip0"), int(settings.get("line", channel))
        return GpioLine(chip, line, output=resource.access.writes, pull=param)
    if resource.kind is Class.I2C:
        device = settings.get("device", f"/dev/i2c-{channel}")
        return I2cDevice(device, param & 0x7F, param >> 8 & 0xFF, param >> 16)
    if resource.kind is Class.SPI:
        device = settings.get("device", f"/dev/spidev{channel}.{param & 0xFFFF}")
        return SpiDevice(device, param >> 16 & 0xFF, param >> 24)
    raise ValueError("there is no such device by itself: name a file or a command for it")
