"""How desired capacity changes: the one place that writes it, whoever asked. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from elba.autoscaling import sentences
from elba.autoscaling.resources import Group
from elba.call import Call
from elba.store.interface import Transaction


def change_desired(
    tx: Transaction,
    call: Call,
    group: Group,
    desired: int,
    what: str,
    *,
    alarms: Iterable[dict[str, Any]] = (),
    cooldown_seconds: int = 0,
) -> Group:
    """The group with its new desired capacity, written; the same group if it is the same.

    `what` begins the sentence that the next activities quote. `cooldown_seconds`: a simple policy's, which begins
    when the last of those activities has ended.
    """
    if desired == group.desired_capacity:
        tx.put(group)
        return group
    sentence = sentences.changed(call.now, what, group.desired_capacity, desired)
    changed = msgspec.structs.replace(
        group,
        desired_capacity=desired,
        causes=[*group.causes, sentence],
        invoking_alarms=[*group.invoking_alarms, *alarms],
        cooldown_seconds_due=cooldown_seconds or group.cooldown_seconds_due,
        shrink_blocked=False,
    )
    tx.put(changed)
    return changed
