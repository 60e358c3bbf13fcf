"""The parts a control plane is assembled from; each has a real and a fake implementation.

A service's `reconcilers.build(parts)` returns the reconcilers and tickers it wants run. Only `cli` and `elba.testing`
choose implementations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from elba.clock import Clock
from elba.compute.interface import Provider
from elba.dataplane.interface import Nodes
from elba.datapoints import MetricSink
from elba.ids import IdSource
from elba.lambda_.interface import Functions
from elba.store.interface import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """`metrics` is CloudWatch's series engine. `settings` are the running server's (see `config`)."""

    store: Store
    clock: Clock
    ids: IdSource
    provider: Provider
    nodes: Nodes
    metrics: MetricSink
    settings: Mapping[str, str] = field(default_factory=dict)
    functions: Functions | None = None
