"""Invokes the Lambda functions that groups have as termination policies."""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec

from elba.autoscaling.advance.advising import PAUSE_SECONDS
from elba.autoscaling.resources import Group, TerminationAdvice
from elba.call import Call
from elba.lambda_.interface import CodeMissing, Throttled
from elba.lambda_.names import find, program_of
from elba.lambda_.permissions import split_arn
from elba.parts import Parts
from elba.reconcile import Done
from elba.resource import Key
from elba.store.interface import Transaction

LIMIT_SECONDS = 2.0


class TerminationAdviceReconciler:
    """Asks, and writes down the answer."""

    name = "autoscaling.termination_advice"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def keys_for(self, changed: Key) -> Iterable[Key]:
        return [changed] if changed.kind == TerminationAdvice.KIND else []

    def all_keys(self) -> Iterable[Key]:
        return [advice.key for advice in self._parts.store.view.all(TerminationAdvice)]

    async def reconcile(self, key: Key) -> Done:
        parts = self._parts
        advice = parts.store.view.get(TerminationAdvice, key.account, key.region, key.id)
        if advice is None or advice.state != "asked":
            return Done()
        named = await self._ask(advice)

        def conclude(tx: Transaction) -> None:
            if tx.get(TerminationAdvice, key.account, key.region, key.id) is not advice:
                return
            if tx.get(Group, key.account, key.region, key.id) is None:
                tx.delete(advice)
            elif named:
                tx.put(msgspec.structs.replace(advice, state="answered", instance_ids=named))
            else:
                again = parts.clock.now() + PAUSE_SECONDS
                tx.put(msgspec.structs.replace(advice, state="failed", failures=advice.failures + 1, retry_at=again))

        await parts.store.write(conclude, f"reconciler:{self.name}")
        return Done()

    async def _ask(self, advice: TerminationAdvice) -> list[str]:
        """The instances it names; none if it fails, answers nonsense or takes more than two seconds."""
        parts = self._parts
        account, region, name, qualifier = split_arn(advice.function_arn)
        call = Call(account, region, parts.clock.now(), parts.ids, cause="termination policy")
        function = find(parts.store.view, call, name, qualifier, parts.ids.random)
        if function is None or parts.functions is None:
            return []
        program = program_of(parts.store.view, function)
        try:
            result = await parts.functions.invoke(
                program, advice.payload.encode(), parts.ids.uuid(), within_seconds=LIMIT_SECONDS
            )
        except (Throttled, CodeMissing):
            return []
        try:
            answer = None if result.error else json.loads(result.payload)
        except ValueError:
            return []
        named = answer.get("InstanceIDs") if isinstance(answer, dict) else None
        return [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
