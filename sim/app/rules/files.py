"""Rule files of all kinds: source, compiled programs, signed programs.

    load(path, board) -> Loaded

Whatever is wrong becomes RuleFileWrong with the file's name, and for source the line and a caret.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from mesh.errors import RuleFileWrong, UserError
from mesh.rules.boards import Board, board_named, has_anywhere
from mesh.rules.compile import Compiled, compile_rules
from mesh.rules.program import BadProgram, LeavesOf, Program, decode_program
from mesh.rules.resources import spell
from mesh.rules.signed import PACKAGE_BYTES_MAX, read_package
from mesh.rules.source import SourceError
from mesh.rules.understand import SOURCE_BYTES_MAX
from mesh.rules.verifier import verify

READ_BYTES_MAX = SOURCE_BYTES_MAX + 1
SOURCE_SUFFIX = ".py"


@attrs.frozen
class Loaded:
    """A program from a file, verified for the board that was asked for."""

    path: Path
    program: Program
    rule_names: tuple[str, ...]
    """Empty for compiled files."""
    slot_names: tuple[tuple[str, ...], ...]

    def rule_name(self, index: int) -> str:
        return self.rule_names[index] if index < len(self.rule_names) else f"rule {index}"


def load(path: str, board: str | None) -> Loaded:
    """Read, compile if need be, verify. Raises RuleFileWrong."""
    where = Path(path)
    data = _read(where)
    chosen = None if board is None else board_named(board)
    assert board is None or chosen is not None, "the command line knows the boards"
    if where.suffix == SOURCE_SUFFIX:
        compiled = _compile(path, data, chosen)
        return Loaded(where, compiled.program, compiled.rule_names, compiled.slot_names)
    return Loaded(where, _decode(path, data, chosen), (), ())


def _read(where: Path) -> bytes:
    try:
        with where.open("rb") as file:
            return file.read(READ_BYTES_MAX)
    except OSError as error:
        raise wrong(str(where), error.strerror or str(error)) from None


def _compile(path: str, data: bytes, board: Board | None) -> Compiled:
    try:
        source = data.decode()
    except UnicodeDecodeError:
        raise wrong(path, "it is not UTF-8 text") from None
    target = None if board is None else LeavesOf(board.kind)
    try:
        return compile_rules(source, board.has if board else has_anywhere, target)
    except SourceError as error:
        place = error.place
        why = f"{error.text}\n{error.excerpt(source)}"
        raise wrong(f"{path}:{place.line}:{place.column + 1}", why, error.hint) from None


def _decode(path: str, data: bytes, board: Board | None) -> Program:
    try:
        program = _program_in(data)
    except BadProgram as error:
        hint = "source files end in .py"
        raise wrong(path, f"it is no compiled program: {error}", hint) from None
    has = board.has if board else has_anywhere
    refusal = verify(program, has)
    if refusal is None:
        return program
    missing = [spell(each) for each in program.resources if not has(each)]
    if missing:
        raise wrong(path, f"the board has no {', '.join(missing)}")
    place = f"rule {refusal.rule}, instruction {refusal.instruction}"
    raise wrong(path, f"the verifier refuses it: {refusal.flaw.name.lower()} in {place}")


def _program_in(data: bytes) -> Program:
    try:
        return decode_program(data)
    except BadProgram:
        if len(data) > PACKAGE_BYTES_MAX:
            raise
        return decode_program(read_package(data).program)


def wrong(where: str, why: str, hint: str = "") -> UserError:
    return RuleFileWrong(where=where, why=why, hint=hint)
