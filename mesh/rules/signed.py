"""Signed programs: what is brought to a leaf, and what a leaf checks before it runs anything.

    package = sign_program(program, mesh, key.sign)
    open_package(package, mesh, authority, verify) -> Program

`firmware/program.cddl` is the specification; `firmware/core/deploy.c` checks the same in C. The
signature is over the bytes as they stand; nothing is ever encoded again to be checked. Deliberately
not here: who the authority of a leaf is (the gateway knows), counters (the leaf keeps them).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mesh.rules.program import BadProgram, Program, decode_program, encode_program
from mesh.wire import cbor
from mesh.wire.errors import WireError

CONTEXT = b"vitte-leaf-program-1"
MESH_ID_BYTES = 32
SIGNATURE_BYTES = 64
PACKAGE_BYTES_MAX = 2176
"""What a slot of a leaf holds."""

Sign = Callable[[bytes, bytes], bytes]
"""(context, data) -> Ed25519 signature over both."""
Verify = Callable[[bytes, bytes, bytes, bytes], bool]
"""(key, context, data, signature) -> whether that key signed them."""


class BadSignature(ValueError):
    """Not signed by this authority for this mesh."""


@attrs.frozen
class Package:
    """A signed program, taken apart; nothing of it is checked but its shape."""

    program: bytes
    signature: bytes


def sign_program(program: Program, mesh: bytes, sign: Sign) -> bytes:
    """The signed encoding of a program. Raises BadProgram if it is out of its bounds."""
    assert len(mesh) == MESH_ID_BYTES
    data = encode_program(program)
    package = cbor.encode([data, sign(CONTEXT + mesh, data)])
    assert len(package) <= PACKAGE_BYTES_MAX
    return package


def read_package(package: bytes) -> Package:
    """Take a package apart. Raises BadProgram."""
    try:
        item = cbor.decode(package)
    except WireError as error:
        raise BadProgram(f"not canonical CBOR: {error}") from None
    if type(item) is not list or [type(each) for each in item] != [bytes, bytes]:
        raise BadProgram("a signed program is an array of two byte strings")
    data, signature = item
    if len(signature) != SIGNATURE_BYTES:
        raise BadProgram(f"signature: expected {SIGNATURE_BYTES} bytes")
    return Package(data, signature)


def open_package(package: bytes, mesh: bytes, authority: bytes, verify: Verify) -> Program:
    """The program inside, if `authority` signed it for `mesh`. Raises BadSignature, BadProgram."""
    parts = read_package(package)
    if not verify(authority, CONTEXT + mesh, parts.program, parts.signature):
        raise BadSignature("not signed by this authority for this mesh")
    return decode_program(parts.program)
