"""Replacing an instance's root volume while it keeps its id, its addresses and all else.

The task is made here, the instance reconciler stops the instance, has its files made anew and starts it.
Source: EC2 user guide, "Replace the root volume for an Amazon EC2 instance without stopping it".
"""

from __future__ import annotations

import math

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.faults import require
from elba.ec2.idempotency import once
from elba.ec2.images import require_image
from elba.ec2.queries.storage import shown_root_task
from elba.ec2.resources import Image, Instance, ReplaceRootVolumeTask, Snapshot, Tags, Volume
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction, View

KEPT_SECONDS = 7 * 86400.0
"""Of tasks that have ended, as long as the instance is there."""


def create_replace_root_volume_task(tx: Transaction, call: Call, request: Request) -> Answer:
    """From an AMI, from the snapshot of one, or as the instance was launched.

    Raises: ApiError InvalidInstanceID.NotFound, IncorrectInstanceState, InvalidAMIID.NotFound, .Unavailable,
    InvalidSnapshot.NotFound, InvalidParameterCombination, InvalidParameterValue, UnsupportedOperation.
    """
    tags = specified_tags(request, "replace-root-volume-task")["replace-root-volume-task"]
    if request.get("volume_id"):
        raise ApiError("UnsupportedOperation", "A root volume cannot be replaced by an existing volume in Elba.")
    if request.get("image_id") and request.get("snapshot_id"):
        raise ApiError("InvalidParameterCombination", "ImageId and SnapshotId cannot be specified together.")

    def make() -> list[str]:
        snapshot = request.get("snapshot_id") or ""
        image = request.get("image_id") or (_image_of_snapshot(tx, call, snapshot) if snapshot else "")
        delete = bool(request.get("delete_replaced_root_volume"))
        return [replace_root(tx, call, request["instance_id"], image, delete, snapshot, tags).id]

    (id_,) = once(tx, call, request, "CreateReplaceRootVolumeTask", make)
    task = tx.get(ReplaceRootVolumeTask, call.account, call.region, id_)
    assert task is not None
    return {"replace_root_volume_task": {**shown_root_task(task), "task_state": "pending"}}


def replace_root(
    tx: Transaction,
    call: Call,
    instance_id: str,
    image_id: str,
    delete_replaced: bool = True,
    snapshot_id: str = "",
    tags: Tags | None = None,
) -> ReplaceRootVolumeTask:
    """The task, begun; without `image_id` the root becomes what it was at launch. Raises: ApiError."""
    instance = require(tx, call, Instance, instance_id)
    if instance.state != "running" or instance.desired != "running":
        raise ApiError("IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'running' state.")
    if instance.recovery:
        raise ApiError(
            "IncorrectInstanceState", f"A root volume replacement task is already in progress for '{instance.id}'."
        )
    image = require_image(tx, call, image_id or instance.image_id)
    if image.architecture != instance.architecture:
        raise ApiError(
            "InvalidParameterValue",
            f"The architecture '{image.architecture}' of the AMI does not match that of the instance, "
            f"'{instance.architecture}'.",
        )
    forget_tasks(tx, instance, call.now - KEPT_SECONDS)
    task = ReplaceRootVolumeTask(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("replacevol"),
        instance_id=instance.id,
        image_id=image.id,
        image_given=bool(image_id) and not snapshot_id,
        snapshot_id=snapshot_id or image.snapshot_id,
        delete_replaced_root_volume=delete_replaced,
        start_time=call.now,
        tags=tags or {},
    )
    tx.put(task)
    tx.put(replace(instance, recovery="replacing", root_task_id=task.id, boots=instance.boots + 1))
    return task


def _image_of_snapshot(view: View, call: Call, snapshot_id: str) -> str:
    snapshot = require(view, call, Snapshot, snapshot_id)
    images = view.all(Image, call.account, call.region)
    found = next((i for i in images if i.snapshot_id == snapshot.id and not i.deregistered), None)
    if found is None:
        raise ApiError("UnsupportedOperation", f"Nothing is left of the AMI that snapshot '{snapshot.id}' belongs to.")
    return found.id


def image_of_task(view: View, instance: Instance) -> str:
    """What the new root is made of: the task's image, or the instance's own if the task is gone."""
    task = view.get(ReplaceRootVolumeTask, instance.account, instance.region, instance.root_task_id)
    return task.image_id if task else instance.image_id


def record_root(tx: Transaction, call: Call, seen: Instance, problem: str = "") -> None:
    """The new root volume in the old one's place, or the task has failed; the instance is to be started now."""
    instance = tx.get(Instance, seen.account, seen.region, seen.id)
    task = tx.get(ReplaceRootVolumeTask, seen.account, seen.region, seen.root_task_id)
    if instance is None or instance.recovery != "replacing" or task is None or task.id != instance.root_task_id:
        return
    if problem:
        tx.put(replace(task, state="failed", complete_time=call.now))
        tx.put(replace(instance, recovery="starting", root_task_id=""))
        return
    old = tx.get(Volume, seen.account, seen.region, seen.root_volume_id)
    volume_id = call.ids.ec2("vol")
    if old is not None:
        tx.put(
            replace(
                old,
                id=volume_id,
                snapshot_id=task.snapshot_id,
                attach_time=call.now,
                create_time=call.now,
                impaired_since=0.0,
                tags=old.tags,
            )
        )
        if task.delete_replaced_root_volume:
            tx.delete(old)
        else:
            tx.put(replace(old, instance_id="", attach_time=0.0))
    tx.put(replace(task, replaced=True))
    image_id = task.image_id if task.image_given else instance.image_id
    tx.put(replace(instance, recovery="starting", image_id=image_id, root_volume_id=volume_id))


def finish_task(tx: Transaction, call: Call, instance: Instance) -> None:
    """The instance is done with its task: it runs again, or something else has come first."""
    task = tx.get(ReplaceRootVolumeTask, instance.account, instance.region, instance.root_task_id)
    if task is not None and not task.complete_time:
        tx.put(replace(task, state="succeeded" if task.replaced else "failed", complete_time=call.now))


def forget_tasks(tx: Transaction, instance: Instance, ended_before: float = math.inf) -> None:
    """Delete the instance's tasks that ended before that time."""
    for task in tx.children(ReplaceRootVolumeTask, instance.account, instance.region, instance.id):
        if task.complete_time < ended_before and (task.complete_time or ended_before == math.inf):
            tx.delete(task)
