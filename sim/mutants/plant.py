"""Planting: a function's source is edited and compiled again, in this process only.

An edit that does not fit any more (the code has changed) raises DoesNotApply, so that a catalogue
of bugs cannot rot silently. Works for functions and methods without closures and without `super()`.
Deliberately not here: which bugs (`catalogue`).
"""

from __future__ import annotations
import __future__

import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import attrs


class DoesNotApply(Exception):
    """The text to replace is not there exactly once."""


@attrs.frozen
class Edit:
    """In `module`, in the function or method `where`, `old` becomes `new`."""

    module: str
    where: str
    old: str
    new: str


@attrs.frozen
class Mutant:
    """One planted bug."""

    name: str
    breaks: str
    """What is wrong, in words."""
    edits: tuple[Edit, ...]
    profiles: tuple[str, ...]
    """Where it is looked for, in turn."""
    oracles: tuple[str, ...]
    """Whose finding is a kill: those that see what is wrong, not what comes of it."""
    nodes: int = 8
    world: str = "membership"


def _owner(edit: Edit) -> tuple[ModuleType, Any, str, Any]:
    """(module, owner of the attribute, its name, the attribute as it is in the owner)."""
    module = importlib.import_module(edit.module)
    *classes, name = edit.where.split(".")
    owner: Any = module
    for each in classes:
        owner = getattr(owner, each, None)
    if owner is None or name not in vars(owner):
        raise DoesNotApply(f"{edit.module} has no {edit.where}")
    return module, owner, name, vars(owner)[name]


def _function(attribute: Any) -> Any:
    """What to read the source of."""
    if isinstance(attribute, property):
        return attribute.fget
    return getattr(attribute, "__func__", attribute)


def edited(edits: Sequence[Edit]) -> Any:
    """The attribute with these edits of it, compiled. Raises DoesNotApply."""
    module, _, name, attribute = _owner(edits[0])
    source = textwrap.dedent(inspect.getsource(_function(attribute)))
    for edit in edits:
        if source.count(edit.old) != 1:
            where, count = f"{edit.module}:{edit.where}", source.count(edit.old)
            raise DoesNotApply(f"{where} has {edit.old!r} {count} times, not once")
        source = source.replace(edit.old, edit.new)
    flags = __future__.annotations.compiler_flag
    code = compile(source, f"<planted in {module.__name__}>", "exec", flags, dont_inherit=True)
    made: dict[str, Any] = {}
    exec(code, module.__dict__, made)  # noqa: S102 - this is what planting is
    return made[name]


def _by_place(edits: Sequence[Edit]) -> list[list[Edit]]:
    """Edits of the same function together."""
    places: dict[tuple[str, str], list[Edit]] = {}
    for edit in edits:
        places.setdefault((edit.module, edit.where), []).append(edit)
    return list(places.values())


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The product with this bug, for a while. Modules that imported a function see it, too."""
    undo: list[tuple[Any, str, Any]] = []
    try:
        for edits in _by_place(mutant.edits):
            _, owner, name, before = _owner(edits[0])
            after = edited(edits)
            for holder in (owner, *_importers(name, before)):
                undo.append((holder, name, vars(holder)[name]))
                setattr(holder, name, after)
        yield
    finally:
        for holder, name, before in reversed(undo):
            setattr(holder, name, before)


def _importers(name: str, before: Any) -> list[ModuleType]:
    """Modules of ours that hold that very object under that name."""
    ours = [m for key, m in sys.modules.items() if key.split(".")[0] in ("mesh", "sim")]
    return [module for module in ours if vars(module).get(name) is before]
