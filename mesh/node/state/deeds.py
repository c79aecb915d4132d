"""What this node tells the mesh about itself: its runs, what it executed, what it is, what it pins.

    executed, run_began, run_ended    events of EXEC: who did what, for the audit
    tell_profile                      registers `node.*`: name, platform, slots, version
    tell_pins                         registers `pin.<blob id>`: the label, or nothing any more

Shards of a run that end within GATHER_S share an event: a trivial shard is a millisecond of work,
and an event of its own, written here and folded on every node, is a good part of that.

A register is written when it differs from what the mesh shows, so a start that changes nothing
says nothing. Not here: what is made of it (`mesh.state`), whole records of runs (`mesh.node.runs`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from mesh import __version__
from mesh.action.model import Result
from mesh.limits import (
    EVENT_LABEL_BYTES_MAX,
    EVENT_MS_MAX,
    EVENT_SHARDS_MAX,
    EVENT_VALUE_BYTES_MAX,
    PIN_REGISTERS_MAX,
    STATE_RUNS_KEPT,
)
from mesh.node.perform import plain_text
from mesh.node.runs.record import RunRecord
from mesh.node.state.driver import SharedState
from mesh.ports import Clock, Timer
from mesh.state.events import Execution, Executions, Register, RunEvent, RunState
from mesh.state.runs import RunKey
from mesh.types import Digest, NodeId, RunId

NODE_KEYS = "node."
PIN_KEYS = "pin."
GATHER_S = 0.2
"""How long an executed shard waits for others of its run."""
_ENDS = {"ok": RunState.SUCCEEDED, "failed": RunState.FAILED, "cancelled": RunState.CANCELLED}


class Deeds:
    """See the module's head. Says nothing before the state is open."""

    def __init__(self, me: NodeId, state: SharedState, clock: Clock) -> None:
        self._me = me
        self._state = state
        self._clock = clock
        self._timer: Timer | None = None
        self._executed: dict[RunKey, list[Execution]] = {}
        """Not said yet. A list is never empty."""
        self._pins: Mapping[Digest, str] | None = None
        self._attempts: OrderedDict[tuple[NodeId, RunId, int], int] = OrderedDict()

    # -- runs ------------------------------------------------------------------------------------
    def executed(self, origin: NodeId, run: RunId, shard: int, result: Result) -> None:
        """We have run a shard to its end."""
        key = (origin, run, shard)
        attempt = self._attempts.pop(key, -1) + 1
        self._attempts[key] = attempt
        if len(self._attempts) > STATE_RUNS_KEPT:
            self._attempts.popitem(last=False)
        status, took_ms = result.exit_status, min(result.duration_ms, EVENT_MS_MAX)
        execution = Execution(shard, min(attempt, 65_535), result.action, status, took_ms)
        waiting = self._executed.setdefault((origin, run), [])
        waiting.append(execution)
        if len(waiting) >= EVENT_SHARDS_MAX:
            self._say_executed((origin, run))
        elif self._timer is None:
            self._timer = self._clock.call_at(self._clock.monotonic() + GATHER_S, self._gathered)

    def _gathered(self) -> None:
        self._timer = None
        self.say_waiting()

    def say_waiting(self) -> None:
        """Write what waits for more of its kind."""
        for key in list(self._executed):
            self._say_executed(key)

    def _say_executed(self, key: RunKey) -> None:
        origin, run = key
        self._state.saw_run(key)
        self._state.write(Executions(run, origin, tuple(self._executed.pop(key))))

    def run_began(self, record: RunRecord) -> None:
        """A run of ours is under way."""
        self._run(record, RunState.STARTED)

    def run_ended(self, record: RunRecord) -> None:
        """It is over, one way or another."""
        self._run(record, _ENDS[record.state])
        self._state.seal()

    def _run(self, record: RunRecord, state: RunState) -> None:
        run = RunId(bytes.fromhex(record.head.run))
        self.say_waiting()
        self._state.saw_run((self._me, run))
        project = record.head.root.rstrip("/").rpartition("/")[2]
        self._state.write(
            RunEvent(
                run=run,
                state=int(state),
                label=plain_text(f"{record.head.kind} {project}".strip(), EVENT_LABEL_BYTES_MAX),
                shards=len(record.shards),
                hits=record.totals.cached,
            )
        )

    # -- registers -------------------------------------------------------------------------------
    def tell_profile(self, name: str, platform: str, slots: int) -> None:
        """What this node is."""
        facts = {"name": name, "platform": platform, "slots": str(slots), "version": __version__}
        for key, text in facts.items():
            self._register(NODE_KEYS + key, text)

    def tell_pins(self, pins: Mapping[Digest, str]) -> None:
        """To be called again whenever they may have changed. More than PIN_REGISTERS_MAX are kept
        here as ever, and not told."""
        if not self._state.is_open or pins == self._pins or not self._state.replica.has_room:
            return
        self._pins = dict(pins)
        wanted = {f"{PIN_KEYS}{each.hex()}": pins[each] for each in sorted(pins)}
        told = self._state.replica.state.registers.of_node(self._me)
        for key in told:
            if key.startswith(PIN_KEYS) and key not in wanted:
                self._state.write(Register(key, None))
        for key in list(wanted)[:PIN_REGISTERS_MAX]:
            self._register(key, wanted[key])

    def _register(self, key: str, text: str) -> None:
        value = plain_text(text, EVENT_VALUE_BYTES_MAX).encode()
        known = self._state.replica.state.registers.get(self._me, key)
        if known is None or known.value != value or known.others:
            self._state.write(Register(key, value))
