"""What idle client connections cost a zone node: memory and CPU for each, while others are served.

Each connection is made from one of several 127.x.y.z source addresses, makes one request, and stays. One process may
have only so many file descriptors (`ulimit -Hn`), on either side: the connections are spread over as many node and
client processes as that takes.

    python benchmarks/idle.py --node target/release/elba-node --connections 100000

Not run in CI. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

IDLE_SECONDS = 10.0
REQUEST = b"GET / HTTP/1.1\r\nHost: idle\r\n\r\n"
SPARE = 200
"""Descriptors that a process needs for itself."""


def config(port: int, zone: str) -> str:
    """A stored snapshot: one load balancer that answers by itself."""
    fixed = {"status": 200, "body": "idle", "content_type": "text/plain"}
    listener = {"arn": "l", "port": port, "rules": [{"arn": "r", "actions": [{"kind": "fixed-response"}]}]}
    listener["rules"][0]["actions"][0]["fixed_response"] = fixed  # type: ignore[index]
    snapshot = {
        "version": 1,
        "node": {"id": zone, "zone": zone, "front_door": "", "workers": 1},
        "load_balancers": [
            {
                "arn": "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/idle/0000000000000001",
                "name": "idle",
                "attributes": {"idle_timeout.timeout_seconds": "4000"},
                "addresses": [{"zone": zone, "address": "127.0.0.1"}],
                "listeners": [listener],
            }
        ],
    }
    return json.dumps({"format": 1, "content": snapshot})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def status(pid: int, key: str) -> int:
    """A line of /proc/<pid>/status, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def node(program: str, folder: Path, number: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port, zone = free_port(), f"idle-{number}"
    home = folder / zone
    home.mkdir()
    (home / "config.json").write_text(config(port, zone))
    arguments = ["--id", zone, "--control", str(home / "control"), "--data-dir", str(home), "--log-level", "error"]
    process = subprocess.Popen([program, *arguments])
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield process, port
    finally:
        process.terminate()
        process.wait(20)


def hold(port: int, count: int, first_source: int) -> None:
    """The client's part: opens the connections, says so, asks on each hundredth when told to, ends with stdin."""
    held = []
    for number in range(count):
        one = socket.socket()
        one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen when it connects
        one.bind((f"127.{first_source}.{number % 8}.1", 0))
        one.connect(("127.0.0.1", port))
        one.sendall(REQUEST)
        if not one.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit("not served")
        held.append(one)
    print("held", flush=True)
    for _ in sys.stdin:
        times = []
        for one in held[::100]:
            began = time.perf_counter()
            one.sendall(REQUEST)
            if not one.recv(4096).startswith(b"HTTP/1.1 200"):
                raise SystemExit("an idle connection is no longer served")
            times.append(time.perf_counter() - began)
        print(json.dumps(sorted(times)[len(times) // 2]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--node", default="target/release/elba-node")
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--hold", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.hold:
        hold(*options.hold)
        return
    # a node keeps an eighth of its descriptors for other things than clients
    each = min(options.connections, most - most // 8 - SPARE)
    counts = [each] * (options.connections // each)
    if rest := options.connections % each:
        counts.append(rest)
    print(f"{options.connections} connections to {len(counts)} nodes of at most {most} descriptors")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        nodes = [stack.enter_context(node(options.node, folder, number)) for number in range(len(counts))]
        before = [status(process.pid, "VmRSS") for process, _ in nodes]
        clients = []
        for number, ((_, port), count) in enumerate(zip(nodes, counts, strict=True)):
            command = [sys.executable, __file__, "--hold", str(port), str(count), str(100 + number)]
            client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(client.wait)
            stack.callback(client.kill)
            clients.append(client)
        for client in clients:
            assert client.stdout is not None
            if client.stdout.readline() != "held\n":
                raise SystemExit("a client failed")
        after = [status(process.pid, "VmRSS") for process, _ in nodes]
        used = [cpu_seconds(process.pid) for process, _ in nodes]
        time.sleep(IDLE_SECONDS)
        cpu = sum(cpu_seconds(process.pid) - was for (process, _), was in zip(nodes, used, strict=True))
        medians = []
        for client in clients:
            assert client.stdin is not None and client.stdout is not None
            client.stdin.write("ask\n")
            client.stdin.flush()
            medians.append(float(client.stdout.readline()))
        memory = sum(after) - sum(before)
        print(f"memory: {memory / 1024:.1f} MiB, {memory * 1024 / options.connections:.0f} bytes a connection")
        print(f"CPU while idle: {cpu / IDLE_SECONDS * 100:.2f} % of a core, {len(nodes)} nodes together")
        print(f"a request on an idle connection: median {max(medians) * 1e6:.0f} us in the slowest process")
        sockets = Path("/proc/net/sockstat").read_text().splitlines()[1]
        print(f"sockets of the machine: {sockets}")


if __name__ == "__main__":
    main()
