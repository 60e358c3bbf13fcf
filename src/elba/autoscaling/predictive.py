"""Predictive scaling: from the load of past weeks to the capacity that each coming hour needs. Pure.

AWS does not publish its model; this one expects of each hour what that hour of the week had on average, or that hour
of the day while there is less than a week of history. Source: Auto Scaling user guide, "Predictive scaling".
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elba.autoscaling import faults
from elba.autoscaling.resources import Forecast, Group, Policy
from elba.clock import Timestamp
from elba.cloudwatch.commands.validation import require_queries
from elba.cloudwatch.expressions.parser import Function, names, parse
from elba.cloudwatch.insights import is_insights
from elba.store.interface import View

HOUR = 3600.0
LEAST_HOURS = 24
HISTORY_SECONDS = 14 * 86400.0
AHEAD_HOURS = 48
REFRESH_SECONDS = 6 * HOUR
DEFAULT_BUFFER_SECONDS = 300
PERIOD_SECONDS = 60
"""Of metrics whose queries do not say: the policy's queries have no member for it."""
KEPT_HOURS = 366 * 24
MOST_QUERIES = 10

PAIRS = ("ASGCPUUtilization", "ASGNetworkIn", "ASGNetworkOut", "ALBRequestCount")
_METRICS = {"ASGCPUUtilization": "CPUUtilization", "ASGNetworkIn": "NetworkIn", "ASGNetworkOut": "NetworkOut"}
_LOADS = {
    "ASGTotalCPUUtilization": "ASGCPUUtilization",
    "ASGTotalNetworkIn": "ASGNetworkIn",
    "ASGTotalNetworkOut": "ASGNetworkOut",
    "ALBTargetGroupRequestCount": "ALBRequestCount",
}
_SCALINGS = {
    "ASGAverageCPUUtilization": "ASGCPUUtilization",
    "ASGAverageNetworkIn": "ASGNetworkIn",
    "ASGAverageNetworkOut": "ASGNetworkOut",
    "ALBRequestCountPerTarget": "ALBRequestCount",
}
PARTS = ("load", "scaling", "capacity")
NEITHER = (
    "The metric specification is invalid. A policy must have either one scaling metric and one load metric or one "
    "metric pair."
)


def checked(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its defaults. Raises: ApiError ValidationError."""
    specifications = configuration.get("metric_specifications") or []
    if len(specifications) != 1:
        raise faults.validation("You must specify one metric specification.")
    _check_metrics(specifications[0])
    mode = configuration.get("mode") or "ForecastOnly"
    if mode not in ("ForecastOnly", "ForecastAndScale"):
        raise faults.validation(f"Invalid mode: {mode}.")
    buffer = configuration.get("scheduling_buffer_time")
    buffer = DEFAULT_BUFFER_SECONDS if buffer is None else buffer
    if not 0 <= buffer <= 3600:
        raise faults.validation("SchedulingBufferTime must be between 0 and 3600 seconds.")
    behavior = configuration.get("max_capacity_breach_behavior") or "HonorMaxCapacity"
    if behavior not in ("HonorMaxCapacity", "IncreaseMaxCapacity"):
        raise faults.validation(f"Invalid max capacity breach behavior: {behavior}.")
    extra = configuration.get("max_capacity_buffer")
    if extra is not None and behavior != "IncreaseMaxCapacity":
        raise faults.validation("You must not specify max capacity buffer when using HonorMaxCapacity.")
    if extra is None and behavior == "IncreaseMaxCapacity":
        raise faults.validation("You must specify max capacity buffer when using IncreaseMaxCapacity.")
    if extra is not None and not 0 <= extra <= 100:
        raise faults.validation("MaxCapacityBuffer must be between 0 and 100 percent.")
    resolved: dict[str, Any] = {
        "metric_specifications": list(specifications),
        "mode": mode,
        "scheduling_buffer_time": buffer,
        "max_capacity_breach_behavior": behavior,
    }
    return {**resolved, "max_capacity_buffer": extra} if extra is not None else resolved


def _check_metrics(specification: Mapping[str, Any]) -> None:
    """Raises: ApiError ValidationError."""
    if not specification["target_value"] > 0:
        raise faults.validation("TargetValue must be greater than 0.")
    pair = specification.get("predefined_metric_pair_specification")
    predefined = {p: specification.get(f"predefined_{p}_metric_specification") for p in ("load", "scaling")}
    customized = {p: specification.get(f"customized_{p}_metric_specification") for p in PARTS}
    given = {p: [s for s in (predefined.get(p), customized[p]) if s] for p in PARTS}
    if pair:
        if any(given.values()):
            raise faults.validation(NEITHER)
    elif len(given["load"]) != 1 or len(given["scaling"]) != 1:
        raise faults.validation(NEITHER)
    if given["capacity"] and not customized["load"]:
        raise faults.validation("Capacity metric can only be used when you use customized load metric.")
    for name, kinds in (("metric pair", PAIRS), ("load metric", _LOADS), ("scaling metric", _SCALINGS)):
        chosen = {"metric pair": pair, "load metric": predefined["load"], "scaling metric": predefined["scaling"]}[name]
        if not chosen:
            continue
        kind = chosen["predefined_metric_type"]
        if kind not in kinds:
            raise faults.validation(f"Invalid predefined metric type: {kind}.")
        # Other metrics may have a label, which says nothing: Terraform's module for groups writes one.
        if kind.startswith("ALB") and "/targetgroup/" not in (chosen.get("resource_label") or ""):
            raise faults.validation(
                "A resource label is required. A resource label identifies the Application Load Balancer target group "
                "for the Application Load Balancer metric that's specified."
            )
    for part, chosen in customized.items():
        if chosen:
            check_queries(part, chosen.get("metric_data_queries") or [])


def check_queries(part: str, queries: Sequence[Mapping[str, Any]]) -> None:
    """What a customized metric's queries must be, each for itself and together. Raises: ApiError ValidationError."""
    if not 1 <= len(queries) <= MOST_QUERIES:
        raise faults.validation(f"A customized {part} metric needs between 1 and {MOST_QUERIES} metric data queries.")
    ids = [q["id"] for q in queries]
    if len(set(ids)) < len(ids):
        raise faults.validation(
            f"The MetricDataQuery object for the customized {part} metric has a problem or incorrect syntax. Verify "
            "that the object is valid by using the CloudWatch GetMetricData API to investigate the issue and try again."
        )
    require_queries(with_periods(queries))
    returned = [q for q in queries if q.get("return_data") is not False]
    if len(returned) != 1:
        raise faults.validation(
            f"One or more MetricDataQuery objects in the customized {part} metric specification isn't valid. Any "
            "expressions used must create exactly one time series."
        )
    expressions = {q["id"]: q["expression"] for q in queries if q.get("expression") is not None}
    trees = {id_: parse(text) for id_, text in expressions.items() if not is_insights(text)}
    for id_, tree in trees.items():
        if unknown := names(tree) - {q["id"] for q in queries}:
            raise faults.validation(f"The expression {id_} refers to unknown id {', '.join(sorted(unknown))}.")
    whole = trees.get(returned[0]["id"])
    if isinstance(whole, Function) and whole.name == "SEARCH":
        raise faults.validation(f"The {part} metric must be one time series: aggregate what SEARCH finds, as with SUM.")


def with_periods(queries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The queries as CloudWatch's GetMetricData takes them."""
    shown = []
    for query in queries:
        one = {k: v for k, v in query.items() if v is not None}
        if (stat := one.get("metric_stat")) is not None:
            one["metric_stat"] = {"period": PERIOD_SECONDS, **{k: v for k, v in stat.items() if v is not None}}
        shown.append(one)
    return shown


def _query(namespace: str, name: str, pairs: Mapping[str, str], statistic: str) -> list[dict[str, Any]]:
    metric = {"namespace": namespace, "metric_name": name}
    given = [{"name": n, "value": v} for n, v in pairs.items()]
    return with_periods([{"id": "m", "metric_stat": {"metric": {**metric, "dimensions": given}, "stat": statistic}}])


def _predefined(group: Group, kind: str, label: str, part: str) -> list[dict[str, Any]]:
    """The query that a predefined metric stands for; `kind` as a metric pair calls it."""
    if kind != "ALBRequestCount":
        statistic = "Sum" if part == "load" else "Average"
        return _query("AWS/EC2", _METRICS[kind], {"AutoScalingGroupName": group.id}, statistic)
    balancer, _, rest = label.partition("/targetgroup/")
    target_group = {"TargetGroup": f"targetgroup/{rest}"}
    if part == "load":
        return _query("AWS/ApplicationELB", "RequestCount", {"LoadBalancer": balancer, **target_group}, "Sum")
    return _query("AWS/ApplicationELB", "RequestCountPerTarget", target_group, "Sum")


def queries_of(group: Group, specification: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What to ask CloudWatch for the load of the group, its scaling metric and its capacity.

    Without a capacity metric of the policy's own, the instances are counted that have sent their CPU utilization.
    """
    found = {"capacity": _query("AWS/EC2", "CPUUtilization", {"AutoScalingGroupName": group.id}, "SampleCount")}
    pair = specification.get("predefined_metric_pair_specification")
    for part, kinds in (("load", _LOADS), ("scaling", _SCALINGS)):
        predefined = specification.get(f"predefined_{part}_metric_specification")
        if chosen := pair or predefined:
            kind = chosen["predefined_metric_type"]
            found[part] = _predefined(group, kinds.get(kind, kind), chosen.get("resource_label") or "", part)
    for part in PARTS:
        if customized := specification.get(f"customized_{part}_metric_specification"):
            found[part] = with_periods(customized["metric_data_queries"])
    return found


@dataclass(frozen=True, slots=True)
class History:
    """Hourly means by `load`, `scaling` and `capacity`, each by the hour's number since the epoch."""

    hours: dict[str, dict[int, float]]

    @property
    def load(self) -> dict[int, float]:
        return self.hours.get("load", {})

    def together(self) -> list[tuple[float, float, float]]:
        """(load, scaling, capacity) of the hours in which all three are known and something was there to bear it."""
        scaling, capacity = self.hours.get("scaling", {}), self.hours.get("capacity", {})
        return [(v, scaling[h], capacity[h]) for h, v in self.load.items() if h in scaling and capacity.get(h, 0.0) > 0]


def scaling_per_load(specification: Mapping[str, Any], history: History) -> float:
    """How much of the scaling metric an instance shows for one unit of load on it.

    One for the two sides of one predefined metric. For others history says it, and it is taken for one where there is
    none: a load in requests a minute goes with a scaling metric in requests a minute and instance.
    """
    load_of = specification.get("predefined_load_metric_specification") or {}
    scaling_of = specification.get("predefined_scaling_metric_specification") or {}
    same = _LOADS.get(load_of.get("predefined_metric_type", "")) == _SCALINGS.get(
        scaling_of.get("predefined_metric_type", "")
    )
    if same and not any(k.startswith("customized_") and v for k, v in specification.items()):
        return 1.0
    known = history.together()
    load = sum(v for v, _, _ in known)
    borne = sum(scaling * capacity for _, scaling, capacity in known)
    return borne / load if load > 0 and borne > 0 else 1.0


def correlation(history: History) -> float | None:
    """Of the scaling metric and the load per instance, between -1 and 1; None where either does not vary."""
    pairs = [(load / capacity, scaling) for load, scaling, capacity in history.together()]
    if len(pairs) < 2:
        return None
    means = [sum(column) / len(pairs) for column in zip(*pairs, strict=True)]
    offsets = [(x - means[0], y - means[1]) for x, y in pairs]
    spread = math.sqrt(sum(x * x for x, _ in offsets) * sum(y * y for _, y in offsets))
    return max(-1.0, min(1.0, sum(x * y for x, y in offsets) / spread)) if spread > 0 else None


def hourly(minutes: Iterable[tuple[Timestamp, float]]) -> dict[int, float]:
    """The mean load of each hour (numbered since the epoch) from the sums of its minutes that have data."""
    found: dict[int, list[float]] = {}
    for time, total in minutes:
        found.setdefault(int(time // HOUR), []).append(total)
    return {hour: sum(values) / len(values) for hour, values in found.items()}


def predict(history: Mapping[int, float], now: Timestamp) -> dict[int, float]:
    """The load expected of each of the next 48 hours, this one first; empty with less than a day of history."""
    this = int(now // HOUR)
    known = {h: v for h, v in history.items() if h < this}
    if len(known) < LEAST_HOURS:
        return {}
    expected = {}
    for hour in range(this, this + AHEAD_HOURS):
        same = [v for h, v in known.items() if (hour - h) % 168 == 0] or [
            v for h, v in known.items() if (hour - h) % 24 == 0
        ]
        if same:
            expected[hour] = sum(same) / len(same)
    return expected


def capacity_for(load: float, target: float) -> int:
    return max(0, math.ceil(load / target - 1e-9))


def renewed(
    old: Forecast | None, policy: Policy, history: History, expected: Mapping[int, float], now: Timestamp
) -> Forecast:
    """The new forecast, with what the old one said of hours that are past."""
    specification = (policy.predictive_scaling_configuration or {})["metric_specifications"][0]
    this = int(now // HOUR)
    past: list[tuple[int, float, int]] = []
    if old is not None:
        told = zip(old.hours, old.load, old.capacity, strict=True)
        past = [(h, load, capacity) for h, load, capacity in told if this - KEPT_HOURS <= h < this]
    ratio = scaling_per_load(specification, history)
    target = specification["target_value"]
    ahead = [(h, load, capacity_for(load * ratio, target)) for h, load in expected.items()]
    hours = [*past, *ahead]
    return Forecast(
        account=policy.account,
        region=policy.region,
        id=policy.id,
        group_name=policy.group_name,
        update_time=now,
        hours=[h for h, _, _ in hours],
        load=[load for _, load, _ in hours],
        capacity=[capacity for _, _, capacity in hours],
        correlation=correlation(history),
    )


def place_of(forecast: Forecast, hour: int) -> int | None:
    """Where the hour is in the forecast's lists."""
    place = bisect_left(forecast.hours, hour)
    return place if place < len(forecast.hours) and forecast.hours[place] == hour else None


def floor_at(forecast: Forecast, buffer_seconds: float, now: Timestamp) -> int:
    """The capacity the forecast asks for at this moment: this hour's, or the next one's within the buffer."""
    places = (place_of(forecast, int(time // HOUR)) for time in (now, now + buffer_seconds))
    return max((forecast.capacity[p] for p in places if p is not None), default=0)


def predicted_floor(view: View, group: Group, now: Timestamp) -> tuple[int, Policy | None]:
    """The largest capacity that the group's scaling forecasts ask for now, and whose it is; (0, None) without any."""
    best: tuple[int, Policy | None] = (0, None)
    for policy in view.children(Policy, group.account, group.region, group.id):
        configuration = policy.predictive_scaling_configuration
        if configuration is None or not policy.enabled or configuration["mode"] != "ForecastAndScale":
            continue
        forecast = view.get(Forecast, group.account, group.region, policy.id)
        if forecast is not None:
            wanted = floor_at(forecast, configuration["scheduling_buffer_time"], now)
            if wanted > best[0]:
                best = (wanted, policy)
    return best


def next_change(configuration: Mapping[str, Any], now: Timestamp) -> Timestamp:
    """When the floor may change next: the next hour, or so much before it as the buffer says."""
    hour = (now // HOUR + 1) * HOUR
    early = hour - float(configuration["scheduling_buffer_time"])
    return early if early > now else hour
