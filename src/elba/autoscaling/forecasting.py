"""Makes the forecasts of predictive policies from what CloudWatch has of two weeks, and tells CloudWatch of them.

What is asked of CloudWatch are metric queries, those of the policy or those that its predefined metrics stand for; the
arithmetic is in `predictive`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from elba.autoscaling import predictive
from elba.autoscaling.resources import Forecast, Group, Policy
from elba.clock import Timestamp
from elba.cloudwatch.anomaly import bands_of
from elba.cloudwatch.expressions.parser import ExpressionError
from elba.cloudwatch.expressions.queries import QuerySet
from elba.cloudwatch.expressions.values import TimeSeries, Window
from elba.cloudwatch.series import SeriesEngine
from elba.datapoints import Datapoint, dimensions
from elba.parts import Parts
from elba.store.interface import View

log = logging.getLogger(__name__)

CHECK_SECONDS = 600.0


class ForecastTicker:
    """Makes each predictive policy's forecast anew every six hours, and publishes each hour's part of it."""

    name = "autoscaling.forecast"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self) -> None:
        while True:
            for policy in self._parts.store.view.all(Policy):
                if policy.predictive_scaling_configuration is not None and policy.enabled:
                    await self._forecast(policy)
            now = self._parts.clock.now()
            await self._parts.clock.sleep(min(CHECK_SECONDS, predictive.HOUR - now % predictive.HOUR))
            if self._parts.clock.now() % predictive.HOUR < 1.0:
                self._publish_all()

    async def _forecast(self, policy: Policy) -> None:
        now, view = self._parts.clock.now(), self._parts.store.view
        old = view.get(Forecast, policy.account, policy.region, policy.id)
        group = view.get(Group, policy.account, policy.region, policy.group_name)
        due = old is None or old.update_time + predictive.REFRESH_SECONDS <= now
        engine = self._parts.metrics
        if not due or group is None or not isinstance(engine, SeriesEngine):
            return
        specification = (policy.predictive_scaling_configuration or {})["metric_specifications"][0]
        history = predictive.History({})
        for name, queries in predictive.queries_of(group, specification).items():
            try:
                points = measured(engine, view, group, queries, now)
            except ExpressionError as error:
                log.warning("forecast impossible", extra={"resource": policy.id, "cause": f"{name}: {error}"})
                return
            history.hours[name] = predictive.hourly(points)
            # Two weeks of minutes take a moment: the API has its turn between two queries.
            await asyncio.sleep(0)
        expected = predictive.predict(history.load, now)
        if not expected:
            return
        forecast = predictive.renewed(old, policy, history, expected, now)

        def command(tx: Any) -> None:
            # It may have been changed or deleted meanwhile.
            if tx.get(Policy, policy.account, policy.region, policy.id) == policy:
                tx.put(forecast)

        await self._parts.store.write(command, "forecast")
        if old is None:
            self._parts.metrics.put(published(policy, forecast, now))

    def _publish_all(self) -> None:
        view, now = self._parts.store.view, self._parts.clock.now()
        for policy in view.all(Policy):
            forecast = view.get(Forecast, policy.account, policy.region, policy.id)
            if forecast is not None and policy.predictive_scaling_configuration is not None and policy.enabled:
                self._parts.metrics.put(published(policy, forecast, now))


def measured(
    engine: SeriesEngine, view: View, group: Group, queries: Sequence[Mapping[str, Any]], now: Timestamp
) -> list[tuple[float, float]]:
    """What the query that returns data says of the past two weeks. Raises: ExpressionError."""
    window = Window(now - predictive.HISTORY_SECONDS, now)
    bands = bands_of(engine, view)
    query_set = QuerySet(engine, group.account, group.region, queries, window, now, bands)
    returned = next(q for q in queries if q.get("return_data") is not False)
    found = query_set.value(returned["id"], query_set.period(returned))
    if not isinstance(found, TimeSeries):
        if len(found) != 1:
            raise ExpressionError(f"{len(found)} time series where one is needed")
        found = found[0]
    return [(float(time), value) for time, value in found.values.items()]


def published(policy: Policy, forecast: Forecast, now: Timestamp) -> list[Datapoint]:
    """The hour's forecast as CloudWatch metrics, at the beginning of the hour.

    Source: Auto Scaling user guide, "Monitor predictive scaling metrics with CloudWatch".
    """
    hour = int(now // predictive.HOUR)
    place = predictive.place_of(forecast, hour)
    if place is None:
        return []
    group = {"AutoScalingGroupName": policy.group_name, "PolicyName": policy.policy_name}
    pair = {**group, "PairIndex": "0"}
    values = [
        ("PredictiveScalingLoadForecast", pair, forecast.load[place]),
        ("PredictiveScalingCapacityForecast", group, float(forecast.capacity[place])),
    ]
    if forecast.correlation is not None:
        values.append(("PredictiveScalingMetricPairCorrelation", pair, forecast.correlation))
    return [
        Datapoint(
            account=policy.account,
            region=policy.region,
            namespace="AWS/AutoScaling",
            metric_name=name,
            timestamp=hour * predictive.HOUR,
            dimensions=dimensions(pairs),
            values=(value,),
            counts=(1.0,),
        )
        for name, pairs, value in values
    ]
