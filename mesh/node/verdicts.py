"""What to make of a result that a peer reports: verified before anybody counts on it. Pure.

no result, its machine's fault   retry elsewhere        killed by a signal   retry elsewhere
no result, the action's fault    failed                 exit status > 0      failed
anything that does not verify    retry elsewhere, and the peer lied
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mesh.action.model import Action, Result, SignedResult, check_outputs
from mesh.action.signing import open_result
from mesh.scheduler.model import Verdict
from mesh.types import Digest, NodeId
from mesh.wire.errors import WireError
from mesh.wire.messages import Finished


@attrs.frozen
class Judged:
    """`lie` is the WireError's reason when the result was refused, else ""."""

    result: Result | None
    verdict: Verdict
    reason: str = ""
    lie: str = ""


@attrs.frozen
class Claim:
    """A peer says that it has finished our action."""

    peer: NodeId
    action: Action
    digest: Digest
    finished: Finished


def judge(claim: Claim, may_build: Callable[[NodeId], bool]) -> Judged:
    """Verify and decide. Never raises."""
    finished = claim.finished
    if finished.result is None:
        retry = finished.retry_elsewhere
        return Judged(None, Verdict.RETRY if retry else Verdict.FAILED, finished.error_text)
    try:
        result = _open(claim, finished.result, may_build)
    except WireError as error:
        why = f"its result was refused: {error}"
        return Judged(None, Verdict.RETRY, why, error.reason)
    if result.exit_status < 0:
        # Killed by a signal: often the machine's doing (memory); a second opinion is cheap.
        why = f"killed there by signal {-result.exit_status}"
        return Judged(result, Verdict.RETRY, why)
    return Judged(result, Verdict.OK if result.exit_status == 0 else Verdict.FAILED)


def _open(claim: Claim, signed: SignedResult, may_build: Callable[[NodeId], bool]) -> Result:
    result = open_result(signed, claim.digest, may_build)
    if result.builder != claim.peer:
        raise WireError("foreign-signature", result.builder.hex())
    if result.exit_status == 0:
        check_outputs(result.outputs, claim.action)
    elif result.outputs:
        raise WireError("outputs-of-failure")
    return result
