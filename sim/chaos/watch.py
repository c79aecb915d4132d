"""What nodes believe and complain of: one thread a node asks its control socket and reads its log.

`status` is asked twice a second; `why`, which says epoch and incarnation, of every member whose
state is another than before, and of all now and then. What was found is handed to the world's
thread. A node that does not answer in time is asked again later: its last answer grows old, and
`Seen.age_s` says so. Deliberately not here: any judgement.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from cli.client import Call
from mesh.errors import MeshError
from mesh.swim.effects import NO_LOAD, MemberView, State
from mesh.types import Address, NodeId
from sim.chaos.node import ChaosNode

PERIOD_S = 0.5
ANSWER_TIMEOUT_S = 2.0
ALL_AGAIN = 6
"""Every so many rounds all members are asked about."""
TRACEBACK = "Traceback (most recent call last):"
STATES: Mapping[str, State] = {
    "alive": State.ALIVE,
    "suspect": State.SUSPECT,
    "unreachable": State.UNREACHABLE,
    "dead": State.DEAD,
    "left": State.LEFT,
    "offline": State.LEFT,
}


@attrs.frozen
class Look:
    """One answer of one life of one node."""

    observer: int
    life: int
    states: Mapping[str, str]
    """Hexadecimal node id -> word, everybody on the roster."""
    views: tuple[MemberView, ...]
    """Of those that were asked about."""


@attrs.frozen
class Complaint:
    """A traceback in a log."""

    node: int
    what: str
    detail: str


def ask(home: Path, op: str, **params: object) -> dict[str, Any] | None:
    """One answer, or None when there is none in time."""
    try:
        with Call(str(home), op, **params) as call:
            return call.result(timeout_s=ANSWER_TIMEOUT_S)
    except (MeshError, OSError, ValueError):
        return None


def ask_why(home: Path, node_id: str) -> MemberView | None:
    """How the node at `home` sees a member; None when it knows nothing of it, or does not say."""
    said = ask(home, "why", node=node_id)
    if said is None or said["epoch"] == 0:
        return None
    return MemberView(
        node_id=NodeId(bytes.fromhex(said["id"])),
        state=STATES[said["state"]],
        since_s=time.monotonic() - (said["since_ago_s"] or 0.0),
        epoch=said["epoch"],
        incarnation=said["incarnation"],
        address=_address(said["address"]),
        peer_port=0,
        join_port=0,
        load=NO_LOAD,
        rtt_s=None,
    )


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port or 0)


class Watcher:
    """One node's thread."""

    def __init__(
        self,
        node: ChaosNode,
        looked: Callable[[Look], None],
        complained: Callable[[Complaint], None],
    ) -> None:
        self._node = node
        self._looked = looked
        self._complained = complained
        self._over = threading.Event()
        self._life = 0
        self._words: dict[str, str] = {}
        self._rounds = 0
        self._read_bytes = 0
        self._thread = threading.Thread(target=self._run, name=f"watch {node.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def join(self) -> None:
        """Wait for its end; read the log's last lines."""
        if self._thread.is_alive():
            self._thread.join(timeout=2 * ANSWER_TIMEOUT_S)
        self._read_log(final=True)

    def _run(self) -> None:
        while not self._over.wait(PERIOD_S):
            node = self._node
            if node.running and not node.frozen and not node.ending:
                self._look(node.lives)
            self._read_log(final=False)

    def _look(self, life: int) -> None:
        if life != self._life:
            self._life, self._words = life, {}
        status = ask(self._node.home, "status")
        if status is None or status["mesh"] is None:
            return
        words = {each["id"]: each["state"] for each in status["nodes"] if not each["self"]}
        self._rounds += 1
        asked = [
            node_id
            for node_id, word in sorted(words.items())
            if self._words.get(node_id) != word or not self._rounds % ALL_AGAIN
        ]
        views = [ask_why(self._node.home, node_id) for node_id in asked]
        self._words = words
        found = tuple(view for view in views if view is not None)
        self._looked(Look(self._node.index, life, words, found))

    def _read_log(self, *, final: bool) -> None:
        """Tracebacks in what has been written since. A half-written one waits for the next turn."""
        try:
            with self._node.log.open("rb") as file:
                file.seek(self._read_bytes)
                data = file.read()
        except OSError:
            return
        text = data.decode("utf-8", "replace")
        if TRACEBACK in text and not final and not _is_whole(text):
            return
        self._read_bytes += len(data)
        for what, detail in tracebacks(text):
            self._complained(Complaint(self._node.index, what, detail))


def _is_whole(text: str) -> bool:
    """Whether the last traceback has its last line: one that is not indented."""
    after = text.rpartition(TRACEBACK)[2].splitlines()
    return any(line and not line.startswith((" ", "\t", "|", "+")) for line in after[1:])


def tracebacks(text: str) -> list[tuple[str, str]]:
    """(exception, whole traceback) of each in a log."""
    found = []
    for part in text.split(TRACEBACK)[1:]:
        lines = part.splitlines()[1:]
        ends = [n for n, line in enumerate(lines) if line and not line.startswith((" ", "\t"))]
        end = ends[0] if ends else len(lines) - 1
        kept = lines[: end + 1]
        last = kept[-1].strip(" |") if kept else ""
        name, colon, rest = last.partition(":")
        found.append((name.rpartition(".")[2] + colon + rest, "\n".join([TRACEBACK, *kept])))
    return found
