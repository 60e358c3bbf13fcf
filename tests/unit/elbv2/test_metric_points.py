"""Reports to datapoints: names, units and exact dimension sets of alb.md §20."""

from __future__ import annotations

import pytest

from elba.dataplane.interface import Place
from elba.dataplane.protocol import Histogram, LoadBalancerReport, Report, TargetReport, bucket_index
from elba.datapoints import Datapoint
from elba.elbv2.metrics import OF_TARGETS, ONLY_GROUP, Balancer, GroupState, Minute, Minutes, datapoints

ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/lb/0123456789abcdef"
GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/tg/0123456789abcdef"
LB, TG = "app/lb/0123456789abcdef", "targetgroup/tg/0123456789abcdef"
ZONES = ("us-east-1a", "us-east-1b")
BALANCER = Balancer(ARN, "123456789012", "us-east-1", ZONES)
NUMBER = 1000

L = {("LoadBalancer",), ("AvailabilityZone", "LoadBalancer")}
T = L | {("LoadBalancer", "TargetGroup"), ("AvailabilityZone", "LoadBalancer", "TargetGroup")}
H = {("LoadBalancer", "TargetGroup"), ("AvailabilityZone", "LoadBalancer", "TargetGroup")}
ONLY_LB = {("LoadBalancer",)}
PER_TARGET = H | {("TargetGroup",), ("AvailabilityZone", "TargetGroup")}


def histogram(seconds: list[float]) -> Histogram:
    buckets: dict[int, int] = {}
    for value in seconds:
        buckets[bucket_index(value)] = buckets.get(bucket_index(value), 0) + 1
    return Histogram(count=len(seconds), sum=sum(seconds), buckets=sorted(buckets.items()))


def report(
    of_balancer: dict[str, float], of_target: dict[str, float], seconds: list[float], logins: list[float] | None = None
) -> Report:
    times = histogram(seconds)
    of_logins = histogram(logins or [])
    return Report(
        sequence=1,
        time=0,
        interval_seconds=1,
        load_balancers=[LoadBalancerReport(load_balancer=ARN, counters=of_balancer, authentication_time=of_logins)],
        targets=[
            TargetReport(
                load_balancer=ARN, target_group=GROUP, target="i-1:80", counters=of_target, response_time=times
            )
        ],
    )


def state(zone: str, healthy: int = 3, unhealthy: int = 1) -> GroupState:
    return GroupState(ARN, GROUP, zone, healthy, unhealthy, healthy > 0, healthy > 0)


def publish(*reports: tuple[str, Report]) -> list[Datapoint]:
    minutes = Minutes()
    for zone, each in reports:
        minutes.add(Place("us-east-1", zone), each, NUMBER * 60 + 30)
    taken = minutes.take(NUMBER + 1)
    assert list(taken) == [NUMBER]
    return datapoints(NUMBER, taken[NUMBER], {ARN: BALANCER}, [state(zone) for zone in ZONES])


def total(points: list[Datapoint], name: str, **dimensions: str) -> float:
    """Sum of the metric in exactly this dimension set."""
    names = {"zone": "AvailabilityZone", "lb": "LoadBalancer", "group": "TargetGroup"}
    wanted = tuple(sorted((names[key], value) for key, value in dimensions.items()))
    (found,) = [p for p in points if p.metric_name == name and p.dimensions == wanted]
    return sum(value * count for value, count in zip(found.values, found.counts, strict=True))


BOTH = [
    ("us-east-1a", report({"NewConnectionCount": 5, "ProcessedBytes": 1000}, {"RequestCount": 10}, [0.1] * 10)),
    ("us-east-1b", report({"NewConnectionCount": 3, "ProcessedBytes": 500}, {"RequestCount": 2}, [0.4] * 2)),
]


ZONE_ONLY = {("AvailabilityZone", "LoadBalancer")}
LAMBDA = {("TargetGroup",), ("LoadBalancer", "TargetGroup")}
GRPC = T | {("TargetGroup",), ("AvailabilityZone", "TargetGroup")}

SECTION_20 = {
    # of requests
    "RequestCount": (T, "always"),
    "IPv6RequestCount": (T, "counted"),
    "GrpcRequestCount": (GRPC, "counted"),
    "RequestCountPerTarget": (PER_TARGET, "always"),
    "RuleEvaluations": (ONLY_LB, "counted"),
    "NonStickyRequestCount": (L, "sticky"),
    "DesyncMitigationMode_NonCompliant_Request_Count": (L, "counted"),
    "DroppedInvalidHeaderRequestCount": (ZONE_ONLY, "counted"),
    "ForwardedInvalidHeaderRequestCount": (ZONE_ONLY, "always"),
    # of connections
    "ActiveConnectionCount": (L, "counted"),
    "NewConnectionCount": (L, "counted"),
    "RejectedConnectionCount": (L, "counted"),
    "ClientTLSNegotiationErrorCount": (L, "counted"),
    "ProcessedBytes": (L, "counted"),
    "IPv6ProcessedBytes": (L, "counted"),
    "ConsumedLCUs": (ONLY_LB, "always"),
    "PeakLCUs": (ONLY_LB, "reserved"),
    "ReservedLCUs": (ONLY_LB, "reserved"),
    # of the load balancer's own answers
    "HTTPCode_ELB_3XX_Count": (L, "counted"),
    "HTTPCode_ELB_4XX_Count": (L, "counted"),
    "HTTPCode_ELB_5XX_Count": (L, "counted"),
    "HTTPCode_ELB_500_Count": (L, "counted"),
    "HTTPCode_ELB_502_Count": (L, "counted"),
    "HTTPCode_ELB_503_Count": (L, "counted"),
    "HTTPCode_ELB_504_Count": (L, "counted"),
    "HTTP_Fixed_Response_Count": (L, "counted"),
    "HTTP_Redirect_Count": (L, "counted"),
    "HTTP_Redirect_Url_Limit_Exceeded_Count": (L, "counted"),
    # of targets
    "HTTPCode_Target_2XX_Count": (T, "counted"),
    "HTTPCode_Target_3XX_Count": (T, "counted"),
    "HTTPCode_Target_4XX_Count": (T, "counted"),
    "HTTPCode_Target_5XX_Count": (T, "counted"),
    "TargetResponseTime": (T, "counted"),
    "TargetConnectionErrorCount": (T, "counted"),
    "TargetTLSNegotiationErrorCount": (T, "counted"),
    "UnhealthyRoutingRequestCount": (T, "counted"),
    "HealthyHostCount": (H, "always"),
    "UnHealthyHostCount": (H, "always"),
    "AnomalousHostCount": (H, "always"),
    "MitigatedHostCount": (H, "always"),
    "HealthyStateDNS": (H, "always"),
    "HealthyStateRouting": (H, "always"),
    "UnhealthyStateDNS": (H, "always"),
    "UnhealthyStateRouting": (H, "always"),
    "LambdaInternalError": (LAMBDA, "counted"),
    "LambdaUserError": (LAMBDA, "counted"),
    "LambdaTargetProcessedBytes": (ONLY_LB, "counted"),
    "ELBAuthSuccess": (L, "counted"),
    "ELBAuthFailure": (L, "counted"),
    "ELBAuthError": (L, "counted"),
    "ELBAuthRefreshTokenSuccess": (L, "counted"),
    "ELBAuthUserClaimsSizeExceeded": (L, "counted"),
    "ELBAuthLatency": (L, "counted"),
    # never: nothing here has a reputation or controls targets
    "LowReputationPacketsDropped": (set(), "never"),
    "LowReputationRequestsDenied": (set(), "never"),
    "ZonalShiftedHostCount": (H, "shiftable"),
    "TargetControlRequestCount": (set(), "never"),
}
"""Each metric of alb.md section 20: its dimension sets, and when it is reported."""

TIMES = ("TargetResponseTime", "ELBAuthLatency")
COUNTED = [name for name, (_, when) in SECTION_20.items() if when == "counted" and name not in TIMES]
OF_A_TARGET = OF_TARGETS | ONLY_GROUP


def sets_published(points: list[Datapoint]) -> dict[str, set[tuple[str, ...]]]:
    found: dict[str, set[tuple[str, ...]]] = {}
    for point in points:
        found.setdefault(point.metric_name, set()).add(tuple(name for name, _ in point.dimensions))
    return found


def published_with(owner: Balancer, counted: bool) -> list[Datapoint]:
    """A minute in which everything happened that is counted, or nothing."""
    of_balancer = {name: 1.0 for name in COUNTED if name not in OF_A_TARGET} if counted else {}
    of_target = {"RequestCount": 1.0} | {name: 1.0 for name in COUNTED if name in OF_A_TARGET} if counted else {}
    minutes = Minutes()
    for zone in ZONES:
        once = [0.1] if counted else []
        each = report(of_balancer | ({"RequestCount": 99.0} if counted else {}), of_target, once, once)
        minutes.add(Place("us-east-1", zone), each, NUMBER * 60 + 30)
    taken = minutes.take(NUMBER + 1).get(NUMBER, Minute())
    return datapoints(NUMBER, taken, {ARN: owner}, [state(zone) for zone in ZONES])


@pytest.mark.parametrize("name", SECTION_20)
def test_each_metric_has_exactly_its_dimension_sets_and_is_reported_when_it_should(name: str) -> None:
    sets, when = SECTION_20[name]
    with_all = BALANCER._replace(sticky=True, reserved_units=100, shiftable=True)
    everything = sets_published(published_with(with_all, counted=True))
    assert everything.get(name, set()) == sets
    quiet = sets_published(published_with(with_all, counted=False))
    assert quiet.get(name, set()) == (sets if when in ("always", "sticky", "reserved", "shiftable") else set())
    plain = sets_published(published_with(BALANCER, counted=False))
    assert plain.get(name, set()) == (sets if when == "always" else set())


def test_nothing_is_published_twice_or_that_is_not_in_the_table() -> None:
    points = published_with(BALANCER._replace(sticky=True, reserved_units=100), counted=True)
    identities = [(point.metric_name, point.dimensions) for point in points]
    assert len(identities) == len(set(identities))
    assert {point.metric_name for point in points} <= set(SECTION_20)
    assert {(point.namespace, point.timestamp, point.account, point.region) for point in points} == {
        ("AWS/ApplicationELB", 60_000.0, "123456789012", "us-east-1")
    }
    # counted from the targets, not from the load balancer
    assert total(points, "RequestCount", lb=LB) == 2


def test_counts_that_came_late_keep_their_target_groups() -> None:
    minutes = Minutes()
    minutes.add(Place("us-east-1", "us-east-1a"), BOTH[0][1], NUMBER * 60)
    points = datapoints(NUMBER, minutes.take(NUMBER + 1)[NUMBER], {ARN: BALANCER}, [])
    assert total(points, "RequestCount", lb=LB, group=TG) == 10


def test_functions_are_not_counted_per_target_or_compared() -> None:
    minutes = Minutes()
    minutes.add(Place("us-east-1", "us-east-1a"), BOTH[0][1], NUMBER * 60)
    states = [state("us-east-1a")._replace(kind="lambda")]
    found = sets_published(datapoints(NUMBER, minutes.take(NUMBER + 1)[NUMBER], {ARN: BALANCER}, states))
    assert not {"RequestCountPerTarget", "AnomalousHostCount", "MitigatedHostCount"} & set(found)


def test_sums_over_zones() -> None:
    points = publish(*BOTH)
    assert total(points, "RequestCount", lb=LB) == 12
    assert total(points, "RequestCount", lb=LB, zone="us-east-1b") == 2
    assert total(points, "RequestCount", lb=LB, group=TG) == 12
    assert total(points, "NewConnectionCount", lb=LB) == 8
    assert total(points, "RequestCountPerTarget", group=TG) == 4
    assert total(points, "RequestCountPerTarget", lb=LB, group=TG, zone="us-east-1a") == pytest.approx(10 / 3)
    (bytes_,) = [p for p in points if p.metric_name == "ProcessedBytes" and len(p.dimensions) == 1]
    assert bytes_.unit == "Bytes"


def test_response_times_keep_their_distribution() -> None:
    points = publish(*BOTH)
    (found,) = [p for p in points if p.metric_name == "TargetResponseTime" and len(p.dimensions) == 1]
    assert found.unit == "Seconds"
    assert list(found.counts) == [10, 2]
    assert list(found.values) == pytest.approx([0.1, 0.4], rel=0.032)


def test_logins_take_milliseconds() -> None:
    points = publish(("us-east-1a", report({}, {}, [], [0.02, 0.02])), ("us-east-1b", report({}, {}, [], [0.5])))
    found = {point.dimensions: point for point in points if point.metric_name == "ELBAuthLatency"}
    assert len(found) == 3
    (whole,) = [point for at, point in found.items() if len(at) == 1]
    assert (whole.unit, list(whole.counts)) == ("Milliseconds", [2, 1])
    assert list(whole.values) == pytest.approx([20, 500], rel=0.032)


def test_several_reports_of_a_minute_add_up_but_gauges_do_not() -> None:
    each = report({"ActiveConnectionCount": 7, "NewConnectionCount": 1}, {"RequestCount": 1}, [])
    points = publish(("us-east-1a", each), ("us-east-1a", each), ("us-east-1b", each))
    assert total(points, "NewConnectionCount", lb=LB) == 3
    assert total(points, "ActiveConnectionCount", lb=LB, zone="us-east-1a") == 7
    assert total(points, "ActiveConnectionCount", lb=LB) == 14


def test_a_minute_without_traffic() -> None:
    points = publish(("us-east-1a", report({}, {}, [])))
    names = {point.metric_name for point in points}
    assert names == {
        "AnomalousHostCount",
        "ConsumedLCUs",
        "ForwardedInvalidHeaderRequestCount",
        "HealthyHostCount",
        "HealthyStateDNS",
        "HealthyStateRouting",
        "MitigatedHostCount",
        "RequestCount",
        "RequestCountPerTarget",
        "UnHealthyHostCount",
        "UnhealthyStateDNS",
        "UnhealthyStateRouting",
    }
    assert total(points, "RequestCount", lb=LB) == 0
    assert total(points, "HealthyStateDNS", lb=LB, group=TG) == 2


def test_consumed_lcus_are_those_of_the_busiest_dimension() -> None:
    busy = report({"NewConnectionCount": 25 * 60 * 2, "ProcessedBytes": 1e9 / 60 * 3}, {}, [])
    assert total(publish(("us-east-1a", busy)), "ConsumedLCUs", lb=LB) == pytest.approx(3)


def test_a_load_balancer_that_is_gone_is_left_out() -> None:
    minutes = Minutes()
    minutes.add(Place("us-east-1", "us-east-1a"), BOTH[0][1], NUMBER * 60)
    assert datapoints(NUMBER, minutes.take(NUMBER + 1)[NUMBER], {}, []) == []


def test_a_minute_is_taken_once_and_only_when_it_has_ended() -> None:
    minutes = Minutes()
    minutes.add(Place("us-east-1", "us-east-1a"), BOTH[0][1], NUMBER * 60 + 59)
    assert minutes.take(NUMBER) == {}
    assert list(minutes.take(NUMBER + 1)) == [NUMBER]
    assert minutes.take(NUMBER + 1) == {}
