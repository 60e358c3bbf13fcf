"""CloudWatch by itself on the virtual clock: stores, commands, queries and reconcilers, no other service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from elba.call import Answer, Call, Request
from elba.clock import VirtualClock
from elba.cloudwatch.reconcilers import AlarmActionReconciler, AlarmEvaluator, CompositeAlarmReconciler
from elba.cloudwatch.resources import AlarmAction
from elba.cloudwatch.series import SeriesEngine
from elba.compute.interface import Provider
from elba.context import Console, Context, Ports
from elba.dataplane.interface import Nodes
from elba.datapoints import Datapoint, dimensions
from elba.ids import IdSource
from elba.parts import Parts
from elba.reconcile import ReconcileQueue
from elba.store.interface import Store, Transaction
from elba.store.memory import MemoryEngine
from elba.testing.virtual_loop import VirtualLoop

ACCOUNT, REGION = "123456789012", "us-east-1"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"
POLICY = (
    f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:11111111-2222-4333-8444-555555555555:"
    "autoScalingGroupName/web:policyName/out"
)
LAG = 2.0

Operation = Callable[[Context, Request], Awaitable[Answer]]


class Bench:
    """`run(operation, **request)` is one API call; `advance` lets time pass. `restart` is a new control plane."""

    def __init__(self, *, composites: bool = True, actions: bool = False) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock()
        self.ids = IdSource(1)
        self.engine = MemoryEngine()
        self.metrics = SeriesEngine(self.clock)
        self._composites, self._actions = composites, actions
        self._start()

    def _start(self) -> None:
        self.store = Store(self.engine, self.clock.now)
        self.loop.run(self.store.open())
        self.parts = Parts(
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            provider=cast("Provider", None),
            nodes=cast("Nodes", None),
            metrics=self.metrics,
            settings={"alarm_lag_seconds": str(LAG)},
        )
        self.evaluator = AlarmEvaluator(self.parts)
        reconcilers: list[Any] = []
        if self._composites:
            reconcilers.append(CompositeAlarmReconciler(self.parts))
        if self._actions:
            reconcilers.append(AlarmActionReconciler(self.parts))

        async def assemble() -> None:
            self.queue = ReconcileQueue(self.store, self.clock, reconcilers)
            self.queue.start()

        self.loop.run(assemble())
        self.task: asyncio.Task[None] = self.loop.create_task(self.evaluator.run())

    def stop(self) -> None:
        async def end() -> None:
            self.task.cancel()
            await self.queue.stop()

        self.loop.run(end())

    def restart(self) -> None:
        self.stop()
        self._start()

    def close(self) -> None:
        self.stop()
        self.loop.run(self.store.close())
        self.loop.close()

    @property
    def now(self) -> float:
        return self.clock.start + self.loop.time()

    def call(self) -> Call:
        return Call(ACCOUNT, REGION, self.now, self.ids, request_id="r")

    def run(self, operation: Operation, **request: Any) -> Answer:
        ports = Ports(metrics=self.metrics, console=cast("Console", None))

        async def invoke() -> Answer:
            return await operation(Context(self.call(), self.store, self.clock, ports), request)

        return self.loop.run(invoke())

    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)

    def point(self, value: float, *, name: str = "m", namespace: str = "N", **more: Any) -> Datapoint:
        values: dict[str, Any] = {"timestamp": self.now, "values": (value,)} | more
        pairs = values.pop("dims", {})
        return Datapoint(
            account=ACCOUNT,
            region=REGION,
            namespace=namespace,
            metric_name=name,
            dimensions=dimensions(pairs),
            **values,
        )

    def put(self, *values: float, **more: Any) -> None:
        async def put() -> None:
            self.metrics.put([self.point(value, **more) for value in values])

        self.loop.run(put())

    def actions(self) -> list[AlarmAction]:
        return self.store.view.all(AlarmAction)

    def take_actions(self) -> list[AlarmAction]:
        """The actions asked for since the last call, as their service would take them."""
        taken = self.actions()

        def delete(tx: Transaction) -> None:
            for action in taken:
                tx.delete(action)

        async def take() -> None:
            await self.store.write(delete, "test")

        self.loop.run(take())
        return taken
