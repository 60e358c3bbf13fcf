"""Reports to datapoints: names, units and exact dimension sets of alb.md §20."""

from __future__ import annotations

import pytest

from elba.dataplane.interface import Place
from elba.dataplane.protocol import Histogram, LoadBalancerReport, Report, TargetReport, bucket_index
from elba.datapoints import Datapoint
from elba.elbv2.metrics import Balancer, GroupState, Minutes, datapoints

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


def report(of_balancer: dict[str, float], of_target: dict[str, float], seconds: list[float]) -> Report:
    buckets: dict[int, int] = {}
    for value in seconds:
        buckets[bucket_index(value)] = buckets.get(bucket_index(value), 0) + 1
    times = Histogram(count=len(seconds), sum=sum(seconds), buckets=sorted(buckets.items()))
    return Report(
        sequence=1,
        time=0,
        interval_seconds=1,
        load_balancers=[LoadBalancerReport(load_balancer=ARN, counters=of_balancer)],
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


@pytest.mark.parametrize(
    ("name", "sets"),
    [
        ("RequestCount", T),
        ("NewConnectionCount", L),
        ("ProcessedBytes", L),
        ("HTTPCode_ELB_503_Count", L),
        ("HTTPCode_Target_2XX_Count", T),
        ("TargetConnectionErrorCount", T),
        ("TargetResponseTime", T),
        ("RequestCountPerTarget", PER_TARGET),
        ("HealthyHostCount", H),
        ("UnHealthyHostCount", H),
        ("HealthyStateDNS", H),
        ("UnhealthyStateRouting", H),
        ("ConsumedLCUs", ONLY_LB),
        ("RuleEvaluations", ONLY_LB),
        ("ForwardedInvalidHeaderRequestCount", {("AvailabilityZone", "LoadBalancer")}),
        ("ActiveConnectionCount", L),
        ("NonsenseCount", set()),
    ],
)
def test_dimension_sets(name: str, sets: set[tuple[str, ...]]) -> None:
    of_balancer = {
        "NewConnectionCount": 1.0,
        "ProcessedBytes": 1.0,
        "HTTPCode_ELB_503_Count": 1.0,
        "RuleEvaluations": 1.0,
        "ForwardedInvalidHeaderRequestCount": 1.0,
        "ActiveConnectionCount": 4.0,
        "RequestCount": 99.0,  # counted from the targets, not from here
    }
    of_target = {"RequestCount": 2.0, "HTTPCode_Target_2XX_Count": 1.0, "TargetConnectionErrorCount": 1.0}
    points = publish(*((zone, report(of_balancer, of_target, [0.1])) for zone in ZONES))
    found = {tuple(n for n, _ in point.dimensions) for point in points if point.metric_name == name}
    assert found == sets
    identities = [(point.metric_name, point.dimensions) for point in points]
    assert len(identities) == len(set(identities))  # nothing is published twice
    assert {(point.namespace, point.timestamp, point.account, point.region) for point in points} == {
        ("AWS/ApplicationELB", 60_000.0, "123456789012", "us-east-1")
    }


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
        "ConsumedLCUs",
        "HealthyHostCount",
        "HealthyStateDNS",
        "HealthyStateRouting",
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
