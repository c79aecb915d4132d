"""`vitte audit` without a node: a home's log and exported files, whole, damaged and forged."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from mesh.errors import LogUnreadable, MeshError, NoLogHere, NoSuchMember
from mesh.identity import trust
from mesh.identity.certificates import make_certificate
from mesh.identity.keys import NodeKey, load_or_create_key
from mesh.identity.records import ref_of
from mesh.identity.roles import Role
from mesh.identity.trust import MeshIdentity
from mesh.log.checkpoint import covers_in
from mesh.log.frame import Frame, seal
from mesh.log.model import EMPTY, FeedId, Lane
from mesh.log.segments import Segments
from mesh.node.audit.__main__ import answer, main
from mesh.node.real_env import real_env
from mesh.ports.real.discovery import StaticDiscovery
from mesh.state.events import (
    ActionResult,
    Event,
    Execution,
    Executions,
    Open,
    RunEvent,
    RunState,
    encode_event,
)
from mesh.types import Digest, RunId

BOB = NodeKey(b"b" * 32)
STRANGER = NodeKey(b"s" * 32)
WALL_MS = 1_790_000_000_000


def digest(fill: int) -> Digest:
    return Digest(bytes([fill]) * 32)


def result(fill: int) -> ActionResult:
    return ActionResult(digest(fill), digest(fill + 1), digest(fill + 2), 0, 12)


@attrs.define
class Home:
    """A home with a mesh of two, and a log that the test writes."""

    path: Path
    identity: MeshIdentity
    segments: Segments
    frames: list[Frame] = attrs.field(factory=list)

    def writes(self, key: NodeKey, lane: Lane, *batches: Sequence[Event | bytes]) -> None:
        """One frame for each batch, after what this key wrote on this lane before."""
        feed = FeedId(key.node_id, b"epoch--1", int(lane))
        for batch in batches:
            before = [frame for frame in self.frames if frame.feed == feed]
            head = before[-1].signed.head if before else EMPTY
            data = [each if isinstance(each, bytes) else encode_event(each) for each in batch]
            wall_ms = WALL_MS + 1000 * len(self.frames)
            mesh = self.identity.mesh_id
            self.keeps(seal(key.sign, mesh, feed, head, data, wall_ms=wall_ms, seen=bytes(8)))

    def keeps(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.segments.put(frame)
        self.segments.commit(0.0)

    def asks(self, name: str, **request: Any) -> Any:
        return answer(name, {"home": str(self.path), **request})

    @property
    def segment(self) -> Path:
        (only,) = (self.path / "log").iterdir()
        return only


@pytest.fixture
def home(tmp_path: Path) -> Home:
    env = real_env(tmp_path / "home", StaticDiscovery())
    key = load_or_create_key(env.disk, env.entropy)
    identity = trust.create(env, key, "atelier", "alice")
    identity.write_admit(BOB.node_id, "bob", Role.BUILDER, make_certificate(BOB, "bob"))
    segments = Segments(env.disk)
    assert not list(segments.load())
    made = Home(tmp_path / "home", identity, segments)
    member = identity.require("view")
    made.writes(key, Lane.CTL, [Open(ref_of(member.admission), (), "laptop")])
    made.writes(BOB, Lane.AC, [result(1), result(2)], [result(3)])
    made.writes(BOB, Lane.EXEC, [RunEvent(RunId(b"run-one."), int(RunState.FAILED), "build", 7, 2)])
    return made


def test_a_whole_log_is_whole_and_says_who_did_what(home: Home) -> None:
    view = home.asks("verify")
    assert view["whole"]
    rows = {(feed["node"], feed["events"], feed["frames"]) for feed in view["feeds"]}
    assert rows == {("alice", 1, 1), ("bob", 3, 2), ("bob", 1, 1)}
    said = home.asks("log", limit=10)
    assert [event["what"] for event in said["events"]] == [
        *("Open", "ActionResult", "ActionResult", "ActionResult", "RunEvent")
    ]
    last = said["events"][-1]
    assert last["details"] == {
        "run": b"run-one.".hex(),
        "state": "failed",
        "label": "build",
        "shards": 7,
        "hits": 2,
        "record": None,
    }
    assert (last["node"], last["seq"], last["wall_unix_s"]) == ("bob", 0, WALL_MS / 1000 + 3)
    newest = home.asks("log", limit=2)
    assert newest["total"] == 5
    assert newest["events"] == said["events"][-2:]


def test_shards_that_share_an_event_are_listed_one_by_one(home: Home) -> None:
    ran = tuple(Execution(shard, 0, digest(shard), shard, 5) for shard in range(3))
    home.writes(BOB, Lane.EXEC, [Executions(RunId(b"run-one."), BOB.node_id, ran)])
    said = home.asks("log", limit=2)
    assert said["total"] == 8
    assert [(each["what"], each["seq"]) for each in said["events"]] == [("Execution", 1)] * 2
    shown = [each["details"] for each in said["events"]]
    assert [(each["shard"], each["exit_status"]) for each in shown] == [(1, 1), (2, 2)]
    assert shown[0]["run"] == b"run-one.".hex()


def test_reading_leaves_a_torn_end_to_the_node_that_writes_it(home: Home) -> None:
    with home.segment.open("ab") as file:
        file.write(b"\xf5L half a record")
    before = home.segment.read_bytes()
    assert home.asks("verify")["whole"]
    assert home.segment.read_bytes() == before


def test_every_flipped_byte_of_the_log_is_noticed(home: Home) -> None:
    data = home.segment.read_bytes()
    for at in range(0, len(data), 37):
        home.segment.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
        view = home.asks("verify")
        assert not view["whole"] or view["torn_bytes"], f"byte {at}"


def test_a_body_that_came_again_is_healed_and_one_that_did_not_is_broken(home: Home) -> None:
    bodies = [frame for frame in home.frames if frame.feed.node == BOB.node_id][:2]
    data = bytearray(home.segment.read_bytes())
    for frame in bodies:
        assert frame.body is not None
        data[data.index(frame.body) + 5] ^= 1
    home.segment.write_bytes(data)
    spoiled = home.asks("verify")
    assert [each["healed"] for each in spoiled["damage"]] == [False, False]
    assert not spoiled["whole"]
    again = Segments(home.segments.disk)
    assert len(list(again.load())) == len(home.frames)
    for number, frame in enumerate(bodies, 1):  # as it comes from others
        again.put(frame)
        again.commit(1.0)
        view = home.asks("verify")
        assert [each["healed"] for each in view["damage"]] == [True] * number + [False] * (
            2 - number
        )
        assert view["whole"] == (number == 2)


def test_only_the_writer_that_is_asked_for_is_looked_at(home: Home) -> None:
    assert {feed["node"] for feed in home.asks("verify", node="bob")["feeds"]} == {"bob"}
    prefix = home.identity.node_id.hex()[:6]
    assert {feed["node"] for feed in home.asks("verify", node=prefix)["feeds"]} == {"alice"}
    with pytest.raises(NoSuchMember):
        home.asks("verify", node="nobody")


def test_a_stranger_a_bad_event_and_a_missing_frame_break_their_feeds(home: Home) -> None:
    home.writes(STRANGER, Lane.AC, [result(9)])
    home.writes(home.identity.key, Lane.AC, [b"\x01"])
    feed = FeedId(BOB.node_id, b"epoch--2", int(Lane.AC))
    mesh = home.identity.mesh_id
    head, seen = EMPTY, bytes(8)
    for fill in (5, 6):
        data = [encode_event(result(fill))]
        frame = seal(BOB.sign, mesh, feed, head, data, wall_ms=0, seen=seen)
        head = frame.signed.head
    home.keeps(frame)
    view = home.asks("verify")
    broken = {(f["id"], f["broken"]["reason"]) for f in view["feeds"] if f["broken"]}
    assert broken == {(STRANGER.node_id.hex(), "stranger"), (BOB.node_id.hex(), "gap")}
    assert [feed["node"] for feed in view["feeds"] if feed["bad_events"]] == ["alice"]
    assert not view["whole"]


def test_what_was_dropped_is_listed_as_lost(home: Home) -> None:
    gone = home.frames[1]
    assert not covers_in(gone)
    home.segments.drop([gone.signed])
    home.segments.commit(1.0)
    view = home.asks("lost")
    assert view["events"] == 2
    assert [(each["from_seq"], each["to_seq"], each["why"]) for each in view["lost"]] == [
        (0, 2, "dropped")
    ]
    feeds = {(f["node"], f["lost"]) for f in home.asks("verify")["feeds"]}
    assert ("bob", 2) in feeds


def test_an_exported_log_is_checked_anywhere_and_shows_where_it_breaks(
    home: Home, tmp_path: Path
) -> None:
    file = tmp_path / "bob.log"
    made = home.asks("export", out=str(file), node="bob")
    assert (made["frames"], made["events"]) == (3, 4)
    assert made["size_bytes"] == file.stat().st_size
    here = home.asks("verify", file=str(file))
    assert here["whole"]
    assert {feed["writer"] for feed in here["feeds"]} == {"member"}
    elsewhere = answer("verify", {"home": str(tmp_path / "none"), "file": str(file)})
    assert elsewhere["whole"]
    assert {feed["writer"] for feed in elsewhere["feeds"]} == {"unknown"}
    assert home.asks("log", file=str(file), limit=9)["total"] == 4
    data = file.read_bytes()
    at = data.index(home.frames[2].signed.signature)
    file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    broken = [f["broken"] for f in home.asks("verify", file=str(file))["feeds"] if f["broken"]]
    assert broken == [{"at": 2, "reason": "signature"}]
    file.write_bytes(data[:-5])
    cut = home.asks("verify", file=str(file))
    assert [each["reason"] for each in cut["unreadable"]] == ["truncated"]
    file.write_bytes(b"something else")
    with pytest.raises(LogUnreadable):
        home.asks("verify", file=str(file))


def test_the_command_answers_with_one_line(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", json.dumps({"home": str(home.path)})]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]["whole"] is True
    assert main(["verify", json.dumps({"home": os.fspath(tmp_path / "none")})]) == 0
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == NoLogHere.code
    assert issubclass(NoLogHere, MeshError)
