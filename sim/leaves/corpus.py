"""Inputs to begin fuzzing with: every frame of a leaf's working day, and programs of every kind.

    write_corpus(path)

The format is that of `firmware/fuzz/fuzz.c`. Deterministic.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from mesh.leaf.frame import FrameReader
from mesh.leaf.messages import Op
from mesh.rules.isa import BINARY_OPS, INT_MAX, INT_MIN, REGISTERS, Instruction, encode
from mesh.rules.isa import Op as Code
from mesh.rules.program import (
    Access,
    AnyLeaf,
    BoardKind,
    Class,
    Edge,
    Every,
    LeavesOf,
    OnEdge,
    OneLeaf,
    OnLine,
    Program,
    Resource,
    Rule,
    Target,
    Trigger,
    encode_program,
)
from mesh.rules.verifier import verify, worst_case
from sim.leaves.rig import Rig

FRAME, PROGRAM = 0, 1
PROGRAMS = 400
RESOURCES = (
    Resource(Class.GPIO, Access.BOTH, 5),
    Resource(Class.ADC, Access.READ, 0),
    Resource(Class.GPIO, Access.READ, 6, 1),
    Resource(Class.UART, Access.BOTH, 0),
    Resource(Class.I2C, Access.BOTH, 0, 0x48 | 1 << 8 | 2 << 16),
    Resource(Class.SPI, Access.BOTH, 0, 4 | 0x80 << 16 | 4 << 24),
    Resource(Class.DAC, Access.WRITE, 0),
)
_DAY = """
@every("20ms")
def speak(n: int = 0, reply: int = 0):
    n += 1
    emit(7, n)
    if n % 5 == 0:
        ask(2, n, into=reply)

@on_edge(gpio(5), "both")
def edge():
    dac(0).set(adc(1))

@on_line(uart(0))
def line():
    gpio(6).set(uart(0) > 60)
"""


def write_corpus(path: Path) -> int:
    """Returns the number of records."""
    records = [(FRAME, each) for each in _frames()]
    random = Random(1)  # noqa: S311 - the same corpus every time
    records += [(PROGRAM, encode_program(some_program(random))) for _ in range(PROGRAMS)]
    data = b"".join(
        bytes((kind,)) + len(each).to_bytes(2, "little") + each for kind, each in records
    )
    path.write_bytes(data)
    return len(records)


def _frames() -> list[bytes]:
    """What a gateway says in a day with everything in it."""
    rig, said = Rig(seed=5), dict[bytes, None]()
    reader, put = FrameReader(), rig.down.put

    def listen(data: bytes) -> None:
        for frame in reader.feed(data):
            said[bytes((1 << 6 | frame.kind << 4 | frame.epoch,)) + frame.body] = None
        put(data)

    rig.down.put = listen  # type: ignore[method-assign]
    rig.provision()
    for counter in (1, 2):
        rig.deploy(rig.package(_DAY, counter))
        rig.step(200)
        rig.ask(Op.CONFIRM, [counter])
    rig.ask(Op.WRITE_INPUT, [0, 1, -7, 2])
    rig.ask(Op.RULES)
    rig.step(1200)
    rig.ask(Op.RESTART)
    return list(said)


# -- programs --------------------------------------------------------------------------------------
def some_program(random: Random) -> Program:
    """A program that the verifier accepts on a board with RESOURCES."""
    targets: tuple[Target, ...] = (AnyLeaf(), OneLeaf(b"12345678"), LeavesOf(BoardKind.STM32F405))
    target = random.choices(targets, (8, 1, 1))[0]
    rules = tuple(some_rule(random) for _ in range(random.choice((1, 1, 2, 3, 4))))
    program = Program(target, random.choice((1, 5, 23, 300, 2**32 - 1)), RESOURCES, rules)
    assert verify(program, lambda _: True) is None
    return program


def some_rule(random: Random) -> Rule:
    triggers: tuple[Trigger, ...] = (
        Every(random.choice((10, 25, 1000, 86_400_000))),
        OnEdge(random.choice((0, 2)), random.choice(list(Edge))),
        OnLine(3),
    )
    slots = tuple(some_number(random) for _ in range(random.randrange(9)))
    inputs = random.randrange(1 << len(slots))
    code = encode(some_code(random, len(slots), inputs))
    return Rule(random.choice(triggers), slots, inputs, code, worst_case(code))


def some_number(random: Random) -> int:
    odd = (0, 1, -1, 31, 32, 65_535, 65_536, INT_MAX, INT_MIN)
    return random.choice((*odd, random.randint(INT_MIN, INT_MAX)))


def some_code(random: Random, slots: int, inputs: int) -> list[Instruction]:
    """Every register set, then anything at all, then RET."""
    code = [
        Instruction(Code.LDI, r, random.randrange(256), random.randrange(256))
        for r in range(REGISTERS)
    ]
    count = random.randrange(1, 55)
    code += [_instruction(random, slots, inputs, count - index - 1) for index in range(count)]
    return [*code, Instruction(Code.RET)]


def _instruction(random: Random, slots: int, inputs: int, left: int) -> Instruction:
    a, b, c = (random.randrange(REGISTERS) for _ in range(3))
    reads, writes = (0, 1, 2, 3, 4, 5), (0, 3, 4, 5, 6)
    plain = (
        *(Instruction(random.choice(BINARY_OPS), a, b, c) for _ in range(4)),
        Instruction(Code.LDH, a, random.randrange(256), random.randrange(256)),
        Instruction(Code.MOV, a, b),
        Instruction(Code.BRT, a, random.randint(0, min(left, 6))),
        Instruction(Code.BRF, a, random.randint(0, min(left, 6))),
        Instruction(Code.JMP, 0),
        Instruction(Code.RES, a, random.choice(reads)),
        Instruction(Code.ACT, random.choice(writes), b),
        Instruction(Code.EVT, random.randrange(256), b),
        Instruction(Code.TIM, a),
    )
    choices = list(plain)
    if slots:
        choices.append(Instruction(Code.LDV, a, random.randrange(slots)))
        choices.append(Instruction(Code.STV, random.randrange(slots), b))
    answered = [slot for slot in range(slots) if inputs >> slot & 1]
    if answered:
        choices.append(Instruction(Code.LLM, random.randrange(256), b, random.choice(answered)))
    return random.choice(choices)
