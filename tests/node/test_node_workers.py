"""Tasks that run one job after another: each ends once, and a cancellation hits its job alone."""

from __future__ import annotations

import trio
import trio.testing

from mesh.node.workers import End, Job, Workers


class Jobs:
    """Makes jobs that note what becomes of them."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.tasks: dict[str, trio.lowlevel.Task] = {}
        self.scopes: dict[str, trio.CancelScope] = {}

    def make(self, name: str, hold: trio.Event | None = None) -> Job:
        async def job(scope: trio.CancelScope) -> End:
            self.scopes[name] = scope
            self.tasks[name] = trio.lowlevel.current_task()
            try:
                if hold is not None:
                    await hold.wait()
            except trio.Cancelled:
                self.story.append(f"{name} aborted")
                raise
            return lambda: self.story.append(name)

        return job


async def test_one_task_runs_one_job_after_another(nursery: trio.Nursery) -> None:
    workers, jobs = Workers(), Jobs()

    async def first(scope: trio.CancelScope) -> End:
        end = await jobs.make("first")(scope)

        def then() -> None:
            end()
            workers.start(nursery, jobs.make("second"))

        return then

    workers.start(nursery, first)
    await trio.testing.wait_all_tasks_blocked()
    assert jobs.story == ["first", "second"]
    assert jobs.tasks["first"] is jobs.tasks["second"]


async def test_jobs_at_once_have_tasks_and_scopes_of_their_own(nursery: trio.Nursery) -> None:
    workers, jobs, hold = Workers(), Jobs(), trio.Event()
    for name in ("a", "b", "c"):
        workers.start(nursery, jobs.make(name, hold))
    await trio.testing.wait_all_tasks_blocked()
    jobs.scopes["b"].cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert jobs.story == ["b aborted"]
    hold.set()
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(jobs.story) == ["a", "b aborted", "c"]


async def test_after_an_aborted_job_others_run(nursery: trio.Nursery) -> None:
    workers, jobs = Workers(), Jobs()
    workers.start(nursery, jobs.make("aborted", trio.Event()))
    await trio.testing.wait_all_tasks_blocked()
    jobs.scopes["aborted"].cancel()
    workers.start(nursery, jobs.make("next", None))
    workers.start(nursery, jobs.make("another", None))
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(jobs.story) == ["aborted aborted", "another", "next"]


async def test_a_cancellation_that_comes_too_late_hits_nobody(nursery: trio.Nursery) -> None:
    workers, jobs = Workers(), Jobs()

    async def ends_anyway(scope: trio.CancelScope) -> End:
        scope.cancel()  # no checkpoint follows: the job does not notice
        return lambda: workers.start(nursery, jobs.make("next", hold))

    hold = trio.Event()
    workers.start(nursery, ends_anyway)
    await trio.testing.wait_all_tasks_blocked()
    hold.set()
    await trio.testing.wait_all_tasks_blocked()
    assert jobs.story == ["next"]
