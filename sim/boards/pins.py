"""Levels on pins: what the part drives, what the outside drives, pulls, and who watches.

A pin is push-pull, open drain, or an input; the outside may drive it too. Low wins, as on a bus of
open-drain outputs. Watchers (`devices`) are told of each change.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

Watcher = Callable[[int, bool], None]


class Drive(Enum):
    NONE = "none"
    UP = "pull up"
    DOWN = "pull down"
    PUSH_PULL = "push-pull"
    OPEN_DRAIN = "open drain"


class Pins:
    """All pins of a part, by its numbers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._drive = [Drive.NONE] * count
        self._out = [False] * count
        self._outside: dict[int, set[str]] = {}
        self._high: set[int] = set()
        self._last = [False] * count
        self._watchers: dict[int, list[Watcher]] = {}
        self.floating = False
        """What a pin reads that nobody drives."""

    def reset(self) -> None:
        """The part lets go of all of them."""
        for pin in range(len(self._drive)):
            self._drive[pin], self._out[pin] = Drive.NONE, False
            self._changed(pin)

    # -- the part's side -------------------------------------------------------------------------
    def configure(self, pin: int, drive: Drive) -> None:
        self._drive[pin] = drive
        self._changed(pin)

    def write(self, pin: int, level: bool) -> None:
        self._out[pin] = level
        self._changed(pin)

    def written(self, pin: int) -> bool:
        return self._out[pin]

    # -- the outside -------------------------------------------------------------------------------
    def set(self, pin: int, level: bool | None) -> None:
        """Drive a pin from outside; None lets go of it."""
        self._high.discard(pin)
        self.pull_low(pin, "outside", level is False)
        if level:
            self._high.add(pin)
        self._changed(pin)

    def pull_low(self, pin: int, who: str, low: bool) -> None:
        """An open-drain output of a device that is wired to the pin."""
        holders = self._outside.setdefault(pin, set())
        (holders.add if low else holders.discard)(who)
        self._changed(pin)

    def watch(self, pin: int, watcher: Watcher) -> None:
        self._watchers.setdefault(pin, []).append(watcher)

    def level(self, pin: int) -> bool:
        drive, out = self._drive[pin], self._out[pin]
        if drive is Drive.PUSH_PULL:
            return out
        if self._outside.get(pin) or (drive is Drive.OPEN_DRAIN and not out):
            return False
        if pin in self._high or drive in (Drive.UP, Drive.OPEN_DRAIN):
            return True  # a bus has its pull-ups
        return self.floating and drive is not Drive.DOWN

    def is_output(self, pin: int) -> bool:
        return self._drive[pin] is Drive.PUSH_PULL

    def _changed(self, pin: int) -> None:
        level = self.level(pin)
        if level != self._last[pin]:
            self._last[pin] = level
            for watcher in self._watchers.get(pin, ()):
                watcher(pin, level)
