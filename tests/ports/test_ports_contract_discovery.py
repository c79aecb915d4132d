"""Promises of discovery; real on the loopback interface only, and simulated."""

from __future__ import annotations

from collections.abc import AsyncIterator

import attrs
from stands import Computer, Stand

from mesh.ports import Announcement

KITCHEN = Announcement(
    name="kitchen",
    mesh_prefix="fedcba9876543210",
    mesh_name="home",
    node_prefix="0123456789abcdef",
    host="127.0.0.1",
    peer_port=4001,
    join_port=4002,
    swim_port=4003,
)
ATTIC = attrs.evolve(KITCHEN, name="attic", node_prefix="aaaaaaaabbbbbbbb", peer_port=4011)
CELLAR = attrs.evolve(KITCHEN, name="cellar", node_prefix="ccccccccdddddddd", peer_port=4021)
LOFT = attrs.evolve(KITCHEN, name="loft", node_prefix="eeeeeeeeffffffff", peer_port=4031)


async def heard(found: AsyncIterator[Announcement], until: Announcement) -> list[Announcement]:
    """Everything up to this one."""
    before = []
    async for each in found:
        before.append(each)
        if each == until:
            break
    return before


def test_who_announces_is_found_by_others_and_by_itself(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        async with one.env.discovery.announce(KITCHEN):
            for computer in (two, one):
                async with computer.env.discovery.browse() as found:
                    assert (await heard(found, KITCHEN))[-1] == KITCHEN

    stand.run(story)


def test_who_browses_first_hears_of_those_who_come_later(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        async with two.env.discovery.browse() as found, one.env.discovery.announce(KITCHEN):
            await heard(found, KITCHEN)
            async with one.env.discovery.announce(ATTIC):
                assert KITCHEN not in await heard(found, ATTIC), "it has not changed"

    stand.run(story)


def test_who_changes_what_it_says_is_found_again(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        moved = attrs.evolve(KITCHEN, peer_port=4999)
        async with two.env.discovery.browse() as found:
            async with one.env.discovery.announce(KITCHEN):
                await heard(found, KITCHEN)
            async with one.env.discovery.announce(moved):
                assert KITCHEN not in await heard(found, moved)

    stand.run(story)


def test_who_has_gone_is_not_found_by_those_who_come_later(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        async with one.env.discovery.announce(ATTIC):
            async with one.env.discovery.announce(KITCHEN), two.env.discovery.browse() as found:
                await heard(found, KITCHEN)
            # Answers that were under way come for a moment still: a registration is longer.
            async with one.env.discovery.announce(CELLAR), two.env.discovery.browse() as found:
                before = await heard(found, CELLAR)
                async with one.env.discovery.announce(LOFT):  # long after the first answers
                    assert KITCHEN not in [*before, *await heard(found, LOFT)]

    stand.run(story)
