"""Simplifying: candidates that are simpler than a scenario, simplest first.

Each candidate changes one thing. Whether it still fails is for the caller to find out; what does is
simplified again, until nothing simpler fails. Deliberately not here: leaving faults out (`ddmin`).
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from sim.faults import KINDS
from sim.scenario.bounds import canary_s, settle_s, warm_up_s
from sim.scenario.model import Fault, Phases, Scenario


def candidates(scenario: Scenario) -> Iterator[Scenario]:
    """Simpler scenarios; the most is gained by the first."""
    yield from _fewer_nodes(scenario)
    yield from _shorter(scenario)
    for index, fault in enumerate(scenario.faults):
        for simpler in _milder(fault):
            faults = list(scenario.faults)
            faults[index] = simpler
            yield scenario.with_faults(faults)


def _fewer_nodes(scenario: Scenario) -> Iterator[Scenario]:
    needed = max([1, *(node for fault in scenario.faults for node in fault.target)]) + 1
    for nodes in sorted({needed, needed + 1, (scenario.nodes + needed) // 2}):
        if 2 <= nodes < scenario.nodes and _fits(scenario, nodes):
            swim = scenario.options.swim
            phases = attrs.evolve(
                scenario.phases,
                settle_s=min(scenario.phases.settle_s, settle_s(nodes, swim)),
                canary_s=min(scenario.phases.canary_s, canary_s(nodes, swim)),
            )
            yield attrs.evolve(scenario, nodes=nodes, phases=phases)


def _fits(scenario: Scenario, nodes: int) -> bool:
    return all(
        len(f.target) <= KINDS[f.kind].targets[1] <= 1000 and all(node < nodes for node in f.target)
        for f in scenario.faults
    )


def _shorter(scenario: Scenario) -> Iterator[Scenario]:
    phases, faults = scenario.phases, scenario.faults
    earliest_s = warm_up_s(scenario.nodes, scenario.options.swim)
    lead_s = min((fault.at_s for fault in faults), default=phases.heal_s) - earliest_s
    if faults and lead_s > 1.0:
        moved = [attrs.evolve(f, at_s=round(f.at_s - lead_s, 3)) for f in faults]
        shorter = attrs.evolve(
            phases, warm_up_s=earliest_s, chaos_s=max(1.0, phases.heal_s - lead_s - earliest_s)
        )
        yield from _made(scenario, shorter, moved)
    busy_s = max((fault.until_s for fault in faults), default=phases.warm_up_s) - phases.warm_up_s
    for chaos_s in (busy_s + 1.0, (busy_s + phases.chaos_s) / 2):
        if 0 < chaos_s < phases.chaos_s - 1.0:
            shorter = attrs.evolve(phases, chaos_s=float(f"{chaos_s:.3g}"))
            yield from _made(scenario, shorter, faults)


def _made(
    scenario: Scenario, phases: Phases, faults: tuple[Fault, ...] | list[Fault]
) -> Iterator[Scenario]:
    if all(0 <= fault.at_s <= phases.heal_s for fault in faults):
        yield attrs.evolve(scenario, phases=phases, faults=tuple(faults))


def _milder(fault: Fault) -> Iterator[Fault]:
    kind = KINDS[fault.kind]
    if len(fault.target) > max(1, kind.targets[0]):
        for node in fault.target:
            yield attrs.evolve(fault, target=tuple(n for n in fault.target if n != node))
    if kind.lasts and fault.for_s > 0.5:
        yield attrs.evolve(fault, for_s=float(f"{fault.for_s / 2:.2g}"))
    for param in kind.params:
        value = fault.number(param.name)
        for simpler in (param.simplest(), (value + param.simplest()) / 2):
            rounded = round(simpler) if param.whole else float(f"{simpler:.2g}")
            inside = param.low <= rounded <= param.high
            if inside and abs(rounded - param.simplest()) < abs(value - param.simplest()) * 0.9:
                yield attrs.evolve(fault, params={**fault.params, param.name: rounded})
    at_s = float(round(fault.at_s))
    if at_s != fault.at_s:
        yield attrs.evolve(fault, at_s=at_s)
