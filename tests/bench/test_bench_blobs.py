"""The benchmark of the blob store at a size that takes a moment: it ends with figures, and checks
that what it measured is there. The figures are no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench" / "blobs.py"


def test_it_ends_with_its_figures(tmp_path: Path) -> None:
    sizes = ["--blobs", "200", "--files", "10", "--batch", "50", "--rounds", "1"]
    sizes += ["--mib", "2", "--holders", "2", "--rate", "4000000"]
    argv = [sys.executable, str(BENCH), *sizes, "--dir", str(tmp_path)]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120)
    figures = json.loads(said.stdout.splitlines()[-1])
    assert figures["bench"] == "blobs"
    assert figures["ratio_ingest"] > 0
    assert figures["ingest_per_s"] > 0
    assert figures["ratio_swarm"] > 0
    assert figures["ratio_tls"] > 0
    assert figures["ratio_tls_cpu"] > 0
    assert list(tmp_path.iterdir()) == []
