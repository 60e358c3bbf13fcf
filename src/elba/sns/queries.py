"""What SNS shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from elba.call import Answer, Call, Request
from elba.resource import Resource
from elba.sns import policies
from elba.sns.commands import require_tagged
from elba.sns.lookup import check_topic_arn, invalid, require_subscription, require_topic
from elba.sns.resources import Subscription, Topic
from elba.store.interface import View

PAGE = 100

R = TypeVar("R", bound=Resource)


def _page(found: Sequence[R], token: str | None) -> tuple[list[R], str | None]:
    """The next hundred, and the token for those after. Raises: ApiError InvalidParameter."""
    if token and not token.isdecimal():
        raise invalid("NextToken")
    start = int(token) if token else 0
    return list(found[start : start + PAGE]), str(start + PAGE) if len(found) > start + PAGE else None


def list_topics(view: View, call: Call, request: Request) -> Answer:
    topics, token = _page(view.all(Topic, call.account, call.region), request.get("next_token"))
    return {"topics": [{"topic_arn": topic.id} for topic in topics], "next_token": token}


def default_policy(topic: Topic) -> str:
    """The access policy that a topic has from the start: its owner may do all."""
    actions = ("GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission", "DeleteTopic")
    policy = {
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [
            {
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [f"SNS:{a}" for a in (*actions, "Subscribe", "ListSubscriptionsByTopic", "Publish")],
                "Resource": topic.id,
                "Condition": {"StringEquals": {"AWS:SourceOwner": topic.account}},
            }
        ],
    }
    return json.dumps(policy, separators=(",", ":"))


def get_topic_attributes(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    topic = require_topic(view, call, request["topic_arn"])
    subscriptions = view.children(Subscription, topic.account, topic.region, topic.id)
    pending = sum(1 for subscription in subscriptions if subscription.pending)
    policy = policies.effective_topic_policy(topic.attributes.get("DeliveryPolicy"))
    attributes: dict[str, Any] = {
        "TopicArn": topic.id,
        "Owner": topic.account,
        "Policy": default_policy(topic),
        "DisplayName": "",
        "SubscriptionsConfirmed": str(len(subscriptions) - pending),
        "SubscriptionsPending": str(pending),
        "SubscriptionsDeleted": str(topic.deleted_subscriptions),
        "EffectiveDeliveryPolicy": json.dumps(policy, separators=(",", ":")),
        **topic.attributes,
    }
    return {"attributes": attributes}


def _shown(subscription: Subscription) -> Answer:
    return {
        "subscription_arn": "PendingConfirmation" if subscription.pending else subscription.id,
        "owner": subscription.account,
        "protocol": subscription.protocol,
        "endpoint": subscription.endpoint,
        "topic_arn": subscription.topic_arn,
    }


def list_subscriptions(view: View, call: Call, request: Request) -> Answer:
    found, token = _page(view.all(Subscription, call.account, call.region), request.get("next_token"))
    return {"subscriptions": [_shown(each) for each in found], "next_token": token}


def list_subscriptions_by_topic(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    topic = require_topic(view, call, request["topic_arn"])
    everything = view.children(Subscription, topic.account, topic.region, topic.id)
    found, token = _page(everything, request.get("next_token"))
    return {"subscriptions": [_shown(each) for each in found], "next_token": token}


def get_subscription_attributes(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    subscription = require_subscription(view, call, request["subscription_arn"])
    attributes = {
        "SubscriptionArn": subscription.id,
        "TopicArn": subscription.topic_arn,
        "Owner": subscription.account,
        "Protocol": subscription.protocol,
        "Endpoint": subscription.endpoint,
        "RawMessageDelivery": "false",
        "PendingConfirmation": str(subscription.pending).lower(),
        "ConfirmationWasAuthenticated": str(subscription.authenticated).lower(),
        "SubscriptionPrincipal": subscription.principal,
        **subscription.attributes,
    }
    if "FilterPolicy" in attributes:
        attributes.setdefault("FilterPolicyScope", "MessageAttributes")
    if subscription.protocol in ("http", "https"):
        topic = view.get(Topic, subscription.account, subscription.region, subscription.topic_arn)
        policy = policies.effective_subscription_policy(
            topic.attributes.get("DeliveryPolicy") if topic else None, subscription.attributes.get("DeliveryPolicy")
        )
        attributes["EffectiveDeliveryPolicy"] = json.dumps(policy, separators=(",", ":"))
    return {"attributes": attributes}


def list_tags_for_resource(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFound."""
    check_topic_arn(call, request["resource_arn"])
    topic = require_tagged(view, call, request)
    return {"tags": [{"key": key, "value": value} for key, value in topic.tags.items()]}
