"""Planted bugs of what is believed of others: refutation, verdicts, versions, loads."""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant

MEMBERSHIP = "mesh.swim.membership"
SUSPICION = "mesh.swim.suspicion"

FACTS: tuple[Mutant, ...] = (
    Mutant(
        "never-buried",
        "suspicions do not run out",
        (Edit(SUSPICION, "Suspicions.due", "each.deadline_s <= now_s", "each.deadline_s < 0"),),
        ("calm",),
        ("crash-unnoticed", "uncaught"),
    ),
)
