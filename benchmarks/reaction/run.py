"""How soon a registered target serves: from RegisterTargets' answer to the first response of the new target.

One Elba, one load balancer, one instance, requests without a pause over one keep-alive connection. Each round
registers a second instance, notes when the call was answered, and how long after that its first response came; then
deregisters it. The target's first health check is part of the time: a new target takes traffic after one success.

    .venv/bin/python benchmarks/reaction/run.py [--rounds 100] [--json]
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

LIMIT_SECONDS = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def served_by(connection: http.client.HTTPConnection) -> str:
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise SystemExit(f"HTTP {response.status} in the run")
    return response.getheader("X-Instance-Id") or ""


def measure(endpoint: str, key: dict[str, str], rounds: int) -> list[float]:
    """Milliseconds of each round."""

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=key["access_key_id"],
            aws_secret_access_key=key["secret_access_key"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    ec2, elbv2 = client("ec2"), client("elbv2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    subnets = ec2.describe_subnets()["Subnets"]
    launched = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=2, MaxCount=2)["Instances"]
    first, second = (each["InstanceId"] for each in launched)
    ec2.get_waiter("instance_running").wait(InstanceIds=[first, second], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    balancer = elbv2.create_load_balancer(Name="reaction", Subnets=[s["SubnetId"] for s in subnets])["LoadBalancers"][0]
    group = elbv2.create_target_group(
        Name="reaction", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"], HealthCheckPath="/health"
    )["TargetGroups"][0]["TargetGroupArn"]
    elbv2.modify_target_group_attributes(
        TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
    )
    port = free_port()
    elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": first}])
    elbv2.get_waiter("target_in_service").wait(TargetGroupArn=group, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    results = []
    for _ in range(rounds):
        assert served_by(connection) == first
        elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": second}])
        answered = time.monotonic()
        while served_by(connection) != second:
            if time.monotonic() - answered > LIMIT_SECONDS:
                raise SystemExit("the new target never served")
        results.append((time.monotonic() - answered) * 1000)
        elbv2.deregister_targets(TargetGroupArn=group, Targets=[{"Id": second}])
        deadline = time.monotonic() + LIMIT_SECONDS
        quiet = 0
        while quiet < 20:
            quiet = quiet + 1 if served_by(connection) == first else 0
            if time.monotonic() > deadline:
                raise SystemExit("the deregistered target goes on serving")
    connection.close()
    return sorted(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="elba-bench-"))
    elba = [sys.executable, "-m", "elba.cli.main", "--data-dir", str(directory)]
    port = free_port()
    process = subprocess.Popen(
        [*elba, "up", "--port", str(port), "--dns-port", str(free_port())], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/_elba/health")
        key = json.loads((directory / "root-key.json").read_text())
        results = measure(f"http://127.0.0.1:{port}", key, options.rounds)
        row = {
            "rounds": len(results),
            "p50_ms": round(statistics.median(results), 2),
            "p99_ms": round(results[min(len(results) - 1, int(len(results) * 0.99))], 2),
            "worst_ms": round(results[-1], 2),
        }
        if options.json:
            print(json.dumps(row))
        else:
            print(
                f"RegisterTargets answered → first request served, {row['rounds']} rounds: "
                f"p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms, worst {row['worst_ms']} ms"
            )
    finally:
        subprocess.run([*elba, "down", "--purge"], capture_output=True, check=False)
        process.wait(timeout=20)


if __name__ == "__main__":
    main()
