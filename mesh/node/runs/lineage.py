"""What was made from what, for the day on which somebody's results are withdrawn.

A step that needs others reads what came out of them. When it was executed, the run says so to the
mesh: from the outcomes of which actions this one was made. A step that was found in the cache has
been told by the run that executed it.

Not here: what follows from it (`mesh.state.taint`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mesh.action.model import Result
from mesh.action.outcome import outcome_digest
from mesh.types import Digest


class Lineage:
    """For one run. `derive(action, outcomes)` tells the mesh."""

    def __init__(
        self,
        needs: Sequence[Iterable[int]],
        derive: Callable[[Digest, Iterable[Digest]], None],
    ) -> None:
        self._needs = needs
        self._derive = derive
        self._outcomes: dict[int, Digest] = {}
        """Of the steps that are done and made files."""

    def done(self, index: int, result: Result, *, is_new: bool) -> None:
        """A step has succeeded."""
        if result.outputs:
            self._outcomes[index] = outcome_digest(result)
        if is_new:
            consumed = [
                self._outcomes[each] for each in self._needs[index] if each in self._outcomes
            ]
            if consumed:
                self._derive(result.action, consumed)
