"""Keys, certificates, names: made once, kept, refused when they are not what they must be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_world import env_in, key_of

from mesh.errors import KeyUnreadable, NotAllowed
from mesh.identity.certificates import certificate_pem, make_certificate, private_key_pem
from mesh.identity.keys import KEY_FILE, NodeKey, load_key, load_or_create_key, verify
from mesh.identity.names import clean_name, distinct, is_name
from mesh.identity.roles import ADMIT, BUILD, SUBMIT, VIEW, Role, may, role_of
from mesh.limits import CERTIFICATE_BYTES_MAX, NAME_BYTES_MAX
from mesh.wire.certificate import check_certificate, node_of_certificate
from mesh.wire.errors import WireError


def test_a_key_is_made_once_and_only_its_owner_may_read_it(tmp_path) -> None:
    env = env_in(tmp_path)
    assert load_key(env.disk) is None
    key = load_or_create_key(env.disk, env.entropy)
    assert load_or_create_key(env.disk, env.entropy) == key
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert key.seed.hex() not in repr(key)


def test_a_key_file_that_others_may_read_is_refused(tmp_path) -> None:
    env = env_in(tmp_path)
    load_or_create_key(env.disk, env.entropy)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(KeyUnreadable, match="mode 0640"):
        load_key(env.disk)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_file_of_another_size_is_refused(tmp_path, size: int) -> None:
    env = env_in(tmp_path)
    env.disk.write(KEY_FILE, b"x" * size, private=True)
    with pytest.raises(KeyUnreadable, match=f"{size} bytes"):
        load_key(env.disk)


def test_a_signature_is_worth_nothing_in_another_context_or_from_another_node() -> None:
    key, other = key_of("a"), key_of("b")
    signature = key.sign(b"context\0", b"data")
    assert len(signature) == 64
    assert verify(key.node_id, b"context\0", b"data", signature)
    assert not verify(key.node_id, b"other\0", b"data", signature)
    assert not verify(key.node_id, b"context\0", b"datA", signature)
    assert not verify(other.node_id, b"context\0", b"data", signature)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_verify_never_raises(node: bytes, signature: bytes) -> None:
    assert verify(node, b"c", b"d", signature) is False


def test_both_ends_of_a_box_get_the_same_secret() -> None:
    from nacl.bindings import crypto_box_beforenm
    from nacl.bindings import crypto_sign_ed25519_pk_to_curve25519 as curve

    a, b = key_of("a"), key_of("b")
    ab = crypto_box_beforenm(curve(b.node_id), a.curve_private())
    assert ab == crypto_box_beforenm(curve(a.node_id), b.curve_private())


def test_a_certificate_is_stable_small_and_says_whose_it_is() -> None:
    key = key_of("a")
    der = make_certificate(key, "é" * 32)
    assert der == make_certificate(key, "é" * 32)
    assert len(der) < CERTIFICATE_BYTES_MAX // 2
    assert node_of_certificate(der) == key.node_id
    check_certificate(der, key.node_id)
    assert certificate_pem(der).startswith(b"-----BEGIN CERTIFICATE")
    assert private_key_pem(key).startswith(b"-----BEGIN PRIVATE KEY")


def test_a_certificate_of_another_node_or_with_a_changed_byte_is_refused() -> None:
    key = key_of("a")
    der = make_certificate(key, "a")
    with pytest.raises(WireError):
        check_certificate(der, key_of("b").node_id)
    with pytest.raises(WireError):
        check_certificate(der[:-1] + bytes([der[-1] ^ 1]), key.node_id)
    with pytest.raises(WireError):
        check_certificate(der + b"\0", key.node_id)


@given(st.binary(max_size=400))
def test_reading_a_certificate_raises_nothing_but_wire_errors(data: bytes) -> None:
    with pytest.raises(WireError):
        node_of_certificate(data)


@given(st.integers(0, 308), st.integers(1, 255))
def test_a_damaged_certificate_raises_nothing_but_wire_errors(position: int, flip: int) -> None:
    der = bytearray(make_certificate(NodeKey(b"k" * 32), "name"))
    der[position] ^= flip
    with pytest.raises(WireError):
        check_certificate(bytes(der), NodeKey(b"k" * 32).node_id)


@given(st.text())
def test_any_wish_becomes_an_allowed_name(wish: str) -> None:
    name = clean_name(wish)
    assert is_name(name)
    assert name.isprintable()
    assert clean_name(name) == name


@pytest.mark.parametrize(
    "bad", ["", " a", "a b", "a\n", "\x1b[1m", "-a", "a/b", "a" * 65, "\ud800"]
)
def test_what_is_no_name(bad: str) -> None:
    assert not is_name(bad)


@given(st.lists(st.sampled_from(["a", "A", "a-2", "b", "x" * NAME_BYTES_MAX]), max_size=12))
def test_distinct_names_are_distinct_and_allowed(wishes: list[str]) -> None:
    taken: set[str] = set()
    for wish in wishes:
        name = distinct(wish, taken)
        assert name.casefold() not in taken
        assert is_name(name)
        taken.add(name.casefold())


def test_the_table_of_roles() -> None:
    table = {role: [may(role, what) for what in (ADMIT, SUBMIT, BUILD, VIEW)] for role in Role}
    assert table == {
        Role.ADMIN: [True, True, True, True],
        Role.BUILDER: [False, True, True, True],
        Role.VIEWER: [False, False, False, True],
        Role.LEAF: [False, False, False, False],
    }
    assert role_of("Admin") is Role.ADMIN
    with pytest.raises(NotAllowed, match="admin, builder, viewer, leaf"):
        role_of("king")
