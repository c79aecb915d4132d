"""Things that several may decide: deployments of programs, and the mesh's policy.

Whoever decides names what he has seen and takes the place of (`supersedes`). What nobody has
superseded stands; when two have decided without knowing of each other both stand, and both are
shown. Nothing is silently lost, and no clock says who was last (multi-value registers, as in
Riak's siblings).

What is done while several stand is the safest of them: of deployments the highest intent, then the
lowest dot; of policies the strictest of each.

Not here: carrying a deployment out (`mesh.node`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import cast

import attrs

from mesh.log.model import Dot
from mesh.state.actions import TrustPolicy
from mesh.state.events import Deployment, Policy, Trust
from mesh.state.ledger import Entry, Ledger
from mesh.state.windows import Moved, Windows
from mesh.types import NodeId

DEFAULT_COPIES = 2


class ClaimView:
    """Decisions under keys; `may_count` says besides the window whether an entry counts."""

    def __init__(self, may_count: Callable[[Entry], bool] = lambda _entry: True) -> None:
        self._entries: Ledger[str] = Ledger()
        self._may_count = may_count
        self._standing: dict[str, tuple[Entry, ...]] = {}

    # -- asking ------------------------------------------------------------------------------------
    def standing(self, key: str) -> tuple[Entry, ...]:
        """What nobody has superseded, by dot."""
        return self._standing.get(key, ())

    def keys(self) -> list[str]:
        """Of which something stands."""
        return sorted(self._standing)

    # -- folding -----------------------------------------------------------------------------------
    def add(self, key: str, entry: Entry) -> str:
        self._entries.add(key, entry)
        return key

    def moved(self, moved: Iterable[Moved]) -> set[str]:
        return self._entries.moved(moved)

    def all_keys(self) -> set[str]:
        return set(self._entries)

    def judge(self, keys: Iterable[str]) -> set[str]:
        """Look at these keys again; those of which something else stands now."""
        changed = set()
        for key in dict.fromkeys(keys):
            counting = self._counting(key)
            gone = {dot for entry in counting for dot in _superseded(entry)}
            standing = tuple(entry for entry in counting if entry.dot not in gone)
            before = [entry.dot for entry in self._standing.pop(key, ())]
            if standing:
                self._standing[key] = standing
            if before != [entry.dot for entry in standing]:
                changed.add(key)
        return changed

    def _counting(self, key: str) -> list[Entry]:
        return [entry for entry in self._entries.counting(key) if self._may_count(entry)]

    # -- less --------------------------------------------------------------------------------------
    def kept(self, node: NodeId) -> Iterator[Entry]:
        """What a checkpoint of this node keeps of its own: what stands, and what supersedes
        something that is still somewhere, lest that stand again."""
        for key in sorted(self._entries):
            counting = self._counting(key)
            here = {entry.dot for entry in counting}
            standing = {entry.dot for entry in self.standing(key)}
            for entry in counting:
                needed = entry.dot in standing or here.intersection(_superseded(entry))
                if entry.dot.feed.node == node and needed:
                    yield entry

    def compact(self) -> None:
        self._entries.compact()


def _superseded(entry: Entry) -> list[Dot]:
    event = entry.event
    assert isinstance(event, Deployment | Policy)
    return [ref.dot for ref in event.supersedes]


# -- deployments -----------------------------------------------------------------------------------
@attrs.frozen
class Deployed:
    """How a program stands."""

    program: str
    standing: tuple[tuple[Dot, Deployment], ...]
    """By dot; more than one is a conflict."""

    @property
    def effective(self) -> Deployment:
        """What is done: the safest."""
        return min(self.standing, key=lambda each: (-each[1].intent, each[0]))[1]


def deployed(view: ClaimView, program: str) -> Deployed | None:
    """How a program stands; None when it was never deployed, or all of it was removed."""
    standing = view.standing(program)
    if not standing:
        return None
    return Deployed(program, tuple((e.dot, cast("Deployment", e.event)) for e in standing))


# -- policy ----------------------------------------------------------------------------------------
POLICY_KEY = ""
"""There is one."""


@attrs.frozen
class MeshPolicy:
    """What holds in the mesh."""

    actions: TrustPolicy = attrs.field(factory=TrustPolicy)
    copies: int = DEFAULT_COPIES
    dots: tuple[Dot, ...] = ()
    """Of the policies that stand: what the next one supersedes."""


def policy_view(windows: Windows) -> ClaimView:
    """The view of policies: only admins' count."""
    return ClaimView(lambda entry: windows.may_write_policy(entry.strand))


def mesh_policy(view: ClaimView) -> MeshPolicy:
    """The policy in force; without any, every builder is believed."""
    standing = view.standing(POLICY_KEY)
    if not standing:
        return MeshPolicy()
    policies = [cast("Policy", entry.event) for entry in standing]
    return MeshPolicy(
        TrustPolicy(
            Trust(max(policy.trust for policy in policies)),
            max(policy.k_attest for policy in policies),
        ),
        max(policy.copies for policy in policies),
        tuple(entry.dot for entry in standing),
    )
