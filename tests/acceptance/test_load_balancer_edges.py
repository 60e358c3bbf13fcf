"""What surrounds a load balancer's traffic, through an unmodified boto3 client: security groups on both sides."""

from __future__ import annotations

import http.client
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import Elba, eventually, free_port

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


class Stack:
    """A load balancer whose one listener answers by itself, and an instance, each with a security group of its own."""

    def __init__(self, elba: Elba) -> None:
        self.elba = elba
        self.ec2, self.elbv2 = elba.client("ec2"), elba.client("elbv2")
        subnets = self.ec2.describe_subnets()["Subnets"]
        self.vpc = subnets[0]["VpcId"]
        self.group = self.security_group("lb")
        self.server_group = self.security_group("server")
        made = self.elbv2.create_load_balancer(
            Name="edges", Subnets=[s["SubnetId"] for s in subnets], SecurityGroups=[self.group]
        )["LoadBalancers"][0]
        self.balancer, self.name = made["LoadBalancerArn"], made["DNSName"]
        self.port = free_port()
        fixed = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "let in"}
        self.listener = self.elbv2.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTP",
            Port=self.port,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": fixed}],
        )["Listeners"][0]["ListenerArn"]
        image = self.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        self.instance = self.ec2.run_instances(
            ImageId=image,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnets[0]["SubnetId"],
            SecurityGroupIds=[self.server_group],
        )["Instances"][0]
        waiter = self.elbv2.get_waiter("load_balancer_available")
        waiter.wait(LoadBalancerArns=[self.balancer], WaiterConfig={"Delay": 1, "MaxAttempts": 30})

    def security_group(self, name: str) -> str:
        made = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)
        return str(made["GroupId"])

    def permission(self, port: int, **source: Any) -> dict[str, Any]:
        return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}

    def asks(self, path: str = "/") -> str:
        """The body that a program of this machine gets; "" if it is turned away without a word."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers={"Host": self.name})
            return connection.getresponse().read().decode()
        except (http.client.RemoteDisconnected, ConnectionError):
            return ""
        finally:
            connection.close()

    def health(self, group: str) -> tuple[str, str]:
        found = self.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"][0]["TargetHealth"]
        return found["State"], found.get("Reason", "")


@pytest.fixture(scope="module")
def stack(elba: Elba) -> Stack:
    return Stack(elba)


def test_a_client_comes_in_only_where_a_rule_says_so(stack: Stack) -> None:
    assert stack.asks() == ""
    elsewhere = [stack.permission(stack.port, IpRanges=[{"CidrIp": "203.0.113.0/24"}])]
    stack.ec2.authorize_security_group_ingress(GroupId=stack.group, IpPermissions=elsewhere)
    assert stack.asks() == ""
    anywhere = [stack.permission(stack.port, IpRanges=[{"CidrIp": "0.0.0.0/0"}])]
    stack.ec2.authorize_security_group_ingress(GroupId=stack.group, IpPermissions=anywhere)
    eventually(lambda: stack.asks() == "let in", 5, "let in once a rule allows it")
    stack.ec2.revoke_security_group_ingress(GroupId=stack.group, IpPermissions=anywhere)
    eventually(lambda: stack.asks() == "", 5, "turned away once the rule is gone")


def test_an_instance_comes_in_as_a_member_of_its_group(stack: Stack) -> None:
    members = [stack.permission(stack.port, UserIdGroupPairs=[{"GroupId": stack.server_group}])]
    stack.ec2.authorize_security_group_ingress(GroupId=stack.group, IpPermissions=members)
    reservation = stack.ec2.describe_instances(InstanceIds=[stack.instance["InstanceId"]])["Reservations"][0]
    instance = reservation["Instances"][0]
    script = (
        "import sys, urllib.request as u\n"
        "print(u.urlopen(u.Request(sys.argv[1], headers={'Host': sys.argv[2]}), timeout=5).read().decode())"
    )

    def from_inside() -> str:
        """What a program with the instance's environment gets, which does not bind the instance's address."""
        command = [sys.executable, "-c", script, f"http://127.0.0.1:{stack.port}/", stack.name]
        environment = {**os.environ, "ELBA_ADDRESS": instance["PublicIpAddress"]}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
        return ran.stdout.strip()

    eventually(lambda: from_inside() == "let in", 10, "the instance is let in")
    assert stack.asks() == ""
    stack.ec2.revoke_security_group_ingress(GroupId=stack.group, IpPermissions=members)


def test_a_target_that_refuses_the_load_balancer_times_out_until_it_does_not(stack: Stack) -> None:
    group = stack.elbv2.create_target_group(
        Name="servers",
        Protocol="HTTP",
        Port=80,
        VpcId=stack.vpc,
        HealthCheckPath="/health",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    stack.ec2.get_waiter("instance_running").wait(
        InstanceIds=[stack.instance["InstanceId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 40}
    )
    stack.elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": stack.instance["InstanceId"]}])
    stack.elbv2.create_rule(
        ListenerArn=stack.listener,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/servers"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    eventually(lambda: stack.health(group) == ("unhealthy", "Target.Timeout"), 30, "Target.Timeout")
    into = [stack.permission(80, UserIdGroupPairs=[{"GroupId": stack.group}])]
    stack.ec2.authorize_security_group_ingress(GroupId=stack.server_group, IpPermissions=into)
    eventually(lambda: stack.health(group)[0] == "healthy", 30, "healthy once it is let in")
    anywhere = [stack.permission(stack.port, IpRanges=[{"CidrIp": "0.0.0.0/0"}])]
    stack.ec2.authorize_security_group_ingress(GroupId=stack.group, IpPermissions=anywhere)
    eventually(lambda: stack.asks("/servers") not in ("", "let in"), 10, "an answer of the target")


class Servers:
    """HTTP servers on addresses of the VPC, to be registered as ip targets; each answers as its function says."""

    def __init__(self, vpc_slice: str, answers: list[Callable[[], int]]) -> None:
        self.port = free_port()
        self.private = [f"172.31.250.{number + 10}" for number in range(len(answers))]
        self.counts = [0] * len(answers)
        self._servers = []
        for number, answer in enumerate(answers):
            address = f"{vpc_slice}.250.{number + 10}"
            server = http.server.ThreadingHTTPServer((address, self.port), self._handler(number, answer))
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self._servers.append(server)

    def _handler(self, number: int, answer: Callable[[], int]) -> type[http.server.BaseHTTPRequestHandler]:
        counts = self.counts

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                is_check = self.path == "/health"
                if not is_check:
                    counts[number] += 1
                self.send_response(200 if is_check else answer())
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


def test_a_target_that_fails_more_than_the_others_is_found_and_spared(stack: Stack) -> None:
    zone = stack.ec2.describe_network_interfaces(Filters=[{"Name": "interface-type", "Values": ["interface"]}])
    public = next(i["Association"]["PublicIp"] for i in zone["NetworkInterfaces"] if "Association" in i)
    is_well = threading.Event()
    servers = Servers(".".join(public.split(".")[:2]), [lambda: 200 if is_well.is_set() else 500, *[lambda: 200] * 2])
    try:
        _anomalies(stack, servers, is_well)
    finally:
        servers.close()


def _anomalies(stack: Stack, servers: Servers, is_well: threading.Event) -> None:
    group = stack.elbv2.create_target_group(
        Name="compared",
        Protocol="HTTP",
        Port=servers.port,
        VpcId=stack.vpc,
        TargetType="ip",
        HealthCheckPath="/health",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
        HealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    stack.elbv2.modify_target_group_attributes(
        TargetGroupArn=group,
        Attributes=[
            {"Key": "load_balancing.algorithm.type", "Value": "weighted_random"},
            {"Key": "load_balancing.algorithm.anomaly_mitigation", "Value": "on"},
        ],
    )
    stack.elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": address} for address in servers.private])
    stack.elbv2.create_rule(
        ListenerArn=stack.listener,
        Priority=2,
        Conditions=[{"Field": "path-pattern", "Values": ["/compared"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": group}],
    )

    def described() -> dict[str, tuple[str, str, str]]:
        answer = stack.elbv2.describe_target_health(TargetGroupArn=group, Include=["AnomalyDetection"])
        return {
            each["Target"]["Id"]: (
                each["TargetHealth"]["State"],
                each["AnomalyDetection"]["Result"],
                each["AnomalyDetection"]["MitigationInEffect"],
            )
            for each in answer["TargetHealthDescriptions"]
        }

    def load(count: int) -> list[int]:
        before = list(servers.counts)
        connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=5)
        for _ in range(count):
            connection.request("GET", "/compared", headers={"Host": stack.name})
            connection.getresponse().read()
        connection.close()
        return [now - was for now, was in zip(servers.counts, before, strict=True)]

    bad, *good = servers.private
    eventually(lambda: {state for state, *_ in described().values()} == {"healthy"}, 30, "three healthy targets")
    assert set(described().values()) == {("healthy", "normal", "no")}

    def found() -> bool:
        load(60)
        return described()[bad] == ("healthy", "anomalous", "yes")

    eventually(found, 20, "the anomaly is found")
    assert [described()[address] for address in good] == [("healthy", "normal", "no")] * 2

    def shares() -> list[int]:
        return load(200)

    eventually(lambda: shares()[0] <= 25, 20, "the failing target gets little")
    assert all(count > 0 for count in servers.counts)
    is_well.set()

    def recovered() -> bool:
        load(100)
        return described()[bad] == ("healthy", "normal", "no")

    eventually(recovered, 20, "the target is trusted again")
