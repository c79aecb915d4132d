"""What a `Sync` wants done. Not here: doing it (`mesh.node.state`)."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mesh.log.added import Added
from mesh.log.sync.messages import Message
from mesh.types import NodeId
from mesh.wire.straight import quick


@quick
@attrs.frozen
class Send:
    """Give the peer this message; when its stream is full or gone it may be lost."""

    to: NodeId
    message: Message


@quick
@attrs.frozen
class Learned:
    """The log is not what it was: fold it, and have the store make it durable some time."""

    added: Added


@quick
@attrs.frozen
class Blame:
    """A peer has broken a rule: a word for counters. Nothing it said was believed."""

    peer: NodeId
    reason: str


Effect = Send | Learned | Blame
Emit = Callable[[Effect], None]
