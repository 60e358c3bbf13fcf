"""Faults that an operator injects: capacity, zones, notices; and the price table behind Spot's choices."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError

from elba.ec2 import prices
from elba.testing import World
from elba.wire import HttpRequest
from tests.unit.autoscaling.harness import REGION, Harness
from tests.unit.server.world import ServerWorld

A, B = f"{REGION}a", f"{REGION}b"


def fault(elba: Harness, status: int = 200, **asked: Any) -> dict[str, Any]:
    body = json.dumps({"region": REGION, "account": "111122223333", **asked}).encode()
    assert elba.clients is not None
    response = elba.clients.send(HttpRequest("POST", "/_elba/faults", body=body, client="127.0.0.1"))
    assert response.status == status, response.body
    found: dict[str, Any] = json.loads(response.body)
    return found


def listed(elba: Harness) -> dict[str, Any]:
    assert elba.clients is not None
    query = f"region={REGION}&account=111122223333"
    found: dict[str, Any] = json.loads(
        elba.clients.send(HttpRequest("GET", "/_elba/faults", query, client="127.0.0.1")).body
    )
    return found


def spot_policy(*types: str, strategy: str = "lowest-price", **distribution: Any) -> dict[str, Any]:
    return {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateName": "web"},
            "Overrides": [{"InstanceType": t} for t in types],
        },
        "InstancesDistribution": {
            "OnDemandPercentageAboveBaseCapacity": 0,
            "SpotAllocationStrategy": strategy,
            **distribution,
        },
    }


def failures(elba: Harness) -> list[str]:
    return [a.status_message for a in elba.activities() if a.status_code == "Failed"]


def test_a_shortage_sends_launches_to_the_next_zone_and_ends(elba: Harness) -> None:
    fault(elba, fault="capacity", zone=A, instance_type="t3.micro")
    assert [(c["zone"], c["instance_type"]) for c in listed(elba)["capacity"]] == [(A, "t3.micro")]
    elba.create(minimum=2)
    elba.advance(60)
    assert [m.availability_zone for m in elba.in_service()] == [B] * 2
    elba.restart()
    assert fault(elba, fault="capacity", clear=True)["ended"] == 1
    elba.advance(1200)
    assert elba.zones() == [1, 1]


def test_a_shortage_everywhere_is_told_as_aws_tells_it_and_tried_again(elba: Harness) -> None:
    for zone in (A, B):
        fault(elba, fault="capacity", zone=zone)
    elba.create(minimum=1)
    elba.advance(60)
    assert elba.members() == []
    assert failures(elba)[0] == (
        f"We currently do not have sufficient t3.micro capacity in the Availability Zone you requested ({B}). Our "
        "system will be working on provisioning additional capacity. You can currently get t3.micro capacity by not "
        f"specifying an Availability Zone in your request or choosing {REGION}c. Launching EC2 instance failed."
    )
    fault(elba, fault="all", clear=True)
    elba.advance(700)
    assert len(elba.in_service()) == 1


def test_with_no_other_zone_allowed_the_group_waits_for_the_one(elba: Harness) -> None:
    fault(elba, fault="capacity", zone=A)
    elba.create(minimum=2, AvailabilityZoneDistribution={"CapacityDistributionStrategy": "balanced-only"})
    elba.advance(120)
    assert elba.zones() == [0, 0]  # zone a comes first, and never an imbalance
    fault(elba, fault="capacity", zone=A, clear=True)
    elba.advance(1000)
    assert elba.zones() == [1, 1]


def test_a_mixed_group_falls_back_to_the_next_type(elba: Harness) -> None:
    for zone in (A, B):
        fault(elba, fault="capacity", zone=zone, instance_type="m5.large")
    elba.template()
    policy = spot_policy("m5.large", "c5.large", OnDemandPercentageAboveBaseCapacity=100)
    elba.create(minimum=2, MixedInstancesPolicy=policy)
    elba.advance(60)
    assert [m.instance_type for m in elba.in_service()] == ["c5.large"] * 2


def test_no_spot_capacity_is_told_in_the_words_of_fleets(elba: Harness) -> None:
    for zone in (A, B):
        fault(elba, fault="capacity", zone=zone)
    elba.template()
    elba.create(minimum=1, MixedInstancesPolicy=spot_policy("m5.large"))
    elba.advance(5)
    assert failures(elba)[0].startswith("Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill")


def test_a_failed_zone_is_evacuated_and_used_again(elba: Harness) -> None:
    elba.create(minimum=4, maximum=8)
    elba.advance(60)
    lost = fault(elba, fault="zone", zone=A)["lost"]
    assert len(lost) == 2
    elba.advance(400)
    assert [m.availability_zone for m in elba.in_service()] == [B] * 4
    assert fault(elba, fault="zone", zone=A, clear=True)["ended"] == 1
    elba.advance(3000)
    assert elba.zones() == [2, 2]


def test_notices_are_for_running_spot_instances(elba: Harness) -> None:
    elba.template()
    elba.create(minimum=1, MixedInstancesPolicy=spot_policy("t3.micro"), CapacityRebalance=True)
    elba.advance(60)
    first = elba.in_service()[0].id
    assert fault(elba, fault="rebalance", instance_ids=[first])["instances"][0]["rebalance_recommended_at"]
    elba.advance(120)
    assert [m.id for m in elba.in_service()] != [first]
    second = elba.in_service()[0].id
    fault(elba, fault="interrupt", instance_ids=[second])
    assert listed(elba)["instances"][0]["instance_id"] == second
    elba.advance(300)
    assert second not in [m.id for m in elba.in_service()] and len(elba.in_service()) == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"fault": "capacity", "zone": "us-east-1z"},
        {"fault": "capacity", "zone": A, "instance_type": "m5.tiny"},
        {"fault": "interrupt", "instance_ids": ["i-00000000000000000"]},
        {"fault": "interrupt", "instance_ids": "i"},
        {"fault": "interrupt", "clear": True},
        {"fault": "flood"},
        {"fault": "volume"},
        {"fault": "volume", "ids": ["i-00000000000000000"]},
        {"fault": "volume", "ids": "vol", "clear": True},
        {"fault": "all"},
        {"fault": "zone", "zone": A, "region": "mars-1"},
    ],
)
def test_odd_faults_are_refused_in_words(elba: Harness, asked: dict[str, Any]) -> None:
    assert fault(elba, status=400, **asked)["message"]


def test_faults_need_a_key_where_keys_are_checked() -> None:
    world = ServerWorld(auth="verify")
    try:

        def post(**headers: str) -> int:
            body = b'{"fault": "zone", "zone": "us-east-1a"}'
            request = HttpRequest("POST", "/_elba/faults", "", headers, body, "127.0.0.1")
            return int(world.clients.send(request).status)

        def basic(pair: bytes) -> str:
            return f"Basic {base64.b64encode(pair).decode()}"

        assert post() == 401
        assert post(authorization=basic(b"AKIAROOT:wrong")) == 401
        assert post(authorization="Basic %%%") == 401
        assert post(origin="https://example.com", authorization=basic(b"AKIAROOT:rootsecret")) == 403
        assert post(authorization=basic(b"AKIAROOT:rootsecret")) == 200
    finally:
        world.close()


def test_run_and_start_answer_for_a_shortage() -> None:
    with World() as world:
        ec2 = world.boto3("ec2")
        image = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]["ImageId"]
        launch = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
        placed = {"Placement": {"AvailabilityZone": "us-east-1a"}}
        id_ = ec2.run_instances(**launch, **placed)["Instances"][0]["InstanceId"]
        world.advance(60)
        ec2.stop_instances(InstanceIds=[id_])
        world.advance(60)
        body = b'{"fault": "capacity", "zone": "us-east-1a", "account": "000000000000"}'
        request = HttpRequest("POST", "/_elba/faults", "", {}, body, "127.0.0.1")
        assert world.loop.run(world.app.handle(request)).status == 200
        for operation, arguments in (
            ("run_instances", {**launch, **placed}),
            ("start_instances", {"InstanceIds": [id_]}),
        ):
            with pytest.raises(ClientError) as caught:
                getattr(ec2, operation)(**arguments)
            assert caught.value.response["Error"]["Code"] == "InsufficientInstanceCapacity"
        free = ec2.run_instances(**launch)["Instances"][0]
        assert free["Placement"]["AvailabilityZone"] != "us-east-1a"


@pytest.mark.parametrize("checks", ["EC2", "ELB", "ELB,EBS", "EBS"])
def test_an_instance_whose_volume_stalls_is_replaced_after_its_grace_period(elba: Harness, checks: str) -> None:
    elba.create(minimum=2, HealthCheckType=checks, HealthCheckGracePeriod=300)
    elba.advance(60)
    bad = elba.in_service()[0].id
    (volume,) = fault(elba, fault="volume", ids=[bad])["volumes"]
    assert [v["volume_id"] for v in listed(elba)["volumes"]] == [volume["volume_id"]]
    elba.advance(200)
    assert bad in {m.id for m in elba.in_service()}
    elba.advance(200)
    replaced = bad not in {m.id for m in elba.members()}
    assert replaced is ("EBS" in checks)
    cause = "an instance was taken out of service in response to EBS volume health check failure."
    assert any(a.cause.endswith(cause) for a in elba.activities()) is replaced
    assert len(elba.in_service()) == 2 and elba.is_still()


@pytest.mark.parametrize("state", ["Stopped", "Hibernated", "Running"])
def test_a_stopped_instance_of_a_warm_pool_whose_volume_stalls_is_replaced_at_once(elba: Harness, state: str) -> None:
    elba.create(minimum=0, maximum=2, HealthCheckGracePeriod=3600)
    elba.asg.put_warm_pool(AutoScalingGroupName="g", PoolState=state)
    elba.advance(90)
    bad = elba.members(f"Warmed:{state}")[0].id
    fault(elba, fault="volume", ids=[bad])
    elba.advance(90)
    assert len(elba.members(f"Warmed:{state}")) == 2
    replaced = bad not in {m.id for m in elba.members()}
    assert replaced is (state != "Running")
    causes = [a.cause for a in elba.activities() if a.cause.endswith("in response to EBS volume health check failure.")]
    assert len(causes) == replaced


def test_a_running_instance_of_a_warm_pool_is_replaced_when_its_status_checks_fail(elba: Harness) -> None:
    elba.create(minimum=0, maximum=1, HealthCheckGracePeriod=3600)
    elba.asg.put_warm_pool(AutoScalingGroupName="g", PoolState="Running")
    elba.advance(60)
    (member,) = elba.members("Warmed:Running")
    (instance,) = elba.instances()
    elba.write(lambda tx: tx.put(msgspec.structs.replace(instance, system_status="impaired")))
    elba.advance(100)
    assert [m.id for m in elba.members("Warmed:Running")] == [member.id]
    elba.advance(100)
    assert member.id not in {m.id for m in elba.members()} and len(elba.members("Warmed:Running")) == 1


def test_a_stalled_volume_is_shown_until_it_is_mended() -> None:
    with World() as world:
        ec2 = world.boto3("ec2")
        image = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]["ImageId"]
        launch = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 2, "MaxCount": 2}
        ids = [i["InstanceId"] for i in ec2.run_instances(**launch)["Instances"]]
        world.advance(120)

        def post(**asked: Any) -> dict[str, Any]:
            body = json.dumps({"fault": "volume", "account": "000000000000", **asked}).encode()
            response = world.loop.run(world.app.handle(HttpRequest("POST", "/_elba/faults", "", {}, body, "127.0.0.1")))
            assert response.status == 200
            answer: dict[str, Any] = json.loads(response.body)
            return answer

        def impaired() -> list[dict[str, Any]]:
            filters = [{"Name": "volume-status.status", "Values": ["impaired"]}]
            found: list[dict[str, Any]] = ec2.describe_volume_status(Filters=filters)["VolumeStatuses"]
            return found

        def attached(id_: str) -> str:
            (status,) = ec2.describe_instance_status(InstanceIds=[id_])["InstanceStatuses"]
            return str(status["AttachedEbsStatus"]["Status"])

        volume = post(ids=ids[:1])["volumes"][0]["volume_id"]
        assert post(ids=[volume])["volumes"][0]["volume_id"] == volume
        (shown,) = impaired()
        assert (shown["VolumeId"], shown["Events"][0]["EventType"]) == (volume, "io-performance:stalled")
        assert shown["AttachmentStatuses"] == [{"InstanceId": ids[0], "IoPerformance": "stalled"}]
        assert [attached(i) for i in ids] == ["impaired", "ok"]
        both = ec2.describe_volume_status()["VolumeStatuses"]
        assert sorted(v["VolumeStatus"]["Status"] for v in both) == ["impaired", "ok"]
        world.advance(120)
        checks = world.boto3("cloudwatch").get_metric_statistics(
            Namespace="AWS/EC2",
            MetricName="StatusCheckFailed_AttachedEBS",
            Dimensions=[{"Name": "InstanceId", "Value": ids[0]}],
            StartTime=world.clock.now() - 60,
            EndTime=world.clock.now(),
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        assert [c["Maximum"] for c in checks] == [1.0]
        assert post(clear=True)["ended"] == 1
        assert impaired() == [] and [attached(i) for i in ids] == ["ok", "ok"]


def test_spot_prices_are_what_strategies_go_by_and_history_tells(elba: Harness) -> None:
    assert elba.clients is not None
    ec2 = elba.clients.client("ec2")
    history = ec2.describe_spot_price_history(InstanceTypes=["m5.large", "c5.large"], AvailabilityZone=A)
    told = {p["InstanceType"]: float(p["SpotPrice"]) for p in history["SpotPriceHistory"]}
    assert told == {t: prices.spot_price(t, A) for t in ("m5.large", "c5.large")}
    types = ("m5.large", "c5.large", "r5.large", "m6i.large")
    elba.template()
    elba.create(minimum=1, zones="a", MixedInstancesPolicy=spot_policy(*types, SpotInstancePools=1))
    elba.create("deep", minimum=1, zones="a", MixedInstancesPolicy=spot_policy(*types, strategy="capacity-optimized"))
    elba.advance(60)
    assert elba.in_service()[0].instance_type == min(types, key=lambda t: prices.spot_price(t, A))
    assert elba.in_service("deep")[0].instance_type == max(types, key=lambda t: prices.spot_depth(t, A))


def test_a_maximum_price_below_the_spot_price_launches_nothing(elba: Harness) -> None:
    elba.template()
    elba.create(minimum=1, MixedInstancesPolicy=spot_policy("m5.large", SpotMaxPrice="0.001"))
    elba.advance(5)
    assert elba.members() == []
    assert failures(elba)[0].startswith(
        "Could not launch Spot Instances. SpotMaxPriceTooLow - Your Spot request price of 0.001 is lower than"
    )
