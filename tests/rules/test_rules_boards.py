"""The tables of boards against what the firmware's parts say of themselves, and signed programs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from mesh.rules.boards import BOARDS, has_for, missing
from mesh.rules.program import (
    Access,
    AnyLeaf,
    BadProgram,
    BoardKind,
    Class,
    LeavesOf,
    Program,
    Resource,
)
from mesh.rules.signed import BadSignature, open_package, read_package, sign_program
from mesh.wire import cbor
from sim.leaves.rig import Authority, Rig, verify_signature

HAL = Path(__file__).resolve().parents[2] / "firmware" / "hal"
PARTS = [kind for kind in BOARDS if (HAL / f"{kind.name.lower()}.c").exists()]


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind.name.lower())
def test_converters_are_those_of_the_part(kind: BoardKind) -> None:
    text = (HAL / f"{kind.name.lower()}.c").read_text()

    def said(field: str) -> int:
        found = re.search(rf"\.{field} = (\d+)", text)
        return int(found[1]) if found else 0

    assert BOARDS[kind].adc_inputs == said("adc_inputs")
    assert BOARDS[kind].dac_outputs == said("dac_outputs")


def test_pins_of_the_stm32_are_those_that_its_firmware_leaves_to_rules() -> None:
    text = (HAL / "stm32.c").read_text()
    taken = text[text.index("bool pin_exists") :].partition(";")[0]
    numbers = {ord(p) * 16 - ord("A") * 16 + int(n) for p, n in re.findall(r"P([A-C])(\d+)", taken)}

    for kind in (BoardKind.STM32F405, BoardKind.STM32H7A3):
        assert frozenset(range(48)) - BOARDS[kind].pins == numbers


def _taken(part: str) -> str:
    """The expression by which a part says which pins are not for rules."""
    text = (HAL / part).read_text()
    return text[text.index("bool pin_exists") :].partition("taken = ")[2].partition(";")[0]


@pytest.mark.parametrize("kind", [BoardKind.NRF52840, BoardKind.RP2040])
def test_pins_of_the_others_are_those_that_their_firmware_leaves_to_rules(kind: BoardKind) -> None:
    part = f"{kind.name.lower()}.c"
    named = dict(re.findall(r"(LINK_OUT|LINK_IN|PINS) = (\d+)", (HAL / part).read_text()))
    shifts = re.findall(r"1u(?:ll)? << (\w+)", _taken(part))
    numbers = {int(named.get(each, each)) for each in shifts}

    assert len(numbers) >= 8
    assert frozenset(range(int(named["PINS"]))) - BOARDS[kind].pins == numbers


def test_a_program_for_one_kind_of_board_is_held_to_that_board() -> None:
    dac = Resource(Class.DAC, Access.WRITE, 0)

    assert has_for(AnyLeaf())(dac)
    assert has_for(LeavesOf(BoardKind.STM32F405))(dac)
    assert not has_for(LeavesOf(BoardKind.RP2040))(dac)
    assert not has_for(AnyLeaf())(Resource(Class.DAC, Access.BOTH, 0))
    assert not has_for(AnyLeaf())(Resource(Class.I2C, Access.READ, 0, 0x48))


def test_a_signed_program_opens_for_its_authority_and_mesh_only() -> None:
    rig, other = Rig(), Authority(b"z" * 32)
    package = rig.package('@every("1s")\ndef r():\n    emit(1, 2)\n', 7)
    mine = rig.authority

    program = open_package(package, mine.mesh, mine.key, verify_signature)
    assert program.counter == 7
    assert missing(program, BoardKind.RP2040) == ()
    for mesh, key in ((b"x" * 32, mine.key), (mine.mesh, other.key)):
        with pytest.raises(BadSignature):
            open_package(package, mesh, key, verify_signature)
    assert bytes(SigningKey(mine.seed).verify_key) == mine.key


@pytest.mark.parametrize(
    "package",
    [b"", b"\x80", cbor.encode([b"x", b"short"]), cbor.encode([b"x", bytes(64), 1])],
    ids=["nothing", "empty", "short signature", "one too many"],
)
def test_what_is_no_signed_program_is_told(package: bytes) -> None:
    with pytest.raises(BadProgram):
        read_package(package)


def test_a_program_out_of_its_bounds_is_not_signed() -> None:
    with pytest.raises(BadProgram):
        sign_program(Program(AnyLeaf(), 1, (), ()), b"m" * 32, Authority().sign)
