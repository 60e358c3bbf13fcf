"""Why capacity changed or did not, kept so that `elba explain` can tell. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elba.autoscaling.resources import Decision, Group
from elba.call import Call
from elba.store.interface import Transaction

KEPT_DECISIONS = 200
"""Of each group. A held-back decision that repeats one since the last change replaces it, and counts on."""


def record_decision(
    tx: Transaction,
    call: Call,
    group: Group,
    *,
    trigger: str,
    summary: str,
    inputs: Mapping[str, Any],
    before: int,
    after: int,
) -> None:
    """Keep this decision of the group, and the latest `KEPT_DECISIONS` in all.

    `trigger`: alarm, request (ExecutePolicy), user, schedule, forecast or health.
    """
    kept = tx.children(Decision, group.account, group.region, group.id)
    inputs, id_, since, times = dict(inputs), "", call.now, 1
    if before == after:
        for old in reversed(kept):
            if old.before != old.after:
                break
            if old.trigger == trigger and old.after == after and _what(old.inputs) == _what(inputs):
                id_, since, times = old.id, old.since or old.time, old.times + 1
                break
    if not id_:
        id_ = f"{group.id}/{call.ids.uuid()}"
        for old in kept[: max(0, len(kept) - KEPT_DECISIONS + 1)]:
            tx.delete(old)
    tx.put(
        Decision(
            account=group.account,
            region=group.region,
            id=id_,
            group_name=group.id,
            time=call.now,
            since=since,
            times=times,
            trigger=trigger,
            summary=summary,
            inputs=inputs,
            before=before,
            after=after,
        )
    )


def _what(inputs: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Who asked and what held it back; the numbers may differ."""
    return [(p.get("policy"), p.get("blocked")) for p in inputs.get("proposals", [])] or [(inputs.get("action"),)]
