"""One API request on its way through the handler chain, and what the chain needs from the application."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from elba.clock import Clock
from elba.config import Settings
from elba.context import Ports
from elba.ids import IdSource
from elba.server.keys import KnownKeys
from elba.server.services import FirstUseHook, Served
from elba.store.interface import Store
from elba.wire import QUERY, Envelope, HttpRequest, Operation


@dataclass(slots=True)
class Runtime:
    """What all requests share. `used` holds the (account, region) pairs whose first-use hooks have run."""

    store: Store
    clock: Clock
    ids: IdSource
    ports: Ports
    settings: Settings
    regions: frozenset[str]
    keys: KnownKeys
    served: Sequence[Served]
    hooks: list[FirstUseHook]
    used: set[tuple[str, str]] = field(default_factory=set)


@dataclass(slots=True)
class Exchange:
    """A request and what the handlers have found out about it so far, in the order of the chain."""

    runtime: Runtime
    http: HttpRequest
    request_id: str
    # identify
    protocol: str = QUERY
    envelope: Envelope | None = None
    served: Served | None = None
    scope_region: str = ""
    # authenticate
    account: str = ""
    region: str = ""
    caller_arn: str = ""
    caller_id: str = ""
    # find_operation, parse
    operation: Operation | None = None
    request: dict[str, Any] = field(default_factory=dict)
