"""A node's place in its mesh survives restarts, and says who may do what."""

import pytest
from identity_world import env_in, founder, key_of, new_mesh, new_node

from mesh.errors import AlreadyInMesh, KeyUnreadable, NotAllowed, RosterUnreadable, StoreFull
from mesh.identity import trust
from mesh.identity.certificates import make_certificate
from mesh.identity.keys import KEY_FILE
from mesh.identity.roles import ADMIT, BUILD, SUBMIT, VIEW, Role
from mesh.identity.roster import Roster
from mesh.identity.trust import CERTIFICATE_FILE, ROSTER_FILE
from sim.disk import SimDisk, SimDiskConfig
from sim.world import World


def admitted(identity: trust.MeshIdentity, label: str, role: Role) -> bytes:
    key = key_of(label)
    return identity.write_admit(key.node_id, label, role, make_certificate(key, label))


def test_a_fresh_home_is_in_no_mesh(tmp_path) -> None:
    env, _ = new_node(tmp_path)
    assert trust.load(env) is None


def test_a_mesh_is_founded_and_loaded_again_unchanged(tmp_path) -> None:
    _, identity = new_mesh(tmp_path, "home", "my laptop")
    admitted(identity, "bob", Role.BUILDER)
    loaded = trust.load(env_in(tmp_path))
    assert loaded is not None
    assert loaded.mesh_id == identity.mesh_id
    assert loaded.mesh_name == "home"
    assert loaded.members() == identity.members()
    assert loaded.own_certificate() == identity.own_certificate()
    assert loaded.roster.digest() == identity.roster.digest()
    assert [member.name for member in loaded.members()] == ["bob", "my-laptop"]
    assert (tmp_path / ROSTER_FILE).stat().st_mode & 0o777 == 0o600


def test_a_second_mesh_is_refused_until_this_one_is_left(tmp_path) -> None:
    env, identity = new_mesh(tmp_path)
    with pytest.raises(AlreadyInMesh, match="home"):
        trust.create(env, identity.key, "other", "alice")
    identity.write_leave(identity.node_id)
    assert identity.me() is None
    trust.create(env, identity.key, "other", "alice")
    trust.forget(env.disk)
    assert trust.load(env) is None


def test_the_certificate_is_kept_even_under_another_name(tmp_path) -> None:
    env, identity = new_mesh(tmp_path, node_name="first")
    trust.forget(env.disk)
    again = trust.create(env, identity.key, "home", "second")
    assert again.certificate == identity.certificate
    env.disk.write(CERTIFICATE_FILE, b"damaged")
    assert trust.own_certificate(env.disk, identity.key, "first") == identity.certificate


def test_the_trust_store_follows_the_roster(tmp_path) -> None:
    _, identity = new_mesh(tmp_path)
    bob = key_of("bob").node_id
    generation = identity.generation()
    assert not identity.is_member(bob)
    admitted(identity, "bob", Role.BUILDER)
    assert identity.is_member(bob)
    assert identity.generation() != generation
    assert make_certificate(key_of("bob"), "bob") in identity.anchors()
    identity.write_leave(bob)
    assert not identity.is_member(bob)
    assert identity.anchors() == (identity.certificate,)
    assert identity.member_ids() == {identity.node_id}


def test_who_may_do_what(tmp_path) -> None:
    _, identity = new_mesh(tmp_path)
    admitted(identity, "bob", Role.VIEWER)
    assert identity.allowed(identity.node_id, ADMIT)
    assert identity.allowed(key_of("bob").node_id, VIEW)
    assert not identity.allowed(key_of("bob").node_id, SUBMIT)
    assert not identity.allowed(key_of("stranger").node_id, VIEW)
    assert identity.require(BUILD).name == "alice"


def test_only_admins_write_admissions_and_only_members_write_at_all(tmp_path) -> None:
    _, alice = new_mesh(tmp_path / "alice")
    env, key = new_node(tmp_path / "bob")
    certificate = trust.own_certificate(env.disk, key, "bob")
    alice.write_admit(key.node_id, "bob", Role.BUILDER, certificate)
    bob = trust.adopt(env, key, "bob", alice.roster.records())
    with pytest.raises(NotAllowed, match="builder"):
        admitted(bob, "eve", Role.BUILDER)
    with pytest.raises(NotAllowed, match="builder"):
        bob.write_invite(key.node_id, Role.BUILDER, 1, 0)
    with pytest.raises(NotAllowed, match="builder"):
        bob.write_leave(alice.node_id)
    bob.write_leave(bob.node_id)
    with pytest.raises(NotAllowed, match="out of the mesh"):
        bob.write_leave(bob.node_id)


def test_a_merge_that_changes_something_is_on_disk_before_it_returns(tmp_path) -> None:
    _, alice = new_mesh(tmp_path / "alice")
    env, key = new_node(tmp_path / "bob")
    certificate = trust.own_certificate(env.disk, key, "bob")
    alice.write_admit(key.node_id, "bob", Role.BUILDER, certificate)
    bob = trust.adopt(env, key, "bob", alice.roster.records())
    leave = alice.write_leave(bob.node_id)
    assert bob.merge([leave])
    assert not bob.merge([leave])
    loaded = trust.load(env)
    assert loaded is not None
    assert loaded.me() is None


def on_full_disk(label: str, records: tuple[bytes, ...]) -> tuple[SimDisk, trust.MeshIdentity]:
    """A node whose disk takes nothing any more."""
    disk = SimDisk(World(1), "disk", SimDiskConfig(quota_bytes=0))
    roster = Roster(records[0])
    roster.merge(records[1:])
    key = key_of(label)
    return disk, trust.MeshIdentity(disk.open(), key, make_certificate(key, label), roster)


def test_what_a_full_disk_does_not_take_was_never_written(tmp_path) -> None:
    _, alice = new_mesh(tmp_path)
    admitted(alice, "bob", Role.ADMIN)
    disk, bob = on_full_disk("bob", alice.roster.records())
    before = bob.roster.digest()
    for write in (
        lambda: bob.write_leave(alice.node_id),
        lambda: bob.write_invite(key_of("invite").node_id, Role.BUILDER, 1, 1 << 40),
        lambda: admitted(bob, "carol", Role.BUILDER),
    ):
        with pytest.raises(StoreFull):
            write()
    assert bob.roster.digest() == before
    disk.config = SimDiskConfig()
    bob.write_leave(alice.node_id)
    loaded = trust.load_roster(disk.open())
    assert loaded is not None
    assert loaded.digest() == bob.roster.digest()


def test_a_removal_counts_also_when_the_disk_does_not_take_it(tmp_path) -> None:
    _, alice = new_mesh(tmp_path)
    admitted(alice, "bob", Role.BUILDER)
    admitted(alice, "carol", Role.BUILDER)
    disk, bob = on_full_disk("bob", alice.roster.records())
    change = bob.merge([alice.write_leave(key_of("carol").node_id)])
    assert [member.name for member in change.left] == ["carol"]
    assert not bob.is_member(key_of("carol").node_id)
    assert not bob.is_saved
    bob.save_again()
    assert not bob.is_saved
    disk.config = SimDiskConfig()
    bob.save_again()
    assert bob.is_saved
    loaded = trust.load_roster(disk.open())
    assert loaded is not None
    assert loaded.digest() == alice.roster.digest()


@pytest.mark.parametrize(
    "data", [b"", b"\x82\x01\x80", b"\x82\x02\x81\x41\x00", b"garbage", founder().admission]
)
def test_a_damaged_roster_is_said_and_not_overwritten(tmp_path, data: bytes) -> None:
    env, _ = new_mesh(tmp_path)
    env.disk.write(ROSTER_FILE, data)
    with pytest.raises(RosterUnreadable):
        trust.load(env)
    assert env.disk.read(ROSTER_FILE) == data


def test_a_roster_without_its_key_is_no_identity(tmp_path) -> None:
    env, _ = new_mesh(tmp_path)
    env.disk.remove(KEY_FILE)
    assert trust.load(env) is None
    env.disk.write(KEY_FILE, b"short", private=True)
    with pytest.raises(KeyUnreadable):
        trust.load(env)
