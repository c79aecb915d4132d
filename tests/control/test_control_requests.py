"""Requests and error views: total functions over whatever bytes and errors there are."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.control import ops
from mesh.control.outbox import Outbox, encode_line
from mesh.control.requests import error_view, parse_request, to_mesh_error
from mesh.errors import BadRequest, Bug, NoSuchRun

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.binary() | st.sampled_from(sorted(ops.OPS)).map(lambda op: b'{"op":"%b"}' % op.encode()))
def test_any_bytes_are_a_request_or_a_bad_request(data: bytes) -> None:
    try:
        op, params = parse_request(data)
    except BadRequest:
        return
    assert params.keys() == ops.OPS[op].keys()


@settings(max_examples=40)
@given(st.sampled_from(sorted(ops.OPS)), st.dictionaries(st.text() | st.just("run"), JSON))
def test_any_parameters_are_complete_or_a_bad_request(op: str, given_: dict[str, object]) -> None:
    try:
        found, params = parse_request(json.dumps({**given_, "op": op}).encode())
    except BadRequest:
        return
    assert found == op
    assert params.keys() == ops.OPS[op].keys()


def test_every_streaming_operation_exists() -> None:
    assert ops.OPS.keys() >= ops.STREAMING_OPS


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON.filter(lambda value: "nan" not in repr(value))))
def test_a_line_is_one_ascii_line(value: dict[str, object]) -> None:
    try:
        line = encode_line(value)
    except ValueError:
        return  # NaN and infinities are not JSON
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == value


def test_bytes_that_are_not_utf8_survive_a_line() -> None:
    raw = b"caf\xe9 \xff\x00ok"
    text = raw.decode("utf-8", "surrogateescape")
    back = json.loads(encode_line({"text": text}))["text"]
    assert back.encode("utf-8", "surrogateescape") == raw


def test_groups_of_mesh_errors_are_the_first_and_others_are_bugs() -> None:
    first, second = NoSuchRun(run="a"), NoSuchRun(run="b")
    assert to_mesh_error(ExceptionGroup("", [ExceptionGroup("", [first]), second])) is first
    assert isinstance(to_mesh_error(ExceptionGroup("", [first, KeyError("x")])), Bug)
    assert isinstance(to_mesh_error(ValueError("x")), Bug)


def test_parameters_that_are_not_json_become_text() -> None:
    assert error_view(NoSuchRun(run=b"\x01"))["params"] == {"run": "b'\\x01'"}


async def test_an_outbox_never_holds_more_than_its_limit() -> None:
    outbox = Outbox(lines_max=10)
    for number in range(1000):
        outbox({"event": "output", "text": str(number)})
    outbox.finish({"ok": {}})
    lines = []
    while chunk := await outbox.next_chunk():
        lines += [json.loads(line) for line in chunk.splitlines()]
    assert lines[0]["event"]["event"] == "resync"
    assert lines[0]["event"]["lost"] + len(lines) - 2 == 1000
    assert len(lines) <= 12
    assert lines[-1] == {"ok": {}}


async def test_an_outbox_whose_client_left_keeps_nothing_and_blocks_nobody() -> None:
    outbox = Outbox(lines_max=2)
    outbox({"event": "output"})
    outbox({"event": "output"})
    outbox.break_off()
    outbox({"event": "output"})
    await outbox.room()
    assert await outbox.next_chunk() == b""
