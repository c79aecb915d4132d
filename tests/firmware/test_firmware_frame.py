"""Frames, checksum and compression: the firmware's C against the gateway's Python."""

from __future__ import annotations

import ctypes
from random import Random

from mesh.leaf.frame import FRAME_BYTES_MAX, Frame, FrameReader, Kind, crc32c, encode
from mesh.leaf.lzss import BadStream, compress, expand
from sim.leaves.library import library

RECEIVER_BYTES = 512
"""More than `struct frame_receiver`."""


class CFrame(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_uint8),
        ("epoch", ctypes.c_uint8),
        ("body", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
    ]


def frames_of_c(data: bytes) -> list[Frame]:
    receiver, found, frame = ctypes.create_string_buffer(RECEIVER_BYTES), [], CFrame()
    take = library().frame_take
    take.restype = ctypes.c_bool
    for byte in data:
        if take(receiver, ctypes.c_uint8(byte), ctypes.byref(frame)):
            body = ctypes.string_at(frame.body, frame.size)
            found.append(Frame(Kind(frame.kind), frame.epoch, body))
    return found


def encoded_by_c(frame: Frame) -> bytes:
    wire = ctypes.create_string_buffer(FRAME_BYTES_MAX + 8)
    wire[2 : 2 + len(frame.body)] = frame.body
    finish = library().frame_finish
    finish.restype = ctypes.c_uint32
    size = finish(wire, frame.kind.value, frame.epoch, len(frame.body))
    return wire.raw[:size]


def random_frame(random: Random) -> Frame:
    size = random.choice([0, 1, 5, 100, 239, 240])
    body = bytes(random.choice([0, 0, 1, 255, random.randrange(256)]) for _ in range(size))
    return Frame(random.choice(list(Kind)), random.randrange(16), body)


def spoiled(wire: bytes, random: Random) -> bytes:
    data = bytearray(wire)
    for _ in range(random.choice([1, 2, 30])):
        at = random.randrange(len(data) + 1)
        what = random.randrange(3)
        if what == 0:
            data.insert(at, random.choice([0, random.randrange(256)]))
        elif data and what == 1:
            data[at % len(data)] ^= 1 << random.randrange(8)
        elif data:
            del data[at % len(data)]
    return bytes(data)


def test_the_checksum_is_that_of_the_standard() -> None:
    assert crc32c(b"123456789") == library().crc32c(b"123456789", 9) == 0xE3069283


def test_both_sides_write_the_same_bytes_and_read_them() -> None:
    random = Random(3)
    for _ in range(800):
        frame = random_frame(random)
        wire = encode(frame)

        assert encoded_by_c(frame) == wire
        assert wire.count(0) == 1
        assert list(FrameReader().feed(wire)) == frames_of_c(wire) == [frame]


def test_both_sides_find_the_same_frames_in_garbage() -> None:
    random = Random(4)
    for _ in range(800):
        good = encode(random_frame(random))
        data = spoiled(good, random) + b"\0" + good + random.randbytes(300) + b"\0"

        assert list(FrameReader().feed(data)) == frames_of_c(data)


def test_a_frame_after_any_garbage_and_a_zero_is_read() -> None:
    random = Random(5)
    for _ in range(300):
        frame = random_frame(random)
        data = random.randbytes(random.randrange(600)) + b"\0" + encode(frame)

        assert frames_of_c(data)[-1:] == [frame]
        assert list(FrameReader().feed(data))[-1:] == [frame]


# -- compression -----------------------------------------------------------------------------------
READ = ctypes.CFUNCTYPE(ctypes.c_uint8, ctypes.c_void_p, ctypes.c_uint32)
WRITE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint8)


class Window(ctypes.Structure):
    _fields_ = [("self", ctypes.c_void_p), ("read", READ), ("write", WRITE)]


class Lzss(ctypes.Structure):
    """`struct lzss`."""

    _fields_ = [
        ("written", ctypes.c_uint32),
        ("limit", ctypes.c_uint32),
        *((name, ctypes.c_uint8) for name in ("flags", "left", "first", "in_copy", "failed")),
    ]


def expanded_by_c(data: bytes, size_bytes: int) -> bytes | None:
    """What the leaf has after that; None where the gateway would say BadStream."""
    out: dict[int, int] = {}
    window = Window(
        None, READ(lambda _, at: out[at]), WRITE(lambda _, at, byte: out.update({at: byte}))
    )
    state = Lzss()
    library().lzss_start(ctypes.byref(state), size_bytes)
    for byte in data:
        library().lzss_add(ctypes.byref(state), ctypes.byref(window), ctypes.c_uint8(byte))
    if state.failed or state.in_copy or len(out) != size_bytes:
        return None
    return bytes(out[at] for at in range(size_bytes))


def expanded_here(data: bytes, size_bytes: int) -> bytes | None:
    try:
        return expand(data, size_bytes)
    except BadStream:
        return None


def test_compression_comes_back_and_damage_is_judged_alike() -> None:
    random = Random(6)
    for turn in range(60):
        alphabet = b"abc" if turn % 3 else bytes(range(256))
        data = bytes(random.choice(alphabet) for _ in range(random.randrange(700)))
        packed = compress(data)
        assert expand(packed, len(data)) == expanded_by_c(packed, len(data)) == data
        for _ in range(4 if packed else 0):
            damaged = bytearray(packed)
            damaged[random.randrange(len(damaged))] = random.randrange(256)

            assert expanded_here(bytes(damaged), len(data)) == expanded_by_c(damaged, len(data))
