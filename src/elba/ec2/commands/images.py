"""Images of the user's own: the record is made here, the files by the image reconciler.

Source: EC2 API reference, "CreateImage"; ec2-iam spec §3.7.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.faults import missing, require
from elba.ec2.images import find_image, require_image
from elba.ec2.queries.instances import volumes_of
from elba.ec2.resources import Image, Instance, Snapshot, Tags
from elba.ec2.tagging import specified_tags
from elba.errors import ApiError
from elba.store.interface import Transaction, View


def _check_name(view: View, call: Call, name: str) -> None:
    """Raises: ApiError InvalidAMIName.Malformed, InvalidAMIName.Duplicate."""
    if not re.fullmatch(r"[A-Za-z0-9 ().\-/'@_\[\]]{3,128}", name):
        raise ApiError(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, "
            "'(', ')', '.', '-', '/' and '_'",
        )
    for image in view.all(Image, call.account, call.region):
        if image.name == name and not image.deregistered:
            raise ApiError(
                "InvalidAMIName.Duplicate",
                f"AMI name {name} is already in use by AMI {image.id}",
            )


def create_image(tx: Transaction, call: Call, request: Request) -> Answer:
    """The image is pending until its files are there. Unless NoReboot, a running instance reboots.

    Raises: ApiError InvalidInstanceID.NotFound, IncorrectInstanceState, InvalidAMIName.Malformed, .Duplicate.
    """
    tags = specified_tags(request, "image", "snapshot")
    instance = require(tx, call, Instance, request["instance_id"])
    name = request.get("name") or ""
    if not name:
        raise missing("Name")
    _check_name(tx, call, name)
    if instance.state not in ("running", "stopped", "stopping", "pending"):
        raise ApiError(
            "IncorrectInstanceState",
            f"The instance '{instance.id}' is not in a state from which an image can be created.",
        )
    root = next((v for v in volumes_of(tx, instance) if v.id == instance.root_volume_id), None)
    size = root.size if root else 8
    for mapping in request.get("block_device_mappings") or ():
        if mapping.get("device_name") == instance.root_device_name:
            size = (mapping.get("ebs") or {}).get("volume_size") or size
    image = Image(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("ami"),
        name=name,
        description=request.get("description") or "",
        state="pending",
        architecture=instance.architecture,
        creation_date=call.now,
        source_instance_id=instance.id,
        snapshot_id=call.ids.ec2("snap"),
        volume_size=size,
        root_device_name=instance.root_device_name,
        no_reboot=bool(request.get("no_reboot")),
        tags=tags["image"],
    )
    tx.put(image)
    _put_snapshot(tx, call, image, instance.root_volume_id, instance.id, tags["snapshot"])
    if instance.state == "running" and not image.no_reboot:
        tx.put(replace(instance, boots=instance.boots + 1))
    return {"image_id": image.id}


def _put_snapshot(tx: Transaction, call: Call, image: Image, volume_id: str, instance_id: str, tags: Tags) -> None:
    tx.put(
        Snapshot(
            account=call.account,
            region=call.region,
            id=image.snapshot_id,
            volume_id=volume_id,
            volume_size=image.volume_size,
            description=f"Created by CreateImage({instance_id}) for {image.id}",
            start_time=call.now,
            tags=tags,
        )
    )


def copy_image(tx: Transaction, call: Call, request: Request) -> Answer:
    """A copy of an image of this region, built-in or the user's own: it shares the original's files.

    Raises: ApiError InvalidRequest (another region: regions share nothing), InvalidAMIID.NotFound, .Unavailable.
    """
    tags = specified_tags(request, "image", "snapshot")
    source_region = request["source_region"]
    if source_region != call.region:
        raise ApiError("InvalidRequest", f"Images cannot be copied between Elba's regions (from {source_region}).")
    source = require_image(tx, call, request["source_image_id"])
    name = request.get("name") or ""
    _check_name(tx, call, name)
    copied: Tags = dict(source.tags) if request.get("copy_image_tags") else {}
    image = Image(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("ami"),
        name=name,
        description=request.get("description") or source.description,
        state="available",
        architecture=source.architecture,
        creation_date=call.now,
        source_instance_id=source.source_instance_id,
        snapshot_id=call.ids.ec2("snap"),
        volume_size=source.volume_size,
        root_device_name=source.root_device_name,
        path=source.path,
        tags={**copied, **tags["image"]},
    )
    tx.put(image)
    _put_snapshot(tx, call, image, "vol-ffffffff", source.source_instance_id, tags["snapshot"])
    return {"image_id": image.id}


def _own(view: View, call: Call, image_id: str) -> Image:
    """The caller's own image. Raises: ApiError InvalidAMIID.NotFound, .Unavailable, AuthFailure (somebody else's)."""
    image = view.get(Image, call.account, call.region, image_id)
    if image is not None and image.deregistered:
        raise ApiError("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is no longer available")
    if image is None:
        if find_image(view, call, image_id) is not None:
            raise ApiError("AuthFailure", f"Not authorized for image:{image_id}", 403)
        return require(view, call, Image, image_id)
    return image


def deregister_image(tx: Transaction, call: Call, request: Request) -> Answer:
    """No more launches from it; what runs goes on."""
    image = _own(tx, call, request["image_id"])
    tx.put(replace(image, deregistered=True))
    results: list[Answer] = []
    if request.get("delete_associated_snapshots"):
        snapshot = tx.get(Snapshot, call.account, call.region, image.snapshot_id)
        if snapshot is not None:
            tx.delete(snapshot)
            results.append({"snapshot_id": snapshot.id, "return_code": "success"})
    return {"return": True, "delete_snapshot_results": results}


def modify_image_attribute(tx: Transaction, call: Call, request: Request) -> Answer:
    """Description, and who may launch it."""
    image = _own(tx, call, request["image_id"])
    description = (request.get("description") or {}).get("value")
    if request.get("attribute") == "description" and description is None:
        description = request.get("value")
    changes: dict[str, Any] = {}
    if description is not None:
        changes["description"] = description
    add, remove = _permissions(request)
    if add or remove:
        accounts = (set(image.launch_permissions) | add) - remove
        changes["public"] = (image.public or "all" in add) and "all" not in remove
        changes["launch_permissions"] = sorted(accounts - {"all"})
    if not changes:
        raise missing("of the attribute to modify")
    tx.put(replace(image, **changes))
    return {}


def _permissions(request: Request) -> tuple[set[str], set[str]]:
    """(added, removed): account ids, and "all"."""
    permission = request.get("launch_permission") or {}
    sets = []
    for member in ("add", "remove"):
        names = {one.get("user_id") or one.get("group") or "" for one in permission.get(member) or ()}
        if request.get("operation_type") == member:
            names |= {*(request.get("user_ids") or ()), *(request.get("user_groups") or ())}
        sets.append(names - {""})
    return sets[0], sets[1]


def delete_snapshot(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidSnapshot.NotFound, InvalidSnapshot.InUse while an image needs it."""
    snapshot = require(tx, call, Snapshot, request["snapshot_id"])
    for image in tx.all(Image, call.account, call.region):
        if image.snapshot_id == snapshot.id and not image.deregistered:
            raise ApiError(
                "InvalidSnapshot.InUse",
                f"The snapshot {snapshot.id} is currently in use by {image.id}",
            )
    tx.delete(snapshot)
    return {}
