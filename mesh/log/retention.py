"""Which bodies go, and when: `max_buffer_size_mb` and `max_buffer_age_hours`.

Rules
- Headers stay: what went can be counted and shown, and the chain still verifies.
- By age only what its owner's checkpoint stands for goes, and only when the state that the
  checkpoint names is here.
- How an epoch was opened stays while the epoch counts: its checkpoints are judged by that.
- By size the same goes first, oldest first. If that is not enough, the oldest of the rest goes, the
  lane of checkpoints and registers last, and is **lost**: it is counted, and `Log.lost` shows it.
- What has ceased to be part of the log (cut off, beyond a fork) goes at once, header and all; it is
  not counted. What waits for a frame that it follows may go like the rest, and comes again.
- Nobody is asked and nobody waited for: a member that never comes back stops nothing.

Age is time in use of this store (`segments`), never the clock. Not here: the dropping itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from mesh.limits import LOG_BUFFER_DEFAULT_HOURS, LOG_BUFFER_DEFAULT_MB, MIB
from mesh.log.log import Log
from mesh.log.model import Lane
from mesh.log.segments import Held, Segments
from mesh.types import Digest


@attrs.frozen
class RetentionConfig:
    """The two keys of the configuration."""

    max_buffer_size_mb: float = LOG_BUFFER_DEFAULT_MB
    """Megabytes (2^20 bytes) of bodies. Headers are not counted: they stay anyway."""
    max_buffer_age_hours: float = LOG_BUFFER_DEFAULT_HOURS


@attrs.frozen
class Choice:
    """What is to go."""

    covered: tuple[Held, ...] = ()
    lost: tuple[Held, ...] = ()

    @property
    def lost_events(self) -> int:
        return sum(each.end - each.seq for each in self.lost)


def choose(
    held: Sequence[Held], is_covered: Callable[[Held], bool], config: RetentionConfig
) -> Choice:
    """Choose among the bodies that are held, given oldest first."""
    max_age_s = config.max_buffer_age_hours * 3600
    excess_bytes = sum(each.size_bytes for each in held) - config.max_buffer_size_mb * MIB
    covered: list[Held] = []
    rest: list[Held] = []
    for each in held:
        if not is_covered(each):
            rest.append(each)
        elif each.age_s > max_age_s or excess_bytes > 0:
            covered.append(each)
            excess_bytes -= each.size_bytes
    lost: list[Held] = []
    for each in sorted(rest, key=lambda each: each.feed.lane == Lane.CTL):
        if excess_bytes <= 0:
            break
        lost.append(each)
        excess_bytes -= each.size_bytes
    return Choice(tuple(covered), tuple(lost))


def clear_up(
    log: Log, segments: Segments, config: RetentionConfig, has_blob: Callable[[Digest], bool]
) -> Choice:
    """Drop what is to go from the log. `has_blob`: whether a checkpoint's state is here. The files
    become smaller with the next `Segments.compact`."""

    def is_covered(held: Held) -> bool:
        cover = log.cover(held.feed)
        if log.is_opening(held.feed, held.seq):
            return False
        return cover is not None and held.end <= cover.head.count and has_blob(cover.state)

    parts, strays = list[Held](), list[Held]()
    for held in segments.held():
        known = log.is_part(held) or log.is_waiting(held)
        (parts if known else strays).append(held)
    segments.forget(strays)
    choice = choose(parts, is_covered, config)
    waited = [held for held in choice.lost if not log.is_part(held)]
    for held in waited:
        log.stop_waiting(held)
    segments.forget(waited)
    lost = tuple(held for held in choice.lost if held not in waited) if waited else choice.lost
    log.drop(choice.covered)
    log.drop(lost, for_room=True)
    return Choice(choice.covered, lost)
