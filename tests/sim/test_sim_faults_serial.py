"""What each kind of fault of serial lines does to the bytes between a gateway and its leaf."""

from __future__ import annotations

from typing import Any

import pytest
from fault_stands import Effects, fault_of, pass_s, shows

from sim.faults import begin
from sim.faults.model import Undo
from sim.scenario.model import Scenario
from sim.serial import SerialLine, SerialLineConfig
from sim.stage.membership import MembershipStage

DATA = bytes(range(250)) * 40
"""10 000 bytes; at 115 200 baud they take 0.9 s."""
SECONDS = 5.0


class Gateway(MembershipStage):
    """A stage on which node 0 has a serial line; its leaf is at the far end."""

    def __init__(self) -> None:
        super().__init__(Scenario(seed=1, nodes=2))
        self.line = SerialLine(self.world, "line", SerialLineConfig())
        self.heard = {"left": bytearray(), "right": bytearray()}
        for end in (self.line.left, self.line.right):
            end.attach(self.heard[end.side].extend)

    def serial(self, node: int) -> Any:
        return self.line if node == 0 else None

    def begin(self, name: str, **params: float) -> Undo:
        begin(self, fault_of(name, 1, **params))  # a node without a line is not hit
        return begin(self, fault_of(name, 0, **params))

    def said(self, data: bytes = DATA) -> tuple[bytes, bytes]:
        """What the leaf heard of the node, and the node of the leaf, both of whom said `data`."""
        for each in self.heard.values():
            each.clear()
        self.line.left.write(data)
        self.line.right.write(data)
        pass_s(self, SECONDS)
        return bytes(self.heard["right"]), bytes(self.heard["left"])

    def is_whole(self) -> bool:
        return self.said() == (DATA, DATA)


def loss(name: str) -> None:
    stage = Gateway()
    undo = stage.begin(name, chance=0.1)
    heard = stage.said()
    for each in heard:
        assert 0.07 < 1 - len(each) / len(DATA) < 0.13
        assert is_part_of(each, DATA), "what comes is in order and as it was"
    assert stage.line.counters["lost"] == sum(len(DATA) - len(each) for each in heard)
    undo()
    assert stage.is_whole()


def is_part_of(some: bytes, whole: bytes) -> bool:
    """Whether it is the whole with bytes left out."""
    left = iter(whole)
    return all(byte in left for byte in some)


def flips(name: str) -> None:
    stage = Gateway()
    undo = stage.begin(name, chance=0.1)
    wrong = 0
    for each in stage.said():
        bits = [(a ^ b).bit_count() for a, b in zip(each, DATA, strict=True)]
        assert set(bits) == {0, 1}
        assert 0.07 < sum(bits) / len(DATA) < 0.13
        wrong += sum(bits)
    assert stage.line.counters["flipped"] == wrong
    undo()
    assert stage.is_whole()


def noise(name: str) -> None:
    """Bytes that nobody sent, at both ends; none is lost for it."""
    stage = Gateway()
    undo = stage.begin(name, rate=100.0)
    silence = stage.said(b"")
    assert all(300 < len(each) < 700 for each in silence)
    assert all(is_part_of(DATA, each) and each != DATA for each in stage.said())
    undo()
    assert stage.said(b"") == (b"", b"")
    assert stage.is_whole()


def cut(name: str) -> None:
    stage = Gateway()
    undo = stage.begin(name)
    assert stage.said() == (b"", b"")
    assert stage.line.counters["cut"] == 2 * len(DATA)
    undo()
    assert stage.is_whole()


def unplugged(name: str) -> None:
    """The node's end is gone: it sends nothing and gets nothing, and its program is told."""
    stage = Gateway()
    told: list[bool] = []
    stage.line.left.on_change = lambda: told.append(stage.line.left.plugged)
    undo = stage.begin(name)
    assert told == [False]
    assert stage.said() == (b"", b"")
    assert stage.line.counters["unplugged"] == len(DATA)
    undo()
    assert stage.line.left.plugged
    assert stage.is_whole()


EFFECTS: Effects = {
    "serial_loss": loss,
    "serial_flips": flips,
    "serial_noise": noise,
    "serial_cut": cut,
    "serial_unplugged": unplugged,
}


@pytest.mark.parametrize("name", EFFECTS)
def test_a_kind_of_serial_lines_does_what_it_says_until_undone(name: str) -> None:
    shows(EFFECTS, name)


def test_a_node_without_a_line_is_not_hit() -> None:
    stage = Gateway()
    for name in EFFECTS:
        begin(stage, fault_of(name, 1))
    assert stage.is_whole()
