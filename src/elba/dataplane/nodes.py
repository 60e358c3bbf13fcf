"""The real zone nodes: one detached `elba-node` process per zone, each with a supervisor here.

A node outlives the control plane. A fleet that starts finds the nodes' folders, connects, and sends a snapshot; what
is equal the node leaves undisturbed. After that it sends deltas to what the node has acknowledged.

                 no process answers                connected, hello
     away ────────────────────────────► starting ─────────────────► up: snapshot, then deltas
      ▲                                                              │ connection lost, no answer
      └───────────── wait (longer each time it fails soon) ◄─────────┘
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from elba import __version__
from elba.clock import Clock
from elba.dataplane.delta import diff
from elba.dataplane.interface import Configuration, NodeAway, NodeRefused, Place, ReportListener
from elba.dataplane.link import Link, LinkBroken
from elba.dataplane.program import NodeHome, find_program
from elba.dataplane.protocol import Ack, Down, Nack, Report, Shutdown, Snapshot, TargetGroup, Up
from elba.dataplane.settings import FleetSettings
from elba.errors import UserError

log = logging.getLogger(__name__)

START_SECONDS = 10.0
"""How long a started node may take until it answers."""
PATIENCE_SECONDS = 5.0
"""How long `apply` waits for a node that is not there yet."""
SILENCE_SECONDS = 10.0
"""A node reports at least once a second; silent for so long, the connection to it is made anew."""
HUNG_SECONDS = 30.0
"""A running node that has not said hello for so long is killed."""
ANSWER_SECONDS = 10.0
"""How long a node may take to acknowledge; longer, and it counts as hung."""
BACKOFF_FIRST_SECONDS, BACKOFF_MOST_SECONDS = 0.1, 5.0
STEADY_SECONDS = 10.0
"""A node that was up so long has not failed soon."""
LOG_CHECK_SECONDS = 60.0
END_SECONDS = 10.0


class NodeFleet:
    """All zone nodes of one data directory. Settings: see `dataplane.settings`. Needs a running event loop."""

    def __init__(self, settings: Mapping[str, str], clock: Clock) -> None:
        self._settings = FleetSettings.read(settings, clock)
        self._listeners: list[ReportListener] = []
        self._nodes: dict[Place, _Supervised] = {}
        self._health: dict[tuple[str, str], str] = {}
        for zone in NodeHome.zones(self._settings.data_directory):
            self._add(Place(zone[:-1], zone))

    def listen(self, listener: ReportListener) -> None:
        self._listeners.append(listener)

    def start(self, places: Iterable[Place]) -> None:
        """Start the nodes of `places` now rather than with their first load balancer; one that runs is left alone."""
        for place in places:
            (self._nodes.get(place) or self._add(place)).begin()

    async def apply(self, place: Place, configuration: Configuration) -> None:
        known = self._nodes.get(place)
        if not configuration.load_balancers and (known is None or not known.runs):
            return  # a node that runs is told that it has nothing to do; none is started to hear that
        node = known or self._add(place)
        node.begin()
        await node.apply(configuration)

    def up(self, place: Place) -> bool:
        return place in self._nodes and self._nodes[place].up

    def places(self) -> Sequence[Place]:
        return list(self._nodes)

    async def close(self) -> None:
        """Let go of the nodes; they go on carrying traffic."""
        await asyncio.gather(*(node.close() for node in self._nodes.values()))

    async def shutdown(self, drain_seconds: float = 0.0) -> int:
        """End every node there is and wait for it; how many ran. For `elba down`."""
        await self.close()
        ended = await asyncio.gather(*(node.end(drain_seconds) for node in self._nodes.values()))
        self._nodes.clear()
        return sum(ended)

    def _add(self, place: Place) -> _Supervised:
        node = self._nodes[place] = _Supervised(place, self._settings, self._heard, self._with_known_health)
        return node

    def _heard(self, place: Place, report: Report) -> None:
        for entry in report.health:
            if entry.state in ("healthy", "unhealthy"):
                self._health[(entry.target_group, entry.target)] = entry.state
        for listener in self._listeners:
            listener(place, report)

    def _with_known_health(self, groups: Iterable[TargetGroup]) -> list[TargetGroup]:
        """The groups with the health that any node last saw, for a node that starts without a view of its own."""
        filled = []
        names: set[tuple[str, str]] = set()
        for group in groups:
            targets = []
            for target in group.targets:
                name = (group.arn, target.key)
                names.add(name)
                known = self._health.get(name, target.known_health)
                same = known == target.known_health
                targets.append(target if same else msgspec.structs.replace(target, known_health=known))
            filled.append(msgspec.structs.replace(group, targets=targets))
        self._health = {name: state for name, state in self._health.items() if name in names}
        return filled


class _Supervised:
    """One node: keeps its process running and its connection open, and its configuration as wanted."""

    def __init__(
        self,
        place: Place,
        settings: FleetSettings,
        heard: ReportListener,
        with_known_health: Callable[[Iterable[TargetGroup]], list[TargetGroup]],
    ) -> None:
        self._place = place
        self._settings = settings
        self._heard = heard
        self._with_known_health = with_known_health
        self._home = NodeHome(settings.data_directory, place.zone)
        self._task: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._connected = asyncio.Event()
        self._lock = asyncio.Lock()
        self._wanted: Configuration | None = None
        self._has: Configuration | None = None
        """What the node has acknowledged on this connection; None = nothing yet."""
        self._version = 0
        self._answer: asyncio.Future[Ack | Nack] | None = None
        self._renewed = False

    @property
    def up(self) -> bool:
        return self._link is not None

    @property
    def runs(self) -> bool:
        """Whether a process of the node is there, whoever started it, or is being kept there."""
        return self._task is not None or self._home.process_id() != 0

    def begin(self) -> None:
        """Start supervising, once."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._supervise(), name=f"node:{self._place.zone}")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    # ── configuration ────────────────────────────────────────────────────────────────────────────────

    async def apply(self, configuration: Configuration) -> None:
        self._wanted = configuration
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._connected.wait()
        except TimeoutError:
            raise NodeAway(f"{self._place.zone} does not answer") from None
        async with self._lock:
            await self._bring_to(configuration)

    async def _bring_to(self, configuration: Configuration) -> None:
        """Send what is missing and wait until the node has it. Raises: NodeAway, NodeRefused."""
        if self._has is not None:
            delta = diff(self._has, configuration, base=self._version, version=self._version + 1)
            if delta is None:
                self._has = configuration
                return
            answer = await self._ask(delta, delta.version)
            if isinstance(answer, Ack):
                self._has = configuration
                return
            if answer.reason != "base":
                self._wanted = self._has
                raise NodeRefused(answer.reason)
            log.warning("node asks for a snapshot", extra={"resource": self._place.zone})
        snapshot = Snapshot(
            version=self._version + 1,
            node=self._settings.node(self._place),
            load_balancers=list(configuration.load_balancers),
            target_groups=self._with_known_health(configuration.target_groups),
        )
        answer = await self._ask(snapshot, snapshot.version)
        if isinstance(answer, Nack):
            self._wanted = self._has
            raise NodeRefused(answer.reason)
        self._has = configuration

    async def _ask(self, message: Down, version: int) -> Ack | Nack:
        """Send a numbered message and wait for the answer to it. Raises: NodeAway."""
        link = self._link
        if link is None:
            raise NodeAway(f"{self._place.zone} is gone")
        self._answer = asyncio.get_running_loop().create_future()
        try:
            link.send(message)
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._answer
        except TimeoutError:
            log.error("node does not acknowledge; reconnecting", extra={"resource": self._place.zone})
            self._lost()
            await link.close()
            raise NodeAway(f"{self._place.zone} does not acknowledge version {version}") from None
        finally:
            self._answer = None
        if answer.version == version and isinstance(answer, Ack):
            self._version = version
        return answer

    # ── process and connection ───────────────────────────────────────────────────────────────────────

    async def _supervise(self) -> None:
        backoff = BACKOFF_FIRST_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            try:
                link = await self._connect()
            except (LinkBroken, UserError, OSError) as error:
                log.error("node does not start", extra={"resource": self._place.zone, "cause": str(error)})
            else:
                since = loop.time()
                await self._serve(link)
                if loop.time() - since > STEADY_SECONDS:
                    backoff = BACKOFF_FIRST_SECONDS
            await asyncio.sleep(backoff)
            backoff = min(BACKOFF_MOST_SECONDS, backoff * 2)

    async def _connect(self) -> Link:
        """A link to the running node, else to one that is started now. Raises: LinkBroken, UserError, OSError."""
        try:
            link = await Link.connect(self._home.socket)
        except LinkBroken:
            return await self._start()
        if link.hello.program_version == __version__ or self._renewed:
            return link
        return await self._renew(link)

    async def _start(self) -> Link:
        """A link to a node started now; one that runs but has not answered for long is killed first."""
        status = self._home.reap()
        if status is not None:
            log.warning("node ended", extra={"resource": self._place.zone, "status": status})
        if pid := self._home.process_id():
            try:
                return await self._connected_to(0, HUNG_SECONDS)
            except LinkBroken:
                log.error("node hangs and is killed", extra={"resource": self._place.zone, "node_process": pid})
                self._home.signal(signal.SIGKILL)
                await self._gone(pid, END_SECONDS)
        pid = self._home.start(find_program())
        log.info("node started", extra={"resource": self._place.zone, "node_process": pid})
        return await self._connected_to(0, START_SECONDS)

    async def _renew(self, link: Link) -> Link:
        """Replace a node of another version by one of ours, which takes its sockets over; tried once.

        Raises: LinkBroken, UserError, OSError.
        """
        self._renewed = True
        await link.close()
        pid = self._home.start(find_program(), takeover=True)
        log.info(
            "node of another version is replaced",
            extra={"resource": self._place.zone, "version": link.hello.program_version, "node_process": pid},
        )
        return await self._connected_to(pid, START_SECONDS)

    async def _connected_to(self, pid: int, seconds: float) -> Link:
        """A link to the node, once it answers; to none but process `pid`, if it is given. Raises: LinkBroken."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            await asyncio.sleep(0.01)
            try:
                link = await Link.connect(self._home.socket)
                if pid in (0, link.hello.pid):
                    return link
                await link.close()
                raise LinkBroken(f"process {link.hello.pid} still answers")
            except LinkBroken as broken:
                if (status := self._home.reap()) is not None:
                    raise LinkBroken(f"it ended with status {status}; see {self._home.log_file}") from broken
                if asyncio.get_running_loop().time() > deadline:
                    raise

    async def _serve(self, link: Link) -> None:
        """Be connected until the link breaks."""
        self._link, self._has = link, None
        self._version = max(self._version, link.hello.config_version)
        log.info("node connected", extra={"resource": self._place.zone, "pid": link.hello.pid})
        reading = asyncio.create_task(self._read(link), name=f"node:{self._place.zone}:read")
        logs = asyncio.create_task(self._bound_log(), name=f"node:{self._place.zone}:log")
        try:
            async with self._lock:
                if self._wanted is not None:
                    await self._bring_to(self._wanted)
            self._connected.set()
            await reading
        except (LinkBroken, NodeAway) as error:
            log.warning("node away", extra={"resource": self._place.zone, "cause": str(error)})
        except NodeRefused as error:
            # Whoever wants this configuration is told when it asks; meanwhile the node keeps what it had.
            log.error("node refuses its configuration", extra={"resource": self._place.zone, "cause": str(error)})
            self._connected.set()
            await asyncio.gather(reading, return_exceptions=True)
        finally:
            self._lost()
            for task in (reading, logs):
                task.cancel()
            await asyncio.gather(reading, logs, return_exceptions=True)
            await link.close()

    async def _read(self, link: Link) -> None:
        try:
            while True:
                message = await self._next(link)
                if isinstance(message, Report):
                    self._heard(self._place, message)
                elif isinstance(message, Ack | Nack) and self._answer is not None and not self._answer.done():
                    self._answer.set_result(message)
        finally:
            self._lost()

    async def _next(self, link: Link) -> Up:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                return await link.receive()
        except TimeoutError:
            raise LinkBroken(f"silent for {SILENCE_SECONDS:g} s") from None

    def _lost(self) -> None:
        """The link is no more: who asks from now on waits for the next one."""
        self._link = None
        self._connected.clear()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NodeAway(f"{self._place.zone} went away"))

    async def _bound_log(self) -> None:
        while True:
            self._home.bound_log()
            await asyncio.sleep(LOG_CHECK_SECONDS)

    # ── its end ──────────────────────────────────────────────────────────────────────────────────────

    async def end(self, drain_seconds: float) -> bool:
        """End the node and wait until it is gone; whether one ran."""
        pid = self._home.process_id()
        try:
            link = await Link.connect(self._home.socket)
        except LinkBroken:
            if not pid:
                return False
            self._home.signal(signal.SIGTERM)
        else:
            pid = pid or link.hello.pid
            link.send(Shutdown(drain_seconds=drain_seconds))
            await asyncio.sleep(0)
            await link.close()
        if not await self._gone(pid, drain_seconds + END_SECONDS):
            self._home.signal(signal.SIGKILL)
            await self._gone(pid, END_SECONDS)
        return True

    async def _gone(self, pid: int, seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            self._home.reap()
            if not _runs(pid):
                return True
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)


def _runs(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(") ")[2][:1] not in ("Z", "X")
