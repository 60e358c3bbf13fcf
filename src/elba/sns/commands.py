"""SNS's commands: topics, subscriptions, and publishing, which stores a delivery for each subscription."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.sns import filters, policies
from elba.sns.lookup import check_topic_arn, invalid, is_near, require_subscription, require_topic
from elba.sns.message import MOST_BYTES, check_message, for_protocol, read_attributes, size
from elba.sns.resources import Delivery, Subscription, Topic
from elba.store.interface import Transaction, View

TOPIC_ATTRIBUTES = frozenset(
    {"DisplayName", "Policy", "DeliveryPolicy", "KmsMasterKeyId", "TracingConfig", "SignatureVersion"}
    | {
        f"{protocol}{kind}"
        for protocol in ("HTTP", "SQS", "Lambda", "Application", "Firehose")
        for kind in ("SuccessFeedbackRoleArn", "SuccessFeedbackSampleRate", "FailureFeedbackRoleArn")
    }
)
FIFO_ATTRIBUTES = ("FifoTopic", "ContentBasedDeduplication", "FifoThroughputScope", "ArchivePolicy")
SUBSCRIPTION_ATTRIBUTES = (
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "SubscriptionRoleArn",
)
ENDPOINTS = {
    "http": (r"http://.+", "Endpoint must match the specified protocol"),
    "https": (r"https://.+", "Endpoint must match the specified protocol"),
    "email": (r"[^@\s]+@[^@\s]+", "Email address"),
    "email-json": (r"[^@\s]+@[^@\s]+", "Email address"),
    "sqs": (r"arn:[^:]+:sqs:[^:]+:[0-9]{12}:[A-Za-z0-9_.-]+", "SQS endpoint ARN"),
}
MOST_TAGS = 50


def create_topic(tx: Transaction, call: Call, request: Request) -> Answer:
    """Make a topic; the same again if attributes and tags are the same. Raises: ApiError InvalidParameter."""
    name = request["name"]
    attributes = dict(request.get("attributes") or {})
    if name.endswith(".fifo") or attributes.get("FifoTopic", "false") == "true":
        raise invalid("Attributes Reason: FIFO topics are not part of this Elba")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", name):
        raise invalid("Topic Name")
    for key, value in attributes.items():
        _check_topic_attribute(key, value)
    kept = {key: value for key, value in attributes.items() if key not in FIFO_ATTRIBUTES}
    tags = {tag["key"]: tag["value"] for tag in request.get("tags") or []}
    arn = call.arn("sns", name)
    old = tx.get(Topic, call.account, call.region, arn)
    if old is not None:
        if any(old.attributes.get(key, "") != value for key, value in kept.items()):
            raise invalid("Attributes Reason: Topic already exists with different attributes")
        if tags and tags != old.tags:
            raise invalid("Tags Reason: Topic already exists with different tags")
        return {"topic_arn": arn}
    tx.put(Topic(account=call.account, region=call.region, id=arn, attributes=kept, tags=tags, created=call.now))
    return {"topic_arn": arn}


def _check_topic_attribute(name: str, value: str) -> None:
    if name in FIFO_ATTRIBUTES:
        if value not in ("", "false"):
            raise invalid(f"Attributes Reason: {name} is for FIFO topics, which are not part of this Elba")
        return
    if name not in TOPIC_ATTRIBUTES:
        raise invalid("AttributeName")
    if not value:
        return
    if name == "Policy":
        _json(value, "Policy Error: null")
    elif name == "DisplayName" and len(value) > 100:
        raise invalid("DisplayName Reason: It can be at most 100 characters long")
    elif name == "SignatureVersion" and value not in ("1", "2"):
        raise invalid("SignatureVersion Reason: it must be 1 or 2")
    elif name == "DeliveryPolicy":
        http = _json(value, "DeliveryPolicy: failed to parse JSON").get("http", {})
        if problem := policies.retry_error(http.get("defaultHealthyRetryPolicy") or {}):
            raise invalid(f"DeliveryPolicy: http.defaultHealthyRetryPolicy.{problem}")


def _json(text: str, complaint: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError:
        raise invalid(complaint) from None
    if not isinstance(read, dict):
        raise invalid(complaint)
    return read


def delete_topic(tx: Transaction, call: Call, request: Request) -> Answer:
    """Delete a topic, its subscriptions and what is on its way; none there is no error. Raises: ApiError."""
    check_topic_arn(call, request["topic_arn"])
    topic = tx.get(Topic, call.account, call.region, request["topic_arn"])
    if topic is not None:
        for subscription in tx.children(Subscription, topic.account, topic.region, topic.id):
            _forget(tx, subscription)
        tx.delete(topic)
    return {}


def _forget(tx: Transaction, subscription: Subscription) -> None:
    for delivery in tx.children(Delivery, subscription.account, subscription.region, subscription.id):
        tx.delete(delivery)
    tx.delete(subscription)


def set_topic_attributes(tx: Transaction, call: Call, request: Request) -> Answer:
    """Set one attribute, or clear it without a value. Raises: ApiError."""
    topic = require_topic(tx, call, request["topic_arn"])
    name, value = request["attribute_name"], request.get("attribute_value") or ""
    _check_topic_attribute(name, value)
    attributes = {k: v for k, v in {**topic.attributes, name: value}.items() if v and k not in FIFO_ATTRIBUTES}
    tx.put(replace(topic, attributes=attributes))
    return {}


def subscribe(tx: Transaction, call: Call, request: Request) -> Answer:
    """Subscribe an endpoint; the same again is the same subscription. Raises: ApiError.

    Queues and endpoints on this machine are confirmed at once; other web endpoints are sent a token.
    """
    topic = require_topic(tx, call, request["topic_arn"])
    protocol, endpoint = request["protocol"], request.get("endpoint") or ""
    if protocol not in ENDPOINTS:
        raise invalid(f"Amazon SNS does not support this protocol string: {protocol}")
    pattern, complaint = ENDPOINTS[protocol]
    if not re.fullmatch(pattern, endpoint):
        raise invalid(complaint)
    attributes = dict(request.get("attributes") or {})
    for name, value in attributes.items():
        _check_subscription_attribute(name, value, attributes, protocol)
    attributes = {name: _as_stored(name, value) for name, value in attributes.items() if value}
    found: Subscription | None = None
    for other in tx.children(Subscription, topic.account, topic.region, topic.id):
        if (other.protocol, other.endpoint) == (protocol, endpoint):
            found = other
    if found is not None:
        if any(found.attributes.get(name) != value for name, value in attributes.items()):
            raise invalid("Attributes Reason: Subscription already exists with different attributes")
    else:
        pending = protocol.startswith("email") or (protocol in ("http", "https") and not is_near(endpoint))
        found = Subscription(
            account=call.account,
            region=call.region,
            id=f"{topic.id}:{call.ids.uuid()}",
            topic_arn=topic.id,
            protocol=protocol,
            endpoint=endpoint,
            attributes=attributes,
            pending=pending,
            token=call.ids.hex(64) if pending else "",
            principal=call.caller_arn,
            authenticated=not pending,
        )
        tx.put(found)
    if found.pending and protocol in ("http", "https"):
        _send_confirmation(tx, call, found)
    shown = found.id if not found.pending or request.get("return_subscription_arn") else "pending confirmation"
    return {"subscription_arn": shown}


def _send_confirmation(tx: Transaction, call: Call, subscription: Subscription) -> None:
    text = (
        f"You have chosen to subscribe to the topic {subscription.topic_arn}.\n"
        "To confirm the subscription, visit the SubscribeURL included in this message."
    )
    _deliver(tx, call, subscription, call.ids.uuid(), text, None, {}, "SubscriptionConfirmation")


def _as_stored(name: str, value: str) -> str:
    return value.lower() if name == "RawMessageDelivery" else value


def _check_subscription_attribute(name: str, value: str, others: Mapping[str, str], protocol: str) -> None:
    if name not in SUBSCRIPTION_ATTRIBUTES:
        raise invalid("AttributeName")
    if not value:
        return
    if name == "RawMessageDelivery":
        if value.lower() not in ("true", "false"):
            raise invalid("RawMessageDelivery Reason: it must be true or false")
        if protocol.startswith("email") and value.lower() == "true":
            raise invalid("RawMessageDelivery Reason: it is not supported for this protocol")
    elif name == "FilterPolicyScope" and value not in ("MessageAttributes", "MessageBody"):
        raise invalid("FilterPolicyScope: Invalid value")
    elif name == "FilterPolicy":
        if problem := filters.policy_error(value, others.get("FilterPolicyScope", "MessageAttributes")):
            raise invalid(f"FilterPolicy: {problem}")
    elif name == "RedrivePolicy":
        policy = _json(value, "RedrivePolicy: failed to parse JSON")
        if not re.fullmatch(ENDPOINTS["sqs"][0], str(policy.get("deadLetterTargetArn", ""))):
            raise invalid("RedrivePolicy: deadLetterTargetArn is invalid")
    elif name == "DeliveryPolicy":
        retry = _json(value, "DeliveryPolicy: failed to parse JSON").get("healthyRetryPolicy") or {}
        if problem := policies.retry_error(retry):
            raise invalid(f"DeliveryPolicy: healthyRetryPolicy.{problem}")


def set_subscription_attributes(tx: Transaction, call: Call, request: Request) -> Answer:
    """Set one attribute, or clear it without a value. Raises: ApiError."""
    subscription = require_subscription(tx, call, request["subscription_arn"])
    name, value = request["attribute_name"], request.get("attribute_value") or ""
    _check_subscription_attribute(name, value, subscription.attributes, subscription.protocol)
    attributes = {k: v for k, v in {**subscription.attributes, name: _as_stored(name, value)}.items() if v}
    tx.put(replace(subscription, attributes=attributes))
    return {}


def dead_letter_arn(subscription: Subscription) -> str:
    """The queue for what cannot be delivered, or ""."""
    policy = subscription.attributes.get("RedrivePolicy")
    return str(json.loads(policy)["deadLetterTargetArn"]) if policy else ""


def confirm_subscription(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidParameter for a token that was not sent for this topic."""
    topic = require_topic(tx, call, request["topic_arn"])
    for subscription in tx.children(Subscription, topic.account, topic.region, topic.id):
        if subscription.token and subscription.token == request["token"]:
            signed = request.get("authenticate_on_unsubscribe", "").lower() == "true"
            tx.put(replace(subscription, pending=False, authenticated=signed))
            return {"subscription_arn": subscription.id}
    raise invalid("Token")


def unsubscribe(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidParameter; a subscription that is not there is no error."""
    try:
        subscription = require_subscription(tx, call, request["subscription_arn"])
    except ApiError as error:
        if error.code == "NotFound":
            return {}
        raise
    topic = tx.get(Topic, call.account, call.region, subscription.topic_arn)
    if topic is not None:
        tx.put(replace(topic, deleted_subscriptions=topic.deleted_subscriptions + 1))
    _forget(tx, subscription)
    return {}


def _publish(tx: Transaction, call: Call, topic: Topic, request: Request) -> Answer:
    texts = check_message(request)
    attributes = read_attributes(request)
    message_id = call.ids.uuid()
    for subscription in tx.children(Subscription, topic.account, topic.region, topic.id):
        if subscription.pending or subscription.protocol.startswith("email"):
            continue
        text = for_protocol(texts, subscription.protocol)
        policy = subscription.attributes.get("FilterPolicy")
        scope = subscription.attributes.get("FilterPolicyScope", "MessageAttributes")
        if policy and not filters.wanted(json.loads(policy), scope, text, attributes):
            continue
        _deliver(tx, call, subscription, message_id, text, request.get("subject") or None, attributes)
    return {"message_id": message_id}


def _deliver(
    tx: Transaction,
    call: Call,
    subscription: Subscription,
    message_id: str,
    text: str,
    subject: str | None,
    attributes: dict[str, dict[str, Any]],
    kind: str = "Notification",
) -> None:
    tx.put(
        Delivery(
            account=subscription.account,
            region=subscription.region,
            id=f"{message_id}/{subscription.id.rpartition(':')[2]}",
            subscription_arn=subscription.id,
            topic_arn=subscription.topic_arn,
            message_id=message_id,
            message=text,
            subject=subject,
            kind=kind,
            published=call.now,
            attributes=attributes,
            due=call.now,
        )
    )


def publish(tx: Transaction, call: Call, request: Request) -> Answer:
    """Store a delivery for each confirmed subscription that wants the message. Raises: ApiError."""
    arn = request.get("topic_arn") or request.get("target_arn")
    if not arn:
        if request.get("phone_number"):
            raise invalid("PhoneNumber Reason: text messages are not part of this Elba")
        raise invalid("TopicArn or TargetArn Reason: no value for required parameter")
    return _publish(tx, call, require_topic(tx, call, arn), request)


def publish_batch(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError for the whole; an entry that is refused is told in Failed."""
    topic = require_topic(tx, call, request["topic_arn"])
    entries = request["publish_batch_request_entries"]
    ids = [entry["id"] for entry in entries]
    if not ids:
        raise ApiError("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(ids) > 10:
        raise ApiError("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
    if len(set(ids)) != len(ids):
        raise ApiError("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
    if sum(size(entry) for entry in entries) > MOST_BYTES:
        raise ApiError("BatchRequestTooLong", "The length of all the messages put together is more than the limit.")
    done: list[Answer] = []
    failed: list[Answer] = []
    for entry in entries:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", entry["id"]):
            raise ApiError(
                "InvalidBatchEntryId",
                f"The Id of a batch entry in the batch request is too long: {entry['id']}"
                if len(entry["id"]) > 80
                else f"The Id of a batch entry in the batch request contains an impermissible character: {entry['id']}",
            )
        try:
            done.append({"id": entry["id"], **_publish(tx, call, topic, entry)})
        except ApiError as error:
            failed.append({"id": entry["id"], "code": error.code, "message": error.message, "sender_fault": True})
    return {"successful": done, "failed": failed}


def tag_resource(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFound, TagLimitExceeded."""
    topic = require_tagged(tx, call, request)
    tags = {**topic.tags, **{tag["key"]: tag["value"] for tag in request["tags"]}}
    if len(tags) > MOST_TAGS:
        raise ApiError("TagLimitExceeded", "Could not complete request: tag quota of per resource exceeded")
    tx.put(replace(topic, tags=tags))
    return {}


def untag_resource(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFound."""
    topic = require_tagged(tx, call, request)
    gone = set(request["tag_keys"])
    tx.put(replace(topic, tags={k: v for k, v in topic.tags.items() if k not in gone}))
    return {}


def require_tagged(tx: View, call: Call, request: Request) -> Topic:
    """The topic that a tag operation names. Raises: ApiError ResourceNotFound."""
    check_topic_arn(call, request["resource_arn"])
    topic = tx.get(Topic, call.account, call.region, request["resource_arn"])
    if topic is None:
        raise ApiError("ResourceNotFound", "Resource does not exist", 404)
    return topic
