"""The demo's clients: they resolve the load balancer's name by Elba's DNS and send requests without a pause.

Every request counts. One that fails, times out or is answered with anything but 200 is kept with its reason.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import aiohttp

REQUEST_TIMEOUT_SECONDS = 20.0
RESOLVE_SECONDS = 1.0
"""How often names are looked up anew: well below the record's TTL, so that a lost zone is left soon."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed request; `at` is seconds since the load began."""

    at: float
    reason: str


@dataclass(slots=True)
class Window:
    """What the last seconds looked like. Latencies in seconds."""

    requests_per_second: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    by_instance: dict[str, float] = field(default_factory=dict)
    by_zone: dict[str, float] = field(default_factory=dict)


class Load:
    """`clients` concurrent clients that together send about `rate` requests per second to `url`."""

    def __init__(self, url: str, dns: str, *, clients: int = 16, rate: float = 150.0) -> None:
        self._url = url
        self._dns_host, _, port = dns.rpartition(":")
        self._dns_port = int(port)
        self._clients = clients
        self._interval = clients / rate
        self._recent: deque[tuple[float, float, str, str]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._began = 0.0
        self._stopping = False
        self.sent = 0
        self.by_instance: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.latencies: list[float] = []

    async def start(self) -> None:
        self._began = time.monotonic()
        self._tasks = [asyncio.create_task(self._client(n), name=f"demo client {n}") for n in range(self._clients)]

    async def stop(self) -> None:
        """Let every request in flight finish; none is cut off, for a cut one would count as neither."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _client(self, number: int) -> None:
        resolver = aiohttp.AsyncResolver(
            nameservers=[self._dns_host], udp_port=self._dns_port, tcp_port=self._dns_port, timeout=2, tries=3
        )
        connector = aiohttp.TCPConnector(resolver=resolver, ttl_dns_cache=int(RESOLVE_SECONDS), limit=1)
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
        await asyncio.sleep(self._interval * number / self._clients)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            due = time.monotonic()
            while not self._stopping:
                await self._request(session)
                due = max(due + self._interval, time.monotonic() - self._interval)
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _request(self, session: aiohttp.ClientSession) -> None:
        started = time.monotonic()
        self.sent += 1
        try:
            async with session.get(self._url) as response:
                body = await response.read()
                if response.status != 200:
                    self._failed(f"HTTP {response.status}")
                    return
                instance = response.headers.get("X-Instance-Id", "")
                said = dict(line.partition(" ")[::2] for line in body.decode().splitlines())
                zone = said.get("zone", "")
                if not instance or said.get("instance") != instance:
                    self._failed("an answer that no instance gave")
                    return
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._failed(f"{type(error).__name__}: {error}")
            return
        now = time.monotonic()
        self.by_instance[instance] += 1
        self.latencies.append(now - started)
        self._recent.append((now, now - started, instance, zone))

    def _failed(self, reason: str) -> None:
        self.failures.append(Failure(time.monotonic() - self._began, reason))

    def window(self, seconds: float = 2.0) -> Window:
        """The last `seconds`."""
        now = time.monotonic()
        while self._recent and self._recent[0][0] < now - seconds:
            self._recent.popleft()
        if not self._recent:
            return Window()
        latencies = sorted(latency for _, latency, _, _ in self._recent)
        instances = Counter(instance for _, _, instance, _ in self._recent)
        zones = Counter(zone for _, _, _, zone in self._recent)
        return Window(
            requests_per_second=len(latencies) / seconds,
            p50=latencies[len(latencies) // 2],
            p99=latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))],
            by_instance={name: count / seconds for name, count in instances.items()},
            by_zone={name: count / seconds for name, count in sorted(zones.items())},
        )
