"""The join door: a member lets strangers in. The driver around `mesh.identity.join_door`.

One task per stranger. Whoever is only talking counts against JOIN_CONNECTIONS_MAX and must answer
within JOIN_MESSAGE_TIMEOUT_S; whoever waits for approval counts against JOIN_PENDING_MAX and may
wait JOIN_TIMEOUT_S. Invitations, codes and approvals are decided by one `JoinDesk`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import attrs
import trio

from mesh.errors import ApprovalDenied, ApprovalTimedOut, CodeUnknown, MeshError
from mesh.identity.codes import parse_code
from mesh.identity.fold import Member
from mesh.identity.join_desk import Candidate, JoinDesk, Settled
from mesh.identity.join_door import Close, Deliver, DoorConfig, DoorSession, Effect, Now, Wait
from mesh.identity.join_joiner import Send
from mesh.identity.messages import PeerAddress
from mesh.identity.roles import Role
from mesh.identity.trust import MeshIdentity
from mesh.limits import (
    CODES_OPEN_MAX,
    JOIN_CONNECTIONS_MAX,
    JOIN_FRAME_BYTES_MAX,
    JOIN_MESSAGE_TIMEOUT_S,
    JOIN_TIMEOUT_S,
    TOKEN_ADDRESSES_MAX,
)
from mesh.node.join_frames import Frames
from mesh.ports import Accepted, Env, Listener


@attrs.frozen
class DoorAddresses:
    """Where this node and those it knows are: what a joiner is told."""

    hosts: tuple[str, ...]
    """Our own addresses, literals, best first."""
    peer_port: int
    swim_port: int
    join_port: int
    others: tuple[PeerAddress, ...] = ()
    """Other members that are alive."""


@attrs.frozen
class OpenCode:
    """A code to be read to somebody. `expires_wall_s` is for display."""

    code: str
    expires_wall_s: float


@attrs.define
class _Outcome:
    """Something that ends once: a code, or a candidate's wait. None: the candidate went away."""

    ended: trio.Event = attrs.field(factory=trio.Event)
    value: Member | MeshError | None = None
    expires_s: float = 0.0

    def end(self, value: Member | MeshError | None) -> None:
        if not self.ended.is_set():
            self.value = value
            self.ended.set()


class JoinDoor:
    """See the module's head. `on_change` is called after each admission, before the newcomer is
    told; `addresses` whenever somebody needs them. `counters` counts conversations by their end."""

    def __init__(
        self,
        env: Env,
        identity: MeshIdentity,
        addresses: Callable[[], DoorAddresses],
        on_change: Callable[[], None],
    ) -> None:
        self._env = env
        self._identity = identity
        self._addresses = addresses
        self._on_change = on_change
        self._desk = JoinDesk(identity, env.entropy.token)
        self._codes: dict[str, _Outcome] = {}
        self._waits: dict[Candidate, _Outcome] = {}
        self._talking = 0
        self.counters: Counter[str] = Counter()

    async def serve(self, listener: Listener) -> None:
        """Let strangers in until cancelled."""
        await listener.serve(self._meet)

    # -- for people -----------------------------------------------------------------------------
    def invite(self, uses: int, ttl_s: float, role: Role) -> str:
        """The text of a new invitation. Raises NotAllowed unless we are an admin."""
        here = self._addresses()
        doors = tuple((host, here.join_port) for host in here.hosts[:TOKEN_ADDRESSES_MAX])
        expires_wall_s = int(self._env.clock.wall() + ttl_s)
        token = self._desk.invite(uses, role, expires_wall_s, doors)
        self._on_change()
        return token

    def open_code(self, role: Role, ttl_s: float, language: str = "en") -> OpenCode:
        """A code that one node may use. Raises NotAllowed unless we are an admin, TooManyCodes."""
        clock = self._env.clock
        self._expire_codes()
        opened = self._desk.open_code(role, ttl_s, language, clock.monotonic())
        self._forget_old_codes()
        text = str(opened.code)
        self._codes[text] = _Outcome(expires_s=opened.expires_s)
        return OpenCode(text, clock.wall() + ttl_s)

    async def wait_code(self, code: str) -> Member:
        """Who joined with `code`. Raises CodeRefused when it was burnt, CodeExpired, CodeUnknown,
        BadToken."""
        parsed = parse_code(code)
        outcome = self._codes.get(str(parsed))
        if outcome is None:
            raise CodeUnknown(slot=parsed.slot)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._expire_code_at, outcome.expires_s)
            await outcome.ended.wait()
            nursery.cancel_scope.cancel()
        return _member_or_raise(outcome)

    def candidates(self) -> tuple[Candidate, ...]:
        """Who waits for approval, longest first."""
        return self._desk.candidates()

    async def approve(self, name: str, role: Role) -> Member:
        """Admit a candidate: by name, check words or beginning of its node id. Raises
        NoSuchCandidate, NotAllowed."""
        candidate = self._desk.find(name)
        member = self._desk.approve(candidate, role)
        self._wait_of(candidate).end(member)
        await trio.lowlevel.checkpoint()
        return member

    def deny(self, name: str) -> None:
        """Send a candidate away. Raises NoSuchCandidate."""
        candidate = self._desk.find(name)
        self._desk.withdraw(candidate)
        self._wait_of(candidate).end(ApprovalDenied())

    # -- codes ----------------------------------------------------------------------------------
    async def _expire_code_at(self, expires_s: float) -> None:
        await self._env.clock.sleep_until(expires_s)
        self._expire_codes()

    def _expire_codes(self) -> None:
        for settled in self._desk.expire_codes(self._env.clock.monotonic()):
            self._settle(settled)

    def _settle(self, settled: Settled) -> None:
        outcome = self._codes.get(str(settled.code))
        if outcome is not None:
            outcome.end(settled.outcome)

    def _forget_old_codes(self) -> None:
        over = [code for code, outcome in self._codes.items() if outcome.ended.is_set()]
        for code in over[: -CODES_OPEN_MAX or None]:
            del self._codes[code]

    # -- one stranger ---------------------------------------------------------------------------
    async def _meet(self, accepted: Accepted) -> None:
        if self._talking >= JOIN_CONNECTIONS_MAX:
            self.counters["too-many"] += 1
            return
        self._talking += 1
        try:
            conversation = _Conversation(self, accepted)
            try:
                self.counters[await conversation.run()] += 1
            finally:
                if conversation.candidate is not None:
                    self._abandon(conversation.candidate)
        finally:
            self._talking -= 1

    def now(self) -> Now:
        return Now(self._env.clock.monotonic(), self._env.clock.wall())

    def _session(self, accepted: Accepted) -> DoorSession:
        return DoorSession(DoorConfig(self._desk, self._env.entropy.token, accepted.address[0]))

    def _peers(self) -> tuple[PeerAddress, ...]:
        here, node = self._addresses(), self._identity.node_id
        own = tuple(
            PeerAddress(node, host, here.peer_port, here.swim_port, here.join_port)
            for host in here.hosts or ("",)
        )
        return own + here.others

    async def _decision(self, candidate: Candidate, frames: Frames) -> Member | MeshError | None:
        """What people decide; None when the candidate went away."""
        outcome = self._wait_of(candidate)
        self._talking -= 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_when_late, outcome)
                nursery.start_soon(_end_when_gone, outcome, frames)
                await outcome.ended.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._talking += 1
            self._abandon(candidate)
        return outcome.value

    def _wait_of(self, candidate: Candidate) -> _Outcome:
        """People may decide while the stranger is still being told that it waits."""
        return self._waits.setdefault(candidate, _Outcome())

    def _abandon(self, candidate: Candidate) -> None:
        self._desk.withdraw(candidate)
        self._waits.pop(candidate, None)

    async def _end_when_late(self, outcome: _Outcome) -> None:
        clock = self._env.clock
        await clock.sleep_until(clock.monotonic() + JOIN_TIMEOUT_S)
        outcome.end(ApprovalTimedOut(seconds=round(JOIN_TIMEOUT_S)))


class _Conversation:
    """Carries one session's effects out."""

    def __init__(self, door: JoinDoor, accepted: Accepted) -> None:
        self._door = door
        self._session = door._session(accepted)
        self.candidate: Candidate | None = None
        self._frames = Frames(accepted.stream, JOIN_FRAME_BYTES_MAX)

    async def run(self) -> str:
        """Talk until it is over; return how it ended, a word for counters."""
        while True:
            with trio.move_on_after(JOIN_MESSAGE_TIMEOUT_S) as silence:
                payload = await self._frames.next()
            if silence.cancelled_caught:
                return "silent"
            if payload is None:
                return "gone"
            effects = self._session.receive(payload, self._door.now())
            self.candidate = next((e.candidate for e in effects if isinstance(e, Wait)), None)
            ended = await self._perform(effects)
            if ended:
                return ended

    async def _perform(self, effects: Iterable[Effect]) -> str | None:
        for effect in effects:
            match effect:
                case Send(payload):
                    await self._frames.send(payload)
                case Settled():
                    self._door._settle(effect)
                case Wait(candidate):
                    decided = await self._door._decision(candidate, self._frames)
                    if decided is None:
                        return "gone"
                    return await self._perform(self._session.decide(decided))
                case Deliver():
                    return await self._deliver()
                case Close(reason):
                    return reason
        return None

    async def _deliver(self) -> str | None:
        self._door._on_change()
        records, peers = self._door._identity.roster.records(), self._door._peers()
        return await self._perform(self._session.deliver(records, peers))


async def _end_when_gone(outcome: _Outcome, frames: Frames) -> None:
    """A candidate has nothing to say: whatever comes, it no longer waits."""
    await frames.next()
    outcome.end(None)


def _member_or_raise(outcome: _Outcome) -> Member:
    value = outcome.value
    assert value is not None
    if isinstance(value, MeshError):
        raise value
    return value
