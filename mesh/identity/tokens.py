"""Invitations as text: `vm1-` and base32, to be pasted into a terminal or a chat.

    vm1-  base32( length u16 | token CBOR | first 4 bytes of SHA-256 over both )

Base32 in lower case survives every chat, mail and shell, and typing; length and checksum tell a
token that was cut off from one with a typo. It holds the seed of the invite's one-time key and is
therefore a secret; the signed invite inside lets any member check it without asking anybody.
"""

from __future__ import annotations

import binascii
from base64 import b32decode, b32encode
from hashlib import sha256

import attrs

from mesh.errors import BadToken
from mesh.identity.keys import NodeKey
from mesh.identity.records import Invite, Signed, open_record
from mesh.limits import RECORD_BYTES_MAX, TOKEN_ADDRESSES_MAX, TOKEN_BYTES_MAX
from mesh.types import Address, MeshId, NodeId
from mesh.wire.errors import WireError
from mesh.wire.schema import (
    array,
    blob,
    c_struct,
    decode_struct,
    encode_struct,
    fixed,
    struct,
    text,
    uint,
)

PREFIX = "vm1-"
INVITE_SEED_BYTES = 16
_LENGTH_BYTES, _CHECKSUM_BYTES = 2, 4
_ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz234567")
_KEY_CONTEXT = b"vitte-mesh invite key v1\0"


@struct
class TokenAddress:
    host: str = text(64)
    port: int = uint(65_535)


@struct
class TokenBody:
    seed: bytes = fixed(INVITE_SEED_BYTES)
    invite: bytes = blob(RECORD_BYTES_MAX)
    addresses: tuple[TokenAddress, ...] = array(c_struct(TokenAddress), TOKEN_ADDRESSES_MAX)


@attrs.frozen
class Token:
    """A readable invitation. That it was made by an admin only a member can tell."""

    seed: bytes = attrs.field(repr=False)
    invite: Signed
    addresses: tuple[Address, ...]
    """Join doors to try, in order."""

    @property
    def fact(self) -> Invite:
        assert isinstance(self.invite.fact, Invite)
        return self.invite.fact

    @property
    def mesh_id(self) -> MeshId:
        return self.fact.author.mesh_id

    @property
    def inviter(self) -> NodeId:
        return self.fact.author.by

    def key(self) -> NodeKey:
        """The invite's one-time key."""
        return invite_key(self.seed)


def invite_key(seed: bytes) -> NodeKey:
    """The one-time Ed25519 key that belongs to a token's 16-byte seed."""
    return NodeKey(sha256(_KEY_CONTEXT + seed).digest())


def format_token(seed: bytes, invite: bytes, addresses: tuple[Address, ...]) -> str:
    """The text of an invitation. At most TOKEN_ADDRESSES_MAX addresses are kept."""
    known = tuple(TokenAddress(*address) for address in addresses[:TOKEN_ADDRESSES_MAX])
    body = encode_struct(TokenBody(seed, invite, known))
    payload = len(body).to_bytes(_LENGTH_BYTES, "big") + body
    payload += sha256(payload).digest()[:_CHECKSUM_BYTES]
    return PREFIX + b32encode(payload).decode("ascii").rstrip("=").lower()


def parse_token(given: str) -> Token:
    """Read an invitation; blanks and line breaks in it are ignored. Raises BadToken."""
    compact = "".join(given.split()).lower()
    if not compact.startswith(PREFIX):
        raise BadToken(why=f"it does not begin with `{PREFIX}`")
    if len(compact) > 2 * TOKEN_BYTES_MAX:
        raise BadToken(why="it is too long")
    body = _body(_decode(compact[len(PREFIX) :]))
    try:
        token = decode_struct(TokenBody, body)
        invite = open_record(token.invite)
    except WireError as error:
        raise BadToken(why=f"its content is wrong ({error.reason})") from None
    if not isinstance(invite.fact, Invite) or invite_key(token.seed).node_id != invite.fact.key:
        raise BadToken(why="its content is wrong (its key belongs to another invitation)")
    addresses = tuple((address.host, address.port) for address in token.addresses)
    return Token(token.seed, invite, addresses)


def _decode(encoded: str) -> bytes:
    strange = next((char for char in encoded if char not in _ALPHABET), None)
    if strange is not None:
        raise BadToken(why=f"the character {strange!a} cannot be in one")
    # A length that base32 never has is one character short of something: decode what is whole.
    whole = len(encoded) - {1: 1, 3: 1, 6: 1}.get(len(encoded) % 8, 0)
    padding = "=" * (-whole % 8)
    try:
        return b32decode(encoded[:whole].upper() + padding)
    except binascii.Error:
        raise BadToken(why="it is cut off") from None


def _body(payload: bytes) -> bytes:
    """Check length and checksum, and return what is between them."""
    length = int.from_bytes(payload[:_LENGTH_BYTES], "big")
    missing = _LENGTH_BYTES + length + _CHECKSUM_BYTES - len(payload)
    if len(payload) < _LENGTH_BYTES + _CHECKSUM_BYTES or missing > 0:
        raise BadToken(why="it is cut off: its end is missing")
    if missing < 0:
        raise BadToken(why="something is behind its end")
    body, checksum = payload[:-_CHECKSUM_BYTES], payload[-_CHECKSUM_BYTES:]
    if sha256(body).digest()[:_CHECKSUM_BYTES] != checksum:
        raise BadToken(why="a character is wrong (its checksum does not fit)")
    return body[_LENGTH_BYTES:]
