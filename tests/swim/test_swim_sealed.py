"""Sealed datagrams: laws of the window, and who understands what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.limits import DATAGRAM_BYTES_MAX, DATAGRAM_SEAL_BYTES, SWIM_REPLAY_WINDOW
from mesh.swim.messages import PAYLOAD_BYTES_MAX
from mesh.swim.sealed import VERSION, ReplayWindow, Sealer, SealerConfig
from mesh.types import NodeId
from sim.swim_world import node_key


def a_sealer(index: int, epoch: int = 100, counter_start: int = 0) -> Sealer:
    node, secret = node_key(index)
    sealer = Sealer(SealerConfig(node, secret, epoch, counter_start))
    sealer.set_members([node_key(each)[0] for each in range(3)])
    return sealer


ALICE, BOB, CAROL = (node_key(index)[0] for index in range(3))


def test_a_datagram_is_opened_once_by_its_receiver_only() -> None:
    alice, bob, carol = a_sealer(0), a_sealer(1), a_sealer(2)
    alice.hint(BOB, 100)
    datagram = alice.seal(BOB, b"hello")
    assert datagram is not None
    assert len(datagram) == len(b"hello") + DATAGRAM_SEAL_BYTES
    assert b"hello" not in datagram
    assert carol.open(datagram) is None
    opened = bob.open(datagram)
    assert opened is not None
    assert (opened.sender, opened.payload, opened.fresh) == (ALICE, b"hello", True)
    assert bob.open(datagram) is None
    assert bob.counters == {"replay": 1}
    assert carol.counters == {"bad-box": 1}


def test_the_largest_payload_makes_the_largest_datagram() -> None:
    datagram = a_sealer(0).seal(BOB, bytes(PAYLOAD_BYTES_MAX))
    assert datagram is not None
    assert len(datagram) == DATAGRAM_BYTES_MAX


def test_a_datagram_of_another_version_is_refused_by_that_name() -> None:
    alice, bob = a_sealer(0), a_sealer(1)
    alice.hint(BOB, 100)
    datagram = alice.seal(BOB, b"x")
    assert datagram is not None
    for version in (0, VERSION - 1, VERSION + 1, 255):
        assert bob.open(bytes([version]) + datagram[1:]) is None
    assert bob.counters == {"unknown-version": 4}
    assert bob.open(datagram) is not None


def test_any_changed_bit_is_noticed() -> None:
    alice, bob = a_sealer(0), a_sealer(1)
    alice.hint(BOB, 100)
    datagram = alice.seal(BOB, b"x")
    assert datagram is not None
    for position in range(len(datagram)):
        changed = bytearray(datagram)
        changed[position] ^= 1
        assert bob.open(bytes(changed)) is None
    assert bob.open(datagram) is not None


def test_what_names_no_epoch_is_not_fresh_until_a_notice_told_it() -> None:
    alice, bob = a_sealer(0, epoch=7), a_sealer(1, epoch=9)
    first = alice.seal(BOB, b"who are you")
    assert first is not None
    opened = bob.open(first)
    assert opened is not None
    assert not opened.fresh
    notice = bob.notice(ALICE, first)
    assert notice is not None
    assert len(notice) <= len(first)
    told = alice.open(notice)
    assert told is not None
    assert (told.payload, told.fresh) == (b"", True)
    second = alice.seal(BOB, b"now then")
    assert second is not None
    opened = bob.open(second)
    assert opened is not None
    assert opened.fresh


def test_datagrams_of_an_earlier_epoch_of_the_sender_are_refused() -> None:
    old, new, bob = a_sealer(0, epoch=5), a_sealer(0, epoch=6), a_sealer(1)
    for sealer in (old, new):
        sealer.hint(BOB, 100)
    late, present = old.seal(BOB, b"old"), new.seal(BOB, b"new")
    assert late is not None
    assert present is not None
    assert bob.open(present) is not None
    opened = bob.open(late)
    assert opened is not None
    assert (opened.payload, opened.fresh, opened.outdated) == (b"", False, True)
    assert bob.counters["stale-epoch"] == 1


def test_who_raises_its_epoch_is_heard_and_hears_only_what_names_the_new_one() -> None:
    old, forgetful, bob = a_sealer(0, epoch=9), a_sealer(0, epoch=3), a_sealer(1)
    for sealer in (old, forgetful):
        sealer.hint(BOB, 100)
    first, refused = old.seal(BOB, b"before"), forgetful.seal(BOB, b"too low")
    assert first is not None
    assert refused is not None
    assert bob.open(first) is not None
    reminder = bob.notice(ALICE, refused, b"you were in 9") if bob.open(refused) else None
    assert reminder is not None
    told = forgetful.open(reminder)
    assert told is not None
    assert (told.payload, told.fresh) == (b"you were in 9", True)
    before = bob.notice(ALICE, refused)
    forgetful.raise_epoch(10)
    assert before is not None
    late = forgetful.open(before)
    assert late is not None
    assert not late.fresh
    again = forgetful.seal(BOB, b"now then")
    assert again is not None
    opened = bob.open(again)
    assert opened is not None
    assert (opened.payload, opened.fresh) == (b"now then", True)


def test_both_directions_never_share_a_nonce() -> None:
    """Same epoch, same counter, same shared key: only the sender's prefix tells them apart."""
    one, two = a_sealer(0).seal(BOB, b"same"), a_sealer(1).seal(ALICE, b"same")
    assert one is not None
    assert two is not None
    assert one[23:] != two[23:]


def test_a_key_that_is_no_point_is_counted_not_raised() -> None:
    sealer = a_sealer(0)
    bad = NodeId(b"\x02" + b"\x00" * 31)
    sealer.set_members([bad, BOB])
    assert sealer.seal(bad, b"x") is None
    assert sealer.counters["bad-key"] >= 1


def test_who_is_struck_off_is_neither_heard_nor_spoken_to() -> None:
    alice, bob = a_sealer(0), a_sealer(1)
    bob.hint(ALICE, 100)
    datagram = bob.seal(ALICE, b"x")
    assert datagram is not None
    alice.set_members([CAROL])
    assert alice.open(datagram) is None
    assert alice.seal(BOB, b"x") is None
    assert alice.counters == {"unknown-sender": 1, "unknown-receiver": 1}


@given(st.lists(st.integers(0, 6000), max_size=300))
def test_the_window_accepts_each_counter_once_and_refuses_only_old_ones(
    counters: list[int],
) -> None:
    window = ReplayWindow()
    seen: set[int] = set()
    top = -1
    for counter in counters:
        too_old = top >= 0 and top - counter >= SWIM_REPLAY_WINDOW
        assert window.accept(counter) == (counter not in seen and not too_old)
        seen.add(counter)
        top = max(top, counter)


def test_a_counter_from_the_far_end_is_refused_and_costs_nothing() -> None:
    window = ReplayWindow()
    assert window.accept(2**48 - 1)
    assert not window.accept(0)
    assert window.accept(2**48 - 2)
