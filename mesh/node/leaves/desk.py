"""Making a leaf ours, and taking a line: what people start by hand, with their errors in words.

Provisioning: the leaf makes its own key, of its randomness and ours; it is given the mesh's id and
this node's key, whose signature its programs must bear from then on; it proves its key; then this
node's admin signs its admission. A leaf that is admitted already is left as it is.
"""

from __future__ import annotations

import attrs

from mesh.errors import (
    LeafDistrusted,
    LeafNotProvisioned,
    LeafTaken,
    NoLeaf,
    WrongBaud,
)
from mesh.identity.fold import Member
from mesh.identity.names import clean_name
from mesh.identity.roles import ADMIT
from mesh.leaf.messages import KEY_BYTES, LeafError, LeafHello, Op
from mesh.node.leaves.gateway import Leaves
from mesh.node.leaves.line import Line
from mesh.node.leaves.parts import LeafSilentError, LineConfig
from mesh.rules.program import BoardKind
from mesh.types import NodeId

MEET_S = 6.0
TRUST_S = 15.0
"""An Ed25519 signature takes the slowest part a second, and a bad line repeats it."""
PROBE_S = 1.2
OTHER_BAUDS = (9_600, 57_600, 230_400, 460_800, 921_600)
_NO_DEVICE = ("tcp:", "unix:")


@attrs.frozen
class Provisioned:
    member: Member
    board: int
    known: bool
    """It was a leaf of this mesh already."""


def board_name(board: int) -> str:
    names = {each.value: each.name.lower() for each in BoardKind}
    return names.get(board, f"board {board}")


async def meet(leaves: Leaves, line: Line) -> LeafHello:
    """Wait until a leaf answers. Raises SerialUnavailable, NoLeaf, WrongBaud."""
    config = line.config
    await line.until(lambda: line.hello is not None or line.unavailable is not None, MEET_S)
    if line.hello is not None:
        return line.hello
    if line.unavailable is not None:
        raise line.unavailable
    port, baud = config.port, config.baud
    if line.speaks_text():
        raise NoLeaf(port=port, why="something else talks there")
    found = await _probe(leaves, line) if not line.whole_frames else None
    if found is not None:
        raise WrongBaud(port=port, baud=baud, other=found)
    if line.whole_frames:
        raise NoLeaf(port=port, why="a leaf is there, but it is too slow")
    if line.heard:
        other = next(each for each in (115_200, *OTHER_BAUDS) if each != baud)
        raise WrongBaud(port=port, baud=baud, other=other)
    raise NoLeaf(port=port, why="nothing is heard")


async def _probe(leaves: Leaves, line: Line) -> int | None:
    """At which other speed a leaf answers; None for lines without one, and when none does."""
    config = line.config
    if config.port.startswith(_NO_DEVICE):
        return None
    for baud in (115_200, *OTHER_BAUDS):
        if baud == config.baud:
            continue
        other = leaves.attach(attrs.evolve(config, baud=baud))
        try:
            if await other.until(lambda line=other: line.hello is not None, PROBE_S):  # type: ignore[misc]
                return baud
        finally:
            leaves.detach(config.port)
    return None


async def attach(leaves: Leaves, config: LineConfig) -> Line:
    """Take a line for good, with a leaf of this mesh at its end. Raises the errors of `meet`,
    LeafNotProvisioned, LeafDistrusted, StoreFull; then the line is as it was before."""
    before = leaves.line(config.port)
    line = leaves.attach(config)
    try:
        await _trust(leaves, line)
        leaves.remember()
    except BaseException:
        if before is not line:
            leaves.detach(config.port)
            if before is not None:
                leaves.attach(before.config)
        raise
    return line


async def _trust(leaves: Leaves, line: Line) -> None:
    port = line.config.port
    hello = await meet(leaves, line)
    if not hello.key:
        raise LeafNotProvisioned(port=port)
    await line.until(lambda: line.trusted or bool(line.trouble), TRUST_S)
    if not line.trusted:
        raise LeafDistrusted(port=port, why=line.trouble or "it does not prove its key")


def detach(leaves: Leaves, port: str) -> bool:
    """Give a line up; whether there was one. Raises StoreFull."""
    found = leaves.detach(port)
    if found:
        leaves.remember()
    return found


def remove(leaves: Leaves, member: Member) -> Member:
    """Shut a leaf out: nobody trusts it any more. It still runs what it runs. Raises NotAllowed."""
    leaves.identity.require(ADMIT)
    leaves.identity.write_leave(member.node_id)
    leaves.admitted()
    return member


async def provision(leaves: Leaves, config: LineConfig, name: str | None) -> Provisioned:
    """Make the leaf at that port one of this mesh. Raises NotAllowed, LeafTaken, the errors of
    `meet`, LeafDistrusted."""
    leaves.identity.require(ADMIT)
    present = leaves.line(config.port)
    line = present or leaves.attach(config)
    try:
        hello = await meet(leaves, line)
        known = leaves.identity.member(NodeId(hello.key)) if hello.key else None
        if known is not None:
            return Provisioned(known, hello.board, known=True)
        if hello.key:
            raise LeafTaken(port=config.port)
        member = await _make_ours(leaves, line, name or board_name(hello.board))
        return Provisioned(member, hello.board, known=False)
    finally:
        if present is None:
            leaves.detach(config.port)


async def _make_ours(leaves: Leaves, line: Line, name: str) -> Member:
    """Let the leaf make its key and prove it, then admit it."""
    identity, port = leaves.identity, line.config.port
    entropy = leaves.env.entropy.token(KEY_BYTES)
    try:
        answer = await line.ask(Op.PROVISION, identity.mesh_id, identity.node_id, entropy)
    except LeafSilentError:
        answer = None  # it may have done it all the same: its next hello shows
    if answer is not None and answer.error:
        why = LeafError(answer.error).name if answer.error in set(LeafError) else "unknown"
        raise LeafDistrusted(port=port, why=f"it answers error {answer.error} ({why})")
    line.reconnect()
    await line.until(lambda: line.hello is None, TRUST_S)
    await line.until(lambda: line.leaf is not None, TRUST_S)
    key = line.leaf
    if key is None:
        raise LeafDistrusted(port=port, why="it did not make a key")
    if answer is not None and answer.results != (key,):
        raise LeafDistrusted(port=port, why="it shows another key than it made")
    leaves.being_provisioned.add(key)
    try:
        await line.until(lambda: line.trusted or bool(line.trouble), TRUST_S)
        if not line.trusted:
            raise LeafDistrusted(port=port, why=line.trouble or "it cannot prove the key it made")
        identity.write_admit_leaf(key, clean_name(name, fallback="leaf"))
    finally:
        leaves.being_provisioned.discard(key)
    leaves.admitted()
    member = identity.member(key)
    assert member is not None, "we have just admitted it"
    return member
