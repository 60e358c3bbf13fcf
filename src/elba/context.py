"""What an API operation gets: the call, the store, and the few ports that are not state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from elba.buckets import Buckets, MemoryBuckets
from elba.call import Answer, Call, Request
from elba.clock import Clock
from elba.datapoints import MetricSink
from elba.errors import ApiError
from elba.lambda_.interface import Functions
from elba.object_endpoint import ObjectEndpoint
from elba.store.interface import Store, Transaction, View

Command = Callable[[Transaction, Call, Request], Answer]
Query = Callable[[View, Call, Request], Answer]


class Console(Protocol):
    """Reads what an instance printed; GetConsoleOutput's way to the provider."""

    async def console_output(self, instance_id: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What operations may reach besides the store. `metrics` is CloudWatch's series engine (its own
    operations know its full type); `settings` are those of the running server that answers depend on; `functions`
    keeps and runs Lambda functions; `endpoint` is the operator's S3, where log files go besides `buckets`."""

    metrics: MetricSink
    console: Console
    settings: Mapping[str, str] = field(default_factory=dict)
    functions: Functions | None = None
    buckets: Buckets = field(default_factory=MemoryBuckets)
    endpoint: ObjectEndpoint | None = None


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
        """Run `command` in a transaction; its answer, once durable. Raises: ApiError, StoreError.

        A request with DryRun is judged in full and then refused, so that nothing changes (EC2's way).
        """
        call = self.call
        dry_run = request.get("dry_run") is True

        def run(tx: Transaction) -> Answer:
            answer = command(tx, call, request)
            if dry_run:
                raise dry_run_error()
            return answer

        return await self.store.write(run, call.cause or f"api:{call.request_id}")


def dry_run_error() -> ApiError:
    """What EC2 answers to a DryRun that would have succeeded."""
    return ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
