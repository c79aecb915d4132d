"""Signing results and opening signed ones.

A signature is over RESULT_CONTEXT and the exact bytes of the result; `open_result` checks those
bytes, never an encoding of its own. Keys are not here: signing is a function that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from mesh.action.model import RESULT_CONTEXT, Result, SignedResult, check_entries
from mesh.types import Digest, NodeId
from mesh.wire import schema
from mesh.wire.errors import WireError


def sign_result(result: Result, sign: Callable[[bytes, bytes], bytes]) -> SignedResult:
    """Sign with `sign(context, body)`, which returns the Ed25519 signature over context + body."""
    body = schema.encode_struct(result)
    return SignedResult(body, sign(RESULT_CONTEXT, body))


def open_result(
    signed: SignedResult,
    expected_action: Digest,
    is_builder: Callable[[NodeId], bool],
    mounts: tuple[str, ...] | None = None,
) -> Result:
    """Check a signed result and return what it says.

    `mounts` are those of the action, to check that no output leaves them; None when the outputs
    are not going to be used. Raises WireError: "other-action", "not-a-builder", "bad-signature",
    a reason of `check_entries`, or a decoding reason.
    """
    result = schema.decode_struct(Result, signed.body)
    if result.action != expected_action:
        raise WireError("other-action", result.action.hex())
    if not is_builder(result.builder):
        raise WireError("not-a-builder", result.builder.hex())
    _verify(result.builder, signed)
    if mounts is not None:
        check_entries(result.outputs, mounts)
    return result


def _verify(builder: NodeId, signed: SignedResult) -> None:
    assert len(builder) == 32, "the field is of fixed size; libsodium would read beyond"
    assert len(signed.signature) == 64, "likewise"
    try:
        crypto_sign_open(signed.signature + RESULT_CONTEXT + signed.body, builder)
    except (BadSignatureError, ValueError):
        raise WireError("bad-signature", builder.hex()) from None
