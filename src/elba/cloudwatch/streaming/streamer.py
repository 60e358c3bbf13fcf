"""Once a minute: what was measured in minutes that have ended goes to the streams that want it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import aiohttp

from elba.call import Call
from elba.cloudwatch.commands.streams import record_progress
from elba.cloudwatch.metric import Metric
from elba.cloudwatch.resources import MetricStream, MetricStreamProgress
from elba.cloudwatch.schedule import MINUTE, publication_lag
from elba.cloudwatch.series import SeriesEngine, Touched
from elba.cloudwatch.streaming.destinations import (
    SETTING,
    Destination,
    Outgoing,
    destination_of,
    parse_destinations,
    request_for,
)
from elba.cloudwatch.streaming.outbox import Letter, Outbox, Post
from elba.cloudwatch.streaming.updates import Update, additional_statistics, selects, update_of
from elba.datapoints import Datapoint
from elba.parts import Parts
from elba.resource import Key

log = logging.getLogger(__name__)

NAMESPACE = "AWS/CloudWatch/MetricStreams"
UPDATES_PER_REQUEST = 500
LATE_SECONDS = 7200
"""Data older than this is not streamed any more."""
REQUEST_SECONDS = 30.0


class Http:
    """Posts with connections kept open between requests."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(self, request: Outgoing) -> tuple[int, Mapping[str, str]]:
        """Raises: OSError, TimeoutError."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS))
        try:
            async with self._session.post(
                request.url, data=request.body, headers=request.headers, allow_redirects=False
            ) as answer:
                await answer.read()
                return answer.status, answer.headers
        except aiohttp.ClientError as error:
            raise OSError(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


@dataclass(slots=True)
class _Running:
    """A stream with an endpoint, and what is on its way there."""

    destination: Destination
    outbox: Outbox
    task: asyncio.Task[None]


class MetricStreamer:
    """Sends each metric's ended minutes, again if late data changed one, to every running stream of its owner.

    After a restart it goes on where each stream had come to. A stream whose delivery stream has no endpoint sends
    nothing.
    """

    name = "cloudwatch.metric_stream"

    def __init__(self, parts: Parts, post: Post | None = None) -> None:
        engine = parts.metrics
        assert isinstance(engine, SeriesEngine)
        self._engine = engine
        self._parts = parts
        self._http = Http() if post is None else None
        self._post: Post = self._http.post if self._http is not None else post  # type: ignore[assignment] # one of them
        self._destinations = parse_destinations(parts.settings.get(SETTING, ""))
        self._lag = publication_lag(parts.settings, parts.clock)
        self._running: dict[Key, _Running] = {}
        self._homeless: set[Key] = set()
        self._caught_up = False
        parts.store.subscribe(self._changed)

    def _changed(self, keys: Iterable[Key]) -> None:
        if any(key.kind == MetricStream.KIND for key in keys):
            self._follow()

    def _streams(self) -> list[MetricStream]:
        return [stream for stream in self._parts.store.view.all(MetricStream) if stream.state == "running"]

    def _follow(self) -> None:
        """Note changes only while somebody wants them; forget what waits for streams that do not run any more."""
        wanted = {stream.key: destination_of(stream, self._destinations) for stream in self._streams()}
        if not wanted:
            self._engine.touched = None
        elif self._engine.touched is None:
            self._engine.touched = set()
        for key in [key for key, running in self._running.items() if wanted.get(key) != running.destination]:
            self._running.pop(key).task.cancel()
        self._homeless &= wanted.keys()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            self._follow()
            while True:
                now = self._parts.clock.now()
                boundary = (math.floor((now - self._lag) / MINUTE) + 1) * MINUTE
                await self._parts.clock.sleep(boundary + self._lag - now)
                late = math.floor((self._parts.clock.now() - self._lag) / MINUTE) * MINUTE
                if late >= boundary:
                    await self.send(late)
        finally:
            tasks = [running.task for running in self._running.values()]
            self._running.clear()
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.gather(*tasks, return_exceptions=True)
            if self._http is not None:
                await self._http.close()

    async def send(self, boundary: int) -> None:
        """Everything of minutes that ended by `boundary` and was not sent yet."""
        streams = self._streams()
        touched = self._take(boundary)
        for stream in streams:
            running = self._require_running(stream)
            if running is None:
                continue
            chosen = touched if self._caught_up else touched | self._missed(stream, boundary)
            updates = await self._updates(stream, chosen, boundary)
            await self._hand_over(stream, running, updates, boundary)
        self._caught_up = True

    def _take(self, boundary: int) -> Touched:
        noted = self._engine.touched
        if noted is None:
            return set()
        ended = {each for each in noted if each[2] + MINUTE <= boundary}
        self._engine.touched = noted - ended
        return ended

    def _missed(self, stream: MetricStream, boundary: int) -> Touched:
        """What the stream was not sent before a restart."""
        progress = self._parts.store.view.get(MetricStreamProgress, stream.account, stream.region, stream.id)
        since = stream.started if progress is None else max(stream.started, progress.through)
        since = max(since, boundary - LATE_SECONDS)
        found: Touched = set()
        for metric in self._engine.metrics(stream.account, stream.region):
            if metric.newest < since - MINUTE:
                continue
            for series in metric.series.values():
                minutes = series.buckets(since // MINUTE * MINUTE, boundary, MINUTE)
                found.update((metric.number, series.unit, minute.start) for minute in minutes)
        return found

    def _require_running(self, stream: MetricStream) -> _Running | None:
        """The stream's way out, made if need be; None without an endpoint."""
        destination = destination_of(stream, self._destinations)
        if destination is None:
            if stream.key not in self._homeless:
                log.warning(
                    "metric stream: no endpoint for its delivery stream; `elba up --metric-stream` names one",
                    extra={"resource": stream.arn},
                )
            self._homeless.add(stream.key)
            return None
        running = self._running.get(stream.key)
        if running is not None and running.task.done():
            running.task.result()
        if running is None:
            outbox = Outbox(stream.arn, self._post)
            task = asyncio.create_task(outbox.run(), name=f"{self.name}:{stream.id}")
            running = self._running[stream.key] = _Running(destination, outbox, task)
        return running

    async def _updates(self, stream: MetricStream, touched: Touched, boundary: int) -> list[Update]:
        """What the stream sends of it, oldest first."""
        oldest = max(stream.started // MINUTE * MINUTE, boundary - LATE_SECONDS)
        wanted: dict[tuple[str, str], tuple[str, ...] | None] = {}
        result = []
        for place, (number, unit, minute) in enumerate(sorted(touched, key=lambda each: each[2])):
            if place % UPDATES_PER_REQUEST == UPDATES_PER_REQUEST - 1:
                await asyncio.sleep(0)
            metric = self._engine.metric_by_number(number)
            if metric is None or metric.identity[:2] != (stream.account, stream.region) or minute < oldest:
                continue
            names = metric.namespace, metric.name
            if names not in wanted:
                wanted[names] = additional_statistics(stream, *names) if selects(stream, *names) else None
            statistics = wanted[names]
            update = None if statistics is None else _update(metric, unit, minute, statistics)
            if update is not None:
                result.append(update)
        return result

    async def _hand_over(self, stream: MetricStream, running: _Running, updates: list[Update], boundary: int) -> None:
        async def progress() -> None:
            call = Call(
                stream.account, stream.region, self._parts.clock.now(), self._parts.ids, cause=f"stream:{stream.id}"
            )
            request = {"name": stream.id, "through": float(boundary)}
            await self._parts.store.write(lambda tx: record_progress(tx, call, request), call.cause)

        for first in range(0, len(updates), UPDATES_PER_REQUEST):
            some = updates[first : first + UPDATES_PER_REQUEST]
            now = self._parts.clock.now()
            request = request_for(running.destination, stream, some, self._parts.ids.uuid(), now)
            last = first + len(some) == len(updates)
            running.outbox.offer(Letter(request, len(some), progress if last else None))
            await asyncio.sleep(0)
        self._publish(stream, running, len(updates), boundary - MINUTE)

    def _publish(self, stream: MetricStream, running: _Running, updates: int, minute: float) -> None:
        """The stream's own metrics."""

        def point(name: str, values: tuple[float, ...], *, total: bool = False) -> Datapoint:
            return Datapoint(
                account=stream.account,
                region=stream.region,
                namespace=NAMESPACE,
                metric_name=name,
                dimensions=() if total else (("MetricStreamName", stream.id),),
                timestamp=minute,
                values=values,
            )

        points = [
            point("MetricUpdate", (float(updates),)),
            point("TotalMetricUpdate", (float(updates),), total=True),
        ]
        attempts = running.outbox.take_attempts()
        if attempts:
            points.append(point("PublishErrorRate", tuple(float(failed) for failed in attempts)))
        self._engine.put(points)


def _update(metric: Metric, unit: str, minute: int, statistics: tuple[str, ...]) -> Update | None:
    series = metric.series.get(unit)
    buckets = [] if series is None else series.buckets(minute, minute + MINUTE, MINUTE)
    return update_of(metric, unit, buckets[0], statistics) if buckets else None
