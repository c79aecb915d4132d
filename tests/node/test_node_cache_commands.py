"""`vitte cache`: the node's operations on its own store."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.cas.scrub import Scrubber
from mesh.control.outbox import Outbox
from mesh.errors import AmbiguousBlob, BadRequest, CannotPlace, MeshError, NoSuchBlob
from mesh.limits import SCRUB_FIRST_S, SMALL_BLOB_BYTES_MAX
from mesh.node.cache_handlers import cache_handlers
from mesh.node.config import NodeConfig
from mesh.node.node import Node
from mesh.node.real_env import real_env
from mesh.node.views import doctor
from mesh.ports.real.discovery import StaticDiscovery
from mesh.wire.blobid import blob_id

BIG = bytes(range(256)) * (SMALL_BLOB_BYTES_MAX // 128)


class Asker:
    """Calls operations as the control server does."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.store = node.workshop.store
        self._handlers = cache_handlers(node)

    async def ask(self, op: str, **params: object) -> dict[str, Any]:
        from mesh.control.ops import check_request

        _, complete = check_request({"op": f"cache_{op}", **params})
        view = await self._handlers[f"cache_{op}"](complete, Outbox())
        assert view["schema"] == f"vitte.cache_{op}/1"
        answer: dict[str, Any] = json.loads(json.dumps(view))
        return answer


@asynccontextmanager
async def asker(home: Path, **more: Any) -> AsyncIterator[Asker]:
    config = NodeConfig(home=home, name="n", bind=("127.0.0.1", 0), discovery="none", **more)
    node = Node(real_env(home, StaticDiscovery()), config)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        with trio.fail_after(20):
            while not hasattr(node, "workshop") or node.cache_bytes is None:
                await trio.lowlevel.checkpoint()
        yield Asker(node)
        node.stop()


async def test_a_file_goes_in_and_comes_out(tmp_path: Path) -> None:
    async with asker(tmp_path / "home") as it:
        for data in (b"small", BIG):
            path, out = tmp_path / "in", tmp_path / f"out-{len(data)}"
            path.write_bytes(data)
            put = await it.ask("put", path=str(path))
            assert put["id"] == blob_id(data).hex()
            assert put["size_bytes"] == len(data)
            got = await it.ask("get", blob=put["id"][:12], path=str(out))
            assert got["id"] == put["id"]
            assert out.read_bytes() == data
            with pytest.raises(CannotPlace):
                await it.ask("get", blob=put["id"], path=str(out))
        stats = await it.ask("stats")
        assert (stats["blobs"], stats["packed"]) == (2, 1)
        assert stats["size_bytes"] == 5 + len(BIG) < stats["disk_bytes"]
        listed = await it.ask("ls")
        assert {each["id"] for each in listed["blobs"]} == {blob_id(b"small").hex(), put["id"]}
        assert len((await it.ask("ls", limit=1))["blobs"]) == 1


async def test_names_that_mean_nothing_or_too_much_are_said(tmp_path: Path) -> None:
    async with asker(tmp_path / "home") as it:
        data, seen = 0, dict[str, int]()
        while True:  # two contents whose ids begin alike
            prefix = blob_id(b"%d" % data).hex()[:4]
            if prefix in seen:
                break
            seen[prefix] = data
            data += 1
        it.store.put_all([b"%d" % seen[prefix], b"%d" % data])
        cases: list[tuple[str, type[MeshError]]] = [
            (prefix, AmbiguousBlob),
            ("ab", NoSuchBlob),
            ("0" * 64, NoSuchBlob),
            ("z" * 64, NoSuchBlob),
        ]
        for name, error in cases:
            with pytest.raises(error):
                await it.ask("get", blob=name, path=str(tmp_path / "x"))
        with pytest.raises(BadRequest):
            await it.ask("get", blob="0" * 64, path="relative")
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(BadRequest):
                await it.ask("put", path=str(path))


async def test_what_is_pinned_stays_when_room_is_made(tmp_path: Path) -> None:
    async with asker(tmp_path / "home") as it:
        keep, go = it.store.put(BIG), it.store.put(BIG + b"!")
        small = it.store.put(b"small and pinned")
        for digest in (keep, small):
            pinned = await it.ask("pin", blob=digest.hex()[:10], label="release")
            assert pinned["pinned"]
        done = await it.ask("gc", keep_bytes=0)
        assert (done["dropped"], done["kept"]) == (1, 2)
        assert not it.store.has(go)
        listed = await it.ask("ls", pinned=True)
        assert {each["label"] for each in listed["blobs"]} == {"release"}
        for digest in (keep, small):
            await it.ask("pin", blob=digest.hex(), remove=True)
        with pytest.raises(NoSuchBlob):
            await it.ask("pin", blob=keep.hex(), remove=True)
        assert (await it.ask("gc", keep_bytes=0))["dropped"] == 2
        assert (await it.ask("stats"))["disk_bytes"] == 0


async def test_verify_finds_and_names_what_is_damaged(tmp_path: Path) -> None:
    async with asker(tmp_path / "home") as it:
        good, bad = it.store.put(BIG), it.store.put(BIG + b"!")
        told: list[bytes] = []
        it.store.when_damaged(told.append)
        assert (await it.ask("verify"))["damaged"] == []
        path = tmp_path / "home" / it.store.name(bad)
        path.chmod(0o644)
        path.write_bytes(BIG + b"?")
        found = await it.ask("verify")
        assert found["damaged"] == [bad.hex()]
        assert told == [bad]
        check = next(each for each in doctor(it.node)["checks"] if each["name"] == "store")
        assert (check["status"], check["next_step"]) == ("warn", "vitte cache verify")
        assert found["blobs"] == 2
        assert not it.store.has(bad)
        assert it.store.has(good)


async def kept_house(node: Node) -> None:
    """One round of what the node does every half minute."""
    node._keep_house()
    with trio.fail_after(20):
        while node._keeping_house:
            await trio.lowlevel.checkpoint()


async def test_a_node_keeps_its_store_within_its_bound(tmp_path: Path) -> None:
    async with asker(tmp_path / "home", cache_bytes_max=3 * len(BIG)) as it:
        digests = [it.store.put(BIG + bytes([number])) for number in range(8)]
        await kept_house(it.node)
        assert it.store.size_bytes <= 3 * len(BIG)
        assert it.store.is_on_disk(digests[-1])
        left = it.store.size_bytes
        await kept_house(it.node)
        assert it.store.size_bytes == left


async def test_an_idle_node_reads_its_store(tmp_path: Path) -> None:
    async with asker(tmp_path / "home") as it:
        bad = it.store.put(BIG)
        path = tmp_path / "home" / it.store.name(bad)
        path.chmod(0o644)
        path.write_bytes(BIG[:-1] + b"?")
        await kept_house(it.node)
        assert it.store.damaged == 0  # not yet due
        it.node._scrubber = Scrubber(it.store, it.node.env.clock.monotonic() - SCRUB_FIRST_S)
        await kept_house(it.node)
        assert it.store.damaged == 1
        assert not it.store.has(bad)
