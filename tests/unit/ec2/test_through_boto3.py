"""EC2 as an unmodified boto3 client sees it: waiters, paginators, errors, a whole network and its end."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from elba.testing.world import World

SSM = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world, world.virtual_waits():
        yield world


@pytest.fixture
def ec2(world: World) -> Any:
    return world.boto3("ec2")


def an_image(ec2: Any) -> str:
    images = ec2.describe_images(
        Owners=["amazon"], Filters=[{"Name": "name", "Values": ["al2023-ami-2023.*-kernel-6.1-x86_64"]}]
    )["Images"]
    newest: str = max(images, key=lambda i: i["CreationDate"])["ImageId"]
    return newest


def run(ec2: Any, count: int = 1, **request: Any) -> list[str]:
    answer = ec2.run_instances(
        ImageId=an_image(ec2), InstanceType="t3.micro", MinCount=count, MaxCount=count, **request
    )
    return [i["InstanceId"] for i in answer["Instances"]]


def state(ec2: Any, instance: str) -> str:
    (reservation,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    name: str = reservation["Instances"][0]["State"]["Name"]
    return name


def code(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_what_has_no_tags_shows_no_list_of_them(ec2: Any) -> None:
    (instance,) = run(ec2)
    (reservation,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    assert "Tags" not in reservation["Instances"][0]
    ec2.create_tags(Resources=[instance], Tags=[{"Key": "a", "Value": "b"}])
    (reservation,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    assert reservation["Instances"][0]["Tags"] == [{"Key": "a", "Value": "b"}]
    assert "Tags" not in ec2.describe_images(ImageIds=[an_image(ec2)])["Images"][0]


def test_an_instances_life_with_every_waiter(ec2: Any) -> None:
    ids = run(ec2)
    (instance,) = ids
    assert state(ec2, instance) == "pending"
    ec2.get_waiter("instance_exists").wait(InstanceIds=ids)
    ec2.get_waiter("instance_running").wait(InstanceIds=ids)
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids)
    ec2.get_waiter("system_status_ok").wait(InstanceIds=ids)
    with pytest.raises(ClientError) as caught:
        ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t3.small"})
    assert code(caught) == ("IncorrectInstanceState", 400)
    before = ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]
    stopping = ec2.stop_instances(InstanceIds=ids)["StoppingInstances"][0]
    assert stopping["CurrentState"] == {"Code": 64, "Name": "stopping"}
    ec2.get_waiter("instance_stopped").wait(InstanceIds=ids)
    stopped = ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]
    assert "PublicIpAddress" not in stopped
    ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t3.small"})
    ec2.start_instances(InstanceIds=ids)
    ec2.get_waiter("instance_running").wait(InstanceIds=ids)
    after = ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]
    assert after["InstanceType"] == "t3.small"
    for kept in ("PrivateIpAddress", "InstanceId", "SubnetId"):
        assert after[kept] == before[kept]
    ec2.reboot_instances(InstanceIds=ids)
    assert state(ec2, instance) == "running"
    ec2.terminate_instances(InstanceIds=ids)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids)


def test_a_terminated_instance_vanishes_after_an_hour(world: World, ec2: Any) -> None:
    ids = run(ec2)
    ec2.terminate_instances(InstanceIds=ids)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids)
    world.advance(3500)
    assert state(ec2, ids[0]) == "terminated"
    world.advance(200)
    with pytest.raises(ClientError) as caught:
        ec2.describe_instances(InstanceIds=ids)
    assert code(caught) == ("InvalidInstanceID.NotFound", 400)


def test_an_image_launches_and_outlives_its_instance(ec2: Any) -> None:
    ids = run(ec2)
    ec2.get_waiter("instance_running").wait(InstanceIds=ids)
    image = ec2.create_image(InstanceId=ids[0], Name="mine")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image])
    ec2.get_waiter("instance_running").wait(InstanceIds=ids)
    ec2.terminate_instances(InstanceIds=ids)
    copies = [
        i["InstanceId"]
        for i in ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"]
    ]
    ec2.get_waiter("instance_running").wait(InstanceIds=copies)
    with pytest.raises(ClientError) as caught:
        ec2.create_image(InstanceId=copies[0], Name="mine")
    assert code(caught)[0] == "InvalidAMIName.Duplicate"
    ec2.deregister_image(ImageId=image)
    assert state(ec2, copies[0]) == "running"
    with pytest.raises(ClientError) as caught:
        ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    assert code(caught)[0] == "InvalidAMIID.NotFound"


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("run_instances", {"MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}),
        ("create_vpc", {"CidrBlock": "10.0.0.0/16"}),
        ("create_security_group", {"GroupName": "g", "Description": "d"}),
        ("describe_instances", {}),
        ("allocate_address", {}),
        ("create_key_pair", {"KeyName": "k"}),
    ],
)
def test_a_dry_run_changes_nothing_and_says_so(ec2: Any, call: str, request_: dict[str, Any]) -> None:
    if call == "run_instances":
        request_ = {**request_, "ImageId": an_image(ec2)}

    def everything() -> list[Any]:
        return [
            ec2.describe_instances()["Reservations"],
            ec2.describe_vpcs()["Vpcs"],
            ec2.describe_security_groups()["SecurityGroups"],
            ec2.describe_addresses()["Addresses"],
            ec2.describe_key_pairs()["KeyPairs"],
            ec2.describe_network_interfaces()["NetworkInterfaces"],
        ]

    before = everything()
    with pytest.raises(ClientError) as caught:
        getattr(ec2, call)(**request_, DryRun=True)
    assert code(caught) == ("DryRunOperation", 412)
    assert caught.value.response["Error"]["Message"] == "Request would have succeeded, but DryRun flag is set."
    assert everything() == before


def test_a_dry_run_is_judged_first(ec2: Any) -> None:
    with pytest.raises(ClientError) as caught:
        ec2.create_vpc(CidrBlock="10.0.0.0/8", DryRun=True)
    assert code(caught)[0] == "InvalidVpc.Range"


def test_paginators_walk_everything_once(ec2: Any) -> None:
    ids = set(run(ec2, 12))
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5}))
    seen = [i["InstanceId"] for p in pages for r in p["Reservations"] for i in r["Instances"]]
    assert len(pages) == 3 and sorted(seen) == sorted(ids)
    types = [
        t["InstanceType"] for p in ec2.get_paginator("describe_instance_types").paginate() for t in p["InstanceTypes"]
    ]
    assert len(types) == len(set(types)) > 100
    for operation, member in (
        ("describe_subnets", "Subnets"),
        ("describe_security_groups", "SecurityGroups"),
        ("describe_volumes", "Volumes"),
        ("describe_network_interfaces", "NetworkInterfaces"),
        ("describe_instance_status", "InstanceStatuses"),
        ("describe_instance_type_offerings", "InstanceTypeOfferings"),
        ("describe_tags", "Tags"),
        ("describe_launch_templates", "LaunchTemplates"),
        ("describe_route_tables", "RouteTables"),
    ):
        whole = getattr(ec2, operation)()[member]
        paged = [
            one for p in ec2.get_paginator(operation).paginate(PaginationConfig={"PageSize": 5}) for one in p[member]
        ]
        assert paged == whole, operation


def test_a_network_is_built_used_and_taken_down(ec2: Any) -> None:
    vpc = ec2.create_vpc(
        CidrBlock="10.0.0.0/16",
        TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "main"}]}],
    )["Vpc"]["VpcId"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc])
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
    ec2.get_waiter("subnet_available").wait(SubnetIds=[subnet])
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    ec2.get_waiter("security_group_exists").wait(GroupIds=[group])
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    )
    key = ec2.create_key_pair(KeyName="k", KeyType="ed25519")
    ec2.get_waiter("key_pair_exists").wait(KeyNames=["k"])
    assert key["KeyMaterial"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    ids = run(
        ec2,
        SubnetId=subnet,
        SecurityGroupIds=[group],
        KeyName="k",
        UserData="#!/bin/sh\necho hello\n",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
    )
    ec2.get_waiter("instance_running").wait(InstanceIds=ids)
    found = ec2.describe_instances(
        Filters=[{"Name": "tag:Name", "Values": ["w*"]}, {"Name": "vpc-id", "Values": [vpc]}]
    )["Reservations"][0]["Instances"][0]
    assert found["PrivateIpAddress"] == "10.0.1.4"
    assert found["PublicIpAddress"] == "127.17.1.4"
    data = ec2.describe_instance_attribute(InstanceId=ids[0], Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(data) == b"#!/bin/sh\necho hello\n"
    for call, request in (
        ("delete_security_group", {"GroupId": group}),
        ("delete_subnet", {"SubnetId": subnet}),
        ("detach_internet_gateway", {"InternetGatewayId": gateway, "VpcId": vpc}),
        ("delete_vpc", {"VpcId": vpc}),
        ("delete_route_table", {"RouteTableId": table}),
    ):
        with pytest.raises(ClientError) as caught:
            getattr(ec2, call)(**request)
        assert code(caught) == ("DependencyViolation", 400), call
    ec2.terminate_instances(InstanceIds=ids)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids)
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_vpc(VpcId=vpc)
    with pytest.raises(ClientError) as caught:
        ec2.describe_vpcs(VpcIds=[vpc])
    assert code(caught) == ("InvalidVpcID.NotFound", 400)


def test_launch_templates_through_the_client(ec2: Any) -> None:
    template = ec2.create_launch_template(
        LaunchTemplateName="web",
        LaunchTemplateData={
            "ImageId": f"resolve:ssm:{SSM}",
            "InstanceType": "t3.micro",
            "UserData": base64.b64encode(b"x").decode(),
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20}}],
            "MetadataOptions": {"HttpTokens": "required"},
            "Monitoring": {"Enabled": True},
        },
    )["LaunchTemplate"]
    (version,) = ec2.describe_launch_template_versions(
        LaunchTemplateId=template["LaunchTemplateId"], Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    assert version["DefaultVersion"] and version["VersionNumber"] == 1
    assert version["LaunchTemplateData"] == {
        "ImageId": f"resolve:ssm:{SSM}",
        "InstanceType": "t3.micro",
        "UserData": base64.b64encode(b"x").decode(),
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20}}],
        "MetadataOptions": {"HttpTokens": "required"},
        "Monitoring": {"Enabled": True},
    }
    (instance,) = ec2.run_instances(
        LaunchTemplate={"LaunchTemplateName": "web", "Version": "$Latest"}, MinCount=1, MaxCount=1
    )["Instances"]
    assert instance["Monitoring"]["State"] == "enabled"
    assert instance["MetadataOptions"]["HttpTokens"] == "required"


def test_regions_and_accounts_do_not_see_each_other(world: World) -> None:
    here = world.boto3("ec2")
    there = world.boto3("ec2", access_key="111122223333")
    run(here)
    assert there.describe_instances()["Reservations"] == []
    assert len(there.describe_vpcs()["Vpcs"]) == 1
    assert [r["RegionName"] for r in here.describe_regions()["Regions"]] == ["us-east-1"]
    zones = here.describe_availability_zones()["AvailabilityZones"]
    assert [z["ZoneId"] for z in zones] == ["use1-az1", "use1-az2", "use1-az3"]


def test_console_output_is_what_the_instance_printed(ec2: Any) -> None:
    ids = run(ec2)
    ec2.get_waiter("instance_running").wait(InstanceIds=ids)
    answer = ec2.get_console_output(InstanceId=ids[0])
    assert answer["InstanceId"] == ids[0]
    assert isinstance(answer["Output"], str)


def test_a_uefi_question_is_a_client_error(ec2: Any) -> None:
    """Terraform asks it of an image's id, and goes on after any 4xx."""
    with pytest.raises(ClientError) as caught:
        ec2.get_instance_uefi_data(InstanceId=an_image(ec2))
    assert 400 <= code(caught)[1] < 500


def test_user_data_has_its_limit(ec2: Any) -> None:
    with pytest.raises(ClientError) as caught:
        run(ec2, UserData="x" * 16385)
    assert code(caught)[0] == "InvalidParameterValue"
    assert caught.value.response["Error"]["Message"] == "User data is limited to 16384 bytes"
