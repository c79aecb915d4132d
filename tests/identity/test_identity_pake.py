"""The key exchange behind codes: the same key exactly for the same code and the same two nodes."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity_world import key_of

from mesh.identity.pake import SHARE_BYTES, Pake
from mesh.wire.errors import WireError

BOB, ALICE, EVE = (key_of(name).node_id for name in ("bob", "alice", "eve"))


def side(is_joiner: bool, password: bytes = b"7-amber-maple", joiner=BOB, server=ALICE) -> Pake:
    counter = itertools.count(1 + is_joiner)
    return Pake(
        is_joiner=is_joiner,
        password=password,
        joiner=joiner,
        server=server,
        token=lambda size: next(counter).to_bytes(size, "big"),
    )


def keys(joiner: Pake, server: Pake) -> tuple[bytes, bytes]:
    return joiner.finish(server.share), server.finish(joiner.share)


def test_the_same_code_and_nodes_give_the_same_key() -> None:
    here, there = keys(side(True), side(False))
    assert here == there
    assert len(here) == 32


@pytest.mark.parametrize(
    "other",
    [{"password": b"7-amber-maplf"}, {"joiner": EVE}, {"server": EVE}],
)
def test_another_code_or_another_node_gives_another_key(other: dict) -> None:
    here, there = keys(side(True), side(False, **other))
    assert here != there


def test_a_share_that_is_sent_back_is_refused() -> None:
    here = side(True)
    with pytest.raises(WireError):
        here.finish(here.share)


@settings(deadline=None, max_examples=20)
@given(st.binary(max_size=SHARE_BYTES + 2))
def test_what_is_no_share_raises_nothing_but_wire_errors(noise: bytes) -> None:
    for share in (noise, b"A" + noise[1:], b"A" + noise[1:].ljust(32, b"\xff")):
        try:
            key = side(False).finish(share)
        except WireError:
            continue
        assert len(key) == 32  # it happened to be a point of the group
