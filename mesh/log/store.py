"""Where a log leaves its frames: the protocol, and one that keeps them in memory.

Rules
- The log holds headers itself, because it needs them all the time; bodies it asks for again.
- `put` may keep things back until it is told to make them durable; `body` knows them at once.
- What it keeps back is bounded. It never refuses: whoever puts asks `has_room` before.

Not here: the one on disk (`segments`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import attrs

from mesh.log.forks import ForkProof
from mesh.log.frame import Frame, SignedHeader
from mesh.types import Digest


@attrs.frozen
class Stored:
    """One thing that a store had kept."""

    frame: Frame | None = None
    is_dropped: bool = False
    """The frame's body went under the rules of retention."""
    fork: ForkProof | None = None


class FrameStore(Protocol):
    """What a log needs of it."""

    def load(self) -> Iterator[Stored]:
        """Everything that was kept, in the order it came; a later entry holds."""
        ...

    def put(self, frame: Frame) -> None:
        """Keep a header and, if it is there, the body. Again with the body when that came later."""
        ...

    def body(self, digest: Digest) -> bytes | None:
        """The body of the header with this digest; None when it is not held, or damaged."""
        ...

    def drop(self, headers: Iterable[SignedHeader]) -> None:
        """Forget the bodies of these, and remember that they were dropped."""
        ...

    def put_fork(self, proof: ForkProof) -> None: ...

    def has_room(self, *, for_own: bool = False) -> bool:
        """Whether more may be put. There is room for our own frames a while longer."""
        ...


class MemoryStore:
    """Bodies in a dict, for tests and tools."""

    def __init__(self) -> None:
        self.bodies: dict[Digest, bytes] = {}

    def load(self) -> Iterator[Stored]:
        """Nothing: memory begins empty."""
        return iter(())

    def put(self, frame: Frame) -> None:
        if frame.body is not None:
            self.bodies[frame.signed.digest] = frame.body

    def body(self, digest: Digest) -> bytes | None:
        return self.bodies.get(digest)

    def drop(self, headers: Iterable[SignedHeader]) -> None:
        for signed in headers:
            self.bodies.pop(signed.digest, None)

    def put_fork(self, proof: ForkProof) -> None:
        """Proofs are in the log."""

    def has_room(self, *, for_own: bool = False) -> bool:  # noqa: ARG002 - the protocol's
        """Always."""
        return True
