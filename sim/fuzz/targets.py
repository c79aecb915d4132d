"""Everything in the project that takes bytes from somebody else, and what must hold of it.

Rules that are checked of each input
- It is refused with the error of its layer and no other, or accepted.
- What a codec accepts it writes as the same bytes again: one value, one encoding.
- A log, a sync session and a state that are given something bad go on: they never raise.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from hashlib import sha256
from random import Random

import mesh
from mesh.cas.packfile import decode_index, encode_index
from mesh.control.requests import parse_request
from mesh.errors import BadRequest, BadToken
from mesh.identity.certificates import make_certificate
from mesh.identity.codes import parse_code
from mesh.identity.records import (
    GENESIS_VERSION,
    Admit,
    Authorship,
    Fact,
    FeedPoint,
    Genesis,
    Invite,
    Leave,
    open_record,
    sign_record,
)
from mesh.identity.roles import Role
from mesh.identity.tokens import format_token, invite_key, parse_token
from mesh.leaf.frame import Frame as LeafFrame
from mesh.leaf.frame import FrameReader as LeafReader
from mesh.leaf.frame import Kind as LeafKind
from mesh.leaf.frame import encode as leaf_encode
from mesh.leaf.messages import BadBody, decode_answer, decode_events, decode_hello
from mesh.log.model import Dot, FeedId, Lane
from mesh.rules.program import (
    AnyLeaf,
    BadProgram,
    Every,
    Program,
    Rule,
    decode_program,
    encode_program,
)
from mesh.state.checkpoint import encode_state, open_state
from mesh.state.events import _BY_FIRST, _KINDS, Event, decode_event, encode_event
from mesh.types import Digest, MeshId, digest_of
from mesh.wire import cbor
from mesh.wire.blobid import TAG, ManifestReader, manifest_of
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader, frame
from mesh.wire.schema import decode_message, decode_struct, encode_message, encode_struct
from sim.fuzz import samples
from sim.fuzz.engine import Target
from sim.fuzz.logs import KEY, log_targets
from sim.fuzz.rules import SEEDS_EACH, event_bytes, refusing, same_again


def targets() -> list[Target]:
    """All of them, by name."""
    for module in pkgutil.walk_packages(mesh.__path__, "mesh."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)  # so that every class is declared
    found = [*_declared(), *_codecs(), *_texts(), *log_targets()]
    return sorted(found, key=lambda target: target.name)


# -- declared classes ------------------------------------------------------------------------------
def _declared() -> Iterable[Target]:
    classes = samples.structs()
    messages = [cls for cls in classes if samples.is_message(cls)]

    def message_seeds(rng: Random) -> Iterable[bytes]:
        for cls in messages:
            yield from (samples.message_bytes(cls, rng) for _ in range(SEEDS_EACH))

    yield Target(
        "wire.message", same_again(decode_message, encode_message, WireError), message_seeds
    )
    for cls in classes:
        if samples.is_message(cls) or cls in _KINDS:
            continue

        def seeds(rng: Random, cls: type = cls) -> Iterable[bytes]:
            return [samples.struct_bytes(cls, rng) for _ in range(3)]

        def decode(data: bytes, cls: type = cls) -> object:
            return decode_struct(cls, data)

        name = f"struct.{cls.__module__.removeprefix('mesh.')}.{cls.__name__}"
        yield Target(name, same_again(decode, encode_struct, WireError), seeds)


def _codecs() -> Iterable[Target]:
    yield Target("wire.cbor", same_again(cbor.decode, cbor.encode, WireError), event_bytes)
    for lane in Lane:

        def decode(data: bytes, lane: int = lane) -> Event:
            return decode_event(data, lane)

        check = same_again(decode, encode_event, WireError)
        yield Target(f"state.event.{lane.name.lower()}", check, event_bytes)

        def state(data: bytes, lane: int = lane) -> object:
            return open_state(data, KEY.node_id, lane)

        def seeds(rng: Random, lane: Lane = lane) -> Iterable[bytes]:
            yield encode_state(lane, b"", ())
            feed = FeedId(KEY.node_id, b"epoch--1", int(lane))
            for each in event_bytes(rng):
                yield encode_state(lane, b"", [(Dot(feed, 1), each), (Dot(feed, 2), each)])

        yield Target(f"state.kept.{lane.name.lower()}", refusing(state, WireError), seeds)
    assert _BY_FIRST, "events have quick readers, which these inputs reach"


# -- texts and other formats -----------------------------------------------------------------------
def _texts() -> Iterable[Target]:  # noqa: C901 - a list, and what its items need
    def token(data: bytes) -> object:
        return parse_token(data.decode("latin-1"))

    def code(data: bytes) -> object:
        return parse_code(data.decode("latin-1"))

    def framed(data: bytes) -> object:
        return list(FrameReader().feed(data))

    def index(data: bytes) -> bool:
        found = decode_index(data)
        return found is not None and encode_index(found[0], found[1]) == data

    def manifest(data: bytes) -> bool:
        reader = ManifestReader(Digest(sha256(TAG + data).digest()))  # who names it has made it
        try:
            reader.feed(data)
        except WireError:
            return False
        return True

    def line(data: bytes) -> object:
        return [leaf_encode(each) for each in LeafReader().feed(data)]

    def tokens(rng: Random) -> Iterable[bytes]:
        for each in _records(rng):
            yield format_token(b"s" * 16, each, (("127.0.0.1", 1),)).encode()

    yield Target("identity.token", refusing(token, BadToken), tokens)
    yield Target("identity.code", refusing(code, BadToken), lambda _: [b"7-amber-maple"])
    yield Target("identity.record", refusing(open_record, WireError), _records)
    yield Target("wire.frames", refusing(framed, WireError), lambda rng: [frame(rng.randbytes(9))])
    yield Target("cas.index", index, lambda _: [encode_index(0, ())])
    yield Target("cas.manifest", manifest, lambda rng: manifest_of(TAG + rng.randbytes(9)).pages())
    hello = LeafFrame(LeafKind.HELLO, 0, b"body")
    yield Target("leaf.frame", refusing(line), lambda _: [leaf_encode(hello)])
    yield Target("rules.program", refusing(decode_program, BadProgram), _programs)
    yield Target("control.request", refusing(parse_request, BadRequest), lambda _: _REQUESTS)
    for each in (decode_hello, decode_answer, decode_events):
        yield Target(f"leaf.{each.__name__}", refusing(each, BadBody), event_bytes)


_REQUESTS = (b'{"op": "status"}', b'{"op": "why", "node": "x"}', b'{"op": "run", "cwd": "/"}')


def _records(rng: Random) -> Iterable[bytes]:
    """One of each kind, signed."""
    node, certificate = KEY.node_id, make_certificate(KEY, "alice")
    genesis = Genesis(GENESIS_VERSION, "mesh", rng.randbytes(32), node, "alice", certificate)
    root = sign_record(KEY, genesis)
    author = Authorship(MeshId(digest_of(root)), node, digest_of(root))
    point = FeedPoint(b"epoch--1", 1, 5, digest_of(b"head"))
    facts: tuple[Fact, ...] = (
        Invite(author, invite_key(b"s" * 16).node_id, int(Role.BUILDER), 1, 2**40),
        Admit(author, node, "alice", int(Role.BUILDER), certificate, 1),
        Leave(author, node, (b"e" * 16,), (b"k" * 16,), (point,)),
    )
    return [root, *(sign_record(KEY, fact) for fact in facts)]


def _programs(_: Random) -> Iterable[bytes]:
    rule = Rule(Every(100), (0, 7), 1, bytes(4), 1)
    yield encode_program(Program(AnyLeaf(), 1, (), (rule,)))
