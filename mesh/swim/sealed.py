"""Sealing of datagrams: who sent it, that nobody else can read or change it, and that it is fresh.

    version 1 | sender's prefix 8 | sender's epoch 8 | counter 6 | box(receiver's epoch 5 | payload)

The box is NaCl's (X25519, XSalsa20, Poly1305) between the two nodes' keys, converted from their
Ed25519 identities; the shared key is computed once per pair. The nonce is epoch, counter and
sender's prefix: unique, because an epoch names one start, the counter grows, and the prefix
separates the two directions.

The counter's upper two bytes and the receiver's epoch's upper three are always what both sides know
them to be (zero, and those of the epoch), so they do not travel: 34 years of milliseconds do not
repeat.

Rules: `open` never raises, every refusal is counted by reason. Replay: per peer a sliding window
over the counters of its present epoch. A restarted receiver has lost its windows, therefore a
datagram is *fresh* only if it names the receiver's present epoch; recorded ones cannot. What is
not fresh changes nothing here or above; it is only worth a notice, a sealed empty payload whose
header tells the other side our epoch. What comes from an epoch before the sender's last is either
late, or recorded, or from a sender that forgot its epochs and whose clock is behind: nothing in it
is believed, but the notice to it carries what reminds it (`endpoint`), and `raise_epoch` is what
the reminded one does.
Deliberately not here: when notices and repetitions are sent (`endpoint`), sockets, key storage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs
from nacl import bindings
from nacl.exceptions import CryptoError

from mesh.limits import DATAGRAM_BYTES_MAX, DATAGRAM_SEAL_BYTES, SWIM_REPLAY_WINDOW
from mesh.swim.messages import EPOCH_MAX, PREFIX_BYTES, prefix_of
from mesh.types import NodeId
from mesh.wire.straight import quick

VERSION = 1
_EPOCH_BYTES = 8
_COUNTER_BYTES = 8
_TAG_BYTES = bindings.crypto_box_ZEROBYTES - bindings.crypto_box_BOXZEROBYTES
_COUNTER_SENT_BYTES = 6
_RECEIVER_BYTES = 5
_RECEIVER_MASK = 2 ** (8 * _RECEIVER_BYTES) - 1
HEADER_BYTES = 1 + PREFIX_BYTES + _EPOCH_BYTES + _COUNTER_SENT_BYTES
_EPOCH_AT = 1 + PREFIX_BYTES
_COUNTER_AT = _EPOCH_AT + _EPOCH_BYTES
_COUNTER_PAD = bytes(_COUNTER_BYTES - _COUNTER_SENT_BYTES)
EPOCH_UNKNOWN = 0
COUNTER_START_BITS = 47
"""Counters begin at a random value of so many bits: should an epoch ever repeat (a restored disk
and a clock set back), the nonces still do not."""

assert HEADER_BYTES + _TAG_BYTES + _RECEIVER_BYTES == DATAGRAM_SEAL_BYTES
assert COUNTER_START_BITS < 8 * _COUNTER_SENT_BYTES
assert bindings.crypto_box_NONCEBYTES == _EPOCH_BYTES + _COUNTER_BYTES + PREFIX_BYTES


_WINDOW_MASK = (1 << SWIM_REPLAY_WINDOW) - 1


class ReplayWindow:
    """Which counters have been seen: exact for the newest SWIM_REPLAY_WINDOW, older are refused.

    The bitmap of IPsec's anti-replay window (RFC 4303 section 3.4.3), as one integer.
    """

    def __init__(self) -> None:
        self._top = -SWIM_REPLAY_WINDOW
        self._seen = 0

    def accept(self, counter: int) -> bool:
        """Record `counter`; False when it was seen or is too old to know."""
        ahead = counter - self._top
        if ahead > 0:
            near = ahead < SWIM_REPLAY_WINDOW
            self._top, self._seen = counter, (self._seen << ahead | 1) & _WINDOW_MASK if near else 1
            return True
        bit = 1 << min(-ahead, SWIM_REPLAY_WINDOW)  # it may be 2 ** 48 behind: too far to shift
        if -ahead >= SWIM_REPLAY_WINDOW or self._seen & bit:
            return False
        self._seen |= bit
        return True


@attrs.define
class _Peer:
    """Channel state with one member."""

    shared_key: bytes
    named_epoch: int = EPOCH_UNKNOWN
    """What we believe the peer's epoch to be, and name in what we send it."""
    proven_epoch: int = EPOCH_UNKNOWN
    """The epoch of its newest fresh datagram; the window is over this one."""
    window: ReplayWindow = attrs.field(factory=ReplayWindow)
    head: bytes = b""
    """With what its datagrams of `proven_epoch` begin; empty before the first."""


_Sender = tuple[NodeId, _Peer, int, bytes, bytes]
"""Whose datagram it is, its channel, its epoch, how the nonce begins and how it ends."""


@quick
@attrs.frozen
class Opened:
    """A datagram that a member did send, once."""

    sender: NodeId
    payload: bytes
    """Empty for a notice."""
    fresh: bool
    """It names our present epoch; only then may it change anything."""
    outdated: bool = False
    """The sender was heard in a later epoch; the payload is withheld."""


@attrs.frozen
class SealerConfig:
    node_id: NodeId
    curve_private: bytes
    """X25519 private key of the node, 32 bytes (converted from its Ed25519 key)."""
    epoch: int
    counter_start: int
    """Random, below 2 ** COUNTER_START_BITS."""


class Sealer:
    """All sealed channels of one node."""

    def __init__(self, config: SealerConfig) -> None:
        assert 0 <= config.counter_start < 2**COUNTER_START_BITS
        self._config = config
        self._counter = config.counter_start
        self._prefix = prefix_of(config.node_id)
        self._begin(config.epoch)
        self._members: dict[bytes, NodeId] = {}
        self._peers: dict[NodeId, _Peer] = {}
        self._senders: dict[bytes, _Sender] = {}
        """By `_Peer.head`: all datagrams of one start begin alike."""
        self.counters: Counter[str] = Counter()
        """Refused datagrams: reason -> count."""

    def _begin(self, epoch: int) -> None:
        assert 0 < epoch <= EPOCH_MAX
        self.epoch = epoch
        self._named = (epoch & _RECEIVER_MASK).to_bytes(_RECEIVER_BYTES, "big")
        """How others name our present epoch."""
        encoded = epoch.to_bytes(_EPOCH_BYTES, "big")
        self._head = bytes([VERSION]) + self._prefix + encoded
        self._nonce_head = encoded + _COUNTER_PAD

    def raise_epoch(self, epoch: int) -> None:
        """Go on in a later epoch. What names the one before is not fresh any more."""
        assert epoch > self.epoch, "epochs only grow"
        self._begin(epoch)

    def set_members(self, ids: Iterable[NodeId]) -> None:
        """Replace whom we talk with; state of others is forgotten."""
        allowed = sorted(node for node in ids if node != self._config.node_id)
        self._members = {prefix_of(node): node for node in reversed(allowed)}
        kept = self._members.get
        self._peers = {n: p for n, p in self._peers.items() if kept(prefix_of(n)) == n}
        self._senders = {h: each for h, each in self._senders.items() if each[0] in self._peers}

    def hint(self, node: NodeId, epoch: int) -> None:
        """Others say `node` is in `epoch` now; saves a notice if true, costs one if not."""
        peer = self._peer(node)
        if peer is not None and epoch > peer.named_epoch:
            peer.named_epoch = epoch

    def seal(self, to: NodeId, payload: bytes) -> bytes | None:
        """The datagram for member `to`; None (counted) when it is not one or its key is bad."""
        peer = self._peers.get(to) or self._peer(to)
        if peer is None:
            self.counters["unknown-receiver"] += 1
            return None
        return self._box(peer.shared_key, peer.named_epoch, payload)

    def open(self, datagram: bytes) -> Opened | None:
        """Check and open; None when refused. Never raises."""
        if not DATAGRAM_SEAL_BYTES <= len(datagram) <= DATAGRAM_BYTES_MAX:
            return self._refuse("oversized" if len(datagram) > DATAGRAM_BYTES_MAX else "malformed")
        head = datagram[:_COUNTER_AT]
        known = self._senders.get(head) or self._sender(head)
        if known is None:
            return self._refuse("unknown-version" if head[0] != VERSION else "unknown-sender")
        _, peer, _, nonce_head, prefix = known
        counter = datagram[_COUNTER_AT:HEADER_BYTES]
        nonce = nonce_head + counter + prefix
        try:
            boxed = datagram[HEADER_BYTES:]
            plain = bindings.crypto_box_open_afternm(boxed, nonce, peer.shared_key)
        except (CryptoError, ValueError, TypeError):
            return self._refuse("bad-box")
        return self._judge(known, int.from_bytes(counter, "big"), plain)

    def _sender(self, head: bytes) -> _Sender | None:
        """Who begins a datagram so."""
        prefix, epoch = head[1:_EPOCH_AT], head[_EPOCH_AT:]
        node = self._members.get(prefix) if head[0] == VERSION else None
        peer = self._peer(node) if node is not None else None
        if node is None or peer is None:
            return None
        return node, peer, int.from_bytes(epoch, "big"), epoch + _COUNTER_PAD, prefix

    def _judge(self, known: _Sender, counter: int, plain: bytes) -> Opened | None:
        sender, peer, epoch, _, _ = known
        payload = plain[_RECEIVER_BYTES:]
        if not 0 < epoch <= EPOCH_MAX:
            return self._refuse("malformed")
        if epoch < peer.proven_epoch:
            self.counters["stale-epoch"] += 1
            return Opened(sender, b"", fresh=False, outdated=True)
        if plain[:_RECEIVER_BYTES] != self._named:
            self.counters["not-fresh"] += 1
            return Opened(sender, payload, fresh=False)
        if epoch > peer.proven_epoch:
            peer.proven_epoch, peer.window = epoch, ReplayWindow()
            self._expect(sender, peer)
        peer.named_epoch = epoch
        if not peer.window.accept(counter):
            return self._refuse("replay")
        return Opened(sender, payload, fresh=True)

    def _expect(self, sender: NodeId, peer: _Peer) -> None:
        """Know by its head what comes from the proven epoch, instead of the one before."""
        self._senders.pop(peer.head, None)
        encoded, prefix = peer.proven_epoch.to_bytes(_EPOCH_BYTES, "big"), prefix_of(sender)
        peer.head = bytes([VERSION]) + prefix + encoded
        known = sender, peer, peer.proven_epoch, encoded + _COUNTER_PAD, prefix
        self._senders[peer.head] = known

    def notice(self, to: NodeId, datagram: bytes, payload: bytes = b"") -> bytes | None:
        """The answer to an opened datagram that was not fresh: names the epoch it came from, and
        shows ours. Never larger than what it answers, unless there is a `payload`."""
        peer = self._peer(to)
        if peer is None:
            return None
        start = 1 + PREFIX_BYTES
        their_epoch = int.from_bytes(datagram[start : start + _EPOCH_BYTES], "big")
        return self._box(peer.shared_key, their_epoch, payload)

    def _box(self, shared_key: bytes, receiver_epoch: int, payload: bytes) -> bytes:
        assert len(payload) + DATAGRAM_SEAL_BYTES <= DATAGRAM_BYTES_MAX
        self._counter += 1
        counter = self._counter.to_bytes(_COUNTER_SENT_BYTES, "big")
        named = receiver_epoch & _RECEIVER_MASK
        plain = named.to_bytes(_RECEIVER_BYTES, "big") + payload
        nonce = self._nonce_head + counter + self._prefix
        boxed: bytes = bindings.crypto_box_afternm(plain, nonce, shared_key)
        return self._head + counter + boxed

    def _peer(self, node: NodeId) -> _Peer | None:
        known = self._peers.get(node)
        if known is not None or self._members.get(prefix_of(node)) != node:
            return known
        try:
            public = bindings.crypto_sign_ed25519_pk_to_curve25519(node)
            shared = bindings.crypto_box_beforenm(public, self._config.curve_private)
        except (CryptoError, ValueError, TypeError):
            self.counters["bad-key"] += 1
            return None
        made = self._peers[node] = _Peer(shared)
        return made

    def _refuse(self, reason: str) -> Opened | None:
        self.counters[reason] += 1
        return None
