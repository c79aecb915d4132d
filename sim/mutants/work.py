"""Planted bugs of the work itself: leases, and tasks that outlive their node."""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant

WORK: tuple[Mutant, ...] = (
    Mutant(
        "leases-for-ever",
        "a peer that is gone keeps what it was given",
        (Edit("mesh.scheduler.victim", "Victim.peer_down", "self._requeue(lease)", "[]"),),
        ("builds",),
        ("stranded", "run-wrong"),
        nodes=4,
        world="mesh",
    ),
    Mutant(
        "task-outlives",
        "a task of a node is nobody's child, and goes on when the node has ended",
        (
            Edit(
                "mesh.node.runtime",
                "MeshRuntime.run",
                "nursery.start_soon(self.links.run)",
                "trio.lowlevel.spawn_system_task("
                'self.links.run, context=__import__("contextvars").copy_context())',
            ),
        ),
        ("crashes",),
        ("left-over",),
        nodes=3,
        world="mesh",
    ),
)
