"""The joiner's side of the join conversation, for all three ways in. Sans-IO.

    hello -> welcomed -> (code: keyed) -> asked -> done

`start()` and `receive(payload)` return effects; after Admitted or Failed nothing more is to do.
Whatever the way in, the end is the same: the records must begin with the genesis whose hash is the
mesh we want, and say that both the door's node (whose key TLS has proved) and we are members. What
differs is how we know which mesh we want: the token says so, the code's key exchange proves it,
or people compare check words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import attrs

from mesh.errors import CodeRefused, JoinFailed, MeshError, NotAMember, WrongMesh
from mesh.identity.codes import Code
from mesh.identity.join_proofs import Transcript, check_words, commitment
from mesh.identity.join_refusals import refusal_error
from mesh.identity.keys import NodeKey
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
    Refused,
    TokenRequest,
)
from mesh.identity.names import check_name
from mesh.identity.pake import Pake
from mesh.identity.records import invite_proof
from mesh.identity.roster import Roster
from mesh.identity.tokens import Token
from mesh.limits import ROSTER_RECORDS_MAX
from mesh.types import MeshId, NodeId, short
from mesh.wire import schema
from mesh.wire.errors import WireError

CONFIRM_LABEL, ADMITTED_LABEL = b"joiner confirms", b"door admits"


@attrs.frozen
class Send:
    """Send this message, framed."""

    payload: bytes = attrs.field(repr=False)


@attrs.frozen
class Tell:
    """Progress for people: "found" (mesh, node), "check_words" (words), "waiting" (timeout_s)."""

    event: str
    details: Mapping[str, object]


@attrs.frozen
class Admitted:
    """We are a member. `records` begins with the genesis; `peers` is where members listen."""

    mesh_name: str
    records: tuple[bytes, ...] = attrs.field(repr=False)
    peers: tuple[PeerAddress, ...]


@attrs.frozen
class Failed:
    error: MeshError


Effect = Send | Tell | Admitted | Failed


@attrs.frozen
class JoinerConfig:
    """Who joins, and at whose door."""

    key: NodeKey
    name: str
    certificate: bytes
    door: NodeId
    """Whose key TLS has proved."""
    address: str
    """Where we dialled, for messages to people."""
    token: Callable[[int], bytes]
    """Randomness: size in bytes -> bytes."""


class JoinerSession(ABC):
    """What the three ways have in common. Subclasses say how to greet and what to answer."""

    def __init__(self, config: JoinerConfig) -> None:
        self._config = config
        self._transcript = Transcript(config.door)
        self._welcome: JoinWelcome | None = None
        self._records: list[bytes] = []
        self._asked = False
        self._over = False

    # -- verbs ----------------------------------------------------------------------------------
    def start(self) -> tuple[Effect, ...]:
        return (self._send(self._hello()),)

    def receive(self, payload: bytes) -> tuple[Effect, ...]:
        """Take one message of the door."""
        assert not self._over, "the conversation is over"
        try:
            effects = self._step(payload)
        except MeshError as error:
            effects = (Failed(error),)
        except WireError as error:
            why = f"the member there broke the protocol ({error.reason})"
            effects = (Failed(JoinFailed(address=self._config.address, why=why)),)
        self._over = any(isinstance(effect, Admitted | Failed) for effect in effects)
        return effects

    # -- to be filled in ------------------------------------------------------------------------
    @abstractmethod
    def _hello(self) -> JoinHello: ...

    @abstractmethod
    def _answer_welcome(self, welcome: JoinWelcome) -> tuple[Effect, ...]: ...

    def _receive_more(self, message: object) -> tuple[Effect, ...]:
        """A message that only this way in knows."""
        raise WireError("unexpected", type(message).__name__)

    def _check_admitted(self, admitted: JoinAdmitted) -> None:  # noqa: B027 - most check nothing
        """Raise a MeshError unless the door has proved what it must prove."""

    # -- steps ----------------------------------------------------------------------------------
    def _step(self, payload: bytes) -> tuple[Effect, ...]:
        message = schema.decode_message(payload)
        if isinstance(message, Refused):
            raise refusal_error(message, self._config.address)
        if isinstance(message, JoinAdmitted) and self._asked:
            self._check_admitted(message)  # its MAC is over the conversation before it
            return (self._finish(message),)
        self._transcript.feed(payload)
        if isinstance(message, JoinWelcome) and self._welcome is None:
            return self._welcomed(message)
        if isinstance(message, JoinRecords) and self._asked:
            return self._collect(message)
        return self._receive_more(message)

    def _welcomed(self, welcome: JoinWelcome) -> tuple[Effect, ...]:
        check_name(welcome.mesh_name)
        check_name(welcome.node_name)
        self._welcome = welcome
        found = Tell("found", {"mesh": welcome.mesh_name, "node": welcome.node_name})
        return (found, *self._answer_welcome(welcome))

    def _collect(self, message: JoinRecords) -> tuple[Effect, ...]:
        if len(self._records) + len(message.records) > ROSTER_RECORDS_MAX:
            raise WireError("oversized", "more records than a roster has")
        self._records.extend(message.records)
        return ()

    def _finish(self, admitted: JoinAdmitted) -> Admitted:
        """Check that the records say what must be true, whoever sent them."""
        config, wanted = self._config, self._mesh_id()
        if not self._records:
            raise WireError("genesis", "no records came")
        roster = Roster(self._records[0])
        if roster.mesh_id != wanted:
            raise self._wrong_mesh(roster.mesh_id)
        roster.merge(self._records[1:])
        me = roster.member(config.key.node_id)
        if roster.member(config.door) is None:
            why = "the node there is not a member of the mesh"
            raise JoinFailed(address=config.address, why=why)
        if me is None:
            raise NotAMember
        if me.certificate != config.certificate:
            raise WireError("certificate", "we were admitted with another one")
        return Admitted(roster.genesis.mesh_name, roster.records(), admitted.peers)

    def _mesh_id(self) -> MeshId:
        assert self._welcome is not None
        return self._welcome.mesh_id

    def _wrong_mesh(self, found: MeshId) -> WrongMesh:
        wanted = short(self._mesh_id())
        return WrongMesh(address=self._config.address, found=short(found), wanted=wanted)

    def _send(self, message: object) -> Send:
        payload = schema.encode_message(message)
        self._transcript.feed(payload)
        return Send(payload)

    def _greeting(
        self, how: int, mesh_id: MeshId | None = None, slot: int = 0, committed: bytes = b""
    ) -> JoinHello:
        config, node = self._config, self._config.key.node_id
        name, certificate = config.name, config.certificate
        return JoinHello(JOIN_VERSION, how, node, name, certificate, mesh_id, slot, committed)


class TokenJoiner(JoinerSession):
    """With an invitation: any member's door will do."""

    def __init__(self, config: JoinerConfig, token: Token) -> None:
        super().__init__(config)
        self._token = token

    def _mesh_id(self) -> MeshId:
        return self._token.mesh_id

    def _hello(self) -> JoinHello:
        return self._greeting(BY_TOKEN, mesh_id=self._token.mesh_id)

    def _answer_welcome(self, welcome: JoinWelcome) -> tuple[Effect, ...]:
        if welcome.mesh_id != self._token.mesh_id:
            raise self._wrong_mesh(welcome.mesh_id)
        token, invite_key, key = self._token, self._token.key(), self._config.key
        proof = invite_proof(invite_key, token.mesh_id, key.node_id, token.invite.digest)
        fresh, consent = self._transcript.sign(invite_key), self._transcript.sign(key)
        self._asked = True
        return (self._send(TokenRequest(token.invite.data, proof, fresh, consent)),)


class CodeJoiner(JoinerSession):
    """With a code, at the door of the admin who made it."""

    def __init__(self, config: JoinerConfig, code: Code) -> None:
        super().__init__(config)
        self._code = code
        self._pake = Pake(
            is_joiner=True,
            password=code.password(),
            joiner=config.key.node_id,
            server=config.door,
            token=config.token,
        )
        self._pake_key: bytes | None = None

    def _hello(self) -> JoinHello:
        return self._greeting(BY_CODE, slot=self._code.slot)

    def _answer_welcome(self, welcome: JoinWelcome) -> tuple[Effect, ...]:  # noqa: ARG002 - the exchange proves who the door is, not what it says
        return (self._send(PakeShare(self._pake.share)),)

    def _receive_more(self, message: object) -> tuple[Effect, ...]:
        if not isinstance(message, PakeShare) or self._welcome is None or self._asked:
            return super()._receive_more(message)
        self._pake_key = self._pake.finish(message.share)
        mac = self._transcript.mac(self._pake_key, CONFIRM_LABEL)
        consent = self._transcript.sign(self._config.key)
        self._asked = True
        return (self._send(PakeConfirm(mac, consent)),)

    def _check_admitted(self, admitted: JoinAdmitted) -> None:
        assert self._pake_key is not None
        peers = admitted_data(admitted)
        if not self._transcript.is_mac(admitted.mac, self._pake_key, ADMITTED_LABEL, peers):
            raise CodeRefused


class ApprovalJoiner(JoinerSession):
    """With nothing: somebody at the mesh compares the check words and says yes."""

    def __init__(self, config: JoinerConfig) -> None:
        super().__init__(config)
        self._nonce = config.token(32)

    def _hello(self) -> JoinHello:
        committed = commitment(self._config.key.node_id, self._nonce)
        return self._greeting(BY_APPROVAL, committed=committed)

    def _answer_welcome(self, welcome: JoinWelcome) -> tuple[Effect, ...]:
        config = self._config
        consent = self._transcript.sign(config.key)
        words = check_words(
            welcome.mesh_id, config.key.node_id, config.door, self._nonce, welcome.nonce
        )
        self._asked = True
        shown = Tell("check_words", {"words": words, "mesh": welcome.mesh_name})
        return (shown, self._send(ApprovalReveal(self._nonce, consent)))

    def _receive_more(self, message: object) -> tuple[Effect, ...]:
        if not isinstance(message, ApprovalWaiting) or not self._asked:
            return super()._receive_more(message)
        return (Tell("waiting", {"timeout_s": message.timeout_s}),)


def admitted_data(admitted: JoinAdmitted) -> bytes:
    """What of JoinAdmitted its own MAC covers."""
    return schema.encode_message(JoinAdmitted(admitted.peers))
