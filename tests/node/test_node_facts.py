"""What peers say about their tools and results, and whom it saves from being asked."""

from __future__ import annotations

from mesh.action.model import SignedResult
from mesh.cas.results import ResultCache
from mesh.limits import TOOLS_TOLD_MAX
from mesh.node.facts import SETTLED_S, TELL_EVERY_S, FactBoard, KnownTools
from mesh.scheduler.peers import PeerState
from mesh.types import NodeId, digest_of
from mesh.wire.messages import NodeFacts
from sim.disk import SimDisk
from sim.kernel.world import World

PEER = NodeId(bytes([7]) * 32)
ACTIONS = [digest_of(bytes([number])) for number in range(20)]


def signed(number: int) -> SignedResult:
    return SignedResult(b"body %d" % number, bytes(64))


class OneNode:
    """A cache, a board, and what it told."""

    def __init__(self, name: str = "one") -> None:
        self.results = ResultCache(SimDisk(World(1), name).open())
        self.tools = KnownTools()
        self.told: list[NodeFacts] = []
        self.now_s = 100.0
        self.board = FactBoard(self.results, self.tools, self.told.append, lambda: self.now_s)

    def learn(self, *numbers: int) -> None:
        for number in numbers:
            self.results.put(signed(number), ACTIONS[number])


def test_a_peer_that_has_said_nothing_is_asked() -> None:
    assert OneNode().board.worth_asking(PEER, ACTIONS)


def test_a_peer_that_remembers_nothing_is_not_asked_until_it_does() -> None:
    here, there = OneNode("here"), OneNode("there")
    here.board.heard(PEER, there.board.own())
    assert not here.board.worth_asking(PEER, ACTIONS)
    there.learn(3)
    here.board.heard(PEER, there.told[-1])
    assert here.board.worth_asking(PEER, ACTIONS)


def test_a_peer_that_remembers_the_same_is_asked_only_for_what_was_lost_here() -> None:
    here, there = OneNode("here"), OneNode("there")
    here.learn(1, 2)
    there.learn(2, 1)
    here.board.heard(PEER, there.board.own())
    here.now_s += SETTLED_S
    assert not here.board.worth_asking(PEER, ACTIONS[5:8])
    assert here.board.worth_asking(PEER, ACTIONS[1:8]), "its files may be whole there"
    there.learn(5)
    here.board.heard(PEER, there.board.own())
    here.now_s += SETTLED_S
    assert here.board.worth_asking(PEER, ACTIONS[5:8])


def test_a_first_result_is_told_at_once_and_more_wait_for_the_next_time() -> None:
    node = OneNode()
    node.board.tell_changes()
    node.learn(1)
    assert [facts.results for facts in node.told] == [0, 1]
    node.learn(2, 3)
    assert len(node.told) == 2
    node.board.tell_changes()
    node.board.tell_changes()
    assert [facts.results for facts in node.told] == [0, 1, 3]


def test_the_first_change_after_a_while_is_told_at_once() -> None:
    node = OneNode()
    node.learn(1)
    node.now_s += TELL_EVERY_S
    node.learn(2)
    assert [facts.results for facts in node.told] == [1, 2]


def test_whoever_has_just_become_equal_to_what_a_peer_said_a_moment_ago_asks_it() -> None:
    """The peer has made one more result since, and says so with its next report."""
    here, there = OneNode("here"), OneNode("there")
    there.learn(1)
    here.board.heard(PEER, there.told[-1])
    there.learn(2)
    here.learn(1)
    assert here.board.worth_asking(PEER, ACTIONS[2:3])


def test_a_peer_that_left_is_asked_like_a_stranger() -> None:
    here = OneNode()
    here.board.heard(PEER, OneNode("there").board.own())
    here.board.forget(PEER)
    assert here.board.worth_asking(PEER, ACTIONS)


def test_the_digest_follows_what_is_dropped_and_survives_a_restart() -> None:
    disk = SimDisk(World(2), "disk")
    cache = ResultCache(disk.open())
    empty = cache.digest
    cache.put(signed(1), ACTIONS[1])
    one = cache.digest
    cache.put(signed(2), ACTIONS[2])
    cache.put(signed(3), ACTIONS[2])
    cache.forget(ACTIONS[2])
    assert cache.digest == one != empty
    assert ResultCache(disk.open()).digest == one


def test_only_the_newest_tools_are_told_and_replaced_ones_are_not() -> None:
    tools = KnownTools()
    for action in ACTIONS:
        tools.saw(action)
    assert len(tools.told()) == TOOLS_TOLD_MAX
    tools.gone(ACTIONS[-1])
    assert ACTIONS[-1][:8] not in tools.told()
    assert ACTIONS[-2][:8] in tools.told()


def test_a_board_tells_peers_what_the_scheduler_asks() -> None:
    node = OneNode()
    node.tools.saw(ACTIONS[4])
    peer = PeerState(PEER)
    peer.tools = frozenset(node.board.own().tools)
    assert ACTIONS[4][:8] in peer.tools
