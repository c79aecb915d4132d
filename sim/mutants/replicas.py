"""Planted bugs of the replicated log: what each invariant of `sim.state.invariants` is there for.

Deliberately not here: bugs of blobs (`sim.mutants.blobs`) and of single roster records (their
tests have attacks of their own).
"""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant

LOG = "mesh.log.log"
CORE = "mesh.log.sync.core"
FETCHING = "mesh.log.sync.fetching"
REPLICA = "mesh.node.state.replica"
PROFILES = ("state", "state-keys", "state-disks", "state-roster", "state-gaps")
WINDOWS = "mesh.state.windows"


def _mutant(
    name: str,
    breaks: str,
    oracles: tuple[str, ...],
    *edits: Edit,
    profiles: tuple[str, ...] = PROFILES,
) -> Mutant:
    return Mutant(name, breaks, edits, profiles, oracles, nodes=4, world="state")


REPLICAS: tuple[Mutant, ...] = (
    _mutant(
        "heads-without-digest",
        "version vectors say how many events, and not which",
        ("logs-differ", "fork-unknown", "views-differ", "event-lost", "honest-blamed"),
        Edit("mesh.log.sync.vectors", "mark_of", " + head.digest", ""),
        Edit(
            "mesh.log.rollup",
            "hash_feeds",
            'b"+%b%b" % (_number(head.count), head.digest)',
            'b"+%b" % _number(head.count)',
        ),
    ),
    _mutant(
        "epoch-reused",
        "a process writes on under the epoch of the last one",
        ("signed-twice", "honest-forked"),
        Edit(REPLICA, "Replica.new_epoch", "self.config.token(EPOCH_BYTES)", "bytes(EPOCH_BYTES)"),
    ),
    _mutant(
        "first-seen-wins",
        "of two histories the one that came first is kept, and nobody is told",
        ("logs-differ", "fork-unknown", "chatty", "event-lost"),
        Edit(LOG, "Log._wins", "self._end_at(fork_of(ours, theirs), changes)", "pass"),
    ),
    _mutant(
        "two-epochs-are-a-fork",
        "two headers without a common history are taken for a proof",
        ("honest-forked",),
        Edit(
            LOG,
            "Log._add",
            "rival = self._rival_of(signed)",
            "rival = self._rival_of(signed)\n"
            "    others = [c.headers[0] for f, c in self._chains.items() if c.headers"
            " and f != signed.feed and (f.node, f.lane) == (signed.feed.node, signed.feed.lane)]\n"
            "    if chain is None and others:\n"
            "        self._end_at(fork_of(others[0], signed), changes)\n"
            "        return",
        ),
    ),
    _mutant(
        "never-absorbs",
        "who gets back what its disk had lost says nothing of it",
        ("last-words",),
        Edit(REPLICA, "Replica._look_after_own", "if unknown:", "if not unknown and unknown:"),
    ),
    _mutant(
        "deletions-forgotten",
        "a register that was taken back falls back to what it held",
        ("went-back", "last-words"),
        Edit(
            "mesh.state.registers",
            "RegisterView.latest",
            "in self._writes.counting(key)}",
            "in self._writes.counting(key) if entry.event.value is not None}",
        ),
    ),
    _mutant(
        "waits-for-everybody",
        "bodies go only when a member that may never come back agrees",
        ("hoards",),
        Edit(
            "mesh.log.retention",
            "clear_up",
            "return cover is not None and",
            "return len(log.nodes()) < 0 and cover is not None and",
        ),
    ),
    _mutant(
        "future-refused",
        "frames whose clock is a day ahead are refused",
        ("event-lost", "went-back", "last-words", "logs-differ", "honest-blamed"),
        Edit(
            LOG,
            "Log._check_writer",
            "if signed.header.mesh != self._mesh:",
            "if signed.header.mesh != self._mesh"
            " or signed.header.wall_ms > 1_790_000_000_000 + 86_400_000:",
        ),
    ),
    _mutant(
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
    _mutant(
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
    _mutant(
        "k-counts-records",
        "one builder that says a thing twice counts as two",
        ("minority",),
        Edit(
            "mesh.state.actions",
            "ActionView.claims",
            "known = side.get(claim.builder)",
            "known = None\n            place = NodeId(claim.builder + bytes([len(side) % 256]))",
        ),
        Edit(
            "mesh.state.actions",
            "ActionView.claims",
            "side[claim.builder] = claim",
            "side[place] = claim",
        ),
    ),
    _mutant(
        "oldest-first",
        "headers travel oldest first",
        ("honest-blamed", "logs-differ", "event-lost"),
        Edit(
            "mesh.log.sync.serving",
            "answer_headers",
            "for each in reversed(signed)",
            "for each in signed",
        ),
    ),
    _mutant(
        "always-compares",
        "equal replicas tell each other all their writers",
        ("chatty", "body-missing"),
        Edit(CORE, "Sync._on_digest", "if message.digest == mine:", "if message.digest == b'':"),
    ),
    _mutant(
        "bodies-unchecked",
        "a body is taken without looking at its root",
        ("views-differ", "fold-differs", "uncaught", "audit", "body-missing"),
        Edit(LOG, "Log._fill", "frame.check_body()", "pass"),
    ),
    _mutant(
        "waits-for-ever",
        "a question that nobody answers keeps its lease",
        ("logs-differ", "event-lost", "body-missing"),
        Edit(
            CORE, "Sync.handle_timer", "for number in session.overdue(now_s):", "for number in ():"
        ),
        Edit(
            "mesh.log.sync.session",
            "Session.next_deadline_s",
            'min((each.deadline_s for each in self.questions.values()), default=float("inf"))',
            'float("inf")',
        ),
    ),
    _mutant(
        "gone-for-good",
        "who had not a body once is never asked again",
        ("body-missing",),
        Edit(FETCHING, "Fetching._take_bodies", "now_s + SYNC_GONE_RETRY_S", "now_s + 1e9"),
    ),
    _mutant(
        "never-compares",
        "what a push lost is not looked for",
        ("logs-differ", "event-lost", "fork-unknown"),
        Edit(CORE, "Sync._on_digest", "if message.digest == mine:", "if True:"),
    ),
    _mutant(
        "headers-dropped",
        "with a body its header goes, too",
        ("audit", "logs-differ", "honest-blamed", "uncaught", "event-lost", "silent-loss"),
        Edit(
            "mesh.log.holdings",
            "Holdings.headers",
            "return tuple(chain.between(from_seq, to_seq, at_most)) if chain is not None else ()",
            "between = chain.between(from_seq, to_seq, at_most) if chain is not None else ()\n"
            "    return tuple(s for s in between if chain.marks[chain.find(s.seq)] != DROPPED)",
        ),
        profiles=("state-disks", "state"),
    ),
    _mutant(
        "dropped-in-silence",
        "what went for want of room is not counted as lost",
        ("silent-loss",),
        Edit(
            "mesh.log.holdings",
            "Holdings.lost",
            "if mark == DROPPED and chain.end(index) > covered",
            "if mark == DROPPED and chain.end(index) < covered",
        ),
        profiles=("state-disks", "state"),
    ),
    _mutant(
        "nothing-dropped",
        "bodies stay although there is no room for them",
        ("silent-loss", "hoards"),
        Edit(
            "mesh.log.retention",
            "choose",
            "if excess_bytes <= 0:",
            "if excess_bytes <= 1 << 20:",
        ),
        profiles=("state-disks", "state"),
    ),
    _mutant(
        "room-without-end",
        "what a disk does not take waits in memory, however much it is",
        ("unwritten",),
        Edit(
            "mesh.log.segments",
            "Segments.has_room",
            "return self.unwritten_bytes <",
            "return self.unwritten_bytes < 1 << 30 or self.unwritten_bytes <",
        ),
        profiles=("state-full",),
    ),
    _mutant(
        "by-the-clock",
        "events under an older clock than one that was seen of their writer do not count",
        ("went-back", "last-words", "views-differ", "fold-differs"),
        Edit(
            "mesh.state.intake",
            "Intake._body",
            "header = frame.signed.header",
            "header = frame.signed.header\n"
            "    clocks = self.__dict__.setdefault('clocks', {})\n"
            "    if header.wall_ms < clocks.get(header.node, 0):\n"
            "        return\n"
            "    clocks[header.node] = header.wall_ms",
        ),
    ),
    _mutant(
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
    _mutant(
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
    _mutant(
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
    _mutant(
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
    _mutant(
        "cut-for-ever",
        "who is admitted anew is not heard by those who had cut its log",
        ("logs-differ", "event-lost", "last-words", "views-differ"),
        Edit(REPLICA, "Replica._cut_removed", "for node in self.log.cut_nodes:", "for node in ():"),
        profiles=("state-roster", "state"),
    ),
    _mutant(
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
    _mutant(
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
    _mutant(
        "shorter-meanwhile",
        "an answer is judged by a log that has been shortened since the question",
        ("honest-blamed",),
        Edit(
            FETCHING,
            "Fetching.headers",
            "if have < question.place:",
            "if have < 0:",
        ),
        profiles=("state-keys", "state"),
    ),
    _mutant(
        "covers-beyond-the-cut",
        "bodies are let go for a checkpoint that a removal has cut off",
        ("views-differ", "fold-differs", "logs-differ"),
        Edit(
            "mesh.log.holdings",
            "Holdings._is_heard",
            "return end is None or by.seq < end",
            "return True",
        ),
        profiles=("state-roster", "state"),
    ),
    _mutant(
        "counted-by-entry",
        "events of a leaf that two gateways wrote down are two",
        ("leaf-events",),
        Edit(
            "mesh.leaf.history",
            "History.news",
            "return tuple(_without(segment, near))",
            "return (segment,) if segment.count else ()",
        ),
        profiles=("state",),
    ),
    _mutant(
        "leaves-not-kept",
        "a checkpoint keeps nothing of what leaves have said",
        ("leaf-events",),
        Edit(
            "mesh.state.views",
            "State._kept",
            "return list(views.leaves.kept(self.me))",
            "return []",
        ),
    ),
    _mutant(
        "chain-not-followed",
        "a gateway takes a leaf's list from where it begins, whatever it has of it",
        ("leaf-events",),
        Edit(
            "mesh.leaf.events",
            "Stream.take",
            "first = events.first + known",
            "first = events.first",
        ),
        profiles=("state",),
    ),
)
