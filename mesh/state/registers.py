"""Registers: what each node says about itself. Every key has exactly one owner, the node.

Of a node's writes the latest counts. Later is

- within one epoch: the higher place;
- between two: the one whose writer knew the other. An epoch knows what its `Open` and, from there
  on, its `Absorb`s and checkpoints name, and what those knew in turn.

No clock is asked. Two processes that had one key and did not know of each other have written
**concurrently**: the write of the lower epoch is shown, and the others beside it, until either
process absorbs the other and writes again.

Not here: what keys there are (labels, pins, node information: `mesh.node`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import attrs

from mesh.log.model import Dot, Lane
from mesh.state.events import Absorb, Checkpoint, Open, Register
from mesh.state.ledger import Entry, Ledger
from mesh.state.windows import Moved
from mesh.types import NodeId

RegisterKey = tuple[NodeId, str]
Knowledge = dict[bytes, int]
"""By epoch, how many of its events were known."""


@attrs.frozen
class Value:
    """What a register holds."""

    value: bytes | None
    dot: Dot
    """Of the write."""
    others: tuple[bytes | None, ...] = ()
    """What was written concurrently."""


class RegisterView:
    """See the module's head."""

    def __init__(self) -> None:
        self._writes: Ledger[RegisterKey] = Ledger()
        self._notes: Ledger[NodeId] = Ledger()
        """Events that say what an epoch knew."""
        self._values: dict[RegisterKey, Value] = {}
        self._keys_of: dict[NodeId, dict[str, None]] = {}

    # -- asking ------------------------------------------------------------------------------------
    def get(self, node: NodeId, key: str) -> Value | None:
        """None when the node has never said, or does not any more."""
        return self._values.get((node, key))

    def of_node(self, node: NodeId) -> dict[str, Value]:
        """All that a node says, by key."""
        keys = sorted(self._keys_of.get(node, ()))
        return {key: self._values[node, key] for key in keys if (node, key) in self._values}

    def of_key(self, key: str) -> dict[NodeId, Value]:
        """What all nodes say under one key, by node."""
        return {node: value for (node, each), value in sorted(self._values.items()) if each == key}

    def items(self) -> list[tuple[RegisterKey, Value]]:
        return sorted(self._values.items())

    # -- folding -----------------------------------------------------------------------------------
    def write(self, entry: Entry, register: Register) -> RegisterKey:
        key = (entry.dot.feed.node, register.key)
        self._writes.add(key, entry)
        self._keys_of.setdefault(key[0], {})[key[1]] = None
        return key

    def note(self, entry: Entry) -> NodeId:
        """Take in an `Open`, an `Absorb` or a checkpoint of this lane."""
        self._notes.add(entry.dot.feed.node, entry)
        return entry.dot.feed.node

    def moved(self, moved: Iterable[Moved]) -> tuple[set[RegisterKey], set[NodeId]]:
        """Keys and nodes to look at again."""
        moved = list(moved)
        return self._writes.moved(moved), self._notes.moved(moved)

    def judge(self, keys: Iterable[RegisterKey], nodes: Iterable[NodeId]) -> set[RegisterKey]:
        """Look again at these keys, and at all of these nodes'; those whose value is another."""
        again = dict.fromkeys(keys)
        again |= {(node, key): None for node in nodes for key in self._keys_of.get(node, ())}
        changed = set()
        for key in again:
            value = self._value(key)
            if value != self._values.get(key):
                changed.add(key)
                if value is None:
                    del self._values[key]
                else:
                    self._values[key] = value
        return changed

    def _value(self, key: RegisterKey) -> Value | None:
        latest = self.latest(key)
        if not latest:
            return None
        values = [cast("Register", entry.event).value for entry in latest]
        if all(value is None for value in values):
            return None
        return Value(values[0], latest[0].dot, tuple(values[1:]))

    def latest(self, key: RegisterKey) -> list[Entry]:
        """The writes of which none is known to be before another, by epoch."""
        newest = {entry.dot.feed.epoch: entry for entry in self._writes.counting(key)}
        if len(newest) < 2:
            return list(newest.values())
        knows = {
            epoch: self._knowledge(key[0], epoch, entry.dot.seq) for epoch, entry in newest.items()
        }
        latest = [
            entry
            for epoch, entry in sorted(newest.items())
            if not any(
                knows[other].get(epoch, 0) > entry.dot.seq for other in newest if other != epoch
            )
        ]
        return latest or [newest[epoch] for epoch in sorted(newest)]

    def _knowledge(self, node: NodeId, epoch: bytes, seq: int) -> Knowledge:
        """What was known in an epoch at some place, by what it says itself and what that knew."""
        notes = self._notes.counting(node)
        known: Knowledge = {}
        queue = [(epoch, seq)]
        while queue:
            at_epoch, at_seq = queue.pop()
            for entry in notes:
                if entry.dot.feed.epoch == at_epoch and entry.dot.seq <= at_seq:
                    for other, count in _named(entry):
                        if count > known.get(other, 0):
                            known[other] = count
                            queue.append((other, count - 1))
        return known

    # -- less --------------------------------------------------------------------------------------
    def kept(self, node: NodeId, living: set[bytes]) -> Iterator[Entry]:
        """What a checkpoint of this node keeps: the latest writes of values, and the openings of
        the epochs in which they were written and of those that are `living`."""
        epochs = set(living)
        for key in sorted(self._keys_of.get(node, ())):
            if (node, key) in self._values:
                for entry in self.latest((node, key)):
                    epochs.add(entry.dot.feed.epoch)
                    yield entry
        for entry in self._notes.counting(node):
            if isinstance(entry.event, Open) and entry.dot.feed.epoch in epochs:
                yield entry

    def compact(self) -> None:
        self._writes.compact()
        self._notes.compact()


def _named(entry: Entry) -> list[tuple[bytes, int]]:
    event = entry.event
    if isinstance(event, Open | Absorb):
        points = event.known
    else:
        assert isinstance(event, Checkpoint)
        points = event.covers
    return [(point.epoch, point.count) for point in points if point.lane == Lane.CTL]
