"""What a group tells topics and queues: ended activities, lifecycle actions that begin, tests. Pure.

Each message is stored in the write that it tells of (`sns.resources.Announcement`) and sent by SNS's reconciler.
Source: Auto Scaling user guide, "Amazon SNS notification options", "Lifecycle hook notifications".
"""

from __future__ import annotations

import json
from typing import Any

from elba.autoscaling.resources import (
    Activity,
    Group,
    LifecycleAction,
    LifecycleHook,
    Member,
    NotificationConfiguration,
)
from elba.call import Call
from elba.sns.message import time_text
from elba.sns.resources import Announcement, Topic
from elba.sqs.resources import Queue
from elba.store.interface import Transaction, View

SERVICE = "AWS Auto Scaling"
TEST = "autoscaling:TEST_NOTIFICATION"
MOST_SUBJECT = 100


def is_there(view: View, target_arn: str) -> bool:
    """Whether a topic or queue of that ARN can be told anything."""
    parts = target_arn.split(":")
    if len(parts) != 6 or parts[0] != "arn":
        return False
    if parts[2] == "sqs":
        return view.get(Queue, parts[4], parts[3], parts[5]) is not None
    return view.get(Topic, parts[4], parts[3], target_arn) is not None


def _put(tx: Transaction, group: Group, id_: str, target_arn: str, subject: str, body: dict[str, Any]) -> None:
    tx.put(
        Announcement(
            account=group.account,
            region=group.region,
            id=id_,
            target_arn=target_arn,
            subject=subject[:MOST_SUBJECT],
            body=json.dumps(body, separators=(",", ":"), ensure_ascii=False),
        )
    )


def test(tx: Transaction, call: Call, group: Group, target_arn: str) -> None:
    """The message that is sent when a topic or hook target is put."""
    id_ = call.ids.uuid()
    body = {
        "AccountId": group.account,
        "RequestId": call.request_id or id_,
        "AutoScalingGroupARN": group.arn,
        "AutoScalingGroupName": group.id,
        "Service": SERVICE,
        "Event": TEST,
        "Time": time_text(call.now),
    }
    _put(tx, group, id_, target_arn, f'Auto Scaling: test notification for group "{group.id}"', body)


def event_of(activity: Activity) -> str:
    """The notification type of an ended activity, or "" for one that is not notified."""
    failed = activity.status_code in ("Failed", "Cancelled")
    if activity.description.startswith("Launching a new EC2 instance"):
        return "autoscaling:EC2_INSTANCE_LAUNCH" + ("_ERROR" if failed else "")
    if activity.description.startswith("Terminating EC2 instance"):
        return "autoscaling:EC2_INSTANCE_TERMINATE" + ("_ERROR" if failed else "")
    return ""


def activity_ended(tx: Transaction, group: Group, activity: Activity) -> None:
    """Tell the topics that are configured for this kind of activity."""
    event = event_of(activity)
    if not event:
        return
    ended = activity.end_time or activity.start_time
    launch, failed = "LAUNCH" in event, event.endswith("_ERROR")
    subject = (
        f'Auto Scaling: {"failed " if failed else ""}{"launch" if launch else "termination"} for group "{group.id}"'
    )
    configurations = tx.children(NotificationConfiguration, group.account, group.region, group.id)
    for number, configuration in enumerate(configurations):
        if event not in configuration.notification_types:
            continue
        body = {
            "Progress": 100 if failed else 50,
            "AccountId": group.account,
            "Description": activity.description,
            "RequestId": activity.id,
            "EndTime": time_text(ended),
            "AutoScalingGroupARN": group.arn,
            "ActivityId": activity.id,
            "StartTime": time_text(activity.start_time),
            "Service": SERVICE,
            "Time": time_text(ended),
            "EC2InstanceId": activity.instance_id,
            "StatusCode": "Failed" if failed else "InProgress",
            "StatusMessage": activity.status_message,
            "Details": json.loads(activity.details),
            "AutoScalingGroupName": group.id,
            "Cause": activity.cause,
            "Event": event,
        }
        _put(tx, group, f"{activity.id}/{number}", configuration.topic_arn, subject, body)


def action_begins(
    tx: Transaction,
    hook: LifecycleHook,
    action: LifecycleAction,
    member: Member,
    *,
    has_pool: bool,
    reused: bool = False,
) -> None:
    """Tell the hook's target that an instance waits for it. `reused`: it leaves the group for the warm pool."""
    target = hook.notification_target_arn
    group = tx.get(Group, member.account, member.region, member.group_name)
    if not target or ":events:" in target or group is None:
        return
    body = {
        "LifecycleActionToken": action.id,
        "AccountId": member.account,
        "AutoScalingGroupName": member.group_name,
        "LifecycleHookName": hook.lifecycle_hook_name,
        "EC2InstanceId": member.id,
        "LifecycleTransition": action.transition,
        "Service": SERVICE,
        "Time": time_text(action.started_at),
        "RequestId": member.activity_id or action.id,
    }
    if hook.notification_metadata:
        body["NotificationMetadata"] = hook.notification_metadata
    if has_pool:
        body |= dict(zip(("Origin", "Destination"), _way(member, action.transition, reused), strict=True))
    launching = action.transition.endswith("LAUNCHING")
    word = "LAUNCHING" if launching else "TERMINATING"
    subject = f"Auto Scaling:  Lifecycle action '{word}' for instance {member.id} in progress."
    _put(tx, group, action.id, target, subject, body)


def _way(member: Member, transition: str, reused: bool) -> tuple[str, str]:
    """Where the instance comes from and goes to, for a group with a warm pool."""
    warm = member.lifecycle_state.startswith("Warmed:")
    if transition.endswith("LAUNCHING"):
        if warm:
            return "AutoScalingGroup" if member.from_group else "EC2", "WarmPool"
        return "WarmPool" if member.from_warm_pool else "EC2", "AutoScalingGroup"
    if warm:
        return "WarmPool", "EC2"
    return "AutoScalingGroup", "WarmPool" if reused else "EC2"
