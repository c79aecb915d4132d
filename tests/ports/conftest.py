"""`stand`: each contract test runs once on real ports and once on simulated ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from stands import RealStand, SimStand, Stand


@pytest.fixture(params=[RealStand, SimStand], ids=["real", "simulated"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Stand:
    made: Stand = request.param(tmp_path)
    return made
