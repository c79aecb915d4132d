"""Planted bugs of what is believed of others: signatures, refutation, verdicts, versions, epochs.

`uncaught` is named where the product itself asserts what the bug breaks: the assertion is what is
there to see it.
"""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant

MEMBERSHIP = "mesh.swim.membership"
SUSPICION = "mesh.swim.suspicion"
OBSERVERS = "mesh.swim.observers"
CASES = "mesh.swim.cases"
TABLE = "mesh.swim.table"
VOICE = "mesh.swim.voice"

FACTS: tuple[Mutant, ...] = (
    Mutant(
        "signatures-unchecked",
        "statements are believed without looking at their signatures",
        (Edit(VOICE, "Voice.genuine", "if not self._signed:", "if True:"),),
        ("liars",),
        ("invented-version", "false-death", "reunited", "went-back"),
    ),
    Mutant(
        "one-vote-kills",
        "a single accuser is a quorum",
        (Edit(OBSERVERS, "Observers.quorum", "if not self._config.quorum:", "if True:"),),
        ("liars",),
        ("false-death", "reunited"),
    ),
    Mutant(
        "never-refutes",
        "who is accused says nothing",
        (
            Edit(
                MEMBERSHIP,
                "Membership._hear_against_self",
                "self._become(_next(own.record))",
                "pass",
            ),
        ),
        ("partitions", "starved"),
        ("reunited", "tables-differ"),
    ),
    Mutant(
        "never-buried",
        "suspicions do not run out",
        (
            Edit(SUSPICION, "Suspicions.due", "each.deadline_s <= now_s", "each.deadline_s < 0"),
            Edit(
                SUSPICION,
                "Suspicions.next_s",
                "min(each.deadline_s for each in self.running.values())",
                "None",
            ),
        ),
        ("calm",),
        ("crash-unnoticed",),
    ),
    Mutant(
        "votes-uncounted",
        "verdicts find no votes: nobody is ever dead",
        (Edit(CASES, "Cases.votes", "if held.charge.vote", "if held.charge.vote is None"),),
        ("calm",),
        ("crash-unnoticed",),
    ),
    Mutant(
        "old-charges-kept",
        "what was held against an earlier life is held against the next one",
        (Edit(TABLE, "Table.renew", "member.charges.clear()", "pass"),),
        ("crashes", "partitions"),
        ("false-death", "reunited", "tables-differ", "crash-unnoticed"),
    ),
    Mutant(
        "suspicion-outlives-refutation",
        "a refuted suspicion is not stopped",
        (Edit(CASES, "Cases.close", "self.suspicions.stop(member.node_id)", "pass"),),
        ("starved", "partitions", "crashes"),
        ("uncaught",),
    ),
    Mutant(
        "same-version-again",
        "a record that is already held is taken as a new one",
        (
            Edit(
                MEMBERSHIP,
                "Membership._hear_record",
                "record.version <= known.record.version",
                "record.version < known.record.version",
            ),
        ),
        ("calm",),
        ("uncaught",),
    ),
    Mutant(
        "leaving-unsaid",
        "a leaving node's record does not say so",
        (
            Edit(
                MEMBERSHIP,
                "Membership.leave",
                "evolve(self.table.own.record, left=True)",
                "self.table.own.record",
            ),
        ),
        ("crashes",),
        ("goodbye-unheard",),
    ),
    Mutant(
        "own-hash-forgotten",
        "our own new record is not in our table's hash",
        (Edit(TABLE, "Table.set_own", "own.mark = mark_of(record, own.state)", "pass"),),
        ("starved", "crashes", "partitions"),
        ("tables-differ", "chatty"),
    ),
    Mutant(
        "lost-for-ever",
        "who is dead is not tried again",
        (
            Edit(
                "mesh.swim.core",
                "Swim._after",
                "if change.view.state in (State.UNREACHABLE, State.DEAD):",
                "if change.view.state is None:",
            ),
        ),
        ("partitions", "crashes"),
        ("reunited", "tables-differ"),
    ),
    Mutant(
        "epoch-repeats",
        "a node starts with the epoch of its last start",
        (
            Edit(
                "mesh.node.epoch",
                "next_epoch",
                "epoch = int(clock.wall() * 1000)",
                "epoch = last or int(clock.wall() * 1000)",
            ),
            Edit(
                "mesh.node.epoch",
                "next_epoch",
                "if epoch <= last:",
                "if epoch < last:",
            ),
        ),
        ("crashes",),
        ("reunited", "tables-differ", "false-death", "went-back"),
        nodes=5,
        world="mesh",
    ),
)
