"""Blobs: what keeping many small ones durably costs, and how fast a large one moves.

    packs   `BlobStore.put_all(..., durable=True)`: 4 KiB contents, hashed, appended to a pack and
            synced once a batch; after it the next process must find every one
    files   the same contents, each into a file of its own: hashed, write aside, fsync, rename (what
            most stores do; without the fsync of the folder, which would only slow it down)

Both on the same disk in the same run, in interleaved rounds; the best round of each counts, because
whatever else uses the disk only makes it slower. Keys: ratio_ingest = packs per second / files per
second, ingest_per_s.

One large blob between nodes (`blob_swarm.py`), the best of the rounds:

    swarm   from four holders that send 100 Mbit/s each, as in a network of that speed:
            ratio_swarm = what arrives / their sum
    node    from one that sends as fast as it can; tls: the same bytes through a bare `ssl` socket
            that keeps nothing: ratio_tls = node / tls, by the clock on the wall; ratio_tls_cpu, by
            the receiver's processor time, which is what bounds it: each byte is decrypted, hashed
            and written, where the bare socket only decrypts. On a machine that does other things,
            only the latter says something.
    floor   the bare socket, with every chunk hashed and written to a file: ratio_floor and
            ratio_floor_cpu = what of a node's costs is the price of checking and keeping, and what
            is ours
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random

from blob_swarm import Took, fetch_seconds, tls_seconds
from common import finish, interleave, print_table

from mesh.cas.blobs import BlobStore
from mesh.limits import MIB
from mesh.ports.real.disk import RealDisk

SIZE_BYTES = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blobs", type=int, default=20_000, help="into packs, each round")
    parser.add_argument("--files", type=int, default=500, help="into files, each round")
    parser.add_argument("--batch", type=int, default=1000, help="blobs that share a sync")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=256, help="the large blob")
    parser.add_argument("--holders", type=int, default=4)
    parser.add_argument("--rate", type=int, default=12_500_000, help="bytes/s of each holder")
    parser.add_argument("--dir", type=Path, default=Path.cwd(), help="a folder of the disk to use")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitte-bench-", dir=options.dir) as directory:
        root = Path(directory)
        data = contents(options.blobs)
        seconds = interleave(
            options.rounds,
            {
                "packs": lambda: into_packs(root / "packs", data, options.batch),
                "files": lambda: into_files(root / "files", data[: options.files]),
            },
        )
    rates = {
        "packs": options.blobs / min(seconds["packs"]),
        "files": options.files / min(seconds["files"]),
    }
    size = options.mib * MIB
    ways: dict[str, Callable[[], Took]] = {
        "swarm": lambda: fetch_seconds(options.holders, size, options.rate),
        "node": lambda: fetch_seconds(1, size, 0),
        "tls": lambda: tls_seconds(size),
        "floor": lambda: tls_seconds(size, keep=True),
    }
    took: dict[str, list[Took]] = {name: [] for name in ways}

    def measure(name: str) -> float:
        took[name].append(ways[name]())
        return took[name][-1].wall_s

    interleave(min(2, options.rounds), {name: partial(measure, name) for name in ways})
    moved = {
        name: Took(min(t.wall_s for t in each), min(t.processor_s for t in each))
        for name, each in took.items()
    }
    report(rates, moved, options)


def contents(count: int) -> list[bytes]:
    """Different ones that nothing can compress."""
    random = Random(count)
    return [random.randbytes(SIZE_BYTES) for _ in range(count)]


def into_packs(root: Path, data: list[bytes], batch: int) -> float:
    disk = RealDisk(root)
    store = BlobStore(disk)
    started = time.perf_counter()
    ids = []
    for start in range(0, len(data), batch):
        ids += store.put_all(data[start : start + batch], durable=True)
    seconds = time.perf_counter() - started
    disk.close()
    again = BlobStore(RealDisk(root))
    assert all(again.read(blob) == each for blob, each in zip(ids, data, strict=True))
    shutil.rmtree(root)
    return seconds


def into_files(root: Path, data: list[bytes]) -> float:
    root.mkdir()
    started = time.perf_counter()
    for each in data:
        name = sha256(each).hexdigest()
        aside = root / f"{name}.tmp"
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            os.write(fd, each)
            os.fsync(fd)
        finally:
            os.close(fd)
        aside.rename(root / name)
    seconds = time.perf_counter() - started
    shutil.rmtree(root)
    return seconds


def report(rates: dict[str, float], moved: dict[str, Took], options: argparse.Namespace) -> None:
    rows = [
        [name, f"{rate:.0f}", f"{1e6 / rate:.1f}", f"{rate / rates['files']:.1f}"]
        for name, rate in rates.items()
    ]
    title = f"{SIZE_BYTES} B, durable, {options.batch} to a sync, best of {options.rounds} rounds"
    print_table(title, ["", "per s", "us each", "x files"], rows)
    in_all, size = options.holders * options.rate, options.mib * MIB
    rows = [
        [name, f"{size / each.wall_s / 1e6:.1f}", f"{size / each.processor_s / 1e6:.0f}"]
        for name, each in moved.items()
    ]
    sum_of = f"sum of {options.holders} holders, {options.rate / 1e6:g} MB/s each"
    rows.append([sum_of, f"{in_all / 1e6:.1f}", ""])
    title = f"one blob of {options.mib} MiB"
    print_table(title, ["", "MB/s", "MB per receiver's processor second"], rows)
    node, tls, floor = moved["node"], moved["tls"], moved["floor"]
    finish(
        "blobs",
        {
            "ratio_ingest": rates["packs"] / rates["files"],
            "ingest_per_s": rates["packs"],
            "ratio_swarm": size / moved["swarm"].wall_s / in_all,
            "ratio_tls": tls.wall_s / node.wall_s,
            "ratio_tls_cpu": tls.processor_s / node.processor_s,
            "ratio_floor": floor.wall_s / node.wall_s,
            "ratio_floor_cpu": floor.processor_s / node.processor_s,
        },
        mib=options.mib,
        blobs=options.blobs,
        batch=options.batch,
        rounds=options.rounds,
    )


if __name__ == "__main__":
    main()
