"""Volumes and snapshots as the API shows them."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2 import zones
from elba.ec2.faults import require_all
from elba.ec2.filters import Fields, page, select
from elba.ec2.queries.describe_instances import instance_time
from elba.ec2.resources import ReplaceRootVolumeTask, Snapshot, Volume
from elba.ec2.tagging import tag_list
from elba.store.interface import View


def _state(volume: Volume) -> str:
    return "in-use" if volume.instance_id else "available"


def _render_volume(call: Call, volume: Volume) -> Answer:
    attachments: list[Answer] = []
    if volume.instance_id:
        attachments.append(
            {
                "volume_id": volume.id,
                "instance_id": volume.instance_id,
                "device": volume.device,
                "state": "attached",
                "attach_time": volume.attach_time,
                "delete_on_termination": volume.delete_on_termination,
            }
        )
    return {
        "volume_id": volume.id,
        "size": volume.size,
        "volume_type": volume.volume_type,
        "iops": volume.iops,
        "throughput": volume.throughput,
        "encrypted": volume.encrypted,
        "kms_key_id": volume.kms_key_id or None,
        "state": _state(volume),
        "availability_zone": volume.availability_zone,
        "availability_zone_id": zones.zone_id(volume.availability_zone),
        "snapshot_id": volume.snapshot_id,
        "create_time": volume.create_time,
        "multi_attach_enabled": False,
        "attachments": attachments,
        "tags": tag_list(volume.tags) or None,
    }


_VOLUME_FIELDS: Fields[Volume] = {
    "volume-id": lambda v: v.id,
    "attachment.attach-time": lambda v: instance_time(v.attach_time) if v.instance_id else None,
    "attachment.delete-on-termination": lambda v: v.delete_on_termination if v.instance_id else None,
    "attachment.device": lambda v: v.device if v.instance_id else None,
    "attachment.instance-id": lambda v: v.instance_id or None,
    "attachment.status": lambda v: "attached" if v.instance_id else None,
    "availability-zone": lambda v: v.availability_zone,
    "availability-zone-id": lambda v: zones.zone_id(v.availability_zone),
    "create-time": lambda v: instance_time(v.create_time),
    "encrypted": lambda v: v.encrypted,
    "fast-restored": lambda v: False,
    "multi-attach-enabled": lambda v: False,
    "size": lambda v: v.size,
    "snapshot-id": lambda v: v.snapshot_id or None,
    "status": _state,
    "volume-type": lambda v: v.volume_type,
}


def describe_volumes(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("volume_ids")
    found = require_all(view, call, Volume, ids) if ids else view.all(Volume, call.account, call.region)
    found = select(found, request.get("filters"), _VOLUME_FIELDS, lambda v: v.tags)
    part, token = page(found, request, ids="volume_ids")
    return {"volumes": [_render_volume(call, v) for v in part], "next_token": token}


_STALLED = "io-performance:stalled"


def _status(volume: Volume) -> str:
    return "impaired" if volume.impaired_since else "ok"


def _performance(volume: Volume) -> str:
    """Performance is told of volumes with provisioned I/O; that it stalls, of all."""
    if volume.impaired_since:
        return "stalled"
    return "normal" if volume.volume_type in ("io1", "io2") else "not-applicable"


def _status_details(volume: Volume) -> list[Answer]:
    return [
        {"name": "io-enabled", "status": "passed"},
        {"name": "io-performance", "status": _performance(volume)},
        {"name": "initialization-state", "status": "completed"},
    ]


_STATUS_FIELDS: Fields[Volume] = {
    "action.code": lambda v: None,
    "action.description": lambda v: None,
    "action.event-id": lambda v: None,
    "availability-zone": lambda v: v.availability_zone,
    "availability-zone-id": lambda v: zones.zone_id(v.availability_zone),
    "event.description": lambda v: None,
    "event.event-id": lambda v: None,
    "event.event-type": lambda v: _STALLED if v.impaired_since else None,
    "event.not-after": lambda v: None,
    "event.not-before": lambda v: instance_time(v.impaired_since) if v.impaired_since else None,
    "volume-status.details-name": lambda v: [d["name"] for d in _status_details(v)],
    "volume-status.details-status": lambda v: [d["status"] for d in _status_details(v)],
    "volume-status.status": _status,
}


def describe_volume_status(view: View, call: Call, request: Request) -> Answer:
    """Source: EBS user guide, "Amazon EBS volume status checks" and "volume events"."""
    ids = request.get("volume_ids")
    found = require_all(view, call, Volume, ids) if ids else view.all(Volume, call.account, call.region)
    found = select(found, request.get("filters"), _STATUS_FIELDS)
    part, token = page(found, request, ids="volume_ids")
    return {"volume_statuses": [_render_status(v) for v in part], "next_token": token}


def _render_status(volume: Volume) -> Answer:
    events: list[Answer] = []
    if volume.impaired_since:
        events.append(
            {
                "event_id": f"evol-{volume.id.removeprefix('vol-')}",
                "event_type": _STALLED,
                "description": "The volume's I/O is stalled",
                "not_before": volume.impaired_since,
                "instance_id": volume.instance_id or None,
            }
        )
    attached = [{"instance_id": volume.instance_id, "io_performance": _performance(volume)}]
    return {
        "volume_id": volume.id,
        "availability_zone": volume.availability_zone,
        "availability_zone_id": zones.zone_id(volume.availability_zone),
        "volume_status": {"status": _status(volume), "details": _status_details(volume)},
        "events": events,
        "actions": [],
        "attachment_statuses": attached if volume.instance_id else [],
    }


_SNAPSHOT_FIELDS: Fields[Snapshot] = {
    "snapshot-id": lambda s: s.id,
    "description": lambda s: s.description,
    "encrypted": lambda s: s.encrypted,
    "owner-alias": lambda s: None,
    "owner-id": lambda s: s.account,
    "progress": lambda s: "100%",
    "start-time": lambda s: instance_time(s.start_time),
    "status": lambda s: "completed",
    "storage-tier": lambda s: "standard",
    "volume-id": lambda s: s.volume_id,
    "volume-size": lambda s: s.volume_size,
}


def describe_snapshots(view: View, call: Call, request: Request) -> Answer:
    """The caller's own: those of built-in images are nobody's to see."""
    ids = request.get("snapshot_ids")
    found = require_all(view, call, Snapshot, ids) if ids else view.all(Snapshot, call.account, call.region)
    owners = request.get("owner_ids")
    if owners and not {"self", call.account} & set(owners):
        found = []
    found = select(found, request.get("filters"), _SNAPSHOT_FIELDS, lambda s: s.tags)
    part, token = page(found, request, ids="snapshot_ids")
    return {
        "snapshots": [
            {
                "snapshot_id": s.id,
                "volume_id": s.volume_id,
                "volume_size": s.volume_size,
                "description": s.description,
                "encrypted": s.encrypted,
                "state": "completed",
                "progress": "100%",
                "start_time": s.start_time,
                "owner_id": s.account,
                "storage_tier": "standard",
                "tags": tag_list(s.tags) or None,
            }
            for s in part
        ],
        "next_token": token,
    }


_TASK_FIELDS: Fields[ReplaceRootVolumeTask] = {"instance-id": lambda t: t.instance_id}


def describe_replace_root_volume_tasks(view: View, call: Call, request: Request) -> Answer:
    ids = request.get("replace_root_volume_task_ids")
    tasks = view.all(ReplaceRootVolumeTask, call.account, call.region)
    found = require_all(view, call, ReplaceRootVolumeTask, ids) if ids else tasks
    found = select(found, request.get("filters"), _TASK_FIELDS, lambda t: t.tags)
    part, token = page(found, request, ids="replace_root_volume_task_ids", least=1, most=50)
    return {"replace_root_volume_tasks": [shown_root_task(t) for t in part], "next_token": token}


def shown_root_task(task: ReplaceRootVolumeTask) -> Answer:
    return {
        "replace_root_volume_task_id": task.id,
        "instance_id": task.instance_id,
        "task_state": task.state,
        "start_time": instance_time(task.start_time),
        "complete_time": instance_time(task.complete_time) if task.complete_time else None,
        "image_id": task.image_id if task.image_given else None,
        "snapshot_id": task.snapshot_id or None,
        "delete_replaced_root_volume": task.delete_replaced_root_volume,
        "tags": tag_list(task.tags),
    }
