"""Which regions are served: all of AWS's, unless the settings name the only ones."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from elba.config import Settings
from elba.testing import World


def test_every_region_has_its_default_vpc_from_the_first_call() -> None:
    with World() as world:
        for region in ("us-east-1", "eu-west-1", "ap-southeast-2"):
            subnets = world.boto3("ec2", region=region).describe_subnets()["Subnets"]
            assert [subnet["AvailabilityZone"] for subnet in subnets] == [f"{region}{zone}" for zone in "abc"]


def test_a_region_that_does_not_exist_is_refused() -> None:
    with World() as world, pytest.raises(ClientError, match="valid Region"):
        world.boto3("ec2", region="xx-nowhere-1").describe_vpcs()


def test_named_regions_are_the_only_ones() -> None:
    with World(settings=Settings(auth="open", regions=("eu-west-1",), only_regions=True)) as world:
        assert world.boto3("ec2", region="eu-west-1").describe_vpcs()["Vpcs"]
        with pytest.raises(ClientError, match="valid Region"):
            world.boto3("ec2", region="us-east-1").describe_vpcs()
