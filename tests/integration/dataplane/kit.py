"""Real zone nodes on a scaled clock, and targets on loopback addresses that can be silenced."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from elba.clock import RealClock
from elba.dataplane.interface import Configuration, Nodes, Place
from elba.dataplane.nodes import NodeFleet
from elba.dataplane.program import NodeHome
from elba.dataplane.protocol import Target

T = TypeVar("T")

SCALE = 20.0


def loopback() -> str:
    """An address of 127.0.0.0/8 that nothing else is likely to use."""
    return f"127.{random.randint(64, 250)}.{random.randint(1, 254)}.{random.randint(4, 250)}"


class Origin:
    """A small HTTP server on one address; silenced, it closes every connection without an answer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.serving = True
        self.requests: list[str] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, address: str, port: int = 0) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._serve, address, port)
        got: int = self._server.sockets[0].getsockname()[1]
        return got

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                if not self.serving:
                    break
                path = head.split(" ", 2)[1]
                self.requests.append(path)
                if path.startswith("/slow"):
                    await asyncio.sleep(0.5)
                body = self.name.encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await self._server.wait_closed()
        await asyncio.sleep(0.01)


class RealKit:
    """A NodeFleet over a temporary data directory."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory(prefix="elba-fleet-", ignore_cleanup_errors=True)
        self.directory = Path(self._folder.name)
        self.clock = RealClock(SCALE)
        self._origins: dict[str, Origin] = {}
        self._fleets: list[NodeFleet] = []
        self._liveness = str(random.randint(2, 14))
        self.nodes: Nodes = self.reopen()

    @property
    def settings(self) -> dict[str, str]:
        return {
            "data_dir": str(self.directory),
            "front_door": "",
            "node_workers": "1",
            "zones": "a,b",
            "first_slice": self._liveness,
        }

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def serving_target(self) -> Target:
        """For use inside `run`: the origin starts before the first check can have failed."""
        address = loopback()
        with socket.socket() as probe:
            probe.bind((address, 0))
            port: int = probe.getsockname()[1]
        origin = Origin(address)
        self._origins[address] = origin
        self._starting = asyncio.ensure_future(origin.start(address, port))
        return Target(id=address, port=port, address=address, zone="us-east-1a", host_header=f"{address}:{port}")

    def set_serving(self, target: Target, serving: bool) -> None:
        self._origins[target.id].serving = serving

    def address(self) -> str:
        return loopback()

    def crash(self, place: Place) -> None:
        home = NodeHome(self.directory, place.zone)
        assert home.process_id()
        home.signal(signal.SIGKILL)

    def revive(self, place: Place) -> None:
        """It comes back by itself."""

    def reopen(self) -> NodeFleet:
        fleet = NodeFleet(self.settings, self.clock)
        self._fleets.append(fleet)
        return fleet

    def unacceptable(self, configuration: Configuration) -> Configuration:
        group = configuration.target_groups[0]
        check = msgspec.structs.replace(group.health_check, matcher="nonsense")
        return Configuration(configuration.load_balancers, [msgspec.structs.replace(group, health_check=check)])

    def close(self) -> None:
        async def end() -> None:
            for fleet in self._fleets[:-1]:
                await fleet.close()
            await self._fleets[-1].shutdown()
            for origin in self._origins.values():
                await origin.stop()

        self.run(end())
        self._runner.close()
        for zone in NodeHome.zones(self.directory):
            home = NodeHome(self.directory, zone)
            if home.log_file.exists():
                print(f"── node {zone} ──\n{home.log_file.read_text()}")
            if pid := home.process_id():  # only if shutdown failed
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._folder.cleanup()
