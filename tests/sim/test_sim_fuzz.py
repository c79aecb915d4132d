"""Fuzzing: every decoder holds what it promises on a sample, and planted faults are found."""

from __future__ import annotations

import json
from random import Random

import pytest

from mesh.wire import cbor
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_message, decode_struct, encode_struct
from sim.fuzz import samples
from sim.fuzz.__main__ import main
from sim.fuzz.engine import Target, play
from sim.fuzz.rules import refusing, same_again
from sim.fuzz.targets import targets

TRIES = 60


def forever() -> bool:
    return False


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_a_sample_of_inputs_breaks_nothing(target: Target) -> None:
    played = play(target, seed=7, tries=TRIES, is_over=forever)
    assert played.findings == []
    assert played.tries == TRIES
    assert played.corpus, "not even the first input reached anything"


def test_every_declared_class_has_valid_samples() -> None:
    rng = Random(3)
    for cls in samples.structs():
        if samples.is_message(cls):
            assert type(decode_message(samples.message_bytes(cls, rng))) is cls
        else:
            value = decode_struct(cls, samples.struct_bytes(cls, rng))
            assert type(value) is cls
            assert decode_struct(cls, encode_struct(value)) == value


def test_an_exception_that_is_not_allowed_is_found() -> None:
    def decode(data: bytes) -> object:
        item = cbor.decode(data)
        if isinstance(item, list) and len(item) > 2:
            raise KeyError("planted")
        return item

    target = Target("planted", refusing(decode, WireError), lambda _: [cbor.encode([1, 2])])
    played = play(target, seed=1, tries=500, is_over=forever)
    assert [each.error.startswith("KeyError: 'planted'") for each in played.findings] == [True]


def test_a_second_encoding_of_one_value_is_found() -> None:
    def decode(data: bytes) -> bytes:
        if len(data) > 8:
            raise WireError("oversized")
        return data.lstrip(b"\0")

    check = same_again(decode, bytes, WireError)
    played = play(Target("planted", check, lambda _: [b"abc"]), 1, 500, forever)
    assert played.findings
    assert all("two encodings" in each.error for each in played.findings)


def test_the_same_seed_plays_the_same() -> None:
    target = next(each for each in targets() if each.name == "log.frame")
    one, two = (play(target, seed=5, tries=40, is_over=forever) for _ in range(2))
    assert (one.accepted, one.arcs, one.corpus) == (two.accepted, two.arcs, two.corpus)


def test_coverage_leads_deeper_than_chance() -> None:
    """What reached a new line is taken further, so the frames that are reached are more."""
    target = next(each for each in targets() if each.name == "wire.message")
    play(target, seed=2, tries=600, is_over=forever)  # codecs are made when they are first used
    few = play(target, seed=2, tries=150, is_over=forever)
    many = play(target, seed=2, tries=600, is_over=forever)
    assert many.arcs > few.arcs
    assert many.corpus > few.corpus


def test_the_command_prints_one_object_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tries", "20", "--target", "wire."]) == 0
    total = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert total["findings"] == 0
    assert (total["targets"], total["tries"]) == (3, 60)
    assert main(["--target", "nothing"]) == 2
