"""`vitte sim mutants`: planted bugs, and which were found, by whom, at what cost."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from statistics import median
from typing import Any

import attrs

from cli.i18n import t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import table, width
from mesh.errors import SimMisused
from sim.app.common import give
from sim.mutants.catalogue import AREA_OF, AREAS, MUTANTS
from sim.mutants.hunt import Hunted, hunt_all


def main(request: dict[str, Any], settings: Settings) -> int:
    wanted = request["only"]
    known = {mutant.name: mutant for mutant in MUTANTS}
    for name in wanted:
        if name not in known:
            raise SimMisused(
                option=f"--only {name}",
                why=t("no planted bug has this name"),
                hint=_near(name, known),
            )
    chosen = [known[name] for name in wanted] if wanted else list(MUTANTS)
    jobs = request.get("jobs") or len(os.sched_getaffinity(0))
    hunted = hunt_all(chosen, request["seeds"], jobs, _quiet if settings.json else _said)
    if settings.json:
        give(view(hunted), "sim_mutants")
    else:
        _print(hunted)
    return 0 if all(each.killed for each in hunted) else 1


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=3)
    if near:
        return t("did you mean {near}?", near=", ".join(f"`{each}`" for each in near))
    return t("`vitte sim mutants` without it plants them all, and names each")


def _quiet(_: Hunted) -> None:
    """With --json only the answer is printed."""


def _said(each: Hunted) -> None:
    note(f"{each.name}: {each.problem or _found_by(each)}")


def _found_by(each: Hunted) -> str:
    if each.killed:
        return each.oracle
    if each.other:
        return t("another oracle: {oracle}", oracle=each.other)
    return t("ALIVE")


def _print(hunted: list[Hunted]) -> None:
    rows = [
        [
            AREA_OF[each.name],
            each.name,
            _found_by(each),
            each.profile,
            str(each.runs),
            f"{each.cpu_s:.2f}",
            each.problem or each.text or each.other_text,
        ]
        for each in hunted
    ]
    header = [t("AREA"), "PLANTED", t("FOUND BY"), t("PROFILE"), t("RUNS"), "CPU s", t("HOW")]
    for line in table(header, rows, width()):
        out(line)
    figures = view(hunted)
    for area, those in figures["areas"].items():
        planted, killed = those["planted"], those["killed"]
        out(
            t(
                "{area}: {planted} planted, {killed} killed",
                area=area,
                planted=planted,
                killed=killed,
            )
        )
    out(
        t(
            "{planted} planted, {killed} killed; {total:.1f} s of processor time, median {median}",
            planted=figures["planted"],
            killed=figures["killed"],
            total=figures["cpu_s"],
            median=f"{figures['median_cpu_s']:.2f} s",
        )
    )


def view(hunted: list[Hunted]) -> dict[str, Any]:
    """`killed` counts those found by an oracle that they name, `found_by_another` the others."""
    cpu_s = [each.cpu_s for each in hunted]
    areas = {area: [each for each in hunted if AREA_OF[each.name] == area] for area in AREAS}
    return {
        "planted": len(hunted),
        "killed": sum(each.killed for each in hunted),
        "found_by_another": sum(not each.killed and bool(each.other) for each in hunted),
        "cpu_s": round(sum(cpu_s), 3),
        "median_cpu_s": round(median(cpu_s), 3) if cpu_s else 0.0,
        "areas": {
            area: {"planted": len(those), "killed": sum(each.killed for each in those)}
            for area, those in areas.items()
            if those
        },
        "mutants": [_row(each) for each in hunted],
    }


def _row(each: Hunted) -> dict[str, Any]:
    row = {**attrs.asdict(each), "area": AREA_OF[each.name], "verdict": each.verdict}
    return {**row, "cpu_s": round(each.cpu_s, 3)}
