"""A node for tests of the command line: a real ControlServer, whose handlers follow a script.

In a test: `with FakeNode(home, run=handler) as node`. As a process: `python fake_node.py --home
DIR`, which plays a small mesh well enough for start, init, join and stop.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import trio

from mesh.control.server import ControlServer
from mesh.errors import AlreadyInMesh, TokenForged
from mesh.ports.real.control import SOCKET_NAME, RealControl
from mesh.ports.real.disk import RealDisk

MESH = {"name": "atelier", "id": "ab" * 32}


def node_view(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "id": name.encode().hex(),
        "state": "alive",
        "role": "builder",
        "self": False,
        "slots": 2,
        "busy": 0,
        "queued": 0,
        "cpu_percent": 7,
        "memory_free_mib": 2000,
        "cache_bytes": 2_100_000_000,
        "rtt_ms": 0.81,
        "address": "127.0.0.1:4242",
        "note": "",
        **fields,
    }


def status_view(**fields: Any) -> dict[str, Any]:
    return {
        "schema": "vitte.status/1",
        "mesh": MESH,
        "self": "paris-1",
        "nodes": [
            node_view("lyon-2", state="suspect", busy=2, note="2 of 3 probes lost"),
            node_view("paris-1", self=True, rtt_ms=None, queued=4, role="admin"),
            node_view("edge", state="dead", role="viewer", rtt_ms=None, cache_bytes=None),
        ],
        "runs": [],
        "health": ["clock of lyon-2 is 4.2 s ahead"],
        "sandbox": "bwrap",
        **fields,
    }


def run_view(**fields: Any) -> dict[str, Any]:
    return {
        "schema": "vitte.run/1",
        "run": "00ff00ff00ff00ff",
        "kind": "build",
        "root": "/src",
        "planner": "steps",
        "ok": True,
        "exit_code": 0,
        "cancelled": False,
        "shards": 3,
        "cached": 1,
        "remote": 1,
        "local": 1,
        "failed": 0,
        "skipped": 0,
        "stolen": 1,
        "duplicates": 0,
        "seconds": 3.14,
        "nodes": {"lyon-2": 1, "paris-1": 1},
        "failures": [],
        "warnings": [],
        "error": None,
        **fields,
    }


def failure_view(**fields: Any) -> dict[str, Any]:
    return {
        "name": "compile bad.c",
        "node": "lyon-2",
        "status": 1,
        "command": "cc -c bad.c",
        "rerun": "cd /src && cc -c bad.c",
        "stdout_tail": "",
        "stderr_tail": "bad.c:1: error: expected `;`\n",
        "error": None,
        **fields,
    }


def ok_view(op: str, **fields: Any) -> dict[str, Any]:
    return {"schema": f"vitte.{op}/1", **fields}


def control_of(home: Path) -> RealControl:
    return RealControl(home / SOCKET_NAME)


def owned(home: Path) -> AbstractContextManager[None]:
    return RealDisk(home).lock("node.pid", b"%d\n" % os.getpid())


class FakeNode:
    """A control server in a thread; `requests` are the operations it was asked for."""

    def __init__(self, home: Path | str, **handlers: Any) -> None:
        self.home = Path(home)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._handlers = {op: self._record(op, handler) for op, handler in handlers.items()}
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _record(self, op: str, handler: Any) -> Any:
        async def recorded(params: dict[str, Any], emit: Any) -> Any:
            self.requests.append((op, params))
            if callable(handler):
                return await handler(params, emit)
            if isinstance(handler, BaseException):
                raise handler
            return handler

        return recorded

    def _run(self) -> None:
        async def main() -> None:
            self._token = trio.lowlevel.current_trio_token()
            with owned(self.home):
                async with trio.open_nursery() as nursery:
                    self._scope = nursery.cancel_scope
                    server = ControlServer(control_of(self.home), self._handlers)
                    await nursery.start(server.serve)
                    self._ready.set()

        try:
            trio.run(main)
        except BaseException as error:
            self._failure = error
            self._ready.set()

    def __enter__(self) -> FakeNode:
        self._thread.start()
        assert self._ready.wait(10)
        assert self._failure is None, self._failure
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(10)
        assert not self._thread.is_alive()


def build_like(project: Path) -> dict[str, Any]:
    """Make an output; a view that tells whether it was there before."""
    made = project / "out.o"
    view = run_view(cached=3 if made.exists() else 0)
    made.write_text("built")
    return view


class Play:
    """The process's script: one mesh per directory above the homes, kept in small files."""

    def __init__(self, home: Path, name: str, scope: trio.CancelScope) -> None:
        self.home, self.name, self.scope = home, name, scope
        self.marker = home / "in-mesh"

    def mesh(self) -> dict[str, str] | None:
        return MESH if self.marker.exists() else None

    async def ping(self, _params: Any, _emit: Any) -> dict[str, Any]:
        return ok_view(
            "ping",
            version="0",
            pid=os.getpid(),
            home=str(self.home),
            name=self.name,
            mesh=self.mesh(),
        )

    async def init(self, params: Any, _emit: Any) -> dict[str, Any]:
        if self.marker.exists():
            raise AlreadyInMesh(name="atelier")
        self.marker.write_text("admin")
        return ok_view("init", mesh={**MESH, "name": params["mesh_name"]}, name=self.name)

    async def invite(self, params: Any, _emit: Any) -> dict[str, Any]:
        command = "vitte mesh join vm1-secret"
        return ok_view("invite", token="vm1-secret", command=command, **params)

    async def join(self, params: Any, emit: Any) -> dict[str, Any]:
        if params["how"] == "token" and params["token"] != "vm1-secret":
            raise TokenForged
        emit({"event": "found", "mesh": "atelier", "node": "node-1", "address": "127.0.0.1:1"})
        if params["how"] == "approval":
            emit({"event": "check_words", "words": ["orbit", "tulip", "fennel"]})
            emit({"event": "waiting", "seconds": 600.0})
        self.marker.write_text("builder")
        return ok_view("join", mesh=MESH, name=self.name, role="builder", members=2)

    async def status(self, _params: Any, _emit: Any) -> dict[str, Any]:
        homes = sorted(self.home.parent.glob("node-*"))
        inside = [home for home in homes if (home / "in-mesh").exists()]
        nodes = [node_view(home.name, self=home == self.home) for home in inside]
        return status_view(nodes=nodes, health=[], mesh=self.mesh())

    async def connect(self, params: Any, _emit: Any) -> dict[str, Any]:
        with (self.home / "connected").open("a") as file:
            file.write(params["host"] + "\n")
        return ok_view("connect", name="node-1", address=params["host"])

    async def run(self, params: Any, _emit: Any) -> dict[str, Any]:
        return build_like(Path(params["cwd"]))

    async def stop(self, _params: Any, _emit: Any) -> dict[str, Any]:
        if not (self.home / "deaf").exists():
            self.scope.deadline = trio.current_time() + 0.05
        return ok_view("stop", pid=os.getpid())


async def main(home: Path, name: str) -> None:
    if (home / "broken").exists():
        print("cannot open the store: it is broken", flush=True)
        sys.exit(3)
    with trio.CancelScope() as scope:
        play = Play(home, name, scope)
        names = ("ping", "init", "invite", "join", "status", "connect", "run", "stop")
        handlers = {op: getattr(play, op) for op in names}
        with owned(home):
            await ControlServer(control_of(home), handlers).serve()


if __name__ == "__main__":
    if Path(sys.argv[2], "deaf").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parser = argparse.ArgumentParser()
    for option in ("home", "bind", "name", "slots", "discovery", "sandbox"):
        parser.add_argument(f"--{option}")
    options = parser.parse_args()
    Path(options.home, "argv").write_text("\n".join(sys.argv[1:]))
    trio.run(main, Path(options.home), options.name or "host")
