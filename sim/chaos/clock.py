"""The world's heap of events, run by the real clock.

The same `World` that the simulator jumps through is waited through here: an event happens at its
time or as soon after it as the machine can, and `now_s` is when it really happened. Other threads
hand in what they have seen with `post`; everything else belongs to the thread that runs.
`late_s` says how late the machine has been, because a verdict about others needs a clock that ran.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

from sim.kernel.nanoseconds import NS_PER_S, to_ns
from sim.kernel.world import World

LOOK_S = 0.25
"""How often it is asked whether the run is over, at least."""


class LiveWorld(World):
    """One run, in real time, which begins with `run_live`."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._posted: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._began_ns: int | None = None
        self.late_s = 0.0
        """How late the event that runs now, or ran last, began."""
        self.latest_s = 0.0

    def post(self, action: Callable[[], object]) -> None:
        """Have `action` called soon by the thread that runs. From any thread."""
        self._posted.put(action)

    def run_live(self, until_s: float, stop: Callable[[], bool]) -> None:
        """Run to that time after its beginning, or until `stop()`."""
        self._began_ns = time.monotonic_ns()
        end_ns = to_ns(until_s)
        while not stop():
            self._take_posted(0.0)
            next_ns = self.next_event_ns()
            now_ns = self._elapsed_ns()
            if next_ns is not None and next_ns <= min(now_ns, end_ns):
                self.step()
            elif now_ns >= end_ns:
                self.advance_to(max(end_ns, self.now_ns))
                return
            else:
                due_ns = end_ns if next_ns is None else min(next_ns, end_ns)
                self._take_posted(min(LOOK_S, (due_ns - now_ns) / NS_PER_S))

    def step(self) -> None:
        """Run the next event, which is due; the time is then what it really is."""
        when_ns, event = self.take_event()
        now_ns = max(when_ns, self._elapsed_ns(), self.now_ns)
        self.late_s = (now_ns - when_ns) / NS_PER_S
        self.latest_s = max(self.latest_s, self.late_s)
        self.advance_to(now_ns)
        self.events_done += 1
        if event.action is not None:
            event.action()

    def _take_posted(self, longest_s: float) -> None:
        """Do one thing that was handed in, waiting for it no longer than this."""
        try:
            action = self._posted.get(block=longest_s > 0, timeout=longest_s or None)
        except queue.Empty:
            return
        self.advance_to(max(self.now_ns, self._elapsed_ns()))
        action()

    def take_rest(self) -> None:
        """After the end: do what was handed in until then, without waiting."""
        while not self._posted.empty():
            self._posted.get()()

    def _elapsed_ns(self) -> int:
        assert self._began_ns is not None, "run_live begins the time"
        return time.monotonic_ns() - self._began_ns
