"""Bytes on the wire: a leaf's link against Zephyr's SMP over a serial line.

A chunk of 192 bytes with its answer, and whole deploys. Ours are counted on a line between the
gateway's link and the leaf's own code, everything included: announcement, chunks, commit,
confirmation, and what else passed meanwhile. SMP's are encoded in the same run by the `smp` package
(base64 lines of 127 bytes, CRC-16, an answer to each chunk), chunks of the same size, without the
requests that would test and confirm the image. SMP does not compress; "packed" gives it our
compressed bytes, so that the last column compares framing alone.

Keys: chunk_bytes, chunk_smp_bytes, deploy.NAME.{package, ours, smp, smp_packed}.
"""

from __future__ import annotations

import attrs
from common import finish, print_table
from smp.image_management import ImageUploadWriteRequest, ImageUploadWriteResponse
from smp.packet import encode as smp_lines

from mesh.leaf import messages
from mesh.leaf.frame import Frame, Kind, encode
from mesh.leaf.lzss import compress
from mesh.leaf.messages import Op
from mesh.leaf.transfer import Deployed
from mesh.wire import cbor
from sim.leaves.line import NoisyLine
from sim.leaves.rig import Rig

CHUNK_BYTES = 192
SMP_LINE_BYTES = 127
"""What Zephyr's console takes at once, unless it is configured otherwise."""
THERMOSTAT = """
@every("1s")
def thermostat(was: bool = False):
    temp = adc(0) * 0.1
    hot = temp > 80.0
    gpio(5).set(hot)
    if hot != was:
        emit(1, temp)
    was = hot
"""
BUSES = """
@every("1s")
def bus_{n}(last: int = 0):
    last = i2c(0, address=0x48, register={n}, size=2)
    if last > {n}00 and last < 20000:
        spi(0, select=6, first=0x8{n}, size=4).set(last * {n} + 17)
        gpio({n}).set(last > 1234)
    dac(0).set(min(max(last, 10), 4000))
"""


@attrs.define
class Counted:
    """A line of the rig, and how many bytes were put on it."""

    line: NoisyLine
    put_bytes: int = 0

    def put(self, data: bytes) -> None:
        self.put_bytes += len(data)
        self.line.put(data)

    def take(self) -> bytes:
        return self.line.take()


def deploy(source: str) -> tuple[bytes, int]:
    """The package, and the bytes that passed until it was confirmed."""
    rig = Rig(seed=5)
    rig.provision()
    package = rig.package(source, 1)
    rig.trust()
    down, up = Counted(rig.down), Counted(rig.up)
    rig.down, rig.up = down, up  # type: ignore[assignment] # it has the verbs that are used
    outcome = rig.deploy(package)
    assert isinstance(outcome, Deployed), outcome
    assert rig.ask(Op.CONFIRM, [1]).error == 0
    return package, down.put_bytes + up.put_bytes


def smp_bytes(body: bytes) -> int:
    return sum(map(len, smp_lines(body, line_length=SMP_LINE_BYTES)))


def smp_chunk(data: bytes, offset: int, total: int) -> int:
    """A chunk and its answer."""
    first = {"len": total, "sha": bytes(32), "image": 0} if offset == 0 else {}
    ask = ImageUploadWriteRequest(off=offset, data=data, **first)
    answer = ImageUploadWriteResponse(off=offset + len(data))
    return smp_bytes(ask.BYTES) + smp_bytes(answer.BYTES)


def smp_upload(data: bytes) -> int:
    starts = range(0, len(data), CHUNK_BYTES)
    return sum(smp_chunk(data[at : at + CHUNK_BYTES], at, len(data)) for at in starts)


def our_chunk(data: bytes, offset: int) -> int:
    """A chunk in the middle of a session, and its answer."""
    ask = messages.request(300, Op.CHUNK, [offset, data])
    answer = cbor.encode([300, 0, offset + len(data)])
    return len(encode(Frame(Kind.REQUEST, 3, ask))) + len(encode(Frame(Kind.ANSWER, 3, answer)))


def main() -> None:
    data = bytes(range(CHUNK_BYTES))
    chunk, chunk_smp = our_chunk(data, CHUNK_BYTES), smp_chunk(data, CHUNK_BYTES, 2000)
    sources = {
        "thermostat": THERMOSTAT,
        "four rules": "".join(BUSES.format(n=n) for n in (1, 2, 3, 4)),
    }
    deploys: dict[str, dict[str, int]] = {}
    for name, source in sources.items():
        package, ours = deploy(source)
        deploys[name] = {
            "package": len(package),
            "ours": ours,
            "smp": smp_upload(package),
            "smp_packed": smp_upload(min(compress(package), package, key=len)),
        }
    rows = [["a chunk of 192", "192", f"{chunk}", f"{chunk_smp}", f"{chunk_smp / chunk:.2f}", ""]]
    for name, d in deploys.items():
        ratio, framing = d["smp"] / d["ours"], d["smp_packed"] / d["ours"]
        rows.append(
            [
                f"deploy: {name}",
                f"{d['package']}",
                f"{d['ours']}",
                f"{d['smp']}",
                f"{ratio:.2f}",
                f"{framing:.2f}",
            ]
        )
    print_table(
        "bytes on the wire, both ways", ["", "payload", "ours", "SMP", "SMP/ours", "packed"], rows
    )
    finish("leaf_wire", {"chunk_bytes": chunk, "chunk_smp_bytes": chunk_smp}, deploy=deploys)


if __name__ == "__main__":
    main()
