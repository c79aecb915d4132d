"""Scenario files: JSON, one fault a line, every mistake named with its line.

Unknown names are mistakes: a misspelt option that is ignored makes a run that tests nothing.
Deliberately not here: playing; drawing from seeds (`profiles`).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import attrs

from mesh import __version__
from sim.faults import check_fault
from sim.scenario.jsontext import BadJson, Document
from sim.scenario.model import (
    FORMAT,
    BadScenario,
    Fault,
    Options,
    Phases,
    Scenario,
    Workload,
    as_dict,
)
from sim.whole import write_whole

FILE_BYTES_MAX = 8 * 1024 * 1024
_PARTS: Mapping[str, type] = {"phases": Phases, "workload": Workload, "options": Options}
_PLAIN = {"int": (int,), "float": (int, float), "str": (str,)}


class BadScenarioFile(Exception):
    """A file that cannot be used: `path`, `line` (0 when unknown), `why`."""

    def __init__(self, path: str, line: int, why: str) -> None:
        self.path = path
        self.line = line
        self.why = why
        super().__init__(f"{path}:{line}: {why}" if line else f"{path}: {why}")


def stamped(scenario: Scenario) -> Scenario:
    """With the versions that are running now."""
    return attrs.evolve(scenario, vitte=__version__, python=platform.python_version())


def dumps(scenario: Scenario) -> str:
    """Readable JSON: one line a part, one line a fault."""
    data = {"format": FORMAT, **as_dict(scenario)}
    faults = data.pop("faults")
    head = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in data.items()]
    lines = ",\n".join(f"    {json.dumps(fault)}" for fault in faults)
    listed = f"[\n{lines}\n  ]" if faults else "[]"
    return "{\n" + ",\n".join([*head, f'  "faults": {listed}']) + "\n}\n"


def save(scenario: Scenario, path: Path) -> None:
    """Write it, whole or not at all, with the folders it needs. Raises OSError."""
    write_whole(path, dumps(scenario))


def load(path: Path) -> Scenario:
    """Read and check a file. Raises BadScenarioFile."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadScenarioFile(str(path), 0, f"larger than {FILE_BYTES_MAX >> 20} MiB")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadScenarioFile(str(path), 0, error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise BadScenarioFile(str(path), 0, f"not UTF-8: {error.reason}") from None
    return loads(text, str(path))


def loads(text: str, name: str = "scenario") -> Scenario:
    """Parse and check. Raises BadScenarioFile, with the line of the mistake."""
    try:
        document = Document(text)
    except BadJson as error:
        raise BadScenarioFile(name, error.line, error.why) from None
    try:
        return _scenario(document.value)
    except BadScenario as error:
        raise BadScenarioFile(name, document.line_of(error.where), str(error)) from None


def _scenario(value: Any) -> Scenario:
    if not isinstance(value, dict):
        raise BadScenario((), "must be an object")
    data = dict(value)
    found = data.pop("format", None)
    if found != FORMAT:
        raise BadScenario(("format",), f"this version reads {FORMAT}, not {found!r}")
    for name, cls in _PARTS.items():
        if name in data:
            data[name] = _build(cls, data[name], (name,))
    listed = data.pop("faults", [])
    if not isinstance(listed, list):
        raise BadScenario(("faults",), "must be a list")
    data["faults"] = tuple(_fault(each, ("faults", n)) for n, each in enumerate(listed))
    scenario: Scenario = _build(Scenario, data, (), skip={"faults", *_PARTS})
    for index, fault in enumerate(scenario.faults):
        check_fault(fault, scenario.nodes, ("faults", index), scenario.world)
    if scenario.workload.runs and scenario.world != "mesh":
        raise BadScenario(
            ("workload", "runs"), f"nobody builds in the world {scenario.world}, only in mesh"
        )
    return scenario


def _fault(value: Any, where: tuple[str | int, ...]) -> Fault:
    if isinstance(value, dict):
        target, params = value.get("target", []), value.get("params", {})
        if not isinstance(target, list) or any(type(each) is not int for each in target):
            raise BadScenario((*where, "target"), "must be a list of node indexes")
        if not isinstance(params, dict) or any(
            not isinstance(each, int | float | str) for each in params.values()
        ):
            raise BadScenario((*where, "params"), "must map names to numbers or texts")
    fault: Fault = _build(Fault, value, where, skip={"target", "params"})
    return fault


def _build(cls: type, value: Any, where: tuple[str | int, ...], skip: Collection[str] = ()) -> Any:
    """An attrs class from a dict, with the types of its fields checked."""
    if not isinstance(value, dict):
        raise BadScenario(where, "must be an object")
    fields = {field.name: field for field in attrs.fields(cls)}
    for name in value:
        if name not in fields:
            raise BadScenario((*where, name), f"unknown; known are {', '.join(fields)}")
    for name, field in fields.items():
        if name not in value:
            if field.default is attrs.NOTHING:
                raise BadScenario((*where, name), "is missing")
            continue
        wanted = _PLAIN.get(str(field.type))
        if name in skip or wanted is None:
            continue
        if not isinstance(value[name], wanted) or isinstance(value[name], bool):
            raise BadScenario((*where, name), f"must be of type {field.type}")
    return cls(**value)
