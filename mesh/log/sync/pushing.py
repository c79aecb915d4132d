"""What is fresh goes to a few peers at once, and who finds it new hands it on.

Rules
- Our own frames and new proofs of forks are told; so is what came by a push and was new. What was
  found by comparing is not: everybody compares.
- Bodies go along as long as there is room; a peer that gets a header alone asks for the rest.
- A push is a gift: nothing waits for it, and what is lost of it is found by comparing.

Not here: whether a pushed frame is believed (`core`, `mesh.log.log`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from mesh.limits import SYNC_PROOFS_MAX, SYNC_PUSH_BYTES_MAX, SYNC_PUSH_FRAMES_MAX
from mesh.log.forks import ForkProof
from mesh.log.frame import Frame
from mesh.log.sync.messages import Forks, Push, PushedFrame
from mesh.log.sync.session import Draw

T = TypeVar("T")


def pushes(frames: Iterable[Frame]) -> Iterator[Push]:
    """As messages."""
    batch: list[PushedFrame] = []
    size = 0
    for frame in frames:
        signed = frame.signed
        body = frame.body
        if batch and len(batch) >= SYNC_PUSH_FRAMES_MAX:
            yield Push(tuple(batch))
            batch, size = [], 0
        if body is not None and size + len(body) > SYNC_PUSH_BYTES_MAX:
            body = None
        batch.append(PushedFrame(signed.data, signed.signature, body))
        size += len(body) if body is not None else 0
    if batch:
        yield Push(tuple(batch))


def fork_messages(proofs: Sequence[ForkProof]) -> Iterator[Forks]:
    for first in range(0, len(proofs), SYNC_PROOFS_MAX):
        part = proofs[first : first + SYNC_PROOFS_MAX]
        yield Forks(tuple(proof.encode() for proof in part))


def some_of(among: Sequence[T], count: int, draw: Draw) -> list[T]:
    """`count` different ones at random, all when there are no more."""
    left = list(among)
    return [left.pop(int(draw() * len(left))) for _ in range(min(count, len(left)))]
