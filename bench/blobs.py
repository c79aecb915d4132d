"""The blob store: what keeping many small blobs durably costs.

    packs   `BlobStore.put_all(..., durable=True)`: 4 KiB contents, hashed, appended to a pack and
            synced once a batch; after it the next process must find every one
    files   the same contents, each into a file of its own: hashed, write aside, fsync, rename (what
            most stores do; without the fsync of the folder, which would only slow it down)

Both on the same disk in the same run, in interleaved rounds; the best round of each counts, because
whatever else uses the disk only makes it slower. Keys: ratio_ingest = packs per second / files per
second, ingest_per_s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from random import Random

from common import finish, interleave, print_table

from mesh.cas.blobs import BlobStore
from mesh.ports.real.disk import RealDisk

SIZE_BYTES = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blobs", type=int, default=20_000, help="into packs, each round")
    parser.add_argument("--files", type=int, default=500, help="into files, each round")
    parser.add_argument("--batch", type=int, default=1000, help="blobs that share a sync")
    parser.add_argument("--rounds", type=int, default=3)
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
    report(rates, options)


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


def report(rates: dict[str, float], options: argparse.Namespace) -> None:
    rows = [
        [name, f"{rate:.0f}", f"{1e6 / rate:.1f}", f"{rate / rates['files']:.1f}"]
        for name, rate in rates.items()
    ]
    title = f"{SIZE_BYTES} B, durable, {options.batch} to a sync, best of {options.rounds} rounds"
    print_table(title, ["", "per s", "us each", "x files"], rows)
    finish(
        "blobs",
        {"ratio_ingest": rates["packs"] / rates["files"], "ingest_per_s": rates["packs"]},
        blobs=options.blobs,
        batch=options.batch,
        rounds=options.rounds,
    )


if __name__ == "__main__":
    main()
