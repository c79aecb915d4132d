"""Planted bugs of probing, reconnecting and telling: who is watched, helped, tried and told."""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant

PROBER = "mesh.swim.prober"
VIGIL = "mesh.swim.vigil"
PROBE = "mesh.swim.probe"
RECONNECT = "mesh.swim.reconnect"
CORE = "mesh.swim.core"
SPREADING = "mesh.swim.spreading"
DISSEMINATION = "mesh.swim.dissemination"
REPAIR = "mesh.swim.repair"

PROBING = (
    Mutant(
        "never-accuses",
        "a vigil that ends in silence is forgotten",
        (Edit(PROBER, "Prober._keep_vigils", "done.silent.append(member)", "pass"),),
        ("calm",),
        ("crash-unnoticed",),
    ),
    Mutant(
        "deaf-vigils",
        "signs of life do not end a vigil",
        (Edit(VIGIL, "Vigils.heard", "if vigil is None or at_s <= vigil.since_s:", "if True:"),),
        ("mild", "starved", "loss"),
        ("false-death", "reunited", "chatty"),
    ),
    Mutant(
        "probes-one-only",
        "the probe round never moves on",
        (
            Edit(
                PROBE,
                "ProbeOrder.next",
                "shuffled(list(candidates), self._rng)",
                "list(candidates)[:1]",
            ),
        ),
        ("calm",),
        ("crash-unnoticed",),
    ),
    Mutant(
        "never-reconnects",
        "the dead are tried once, and not again",
        (
            Edit(
                RECONNECT,
                "Reconnector.take_due",
                "attempt.next_s = now_s + self._jittered(attempt.wait_s)",
                "attempt.next_s = now_s + 1e9",
            ),
        ),
        ("partitions",),
        ("reunited", "tables-differ"),
    ),
    Mutant(
        "changes-while-iterating",
        "a dictionary changes while it is walked",
        (
            Edit(
                PROBER,
                "Prober._end_probes",
                "[p for p in self._probes.values() if p.node == node and at_s > p.sent_s]",
                "(p for p in self._probes.values() if p.node == node and at_s > p.sent_s)",
            ),
        ),
        ("calm",),
        ("uncaught",),
    ),
    Mutant(
        "rumours-for-ever",
        "a rumour is told again and again",
        (Edit(DISSEMINATION, "Rumours._told", "rumour.told += 1", "rumour.told += 0"),),
        ("calm",),
        ("chatty", "storm"),
    ),
    Mutant(
        "no-repair",
        "tables that differ are not compared",
        (
            Edit(
                CORE,
                "Swim._on_digest",
                "deltas = repair.answer_digest(self._facts.table, theirs)",
                "deltas = []",
            ),
        ),
        ("loss", "partitions"),
        ("tables-differ", "reunited", "joined"),
    ),
    Mutant(
        "vigil-without-end",
        "time in which others were late is forgiven for ever",
        (
            Edit(
                VIGIL,
                "Vigil.pinged",
                "self.pings += 1",
                "self.pings += 1; self.until_s = now_s + 3",
            ),
        ),
        ("calm",),
        ("crash-unnoticed",),
    ),
    Mutant(
        "mute-for-ever",
        "what was under way when a node was cut off is taken for others' voices",
        (
            Edit(
                "mesh.swim.paths",
                "Paths._ours",
                "max(first_s, now_s - self._heard_for_s)",
                "first_s",
            ),
        ),
        ("partitions",),
        ("alone-unnoticed",),
        nodes=3,
    ),
    Mutant(
        "impatient",
        "who misses one ping is accused at once",
        (
            Edit(
                "mesh.swim.timing",
                "Timing.patience_s",
                "return config.patience_s +",
                "return 0 * config.patience_s +",
            ),
        ),
        ("mild",),
        ("false-death",),
    ),
    Mutant(
        "backwards-time",
        "timers are armed in the past again and again",
        (
            Edit(SPREADING, "Spreader.run", "self._last_s = now_s", "pass"),
            Edit(
                SPREADING,
                "Spreader.next_timer_s",
                " or self._in_vain == (rumours.added, reachable)",
                "",
            ),
        ),
        ("calm",),
        ("chatty", "storm", "uncaught"),  # the world stands still: a livelock
    ),
)
