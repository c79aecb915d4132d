"""Leaves in the roster: members without a certificate, whom nobody meets on the network."""

from __future__ import annotations

from pathlib import Path

import pytest
from identity_world import env_in, key_of, new_mesh, new_node

from mesh.errors import NotAllowed
from mesh.identity import trust
from mesh.identity.certificates import make_certificate
from mesh.identity.records import Admit, Authorship, open_record, sign_record
from mesh.identity.roles import BUILD, SUBMIT, VIEW, Role
from mesh.wire.errors import WireError

LEAF = key_of("greenhouse").node_id


def test_a_leaf_is_admitted_and_is_no_member_on_the_network(tmp_path: Path) -> None:
    _, identity = new_mesh(tmp_path)
    before = identity.anchors()
    identity.write_admit_leaf(LEAF, "greenhouse")
    assert [each.name for each in identity.leaves()] == ["greenhouse"]
    assert LEAF not in identity.member_ids()
    assert not identity.is_member(LEAF), "TLS must not take a leaf's key"
    assert identity.anchors() == before
    assert not any(identity.allowed(LEAF, what) for what in (VIEW, SUBMIT, BUILD))
    loaded = trust.load(env_in(tmp_path))
    assert loaded is not None
    assert loaded.leaves() == identity.leaves()


def test_a_leaf_can_be_removed(tmp_path: Path) -> None:
    _, identity = new_mesh(tmp_path)
    identity.write_admit_leaf(LEAF, "greenhouse")
    identity.write_leave(LEAF)
    assert identity.leaves() == ()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.BUILDER, Role.ADMIN])
def test_nobody_else_comes_in_without_a_certificate(tmp_path: Path, role: Role) -> None:
    _, identity = new_mesh(tmp_path)
    me = identity.require(VIEW)
    author = Authorship(identity.mesh_id, identity.node_id, me.admission)
    record = sign_record(identity.key, Admit(author, LEAF, "greenhouse", int(role), b"", 1))
    with pytest.raises(WireError, match="certificate"):
        open_record(record)


def test_a_leaf_with_a_certificate_is_a_machine_like_others(tmp_path: Path) -> None:
    _, identity = new_mesh(tmp_path)
    key = key_of("small machine")
    certificate = make_certificate(key, "small")
    identity.write_admit(key.node_id, "small", Role.LEAF, certificate)
    assert identity.leaves() == ()
    assert key.node_id in identity.member_ids()


def test_only_an_admin_admits_leaves(tmp_path: Path) -> None:
    _, founder = new_mesh(tmp_path / "alice")
    env, key = new_node(tmp_path / "bob")
    certificate = trust.own_certificate(env.disk, key, "bob")
    founder.write_admit(key.node_id, "bob", Role.BUILDER, certificate)
    bob = trust.adopt(env, key, "bob", founder.roster.records())
    with pytest.raises(NotAllowed):
        bob.write_admit_leaf(LEAF, "greenhouse")
