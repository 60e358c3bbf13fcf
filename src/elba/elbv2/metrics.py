"""Zone nodes' reports added up to the minute's datapoints in AWS/ApplicationELB. Pure. Source: alb.md §20.

`Minutes.add` costs one dictionary entry per counter; the dimension sets are made when the minute is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from elba.dataplane.interface import Place
from elba.dataplane.protocol import Report, bucket_value
from elba.datapoints import Datapoint, Dimensions, dimensions

NAMESPACE = "AWS/ApplicationELB"
PERIOD_SECONDS = 60

OF_TARGETS = frozenset(
    {
        "RequestCount",
        "IPv6RequestCount",
        "GrpcRequestCount",
        "HTTPCode_Target_2XX_Count",
        "HTTPCode_Target_3XX_Count",
        "HTTPCode_Target_4XX_Count",
        "HTTPCode_Target_5XX_Count",
        "TargetConnectionErrorCount",
        "TargetTLSNegotiationErrorCount",
        "UnhealthyRoutingRequestCount",
    }
)
"""Counted per target and summed up from there: with dimension set T."""

GAUGES = frozenset({"ActiveConnectionCount"})
ONLY_LOAD_BALANCER = frozenset({"RuleEvaluations", "LambdaTargetProcessedBytes"})
ONLY_ZONE = frozenset({"DroppedInvalidHeaderRequestCount", "ForwardedInvalidHeaderRequestCount"})
ONLY_GROUP = frozenset({"LambdaInternalError", "LambdaUserError"})
"""Counted per target, with the dimension sets {TG} and {LB, TG}."""
UNITS = {"ProcessedBytes": "Bytes", "IPv6ProcessedBytes": "Bytes", "LambdaTargetProcessedBytes": "Bytes"}
"""Of what is not a Count."""


def resource_id(arn: str) -> str:
    """`app/<name>/<id>` or `targetgroup/<name>/<id>`: how metrics name the resource."""
    tail = arn.split(":", 5)[5]
    return tail.removeprefix("loadbalancer/")


class Balancer(NamedTuple):
    """One load balancer in use."""

    arn: str
    account: str
    region: str
    zones: tuple[str, ...]
    sticky: bool = False
    """Some target group of its has sticky sessions: NonStickyRequestCount is reported, zero or not."""
    reserved_units: int = 0
    """Load balancer capacity units reserved; PeakLCUs and ReservedLCUs are reported with a reservation only."""
    shiftable: bool = False
    """Zonal shift is enabled: ZonalShiftedHostCount is reported."""


class GroupState(NamedTuple):
    """One target group in use, as one node sees it at the end of the minute."""

    load_balancer: str
    target_group: str
    zone: str
    healthy: int
    unhealthy: int
    routing_ok: bool
    dns_ok: bool
    checked: bool = True
    anomalous: int = 0
    mitigated: int = 0
    shifted: int = 0
    kind: str = "instance"
    """instance, ip, lambda, alb."""


@dataclass
class Minute:
    """One minute's counts. Keys: (zone, load balancer ARN) and (zone, load balancer ARN, target group ARN). `times` are
    TargetResponseTime, `logins` ELBAuthLatency: counts by histogram bucket."""

    balancers: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    groups: dict[tuple[str, str, str], dict[str, float]] = field(default_factory=dict)
    times: dict[tuple[str, str, str], dict[int, float]] = field(default_factory=dict)
    logins: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)


class Minutes:
    """Collects reports until their minute is published."""

    def __init__(self) -> None:
        self._minutes: dict[int, Minute] = {}

    def add(self, place: Place, report: Report, moment: float) -> None:
        """Count a report for the minute of `moment`, the middle of its interval in clock time."""
        if not report.load_balancers and not report.targets:
            return
        minute = self._minutes.setdefault(int(moment // PERIOD_SECONDS), Minute())
        for of_balancer in report.load_balancers:
            counters = minute.balancers.setdefault((place.zone, of_balancer.load_balancer), {})
            for name, value in of_balancer.counters.items():
                if name in GAUGES:
                    counters[name] = max(counters.get(name, 0.0), value)
                elif name not in OF_TARGETS:
                    counters[name] = counters.get(name, 0.0) + value
            if of_balancer.authentication_time.buckets:
                logins = minute.logins.setdefault((place.zone, of_balancer.load_balancer), {})
                _add_up(logins, of_balancer.authentication_time.buckets)
        for of_target in report.targets:
            key = (place.zone, of_target.load_balancer, of_target.target_group)
            counters = minute.groups.setdefault(key, {})
            for name, value in of_target.counters.items():
                counters[name] = counters.get(name, 0.0) + value
            if of_target.response_time.buckets:
                times = minute.times.setdefault(key, {})
                _add_up(times, of_target.response_time.buckets)

    def take(self, before: int) -> dict[int, Minute]:
        """The minutes before number `before`, oldest first; they are forgotten here."""
        return {number: self._minutes.pop(number) for number in sorted(self._minutes) if number < before}


def _add_up(into: dict[int, float], buckets: Iterable[tuple[int, float]]) -> None:
    for index, count in buckets:
        into[index] = into.get(index, 0.0) + count


class _Points:
    """Datapoints of one minute under way."""

    def __init__(self, timestamp: float) -> None:
        self._timestamp = timestamp
        self.points: list[Datapoint] = []

    def value(self, owner: Balancer, name: str, at: Dimensions, values: Iterable[float], unit: str = "Count") -> None:
        """Raw values, each once."""
        listed = tuple(values)
        self.counted(owner, name, at, listed, (1.0,) * len(listed), unit)

    def counted(
        self,
        owner: Balancer,
        name: str,
        at: Dimensions,
        values: tuple[float, ...],
        counts: tuple[float, ...],
        unit: str,
    ) -> None:
        self.points.append(
            Datapoint(
                account=owner.account,
                region=owner.region,
                namespace=NAMESPACE,
                metric_name=name,
                timestamp=self._timestamp,
                dimensions=at,
                unit=unit,
                values=values,
                counts=counts,
            )
        )


def datapoints(
    number: int,
    minute: Minute,
    balancers: Mapping[str, Balancer],
    states: Iterable[GroupState],
) -> list[Datapoint]:
    """What to publish for minute `number`. Counts of load balancers that are gone are left out."""
    points = _Points(number * PERIOD_SECONDS)
    listed = list(states)
    for balancer in balancers.values():
        _of_balancer(points, minute, balancer)
    by_group: dict[tuple[str, str], list[GroupState]] = {}
    for state in listed:
        by_group.setdefault((state.load_balancer, state.target_group), []).append(state)
    for _, arn, group in minute.groups:  # one that is out of use since, or whose counts came late
        by_group.setdefault((arn, group), [])
    for (arn, group), seen in by_group.items():
        owner = balancers.get(arn)
        if owner is not None:
            _of_group(points, minute, owner, group, seen)
    return points.points


def _at(**pairs: str) -> Dimensions:
    names = {"zone": "AvailabilityZone", "lb": "LoadBalancer", "group": "TargetGroup"}
    return dimensions({names[key]: value for key, value in pairs.items()})


def _of_balancer(points: _Points, minute: Minute, balancer: Balancer) -> None:
    lb = resource_id(balancer.arn)
    total: dict[str, float] = {}
    gauges: dict[str, list[float]] = {}
    requests = 0.0
    zones = sorted({*balancer.zones, *(zone for zone, arn in minute.balancers if arn == balancer.arn)})
    group_keys = [key for key in minute.groups if key[1] == balancer.arn]
    always = {"ForwardedInvalidHeaderRequestCount": 0.0}
    if balancer.sticky:
        always["NonStickyRequestCount"] = 0.0
    for zone in zones:
        for name, value in (always | minute.balancers.get((zone, balancer.arn), {})).items():
            unit = UNITS.get(name, "Count")
            if name in GAUGES:
                gauges.setdefault(name, []).append(value)
            else:
                total[name] = total.get(name, 0.0) + value
            if name not in ONLY_LOAD_BALANCER and (value or name in always):
                points.value(balancer, name, _at(zone=zone, lb=lb), [value], unit)
    for name, value in total.items():
        if (value or name in always) and name not in ONLY_ZONE:
            points.value(balancer, name, _at(lb=lb), [value], UNITS.get(name, "Count"))
    for name, values in gauges.items():
        points.value(balancer, name, _at(lb=lb), values)
    summed, by_zone = _summed(minute, group_keys)
    for zone in sorted({*zones, *by_zone}):
        of_zone = by_zone.get(zone, {})
        points.value(balancer, "RequestCount", _at(zone=zone, lb=lb), [of_zone.get("RequestCount", 0.0)])
        for name, value in of_zone.items():
            if value and name != "RequestCount" and name not in ONLY_GROUP:
                points.value(balancer, name, _at(zone=zone, lb=lb), [value])
    requests = summed.get("RequestCount", 0.0)
    points.value(balancer, "RequestCount", _at(lb=lb), [requests])
    for name, value in summed.items():
        if value and name != "RequestCount" and name not in ONLY_GROUP:
            points.value(balancer, name, _at(lb=lb), [value])
    _times(points, balancer, _at(lb=lb), [minute.times[key] for key in group_keys if key in minute.times])
    for zone in by_zone:
        of_zone_times = [minute.times[key] for key in group_keys if key in minute.times and key[0] == zone]
        _times(points, balancer, _at(zone=zone, lb=lb), of_zone_times)
    for at, zone in [(_at(lb=lb), ""), *((_at(zone=zone, lb=lb), zone) for zone in zones)]:
        logins = [h for (of, arn), h in minute.logins.items() if arn == balancer.arn and zone in ("", of)]
        _times(points, balancer, at, logins, "ELBAuthLatency", "Milliseconds", 1000)
    active = sum(gauges.get("ActiveConnectionCount", ()))
    consumed = _consumed_lcus(total, active)
    points.value(balancer, "ConsumedLCUs", _at(lb=lb), [consumed])
    if balancer.reserved_units:
        points.value(balancer, "PeakLCUs", _at(lb=lb), [consumed])
        points.value(balancer, "ReservedLCUs", _at(lb=lb), [float(balancer.reserved_units)])


def _summed(
    minute: Minute, keys: Iterable[tuple[str, str, str]]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The counters of these groups added up, in all and by zone."""
    total: dict[str, float] = {}
    by_zone: dict[str, dict[str, float]] = {}
    for key in keys:
        of_zone = by_zone.setdefault(key[0], {})
        for name, value in minute.groups[key].items():
            total[name] = total.get(name, 0.0) + value
            of_zone[name] = of_zone.get(name, 0.0) + value
    return total, by_zone


def _times(
    points: _Points,
    owner: Balancer,
    at: Dimensions,
    histograms: list[dict[int, float]],
    name: str = "TargetResponseTime",
    unit: str = "Seconds",
    per_second: float = 1,
) -> None:
    """Durations from histograms, in `unit`s of which a second has `per_second`; nothing if there were none."""
    buckets: dict[int, float] = {}
    for histogram in histograms:
        _add_up(buckets, histogram.items())
    if buckets:
        indexes = sorted(buckets)
        values = tuple(bucket_value(index) * per_second for index in indexes)
        points.counted(owner, name, at, values, tuple(buckets[i] for i in indexes), unit)


def _consumed_lcus(counters: Mapping[str, float], active: float) -> float:
    """The dimension that is used most: 25 new connections a second, 3,000 active ones, 1 GB an hour, 1,000 rule
    evaluations a second make one LCU each. Source: Elastic Load Balancing pricing page."""
    return max(
        counters.get("NewConnectionCount", 0.0) / PERIOD_SECONDS / 25,
        active / 3000,
        counters.get("ProcessedBytes", 0.0) * 60 / 1e9,
        counters.get("RuleEvaluations", 0.0) / PERIOD_SECONDS / 1000,
    )


def _of_group(points: _Points, minute: Minute, owner: Balancer, arn: str, states: list[GroupState]) -> None:
    lb, group = resource_id(owner.arn), resource_id(arn)
    keys = [key for key in minute.groups if key[1] == owner.arn and key[2] == arn]
    total, by_zone = _summed(minute, keys)
    zones = sorted({*(state.zone for state in states), *by_zone})
    targets = max([state.healthy for state in states] or [0]) or max(
        [state.healthy + state.unhealthy for state in states] or [0]
    )
    places = [(_at(zone=zone, lb=lb, group=group), by_zone.get(zone, {}), zone) for zone in zones]
    for at, counters, _ in [(_at(lb=lb, group=group), total, ""), *places]:
        points.value(owner, "RequestCount", at, [counters.get("RequestCount", 0.0)])
        for name, value in counters.items():
            if value and name != "RequestCount" and name not in ONLY_GROUP:
                points.value(owner, name, at, [value])
    for name in ("GrpcRequestCount", *ONLY_GROUP):
        if total.get(name):
            points.value(owner, name, _at(group=group), [total[name]])
            if name in ONLY_GROUP:
                points.value(owner, name, _at(lb=lb, group=group), [total[name]])
    for zone, counters in sorted(by_zone.items()):
        if counters.get("GrpcRequestCount"):
            points.value(owner, "GrpcRequestCount", _at(zone=zone, group=group), [counters["GrpcRequestCount"]])
    if targets and all(state.kind != "lambda" for state in states):
        for zone, counters in [("", total), *((zone, by_zone.get(zone, {})) for zone in zones)]:
            share = counters.get("RequestCount", 0.0) / targets
            dims: dict[str, str] = {"group": group, **({"zone": zone} if zone else {})}
            points.value(owner, "RequestCountPerTarget", _at(**dims), [share])
            points.value(owner, "RequestCountPerTarget", _at(lb=lb, **dims), [share])
    _times(points, owner, _at(lb=lb, group=group), [minute.times[key] for key in keys if key in minute.times])
    for at, _, zone in places:
        _times(points, owner, at, [minute.times[k] for k in keys if k in minute.times and k[0] == zone])
    _host_counts(points, owner, lb, group, states)


def _host_counts(points: _Points, owner: Balancer, lb: str, group: str, states: list[GroupState]) -> None:
    """What each node sees at the end of the minute: one sample per node, so that Average, Minimum and Maximum say
    how far they agree."""
    compared = [s for s in states if s.kind in ("instance", "ip")]
    anomalies = {
        "AnomalousHostCount": [float(s.anomalous) for s in compared],
        "MitigatedHostCount": [float(s.mitigated) for s in compared],
    }
    if owner.shiftable:
        anomalies["ZonalShiftedHostCount"] = [float(s.shifted) for s in compared]
    _per_node(points, owner, lb, group, compared, anomalies)
    states = [s for s in states if s.checked]
    if not states:
        return
    healths = {
        "HealthyHostCount": [float(s.healthy) for s in states],
        "UnHealthyHostCount": [float(s.unhealthy) for s in states],
    }
    _per_node(points, owner, lb, group, states, healths)
    for name, good, of_state in (
        ("HealthyStateRouting", True, [s.routing_ok for s in states]),
        ("UnhealthyStateRouting", False, [s.routing_ok for s in states]),
        ("HealthyStateDNS", True, [s.dns_ok for s in states]),
        ("UnhealthyStateDNS", False, [s.dns_ok for s in states]),
    ):
        matching = [float(ok is good) for ok in of_state]
        points.value(owner, name, _at(lb=lb, group=group), [sum(matching)])
        for state, value in zip(states, matching, strict=True):
            points.value(owner, name, _at(zone=state.zone, lb=lb, group=group), [value])


def _per_node(
    points: _Points, owner: Balancer, lb: str, group: str, states: list[GroupState], metrics: dict[str, list[float]]
) -> None:
    """Metrics with one value of each node, in the order of `states`."""
    if not states:
        return
    for name, values in metrics.items():
        points.value(owner, name, _at(lb=lb, group=group), values)
        for state, value in zip(states, values, strict=True):
            points.value(owner, name, _at(zone=state.zone, lb=lb, group=group), [value])
