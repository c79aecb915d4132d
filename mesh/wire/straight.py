"""Straight-line code for making a struct and for its two conversions, generated once per class.

A loop over fields with a call per field costs three times what the checks themselves cost, and
every shard passes through a dozen structs. So for

    @struct
    class Progress:
        lease: int = uint()
        blobs: tuple[InlineBlob, ...] = array(c_struct(InlineBlob), 64)

this is compiled (as attrs does with `__init__`), with `out0`, `in1`... the fields' own conversions:

    def pack(value):                        def unpack(items):
        v0 = value.lease                        if type(items) is not list or len(items) != 2:
        if type(v0) is not int or ...:              refuse(items)
            out0(v0)                            v0, v1, = items
        v1 = value.blobs                        if type(v0) is not int or ...:
        return [v0, out1(v1)]                       in0(v0)
                                                return cls(v0, in1(v1))

The conditions come from the codecs; where one holds, the field's own check is called, which raises.

`quick` does the same for the making of any frozen attrs class: it takes away the lock at run time,
which whoever makes a value pays for with every field, and fills the slots by plain assignments.
That nobody else assigns is what the type checker sees to: for it the class is as frozen as before.
A value that is made for every datagram costs a quarter.

Not here: what the conditions are, and any bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs

T = TypeVar("T")


@attrs.frozen
class Field:
    """One field of a struct."""

    name: str
    to_wire: Callable[[Any], object]
    from_wire: Callable[[object], Any]
    refused_if: str
    """An expression about `{v}` for values that travel as they are; "": the conversions decide."""


def compile_pack(fields: Sequence[Field]) -> Callable[[Any], list[object]]:
    """From a value to the list of its fields as they travel."""
    lines = ["def pack(value):"]
    names = {f"out{i}": field.to_wire for i, field in enumerate(fields)}
    for i, field in enumerate(fields):
        lines += [f"    v{i} = value.{field.name}", *_check(field, f"v{i}", f"out{i}")]
    lines.append(f"    return [{_values(fields, 'out')}]")
    pack: Callable[[Any], list[object]] = compiled(lines, names, "pack")
    return pack


def compile_unpack(
    cls: type, fields: Sequence[Field], refuse: Callable[[object], None]
) -> Callable[[object], Any]:
    """From such a list to a value; `refuse` raises for what is no list of that length."""
    lines = ["def unpack(items):"]
    lines += [f"    if type(items) is not list or len(items) != {len(fields)}:"]
    lines += ["        refuse(items)"]
    lines += [f"    [{', '.join(f'v{i}' for i in range(len(fields)))}] = items"]
    names: dict[str, Any] = {f"in{i}": field.from_wire for i, field in enumerate(fields)}
    for i, field in enumerate(fields):
        lines += _check(field, f"v{i}", f"in{i}")
    lines.append(f"    return cls({_values(fields, 'in')})")
    names |= {"cls": cls, "refuse": refuse}
    unpack: Callable[[object], Any] = compiled(lines, names, "unpack")
    return unpack


def quick(cls: type[T]) -> type[T]:
    """A frozen attrs class, as it is but for the lock and an `__init__` that needs no way past."""
    made: Any = cls
    if not attrs.fields(made):
        return cls
    del made.__setattr__, made.__delattr__
    lines, parameters = list[str](), list[str]()
    space: dict[str, Any] = {}
    for i, field in enumerate(attrs.fields(made)):
        plain = (field.init, field.kw_only, field.converter, field.validator)
        assert plain == (True, False, None, None), "nothing else is done by this __init__"
        assert type(field.default).__name__ != "Factory", "a default is shared"
        space[f"default{i}"] = field.default
        given = "" if field.default is attrs.NOTHING else f"=default{i}"
        parameters.append(f"{field.alias}{given}")
        lines.append(f"    self.{field.name} = {field.alias}")
    head = f"def __init__({', '.join(['self', *parameters])}):"
    init = compiled([head, *lines], space, "__init__")
    init.__annotations__ = made.__init__.__annotations__
    init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    made.__init__ = init
    return cls


def _check(field: Field, variable: str, conversion: str) -> list[str]:
    if not field.refused_if:
        return []
    return [f"    if {field.refused_if.format(v=variable)}:", f"        {conversion}({variable})"]


def _values(fields: Sequence[Field], conversion: str) -> str:
    return ", ".join(
        f"v{i}" if field.refused_if else f"{conversion}{i}(v{i})" for i, field in enumerate(fields)
    )


def compiled(lines: list[str], names: dict[str, Any], function: str) -> Any:
    """The function of that name that the lines define, with `names` as its globals."""
    space = dict(names)
    exec("\n".join(lines), space)  # noqa: S102 - all of it is from our own declarations
    return space[function]
