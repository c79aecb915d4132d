"""One story about blobs per seed, on whole nodes: `play_blobs(seed)`.

    copies    blobs are pinned here and there, all make room at once, two nodes are killed
    lies      a blob is fetched from an honest holder and one that begins to lie half way
    resume    the power of a receiver is cut while it fetches; it goes on afterwards
    hits      a project is built, its files vanish everywhere, and it is built again

Sizes, moments and victims are drawn from the seed. Ends at the first thing that is not as it must
be. Deliberately not here: what must be (`checks`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import attrs
import trio

from mesh.cas.serving import ChunkReader
from mesh.errors import StoreBroken
from mesh.limits import BLOB_CHUNK_BYTES, COPIES_GRACE_S, COPIES_PINNED, KIB, MIB
from mesh.node.blob_server import BlobServer
from mesh.node.blobs import Expected
from mesh.types import Digest
from sim.blobs import checks
from sim.blobs.checks import Violated, hold, on_disk, store_of
from sim.machine.life import running_life
from sim.mesh_world import MeshWorld, MeshWorldConfig, simulate
from sim.net import Link

NODES = 6
RESTORED_S = 2 * COPIES_GRACE_S + 30.0
"""In which all copies are there again: two may have to be waited for, and the fetching."""
CHUNKS = 24
WASTE_MAX = 1.1
SLOW = Link(bandwidth_bytes_per_s=4 * MIB)
Chapter = Callable[["Story"], Awaitable[None]]


@attrs.frozen
class Played:
    """How one seed went."""

    seed: int
    oracle: str = ""
    text: str = ""
    cpu_s: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.oracle


@attrs.frozen
class Story:
    mesh: MeshWorld
    rng: Random

    def data(self, size_bytes: int) -> bytes:
        return self.rng.randbytes(size_bytes)

    def given(self, holders: Iterable[int], data: bytes) -> Digest:
        """A blob that these have."""
        for holder in holders:
            blob = store_of(self.mesh[holder]).put(data)
        return blob

    async def fetch(self, to: int, blob: Digest, holders: list[int], size_bytes: int) -> bool:
        node = self.mesh[to].node
        assert node is not None
        sources = [self.mesh[holder].node_id for holder in holders]
        wanted = Expected({blob: size_bytes})
        try:
            return not await node.runtime.blobs.fetch([blob], sources, None, wanted)
        except StoreBroken:
            return False

    async def linked(self) -> None:
        hold("links", await self.mesh.until(self.mesh.linked, 60), "they do not find each other")


def play_blobs(seed: int, chapters: tuple[str, ...] = ()) -> Played:
    """Play one seed; `chapters`: only these."""
    begun_s = time.process_time()
    told = [CHAPTERS[name] for name in (chapters or tuple(CHAPTERS))]
    for number, (chapter, nodes, link) in enumerate(told):
        try:
            _play(chapter, MeshWorldConfig(seed=seed * 10 + number, nodes=nodes, link=link))
        except Violated as violated:
            return Played(seed, violated.oracle, violated.text, time.process_time() - begun_s)
    return Played(seed, cpu_s=time.process_time() - begun_s)


def _play(chapter: Chapter, config: MeshWorldConfig) -> None:
    async def story(mesh: MeshWorld) -> None:
        told = Story(mesh, mesh.world.rng("blobs"))
        mesh.start_all()
        await told.linked()
        await chapter(told)

    done = simulate(story, config)
    if done.findings:
        raise Violated("crashed", done.findings[0].detail)


# -- chapters --------------------------------------------------------------------------------------
async def copies(story: Story) -> None:
    """16 and 17: as many copies as there should be, no more, whatever R - 1 nodes do."""
    mesh, rng = story.mesh, story.rng
    blobs: dict[Digest, int] = {}
    for node in mesh.nodes:
        for size in (rng.randrange(1, 60 * KIB), rng.randrange(70 * KIB, MIB)):
            blob = store_of(node).put(story.data(size))
            store_of(node).keep.pin(blob, "kept")
            blobs[blob] = size

    def whole() -> bool:
        return min(checks.copies(mesh, blobs)) >= COPIES_PINNED

    hold("too-few-copies", await mesh.until(whole, RESTORED_S), "they are never made")
    await mesh.sleep(COPIES_GRACE_S * 2)
    made, due = checks.copied_bytes(mesh.nodes), (COPIES_PINNED - 1) * sum(blobs.values())
    hold("too-many-copies", made <= WASTE_MAX * due, f"{made} bytes moved for {due}")
    for node in mesh.nodes:
        store_of(node).trim(0)
    few = min(checks.copies(mesh, blobs))
    hold("last-copy", few >= COPIES_PINNED, f"{few} copies are left after making room")
    gone = set(rng.sample(range(NODES), COPIES_PINNED - 1))
    lost = sum(size * len(gone & set(on_disk(mesh, blob))) for blob, size in blobs.items())
    for index in sorted(gone):
        mesh[index].machine.crash()
    survivors = mesh.running()
    before = checks.copied_bytes(survivors)
    hold("last-copy", all(on_disk(mesh, blob) for blob in blobs), "a blob is lost")
    hold("too-few-copies", await mesh.until(whole, RESTORED_S), "they are not restored")
    await mesh.sleep(COPIES_GRACE_S * 2)
    moved = checks.copied_bytes(survivors) - before
    hold("too-many-copies", moved <= WASTE_MAX * lost, f"{moved} bytes moved for {lost}")


async def lies(story: Story) -> None:
    """14: no wrong byte stays, the liar is known, the rest is not fetched again."""
    mesh = story.mesh
    size = CHUNKS * BLOB_CHUNK_BYTES
    data = story.data(size)
    blob = story.given((1, 2), data)
    with _lying(mesh[1].machine.name, honest_chunks=story.rng.randrange(1, 6)):
        there = await story.fetch(0, blob, [1, 2], size)
    if there:
        checks.same(mesh[0], blob, data)
    hold("blob-lost", there, "an honest holder was there, and the blob did not come")
    checks.named(mesh[0], mesh[1])


@contextmanager
def _lying(machine: str, honest_chunks: int) -> Iterator[None]:
    """The node on that machine gives so many good chunks, then bad ones."""
    inner, left = BlobServer._fill, [honest_chunks]

    def fill(server: BlobServer, chunks: ChunkReader, index: int, room: memoryview) -> int | None:
        size_bytes = inner(server, chunks, index, room)
        life = running_life.get()
        if size_bytes is None or life is None or life.machine.name != machine:
            return size_bytes
        left[0] -= 1
        if left[0] < 0:
            room[:size_bytes] = bytes(size_bytes)
        return size_bytes

    BlobServer._fill = fill  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        BlobServer._fill = inner  # type: ignore[method-assign]


async def resume(story: Story) -> None:
    """15: after a killed process at most one chunk per stream comes again; after cut power as many
    as the disk has lost, and never a wrong one."""
    mesh, rng = story.mesh, story.rng
    size = CHUNKS * BLOB_CHUNK_BYTES
    data = story.data(size)
    blob = story.given((1, 2), data)
    power = rng.random() < 0.5
    with checks.watching_chunks() as received:
        await _interrupted(story, blob, size, rng.randrange(4, CHUNKS - 4), received, power=power)
        mesh[0].start()
        await story.linked()
        there = await story.fetch(0, blob, [1, 2], size)
    if there:
        checks.same(mesh[0], blob, data)
    hold("blob-lost", there, "it does not go on")
    again = len(received.chunks) - CHUNKS
    hold("fetched-again", power or again <= 2, f"{again} chunks came again after a crash")


async def _interrupted(
    story: Story, blob: Digest, size: int, after: int, received: checks.Received, *, power: bool
) -> None:
    mesh = story.mesh
    with trio.CancelScope() as scope:

        async def strike() -> None:
            await mesh.until(lambda: len(received.chunks) >= after, 60)
            machine = mesh[0].machine
            (machine.power_cut if power else machine.crash)()
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(strike)
            await story.fetch(0, blob, [1, 2], size)
            nursery.cancel_scope.cancel()


async def hits(story: Story) -> None:
    """13: what is returned as a hit is here; what has vanished is made again; no build fails."""
    mesh, rng = story.mesh, story.rng
    steps, size = 4, rng.randrange(70 * KIB, MIB)
    with tempfile.TemporaryDirectory(prefix="vitte-sim-") as folder, checks.watching_hits() as bad:
        root = _project(Path(folder), steps, size)
        first = await mesh[0].run_project(root)
        hold("build-failed", first.ok, f"{first.view}")
        for node in mesh.nodes:
            store_of(node).last_copy = lambda _blob: False
            if rng.random() < 0.8 or node.index == 0:
                store_of(node).trim(0)
        holder = mesh[rng.randrange(1, len(mesh.nodes))]
        mesh.world.after(rng.random(), holder.machine.crash)
        second = await mesh[0].run_project(root)
        hold("build-failed", second.ok, f"{second.view}")
        made = [(root / f"out/{number}").stat().st_size for number in range(steps)]
        hold("build-failed", made == [size] * steps, "its files are not there")
    hold("empty-hit", not bad, bad[0] if bad else "")


def _project(root: Path, steps: int, size: int) -> Path:
    text = "\n".join(
        f'[[step]]\nname = "make-{number}"\nkind = "build"\n'
        f'run = "sim seconds=1 bytes={size} {number}"\nout = ["out/{number}"]\n'
        for number in range(steps)
    )
    (root / "vitte-dist.toml").write_text(f'[project]\nname = "made"\n{text}')
    return root


CHAPTERS: dict[str, tuple[Chapter, int, Link]] = {
    "copies": (copies, NODES, Link()),
    "lies": (lies, 3, SLOW),
    "resume": (resume, 3, SLOW),
    "hits": (hits, 3, Link()),
}
