"""The real parts: SQLite store, process instances, zone node processes, the journalled metric store."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from elba.clock import RealClock
from elba.cloudwatch.series import SeriesEngine
from elba.compute.process.provider import ProcessProvider
from elba.config import Home, Settings
from elba.dataplane.interface import Place
from elba.dataplane.nodes import NodeFleet
from elba.ec2.resources import AddressPool
from elba.ids import IdSource
from elba.lambda_.runtime.pool import WorkerPool
from elba.parts import Parts
from elba.store import Store
from elba.store.kinds import kinds
from elba.store.sqlite import SqliteEngine


def provider_at(home: Home, _settings: Settings) -> ProcessProvider:
    """The compute provider of `home`; adopts whatever instances run there."""
    return ProcessProvider(home.directory)


def fleet_at(home: Home, settings: Settings) -> NodeFleet:
    """The zone nodes of `home`; adopts those that run."""
    return NodeFleet(_mapping(home, settings), RealClock(settings.time_scale, settings.clock_origin))


def _mapping(home: Home, settings: Settings) -> Mapping[str, str]:
    return {**settings.mapping(home.directory), "functions_secret": home.functions_secret()}


async def real_parts(home: Home, settings: Settings, stack: contextlib.AsyncExitStack) -> Parts:
    """All parts, open; `stack` closes them in reverse order. Raises: StoreError, UserError."""
    clock = RealClock(settings.time_scale, settings.clock_origin)
    store = Store(SqliteEngine(home.store_file, kinds()), now=clock.now)
    await store.open()
    stack.push_async_callback(store.close)
    pool = AddressPool(
        account="elba",
        region="elba",
        id="slices",
        first=settings.first_slice + 1,
        last=settings.last_slice,
        elastic=settings.first_slice,  # Elastic IP addresses have a slice of their own
        zone_letters=settings.zones,
    )
    await store.write(lambda tx: tx.put(pool), "elba up")
    metrics = SeriesEngine(clock, home.series_file)
    await metrics.open()
    stack.push_async_callback(metrics.close)
    provider = provider_at(home, settings)
    stack.push_async_callback(provider.close)
    nodes = fleet_at(home, settings)
    stack.push_async_callback(nodes.close)
    nodes.start(Place(settings.regions[0], settings.regions[0] + zone) for zone in settings.zones)
    functions = WorkerPool(home.directory / "lambda", endpoint=settings.endpoint)
    stack.push_async_callback(functions.close)
    return Parts(
        store=store,
        clock=clock,
        ids=IdSource(),
        provider=provider,
        nodes=nodes,
        metrics=metrics,
        settings=_mapping(home, settings),
        functions=functions,
    )
