"""A server over an empty store on the virtual clock: what the tests of this folder need, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from elba.clock import VirtualClock
from elba.config import RootKey, Settings
from elba.context import Ports
from elba.datapoints import Datapoint
from elba.ids import IdSource
from elba.server.app import App, build_app
from elba.server.inprocess import InProcess
from elba.server.services import SERVED, FirstUseHook, Served
from elba.store.interface import Store
from elba.store.memory import MemoryEngine
from elba.testing.virtual_loop import VirtualLoop

ROOT = RootKey(access_key_id="AKIAROOT", secret_access_key="rootsecret", account="000000000000")


class NoMetrics:
    def put(self, datapoints: Iterable[Datapoint]) -> None:
        return None


class NoConsole:
    async def console_output(self, instance_id: str) -> bytes:
        return b""


class FixedWallClock(VirtualClock):
    """Virtual, but what clients sign is today's date: `wall` may be set."""

    wall_time: float | None = None

    def wall(self) -> float:
        return self.now() if self.wall_time is None else self.wall_time


def served_with(modules: dict[str, ModuleType]) -> list[Served]:
    """SERVED, with the given operations modules in place of the real ones."""
    result = []
    for served in SERVED:
        if served.name in modules:
            served = Served(
                served.wire, served.operations_module, served.signing_name, served.version,
                served.target_prefix, served.region, served.title,
            )  # fmt: skip
            served.__dict__["operations"] = modules[served.name]
        result.append(served)
    return result


class ServerWorld:
    def __init__(
        self,
        auth: str = "open",
        modules: dict[str, ModuleType] | None = None,
        hooks: list[FirstUseHook] | None = None,
        **settings: Any,
    ) -> None:
        self.loop = VirtualLoop()
        self.clock = FixedWallClock()
        self.store = Store(MemoryEngine(), lambda: 0.0)
        self.loop.run(self.store.open())
        self.app: App = build_app(
            self.store,
            self.clock,
            Ports(NoMetrics(), NoConsole()),
            Settings(auth=auth, **settings),
            root_key=ROOT,
            ids=IdSource(1),
            served=served_with(modules or {}),
            hooks=hooks or [],
        )
        self.clients = InProcess(self.app, self.loop)

    def close(self) -> None:
        self.loop.run(self.store.close())
        self.loop.close()
