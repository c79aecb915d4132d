"""The real ports of a node, put together."""

from __future__ import annotations

from pathlib import Path

from mesh.executor.actions import SandboxedActions
from mesh.ports import Discovery, Env
from mesh.ports.real.clock import RealClock
from mesh.ports.real.control import SOCKET_NAME, RealControl
from mesh.ports.real.datagrams import RealDatagrams
from mesh.ports.real.disk import RealDisk
from mesh.ports.real.entropy import RealEntropy
from mesh.ports.real.exec import RealExec
from mesh.ports.real.readings import RealReadings
from mesh.ports.real.serial import RealSerial
from mesh.ports.real.streams import RealStreams

SLOTS_FOLDER = "store/slots"


def real_env(home: Path, discovery: Discovery) -> Env:
    """Everything of one node is below `home`, which is made. Call it in the event loop."""
    clock, exec_port, disk = RealClock(), RealExec(), RealDisk(home)
    return Env(
        clock=clock,
        entropy=RealEntropy(),
        datagrams=RealDatagrams(),
        streams=RealStreams(),
        disk=disk,
        exec=exec_port,
        discovery=discovery,
        actions=SandboxedActions(exec_port, clock, disk.path(SLOTS_FOLDER)),
        control=RealControl(home / SOCKET_NAME),
        readings=RealReadings(clock),
        serial=RealSerial(),
    )
