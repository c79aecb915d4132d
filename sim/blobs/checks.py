"""What must hold of blobs in a `MeshWorld`; each check names its invariant.

Deliberately not here: what happens (`world`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.cas.chunks import ChunkWriter
from mesh.node.runs.known import Hit, KnownActions
from mesh.node.state.holders import blobs_of
from mesh.types import Digest
from sim.mesh_world import MeshNode, MeshWorld

NAMES = (
    *("links", "crashed"),
    *("empty-hit", "build-failed"),
    *("blob-bytes", "blob-liar", "blob-lost"),
    *("fetched-again",),
    *("too-few-copies", "too-many-copies"),
    *("last-copy",),
)
"""What a violation may be called: the stage's own, then by invariant, 13 to 17."""


class Violated(Exception):
    """An invariant does not hold."""

    def __init__(self, oracle: str, text: str) -> None:
        assert oracle in NAMES, oracle
        super().__init__(f"{oracle}: {text}")
        self.oracle = oracle
        self.text = text


def hold(oracle: str, true: bool, text: str) -> None:
    """Raises Violated unless it is so."""
    if not true:
        raise Violated(oracle, text)


def store_of(node: MeshNode) -> BlobStore:
    assert node.node is not None
    return node.node.workshop.store


def on_disk(mesh: MeshWorld, blob: Digest) -> list[int]:
    """Nodes that run and have it."""
    return [
        node.index
        for node in mesh.running()
        if node.node is not None and store_of(node).is_on_disk(blob)
    ]


def same(node: MeshNode, blob: Digest, data: bytes) -> None:
    """14: what is in the store is what its id says."""
    try:
        found = store_of(node).read(blob)
    except BlobMissing:
        found = b""
    hold("blob-bytes", found == data, f"node {node.index} took in other bytes for a blob")


def named(node: MeshNode, liar: MeshNode) -> None:
    """14: who gave wrong bytes is known, and nobody else is blamed."""
    assert node.node is not None
    counts = node.node.runtime.blobs.counters.snapshot()
    blamed = {name[5:] for name in counts if name.startswith("lied.")}
    hold(
        "blob-liar",
        blamed == {liar.node_id.hex()[:16]},
        f"node {node.index} blames {sorted(blamed)} for the lies of node {liar.index}",
    )


@attrs.define
class Received:
    """Chunks that receivers have kept, as often as they did."""

    chunks: list[int] = attrs.field(factory=list)


@contextmanager
def watching_chunks() -> Iterator[Received]:
    """Note every chunk that is needed and kept."""
    received, inner = Received(), ChunkWriter.put_chunk

    def noted(writer: ChunkWriter, index: int, data: bytes) -> bool:
        fresh = inner(writer, index, data)
        if fresh:
            received.chunks.append(index)
        return fresh

    ChunkWriter.put_chunk = noted  # type: ignore[method-assign, assignment]
    try:
        yield received
    finally:
        ChunkWriter.put_chunk = inner  # type: ignore[method-assign]


@contextmanager
def watching_hits() -> Iterator[list[str]]:
    """13: a hit that is returned has all its blobs here. What is wrong is in the list."""
    wrong: list[str] = []
    inner = KnownActions.__dict__["_open"]

    async def checked(known: KnownActions, *args: Any) -> Hit | None:
        hit: Hit | None = await inner(known, *args)
        if hit is not None and (missing := known._parts.store.missing(blobs_of(hit.result))):
            wrong.append(f"a hit without {len(missing)} of its files was returned")
        return hit

    KnownActions._open = checked  # type: ignore[method-assign, assignment]
    try:
        yield wrong
    finally:
        KnownActions._open = inner  # type: ignore[method-assign]


def copies(mesh: MeshWorld, blobs: Iterable[Digest]) -> list[int]:
    return [len(on_disk(mesh, blob)) for blob in blobs]


def copied_bytes(nodes: Iterable[MeshNode]) -> int:
    """What was fetched to have copies."""
    return sum(node.node.runtime.copies.copied_bytes for node in nodes if node.node is not None)
