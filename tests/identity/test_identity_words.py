"""The word lists keep their promises, and codes are read as people type them."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import BadToken
from mesh.identity.codes import Code, make_code, parse_code
from mesh.identity.words import ENGLISH, FRENCH, KNOWN, words_of
from mesh.limits import CODE_SLOTS


def one_letter_apart(a: str, b: str) -> bool:
    if abs(len(a) - len(b)) > 1:
        return False
    short, long = sorted((a, b), key=len)
    if len(a) == len(b):
        return sum(x != y for x, y in zip(a, b, strict=True)) == 1
    return any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


@pytest.mark.parametrize("words", [ENGLISH, FRENCH])
def test_a_list_has_256_short_words_that_cannot_be_mistaken(words: tuple[str, ...]) -> None:
    assert len(words) == len(set(words)) == 256
    assert list(words) == sorted(words)
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
    assert all(3 <= len(word) <= 8 for word in words)
    assert len({word[:4] for word in words}) == 256
    assert not [pair for pair in combinations(words, 2) if one_letter_apart(*pair)]


def test_no_word_is_in_both_lists() -> None:
    assert len(KNOWN) == 512


def test_the_order_of_the_lists_is_fixed() -> None:
    """Check words are computed at both ends: these must never move."""
    assert words_of(bytes([0, 127, 255])) == (ENGLISH[0], ENGLISH[127], ENGLISH[255])
    assert words_of(b"\0", "fr") == (FRENCH[0],)
    assert words_of(b"\0", "xx") == (ENGLISH[0],)


@given(st.integers(1, CODE_SLOTS), st.binary(min_size=2, max_size=2), st.sampled_from(["en", "fr"]))
def test_every_code_is_read_back(slot: int, secret: bytes, language: str) -> None:
    code = make_code(slot, secret, language)
    assert parse_code(str(code)) == code
    assert parse_code(f"  {code} ".upper().replace("-", " ")) == code


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "a number and two words"),
        ("7", "a number and two words"),
        ("7-amber", "a number and two words"),
        ("seven-amber-maple", "begins with a number"),
        ("0-amber-maple", "begins with a number"),
        (f"{CODE_SLOTS + 1}-amber-maple", "begins with a number"),
        ("7-amber-maplle", "did you mean `maple`"),
        ("7-amber-\x1b[31m", "is not a word"),
        ("\u0667-amber-maple", "begins with a number"),
        ("9" * 5000 + "-amber-maple", "begins with a number"),
    ],
)
def test_a_mistyped_code_is_refused_before_anybody_is_asked(given: str, why: str) -> None:
    with pytest.raises(BadToken) as caught:
        parse_code(given)
    assert why in caught.value.message()
    assert "\x1b" not in caught.value.message()


def test_the_words_of_a_code_are_not_in_its_repr() -> None:
    assert "amber" not in repr(Code(7, ("amber", "maple")))
