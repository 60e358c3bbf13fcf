"""The control plane is killed and comes back: traffic flows all along, instances live, state is whole."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.acceptance.conftest import Elba, eventually, free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


class Traffic:
    """Requests without a pause through the front door, each on a connection of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.statuses: list[int | str] = []
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            try:
                connection.request("GET", "/", headers={"Host": self._host})
                response = connection.getresponse()
                response.read()
                self.statuses.append(response.status)
            except OSError as error:
                self.statuses.append(repr(error))
            finally:
                connection.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=15)


@pytest.fixture
def served(elba: Elba) -> Iterator[dict[str, Any]]:
    """Two instances run by hand, registered, healthy behind a load balancer."""
    ec2, elbv2, ssm = (elba.client(s) for s in ("ec2", "elbv2", "ssm"))
    image = ssm.get_parameter(Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
    subnets = ec2.describe_subnets()["Subnets"]
    ids = [
        each["InstanceId"]
        for each in ec2.run_instances(
            ImageId=image["Parameter"]["Value"], InstanceType="t3.micro", MinCount=2, MaxCount=2
        )["Instances"]
    ]
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    balancer = elbv2.create_load_balancer(Name="stable", Subnets=[s["SubnetId"] for s in subnets])["LoadBalancers"][0]
    group = elbv2.create_target_group(Name="stable", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"])
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    port = free_port()
    elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
    )
    elbv2.register_targets(TargetGroupArn=arn, Targets=[{"Id": each} for each in ids])
    elbv2.get_waiter("target_in_service").wait(TargetGroupArn=arn, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    yield {"ids": ids, "arn": arn, "dns_name": balancer["DNSName"], "port": port}


def processes_of(instance_id: str) -> set[int]:
    found = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get("ELBA_INSTANCE_ID") == instance_id:
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


def test_traffic_and_instances_outlive_kill_9_and_are_adopted(elba: Elba, served: dict[str, Any]) -> None:
    before = {each: processes_of(each) for each in served["ids"]}
    assert all(before.values())
    traffic = Traffic(served["dns_name"], served["port"])
    eventually(lambda: len(traffic.statuses) > 20, 10, "traffic flowing")
    elba.kill()
    at_kill = len(traffic.statuses)
    eventually(lambda: len(traffic.statuses) > at_kill + 100, 20, "traffic flowing without a control plane")
    elba.up()
    ec2, elbv2 = elba.client("ec2"), elba.client("elbv2")

    def all_as_before() -> bool:
        found = ec2.describe_instances(InstanceIds=served["ids"])["Reservations"]
        states = [i["State"]["Name"] for r in found for i in r["Instances"]]
        health = elbv2.describe_target_health(TargetGroupArn=served["arn"])["TargetHealthDescriptions"]
        return states == ["running", "running"] and [h["TargetHealth"]["State"] for h in health] == ["healthy"] * 2

    eventually(all_as_before, 15, "instances and targets adopted")
    assert {each: processes_of(each) for each in served["ids"]} == before, "an instance was started anew"
    elbv2.deregister_targets(TargetGroupArn=served["arn"], Targets=[{"Id": served["ids"][0]}])
    time.sleep(0.5)
    traffic.stop()
    assert set(traffic.statuses) == {200}, [s for s in traffic.statuses if s != 200][:5]


def test_an_acknowledged_write_is_there_after_kill_9(elba: Elba) -> None:
    ec2 = elba.client("ec2")
    for number in range(5):
        name = f"kept-{number}"
        ec2.create_security_group(GroupName=name, Description="kept", VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"])
        elba.kill()
        elba.up()
        groups = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
        assert [g["GroupName"] for g in groups] == [name]
