"""Everything that a home, or an exported file, holds of a log, and the roster that says who is who.

Rules
- A home is only read, so a node may go on writing: what it has not made durable yet is not here.
- The roster of the home says who may write. For an exported file of another mesh there is none, and
  then nobody's right to write can be checked.

Not here: judging (`mesh.log.audit`), and what is shown (`answers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from mesh.errors import LogUnreadable, NoLogHere, NoSuchMember
from mesh.identity import trust
from mesh.identity.roster import Roster
from mesh.log.audit import Break, read_export
from mesh.log.forks import ForkProof
from mesh.log.frame import Frame
from mesh.log.records import Damage
from mesh.log.segments import Segments
from mesh.ports.real.disk import RealDisk
from mesh.types import Digest, MeshId, NodeId, short

EXPORT_BYTES_MAX = 8 * 1024**3
PREFIX_DIGITS_MIN = 4
"""Hexadecimal digits that may stand for a node id."""


@attrs.frozen
class Book:
    """What was found."""

    mesh: MeshId
    frames: tuple[Frame, ...]
    roster: Roster | None
    """None: it is not the mesh of this home."""
    forks: tuple[ForkProof, ...] = ()
    dropped: frozenset[Digest] = frozenset()
    """Headers whose bodies went under the rules of retention."""
    damage: tuple[Damage, ...] = ()
    spoiled: Mapping[tuple[str, int], Digest] = attrs.field(factory=dict)
    """Of damaged bodies, by file and place, the header."""
    torn_bytes: int = 0
    unreadable: tuple[Break, ...] = ()

    def name_of(self, node: NodeId) -> str:
        """As the mesh called it when it was admitted last; its id when that is not known."""
        return self.names().get(node, short(node))

    def names(self) -> dict[NodeId, str]:
        return self.roster.names() if self.roster is not None else {}

    def find(self, which: str) -> NodeId:
        """The writer of that name, or whose id begins so. Raises NoSuchMember."""
        names = self.names()
        writers = {frame.feed.node for frame in self.frames} | names.keys()
        found = {node for node in writers if names.get(node) == which}
        if not found and len(which) >= PREFIX_DIGITS_MIN:
            found = {node for node in writers if node.hex().startswith(which.lower())}
        if len(found) != 1:
            raise NoSuchMember(name=which)
        (node,) = found
        return node

    def of(self, node: NodeId | None) -> Book:
        """Only what one writer wrote; all of it for None."""
        if node is None:
            return self
        return attrs.evolve(
            self,
            frames=tuple(frame for frame in self.frames if frame.feed.node == node),
            forks=tuple(proof for proof in self.forks if proof.feed.node == node),
        )


def read_home(home: Path) -> Book:
    """The log of a home. Raises NoLogHere, RosterUnreadable, LogUnreadable."""
    if not home.is_dir():
        raise NoLogHere(home=str(home))
    disk = RealDisk(home)
    roster = trust.load_roster(disk)
    if roster is None:
        raise NoLogHere(home=str(home))
    segments = Segments(disk, only_reads=True)
    frames: dict[Digest, Frame] = {}
    forks: list[ForkProof] = []
    dropped: set[Digest] = set()
    try:
        for stored in segments.load():
            if stored.fork is not None:
                forks.append(stored.fork)
            elif stored.frame is not None:
                digest = stored.frame.signed.digest
                if stored.is_dropped:  # the file may have its body until it is rewritten
                    frames[digest] = stored.frame
                    dropped.add(digest)
                else:
                    _take(stored.frame, frames)
    except OSError as error:
        raise LogUnreadable(path=str(home), why=error.strerror or str(error)) from None
    gone = frozenset(digest for digest in dropped if frames[digest].body is None)
    return Book(
        roster.mesh_id,
        tuple(frames.values()),
        roster,
        forks=tuple(forks),
        dropped=gone,
        damage=tuple(segments.damage),
        spoiled=segments.spoiled,
        torn_bytes=segments.torn_bytes,
    )


def read_file(path: Path, home: Path) -> Book:
    """An exported log. Raises LogUnreadable, RosterUnreadable."""
    try:
        if path.stat().st_size > EXPORT_BYTES_MAX:
            raise LogUnreadable(path=str(path), why="larger than 8 GiB")
        found = read_export(path.read_bytes())
    except OSError as error:
        raise LogUnreadable(path=str(path), why=error.strerror or str(error)) from None
    if found.mesh is None:
        raise LogUnreadable(path=str(path), why="it is no exported log")
    roster = trust.load_roster(RealDisk(home)) if home.is_dir() else None
    if roster is not None and roster.mesh_id != found.mesh:
        roster = None
    return Book(found.mesh, found.frames, roster, unreadable=found.unreadable)


def _take(frame: Frame, frames: dict[Digest, Frame]) -> None:
    known = frames.get(frame.signed.digest)
    if known is None or known.body is None:
        frames[frame.signed.digest] = frame
