"""Meshes of real processes in network namespaces of their own, for `membership.py`.

    with Namespace() as where:                  only a loopback interface; nothing leaves it
        mesh = Mesh(system, nodes=16, where)    its processes; `membership_host` says how they speak
        mesh.join()                             seconds until everybody has seen everybody
        mesh.kill(silently=False)               seconds until each of the others called it dead

Rules
- One node of each mesh, the victim, has a process and an address of its own, so that a kill is
  SIGKILL and a silent crash is a firewall that drops its packets before it is killed.
- The others share as many processes as there are processors, whatever system they belong to.
- Times are CLOCK_MONOTONIC, taken by the hosts at each event. Only processes started here are
  ended.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import attrs

START_TIMEOUT_S = 60.0
CROWD_IP, CROWD_PORT = "10.77.0.1", 10_000
VICTIM_PORT = 20_000
LOOK_EVERY_S = 0.05
UP = f"ip link set lo up && ip addr add {CROWD_IP}/16 dev lo && echo up && exec cat"
"""Private addresses, all of them here: nodes of ours take 127.0.0.1 for a demo and hurry."""
TICKS = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class System:
    """Something that does membership, and how to start its host."""

    name: str
    command: tuple[str, ...]


@attrs.frozen
class Wait:
    """What came of waiting for everybody."""

    seconds: tuple[float, ...]
    """For each of those who have seen it, since the start."""
    complete: bool

    @property
    def first_s(self) -> float:
        return min(self.seconds, default=float("inf"))

    @property
    def last_s(self) -> float:
        return max(self.seconds, default=float("inf")) if self.complete else float("inf")


class Namespace:
    """A network with a loopback interface and nothing else; needs root or user namespaces."""

    def __init__(self) -> None:
        as_root = os.geteuid() == 0
        unshare = ["unshare", *([] if as_root else ["--user", "--map-root-user"]), "--net"]
        self._enter = [] if as_root else ["--user", "--preserve-credentials"]
        self._holder = subprocess.Popen(
            [*unshare, "sh", "-c", UP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline().strip() != "up":
            self.close()
            raise SystemExit("no network namespace can be made here: needs root or user namespaces")

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()

    def command(self, *argv: str) -> list[str]:
        return ["nsenter", "--target", str(self._holder.pid), "--net", *self._enter, *argv]

    def sent(self) -> tuple[int, int]:
        """(bytes, packets) that the loopback interface has carried, headers included."""
        for line in Path(f"/proc/{self._holder.pid}/net/dev").read_text().splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == "lo":
                fields = numbers.split()
                return int(fields[8]), int(fields[9])
        raise AssertionError("no loopback interface")

    def drop(self, ip: str) -> None:
        """From now on packets from and to that address vanish without an error to anybody."""
        rules = "".join(f"ip {way} {ip} drop\n" for way in ("saddr", "daddr"))
        chain = f"chain in {{\ntype filter hook input priority 0\n{rules}}}"
        table = f"table inet cut{ip.replace('.', '_')} {{\n{chain}\n}}\n"
        said = subprocess.run(
            self.command("nft", "-f", "-"),
            input=table,
            text=True,
            capture_output=True,
        )
        if said.returncode != 0:
            raise SystemExit(f"nft refused: {said.stderr}")


def can_drop() -> bool:
    return shutil.which("nft") is not None


class Ledger:
    """Everything that was seen: (observer, subject) -> [(when, state)]."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[int, int], list[tuple[float, str]]] = {}

    def add(self, line: str) -> None:
        word, when_s, observer, subject, state = line.split()
        assert word == "saw", line
        with self._lock:
            self._seen.setdefault((int(observer), int(subject)), []).append((float(when_s), state))

    def first(self, observer: int, subject: int, states: Sequence[str], since_s: float) -> float:
        """When the observer first saw it so; infinite for never."""
        with self._lock:
            for when_s, state in self._seen.get((observer, subject), ()):
                if when_s >= since_s and state in states:
                    return when_s
        return float("inf")

    def deaths(self, subjects: Sequence[int]) -> int:
        """How often anybody declared one of these dead."""
        with self._lock:
            return sum(
                state in GONE
                for (_, subject), events in self._seen.items()
                if subject in subjects
                for _, state in events
            )


GONE = ("dead", "unreachable")


class Host:
    """One process with some nodes."""

    def __init__(self, argv: Sequence[str], ledger: Ledger) -> None:
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._ledger = ledger
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("saw "):
                self._ledger.add(line)
            elif line.strip() == "ready":
                self._ready.set()

    def wait_ready(self) -> None:
        if not self._ready.wait(START_TIMEOUT_S):
            raise SystemExit(f"{self._process.args!r} did not start")

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def cpu_s(self) -> float:
        """Processor time of the process so far (nsenter has become it)."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / TICKS

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """End it at once; harmless when it has ended."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Mesh:
    """`nodes` nodes of one system: all but one in shared processes, one that can be killed."""

    def __init__(self, system: System, nodes: int, where: Namespace, victims: int = 1) -> None:
        """`victims`: how many will have lived in the end."""
        self.system, self.nodes = system, nodes
        self._where = where
        self._total = nodes - 1 + victims
        self._ledger = Ledger()
        self._crowd = [self._start_crowd(first, count) for first, count in _shares(nodes - 1)]
        self._victim_index = nodes - 2
        self._victim = self._start_victim()
        for host in [*self._crowd, self._victim]:
            host.wait_ready()

    def _start(self, first: int, count: int, ip: str, port: int) -> Host:
        numbers = {"first": first, "count": count, "total": self._total, "port": port}
        flags = [word for name, number in numbers.items() for word in (f"--{name}", str(number))]
        argv = self._where.command(*self.system.command, *flags, "--ip", ip)
        return Host(argv, self._ledger)

    def _start_crowd(self, first: int, count: int) -> Host:
        return self._start(first, count, CROWD_IP, CROWD_PORT + 2 * first)

    def _start_victim(self) -> Host:
        self._victim_index += 1
        assert self._victim_index < self._total, "more victims than said"
        return self._start(self._victim_index, 1, self._victim_ip, VICTIM_PORT)

    @property
    def _victim_ip(self) -> str:
        return f"10.77.1.{self._victim_index % 250 + 1}"

    def close(self) -> None:
        for host in [*self._crowd, self._victim]:
            host.close()

    # -- what is measured ------------------------------------------------------------------------
    def join(self, within_s: float) -> Wait:
        """Everybody joins through node 0 at once."""
        everybody = [*range(self.nodes - 1), self._victim_index]
        pairs = [(one, other) for one in everybody for other in everybody if one != other]
        return self._joined([*self._crowd, self._victim], pairs, within_s)

    def replace_victim(self, within_s: float) -> Wait:
        """Another node takes the place of the one that was killed, and joins."""
        self._victim.close()
        self._victim = self._start_victim()
        self._victim.wait_ready()
        pairs = [(observer, self._victim_index) for observer in range(self.nodes - 1)]
        pairs += [(subject, observer) for observer, subject in pairs]
        return self._joined([self._victim], pairs, within_s)

    def _joined(self, hosts: Sequence[Host], pairs: list[tuple[int, int]], within_s: float) -> Wait:
        start_s = time.monotonic()
        for host in hosts:
            host.tell(f"join {CROWD_IP} {CROWD_PORT} 0")
        return self._wait(pairs, ("alive",), start_s, within_s)

    def kill(self, silently: bool, within_s: float) -> Wait:
        """SIGKILL for the victim; silently: its network is cut first."""
        pairs = [(observer, self._victim_index) for observer in range(self.nodes - 1)]
        start_s = time.monotonic()
        if silently:
            self._where.drop(self._victim_ip)
        self._victim.kill()
        return self._wait(pairs, GONE, start_s, within_s)

    def _wait(
        self, pairs: list[tuple[int, int]], states: Sequence[str], start_s: float, within_s: float
    ) -> Wait:
        missing, seconds = set(pairs), list[float]()
        while missing and time.monotonic() < start_s + within_s:
            time.sleep(LOOK_EVERY_S)
            for pair in list(missing):
                seen_s = self._ledger.first(*pair, states, start_s)
                if seen_s != float("inf"):
                    missing.remove(pair)
                    seconds.append(seen_s - start_s)
        return Wait(tuple(seconds), complete=not missing)

    def steady(self, window_s: float) -> dict[str, float]:
        """What each node costs per second when nothing happens."""
        before, cpu_s = self._where.sent(), self._crowd_cpu_s()
        start_s = time.monotonic()
        time.sleep(window_s)
        took_s = time.monotonic() - start_s
        after = self._where.sent()
        crowd_s = self._crowd_cpu_s() - cpu_s
        return {
            "bytes": (after[0] - before[0]) / self.nodes / took_s,
            "packets": (after[1] - before[1]) / self.nodes / took_s,
            "cpu_ms": 1000 * crowd_s / (self.nodes - 1) / took_s,
        }

    def _crowd_cpu_s(self) -> float:
        return sum(host.cpu_s() for host in self._crowd)

    def false_deaths(self) -> int:
        """How often somebody of the crowd, which nobody kills, was declared dead."""
        return self._ledger.deaths(range(self.nodes - 1))


def _shares(nodes: int) -> list[tuple[int, int]]:
    """(first, count) for each process of the crowd."""
    parts = min(len(os.sched_getaffinity(0)), nodes)
    bounds = [nodes * part // parts for part in range(parts + 1)]
    return [(low, high - low) for low, high in pairwise(bounds)]


def in_parallel(calls: Sequence[Callable[[], object]]) -> None:
    """Run all at once, so that a busy moment of the machine hits everybody."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
