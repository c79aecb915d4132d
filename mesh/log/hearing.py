"""How far the word of a writer counts who was removed and is in again.

Who is out for good is cut in the log itself (`Log.cut`): nothing beyond what its removals keep is
here. Who is in again writes on, and its frames are kept, all of them; but what it wrote under an
admission that has ended counts only up to the cut. For frames of events that is a matter of the
views. A checkpoint is the log's own business: by one that does not count nothing may be let go.

Rules
- An epoch is judged by the admission that it names in its opening. An epoch that names none, or one
  of which no opening is here yet, is judged by every removal of its writer.
- Several cuts hold together. A cut keeps what leads to the head that it names; in a feed where that
  head is not, it keeps nothing.

Not here: who was removed (`mesh.identity.standing`), and which admission an epoch names
(`mesh.state.windows`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import attrs

from mesh.identity.standing import Cut
from mesh.log.model import EMPTY, FeedId, Head
from mesh.types import Digest

Kept = Mapping[tuple[bytes, int], Head]
"""Of one removal, the heads by epoch and lane."""


def kept_by(cuts: Iterable[Cut]) -> tuple[Kept, ...]:
    return tuple(
        {(point.epoch, point.lane): Head(point.count, Digest(point.head)) for point in cut}
        for cut in cuts
    )


@attrs.frozen
class Hearing:
    """See the module's head."""

    unnamed: tuple[Kept, ...]
    """For epochs that are not in `epochs`."""
    epochs: Mapping[bytes, tuple[Kept, ...]]
    """By epoch; none for one that is written under an admission in force."""

    def end(self, feed: FeedId, has_head: Callable[[Head], bool]) -> int | None:
        """Of the feed only what is below that place counts; None: all of it. `has_head`: whether
        the feed's history, as far as it is here, leads through a head."""
        heads = self._heads(feed)
        if not heads:
            return None
        return min(head.count if has_head(head) else 0 for head in heads)

    def turns_on(self, feed: FeedId, head: Head) -> bool:
        """Whether `end` is another once the feed has come to this head."""
        return head in self._heads(feed)

    def _heads(self, feed: FeedId) -> list[Head]:
        kept = self.epochs.get(feed.epoch, self.unnamed)
        return [each.get((feed.epoch, feed.lane), EMPTY) for each in kept]
