"""How instances are launched: tags, subnets, what failures say, LaunchInstances, and units where there are weights."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import pytest

from elba.ec2 import commands as ec2
from elba.ec2.commands import capacity, images, key_pairs, security_groups
from elba.ec2.commands.launch_templates import create_launch_template_version
from elba.ec2.resources import Image, Instance, SecurityGroup, Subnet, Vpc
from elba.iam.resources import InstanceProfile

from .harness import ACCOUNT, REGION, Harness
from .test_processes_and_errors import mixed_policy

A, B = f"{REGION}a", f"{REGION}b"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEy9DzYqfzDBnzDSEtXbUrZ0DZuSWLd5LtuPOXf3fXkd a"


def last_message(elba: Harness) -> str:
    (latest, *_) = elba.asg.describe_scaling_activities(AutoScalingGroupName="g")["Activities"]
    assert (latest["StatusCode"], latest["Progress"]) == ("Failed", 100)
    assert latest["Description"] == f"Launching a new EC2 instance.  Status Reason: {latest['StatusMessage']}"
    return str(latest["StatusMessage"])


def own_group(elba: Harness) -> str:
    elba.write(lambda tx: ec2.ensure_defaults(tx, elba.call()))
    request = {"group_name": "own", "description": "d", "vpc_id": elba.store.view.all(Vpc)[0].id}
    elba.write(lambda tx: security_groups.create_security_group(tx, elba.call(), request))
    return next(g.id for g in elba.store.view.all(SecurityGroup) if g.group_name == "own")


@pytest.mark.parametrize("what", ["group", "key", "image", "profile"])
def test_what_a_launch_says_of_something_that_is_gone(elba: Harness, what: str) -> None:
    """The group is made while all is there; then it goes, and the group is scaled out."""
    data: dict[str, Any] = {}
    gone: dict[str, Any] = {}
    if what == "group":
        id_ = own_group(elba)
        data = {"security_group_ids": [id_]}
        gone = {"delete": lambda tx: security_groups.delete_security_group(tx, elba.call(), {"group_id": id_})}
        expected = f"The security group '{id_}' does not exist."
    elif what == "key":
        request = {"key_name": "k", "public_key_material": KEY.encode()}
        elba.write(lambda tx: key_pairs.import_key_pair(tx, elba.call(), request))
        data = {"key_name": "k"}
        gone = {"delete": lambda tx: key_pairs.delete_key_pair(tx, elba.call(), {"key_name": "k"})}
        expected = "The key pair 'k' does not exist."
    elif what == "image":
        made = Image(account=ACCOUNT, region=REGION, id="ami-0123456789abcdef0", name="own", architecture="x86_64")
        elba.write(lambda tx: tx.put(made))
        data = {"image_id": made.id}
        gone = {"delete": lambda tx: images.deregister_image(tx, elba.call(), {"image_id": made.id})}
        expected = "The AMI ID 'ami-0123456789abcdef0' does not exist."
    else:
        fields: dict[str, Any] = {"path": "/", "instance_profile_id": "AIPA1", "create_time": 0.0}
        profile = InstanceProfile(account=ACCOUNT, region="aws-global", id="p", name="p", **fields)
        elba.write(lambda tx: tx.put(profile))
        data = {"iam_instance_profile": {"name": "p"}}
        gone = {"delete": lambda tx: tx.delete(profile)}
        expected = "Invalid IAM Instance Profile name."
    elba.template("web", **data)
    elba.create(minimum=0)
    elba.write(gone["delete"])
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(1)
    assert last_message(elba) == f"{expected} Launching EC2 instance failed."


def test_failures_are_tried_again_after_growing_pauses(elba: Harness) -> None:
    elba.create(minimum=0)
    elba.delete_template()
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    elba.advance(3600)
    begun = [a.start_time for a in elba.activities()]
    pauses = [round(later - earlier) for earlier, later in itertools.pairwise(begun)]
    assert pauses[:4] == [10, 20, 40, 80] and pauses == sorted(pauses) and pauses[-1] == 600


def test_a_version_is_resolved_at_each_launch(elba: Harness) -> None:
    elba.template()
    for name, version in (("latest", "$Latest"), ("default", "$Default"), ("fixed", "1"), ("none", None)):
        source = {"LaunchTemplateName": "web", **({"Version": version} if version else {})}
        elba.create(name, minimum=1, LaunchTemplate=source)
    elba.advance(30)
    request = {
        "launch_template_name": "web",
        "source_version": "1",
        "launch_template_data": {"instance_type": "t3.small"},
    }
    elba.write(lambda tx: create_launch_template_version(tx, elba.call(), request))
    for name in ("latest", "default", "fixed", "none"):
        elba.asg.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=2)
    elba.advance(30)
    versions = {
        n: [m.launch_template_version for m in elba.in_service(n)] for n in ("latest", "default", "fixed", "none")
    }
    assert versions == {"latest": [1, 2], "default": [1, 1], "fixed": [1, 1], "none": [1, 1]}
    assert elba.described("latest")["LaunchTemplate"]["Version"] == "$Latest"
    assert "Version" not in elba.described("none")["LaunchTemplate"]


def test_subnets_of_a_zone_are_used_while_they_have_addresses(elba: Harness) -> None:
    elba.write(lambda tx: ec2.ensure_defaults(tx, elba.call()))
    assert elba.clients is not None
    client = elba.clients.client("ec2")
    vpc = elba.store.view.all(Vpc)[0].id
    made = [
        client.create_subnet(VpcId=vpc, AvailabilityZone=A, CidrBlock=f"172.31.200.{low}/28")["Subnet"]["SubnetId"]
        for low in (0, 16)
    ]
    elba.create(minimum=22, maximum=30, VPCZoneIdentifier=",".join(made))
    elba.advance(60)
    assert [[m.subnet_id for m in elba.in_service()].count(s) for s in made] == [11, 11]
    assert {a.status_code for a in elba.activities()} == {"Successful"}
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=23)
    elba.advance(1)
    assert last_message(elba).startswith("There are not enough free addresses in subnet")


def test_tags_of_instances(elba: Harness) -> None:
    both = [{"key": "team", "value": "template"}, {"key": "own", "value": "template"}]
    template = elba.template(tag_specifications=[{"resource_type": "instance", "tags": both}])
    tags = [{"Key": "team", "Value": "group", "PropagateAtLaunch": True}, {"Key": "kept", "Value": "back"}]
    elba.create(minimum=1, Tags=tags)
    elba.advance(30)
    expected = {
        "team": "group",
        "own": "template",
        "aws:autoscaling:groupName": "g",
        "aws:ec2launchtemplate:id": template,
        "aws:ec2launchtemplate:version": "1",
    }
    (instance,) = elba.instances()
    assert instance.tags == expected
    tag = {"ResourceId": "g", "ResourceType": "auto-scaling-group", "Key": "team", "PropagateAtLaunch": True}
    elba.asg.create_or_update_tags(Tags=[{**tag, "Value": "later"}])
    (instance,) = elba.instances()
    assert instance.tags == expected
    elba.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=2)
    elba.advance(30)
    assert sorted(i.tags["team"] for i in elba.instances()) == ["group", "later"]

    def found(name: str, *values: str) -> list[str]:
        shown = elba.asg.describe_tags(Filters=[{"Name": name, "Values": list(values)}])["Tags"]
        return [t["Key"] for t in shown]

    assert found("key", "team") == found("value", "later") == found("propagate-at-launch", "true") == ["team"]
    assert found("auto-scaling-group", "g") == ["kept", "team"]
    assert elba.refused("describe_tags", Filters=[{"Name": "no", "Values": ["x"]}])[0] == "ValidationError"


def test_a_launch_configuration_is_shown_and_launched_as_it_was_made(elba: Harness) -> None:
    given = {
        "ImageId": elba.images()[0],
        "InstanceType": "t3.small",
        "KeyName": "k",
        "SecurityGroups": [own_group(elba)],
        "UserData": "#!/bin/sh",
        "InstanceMonitoring": {"Enabled": False},
        "EbsOptimized": True,
        "AssociatePublicIpAddress": False,
        "PlacementTenancy": "default",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3"}}],
    }
    request = {"key_name": "k", "public_key_material": KEY.encode()}
    elba.write(lambda tx: key_pairs.import_key_pair(tx, elba.call(), request))
    elba.asg.create_launch_configuration(LaunchConfigurationName="c", **given)
    (shown,) = elba.asg.describe_launch_configurations()["LaunchConfigurations"]
    arn = shown["LaunchConfigurationARN"]
    assert arn.startswith(f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:launchConfiguration:")
    assert arn.endswith(":launchConfigurationName/c")
    coded = base64.b64encode(b"#!/bin/sh").decode()  # by the client
    assert {k: shown[k] for k in given} == {**given, "UserData": coded}
    assert (shown["KernelId"], shown["RamdiskId"]) == ("", "")
    elba.create(minimum=1, LaunchConfigurationName="c")
    elba.advance(30)
    (instance,) = elba.instances()
    assert (instance.instance_type, instance.key_name, instance.monitoring) == ("t3.small", "k", False)
    assert (instance.public, instance.group_ids) == (False, given["SecurityGroups"])
    assert instance.user_data == coded


def test_a_launch_configuration_after_an_instance(elba: Harness) -> None:
    group = own_group(elba)
    elba.template(security_group_ids=[group], instance_type="t3.small", user_data=base64.b64encode(b"a").decode())
    elba.create(minimum=1)
    elba.advance(30)
    (member,) = elba.in_service()
    elba.asg.create_launch_configuration(LaunchConfigurationName="same", InstanceId=member.id)
    elba.asg.create_launch_configuration(LaunchConfigurationName="other", InstanceId=member.id, InstanceType="t3.micro")
    other, same = elba.asg.describe_launch_configurations()["LaunchConfigurations"]
    for shown in (other, same):
        assert (shown["ImageId"], shown["SecurityGroups"]) == (member.image_id, [group])
        assert base64.b64decode(shown["UserData"]) == b"a"
    assert (same["InstanceType"], other["InstanceType"]) == ("t3.small", "t3.micro")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ImageId": None}, "Valid requests must contain either the InstanceID parameter or both"),
        ({"InstanceType": None}, "Valid requests must contain either the InstanceID parameter or both"),
        ({"SpotPrice": "0"}, "Invalid spot price: 0"),
        ({"SpotPrice": "0.0001"}, "Spot price 0.0001 is below the minimum of 0.001"),
        ({"UserData": "A" * 16384}, "1 validation error detected: Value '"),
        ({"PlacementTenancy": "host"}, "Invalid placement tenancy: host"),
    ],
)
def test_launch_configurations_that_are_refused(elba: Harness, changed: dict[str, Any], message: str) -> None:
    given = {"LaunchConfigurationName": "c", "ImageId": elba.images()[0], "InstanceType": "t3.micro", **changed}
    code, told = elba.refused("create_launch_configuration", **{k: v for k, v in given.items() if v is not None})
    assert code == "ValidationError" and told.startswith(message)


def test_a_launch_configuration_of_a_name_that_is_taken(elba: Harness) -> None:
    given = {"LaunchConfigurationName": "c", "ImageId": elba.images()[0], "InstanceType": "t3.micro"}
    elba.asg.create_launch_configuration(**given)
    assert elba.refused("create_launch_configuration", **given) == (
        "AlreadyExists",
        "Launch Configuration by this name already exists - A launch configuration already exists with the name c",
    )


# ── LaunchInstances ──────────────────────────────────────────────────────────────────────────────────


def launch(elba: Harness, count: int, **more: Any) -> dict[str, Any]:
    request = {"AutoScalingGroupName": "g", "RequestedCapacity": count, "ClientToken": f"t{int(elba.now)}", **more}
    answer: dict[str, Any] = elba.asg.launch_instances(**request)
    answer.pop("ResponseMetadata")
    return answer


@pytest.mark.parametrize("percentage", [0, 100])
def test_launch_instances_in_a_mixed_group_of_one_purchase_option(elba: Harness, percentage: int) -> None:
    policy = mixed_policy(elba, {"InstanceType": "t3.micro"}, OnDemandPercentageAboveBaseCapacity=percentage)
    elba.create(minimum=0, zones="a", MixedInstancesPolicy=policy)
    (told,) = launch(elba, 2, AvailabilityZones=[A])["Instances"]
    assert (told["MarketType"], told["InstanceType"]) == ("on-demand" if percentage else "spot", "t3.micro")
    elba.advance(60)
    assert {m.spot for m in elba.in_service()} == {percentage == 0}
    assert {m.id for m in elba.in_service()} == set(told["InstanceIds"])
    assert elba.group().desired_capacity == 2 and elba.is_still()


def test_launch_instances_counts_units(elba: Harness) -> None:
    policy = mixed_policy(elba, {"InstanceType": "t3.large", "WeightedCapacity": "4"})
    elba.create(minimum=0, maximum=20, zones="a", MixedInstancesPolicy=policy)
    assert len(launch(elba, 6)["Instances"][0]["InstanceIds"]) == 2
    assert elba.group().desired_capacity == 8


@pytest.mark.parametrize("parameter", ["AvailabilityZones", "AvailabilityZoneIds", "SubnetIds"])
def test_where_launch_instances_launches(elba: Harness, parameter: str) -> None:
    elba.create(minimum=0)
    subnet = next(s.id for s in elba.store.view.all(Subnet) if s.availability_zone == B)
    names = {"AvailabilityZones": B, "AvailabilityZoneIds": "use1-az2", "SubnetIds": subnet}
    answer = launch(elba, 1, **{parameter: [names[parameter]]})
    (told,) = answer["Instances"]
    assert (told["SubnetId"], told["AvailabilityZone"], told["AvailabilityZoneId"]) == (subnet, B, "use1-az2")
    assert (answer["AutoScalingGroupName"], answer["Errors"]) == ("g", [])


@pytest.mark.parametrize(("strategy", "desired"), [("none", 0), ("retry-with-group-configuration", 2)])
def test_what_launch_instances_cannot_launch(elba: Harness, strategy: str, desired: int) -> None:
    elba.create(minimum=0)
    elba.write(lambda tx: capacity.begin_shortage(tx, elba.call(), A, "*"))
    answer = launch(elba, 2, AvailabilityZones=[A], RetryStrategy=strategy)
    assert answer["Instances"] == []
    (error,) = answer["Errors"]
    assert (error["ErrorCode"], error["AvailabilityZone"]) == ("InsufficientInstanceCapacity", A)
    assert elba.group().desired_capacity == desired
    elba.advance(60)
    assert [m.availability_zone for m in elba.in_service()] == [B] * desired


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"RequestedCapacity": 101}, "RequestedCapacity must be between 1 and 100."),
        ({"RequestedCapacity": 5}, "AutoScalingGroup g has min-size=0, max-size=4, and desired-size=0."),
        ({"AvailabilityZones": None}, "Exactly one of AvailabilityZones, AvailabilityZoneIds or SubnetIds"),
        ({"AvailabilityZoneIds": ["use1-az1"]}, "Exactly one of AvailabilityZones, AvailabilityZoneIds or SubnetIds"),
        ({"AvailabilityZones": [f"{REGION}c"]}, "The requested zones and subnets must be among those of the"),
        ({"ClientToken": "t" * 65}, "1 validation error detected: "),
    ],
)
def test_launch_instances_that_are_refused(elba: Harness, request_: dict[str, Any], message: str) -> None:
    elba.create(minimum=0)
    given = {
        "AutoScalingGroupName": "g",
        "RequestedCapacity": 1,
        "ClientToken": "t",
        "AvailabilityZones": [A],
        **request_,
    }
    code, told = elba.refused("launch_instances", **{k: v for k, v in given.items() if v is not None})
    assert code == "ValidationError" and told.startswith(message)
    assert elba.members() == []


def test_groups_in_which_launch_instances_does_not_launch(elba: Harness) -> None:
    request = {"AutoScalingGroupName": "g", "RequestedCapacity": 1, "ClientToken": "t", "AvailabilityZones": [A]}
    configuration = {"ImageId": elba.images()[0], "InstanceType": "t3.micro"}
    elba.asg.create_launch_configuration(LaunchConfigurationName="c", **configuration)
    elba.create(minimum=0, LaunchConfigurationName="c")
    assert "uses a launch template" in elba.refused("launch_instances", **request)[1]
    policy = mixed_policy(elba, {"InstanceType": "t3.micro"}, OnDemandPercentageAboveBaseCapacity=50)
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", MixedInstancesPolicy=policy)
    assert "mix On-Demand and Spot" in elba.refused("launch_instances", **request)[1]
    elba.template()
    template = {"LaunchTemplateName": "web"}
    elba.asg.update_auto_scaling_group(AutoScalingGroupName="g", LaunchTemplate=template)
    elba.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["Launch"])
    assert "Launch process" in elba.refused("launch_instances", **request)[1]


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────


def weighted(elba: Harness, desired: int) -> list[str]:
    policy = mixed_policy(elba, {"InstanceType": "t3.large", "WeightedCapacity": "4"})
    elba.create(minimum=4, maximum=16, DesiredCapacity=desired, MixedInstancesPolicy=policy)
    elba.advance(60)
    return [m.id for m in elba.in_service()]


@pytest.mark.parametrize("how", ["terminate", "detach", "standby"])
def test_taking_a_member_away_takes_its_units(elba: Harness, how: str) -> None:
    first, second = weighted(elba, 8)

    def take(id_: str) -> None:
        if how == "terminate":
            elba.asg.terminate_instance_in_auto_scaling_group(InstanceId=id_, ShouldDecrementDesiredCapacity=True)
            return
        request = {"AutoScalingGroupName": "g", "InstanceIds": [id_], "ShouldDecrementDesiredCapacity": True}
        (elba.asg.detach_instances if how == "detach" else elba.asg.enter_standby)(**request)

    take(first)
    elba.advance(60)
    assert elba.group().desired_capacity == 4 and [m.id for m in elba.in_service()] == [second]
    assert elba.is_still()
    with pytest.raises(elba.asg.exceptions.ClientError, match="min"):
        take(second)
    if how != "terminate":
        give = elba.asg.attach_instances if how == "detach" else elba.asg.exit_standby
        give(AutoScalingGroupName="g", InstanceIds=[first])
        elba.advance(60)
        assert elba.group().desired_capacity == 8
        assert sorted(m.id for m in elba.in_service()) == sorted([first, second])
        assert {i["WeightedCapacity"] for i in elba.described()["Instances"]} == {"4"}
        assert elba.is_still()


def test_the_spot_market_of_a_template_is_told(elba: Harness) -> None:
    elba.template("spot", instance_market_options={"market_type": "spot"})
    elba.create(minimum=0, zones="a", LaunchTemplate={"LaunchTemplateName": "spot"})
    (told,) = launch(elba, 1)["Instances"]
    assert told["MarketType"] == "spot"
    elba.advance(60)
    instance = elba.store.view.get(Instance, ACCOUNT, REGION, told["InstanceIds"][0])
    assert instance is not None and instance.lifecycle == "spot"
