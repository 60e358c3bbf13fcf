"""A store, a fake provider and EC2's reconcilers on the virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from elba.clock import VirtualClock
from elba.compute.fake import FakeProvider
from elba.datapoints import Datapoint
from elba.ec2.reconcilers import ImageReconciler, InstanceReconciler, InstanceWatcher
from elba.ec2.resources import Instance, NetworkInterface, Subnet, Vpc
from elba.ids import IdSource
from elba.parts import Parts
from elba.reconcile import ReconcileQueue
from elba.store.interface import Store
from elba.store.memory import MemoryEngine

OWNER = {"account": "000000000000", "region": "us-east-1"}


class Metrics:
    def __init__(self) -> None:
        self.points: list[Datapoint] = []

    def put(self, datapoints: Iterable[Datapoint]) -> None:
        self.points.extend(datapoints)

    def named(self, name: str, **pairs: str) -> list[Datapoint]:
        return [p for p in self.points if p.metric_name == name and dict(p.dimensions) == pairs]


def an_instance(number: int = 1, **changes: Any) -> Instance:
    values: dict[str, Any] = {
        "id": f"i-{number:017x}",
        "image_id": "ami-1",
        "instance_type": "t3.micro",
        "subnet_id": "subnet-1",
        "vpc_id": "vpc-1",
        "availability_zone": "us-east-1a",
        "private_ip_address": f"172.31.0.{number + 3}",
        "host_address": f"127.16.0.{number + 3}",
        "network_interface_id": f"eni-{number}",
        "reservation_id": "r-1",
        "launch_time": 0.0,
    }
    return Instance(**(OWNER | values | changes))


class Bench:
    """`restart` makes a new control plane over the same store and world, as after kill -9."""

    def __init__(self, provider: FakeProvider | None = None) -> None:
        self.clock = VirtualClock()
        self.provider = provider or FakeProvider(self.clock, boot_seconds=5)
        self.metrics = Metrics()
        self.engine = MemoryEngine()
        self.store = Store(self.engine, self.clock.now)
        self.parts = Parts(
            store=self.store,
            clock=self.clock,
            ids=IdSource(1),
            provider=self.provider,
            nodes=None,  # type: ignore[arg-type]  # EC2 has no use for zone nodes
            metrics=self.metrics,
        )
        self._build()

    def _build(self) -> None:
        self.reconciler = InstanceReconciler(self.parts)
        self.images = ImageReconciler(self.parts)
        self.watcher = InstanceWatcher(self.parts, self.reconciler)
        self.queue = ReconcileQueue(self.store, self.clock, [self.reconciler, self.images])

    async def open(self) -> None:
        await self.store.open()

    async def restart(self) -> None:
        await self.queue.stop()
        self._build()
        self.queue.start()

    async def put(self, *resources: Any) -> None:
        await self.store.write(lambda tx: [tx.put(r) for r in resources], "test")

    async def change(self, instance: Instance, **changes: Any) -> None:
        def command(tx: Any) -> None:
            current = tx.get(Instance, instance.account, instance.region, instance.id)
            tx.put(replace(current, **changes))

        await self.store.write(command, "test")

    def get(self, instance: Instance) -> Instance:
        found = self.store.view.get(Instance, instance.account, instance.region, instance.id)
        assert found is not None
        return found

    async def until(self, condition: Callable[[], bool], seconds: float = 600.0) -> None:
        end = self.clock.now() + seconds
        while not condition():
            assert self.clock.now() < end, "did not come about"
            await self.clock.sleep(0.25)


def a_network(number: int = 1) -> list[Any]:
    instance = an_instance(number)
    return [
        Vpc(**OWNER, id="vpc-1", cidr_block="172.31.0.0/16", slice=16),
        Subnet(
            **OWNER,
            id="subnet-1",
            vpc_id="vpc-1",
            cidr_block="172.31.0.0/20",
            availability_zone="us-east-1a",
            availability_zone_id="use1-az1",
        ),
        NetworkInterface(
            **OWNER,
            id=instance.network_interface_id,
            subnet_id="subnet-1",
            vpc_id="vpc-1",
            availability_zone="us-east-1a",
            private_ip_address=instance.private_ip_address,
            host_address=instance.host_address,
            owner=instance.id,
            status="in-use",
        ),
    ]
