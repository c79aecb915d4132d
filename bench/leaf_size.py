"""What a leaf takes of a microcontroller: flash, static RAM and measured stack, per part.

Flash and static RAM are what the linker placed. Stack is the deepest that a board in software saw,
interrupts included, while the firmware did everything it can: provisioning, proofs, deploys of the
largest program (stored and compressed), confirming, refreshing a slot, rules on every resource,
events. Beside them stand what the parts' users asked for at most, and our own budget.

Keys: targets.NAME.{flash_bytes, ram_bytes, static_bytes, stack_bytes}; ram = static + stack.
"""

from __future__ import annotations

import argparse

from common import finish, print_table

from mesh.leaf.messages import Op
from mesh.leaf.transfer import Deployed
from sim.boards.board import MAKERS, BoardConfig
from sim.boards.image import Image, firmware
from sim.boards.workbench import Workbench

FLASH_BUDGET_BYTES, RAM_BUDGET_BYTES = 16 * 1024, 6 * 1024
ASKED = {
    "stm32f405": (64, 16),
    "stm32h7a3": (128, 32),
    "nrf52840": (48, 12),
    "rp2040": (32, 8),
}
"""KiB of flash and RAM that would still have been all right."""
EVERYTHING = """
@every("20ms")
def sense(n: int = 0):
    value = adc(0) * 0.1
    gpio(5).set(value > 80.0)
    emit(1, n)
    n += 1

@every("50ms")
def buses(last: int = 0):
    last = i2c(0, address=0x48, register=0, size=2)
    spi(0, select=7, first=0x80, size=4).set(last)
    emit(2, last)

@every("100ms")
def ask_somebody(answer: int = 0):
    uart(0).set(65)
    emit(3, answer)
"""


def exercise(name: str, image: Image) -> Workbench:
    """Let a board with that firmware do everything once; returns it."""
    bench = Workbench(name, BoardConfig(seed=7, image=image))
    bench.provision()
    for counter in (1, 2):
        outcome = bench.deploy(bench.package(EVERYTHING, counter))
        assert isinstance(outcome, Deployed), outcome
        answer = bench.ask(Op.CONFIRM, [counter])
        assert answer.error == 0, answer
        bench.chip.adc[0] = 4000
        bench.step(300)
    bench.ask(Op.STATUS)
    bench.ask(Op.RULES)
    return bench


def measure(name: str, compiler: str) -> dict[str, int]:
    image = firmware(name, compiler)
    bench = exercise(name, image)
    static_bytes, stack_bytes = image.ram_bytes, bench.chip.stack_bytes()
    assert not bench.chip.machine.flash.mistakes, bench.chip.machine.flash.mistakes
    return {
        "flash_bytes": image.flash_bytes,
        "ram_bytes": static_bytes + stack_bytes,
        "static_bytes": static_bytes,
        "stack_bytes": stack_bytes,
    }


def row(name: str, sizes: dict[str, int]) -> list[str]:
    flash_kib, ram_kib = ASKED[name]
    return [
        name,
        f"{sizes['flash_bytes']}",
        f"{100 * sizes['flash_bytes'] / (1024 * flash_kib):.0f} % of {flash_kib}K",
        f"{sizes['static_bytes']} + {sizes['stack_bytes']}",
        f"{100 * sizes['ram_bytes'] / (1024 * ram_kib):.0f} % of {ram_kib}K",
        "yes" if fits(sizes) else "NO",
    ]


def fits(sizes: dict[str, int]) -> bool:
    return sizes["flash_bytes"] <= FLASH_BUDGET_BYTES and sizes["ram_bytes"] <= RAM_BUDGET_BYTES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", default=sorted(MAKERS))
    parser.add_argument("--compiler", choices=("zig", "gcc"), default="zig")
    options = parser.parse_args()
    targets = {each: measure(each, options.compiler) for each in options.targets}
    print_table(
        f"a leaf, built with {options.compiler}; ours: {FLASH_BUDGET_BYTES} and {RAM_BUDGET_BYTES}",
        ["", "flash", "share", "RAM + stack", "share", "fits"],
        [row(name, sizes) for name, sizes in targets.items()],
    )
    finish("leaf_size", {}, targets=targets, compiler=options.compiler)


if __name__ == "__main__":
    main()
