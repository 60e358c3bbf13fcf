"""ELBv2 in a whole Elba on virtual time, through unmodified boto3 clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from elba.dataplane.interface import Place
from elba.ec2.resources import Subnet, Vpc
from elba.elbv2.resources import LoadBalancer, TargetHealth
from elba.testing.world import World

ZONES = [Place("us-east-1", f"us-east-1{letter}") for letter in "abc"]


class Shop:
    """A load balancer over an ip target group in three zones."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.elb = world.boto3("elbv2")
        self.elb.describe_load_balancers()  # the account's first request gives it its default VPC
        self.vpc = world.store.view.all(Vpc)[0].id
        self.subnets = [subnet.id for subnet in world.store.view.all(Subnet)]
        self.balancer: str = self.elb.create_load_balancer(Name="shop", Subnets=self.subnets)["LoadBalancers"][0][
            "LoadBalancerArn"
        ]
        self.group = self.target_group("tg")
        self.listener: str = self.elb.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
        )["Listeners"][0]["ListenerArn"]

    def target_group(self, name: str) -> str:
        answer = self.elb.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=80,
            VpcId=self.vpc,
            TargetType="ip",
            HealthCheckIntervalSeconds=10,
            UnhealthyThresholdCount=3,
            HealthyThresholdCount=4,
        )
        arn: str = answer["TargetGroups"][0]["TargetGroupArn"]
        return arn

    def register(self, *ids: str) -> None:
        self.elb.register_targets(TargetGroupArn=self.group, Targets=[{"Id": id_} for id_ in ids])

    def deregister(self, *ids: str) -> None:
        self.elb.deregister_targets(TargetGroupArn=self.group, Targets=[{"Id": id_} for id_ in ids])

    def health(self) -> dict[str, str]:
        answer = self.elb.describe_target_health(TargetGroupArn=self.group)
        return {d["Target"]["Id"]: d["TargetHealth"]["State"] for d in answer["TargetHealthDescriptions"]}

    def state(self) -> dict[str, str]:
        state: dict[str, str] = self.elb.describe_load_balancers(LoadBalancerArns=[self.balancer])["LoadBalancers"][0][
            "State"
        ]
        return state

    def statistic(self, name: str, statistic: str, **dimensions: str) -> list[float]:
        """The metric's points of the last ten minutes, a minute each."""
        answer = self.world.boto3("cloudwatch").get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=self.world.now - 600,
            EndTime=self.world.now,
            Period=60,
            Statistics=[statistic],
        )
        points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
        return [point[statistic] for point in points]


@pytest.fixture
def shop() -> Iterator[Shop]:
    with World() as world:
        yield Shop(world)


def error(raised: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    found: dict[str, Any] = raised.value.response["Error"]
    return found["Code"], found["Message"]


def test_waiters_end(shop: Shop) -> None:
    shop.register("172.31.0.9", "172.31.16.9")
    assert set(shop.health().values()) == {"initial"}
    with shop.world.virtual_waits():
        shop.elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[shop.balancer])
        shop.elb.get_waiter("load_balancer_exists").wait(Names=["shop"])
        shop.elb.get_waiter("target_in_service").wait(TargetGroupArn=shop.group)
        shop.deregister("172.31.0.9")
        gone = {"TargetGroupArn": shop.group, "Targets": [{"Id": "172.31.0.9"}]}
        began = shop.world.now
        shop.elb.get_waiter("target_deregistered").wait(**gone)
        assert 300 <= shop.world.now - began < 330
        shop.elb.delete_load_balancer(LoadBalancerArn=shop.balancer)
        shop.elb.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[shop.balancer])
        with pytest.raises(WaiterError):
            config = {"Delay": 1, "MaxAttempts": 3}
            shop.elb.get_waiter("target_in_service").wait(TargetGroupArn=shop.group, WaiterConfig=config)


def test_paginators(shop: Shop) -> None:
    for n in range(7):
        shop.target_group(f"more-{n}")
        shop.elb.create_rule(
            ListenerArn=shop.listener,
            Priority=n + 1,
            Conditions=[{"Field": "path-pattern", "Values": [f"/{n}"]}],
            Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
        )
    for operation, key, request, count in (
        ("describe_target_groups", "TargetGroups", {}, 8),
        ("describe_rules", "Rules", {"ListenerArn": shop.listener}, 8),
        ("describe_account_limits", "Limits", {}, 23),
        ("describe_ssl_policies", "SslPolicies", {}, 39),
        ("describe_load_balancers", "LoadBalancers", {}, 1),
        ("describe_listeners", "Listeners", {"LoadBalancerArn": shop.balancer}, 1),
        ("describe_listener_certificates", "Certificates", {"ListenerArn": shop.listener}, 0),
    ):
        pages = list(shop.elb.get_paginator(operation).paginate(**request, PaginationConfig={"PageSize": 3}))
        assert sum(len(page[key]) for page in pages) == count
        assert len(pages) == max(1, -(-count // 3))


def test_model_constraints_are_phrased_as_aws_does(shop: Shop) -> None:
    with pytest.raises(ClientError) as raised:
        shop.elb.describe_load_balancers(PageSize=401)
    assert error(raised)[0] == "ValidationError"
    with pytest.raises(ClientError) as raised:
        shop.elb.create_load_balancer(Name="x", Subnets=shop.subnets, IpAddressType="ipv5")
    code, message = error(raised)
    assert code == "ValidationError"
    assert "failed to satisfy constraint: Member must satisfy enum value set" in message


def test_errors_are_the_clients_own_exceptions(shop: Shop) -> None:
    with pytest.raises(shop.elb.exceptions.DuplicateLoadBalancerNameException):
        shop.elb.create_load_balancer(Name="shop", Subnets=shop.subnets[:2])
    with pytest.raises(shop.elb.exceptions.ResourceInUseException):
        shop.elb.delete_target_group(TargetGroupArn=shop.group)
    with pytest.raises(shop.elb.exceptions.LoadBalancerNotFoundException):
        shop.elb.describe_load_balancers(Names=["nope"])
    with pytest.raises(shop.elb.exceptions.CertificateNotFoundException):
        shop.elb.create_listener(
            LoadBalancerArn=shop.balancer,
            Protocol="HTTPS",
            Port=443,
            Certificates=[{"CertificateArn": "arn:aws:acm:us-east-1:000000000000:certificate/1"}],
            DefaultActions=[{"Type": "forward", "TargetGroupArn": shop.group}],
        )


def test_deleted_while_provisioning(shop: Shop) -> None:
    created = shop.elb.create_load_balancer(Name="brief", Subnets=shop.subnets)["LoadBalancers"][0]
    assert created["State"]["Code"] == "provisioning"
    shop.elb.delete_load_balancer(LoadBalancerArn=created["LoadBalancerArn"])
    shop.world.settle()
    assert [b.name for b in shop.world.nodes.configuration(ZONES[0]).load_balancers] == ["shop"]


def test_a_load_balancer_a_node_refuses_fails_and_the_others_go_on(shop: Shop) -> None:
    shop.world.settle()
    shop.world.nodes.refuse_next("no room")
    created = shop.elb.create_load_balancer(Name="unlucky", Subnets=shop.subnets)["LoadBalancers"][0]
    shop.world.settle()
    shown = shop.elb.describe_load_balancers(LoadBalancerArns=[created["LoadBalancerArn"]])["LoadBalancers"][0]
    assert shown["State"]["Code"] == "failed"
    assert "no room" in shown["State"]["Reason"]
    assert shop.state() == {"Code": "active"}
    shop.register("172.31.0.9")
    shop.world.advance(15)
    assert shop.health() == {"172.31.0.9": "healthy"}


def test_a_zone_without_node_keeps_it_provisioning(shop: Shop) -> None:
    shop.world.settle()
    shop.world.nodes.set_up(ZONES[1], False)
    created = shop.elb.create_load_balancer(Name="late", Subnets=shop.subnets)["LoadBalancers"][0]
    shop.world.advance(60)

    def state() -> str:
        found = shop.elb.describe_load_balancers(Names=["late"])["LoadBalancers"][0]
        code: str = found["State"]["Code"]
        return code

    assert state() == created["State"]["Code"] == "provisioning"
    shop.world.nodes.set_up(ZONES[1], True)
    shop.world.until(lambda: state() == "active", 5)


def test_thresholds(shop: Shop) -> None:
    shop.register("172.31.0.9")
    shop.world.until(lambda: shop.health()["172.31.0.9"] == "healthy", 5)  # one success is enough for a new one
    shop.world.nodes.set_serving("172.31.0.9", False)
    took = shop.world.until(lambda: shop.health()["172.31.0.9"] == "unhealthy", 60)
    assert 20 <= took <= 31  # three failures, ten seconds apart
    shop.world.nodes.set_serving("172.31.0.9", True)
    took = shop.world.until(lambda: shop.health()["172.31.0.9"] == "healthy", 60)
    assert 30 <= took <= 41  # four successes


def test_a_target_registered_again_is_checked_again(shop: Shop) -> None:
    attributes = [{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
    shop.elb.modify_target_group_attributes(TargetGroupArn=shop.group, Attributes=attributes)
    shop.register("172.31.0.9")
    shop.world.advance(15)
    shop.deregister("172.31.0.9")
    shop.world.nodes.set_serving("172.31.0.9", False)
    shop.register("172.31.0.9")
    assert shop.health() == {"172.31.0.9": "initial"}
    shop.world.advance(40)
    assert shop.health() == {"172.31.0.9": "unhealthy"}


def test_draining_taken_back_is_healthy_at_once_again(shop: Shop) -> None:
    shop.register("172.31.0.9")
    shop.world.advance(15)
    shop.deregister("172.31.0.9")
    shop.world.advance(15)
    shop.register("172.31.0.9")
    shop.world.advance(0.1)
    assert shop.health() == {"172.31.0.9": "healthy"}


def test_a_lost_zone_does_not_change_what_is_known(shop: Shop) -> None:
    shop.register("172.31.0.9")
    shop.world.advance(15)
    shop.world.nodes.set_up(ZONES[0], False)
    shop.world.advance(60)
    assert shop.health() == {"172.31.0.9": "healthy"}
    shop.world.nodes.set_up(ZONES[0], True)
    shop.world.advance(60)
    assert shop.health() == {"172.31.0.9": "healthy"}


def test_a_zone_that_is_disabled_and_enabled_again(shop: Shop) -> None:
    shop.register("172.31.0.9", "172.31.32.9")
    shop.world.advance(15)
    assert set(shop.health().values()) == {"healthy"}
    shop.elb.set_subnets(LoadBalancerArn=shop.balancer, Subnets=shop.subnets[:2])
    assert shop.health() == {"172.31.0.9": "healthy", "172.31.32.9": "unused"}
    shop.world.nodes.set_serving("172.31.32.9", False)
    shop.world.advance(60)
    shop.elb.set_subnets(LoadBalancerArn=shop.balancer, Subnets=shop.subnets)
    assert shop.health()["172.31.32.9"] == "initial"
    shop.world.advance(60)
    assert shop.health() == {"172.31.0.9": "healthy", "172.31.32.9": "unhealthy"}


def test_a_control_plane_that_comes_back_knows_as_much(shop: Shop) -> None:
    shop.register("172.31.0.9", "172.31.16.9")
    shop.world.advance(15)
    shop.deregister("172.31.16.9")
    shop.world.crash()
    shop.world.nodes.set_serving("172.31.0.9", False)
    shop.world.loop.advance(400)
    shop.world.restart()
    shop.elb = shop.world.boto3("elbv2")
    shop.world.advance(5)
    assert shop.health() == {"172.31.0.9": "unhealthy"}  # and the draining one's time was over
    assert len(shop.world.store.view.all(TargetHealth)) == 1


def test_metrics_of_a_minute(shop: Shop) -> None:
    shop.register("172.31.0.9", "172.31.16.9", "172.31.32.9")
    shop.world.advance(30)
    shop.world.nodes.set_response_time(0.25)
    shop.world.nodes.set_load("shop", 12.0)
    shop.world.advance(300)
    lb, tg = shop.balancer.split(":loadbalancer/")[1], shop.group.split(":")[-1]
    assert shop.statistic("RequestCount", "Sum", LoadBalancer=lb)[-1] == pytest.approx(720, abs=6)
    assert shop.statistic("RequestCount", "Sum", LoadBalancer=lb, TargetGroup=tg)[-1] == pytest.approx(720, abs=6)
    zone = shop.statistic("RequestCount", "Sum", LoadBalancer=lb, AvailabilityZone="us-east-1b")
    assert zone[-1] == pytest.approx(240, abs=4)
    assert shop.statistic("RequestCountPerTarget", "Sum", TargetGroup=tg)[-1] == pytest.approx(240, abs=3)
    assert shop.statistic("HTTPCode_Target_2XX_Count", "Sum", LoadBalancer=lb)[-1] == pytest.approx(720, abs=6)
    assert shop.statistic("TargetResponseTime", "Average", LoadBalancer=lb)[-1] == pytest.approx(0.25, rel=0.03)
    assert shop.statistic("HealthyHostCount", "Minimum", LoadBalancer=lb, TargetGroup=tg)[-1] == 3
    assert shop.statistic("UnHealthyHostCount", "Maximum", LoadBalancer=lb, TargetGroup=tg)[-1] == 0
    assert shop.statistic("HTTPCode_ELB_5XX_Count", "Sum", LoadBalancer=lb) == []
    shop.world.nodes.set_load("shop", 0)
    shop.world.nodes.set_serving("172.31.0.9", False)
    shop.world.advance(300)
    assert shop.statistic("RequestCount", "Sum", LoadBalancer=lb)[-1] == 0  # always reported
    assert shop.statistic("HealthyHostCount", "Minimum", LoadBalancer=lb, TargetGroup=tg)[-1] == 2
    assert shop.statistic("UnHealthyHostCount", "Maximum", LoadBalancer=lb, TargetGroup=tg)[-1] == 1


def test_an_address_that_cannot_be_bound_shows(shop: Shop) -> None:
    shop.world.settle()
    address = shop.world.store.view.all(LoadBalancer)[0].zones[1].host_address
    shop.world.nodes.set_problems(ZONES[1], f"cannot bind {address}:80: Permission denied", "something else")
    shop.world.advance(45)
    assert shop.state() == {
        "Code": "active_impaired",
        "Reason": f"Zone us-east-1b: cannot bind {address}:80: Permission denied",
    }
    shop.world.nodes.set_problems(ZONES[1])
    shop.world.advance(45)
    assert shop.state() == {"Code": "active"}


# ── instances as targets ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def instances(shop: Shop) -> list[str]:
    """Two running instances, healthy targets of an instance group of the shop."""
    ec2 = shop.world.boto3("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    launched = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=2, MaxCount=2)["Instances"]
    ids: list[str] = [instance["InstanceId"] for instance in launched]
    shop.group = shop.elb.create_target_group(Name="i", Protocol="HTTP", Port=80, VpcId=shop.vpc)["TargetGroups"][0][
        "TargetGroupArn"
    ]
    shop.elb.modify_listener(
        ListenerArn=shop.listener, DefaultActions=[{"Type": "forward", "TargetGroupArn": shop.group}]
    )
    shop.world.advance(15)
    shop.register(*ids)
    shop.world.until(lambda: set(shop.health().values()) == {"healthy"}, 60)
    return ids


def test_a_stopped_instance_is_unused_and_starts_anew(shop: Shop, instances: list[str]) -> None:
    ec2 = shop.world.boto3("ec2")
    ec2.stop_instances(InstanceIds=instances[:1])
    assert shop.health() == {instances[0]: "unused", instances[1]: "healthy"}
    shop.world.advance(60)
    assert shop.health() == {instances[0]: "unused", instances[1]: "healthy"}
    assert len(shop.world.nodes.configuration(ZONES[0]).target_groups[0].targets) == 1
    ec2.start_instances(InstanceIds=instances[:1])
    shop.world.advance(2)
    assert shop.health()[instances[0]] == "initial"
    shop.world.until(lambda: shop.health()[instances[0]] == "healthy", 60)


def test_a_terminated_instance_is_deregistered(shop: Shop, instances: list[str]) -> None:
    shop.world.boto3("ec2").terminate_instances(InstanceIds=instances[:1])
    assert shop.health() == {instances[0]: "unused", instances[1]: "healthy"}
    shop.world.advance(30)
    assert shop.health() == {instances[1]: "healthy"}


def test_an_instance_terminated_while_nobody_looked(shop: Shop, instances: list[str]) -> None:
    shop.world.boto3("ec2").terminate_instances(InstanceIds=instances[:1])
    shop.world.crash()
    shop.world.loop.advance(60)
    shop.world.restart()
    shop.elb = shop.world.boto3("elbv2")
    shop.world.advance(30)
    assert shop.health() == {instances[1]: "healthy"}
