"""Queues by URL or ARN, and what messages hash to."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from elba.call import Call
from elba.errors import ApiError
from elba.sqs.resources import Queue
from elba.store.interface import View

DEFAULT_ENDPOINT = "http://127.0.0.1:4566"


def queue_unknown() -> ApiError:
    return ApiError("QueueDoesNotExist", "The specified queue does not exist.")


def invalid(message: str) -> ApiError:
    return ApiError("InvalidParameterValue", message)


def require_queue(view: View, call: Call, url: str) -> Queue:
    """The queue of a URL (whatever its host) or a bare name. Raises: ApiError QueueDoesNotExist."""
    parts = [part for part in urlsplit(url).path.split("/") if part]
    account = parts[-2] if len(parts) >= 2 else call.account
    queue = view.get(Queue, account, call.region, parts[-1]) if parts and account == call.account else None
    if queue is None:
        raise queue_unknown()
    return queue


def queue_of_arn(view: View, arn: str) -> Queue | None:
    """The queue that an ARN names, or None."""
    parts = arn.split(":")
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != "sqs":
        return None
    return view.get(Queue, parts[4], parts[3], parts[5])


def url_of(queue: Queue, endpoint: str) -> str:
    return f"{endpoint}/{queue.account}/{queue.id}"


def body_digest(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def attributes_digest(attributes: Mapping[str, Mapping[str, Any]]) -> str | None:
    """MD5 of message attributes; None without any. Source: SQS developer guide, "MD5 message digest for attributes"."""
    if not attributes:
        return None
    digest = hashlib.md5(usedforsecurity=False)

    def add(data: bytes) -> None:
        digest.update(len(data).to_bytes(4, "big") + data)

    for name in sorted(attributes):
        value = attributes[name]
        add(name.encode())
        add(value["data_type"].encode())
        if value.get("binary_value") is not None:
            digest.update(b"\x02")
            add(b64decode(value["binary_value"]))
        else:
            digest.update(b"\x01")
            add(value.get("string_value", "").encode())
    return digest.hexdigest()
