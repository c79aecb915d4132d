"""Planted bugs of removals, admissions and stolen keys: who is heard, and what is withheld.

Deliberately not here: bugs of single roster records (their tests have attacks of their own).
"""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant
from sim.mutants.replicas import LOG, REPLICA, mutant

STANDING = "mesh.identity.standing"
WINDOWS = "mesh.state.windows"

REMOVALS: tuple[Mutant, ...] = (
    mutant(
        "cut-by-time",
        "of a removed node everything counts that bears an earlier time",
        ("late-word",),
        Edit(
            WINDOWS,
            "Windows._high",
            "min(self._kept(strand, cut) for cut in verdict.cuts)",
            "ENDLESS",
        ),
        Edit(
            LOG,
            "Log._cut_of",
            "return cuts.get((feed.epoch, feed.lane), EMPTY) if cuts is not None else None",
            "return None",
        ),
    ),
    mutant(
        "cut-without-head",
        "a cut counts events, and does not say of which history",
        ("late-word", "honest-forked", "views-differ", "fold-differs", "logs-differ", "event-lost"),
        Edit(
            WINDOWS, "Windows._kept", "return ancestry.get(strand.index, 0)", "return point.count"
        ),
        Edit(
            LOG,
            "Log._rival_of",
            "signed.end > cut.count or (signed.end == cut.count and signed.digest != cut.digest)",
            "signed.end > cut.count",
        ),
        Edit(
            LOG,
            "Log._cut_chain",
            "leads_there = chain.head.count < cut.count or chain.has_head(cut)",
            "leads_there = True",
        ),
    ),
    mutant(
        "invite-by-arrival",
        "who came first, as far as one has heard, is let in on an invite",
        ("rosters-differ", "overused", "logs-differ", "views-differ"),
        Edit(
            "mesh.identity.fold",
            "fold",
            "ordered = sorted(records, key=rooted_order)",
            "ordered = list(records)",
        ),
        profiles=("state-roster", "state"),
    ),
    mutant(
        "invite-without-end",
        "the uses of an invite are not counted",
        ("overused",),
        Edit(
            "mesh.identity.fold",
            "_fits",
            "if admit.node not in nodes and len(nodes) >= invite.fact.uses:",
            "if admit.node not in nodes and len(nodes) > invite.fact.uses:",
        ),
        profiles=("state-roster", "state"),
    ),
    mutant(
        "removed-have-no-say",
        "records of an admin that is out are refused, whenever they were written",
        ("rosters-differ", "logs-differ", "views-differ"),
        Edit(
            "mesh.identity.roster",
            "Roster._check_rooted",
            "author_is_admin = _granted_role(under) is Role.ADMIN",
            "author_is_admin = _granted_role(under) is Role.ADMIN"
            " and signed.author in self._fold.members",
        ),
        profiles=("state-roster", "state"),
    ),
    mutant(
        "removed-admit-on",
        "what an admin writes after its removal stands",
        ("uninvited",),
        Edit(
            "mesh.identity.fold",
            "_author_stands",
            "return all(signed.ref in leave.keeps for leave in leaves.ending(admission))",
            "return True",
        ),
        profiles=("state-roster", "state"),
    ),
    mutant(
        "cut-for-ever",
        "who is admitted anew is not heard by those who had cut its log",
        ("logs-differ", "event-lost", "last-words", "views-differ"),
        Edit(
            REPLICA,
            "Replica._cut_removed",
            "for node in sorted(self.log.cut_nodes):",
            "for node in ():",
        ),
        profiles=("state-roster", "state"),
    ),
    mutant(
        "pending-kept",
        "of a guest that turns out to be one too many the log stays where it was heard",
        ("logs-differ", "chatty", "views-differ"),
        Edit(
            REPLICA,
            "Replica._cut_removed",
            "if node not in lives and node not in cuts:",
            "if node not in lives and node in cuts:",
        ),
        profiles=("state-roster", "state"),
    ),
    mutant(
        "writes-on-under-the-old",
        "who was admitted anew goes on in an epoch of the admission that has ended",
        ("last-words", "event-lost"),
        Edit(
            REPLICA,
            "Replica._renew",
            "self._admission, self._is_over = best.ref, True",
            "self._is_over = False",
        ),
        profiles=("state-roster", "state"),
    ),
    mutant(
        "covers-beyond-the-cut",
        "bodies are let go for a checkpoint that a removal has cut off",
        ("covers-differ", "views-differ", "fold-differs", "logs-differ"),
        Edit(
            "mesh.log.holdings",
            "Holdings._is_heard",
            "return end is None or by.seq < end",
            "return True",
        ),
        profiles=("state-keys", "state-roster", "state"),
    ),
    mutant(
        "ended-admission-heard",
        "who is in again is heard in epochs of the admission that has ended, too",
        ("thief-heard",),
        Edit(
            STANDING,
            "Standing.judge",
            "if named.cuts:",
            "if named.cuts and all(life.cuts for life in lives):",
        ),
        profiles=("state-keys", "state"),
    ),
    mutant(
        "unnamed-heard",
        "who is in again is heard in epochs that name no admission",
        ("thief-heard", "late-word"),
        Edit(
            STANDING,
            "Standing.judge",
            "self.cuts.get(node, ())",
            "self.cuts.get(node, ()) if all(life.cuts for life in lives) else ()",
        ),
        profiles=("state-keys", "state"),
    ),
    mutant(
        "taint-ends-at-once",
        "what was made from a withdrawn result is offered",
        ("taint-forgotten",),
        Edit("mesh.state.taint", "closing", "tainted.add(action)", "continue"),
        profiles=("state-keys", "state"),
    ),
    mutant(
        "lists-unread",
        "what an admin lists as withdrawn is known only where the events were",
        ("taint-forgotten", "views-differ", "fold-differs"),
        Edit(
            "mesh.state.views",
            "State._look_at_withdrawals",
            "if into.policy or any(key.startswith(PREFIX) for _, key in registers):",
            "if not PREFIX:",
        ),
        profiles=("state-keys", "state"),
    ),
)
