"""Predictive scaling: from the load of past weeks to the capacity that each coming hour needs. Pure.

AWS does not publish its model; this one expects of each hour what that hour of the week had on average, or that hour
of the day while there is less than a week of history. Source: Auto Scaling user guide, "Predictive scaling".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from elba.autoscaling import faults
from elba.autoscaling.resources import Forecast, Group, Policy
from elba.clock import Timestamp
from elba.store.interface import View

HOUR = 3600.0
LEAST_HOURS = 24
HISTORY_SECONDS = 14 * 86400.0
AHEAD_HOURS = 48
REFRESH_SECONDS = 6 * HOUR
DEFAULT_BUFFER_SECONDS = 300
PAIRS = ("ASGCPUUtilization", "ASGNetworkIn", "ASGNetworkOut", "ALBRequestCount")
_METRICS = {"ASGCPUUtilization": "CPUUtilization", "ASGNetworkIn": "NetworkIn", "ASGNetworkOut": "NetworkOut"}
_LOADS = {
    "ASGTotalCPUUtilization": "ASGCPUUtilization",
    "ASGTotalNetworkIn": "ASGNetworkIn",
    "ASGTotalNetworkOut": "ASGNetworkOut",
    "ALBTargetGroupRequestCount": "ALBRequestCount",
}


def checked(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its defaults. Raises: ApiError ValidationError."""
    specifications = configuration.get("metric_specifications") or []
    if len(specifications) != 1:
        raise faults.validation("Exactly one metric specification is required.")
    specification = specifications[0]
    if not specification["target_value"] > 0:
        raise faults.validation("TargetValue must be greater than 0.")
    if any(k.startswith("customized_") and v for k, v in specification.items()):
        raise faults.validation("Customized metrics are not supported by predictive scaling in Elba yet.")
    pair = specification.get("predefined_metric_pair_specification")
    load = specification.get("predefined_load_metric_specification")
    scaling = specification.get("predefined_scaling_metric_specification")
    if bool(pair) == bool(load and scaling) or (pair and (load or scaling)):
        raise faults.validation("Specify either a metric pair or both a load metric and a scaling metric.")
    kind, label = load_metric(specification)
    if kind not in PAIRS:
        raise faults.validation(f"Invalid predefined metric type: {kind}.")
    # Other metrics may have a label, which says nothing: Terraform's module for groups writes one.
    if kind == "ALBRequestCount" and not label:
        raise faults.validation("A resource label is required for load balancer metrics.")
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
        raise faults.validation("MaxCapacityBuffer is only supported with IncreaseMaxCapacity.")
    resolved: dict[str, Any] = {
        "metric_specifications": list(specifications),
        "mode": mode,
        "scheduling_buffer_time": buffer,
        "max_capacity_breach_behavior": behavior,
    }
    return {**resolved, "max_capacity_buffer": extra} if extra is not None else resolved


def load_metric(specification: Mapping[str, Any]) -> tuple[str, str]:
    """(kind of load as a metric pair calls it, resource label)."""
    pair = specification.get("predefined_metric_pair_specification")
    if pair:
        return pair["predefined_metric_type"], pair.get("resource_label") or ""
    load = specification.get("predefined_load_metric_specification") or {}
    kind = load.get("predefined_metric_type") or ""
    return _LOADS.get(kind, kind), load.get("resource_label") or ""


def metric_of(group: Group, specification: Mapping[str, Any]) -> tuple[str, str, dict[str, str]]:
    """(namespace, metric name, dimensions) whose sum over a minute is the group's load in that minute."""
    kind, label = load_metric(specification)
    if kind == "ALBRequestCount":
        balancer, _, rest = label.partition("/targetgroup/")
        return (
            "AWS/ApplicationELB",
            "RequestCount",
            {"LoadBalancer": balancer, "TargetGroup": f"targetgroup/{rest}"},
        )
    return "AWS/EC2", _METRICS[kind], {"AutoScalingGroupName": group.id}


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
    return math.ceil(load / target - 1e-9)


def floor_at(forecast: Forecast, buffer_seconds: float, now: Timestamp) -> int:
    """The capacity the forecast asks for at this moment: this hour's, or the next one's within the buffer."""
    hours = dict(zip(forecast.hours, forecast.capacity, strict=True))
    return max(hours.get(int(now // HOUR), 0), hours.get(int((now + buffer_seconds) // HOUR), 0))


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
