"""Charges against members: who is suspected, who votes, and what it takes to be dead.

    own evidence --> our charge --> its observers (they look at once) and the member itself
    an observer's charge --> SUSPECT everywhere; more of them, or hard ones, shorten the time
    time over, nothing refuted --> UNREACHABLE; observers with evidence of their own sign a vote
    a quorum of observers' votes --> DEAD: the votes together are the certificate

Rules: every node judges by itself, with statements it has verified; nobody's word alone makes
anybody dead. Only observers' charges are gossiped, so a node with a broken path bothers nobody
else. A member that was heard since the newest charge is not voted against: it gets time to refute.
What is heard while repairing tables may be as old as a partition: it makes a reachable member
SUSPECT first, and is not gossiped on.
Deliberately not here: which observers (`observers`), how long (`suspicion`), how members are looked
at (`vigil`), refutation (`membership`: only the subject can).
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.limits import (
    SWIM_CERTIFICATE_MAX,
    SWIM_CHARGES_MAX,
    SWIM_OTHER_CHARGES_MAX,
    SWIM_PACE_MAX,
    SWIM_VERDICT_LETTERS_MAX,
)
from mesh.swim.book import Book
from mesh.swim.effects import MemberChanged, State
from mesh.swim.evidence import Evidence
from mesh.swim.messages import Statement, prefix_of
from mesh.swim.records import Charge
from mesh.swim.suspicion import Suspicions
from mesh.swim.table import Held, Member
from mesh.types import NodeId


class Cases:
    """All that is open against anybody."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.open: dict[NodeId, None] = {}
        """To be looked at only: empty nearly always."""
        self._pace: dict[tuple[bytes, bytes], float] = {}
        self.suspicions = Suspicions(book.config)
        self.to_check: dict[NodeId, None] = {}
        """Members that we are asked to judge; emptied by `take_to_check`."""
        self._check_again_s: dict[NodeId, float] = {}

    # -- our own evidence ------------------------------------------------------------------------
    def accuse(self, member: Member, evidence: Evidence, now_s: float) -> list[MemberChanged]:
        """We found it silent, or were refused. Nothing happens when we said so already."""
        own = member.charges.get(self._book.own_prefix)
        if member.state >= State.DEAD or (own is not None and own.charge.weight >= (0, evidence)):
            return []
        self._book.counters["accused"] += 1
        judges = self._judges(member, now_s)
        late = member.state == State.UNREACHABLE and self._book.own_id in judges
        held = self._charge(member, evidence, vote=late, now_s=now_s)
        if len(self._by(judges, member)) <= max(1, self._book.config.quorum):
            self._book.write([*judges, member.node_id], held.statement)
        return self._weigh(member, held, judges, now_s)

    def _charge(self, member: Member, evidence: Evidence, *, vote: bool, now_s: float) -> Held:
        record = member.record
        charge = Charge(
            accuser=self._book.own_prefix,
            subject=member.prefix,
            epoch=record.epoch,
            incarnation=record.incarnation,
            evidence=evidence.value,
            vote=vote,
        )
        held = Held(charge, self._book.voice.say(charge), now_s)
        self._keep(member, held, self._book.own_id)
        return held

    def _keep(self, member: Member, held: Held, accuser: NodeId) -> None:
        member.charges[held.charge.accuser] = held
        what = "voted" if held.charge.vote else "charged"
        evidence = Evidence(held.charge.evidence).name.lower()
        self._book.note(member, what, held.at_s, accuser, evidence)

    # -- what others say -------------------------------------------------------------------------
    def is_news(self, member: Member, accuser: NodeId, charge: Charge, now_s: float) -> bool:
        """Whether the charge would change anything, were it genuine. Decided before its signature
        is looked at; what is refused here is counted."""
        record = member.record
        if (charge.epoch, charge.incarnation) != (record.epoch, record.incarnation):
            return False
        held = member.charges.get(charge.accuser)
        if member.state >= State.DEAD or (held and held.charge.weight >= charge.weight):
            return False
        if held is None and self._is_one_too_many(member, accuser, now_s):
            self._book.counters["charge-too-many"] += 1
            return False
        if held is None and self._is_hasty(charge, now_s):
            self._book.counters["charge-too-often"] += 1
            return False
        return True

    def _is_one_too_many(self, member: Member, accuser: NodeId, now_s: float) -> bool:
        """Judges find room always; others only ask them to look, and a few are enough for that."""
        judges = self._judges(member, now_s)
        if accuser in judges:
            return len(member.charges) >= SWIM_CHARGES_MAX
        return len(member.charges) - len(self._by(judges, member)) >= SWIM_OTHER_CHARGES_MAX

    def _by(self, judges: Sequence[NodeId], member: Member) -> list[Held]:
        """What these have charged it with."""
        held = (member.charges.get(prefix_of(judge)) for judge in judges)
        return [each for each in held if each is not None]

    def _is_hasty(self, charge: Charge, now_s: float) -> bool:
        """Whether that accuser charged an earlier incarnation just now."""
        pair = (charge.accuser, charge.subject)
        last_s = self._pace.get(pair)
        if last_s is not None and now_s - last_s < self._book.config.beat_interval_s:
            return charge.incarnation > 0
        return False

    def hear(
        self,
        member: Member,
        accuser: NodeId,
        held: Held,
        *,
        old: bool,
        fresh: bool,
    ) -> list[MemberChanged]:
        """Take a genuine charge. `old`: it came by repair. `fresh`: with the member's first record,
        so that there is nothing we could believe instead."""
        now_s = held.at_s
        self._note_pace(held.charge, now_s)
        self._keep(member, held, accuser)
        judges = self._judges(member, now_s)
        self._look(member, judges, now_s)
        if accuser not in judges:
            self._book.counters["charge-by-other"] += 1
            return []
        gentle = not fresh and (old or self._was_just_heard(member, now_s))
        return self._weigh(member, held, judges, now_s, gentle=gentle, old=old)

    def _note_pace(self, charge: Charge, now_s: float) -> None:
        if len(self._pace) >= SWIM_PACE_MAX:
            del self._pace[next(iter(self._pace))]
        self._pace[charge.accuser, charge.subject] = now_s

    def _was_just_heard(self, member: Member, now_s: float) -> bool:
        return now_s - member.heard_s < self._book.config.gossip_interval_s

    def _look(self, member: Member, judges: Sequence[NodeId], now_s: float) -> None:
        """If we are its judge and cannot tell yet, we must see for ourselves; now and then again,
        for as long as the case is open."""
        ours = self._book.own_prefix in member.charges
        if self._book.own_id not in judges or ours or member.state >= State.DEAD:
            return
        if now_s >= self._check_again_s.get(member.node_id, now_s):
            rest_s = self._book.config.patience_s + self._book.config.probe_interval_s
            self._check_again_s[member.node_id] = now_s + rest_s
            self.to_check[member.node_id] = None

    def take_to_check(self) -> list[NodeId]:
        """Members that we are asked to judge and have not looked at in this incarnation."""
        asked, self.to_check = list(self.to_check), {}
        return asked

    # -- weighing --------------------------------------------------------------------------------
    def _weigh(
        self,
        member: Member,
        held: Held,
        judges: Sequence[NodeId],
        now_s: float,
        *,
        gentle: bool = False,
        old: bool = False,
    ) -> list[MemberChanged]:
        """What one more charge, by a judge or by ourselves, leads to."""
        accuser, author = held.charge.accuser, self._author(held.charge)
        if author in judges and not old:
            self._book.rumours.add(member.prefix, accuser, held.statement)
        changes: list[MemberChanged] = []
        if not (gentle and member.reachable) and self._is_condemned(member, judges, now_s):
            return self._condemn(member, judges, now_s)
        if member.state == State.ALIVE:
            changes += self._suspect(member, held.charge, now_s)
        elif member.state == State.SUSPECT and not old:
            evidence = Evidence(held.charge.evidence)
            self.suspicions.confirm(member.view(), accuser, evidence, now_s)
        return changes

    def _author(self, charge: Charge) -> NodeId | None:
        if charge.accuser == self._book.own_prefix:
            return self._book.own_id
        return self._book.table.resolve(charge.accuser)

    def _suspect(self, member: Member, charge: Charge, now_s: float) -> list[MemberChanged]:
        members = self._book.table.size()
        self._book.table.worsen(member, State.SUSPECT, now_s)
        self.open[member.node_id] = None
        evidence = Evidence(charge.evidence)
        self.suspicions.start(member.view(), charge.accuser, evidence, members, now_s)
        return [self._book.changed(member, State.ALIVE, now_s)]

    def votes(self, member: Member, judges: Sequence[NodeId]) -> list[Held]:
        """The votes against it that count, those of the best-ranked judges first."""
        return [held for held in self._by(judges, member) if held.charge.vote]

    def _is_condemned(self, member: Member, judges: Sequence[NodeId], now_s: float) -> bool:
        needed = self._book.observers.quorum(member, now_s)
        return needed is not None and len(self.votes(member, judges)) >= needed

    def _condemn(
        self, member: Member, judges: Sequence[NodeId], now_s: float
    ) -> list[MemberChanged]:
        previous = member.state
        self.suspicions.stop(member.node_id)
        self.open.pop(member.node_id, None)
        self._book.table.worsen(member, State.DEAD, now_s)
        if self._book.own_id in judges:
            self._publish(member, judges)
        return [self._book.changed(member, previous, now_s)]

    def _publish(self, member: Member, judges: Sequence[NodeId]) -> None:
        """Every judge tells its share of the members at once; gossip tells whom that misses."""
        votes = self.votes(member, judges)
        voters = sorted(held.charge.accuser for held in votes)
        if self._book.own_prefix not in voters:
            return
        mine = voters.index(self._book.own_prefix)
        others = sorted(each.node_id for each in self._book.table.reachable())
        share = others[mine :: len(voters)][:SWIM_VERDICT_LETTERS_MAX]
        self._book.write(share, *certificate(member))

    # -- time ------------------------------------------------------------------------------------
    def verdicts(self, now_s: float) -> list[MemberChanged]:
        """What follows for those whose time to refute is over."""
        changes: list[MemberChanged] = []
        for node in self.suspicions.due(now_s):
            member = self._book.table.get(node)
            suspicion = self.suspicions.get(node)
            assert member is not None
            assert suspicion is not None
            assert member.state == State.SUSPECT, "a suspicion is stopped when the state changes"
            if member.heard_s > suspicion.latest_s:
                window_s = self._book.config.refutation_window_s(self._book.table.size())
                self.suspicions.extend(node, now_s + window_s, now_s)
                self._book.counters["verdict-postponed"] += 1
                continue
            self.suspicions.stop(node)
            changes += self._expire(member, now_s)
        return changes

    def _expire(self, member: Member, now_s: float) -> list[MemberChanged]:
        judges = self._judges(member, now_s)
        changes = self._vote(member, judges, now_s)
        if member.state == State.SUSPECT and self._is_condemned(member, judges, now_s):
            changes += self._condemn(member, judges, now_s)
        if member.state == State.SUSPECT:
            self._book.table.worsen(member, State.UNREACHABLE, now_s)
            changes.append(self._book.changed(member, State.SUSPECT, now_s))
        return changes

    def _vote(self, member: Member, judges: Sequence[NodeId], now_s: float) -> list[MemberChanged]:
        """Sign our vote, if we are its judge, have evidence ourselves and did not hear it since."""
        own = member.charges.get(self._book.own_prefix)
        if own is None or own.charge.vote or self._book.own_id not in judges:
            return []
        if member.heard_s > own.at_s:
            return []
        evidence = Evidence(own.charge.evidence)
        held = self._charge(member, evidence, vote=True, now_s=now_s)
        self._book.write(judges, held.statement)
        return self._weigh(member, held, judges, now_s)

    def reconsider(self, now_s: float) -> list[MemberChanged]:
        """Who has to judge changes as members come and go: look at all open cases again."""
        changes: list[MemberChanged] = []
        for node in list(self.open):
            member = self._book.table.get(node)
            assert member is not None
            judges = self._judges(member, now_s)
            self._look(member, judges, now_s)
            if member.state == State.UNREACHABLE:
                changes += self._vote(member, judges, now_s)
            if member.state == State.UNREACHABLE and self._is_condemned(member, judges, now_s):
                changes += self._condemn(member, judges, now_s)
        return changes

    # -- the end of a case -----------------------------------------------------------------------
    def close(self, member: Member) -> None:
        """It refuted, restarted, left, or is no member any more. Call before its charges go."""
        self.suspicions.stop(member.node_id)
        self.open.pop(member.node_id, None)
        self.to_check.pop(member.node_id, None)
        self._check_again_s.pop(member.node_id, None)
        self._book.rumours.drop(member.prefix, member.charges)

    def _judges(self, member: Member, now_s: float) -> list[NodeId]:
        return self._book.observers.of(member, now_s)


def certificate(member: Member) -> tuple[Statement, ...]:
    """The votes that made it dead, for others to verify."""
    votes = (held.statement for held in member.charges.values() if held.charge.vote)
    return tuple(votes)[:SWIM_CERTIFICATE_MAX]
