"""How long a leaf's link takes on a bad line: to begin, to deploy, and to come back.

At each rate of flipped bits a leaf is provisioned, given a program and confirmed; then the leaf
restarts, then the gateway, then the cable is out for three seconds. Times are the line's (115200
baud), the median of the seeds and the worst. `missing` are events that the leaf's ring had to drop,
each counted; `wrong` must be 0 everywhere. This leaf answers at once, but the gateway waits as it
does for an STM32F405.

Keys: rates.RATE.{provision_ms, begin_ms, deploy_ms, leaf_restart_ms, gateway_restart_ms, cable_ms,
missing, wrong}, the worst of each.
"""

from __future__ import annotations

import argparse
from statistics import median

from common import finish, print_table

from mesh.leaf.messages import Op
from mesh.leaf.transfer import Deployed
from sim.leaves.line import Noise
from sim.leaves.rig import Rig

RATES = (0.0, 1e-5, 1e-4, 3e-4, 1e-3)
CABLE_OUT_MS = 3000
COUNTER = """
@every("50ms")
def count(n: int = 0):
    n += 1
    emit(1, n)
"""


def play(rate: float, seed: int) -> dict[str, int]:
    rig = Rig(seed, Noise(bit_flips=rate))
    rig.provision()
    times = {"provision_ms": rig.now_ms, "begin_ms": rig.trust()}
    begun_ms = rig.now_ms
    outcome = rig.deploy(rig.package(COUNTER, 1))
    assert isinstance(outcome, Deployed), outcome
    assert rig.ask(Op.CONFIRM, [1]).error == 0
    times["deploy_ms"] = rig.now_ms - begun_ms
    rig.step(500)
    proofs = len(rig.proofs)
    rig.reset_leaf()
    times["leaf_restart_ms"] = rig.until(lambda: len(rig.proofs) > proofs)
    rig.step(500)
    rig.reset_gateway()
    times["gateway_restart_ms"] = rig.trust()
    rig.step(500)
    rig.unplug()
    rig.step(CABLE_OUT_MS)
    rig.plug()
    before = len(rig.delivered)
    times["cable_ms"] = rig.until(lambda: len(rig.delivered) > before)
    rig.step(2000)
    times["missing"] = sum(stream.missing for stream in rig.streams.values())
    times["wrong"] = rig.wrong_deliveries()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    worst_of: dict[str, dict[str, int]] = {}
    rows = []
    for rate in RATES:
        plays = [play(rate, seed) for seed in range(1, options.seeds + 1)]
        names = list(plays[0])
        worst_of[f"{rate:g}"] = {name: max(each[name] for each in plays) for name in names}
        cells = [
            f"{median(each[name] for each in plays):.0f} / {max(each[name] for each in plays)}"
            for name in names
        ]
        rows.append([f"{rate:g}", *cells])
    head = [
        "flips per bit",
        "provision",
        "begin",
        "deploy",
        "leaf restarts",
        "gateway restarts",
        "cable",
        "missing",
        "wrong",
    ]
    print_table("milliseconds, median / worst", head, rows)
    finish("leaf_line", {"seeds": options.seeds}, rates=worst_of)
    assert not any(each["wrong"] for each in worst_of.values())


if __name__ == "__main__":
    main()
