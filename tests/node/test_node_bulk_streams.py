"""Who is not asked for blobs, and for how long: it outlives the link."""

from __future__ import annotations

from typing import Any, cast

from mesh.node.bulk_streams import LIES_DOUBLED_MAX, BulkStreams
from mesh.node.config import LinkConfig
from mesh.types import NodeId

LIAR, OTHER = NodeId(b"l" * 32), NodeId(b"o" * 32)


class World:
    """A clock, and streams that are never opened."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.config = LinkConfig(liar_shunned_s=10.0)
        self.streams = BulkStreams(cast("Any", None), self.config, lambda: self.now_s)

    def shunned_for_s(self, node: NodeId) -> float:
        """Waits until it is asked again."""
        began_s = self.now_s
        while self.streams.is_shunned(node):
            self.now_s += 1.0
        return self.now_s - began_s


def test_a_liar_gains_nothing_by_connecting_anew() -> None:
    world = World()
    world.streams.shun_for_lie(LIAR)
    world.streams.forget(LIAR)
    assert world.streams.is_shunned(LIAR)
    assert not world.streams.is_shunned(OTHER)
    assert world.shunned_for_s(LIAR) == 10.0


def test_each_further_lie_costs_twice_as_much_up_to_a_bound() -> None:
    world, waits = World(), []
    for _ in range(LIES_DOUBLED_MAX + 3):
        world.streams.shun_for_lie(LIAR)
        waits.append(world.shunned_for_s(LIAR))
    doubled = [10.0 * 2**number for number in range(LIES_DOUBLED_MAX + 1)]
    assert waits == [*doubled, doubled[-1], doubled[-1]]


def test_who_failed_slowly_is_left_alone_for_what_it_cost() -> None:
    world = World()
    world.streams.shun_for_lie(LIAR)
    world.streams.shun_for_cost(LIAR, world.now_s - 1.0)
    assert world.shunned_for_s(LIAR) == 10.0, "the longer one counts"
    world.streams.shun_for_cost(OTHER, world.now_s - 1.0)
    assert world.shunned_for_s(OTHER) == 4.0
