"""Signed results: each way of being wrong has its own reason."""

from __future__ import annotations

import attrs
import pytest
from nacl.signing import SigningKey

from mesh.action.model import EXECUTABLE, LogBlob, Result, SignedResult, TreeEntry
from mesh.action.signing import open_result, sign_result
from mesh.types import NodeId, digest_of
from mesh.wire.errors import WireError

KEY = SigningKey(b"\1" * 32)
BUILDER = NodeId(bytes(KEY.verify_key))
ACTION = digest_of(b"an action")
MOUNTS = ("/vitte/project",)


def sign(context: bytes, body: bytes) -> bytes:
    return KEY.sign(context + body).signature


def result(path: str = "/vitte/project/out") -> Result:
    entry = TreeEntry(path, EXECUTABLE, digest_of(b"out"), 3)
    return Result(ACTION, BUILDER, 0, (entry,), LogBlob(), LogBlob(), 12, "bwrap")


def everybody(node: NodeId) -> bool:
    return True


def reason(signed: SignedResult, **changes: object) -> str:
    arguments = {"expected_action": ACTION, "is_builder": everybody, "mounts": MOUNTS} | changes
    with pytest.raises(WireError) as caught:
        open_result(signed, **arguments)  # type: ignore[arg-type]
    return caught.value.reason


def test_round_trip() -> None:
    assert open_result(sign_result(result(), sign), ACTION, everybody, MOUNTS) == result()


def test_every_wrong_has_its_own_reason() -> None:
    good = sign_result(result(), sign)
    assert reason(attrs.evolve(good, signature=bytes(64))) == "bad-signature"
    assert reason(good, expected_action=digest_of(b"other")) == "other-action"
    assert reason(good, is_builder=lambda node: node != BUILDER) == "not-a-builder"
    assert reason(good, mounts=("/elsewhere",)) == "path-escapes"
    assert reason(sign_result(result("/vitte/project/../x"), sign)) == "path"
    assert reason(attrs.evolve(good, body=good.body + b"\0")) == "trailing-bytes"


def test_signature_of_another_context_does_not_count() -> None:
    body = sign_result(result(), sign).body
    assert reason(SignedResult(body, KEY.sign(body).signature)) == "bad-signature"


def test_builder_is_bound_to_its_key() -> None:
    other = attrs.evolve(result(), builder=NodeId(bytes(SigningKey(b"\2" * 32).verify_key)))
    assert reason(sign_result(other, sign)) == "bad-signature"


def test_unusable_key_is_a_bad_signature() -> None:
    other = attrs.evolve(result(), builder=NodeId(b"\xff" * 32))
    assert reason(sign_result(other, sign)) == "bad-signature"
