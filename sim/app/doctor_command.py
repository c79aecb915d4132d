"""`vitte sim doctor`: the kernel's self-test, and the determinism matrix."""

from __future__ import annotations

from typing import Any

from cli.i18n import n, t
from cli.settings import Settings, note
from cli.shell import out
from mesh.errors import SimMisused
from sim.app.common import give
from sim.doctor.matrix import (
    HASH_SEEDS,
    Cell,
    Matrix,
    NoSuchPython,
    cell,
    differences,
    pythons,
    why_not,
)
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


def _pythons(extra: list[str]) -> list[str]:
    try:
        return pythons(extra)
    except NoSuchPython as error:
        why = t("there is no program of this name that can be started")
        hint = t("give the path of a Python that has what the simulator needs")
        raise SimMisused(option=f"--python {error.name}", why=why, hint=hint) from None


def _matrix(request: dict[str, Any], settings: Settings) -> Matrix:
    cells: list[Cell] = []
    left_out: dict[str, str] = {}
    for python in _pythons(request["pythons"]):
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
    for each in matrix.cells:
        if each.error:
            out(t("FAILED") + f": {_said(each)}")
    for case, digests in matrix.different.items():
        out(t("DIFFERENT: {case}: {digests}", case=case, digests=", ".join(digests)))
    versions = len({each.python for each in matrix.cells})
    cases = max((len(each.digests) for each in matrix.cells), default=0)
    factors = (
        n("{count} seed", "{count} seeds", cases),
        n("{count} hash seed", "{count} hash seeds", len(HASH_SEEDS)),
        n("{count} Python", "{count} Pythons", versions),
    )
    found = n("{count} difference", "{count} differences", len(matrix.different))
    out(f"{' x '.join(factors)}: {found}")


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
