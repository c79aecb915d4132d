"""mDNS on a real link, in both directions, against avahi.

Two network namespaces joined by a veth pair: our node in one, avahi in the other, so that nothing
reaches a real network. Needs root and avahi; skipped with the reason otherwise.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

TOOLS = ("ip", "avahi-daemon", "avahi-browse", "avahi-publish-service", "dbus-daemon")
OURS, THEIRS = "10.231.7.1", "10.231.7.2"
WAIT_S = 30.0

BUS_CONFIG = """<busconfig>
  <type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""
AVAHI_CONFIG = """[server]
host-name=vmtavahi
use-ipv6=no
allow-interfaces=vmt-vb
[publish]
publish-hinfo=no
publish-workstation=no
"""
ANNOUNCE = """
import trio
from mesh.ports import Announcement
from mesh.ports.real.discovery import ZeroconfDiscovery
what = Announcement("kitchen", "fedcba9876543210", "home", "0123456789abcdef",
                    "10.231.7.1", 4001, 4002, 4003)
async def main():
    async with ZeroconfDiscovery(["10.231.7.1"]).announce(what):
        print("announced", flush=True)
        await trio.sleep_forever()
trio.run(main)
"""
BROWSE = """
import trio
from mesh.ports.real.discovery import ZeroconfDiscovery
async def main():
    async with ZeroconfDiscovery(["10.231.7.1"]).browse() as found:
        async for each in found:
            print(each, flush=True)
            return
trio.run(main)
"""


def why_not() -> str:
    """The reason for which this cannot run here, or nothing."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    probe = subprocess.run(["ip", "netns", "add", "vmt-probe"], capture_output=True)
    if probe.returncode:
        return f"cannot make network namespaces: {probe.stderr.decode().strip()}"
    run("ip", "netns", "delete", "vmt-probe")
    return ""


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


class Lab:
    """The two namespaces and everything started in them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tag = os.getpid()
        self.ours, self.theirs = f"vmt-a{self._tag}", f"vmt-b{self._tag}"
        self._processes: list[subprocess.Popen[str]] = []
        self._env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder / 'bus'}"}

    def build(self) -> None:
        for namespace in (self.ours, self.theirs):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        peer = ["peer", "name", "vmt-vb", "netns", self.theirs]
        run("ip", "-n", self.ours, "link", "add", "vmt-va", "type", "veth", *peer)
        ends = ((self.ours, "vmt-va", OURS), (self.theirs, "vmt-vb", THEIRS))
        for namespace, device, address in ends:
            run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", device)
            run("ip", "-n", namespace, "link", "set", device, "up")
            run("ip", "-n", namespace, "route", "add", "224.0.0.0/4", "dev", device)

    def start(self, namespace: str, *argv: str) -> subprocess.Popen[str]:
        log = (self._folder / f"{len(self._processes)}.log").open("w")
        command = ["ip", "netns", "exec", namespace, *argv]
        with log:
            process = subprocess.Popen(
                command, env=self._env, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._processes.append(process)
        return process

    def ask(self, namespace: str, *argv: str) -> subprocess.CompletedProcess[str]:
        command = ["ip", "netns", "exec", namespace, *argv]
        return subprocess.run(
            command, env=self._env, capture_output=True, text=True, timeout=WAIT_S
        )

    def start_avahi(self) -> None:
        bus = self._folder / "bus.conf"
        bus.write_text(BUS_CONFIG.format(socket=self._folder / "bus"))
        self.start(self.theirs, "dbus-daemon", "--nofork", f"--config-file={bus}")
        self.until((self._folder / "bus").exists, "dbus")
        conf = self._folder / "avahi.conf"
        conf.write_text(AVAHI_CONFIG)
        daemon = f"avahi-daemon --no-drop-root --no-chroot --no-rlimits -f {conf}"
        # ip-netns-exec has a mount namespace of its own: a fresh /run keeps a system avahi's files
        self.start(self.theirs, "sh", "-c", f"mount -t tmpfs tmpfs /run && exec {daemon}")
        browse = ("avahi-browse", "-at")
        self.until(lambda: self.ask(self.theirs, *browse).returncode == 0, "avahi")

    def until(self, reached: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not reached():
            logs = [path.read_text() for path in sorted(self._folder.glob("*.log"))]
            assert time.monotonic() < deadline_s, f"no {what}: {logs}"
            time.sleep(0.1)

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()
        for namespace in (self.ours, self.theirs):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made = Lab(tmp_path)
    try:
        made.build()
        made.start_avahi()
        yield made
    finally:
        made.close()


def txt(*items: str) -> Sequence[str]:
    fixed = ("v=1", "mesh=fedcba9876543210", "meshname=home", "node=00112233aabbccdd")
    return (*fixed, "name=attic", "pp=5001", "jp=5002", "sp=5003", *items)


def test_avahi_sees_our_node_and_sees_it_go(lab: Lab) -> None:
    node = lab.start(lab.ours, sys.executable, "-c", ANNOUNCE)
    assert node.stdout is not None
    assert node.stdout.readline() == "announced\n"

    def browse() -> str:
        return lab.ask(lab.theirs, "avahi-browse", "-rpt", "_vitte-mesh._tcp").stdout

    lab.until(lambda: "node=0123456789abcdef" in browse(), "announcement")
    record = next(line for line in browse().splitlines() if line.startswith("="))
    assert f";{OURS};4001;" in record
    for item in ("v=1", "mesh=fedcba9876543210", "meshname=home", "jp=4002", "sp=4003"):
        assert f'"{item}"' in record
    node.send_signal(signal.SIGINT)
    node.wait(WAIT_S)
    lab.until(lambda: "node=0123456789abcdef" not in browse(), "goodbye")


def test_our_node_sees_what_avahi_announces(lab: Lab) -> None:
    publish = ("avahi-publish-service", "attic", "_vitte-mesh._tcp", "5001", *txt())
    lab.start(lab.theirs, *publish)
    browser = lab.start(lab.ours, sys.executable, "-c", BROWSE)
    assert browser.stdout is not None
    line = browser.stdout.readline()
    for part in ("name='attic'", "00112233aabbccdd", f"host='{THEIRS}'", "swim_port=5003"):
        assert part in line
