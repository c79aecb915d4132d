"""The log's decoders, and a log with sync and views that is told anything.

Not here: everything else that takes bytes (`targets`).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from random import Random

from mesh.identity.keys import NodeKey
from mesh.identity.standing import Standing
from mesh.log.audit import check_inclusion, export, prove, read_export, verify_frames
from mesh.log.checkpoint import covers_in
from mesh.log.forks import decode_fork, fork_of
from mesh.log.frame import Frame, decode_frame, encode_frame, open_header, seal
from mesh.log.log import Log, LogConfig
from mesh.log.model import EMPTY, FeedId, Lane
from mesh.log.records import Kind, encode_record, scan
from mesh.log.sync import Sync, SyncConfig
from mesh.state.views import State
from mesh.types import MeshId, NodeId
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_message
from sim.fuzz import samples
from sim.fuzz.engine import Target
from sim.fuzz.rules import event_bytes, refusing, same_again

KEY, OTHER = NodeKey(b"k" * 32), NodeKey(b"o" * 32)
MESH = MeshId(b"m" * 32)


def _frames(rng: Random, key: NodeKey = KEY, mark: int = 0) -> list[Frame]:
    feed, head, made = FeedId(key.node_id, b"epoch--1", int(Lane.AC)), EMPTY, []
    for number in range(3):
        events = list(event_bytes(rng))[number + mark : number + mark + 4]
        frame_ = seal(key.sign, MESH, feed, head, events, wall_ms=number, seen=bytes(8))
        head = frame_.signed.head
        made.append(frame_)
    return made


def log_targets() -> Iterable[Target]:  # noqa: C901 - a list, and what its items need
    """The log, on the wire, on the disk and in files; and the machine that is given all of it."""

    def frame_seeds(rng: Random) -> Iterable[bytes]:
        made = _frames(rng)
        yield from map(encode_frame, made)
        yield encode_frame(Frame(made[0].signed, None))

    def header_seeds(rng: Random) -> Iterable[bytes]:
        yield from (each.signed.data + bytes(64) for each in _frames(rng))

    def fork_seeds(rng: Random) -> Iterable[bytes]:
        one, two = _frames(rng)[0].signed, _frames(rng, mark=3)[0].signed
        yield fork_of(one, two).encode()

    def whole(data: bytes) -> Frame:
        made = decode_frame(data)
        with suppress(WireError):
            made.check_body()
            covers_in(made)
        return made

    def check_fork(data: bytes) -> object:
        proof = decode_fork(data)
        proof.check()
        return proof

    def exported(data: bytes) -> bool:
        found = read_export(data)
        if found.mesh is not None:
            verify_frames(found.mesh, found.frames)
        return not found.unreadable

    def export_seeds(rng: Random) -> Iterable[bytes]:
        yield b"".join(export(MESH, _frames(rng)))

    def scanned(data: bytes) -> bool:
        found = [scan("x", data, is_newest=newest) for newest in (False, True)]
        assert all(0 <= each.end <= len(data) for each in found)
        return bool(found[0].records)

    def segment_seeds(rng: Random) -> Iterable[bytes]:
        made = _frames(rng)[0]
        head = made.signed.data + made.signed.signature
        yield b"".join(encode_record(kind, head, made.body or b"") for kind in Kind)

    def inclusion_seeds(rng: Random) -> Iterable[bytes]:
        yield from (prove(each, 1).encode() for each in _frames(rng))

    yield Target("log.frame", same_again(whole, encode_frame, WireError), frame_seeds)
    header = refusing(lambda data: open_header(data[:-64], data[-64:]).verify(), WireError)
    yield Target(
        "log.header", header, lambda rng: [f.signed.data + bytes(64) for f in _frames(rng)]
    )
    yield Target("log.fork", refusing(check_fork, WireError), fork_seeds)
    yield Target("log.inclusion", refusing(check_inclusion, WireError), inclusion_seeds)
    yield Target("log.export", exported, export_seeds)
    yield Target("log.segment", scanned, segment_seeds)
    yield Target("log.sync", _Replicas().check, _sync_seeds)


def _sync_seeds(rng: Random) -> Iterable[bytes]:
    for cls in samples.structs():
        if samples.is_message(cls) and cls.__module__.startswith("mesh.log.sync"):
            yield from (samples.message_bytes(cls, rng) for _ in range(4))


class _Replicas:
    """One log with a history, a session with a peer, and the views of it."""

    def __init__(self) -> None:
        self._log = Log(LogConfig(MESH, KEY.node_id))
        self._state = State(KEY.node_id, Standing())
        for each in (*_frames(Random(1)), *_frames(Random(2), OTHER)):  # noqa: S311
            self._log.add_frame(each)
        self._peer = NodeId(b"p" * 32)
        self._sync = Sync(SyncConfig(KEY.node_id), self._log, lambda: 0.5)
        self._now_s = 0.0

    def check(self, data: bytes) -> bool:
        """Whatever a peer says is taken without a word, and changes nobody's own history."""
        try:
            message = decode_message(data)
        except WireError:
            return False
        if not type(message).__module__.startswith("mesh.log.sync"):
            return False
        self._now_s += 10.0
        mine = {feed: head for feed, head in self._log.heads.items() if feed.node == KEY.node_id}
        if self._peer not in self._sync.sessions:
            self._sync.peer_up(self._peer, self._now_s)
        self._sync.receive(self._peer, message, self._now_s)
        self._sync.handle_timer(self._now_s + 5)
        heads = self._log.heads
        assert all(heads[feed] == head for feed, head in mine.items()), "our own feed has changed"
        self._state.apply(list(self._log.frames())[:4], tuple(self._log.forks.values()))
        return True
