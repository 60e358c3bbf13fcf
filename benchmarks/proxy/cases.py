"""What is asked of the proxies, and the programs that ask it: wrk, h2load, openssl s_time."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from processes import LOAD_CORE, pinned

RULES = (1, 10, 100)
H2_REQUESTS = 8_000
"""A connection: an Application Load Balancer ends it after 10,000."""

BROWSER_FIELDS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: none",
    "Priority: u=0, i",
)


@dataclass(frozen=True)
class Load:
    """What came of one run of a load generator; `p99_millis` is None where it does not say."""

    requests: int
    per_second: float
    p99_millis: float | None


@dataclass(frozen=True)
class Case:
    """What is asked for, on which of a proxy's ports, by how many connections, and with which request fields."""

    name: str
    about: str
    path: str
    connections: int
    port: str = "plain"
    fields: tuple[str, ...] = ()
    generator: Callable[[Case, int, float], Load] = lambda case, port, seconds: wrk(case, port, seconds)


def run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=pinned(LOAD_CORE)).stdout


def found(pattern: str, text: str) -> re.Match[str]:
    match = re.search(pattern, text)
    if not match:
        raise SystemExit(f"the load generator's output is not understood:\n{text}")
    return match


def wrk(case: Case, port: int, seconds: float) -> Load:
    """HTTP/1.1. Errors end the program."""
    command = ["wrk", "-t1", f"-c{case.connections}", f"-d{seconds:.0f}s", "--timeout", "10s", "--latency"]
    for one in case.fields:
        command += ["-H", one]
    scheme = "https" if case.port == "tls" else "http"
    text = run([*command, f"{scheme}://127.0.0.1:{port}{case.path}"])
    if "Non-2xx" in text or re.search(r"Socket errors: (?!connect 0, read 0, write 0, timeout 0)", text):
        raise SystemExit(f"errors under load ({case.name}):\n{text}")
    p99 = found(r"99%\s+([\d.]+)(us|ms|s)", text)
    return Load(
        requests=int(found(r"(\d+) requests in", text)[1]),
        per_second=float(found(r"Requests/sec:\s+([\d.]+)", text)[1]),
        p99_millis=float(p99[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p99[2]],
    )


def h2load(case: Case, port: int, _: float) -> Load:
    """HTTP/2 over TLS, 16 streams at a time on each connection; so many requests, however long they take."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests"
        count = H2_REQUESTS * case.connections
        command = ["h2load", "-t1", f"-c{case.connections}", "-m16", f"-n{count}", f"--log-file={log}"]
        text = run([*command, f"https://127.0.0.1:{port}{case.path}"])
        micros = [int(line.split("\t")[2]) for line in log.read_text().splitlines()]
    found("Application protocol: h2", text)
    counts = found(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    if int(counts[2]) or int(counts[3]):
        raise SystemExit(f"errors under load ({case.name}):\n{text}")
    return Load(
        requests=int(counts[1]),
        per_second=float(found(r"([\d.]+) req/s", text)[1]),
        p99_millis=statistics.quantiles(micros, n=100)[98] / 1e3,
    )


def handshakes(case: Case, port: int, seconds: float) -> Load:
    """Full TLS 1.3 handshakes, one request over each connection, one after the other."""
    text = run(
        ["openssl", "s_time", "-new", "-connect", f"127.0.0.1:{port}", "-www", case.path, "-time", f"{seconds:.0f}"]
    )
    match = found(r"(\d+) connections in ([\d.]+) real seconds", text)
    return Load(int(match[1]), int(match[1]) / float(match[2]), None)


CASES = {
    case.name: case
    for case in (
        Case("small", "HTTP/1.1, 32 connections, 32-byte answers", "/small", 32),
        Case("browser", "the same with a browser's fields (650 bytes)", "/small", 32, fields=BROWSER_FIELDS),
        Case("many", "256 connections", "/small", 256),
        Case("64k", "32 connections, 64 KiB answers", "/64k", 32),
        Case("large", "8 connections, 1 MiB answers", "/large", 8),
        Case("connect", "a new connection for each request", "/small", 32, fields=("Connection: close",)),
        Case("tls-small", "HTTPS, 32 connections, 32-byte answers", "/small", 32, "tls"),
        Case("tls-64k", "HTTPS, 32 connections, 64 KiB answers", "/64k", 32, "tls"),
        Case("tls-connect", "HTTPS, a full handshake for each request", "/small", 1, "tls", generator=handshakes),
        Case("h2-small", "HTTP/2, 4 connections x 16 streams", "/small", 4, "tls", generator=h2load),
        *(
            Case(
                f"rules-{count}", f"{count} path rules, the last one matches", f"/r/{count - 1}/x", 32, f"rules-{count}"
            )
            for count in RULES
        ),
    )
}
