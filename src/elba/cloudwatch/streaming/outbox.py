"""Requests on their way to one endpoint: in order, again until taken, in bounded memory."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from elba.cloudwatch.streaming.destinations import Outgoing

log = logging.getLogger(__name__)

WAITING_MOST_BYTES = 16 * 1024 * 1024
"""Of one stream; beyond that the oldest requests are given up."""
BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_MOST_SECONDS = 60.0
GIVE_UP_SECONDS = 7200.0
"""As long as Firehose tries at most."""

Post = Callable[[Outgoing], Awaitable[tuple[int, Mapping[str, str]]]]
"""Posts once: status and headers of the answer. Raises: OSError, TimeoutError."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A request, how many updates are in it, and what to call once it is delivered or given up."""

    request: Outgoing
    updates: int
    done: Callable[[], Awaitable[None]] | None = None


def is_temporary(status: int) -> bool:
    """True if the same request may be taken later."""
    return status >= 500 or status in (408, 425, 429)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the receiver asks for; 0 without a number."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


class Outbox:
    """Start `run` as a task. Time is the world's: what is at the other end knows no other."""

    def __init__(self, name: str, post: Post) -> None:
        self._name = name
        self._post = post
        self._waiting: deque[Letter] = deque()
        self._bytes = 0
        self._there = asyncio.Event()
        self._failing = False
        self._giving_up = False
        self.delivered = 0
        """Updates taken by the endpoint."""
        self.dropped = 0
        """Updates given up: refused, too old, or too many waiting."""
        self.attempts: list[bool] = []
        """Outcomes since `take_attempts`."""

    def offer(self, letter: Letter) -> None:
        self._waiting.append(letter)
        self._bytes += len(letter.request.body)
        while self._bytes > WAITING_MOST_BYTES and len(self._waiting) > 1:
            given_up = self._waiting.popleft()
            self._bytes -= len(given_up.request.body)
            self.dropped += given_up.updates
            if not self._giving_up:
                log.error("metric stream: too much is waiting, giving up the oldest", extra={"resource": self._name})
            self._giving_up = True
        self._there.set()

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._there.is_set()

    def take_attempts(self) -> list[bool]:
        """True for each failed attempt, False for each successful one since the last call."""
        taken, self.attempts = self.attempts, []
        return taken

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._there.wait()
            while self._waiting:
                letter = self._waiting.popleft()
                self._bytes -= len(letter.request.body)
                await self._deliver(letter)
                if letter.done is not None:
                    await letter.done()
            self._there.clear()

    async def _deliver(self, letter: Letter) -> None:
        pause, began = BACKOFF_FIRST_SECONDS, asyncio.get_running_loop().time()
        while True:
            problem, wait, temporary = await self._attempt(letter)
            self.attempts.append(bool(problem))
            if not problem:
                self.delivered += letter.updates
                if self._failing:
                    log.info("metric stream: delivered again", extra={"resource": self._name})
                self._failing = self._giving_up = False
                return
            if not self._failing:
                log.warning("metric stream: not delivered; %s", problem, extra={"resource": self._name})
            self._failing = True
            if not temporary or asyncio.get_running_loop().time() - began + pause > GIVE_UP_SECONDS:
                self.dropped += letter.updates
                return
            await asyncio.sleep(min(max(pause, wait), BACKOFF_MOST_SECONDS))
            pause = min(BACKOFF_MOST_SECONDS, pause * 2)

    async def _attempt(self, letter: Letter) -> tuple[str, float, bool]:
        """What went wrong ("" if nothing), how long to wait, and whether trying again may help."""
        try:
            status, headers = await self._post(letter.request)
        except (OSError, TimeoutError) as error:
            return f"{letter.request.url}: {error or type(error).__name__}", 0.0, True
        if 200 <= status < 300:
            return "", 0.0, False
        return f"{letter.request.url} answered {status}", retry_after(headers), is_temporary(status)
