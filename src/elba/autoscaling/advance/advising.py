"""A Lambda function as termination policy: the turn asks, a reconciler invokes, a later turn goes by the answer.

Source: Auto Scaling user guide, "Create a custom termination policy with Lambda".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import msgspec

from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.lookup import counted, units
from elba.autoscaling.resources import Member, TerminationAdvice

MOST_INSTANCES = 30_000
PAUSE_SECONDS = 30.0
"""Between an answer that is of no use and the next question: AWS says a short pause."""

Pick = Callable[[Turn, list[Member], list[str] | None], Member | None]
"""`shrinking.pick_one`: the next to go of these members, or None; the ids are those that may."""


def function_of(turn: Turn) -> str:
    """The ARN of the group's termination function, or ""."""
    policies = turn.group.termination_policies
    return policies[0] if policies and policies[0].startswith("arn:") else ""


def advised(
    turn: Turn, excess: int, pick: Pick, cause: str = "SCALE_IN", due: list[Member] | None = None
) -> set[str] | None:
    """Who may go by the function's word; None while it has not given it.

    `due`: who is to be replaced, for a refresh or a lifetime; else all that no protection keeps. Empty if nobody could
    go anyway. An answer counts once; after one of no use it is asked again after a pause.
    """
    group = turn.group
    known = turn.tx.get(TerminationAdvice, group.account, group.region, group.id)
    if known is not None and known.function_arn != function_of(turn):
        known = None
    if known is not None and known.state == "asked":
        return None
    if known is not None and known.state == "failed" and known.retry_at > turn.now:
        turn.look_again_at(known.retry_at)
        return None
    if known is not None and known.cause != cause:
        if known.state == "answered" and due is not None and turn.capacity() > turn.target():
            return None  # an answer for scaling in, which goes by it later in this turn
        known = None
    if due is None:
        free = [m for m in counted(turn.members()) if not m.protected_from_scale_in and units(m) <= excess]
    else:
        free = due
    if not free:
        return set()
    if known is not None and known.state == "answered":
        if named := {m.id for m in free} & set(known.instance_ids):
            turn.tx.delete(known)
            return named
        again = turn.now + PAUSE_SECONDS
        turn.tx.put(msgspec.structs.replace(known, state="failed", failures=known.failures + 1, retry_at=again))
        turn.look_again_at(again)
        return None
    payload = _payload(turn, excess, pick, cause, due)
    if payload:
        turn.tx.put(
            TerminationAdvice(
                account=group.account,
                region=group.region,
                id=group.id,
                function_arn=function_of(turn),
                payload=payload,
                state="asked",
                cause=cause,
                failures=known.failures if known else 0,
            )
        )
    return None


def is_unadvised(turn: Turn) -> bool:
    """The function has failed to name anybody useful, and has not done so since."""
    group = turn.group
    known = turn.tx.get(TerminationAdvice, group.account, group.region, group.id)
    return known is not None and known.failures > 0 and known.function_arn == function_of(turn)


def _payload(turn: Turn, excess: int, pick: Pick, cause: str, due: list[Member] | None) -> str:
    """What the function is asked; "" if nobody may go. The zones are those the group would take from itself."""
    group, left = turn.group, counted(turn.members())
    among = None if due is None else {m.id for m in due}
    wanted: Counter[tuple[str, str]] = Counter()
    while excess > sum(wanted.values()):
        ids = None if among is None else [m.id for m in left if m.id in among]
        if ids == [] or (victim := pick(turn, left, ids)) is None:
            break
        wanted[victim.availability_zone, _market(victim)] += 1
        left = [member for member in left if member.id != victim.id]
    if not wanted:
        return ""
    may_go = [m for m in counted(turn.members()) if not m.protected_from_scale_in] if due is None else due
    suitable = [m for m in may_go if (m.availability_zone, _market(m)) in wanted]
    event: dict[str, object] = {
        "AutoScalingGroupARN": group.arn,
        "AutoScalingGroupName": group.id,
        "CapacityToTerminate": [
            {"AvailabilityZone": zone, "Capacity": number, "InstanceMarketOption": market}
            for (zone, market), number in wanted.items()
        ],
        "Instances": [
            {
                "AvailabilityZone": m.availability_zone,
                "InstanceId": m.id,
                "InstanceType": m.instance_type,
                "InstanceMarketOption": _market(m),
            }
            for m in suitable[:MOST_INSTANCES]
        ],
        "Cause": cause,
    }
    if len(suitable) > MOST_INSTANCES:
        event["HasMoreInstances"] = True
    return json.dumps(event)


def _market(member: Member) -> str:
    return "spot" if member.spot else "on-demand"
