"""One machine of this world: a network namespace, a disk, and the node process in it.

The process is `python -P -m mesh.node`, as people start it, with an identity that was put on its
disk beforehand (`sim.members`, the same keys as in the simulator). Whatever ends or stops the
process does so to everything that runs in the namespace. Deliberately not here: what it thinks
(`watch`) and when things happen to it (`stage`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs

from cli.homes import SOCKET_NAME
from cli.i18n import user_environment
from mesh.ports.real.disk import RealDisk
from mesh.types import Address
from sim.chaos import namespaces
from sim.chaos.commands import die_with_parent
from sim.chaos.disks import ImageDisk, MemoryDisk
from sim.chaos.faketime import FakeClock
from sim.members import Founded

SLOTS = 2
END_TIMEOUT_S = 5.0


@attrs.frozen
class NodePlan:
    """What a machine is made of."""

    index: int
    address: Address
    folder: Path
    image: bool
    """Its disk is an ext4 image, which can lose power."""
    faked_clock: bool
    founded: Founded
    founder: Address
    random: Callable[[], float] = attrs.field(repr=False)


class ChaosNode:
    """See the module's head."""

    def __init__(self, plan: NodePlan) -> None:
        self.plan = plan
        self.index = plan.index
        self.name = plan.founded.members[plan.index].name
        self.namespace = namespaces.name_of(f"n{plan.index}")
        self.lives = 0
        self.frozen = False
        self.ending = False
        """We have ended it ourselves, or asked it to."""
        self.log = plan.folder / "node.log"
        self.clock: FakeClock | None = None
        self.disk: MemoryDisk | ImageDisk = (ImageDisk if plan.image else MemoryDisk)(
            plan.folder, plan.random
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._power_was_cut = False

    # -- making ----------------------------------------------------------------------------------
    def prepare(self) -> None:
        """The disk, and a member's files on it. The namespace is there. Raises ChaosFailed."""
        self.plan.folder.mkdir(parents=True)
        self.disk.mount()
        if self.plan.faked_clock:
            self.clock = FakeClock(self.plan.folder / "clock")
        self.install()

    def install(self) -> None:
        """What a node that has joined keeps."""
        home = RealDisk(self.disk.home)
        self.plan.founded.install(self.index, home, self.plan.founder)
        home.close()

    def close(self) -> None:
        """Everything of it goes away; harmless when nothing is there."""
        self.ending = True
        namespaces.end_all(self.namespace)
        self._reap()
        self.disk.unmount()

    # -- lives -----------------------------------------------------------------------------------
    @property
    def home(self) -> Path:
        return self.disk.home

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """How the last life ended by itself; None while it runs, or when we ended it."""
        if self._process is None or self.ending:
            return None
        return self._process.poll()

    def start(self) -> None:
        """A new life on whatever is on the disk; returns at once."""
        assert not self.running, "one process per node"
        if self._power_was_cut:
            assert isinstance(self.disk, ImageDisk)
            self.disk.after_power_cut()
            self._power_was_cut = False
        self.lives += 1
        self.frozen = self.ending = False
        (self.home / SOCKET_NAME).unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._environment(),
                start_new_session=True,
                preexec_fn=partial(die_with_parent, signal.SIGKILL),  # noqa: PLW1509 - one system call, no lock
            )

    def _command(self) -> list[str]:
        host, port = self.plan.address
        node = [sys.executable, "-P", "-m", "mesh.node", "--home", str(self.home)]
        options = ["--name", self.name, "--bind", f"{host}:{port}", "--slots", str(SLOTS)]
        return ["ip", "netns", "exec", self.namespace, *node, *options]

    def _environment(self) -> dict[str, str]:
        environment = dict(user_environment() or os.environ)
        if self.clock is not None:
            environment |= self.clock.environment()
        return environment

    def kill(self) -> None:
        """SIGKILL, to everything that runs there."""
        self.ending = True
        namespaces.end_all(self.namespace)
        self._reap()
        self.frozen = False

    def cut_power(self) -> None:
        """Everything stops at one moment; what the disk had not written by then is lost."""
        assert isinstance(self.disk, ImageDisk)
        namespaces.signal_all(self.namespace, signal.SIGSTOP)
        self.disk.cut_power()
        self.kill()
        self._power_was_cut = True

    def freeze(self) -> None:
        self.frozen = True
        namespaces.signal_all(self.namespace, signal.SIGSTOP)

    def thaw(self) -> None:
        self.frozen = False
        namespaces.signal_all(self.namespace, signal.SIGCONT)

    def leave(self) -> None:
        """Ask it to say goodbye and end."""
        self.ending = True
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGTERM)

    def _reap(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(END_TIMEOUT_S)
