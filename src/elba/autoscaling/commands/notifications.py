"""Notification configurations: which topics hear of which activities."""

from __future__ import annotations

from elba.autoscaling import announcements, faults
from elba.autoscaling.lookup import require_group
from elba.autoscaling.resources import NotificationConfiguration
from elba.call import Answer, Call, Request
from elba.store.interface import Transaction

TYPES = (
    "autoscaling:EC2_INSTANCE_LAUNCH",
    "autoscaling:EC2_INSTANCE_LAUNCH_ERROR",
    "autoscaling:EC2_INSTANCE_TERMINATE",
    "autoscaling:EC2_INSTANCE_TERMINATE_ERROR",
    "autoscaling:TEST_NOTIFICATION",
)
MAX_TOPICS = 10


def put_notification_configuration(tx: Transaction, call: Call, request: Request) -> Answer:
    """Replace the notification types of a topic, and send it a test message. Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    for type_ in request["notification_types"]:
        if type_ not in TYPES:
            raise faults.validation(f'"{type_}" is not a valid Notification Type.')
    id_ = f"{group.id}|{request['topic_arn']}"
    others = tx.children(NotificationConfiguration, call.account, call.region, group.id)
    if all(o.id != id_ for o in others) and len(others) >= MAX_TOPICS:
        raise faults.limit(f"Your AutoScaling Group:{group.id} can't have more than {MAX_TOPICS} topics")
    if request["topic_arn"].split(":")[3:4] not in ([], [call.region]):
        raise faults.validation("Invalid parameter: TopicArn")
    if not announcements.is_there(tx, request["topic_arn"]):
        raise faults.validation(
            f"Unable to publish test notification message to SNS topic {request['topic_arn']}, check your topic "
            "configuration and try again."
        )
    announcements.test(tx, call, group, request["topic_arn"])
    tx.put(
        NotificationConfiguration(
            account=call.account,
            region=call.region,
            id=id_,
            group_name=group.id,
            topic_arn=request["topic_arn"],
            notification_types=list(dict.fromkeys(request["notification_types"])),
        )
    )
    return {}


def delete_notification_configuration(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError."""
    group = require_group(tx, call, request["auto_scaling_group_name"])
    found = tx.get(NotificationConfiguration, call.account, call.region, f"{group.id}|{request['topic_arn']}")
    if found is not None:
        tx.delete(found)
    return {}
