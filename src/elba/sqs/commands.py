"""SQS's commands. They answer names of queues; the operations make URLs of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.sqs.lookup import attributes_digest, body_digest, invalid, queue_of_arn, require_queue
from elba.sqs.resources import DEFAULTS, Queue, QueueMessage
from elba.sqs.validation import (
    MOST_VISIBILITY_SECONDS,
    check_attributes,
    check_body,
    read_message_attributes,
    redrive,
    size,
)
from elba.store.interface import Transaction

MOST_BATCH = 10
MOST_BATCH_BYTES = 1_048_576
MOST_TAGS = 50
PURGE_SECONDS = 60.0


def create_queue(tx: Transaction, call: Call, request: Request) -> Answer:
    """Make a queue; the same again if its attributes are the same. Raises: ApiError QueueNameExists and others."""
    name = request["queue_name"]
    attributes = request.get("attributes") or {}
    if name.endswith(".fifo"):
        raise ApiError("UnsupportedOperation", "FIFO queues are not part of this Elba.")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name):
        raise invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
    kept = {k: v for k, v in check_attributes(attributes).items() if v}
    old = tx.get(Queue, call.account, call.region, name)
    if old is not None:
        for key, value in kept.items():
            if old.attributes.get(key, DEFAULTS.get(key, "")) != value:
                raise ApiError(
                    "QueueNameExists",
                    f"A queue already exists with the same name and a different value for attribute {key}",
                )
        return {"queue_name": name}
    tx.put(
        Queue(
            account=call.account,
            region=call.region,
            id=name,
            attributes=kept,
            tags=dict(request.get("tags") or {}),
            created=call.now,
            modified=call.now,
        )
    )
    return {"queue_name": name}


def delete_queue(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError QueueDoesNotExist."""
    queue = require_queue(tx, call, request["queue_url"])
    for message in tx.children(QueueMessage, queue.account, queue.region, queue.id):
        tx.delete(message)
    tx.delete(queue)
    return {}


def set_queue_attributes(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    queue = require_queue(tx, call, request["queue_url"])
    attributes = {**queue.attributes, **check_attributes(request["attributes"])}
    tx.put(replace(queue, attributes={k: v for k, v in attributes.items() if v}, modified=call.now))
    return {}


def purge_queue(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError QueueDoesNotExist, PurgeQueueInProgress within a minute of another."""
    queue = require_queue(tx, call, request["queue_url"])
    if queue.purged and call.now - queue.purged < PURGE_SECONDS:
        raise ApiError(
            "PurgeQueueInProgress", f"Only one PurgeQueue operation on {queue.id} is allowed every 60 seconds.", 403
        )
    for message in tx.children(QueueMessage, queue.account, queue.region, queue.id):
        tx.delete(message)
    tx.put(replace(queue, purged=call.now))
    return {}


def tag_queue(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    queue = require_queue(tx, call, request["queue_url"])
    tags = {**queue.tags, **request["tags"]}
    if len(tags) > MOST_TAGS:
        raise invalid(f"Too many tags added for queue {queue.id}.")
    tx.put(replace(queue, tags=tags))
    return {}


def untag_queue(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    queue = require_queue(tx, call, request["queue_url"])
    gone = set(request["tag_keys"])
    tx.put(replace(queue, tags={k: v for k, v in queue.tags.items() if k not in gone}))
    return {}


def put_message(
    tx: Transaction,
    call: Call,
    queue: Queue,
    body: str,
    attributes: Mapping[str, dict[str, Any]],
    *,
    delay: int | None = None,
    trace_header: str = "",
) -> QueueMessage:
    """Put a message that was checked into a queue; SNS's and Auto Scaling's way in as well."""
    message_id = call.ids.uuid()
    seconds = queue.number("DelaySeconds") if delay is None else delay
    message = QueueMessage(
        account=queue.account,
        region=queue.region,
        id=f"{queue.id}/{message_id}",
        queue_name=queue.id,
        message_id=message_id,
        body=body,
        attributes=dict(attributes),
        sent=call.now,
        visible_at=call.now + seconds,
        sender=call.caller_id or call.account,
        trace_header=trace_header,
    )
    tx.put(message)
    return message


def _send(tx: Transaction, call: Call, queue: Queue, request: Request) -> Answer:
    attributes = read_message_attributes(request)
    check_body(request["message_body"], attributes, queue.number("MaximumMessageSize"))
    delay = request.get("delay_seconds")
    if delay is not None and not 0 <= delay <= 900:
        raise invalid(
            f"Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
        )
    trace = (request.get("message_system_attributes") or {}).get("AWSTraceHeader", {}).get("string_value", "")
    message = put_message(tx, call, queue, request["message_body"], attributes, delay=delay, trace_header=trace)
    return {
        "message_id": message.message_id,
        "md5_of_message_body": body_digest(message.body),
        "md5_of_message_attributes": attributes_digest(message.attributes),
    }


def send_message(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    return _send(tx, call, require_queue(tx, call, request["queue_url"]), request)


def check_batch(entries: Iterable[Mapping[str, Any]], entry_name: str) -> None:
    """`entry_name`: what the model calls an entry. Raises: ApiError for a batch that is refused as a whole."""
    ids = [entry["id"] for entry in entries]
    if not ids:
        raise ApiError("EmptyBatchRequest", f"There should be at least one {entry_name} in the request.")
    if len(ids) > MOST_BATCH:
        raise ApiError(
            "TooManyEntriesInBatchRequest", f"Maximum number of entries per request are 10. You have sent {len(ids)}."
        )
    for position, id_ in enumerate(ids):
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", id_):
            raise ApiError(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at "
                "most 80 letters long.",
            )
        if id_ in ids[:position]:
            raise ApiError("BatchEntryIdsNotDistinct", f"Id {id_} repeated.")


def _each(entries: Iterable[Mapping[str, Any]], act: Callable[[Mapping[str, Any]], Answer]) -> Answer:
    """The answer of a batch: each entry by itself, those refused beside those that were not."""
    done: list[Answer] = []
    failed: list[Answer] = []
    for entry in entries:
        try:
            done.append({"id": entry["id"], **act(entry)})
        except ApiError as error:
            failed.append({"id": entry["id"], "code": error.code, "message": error.message, "sender_fault": True})
    return {"successful": done, "failed": failed or None}


def send_message_batch(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError for the whole; an entry that is refused is told in Failed."""
    queue = require_queue(tx, call, request["queue_url"])
    check_batch(request["entries"], "SendMessageBatchRequestEntry")
    total = sum(size(e["message_body"], read_message_attributes(e)) for e in request["entries"])
    if total > MOST_BATCH_BYTES:
        raise ApiError(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {MOST_BATCH_BYTES} bytes. You have sent {total} bytes.",
        )
    return _each(request["entries"], lambda entry: _send(tx, call, queue, entry))


def receive_message(tx: Transaction, call: Call, request: Request) -> Answer:
    """Up to MaxNumberOfMessages stored messages, now in flight; those received too often go to the dead letter queue.

    `messages` are QueueMessages: the query shows them. Raises: ApiError.
    """
    queue = require_queue(tx, call, request["queue_url"])
    most = request.get("max_number_of_messages", 1)
    timeout = request.get("visibility_timeout")
    seconds = queue.number("VisibilityTimeout") if timeout is None else timeout
    dead, limit = redrive(queue.attributes["RedrivePolicy"]) if "RedrivePolicy" in queue.attributes else ("", 0)
    taken: list[QueueMessage] = []
    oldest = call.now - queue.number("MessageRetentionPeriod")
    for message in tx.children(QueueMessage, queue.account, queue.region, queue.id):
        if len(taken) == most:
            break
        if message.sent <= oldest:
            tx.delete(message)
        elif message.visible_at <= call.now:
            if dead and message.receive_count >= limit and (target := queue_of_arn(tx, dead)) is not None:
                tx.delete(message)
                tx.put(
                    replace(
                        message,
                        account=target.account,
                        region=target.region,
                        id=f"{target.id}/{message.message_id}",
                        queue_name=target.id,
                        visible_at=call.now,
                        receipt="",
                    )
                )
                continue
            received = replace(
                message,
                visible_at=call.now + seconds,
                receive_count=message.receive_count + 1,
                first_received=message.first_received or call.now,
                receipt=f"{message.message_id}.{call.ids.hex(32)}",
            )
            tx.put(received)
            taken.append(received)
    return {"messages": taken}


def check_receive(request: Request) -> None:
    """Raises: ApiError InvalidParameterValue."""
    for name, wire, low, high in (
        ("max_number_of_messages", "MaxNumberOfMessages", 1, 10),
        ("wait_time_seconds", "WaitTimeSeconds", 0, 20),
        ("visibility_timeout", "VisibilityTimeout", 0, MOST_VISIBILITY_SECONDS),
    ):
        value = request.get(name)
        if value is not None and not low <= value <= high:
            wanted = f">= {low} and <= {high}" if wire == "WaitTimeSeconds" else f"between {low} and {high}"
            raise invalid(f"Value {value} for parameter {wire} is invalid. Reason: Must be {wanted}, if provided.")


def _of_receipt(tx: Transaction, queue: Queue, handle: str) -> QueueMessage | None:
    """The message of a receipt handle, newest or older; None if it is gone. Raises: ApiError for what is no handle."""
    message_id, dot, secret = handle.partition(".")
    if not dot or not re.fullmatch(r"[0-9a-f]{32}", secret):
        raise ApiError("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.')
    return tx.get(QueueMessage, queue.account, queue.region, f"{queue.id}/{message_id}")


def _delete(tx: Transaction, queue: Queue, handle: str) -> Answer:
    message = _of_receipt(tx, queue, handle)
    # A handle that a later receive replaced deletes nothing: somebody else works on the message.
    if message is not None and message.receipt == handle:
        tx.delete(message)
    return {}


def delete_message(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError QueueDoesNotExist, ReceiptHandleIsInvalid."""
    return _delete(tx, require_queue(tx, call, request["queue_url"]), request["receipt_handle"])


def delete_message_batch(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError for the whole."""
    queue = require_queue(tx, call, request["queue_url"])
    check_batch(request["entries"], "DeleteMessageBatchRequestEntry")
    return _each(request["entries"], lambda entry: _delete(tx, queue, entry["receipt_handle"]))


def _change(tx: Transaction, call: Call, queue: Queue, entry: Request) -> Answer:
    timeout = entry.get("visibility_timeout", 0)
    if not 0 <= timeout <= MOST_VISIBILITY_SECONDS:
        raise invalid(
            f"Value {timeout} for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an "
            "integer between 0 and 43200."
        )
    message = _of_receipt(tx, queue, entry["receipt_handle"])
    if message is None or message.receipt != entry["receipt_handle"] or message.visible_at <= call.now:
        raise ApiError(
            "MessageNotInflight",
            f"Value {entry['receipt_handle']} for parameter ReceiptHandle is invalid. Reason: Message does not exist "
            "or is not available for visibility timeout change.",
        )
    tx.put(replace(message, visible_at=call.now + timeout))
    return {}


def change_message_visibility(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    return _change(tx, call, require_queue(tx, call, request["queue_url"]), request)


def change_message_visibility_batch(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError for the whole."""
    queue = require_queue(tx, call, request["queue_url"])
    check_batch(request["entries"], "ChangeMessageVisibilityBatchRequestEntry")
    return _each(request["entries"], lambda entry: _change(tx, call, queue, entry))
