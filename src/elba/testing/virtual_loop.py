"""An event loop whose time passes only when nothing else can happen.

`asyncio.sleep(300)` returns as soon as every other task is waiting; 24 hours of a control plane take as long as
its work does, and run the same way each time. Sockets and pipes still work: what is readable comes before time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

IDLE_SECONDS = 10.0
"""How long (in the world's time) a loop without timers waits for a thread or socket before it is declared stuck."""


class StuckError(Exception):
    """Nothing is due, ever: some task awaits what nobody will do."""


class _VirtualSelector(selectors.BaseSelector):
    """Waits for no time-out: it moves the loop's clock there instead."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.time = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Any:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = self._real.select(IDLE_SECONDS)
            if not ready:
                raise StuckError("no timer is set and nothing happened; some task waits for ever")
            return ready
        self.time += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Use it as any loop; `advance` lets so much time pass.

    Not for code that waits for real threads while timers run: time would run ahead of them.
    """

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.time

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` to its end."""
        asyncio.set_event_loop(self)
        try:
            return self.run_until_complete(coroutine)
        finally:
            asyncio.set_event_loop(None)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, doing all that falls due."""
        self.run(asyncio.sleep(seconds))
