"""Anti-entropy: how two replicas of the log become equal, without I/O, clock or randomness.

    vectors    what we have, packed: a hash for each writer, then one entry for each of its feeds
    messages   what is said between two peers
    needs      what a peer has and we lack, and who is asked for it
    session    one peer: what waits for it, how it has behaved, what it may cost us
    serving    answering questions
    pushing    fresh frames and fork proofs go to a few peers at once
    core       `Sync`: the verbs

The way of a difference: a digest of 8 bytes differs -> hashes of all writers -> the feeds of
those that differ -> headers newest first, then bodies. Bytes go with the number of feeds, not with
the number of entries, and what was authenticated is all that is ever kept.
Not here: the frames themselves (`mesh.log.log`), who the peers are (`mesh.swim`), sending.
"""

from mesh.log.sync.core import Sync
from mesh.log.sync.effects import Blame, Effect, Learned, Send
from mesh.log.sync.session import SyncConfig

__all__ = ["Blame", "Effect", "Learned", "Send", "Sync", "SyncConfig"]
