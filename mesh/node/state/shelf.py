"""Whose log is on the disk: one folder, one mesh.

A node that goes to another mesh begins another log there. The old one is put aside, where a return
finds it again; what we ourselves have built is taken along (`brought`).

Not here: reading logs (`mesh.log`).
"""

from __future__ import annotations

from mesh.log.model import MESH_BYTES, Lane
from mesh.log.segments import FOLDER, Segments
from mesh.ports import Disk
from mesh.state.events import ActionResult, decode_event
from mesh.types import MeshId, NodeId
from mesh.wire.errors import WireError

MESH_FILE = f"{FOLDER}/mesh"
ASIDE = "log-of"


def make_place(disk: Disk, mesh: MeshId, me: NodeId) -> list[ActionResult]:
    """Have the log of this mesh, if there is one, where logs are read. Returns our own results of
    the mesh whose log was there before. Raises StoreFull, OSError."""
    name = mesh[:MESH_BYTES].hex()
    before = (disk.read(MESH_FILE) or b"").decode("ascii", "replace")
    if before == name:
        return []
    brought = own_results(disk, me) if before else []
    if before:
        _move(disk, FOLDER, f"{ASIDE}/{before}")
    disk.write(MESH_FILE, name.encode())
    _move(disk, f"{ASIDE}/{name}", FOLDER)
    return brought


def own_results(disk: Disk, me: NodeId) -> list[ActionResult]:
    """What the log on the disk has of our own results, without changing it."""
    found: dict[bytes, ActionResult] = {}
    for stored in Segments(disk, only_reads=True).load():
        frame = stored.frame
        if frame is None or frame.body is None or frame.feed.node != me:
            continue
        for data in frame.events if frame.feed.lane == Lane.AC else ():
            try:
                event = decode_event(data, Lane.AC)
            except WireError:
                continue
            if isinstance(event, ActionResult):
                found[event.action] = event
    return list(found.values())


def _move(disk: Disk, old: str, new: str) -> None:
    for each in disk.names(old):
        if each.endswith(".seg"):
            disk.rename(f"{old}/{each}", f"{new}/{each}")
