"""BlockDeviceMappings of a launch: which volumes an instance gets. Source: EC2 user guide, "Block device mappings"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from elba.ec2.images import ImageInfo
from elba.errors import ApiError

_LIMITS_GIB = {
    "standard": (1, 1024),
    "gp2": (1, 16384),
    "gp3": (1, 65536),
    "io1": (4, 16384),
    "io2": (4, 65536),
    "st1": (125, 16384),
    "sc1": (125, 16384),
}


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """One volume. `size` is in GiB, `throughput` in MiB/s."""

    name: str
    size: int
    volume_type: str
    iops: int | None
    throughput: int | None
    encrypted: bool
    kms_key_id: str
    snapshot_id: str
    delete_on_termination: bool


def block_devices(image: ImageInfo, mappings: Iterable[Mapping[str, Any]]) -> list[BlockDevice]:
    """The volumes, the root device first. A mapping of the root device's name changes that; others add volumes.

    Raises: ApiError InvalidBlockDeviceMapping, InvalidParameterValue, InvalidParameterCombination, MissingParameter.
    """
    by_name: dict[str, Mapping[str, Any]] = {image.root_device_name: {}}
    for mapping in mappings:
        name = mapping.get("device_name")
        if not name:
            raise ApiError("MissingParameter", "The request must contain the parameter DeviceName")
        # Terraform's modules write "0" for a device that is to stay.
        if mapping.get("no_device") not in (None, "0", "false") or mapping.get("virtual_name"):
            if name == image.root_device_name:
                raise ApiError(
                    "InvalidBlockDeviceMapping", f"The root device '{name}' cannot be left out of the mapping."
                )
            by_name.pop(name, None)
            continue
        by_name[name] = mapping.get("ebs") or {}
    return [_device(image, name, ebs) for name, ebs in by_name.items()]


def _device(image: ImageInfo, name: str, ebs: Mapping[str, Any]) -> BlockDevice:
    root = name == image.root_device_name
    type_ = ebs.get("volume_type") or (image.volume_type if root else "gp2")
    if type_ not in _LIMITS_GIB:
        raise ApiError("InvalidParameterValue", f"Invalid value '{type_}' for VolumeType.")
    size = ebs.get("volume_size") or (image.volume_size if root else None)
    if size is None:
        raise ApiError("MissingParameter", "The request must contain the parameter size or snapshotId")
    if root and size < image.volume_size:
        raise ApiError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot '{image.snapshot_id}', expect size >= "
            f"{image.volume_size}GB",
        )
    least, most = _LIMITS_GIB[type_]
    if not least <= size <= most:
        raise ApiError(
            "InvalidParameterValue",
            f"Volume size {size}GiB is not valid for {type_}: it must be between {least}GiB and {most}GiB.",
        )
    iops, throughput = ebs.get("iops"), ebs.get("throughput")
    if iops is not None and type_ not in ("gp3", "io1", "io2"):
        raise ApiError("InvalidParameterCombination", f"The parameter iops is not supported for {type_} volumes.")
    if throughput is not None and type_ != "gp3":
        raise ApiError("InvalidParameterCombination", f"The parameter throughput is not supported for {type_} volumes.")
    if iops is None and type_ in ("io1", "io2"):
        raise ApiError("MissingParameter", "The request must contain the parameter iops")
    if type_ == "gp3":
        iops, throughput = iops or 3000, throughput or 125
    elif type_ == "gp2":
        iops = min(16000, max(100, 3 * size))
    return BlockDevice(
        name=name,
        size=size,
        volume_type=type_,
        iops=iops,
        throughput=throughput,
        encrypted=bool(ebs.get("encrypted") or ebs.get("kms_key_id")),
        kms_key_id=ebs.get("kms_key_id") or "",
        snapshot_id=ebs.get("snapshot_id") or (image.snapshot_id if root else ""),
        delete_on_termination=ebs.get("delete_on_termination", True),
    )
