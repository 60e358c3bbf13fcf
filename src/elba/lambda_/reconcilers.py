"""What Lambda does by itself: asynchronous invocations, alarms' actions, forgetting code that nobody uses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from elba.call import Call
from elba.cloudwatch import commands as cloudwatch
from elba.cloudwatch.commands.transitions import find_alarm
from elba.cloudwatch.resources import AlarmAction
from elba.lambda_ import alarm_events, commands
from elba.lambda_.interface import CodeMissing, Functions, Program, Throttled
from elba.lambda_.names import find, hex_digest, program_of
from elba.lambda_.permissions import ALARMS, may_invoke, split_arn
from elba.lambda_.resources import Function, Invocation
from elba.parts import Parts
from elba.reconcile import Done, Reconciler, Ticker
from elba.resource import Key
from elba.store.interface import Transaction

log = logging.getLogger(__name__)

RETRY_SECONDS = (60.0, 120.0)
THROTTLED_SECONDS = 1.0
MOST_AGE_SECONDS = 6 * 3600.0
SWEEP_SECONDS = 3600.0


def build(parts: Parts) -> list[Reconciler | Ticker]:
    loops: list[Reconciler | Ticker] = [AlarmActionReconciler(parts)]
    if parts.functions is not None:
        loops += [InvocationTicker(parts, parts.functions), CodeTicker(parts, parts.functions)]
    return loops


class AlarmActionReconciler:
    """Turns alarms' Lambda actions into asynchronous invocations, as AWS does."""

    name = "lambda.alarm_action"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def keys_for(self, changed: Key) -> Iterable[Key]:
        if changed.kind != AlarmAction.KIND:
            return []
        action = self._parts.store.view.get(AlarmAction, changed.account, changed.region, changed.id)
        return [changed] if action is not None and action.service == "lambda" else []

    def all_keys(self) -> Iterable[Key]:
        return [action.key for action in self._parts.store.view.all(AlarmAction) if action.service == "lambda"]

    async def reconcile(self, key: Key) -> Done:
        call = Call(key.account, key.region, self._parts.clock.now(), self._parts.ids, cause=f"alarm_action:{key.id}")
        await self._parts.store.write(lambda tx: _accept(tx, call, key), call.cause)
        return Done()


def _accept(tx: Transaction, call: Call, key: Key) -> None:
    action = tx.get(AlarmAction, key.account, key.region, key.id)
    if action is None:
        return
    cloudwatch.record_action(tx, call, action, _enqueue_action(tx, call, action))


def _enqueue_action(tx: Transaction, call: Call, action: AlarmAction) -> str | None:
    """Asks for the invocation; what is wrong with it, if anything."""
    arn = action.action_arn
    try:
        account, region, name, qualifier = split_arn(arn)
    except ValueError:
        return f"{arn} is not the ARN of a Lambda function"
    if (account, region) != (call.account, call.region) or find(tx, call, name, qualifier) is None:
        return f"Function not found: {arn}"
    if not may_invoke(tx, arn, ALARMS, action.alarm_arn, call.account):
        return (
            f"CloudWatch Alarms is not authorized to perform: lambda:InvokeFunction on the resource {arn} because no "
            "resource-based policy allows the lambda:InvokeFunction action"
        )
    alarm = find_alarm(tx, call, action.alarm_name)
    event = alarm_events.event_of(action, alarm)
    commands.enqueue(tx, call, name, qualifier, msgspec.json.encode(event), call.ids.uuid())
    return None


class InvocationTicker:
    """Runs asynchronous invocations; one that fails is tried again after a minute, then after two more.

    At least once: one under way when the control plane dies is run again.
    """

    name = "lambda.invocations"

    def __init__(self, parts: Parts, functions: Functions) -> None:
        self._parts = parts
        self._functions = functions
        self._due = asyncio.Event()
        self._under_way: set[Key] = set()
        parts.store.subscribe(self._changed)

    def _changed(self, keys: Iterable[Key]) -> None:
        if any(key.kind == Invocation.KIND for key in keys):
            self._due.set()

    async def run(self) -> None:
        self._under_way.clear()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._due.clear()
                next_: float | None = None
                for invocation in self._parts.store.view.all(Invocation):
                    if invocation.key in self._under_way:
                        continue
                    left = invocation.not_before - self._parts.clock.now()
                    if left > 0:
                        next_ = left if next_ is None else min(next_, left)
                        continue
                    self._under_way.add(invocation.key)
                    tasks.create_task(self._run(invocation))
                try:
                    async with asyncio.timeout(None if next_ is None else next_ / self._parts.clock.scale):
                        await self._due.wait()
                except TimeoutError:
                    continue

    async def _run(self, invocation: Invocation) -> None:
        parts = self._parts
        call = Call(
            invocation.account, invocation.region, parts.clock.now(), parts.ids, cause=f"invocation:{invocation.id}"
        )
        try:
            done: Invocation | None = None
            function = find(parts.store.view, call, invocation.function_name, invocation.qualifier, parts.ids.random)
            if function is not None:
                done = await self._attempt(invocation, program_of(parts.store.view, function))
            await parts.store.write(lambda tx: _conclude(tx, invocation, done), call.cause)
        finally:
            self._under_way.discard(invocation.key)
            self._due.set()

    async def _attempt(self, invocation: Invocation, program: Program) -> Invocation | None:
        """What is left to do of it: None = nothing."""
        clock = self._parts.clock
        try:
            result = await self._functions.invoke(program, invocation.payload, invocation.id)
        except Throttled:
            if clock.now() - invocation.accepted > MOST_AGE_SECONDS:
                return None
            return msgspec.structs.replace(invocation, not_before=clock.now() + THROTTLED_SECONDS)
        except CodeMissing:
            log.warning("function has no code", extra={"resource": program.arn})
            return None
        if not result.error or invocation.attempts >= len(RETRY_SECONDS):
            return None
        pause = RETRY_SECONDS[invocation.attempts]
        return msgspec.structs.replace(invocation, attempts=invocation.attempts + 1, not_before=clock.now() + pause)


def _conclude(tx: Transaction, invocation: Invocation, left: Invocation | None) -> None:
    if tx.get(Invocation, invocation.account, invocation.region, invocation.id) is None:
        return
    if left is None:
        tx.delete(invocation)
    else:
        tx.put(left)


class CodeTicker:
    """Forgets code that no version uses any more."""

    name = "lambda.code"

    def __init__(self, parts: Parts, functions: Functions) -> None:
        self._parts = parts
        self._functions = functions

    async def run(self) -> None:
        while True:
            await self._parts.clock.sleep(SWEEP_SECONDS)
            self._functions.sweep({hex_digest(f.code_sha256) for f in self._parts.store.view.all(Function)})
