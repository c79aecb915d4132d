"""A real C project through CMake: ours beside ninja, make, ccache and distcc.

zlib-ng (60 compilations, 9 links, from the package registry), -O2, two jobs at once for everybody.

    vitte cold   `vitte dist run build` in the Ninja build directory, on two fresh loopback peers
                 with one slot each: nothing is cached, nothing is known
    vitte warm   the same again after `ninja -t clean`: all from the signed cache
    ninja, make  -j2, clean build directory
    ccache       ninja -j2 through ccache, empty cache (cold), then again (warm)
    distcc       ninja -j2 through distcc and a distccd on 127.0.0.1, when both are installed

Configuring and starting the peers is not timed. Keys: ratio_cold and ratio_warm against ninja -j2,
ratio_ccache_warm for comparison.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from common import Cluster, clean_env, finish, print_table, timed
from real_project import PACKAGE, VERSION, configure, fetch, tool

JOBS = 2
NODES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitte-bench-") as directory:
        bench = BuildBench(Path(directory))
        subjects = [bench.vitte, bench.ninja, bench.make, bench.ccache]
        if shutil.which("distcc") and shutil.which("distccd"):
            subjects.append(bench.distcc)
        seconds: dict[str, list[float]] = {}
        for turn in range(options.rounds):
            shift = turn % len(subjects)
            for subject in subjects[shift:] + subjects[:shift]:
                for name, value in subject():
                    seconds.setdefault(name, []).append(value)
                    print(f"  round {turn + 1}/{options.rounds} {name}: {value:.2f} s", flush=True)
    report({name: median(values) for name, values in seconds.items()}, options.rounds)


class BuildBench:
    """One source tree, one build directory per competitor, configured once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._env = clean_env(directory)
        self._source = fetch(directory)
        self._ours = configure(self._source, directory / "ours")
        self._ninja = configure(self._source, directory / "ninja")
        self._make = configure(self._source, directory / "make", generator="Unix Makefiles")
        self._ccache = self._configure_with("ccache")

    def _configure_with(self, launcher: str) -> Path:
        option = f"-DCMAKE_C_COMPILER_LAUNCHER={tool(launcher)}"
        return configure(self._source, self._directory / launcher, options=(option,))

    def vitte(self) -> Iterator[tuple[str, float]]:
        self._clean(self._ours)
        with Cluster(nodes=NODES, slots=JOBS // NODES) as cluster:
            yield "vitte cold", cluster.run("build", self._ours)
            self._nothing_to_do(self._ours)
            self._clean(self._ours)
            yield "vitte warm", cluster.run("build", self._ours)
            self._nothing_to_do(self._ours)

    def ninja(self) -> Iterator[tuple[str, float]]:
        self._clean(self._ninja)
        yield "ninja -j2", self._run_ninja(self._ninja, self._env)

    def make(self) -> Iterator[tuple[str, float]]:
        subprocess.run([tool("make"), "-s", "clean"], cwd=self._make, env=self._env, check=True)
        yield "make -j2", timed([tool("make"), f"-j{JOBS}"], self._make, self._env)

    def ccache(self) -> Iterator[tuple[str, float]]:
        with tempfile.TemporaryDirectory(dir=self._directory) as cache:
            env = {**self._env, "CCACHE_DIR": cache}
            self._clean(self._ccache)
            yield "ccache cold", self._run_ninja(self._ccache, env)
            self._clean(self._ccache)
            yield "ccache warm", self._run_ninja(self._ccache, env)

    def distcc(self) -> Iterator[tuple[str, float]]:
        build = self._directory / "distcc"
        if not build.exists():
            self._configure_with("distcc")
        with distccd(self._directory) as (port, log):
            if port is None:
                print(f"  distcc is left out, distccd does not start: {log.read_text().strip()}")
                return
            hosts = f"127.0.0.1:{port}/{JOBS}"
            env = {**self._env, "DISTCC_HOSTS": hosts, "DISTCC_FALLBACK": "0"}
            state = self._directory / "distcc-state"
            state.mkdir(exist_ok=True)
            env["DISTCC_DIR"] = str(state)
            self._clean(build)
            yield "distcc", self._run_ninja(build, env)
            assert "COMPILE_OK" in log.read_text(), "distccd compiled nothing"

    def _run_ninja(self, build: Path, env: dict[str, str]) -> float:
        return timed([tool("ninja"), f"-j{JOBS}"], build, env)

    def _clean(self, build: Path) -> None:
        argv = [tool("ninja"), "-t", "clean"]
        subprocess.run(argv, cwd=build, env=self._env, check=True, stdout=subprocess.DEVNULL)

    def _nothing_to_do(self, build: Path) -> None:
        """The comparison is void if ours did not leave what ninja would have."""
        argv = [tool("ninja"), "-n"]
        said = subprocess.run(argv, cwd=build, check=True, capture_output=True, text=True).stdout
        assert "no work to do" in said, said[-500:]


@contextmanager
def distccd(directory: Path) -> Iterator[tuple[int | None, Path]]:
    """A compile server on 127.0.0.1 only; yields its port (None: it does not start) and log."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = directory / "distccd.log"
    listen = ["--listen", "127.0.0.1", "--allow", "127.0.0.1", "--port", str(port)]
    # The compilers it may run are otherwise a system-wide list; it listens on loopback only.
    mode = ["--no-detach", "--jobs", str(JOBS), "--log-stderr", "--enable-tcp-insecure"]
    argv = [tool("distccd"), "--daemon", *mode, *listen]
    with (
        log.open("wb") as said,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=said, cwd="/") as server,
    ):
        try:
            yield port if starts(server, port) else None, log
        finally:
            server.terminate()


def starts(server: subprocess.Popen[bytes], port: int, timeout_s: float = 10.0) -> bool:
    """Wait until the server listens; False when it ends or takes too long."""
    deadline = time.monotonic() + timeout_s
    while not listens(port):
        if server.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def report(seconds: dict[str, float], rounds: int) -> None:
    base = seconds["ninja -j2"]
    rows = [[name, f"{value:.2f}", f"{value / base:.3f}"] for name, value in seconds.items()]
    title = f"{PACKAGE} {VERSION}, {JOBS} jobs at once, median of {rounds} rounds"
    print_table(title, ["", "s", "x ninja"], sorted(rows))
    finish(
        "build",
        {
            "ratio_cold": seconds["vitte cold"] / base,
            "ratio_warm": seconds["vitte warm"] / base,
            "ratio_ccache_warm": seconds["ccache warm"] / base,
        },
        rounds=rounds,
    )


if __name__ == "__main__":
    main()
