"""Messages as frozen attrs classes whose fields say how they look on the wire.

    @message(7)
    class Renew:
        leases: tuple[int, ...] = array(uint(), max_items=64)

A message is the CBOR array `[kind, field, field, ...]`, a struct inside a message is the array of
its fields. A field's codec checks type and bounds in both directions, so that a value that cannot
be sent fails where it is made, and a value that is received is already checked. The CDDL reference
is generated from the same declarations (`describe`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast, dataclass_transform

import attrs

from mesh.limits import DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX, TEXT_BYTES_MAX
from mesh.wire import cbor
from mesh.wire.bytewise import (
    ARRAY,
    FORM_BLOB,
    FORM_BOOLEAN,
    FORM_INT,
    FORM_TEXT,
    FORM_UINT,
    REFUSALS,
    UINT,
    Form,
    Put,
    Take,
    compile_put,
    compile_take,
    form_array,
    form_calls,
    form_fixed,
    form_optional,
    head,
    put_one,
    take_one,
)
from mesh.wire.errors import WireError
from mesh.wire.straight import Field, compile_pack, compile_unpack, quick

T = TypeVar("T")

_WIRE = "wire"
_MESSAGES: dict[int, type] = {}
_KINDS: dict[type, int] = {}
_STRUCTS: list[type] = []
_BY_FIRST: dict[bytes, type] = {}
"""By the first bytes of a message: the head of the array, and the kind."""
_BULKY: set[type] = set()
"""Messages that are little besides one long byte string."""
_PUTS: dict[type, Put] = {}
_TAKES: dict[type, Take] = {}
"""Of the messages that have been used."""
_BARE_PUTS: dict[type, Put] = {}
_BARE_TAKES: dict[type, Take] = {}
"""Of the structs, alone and inside of others."""


@attrs.frozen
class Codec:
    """How one field travels: two checked conversions and its CDDL type."""

    to_wire: Callable[[Any], object]
    from_wire: Callable[[object], Any]
    cddl: str
    refused_if: str = ""
    """For values that travel as they are: what `mesh.wire.straight` checks before it calls these,
    an expression about `{v}`. Never true for a good value, always for a bad one."""
    form: Callable[[], Form] = attrs.field(kw_only=True)
    """The same as bytes. Asked when first needed: most messages are not used in most processes."""

    def field(self, name: str = "") -> Field:
        return Field(name, self.to_wire, self.from_wire, self.refused_if)

    def put(self) -> Put:
        """From one value to its bytes; made when needed."""
        return put_one(self.field(), self.form())

    def take(self) -> Take:
        return take_one(self.field(), self.form())


def _field(codec: Codec, default: Any) -> Any:
    return attrs.field(default=default, metadata={_WIRE: codec})


def _bad(expected: str, value: object) -> WireError:
    return WireError("field", f"expected {expected}, got {type(value).__name__}")


# -- codecs --------------------------------------------------------------------------------------
def c_uint(maximum: int = 2**64 - 1) -> Codec:
    expected = f"uint up to {maximum}"

    def check(value: object) -> int:
        if type(value) is not int or not 0 <= value <= maximum:
            raise _bad(expected, value)
        return value

    cddl = "uint" if maximum == 2**64 - 1 else f"0..{maximum}"
    refused_if = f"type({{v}}) is not int or not 0 <= {{v}} <= {maximum}"
    return Codec(check, check, cddl, refused_if, form=lambda: FORM_UINT)


def c_int() -> Codec:
    def check(value: object) -> int:
        if type(value) is not int or not -(2**63) <= value < 2**63:
            raise _bad("int of 64 bits", value)
        return value

    refused_if = f"type({{v}}) is not int or not {-(2**63)} <= {{v}} < {2**63}"
    return Codec(check, check, "int", refused_if, form=lambda: FORM_INT)


def c_boolean() -> Codec:
    def check(value: object) -> bool:
        if type(value) is not bool:
            raise _bad("bool", value)
        return value

    return Codec(check, check, "bool", "type({v}) is not bool", form=lambda: FORM_BOOLEAN)


def c_blob(maximum: int, exact: int | None = None) -> Codec:
    low, high = (exact, exact) if exact is not None else (0, maximum)

    def check(value: object) -> bytes:
        if type(value) is not bytes or not low <= len(value) <= high:
            raise _bad(f"{low}..{high} bytes", value)
        return value

    size = str(exact) if exact is not None else f"0..{maximum}"
    refused_if = f"type({{v}}) is not bytes or not {low} <= len({{v}}) <= {high}"

    def form() -> Form:
        return FORM_BLOB if exact is None else form_fixed(exact)

    return Codec(check, check, f"bstr .size ({size})", refused_if, form=form)


def c_text(max_bytes: int) -> Codec:
    def check(value: object) -> str:
        if type(value) is not str or len(value.encode("utf-8", "surrogatepass")) > max_bytes:
            raise _bad(f"text up to {max_bytes} bytes", value)
        return value

    # No character takes more than 4 bytes, so most texts are known to fit by their length.
    size = "len({v}.encode('utf-8', 'surrogatepass'))"
    refused_if = f"type({{v}}) is not str or 4 * len({{v}}) > {max_bytes} < {size}"
    return Codec(check, check, f"tstr .size (0..{max_bytes})", refused_if, form=lambda: FORM_TEXT)


def c_array(item: Codec, max_items: int) -> Codec:
    def out(value: Any) -> list[object]:
        if len(value) > max_items:
            raise _bad(f"array of at most {max_items}", value)
        encode = item.to_wire
        return [encode(each) for each in value]

    def into(value: object) -> tuple[Any, ...]:
        if type(value) is not list or len(value) > max_items:
            raise _bad(f"array of at most {max_items}", value)
        decode = item.from_wire
        return tuple([decode(each) for each in value])

    def form() -> Form:
        return form_array(item.put, item.take, max_items, out)

    return Codec(out, into, f"[*{max_items} {item.cddl}]", form=form)


def c_optional(item: Codec) -> Codec:
    return Codec(
        lambda value: None if value is None else item.to_wire(value),
        lambda value: None if value is None else item.from_wire(value),
        f"{item.cddl} / null",
        form=lambda: form_optional(item.put, item.take),
    )


def c_struct(cls: type[T]) -> Codec:
    made = cast("Any", cls)

    def form() -> Form:
        return form_calls(lambda: _bare_put(made), lambda: _bare_take(made))

    return Codec(_pack, made.__wire_unpack__, cls.__name__, form=form)


# -- fields --------------------------------------------------------------------------------------
def uint(maximum: int = 2**64 - 1, default: Any = attrs.NOTHING) -> Any:
    return _field(c_uint(maximum), default)


def integer(default: Any = attrs.NOTHING) -> Any:
    return _field(c_int(), default)


def boolean(default: Any = attrs.NOTHING) -> Any:
    return _field(c_boolean(), default)


def blob(maximum: int, default: Any = attrs.NOTHING) -> Any:
    return _field(c_blob(maximum), default)


def fixed(exact: int, default: Any = attrs.NOTHING) -> Any:
    return _field(c_blob(exact, exact), default)


def text(max_bytes: int = TEXT_BYTES_MAX, default: Any = attrs.NOTHING) -> Any:
    return _field(c_text(max_bytes), default)


def array(item: Codec, max_items: int, default: Any = attrs.NOTHING) -> Any:
    return _field(c_array(item, max_items), default)


def optional(item: Codec, default: Any = attrs.NOTHING) -> Any:
    return _field(c_optional(item), default)


def nested(cls: type[T], default: Any = attrs.NOTHING) -> Any:
    return _field(c_struct(cls), default)


# -- classes -------------------------------------------------------------------------------------
@dataclass_transform(
    frozen_default=True,
    field_specifiers=(
        uint,
        integer,
        boolean,
        blob,
        fixed,
        text,
        array,
        optional,
        nested,
    ),
)
def struct(cls: type[T]) -> type[T]:
    """Make `cls` a frozen record that travels as the array of its fields."""
    made = quick(attrs.frozen(cls))
    codecs = tuple(
        (field.name, cast("Codec", field.metadata[_WIRE]))
        for field in attrs.fields(cast("Any", made))
    )
    fields = [codec.field(name) for name, codec in codecs]
    made.__wire_fields__ = codecs  # type: ignore[attr-defined]
    made.__wire_pack__ = staticmethod(compile_pack(fields))  # type: ignore[attr-defined]
    made.__wire_unpack__ = staticmethod(  # type: ignore[attr-defined]
        compile_unpack(made, fields, _refuser(f"array of {len(fields)} for {cls.__name__}"))
    )
    _STRUCTS.append(made)
    return made


@dataclass_transform(
    frozen_default=True,
    field_specifiers=(
        uint,
        integer,
        boolean,
        blob,
        fixed,
        text,
        array,
        optional,
        nested,
    ),
)
def message(kind: int, *, bulky: bool = False) -> Callable[[type[T]], type[T]]:
    """Make the class a message that travels as `[kind, *fields]`. A kind names one class, ever.
    `bulky`: it has a head and one long byte string, and is read without a copy in between."""

    def register(cls: type[T]) -> type[T]:
        made = struct(cls)
        assert kind not in _MESSAGES, f"message kind {kind} is taken by {_MESSAGES[kind]}"
        _MESSAGES[kind] = made
        _KINDS[made] = kind
        if bulky:
            _BULKY.add(made)
        _BY_FIRST[_first_bytes(made)] = made
        return made

    return register


def _first_bytes(made: Any) -> bytes:
    return head(ARRAY, 1 + len(made.__wire_fields__)) + head(UINT, _KINDS[made])


def _message_put(cls: type) -> Put:
    """Compiled for its first use."""
    _PUTS[cls] = _put(cls, _first_bytes(cls))
    return _PUTS[cls]


def _message_take(cls: type) -> Take:
    _TAKES[cls] = _take(cls, _first_bytes(cls))
    return _TAKES[cls]


def _bare_put(cls: Any) -> Put:
    if cls not in _BARE_PUTS:
        _BARE_PUTS[cls] = _put(cls, head(ARRAY, len(cls.__wire_fields__)))
    return _BARE_PUTS[cls]


def _bare_take(cls: Any) -> Take:
    if cls not in _BARE_TAKES:
        _BARE_TAKES[cls] = _take(cls, head(ARRAY, len(cls.__wire_fields__)))
    return _BARE_TAKES[cls]


def _put(made: Any, first: bytes) -> Put:
    """From values of a class to bytes that begin with `first`."""
    return compile_put(first, *_fields_of(made))


def _take(made: Any, first: bytes) -> Take:
    return compile_take(made, first, *_fields_of(made))


def _fields_of(made: Any) -> tuple[list[Field], list[Form]]:
    codecs = made.__wire_fields__
    return [codec.field(name) for name, codec in codecs], [codec.form() for _, codec in codecs]


def _quickly(take: Take, data: bytes) -> Any:
    """What the bytes are, or None when they are not as usual."""
    try:
        value, end = take(data, 0)
    except REFUSALS:
        return None
    return value if end == len(data) else None


def _refuser(expected: str) -> Callable[[object], None]:
    def refuse(value: object) -> None:
        raise _bad(expected, value)

    return refuse


def _pack(value: Any) -> list[object]:
    packed: list[object] = type(value).__wire_pack__(value)
    return packed


def _unpack(cls: type[T], value: object) -> T:
    return cast("T", cls.__wire_unpack__(value))  # type: ignore[attr-defined]


def evolve(value: T, **changes: object) -> T:
    """A copy of a struct or message with some fields replaced; `attrs.evolve` with a type."""
    return cast("T", attrs.evolve(cast("Any", value), **changes))


def encode_message(value: object) -> bytes:
    """Encode a message. Raises WireError when a field is out of its bounds."""
    put = _PUTS.get(type(value)) or _message_put(type(value))
    return put(value)


def decode_message(data: bytes) -> Any:
    """Decode any registered message. Raises WireError and nothing else, whatever the bytes."""
    size_bytes = len(data)
    if size_bytes > FRAME_BYTES_MAX:
        raise WireError("oversized")
    cls = _BY_FIRST.get(data[:3]) or _BY_FIRST.get(data[:2])
    # Long ones with many items are quicker below; one long byte string is a slice here.
    if cls is not None and (size_bytes <= DATAGRAM_BYTES_MAX or cls in _BULKY):
        value = _quickly(_TAKES.get(cls) or _message_take(cls), data)
        if value is not None:
            return value
    item = cbor.decode(data)
    if type(item) is not list or not item or type(item[0]) is not int:
        raise WireError("message", "not an array that starts with a kind")
    cls = _MESSAGES.get(item[0])
    if cls is None:
        raise WireError("unknown-kind", str(item[0]))
    return _unpack(cls, item[1:])


def encode_struct(value: object) -> bytes:
    """Encode a bare struct, for records that are hashed or signed."""
    put = _BARE_PUTS.get(type(value)) or _bare_put(type(value))
    return put(value)


def decode_struct(cls: type[T], data: bytes) -> T:
    """Decode a bare struct of the given class. Raises WireError."""
    if len(data) <= DATAGRAM_BYTES_MAX:
        value = _quickly(_BARE_TAKES.get(cls) or _bare_take(cls), data)
        if value is not None:
            return cast("T", value)
    return _unpack(cls, cbor.decode(data))


def describe() -> str:
    """The CDDL (RFC 8610) of every message and struct: the wire's reference."""
    return "".join(_rule(cls) for cls in sorted(_STRUCTS, key=_order))


def _order(cls: type) -> tuple[int, str]:
    return (_KINDS.get(cls, 1 << 30), cls.__name__)


def _rule(cls: type) -> str:
    kind = [str(_KINDS[cls])] if cls in _KINDS else []
    fields = [f"{name}: {codec.cddl}" for name, codec in cls.__wire_fields__]  # type: ignore[attr-defined]
    return f"{cls.__name__} = [{', '.join([*kind, *fields])}]\n"
