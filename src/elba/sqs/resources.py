"""SQS's stored resources. Types only."""

from __future__ import annotations

from typing import Any, ClassVar

from elba.resource import Resource

DEFAULTS = {
    "VisibilityTimeout": "30",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
}


class Queue(Resource, frozen=True, kw_only=True):
    """A standard queue; `id` is its name. `attributes` are those that were set, as text."""

    KIND: ClassVar[str] = "sqs.queue"

    attributes: dict[str, str] = {}
    tags: dict[str, str] = {}
    created: float = 0.0
    modified: float = 0.0
    purged: float = 0.0

    @property
    def arn(self) -> str:
        return f"arn:aws:sqs:{self.region}:{self.account}:{self.id}"

    def number(self, name: str) -> int:
        """A numeric attribute, set or default."""
        return int(self.attributes.get(name, DEFAULTS[name]))


class QueueMessage(Resource, frozen=True, kw_only=True):
    """A message; `id` is `<queue>/<message id>`. It can be received from `visible_at` on.

    `receipt` is its newest handle. `attributes`: name to data_type and string_value or binary_value (base64).
    """

    KIND: ClassVar[str] = "sqs.message"

    queue_name: str
    message_id: str
    body: str
    sent: float
    visible_at: float
    attributes: dict[str, dict[str, Any]] = {}
    sender: str = ""
    receive_count: int = 0
    first_received: float = 0.0
    receipt: str = ""
    trace_header: str = ""

    def parent_id(self) -> str:
        return self.queue_name
