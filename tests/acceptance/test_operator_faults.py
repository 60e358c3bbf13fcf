"""`elba fault` against a real Elba: a zone fails and its group moves to the other; a shortage; Spot notices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.conftest import Elba, eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def test_a_zone_fails_and_comes_back_and_a_spot_instance_is_interrupted(elba: Elba) -> None:
    ec2, asg = elba.client("ec2"), elba.client("autoscaling")
    image = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]["ImageId"]
    market = {"MarketType": "spot"}
    ec2.create_launch_template(
        LaunchTemplateName="spot",
        LaunchTemplateData={"ImageId": image, "InstanceType": "t3.nano", "InstanceMarketOptions": market},
    )
    asg.create_auto_scaling_group(
        AutoScalingGroupName="g",
        LaunchTemplate={"LaunchTemplateName": "spot"},
        MinSize=2,
        MaxSize=4,
        AvailabilityZones=["us-east-1a", "us-east-1b"],
    )

    def serving() -> dict[str, str]:
        group: dict[str, Any] = asg.describe_auto_scaling_groups(AutoScalingGroupNames=["g"])["AutoScalingGroups"][0]
        found = [i for i in group["Instances"] if i["LifecycleState"] == "InService"]
        return {i["InstanceId"]: i["AvailabilityZone"] for i in found}

    eventually(lambda: sorted(serving().values()) == ["us-east-1a", "us-east-1b"], 30, "one in each zone")
    lost = json.loads(elba.run("fault", "zone", "a", "--json").stdout)["lost"]
    assert len(lost) == 1
    eventually(lambda: list(serving().values()) == ["us-east-1b"] * 2, 40, "both in the zone that is left")
    assert "us-east-1a" in elba.run("fault", "list").stdout
    first = min(serving())
    stalled = json.loads(elba.run("fault", "volume", first, "--json").stdout)["volumes"][0]["volume_id"]
    (told,) = ec2.describe_volume_status(VolumeIds=[stalled])["VolumeStatuses"]
    assert told["VolumeStatus"]["Status"] == "impaired"
    elba.run("fault", "interrupt", first)
    eventually(lambda: first not in serving() and len(serving()) == 2, 40, "the interrupted one replaced")
    elba.run("fault", "clear")
    eventually(lambda: sorted(serving().values()) == ["us-east-1a", "us-east-1b"], 60, "both zones again")
    refused = elba.run("fault", "zone", "z", check=False)
    assert refused.returncode == 1 and "There is no zone" in refused.stderr
    asg.delete_auto_scaling_group(AutoScalingGroupName="g", ForceDelete=True)
