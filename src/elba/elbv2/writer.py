"""Runs ELBv2's commands on behalf of its own loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elba.call import Answer, Call
from elba.clock import Clock
from elba.context import Command
from elba.ids import IdSource
from elba.parts import Parts
from elba.store.interface import Store


class Writer:
    """Runs commands on a reconciler's own behalf."""

    def __init__(self, name: str, store: Store, clock: Clock, ids: IdSource) -> None:
        self._name, self._store, self._clock, self._ids = name, store, clock, ids

    async def write(self, command: Command, account: str, region: str, request: Mapping[str, Any]) -> Answer:
        call = Call(account, region, self._clock.now(), self._ids, cause=self._name)
        return await self._store.write(lambda tx: command(tx, call, request), self._name)


def writer_of(name: str, parts: Parts) -> Writer:
    return Writer(name, parts.store, parts.clock, parts.ids)
