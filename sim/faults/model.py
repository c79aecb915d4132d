"""What a fault kind is: a name with parameters, how it is drawn, begun, ended, and told.

A kind is the same in every world that can do it; `real` says whether real processes in network
namespaces can do it too. `begin` does it to a stage and returns what ends it. Drawing uses only
`random()`, so that every Python version draws the same.
Deliberately not here: the kinds (`network`, `node`, `disk`, ...) and when they happen
(`sim.scenario`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, log
from random import Random
from typing import TYPE_CHECKING, TypeVar

import attrs

from sim.scenario.model import WORLDS, BadScenario, Fault, Value

if TYPE_CHECKING:
    from sim.stage.base import Stage

T = TypeVar("T")
Undo = Callable[[], None]
Begin = Callable[["Stage", Fault], Undo]
MEMBERSHIP = "membership"
MESH = "mesh"
STATE = "state"
BOTH = frozenset({MEMBERSHIP, MESH})
WHOLE = frozenset({MESH})


def over() -> None:
    """The end of a fault that was a moment: nothing is left to undo."""


@attrs.frozen
class Param:
    """A number between two bounds."""

    name: str
    low: float
    high: float
    unit: str = ""
    """%, s, B, B/s, x (a factor), or nothing."""
    whole: bool = False
    log_scale: bool = False
    """Drawn evenly over orders of magnitude."""
    units: str = ""
    """The unit of any number but 1, where that is another word."""

    def draw(self, rng: Random) -> Value:
        share = rng.random()
        if self.log_scale:
            value = exp(log(self.low) + share * (log(self.high) - log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        if self.whole:
            return round(value)
        return min(self.high, max(self.low, float(f"{value:.3g}")))  # 1.001 would become 1

    def check(self, value: Value, where: tuple[str | int, ...]) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not self.low <= float(value) <= self.high:
            bounds = f"{self.low:g} and {self.high:g}{' ' + self.unit if self.unit else ''}"
            raise BadScenario((*where, self.name), f"must be a number between {bounds}")

    def simplest(self) -> float:
        """The end of its range at which it does least harm: where shrinking goes."""
        return self.low

    def say(self, value: Value) -> str:
        number = float(value)
        if self.unit == "%":
            return f"{number:.1%}".replace(".0%", "%")
        if self.unit == "s" and abs(number) < 1:
            return f"{number * 1000:.3g} ms"
        if self.units and number != 1:
            return f"{number:g} {self.units}"
        return f"{number:g} {self.unit}".strip()


@attrs.frozen
class Kind:
    """One way in which things go wrong."""

    name: str
    group: str
    """network, stream, node, clock, disk, serial or hostile."""
    words: str
    """A sentence for the story; {who} are the targets, one or several: no verb may depend on their
    number. {name} are the parameters."""
    begin: Begin
    params: tuple[Param, ...] = ()
    targets: tuple[int, int] = (1, 1)
    """Fewest and most nodes that it hits; (0, 0): it always hits the whole mesh."""
    lasts: bool = True
    """False: a moment, `for_s` means nothing."""
    worlds: frozenset[str] = BOTH
    real: bool = True

    def param(self, name: str) -> Param:
        return next(param for param in self.params if param.name == name)

    def check(
        self, fault: Fault, nodes: int, where: tuple[str | int, ...], world: str | None = None
    ) -> None:
        """Raises BadScenario when a fault of this kind is not what `begin` can do; with a world,
        also when that world does not have the kind."""
        if world is not None and world not in self.worlds:
            raise BadScenario((*where, "kind"), self._not_in(world))
        low, high = self.targets
        count = len(fault.target)
        if not min(low, nodes) <= count <= high:
            raise BadScenario((*where, "target"), f"{self.name} needs {_so_many(low, high)}")
        if len(set(fault.target)) != count:
            raise BadScenario((*where, "target"), "names a node twice")
        for name in fault.params:
            if all(param.name != name for param in self.params):
                known = ", ".join(param.name for param in self.params) or "none"
                why = f"{self.name} has no such parameter (known: {known})"
                raise BadScenario((*where, "params", name), why)
        for param in self.params:
            if param.name not in fault.params:
                raise BadScenario((*where, "params"), f"{param.name} is missing")
            param.check(fault.params[param.name], (*where, "params"))

    def _not_in(self, world: str) -> str:
        has = [name for name in WORLDS if name in self.worlds]
        listed = f"world {has[0]}" if len(has) == 1 else f"worlds {' and '.join(has)}"
        return f"there is no {self.name} in the world {world}, only in the {listed}"

    def draw(self, rng: Random, nodes: int, at_s: float, for_s: float) -> Fault:
        """A fault of this kind somewhere in a mesh of so many nodes."""
        low, high = self.targets
        low, high = min(low, nodes), min(high, max(low, nodes - 1))
        count = low + int(rng.random() * (high - low + 1)) if high > low else low
        target = tuple(choose(rng, range(nodes), count))
        params = {param.name: param.draw(rng) for param in self.params}
        return Fault(
            round(at_s, 3), self.name, target, round(for_s if self.lasts else 0, 3), params
        )

    def tell(self, fault: Fault) -> str:
        """The sentence."""
        said = {param.name: param.say(fault.params[param.name]) for param in self.params}
        return self.words.format(who=name_nodes(fault.target), **_ends(fault.target), **said)


def choose(rng: Random, among: Sequence[T], count: int) -> list[T]:
    """`count` different ones, in the order drawn."""
    left = list(among)
    return [left.pop(int(rng.random() * len(left))) for _ in range(min(count, len(left)))]


def _so_many(low: int, high: int) -> str:
    """`1 node`, `2 nodes`, `1 to 3 nodes`, `no target: it hits every node`."""
    if high == 0:
        return "no target: it hits every node"
    many = f"{low}" if low == high else f"{low} to {high}"
    return f"{many} node{'' if high == 1 else 's'}"


def name_nodes(target: Sequence[int]) -> str:
    """`node 3`, `nodes 1, 2 and 5`, `every node`."""
    if not target:
        return "every node"
    if len(target) == 1:
        return f"node {target[0]}"
    first = ", ".join(str(node) for node in target[:-1])
    return f"nodes {first} and {target[-1]}"


def _ends(target: Sequence[int]) -> dict[str, str]:
    names = [f"node {node}" for node in target[:2]]
    return dict(zip(("source", "destination"), [*names, "everybody", "everybody"], strict=False))
