"""Zone nodes without processes or sockets, on whatever clock they are given: for tests and the simulator.

They acknowledge at once, check health as a node does (interval, thresholds, one success makes a new target
healthy) against a world that a test chooses, and count the traffic a test asks for:

    nodes = FakeNodes(clock, running=lambda: ids_of_running_instances)
    nodes.set_load("shop", 120.0)                    # requests a second, split over zones and healthy targets
    nodes.set_serving("i-…", False)                  # a target that stops answering
    nodes.set_up(Place("us-east-1", "us-east-1a"), False)
    nodes.refuse_next("no room for another listener")
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from elba.clock import Clock
from elba.dataplane.interface import (
    NOTHING,
    Configuration,
    NodeAway,
    NodeRefused,
    Place,
    ReportListener,
)
from elba.dataplane.protocol import (
    HealthReport,
    Histogram,
    LoadBalancer,
    LoadBalancerReport,
    Report,
    Target,
    TargetGroup,
    TargetReport,
    bucket_index,
)

Load = Callable[[float], float]
"""Requests a second at a moment of clock time."""

FIRST_CHECK_SECONDS = 1.0
"""How long after its registration a target is checked first."""


APPLIES_KEPT = 1000


@dataclass(slots=True)
class _Health:
    """One node's view of one target."""

    group: TargetGroup
    target: Target
    state: str = "initial"
    reason: str = "Elb.InitialHealthChecking"
    description: str = "Initial health checks in progress"
    successes: int = 0
    failures: int = 0
    since: float = 0.0
    due_at: float = 0.0

    def report(self) -> HealthReport:
        return HealthReport(
            target_group=self.group.arn,
            target=self.target.key,
            state=self.state,
            reason=self.reason,
            description=self.description,
            since=self.since,
        )

    @property
    def takes_traffic(self) -> bool:
        return self.target.state == "active" and self.state in ("healthy", "unavailable")


@dataclass(slots=True)
class _Node:
    place: Place
    up: bool = True
    wanted: Configuration = NOTHING
    has: Configuration = NOTHING
    groups: dict[str, TargetGroup] = field(default_factory=dict)
    health: dict[tuple[str, str], _Health] = field(default_factory=dict)
    due: list[tuple[float, int, tuple[str, str]]] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None
    timer_at: float = 0.0
    reporter: asyncio.TimerHandle | None = None
    last_report: float = 0.0
    sequence: int = 0
    full: bool = True
    carried: dict[tuple[str, ...], float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class FakeNodes:
    """All zone nodes. `running` names the instances that run (all do, if it is not given); a target of one that
    has run for `app_start_seconds` answers. `is_serving` replaces that judgement altogether.

    Outlives the control plane under test, as nodes do: hand the same object to the next one.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        running: Callable[[], Iterable[str]] | None = None,
        app_start_seconds: float = 0.0,
        is_serving: Callable[[Target], bool] | None = None,
        report_interval_seconds: float = 10.0,
    ) -> None:
        self._clock = clock
        self._running = running
        self._app_start_seconds = app_start_seconds
        self._is_serving = is_serving
        self._report_interval_seconds = report_interval_seconds
        self._nodes: dict[Place, _Node] = {}
        self._listeners: list[ReportListener] = []
        self._loads: dict[str, Load] = {}
        self._seconds_per_request: Callable[[str, Target, float], float] = lambda _lb, _target, _rate: 0.02
        self._silent: set[str] = set()
        self._running_since: dict[str, float] = {}
        self._looked_at = -1.0
        self._refusals: list[str] = []
        self._sequence = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.applies: deque[tuple[Place, Configuration]] = deque(maxlen=APPLIES_KEPT)
        """The configurations nodes took last, in order."""

    # ── what a test says ─────────────────────────────────────────────────────────────────────────────

    def set_load(self, load_balancer: str, requests_per_second: float | Load) -> None:
        """Traffic to a load balancer (name or ARN) from now on; 0 = none."""
        if callable(requests_per_second):
            self._loads[load_balancer] = requests_per_second
        else:
            rate = float(requests_per_second)
            self._loads[load_balancer] = lambda _now: rate

    def set_response_time(self, seconds: float | Callable[[str, Target, float], float]) -> None:
        """How long a target takes; a function gets (load balancer ARN, target, its requests a second)."""
        if callable(seconds):
            self._seconds_per_request = seconds
        else:
            fixed = float(seconds)
            self._seconds_per_request = lambda _lb, _target, _rate: fixed

    def set_serving(self, target_id: str, serving: bool) -> None:
        """Whether the target (an instance id or address) answers, whatever else says so."""
        if serving:
            self._silent.discard(target_id)
        else:
            self._silent.add(target_id)

    def set_up(self, place: Place, up: bool) -> None:
        """Take a zone's node away (it answers nothing, checks nothing), or bring it back."""
        node = self._node(place)
        if node.up == up:
            return
        node.up = up
        if up:
            node.full = True
            self._load(node, node.wanted)
        else:
            self._stop(node)

    def set_problems(self, place: Place, *problems: str) -> None:
        """What stands wrong at a node, as "cannot bind 127.16.0.4:80: Permission denied"; it goes into its reports."""
        self._node(place).problems = list(problems)

    def refuse_next(self, reason: str) -> None:
        """The next configuration is refused."""
        self._refusals.append(reason)

    def configuration(self, place: Place) -> Configuration:
        """What the zone's node has loaded."""
        return self._nodes[place].has if place in self._nodes else NOTHING

    def health(self, place: Place, target_group: str) -> dict[str, str]:
        """State by target key, as that node sees it."""
        node = self._node(place)
        return {key: seen.state for (group, key), seen in node.health.items() if group == target_group}

    # ── Nodes ────────────────────────────────────────────────────────────────────────────────────────

    def listen(self, listener: ReportListener) -> None:
        self._listeners.append(listener)
        for node in self._nodes.values():  # a control plane that comes back is told all there is
            node.full = True

    async def apply(self, place: Place, configuration: Configuration) -> None:
        self._loop = asyncio.get_running_loop()
        if not configuration.load_balancers and place not in self._nodes:
            return
        node = self._node(place)
        if node.up and self._refusals:
            raise NodeRefused(self._refusals.pop(0))
        node.wanted = configuration
        if not node.up:
            raise NodeAway(place.zone)
        self._load(node, configuration)
        self.applies.append((place, configuration))
        await asyncio.sleep(0)

    def up(self, place: Place) -> bool:
        return place in self._nodes and self._nodes[place].up

    def places(self) -> Sequence[Place]:
        return list(self._nodes)

    async def close(self) -> None:
        """The nodes go on; nobody hears them any more."""
        self._listeners.clear()

    def shutdown(self) -> None:
        """End all nodes."""
        for node in self._nodes.values():
            self._stop(node)
        self._nodes.clear()

    # ── a node's life ────────────────────────────────────────────────────────────────────────────────

    def _node(self, place: Place) -> _Node:
        if place not in self._nodes:
            self._nodes[place] = _Node(place, last_report=self._clock.now())
        return self._nodes[place]

    def _load(self, node: _Node, configuration: Configuration) -> None:
        now = self._clock.now()
        node.has = configuration
        old_groups, node.groups = node.groups, {group.arn: group for group in configuration.target_groups}
        changed: list[HealthReport] = []
        for group in configuration.target_groups:
            old = old_groups.get(group.arn)
            if old is group:
                continue
            restart = old is not None and old.health_check != group.health_check
            for target in group.targets:
                key = (group.arn, target.key)
                seen = node.health.get(key)
                if seen is None:
                    seen = node.health[key] = self._first_sight(group, target)
                    changed.append(seen.report())
                    self._plan(node, key, now + FIRST_CHECK_SECONDS)
                seen.group, seen.target = group, target
                if restart:
                    seen.successes = seen.failures = 0
        alive = {(g.arn, t.key) for g in configuration.target_groups for t in g.targets}
        for key in [key for key in node.health if key not in alive]:
            del node.health[key]
        if node.reporter is None:
            node.last_report = now
            self._plan_report(node)
        if changed or node.full:
            self._report(node, changed)
        self._arm(node)

    def _first_sight(self, group: TargetGroup, target: Target) -> _Health:
        seen = _Health(group, target, since=self._clock.wall())
        if not group.health_check.enabled:
            seen.state, seen.reason = "unavailable", "Target.HealthCheckDisabled"
            seen.description = "Health checks are disabled"
        elif target.known_health in ("healthy", "unhealthy"):
            seen.state = target.known_health
            failed = seen.state == "unhealthy"
            seen.reason = "Target.FailedHealthChecks" if failed else ""
            seen.description = "Health checks failed" if failed else ""
        return seen

    def _stop(self, node: _Node) -> None:
        for timer in (node.timer, node.reporter):
            if timer is not None:
                timer.cancel()
        node.timer = node.reporter = None
        node.due.clear()
        node.health.clear()
        node.groups = {}
        node.has = NOTHING

    def _serves(self, target: Target) -> bool:
        if target.id in self._silent:
            return False
        if self._is_serving is not None:
            return self._is_serving(target)
        if self._running is None or not target.id.startswith("i-"):
            return True
        now = self._clock.now()
        if now != self._looked_at:
            self._looked_at = now
            since = self._running_since
            self._running_since = {id_: since.get(id_, now) for id_ in self._running()}
        started = self._running_since.get(target.id)
        return started is not None and now - started >= self._app_start_seconds

    def _later(self, seconds: float, call: Callable[[_Node], None], node: _Node) -> asyncio.TimerHandle:
        """Also works while the loop stands still, as a test's own calls come then."""
        assert self._loop is not None
        return self._loop.call_later(seconds, call, node)

    # ── health checks ────────────────────────────────────────────────────────────────────────────────

    def _plan(self, node: _Node, key: tuple[str, str], at: float) -> None:
        node.health[key].due_at = at
        heapq.heappush(node.due, (at, next(self._sequence), key))

    def _arm(self, node: _Node) -> None:
        if not node.due:
            return
        at = node.due[0][0]
        if node.timer is not None:
            if node.timer_at <= at:
                return
            node.timer.cancel()
        node.timer_at = at
        delay = max(0.0, at - self._clock.now()) / self._clock.scale
        node.timer = self._later(delay, self._check_due, node)

    def _check_due(self, node: _Node) -> None:
        node.timer = None
        now = self._clock.now() + 1e-6
        changed: list[HealthReport] = []
        while node.due and node.due[0][0] <= now:
            at, _, key = heapq.heappop(node.due)
            seen = node.health.get(key)
            if seen is None or seen.due_at != at:  # gone, or gone and back
                continue
            if seen.group.health_check.enabled and seen.target.state == "active" and self._check(seen):
                changed.append(seen.report())
            self._plan(node, key, at + seen.group.health_check.interval_seconds)
        if changed:
            self._report(node, changed)
        self._arm(node)

    def _check(self, seen: _Health) -> bool:
        """One health check; whether the state changed."""
        check, before = seen.group.health_check, seen.state
        if self._serves(seen.target):
            seen.successes, seen.failures = seen.successes + 1, 0
            if before == "initial" or (before == "unhealthy" and seen.successes >= check.healthy_threshold):
                seen.state, seen.reason, seen.description = "healthy", "", ""
        else:
            seen.failures, seen.successes = seen.failures + 1, 0
            if before in ("initial", "healthy") and seen.failures >= check.unhealthy_threshold:
                seen.state, seen.reason = "unhealthy", "Target.FailedHealthChecks"
                seen.description = "Health checks failed"
        if seen.state != before:
            seen.since = self._clock.wall()
        return seen.state != before

    # ── reports and traffic ──────────────────────────────────────────────────────────────────────────

    def _plan_report(self, node: _Node) -> None:
        delay = self._report_interval_seconds / self._clock.scale
        node.reporter = self._later(delay, self._report_due, node)

    def _report_due(self, node: _Node) -> None:
        node.reporter = None
        self._report(node, [])
        self._plan_report(node)

    def _report(self, node: _Node, changed: list[HealthReport]) -> None:
        now = self._clock.now()
        interval, node.last_report = now - node.last_report, now
        traffic = _Traffic(node.carried)
        for balancer in node.has.load_balancers:
            load = self._loads.get(balancer.name) or self._loads.get(balancer.arn)
            up_zones = [a.zone for a in balancer.addresses if self.up(Place(node.place.region, a.zone))]
            if load is not None and interval > 0 and node.place.zone in up_zones:
                rate = load(now - interval / 2) / len(up_zones)
                self._carry(node, balancer, rate, interval, traffic)
        node.sequence += 1
        report = Report(
            sequence=node.sequence,
            time=self._clock.wall(),
            interval_seconds=interval / self._clock.scale,
            load_balancers=traffic.balancer_reports(),
            targets=traffic.target_reports(),
            health=[seen.report() for seen in node.health.values()] if node.full else changed,
            full_health=node.full,
            problems=node.problems,
            zones_up=[p.zone for p, n in self._nodes.items() if n.up and p.region == node.place.region],
        )
        node.full = node.full and not self._listeners
        for listener in self._listeners:
            listener(node.place, report)

    def _carry(self, node: _Node, balancer: LoadBalancer, rate: float, interval: float, traffic: _Traffic) -> None:
        """Count what `rate` requests a second over `interval` clock seconds do at this node."""
        if rate <= 0 or not balancer.listeners or not balancer.listeners[0].rules:
            return
        shares = balancer.listeners[0].rules[-1].actions[-1].target_groups
        weight = sum(share.weight for share in shares)
        for share in shares:
            group = node.groups.get(share.arn)
            part = rate * share.weight / weight if weight else 0.0
            if group is None or part <= 0:
                continue
            seen = [
                h
                for t in group.targets
                if (h := node.health.get((group.arn, t.key))) and t.state == "active"
                if group.cross_zone or t.zone in ("", "all", node.place.zone)
            ]
            chosen = [h.target for h in seen if h.takes_traffic] or [h.target for h in seen]
            if not chosen:
                traffic.add((balancer.arn,), "HTTPCode_ELB_503_Count", part * interval)
                traffic.add((balancer.arn,), "HTTPCode_ELB_5XX_Count", part * interval)
            for target in chosen:
                self._serve(balancer, group, target, part / len(chosen), interval, traffic)

    def _serve(
        self,
        balancer: LoadBalancer,
        group: TargetGroup,
        target: Target,
        rate: float,
        interval: float,
        traffic: _Traffic,
    ) -> None:
        of_target = (balancer.arn, group.arn, target.key)
        requests = traffic.add(of_target, "RequestCount", rate * interval)
        if not requests:
            return
        if self._serves(target):
            traffic.count(of_target, "HTTPCode_Target_2XX_Count", requests)
            seconds = self._seconds_per_request(balancer.arn, target, rate)
            traffic.times.setdefault(of_target, []).append((seconds, requests))
        else:
            traffic.count(of_target, "TargetConnectionErrorCount", requests)
            traffic.count((balancer.arn,), "HTTPCode_ELB_502_Count", requests)
            traffic.count((balancer.arn,), "HTTPCode_ELB_5XX_Count", requests)
        traffic.count((balancer.arn,), "ProcessedBytes", requests * 1500)


class _Traffic:
    """The counters of one report. Fractions of a request are carried over to the next."""

    def __init__(self, carried: dict[tuple[str, ...], float]) -> None:
        self._carried = carried
        self._counters: dict[tuple[str, ...], dict[str, float]] = {}
        self.times: dict[tuple[str, ...], list[tuple[float, int]]] = {}

    def add(self, of: tuple[str, ...], name: str, amount: float) -> int:
        exact = amount + self._carried.get((*of, name), 0.0)
        whole = int(exact + 1e-9)
        self._carried[(*of, name)] = exact - whole
        self.count(of, name, whole)
        return whole

    def count(self, of: tuple[str, ...], name: str, amount: int) -> None:
        if amount:
            counters = self._counters.setdefault(of, {})
            counters[name] = counters.get(name, 0) + amount

    def balancer_reports(self) -> list[LoadBalancerReport]:
        return [
            LoadBalancerReport(load_balancer=of[0], counters=counters)
            for of, counters in self._counters.items()
            if len(of) == 1
        ]

    def target_reports(self) -> list[TargetReport]:
        return [
            TargetReport(
                load_balancer=of[0],
                target_group=of[1],
                target=of[2],
                counters=counters,
                response_time=_histogram(self.times.get(of, [])),
            )
            for of, counters in self._counters.items()
            if len(of) == 3
        ]


def _histogram(times: list[tuple[float, int]]) -> Histogram:
    buckets: dict[int, int] = {}
    for seconds, count in times:
        index = bucket_index(seconds)
        buckets[index] = buckets.get(index, 0) + count
    return Histogram(
        count=sum(count for _, count in times),
        sum=sum(seconds * count for seconds, count in times),
        buckets=sorted(buckets.items()),
    )
