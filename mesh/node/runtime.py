"""A node that is in a mesh: everything that runs between joining and leaving, wired in one place.

    doors --streams--> links --messages--> work / state / roster
    gossip --who is alive--> links            discovery --who is there--> gossip
    runs --jobs--> work --shards--> performer

Nothing else knows all the parts. Each part is told what it needs as plain callables or small
protocols; none imports this module.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import trio

from mesh.action.platform import this_platform
from mesh.identity.messages import PeerAddress
from mesh.identity.records import FeedPoint
from mesh.identity.roles import BUILD, SUBMIT
from mesh.identity.roster import RosterChange
from mesh.identity.trust import MeshIdentity
from mesh.limits import MIB
from mesh.log.retention import RetentionConfig
from mesh.node.blobs import BlobExchange
from mesh.node.config import LinkConfig, NodeConfig
from mesh.node.counters import Counters
from mesh.node.doors import Doors, open_doors
from mesh.node.epoch import next_epoch
from mesh.node.facts import FactBoard
from mesh.node.gossip import Gossip, GossipSetup
from mesh.node.join_door import JoinDoor
from mesh.node.leaves.deploying import Deployer
from mesh.node.leaves.gateway import Leaves
from mesh.node.link import Link
from mesh.node.links import Links
from mesh.node.perform import Performer, PerformerParts
from mesh.node.periodic import Periodic
from mesh.node.runs.parts import RunParts
from mesh.node.state.deeds import Deeds
from mesh.node.state.driver import SharedState, StateParts
from mesh.node.state.holders import Copies, CopiesParts
from mesh.node.state.results import ActionResults
from mesh.node.stolen import StolenParts, StolenRunner
from mesh.node.surroundings import Surroundings
from mesh.node.work import WorkDriver, WorkParts
from mesh.node.workshop import Workshop
from mesh.planners.base import Plan
from mesh.planners.resolve import ResolverConfig
from mesh.ports import ByteStream, Env
from mesh.scheduler.config import SchedulerConfig
from mesh.swim.config import profile_for
from mesh.swim.effects import MemberView, State
from mesh.types import NodeId, short
from mesh.wire.frame import FrameReader
from mesh.wire.messages import (
    PROTOCOL_VERSION,
    AliveAsked,
    AliveSaid,
    Hello,
    Load,
    NodeFacts,
    RosterDigest,
    RosterRecords,
)

LOAD_EVERY_S = 1.0
RTTS_EVERY_REPORTS = 60
LEASES_PER_START_BITS = 18
"""Room between the lease numbers of two starts: news of an earlier life names no lease of ours."""
ROSTER_BATCH_BYTES = MIB
ROSTER_SLICE = 512
"""Records merged at once: a merge saves the roster, and bad ones are noticed after each slice."""
ROSTER_REJECTED_MAX = 64
"""Refused records in one slice after which the link is closed."""
GOODBYE_S = 1.0
LEAVE_LINK_S = 3.0
"""Both sides have dialled by then."""
logger = logging.getLogger(__name__)


class MeshRuntime:
    """Implements `LinkOwner` and `Roles`. `run` lasts as long as the membership is used."""

    def __init__(
        self, env: Env, config: NodeConfig, identity: MeshIdentity, workshop: Workshop
    ) -> None:
        self._env = env
        self._config = config
        self._workshop = workshop
        self._epoch = next_epoch(env.disk, env.clock, env.entropy)
        self._platform = this_platform()
        self.identity = identity
        self.counters = Counters()
        self._load_reports = Periodic(env.clock, LOAD_EVERY_S, self._report_load)
        self._reports_since_rtts = 0
        self._reported_load: Load | None = None
        self._felt_pressure = 0.0
        me = identity.node_id
        link_config = LinkConfig()
        self.links = Links(env, me, identity, self, link_config)
        self.blobs = BlobExchange(env, workshop.store, self.links, link_config)
        self.state = SharedState(
            StateParts(
                env=env,
                identity=identity,
                links=self.links,
                blobs=self.blobs,
                store=workshop.store,
                retention=RetentionConfig(config.max_buffer_size_mb, config.max_buffer_age_hours),
                host=config.name,
            )
        )
        self.results = ActionResults(me, workshop.store, self.state, config.trust)
        self.copies = Copies(
            CopiesParts(env, me, workshop, self.results, self.links, self.blobs, config)
        )
        self.performer = Performer(
            PerformerParts(me, identity.key.sign, workshop.runner, workshop.store, self.results)
        )
        self.stolen = StolenRunner(
            StolenParts(
                env,
                self.links,
                workshop.store,
                self.blobs,
                self.performer,
                workshop.runner,
            )
        )
        self.deeds = Deeds(me, self.state, env.clock)
        self.state.before_seal.append(self.deeds.say_waiting)
        self.stolen.executed = self.deeds.executed
        scheduling = SchedulerConfig(
            slots=config.slots if self.may_build(me) else 0,
            first_lease=self._epoch << LEASES_PER_START_BITS,
        )
        self.work = WorkDriver(
            WorkParts(env, me, self.links, self.performer, self.stolen, self, scheduling)
        )
        self.facts = FactBoard(self.stolen.tools, self.links.post_all)
        self.leaves = Leaves(env, identity, self.links, self.state)
        self.leaves.admitted = self.roster_changed
        self.deployer = self.leaves.programs = Deployer(self.leaves)
        self.gossip: Gossip
        self.door: JoinDoor
        self.doors: Doors

    # -- life -----------------------------------------------------------------------------------
    async def run(
        self,
        seeds: Iterable[PeerAddress] = (),
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Be a member until cancelled. Raises AddressInUse."""
        self.doors = await open_doors(self._env, self._config.bind, self.identity)
        host, port = self._config.bind[0], self.doors.port
        setup = GossipSetup(
            bind=(host, port),
            peer_port=port,
            join_port=self.doors.join.address[1],
            epoch=self._epoch,
            advertise_host=host,
        )
        profile = profile_for(self._config.profile, host)
        self.gossip = Gossip(self._env, profile, self.identity, setup, self._member_changed)
        self.gossip.ask_stream = self._ask_stream
        surroundings = Surroundings(
            self._env, self._config, self.identity, self.doors, self.gossip, self.counters
        )
        addresses = surroundings.door_addresses
        self.door = JoinDoor(self._env, self.identity, addresses, self.roster_changed)
        logger.info("listening on %s, port %d, as %s", host, port, self._config.name)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.work.run)
                await nursery.start(self.state.run)
                self._say_who_we_are()
                await nursery.start(self.copies.run)
                await nursery.start(self.gossip.run)
                nursery.start_soon(self.doors.peer.serve, self.links.accept)
                nursery.start_soon(self.door.serve, self.doors.join)
                nursery.start_soon(self.links.run)
                self._load_reports.start()
                nursery.start_soon(surroundings.discover, self.meet)
                await nursery.start(self.leaves.run)
                await nursery.start(self.deployer.run)
                self.meet(seeds)
                task_status.started()
        finally:
            self._load_reports.stop()
            self.blobs.close()
            await self.doors.aclose()

    def _say_who_we_are(self) -> None:
        """To the mesh; and what we have built in another one is the mesh's from now on."""
        self.deeds.tell_profile(self._config.name, self._platform, self._config.slots)
        self.results.bring_in(self.state.brought)

    def meet(self, peers: Iterable[PeerAddress]) -> None:
        """Addresses of members, learnt while joining, by hand or from the network."""
        for peer in peers:
            self.links.want(peer.node_id, (peer.host, peer.peer_port), proven=False)
            self.gossip.join([(peer.node_id, (peer.host, peer.swim_port))])

    async def say_goodbye(self) -> None:
        """Tell the others that we stop, so that nobody has to find out."""
        with trio.move_on_after(GOODBYE_S):
            await self.gossip.leave()

    async def leave_mesh(self) -> None:
        """Give up the membership: a signed record, spread before we go; that takes a link."""
        if len(self.identity.members()) > 1:
            await self.links.somebody(LEAVE_LINK_S)
        self.state.seal()
        me = self.identity.node_id
        record = self.identity.write_leave(me, self.state.cut_of(me))
        self.links.post_all(RosterRecords((record,)))
        await self.say_goodbye()

    def expel(self, node: NodeId, cut: tuple[FeedPoint, ...]) -> None:
        """Shut a node out, or cut its log at another place: a signed record, told to all who are
        linked before this returns. Raises NotAllowed."""
        member = self.identity.member(node)
        record = self.identity.write_leave(node, cut)
        left = () if member is None else (member,)
        self._spread(self.identity.node_id, RosterChange(left=left, records=(record,)))

    # -- who is who -----------------------------------------------------------------------------
    def name_of(self, node: NodeId) -> str:
        member = self.identity.member(node)
        return member.name if member is not None else short(node)

    def refused_streams(self) -> Mapping[str, int]:
        """Connections to our doors that came to nothing, by reason."""
        return self._env.streams.counters

    def name_ever(self, node: NodeId) -> str:
        """Also of somebody who was a member once."""
        member = self.identity.member(node)
        return member.name if member else self.identity.roster.names().get(node, short(node))

    def may_build(self, node: NodeId) -> bool:
        return self.identity.allowed(node, BUILD)

    def may_submit(self, node: NodeId) -> bool:
        return self.identity.allowed(node, SUBMIT)

    def view_of(self, node: NodeId) -> MemberView | None:
        for view in self.gossip.members():
            if view.node_id == node:
                return view
        return None

    def near_first(self) -> list[NodeId]:
        """Linked peers, by round trip."""
        rtts = dict(self.gossip.round_trips_s())
        far = float("inf")
        return sorted(self.links.by_node, key=lambda node: (rtts.get(node, far), node))

    # -- LinkOwner ------------------------------------------------------------------------------
    def hello(self, lane: int) -> Hello:
        return Hello(
            version=PROTOCOL_VERSION,
            mesh_id=self.identity.mesh_id,
            epoch=self._epoch,
            lane=lane,
            name=self._config.name,
            platform=self._platform,
            roster=self.identity.roster.digest(),
            load=self.work.core.load(),
        )

    def link_up(self, link: Link) -> None:
        logger.info("linked with %s", self.name_of(link.peer))
        if link.hello.roster != self.identity.roster.digest():
            self._send_roster(link)
        link.post(self.facts.own())
        self.work.peer_up(link.peer, link.hello.load)
        self.state.link_up(link.peer)
        self.copies.link_up(link.peer)
        self.leaves.link_up(link)

    def link_down(self, link: Link) -> None:
        logger.info("the link with %s ended", self.name_of(link.peer))
        self.work.peer_down(link.peer)
        self.gossip.stream_ended(link.peer)
        self.blobs.forget(link.peer)
        self.state.link_down(link.peer)
        self.copies.link_down(link.peer)
        self.leaves.link_down(link.peer)

    def receive(self, link: Link, message: Any) -> None:
        peer = link.peer
        if (
            self.work.receive(peer, message)
            or self.state.receive(peer, message)
            or self.copies.receive(peer, message)
            or self.leaves.receive(link, message)
        ):
            return
        match message:
            case AliveAsked():
                link.post(AliveSaid())
            case AliveSaid():
                self.gossip.stream_alive(link.peer)
            case NodeFacts(tools):
                self.work.core.peer_tools(link.peer, tools)
            case RosterRecords(records):
                self._take_records(link.peer, records)
            case RosterDigest(roster):
                if roster != self.identity.roster.digest():
                    self._send_roster(link)
            case _:
                self.counters.add(f"unexpected.{type(message).__name__}")

    def _ask_stream(self, node: NodeId) -> None:
        self.links.post(node, AliveAsked())

    async def serve_bulk(self, stream: ByteStream, peer: NodeId, reader: FrameReader) -> None:
        await self.blobs.serve(stream, peer, reader)  # any member may fetch

    # -- roster ---------------------------------------------------------------------------------
    def _send_roster(self, link: Link) -> None:
        self._send_records(link, self.identity.roster.records())

    @staticmethod
    def _send_records(link: Link, records: Iterable[bytes]) -> None:
        batch: list[bytes] = []
        size_bytes = 0
        for record in records:
            if size_bytes + len(record) > ROSTER_BATCH_BYTES:
                link.post(RosterRecords(tuple(batch)))
                batch, size_bytes = [], 0
            batch.append(record)
            size_bytes += len(record)
        link.post(RosterRecords(tuple(batch)))

    def _take_records(self, source: NodeId, records: tuple[bytes, ...]) -> None:
        for start in range(0, len(records), ROSTER_SLICE):
            change = self.identity.merge(records[start : start + ROSTER_SLICE])
            for reason, count in change.rejected.items():
                self.counters.add(f"roster.bad-input.{reason}", count)
                self.counters.add(f"roster.refused.{reason}.{source.hex()[:16]}", count)
            if not self.identity.is_saved:
                self.counters.add("roster.unsaved")
            if change:
                self._spread(source, change)
            if sum(change.rejected.values()) > ROSTER_REJECTED_MAX:
                # Each costs two signatures: who sends many of these wants to keep us busy.
                if (link := self.links.by_node.get(source)) is not None:
                    link.close()
                return

    def _spread(self, source: NodeId, change: RosterChange) -> None:
        self._apply_change(change)
        for node, link in list(self.links.by_node.items()):
            if node != source:
                self._send_records(link, change.records)

    def roster_changed(self) -> None:
        """We admitted somebody: everybody must hear before they knock."""
        for link in list(self.links.by_node.values()):
            self._send_roster(link)
        self._stand()

    def _stand(self) -> None:
        """Whom we let in, listen to and believe."""
        self.gossip.roster_changed()
        self.leaves.roster_changed()
        self.state.roster_changed()

    def _apply_change(self, change: RosterChange) -> None:
        self._stand()
        for member in change.left:
            logger.info("%s is no member any more", member.name)
            self.links.unwant(member.node_id)
            self.blobs.expel(member.node_id)

    # -- gossip and discovery -------------------------------------------------------------------
    def _member_changed(self, view: MemberView) -> None:
        if view.node_id == self.identity.node_id:
            return
        if view.state in (State.ALIVE, State.SUSPECT):
            self.links.want(view.node_id, (view.address[0], view.peer_port), proven=True)
        else:
            (self.links.part if view.state is State.LEFT else self.links.unwant)(view.node_id)
            self.blobs.forget(view.node_id)  # also what is fetched without a link
        if view.rtt_s is not None:
            self.work.core.peer_rtt(view.node_id, view.rtt_s)

    def _report_load(self) -> None:
        """Once a second: how busy the machine is, to the scheduler and to everybody."""
        self.identity.save_again()  # as a rule there is nothing
        machine = self._env.readings.load()
        self.work.core.machine(machine.cpu_percent, machine.memory_free_mib)
        pressure = self._env.readings.pressure().cpu / 100
        lag_s = self._env.readings.lag_s()
        if lag_s or pressure != self._felt_pressure:
            self._felt_pressure = pressure
            self.gossip.machine_felt(pressure, lag_s)
        self.facts.tell_changes()
        self.deeds.tell_pins(self._workshop.store.keep.pins)
        load = self.work.core.load()
        if not load == self._reported_load:  # noqa: SIM201 - attrs makes `!=` of this, slower
            self._reported_load = load
            self.gossip.set_load(load)
        # Round trips change slowly, and matter little to a node that has nothing to do.
        idle = not load.busy and not load.queued
        self._reports_since_rtts += 1
        if idle and self._reports_since_rtts < RTTS_EVERY_REPORTS:
            return
        self._reports_since_rtts = 0
        for node, rtt_s in self.gossip.round_trips_s():
            self.work.core.peer_rtt(node, rtt_s)

    # -- runs -----------------------------------------------------------------------------------
    def run_parts(self) -> RunParts:
        """The services a run of ours needs."""
        shop = self._workshop
        return RunParts(
            env=self._env,
            me=self.identity.node_id,
            store=shop.store,
            results=self.results,
            hasher=shop.hasher,
            history=shop.history,
            work=self.work,
            blobs=self.blobs,
            counters=self.counters,
            resolver_config=self._resolver_config,
            near_first=self.near_first,
            unlinked=self.links.unlinked,
            name_of=self.name_of,
            may_build=self.may_build,
            log_text=self.performer.log_text,
            log_bug=lambda error: logger.error("a run failed", exc_info=error),
            warnings=self._warnings,
        )

    def _resolver_config(self, plan: Plan) -> ResolverConfig:
        shop = self._workshop
        return ResolverConfig(plan, shop.hasher, shop.scans, shop.toolchains, shop.includes)

    def _warnings(self) -> list[str]:
        warning = self._workshop.runner.sandbox.warning
        return [str(warning)] if warning is not None else []
