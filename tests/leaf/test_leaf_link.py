"""A leaf and its gateway over lines that are as bad as it gets."""

from __future__ import annotations

import pytest

from mesh.leaf import messages
from mesh.leaf.frame import BODY_BYTES_MAX, FrameReader, Kind
from mesh.leaf.link import State
from mesh.leaf.messages import LeafError, Op
from mesh.leaf.transfer import Deployed, DeployFailed
from mesh.wire import cbor
from sim.leaves.board import Count, ResetCause
from sim.leaves.line import Noise
from sim.leaves.rig import Rig

COUNTER = """
@every("50ms")
def count(n: int = 0):
    n += 1
    emit(1, n)
"""
LINES = {
    "quiet": Noise(),
    "a flip in ten thousand bits": Noise(bit_flips=1e-4),
    "a flip in a thousand bits": Noise(bit_flips=1e-3),
    "flips and drops": Noise(bit_flips=1e-3, drops=1e-3),
    "everything": Noise(bit_flips=3e-4, drops=1e-3, repeats=1e-3, garbage=1e-3),
}
BATCH_MAX = 12
"""Events in one frame: firmware/core/leaf.h."""
RECOVERY_MAX_MS = 30_000


def running(noise: Noise | None = None, seed: int = 7) -> Rig:
    """A leaf that counts, twenty times a second, and is trusted."""
    rig = Rig(seed, noise)
    rig.provision()
    assert isinstance(rig.deploy(rig.package(COUNTER, 1)), Deployed)
    assert rig.ask(Op.CONFIRM, [1]).error == LeafError.NONE
    return rig


def exact(rig: Rig) -> bool:
    """Every event of every stream was delivered once, or is counted as missing."""
    for boot, stream in rig.streams.items():
        got = sum(name[0] == boot for name, _ in rig.delivered)
        if got + stream.missing != stream.next:
            return False
    return True


@pytest.mark.parametrize("name", LINES)
def test_nothing_wrong_is_delivered_over(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    rig = running(LINES[name])
    rig.step(3000)
    back_ms = rig.trust()

    with capsys.disabled():
        missing = sum(stream.missing for stream in rig.streams.values())
        print(
            f"\n{name}: deployed and confirmed after {rig.now_ms - 3000} ms, "
            f"{len(rig.delivered)} events, {missing} missing, "
            f"{sum(rig.link.dropped.values())} frames dropped",
            end="",
        )
    assert rig.wrong_deliveries() == 0
    assert exact(rig)
    assert len(rig.delivered) > 20
    assert back_ms < RECOVERY_MAX_MS
    assert rig.board.count(Count.REWRITES) == 0


def test_both_ends_restart_at_any_time_and_every_event_is_there_once() -> None:
    rig = running(Noise(bit_flips=1e-4, drops=1e-4))
    for turn in range(6):
        rig.step(rig.random.randrange(10, 900))
        if turn % 2:
            rig.reset_gateway()
        else:
            rig.reset_leaf(ResetCause.WATCHDOG)
        assert rig.trust() < RECOVERY_MAX_MS
    rig.step(2000)
    rig.trust()
    rig.until(lambda: rig.board.count(Count.KEPT_EVENTS) == 0)

    assert rig.wrong_deliveries() == 0
    assert exact(rig)
    assert len(rig.streams) == 4  # one a start of the leaf
    assert sum(stream.missing for stream in rig.streams.values()) == 0


def test_with_the_cable_out_rules_run_on_and_loss_is_counted_exactly() -> None:
    rig = running()
    rig.step(200)
    rig.unplug()
    rig.until(lambda: rig.link.state is State.HELLO)
    rig.step(6000)
    lost = rig.board.count(Count.LOST_EVENTS)
    rig.plug()
    back_ms = rig.trust()
    rig.until(lambda: rig.board.count(Count.KEPT_EVENTS) == 0)

    (stream,) = rig.streams.values()
    assert lost > 0
    assert exact(rig)
    # The cable may take the cursor for the last batch, which the leaf then counts though it came.
    assert 0 <= rig.board.count(Count.LOST_EVENTS) - stream.missing <= BATCH_MAX
    assert back_ms < 1500
    assert rig.wrong_deliveries() == 0
    assert exact(rig)
    assert not rig.distrusted  # the chain over what is missing held


def test_a_hundred_leaves_in_one_process_each_keep_their_own_count() -> None:
    rigs = [running(seed=seed) for seed in range(100)]
    for rig in rigs:
        rig.step(400)

    assert all(rig.link.state is State.TRUSTED for rig in rigs)
    assert len({rig.link.hello.key for rig in rigs if rig.link.hello}) == 100
    for rig in rigs:
        values = [event.value for _, event in rig.delivered if event.code == 1 and event.kind == 0]
        assert values == list(range(1, len(values) + 1))
        assert len(values) >= 7


def test_a_leaf_of_another_mesh_or_with_another_key_is_not_trusted() -> None:
    rig = Rig()
    rig.provision()
    rig.admitted.clear()
    rig.reset_gateway()
    rig.step(500)

    assert rig.link.state is State.OPEN
    assert rig.distrusted == ["it is not admitted to this mesh"]
    assert not rig.delivered


def test_a_device_that_is_no_leaf_is_heard_and_never_believed() -> None:
    rig = Rig()
    garbage = rig.random.randbytes(4000)
    rig.unplug()
    for at in range(0, 4000, 100):
        rig.act(rig.link.receive(garbage[at : at + 100], rig.now_s))
        rig.step(10)

    assert rig.link.state is State.HELLO
    assert sum(rig.link.dropped.values()) > 0


def test_twelve_of_the_longest_events_fit_a_frame() -> None:
    longest = [2**32 - 1, 2, 3, 255, -(2**31), 7]
    body = cbor.encode([2**32 - 1, 2**32 - 1, bytes(32), [longest] * messages.EVENTS_MAX])

    assert len(body) <= BODY_BYTES_MAX


def test_a_hello_after_a_long_silence_is_answered_though_the_line_is_slow() -> None:
    """A round trip of 600 ms: hellos leave the leaf time to answer before the next one."""
    rig = Rig()
    delayed: list[tuple[int, bytes]] = []
    put = rig.up.put
    rig.up.put = lambda data: delayed.append((rig.now_ms + 600, data))  # type: ignore[method-assign]

    def arrived() -> bool:
        while delayed and delayed[0][0] <= rig.now_ms:
            put(delayed.pop(0)[1])
        return rig.link.state is not State.HELLO

    assert rig.until(arrived, 10_000) < 5000


# -- deploying ---------------------------------------------------------------------------------
def test_what_is_refused_leaves_the_old_program_running() -> None:
    from mesh.rules.program import BoardKind, LeavesOf, OneLeaf
    from sim.leaves.rig import Authority

    rig = running()
    refused = {
        LeafError.BAD_SIGNATURE: rig.package(COUNTER, 9, authority=Authority(b"z" * 32)),
        LeafError.OLD_COUNTER: rig.package(COUNTER, 1),
        LeafError.WRONG_TARGET: rig.package(COUNTER, 9, LeavesOf(BoardKind.RP2040)),
    }
    outcomes = {error: rig.deploy(package) for error, package in refused.items()}
    other_mesh = rig.deploy(rig.package(COUNTER, 9, authority=Authority(mesh=b"x" * 32)))
    other_leaf = rig.deploy(rig.package(COUNTER, 9, OneLeaf(b"12345678")))
    before = len(rig.delivered)
    rig.step(500)

    assert outcomes == {error: DeployFailed(error) for error in refused}
    assert other_mesh == DeployFailed(LeafError.BAD_SIGNATURE)
    assert other_leaf == DeployFailed(LeafError.WRONG_TARGET)
    assert len(rig.delivered) - before >= 9
    status = messages.decode_status(rig.ask(Op.STATUS).results)
    assert (status.counter, status.trial) == (1, 0)


def test_a_program_that_its_signer_did_not_verify_is_refused_with_the_place() -> None:
    from mesh.rules.program import decode_program
    from mesh.rules.signed import CONTEXT, read_package
    from mesh.rules.verifier import Flaw

    rig = running()
    good = read_package(rig.package(COUNTER, 5)).program
    code = decode_program(good).rules[0].code
    bad = good.replace(code, b"\x99" + code[1:])
    package = cbor.encode([bad, rig.authority.sign(CONTEXT + rig.authority.mesh, bad)])

    assert rig.deploy(package) == DeployFailed(LeafError.BAD_PROGRAM, (Flaw.INSTRUCTION, 1, 1))


def test_every_single_bit_flip_of_a_signed_program_is_refused_by_the_leaf() -> None:
    rig = running()
    package = rig.package('@every("1s")\ndef r():\n    emit(1, 2)\n', 5)
    wrong = []
    for bit in range(0, 8 * len(package), 7):
        spoiled = bytearray(package)
        spoiled[bit // 8] ^= 1 << bit % 8
        outcome = rig.deploy(bytes(spoiled))
        if not isinstance(outcome, DeployFailed):
            wrong.append(bit)

    assert not wrong
    assert isinstance(rig.deploy(package), Deployed)


def test_a_program_that_is_not_confirmed_is_gone_after_a_restart_and_its_counter_is_used() -> None:
    rig = running()
    assert isinstance(rig.deploy(rig.package(COUNTER, 2)), Deployed)
    rig.reset_leaf()
    rig.trust()
    rig.step(1500)
    rig.trust()
    status = messages.decode_status(rig.ask(Op.STATUS).results)

    assert status.counter == 1
    assert rig.deploy(rig.package(COUNTER, 2)) == DeployFailed(LeafError.OLD_COUNTER)


def test_a_repeated_commit_is_answered_again_and_not_carried_out_again() -> None:
    rig = running()
    put, copies = rig.down.put, []

    def twice(data: bytes) -> None:
        put(data)
        for frame in FrameReader().feed(data):
            if frame.kind is Kind.REQUEST and cbor.decode(frame.body)[1] == Op.COMMIT:  # type: ignore[index]
                copies.append(frame)
                put(data)

    rig.down.put = twice  # type: ignore[method-assign]

    assert isinstance(rig.deploy(rig.package(COUNTER, 2)), Deployed)
    assert len(copies) == 1
    rig.step(300)
    assert rig.link.counters["unasked-answer"] == 1
    assert not rig.distrusted
