"""A zone node under test: the real program on temporary folders, a control plane that does as it is told, origins,
a DNS client. Everything waits by polling for a condition with a deadline."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from elba.dataplane import protocol
from elba.dataplane.protocol import (
    Action,
    Delta,
    HealthCheck,
    HealthReport,
    Listener,
    LoadBalancer,
    Node,
    NodeClock,
    Report,
    Rule,
    Snapshot,
    Target,
    TargetChange,
    TargetGroup,
    WeightedTargetGroup,
    ZoneAddress,
)

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 15.0
ZONE = "us-east-1a"
OTHER_ZONE = "us-east-1b"
SCALE = 100.0  # clock time: an interval of 5 s passes in 50 ms

T = TypeVar("T")
M = TypeVar("M", bound=msgspec.Struct)


def find_binary() -> str:
    """The node's program: $ELBA_NODE, else the installed one, else the newest build."""
    if given := os.environ.get("ELBA_NODE"):
        return given
    installed = ROOT / ".venv" / "bin" / "elba-node"
    if installed.exists():
        return str(installed)
    built = [path for kind in ("release", "debug") for path in ROOT.glob(f"target*/{kind}/elba-node")]
    if built:
        return str(max(built, key=lambda path: path.stat().st_mtime))
    if found := shutil.which("elba-node"):
        return found
    raise AssertionError("there is no elba-node: build it (cargo build -p elba-node) or set ELBA_NODE")


def wait_until(condition: Callable[[], T | None], what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """What `condition` returns once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        if result := condition():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def an_address() -> str:
    """A loopback address that nothing else is likely to use."""
    return f"127.{random.randint(64, 250)}.{random.randint(0, 255)}.{random.randint(1, 254)}"


def a_free_port(address: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((address, 0))
        port: int = sock.getsockname()[1]
        return port


# ── origins ──────────────────────────────────────────────────────────────────────────────────────────


class Origin:
    """An HTTP server on 127.0.0.1 that answers every path with `status` and its own name; `gate` holds up answers
    to paths that start with /slow until it is set."""

    def __init__(self, name: str, status: int = 200) -> None:
        self.name = name
        self.status = status
        self.gate = threading.Event()
        self.slow_requests = 0
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._sockets: set[socket.socket] = set()
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                origin._sockets.add(self.request)

            def finish(self) -> None:
                origin._sockets.discard(self.request)
                super().finish()

            def do_GET(self) -> None:
                origin.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                if self.path.startswith("/slow"):
                    origin.slow_requests += 1
                    origin.gate.wait(DEADLINE_SECONDS)
                body = origin.name.encode()
                self.send_response(origin.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True  # the node went away

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def health_requests(self) -> list[tuple[str, dict[str, str]]]:
        return [r for r in self.requests if r[1].get("user-agent") == "ELB-HealthChecker/2.0"]

    def stop(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for sock in list(self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def target(self, **more: Any) -> Target:
        return Target(id=f"i-{self.name}", port=self.port, address="127.0.0.1", **more)


# ── configurations ───────────────────────────────────────────────────────────────────────────────────

ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:"


def a_check(**more: Any) -> HealthCheck:
    """A check each 50 ms of real time; thresholds as AWS has them."""
    return HealthCheck(**{"interval_seconds": 5, "timeout_seconds": 2, "path": "/health", **more})


def a_group(name: str = "web", *targets: Target, **more: Any) -> TargetGroup:
    return TargetGroup(
        arn=f"{ARN}targetgroup/{name}/1",
        name=name,
        resource_id=f"targetgroup/{name}/1",
        targets=list(targets),
        **{"health_check": a_check(), **more},
    )


def a_balancer(name: str, address: str, port: int, *groups: TargetGroup, **more: Any) -> LoadBalancer:
    """One HTTP listener that forwards to the groups with equal weights."""
    arn = f"{ARN}loadbalancer/app/{name}/1"
    forward = Action(kind="forward", target_groups=[WeightedTargetGroup(arn=group.arn) for group in groups])
    listener = Listener(
        arn=f"{ARN}listener/app/{name}/1/{port}",
        port=port,
        rules=[Rule(arn=f"{ARN}listener-rule/app/{name}/1/{port}/0", priority=0, actions=[forward])],
    )
    return LoadBalancer(
        **{
            "arn": arn,
            "name": name,
            "resource_id": f"app/{name}/1",
            "dns_name": f"{name}-1.us-east-1.elb.amazonaws.com",
            "addresses": [ZoneAddress(zone=ZONE, address=address)],
            "listeners": [listener],
            **more,
        }
    )


def a_node(zone: str = ZONE, **more: Any) -> Node:
    return Node(
        **{
            "id": zone,
            "zone": zone,
            "region": "us-east-1",
            "clock": NodeClock(scale=SCALE),
            "front_door": "",
            "workers": 2,
            "report_interval_seconds": 0.1,
            **more,
        }
    )


def put_targets(base: int, group: TargetGroup, *put: Target, removed: list[str] | None = None) -> Delta:
    change = TargetChange(target_group=group.arn, put=list(put), removed=removed or [])
    return Delta(base=base, version=base + 1, targets=[change])


# ── the node and its control plane ───────────────────────────────────────────────────────────────────


class Control:
    """One connection of a control plane. A thread reads, so that the node never waits for the test."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.messages: list[protocol.Up] = []
        self.is_closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            with self.socket.makefile("rb") as stream:
                while header := stream.read(4):
                    (length,) = struct.unpack(">I", header)
                    message = msgspec.json.decode(stream.read(length), type=protocol.Up)
                    self.messages.append(message)
        except OSError:
            pass
        self.is_closed = True

    def send(self, message: protocol.Down) -> None:
        self.send_bytes(msgspec.json.encode(message))

    def send_bytes(self, payload: bytes) -> None:
        self.socket.sendall(struct.pack(">I", len(payload)) + payload)

    def received(self, kind: type[M]) -> list[M]:
        return [message for message in list(self.messages) if isinstance(message, kind)]

    def wait_for(self, kind: type[M], matches: Callable[[M], bool] = lambda _: True) -> M:
        def look() -> M | None:
            return next((m for m in self.received(kind) if matches(m)), None)

        return wait_until(look, f"a {kind.__name__}")

    def apply(self, message: Snapshot | Delta) -> None:
        """Sends a configuration and waits until it is in force."""
        reason = self._answer(message)
        assert reason is None, reason

    def refused(self, message: Snapshot | Delta) -> str:
        """Sends a configuration that the node must not take; its reason."""
        reason = self._answer(message)
        assert reason is not None, "it was taken"
        return reason

    def _answer(self, message: Snapshot | Delta) -> str | None:
        seen = len(self.messages)
        self.send(message)

        def look() -> protocol.Ack | protocol.Nack | None:
            later = (m for m in self.messages[seen:] if isinstance(m, protocol.Ack | protocol.Nack))
            return next((m for m in later if m.version == message.version), None)

        answer = wait_until(look, f"an answer to version {message.version}")
        return answer.reason if isinstance(answer, protocol.Nack) else None

    def health(self) -> dict[str, HealthReport]:
        """The last health told of each target, by its id."""
        told: dict[str, HealthReport] = {}
        for report in self.received(Report):
            told.update((health.target.split(":")[0], health) for health in report.health)
        return told

    def wait_for_health(self, target_id: str, state: str, reason: str | None = None) -> HealthReport:
        def look() -> HealthReport | None:
            told = self.health().get(target_id)
            is_it = told and told.state == state and (reason is None or told.reason == reason)
            return told if is_it else None

        try:
            return wait_until(look, f"{target_id} {state}")
        except AssertionError as error:
            raise AssertionError(f"{error}; last: {self.health().get(target_id)}") from None

    def counter(self, name: str) -> float:
        """Sum of a counter over all load balancers and reports of this connection."""
        return sum(lb.counters.get(name, 0) for r in self.received(Report) for lb in r.load_balancers)

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(5)
        self.socket.close()


class NodeProcess:
    """A node's folders, and the process that runs on them now."""

    def __init__(self, folder: Path, zone: str = ZONE) -> None:
        self.zone = zone
        self.data = folder / "data"
        self.control_path = folder / "c"
        self.log = folder / "node.log"
        self.prefix: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.controls: list[Control] = []

    def start(self, *more: str) -> NodeProcess:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.prefix,
                    find_binary(),
                    *("--id", self.zone),
                    *("--control", str(self.control_path)),
                    *("--data-dir", str(self.data)),
                    *("--log-level", "debug"),
                    *more,
                ],
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        if "--takeover" not in more:  # else somebody listens already
            self.wait_until_listening()
        return self

    def wait_until_listening(self) -> None:
        def is_listening() -> bool:
            assert self.process is not None and self.process.poll() is None, self.log.read_text()
            with socket.socket(socket.AF_UNIX) as sock:
                try:
                    sock.connect(str(self.control_path))
                except OSError:
                    return False
                return True

        wait_until(is_listening, "the node listens")

    def connect(self) -> Control:
        control = Control(self.control_path)
        self.controls.append(control)
        control.wait_for(protocol.Hello)
        return control

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait_for_exit(self) -> int:
        assert self.process is not None
        return self.process.wait(DEADLINE_SECONDS)

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        for control in self.controls:
            control.close()
        self.kill()


# ── clients ──────────────────────────────────────────────────────────────────────────────────────────


def get(address: str, port: int, path: str = "/", host: str | None = None) -> tuple[int, str]:
    """Status and body of one request on a connection of its own."""
    connection = http.client.HTTPConnection(address, port, timeout=DEADLINE_SECONDS)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def get_or_none(address: str, port: int, path: str = "/", host: str | None = None) -> tuple[int, str] | None:
    """As `get`, None while nobody answers."""
    try:
        return get(address, port, path, host)
    except (OSError, http.client.HTTPException):
        return None


@contextmanager
def in_background(function: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Runs `function` in a thread; the value yielded waits for its result."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()

    def result() -> T:
        thread.join(DEADLINE_SECONDS)
        assert results, "no result in time"
        return results[0]

    yield result
    thread.join(DEADLINE_SECONDS)


class DnsAnswer(msgspec.Struct):
    code: int
    truncated: bool
    addresses: list[str]
    ttl: int | None
    authorities: int


def dns_query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack(">6H", 0x1234, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def dns_parse(packet: bytes) -> DnsAnswer:
    _, flags, _, answers, authorities, _ = struct.unpack_from(">6H", packet)
    at = 12
    while packet[at]:
        at += packet[at] + 1
    at += 5
    addresses, ttl = [], None
    for _ in range(answers):
        at += 2  # a pointer to the question's name
        kind, _, ttl, length = struct.unpack_from(">HHIH", packet, at)
        at += 10
        if kind == 1:
            addresses.append(socket.inet_ntoa(packet[at : at + 4]))
        at += length
    return DnsAnswer(flags & 15, bool(flags & 0x200), addresses, ttl, authorities)


def resolve(server: str, name: str, kind: int = 1) -> DnsAnswer:
    """One question over UDP, asked again each second as resolvers do. `server` = "address:port"."""
    address, port = server.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.connect((address, int(port)))
        for _ in range(int(DEADLINE_SECONDS)):
            sock.send(dns_query(name, kind))
            with suppress(TimeoutError):
                return dns_parse(sock.recv(4096))
    raise AssertionError(f"{server} does not answer {name}")


def resolve_tcp(server: str, name: str, kind: int = 1) -> DnsAnswer:
    address, port = server.split(":")
    query = dns_query(name, kind)
    with socket.create_connection((address, int(port)), DEADLINE_SECONDS) as sock:
        sock.sendall(struct.pack(">H", len(query)) + query)
        with sock.makefile("rb") as stream:
            (length,) = struct.unpack(">H", stream.read(2))
            return dns_parse(stream.read(length))
