"""The two CDDL files against both codecs: what one of them takes, all of them take."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_cddl import Schema, schema
from spoil import spoil

from mesh.leaf import messages
from mesh.leaf.frame import Frame, FrameReader, Kind, encode
from mesh.leaf.messages import BadBody, Op
from mesh.rules.program import BadProgram, decode_program
from mesh.wire import cbor
from mesh.wire.errors import WireError
from sim.leaves.board import HostBoard
from sim.leaves.library import library
from sim.leaves.rig import Rig

PROGRAM, LINK = schema("program.cddl"), schema("link.cddl")
FORM = 1
EDGES = [0, 1, -1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16, 17, 23, 24, 63, 64, 65, 255, 256]
EDGES += [65_535, 65_536, 86_400_000, 86_400_001, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1]
EDGES += [2**32 - 1, 2**32, 2**63]
ODD = st.one_of(
    st.sampled_from(EDGES),
    st.sampled_from([0, 1, 3, 4, 7, 8, 9, 16, 31, 32, 64, 65, 256, 257]).map(bytes),
    st.booleans(),
    st.none(),
    st.just([]),
    st.just(""),
)


@functools.cache
def examples(found: Schema, rule: str) -> st.SearchStrategy[Any]:
    """Values that a rule allows."""
    return _strategy(found, found.rules[rule])


def _strategy(  # noqa: PLR0911 - one line per kind
    found: Schema, node: Any
) -> st.SearchStrategy[Any]:
    kind = node[0]
    if kind == "value":
        return st.just(node[1])
    if kind == "choice":
        return st.one_of([_strategy(found, each) for each in node[1]])
    if kind == "array":
        return st.tuples(*(_entry(found, *each) for each in node[1])).map(
            lambda parts: [item for part in parts for item in part]
        )
    if kind == "name":
        if node[1] in found.rules:
            return _strategy(found, found.rules[node[1]])
        return {"bstr": st.binary(max_size=40), "uint": st.integers(0, 2**32 - 1)}[node[1]]
    _, inner, bound = node
    if node[0] == "..":
        return st.integers(inner[1], bound[1])
    if node[0] == ".le":
        return st.integers(0, bound[1])
    sizes = _strategy(found, bound)
    return sizes.flatmap(lambda size: st.binary(min_size=size, max_size=size))


def _entry(found: Schema, occurs: tuple[int, int], node: Any) -> st.SearchStrategy[Any]:
    low, high = occurs
    return st.lists(_strategy(found, node), min_size=low, max_size=min(high, 17))


@st.composite
def spoiled(draw: st.DrawFn, found: Schema, rule: str) -> Any:
    return spoil(draw, draw(examples(found, rule)), ODD)


def refused_by_c(data: bytes) -> bool:
    out = (ctypes.c_int32 * 3)()
    library().host_verify(data, len(data), out)
    return out[0] == FORM


def refused_by_python(data: bytes) -> bool:
    try:
        decode_program(data)
    except BadProgram:
        return True
    return False


SLOW = settings(max_examples=50, deadline=None, suppress_health_check=[*HealthCheck])


@SLOW
@given(spoiled(PROGRAM, "program"))
def test_both_codecs_take_the_programs_that_the_specification_allows(item: Any) -> None:
    data = cbor.encode(item)
    allowed = PROGRAM.matches("program", item) and len(data) <= 2048

    assert refused_by_python(data) != allowed
    assert refused_by_c(data) != allowed


@SLOW
@given(spoiled(PROGRAM, "program"), st.data())
def test_both_codecs_agree_about_bytes_that_are_hardly_cbor(item: Any, data: st.DataObject) -> None:
    encoded = bytearray(cbor.encode(item))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] = data.draw(st.one_of(st.integers(0, 255), st.just(encoded[at] ^ 0x20)))

    assert refused_by_c(bytes(encoded)) == refused_by_python(bytes(encoded))


def _taken(decode: Any, data: bytes) -> bool:
    try:
        decode(data)
    except BadBody:
        return False
    return True


@SLOW
@given(spoiled(LINK, "leaf-hello"), spoiled(LINK, "events"))
def test_the_gateway_takes_the_bodies_that_the_specification_allows(hello: Any, list_: Any) -> None:
    assert _taken(messages.decode_hello, cbor.encode(hello)) == LINK.matches("leaf-hello", hello)
    allowed = LINK.matches("events", list_) and max(list_[:2]) < 2**32
    assert _taken(messages.decode_events, cbor.encode(list_)) == allowed


def exchange(board: HostBoard, frame: Frame, now_ms: int) -> list[Frame]:
    board.feed(encode(frame))
    board.run(now_ms)
    return list(FrameReader().feed(board.take()))


@SLOW
@given(spoiled(LINK, "host-hello"))
def test_the_leaf_takes_the_hellos_that_the_specification_allows(hello: Any) -> None:
    board = HostBoard()
    board.start()
    answers = exchange(board, Frame(Kind.HELLO, 0, cbor.encode(hello)[:240]), 1)

    assert bool(answers) == LINK.matches("host-hello", hello)


ARGUMENTS: dict[Op, list[Any]] = {
    Op.PROVE: [bytes(16)],
    Op.STATUS: [],
    Op.BEGIN: [100, 90, bytes(16)],
    Op.CHUNK: [0, b"x"],
    Op.COMMIT: [],
    Op.CONFIRM: [1],
    Op.WRITE_INPUT: [0, 0, -5, 1],
    Op.PROVISION: [bytes(32), bytes(32), bytes(32)],
    Op.RULES: [],
    Op.RESTART: [],
}
MALFORMED = 2


@settings(SLOW, max_examples=40)
@given(st.sampled_from(sorted(ARGUMENTS)), st.data())
def test_a_request_with_one_argument_too_few_or_too_many_is_malformed(
    op: Op, data: st.DataObject
) -> None:
    board = HostBoard()
    board.start()
    exchange(board, Frame(Kind.HELLO, 0, messages.host_hello(bytes(8))), 1)
    arguments = list(ARGUMENTS[op])
    spoil = data.draw(st.sampled_from(["drop", "double", "claim"]))
    if spoil == "drop" and arguments:
        arguments.pop()
    else:
        arguments.append(0)
    body = messages.request(7, op, arguments)
    if spoil == "claim":  # the array says more items than there are
        body = messages.request(7, op, ARGUMENTS[op])
        body = bytes((body[0] + 1,)) + body[1:]
    answers = exchange(board, Frame(Kind.REQUEST, 1, body), 2)

    assert [cbor.decode(each.body) for each in answers] == [[7, MALFORMED]]


def test_everything_both_sides_say_in_a_working_day_is_as_specified() -> None:
    rig = Rig(seed=3)
    said: list[tuple[str, Frame]] = []
    for name, line in (("host", rig.down), ("leaf", rig.up)):
        reader, put = FrameReader(), line.put

        def listen(data: bytes, name: str = name, reader: Any = reader, put: Any = put) -> None:
            said.extend((name, frame) for frame in reader.feed(data))
            put(data)

        line.put = listen  # type: ignore[method-assign]
    rig.provision()
    rig.deploy(rig.package('@every("20ms")\ndef r(n: int = 0):\n    n -= 1\n    emit(9, n)\n', 1))
    rig.ask(Op.CONFIRM, [1])
    rig.ask(Op.RULES)
    rig.step(500)

    rules = {
        ("host", Kind.HELLO): "host-hello",
        ("leaf", Kind.HELLO): "leaf-hello",
        ("host", Kind.REQUEST): "request",
        ("leaf", Kind.ANSWER): "answer",
        ("host", Kind.EVENTS): "cursor",
        ("leaf", Kind.EVENTS): "events",
    }
    seen = set()
    for name, frame in said:
        seen.add((name, frame.kind))
        assert LINK.matches(rules[name, frame.kind], cbor.decode(frame.body))
    assert seen == set(rules)


def test_results_of_requests_are_as_specified() -> None:
    rig = Rig(seed=4)
    rig.provision()
    rig.deploy(rig.package('@every("20ms")\ndef r(n: int = -3):\n    emit(9, n)\n', 1))

    assert LINK.matches_group("proof", list(rig.ask(Op.PROVE, [bytes(16)]).results))
    assert LINK.matches_group("status", list(rig.ask(Op.STATUS).results))
    (states,) = rig.ask(Op.RULES).results
    assert len(states) == 1
    assert all(LINK.matches("rule-state", state) for state in states)


def test_a_decoder_never_raises_anything_else() -> None:
    for data in (b"", b"\xff", b"\x80", b"\x9f\xff", cbor.encode([1] * 300)):
        assert refused_by_c(data)
        assert refused_by_python(data)
        assert not _taken(messages.decode_hello, data)
    try:
        cbor.decode(b"\x9f\xff")
    except WireError:
        return
    raise AssertionError("indefinite lengths are refused")
