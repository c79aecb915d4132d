"""Planted bugs of the replicated log: what each invariant of `sim.state.invariants` is there for.

Deliberately not here: bugs of blobs (`sim.mutants.blobs`), and of removals and admissions
(`sim.mutants.removals`).
"""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant

LOG = "mesh.log.log"
CORE = "mesh.log.sync.core"
FETCHING = "mesh.log.sync.fetching"
REPLICA = "mesh.node.state.replica"
PROFILES = ("state", "state-keys", "state-disks", "state-roster", "state-gaps")


def mutant(
    name: str,
    breaks: str,
    oracles: tuple[str, ...],
    *edits: Edit,
    profiles: tuple[str, ...] = PROFILES,
) -> Mutant:
    return Mutant(name, breaks, edits, profiles, oracles, nodes=4, world="state")


REPLICAS: tuple[Mutant, ...] = (
    mutant(
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
    mutant(
        "epoch-reused",
        "a process writes on under the epoch of the last one",
        ("signed-twice", "honest-forked"),
        Edit(REPLICA, "Replica.new_epoch", "self.config.token(EPOCH_BYTES)", "bytes(EPOCH_BYTES)"),
    ),
    mutant(
        "first-seen-wins",
        "of two histories the one that came first is kept, and nobody is told",
        ("logs-differ", "fork-unknown", "chatty", "event-lost"),
        Edit(LOG, "Log._wins", "self._end_at(fork_of(ours, theirs), changes)", "pass"),
    ),
    mutant(
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
    mutant(
        "never-absorbs",
        "who gets back what its disk had lost says nothing of it",
        ("last-words",),
        Edit(REPLICA, "Replica._look_after_own", "if unknown:", "if not unknown and unknown:"),
    ),
    mutant(
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
    mutant(
        "waits-for-everybody",
        "bodies go only when a member that may never come back agrees",
        ("hoards",),
        Edit(
            "mesh.log.retention",
            "clear_up",
            "return cover is not None and",
            "return len(log.nodes()) < 0 and cover is not None and",
        ),
        profiles=("state-disks", "state-keys"),
    ),
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
        "always-compares",
        "equal replicas tell each other all their writers",
        ("chatty", "body-missing"),
        Edit(CORE, "Sync._on_digest", "if message.digest == mine:", "if message.digest == b'':"),
    ),
    mutant(
        "bodies-unchecked",
        "a body is taken without looking at its root",
        ("views-differ", "fold-differs", "uncaught", "audit", "body-missing"),
        Edit(LOG, "Log._fill", "frame.check_body()", "pass"),
    ),
    mutant(
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
    mutant(
        "gone-for-good",
        "who had not a body once is never asked again",
        ("body-missing",),
        Edit(FETCHING, "Fetching._take_bodies", "now_s + SYNC_GONE_RETRY_S", "now_s + 1e9"),
    ),
    mutant(
        "never-compares",
        "what a push lost is not looked for",
        ("logs-differ", "event-lost", "fork-unknown"),
        Edit(CORE, "Sync._on_digest", "if message.digest == mine:", "if True:"),
    ),
    mutant(
        "headers-dropped",
        "with a body its header goes, too",
        ("audit", "logs-differ", "honest-blamed", "uncaught", "event-lost", "silent-loss"),
        Edit(
            "mesh.log.holdings",
            "Holdings.headers",
            "return tuple(chain.between(from_seq, to_seq, at_most)) if chain is not None else ()",
            "between = chain.between(from_seq, to_seq, at_most) if chain is not None else ()\n"
            "    marks = {s: chain.marks[chain.find(s.seq)] for s in between}\n"
            "    return tuple(s for s in between if marks[s] in (WANTED, HELD))",
        ),
        profiles=("state-disks", "state"),
    ),
    mutant(
        "dropped-in-silence",
        "what went for want of room is not counted as lost",
        ("silent-loss",),
        Edit(
            "mesh.log.holdings",
            "Holdings.lost",
            "range(len(chain.marks) if first is None else first, len(chain.marks))",
            "range(first or 0)",
        ),
        profiles=("state-disks", "state"),
    ),
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
    mutant(
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
