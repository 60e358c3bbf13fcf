"""What an API operation gets: the call, the store, and the few ports that are not state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from elba.call import Answer, Call, Request
from elba.clock import Clock
from elba.datapoints import MetricSink
from elba.store.interface import Store, Transaction, View

Command = Callable[[Transaction, Call, Request], Answer]
Query = Callable[[View, Call, Request], Answer]


class Console(Protocol):
    """Reads what an instance printed; GetConsoleOutput's way to the provider."""

    async def console_output(self, instance_id: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What operations may reach besides the store. `metrics` is CloudWatch's series engine (its own
    operations know its full type); `settings` are those of the running server that answers depend on."""

    metrics: MetricSink
    console: Console
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """One API call in progress."""

    call: Call
    store: Store
    clock: Clock
    ports: Ports

    @property
    def view(self) -> View:
        return self.store.view

    async def write(self, command: Command, request: Request) -> Answer:
        """Run `command` in a transaction; its answer, once durable. Raises: ApiError, StoreError."""
        call = self.call
        return await self.store.write(
            lambda tx: command(tx, call, request), call.cause or f"api:{call.request_id}"
        )
