"""`vitte sim doctor`: the kernel's self-test, and the determinism matrix."""

from __future__ import annotations

from typing import Any

from cli.i18n import n, t
from cli.settings import Settings, note
from cli.shell import out
from sim.app.common import give
from sim.doctor.matrix import HASH_SEEDS, Cell, Matrix, cell, differences, pythons, why_not
from sim.kernel import trio_internals


def main(request: dict[str, Any], settings: Settings) -> int:
    kernel = _kernel()
    matrix = _matrix(request, settings)
    if settings.json:
        give(_view(kernel, matrix), "sim_doctor")
    else:
        _print(kernel, matrix)
    return 0 if matrix.same and not kernel else 1


def _kernel() -> str:
    """Empty when trio is as the kernel knows it; else what has changed."""
    try:
        trio_internals.check()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the diagnosis
        return f"{type(error).__name__}: {error}"
    return ""


def _matrix(request: dict[str, Any], settings: Settings) -> Matrix:
    cells: list[Cell] = []
    left_out: dict[str, str] = {}
    for python in pythons(request["pythons"]):
        why = why_not(python)
        if why:
            left_out[python] = why
            continue
        for hash_seed in HASH_SEEDS:
            cells.append(cell(python, hash_seed, request["seeds"], request["nodes"]))
            if not settings.json:
                note(_said(cells[-1]))
    return Matrix(tuple(cells), left_out, differences(cells))


def _said(each: Cell) -> str:
    what = each.error or n("{count} digest", "{count} digests", len(each.digests))
    return f"Python {each.python:<10} PYTHONHASHSEED={each.hash_seed:<7} {what}"


def _print(kernel: str, matrix: Matrix) -> None:
    out(f"{t('kernel')}: {kernel or t('ok')}")
    for python, why in matrix.left_out.items():
        out(t("left out: {python}: {why}", python=python, why=why))
    for case, digests in matrix.different.items():
        out(t("DIFFERENT: {case}: {digests}", case=case, digests=", ".join(digests)))
    versions = len({each.python for each in matrix.cells})
    cases = len(matrix.cells[0].digests) if matrix.cells else 0
    out(
        t(
            "{cases} seeds x {hashes} hash seeds x {versions} Pythons: {different} differences",
            cases=cases,
            hashes=len(HASH_SEEDS),
            versions=versions,
            different=len(matrix.different),
        )
    )


def _view(kernel: str, matrix: Matrix) -> dict[str, Any]:
    return {
        "kernel": kernel or "ok",
        "same": matrix.same,
        "cells": [
            {"python": c.python, "hash_seed": c.hash_seed, "digests": c.digests, "error": c.error}
            for c in matrix.cells
        ],
        "left_out": matrix.left_out,
        "differences": len(matrix.different),
        "different": {case: list(digests) for case, digests in matrix.different.items()},
    }
