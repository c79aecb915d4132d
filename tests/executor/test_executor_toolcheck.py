"""ToolCheck: this machine may run what its own files agree with, and can say why not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mesh.action.model import Tool, Toolchain
from mesh.action.platform import native_platform, this_platform
from mesh.cas.filehash import FileHasher
from mesh.executor.toolcheck import FRESH_S, ToolCheck
from mesh.types import digest_of


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    path = tmp_path / "cc"
    path.write_bytes(b"compiler")
    return path


def chain(path: Path, data: bytes = b"compiler", platform: str = "") -> Toolchain:
    return Toolchain(platform or this_platform(), (Tool(str(path), digest_of(data)),))


def test_same_tools_may_run(tool: Path) -> None:
    assert ToolCheck(FileHasher()).reason(chain(tool), 0.0) is None


def test_reasons(tool: Path, tmp_path: Path) -> None:
    check = ToolCheck(FileHasher())
    here = this_platform()
    assert check.reason(chain(tool, b"another"), 0.0) == f"{tool} differs"
    assert check.reason(chain(tmp_path / "no"), 0.0) == f"{tmp_path}/no is missing"
    assert check.reason(chain(tool / "below"), 0.0) == f"{tool}/below is missing"
    assert check.reason(chain(tool, platform="plan9-mips"), 0.0) == (
        f"it is {here}, and plan9-mips is needed"
    )
    assert "cannot be read" in str(check.reason(chain(tmp_path), 0.0))
    assert "cannot be read" in str(check.reason(chain(Path("/nul\0")), 0.0))


def test_answers_are_fresh_for_a_while(tool: Path) -> None:
    check = ToolCheck(FileHasher())
    toolchain = chain(tool)
    assert check.reason(toolchain, 100.0) is None
    tool.write_bytes(b"upgraded compiler")
    assert check.reason(toolchain, 100.0 + FRESH_S / 2) is None
    assert check.reason(toolchain, 100.0 + FRESH_S) == f"{tool} differs"


def test_given_digest_is_the_key(tool: Path) -> None:
    check = ToolCheck(FileHasher())
    assert check.reason(chain(tool), 0.0, digest_of(b"key")) is None
    assert check.reason(chain(tool, b"another"), 0.0, digest_of(b"key")) is None


def test_answers_are_bounded(tool: Path) -> None:
    check = ToolCheck(FileHasher())
    for number in range(1000):
        check.reason(chain(tool), 0.0, digest_of(str(number).encode()))
    assert len(check._answers) <= 256


def test_a_command_for_another_processor_is_refused_and_for_this_one_not(tool: Path) -> None:
    check = ToolCheck(FileHasher())
    assert check.reason(chain(tool, platform=native_platform()), 0.0) is None
    other = f"{this_platform()}+0000000000000000"
    reason = check.reason(chain(tool, platform=other), 0.0)
    assert reason == f"it is {native_platform()}, and {other} is needed"


def test_what_is_no_regular_file_is_no_tool(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    check = ToolCheck(FileHasher())
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        reason = check.reason(chain(path), 0.0)
        assert reason is not None
        assert "cannot be read" in reason
