"""The firmware's Ed25519 and SHA-512 against RFC 8032 and libsodium."""

from __future__ import annotations

import ctypes
import hashlib
from random import Random

import pytest
from nacl.bindings import crypto_sign
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from sim.leaves.library import library

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
SMALL_Y = (
    *(0, 1, P - 1, P, P + 1),
    2707385501144840649318225287225658788936804267575313519463743609750303021,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
)
"""y of points of small order (the two long ones: order 8), and encodings that are not canonical."""
VECTORS = {
    "1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        b"",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b4"
            "6bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    "2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        b"\x72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d"
            "8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    "3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        b"\xaf\x82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6"
            "594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    "SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        hashlib.sha512(b"abc").digest(),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0"
            "303dca179c138ac17ad9bef1177331a704"
        ),
    ),
}
"""RFC 8032, section 7.1: seed, message, signature."""


class Text(ctypes.Structure):
    """`struct signed_text`."""

    _fields_ = [
        ("context", ctypes.c_char_p),
        ("context_size", ctypes.c_uint32),
        ("data", ctypes.c_char_p),
        ("data_size", ctypes.c_uint32),
    ]


def text(message: bytes) -> Text:
    """A third of the message as the context: where the line is must make no difference."""
    cut = len(message) // 3
    return Text(message[:cut], cut, message[cut:], len(message) - cut)


def accepts(key: bytes, message: bytes, signature: bytes) -> bool:
    return bool(library().ed25519_verify(key, ctypes.byref(text(message)), signature))


def sodium_accepts(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def public(seed: bytes) -> bytes:
    out = ctypes.create_string_buffer(32)
    library().ed25519_public(seed, out)
    return out.raw


def sign(seed: bytes, message: bytes) -> bytes:
    out = ctypes.create_string_buffer(64)
    library().ed25519_sign(seed, public(seed), ctypes.byref(text(message)), out)
    return out.raw


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_the_standard(name: str) -> None:
    seed, message, signature = VECTORS[name]
    key = bytes(SigningKey(bytes.fromhex(seed)).verify_key)

    assert public(bytes.fromhex(seed)) == key
    assert sign(bytes.fromhex(seed), message).hex() == signature
    assert accepts(key, message, bytes.fromhex(signature))


def test_keys_and_signatures_are_those_of_libsodium_at_every_length() -> None:
    random = Random(5)
    for size in range(0, 300, 3):
        seed, message = random.randbytes(32), random.randbytes(size)
        key = bytes(SigningKey(seed).verify_key)

        assert public(seed) == key
        assert sign(seed, message) == crypto_sign(message, seed + key)[:64]
        assert accepts(key, message, sign(seed, message))


def test_no_flipped_bit_of_a_signature_a_key_or_a_message_is_overlooked() -> None:
    seed, message = bytes(range(32)), b"what a leaf may run"
    key, signature = public(seed), sign(seed, message)

    assert not any(accepts(key, message, flipped(signature, bit)) for bit in range(512))
    assert not any(accepts(flipped(key, bit), message, signature) for bit in range(256))
    assert not any(
        accepts(key, flipped(message, bit), signature) for bit in range(8 * len(message))
    )


def test_points_of_small_order_and_odd_encodings_are_judged_as_by_libsodium() -> None:
    asked = refused = 0
    for y in SMALL_Y:
        for sign_bit in (0, 1):
            key = (y | sign_bit << 255).to_bytes(32, "little")
            for s in (0, 1, ORDER - 1, ORDER):
                for r in SMALL_Y:
                    signature = r.to_bytes(32, "little") + s.to_bytes(32, "little")
                    verdict = accepts(key, b"a", signature)
                    assert verdict == sodium_accepts(key, b"a", signature), (y, sign_bit, s, r)
                    asked, refused = asked + 1, refused + (not verdict)
    assert asked == refused == 392


def test_an_s_that_is_not_below_the_order_is_refused() -> None:
    seed, message = bytes(32), b"x"
    key, signature = public(seed), sign(seed, message)
    s = int.from_bytes(signature[32:], "little") + ORDER
    malleable = signature[:32] + s.to_bytes(32, "little")

    assert accepts(key, message, signature)
    assert not accepts(key, message, malleable)
    assert not sodium_accepts(key, message, malleable)


def test_sha512_at_every_length_across_three_blocks() -> None:
    out, state = ctypes.create_string_buffer(64), ctypes.create_string_buffer(512)
    for size in range(390):
        data = bytes(i * 7 & 255 for i in range(size))
        library().sha512_start(state)
        library().sha512_add(state, data[: size // 2], size // 2)
        library().sha512_add(state, data[size // 2 :], size - size // 2)
        library().sha512_end(state, out, 64)

        assert out.raw == hashlib.sha512(data).digest(), size
