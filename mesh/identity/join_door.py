"""A member's side of one join conversation. Sans-IO.

    hello -> token            -> deliver
          -> share -> confirm -> deliver
          -> reveal -> waiting -> deliver

`receive(payload, now)` and `decide` return effects. After Deliver the driver calls `deliver` with
the records to send; after Close there is nothing more to do. Nothing a stranger sends makes this
raise: what is malformed is refused, and the conversation ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from mesh.errors import CodeRefused, JoinFailed, MeshError, NotAMember, TokenForged, WrongMesh
from mesh.identity.fold import Member
from mesh.identity.join_desk import Applicant, Candidate, JoinDesk, OpenCode, Settled
from mesh.identity.join_joiner import ADMITTED_LABEL, CONFIRM_LABEL, Send, admitted_data
from mesh.identity.join_proofs import Transcript, check_words, commitment
from mesh.identity.join_refusals import refusal
from mesh.identity.messages import (
    BY_APPROVAL,
    BY_CODE,
    BY_TOKEN,
    JOIN_VERSION,
    ApprovalReveal,
    ApprovalWaiting,
    JoinAdmitted,
    JoinHello,
    JoinRecords,
    JoinWelcome,
    PakeConfirm,
    PakeShare,
    PeerAddress,
    TokenRequest,
)
from mesh.identity.names import check_name
from mesh.identity.pake import Pake
from mesh.identity.records import Invite
from mesh.identity.roles import ADMIT
from mesh.limits import JOIN_BATCH_BYTES_MAX, JOIN_PEERS_MAX, JOIN_TIMEOUT_S
from mesh.types import short
from mesh.wire import schema
from mesh.wire.certificate import check_certificate
from mesh.wire.errors import WireError


@attrs.frozen
class Wait:
    """The stranger is a candidate now: call `decide` when people have, or `withdraw` it."""

    candidate: Candidate


@attrs.frozen
class Deliver:
    """The stranger is a member: tell the mesh, then call `deliver`."""

    member: Member


@attrs.frozen
class Close:
    """Close the connection once everything is sent. `reason` is a word for counters."""

    reason: str


Effect = Send | Wait | Deliver | Settled | Close


@attrs.frozen
class DoorConfig:
    """What one conversation needs to know."""

    desk: JoinDesk
    token: Callable[[int], bytes]
    """Randomness: size in bytes -> bytes."""
    address: str
    """Where the stranger calls from, for people to read."""


@attrs.frozen
class Now:
    """The time, passed in: monotonic for codes, wall clock for invitations."""

    monotonic_s: float
    wall_s: float


class DoorSession:
    """One conversation with one stranger."""

    def __init__(self, config: DoorConfig) -> None:
        self._desk = config.desk
        self._config = config
        self._identity = config.desk.identity
        self._transcript = Transcript(self._identity.node_id)
        self._nonce = config.token(32)
        self._expected: type = JoinHello
        self._hello: JoinHello | None = None
        self._open_code: OpenCode | None = None
        self._pake_key: bytes | None = None
        self._candidate: Candidate | None = None

    # -- verbs ----------------------------------------------------------------------------------
    def receive(self, payload: bytes, now: Now) -> tuple[Effect, ...]:
        """Take one message of the stranger."""
        try:
            return self._step(self._decode(payload), payload, now)
        except WireError as error:
            why = f"the member did not understand us ({error.reason})"
            return self._refuse(JoinFailed(address="", why=why), error.reason)
        except MeshError as error:
            return self._refuse(error, error.code)

    def decide(self, outcome: Member | MeshError) -> tuple[Effect, ...]:
        """People have decided on the candidate, or took too long."""
        assert self._candidate is not None
        self._desk.withdraw(self._candidate)
        if isinstance(outcome, MeshError):
            return self._refuse(outcome, outcome.code)
        return (Deliver(outcome),)

    def deliver(
        self, records: tuple[bytes, ...], peers: tuple[PeerAddress, ...]
    ) -> Iterator[Send | Close]:
        """Send the roster and where members listen, and end."""
        for batch in _batches(records):
            yield self._send(JoinRecords(batch))
        admitted = JoinAdmitted(peers[:JOIN_PEERS_MAX])
        if self._pake_key is not None:
            data = admitted_data(admitted)
            mac = self._transcript.mac(self._pake_key, ADMITTED_LABEL, data)
            admitted = JoinAdmitted(admitted.peers, mac)
        yield self._send(admitted)
        yield Close("admitted")

    # -- steps ----------------------------------------------------------------------------------
    def _decode(self, payload: bytes) -> object:
        message: object = schema.decode_message(payload)
        if type(message) is not self._expected:
            raise WireError("unexpected", type(message).__name__)
        return message

    def _step(self, message: object, payload: bytes, now: Now) -> tuple[Effect, ...]:
        """A signature or MAC covers the conversation *before* the message it is in, so each step
        checks first and feeds the transcript after."""
        match message:
            case JoinHello():
                self._transcript.feed(payload)
                return self._greet(message, now)
            case TokenRequest():
                return self._ask_by_token(message, payload, now)
            case PakeShare():
                self._transcript.feed(payload)
                return self._exchange(message)
            case PakeConfirm():
                return self._confirm(message, payload, now)
            case ApprovalReveal():
                return self._reveal(message, payload, now)
        raise AssertionError(f"{type(message)} is expected somewhere but handled nowhere")

    def _greet(self, hello: JoinHello, now: Now) -> tuple[Effect, ...]:
        identity = self._identity
        me = identity.me()
        if me is None:
            raise NotAMember
        if hello.version != JOIN_VERSION:
            raise JoinFailed(address="", why=f"the member speaks version {JOIN_VERSION}")
        check_name(hello.name)
        check_certificate(hello.certificate, hello.node)
        self._prepare(hello, now)
        self._hello = hello
        welcome = JoinWelcome(identity.mesh_id, identity.mesh_name, me.name, self._nonce)
        return (self._send(welcome),)

    def _prepare(self, hello: JoinHello, now: Now) -> None:
        """Set what is to come next, by the way the stranger wants in."""
        if hello.how == BY_TOKEN:
            self._expected = TokenRequest
            if hello.mesh_id != self._identity.mesh_id:
                wanted = short(hello.mesh_id or b"")
                found = short(self._identity.mesh_id)
                raise WrongMesh(address="", found=found, wanted=wanted)
        elif hello.how == BY_CODE:
            self._expected = PakeShare
            self._identity.require(ADMIT)
            self._open_code = self._desk.code_at(hello.slot, now.monotonic_s)
        else:
            assert hello.how == BY_APPROVAL
            self._expected = ApprovalReveal
            self._identity.require(ADMIT)

    def _ask_by_token(self, request: TokenRequest, payload: bytes, now: Now) -> tuple[Effect, ...]:
        applicant = self._applicant(request.consent)
        invite = self._desk.open_invite(request.invite)
        assert isinstance(invite.fact, Invite)
        if not self._transcript.is_signed(invite.fact.key, request.fresh):
            raise TokenForged
        self._transcript.feed(payload)
        self._expected = type(None)
        return (Deliver(self._desk.admit_invited(applicant, invite, request.proof, now.wall_s)),)

    def _exchange(self, message: PakeShare) -> tuple[Effect, ...]:
        assert self._open_code is not None
        assert self._hello is not None
        pake = Pake(
            is_joiner=False,
            password=self._open_code.code.password(),
            joiner=self._hello.node,
            server=self._identity.node_id,
            token=self._config.token,
        )
        self._pake_key = pake.finish(message.share)
        self._expected = PakeConfirm
        return (self._send(PakeShare(pake.share)),)

    def _confirm(self, message: PakeConfirm, payload: bytes, now: Now) -> tuple[Effect, ...]:
        assert self._open_code is not None
        assert self._pake_key is not None
        # A code that another conversation has burnt or used is not even compared.
        if self._desk.code_at(self._open_code.code.slot, now.monotonic_s) is not self._open_code:
            raise CodeRefused
        if not self._transcript.is_mac(message.mac, self._pake_key, CONFIRM_LABEL):
            settled = self._desk.burn_code(self._open_code)
            assert settled is not None
            return (settled, *self._refuse(CodeRefused(), CodeRefused.code))
        applicant = self._applicant(message.consent)
        self._transcript.feed(payload)
        self._expected = type(None)
        used = self._desk.use_code(self._open_code, applicant, now.monotonic_s)
        assert isinstance(used.outcome, Member)
        return (used, Deliver(used.outcome))

    def _reveal(self, message: ApprovalReveal, payload: bytes, now: Now) -> tuple[Effect, ...]:
        assert self._hello is not None
        applicant = self._applicant(message.consent)
        if commitment(applicant.node, message.nonce) != self._hello.commitment:
            raise WireError("commitment")
        self._transcript.feed(payload)
        self._expected = type(None)
        mesh_id, door = self._identity.mesh_id, self._identity.node_id
        words = check_words(mesh_id, applicant.node, door, message.nonce, self._nonce)
        address, since = self._config.address, now.wall_s
        self._candidate = self._desk.wait(applicant, words, address, since)
        return (self._send(ApprovalWaiting(int(JOIN_TIMEOUT_S))), Wait(self._candidate))

    # -- helpers --------------------------------------------------------------------------------
    def _applicant(self, consent: bytes) -> Applicant:
        """The stranger, once it has signed this conversation with its node key."""
        hello = self._hello
        assert hello is not None
        if not self._transcript.is_signed(hello.node, consent):
            raise WireError("consent")
        return Applicant(hello.node, hello.name, hello.certificate)

    def _send(self, message: object) -> Send:
        payload = schema.encode_message(message)
        self._transcript.feed(payload)
        return Send(payload)

    def _refuse(self, error: MeshError, reason: str) -> tuple[Effect, ...]:
        self._expected = type(None)
        return (Send(schema.encode_message(refusal(error))), Close(reason))


def _batches(records: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    """Cut into messages that are not too large."""
    batch: list[bytes] = []
    size_bytes = 0
    for record in records:
        if batch and size_bytes + len(record) > JOIN_BATCH_BYTES_MAX:
            yield tuple(batch)
            batch, size_bytes = [], 0
        batch.append(record)
        size_bytes += len(record)
    if batch:
        yield tuple(batch)
