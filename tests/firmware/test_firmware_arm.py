"""The third machine: production firmware on an emulated board against Python, program by program.

Programs are deployed and run as anybody's; what they emitted, their slots and what the leaf says of
bad ones must be what Python computes. `VITTE_ARM_PROGRAMS` sets how many (default: a few).
"""

from __future__ import annotations

import os
from random import Random

import attrs
import pytest

from mesh.leaf.link import State
from mesh.leaf.messages import Event, EventKind, LeafError, Op, SystemEvent
from mesh.leaf.transfer import Deployed, DeployFailed
from mesh.rules.boards import has_on
from mesh.rules.isa import Op as Code
from mesh.rules.program import (
    Access,
    AnyLeaf,
    BadProgram,
    BoardKind,
    Class,
    Every,
    Program,
    Resource,
    Rule,
    decode_program,
    encode_program,
)
from mesh.rules.signed import CONTEXT
from mesh.rules.verifier import Refusal, decode, verify
from mesh.rules.vm import Asked, Emitted, Machine
from mesh.wire import cbor
from sim.leaves.corpus import some_rule

pytest.importorskip("unicorn")
from sim.boards.workbench import Workbench

PROGRAMS = int(os.environ.get("VITTE_ARM_PROGRAMS", "2"))
RESOURCES = (
    Resource(Class.DAC, Access.WRITE, 0),
    Resource(Class.ADC, Access.READ, 0),
    Resource(Class.GPIO, Access.READ, 6, 1),
)
SAFE = {Code.TIM}
"""What does not depend on the moment."""


def rule_without_time(random: Random) -> Rule:
    """A random rule every 20 ms whose effects do not depend on when it runs."""
    while True:
        rule = attrs.evolve(some_rule(random), trigger=Every(20))
        code = bytearray(rule.code)
        instructions = decode(rule.code)
        for index, each in enumerate(instructions):
            if each.op is Code.RES:
                code[4 * index + 2] = random.choice((1, 2))
            elif each.op is Code.ACT:
                code[4 * index + 1] = 0
        if not any(each.op in SAFE for each in instructions):
            return attrs.evolve(rule, code=bytes(code))


class Bench:
    def read(self, resource: int) -> int:
        return {1: 1234, 2: 1}[resource]

    def write(self, resource: int, value: int) -> None:
        """A converter: nothing that a rule reads."""

    def now_ms(self) -> int:
        raise AssertionError("these rules do not look at the time")


def package_of(bench: Workbench, program: bytes) -> bytes:
    signature = bench.authority.sign(CONTEXT + bench.authority.mesh, program)
    return cbor.encode([program, signature])


def expected(rule: Rule, runs: int) -> tuple[list[tuple[int, int, int]], tuple[int, ...]]:
    """What that many runs say, and the slots after them."""
    said, slots, machine = [], rule.slots, Machine(rule.code)
    for _ in range(runs):
        outcome = machine.run(slots, Bench())
        slots = outcome.slots
        for message in outcome.messages:
            if isinstance(message, Emitted):
                said.append((EventKind.EMITTED.value, message.code, message.value))
            else:
                assert isinstance(message, Asked)
                said.append((EventKind.ASKED.value, message.prompt, message.value))
    return said, slots


def since_the_start_of_the_program(events: list[Event]) -> list[Event]:
    """What the one before it said may come after it was deployed."""
    starts = [
        index
        for index, event in enumerate(events)
        if event.kind is EventKind.SYSTEM and event.code == SystemEvent.PROGRAM_STARTED
    ]
    return events[starts[-1] + 1 :]


def ready() -> Workbench:
    bench = Workbench("stm32f405")
    bench.chip.adc[0] = 1234
    bench.chip.pins.set(6, True)
    bench.provision()
    bench.trust()
    return bench


def test_what_a_board_computes_is_what_python_computes() -> None:
    random, bench = Random(11), ready()
    for counter in range(1, PROGRAMS + 1):
        rules = tuple(rule_without_time(random) for _ in range(2))
        program = Program(AnyLeaf(), counter, RESOURCES, rules)
        assert verify(program, has_on(BoardKind.STM32F405)) is None
        before = len(bench.delivered)
        assert isinstance(bench.deploy(package_of(bench, encode_program(program))), Deployed)
        assert bench.ask(Op.CONFIRM, [counter]).error == LeafError.NONE
        bench.step(25)
        (states,) = bench.ask(Op.RULES).results
        bench.step(60)

        assert bench.link.state is State.TRUSTED
        told = since_the_start_of_the_program([event for _, event in bench.delivered[before:]])
        for index, (rule, (_, worst, runs, slots)) in enumerate(zip(rules, states, strict=True)):
            _, slots_here = expected(rule, runs)
            assert (worst, tuple(slots)) == (rule.worst, slots_here)
            mine = [
                (e.kind.value, e.code, e.value)
                for e in told
                if e.rule == index and e.kind is not EventKind.SYSTEM
            ]
            said, _ = expected(rule, runs + 60)
            assert mine == said[: len(mine)]
    assert len(bench.delivered) > 5 * PROGRAMS


def test_what_a_board_refuses_is_what_python_refuses() -> None:
    random, bench = Random(12), ready()
    refused = 0
    for _ in range(4 * PROGRAMS):
        program = Program(AnyLeaf(), 1000, RESOURCES, (rule_without_time(random),))
        data = bytearray(encode_program(program))
        at = random.randrange(8, len(data))
        data[at] ^= 1 << random.randrange(8)
        try:
            refusal = verify(decode_program(bytes(data)), has_on(BoardKind.STM32F405))
        except BadProgram:
            refusal = Refusal(1)  # type: ignore[arg-type] # FLAW_FORM, which only the leaf numbers
        if refusal is None:
            continue
        refused += 1
        detail = (int(refusal.flaw), refusal.rule + 1, refusal.instruction + 1)
        outcome = bench.deploy(package_of(bench, bytes(data)))
        assert outcome == DeployFailed(LeafError.BAD_PROGRAM, detail), data.hex()
    assert refused > PROGRAMS
