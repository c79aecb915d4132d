"""Leaves at the lines of real nodes: the firmware's core on a board made of memory, over a socket.

Only the trial is shorter than in life.
"""

from __future__ import annotations

import base64
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import nodes
import pytest
import trio
from nodes import until, world

from mesh.control.ops import check_request
from mesh.errors import (
    LeafAway,
    LeafNotProvisioned,
    LeafOldCounter,
    LeafTaken,
    LeafUnsigned,
    LeafWrongTarget,
    MeshError,
    NoLeaf,
    NoSuchLeaf,
    NotAllowed,
    NotItsAuthority,
    ProgramRefused,
    RuleFileWrong,
    SerialUnavailable,
    StoreFull,
    TooManyRules,
    WrongBaud,
)
from mesh.identity.keys import generate_key
from mesh.identity.roles import Role
from mesh.leaf.messages import Event, EventKind
from mesh.leaf.segment import segment_of
from mesh.node.handlers import handlers_of
from mesh.node.leaves import desk, line
from mesh.node.leaves import waiting as waiting_module
from mesh.node.leaves.waiting import WaitingEvents
from mesh.node.node import Node
from mesh.rules.program import BoardKind, LeavesOf, OneLeaf, decode_program
from mesh.rules.signed import read_package, sign_program
from mesh.state.leaves import written
from mesh.wire.leaf_messages import LeafNews
from sim.leaves.serve import BoardServer

COUNT = """
@every("20ms")
def count(n: int = 0):
    n += 1
    gpio(5).set(adc(0) > 2000)
    emit(1, n)
"""
ASK = """
@every("50ms")
def limit(asked: bool = False, top: int = 0):
    if not asked:
        asked = True
        ask(7, adc(0), into=top)
    gpio(5).set(top == 42)
"""
PATIENCE_S = 20


class Emitted(list[Mapping[str, Any]]):
    """What an operation emits. Never too slow."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.append(event)

    async def room(self) -> None:
        await trio.lowlevel.checkpoint()


async def ask(node: Node, op: str, **params: Any) -> Any:
    """One operation of the control socket; its view."""
    name, complete = check_request({"op": op, **params})
    with trio.fail_after(60):
        return await handlers_of(node)[name](complete, Emitted())  # type: ignore[arg-type]


@attrs.define
class Bench:
    """A board, its socket, and the nodes."""

    world: nodes.World
    server: BoardServer
    port: str

    @property
    def alice(self) -> Node:
        return self.world.alice

    @property
    def bob(self) -> Node:
        return self.world.bob

    async def join(self, node: Node | None = None) -> str:
        """Provision the leaf at alice, attach it at `node`; its name."""
        made = await ask(self.alice, "leaf_provision", port=self.port, name="greenhouse")
        if node is self.bob:
            await until(lambda: self.bob.runtime.identity.leaves() != (), "the admission")
        await ask(node or self.alice, "leaf_attach", port=self.port)
        return str(made["name"])

    async def deploy(self, source: str = COUNT, node: Node | None = None, **more: Any) -> Any:
        given = {"names": ["r.py"], "sources": [source]} if "package" not in more else {}
        return await ask(node or self.alice, "leaf_deploy", leaf="greenhouse", **given, **more)

    async def leaf_of(self, node: Node) -> Any:
        return (await ask(node, "leaf_list"))["leaves"][0]


@asynccontextmanager
async def bench(tmp_path: Path, **options: Any) -> AsyncIterator[Bench]:
    path = tmp_path / "leaf.sock"
    server = BoardServer(path, BoardKind.STM32F405)
    async with world(tmp_path, **options) as mesh:
        await mesh.nursery.start(server.run)
        yield Bench(mesh, server, f"unix:{path}")


@pytest.fixture(autouse=True)
def _short_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "TRIAL_S", 0.2)
    monkeypatch.setattr(line, "POLL_EVERY_S", 0.1)
    monkeypatch.setattr(desk, "MEET_S", 0.8)


def kept(node: Node) -> list[tuple[bytes, int, int]]:
    """(start, number, value) of all events a node has of the only leaf, in order."""
    (member,) = node.runtime.identity.leaves()
    return [
        (segment.boot_nonce, number, event.value)
        for segment in node.runtime.leaves.events.history(member.node_id).segments()
        for number, event in enumerate(segment.events, segment.first)
    ]


def missing(node: Node) -> int:
    (member,) = node.runtime.identity.leaves()
    return node.runtime.leaves.events.history(member.node_id).missing


# -- the way of a leaf -----------------------------------------------------------------------------
async def test_a_leaf_is_provisioned_attached_and_given_rules(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        with pytest.raises(LeafNotProvisioned):
            await ask(b.alice, "leaf_attach", port=b.port)
        assert await b.join() == "greenhouse"
        view = await b.deploy()
        assert view["deployed"]
        assert view["counter"] == 1
        assert view["rules"] == ["count"]
        b.server.board.set_input(0, 3000)
        await until(lambda: b.server.board.pin(5) == 1, "the relay")
        shown = await ask(b.alice, "leaf_show", leaf="greenhouse")
        assert shown["state"] == "alive"
        assert shown["gateway"] == "alice"
        assert shown["rule_states"][0]["name"] == "count"
        assert shown["rule_states"][0]["slots"]["n"] > 0
        assert shown["trial"] is False
        assert shown["quality_percent"] == 100


async def test_every_member_sees_the_leaf_and_its_events(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        await b.deploy()
        await until(lambda: len(kept(b.bob)) > 20, "events at bob")
        assert set(kept(b.bob)) <= set(kept(b.alice))
        status = await ask(b.bob, "status")
        assert status["leaves"][0]["gateway"] == "alice"
        assert len(status["nodes"]) == 3, "a leaf is no node"
        members = await ask(b.bob, "members")
        row = next(each for each in members["members"] if each["name"] == "greenhouse")
        assert (row["role"], row["state"], row["address"]) == ("leaf", "alive", "via alice")


async def test_a_program_reaches_a_leaf_at_another_gateway(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join(node=b.bob)
        await until(lambda: b.alice.runtime.leaves.seen() != {}, "the news of the leaf")
        assert (await b.deploy(node=b.alice))["counter"] == 1
        with pytest.raises(NotItsAuthority):
            await b.deploy(node=b.bob)


# -- events, exactly once --------------------------------------------------------------------------
async def test_no_event_is_lost_or_doubled_when_the_cable_is_pulled(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        await b.deploy(COUNT.replace("20ms", "100ms"))  # the ring holds over six seconds of it
        for _ in range(3):
            before = len(kept(b.alice))
            b.server.unplug()
            await trio.sleep(0.4)  # the rule goes on
            b.server.plug()
            await until(lambda: len(kept(b.alice)) > before + 10, "events after the cable")  # noqa: B023
        names = [(boot, number) for boot, number, _ in kept(b.alice)]
        assert len(names) == len(set(names))
        assert [number for _, number in names] == list(range(len(names)))
        assert missing(b.alice) == 0


async def test_what_the_leaf_had_to_drop_is_counted(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        await b.deploy()
        b.server.unplug()
        await trio.sleep(2.5)  # over a hundred events
        b.server.plug()
        await until(lambda: missing(b.alice) > 0, "the gap")
        names = [number for _, number, _ in kept(b.alice)]
        assert len(names) + missing(b.alice) == names[-1] + 1
        logs = Emitted()
        name, params = check_request({"op": "leaf_logs", "leaf": "greenhouse", "last": 10_000})
        await handlers_of(b.alice)[name](params, logs)  # type: ignore[arg-type]
        gaps = [each["missing"] for each in logs if each["event"] == "leaf_gap"]
        assert sum(gaps) == missing(b.alice)


async def test_two_gateways_in_turn_end_with_the_same_events(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        await b.deploy()
        await until(lambda: len(kept(b.alice)) > 20, "events at alice")
        for taker, giver in ((b.bob, b.alice), (b.alice, b.bob), (b.bob, b.alice)):
            await ask(giver, "leaf_detach", port=b.port)
            await until(lambda: b.server._stream is None, "a free line")
            await ask(taker, "leaf_attach", port=b.port)
            had = len(kept(taker))
            await until(lambda: len(kept(taker)) > had + 10, "events at the next one")  # noqa: B023
        await ask(b.bob, "leaf_detach", port=b.port)
        await until(lambda: kept(b.alice) == kept(b.bob) and not missing(b.bob), "the same events")
        values = [value for _, _, value in kept(b.alice)]
        assert len(values) == len({(boot, number) for boot, number, _ in kept(b.alice)})
        assert missing(b.alice) == missing(b.bob) == 0


async def test_events_that_cannot_be_written_stay_with_the_leaf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        await b.deploy(COUNT.replace("20ms", "300ms"))  # the ring holds 19 s of it
        disk, full = b.alice.env.disk, True
        append = disk.append

        def fail(name: str, data: bytes) -> None:
            if full and name.startswith("leaf/waiting"):
                raise StoreFull(path=name)
            append(name, data)

        monkeypatch.setattr(disk, "append", fail)
        waiting = b.alice.runtime.leaves.waiting
        await until(lambda: not waiting.leaves(), "what came before in the log")
        had = len(kept(b.alice))
        await trio.sleep(1)  # three more events of the rule
        assert len(kept(b.alice)) == had
        full = False
        await until(lambda: len(kept(b.alice)) > had + 5, "events after the full disk")
        assert [number for _, number, _ in kept(b.alice)] == list(range(len(kept(b.alice))))


async def test_a_start_of_the_leaf_is_a_stream_of_its_own(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        # Slow enough for the ring, until the gateway has noticed the restart.
        await b.deploy(COUNT.replace("20ms", "200ms"))
        for _ in range(2):
            starts = len({boot for boot, _, _ in kept(b.alice)})
            b.server.restart()
            await until(lambda: len({x for x, _, _ in kept(b.alice)}) > starts, "a new start")  # noqa: B023
        assert missing(b.alice) == 0


# -- refusals --------------------------------------------------------------------------------------
async def test_bad_programs_are_refused_in_words_and_the_old_one_runs_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        good = await b.deploy()
        identity = b.alice.runtime.identity
        program = decode_program(read_package(base64.b64decode(good["package"])).program)

        def signed(key: Any = identity.key, **changes: Any) -> str:
            other = attrs.evolve(program, **{"counter": 50, **changes})
            return base64.b64encode(sign_program(other, identity.mesh_id, key.sign)).decode()

        endless = attrs.evolve(program.rules[0], worst=1)
        refusals: list[tuple[type[MeshError], str]] = [
            (LeafUnsigned, signed(generate_key(b.alice.env.entropy))),
            (LeafWrongTarget, signed(target=OneLeaf(bytes(8)))),
            (LeafWrongTarget, signed(target=LeavesOf(BoardKind.RP2040))),
            (ProgramRefused, signed(rules=(endless,))),
            (LeafOldCounter, signed(counter=1, target=LeavesOf(BoardKind.STM32F405))),
        ]
        for wanted, package in refusals:
            with pytest.raises(wanted) as caught:
                await b.deploy(package=package)
            assert "greenhouse" in caught.value.message()
        shown = await ask(b.alice, "leaf_show", leaf="greenhouse")
        assert shown["counter"] == 1
        count = len(kept(b.alice))
        await until(lambda: len(kept(b.alice)) > count + 5, "the old program")
        assert (await b.deploy())["counter"] == 2


async def test_bad_rule_files_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        rule = '@every("1s")\ndef r{}():\n    gpio(5).set(True)\n'
        with pytest.raises(TooManyRules):
            await b.deploy("".join(rule.format(n) for n in range(5)))
        with pytest.raises(RuleFileWrong) as caught:
            await ask(
                b.alice,
                "leaf_deploy",
                leaf="greenhouse",
                names=["a.py", "b.py"],
                sources=[rule.format(1), rule.format(2).replace("5", "999")],
            )
        assert caught.value.params["where"].startswith("b.py:")
        with pytest.raises(NoSuchLeaf):
            await ask(b.alice, "leaf_show", leaf="cellar")


async def test_a_leaf_that_is_nowhere_is_away(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        await ask(b.alice, "leaf_detach", port=b.port)
        with pytest.raises(LeafAway):
            await b.deploy()
        assert (await b.leaf_of(b.alice))["state"] == "offline"


async def test_ports_without_a_leaf_say_what_is_there(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        with pytest.raises(SerialUnavailable):
            await ask(b.alice, "leaf_attach", port="/dev/does-not-exist")
        for said, wanted in (
            (b"", NoLeaf),
            (b"login: \r\n", NoLeaf),
            (b"\x80\xfe\x00\x9c\x13" * 20, WrongBaud),
        ):
            port = await _stranger(b, tmp_path / f"{len(said)}.sock", said)
            with pytest.raises(wanted):
                await ask(b.alice, "leaf_attach", port=port)
        assert b.alice.runtime.leaves.lines() == []


async def _stranger(b: Bench, path: Path, said: bytes) -> str:
    """A socket at which something that is no leaf talks."""
    listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listening.bind(str(path))
    listening.listen(4)

    async def talk(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            async with stream:
                await stream.send_all(said)
                while await stream.receive_some():
                    pass

    listener = trio.SocketListener(listening)
    b.world.nursery.start_soon(trio.serve_listeners, talk, [listener])
    return f"unix:{path}"


async def test_a_removed_leaf_is_left_alone_until_it_is_released(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        with pytest.raises(NotAllowed):
            await ask(b.bob, "leaf_remove", leaf="greenhouse")
        await ask(b.alice, "leaf_remove", leaf="greenhouse")
        line = b.alice.runtime.leaves.line(b.port)
        assert line is not None
        await until(lambda: "not admitted" in line.trouble, "the distrust")
        await until(lambda: b.bob.runtime.identity.leaves() == (), "bob's roster")
        with pytest.raises(LeafTaken):
            await ask(b.alice, "leaf_provision", port=b.port)
        assert not b.alice.runtime.identity.leaves()


async def test_only_an_admin_provisions(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        with pytest.raises(NotAllowed):
            await ask(b.bob, "leaf_provision", port=b.port)


async def test_provisioning_twice_changes_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        again = await ask(b.alice, "leaf_provision", port=b.port)
        assert again["known"]
        assert again["name"] == "greenhouse"


# -- questions -------------------------------------------------------------------------------------
async def test_a_question_is_answered_by_the_command(tmp_path: Path) -> None:
    script = tmp_path / "answer.py"
    script.write_text("import sys\nassert sys.argv[1:] == ['7', '99']\nprint(42)\n")
    async with bench(tmp_path) as b:
        b.server.board.set_input(0, 99)
        await ask(b.alice, "leaf_provision", port=b.port, name="greenhouse")
        await ask(b.alice, "leaf_attach", port=b.port, answer=[sys.executable, str(script)])
        await b.deploy(ASK)
        await until(lambda: b.server.board.pin(5) == 1, "the answer")


async def test_an_answer_that_is_no_number_goes_nowhere(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await ask(b.alice, "leaf_provision", port=b.port, name="greenhouse")
        await ask(b.alice, "leaf_attach", port=b.port, answer=["echo", "open the door"])
        await b.deploy(ASK)
        await trio.sleep(0.5)
        assert b.server.board.pin(5) == 0
        assert (await b.leaf_of(b.alice))["state"] == "alive"


# -- restarts and liars ----------------------------------------------------------------------------
def fill_log(node: Node, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The log takes nothing more; the answer makes room again."""
    replica = node.runtime.state.replica
    full = [replica]
    has_room = type(replica).has_room

    def asked(each: Any) -> bool:
        return each not in full and bool(has_room.fget(each))

    monkeypatch.setattr(type(replica), "has_room", property(asked))
    return full.clear


async def test_events_wait_on_disk_in_order_while_the_log_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        make_room = fill_log(b.alice, monkeypatch)
        await b.deploy()
        (leaf,) = b.alice.runtime.identity.leaves()
        waiting, here = b.alice.runtime.leaves.waiting, len(kept(b.alice))

        def waits() -> int:
            return sum(each.count for each in waiting.segments(leaf.node_id))

        await until(lambda: waits() > 20, "events that wait")
        assert len(kept(b.alice)) == here
        next_process = WaitingEvents(b.alice.env, b.alice.runtime.counters)
        await next_process.load()
        read = next_process.segments(leaf.node_id)
        assert read == waiting.segments(leaf.node_id)[: len(read)]
        assert len(read) > 1
        assert [each.port for each in b.alice.runtime.leaves._remembered()] == [b.port]
        make_room()
        await ask(b.alice, "leaf_detach", port=b.port)
        await until(lambda: waits() == 0, "what waited in the log")
        await until(lambda: kept(b.bob) == kept(b.alice), "the same at bob's")
        assert [number for _, number, _ in kept(b.bob)] == list(range(len(kept(b.bob))))
        assert len(kept(b.bob)) > here + 20
        monkeypatch.setattr(waiting_module, "LEAF_WAITING_DROP_BYTES", 0)
        await waiting.drop(leaf.node_id, 0)
        assert b.alice.env.disk.read(f"leaf/waiting/{leaf.node_id.hex()}.log") == b""


async def test_a_torn_record_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        fill_log(b.alice, monkeypatch)
        await b.deploy()
        (leaf,) = b.alice.runtime.identity.leaves()
        waiting = b.alice.runtime.leaves.waiting
        await until(lambda: len(waiting.segments(leaf.node_id)) > 2, "events that wait")
        await ask(b.alice, "leaf_detach", port=b.port)
        name = f"leaf/waiting/{leaf.node_id.hex()}.log"
        size = len(b.alice.env.disk.read(name) or b"")
        b.alice.env.disk.append(name, b"\x00\x00\x00\x40torn by a crash")
        again = WaitingEvents(b.alice.env, b.alice.runtime.counters)
        await again.load()
        assert again.segments(leaf.node_id) == waiting.segments(leaf.node_id)
        assert len(b.alice.env.disk.read(name) or b"") == size


async def test_what_was_entered_twice_counts_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        await b.deploy()
        await until(lambda: len(kept(b.alice)) > 20, "events")
        (leaf,) = b.alice.runtime.identity.leaves()
        for segment in list(b.alice.runtime.leaves.events.history(leaf.node_id).segments()):
            b.bob.runtime.state.write(written(leaf.node_id, segment))
        await ask(b.alice, "leaf_detach", port=b.port)
        await until(lambda: kept(b.alice) == kept(b.bob), "the same events")
        names = [(boot, number) for boot, number, _ in kept(b.alice)]
        assert len(names) == len(set(names))


async def test_a_lying_member_changes_no_event(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        await b.deploy()
        await until(lambda: len(kept(b.alice)) > 10, "events")
        (leaf,) = b.alice.runtime.identity.leaves()
        boot = kept(b.alice)[0][0]
        lies = [Event(0, EventKind.EMITTED, 0, 1, 666, 0)] * 250
        b.bob.runtime.state.write(written(leaf.node_id, segment_of(boot, 3, bytes(32), lies)))
        for node in (b.alice, b.bob):
            history = node.runtime.leaves.events.history
            await until(lambda: history(leaf.node_id).refused == 1, "the leaf's word")  # noqa: B023
            assert all(value != 666 for _, _, value in kept(node))
            names = [number for _, number, _ in kept(node)]
            assert names == list(range(len(names)))


async def test_a_member_may_say_that_it_has_a_leaf_and_who_has_proved_it_counts(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        await b.join()
        (leaf,) = b.alice.runtime.identity.leaves()
        speaker = await b.world.intruder.connect(b.alice)
        await speaker.send(LeafNews(leaf.node_id, "anywhere", trusted=False, trouble="I have it"))
        await speaker.send(LeafNews(b.world.intruder.node_id, "there", trusted=True))
        leaves = b.alice.runtime.leaves
        await until(lambda: "leaf.bad-input.stranger" in leaves.counters.snapshot(), "both")
        assert leaves.seen()[leaf.node_id].gateway == b.alice.key.node_id


async def test_a_viewer_tells_nothing_about_leaves(tmp_path: Path) -> None:
    async with bench(tmp_path, intruder_role=Role.VIEWER) as b:
        await b.join()
        (leaf,) = b.alice.runtime.identity.leaves()
        speaker = await b.world.intruder.connect(b.alice)
        await speaker.send(LeafNews(leaf.node_id, "here", trusted=True))
        leaves = b.alice.runtime.leaves
        await until(lambda: "leaf.bad-input.role" in leaves.counters.snapshot(), "the refusal")
        assert b.world.intruder.node_id not in {each.gateway for each in leaves.seen().values()}
