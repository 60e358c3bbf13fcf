"""Forgets messages that were kept for their queue's retention period."""

from __future__ import annotations

from elba.parts import Parts
from elba.reconcile import Reconciler, Ticker
from elba.sqs.resources import Queue, QueueMessage
from elba.store.interface import Transaction

CHECK_SECONDS = 60.0


def build(parts: Parts) -> list[Reconciler | Ticker]:
    return [RetentionTicker(parts)]


class RetentionTicker:
    name = "sqs.retention"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self) -> None:
        while True:
            await self._parts.clock.sleep(CHECK_SECONDS)
            now = self._parts.clock.now()

            def expire(tx: Transaction, now: float = now) -> None:
                for queue in tx.all(Queue):
                    oldest = now - queue.number("MessageRetentionPeriod")
                    for message in tx.children(QueueMessage, queue.account, queue.region, queue.id):
                        if message.sent > oldest:
                            break
                        tx.delete(message)

            if self._parts.store.view.all(Queue):
                await self._parts.store.write(expire, "retention")
