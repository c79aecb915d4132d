"""What came out of an action, as one digest: equal for equal outcomes, whoever built them.

What counts is what others go on with: the exit status and the files. What it printed and how long
it took differ from run to run, so they are in the record and not in the outcome.
"""

from __future__ import annotations

from mesh.action.model import Result, TreeEntry
from mesh.limits import TREE_ENTRIES_MAX
from mesh.types import Digest, digest_of
from mesh.wire.schema import array, c_struct, encode_struct, integer, struct


@struct
class Outcome:
    """Hashed, never sent."""

    exit_status: int = integer()
    outputs: tuple[TreeEntry, ...] = array(c_struct(TreeEntry), TREE_ENTRIES_MAX)


def outcome_digest(result: Result) -> Digest:
    return digest_of(encode_struct(Outcome(result.exit_status, result.outputs)))
