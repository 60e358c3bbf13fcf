"""API calls per second: DescribeTargetHealth and PutMetricData, Elba beside moto's server in one run.

Both get the same signed requests over keep-alive connections from `wrk`. Elba verifies each signature and, for
PutMetricData, journals each datapoint; moto does neither. moto is run by a Python that has `moto[server]`
(`--moto-python`, default: the `python3` on PATH).

    .venv/bin/python benchmarks/api/run.py [--seconds 5] [--rounds 3] [--json]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

CONNECTIONS = 8
TARGETS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing answers at {url}")


class Captured(Exception):
    """Carries a prepared request out of botocore."""

    def __init__(self, request: Any) -> None:
        self.request = request


def signed(client: Any, operation: str, **arguments: Any) -> Any:
    """The HTTP request that boto3 would send."""

    def capture(request: Any, **_: Any) -> None:
        raise Captured(request)

    client.meta.events.register("before-send", capture)
    try:
        getattr(client, operation)(**arguments)
    except Captured as caught:
        return caught.request
    finally:
        client.meta.events.unregister("before-send", capture)
    raise AssertionError("not sent")


def wrk(request: Any, seconds: float) -> float:
    """Requests per second; raises if any was not answered with 2xx."""
    body = request.body or b""
    if isinstance(body, str):
        body = body.encode()
    escaped = "".join(f"\\{byte}" if byte in b'\\"' or byte < 32 or byte > 126 else chr(byte) for byte in body)
    escaped = re.sub(r"\\(\d+)", lambda m: f"\\{int(m.group(1)):03d}", escaped)
    lines = [f'wrk.method = "{request.method}"', f'wrk.body = "{escaped}"']
    for name, value in request.headers.items():
        text = value.decode() if isinstance(value, bytes) else value
        if name.lower() not in ("content-length", "connection"):
            lines.append(f'wrk.headers["{name}"] = "{text}"')
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join(lines))
        script.flush()
        output = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-s", script.name, request.url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    if "Non-2xx" in output:
        raise SystemExit(f"errors in the run:\n{output}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert found is not None, output
    return float(found.group(1))


def prepare(endpoint: str, key: tuple[str, str]) -> dict[str, Any]:
    """A target group with targets, and the two requests to repeat."""

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            config=Config(retries={"total_max_attempts": 1}),
        )

    ec2, elbv2, watch = client("ec2"), client("elbv2"), client("cloudwatch")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = elbv2.create_target_group(Name="bench", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    elbv2.register_targets(
        TargetGroupArn=arn, Targets=[{"Id": f"172.31.{n % 16}.{10 + n}", "Port": 80} for n in range(TARGETS)]
    )
    health = elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert len(health) == TARGETS
    return {
        "DescribeTargetHealth": signed(elbv2, "describe_target_health", TargetGroupArn=arn),
        "PutMetricData": signed(
            watch,
            "put_metric_data",
            Namespace="Bench",
            MetricData=[
                {
                    "MetricName": "Latency",
                    "Dimensions": [{"Name": "Host", "Value": f"h{n}"}],
                    "Value": float(n),
                    "Unit": "Milliseconds",
                }
                for n in range(10)
            ],
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--moto-python", default="python3")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    elba_port, moto_port = free_port(), free_port()
    directory = Path(tempfile.mkdtemp(prefix="elba-bench-"))
    elba = [sys.executable, "-m", "elba.cli.main", "--data-dir", str(directory)]
    processes = [
        subprocess.Popen(
            [*elba, "up", "--port", str(elba_port), "--dns-port", str(free_port())], stderr=subprocess.DEVNULL
        ),
        subprocess.Popen(
            [options.moto_python, "-m", "moto.server", "-p", str(moto_port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ),
    ]
    try:
        wait_for(f"http://127.0.0.1:{elba_port}/_elba/health")
        wait_for(f"http://127.0.0.1:{moto_port}/")
        root = json.loads((directory / "root-key.json").read_text())
        servers = {
            "elba": prepare(f"http://127.0.0.1:{elba_port}", (root["access_key_id"], root["secret_access_key"])),
            "moto": prepare(f"http://127.0.0.1:{moto_port}", ("test", "test")),
        }
        rates: dict[str, dict[str, list[float]]] = {}
        for _ in range(options.rounds):
            for operation in ("DescribeTargetHealth", "PutMetricData"):
                for name, requests in servers.items():
                    rate = wrk(requests[operation], options.seconds)
                    rates.setdefault(operation, {}).setdefault(name, []).append(rate)
        result = {
            operation: {
                **{name: round(statistics.median(values), 1) for name, values in by_server.items()},
                "ratio": round(statistics.median(by_server["elba"]) / statistics.median(by_server["moto"]), 2),
            }
            for operation, by_server in rates.items()
        }
        if options.json:
            print(json.dumps(result, indent=2))
        else:
            print(f"calls per second, median of {options.rounds} rounds, {CONNECTIONS} connections")
            for operation, row in result.items():
                print(f"{operation:22} elba {row['elba']:>8}   moto {row['moto']:>8}   ×{row['ratio']}")
    finally:
        subprocess.run([*elba, "down", "--purge"], capture_output=True, check=False)
        for process in processes:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)


if __name__ == "__main__":
    main()
