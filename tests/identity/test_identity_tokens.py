"""Invitations as text: read back exactly, and helpful when they are damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_world import founder

from mesh.errors import BadToken
from mesh.identity.records import Invite, sign_record
from mesh.identity.tokens import INVITE_SEED_BYTES, PREFIX, format_token, invite_key, parse_token
from mesh.limits import TOKEN_ADDRESSES_MAX, TOKEN_BYTES_MAX

ALICE = founder()
SEED = b"s" * INVITE_SEED_BYTES
DOORS = (("192.168.1.7", 7001), ("fe80::1", 7001))


def invite_record(seed: bytes = SEED) -> bytes:
    one_time = invite_key(seed).node_id
    return sign_record(ALICE.key, Invite(ALICE._sign(), one_time, 2, 1, 1000))


TEXT = format_token(SEED, invite_record(), DOORS)


def test_a_token_is_read_back() -> None:
    token = parse_token(TEXT)
    assert token.seed == SEED
    assert token.mesh_id == ALICE.mesh_id
    assert token.inviter == ALICE.key.node_id
    assert token.addresses == DOORS
    assert token.key() == invite_key(SEED)
    assert token.invite.data == invite_record()


def test_it_survives_chats_and_mails() -> None:
    wrapped = "\n  ".join(TEXT[i : i + 60] for i in range(0, len(TEXT), 60))
    assert parse_token(f" {wrapped.upper()} \n") == parse_token(TEXT)


def test_it_is_short_enough_to_paste_and_keeps_its_secret_out_of_logs() -> None:
    many = format_token(SEED, invite_record(), DOORS * 5)
    assert len(parse_token(many).addresses) == TOKEN_ADDRESSES_MAX
    assert len(many) < TOKEN_BYTES_MAX
    assert "ssss" not in repr(parse_token(TEXT))


@given(st.integers(len(PREFIX), len(TEXT) - 1))
def test_a_token_that_was_cut_off_says_so(length: int) -> None:
    with pytest.raises(BadToken, match="cut off"):
        parse_token(TEXT[:length])


@given(
    st.integers(len(PREFIX) + 4, len(TEXT) - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567")
)
def test_a_token_with_a_typo_says_so(position: int, char: str) -> None:
    typo = TEXT[:position] + char + TEXT[position + 1 :]
    if typo == TEXT:
        return
    # The last character has bits that base32 ignores: a change there changes nothing.
    if position == len(TEXT) - 1 and _same_token(typo):
        return
    with pytest.raises(BadToken, match="a character is wrong"):
        parse_token(typo)


def _same_token(text: str) -> bool:
    try:
        return parse_token(text) == parse_token(TEXT)
    except BadToken:
        return False


@given(st.text(max_size=400))
def test_reading_any_text_raises_nothing_but_bad_token(text: str) -> None:
    for given_text in (text, PREFIX + text):
        with pytest.raises(BadToken):
            parse_token(given_text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin"),
        ("vm2-abc", "does not begin"),
        (PREFIX + "abc!", "cannot be in one"),
        (TEXT + "aaaaaaaa", "behind its end"),
        (PREFIX + "a" * 10 * TOKEN_BYTES_MAX, "too long"),
        (format_token(b"t" * INVITE_SEED_BYTES, invite_record(), ()), "another invitation"),
        (format_token(SEED, ALICE.admission, ()), "content is wrong"),
        (format_token(SEED, invite_record()[:-1] + b"\xff", ()), "content is wrong"),
        (format_token(SEED, b"", ()), "content is wrong"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    with pytest.raises(BadToken, match=why):
        parse_token(text)
