"""Short codes for admission face to face: `7-amber-maple`.

The number says which of the inviter's open codes it is and is no secret; the two words are, with
16 bits. That is enough only because a guess must be made online, against a password-authenticated
key exchange, and the first wrong one burns the code.
"""

from __future__ import annotations

import difflib

import attrs

from mesh.errors import BadToken
from mesh.identity.words import KNOWN, words_of
from mesh.limits import CODE_SLOTS

CODE_WORDS = 2


@attrs.frozen
class Code:
    """A code that was typed or made. Which list its words are from does not matter."""

    slot: int
    words: tuple[str, ...] = attrs.field(repr=False)

    def __str__(self) -> str:
        return "-".join((str(self.slot), *self.words))

    def password(self) -> bytes:
        """What goes into the key exchange."""
        return str(self).encode("ascii")


def make_code(slot: int, secret: bytes, language: str) -> Code:
    """A code from CODE_WORDS random bytes, in the words of `language` ("en" or "fr")."""
    assert len(secret) == CODE_WORDS
    assert 1 <= slot <= CODE_SLOTS
    return Code(slot, words_of(secret, language))


def parse_code(given: str) -> Code:
    """Read a code; blanks do for hyphens, capitals do not matter. Raises BadToken, which burns
    nothing: words that are in no list are noticed before anybody is asked."""
    parts = given.lower().replace("-", " ").split()
    if len(parts) != 1 + CODE_WORDS:
        raise BadToken(why="a code is a number and two words, such as 7-amber-maple")
    number, words = parts[0], tuple(parts[1:])
    if not (
        number.isascii()
        and number.isdigit()
        and len(number) <= 2
        and 1 <= int(number) <= CODE_SLOTS
    ):
        raise BadToken(why=f"a code begins with a number from 1 to {CODE_SLOTS}")
    for word in words:
        if word not in KNOWN:
            raise BadToken(why=f"{ascii(word)[:40]} is not a word of any code{_did_you_mean(word)}")
    return Code(int(number), words)


def _did_you_mean(word: str) -> str:
    near = difflib.get_close_matches(word[:16], sorted(KNOWN), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""
