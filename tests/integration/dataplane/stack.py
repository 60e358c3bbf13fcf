"""ELBv2 over real zone nodes: store, commands, reconcilers and fleet, without the API server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from elba.call import Answer, Call
from elba.clock import RealClock
from elba.compute.fake import FakeProvider
from elba.context import Command
from elba.dataplane.nodes import NodeFleet
from elba.datapoints import Datapoint
from elba.ec2.defaults import ensure_defaults
from elba.ec2.resources import AddressPool, Subnet, Vpc
from elba.elbv2 import commands, queries, reconcilers
from elba.elbv2.resources import LoadBalancer
from elba.ids import IdSource
from elba.parts import Parts
from elba.reconcile import ReconcileQueue
from elba.store import MemoryEngine, Store
from tests.integration.dataplane.kit import Origin

T = TypeVar("T")
ACCOUNT, REGION = "000000000000", "us-east-1"


class Sink:
    """Keeps every datapoint."""

    def __init__(self) -> None:
        self.points: list[Datapoint] = []

    def put(self, datapoints: Iterable[Datapoint]) -> None:
        self.points += datapoints

    def total(self, name: str, *dimensions: str) -> float:
        """The sum of a metric's values over all minutes, for the set with just these dimension names."""
        return sum(
            value * count
            for point in self.points
            if point.metric_name == name and tuple(n for n, _ in point.dimensions) == dimensions
            for value, count in zip(point.values, point.counts, strict=True)
        )


class Stack:
    """Made and used inside one event loop. VPC addresses are 127.<slice>.x.y."""

    def __init__(self, settings: dict[str, str], clock: RealClock) -> None:
        self.clock = clock
        self.ids = IdSource()
        self.sink = Sink()
        self.slice = random.randint(64, 250)
        self.store = Store(MemoryEngine(), now=clock.now)
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []
        self._origins: list[Origin] = []

    async def open(self) -> None:
        await self.store.open()
        pool = AddressPool(account="elba", region="elba", id="slices", first=self.slice, last=self.slice)
        await self.store.write(lambda tx: tx.put(pool), "test")
        await self.store.write(lambda tx: ensure_defaults(tx, self.call), "test")
        self.start()

    def start(self) -> None:
        """A control plane over the store."""
        self.fleet = NodeFleet(self._settings, self.clock)
        parts = Parts(
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            provider=FakeProvider(self.clock),
            nodes=self.fleet,
            metrics=self.sink,
            settings=self._settings,
        )
        built: list[Any] = reconcilers.build(parts)
        self.queue = ReconcileQueue(self.store, self.clock, [each for each in built if hasattr(each, "reconcile")])
        self.queue.start()
        self._tasks = [asyncio.create_task(each.run()) for each in built if hasattr(each, "run")]

    async def stop(self) -> None:
        """The control plane goes; nodes and store stay."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.queue.stop()
        await self.fleet.close()

    async def close(self) -> None:
        await self.stop()
        await NodeFleet(self._settings, self.clock).shutdown()
        await self.store.close()
        for origin in self._origins:
            await origin.stop()

    # ── as a client ──────────────────────────────────────────────────────────────────────────────────

    @property
    def call(self) -> Call:
        return Call(ACCOUNT, REGION, self.clock.now(), self.ids)

    async def write(self, command: Command, **request: Any) -> Answer:
        call = self.call
        return await self.store.write(lambda tx: command(tx, call, request), "test")

    @property
    def vpc(self) -> Vpc:
        return self.store.view.all(Vpc)[0]

    async def create_load_balancer(self, name: str = "shop", zones: int = 2) -> LoadBalancer:
        subnets = [subnet.id for subnet in self.store.view.all(Subnet)][:zones]
        answer = await self.write(commands.create_load_balancer, name=name, subnets=subnets)
        arn = answer["load_balancers"][0]["load_balancer_arn"]
        found = self.store.view.get(LoadBalancer, ACCOUNT, REGION, arn)
        assert found is not None
        return found

    async def create_target_group(self, name: str = "tg", port: int = 8000, **more: Any) -> str:
        answer = await self.write(
            commands.create_target_group,
            **{
                "name": name,
                "protocol": "HTTP",
                "port": port,
                "vpc_id": self.vpc.id,
                "target_type": "ip",
                "health_check_interval_seconds": 5,
                "health_check_timeout_seconds": 2,
                **more,
            },
        )
        arn: str = answer["target_groups"][0]["target_group_arn"]
        return arn

    async def create_listener(self, balancer: LoadBalancer, group: str, port: int = 8080) -> str:
        answer = await self.write(
            commands.create_listener,
            load_balancer_arn=balancer.id,
            protocol="HTTP",
            port=port,
            default_actions=[{"type": "forward", "target_group_arn": group}],
        )
        arn: str = answer["listeners"][0]["listener_arn"]
        return arn

    async def origin(self, private_ip: str, port: int = 8000) -> Origin:
        """Something that answers at a private address of the VPC."""
        origin = Origin(private_ip)
        _, _, high, low = private_ip.split(".")
        await origin.start(f"127.{self.slice}.{high}.{low}", port)
        self._origins.append(origin)
        return origin

    def state(self, balancer: LoadBalancer) -> str:
        found = queries.describe_load_balancers(self.store.view, self.call, {"load_balancer_arns": [balancer.id]})
        code: str = found["load_balancers"][0]["state"]["code"]
        return code

    def health(self, group: str) -> dict[str, str]:
        """State by target id."""
        answer = commands.describe_target_health(self.store.view, self.call, {"target_group_arn": group})
        return {d["target"]["id"]: d["target_health"]["state"] for d in answer["target_health_descriptions"]}

    async def until(self, condition: Callable[[], T], what: str, seconds: float = 10.0) -> T:
        """Wait in the world's time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not (result := condition()):
            assert loop.time() < deadline, f"{what}: not within {seconds} s"
            await asyncio.sleep(0.0005)
        return result


async def fetch(address: str, port: int, path: str = "/") -> tuple[int, str]:
    """Status and body of a GET on a connection of its own."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        body = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    return int(head.split(" ", 2)[1]), body.decode("latin-1")


Scenario = Callable[[Stack], Awaitable[None]]
