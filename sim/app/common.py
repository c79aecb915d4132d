"""What the commands of `vitte sim` share: wishes from requests, views of outcomes, replay lines."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import attrs

from cli.i18n import n, t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import print_json
from mesh.errors import SimMisused
from sim.oracles import Finding
from sim.scenario.play import Outcome
from sim.scenario.profiles import PROFILES, Wish
from sim.story import tell_story

WORLD = "mesh"
"""Where no option names one; profiles that have a world of their own are drawn in that."""


def wish_of(request: dict[str, Any], seed: int) -> Wish:
    """What the options ask for. Raises SimMisused when they do not go together."""
    profile, world = request["profile"], request.get("world")
    only = PROFILES[profile].world
    if world and only and world != only:
        why = t(
            "the profile {profile} is played in no world but {only}", profile=profile, only=only
        )
        hint = t("leave it out, or choose another `--profile`")
        raise SimMisused(option=f"--world {world}", why=why, hint=hint)
    return Wish(
        seed=seed,
        profile=profile,
        nodes=request["nodes"],
        world=world or WORLD,
        swim=request.get("swim", "lan"),
        hours=request.get("hours"),
    )


def count_nodes(count: int) -> str:
    return n("{count} node", "{count} nodes", count)


def finding_view(finding: Finding) -> dict[str, Any]:
    return {**attrs.asdict(finding), "nodes": list(finding.nodes)}


def outcome_view(outcome: Outcome) -> dict[str, Any]:
    """An outcome for `--json`."""
    scenario = outcome.scenario
    return {
        "seed": scenario.seed,
        "nodes": scenario.nodes,
        "profile": scenario.profile,
        "world": scenario.world,
        "faults": len(scenario.faults),
        "ok": outcome.ok,
        "verdict": outcome.verdict,
        "digest": outcome.digest,
        "virtual_s": round(outcome.virtual_s, 3),
        "events": outcome.events,
        "cpu_s": round(outcome.cpu_s, 3),
        "figures": outcome.figures,
        "findings": [finding_view(finding) for finding in outcome.findings],
    }


def print_failure(outcome: Outcome, settings: Settings) -> None:
    """The story of a failing run, and the first traceback with --debug."""
    for line in tell_story(outcome):
        out(line)
    detail = outcome.findings[0].detail
    if detail and settings.debug:
        out(detail)


def print_verdict(outcome: Outcome) -> None:
    """The last line: digest and verdict."""
    verdict = t("ok") if outcome.ok else t("FAILED") + f": {outcome.findings[0].oracle}"
    out(f"digest {outcome.digest}  {verdict}")


def replay_line(path: Path) -> str:
    """The command that shows it again."""
    return f"vitte sim replay {shlex.quote(str(path))}"


def status_of(outcome: Outcome) -> int:
    return 0 if outcome.ok else 1


def give(view: dict[str, Any], schema: str) -> None:
    print_json({"schema": f"vitte.{schema}/1", **view})


def say_saved(what: str, path: Path) -> None:
    note(f"{what}: {path}")
