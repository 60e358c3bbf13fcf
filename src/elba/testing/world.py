"""A whole Elba in memory: real API, store, reconcilers, metrics and alarms over fake instances and fake zone nodes.

    with World() as world:
        autoscaling = world.boto3("autoscaling")
        autoscaling.create_auto_scaling_group(…)       # an unmodified boto3 client, answered in this process
        world.advance(300)                             # five minutes pass in milliseconds
        world.until(lambda: …, 600)                    # or as long as it takes, at most ten minutes
        world.crash(); world.restart()                 # the control plane dies and comes back; the world went on

A seed makes identifiers and every random choice repeat, so a failing run replays exactly.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from elba.buckets import MemoryBuckets
from elba.clock import VirtualClock
from elba.cloudwatch.series import SeriesEngine
from elba.compute.fake import FakeProvider
from elba.config import Settings
from elba.context import Ports
from elba.dataplane.fake import FakeNodes
from elba.ids import IdSource
from elba.lambda_.fake import FakeFunctions
from elba.parts import Parts
from elba.server.app import build_app
from elba.server.control_plane import ControlPlane
from elba.server.inprocess import InProcess
from elba.store import Engine, MemoryEngine, Store
from elba.testing.virtual_loop import VirtualLoop

STEP_SECONDS = 1.0


class NeverHappened(AssertionError):
    """What `World.until` waited for did not happen."""


class World:
    """One Elba on a virtual loop. `provider` and `nodes` are the world it acts on: fakes with knobs for a test.

    `settings` may change regions, zones and the like; `auth` is open: any 12-digit access key is an account.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        settings: Settings | None = None,
        engine: Engine | None = None,
        boot_seconds: float = 5.0,
        report_interval_seconds: float = 10.0,
    ) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock(loop=self.loop)
        self.ids = IdSource(seed)
        self.settings = settings or Settings(auth="open")
        self.provider = FakeProvider(self.clock, boot_seconds=boot_seconds)
        self.nodes = FakeNodes(
            self.clock,
            running=lambda: [spec.instance_id for spec in self.provider.running()],
            report_interval_seconds=report_interval_seconds,
        )
        self._engine = engine or MemoryEngine()
        self.metrics = SeriesEngine(self.clock)
        self.functions = FakeFunctions()
        self.buckets = MemoryBuckets()
        self._clients: InProcess | None = None
        self._start()

    def _start(self) -> None:
        self.store = Store(self._engine, now=self.clock.now)
        self.loop.run(self.store.open())
        settings = {
            "endpoint": self.settings.endpoint,
            "data_dir": "",
            "time_scale": "1",
            "regions": ",".join(self.settings.regions),
            "zones": ",".join(self.settings.zones),
        }
        self.parts = Parts(
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            provider=self.provider,
            nodes=self.nodes,
            metrics=self.metrics,
            settings=settings,
            functions=self.functions,
        )
        self.control_plane = self.loop.run(self._assemble())
        self.app = build_app(
            self.store,
            self.clock,
            Ports(
                metrics=self.metrics,
                console=self.provider,
                settings=settings,
                buckets=self.buckets,
                functions=self.functions,
            ),
            self.settings,
            ids=self.ids,
        )
        if self._clients is None:
            self._clients = InProcess(self.app, self.loop, region=self.settings.regions[0])
        else:
            self._clients.app = self.app  # clients made before a crash go on with the new control plane

    async def _assemble(self) -> ControlPlane:
        plane = ControlPlane(self.parts)
        await plane.start()
        return plane

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def now(self) -> float:
        """The clock, in seconds since the epoch."""
        return self.clock.now()

    def advance(self, seconds: float) -> None:
        """Let so much time pass, doing all that falls due."""
        self.loop.advance(seconds)

    def until(self, condition: Callable[[], Any], seconds: float, what: str = "") -> float:
        """Let time pass until `condition()` is true; how many seconds that took.

        Raises: NeverHappened after `seconds`.
        """
        began = self.loop.time()
        while not condition():
            if self.loop.time() - began >= seconds:
                raise NeverHappened(f"{what or 'what was waited for'} did not happen within {seconds:g} s")
            self.advance(STEP_SECONDS)
        return self.loop.time() - began

    def settle(self, seconds: float = 60.0) -> None:
        """Let time pass until no reconciler has anything to do at this moment."""
        self.advance(0.001)
        self.until(lambda: self.control_plane.queue.idle, seconds, "the reconcilers settling")

    # ── clients ──────────────────────────────────────────────────────────────────────────────────────

    def boto3(self, service: str, **options: Any) -> Any:
        """A boto3 client of this Elba; `options` as `InProcess.client` takes them (region, access_key)."""
        assert self._clients is not None
        return self._clients.client(service, **options)

    def virtual_waits(self) -> contextlib.AbstractContextManager[None]:
        """Inside it, boto3 waiters let the world's time pass instead of sleeping."""
        assert self._clients is not None
        return self._clients.virtual_waits()

    # ── the control plane's life ─────────────────────────────────────────────────────────────────────

    def crash(self) -> None:
        """Kill the control plane where it stands; instances, nodes and metrics go on."""
        self.loop.run(self.control_plane.stop())
        self.loop.run(self.nodes.close())

    def restart(self) -> None:
        """A new control plane over what the old one made durable."""
        self._start()

    def close(self) -> None:
        self.loop.run(self.control_plane.stop())
        self.nodes.shutdown()
        self.loop.run(self.store.close())
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def seed_from_environment(default: int) -> int:
    """`$ELBA_TEST_SEED` to replay a failed run, else `default`."""
    return int(os.environ.get("ELBA_TEST_SEED", default))
