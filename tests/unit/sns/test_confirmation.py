"""Endpoints on other machines: contacted only where a setting allows it, and confirmed by a token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from elba.sns.lookup import is_near
from elba.sns.reconcilers import DeliveryReconciler
from elba.sns.resources import Delivery
from elba.testing import World


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("http://127.3.4.5:80/x", True),
        ("http://localhost/x", True),
        ("https://lb.elb.localhost:8443/x", True),
        ("http://[::1]:9/x", True),
        ("http://10.0.0.1/x", False),
        ("http://example.com/x", False),
        ("http://localhost.example.com/x", False),
        ("http://user@169.254.169.254/x", False),
        ("http://[nonsense/x", False),
    ],
)
def test_which_endpoints_are_on_this_machine(url: str, near: bool) -> None:
    assert is_near(url) is near


@pytest.mark.parametrize("setting", ["loopback", "any"])
def test_a_far_endpoint_is_asked_to_confirm(setting: str) -> None:
    posted: list[tuple[str, Mapping[str, str], dict[str, Any]]] = []

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
        posted.append((url, headers, json.loads(body)))
        return 200

    with World() as world:
        sns = world.boto3("sns")
        topic = sns.create_topic(Name="t")["TopicArn"]
        world.loop.run(world.control_plane.queue.stop())
        sns.subscribe(TopicArn=topic, Protocol="https", Endpoint="https://example.com/hear")
        (delivery,) = world.store.view.all(Delivery)
        parts = replace(world.parts, settings={**world.parts.settings, "sns_endpoints": setting})
        world.loop.run(DeliveryReconciler(parts, post).reconcile(delivery.key))
        assert world.store.view.all(Delivery) == []
        if setting == "loopback":
            assert posted == []
            return
        ((url, headers, document),) = posted
        assert (url, headers["x-amz-sns-message-type"]) == ("https://example.com/hear", "SubscriptionConfirmation")
        assert document["Type"] == "SubscriptionConfirmation" and document["Token"] in document["SubscribeURL"]
        confirmed = sns.confirm_subscription(TopicArn=topic, Token=document["Token"])["SubscriptionArn"]
        assert confirmed.startswith(topic + ":")
