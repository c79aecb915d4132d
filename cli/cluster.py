"""A local cluster: N nodes of one mesh on this machine, on 127.0.0.1, in DIR/node-1 .. node-N.

Node 1 makes the mesh and an invitation, the others join with it. A cluster that was stopped starts
again with the same identities and caches. The last one started is remembered in the state
directory, so that `vitte dist run`, `status` and `stop` find it without `--home`.

They learn of each other's addresses here, and again by mDNS, which the kernel keeps on the loopback
interface: a node that starts alone later is found by the others, and finds them.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from cli import daemon, homes
from cli.client import Call, ask
from mesh.errors import ClusterRunning, MeshError, NodeDidNotStart
from mesh.limits import LOCAL_NODES_MAX

MESH_NAME = "local"
LOOPBACK = "127.0.0.1"
CONVERGE_TIMEOUT_S = 30.0
POLL_S = 0.05
INVITE_FOR_S = 600.0


class Cluster:
    """The nodes of one directory. `options` are extra arguments for every node."""

    def __init__(self, directory: str, nodes: int, options: tuple[str, ...] = ()) -> None:
        assert 1 <= nodes <= LOCAL_NODES_MAX
        self.directory = directory
        self.homes = [homes.node_home(directory, number + 1) for number in range(nodes)]
        self._options = options

    @property
    def first(self) -> str:
        """Home of the node that commands talk to."""
        return self.homes[0]

    def running(self) -> bool:
        return any(daemon.owner_pid(home) is not None for home in self.homes)

    def start(self) -> float:
        """Start all and return once they see each other; seconds taken.

        Raises ClusterRunning, NodeDidNotStart. What was started is stopped again on failure.
        """
        if self.running():
            raise ClusterRunning(directory=self.directory)
        begin_s = time.monotonic()
        Path(self.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._spawn()
            self._enter_mesh()
            self._converge()
        except BaseException:
            self.stop()
            raise
        return time.monotonic() - begin_s

    def stop(self) -> int:
        """Stop all; the number that ran. All are asked at once, then waited for one by one."""
        ran = {home for home in self.homes if daemon.owner_pid(home) is not None}
        with ExitStack() as asked:
            for home in ran:
                with suppress(MeshError):
                    asked.enter_context(Call(home, "stop"))
            ran |= {home for home in self.homes if daemon.stop(home)}
        return len(ran)

    def remember(self) -> None:
        """Make this the cluster that commands find by themselves."""
        path = Path(homes.pointer_path())
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        pointer = {"directory": self.directory, "nodes": len(self.homes)}
        path.write_text(json.dumps(pointer) + "\n", encoding="utf-8")

    def _spawn(self) -> None:
        nodes = []
        for number, home in enumerate(self.homes, 1):
            own = ("--name", f"node-{number}", "--bind", LOOPBACK, "--discovery", "mdns")
            nodes.append(daemon.spawn(home, (*own, *self._options)))
        try:
            for node in nodes:
                node.wait_ready()
        except BaseException:
            for node in nodes:
                node.kill()
            raise

    def _enter_mesh(self) -> None:
        pings = [ask(home, "ping") for home in self.homes]
        outside = [at for at, ping in enumerate(pings) if ping["mesh"] is None]
        if 0 in outside:
            ask(self.first, "init", mesh_name=MESH_NAME, node_name="node-1")
        self._reconnect([at for at in range(1, len(self.homes)) if at not in outside])
        newcomers = [at for at in outside if at > 0]
        if newcomers:
            self._join(newcomers)

    def _reconnect(self, members: list[int]) -> None:
        """Nodes of an earlier start: ports may be new, and announcements take seconds."""
        if not members:
            return
        status: dict[str, Any] = ask(self.first, "status")
        address = next(node["address"] for node in status["nodes"] if node["self"])
        for at in members:
            ask(self.homes[at], "connect", host=address)

    def _join(self, newcomers: list[int]) -> None:
        invitation = ask(self.first, "invite", uses=len(newcomers), for_s=INVITE_FOR_S)
        token = invitation["token"]
        calls = [
            Call(self.homes[at], "join", how="token", token=token, name=f"node-{at + 1}")
            for at in newcomers
        ]
        for call in calls:
            with call:
                call.result()

    def _converge(self) -> None:
        deadline_s = time.monotonic() + CONVERGE_TIMEOUT_S
        alive = 0
        while time.monotonic() < deadline_s:
            alive = min(_alive(home) for home in self.homes)
            if alive >= len(self.homes):
                return
            time.sleep(POLL_S)
        raise NodeDidNotStart(
            home=self.first,
            why=f"only {alive} of {len(self.homes)} nodes see each other",
            log=f"{self.first}/node.log",
        )


def _alive(home: str) -> int:
    status: dict[str, Any] = ask(home, "status")
    return sum(node["state"] == "alive" for node in status["nodes"])


def existing(directory: str) -> Cluster | None:
    """The cluster of a directory, by the homes that are there."""
    count = 0
    while count < LOCAL_NODES_MAX and Path(homes.node_home(directory, count + 1)).is_dir():
        count += 1
    return Cluster(directory, count) if count else None


def remembered() -> Cluster | None:
    """The cluster that was started last, running or not."""
    known = homes.remembered_cluster()
    return existing(known[0]) if known else None


def forget(directory: str) -> None:
    """Remember this cluster no longer."""
    known = homes.remembered_cluster()
    if known is not None and known[0] == directory:
        Path(homes.pointer_path()).unlink(missing_ok=True)
