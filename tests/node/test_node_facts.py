"""What peers say about their tools, and whom it saves from being handed shards in vain."""

from __future__ import annotations

from mesh.limits import TOOLS_TOLD_MAX
from mesh.node.facts import FactBoard, KnownTools
from mesh.scheduler.peers import PeerState
from mesh.types import NodeId, digest_of
from mesh.wire.messages import NodeFacts

PEER = NodeId(bytes([7]) * 32)
ACTIONS = [digest_of(bytes([number])) for number in range(20)]


def test_a_change_of_tools_is_told_once_and_with_it_all_of_them() -> None:
    tools, told = KnownTools(), list[NodeFacts]()
    board = FactBoard(tools, told.append)
    board.tell_changes()
    assert not told, "nobody expects any"
    tools.saw(ACTIONS[0])
    board.tell_changes()
    board.tell_changes()
    tools.saw(ACTIONS[1])
    board.tell_changes()
    assert [len(facts.tools) for facts in told] == [1, 2]
    assert told[-1] == board.own()


def test_only_the_newest_tools_are_told_and_replaced_ones_are_not() -> None:
    tools = KnownTools()
    for action in ACTIONS:
        tools.saw(action)
    assert len(tools.told()) == TOOLS_TOLD_MAX
    tools.gone(ACTIONS[-1])
    assert ACTIONS[-1][:8] not in tools.told()
    assert ACTIONS[-2][:8] in tools.told()


def test_a_board_tells_peers_what_the_scheduler_asks() -> None:
    tools = KnownTools()
    board = FactBoard(tools, lambda _facts: None)
    tools.saw(ACTIONS[4])
    peer = PeerState(PEER)
    peer.tools = frozenset(board.own().tools)
    assert ACTIONS[4][:8] in peer.tools
