"""Joining a mesh: the driver around `mesh.identity.join_joiner`. The other side is `join_door`.

Each function tries the doors it knows, in order, until one lets us in, then makes this node a
member: it writes the identity to disk and returns it with the addresses of its peers.

What one door says does not decide when another may know better (a member that has not yet heard of
a new admin calls its invitation forged); what is final (a wrong code, an expired or used-up
invitation, a denial) is raised at once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import attrs
import trio

from mesh.errors import (
    ApprovalTimedOut,
    CodeUnknown,
    JoinFailed,
    MeshError,
    NobodyAnswered,
    NotAllowed,
    NotAMember,
    TokenForged,
    WrongMesh,
)
from mesh.identity import trust
from mesh.identity.codes import parse_code
from mesh.identity.join_joiner import (
    Admitted,
    ApprovalJoiner,
    CodeJoiner,
    Effect,
    Failed,
    JoinerConfig,
    JoinerSession,
    Send,
    Tell,
    TokenJoiner,
)
from mesh.identity.keys import NodeKey
from mesh.identity.messages import PeerAddress
from mesh.identity.names import clean_name
from mesh.identity.tokens import parse_token
from mesh.identity.trust import MeshIdentity
from mesh.limits import FRAME_BYTES_MAX, JOIN_DOORS_MAX, JOIN_MESSAGE_TIMEOUT_S, JOIN_TIMEOUT_S
from mesh.node.join_door import DoorAddresses, JoinDoor, OpenCode
from mesh.node.join_frames import Frames
from mesh.ports import Env, StreamBroken
from mesh.types import Address, NodeId

__all__ = [
    "DoorAddresses",
    "JoinDoor",
    "Joined",
    "OpenCode",
    "PeerAddress",
    "join_by_approval",
    "join_with_code",
    "join_with_token",
]

_ANOTHER_DOOR_MAY_KNOW_BETTER = (
    CodeUnknown,
    JoinFailed,
    NotAllowed,
    NotAMember,
    TokenForged,
    WrongMesh,
)

Confirm = Callable[[tuple[str, ...], str], Awaitable[bool]]
"""Asks a person here whether the check words are the same there: (words, mesh name) -> yes."""


class Report(Protocol):
    """Told of progress: found (mesh, node, address), check_words (words, mesh), waiting
    (timeout_s), joined (mesh)."""

    def __call__(self, event_name: str, **details: object) -> None: ...


@attrs.frozen
class Joined:
    """We are a member; everything is saved. `peers` begins with the one that let us in."""

    identity: MeshIdentity
    peers: tuple[PeerAddress, ...]


@attrs.frozen
class _Joining:
    """What all conversations of one attempt share."""

    env: Env
    key: NodeKey
    name: str
    certificate: bytes
    report: Report
    make_session: Callable[[JoinerConfig], JoinerSession]
    confirm: Confirm | None = None


async def join_with_token(
    env: Env, key: NodeKey, node_name: str, token: str, report: Report
) -> Joined:
    """Join by an invitation. Raises BadToken, TokenExpired, TokenUsedUp, TokenSpent, TokenForged,
    WrongMesh, NotAMember, NobodyAnswered, JoinFailed, AlreadyInMesh."""
    parsed = parse_token(token)
    joining = _start(env, key, node_name, report, lambda config: TokenJoiner(config, parsed))
    return await _try_doors(joining, parsed.addresses)


async def join_with_code(
    env: Env, key: NodeKey, node_name: str, code: str, doors: Sequence[Address], report: Report
) -> Joined:
    """Join by a short code at whichever door has it. Raises BadToken (no code at all),
    CodeRefused (wrong, and burnt), CodeUnknown, NobodyAnswered, JoinFailed, AlreadyInMesh."""
    parsed = parse_code(code)
    joining = _start(env, key, node_name, report, lambda config: CodeJoiner(config, parsed))
    return await _try_doors(joining, doors)


async def join_by_approval(
    env: Env,
    key: NodeKey,
    node_name: str,
    doors: Sequence[Address],
    report: Report,
    *,
    confirm: Confirm | None = None,
) -> Joined:
    """Join by somebody's approval at the first door that can give it. Raises ApprovalDenied,
    ApprovalTimedOut, NobodyAnswered, JoinFailed, AlreadyInMesh.

    The check words protect the mesh when they are compared there, and this node when they are
    compared here: without `confirm`, a false mesh that answers first can take us in.
    """
    joining = _start(env, key, node_name, report, ApprovalJoiner, confirm)
    return await _try_doors(joining, doors)


def _start(
    env: Env,
    key: NodeKey,
    node_name: str,
    report: Report,
    make_session: Callable[[JoinerConfig], JoinerSession],
    confirm: Confirm | None = None,
) -> _Joining:
    trust.refuse_second_mesh(env)
    name = clean_name(node_name)
    certificate = trust.own_certificate(env.disk, key, name)
    return _Joining(env, key, name, certificate, report, make_session, confirm)


async def _try_doors(joining: _Joining, doors: Sequence[Address]) -> Joined:
    unreachable: list[str] = []
    refused: MeshError | None = None
    for address in doors[:JOIN_DOORS_MAX]:
        try:
            stream, door = await joining.env.streams.dial_join(address)
        except StreamBroken:
            unreachable.append(_text(address))
            continue
        try:
            admitted = await _Conversation(joining, Frames(stream, FRAME_BYTES_MAX)).run(
                address, door
            )
            return _adopt(joining, admitted, address, door)
        except _ANOTHER_DOOR_MAY_KNOW_BETTER as error:
            refused = error
        finally:
            await stream.aclose()
    raise refused or NobodyAnswered(tried=", ".join(unreachable) or "no address is known")


def _adopt(joining: _Joining, admitted: Admitted, address: Address, door: NodeId) -> Joined:
    env, key, name = joining.env, joining.key, joining.name
    identity = trust.adopt(env, key, name, admitted.records)
    joining.report("joined", mesh=admitted.mesh_name)
    return Joined(identity, _peers(admitted.peers, address, door))


class _Conversation:
    """Carries one session's effects out."""

    def __init__(self, joining: _Joining, frames: Frames) -> None:
        self._joining = joining
        self._frames = frames
        self._patience_s = JOIN_MESSAGE_TIMEOUT_S
        self._words: tuple[str, ...] = ()
        self._address = ""

    async def run(self, address: Address, door: NodeId) -> Admitted:
        """Talk until we are admitted. Raises the error that kept us out."""
        joining, self._address = self._joining, _text(address)
        config = JoinerConfig(
            key=joining.key,
            name=joining.name,
            certificate=joining.certificate,
            door=door,
            address=self._address,
            token=joining.env.entropy.token,
        )
        session = joining.make_session(config)
        effects = session.start()
        while (admitted := await self._perform(effects)) is None:
            effects = session.receive(await self._next())
        await self._ask_person(admitted)
        return admitted

    async def _next(self) -> bytes:
        with trio.move_on_after(self._patience_s) as silence:
            payload = await self._frames.next()
        if silence.cancelled_caught:
            if self._patience_s > JOIN_MESSAGE_TIMEOUT_S:
                raise ApprovalTimedOut(seconds=round(self._patience_s))
            raise JoinFailed(address=self._address, why="the member there fell silent")
        if payload is None:
            raise JoinFailed(address=self._address, why="the member there hung up")
        return payload

    async def _perform(self, effects: tuple[Effect, ...]) -> Admitted | None:
        for effect in effects:
            match effect:
                case Send(payload):
                    await self._send(payload)
                case Tell(event, details):
                    self._tell(event, dict(details))
                case Admitted():
                    return effect
                case Failed(error):
                    raise error
        return None

    async def _send(self, payload: bytes) -> None:
        try:
            await self._frames.send(payload)
        except StreamBroken:
            raise JoinFailed(address=self._address, why="the member there hung up") from None

    def _tell(self, event: str, details: dict[str, object]) -> None:
        if event == "found":
            details["address"] = self._address
        if event == "check_words":
            words = details["words"]
            assert isinstance(words, tuple)
            self._words = words
        if event == "waiting":
            self._patience_s = JOIN_TIMEOUT_S + JOIN_MESSAGE_TIMEOUT_S
        self._joining.report(event, **details)

    async def _ask_person(self, admitted: Admitted) -> None:
        confirm = self._joining.confirm
        if confirm is None or not self._words:
            return
        if not await confirm(self._words, admitted.mesh_name):
            raise JoinFailed(address=self._address, why="the check words were not the same")


def _peers(
    told: tuple[PeerAddress, ...], address: Address, door: NodeId
) -> tuple[PeerAddress, ...]:
    """Whoever let us in comes first, where we reached it; then what it told us, literals only."""
    here = [
        PeerAddress(door, address[0], peer.peer_port, peer.swim_port, peer.join_port)
        for peer in told
        if peer.node_id == door
    ][:1]
    others = [peer for peer in told if _is_literal(peer.host)]
    return tuple(dict.fromkeys((*here, *others)))


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
