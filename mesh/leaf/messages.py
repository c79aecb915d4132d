"""What the bodies of frames mean: encoding for the gateway's side, strict decoding of the leaf's.

The specification is firmware/link.cddl. Decoding raises BadBody and nothing else: a leaf is a
stranger until it has proved who it is. Deliberately not here: frames (`frame`), who says what when
(`link`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha512
from struct import Struct
from typing import Any

import attrs

from mesh.wire import cbor
from mesh.wire.errors import WireError

PROTOCOL = 1
NONCE_BYTES = 8
PROOF_NONCE_BYTES = 16
KEY_BYTES = 32
DIGEST_BYTES = 16
HEAD_BYTES = 32
SIGNATURE_BYTES = 64
EVENTS_MAX = 12
UINT32_MAX = 2**32 - 1
PROOF_CONTEXT = b"vitte-leaf-proof-1"
CHAIN_CONTEXT = b"vitte-leaf-chain-1"
_PACKED = Struct("<IiBBBB")
PACKED_EVENT_BYTES = _PACKED.size
PACKED_KIND_AT = 8


class Op(IntEnum):
    PROVE = 1
    STATUS = 2
    BEGIN = 3
    CHUNK = 4
    COMMIT = 5
    CONFIRM = 6
    WRITE_INPUT = 7
    PROVISION = 8
    RESTART = 9
    RULES = 10


class LeafError(IntEnum):
    """What a leaf answers; docs/leaf-link.md says what each means."""

    NONE = 0
    UNKNOWN_OP = 1
    MALFORMED = 2
    NOT_PROVISIONED = 3
    PROVISIONED = 4
    BUSY = 5
    NO_TRANSFER = 6
    WRONG_OFFSET = 7
    TOO_BIG = 8
    WRONG_DIGEST = 9
    BAD_SIGNATURE = 10
    OLD_COUNTER = 11
    WRONG_TARGET = 12
    BAD_PROGRAM = 13
    FLASH_FAILED = 14
    NOT_AN_INPUT = 15
    NOT_ON_TRIAL = 16
    BAD_STREAM = 17


class EventKind(IntEnum):
    EMITTED = 0
    ASKED = 1
    SYSTEM = 2


class SystemEvent(IntEnum):
    STARTED = 1
    PROGRAM_STARTED = 2
    CONFIRMED = 3
    WENT_BACK = 4
    RESOURCE_FAILED = 5
    FLASH_FAILED = 6
    RULE_STOPPED = 7


class BadBody(ValueError):
    """The body is not what its kind says."""


@attrs.frozen
class LeafHello:
    host_nonce: bytes
    epoch: int
    boot_nonce: bytes
    """Names this start of the leaf, and its stream of events."""
    board: int
    key: bytes
    """Ed25519; empty before provisioning."""
    receive_bytes: int


@attrs.frozen
class Answer:
    id: int
    error: int
    """A `LeafError`, or a number that a newer firmware knows."""
    results: tuple[Any, ...]


@attrs.frozen
class Proof:
    """What a leaf says of itself and signs."""

    firmware: bytes
    program: bytes
    counter: int
    next_event: int
    head: bytes
    signature: bytes


@attrs.frozen
class Status:
    uptime_ms: int
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    slot: int
    """1 or 2; 0 without a program."""
    trial: int
    counter: int
    rule_runs: int
    resource_failures: int
    crc_errors: int
    overruns: int
    lost_events: int
    waiting_events: int
    reset_cause: int
    firmware_error: int


@attrs.frozen
class Event:
    time_ms: int
    """Since the leaf started."""
    kind: EventKind
    rule: int
    code: int
    value: int
    slot: int
    """Of ASKED: where the answer belongs."""


@attrs.frozen
class Events:
    first: int
    lost: int
    head: bytes
    events: tuple[Event, ...]


# -- the gateway's side ----------------------------------------------------------------------------
def host_hello(nonce: bytes) -> bytes:
    return cbor.encode([PROTOCOL, nonce])


def request(id_: int, op: Op, arguments: Sequence[int | bytes]) -> bytes:
    return cbor.encode([id_, op.value, *arguments])


def cursor(next_event: int) -> bytes:
    return cbor.encode([next_event])


# -- the leaf's side -------------------------------------------------------------------------------
def decode_hello(body: bytes) -> LeafHello:
    protocol, nonce, epoch, boot, board, key, receive = _array(body, 7, 7)
    if type(protocol) is not int or protocol != PROTOCOL:
        raise BadBody(f"protocol {protocol!r}")
    if len(_bytes(key, 0, KEY_BYTES)) not in (0, KEY_BYTES):
        raise BadBody("key of an odd length")
    return LeafHello(
        _bytes(nonce, NONCE_BYTES, NONCE_BYTES),
        _int(epoch, 1, 15),
        _bytes(boot, NONCE_BYTES, NONCE_BYTES),
        _int(board, 1, 4),
        key,
        _int(receive, 0, 65_535),
    )


def decode_answer(body: bytes) -> Answer:
    id_, error, *results = _array(body, 2, 17)
    return Answer(_int(id_, 0, 65_535), _int(error, 0, 255), tuple(results))


def decode_proof(results: Sequence[Any]) -> Proof:
    firmware, program, counter, next_event, head, signature = _exactly(results, 6)
    return Proof(
        _bytes(firmware, DIGEST_BYTES, DIGEST_BYTES),
        _bytes(program, DIGEST_BYTES, DIGEST_BYTES),
        _int(counter, 0, UINT32_MAX),
        _int(next_event, 0, UINT32_MAX),
        _bytes(head, HEAD_BYTES, HEAD_BYTES),
        _bytes(signature, SIGNATURE_BYTES, SIGNATURE_BYTES),
    )


def decode_status(results: Sequence[Any]) -> Status:
    return Status(*(_int(each, 0, UINT32_MAX) for each in _exactly(results, 15)))


def decode_events(body: bytes) -> Events:
    first, lost, head, listed = _array(body, 4, 4)
    if type(listed) is not list or not 1 <= len(listed) <= EVENTS_MAX:
        raise BadBody("number of events")
    return Events(
        _int(first, 0, UINT32_MAX),
        _int(lost, 0, UINT32_MAX),
        _bytes(head, HEAD_BYTES, HEAD_BYTES),
        tuple(_event(each) for each in listed),
    )


def _event(item: object) -> Event:
    if type(item) is not list:
        raise BadBody("an event is an array")
    time_ms, kind, rule, code, value, slot = _exactly(item, 6)
    return Event(
        _int(time_ms, 0, UINT32_MAX),
        EventKind(_int(kind, 0, len(EventKind) - 1)),
        _int(rule, 0, 255),
        _int(code, 0, 255),
        _int(value, -(2**31), 2**31 - 1),
        _int(slot, 0, 255),
    )


def _array(body: bytes, low: int, high: int) -> list[Any]:
    try:
        item = cbor.decode(body)
    except WireError as error:
        raise BadBody(str(error)) from None
    if type(item) is not list or not low <= len(item) <= high:
        raise BadBody(f"expected an array of {low}..{high}")
    return item


def _exactly(items: Sequence[Any], count: int) -> Sequence[Any]:
    if len(items) != count:
        raise BadBody(f"expected {count} values")
    return items


def _int(item: object, low: int, high: int) -> int:
    if type(item) is not int or not low <= item <= high:
        raise BadBody(f"expected a number in {low}..{high}")
    return item


def _bytes(item: object, low: int, high: int) -> bytes:
    if type(item) is not bytes or not low <= len(item) <= high:
        raise BadBody(f"expected {low}..{high} bytes")
    return item


# -- what is signed and chained --------------------------------------------------------------------
def proof_text(nonce: bytes, boot_nonce: bytes, proof: Proof) -> bytes:
    """What the signature of a proof is over, without its context."""
    return cbor.encode(
        [
            nonce,
            boot_nonce,
            proof.firmware,
            proof.program,
            proof.counter,
            proof.next_event,
            proof.head,
        ]
    )


def chain_start(boot_nonce: bytes) -> bytes:
    return sha512(CHAIN_CONTEXT + boot_nonce).digest()[:HEAD_BYTES]


def chain(head: bytes, event: Event) -> bytes:
    """The head after one more event."""
    return chain_packed(head, pack_event(event))


def chain_packed(head: bytes, packed: bytes) -> bytes:
    """The head after one more event, as `pack_event` wrote it: those bytes are what is chained."""
    return sha512(head + packed).digest()[:HEAD_BYTES]


def pack_event(event: Event) -> bytes:
    """PACKED_EVENT_BYTES that say everything of an event, in one way."""
    return _PACKED.pack(event.time_ms, event.value, event.kind, event.rule, event.code, event.slot)


def unpack_event(packed: bytes) -> Event:
    """The other way round. Raises ValueError for a kind of event that there is not."""
    time_ms, value, kind, rule, code, slot = _PACKED.unpack(packed)
    return Event(time_ms, EventKind(kind), rule, code, value, slot)
