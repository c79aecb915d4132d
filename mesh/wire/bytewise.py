"""Straight-line code between structs and their bytes: small messages without a general codec.

A datagram is a dozen items, and a general encoder or decoder costs more than all of them: it builds
lists, asks for types, and the bytes are looked at twice, because they must also be canonical. So
for each class two functions are compiled from its fields, as in `straight`:

    def put(value):                                def take(data, at):
        v0 = value.number                              v0 = data[at]
        if type(v0) is not int or ...:                 if v0 < 24: at += 1
            check0(v0)                                 else: v0, at = take_long(data, at)
        return b"".join((                              if type(v0) is not int or ...:
            HEAD,                                          raise Odd
            SMALL[v0] if v0 < 1024 else head(0, v0),   ...
            ...))                                      return cls(v0, ...), at

Rules: `put` gives what `cbor.encode` gives, byte by byte. `take` accepts a part of what
`cbor.decode` accepts and gives the same value; whatever it finds odd (Odd and the other REFUSALS)
is for the general decoder to judge, so that errors are told in one place. It never reads a length
it does not check, and nests no deeper than the classes do.
Not here: frames of many kilobytes, for which the general decoder is quicker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

import attrs

from mesh.wire.straight import Field, compiled

Put = Callable[[Any], bytes]
Take = Callable[[bytes, int], tuple[Any, int]]

SMALL_HEADS = 1024
"""Heads of so many small numbers are kept."""
UINT, NEGATIVE, BYTES, TEXT, ARRAY = 0x00, 0x20, 0x40, 0x60, 0x80
FALSE, TRUE, NULL = b"\xf4", b"\xf5", b"\xf6"


class Odd(Exception):
    """Not what `take` is for; the general decoder says what is wrong with it, if anything."""


REFUSALS = (Odd, IndexError, KeyError, UnicodeDecodeError)


@attrs.frozen
class Form:
    """How a field is put and taken. `{v}` is its value, `{f}` the function given beside it."""

    put: str
    """Expressions of bytes, separated by commas. The value has been checked."""
    take: tuple[str, ...]
    """Lines that read at `at`, set `{v}` and move `at`; the value is checked afterwards."""
    put_with: Callable[[], Put] | None = None
    """Makes that function. Called when the way is compiled: most classes go one way in a process,
    and each compilation takes a third of a millisecond."""
    take_with: Callable[[], Take] | None = None
    takes: str = ""
    """The type of whatever is taken, if that is certain: then it is not asked for."""


# -- items ---------------------------------------------------------------------------------------
def head(major: int, argument: int) -> bytes:
    """The shortest head (RFC 8949 section 4.2.1)."""
    if argument < 24:
        return bytes((major | argument,))
    for info, width in ((24, 1), (25, 2), (26, 4)):
        if argument < 1 << (8 * width):
            return bytes((major | info,)) + argument.to_bytes(width, "big")
    return bytes((major | 27,)) + argument.to_bytes(8, "big")


def take_long(data: bytes, at: int, major: int = UINT) -> tuple[int, int]:
    """An argument that is longer than the initial byte."""
    width = _WIDTHS[data[at] - major]
    end = at + 1 + width
    argument = int.from_bytes(data[at + 1 : end], "big")
    if end > len(data) or argument < _LEAST[width]:
        raise Odd
    return argument, end


_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_LEAST = {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}


def _put_int(value: int) -> bytes:
    return head(UINT, value) if value >= 0 else head(NEGATIVE, -1 - value)


def _take_int(data: bytes, at: int) -> tuple[int, int]:
    major = data[at] & 0xE0
    if major > NEGATIVE:
        raise Odd
    argument, at = take_argument(data, at, major)
    return (argument if major == UINT else -1 - argument), at


def take_argument(data: bytes, at: int, major: int) -> tuple[int, int]:
    """A head of that major type: its argument, and where it ends. Raises one of REFUSALS."""
    argument = data[at] - major
    return (argument, at + 1) if 0 <= argument < 24 else take_long(data, at, major)


def _take_blob(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = take_argument(data, at, BYTES)
    end = at + size
    if end > len(data):
        raise Odd
    return data[at:end], end


def _put_text(value: str) -> bytes:
    encoded = value.encode()
    return head(TEXT, len(encoded)) + encoded


def _take_text(data: bytes, at: int) -> tuple[str, int]:
    size, at = take_argument(data, at, TEXT)
    end = at + size
    if end > len(data):
        raise Odd
    return data[at:end].decode(), end


def form_calls(put: Callable[[], Put], take: Callable[[], Take]) -> Form:
    """Two functions that do it all, each made when needed."""
    return Form("{f}({v})", ("{v}, at = {f}(data, at)",), put, take)


FORM_UINT = Form(
    f"(SMALL[{{v}}] if {{v}} < {SMALL_HEADS} else two(25, {{v}}) if {{v}} < 65536"
    f" else head({UINT}, {{v}}))",
    (
        "{v} = data[at]",
        "if {v} < 24: at += 1",
        "elif {v} == 25:",  # two bytes, as most of the longer ones
        "    {v} = data[at + 1] << 8 | data[at + 2]",
        "    if {v} < 256: raise Odd",
        "    at += 3",
        "else: {v}, at = take_long(data, at)",
    ),
    takes="int",
)
FORM_INT = form_calls(lambda: _put_int, lambda: _take_int)
FORM_BOOLEAN = Form("(TRUE if {v} else FALSE)", ("{v} = BOOLEANS[data[at]]", "at += 1"))
FORM_TEXT = form_calls(lambda: _put_text, lambda: _take_text)
FORM_BLOB = Form(
    f"head({BYTES}, len({{v}})), {{v}}", ("{v}, at = {f}(data, at)",), None, lambda: _take_blob
)


def form_fixed(size_bytes: int) -> Form:
    """So many bytes, never more or fewer."""
    first = head(BYTES, size_bytes)
    start, end = len(first), len(first) + size_bytes
    known = repr(first).replace("{", "{{").replace("}", "}}")
    begins = f"data[at:at + {start}] != {known}" if start > 1 else f"data[at] != {first[0]}"
    check = f"if {begins}: raise Odd"
    read = f"{{v}} = data[at + {start}:at + {end}]"
    return Form(f"{known}, {{v}}", (check, read, f"at += {end}"))


def form_optional(put: Callable[[], Put], take: Callable[[], Take]) -> Form:
    return Form(
        "(NULL if {v} is None else {f}({v}))",
        (f"if data[at] == {NULL[0]}: {{v}} = None; at += 1", "else: {v}, at = {f}(data, at)"),
        put,
        take,
    )


def form_array(
    put: Callable[[], Put],
    take: Callable[[], Take],
    max_items: int,
    check: Callable[[Any], object],
) -> Form:
    """`check` raises when there are too many."""

    def make_put() -> Put:
        put_item = put()

        def put_all(values: Sequence[Any]) -> bytes:
            if len(values) > max_items:
                check(values)
            return b"".join((head(ARRAY, len(values)), *map(put_item, values)))

        return put_all

    def make_take() -> Take:
        take_item = take()

        def take_all(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
            count, at = take_argument(data, at, ARRAY)
            if count > max_items:
                raise Odd
            values = []
            for _ in range(count):
                value, at = take_item(data, at)
                values.append(value)
            return tuple(values), at

        return take_all

    none = ARRAY  # the head of an empty array, which is what most are
    return Form(
        f"({bytes((none,))!r} if not {{v}} else {{f}}({{v}}))",
        (f"if data[at] == {none}: {{v}} = (); at += 1", "else: {v}, at = {f}(data, at)"),
        make_put,
        make_take,
    )


# -- classes -------------------------------------------------------------------------------------
_SPACE: dict[str, Any] = {
    "SMALL": [head(UINT, number) for number in range(SMALL_HEADS)],
    "BOOLEANS": {TRUE[0]: True, FALSE[0]: False},
    "TRUE": TRUE,
    "FALSE": FALSE,
    "NULL": NULL,
    "head": head,
    "two": Struct(">BH").pack,
    "take_long": take_long,
    "Odd": Odd,
}


def put_one(field: Field, form: Form) -> Put:
    """A function for one value alone, which checks it first."""
    lines = ["def put(v):", *_checked(field, "v", "check"), f"    return b''.join(({_of(form)},))"]
    space = {**_SPACE, "f": _made(form.put_with), "check": field.to_wire}
    made: Put = compiled(lines, space, "put")
    return made


def take_one(field: Field, form: Form) -> Take:
    lines = ["def take(data, at):", *_taken(field, form, "v", "f"), "    return v, at"]
    made: Take = compiled(lines, {**_SPACE, "f": _made(form.take_with)}, "take")
    return made


def compile_put(first: bytes, fields: Sequence[Field], forms: Sequence[Form]) -> Put:
    """From a value to its bytes, which begin with `first`. Raises WireError."""
    lines, parts, space = ["def put(value):"], [repr(first)], dict(_SPACE)
    for i, (field, form) in enumerate(zip(fields, forms, strict=True)):
        lines += [f"    v{i} = value.{field.name}", *_checked(field, f"v{i}", f"check{i}")]
        parts.append(form.put.format(v=f"v{i}", f=f"f{i}"))
        space |= {f"check{i}": field.to_wire, f"f{i}": _made(form.put_with)}
    lines.append(f"    return b''.join(({', '.join(parts)},))")
    made: Put = compiled(lines, space, "put")
    return made


def compile_take(cls: type, first: bytes, fields: Sequence[Field], forms: Sequence[Form]) -> Take:
    """From the bytes that begin with `first` at a position to a value and where it ends. Raises
    REFUSALS."""
    lines, space = ["def take(data, at):"], {**_SPACE, "cls": cls, "first": first}
    lines += [f"    if data[at:at + {len(first)}] != first: raise Odd", f"    at += {len(first)}"]
    for i, (field, form) in enumerate(zip(fields, forms, strict=True)):
        lines += _taken(field, form, f"v{i}", f"f{i}")
        space[f"f{i}"] = _made(form.take_with)
    lines.append(f"    return cls({', '.join(f'v{i}' for i in range(len(fields)))}), at")
    made: Take = compiled(lines, space, "take")
    return made


def _made(make: Callable[[], Any] | None) -> Any:
    return make() if make is not None else None


def _of(form: Form) -> str:
    return form.put.format(v="v", f="f")


def _checked(field: Field, variable: str, check: str) -> list[str]:
    if not field.refused_if:
        return []
    return [f"    if {field.refused_if.format(v=variable)}: {check}({variable})"]


def _taken(field: Field, form: Form, variable: str, function: str) -> list[str]:
    lines = [f"    {line.format(v=variable, f=function)}" for line in form.take]
    if field.refused_if:
        refused_if = field.refused_if.removeprefix(f"type({{v}}) is not {form.takes} or ")
        lines.append(f"    if {refused_if.format(v=variable)}: raise Odd")
    return lines
