"""GetPredictiveScalingForecast."""

from __future__ import annotations

from elba.autoscaling import faults
from elba.autoscaling.lookup import find_policy, require_group
from elba.autoscaling.resources import Forecast
from elba.call import Answer, Call, Request
from elba.store.interface import View

LONGEST_SECONDS = 30 * 86400
OLDEST_SECONDS = 366 * 86400


def get_predictive_scaling_forecast(view: View, call: Call, request: Request) -> Answer:
    """The hours of the latest forecast between the two times. Raises: ApiError."""
    group = require_group(view, call, request["auto_scaling_group_name"])
    policy = find_policy(view, call, request["policy_name"], group.id)
    if policy is None or policy.predictive_scaling_configuration is None:
        raise faults.policy_unknown(request["policy_name"])
    start, end = request["start_time"], request["end_time"]
    if not start < end <= start + LONGEST_SECONDS:
        raise faults.validation("EndTime must be after StartTime and at most 30 days later.")
    if start < call.now - OLDEST_SECONDS:
        raise faults.validation("StartTime must be at most one year before the current time.")
    forecast = view.get(Forecast, call.account, call.region, policy.id)
    if forecast is None:
        raise faults.validation("There is no forecast yet: at least 24 hours of metric data are needed.")
    hours = [
        (h * 3600.0, load, capacity)
        for h, load, capacity in zip(forecast.hours, forecast.load, forecast.capacity, strict=True)
        if start <= h * 3600.0 <= end
    ]
    times = [t for t, _, _ in hours]
    return {
        "load_forecast": [
            {
                "timestamps": times,
                "values": [load for _, load, _ in hours],
                "metric_specification": policy.predictive_scaling_configuration["metric_specifications"][0],
            }
        ],
        "capacity_forecast": {"timestamps": times, "values": [float(c) for _, _, c in hours]},
        "update_time": forecast.update_time,
    }
