"""`stand`: each contract test runs once on real ports and once on simulated ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from stands import RealStand, SimStand, Stand, pty_pair, tcp_lines, unix_lines


@pytest.fixture(params=[RealStand, SimStand], ids=["real", "simulated"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Stand:
    made: Stand = request.param(tmp_path)
    return made


@pytest.fixture(
    params=[pty_pair, unix_lines, tcp_lines, None], ids=["device", "unix", "tcp", "simulated"]
)
def line_stand(request: pytest.FixtureRequest, tmp_path: Path) -> Stand:
    """`stand`, once for every way in which a real machine has a serial line."""
    return RealStand(tmp_path, request.param) if request.param else SimStand(tmp_path)
