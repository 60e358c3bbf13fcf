"""Delivery to real HTTP endpoints on loopback: retries, what is final, and a control plane that is killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp import web

from elba.call import Call
from elba.clock import RealClock
from elba.compute.interface import Provider
from elba.dataplane.interface import Nodes
from elba.datapoints import MetricSink
from elba.ids import IdSource
from elba.parts import Parts
from elba.reconcile import ReconcileQueue
from elba.sns import commands
from elba.sns.reconcilers import DeliveryReconciler
from elba.sns.resources import Delivery
from elba.sqs import commands as sqs
from elba.sqs.resources import QueueMessage
from elba.store import MemoryEngine, Store

pytestmark = pytest.mark.integration

ACCOUNT, REGION = "000000000000", "us-east-1"
SCALE = 1000.0
"""A retry's 20 seconds take 20 ms."""


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # neither the store nor the endpoint has an event to wait for
            await asyncio.sleep(0.01)


class Endpoint:
    """Answers with `statuses` in turn, then 200; keeps what it got."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[dict[str, str], str]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append(({k.lower(): v for k, v in request.headers.items()}, await request.text()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@asynccontextmanager
async def listening(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    app = web.Application()
    app.router.add_post("/hear", endpoint.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint.url = f"http://some.name.localhost:{runner.addresses[0][1]}/hear"
    try:
        yield endpoint
    finally:
        await runner.cleanup()


class Publisher:
    def __init__(self, engine: MemoryEngine, clock: RealClock) -> None:
        self.clock = clock
        self.store = Store(engine, now=clock.now)
        self.parts = Parts(
            store=self.store,
            clock=clock,
            ids=IdSource(),
            provider=cast("Provider", None),
            nodes=cast("Nodes", None),
            metrics=cast("MetricSink", None),
            settings={"endpoint": "http://127.0.0.1:4566"},
        )
        self.queue = ReconcileQueue(self.store, clock, [DeliveryReconciler(self.parts)])

    async def run(self, command: Callable[..., Any], **request: Any) -> Any:
        call = Call(ACCOUNT, REGION, self.clock.now(), self.parts.ids)
        return await self.store.write(lambda tx: command(tx, call, request), "test")

    async def start(self) -> None:
        await self.store.open()
        self.queue.start()

    async def topic(self, url: str, **attributes: str) -> str:
        arn = str((await self.run(commands.create_topic, name="t"))["topic_arn"])
        await self.run(commands.subscribe, topic_arn=arn, protocol="http", endpoint=url, attributes=attributes)
        return arn

    async def delivered(self) -> None:
        """Waits until nothing is on its way."""
        await until(lambda: not self.store.view.all(Delivery))


def run(test: Callable[[Publisher], Awaitable[None]]) -> None:
    async def whole() -> None:
        publisher = Publisher(MemoryEngine(), RealClock(SCALE))
        await publisher.start()
        try:
            await test(publisher)
        finally:
            await publisher.queue.stop()
            await publisher.store.close()

    asyncio.run(whole())


def test_an_endpoint_gets_the_document_and_its_headers() -> None:
    async def test(publisher: Publisher) -> None:
        async with listening(Endpoint()) as endpoint:
            arn = await publisher.topic(endpoint.url)
            sent = await publisher.run(commands.publish, topic_arn=arn, message="grüße", subject="S")
            await publisher.delivered()
            ((headers, body),) = endpoint.got
            assert headers["x-amz-sns-message-type"] == "Notification"
            assert headers["x-amz-sns-topic-arn"] == arn
            assert headers["x-amz-sns-message-id"] == sent["message_id"]
            assert headers["content-type"] == "text/plain; charset=UTF-8"
            document = json.loads(body)
            assert (document["Message"], document["Subject"]) == ("grüße", "S")

    run(test)


def test_raw_messages_come_bare() -> None:
    async def test(publisher: Publisher) -> None:
        async with listening(Endpoint()) as endpoint:
            arn = await publisher.topic(endpoint.url, RawMessageDelivery="true")
            await publisher.run(commands.publish, topic_arn=arn, message="bare")
            await publisher.delivered()
            ((headers, body),) = endpoint.got
            assert (body, headers["x-amz-sns-rawdelivery"]) == ("bare", "true")

    run(test)


def test_server_errors_are_tried_again_by_the_policy() -> None:
    async def test(publisher: Publisher) -> None:
        async with listening(Endpoint(500, 429)) as endpoint:
            arn = await publisher.topic(endpoint.url)
            began = publisher.clock.now()
            await publisher.run(commands.publish, topic_arn=arn, message="again")
            await publisher.delivered()
            assert len(endpoint.got) == 3
            assert publisher.clock.now() - began >= 40

    run(test)


@pytest.mark.parametrize(("statuses", "attempts"), [([404] * 9, 1), ([503] * 9, 4)])
def test_what_is_given_up_goes_to_the_dead_letter_queue(statuses: list[int], attempts: int) -> None:
    async def test(publisher: Publisher) -> None:
        async with listening(Endpoint(*statuses)) as endpoint:
            await publisher.run(sqs.create_queue, queue_name="dead")
            policy = json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"})
            arn = await publisher.topic(endpoint.url, RedrivePolicy=policy)
            await publisher.run(commands.publish, topic_arn=arn, message="lost")
            await publisher.delivered()
            assert len(endpoint.got) == attempts
            (message,) = publisher.store.view.all(QueueMessage)
            assert json.loads(message.body)["Message"] == "lost"

    run(test)


def test_a_message_outlives_the_control_plane_that_published_it() -> None:
    async def whole() -> None:
        engine, clock = MemoryEngine(), RealClock(SCALE)
        async with listening(Endpoint(*[500] * 50)) as endpoint:
            first = Publisher(engine, clock)
            await first.start()
            arn = await first.topic(
                endpoint.url,
                DeliveryPolicy='{"healthyRetryPolicy":{"numRetries":100,"minDelayTarget":20,"maxDelayTarget":20}}',
            )
            await first.run(commands.publish, topic_arn=arn, message="kept")
            await until(lambda: endpoint.got)
            await first.queue.stop()
            endpoint.statuses.clear()
            second = Publisher(engine, clock)
            await second.start()
            await second.delivered()
            assert json.loads(endpoint.got[-1][1])["Message"] == "kept"
            await second.queue.stop()
            await second.store.close()

    asyncio.run(whole())
