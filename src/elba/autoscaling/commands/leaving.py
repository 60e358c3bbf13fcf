"""How a member begins to leave: terminated, detached or put on standby. The reconciler brings it to the end."""

from __future__ import annotations

import msgspec

from elba.autoscaling import activities, sentences
from elba.autoscaling.commands import registration
from elba.autoscaling.resources import Activity, Group, LifecycleAction, Member
from elba.call import Call
from elba.store.interface import Transaction


def details_of(member: Member) -> str:
    return activities.details(member.subnet_id, member.availability_zone)


def begin_termination(
    tx: Transaction,
    call: Call,
    group: Group,
    member: Member,
    why: str,
    cause: str,
    *,
    launch_status: str = "Cancelled",
    launch_message: str = "",
) -> Activity:
    """Start to take the member out for good: deregistered now, terminated when it has drained and its hooks ran.

    A launch that was still going on ends as `launch_status`. `why`: Member.termination.
    """
    stop_waiting(tx, call, group, member, launch_status, launch_message)
    activity = activities.begin(
        tx,
        call,
        group,
        sentences.terminating(member.id),
        cause,
        instance_id=member.id,
        details=details_of(member),
    )
    registration.deregister(tx, call, group, [member.id])
    warmed = member.lifecycle_state.startswith("Warmed:")
    tx.put(
        msgspec.structs.replace(
            member,
            lifecycle_state="Warmed:Terminating" if warmed else "Terminating",
            state_since=call.now,
            termination=why,
            activity_id=activity.id,
            hooks_started=False,
        )
    )
    return activity


def stop_waiting(
    tx: Transaction, call: Call, group: Group, member: Member, status: str = "Cancelled", message: str = ""
) -> None:
    """Drop the member's lifecycle actions and end its running activity."""
    for action in tx.children(LifecycleAction, member.account, member.region, member.id):
        tx.delete(action)
    activities.end(tx, group, member.activity_id, call.now, status, message)


def begin_leaving(
    tx: Transaction, call: Call, group: Group, member: Member, state: str, description: str, cause: str
) -> Activity:
    """Deregister a member on its way to `state` (EnteringStandby, Detaching); its activity runs until it is there."""
    stop_waiting(tx, call, group, member)
    activity = activities.begin(tx, call, group, description, cause, instance_id=member.id, details=details_of(member))
    registration.deregister(tx, call, group, [member.id])
    tx.put(
        msgspec.structs.replace(
            member, lifecycle_state=state, state_since=call.now, activity_id=activity.id, hooks_started=True
        )
    )
    return activity
