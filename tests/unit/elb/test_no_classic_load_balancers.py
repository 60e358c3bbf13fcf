"""What the first API answers while nothing of its kind is there."""

from __future__ import annotations

import pytest

from elba.testing.world import World


def test_none_is_listed_found_or_missed() -> None:
    with World() as world:
        elb = world.boto3("elb")
        assert elb.describe_load_balancers()["LoadBalancerDescriptions"] == []
        with pytest.raises(elb.exceptions.AccessPointNotFoundException) as raised:
            elb.describe_load_balancers(LoadBalancerNames=["shop"])
        error = raised.value.response["Error"]
        assert (error["Code"], error["Message"]) == (
            "LoadBalancerNotFound",
            "There is no ACTIVE Load Balancer named 'shop'",
        )
        elb.delete_load_balancer(LoadBalancerName="shop")
        with pytest.raises(elb.exceptions.ClientError) as raised:
            elb.create_load_balancer(LoadBalancerName="shop", Listeners=[], AvailabilityZones=["us-east-1a"])
        assert raised.value.response["Error"]["Code"] == "InvalidAction"
