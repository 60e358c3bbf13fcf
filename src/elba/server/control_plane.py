"""A whole control plane, assembled from parts: reconcilers, tickers and the API over one store.

`elba up` gives it real parts, `elba.testing.World` fake ones; nothing in here knows which.
"""

from __future__ import annotations

import asyncio
import logging

import elba.arc_zonal_shift.reconcilers
import elba.autoscaling.reconcilers
import elba.cloudwatch.reconcilers
import elba.ec2.reconcilers
import elba.elbv2.reconcilers
import elba.lambda_.reconcilers
import elba.sns.reconcilers
import elba.sqs.reconcilers
from elba.parts import Parts
from elba.reconcile import ReconcileQueue, Reconciler, Ticker

log = logging.getLogger(__name__)

TICKER_RESTART_SECONDS = 1.0

SERVICES = (
    elba.ec2.reconcilers,
    elba.elbv2.reconcilers,
    elba.autoscaling.reconcilers,
    elba.cloudwatch.reconcilers,
    elba.lambda_.reconcilers,
    elba.sns.reconcilers,
    elba.sqs.reconcilers,
    elba.arc_zonal_shift.reconcilers,
)


class ControlPlane:
    """Runs what acts on the world. The API is served beside it (`server.app`); they meet in the store."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        built: list[Reconciler | Ticker] = [each for service in SERVICES for each in service.build(parts)]
        self._tickers = [each for each in built if isinstance(each, Ticker)]
        reconcilers = [each for each in built if isinstance(each, Reconciler)]
        self.queue = ReconcileQueue(parts.store, parts.clock, reconcilers)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start all loops. The store is open."""
        self.queue.start()
        self._tasks = [asyncio.create_task(self._supervise(ticker), name=ticker.name) for ticker in self._tickers]

    async def stop(self) -> None:
        """Stop all loops; what they did last is in the store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.queue.stop()

    async def _supervise(self, ticker: Ticker) -> None:
        while True:
            try:
                await ticker.run()
                return
            except Exception:
                log.exception("ticker failed; will restart", extra={"reconciler": ticker.name})
                await asyncio.sleep(TICKER_RESTART_SECONDS)
