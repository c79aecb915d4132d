"""The node process: a control socket from the first moment, a mesh as soon as there is one.

    started --init/join--> in a mesh --leave--> started

The control server outlives memberships, so that `init`, `join` and `leave` are ordinary operations.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import trio

from mesh.cas.files import broken_disk_as_error
from mesh.cas.scrub import Scrubber
from mesh.control.requests import to_mesh_error
from mesh.control.server import ControlServer
from mesh.errors import AlreadyInMesh, Bug, MeshError, NodeAlreadyRunning, NotInMesh, StoreFull
from mesh.identity import trust
from mesh.identity.keys import NodeKey, load_or_create_key
from mesh.identity.messages import PeerAddress
from mesh.identity.trust import MeshIdentity
from mesh.node.config import NodeConfig
from mesh.node.handlers import handlers_of
from mesh.node.options import OPTIONS_FILE
from mesh.node.periodic import Periodic
from mesh.node.runs.archive import RunArchive
from mesh.node.runs.record import RunRecord
from mesh.node.runtime import MeshRuntime
from mesh.node.workshop import Workshop, open_workshop
from mesh.planners.warmup import get_ready
from mesh.ports import Env
from mesh.ports.disk import AlreadyLocked

LOCK_FILE = "node.pid"
HOUSEKEEPING_S = 30.0
ANSWER_FIRST_S = 0.02
"""Until what a run has taught us is written down: longer than sending its view takes."""
logger = logging.getLogger(__name__)


class Node:
    """One node. `run` lasts until `stop`, or until cancelled.

    A disk that fails costs warmth and blobs, never the node, but for the little that it cannot be
    itself without: key, roster, epoch. Then making or running it is StoreBroken.
    """

    def __init__(self, env: Env, config: NodeConfig) -> None:
        self.env = env
        self.config = config
        self.archive = RunArchive(env.disk)
        with broken_disk_as_error():
            self.key: NodeKey = load_or_create_key(env.disk, env.entropy)
        self.workshop: Workshop
        self._cache_counted = False
        self._keeping_house = False
        self._scrubber: Scrubber | None = None
        self._housekeeping = Periodic(env.clock, HOUSEKEEPING_S, self._keep_house)
        self._runtime: MeshRuntime | None = None
        self._scope: trio.CancelScope | None = None
        self._ended = trio.Event()
        self._nursery: trio.Nursery
        self._stop = trio.Event()
        self.came_up = False
        """Whether it has got as far as answering its user."""

    @property
    def runtime(self) -> MeshRuntime:
        """Raises NotInMesh."""
        if self._runtime is None:
            raise NotInMesh
        return self._runtime

    @property
    def in_mesh(self) -> bool:
        return self._runtime is not None

    def require_no_mesh(self) -> None:
        if self._runtime is not None:
            raise AlreadyInMesh(name=self._runtime.identity.mesh_name)

    async def run(self) -> None:
        """Serve until stopped. Raises NodeAlreadyRunning before anything in the home changes."""
        with self._own_home():
            with broken_disk_as_error():
                if self.config.said:
                    self.env.disk.write(OPTIONS_FILE, self.config.said)
            await self._serve()

    @contextmanager
    def _own_home(self) -> Iterator[None]:
        """Two nodes in one home would overwrite each other's state."""
        with ExitStack() as stack:
            note = b"%d\n" % self.env.readings.process_id
            try:
                with broken_disk_as_error():
                    stack.enter_context(self.env.disk.lock(LOCK_FILE, note))
            except AlreadyLocked:
                raise NodeAlreadyRunning(home=str(self.config.home)) from None
            yield

    async def _serve(self) -> None:
        async with open_workshop(self.env, self.config) as self.workshop:
            server = ControlServer(self.env.control, handlers_of(self))
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._get_ready)
                with broken_disk_as_error():
                    identity = trust.load(self.env)
                if identity is not None and identity.me() is not None:
                    await self.enter(identity)
                await self._nursery.start(server.serve)
                self.came_up = True
                self._nursery.start_soon(self._count_cache)
                await self._stop.wait()
                self._housekeeping.stop()
                if self._runtime is not None:
                    await self._runtime.say_goodbye()
                self._nursery.cancel_scope.cancel()

    @property
    def cache_bytes(self) -> int | None:
        """Size of the blob store; None as long as it has not been counted."""
        return self.workshop.store.size_bytes if self._cache_counted else None

    async def _get_ready(self) -> None:
        """The first build finds the planners loaded and the compilers hashed."""
        shop, env = self.workshop, self.config.compilers_env
        if env is not None:
            await self.env.exec.run_sync(get_ready, shop.toolchains, shop.includes, env)

    async def _count_cache(self) -> None:
        """Know the store's size; from then on, keep it within its bound."""
        try:
            await self.env.exec.run_sync(self.workshop.store.count)
        except OSError:
            logger.warning("the store could not be counted", exc_info=True)
        self._cache_counted = True
        self._scrubber = Scrubber(self.workshop.store, self.env.clock.monotonic())
        self._housekeeping.start()

    def _keep_house(self) -> None:
        if self._keeping_house or self._scrubber is None:
            return
        now_s = self.env.clock.monotonic()
        if self.workshop.store.is_over(self.config.cache_bytes_max):
            keep_bytes = self.config.cache_bytes_max * 9 // 10
            self._do_in_thread(self.workshop.store.trim, keep_bytes)
        elif self._scrubber.is_due(now_s) and not self.workshop.runner.busy:
            self._do_in_thread(self._scrubber.step, now_s)

    def _do_in_thread(self, work: Callable[..., object], *args: float) -> None:
        self._keeping_house = True
        self._nursery.start_soon(self._housework, work, *args)

    async def _housework(self, work: Callable[..., object], *args: float) -> None:
        try:
            await self.env.exec.run_sync(work, *args)
        except (OSError, StoreFull):
            logger.warning("the store could not be looked after", exc_info=True)
        finally:
            self._keeping_house = False

    def after_run(self, record: RunRecord) -> None:
        """Write down what a run has taught us; the user's answer does not wait for it."""
        self._nursery.start_soon(self._write_down, record)

    async def _write_down(self, record: RunRecord) -> None:
        with trio.CancelScope(shield=True):
            await self.env.clock.sleep_until(self.env.clock.monotonic() + ANSWER_FIRST_S)
            document = self.archive.encode(record)
            await self.env.exec.run_sync(self.archive.store, record, document)
            await self.env.exec.run_sync(self.workshop.save)
        self.archive.drop_oldest()

    def stop(self) -> None:
        self._stop.set()

    async def enter(self, identity: MeshIdentity, seeds: Iterable[PeerAddress] = ()) -> None:
        """Start to be a member. Raises AddressInUse, StoreBroken."""
        with broken_disk_as_error():
            runtime = MeshRuntime(self.env, self.config, identity, self.workshop)
        try:
            await self._nursery.start(self._be_member, runtime, tuple(seeds))
        except ExceptionGroup as group:  # of the nursery in `_be_member`
            error = to_mesh_error(group)
            if isinstance(error, Bug):
                raise
            raise error from None
        self._runtime = runtime

    async def exit(self) -> None:
        """Stop being a member and forget the mesh."""
        runtime = self.runtime
        try:
            await runtime.leave_mesh()
        except MeshError as error:
            # The last admin of a mesh cannot be removed by a record that others would accept;
            # the user's wish to leave is honoured all the same.
            logger.warning("left without telling the others: %s", error)
        assert self._scope is not None
        self._scope.cancel()
        await self._ended.wait()
        trust.forget(self.env.disk)

    async def _be_member(
        self,
        runtime: MeshRuntime,
        seeds: tuple[PeerAddress, ...],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self._ended = trio.Event()
        try:
            with trio.CancelScope() as self._scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(runtime.run, seeds)
                    task_status.started()
        finally:
            self._runtime = None
            self._ended.set()
