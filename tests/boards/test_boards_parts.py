"""Flash, serial lines, pins and bus devices of the boards, without a processor."""

from __future__ import annotations

import pytest

from sim.boards import nrf52840
from sim.boards.board import Board, BoardConfig
from sim.boards.devices import I2cDevice, SpiDevice
from sim.boards.flash import Cut, FlashMemory, Tear
from sim.boards.machine import BoardFault
from sim.boards.pins import Drive, Pins
from sim.boards.rp2040_flash import crc32
from sim.boards.uart import Uart

BASE = 0x1000


class StillHost:
    """A machine whose time is what the test says."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.skipped_ns: list[int] = []

    def skip_to(self, moment_ns: int) -> None:
        self.skipped_ns.append(moment_ns)

    def stall_to(self, moment_ns: int) -> None:
        self.now_ns = moment_ns

    def request_reset(self, cause: str) -> None:
        raise AssertionError(cause)


def memory(image: bytes = bytes([0xFF]) * 64) -> FlashMemory:
    return FlashMemory(BASE, image, lambda _at, _data: None)


# -- flash --------------------------------------------------------------------------------------


def test_programming_clears_bits_and_erasing_sets_them() -> None:
    flash = memory()
    flash.program(BASE, b"\xf0\x0f")
    flash.program(BASE, b"\x3c\x3c")
    assert flash.read(BASE, 2) == b"\x30\x0c"
    flash.erase(BASE, 64)
    assert flash.read(BASE, 64) == bytes([0xFF]) * 64
    assert flash.operations == 3


def test_a_word_of_ones_that_was_programmed_is_known_to_be_written_until_erased() -> None:
    flash = memory()
    flash.program(BASE, b"\x00")
    assert not flash.is_erased(BASE, 1)
    flash.erase(BASE, 64)
    assert flash.is_erased(BASE, 1)


@pytest.mark.parametrize("tear", list(Tear))
def test_a_cut_erasure_leaves_what_its_kind_says(tear: Tear) -> None:
    flash = memory(bytes(64))
    flash.cut = Cut(1, tear, seed=3)
    flash.erase(BASE, 64)
    expected = {
        Tear.CLEAN: bytes(64),
        Tear.HALF: bytes([0xFF]) * 32 + bytes(32),
    }
    if tear is Tear.TORN:
        assert flash.data not in (bytes(64), bytes([0xFF]) * 64)
    else:
        assert bytes(flash.data) == expected[tear]
    assert flash.dark


def test_a_torn_word_has_changed_only_bits_that_it_was_to_change() -> None:
    flash = memory()
    flash.cut = Cut(1, Tear.TORN, seed=9)
    flash.program(BASE, b"\x0f\xf0\x00\xff")
    for have, wanted in zip(flash.read(BASE, 4), b"\x0f\xf0\x00\xff", strict=True):
        assert have & wanted == wanted
    assert flash.read(BASE, 4) != b"\x0f\xf0\x00\xff"


def test_without_power_nothing_is_written() -> None:
    flash = memory()
    flash.cut = Cut(1)
    flash.program(BASE, b"\x00")
    with pytest.raises(AssertionError, match="no power"):
        flash.program(BASE + 4, b"\x00")


# -- serial line --------------------------------------------------------------------------------


def test_a_byte_takes_ten_bits_and_one_that_finds_no_room_is_an_overrun() -> None:
    host = StillHost()
    uart = Uart(host, depth=2, baud=1_000_000)
    uart.is_on = True
    uart.put(b"abc")
    host.now_ns = 9_999
    assert not uart.has_received()
    host.now_ns = 30_000
    assert (uart.receive(), uart.receive(), uart.overruns) == (ord("a"), ord("b"), 1)
    assert uart.has_overrun()
    assert not uart.has_received()


def test_polling_for_room_lets_time_pass() -> None:
    host = StillHost()
    uart = Uart(host, depth=1, baud=1_000_000)
    uart.send(65)
    assert not uart.has_room()
    assert host.skipped_ns == [10_000]
    host.now_ns = 10_000
    assert uart.has_room()
    assert uart.take() == b"A"


# -- pins ---------------------------------------------------------------------------------------


def test_low_wins_on_an_open_drain_pin() -> None:
    pins = Pins(4)
    pins.configure(1, Drive.OPEN_DRAIN)
    pins.write(1, True)
    assert pins.level(1)
    pins.pull_low(1, "device", True)
    assert not pins.level(1)
    pins.pull_low(1, "device", False)
    pins.write(1, False)
    assert not pins.level(1)


def test_pulls_give_a_level_that_anybody_may_override() -> None:
    pins = Pins(2)
    pins.configure(0, Drive.UP)
    assert pins.level(0)
    pins.set(0, False)
    assert not pins.level(0)
    pins.set(0, None)
    assert pins.level(0)


# -- bus devices, driven by hand ----------------------------------------------------------------


class Master:
    """The other end of both buses, on plain pins."""

    SCL, SDA, SCK, MISO, MOSI, SELECT = range(6)

    def __init__(self) -> None:
        self.pins = Pins(6)
        for pin in (self.SCL, self.SDA):
            self.pins.write(pin, True)
            self.pins.configure(pin, Drive.OPEN_DRAIN)
        self.pins.write(self.SELECT, True)
        for pin in (self.SCK, self.MOSI, self.SELECT):
            self.pins.configure(pin, Drive.PUSH_PULL)

    def start(self) -> None:
        for pin, level in (
            (self.SDA, True),
            (self.SCL, True),
            (self.SDA, False),
            (self.SCL, False),
        ):
            self.pins.write(pin, level)

    def stop(self) -> None:
        for pin, level in ((self.SDA, False), (self.SCL, True), (self.SDA, True)):
            self.pins.write(pin, level)

    def bit(self, out: bool) -> bool:
        self.pins.write(self.SDA, out)
        self.pins.write(self.SCL, True)
        level = self.pins.level(self.SDA)
        self.pins.write(self.SCL, False)
        return level

    def put(self, byte: int) -> bool:
        """Whether it was acknowledged."""
        for index in range(7, -1, -1):
            self.bit(bool(byte >> index & 1))
        return not self.bit(True)

    def get(self, more: bool) -> int:
        byte = 0
        for _ in range(8):
            byte = byte << 1 | self.bit(True)
        self.bit(not more)
        return byte

    def exchange(self, byte: int) -> int:
        got = 0
        for index in range(7, -1, -1):
            self.pins.write(self.MOSI, bool(byte >> index & 1))
            self.pins.write(self.SCK, True)
            got = got << 1 | self.pins.level(self.MISO)
            self.pins.write(self.SCK, False)
        return got


def test_an_i2c_device_is_written_and_read_back() -> None:
    master = Master()
    device = I2cDevice(master.pins, Master.SCL, Master.SDA, 0x48)
    master.start()
    assert all(master.put(each) for each in (0x90, 7, 0xAB, 0xCD))
    master.stop()
    assert device.registers[7:9] == b"\xab\xcd"
    master.start()
    assert master.put(0x90)
    assert master.put(7)
    master.start()
    assert master.put(0x91)
    assert (master.get(True), master.get(False)) == (0xAB, 0xCD)
    master.stop()
    assert master.pins.level(Master.SDA)


def test_an_i2c_device_with_another_address_or_none_stays_silent() -> None:
    master = Master()
    device = I2cDevice(master.pins, Master.SCL, Master.SDA, 0x48)
    master.start()
    assert not master.put(0x92)
    master.stop()
    device.is_there = False
    master.start()
    assert not master.put(0x90)


def test_an_spi_device_is_written_and_read_back_while_it_is_selected() -> None:
    master = Master()
    device = SpiDevice(master.pins, Master.SCK, Master.MISO, Master.MOSI, Master.SELECT)
    master.pins.write(Master.SELECT, False)
    for byte in (3, 0x5A, 0xC3):
        master.exchange(byte)
    master.pins.write(Master.SELECT, True)
    assert device.registers[3:5] == b"\x5a\xc3"
    master.exchange(9)
    master.pins.write(Master.SELECT, False)
    master.exchange(0x83)
    assert (master.exchange(0), master.exchange(0)) == (0x5A, 0xC3)


# -- flash rules of the parts that have their own ------------------------------------------------


def test_the_boot_roms_checksum_is_crc_32_mpeg_2() -> None:
    assert crc32(b"123456789") == 0x0376E6E7  # the check value of that algorithm


def test_a_flash_without_a_good_second_stage_does_not_start() -> None:
    board = Board("rp2040")
    flash = bytearray(board.flash_image())
    flash[8] ^= 1
    with pytest.raises(BoardFault, match="checksum of the second stage"):
        Board("rp2040", BoardConfig(flash=bytes(flash))).power_on()


def test_a_word_of_an_nrf52840_is_written_twice_at_most() -> None:
    cells = memory()
    controller = nrf52840.Flash(StillHost(), 0x4001_E000, cells)
    controller.write(controller.CONFIG, 4, controller.WRITE)
    for value in (0xFFFF_FF0F, 0xFFFF_FF00):
        controller.flash_store(BASE, 4, value)
    assert not cells.mistakes
    controller.flash_store(BASE, 4, 0)
    assert cells.mistakes["word written too often"] == 1


def test_an_nrf52840_writes_nothing_that_was_not_allowed() -> None:
    cells = memory()
    controller = nrf52840.Flash(StillHost(), 0x4001_E000, cells)
    controller.flash_store(BASE, 4, 0)
    controller.write(controller.ERASEPAGE, 4, 0)
    assert cells.mistakes == {"write without permission": 1, "erase without permission": 1}
    assert cells.operations == 0
