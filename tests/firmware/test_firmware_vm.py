"""One bytecode, two machines: Python and the firmware's C must not differ in anything."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from random import Random

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.rules.program import BadProgram, Program, decode_program, encode_program
from mesh.rules.verifier import verify
from mesh.rules.vm import Emitted, Machine
from sim.leaves.library import library

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "rules"))
from programs import NUMBERS, programs

LOG_MAX = 256
Verdict = tuple[int, int, int]
Step = tuple[int, int, int, int]


class Entry(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("kind", "a", "value", "slot")]


class COutcome(ctypes.Structure):
    """`struct outcome` of firmware/host/vm_host.c."""

    _fields_ = [
        ("steps", ctypes.c_int32),
        ("slots", ctypes.c_int32 * 8),
        ("entries", ctypes.c_int32),
        ("log", Entry * LOG_MAX),
    ]


@attrs.define
class Recorder:
    """A bench of fixed values that writes down what is done to it."""

    values: list[int]
    time_ms: int
    log: list[Step] = attrs.Factory(list)

    def read(self, resource: int) -> int:
        return self.values[resource]

    def write(self, resource: int, value: int) -> None:
        self.log.append((1, resource, value, 0))

    def now_ms(self) -> int:
        return self.time_ms


def verdict_of_c(data: bytes) -> Verdict:
    out = (ctypes.c_int32 * 3)()
    library().host_verify(data, len(data), out)
    return (out[0], out[1], out[2])


def verdict_of_python(data: bytes) -> Verdict:
    try:
        program = decode_program(data)
    except BadProgram:
        return (1, -1, -1)
    refusal = verify(program, lambda _: True)
    if refusal is None:
        return (0, -1, -1)
    return (refusal.flaw.value, refusal.rule, refusal.instruction)


def run_in_c(data: bytes, rule: int, values: list[int], time_ms: int) -> COutcome:
    out = COutcome()
    inputs = (ctypes.c_int32 * len(values))(*values)
    library().host_run(data, len(data), rule, inputs, ctypes.c_uint32(time_ms), ctypes.byref(out))
    return out


def log_of_c(out: COutcome) -> list[Step]:
    return [(e.kind, e.a, e.value, e.slot) for e in out.log[: out.entries]]


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(programs(), st.lists(NUMBERS, min_size=4, max_size=4), st.integers(0, 2**32 - 1))
def test_both_machines_do_the_same(made: Program, values: list[int], time_ms: int) -> None:
    data = encode_program(made)

    assert verdict_of_c(data) == verdict_of_python(data) == (0, -1, -1)
    for index, rule in enumerate(made.rules):
        bench = Recorder(values, time_ms)
        here = Machine(rule.code).run(rule.slots, bench)
        there = run_in_c(data, index, values, time_ms)
        said = [
            (2, m.code, m.value, 0) if isinstance(m, Emitted) else (3, m.prompt, m.value, m.slot)
            for m in here.messages
        ]

        assert there.steps == here.steps <= rule.worst
        assert tuple(there.slots[: len(here.slots)]) == here.slots
        assert [step for step in log_of_c(there) if step[0] == 1] == bench.log
        assert [step for step in log_of_c(there) if step[0] != 1] == said


@settings(max_examples=30, deadline=None, suppress_health_check=[*HealthCheck])
@given(programs(), st.integers(0, 2**32))
def test_both_verifiers_give_the_same_verdict_on_spoiled_programs(made: Program, seed: int) -> None:
    data, random = encode_program(made), Random(seed)
    for _ in range(25):
        spoiled = bytearray(data)
        for _ in range(random.choice([1, 1, 1, 2, 5])):
            at = random.randrange(len(spoiled))
            spoiled[at] = random.choice([random.randrange(256), spoiled[at] ^ 1, 0, 255, 1, 2])

        assert verdict_of_c(bytes(spoiled)) == verdict_of_python(bytes(spoiled)), spoiled.hex()


def test_a_program_cut_short_is_no_program() -> None:
    whole = bytes.fromhex("8501810001808185820118648000440100000001")

    assert verdict_of_c(whole) == verdict_of_python(whole) == (0, -1, -1)
    for size in range(1, len(whole)):
        assert verdict_of_c(whole[:size]) == verdict_of_python(whole[:size]) == (1, -1, -1)
