"""What SQS shows."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from typing import Any

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.sqs.lookup import attributes_digest, body_digest, queue_unknown, require_queue
from elba.sqs.resources import DEFAULTS, Queue, QueueMessage
from elba.sqs.validation import FIFO, RANGES, TEXTS, redrive
from elba.store.interface import View

MOST_QUEUES = 1000
COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
OTHERS = ("All", "QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", *COUNTS, *RANGES, *TEXTS, *FIFO)


def get_queue_url(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError QueueDoesNotExist."""
    account = request.get("queue_owner_aws_account_id") or call.account
    queue = view.get(Queue, account, call.region, request["queue_name"])
    if queue is None:
        raise queue_unknown()
    return {"queue": queue}


def list_queues(view: View, call: Call, request: Request) -> Answer:
    """Queues in order of name; paged only if MaxResults is given, as on AWS. Raises: ApiError InvalidParameterValue."""
    if not 1 <= request.get("max_results", 1) <= MOST_QUEUES:
        reason = f"Must be between 1 and {MOST_QUEUES}, if provided"
        raise ApiError("InvalidParameterValue", f"Value for parameter MaxResults is invalid. Reason: {reason}.")
    prefix, after = request.get("queue_name_prefix", ""), request.get("next_token") or ""
    found = sorted(view.all(Queue, call.account, call.region), key=lambda queue: queue.id)
    found = [queue for queue in found if queue.id.startswith(prefix) and queue.id > after]
    most = request.get("max_results") or MOST_QUEUES
    more = len(found) > most and request.get("max_results") is not None
    return {"queues": found[:most], "next_token": found[most - 1].id if more else None}


def list_dead_letter_source_queues(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError QueueDoesNotExist."""
    dead = require_queue(view, call, request["queue_url"])
    queues = view.all(Queue, call.account, call.region)
    policies = [(queue, queue.attributes.get("RedrivePolicy")) for queue in queues]
    return {"queues": [queue for queue, policy in policies if policy and redrive(policy)[0] == dead.arn]}


def get_queue_attributes(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError QueueDoesNotExist, InvalidAttributeName."""
    queue = require_queue(view, call, request["queue_url"])
    wanted = request.get("attribute_names") or []
    for name in wanted:
        if name not in OTHERS:
            raise ApiError("InvalidAttributeName", f"Unknown Attribute {name}.")
    if not wanted:
        return {}
    messages = view.children(QueueMessage, queue.account, queue.region, queue.id)
    waiting = [m for m in messages if m.visible_at > call.now]
    counts = (
        len(messages) - len(waiting),
        sum(1 for m in waiting if m.receipt),
        sum(1 for m in waiting if not m.receipt),
    )
    attributes = {
        "QueueArn": queue.arn,
        **dict(zip(COUNTS, map(str, counts), strict=True)),
        "CreatedTimestamp": str(int(queue.created)),
        "LastModifiedTimestamp": str(int(queue.modified)),
        **DEFAULTS,
        "SqsManagedSseEnabled": "false" if "KmsMasterKeyId" in queue.attributes else "true",
        **queue.attributes,
    }
    every = "All" in wanted
    return {"attributes": {name: value for name, value in attributes.items() if every or name in wanted}}


def list_queue_tags(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError QueueDoesNotExist."""
    return {"tags": require_queue(view, call, request["queue_url"]).tags or None}


def any_visible(view: View, queue: Queue, now: float) -> bool:
    """Whether a receive would find something."""
    messages = view.children(QueueMessage, queue.account, queue.region, queue.id)
    return any(message.visible_at <= now for message in messages)


def shown(message: QueueMessage, request: Request) -> Answer:
    """A received message with the attributes that were asked for."""
    system = {
        "SenderId": message.sender,
        "SentTimestamp": str(int(message.sent * 1000)),
        "ApproximateReceiveCount": str(message.receive_count),
        "ApproximateFirstReceiveTimestamp": str(int(message.first_received * 1000)),
    }
    if message.trace_header:
        system["AWSTraceHeader"] = message.trace_header
    wanted = [*(request.get("attribute_names") or []), *(request.get("message_system_attribute_names") or [])]
    attributes = {n: v for n, v in system.items() if "All" in wanted or n in wanted}
    names = _chosen(message.attributes, request.get("message_attribute_names") or [])
    chosen = {name: message.attributes[name] for name in names}
    return {
        "message_id": message.message_id,
        "receipt_handle": message.receipt,
        "md5_of_body": body_digest(message.body),
        "body": message.body,
        "attributes": attributes or None,
        "md5_of_message_attributes": attributes_digest(chosen),
        "message_attributes": {name: _value(value) for name, value in chosen.items()} or None,
    }


def _value(stored: dict[str, Any]) -> Answer:
    if "binary_value" in stored:
        return {"data_type": stored["data_type"], "binary_value": b64decode(stored["binary_value"])}
    return dict(stored)


def _chosen(names: Iterable[str], wanted: list[str]) -> list[str]:
    """All, exact names, and prefixes written `name.*` or `name*`."""
    prefixes = tuple(w.removesuffix("*").removesuffix(".") for w in wanted if w.endswith("*"))
    every = "All" in wanted or ".*" in wanted
    return [n for n in names if every or n in wanted or (prefixes and n.startswith(prefixes))]
