"""Commands that are not ours reach the next `vitte`, and never ourselves again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cli.app import OURS
from cli.passthrough import find_next, is_ours

SCRIPT = '#!/bin/sh\necho "other: $*"\necho "language: ${LANGUAGE:-none}"\nexit 42\n'


def make_vitte(directory: Path, text: str = SCRIPT) -> Path:
    directory.mkdir(exist_ok=True)
    program = directory / "vitte"
    program.write_text(text)
    program.chmod(0o755)
    return program


def with_path(*directories: Path) -> str:
    return os.pathsep.join([*map(str, directories), os.environ["PATH"]])


@pytest.mark.parametrize(
    "words",
    [
        ("check", "main.vit", "--strict"),
        ("build", "main.vit"),
        ("test", "--all"),
        ("explain", "E0123", "--lang", "fr"),
        ("build", "--", "--dist"),
    ],
)
def test_foreign_commands_become_the_next_vitte(
    tmp_path: Path, vitte_process: Any, words: tuple[str, ...]
) -> None:
    make_vitte(tmp_path / "bin")
    done = vitte_process(*words, PATH=with_path(tmp_path / "bin"))
    assert done.code == 42, done.err
    assert done.out == f"other: {' '.join(words)}\nlanguage: none\n"


def test_without_another_vitte_that_is_said(tmp_path: Path, vitte_process: Any) -> None:
    done = vitte_process("check", PATH=str(tmp_path))
    assert done.code == 2
    assert "error[VM107]: `vitte check` is not a command of vitte-mesh" in done.err


def test_two_of_us_do_not_pass_a_command_back_and_forth(tmp_path: Path, vitte_process: Any) -> None:
    """Another installation of vitte-mesh is on PATH; behind it, nothing."""
    import sys

    text = f'#!/bin/sh\nexec "{sys.executable}" -P "{tmp_path}/second.py" "$@"\n'
    second = make_vitte(tmp_path / "bin", text)
    (tmp_path / "second.py").write_text(
        f"import sys\nsys.argv[0] = {str(second)!r}\n"
        "from cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    done = vitte_process("check", PATH=with_path(tmp_path / "bin"))
    assert done.code == 2
    assert "error[VM107]" in done.err


def test_links_to_ourselves_are_ourselves(tmp_path: Path) -> None:
    ours = make_vitte(tmp_path / "venv")
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "vitte").symlink_to(ours)
    other = make_vitte(tmp_path / "lang")
    not_executable = tmp_path / "etc"
    not_executable.mkdir()
    (not_executable / "vitte").touch()
    search = os.pathsep.join(str(tmp_path / name) for name in ("local", "venv", "etc", "lang"))
    assert find_next(search, {str(ours)}) == str(other)
    assert find_next(search, {str(ours), str(other)}) is None


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ("mesh status", True),
        ("build --dist", True),
        ("build app --dist", True),
        ("build app", False),
        ("bench", False),
        ("explain VM204", True),
        ("explain --json vm204", True),
        ("explain E1", False),
        ("explain --help", True),
        ("fmt", False),
        ("--bogus", True),
    ],
)
def test_what_is_ours(line: str, ours: bool) -> None:
    assert is_ours(line.split(), OURS) is ours
