"""Two real nodes whose datagrams are lost while their TLS link lives: the link vouches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import nodes
import pytest

from mesh.node.node import Node
from mesh.node.real_env import real_env
from mesh.ports import Arrived, DatagramPort, Datagrams, Env, Refused
from mesh.ports.real.discovery import StaticDiscovery
from mesh.swim.config import LOOPBACK
from mesh.swim.effects import MemberView, PathTrouble, State
from mesh.types import Address


class Cable:
    """Carries all datagrams of the nodes, until it is cut."""

    cut = False


class CutPort:
    """A real port behind the cable."""

    def __init__(self, port: DatagramPort, cable: Cable) -> None:
        self._port = port
        self._cable = cable

    @property
    def address(self) -> Address:
        return self._port.address

    def send(self, data: bytes, to: Address) -> None:
        if not self._cable.cut:
            self._port.send(data, to)

    async def serve(self, handler: Callable[[Sequence[Arrived | Refused]], None]) -> None:
        await self._port.serve(handler)

    def take_waiting(self) -> Sequence[Arrived | Refused]:
        return self._port.take_waiting()

    def close(self) -> None:
        self._port.close()


@attrs.frozen
class CutDatagrams:
    real: Datagrams
    cable: Cable

    async def open(self, bind: Address) -> DatagramPort:
        return CutPort(await self.real.open(bind), self.cable)


def view(node: Node, other: Node) -> MemberView | None:
    return node.runtime.gossip.member(other.runtime.identity.node_id)


async def test_the_link_keeps_a_member_alive_and_the_broken_path_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cable = Cable()

    def env_in(folder: Path) -> Env:
        env = real_env(folder, StaticDiscovery())
        return attrs.evolve(env, datagrams=CutDatagrams(env.datagrams, cable))

    monkeypatch.setattr(nodes, "env_in", env_in)
    async with nodes.world(tmp_path) as mesh:
        alice, bob = mesh.nodes

        def met(one: Node, other: Node) -> bool:
            known = view(one, other)
            return known is not None and known.rtt_s is not None

        await nodes.until(lambda: met(alice, bob) and met(bob, alice), "gossip")
        cable.cut = True
        cut_s = alice.env.clock.monotonic()

        def named(one: Node, other: Node) -> bool:
            known = view(one, other)
            return known is not None and known.path is PathTrouble.SILENT

        await nodes.until(lambda: named(alice, bob) and named(bob, alice), "the path's name")
        judged_s = cut_s + LOOPBACK.patience_s + LOOPBACK.probe_interval_s + 1
        await alice.env.clock.sleep_until(judged_s)
        for one, other in ((alice, bob), (bob, alice)):
            known = view(one, other)
            assert known is not None
            assert known.state is State.ALIVE
            assert one.runtime.gossip.counters["accused"] == 0
        cable.cut = False
        await nodes.until(
            lambda: not named(alice, bob) and not named(bob, alice), "the path's recovery"
        )
