"""Delivers what was published, and publishes what alarms and Auto Scaling groups have to say."""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec.structs import replace

from elba.call import Call
from elba.cloudwatch import commands as cloudwatch
from elba.cloudwatch.resources import Alarm, AlarmAction, CompositeAlarm
from elba.errors import ApiError
from elba.parts import Parts
from elba.reconcile import Again, Done, Reconciler, Ticker
from elba.resource import Key
from elba.sns import alarm_messages, commands, policies
from elba.sns.lookup import is_near
from elba.sns.message import envelope, is_raw
from elba.sns.resources import Announcement, Delivery, Subscription, Topic
from elba.sqs import commands as sqs
from elba.sqs.lookup import queue_of_arn
from elba.store.interface import Transaction

log = logging.getLogger(__name__)

ENDPOINTS_SETTING = "sns_endpoints"
"""`any`: web endpoints on other machines are contacted too."""
REQUEST_SECONDS = 15.0
MOST_AT_ONCE = 6
"""Requests under way: an endpoint that hangs must not keep the work queue from everything else."""
BUSY_SECONDS = 0.2
AGENT = "Amazon Simple Notification Service Agent"

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""Posts to a URL; the status. Raises: aiohttp.ClientError, TimeoutError, OSError."""


def build(parts: Parts) -> list[Reconciler | Ticker]:
    return [DeliveryReconciler(parts), AlarmActionReconciler(parts), AnnouncementReconciler(parts)]


def _call(parts: Parts, key: Key, cause: str) -> Call:
    return Call(key.account, key.region, parts.clock.now(), parts.ids, caller_id=key.account, cause=cause)


class _Localhost(AbstractResolver):
    """Names under `localhost` are this machine, whatever the host's resolver says; all others are looked up."""

    def __init__(self) -> None:
        self._others = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host == "localhost" or host.endswith(".localhost"):
            return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]
        return await self._others.resolve(host, port, family)

    async def close(self) -> None:
        await self._others.close()


async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    connector = aiohttp.TCPConnector(resolver=_Localhost(), force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        return response.status


class DeliveryReconciler:
    """One attempt at a time for each delivery; what is not taken is tried again by the delivery policy.

    A queue gets the message in the write that ends the delivery. A web endpoint may get it twice if the control plane
    is killed between its answer and the write.
    """

    name = "sns.delivery"

    def __init__(self, parts: Parts, post: Post = post) -> None:
        self._parts = parts
        self._post = post
        self._under_way = 0
        self._endpoint = parts.settings.get("endpoint") or "http://127.0.0.1:4566"
        self._anywhere = parts.settings.get(ENDPOINTS_SETTING) == "any"

    def keys_for(self, changed: Key) -> Iterable[Key]:
        return [changed] if changed.kind == Delivery.KIND else []

    def all_keys(self) -> Iterable[Key]:
        return [delivery.key for delivery in self._parts.store.view.all(Delivery)]

    async def reconcile(self, key: Key) -> Done | Again:
        view, now = self._parts.store.view, self._parts.clock.now()
        delivery = view.get(Delivery, key.account, key.region, key.id)
        if delivery is None:
            return Done()
        if delivery.due > now:
            return Again(delivery.due - now, "the delivery policy's delay")
        subscription = view.get(Subscription, key.account, key.region, delivery.subscription_arn)
        if subscription is None:
            await self._parts.store.write(lambda tx: tx.delete(delivery), "unsubscribed")
            return Done()
        call = _call(self._parts, key, f"sns:{delivery.message_id}")
        if subscription.protocol == "sqs":
            await self._parts.store.write(lambda tx: self._to_queue(tx, call, delivery, subscription), call.cause)
            return Done()
        if self._under_way >= MOST_AT_ONCE:
            return Again(BUSY_SECONDS * self._parts.clock.scale, "enough requests are under way")
        self._under_way += 1
        try:
            problem, lasting = await self._to_web(delivery, subscription)
        finally:
            self._under_way -= 1
        call = _call(self._parts, key, call.cause)
        await self._parts.store.write(
            lambda tx: self._record(tx, call, delivery, subscription, problem, lasting), call.cause
        )
        return Done()

    def _to_queue(self, tx: Transaction, call: Call, delivery: Delivery, subscription: Subscription) -> None:
        queue = queue_of_arn(tx, subscription.endpoint)
        if queue is None:
            self._record(tx, call, delivery, subscription, "the queue does not exist", True)
            return
        if is_raw(subscription):
            sqs.put_message(tx, call, queue, delivery.message, delivery.attributes)
        else:
            sqs.put_message(tx, call, queue, envelope(delivery, subscription, self._endpoint), {})
        tx.delete(delivery)

    async def _to_web(self, delivery: Delivery, subscription: Subscription) -> tuple[str, bool]:
        """What went wrong ("" if nothing) and whether trying again is useless."""
        url = subscription.endpoint
        if not self._anywhere and not is_near(url):
            return "the endpoint is not on this machine", True
        raw = is_raw(subscription) and delivery.kind == "Notification"
        headers = {
            "Content-Type": self._policy(subscription)["requestPolicy"]["headerContentType"],
            "User-Agent": AGENT,
            "x-amz-sns-message-type": delivery.kind,
            "x-amz-sns-message-id": delivery.message_id,
            "x-amz-sns-topic-arn": delivery.topic_arn,
        }
        if delivery.kind == "Notification":
            headers["x-amz-sns-subscription-arn"] = subscription.id
        if raw:
            headers["x-amz-sns-rawdelivery"] = "true"
        body = delivery.message if raw else envelope(delivery, subscription, self._endpoint)
        try:
            status = await self._post(url, headers, body.encode())
        except (aiohttp.InvalidURL, ValueError) as error:
            return f"the endpoint is no URL: {error}", True
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"{type(error).__name__}: {error}", False
        if 200 <= status < 300:
            return "", False
        # Source: SNS developer guide, "Message delivery retries": 4xx but 429 are the subscriber's fault and final.
        return f"the endpoint answered {status}", 300 <= status < 500 and status != 429

    def _policy(self, subscription: Subscription) -> dict[str, Any]:
        view = self._parts.store.view
        topic = view.get(Topic, subscription.account, subscription.region, subscription.topic_arn)
        return policies.effective_subscription_policy(
            topic.attributes.get("DeliveryPolicy") if topic else None, subscription.attributes.get("DeliveryPolicy")
        )

    def _record(
        self, tx: Transaction, call: Call, delivery: Delivery, subscription: Subscription, problem: str, lasting: bool
    ) -> None:
        """Delivered, due again later, or given up (to the subscription's dead letter queue, if it has one)."""
        if tx.get(Delivery, delivery.account, delivery.region, delivery.id) is None:
            return
        delays = policies.delays(self._policy(subscription)["healthyRetryPolicy"])
        if problem and not lasting and delivery.attempts < len(delays):
            due = call.now + delays[delivery.attempts]
            tx.put(replace(delivery, attempts=delivery.attempts + 1, due=due))
            return
        tx.delete(delivery)
        if not problem:
            return
        log.warning(
            "message given up", extra={"resource": subscription.id, "cause": problem, "attempts": delivery.attempts + 1}
        )
        dead = commands.dead_letter_arn(subscription)
        queue = queue_of_arn(tx, dead) if dead else None
        if queue is not None:
            sqs.put_message(tx, call, queue, envelope(delivery, subscription, self._endpoint), {})


class AlarmActionReconciler:
    """Publishes the alarms' messages, and records with each alarm how that went."""

    name = "sns.alarm_action"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def keys_for(self, changed: Key) -> Iterable[Key]:
        if changed.kind != AlarmAction.KIND:
            return []
        action = self._parts.store.view.get(AlarmAction, changed.account, changed.region, changed.id)
        return [changed] if action is not None and action.service == "sns" else []

    def all_keys(self) -> Iterable[Key]:
        return [action.key for action in self._parts.store.view.all(AlarmAction) if action.service == "sns"]

    async def reconcile(self, key: Key) -> Done:
        call = _call(self._parts, key, f"alarm_action:{key.id}")
        alarm_messages.region_names()  # read from disk once, outside the write
        await self._parts.store.write(lambda tx: publish_alarm(tx, call, key.id), call.cause)
        return Done()


def publish_alarm(tx: Transaction, call: Call, action_id: str) -> None:
    """Publish one alarm action's message and record the outcome, in one write."""
    action = tx.get(AlarmAction, call.account, call.region, action_id)
    if action is None:
        return
    alarm: Alarm | CompositeAlarm | None = tx.get(Alarm, call.account, call.region, action.alarm_name)
    alarm = alarm or tx.get(CompositeAlarm, call.account, call.region, action.alarm_name)
    if alarm is None:
        tx.delete(action)
        return
    error: str | None = None
    message = alarm_messages.message(action, alarm)
    request = {
        "topic_arn": action.action_arn,
        "subject": printable(alarm_messages.subject(action)),
        "message": message,
    }
    try:
        commands.publish(tx, call, request)
    except ApiError as refused:
        error = refused.message
    cloudwatch.record_action(tx, call, action, error, message=message)


def printable(text: str) -> str:
    """A subject in the characters that one may hold."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)


class AnnouncementReconciler:
    """Sends what Auto Scaling groups have to tell topics and queues. One that is gone by now is told nothing."""

    name = "sns.announcement"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def keys_for(self, changed: Key) -> Iterable[Key]:
        return [changed] if changed.kind == Announcement.KIND else []

    def all_keys(self) -> Iterable[Key]:
        return [message.key for message in self._parts.store.view.all(Announcement)]

    async def reconcile(self, key: Key) -> Done:
        call = _call(self._parts, key, f"announcement:{key.id}")
        await self._parts.store.write(lambda tx: announce(tx, call, key.id), call.cause)
        return Done()


def announce(tx: Transaction, call: Call, message_id: str) -> None:
    message = tx.get(Announcement, call.account, call.region, message_id)
    if message is None:
        return
    tx.delete(message)
    if ":sqs:" in message.target_arn:
        queue = queue_of_arn(tx, message.target_arn)
        if queue is not None:
            sqs.put_message(tx, call, queue, message.body, {})
            return
        problem = "the queue does not exist"
    else:
        try:
            request = {"topic_arn": message.target_arn, "subject": message.subject, "message": message.body}
            commands.publish(tx, call, request)
        except ApiError as refused:
            problem = refused.message
        else:
            return
    log.warning("announcement not sent", extra={"resource": message.target_arn, "cause": problem})
