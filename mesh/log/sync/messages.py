"""What two replicas say to each other: kinds 120-129.

Rules
- A feed is named as its *sender of lists* named it: a prefix of the writer's id and a tag, both
  just long enough to be clear among what that sender has (`vectors`). Who is asked about such a
  name is always the one that made it up, so it can only be understood in one way.
- Headers travel newest first: the first is checked by its signature, each next by the digest that
  the one before it names. Bodies come after their headers. So there is never more unauthenticated
  than the one header or body that is being looked at.
- Every question has a number, and its answer the same one; answers to nothing are dropped.

Not here: what a receiver does (`core`).
"""

from __future__ import annotations

from mesh.identity.keys import SIGNATURE_BYTES
from mesh.limits import (
    LOG_BODY_BYTES_MAX,
    LOG_FEEDS_PER_NODE_MAX,
    LOG_HEADER_BYTES_MAX,
    LOG_HEADERS_BATCH_MAX,
    LOG_SEQ_MAX,
    SYNC_BODIES_BYTES,
    SYNC_BODIES_MAX,
    SYNC_PROOFS_MAX,
    SYNC_PUSH_FRAMES_MAX,
    SYNC_SECTION_FEEDS_MAX,
    SYNC_SECTIONS_MAX,
)
from mesh.log.forks import FORK_BYTES_MAX
from mesh.types import DIGEST_BYTES
from mesh.wire.schema import (
    array,
    blob,
    c_blob,
    c_optional,
    c_struct,
    c_uint,
    fixed,
    message,
    nested,
    optional,
    struct,
    uint,
)

DIGEST8_BYTES = 8
"""Digests that tell equal from different; nothing is trusted for them."""
ENTRY_BYTES_MAX = DIGEST_BYTES + 7 + DIGEST8_BYTES
_REQUESTS = 2**32 - 1


@message(120)
class StateDigest:
    """Of all that the sender has. Who has the same says nothing."""

    digest: bytes = fixed(DIGEST8_BYTES)


@message(121)
class RollUp:
    """A hash for each writer; `vectors.pack_roll_up`."""

    prefix_bytes: int = uint(DIGEST_BYTES)
    writers: bytes = blob((DIGEST_BYTES + DIGEST8_BYTES) * SYNC_SECTIONS_MAX)


@struct
class Section:
    """The feeds of one writer; `vectors.pack_section`."""

    writer: bytes = blob(DIGEST_BYTES)
    tag_bytes: int = uint(DIGEST_BYTES)
    entries: bytes = blob(ENTRY_BYTES_MAX * SYNC_SECTION_FEEDS_MAX)
    forks: bytes = blob(ENTRY_BYTES_MAX * LOG_FEEDS_PER_NODE_MAX)
    """Feeds that were signed twice, and from which event on."""


@message(122)
class Versions:
    """`sections` are the sender's; `asked` are writers, as the receiver named them, of which it
    would like to know the same."""

    sections: tuple[Section, ...] = array(c_struct(Section), SYNC_SECTIONS_MAX)
    asked: tuple[bytes, ...] = array(c_blob(DIGEST_BYTES), SYNC_SECTIONS_MAX, default=())


@struct
class FeedName:
    """One feed, in the words of the one who is asked."""

    writer: bytes = blob(DIGEST_BYTES)
    tag: bytes = blob(DIGEST_BYTES)


@message(123)
class WantHeaders:
    """The frames after event `count`, where the asker's own history has the mark `mark`."""

    request: int = uint(_REQUESTS)
    feed: FeedName = nested(FeedName)
    count: int = uint(LOG_SEQ_MAX)
    mark: bytes = fixed(DIGEST8_BYTES)
    headers_max: int = uint(LOG_HEADERS_BATCH_MAX)
    bodies_bytes_max: int = uint(SYNC_BODIES_BYTES)


AFTER, OTHER, NOTHING = range(3)
"""How a question about headers is answered: here is what follows; my history has no such mark at
that place; I have no such feed, or nothing after that."""


@struct
class SignedBytes:
    """A header as it was received."""

    data: bytes = blob(LOG_HEADER_BYTES_MAX)
    signature: bytes = fixed(SIGNATURE_BYTES)


@message(124)
class Headers:
    """Newest first; the oldest follows the mark that was asked for. `bodies` are those of the
    oldest headers, oldest first, as far as they go; null: not here any more."""

    request: int = uint(_REQUESTS)
    answer: int = uint(NOTHING)
    headers: tuple[SignedBytes, ...] = array(c_struct(SignedBytes), LOG_HEADERS_BATCH_MAX)
    bodies: tuple[bytes | None, ...] = array(
        c_optional(c_blob(LOG_BODY_BYTES_MAX)), SYNC_BODIES_MAX, default=()
    )


@message(125)
class WantBodies:
    """The events of frames whose headers the asker has. They end at event `count`, where the
    asker's own history has the mark `mark`: who has another one there has none of them."""

    request: int = uint(_REQUESTS)
    node: bytes = fixed(DIGEST_BYTES)
    epoch: bytes = fixed(8)
    lane: int = uint(255)
    count: int = uint(LOG_SEQ_MAX)
    mark: bytes = fixed(DIGEST8_BYTES)
    seqs: tuple[int, ...] = array(c_uint(LOG_SEQ_MAX), SYNC_BODIES_MAX)
    """First events of the frames, newest first."""


@message(126)
class Bodies:
    """In the order asked, as far as they go; null: not here any more."""

    request: int = uint(_REQUESTS)
    bodies: tuple[bytes | None, ...] = array(
        c_optional(c_blob(LOG_BODY_BYTES_MAX)), SYNC_BODIES_MAX
    )


@struct
class PushedFrame:
    """A frame as it was received or made."""

    data: bytes = blob(LOG_HEADER_BYTES_MAX)
    signature: bytes = fixed(SIGNATURE_BYTES)
    body: bytes | None = optional(c_blob(LOG_BODY_BYTES_MAX))


@message(127)
class Push:
    """Fresh frames, those of one feed in order."""

    frames: tuple[PushedFrame, ...] = array(c_struct(PushedFrame), SYNC_PUSH_FRAMES_MAX)


@message(128)
class WantForks:
    """The proofs of these feeds' forks."""

    feeds: tuple[FeedName, ...] = array(c_struct(FeedName), SYNC_PROOFS_MAX)


@message(129)
class Forks:
    """Proofs that somebody signed a place twice (`mesh.log.forks`); each proves itself."""

    proofs: tuple[bytes, ...] = array(c_blob(FORK_BYTES_MAX), SYNC_PROOFS_MAX)


Message = (
    StateDigest
    | RollUp
    | Versions
    | WantHeaders
    | Headers
    | WantBodies
    | Bodies
    | Push
    | WantForks
    | Forks
)
