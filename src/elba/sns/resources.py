"""SNS's stored resources. Types only."""

from __future__ import annotations

from typing import Any, ClassVar

from elba.resource import Resource


class Topic(Resource, frozen=True, kw_only=True):
    """A standard topic; `id` is its ARN. `attributes` are those that were set."""

    KIND: ClassVar[str] = "sns.topic"

    attributes: dict[str, str] = {}
    tags: dict[str, str] = {}
    created: float = 0.0
    deleted_subscriptions: int = 0

    @property
    def name(self) -> str:
        return self.id.rpartition(":")[2]


class Subscription(Resource, frozen=True, kw_only=True):
    """`id` is its ARN; it gets messages once it is confirmed."""

    KIND: ClassVar[str] = "sns.subscription"

    topic_arn: str
    protocol: str
    endpoint: str
    attributes: dict[str, str] = {}
    pending: bool = False
    token: str = ""
    principal: str = ""
    authenticated: bool = False

    def parent_id(self) -> str:
        return self.topic_arn


class Delivery(Resource, frozen=True, kw_only=True):
    """One message on its way to one subscription; `id` is `<message id>/<last part of the subscription's ARN>`.

    It is deleted when the endpoint has taken it or when it is given up. `kind`: Notification or
    SubscriptionConfirmation. `attributes` as SQS stores them.
    """

    KIND: ClassVar[str] = "sns.delivery"

    subscription_arn: str
    topic_arn: str
    message_id: str
    message: str
    subject: str | None = None
    kind: str = "Notification"
    published: float = 0.0
    attributes: dict[str, dict[str, Any]] = {}
    attempts: int = 0
    due: float = 0.0

    def parent_id(self) -> str:
        return self.subscription_arn


class Announcement(Resource, frozen=True, kw_only=True):
    """What another service has to tell a topic or a queue, written together with what it tells of.

    SNS's reconciler publishes it and deletes it. `body` is the message's text, `subject` is for topics.
    """

    KIND: ClassVar[str] = "sns.announcement"

    target_arn: str
    subject: str
    body: str
