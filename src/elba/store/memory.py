"""The engine of tests and simulations: keeps nothing, forgets nothing while the process lives."""

from __future__ import annotations

from collections.abc import Sequence

from elba.resource import Key, Resource
from elba.store.interface import Write


class MemoryEngine:
    """Keeps writes in memory. A second Store over the same engine sees what the first made durable."""

    def __init__(self) -> None:
        self._revision = 0
        self._resources: dict[Key, Resource] = {}

    async def load(self) -> tuple[int, list[Resource]]:
        return self._revision, list(self._resources.values())

    async def append(self, writes: Sequence[Write]) -> None:
        for write in writes:
            for key, value in write.changes:
                if value is None:
                    self._resources.pop(key, None)
                else:
                    self._resources[key] = value
            self._revision = write.revision

    async def close(self) -> None:
        return None
