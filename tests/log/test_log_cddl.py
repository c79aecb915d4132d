"""`docs/log.cddl` against the codec: what one takes, the other takes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from log_world import KEYS, continued, feed_of, history

from mesh.log.audit import check_inclusion, prove
from mesh.log.checkpoint import read_checkpoint
from mesh.log.forks import decode_fork, fork_of
from mesh.log.frame import decode_frame, encode_frame, open_header
from mesh.log.model import Lane
from mesh.state.events import Checkpoint, decode_event
from mesh.wire import cbor
from mesh.wire.errors import WireError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "firmware"))

from small_cddl import Schema  # noqa: E402 - the reader that the firmware's files have
from spoil import spoil  # noqa: E402

LOG = Schema((ROOT / "docs" / "log.cddl").read_text())
A = KEYS[0]
FRAMES = history(A, feed_of(A), [1, 3, 2])
RIVAL = continued(A, feed_of(A), FRAMES[0].signed.head, [2], b" rival")[0]
POINT = [bytes(8), 1, 7, bytes(32)]
EDGES = [0, 1, 2, 3, 4, 23, 24, 255, 256, 257, 262_144, 262_145, 2**48, 2**48 + 1, 2**63, -1]
ODD = st.one_of(
    st.sampled_from(EDGES),
    st.sampled_from([0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 255, 61_440, 61_441]).map(bytes),
    st.sampled_from([None, True, "", [], [[]]]),
)
BEYOND_CDDL = {"parent", "count", "root", "index", "signature", "body", "points", "covers"}
"""Refusals that are about what CDDL cannot say; the head of the file lists them."""


@st.composite
def spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    return cbor.encode(spoil(draw, cbor.decode(data), ODD, inside=True))


def refusal(decode: Callable[[bytes], object], data: bytes) -> str:
    """Why the codec does not take it; "" when it does."""
    try:
        decode(data)
    except WireError as error:
        return error.reason
    return ""


def agree(rule: str, decode: Callable[[bytes], object], data: bytes) -> None:
    reason = refusal(decode, data)
    if LOG.matches(rule, cbor.decode(data)):
        assert reason in BEYOND_CDDL | {""}
    else:
        assert reason


@settings(max_examples=80)
@given(st.sampled_from(FRAMES).flatmap(lambda frame: spoiled(frame.signed.data)))
def test_headers(data: bytes) -> None:
    agree("header", lambda data: open_header(data, bytes(64)), data)


@settings(max_examples=100)
@given(
    st.sampled_from([*FRAMES, FRAMES[0].without_body()]).flatmap(
        lambda frame: spoiled(encode_frame(frame))
    )
)
def test_frames(data: bytes) -> None:
    def decode(data: bytes) -> None:
        frame = decode_frame(data)
        if frame.body is not None:
            frame.check_body()

    agree("frame", decode, data)


@settings(max_examples=60)
@given(spoiled(fork_of(FRAMES[1].signed, RIVAL.signed).encode()))
def test_forks(data: bytes) -> None:
    agree("fork", decode_fork, data)


@settings(max_examples=60)
@given(spoiled(prove(FRAMES[1], 2).encode()))
def test_inclusions(data: bytes) -> None:
    agree("inclusion", check_inclusion, data)


@settings(max_examples=80)
@given(spoiled(cbor.encode([2, [POINT, [b"\1" * 8, 1, 1, bytes(32)]], bytes(32), 5, 6])))
def test_checkpoints_and_the_views_read_them_alike(data: bytes) -> None:
    agree("checkpoint", read_checkpoint, data)

    assert bool(refusal(read_checkpoint, data)) == bool(refusal(decode_checkpoint, data))


def decode_checkpoint(data: bytes) -> None:
    if not isinstance(decode_event(data, Lane.AC), Checkpoint):
        raise WireError("kind")
