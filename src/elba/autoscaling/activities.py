"""Scaling activities: begun, moved on and ended here only, so that a group's story is told the same way. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from elba.autoscaling import announcements
from elba.autoscaling.resources import Activity, Group
from elba.call import Answer, Call
from elba.clock import Timestamp
from elba.ec2 import zones
from elba.store.interface import Transaction, View

KEPT_SECONDS = 42 * 86400
"""Six weeks. Source: Auto Scaling user guide, "Verify a scaling activity"."""

PROGRESS = {
    "PreInService": 30,
    "InProgress": 0,
    "WaitingForELBConnectionDraining": 50,
    "MidLifecycleAction": 60,
    "WaitingForInPlaceUpdateToStart": 10,
    "InPlaceUpdateInProgress": 50,
    "WaitingForInPlaceUpdateToFinalize": 80,
}
ENDED = ("Successful", "Failed", "Cancelled")


def details(subnet_id: str, zone: str, alarms: Iterable[dict[str, Any]] = ()) -> str:
    """The JSON text that goes with a launch or termination."""
    fields: dict[str, Any] = {}
    if subnet_id:
        fields["Subnet ID"] = subnet_id
    if zone:
        fields["Availability Zone"] = zone
        fields["Availability Zone ID"] = zones.zone_id(zone)
    if invoking := list(alarms):
        fields["InvokingAlarms"] = invoking
    return json.dumps(fields, separators=(",", ":"))


def begin(
    tx: Transaction,
    call: Call,
    group: Group,
    description: str,
    cause: str,
    *,
    status: str = "InProgress",
    instance_id: str = "",
    details: str = "{}",
) -> Activity:
    activity = Activity(
        account=group.account,
        region=group.region,
        id=call.ids.uuid(),
        group_name=group.id,
        group_arn=group.arn,
        description=description,
        cause=cause,
        start_time=call.now,
        status_code=status,
        progress=PROGRESS.get(status, 0),
        details=details,
        instance_id=instance_id,
    )
    tx.put(activity)
    return activity


def record(
    tx: Transaction,
    call: Call,
    group: Group,
    description: str,
    cause: str,
    *,
    status: str = "Successful",
    message: str = "",
    instance_id: str = "",
    details: str = "{}",
) -> Activity:
    """An activity that begins and ends in one."""
    begun = begin(tx, call, group, description, cause, instance_id=instance_id, details=details)
    ended = msgspec.structs.replace(begun, status_code=status, status_message=message, progress=100, end_time=call.now)
    tx.put(ended)
    announcements.activity_ended(tx, group, ended)
    return ended


def move(tx: Transaction, group: Group, activity_id: str, status: str) -> None:
    """The running activity's next status; nothing if it is not there or has ended."""
    activity = tx.get(Activity, group.account, group.region, activity_id) if activity_id else None
    if activity is not None and activity.end_time is None and activity.status_code != status:
        progress = max(activity.progress, PROGRESS.get(status, 0))
        tx.put(msgspec.structs.replace(activity, status_code=status, progress=progress))


def end(
    tx: Transaction,
    group: Group,
    activity_id: str,
    now: Timestamp,
    status: str = "Successful",
    message: str = "",
    description: str = "",
) -> None:
    """End the activity; nothing if it is not there or has ended."""
    activity = tx.get(Activity, group.account, group.region, activity_id) if activity_id else None
    if activity is not None and activity.end_time is None:
        ended = msgspec.structs.replace(
            activity,
            status_code=status,
            status_message=message,
            progress=100,
            end_time=now,
            description=description or activity.description,
        )
        tx.put(ended)
        announcements.activity_ended(tx, group, ended)


def of_group(view: View, account: str, region: str, group_name: str) -> list[Activity]:
    """In AWS's order: running first, then the latest start first."""
    found = view.children(Activity, account, region, group_name)
    return ordered(found)


def ordered(found: Iterable[Activity]) -> list[Activity]:
    indexed = list(enumerate(found))
    indexed.sort(key=lambda pair: (pair[1].end_time is not None, -pair[1].start_time, -pair[0]))
    return [activity for _, activity in indexed]


def shown(activity: Activity) -> Answer:
    """As the API shows it."""
    return {
        "activity_id": activity.id,
        "auto_scaling_group_name": activity.group_name,
        "auto_scaling_group_arn": activity.group_arn,
        "description": activity.description,
        "cause": activity.cause,
        "start_time": activity.start_time,
        "end_time": activity.end_time,
        "status_code": activity.status_code,
        "status_message": activity.status_message or None,
        "progress": activity.progress,
        "details": activity.details,
        "auto_scaling_group_state": "Deleted" if activity.group_deleted else None,
    }
