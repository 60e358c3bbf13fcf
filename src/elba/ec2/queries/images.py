"""DescribeImages and DescribeImageAttribute, over built-in images and the user's own."""

from __future__ import annotations

from datetime import UTC, datetime

from elba.call import Answer, Call, Request
from elba.ec2.faults import check_id, invalid, not_found
from elba.ec2.filters import Fields, page, select
from elba.ec2.images import ImageInfo, find_image, visible_images
from elba.ec2.resources import Image
from elba.ec2.tagging import tag_list
from elba.errors import ApiError
from elba.store.interface import View


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def render_image(image: ImageInfo) -> Answer:
    location = image.name if image.owner_alias != "amazon" else f"amazon/{image.name}"
    return {
        "image_id": image.id,
        "image_location": location if image.owner_alias else f"{image.owner}/{image.name}",
        "state": image.state,
        "state_reason": {"code": "Server.InternalError", "message": image.state_reason_message}
        if image.state_reason_message
        else None,
        "owner_id": image.owner,
        "image_owner_alias": image.owner_alias or None,
        "public": image.public,
        "architecture": image.architecture,
        "image_type": "machine",
        "name": image.name,
        "description": image.description or None,
        "creation_date": _time(image.creation_date),
        "deprecation_time": _time(image.deprecation_date) if image.deprecation_date else None,
        "root_device_type": "ebs",
        "root_device_name": image.root_device_name,
        "block_device_mappings": [
            {
                "device_name": image.root_device_name,
                "ebs": {
                    "snapshot_id": image.snapshot_id,
                    "volume_size": image.volume_size,
                    "volume_type": image.volume_type,
                    "delete_on_termination": True,
                    "encrypted": False,
                    "iops": 3000 if image.volume_type == "gp3" else None,
                    "throughput": 125 if image.volume_type == "gp3" else None,
                },
            }
        ],
        "virtualization_type": "hvm",
        "ena_support": True,
        "sriov_net_support": "simple",
        "hypervisor": "xen",
        "platform_details": image.platform_details,
        "usage_operation": "RunInstances",
        "boot_mode": "uefi" if image.architecture == "arm64" else "uefi-preferred",
        "product_codes": [],
        "source_instance_id": image.source_instance_id or None,
        "deregistration_protection": "disabled",
        "public_ssm_parameter_name": image.ssm_parameter or None,
        "tags": tag_list(image.tags) or None,
    }


_FIELDS: Fields[ImageInfo] = {
    "architecture": lambda i: i.architecture,
    "block-device-mapping.delete-on-termination": lambda i: True,
    "block-device-mapping.device-name": lambda i: i.root_device_name,
    "block-device-mapping.encrypted": lambda i: False,
    "block-device-mapping.snapshot-id": lambda i: i.snapshot_id,
    "block-device-mapping.volume-size": lambda i: i.volume_size,
    "block-device-mapping.volume-type": lambda i: i.volume_type,
    "creation-date": lambda i: _time(i.creation_date),
    "description": lambda i: i.description,
    "ena-support": lambda i: True,
    "hypervisor": lambda i: "xen",
    "image-allowed": lambda i: True,
    "image-id": lambda i: i.id,
    "image-type": lambda i: "machine",
    "is-public": lambda i: i.public,
    "kernel-id": lambda i: None,
    "manifest-location": lambda i: i.name,
    "name": lambda i: i.name,
    "owner-alias": lambda i: i.owner_alias or None,
    "owner-id": lambda i: i.owner,
    "platform": lambda i: None,
    "product-code": lambda i: None,
    "product-code.type": lambda i: None,
    "ramdisk-id": lambda i: None,
    "root-device-name": lambda i: i.root_device_name,
    "root-device-type": lambda i: "ebs",
    "source-image-id": lambda i: None,
    "source-image-region": lambda i: None,
    "source-instance-id": lambda i: i.source_instance_id or None,
    "state": lambda i: i.state,
    "state-reason-code": lambda i: "Server.InternalError" if i.state_reason_message else None,
    "state-reason-message": lambda i: i.state_reason_message or None,
    "sriov-net-support": lambda i: "simple",
    "virtualization-type": lambda i: "hvm",
}


def describe_images(view: View, call: Call, request: Request) -> Answer:
    """IncludeDeprecated changes nothing: built-in images have no successors, whatever the clock says.

    Raises: ApiError InvalidAMIID.NotFound, InvalidAMIID.Malformed.
    """
    images = visible_images(view, call)
    found = list(images.values())
    if ids := request.get("image_ids"):
        absent = [id_ for id_ in dict.fromkeys(ids) if id_ not in images]
        for id_ in absent:
            check_id(Image, id_)
        if len(absent) > 1:
            raise ApiError("InvalidAMIID.NotFound", f"The image ids '[{', '.join(absent)}]' do not exist")
        if absent:
            raise not_found(Image, absent[0])
        found = [images[id_] for id_ in ids]
    if owners := request.get("owners"):
        wanted = {call.account if o == "self" else o for o in owners}
        found = [i for i in found if {i.owner, i.owner_alias} & wanted]
    if users := request.get("executable_users"):
        found = [i for i in found if _may_launch(i, call, users)]
    found = select(found, request.get("filters"), _FIELDS, lambda i: i.tags)
    part, token = page(found, request, ids="image_ids", least=1)
    return {"images": [render_image(i) for i in part], "next_token": token}


def _may_launch(image: ImageInfo, call: Call, users: list[str]) -> bool:
    if "all" in users and image.public:
        return True
    return call.account in image.launch_permissions and bool({"self", call.account} & set(users))


def describe_image_attribute(view: View, call: Call, request: Request) -> Answer:
    image = find_image(view, call, request["image_id"])
    if image is None:
        check_id(Image, request["image_id"])
        raise not_found(Image, request["image_id"])
    attribute = request.get("attribute") or ""
    if attribute == "launchPermission" and image.owner != call.account:
        raise ApiError("AuthFailure", f"Not authorized for image:{image.id}", 403)
    permissions: list[Answer] = [{"user_id": account} for account in image.launch_permissions]
    if image.public:
        permissions.append({"group": "all"})
    attributes: dict[str, Answer] = {
        "description": {"description": {"value": image.description}},
        "kernel": {"kernel_id": {}},
        "ramdisk": {"ramdisk_id": {}},
        "launchPermission": {"launch_permissions": permissions},
        "productCodes": {"product_codes": []},
        "blockDeviceMapping": {"block_device_mappings": render_image(image)["block_device_mappings"]},
        "sriovNetSupport": {"sriov_net_support": {"value": "simple"}},
        "bootMode": {"boot_mode": {"value": "uefi-preferred"}},
        "deregistrationProtection": {"deregistration_protection": {"value": "disabled"}},
        "imdsSupport": {"imds_support": {}},
        "lastLaunchedTime": {"last_launched_time": {}},
        "tpmSupport": {"tpm_support": {}},
    }
    if attribute not in attributes:
        raise invalid(attribute, "attribute", "Unknown attribute.")
    return {"image_id": image.id, **attributes[attribute]}
