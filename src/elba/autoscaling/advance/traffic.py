"""Moves attachments along: Adding → Added → InService, Removing → gone."""

from __future__ import annotations

import logging

import msgspec

from elba.autoscaling.advance.turn import Turn
from elba.autoscaling.commands import registration
from elba.autoscaling.lookup import suspended
from elba.autoscaling.resources import Attachment
from elba.elbv2.resources import TargetGroup, TargetHealth
from elba.errors import ApiError

log = logging.getLogger(__name__)


def move_attachments(turn: Turn) -> None:
    group = turn.group
    moved = [m for a in group.attachments if (m := _moved(turn, a)) is not None]
    turn.forget_targets()
    if moved != group.attachments:
        turn.change(attachments=moved)


def _moved(turn: Turn, attachment: Attachment) -> Attachment | None:
    """The attachment's next state, None when it is gone."""
    group = turn.group
    found = turn.tx.get(TargetGroup, group.account, group.region, attachment.identifier)
    if attachment.state == "Removing":
        return None if found is None or _removed(turn, found) else attachment
    if found is None:
        return attachment
    if attachment.state == "Adding" and not suspended(group, "AddToLoadBalancer"):
        serving = [m.id for m in turn.members() if m.lifecycle_state == "InService" and turn.state_of(m) == "running"]
        try:
            turn.attempt(lambda: registration.register_with(turn.tx, turn.call, found, serving))
        except ApiError as error:
            log.warning(
                "registration refused; will retry",
                extra={"resource": group.id, "cause": f"{found.id}: {error.message}"},
            )
            turn.look_again_at(turn.now + 30.0)
            return attachment
        return msgspec.structs.replace(attachment, state="Added")
    if attachment.state == "Added" and _any_healthy(turn, found):
        return msgspec.structs.replace(attachment, state="InService")
    return attachment


def _any_healthy(turn: Turn, found: TargetGroup) -> bool:
    members = {m.id for m in turn.members() if m.lifecycle_state == "InService"}
    for health in turn.tx.children(TargetHealth, found.account, found.region, found.id):
        instance_id = health.id.rsplit("|", 1)[-1].partition(":")[0]
        if health.state == "healthy" and instance_id in members:
            return True
    return False


def _removed(turn: Turn, found: TargetGroup) -> bool:
    """Deregister what is registered; True once nothing of the group's drains any more."""
    members = [m.id for m in turn.members()]
    registration.deregister_from(turn.tx, turn.call, found, members)
    left = [t for m in members for t in registration.targets_of(turn.tx, found, m)]
    if left:
        turn.look_again_at(turn.now + 60.0)
    return not left
