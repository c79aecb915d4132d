"""Every mechanism of membership that can be taken away is measured with and without it."""

from __future__ import annotations

import attrs
import mechanisms

from mesh.swim.config import LAN, SwimConfig

NUMBERS = {"indirect_probes", "confirmations", "observers", "quorum"}
"""Mechanisms that are taken away with a number, not with a switch."""
CHANGED = {
    "beats": {"beats", "probe_interval_s"},  # the probes of SWIM do their work
    "confirmations": {"suspicion_min_s"},  # there are some, and they shorten nothing
}


def switches() -> set[str]:
    return {field.name for field in attrs.fields(SwimConfig) if isinstance(field.default, bool)}


def test_every_switch_has_a_story_and_every_story_a_mechanism() -> None:
    assert {story.name for story in mechanisms.STORIES} == switches() | NUMBERS


def test_a_story_takes_away_nothing_but_its_mechanism_and_what_stands_in_for_it() -> None:
    for story in mechanisms.STORIES:
        with_it, without = attrs.asdict(story.with_it), attrs.asdict(story.without)
        changed = {name for name in with_it if with_it[name] != without[name]}
        assert changed == CHANGED.get(story.name, {story.name}), story.name


def test_all_of_them_are_on_in_the_profile_of_a_building() -> None:
    assert all(getattr(LAN, name) for name in switches())
