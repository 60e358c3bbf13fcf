"""The work queue of all reconcilers: one key at a time, backoff per key, "again after".

A reconciler is level-triggered: it gets a key, reads the present, acts, and may be stopped anywhere.
The queue calls it when a resource it watches changed, when it asked to be called again, and for every
key at start; calls for one key never overlap, and calls made while one runs become one more call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from elba.clock import Clock
from elba.resource import Key
from elba.store.interface import Store

log = logging.getLogger(__name__)

BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_MOST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """Observed equals desired; wait for the next change."""


@dataclass(frozen=True, slots=True)
class Again:
    """Call again after so many clock seconds; `reason` goes to the debug log."""

    after_seconds: float
    reason: str = ""


@runtime_checkable
class Reconciler(Protocol):
    """Brings one key's observed state to its desired state."""

    @property
    def name(self) -> str:
        """`<service>.<noun>`, as in logs and metrics."""

    def keys_for(self, changed: Key) -> Iterable[Key]:
        """Which of this reconciler's keys a changed resource concerns (often itself, or its owner)."""

    def all_keys(self) -> Iterable[Key]:
        """Every key there is now; called at start, since what happened while Elba was down is unknown."""

    async def reconcile(self, key: Key) -> Done | Again:
        """Observe, plan, act once. May raise: the queue logs it with the key and backs off."""


@runtime_checkable
class Ticker(Protocol):
    """A loop of its own that runs beside the reconcilers: a sampler, the alarm evaluator, a schedule.

    Reads the present each time round, so that it may be stopped anywhere and started again. An error it raises
    is logged and the ticker started again after a second.
    """

    @property
    def name(self) -> str:
        """`<service>.<noun>`."""

    async def run(self) -> None:
        """Until cancelled."""


class ReconcileQueue:
    """Runs reconcilers. Start it once the store is open; stop it before the store closes."""

    def __init__(self, store: Store, clock: Clock, reconcilers: Iterable[Reconciler], concurrency: int = 16) -> None:
        self._clock = clock
        self._store = store
        self._reconcilers = list(reconcilers)
        self._limit = asyncio.Semaphore(concurrency)
        self._running: set[tuple[str, Key]] = set()
        self._dirty: set[tuple[str, Key]] = set()
        self._failures: dict[tuple[str, Key], int] = {}
        self._timers: dict[tuple[str, Key], asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = True
        store.subscribe(self._changed)

    def start(self) -> None:
        self._stopped = False
        for reconciler in self._reconcilers:
            for key in reconciler.all_keys():
                self._enqueue(reconciler, key)

    async def stop(self) -> None:
        """Stop calling; cancel what runs (reconcilers are safe to stop anywhere)."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing is due now (timers may be waiting)."""
        return not self._running and not self._dirty

    def poke(self, reconciler_name: str, key: Key) -> None:
        """Call a reconciler for a reason outside the store (a node's report, a process's exit)."""
        for reconciler in self._reconcilers:
            if reconciler.name == reconciler_name:
                self._enqueue(reconciler, key)

    def _changed(self, keys: Iterable[Key]) -> None:
        if self._stopped:
            return
        for key in keys:
            for reconciler in self._reconcilers:
                for mine in reconciler.keys_for(key):
                    self._enqueue(reconciler, mine)

    def _enqueue(self, reconciler: Reconciler, key: Key) -> None:
        if self._stopped:
            return
        work = (reconciler.name, key)
        if timer := self._timers.pop(work, None):
            timer.cancel()
        if work in self._running:
            self._dirty.add(work)
            return
        self._running.add(work)
        task = asyncio.create_task(self._work(reconciler, key), name=f"{reconciler.name}:{key.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, reconciler: Reconciler, key: Key) -> None:
        work = (reconciler.name, key)
        after: float | None = None
        try:
            async with self._limit:
                self._dirty.discard(work)
                outcome = await reconciler.reconcile(key)
            self._failures.pop(work, None)
            if isinstance(outcome, Again):
                after = outcome.after_seconds
                if outcome.reason:
                    log.debug(
                        "again",
                        extra={"reconciler": reconciler.name, "resource": key.id, "cause": outcome.reason},
                    )
        except Exception:
            failures = self._failures[work] = self._failures.get(work, 0) + 1
            after = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** (failures - 1))
            log.warning(
                "reconcile failed; will retry",
                exc_info=True,
                extra={"reconciler": reconciler.name, "resource": key.id, "retry_seconds": after},
            )
        finally:
            self._running.discard(work)
        if self._stopped:
            return
        if work in self._dirty:
            self._dirty.discard(work)
            self._enqueue(reconciler, key)
        elif after is not None:
            loop = asyncio.get_running_loop()
            self._timers[work] = loop.call_later(after / self._clock.scale, self._enqueue, reconciler, key)
