"""How much of the cryptography is computed again and again in a simulated mesh.

    real         everything, by every node
    remembered   the same, but what is a pure function of its input is computed once for all nodes
                 of the process: whether a signature is good, what a certificate says, the shared
                 key of two nodes, what a datagram opens to that was just sealed here. No byte and
                 no decision differs; a roster of N members is checked once and not N times. The
                 default.
    none         besides, datagrams are sealed with a keyed hash and nothing is encrypted: for
                 seeing what the seal costs. A changed byte is still noticed, but anybody can read.

Only inside `crypto(...)`; a real node never comes by here. Signatures are real in all three.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from unittest.mock import patch

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

MODES = ("real", "remembered", "none")
REMEMBERED_MAX = 1 << 16
BOXES_MAX = 1 << 9
"""Datagrams under way, and those of a while before: they may be delivered twice."""
BUFFER_BYTES = 2048
"""More than a datagram has."""
KEY_BYTES, NONCE_BYTES = bindings.crypto_box_BEFORENMBYTES, bindings.crypto_box_NONCEBYTES
PADDING, BOX_AT = bytes(bindings.crypto_box_ZEROBYTES), bindings.crypto_box_BOXZEROBYTES
TAG_BYTES = 16
CERTIFICATE_USERS = ("mesh.identity.records", "mesh.identity.trust")


@contextmanager
def crypto(mode: str) -> Iterator[None]:
    """Compute as `mode` says while the context lasts."""
    assert mode in MODES, mode
    with ExitStack() as changes:
        if mode != "real":
            for change in _remembered():
                changes.enter_context(change)
        if mode == "remembered":
            boxes = _Boxes()
            changes.enter_context(patch.object(bindings, "crypto_box_afternm", boxes.seal))
            changes.enter_context(patch.object(bindings, "crypto_box_open_afternm", boxes.open))
        if mode == "none":
            changes.enter_context(patch.object(bindings, "crypto_box_afternm", _seal))
            changes.enter_context(patch.object(bindings, "crypto_box_open_afternm", _open))
        yield


def _remembered() -> Iterator[Any]:
    from mesh.wire.certificate import check_certificate

    checked = lru_cache(REMEMBERED_MAX)(check_certificate)
    for module in CERTIFICATE_USERS:
        yield patch(f"{module}.check_certificate", checked)
    real_verify = VerifyKey.verify

    @lru_cache(REMEMBERED_MAX)
    def good(key: bytes, message: bytes, signature: bytes | None) -> bytes:
        return real_verify(VerifyKey(key), message, signature)

    def verify(self: VerifyKey, smessage: bytes, signature: bytes | None = None) -> bytes:
        return good(bytes(self), bytes(smessage), signature)

    yield patch.object(VerifyKey, "verify", verify)
    for name in ("crypto_box_beforenm", "crypto_sign_ed25519_pk_to_curve25519"):
        yield patch.object(bindings, name, lru_cache(REMEMBERED_MAX)(getattr(bindings, name)))


class _Boxes:
    """The newest boxes and what is in them: opening is a function of box, nonce and key, and who
    sealed it knew the answer. Any other box, a changed one say, is really opened."""

    def __init__(self) -> None:
        self._real_seal = bindings.crypto_box_afternm
        self._real_open = bindings.crypto_box_open_afternm
        self._new: dict[bytes, tuple[bytes, bytes, bytes]] = {}
        self._old: dict[bytes, tuple[bytes, bytes, bytes]] = {}
        self._buffer = _buffer()

    def seal(self, message: bytes, nonce: bytes, key: bytes) -> bytes:
        """In one buffer for all boxes: PyNaCl makes one for each, which costs three times as much
        as sealing a ping."""
        sealed: bytes
        padded = PADDING + message
        size = len(padded)
        fits = size <= BUFFER_BYTES and len(nonce) == NONCE_BYTES and len(key) == KEY_BYTES
        if self._buffer is not None and fits:
            buffer, view, encrypt = self._buffer
            encrypt(buffer, padded, size, nonce, key)
            sealed = view[BOX_AT:size]
        else:
            sealed = self._real_seal(message, nonce, key)
        self._new[sealed] = (message, nonce, key)
        if len(self._new) >= BOXES_MAX:
            self._new, self._old = {}, self._new
        return sealed

    def open(self, sealed: bytes, nonce: bytes, key: bytes) -> bytes:
        known = self._new.get(sealed) or self._old.get(sealed)
        if known is not None and known[1] == nonce and known[2] == key:
            return known[0]
        plain: bytes = self._real_open(sealed, nonce, key)
        return plain


def _buffer() -> tuple[Any, Any, Callable[[Any, bytes, int, bytes, bytes], int]] | None:
    """A buffer, a view of it, and what encrypts into it; None where PyNaCl has changed."""
    try:
        from nacl._sodium import ffi, lib  # type: ignore[import-not-found]

        buffer = ffi.new("unsigned char[]", BUFFER_BYTES)
        return buffer, ffi.buffer(buffer), lib.crypto_box_afternm
    except (ImportError, AttributeError):
        return None


def _seal(message: bytes, nonce: bytes, key: bytes) -> bytes:
    return _tag(message, nonce, key) + message


def _open(sealed: bytes, nonce: bytes, key: bytes) -> bytes:
    tag, message = sealed[:TAG_BYTES], sealed[TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(message, nonce, key)):
        raise CryptoError("an error occurred while decrypting the message")
    return message


def _tag(message: bytes, nonce: bytes, key: bytes) -> bytes:
    return blake2b(nonce + message, key=key, digest_size=TAG_BYTES).digest()
