"""Promises of work outside the event loop; real and simulated.

Launchers are beyond this: a simulated machine has none (its actions need none), and what a real one
promises is in `test_ports_exec.py`. Common is that one that cannot be started is an OSError.
"""

from __future__ import annotations

import errno

import pytest
import trio
from stands import Computer, Stand

from mesh.errors import CannotSpawn
from mesh.ports import ProcessEnd, SpawnRequest


# -- threads -------------------------------------------------------------------------------------
def test_blocking_calls_return_and_raise(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        assert await one.env.exec.run_sync(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await one.env.exec.run_sync(divmod, 7, 0)

    stand.run(story)


def test_others_run_while_a_call_blocks_and_who_is_cancelled_waits_for_it(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        done: list[str] = []

        async with trio.open_nursery() as nursery:
            scope = nursery.cancel_scope

            async def cancel() -> None:
                scope.cancel()

            nursery.start_soon(cancel)  # it runs when the next line waits, and before that returns
            await one.env.exec.run_sync(done.append, "call")
            await trio.lowlevel.checkpoint()
            done.append("not cancelled")
        assert done == ["call"]
        assert scope.cancelled_caught
        with trio.CancelScope() as scope:
            scope.cancel()
            await one.env.exec.run_sync(done.append, "cancelled before it began")
        assert done == ["call"]

    stand.run(story)


# -- processes -----------------------------------------------------------------------------------
def test_a_process_ends_with_a_status_and_what_it_said(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        for status, words in ((0, "two words"), (3, "")):
            request = SpawnRequest((one.program, str(status), words), {"WORD": "hello"}, "/")
            ended = await one.env.exec.run_process(request)
            assert ended == ProcessEnd(status, words.encode(), b"hello")
        request = SpawnRequest((one.program, "0", ""), {}, "/")
        assert (await one.env.exec.run_process(request)).stderr == b"", "it sees no other variables"

    stand.run(story)


def test_processes_run_side_by_side_and_end_with_their_waiter(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        forever = SpawnRequest((one.program,), {"PATH": "/usr/bin:/bin"}, "/")
        begun_s = one.env.clock.monotonic()
        with trio.move_on_after(0.3) as waited:
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(one.env.exec.run_process, forever)
        assert waited.cancelled_caught
        assert one.env.clock.monotonic() - begun_s < 30
        quick = SpawnRequest((one.program, "0", "after"), {}, "/")
        assert (await one.env.exec.run_process(quick)).stdout == b"after"

    stand.run(story)


def test_a_program_that_is_not_there_is_a_readable_error(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        with pytest.raises(CannotSpawn) as caught:
            await one.env.exec.run_process(SpawnRequest(("/no/such/program",), {}, "/"))
        assert caught.value.params["argv0"] == "/no/such/program"
        assert caught.value.params["why"]

    stand.run(story)


def test_a_launcher_that_is_not_there_is_an_error_of_the_system(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        launcher = one.env.exec.launcher(["/no/such/launcher"], {})
        with pytest.raises(OSError, match=r".") as caught:
            async with launcher:
                pytest.fail("there is none")
        assert caught.value.errno == errno.ENOENT

    stand.run(story)
