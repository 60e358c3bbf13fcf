"""RunInstances: what it makes, and each thing that it refuses."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from elba.ec2 import commands
from elba.ec2.commands import (
    gateways,
    images,
    interfaces,
    key_pairs,
    launch_templates,
    lifecycle,
    security_groups,
    vpcs,
)
from elba.ec2.commands import spot as spot_requests
from elba.ec2.images import public_parameters
from elba.ec2.key_material import generate
from elba.ec2.queries import describe_instances as describe
from elba.ec2.queries import spot, storage
from elba.ec2.resources import Image, Instance, InternetGateway, NetworkInterface, Subnet, Vpc
from elba.iam.resources import InstanceProfile

from .kit import ACCOUNT, AMI, REGION, Account, launch


@pytest.fixture
def account() -> Account:
    return Account()


def a_subnet(account: Account) -> Subnet:
    return account.tx.all(Subnet)[0]


def test_an_instance_gets_an_address_in_a_default_subnet(account: Account) -> None:
    instance = launch(account)
    assert instance["state"] == {"code": 0, "name": "pending"}
    assert instance["private_ip_address"] == "172.31.0.4"
    assert instance["public_ip_address"] == "127.16.0.4"
    assert instance["private_dns_name"] == "ip-172-31-0-4.ec2.internal"
    assert instance["network_interfaces"][0]["attachment"]["device_index"] == 0
    assert instance["block_device_mappings"][0]["device_name"] == "/dev/xvda"


def test_launches_without_a_subnet_spread_over_the_zones(account: Account) -> None:
    zones = {launch(account)["placement"]["availability_zone"] for _ in range(3)}
    assert zones == {"us-east-1a", "us-east-1b", "us-east-1c"}


def test_one_reservation_holds_all_instances_of_a_launch(account: Account) -> None:
    answer = account.do(commands.run_instances, image_id=AMI, instance_type="t3.micro", min_count=2, max_count=3)
    assert [i["ami_launch_index"] for i in answer["instances"]] == [0, 1, 2]
    assert len({i["private_ip_address"] for i in answer["instances"]}) == 3
    described = account.do(describe.describe_instances)["reservations"]
    assert [len(r["instances"]) for r in described] == [3]


def test_the_same_client_token_launches_once(account: Account) -> None:
    first = launch(account, client_token="a")
    assert launch(account, client_token="a")["instance_id"] == first["instance_id"]
    assert (
        account.error(
            commands.run_instances, image_id=AMI, instance_type="t3.small", min_count=1, max_count=1, client_token="a"
        ).code
        == "IdempotentParameterMismatch"
    )


def test_a_launch_uses_a_template_and_the_request_wins(account: Account) -> None:
    template = account.do(
        launch_templates.create_launch_template,
        launch_template_name="web",
        launch_template_data={
            "image_id": AMI,
            "instance_type": "t3.large",
            "user_data": base64.b64encode(b"#!/bin/sh\n").decode(),
            "metadata_options": {"http_tokens": "required"},
            "tag_specifications": [
                {"resource_type": "instance", "tags": [{"key": "a", "value": "lt"}, {"key": "b", "value": "lt"}]}
            ],
        },
    )["launch_template"]
    (instance,) = account.do(
        commands.run_instances,
        launch_template={"launch_template_name": "web"},
        instance_type="t3.micro",
        min_count=1,
        max_count=1,
        tag_specifications=[{"resource_type": "instance", "tags": [{"key": "a", "value": "request"}]}],
    )["instances"]
    assert instance["instance_type"] == "t3.micro"
    assert instance["metadata_options"]["http_tokens"] == "required"
    tags = {t["key"]: t["value"] for t in instance["tags"]}
    assert tags == {
        "a": "request",
        "b": "lt",
        "aws:ec2launchtemplate:id": template["launch_template_id"],
        "aws:ec2launchtemplate:version": "1",
    }


def test_a_service_chooses_the_subnet_even_of_a_template_with_interfaces(account: Account) -> None:
    group = account.do(security_groups.create_security_group, group_name="web", description="web")["group_id"]
    account.do(
        launch_templates.create_launch_template,
        launch_template_name="web",
        launch_template_data={
            "image_id": AMI,
            "network_interfaces": [{"device_index": 0, "groups": [group], "associate_public_ip_address": False}],
        },
    )
    subnet = account.tx.all(Subnet)[2]
    (instance,) = commands.launch(
        account.tx,
        account.call,
        {"launch_template": {"launch_template_name": "web"}, "instance_type": "t3.micro"},
        system_tags={"aws:autoscaling:groupName": "g"},
        subnet_id=subnet.id,
    )
    assert instance.subnet_id == subnet.id
    assert instance.group_ids == [group]
    assert not instance.public and not instance.public_ip_address
    assert instance.tags["aws:autoscaling:groupName"] == "g"


def test_volumes_follow_the_block_device_mapping(account: Account) -> None:
    instance = launch(
        account,
        block_device_mappings=[
            {"device_name": "/dev/xvda", "ebs": {"volume_size": 20, "volume_type": "gp3", "encrypted": True}},
            {"device_name": "/dev/sdf", "ebs": {"volume_size": 5, "volume_type": "gp2"}},
        ],
        tag_specifications=[{"resource_type": "volume", "tags": [{"key": "k", "value": "v"}]}],
    )
    volumes = account.do(
        storage.describe_volumes,
        filters=[{"name": "attachment.instance-id", "values": [instance["instance_id"]]}],
    )["volumes"]
    assert [(v["size"], v["volume_type"], v["iops"], v["encrypted"]) for v in volumes] == [
        (20, "gp3", 3000, True),
        (5, "gp2", 100, False),
    ]
    assert all(v["tags"] == [{"key": "k", "value": "v"}] for v in volumes)


def test_an_existing_interface_becomes_the_primary_one_and_outlives_the_instance(account: Account) -> None:
    interface = account.do(interfaces.create_network_interface, subnet_id=a_subnet(account).id)
    id_ = interface["network_interface"]["network_interface_id"]
    instance = launch(account, network_interfaces=[{"device_index": 0, "network_interface_id": id_}])
    assert instance["network_interfaces"][0]["network_interface_id"] == id_
    assert (
        account.error(
            commands.run_instances,
            image_id=AMI,
            min_count=1,
            max_count=1,
            network_interfaces=[{"device_index": 0, "network_interface_id": id_}],
        ).code
        == "InvalidNetworkInterface.InUse"
    )
    commands.record_terminated(account.tx, account.call, instance["instance_id"])
    kept = account.tx.get(NetworkInterface, ACCOUNT, REGION, id_)
    assert kept is not None and kept.status == "available"


def test_an_instance_profile_is_found_by_name_and_by_arn(account: Account) -> None:
    profile = InstanceProfile(
        account=ACCOUNT,
        region="aws-global",
        id="web",
        name="Web",
        path="/",
        instance_profile_id="AIPA1",
        create_time=0.0,
    )
    account.tx.put(profile)
    by_name = launch(account, iam_instance_profile={"name": "Web"})
    by_arn = launch(account, iam_instance_profile={"arn": profile.arn})
    assert by_name["iam_instance_profile"] == by_arn["iam_instance_profile"] == {"arn": profile.arn, "id": "AIPA1"}


def test_spot_instances_say_so(account: Account) -> None:
    instance = launch(account, instance_market_options={"market_type": "spot"})
    assert instance["instance_lifecycle"] == "spot"
    assert instance["spot_instance_request_id"].startswith("sir-")
    running(account, instance["instance_id"])
    assert (
        account.error(lifecycle.stop_instances, instance_ids=[instance["instance_id"]]).code == "UnsupportedOperation"
    )


def test_a_spot_request_can_be_cancelled_and_its_instance_goes_on(account: Account) -> None:
    instance = launch(account, instance_market_options={"market_type": "spot"})
    id_ = instance["spot_instance_request_id"]

    def shown() -> tuple[str, str]:
        (one,) = account.do(spot.describe_spot_instance_requests, spot_instance_request_ids=[id_])[
            "spot_instance_requests"
        ]
        return one["state"], one["instance_id"]

    assert shown() == ("active", instance["instance_id"])
    cancelled = account.do(spot_requests.cancel_spot_instance_requests, spot_instance_request_ids=[id_])
    assert cancelled["cancelled_spot_instance_requests"] == [{"spot_instance_request_id": id_, "state": "cancelled"}]
    assert shown()[0] == "cancelled"
    error = account.error(spot_requests.cancel_spot_instance_requests, spot_instance_request_ids=["sir-00000000"])
    assert error.code == "InvalidSpotInstanceRequestID.NotFound"


def running(account: Account, instance_id: str, state: str = "running") -> None:
    instance = account.tx.get(Instance, ACCOUNT, REGION, instance_id)
    assert instance is not None
    account.tx.put(msgspec.structs.replace(instance, state=state))


def test_an_ssm_parameter_names_the_image(account: Account) -> None:
    name = "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2"
    assert launch(account, image_id=f"resolve:ssm:{name}")["image_id"] == public_parameters(REGION)[name]


ABSENT_AMI = "ami-0123456789abcdef0"
LONG_USER_DATA = base64.b64encode(b"x" * 16385).decode()

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"image_id": None}, "MissingParameter", "The request must contain the parameter ImageId"),
    ({"image_id": ABSENT_AMI}, "InvalidAMIID.NotFound", f"The image id '[{ABSENT_AMI}]' does not exist"),
    ({"image_id": "ami-x"}, "InvalidAMIID.Malformed", 'Invalid id: "ami-x"'),
    ({"image_id": "resolve:ssm:/nothing"}, "InvalidParameterValue", ""),
    ({"instance_type": "t9.x"}, "InvalidParameterValue", "Invalid value 't9.x' for InstanceType."),
    ({"instance_type": "t4g.micro"}, "InvalidParameterValue", ""),
    ({"min_count": 0}, "InvalidParameterValue", ""),
    ({"min_count": 3, "max_count": 2}, "InvalidParameterValue", ""),
    ({"min_count": 5000, "max_count": 5000}, "InsufficientFreeAddressesInSubnet", ""),
    (
        {"subnet_id": "subnet-0123456789abcdef0"},
        "InvalidSubnetID.NotFound",
        "The subnet ID 'subnet-0123456789abcdef0' does not exist",
    ),
    (
        {"security_group_ids": ["sg-0123456789abcdef0"]},
        "InvalidGroup.NotFound",
        "The security group 'sg-0123456789abcdef0' does not exist",
    ),
    ({"security_groups": ["absent"]}, "InvalidGroup.NotFound", ""),
    ({"key_name": "absent"}, "InvalidKeyPair.NotFound", "The key pair 'absent' does not exist"),
    (
        {"iam_instance_profile": {"name": "absent"}},
        "InvalidParameterValue",
        "Value (absent) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
    ),
    ({"user_data": "%%%"}, "InvalidUserData.Malformed", "Invalid BASE64 encoding of user data."),
    ({"user_data": LONG_USER_DATA}, "InvalidParameterValue", "User data is limited to 16384 bytes"),
    (
        {"placement": {"availability_zone": "us-east-1z"}},
        "InvalidParameterValue",
        "Invalid availability zone: [us-east-1z]",
    ),
    ({"placement": {"group_name": "absent"}}, "InvalidPlacementGroup.Unknown", ""),
    ({"placement": {"tenancy": "x"}}, "InvalidParameterValue", ""),
    ({"metadata_options": {"http_tokens": "x"}}, "InvalidParameterValue", ""),
    ({"metadata_options": {"http_put_response_hop_limit": 65}}, "InvalidParameterValue", ""),
    ({"credit_specification": {"cpu_credits": "x"}}, "InvalidParameterValue", ""),
    (
        {"instance_type": "m5.large", "credit_specification": {"cpu_credits": "standard"}},
        "InvalidParameterCombination",
        "",
    ),
    ({"instance_initiated_shutdown_behavior": "x"}, "InvalidParameterValue", ""),
    ({"instance_market_options": {"market_type": "x"}}, "InvalidParameterValue", ""),
    (
        {"private_ip_address": "10.0.0.9"},
        "InvalidParameterValue",
        "Address does not fall within the subnet's address range",
    ),
    ({"private_ip_address": "172.31.0.4", "min_count": 2, "max_count": 2}, "InvalidParameterCombination", ""),
    ({"launch_template": {"launch_template_name": "absent"}}, "InvalidLaunchTemplateName.NotFoundException", ""),
    (
        {"launch_template": {"launch_template_id": "lt-0123456789abcdef0"}},
        "InvalidLaunchTemplateId.NotFound",
        "The specified launch template, with template ID lt-0123456789abcdef0, does not exist.",
    ),
    ({"launch_template": {"launch_template_id": "lt-x"}}, "InvalidLaunchTemplateId.Malformed", ""),
    (
        {"tag_specifications": [{"resource_type": "vpc", "tags": []}]},
        "InvalidParameterValue",
        "'vpc' is not a valid taggable resource type for this operation.",
    ),
    (
        {"tag_specifications": [{"resource_type": "instance", "tags": [{"key": "aws:x", "value": ""}]}]},
        "InvalidParameterValue",
        "",
    ),
    (
        {
            "tag_specifications": [
                {"resource_type": "instance", "tags": [{"key": str(n), "value": ""} for n in range(51)]}
            ]
        },
        "TagLimitExceeded",
        "",
    ),
    (
        {"block_device_mappings": [{"device_name": "/dev/xvda", "ebs": {"volume_size": 1}}]},
        "InvalidBlockDeviceMapping",
        "",
    ),
    (
        {"block_device_mappings": [{"device_name": "/dev/xvda", "ebs": {"volume_type": "x"}}]},
        "InvalidParameterValue",
        "",
    ),
    ({"block_device_mappings": [{"device_name": "/dev/sdb", "ebs": {}}]}, "MissingParameter", ""),
    (
        {"block_device_mappings": [{"device_name": "/dev/xvda", "ebs": {"volume_type": "gp2", "iops": 300}}]},
        "InvalidParameterCombination",
        "",
    ),
    ({"network_interfaces": [{"device_index": 1}]}, "InvalidParameterValue", ""),
    (
        {"network_interfaces": [{"device_index": 0, "network_interface_id": "eni-0123456789abcdef0"}]},
        "InvalidNetworkInterfaceID.NotFound",
        "The networkInterface ID 'eni-0123456789abcdef0' does not exist",
    ),
]


@pytest.mark.parametrize(
    ("request_", "code", "message"), REFUSED, ids=[f"{n}-{c}" for n, (_, c, _) in enumerate(REFUSED)]
)
def test_what_cannot_be_launched_is_refused(
    account: Account, request_: dict[str, Any], code: str, message: str
) -> None:
    request = {"image_id": AMI, "instance_type": "t3.micro", "min_count": 1, "max_count": 1, **request_}
    error = account.error(commands.run_instances, **request)
    assert error.code == code
    assert error.status == 400
    if message:
        assert error.message == message


@pytest.mark.parametrize("name", ["subnet_id", "security_group_ids", "security_groups", "private_ip_address"])
def test_interfaces_exclude_instance_level_network_parameters(account: Account, name: str) -> None:
    values: dict[str, Any] = {"subnet_id": a_subnet(account).id, "private_ip_address": "172.31.0.9"}
    error = account.error(
        commands.run_instances,
        image_id=AMI,
        min_count=1,
        max_count=1,
        network_interfaces=[{"device_index": 0}],
        **{name: values.get(name, ["default"])},
    )
    assert error.code == "InvalidParameterCombination"
    assert error.message.endswith("may not be specified on the same request")


def test_groups_of_another_vpc_are_refused(account: Account) -> None:
    vpc = account.do(vpcs.create_vpc, cidr_block="10.0.0.0/16")["vpc"]["vpc_id"]
    group = account.do(security_groups.create_security_group, group_name="g", description="d", vpc_id=vpc)
    error = account.error(
        commands.run_instances, image_id=AMI, min_count=1, max_count=1, security_group_ids=[group["group_id"]]
    )
    assert error.code == "InvalidParameter"


def test_without_a_default_vpc_a_launch_needs_a_subnet(account: Account) -> None:
    vpc = account.tx.all(Vpc)[0]
    for subnet in account.tx.all(Subnet):
        account.do(vpcs.delete_subnet, subnet_id=subnet.id)
    (gateway,) = account.tx.all(InternetGateway)
    account.do(gateways.detach_internet_gateway, internet_gateway_id=gateway.id, vpc_id=vpc.id)
    account.do(vpcs.delete_vpc, vpc_id=vpc.id)
    commands.ensure_defaults(account.tx, account.call)
    assert not account.tx.all(Vpc), "a deleted default VPC stays deleted"
    error = account.error(commands.run_instances, image_id=AMI, min_count=1, max_count=1)
    assert error.code == "VPCIdNotSpecified"


def test_an_image_that_is_not_available_is_not_launched(account: Account) -> None:
    instance = launch(account)
    image = account.do(images.create_image, instance_id=instance["instance_id"], name="mine")["image_id"]
    error = account.error(commands.run_instances, image_id=image, min_count=1, max_count=1)
    assert error.code == "InvalidAMIID.Unavailable"
    stored = account.tx.get(Image, ACCOUNT, REGION, image)
    assert stored is not None
    account.tx.put(msgspec.structs.replace(stored, state="available"))
    assert launch(account, image_id=image)["image_id"] == image
    account.do(images.deregister_image, image_id=image)
    assert (
        account.error(commands.run_instances, image_id=image, min_count=1, max_count=1).code == "InvalidAMIID.NotFound"
    )


def test_between_min_and_max_as_many_are_launched_as_fit(account: Account) -> None:
    vpc = account.do(vpcs.create_vpc, cidr_block="10.0.0.0/28")["vpc"]["vpc_id"]
    subnet = account.do(vpcs.create_subnet, vpc_id=vpc, cidr_block="10.0.0.0/28")["subnet"]["subnet_id"]
    answer = account.do(commands.run_instances, image_id=AMI, min_count=2, max_count=50, subnet_id=subnet)
    assert len(answer["instances"]) == 11, "a /28 has 16 addresses, five of them AWS's"
    error = account.error(commands.run_instances, image_id=AMI, min_count=1, max_count=1, subnet_id=subnet)
    assert error.code == "InsufficientFreeAddressesInSubnet"


def test_a_key_pair_can_be_used_by_name(account: Account) -> None:
    account.do(key_pairs.create_key_pair, key_name="k", material=generate("ed25519"))
    assert launch(account, key_name="k")["key_name"] == "k"
