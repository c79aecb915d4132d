"""A simulated computer: a body, a place in the network, a disk, clocks, and one process at a time.

    machine.start(main)          a process: `await main(env)` with fresh ports on the same disk
    machine.crash()              kill -9: the process is gone, what it wrote stays
    machine.power_cut()          gone without a word; what was not synced is lost or torn
    machine.freeze(); thaw()     SIGSTOP, a closed lid
    machine.starve(low, high)    every wake-up is late by a drawn time; None, None ends it
    machine.clock.step_wall(s)   the wall clock jumps; clock.set_rate(1.01): both clocks drift
    machine.disk                 `sim.disk.SimDisk`: wipe, snapshot, restore, rot, fill ...
    machine.host                 `sim.net.Host`
    machine.body                 cores, speed, memory, load by others, tools

All verbs are ordinary calls and act at once: from a story or from a world event alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from sim.disk import SimDisk, SimDiskConfig
from sim.kernel.world import World
from sim.machine.clock import HardwareClock
from sim.machine.exec import Program
from sim.machine.life import Life, Main
from sim.machine.rack import Rack
from sim.machine.readings import Body
from sim.net import Host
from sim.serial import SerialEnd


@attrs.frozen
class MachineConfig:
    """What a machine is made of."""

    name: str
    host: Host
    body: Body = attrs.field(factory=Body)
    wall_offset_s: float = 0.0
    """How wrong its wall clock is from the start."""
    uptime_s: float = 0.0
    """What its monotonic clock shows when the world begins."""
    disk: SimDiskConfig = attrs.field(factory=SimDiskConfig)
    programs: Mapping[str, Program] = attrs.field(factory=dict)


class Machine:
    """See the module's head."""

    def __init__(self, world: World, rack: Rack, config: MachineConfig) -> None:
        self._world = world
        self._rack = rack
        self.name = config.name
        self.host = config.host
        self.body = config.body
        self.programs = config.programs
        self.plugs: dict[str, SerialEnd] = {}
        """Serial lines that are plugged in, by the names of their ports; each life sees those there
        are when it starts."""
        self.disk = SimDisk(world, f"disk of {config.name}", config.disk)
        self.clock = HardwareClock(world, config.wall_offset_s, config.uptime_s)
        self.life: Life | None = None
        """The process that runs; None when there is none."""
        self.lives = 0
        """How many there have been."""
        self._draw = world.rng(f"{config.name} starvation").random
        self.on_end: Callable[[Life], None] = lambda _: None
        """Called when a process has ended, however."""

    @property
    def running(self) -> bool:
        return self.life is not None

    @property
    def frozen(self) -> bool:
        return self.life is not None and self.life.processor.frozen

    # -- its process -----------------------------------------------------------------------------
    def start(self, main: Main) -> Life:
        """A new process. The machine is switched on for it if need be."""
        assert self.life is None, f"{self.name} runs already"
        if not self.host.up:
            self.host.power_on()
            self.clock.reboot()
        self.lives += 1
        life = self.life = Life(self, self.lives, self._rack.kernel)
        life.processor.gate_changed = self._rack.gate_changed
        self._rack.begin(life, main)
        self._world.note("start", self.name, self.lives)
        return life

    def crash(self) -> None:
        """Kill the process; harmless when there is none."""
        if self.life is not None:
            self._world.note("crash", self.name)
            self._end_life(self.life)

    def power_cut(self) -> object:
        """Lose power. Returns what the disk lost (`sim.disk`), for the story."""
        self.host_down()
        return self.disk.power_cut()

    def host_down(self) -> None:
        """Off, without losing what was written: the machine and its network are gone."""
        self._world.note("off", self.name)
        if self.host.up:
            self.host.power_off()
        if self.life is not None:
            self._end_life(self.life)

    def life_over(self, life: Life) -> None:
        """A process has ended by itself, or is done unwinding."""
        if self.life is life:
            self._world.note("end", self.name)
            self._end_life(life)

    def _end_life(self, life: Life) -> None:
        self.life = None
        life.end()
        self.on_end(life)

    # -- its pace --------------------------------------------------------------------------------
    def freeze(self) -> None:
        if self.life is not None:
            self._world.note("freeze", self.name)
            self.life.processor.freeze()

    def thaw(self) -> None:
        if self.life is not None:
            self._world.note("thaw", self.name)
            self.life.processor.thaw()

    def starve(self, late_min_s: float | None, late_max_s: float | None = None) -> None:
        """Every wake-up of the process that runs now is late by a time between the two."""
        if self.life is None:
            return
        self._world.note("starve", self.name, late_min_s, late_max_s)
        if late_min_s is None:
            self.life.processor.starve(None)
            return
        low_s, span_s = late_min_s, max(0.0, (late_max_s or late_min_s) - late_min_s)
        self.life.processor.starve(lambda: low_s + span_s * self._draw())
