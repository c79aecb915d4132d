"""The views, one scenario at a time."""

from __future__ import annotations

from state_world import World, digest, ref, result

from mesh.identity.roles import Role
from mesh.log.model import Lane
from mesh.state.actions import Divergent, Trusted, TrustPolicy
from mesh.state.events import (
    Deployment,
    Derivation,
    Execution,
    Executions,
    Intent,
    Policy,
    Register,
    RunEvent,
    RunState,
    Trust,
)
from mesh.state.views import State
from mesh.types import RunId

K2 = TrustPolicy(Trust.K_BUILDERS, 2)


def two_builders() -> World:
    world = World()
    world.join("alice", Role.ADMIN)
    world.join("bob")
    return world


def test_a_result_of_any_builder_is_believed_by_default() -> None:
    world = two_builders()
    world.writers["bob"].write(Lane.AC, result("a", record="r"))
    found = world.fold().lookup(digest("a"))
    assert isinstance(found, Trusted)
    assert found.outputs == digest("a>good")
    assert [claim.builder for claim in found.claims] == [world.writers["bob"].node]
    assert found.claims[0].record == digest("r")


def test_with_k_2_a_result_needs_two_different_builders() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    bob.write(Lane.AC, result("a"))
    bob.start()
    bob.write(Lane.AC, result("a"))
    state = world.fold()
    assert state.lookup(digest("a"), K2) is None
    state.apply([world.writers["alice"].frames[-1]])
    world.writers["alice"].write(Lane.AC, result("a"))
    state.apply(world.frames)
    assert isinstance(state.lookup(digest("a"), K2), Trusted)


def test_two_outputs_of_one_action_raise_an_alarm_that_names_both_and_keeps_both() -> None:
    world = two_builders()
    alice, bob = world.writers["alice"], world.writers["bob"]
    alice.write(Lane.AC, result("a", "good", record="ra"))
    state = world.fold()
    bob.write(Lane.AC, result("a", "bad", record="rb"))
    changes = state.apply(bob.frames)
    assert changes.diverged == (digest("a"),)
    (divergence,) = state.actions.divergences()
    assert divergence.builders == tuple(sorted((alice.node, bob.node)))
    records = {claim.record for side in divergence.sides.values() for claim in side}
    assert records == {digest("ra"), digest("rb")}
    assert isinstance(state.lookup(digest("a")), Divergent)
    changes = state.stand(removed(world, "bob").standing())
    assert changes.settled == (digest("a"),)
    found = state.lookup(digest("a"))
    assert isinstance(found, Trusted)
    assert found.outputs == digest("a>good")


def removed(world: World, name: str) -> World:
    world.remove(name)
    return world


def test_ones_own_result_is_believed_whatever_others_say() -> None:
    world = two_builders()
    alice, bob = world.writers["alice"], world.writers["bob"]
    alice.write(Lane.AC, result("a", "good"))
    bob.write(Lane.AC, result("a", "bad"))
    found = world.fold(me=alice.node).lookup(digest("a"), K2)
    assert isinstance(found, Trusted)
    assert found.outputs == digest("a>good")
    own = TrustPolicy(Trust.OWN)
    assert world.fold(me=bob.node).lookup(digest("a"), own) is not None
    bob.write(Lane.AC, result("b"))
    assert world.fold(me=alice.node).lookup(digest("b"), own) is None


def test_a_viewer_and_a_stranger_attest_nothing() -> None:
    world = two_builders()
    world.join("eve", Role.VIEWER).write(Lane.AC, result("a"))
    stranger = world.join("mallory")
    stranger.write(Lane.AC, result("b"))
    del world.roles["mallory"][0]
    state = world.fold()
    assert state.lookup(digest("a")) is None
    assert state.lookup(digest("b")) is None


def test_the_policy_is_the_admins_and_the_strictest_of_those_that_stand() -> None:
    world = two_builders()
    alice, bob = world.writers["alice"], world.writers["bob"]
    bob.write(Lane.CTL, Policy(int(Trust.OWN), 9, 9, ()))
    assert world.fold().policy().actions == TrustPolicy()
    (first,) = alice.write(Lane.CTL, Policy(int(Trust.K_BUILDERS), 2, 3, ()))
    alice.write(Lane.CTL, Policy(int(Trust.K_BUILDERS), 3, 2, ()))
    policy = world.fold().policy()
    assert (policy.actions, policy.copies) == (TrustPolicy(Trust.K_BUILDERS, 3), 3)
    alice.write(Lane.CTL, Policy(0, 1, 1, tuple(map(ref, policy.dots))))
    assert world.fold().policy().actions == TrustPolicy(Trust.ANY_BUILDER, 1)
    assert first in policy.dots


def test_a_register_is_its_owners_and_a_new_process_writes_after_the_old_one() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    bob.write(Lane.CTL, Register("label", b"old"))
    bob.start()
    bob.write(Lane.CTL, Register("label", b"new"))
    world.writers["alice"].write(Lane.CTL, Register("label", b"alice"))
    state = world.fold()
    value = state.registers.get(bob.node, "label")
    assert value is not None
    assert (value.value, value.others) == (b"new", ())
    assert set(state.registers.of_key("label")) == {bob.node, world.writers["alice"].node}
    bob.write(Lane.CTL, Register("label", None))
    assert world.fold().registers.get(bob.node, "label") is None


def test_after_a_restored_disk_both_values_are_shown_until_the_epochs_are_absorbed() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    known = len(bob.frames)
    bob.write(Lane.CTL, Register("label", b"lost"))
    bob.restored(known)
    bob.write(Lane.CTL, Register("label", b"restored"))
    value = world.fold().registers.get(bob.node, "label")
    assert value is not None
    assert {value.value, *value.others} == {b"lost", b"restored"}
    bob.absorb()
    bob.write(Lane.CTL, Register("label", b"both known"))
    value = world.fold().registers.get(bob.node, "label")
    assert value is not None
    assert (value.value, value.others) == (b"both known", ())


def deployment(intent: Intent, name: str, *supersedes: object) -> Deployment:
    refs = tuple(ref(dot) for dot in supersedes)  # type: ignore[arg-type]
    return Deployment("thermostat", digest(name), int(intent), ("leaf",), b"", refs)


def test_concurrent_deployments_stand_both_and_the_safest_is_done() -> None:
    world = two_builders()
    alice, bob = world.writers["alice"], world.writers["bob"]
    (first,) = alice.write(Lane.DEP, deployment(Intent.DEPLOY, "v1"))
    (second,) = bob.write(Lane.DEP, deployment(Intent.DEPLOY, "v2", first))
    (third,) = alice.write(Lane.DEP, deployment(Intent.ROLLBACK, "v0", first))
    deployed = world.fold().deployed("thermostat")
    assert deployed is not None
    assert [dot for dot, _ in deployed.standing] == sorted((second, third))
    assert deployed.effective.artifact == digest("v0")
    bob.write(Lane.DEP, deployment(Intent.DEPLOY, "v3", second, third))
    deployed = world.fold().deployed("thermostat")
    assert deployed is not None
    assert [each.artifact for _, each in deployed.standing] == [digest("v3")]


def test_a_run_is_its_origins_and_executions_are_whoevers_ran_them() -> None:
    world = two_builders()
    alice, bob = world.writers["alice"], world.writers["bob"]
    run = RunId(b"run 1234")
    alice.write(Lane.EXEC, RunEvent(run, int(RunState.SUCCEEDED), "make", 2, 1))
    alice.write(Lane.EXEC, RunEvent(run, int(RunState.STARTED), "make", 2, 0))
    both = (Execution(0, 0, digest("a"), 0, 5), Execution(1, 0, digest("b"), 1, 5))
    bob.write(Lane.EXEC, Executions(run, alice.node, both))
    bob.write(Lane.EXEC, RunEvent(run, int(RunState.FAILED), "not bob's", 0, 0))
    state = world.fold()
    seen = state.runs.get(alice.node, run)
    assert seen is not None
    assert seen.told is not None
    assert (seen.told.state, seen.told.label) == (RunState.SUCCEEDED, "make")
    assert [each.node for each in seen.executions] == [bob.node, bob.node]
    assert tuple(each.execution for each in seen.executions) == both
    assert len(state.runs.all()) == 2


def test_a_bad_event_is_counted_against_its_writer_and_the_others_stand() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    feed = bob.feed(Lane.AC)
    from mesh.log.model import EMPTY
    from mesh.state.events import encode_event

    good = encode_event(result("a"))
    events = [good[:-1] + b"\x18", b"\x81\x18\x63", encode_event(Register("x")), good]
    state = world.fold()
    changes = state.apply([bob.sealed(feed, EMPTY, events)])
    assert changes.refused == {bob.node: {"truncated": 1, "unknown-kind": 1, "lane": 1}}
    assert isinstance(state.lookup(digest("a")), Trusted)


def test_an_equivocator_attests_nothing_and_its_registers_end_at_the_fork() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    bob.write(Lane.AC, result("a"))
    bob.write(Lane.CTL, Register("label", b"before"))
    bob.write(Lane.CTL, Register("label", b"one"))
    state = world.fold()
    assert isinstance(state.lookup(digest("a")), Trusted)
    world.fork("bob", len(bob.frames) - 1, Register("label", b"two"))
    changes = state.apply(world.frames, world.proofs)
    assert changes.disputed == (bob.node,)
    assert state.lookup(digest("a")) is None
    value = state.registers.get(bob.node, "label")
    assert value is not None
    assert value.value == b"before"
    assert state.digest() == world.fold().digest()


def test_a_removal_settles_a_fork_the_history_that_the_cut_names_counts_again() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    bob.write(Lane.AC, result("a"))
    cut = bob.points()
    world.fork("bob", len(bob.frames) - 1, result("a", "poisoned"))
    assert world.fold().lookup(digest("a")) is None
    world.remove("bob", cut)
    found = world.fold().lookup(digest("a"))
    assert isinstance(found, Trusted)
    assert found.outputs == digest("a>good")


def test_what_was_made_from_a_withdrawn_result_is_withheld_until_it_proves_right() -> None:
    world = two_builders()
    alice, bob = world.writers["alice"], world.writers["bob"]
    cut = bob.points()
    bob.write(Lane.AC, result("object", "poisoned"))
    alice.write(
        Lane.AC,
        result("program"),
        Derivation(digest("program"), (digest("object>poisoned")[:16],)),
        result("package"),
        Derivation(digest("package"), (digest("program>good")[:16],)),
        result("other"),
    )
    state = world.fold()
    assert isinstance(state.lookup(digest("package")), Trusted)
    world.remove("bob", cut)
    state.stand(world.standing())
    taint = state.taint(bob.node)
    assert [each.outputs for each in taint.withdrawn] == [digest("object>poisoned")]
    assert set(taint.derived) == {digest("program"), digest("package")}
    assert state.lookup(digest("package")) is None
    assert isinstance(state.lookup(digest("other")), Trusted)
    alice.write(Lane.AC, result("object", "poisoned"))
    state.apply(alice.frames)
    assert state.taint() == world.fold().taint()
    assert isinstance(state.lookup(digest("package")), Trusted)


def test_a_node_that_is_folded_anew_is_as_before_and_without_frames_it_is_forgotten() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    bob.write(Lane.AC, result("a"))
    world.checkpoint("bob", Lane.AC)
    bob.write(Lane.AC, result("b"))
    bob.write(Lane.CTL, Register("label", b"bob"))
    state = world.fold()
    before = state.digest()
    changes = state.refold(bob.node, [])
    assert {digest("a"), digest("b")} <= set(changes.actions)
    assert changes.registers == ((bob.node, "label"),)
    assert state.lookup(digest("a")) is None
    state.refold(bob.node, bob.frames)
    world.load_wanted(state)
    assert state.digest() == before


def test_what_was_lost_without_a_checkpoint_does_not_count_as_after_a_restart() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    bob.write(Lane.AC, result("a"), result("b"))
    bob.write(Lane.AC, result("c"))
    state = world.fold()
    changes = state.lost(bob.feed(Lane.AC), 2)
    assert set(changes.actions) == {digest("a"), digest("b")}
    assert state.lookup(digest("a")) is None
    assert isinstance(state.lookup(digest("c")), Trusted)


def test_feeds_that_the_log_has_withdrawn_are_asked_for_again() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    changes = world.fold().apply([], [], [bob.feed(Lane.AC)])
    assert changes.again == (bob.node,)


def test_a_cut_below_a_checkpoint_asks_for_what_the_checkpoint_had_covered() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    bob.write(Lane.AC, result("a"))
    cut = bob.points()
    world.checkpoint("bob", Lane.AC)
    state = world.fold()
    world.remove("bob", cut)
    changes = state.stand(world.standing())
    assert changes.again == (bob.node,)
    state.refold(bob.node, bob.frames)
    assert isinstance(state.lookup(digest("a")), Trusted)
    assert state.digest() == world.fold().digest()


def test_what_is_covered_counts_until_the_state_is_here_and_older_states_are_not_needed() -> None:
    world = two_builders()
    bob = world.writers["bob"]
    bob.write(Lane.AC, result("a"))
    world.checkpoint("bob", Lane.AC)
    bob.write(Lane.AC, result("b"))
    world.checkpoint("bob", Lane.AC)
    bob.start()
    state = State(bob.node, world.standing())
    state.apply(world.frames)
    assert len(state.wanted()) == 2
    assert isinstance(state.lookup(digest("a")), Trusted)
    newest = state.wanted()[0]
    state.load(newest, world.states[newest])
    assert state.wanted() == ()
    assert isinstance(state.lookup(digest("a")), Trusted)
    assert state.digest() == world.fold().digest()


def test_a_checkpoint_keeps_what_supersedes_something_that_is_still_there() -> None:
    world = two_builders()
    alice, bob = world.writers["alice"], world.writers["bob"]
    (first,) = alice.write(Lane.DEP, deployment(Intent.DEPLOY, "v1"))
    (second,) = bob.write(Lane.DEP, deployment(Intent.DEPLOY, "v2", first))
    alice.write(Lane.DEP, deployment(Intent.DEPLOY, "v3", second))
    for name in ("bob", "alice", "bob"):
        world.checkpoint(name, Lane.DEP)
        deployed = world.fold().deployed("thermostat")
        assert deployed is not None
        assert [each.artifact for _, each in deployed.standing] == [digest("v3")]


def test_a_derivation_that_comes_after_the_removal_taints_as_well() -> None:
    world = two_builders()
    alice, bob = world.writers["alice"], world.writers["bob"]
    bob.write(Lane.AC, result("object", "poisoned"))
    alice.write(Lane.AC, result("program"))
    world.remove("bob")
    state = world.fold()
    assert isinstance(state.lookup(digest("program")), Trusted)
    alice.write(Lane.AC, Derivation(digest("program"), (digest("object>poisoned")[:16],)))
    state.apply(alice.frames)
    assert state.lookup(digest("program")) is None
