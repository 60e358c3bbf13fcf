"""CPU time per proxied HTTP/1.1 request: the zone node beside nginx and HAProxy, in one run.

Each proxy runs alone on one core, wrk and a one-worker nginx origin on another; rounds are interleaved, so that
what else the machine does hits all alike. CPU time is the kernel's own count for all threads of the proxy. On a
busy machine look at the minima and at the ratios; for a guard that repeats exactly see `instructions.py`. The node
runs twice, without an access log and with one (`elba-node+log`); `path` is the CPU time of its worker threads alone.

    python benchmarks/proxy/run.py --node target/release/elba-node --rounds 5 --json result.json

Needs nginx, haproxy and wrk on the PATH; leaves out a peer that is not there. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

PROXY_CORE = 0
LOAD_CORE = 1
START_LIMIT_SECONDS = 20.0


@dataclass(frozen=True)
class Case:
    """What is asked for, by how many connections, and with which request fields."""

    name: str
    connections: int
    path: str
    browser_fields: bool = False


CASES = {
    case.name: case
    for case in (
        Case("small", 32, "/small"),
        Case("browser", 32, "/small", browser_fields=True),
        Case("many", 256, "/small"),
        Case("large", 8, "/large"),
    )
}

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


@dataclass
class Round:
    """One proxy under load once."""

    requests: int
    cpu_micros: float
    user_micros: float
    path_micros: float
    requests_per_second: float
    p99_millis: float


@dataclass
class Result:
    """All rounds of one proxy in one case; CPU times are microseconds per request."""

    proxy: str
    case: str
    rounds: list[Round] = field(default_factory=list)

    def summary(self) -> dict[str, float | str]:
        cpu = [one.cpu_micros for one in self.rounds]
        return {
            "proxy": self.proxy,
            "case": self.case,
            "cpu_micros_min": round(min(cpu), 2),
            "cpu_micros_median": round(statistics.median(cpu), 2),
            "user_micros_min": round(min(one.user_micros for one in self.rounds), 2),
            "path_micros_min": round(min(one.path_micros for one in self.rounds), 2),
            "requests_per_second_max": round(max(one.requests_per_second for one in self.rounds)),
            "p99_millis_median": round(statistics.median(one.p99_millis for one in self.rounds), 2),
        }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(core: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def running(command: list[str], core: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process on one core; ended, and if need be killed, at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=pinned(core))
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_serving(port: int, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_LIMIT_SECONDS
    problem = "no answer"
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError as error:
            problem = str(error)
        time.sleep(0.05)
    raise SystemExit(f"{process.args!r} does not serve: {problem}\n{log.read_text(errors='replace')}")


def origin_config(folder: Path, port: int) -> str:
    return f"""
daemon off; worker_processes 1; pid {folder}/origin.pid; error_log {folder}/origin.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; sendfile on; tcp_nopush on; tcp_nodelay on;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /small {{ return 200 "0123456789abcdef0123456789abcdef"; }}
    location = /large {{ root {folder}; }}
    location / {{ return 200 "ok"; }}
  }}
}}
"""


def nginx_config(folder: Path, port: int, origin: int) -> str:
    return f"""
daemon off; worker_processes 1; pid {folder}/proxy.pid; error_log {folder}/proxy.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; tcp_nodelay on;
  client_body_temp_path {folder}/p1; proxy_temp_path {folder}/p2; fastcgi_temp_path {folder}/p3;
  uwsgi_temp_path {folder}/p4; scgi_temp_path {folder}/p5;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Amzn-Trace-Id "Root=$request_id";
    }}
  }}
}}
"""


def haproxy_config(port: int, origin: int) -> str:
    return f"""
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend in
  bind 127.0.0.1:{port} backlog 4096
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port {port}
  http-request set-header X-Amzn-Trace-Id Root=%[uuid()]
  default_backend out
backend out
  server origin 127.0.0.1:{origin} pool-max-conn 4096
"""


def node_config(port: int, origin: int, logs: Path | None = None) -> str:
    """A stored snapshot: one load balancer, one listener, one target. AWS's defaults for all else; `logs`: the folder
    that an access log goes to."""
    attributes = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "logs"} if logs else {}
    snapshot = {
        "version": 1,
        "node": {
            "id": "bench-a",
            "zone": "bench-a",
            "front_door": "",
            "workers": 1,
            "region": "us-east-1",
            "log_directory": str(logs or ""),
        },
        "load_balancers": [
            {
                "arn": "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/bench/0000000000000001",
                "name": "bench",
                "resource_id": "app/bench/0000000000000001",
                "account": "000000000000",
                "attributes": attributes,
                "dns_name": "bench-1.us-east-1.elb.localhost",
                "addresses": [{"zone": "bench-a", "address": "127.0.0.1"}],
                "listeners": [
                    {
                        "arn": "listener",
                        "port": port,
                        "rules": [
                            {
                                "arn": "rule",
                                "actions": [{"kind": "forward", "target_groups": [{"arn": "group"}]}],
                            }
                        ],
                    }
                ],
            }
        ],
        "target_groups": [
            {
                "arn": "group",
                "name": "group",
                "health_check": {"path": "/"},
                "targets": [
                    {
                        "id": "i-1",
                        "port": origin,
                        "address": "127.0.0.1",
                        "zone": "bench-a",
                        "known_health": "healthy",
                    }
                ],
            }
        ],
    }
    return json.dumps({"format": 1, "content": snapshot})


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def commands(folder: Path, origin: int, node: str) -> dict[str, tuple[list[str], int]]:
    """Command and port of every proxy that is there."""
    found: dict[str, tuple[list[str], int]] = {}
    for name, logs in (("elba-node", None), ("elba-node+log", folder / "buckets")):
        port = free_port()
        write(folder / name / "config.json", node_config(port, origin, logs))
        arguments = ["--id", "bench-a", "--control", str(folder / f"{name}.control"), "--data-dir", str(folder / name)]
        found[name] = ([node, *arguments, "--log-level", "warning"], port)
    if nginx := shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        port = free_port()
        config = write(folder / "nginx.conf", nginx_config(folder, port, origin))
        found["nginx"] = ([nginx, "-p", str(folder), "-c", config], port)
    if haproxy := shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        port = free_port()
        found["haproxy"] = ([haproxy, "-f", write(folder / "haproxy.cfg", haproxy_config(port, origin))], port)
    return found


def family(pid: int) -> list[int]:
    """The process and its children, theirs included."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            pids += family(int(child))
    return pids


def cpu_seconds(pid: int) -> tuple[float, float, float]:
    """CPU time of a process with its children: in all (the scheduler's count), in user mode (in ticks), and in all of
    the threads that carry requests."""
    total = user = path = 0.0
    for one in family(pid):
        for task in Path(f"/proc/{one}/task").iterdir():
            seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
            total += seconds
            if (task / "comm").read_text().startswith("elba-worker"):
                path += seconds
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        user += int(fields[11]) / os.sysconf("SC_CLK_TCK")
    return total, user, path or total


def load(port: int, case: Case, seconds: float) -> tuple[int, float, float]:
    """Requests answered, their rate, and the 99th percentile of latency in ms. Errors end the program."""
    command = ["wrk", "-t1", f"-c{case.connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
    if case.browser_fields:
        for one in BROWSER_FIELDS:
            command += ["-H", one]
    command.append(f"http://127.0.0.1:{port}{case.path}")
    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=pinned(LOAD_CORE))
    if "Non-2xx" in done.stdout or re.search(r"Socket errors: (?!connect 0, read 0, write 0, timeout 0)", done.stdout):
        raise SystemExit(f"errors under load:\n{done.stdout}")
    requests = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if not requests or not rate or not p99:
        raise SystemExit(f"wrk's output is not understood:\n{done.stdout}")
    millis = float(p99[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p99[2]]
    return int(requests[1]), float(rate[1]), millis


def measure(pid: int, port: int, case: Case, seconds: float) -> Round:
    before = cpu_seconds(pid)
    requests, rate, p99 = load(port, case, seconds)
    after = cpu_seconds(pid)
    return Round(
        requests=requests,
        cpu_micros=(after[0] - before[0]) / requests * 1e6,
        user_micros=(after[1] - before[1]) / requests * 1e6,
        path_micros=(after[2] - before[2]) / requests * 1e6,
        requests_per_second=rate,
        p99_millis=p99,
    )


def report(results: list[Result]) -> None:
    head = (
        f"{'case':9} {'proxy':13} {'us/req min':>10} {'median':>7} {'user':>6} {'path':>6} {'req/s':>8} {'p99 ms':>7}"
    )
    print(head + f" {'min/nginx':>10} {'med/nginx':>10}")
    rows = [result.summary() for result in results]
    for row in rows:
        peer = next((one for one in rows if one["proxy"] == "nginx" and one["case"] == row["case"]), None)
        ratios = ""
        if peer:
            least = float(row["cpu_micros_min"]) / float(peer["cpu_micros_min"])
            middle = float(row["cpu_micros_median"]) / float(peer["cpu_micros_median"])
            ratios = f" {least:10.2f} {middle:10.2f}"
        print(
            f"{row['case']:9} {row['proxy']:13} {row['cpu_micros_min']:10.2f} {row['cpu_micros_median']:7.2f}"
            f" {row['user_micros_min']:6.2f} {row['path_micros_min']:6.2f} {row['requests_per_second_max']:8.0f}"
            f" {row['p99_millis_median']:7.2f}{ratios}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", default="target/release/elba-node", help="the zone node's program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="per round and proxy")
    parser.add_argument("--cases", default="small,browser,many", help=f"of {','.join(CASES)}")
    parser.add_argument("--json", metavar="FILE", help="write all rounds there; - for standard output")
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two cores are needed: one for the proxy, one for the load")
    print(f"load average at the start: {os.getloadavg()[0]:.2f}", file=sys.stderr)
    cases = [CASES[name] for name in options.cases.split(",")]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # nginx started by root reads it as another user
        (folder / "large").write_bytes(os.urandom(1 << 20))
        origin = free_port()
        config = write(folder / "origin.conf", origin_config(folder, origin))
        nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if not nginx:
            raise SystemExit("nginx is needed as the origin")
        command = [nginx, "-p", str(folder), "-c", config]
        process = stack.enter_context(running(command, LOAD_CORE, folder / "origin.log"))
        wait_until_serving(origin, "/small", process, folder / "origin.log")
        proxies: dict[str, tuple[int, int]] = {}
        for proxy, (command, port) in commands(folder, origin, options.node).items():
            log = folder / f"{proxy}.log"
            process = stack.enter_context(running(command, PROXY_CORE, log))
            wait_until_serving(port, "/small", process, log)
            proxies[proxy] = (process.pid, port)
        results: list[Result] = []
        for case in cases:
            mine = {proxy: Result(proxy, case.name) for proxy in proxies}
            for pid, port in proxies.values():
                measure(pid, port, case, 1)  # warms pools and caches
            for _ in range(options.rounds):
                for proxy, (pid, port) in proxies.items():
                    mine[proxy].rounds.append(measure(pid, port, case, options.seconds))
            results += mine.values()
        report(results)
        if options.json:
            text = json.dumps({"load_average": os.getloadavg(), "results": [asdict(one) for one in results]}, indent=1)
            if options.json == "-":
                print(text)
            else:
                Path(options.json).write_text(text)


if __name__ == "__main__":
    main()
