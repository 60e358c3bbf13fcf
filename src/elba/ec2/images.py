"""Images: the built-in ones, which exist in every region, and look-ups over both those and the user's own.

All built-in images launch the same default web app; they differ in name, owner and architecture only, so that the
look-ups people write (a name pattern and an owner, an SSM parameter) find one. Ids are a digest of region and name.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass, field

from elba.call import Call
from elba.ec2.faults import check_id
from elba.ec2.resources import Image, Tags
from elba.errors import ApiError
from elba.store.interface import View

AMAZON = "137112412989"
CANONICAL = "099720109477"
DEBIAN = "136693071363"
FEDORA = "125523088429"
RED_HAT = "309956199498"
ROCKY = "792107900819"
ECS = "591542846629"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the API says of an image, whoever owns it. `creation_date` is in epoch seconds."""

    id: str
    name: str
    description: str
    owner: str
    owner_alias: str
    architecture: str
    creation_date: float
    root_device_name: str
    volume_size: int
    snapshot_id: str
    public: bool
    state: str = "available"
    volume_type: str = "gp3"
    platform_details: str = "Linux/UNIX"
    source_instance_id: str = ""
    ssm_parameter: str = ""
    path: str = ""
    deprecation_date: float | None = None
    state_reason_message: str = ""
    launch_permissions: tuple[str, ...] = ()
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    name: str
    description: str
    owner: str
    alias: str
    architecture: str
    date: str
    root_device_name: str
    volume_size: int
    volume_type: str
    parameters: tuple[str, ...]


_AL = "/aws/service/ami-amazon-linux-latest/"
_UBUNTU = "/aws/service/canonical/ubuntu/server/"
_DATES = ("20250123", "20250218")
"""Two builds of each, so that "the newest" means something; SSM parameters name the second."""
_SECONDS = {"20250123": 1737590400.0, "20250218": 1739836800.0}
_DEPRECATION_DATE = 4102444800.0
"""2100-01-01: they have no successors that anybody should move to."""


def _amazon(date: str) -> list[_BuiltIn]:
    images = []
    for arch in ("x86_64", "arm64"):
        for variant in ("", "minimal-"):
            parameter = f"{_AL}al2023-ami-{variant}kernel"
            images.append(
                _BuiltIn(
                    f"al2023-ami-{variant}2023.6.{date}.0-kernel-6.1-{arch}",
                    f"Amazon Linux 2023 AMI 2023.6.{date}.0 {arch} HVM kernel-6.1",
                    AMAZON,
                    "amazon",
                    arch,
                    date,
                    "/dev/xvda",
                    2 if variant else 8,
                    "gp3",
                    (f"{parameter}-default-{arch}", f"{parameter}-6.1-{arch}"),
                )
            )
        images.append(
            _BuiltIn(
                f"amzn2-ami-hvm-2.0.{date}.0-{arch}-gp2",
                f"Amazon Linux 2 AMI 2.0.{date}.0 {arch} HVM gp2",
                AMAZON,
                "amazon",
                arch,
                date,
                "/dev/xvda",
                8,
                "gp2",
                (f"{_AL}amzn2-ami-hvm-{arch}-gp2",),
            )
        )
        images.append(
            _BuiltIn(
                f"amzn2-ami-kernel-5.10-hvm-2.0.{date}.0-{arch}-gp2",
                f"Amazon Linux 2 Kernel 5.10 AMI 2.0.{date}.0 {arch} HVM gp2",
                AMAZON,
                "amazon",
                arch,
                date,
                "/dev/xvda",
                8,
                "gp2",
                (f"{_AL}amzn2-ami-kernel-5.10-hvm-{arch}-gp2",),
            )
        )
    return images


def _others(date: str) -> list[_BuiltIn]:
    images = []
    for arch, short in (("x86_64", "amd64"), ("arm64", "arm64")):
        for codename, number, kind in (
            ("focal", "20.04", "hvm-ssd"),
            ("jammy", "22.04", "hvm-ssd"),
            ("noble", "24.04", "hvm-ssd-gp3"),
        ):
            ebs = "ebs-gp3" if kind.endswith("gp3") else "ebs-gp2"
            parameter = f"{_UBUNTU}{number}/stable/current/{short}/hvm/{ebs}/ami-id"
            images.append(
                _BuiltIn(
                    f"ubuntu/images/{kind}/ubuntu-{codename}-{number}-{short}-server-{date}",
                    f"Canonical, Ubuntu, {number} LTS, {short} {codename} image build on {date}",
                    CANONICAL,
                    "",
                    arch,
                    date,
                    "/dev/sda1",
                    8,
                    ebs[4:],
                    (parameter,),
                )
            )
        images.append(
            _BuiltIn(
                f"debian-12-{short}-{date}-2027",
                f"Debian 12 ({date}-2027)",
                DEBIAN,
                "",
                arch,
                date,
                "/dev/xvda",
                8,
                "gp3",
                (f"/aws/service/debian/release/12/latest/{short}",),
            )
        )
    return images


def _by_others_for_x86(date: str) -> list[_BuiltIn]:
    """Of vendors whose images tools' own tests and examples look for: owner, name, description, SSM parameters."""
    ecs = "/aws/service/ecs/optimized-ami/"
    return [
        _BuiltIn(name, f"{name}", owner, alias, "x86_64", date, root, size, "gp3", parameters)
        for owner, alias, name, root, size, parameters in (
            (FEDORA, "", f"Fedora-Cloud-Base-AmazonEC2.x86_64-41-{date}.0", "/dev/sda1", 5, ()),
            (RED_HAT, "", f"RHEL-9.5.0_HVM-{date}-x86_64-0-Hourly2-GP3", "/dev/sda1", 10, ()),
            (ROCKY, "", f"Rocky-9-EC2-Base-9.5-{date}.0.x86_64", "/dev/sda1", 10, ()),
            (
                ECS,
                "amazon",
                f"amzn2-ami-ecs-hvm-2.0.{date}-x86_64-ebs",
                "/dev/xvda",
                30,
                (f"{ecs}amazon-linux-2/recommended/image_id",),
            ),
            (
                ECS,
                "amazon",
                f"al2023-ami-ecs-hvm-2023.0.{date}-kernel-6.1-x86_64",
                "/dev/xvda",
                30,
                (f"{ecs}amazon-linux-2023/recommended/image_id",),
            ),
        )
    ]


@functools.lru_cache(maxsize=64)
def _built_in(region: str) -> tuple[dict[str, ImageInfo], dict[str, str]]:
    """The region's built-in images by id, and its public SSM parameters."""
    images: dict[str, ImageInfo] = {}
    parameters: dict[str, str] = {}
    for date in _DATES:
        for one in (*_amazon(date), *_others(date), *_by_others_for_x86(date)):
            digest = hashlib.sha256(f"{region}/{one.name}".encode()).hexdigest()
            created = _SECONDS[date]
            image = ImageInfo(
                id=f"ami-0{digest[:16]}",
                name=one.name,
                description=one.description,
                owner=one.owner,
                owner_alias=one.alias,
                architecture=one.architecture,
                creation_date=created,
                root_device_name=one.root_device_name,
                volume_size=one.volume_size,
                volume_type=one.volume_type,
                snapshot_id=f"snap-0{digest[16:32]}",
                public=True,
                ssm_parameter=one.parameters[0] if one.parameters and date == _DATES[-1] else "",
                deprecation_date=_DEPRECATION_DATE,
            )
            images[image.id] = image
            parameters.update(dict.fromkeys(one.parameters, image.id))
    return images, parameters


def built_in_images(region: str) -> dict[str, ImageInfo]:
    """The region's built-in images by id."""
    return _built_in(region)[0]


def public_parameters(region: str) -> dict[str, str]:
    """SSM's public parameters that name an image: parameter name to image id."""
    return _built_in(region)[1]


def info_of(image: Image) -> ImageInfo:
    return ImageInfo(
        id=image.id,
        name=image.name,
        description=image.description,
        owner=image.account,
        owner_alias="",
        architecture=image.architecture,
        creation_date=image.creation_date,
        root_device_name=image.root_device_name,
        volume_size=image.volume_size,
        snapshot_id=image.snapshot_id,
        public=image.public,
        state=image.state,
        source_instance_id=image.source_instance_id,
        path=image.path,
        state_reason_message=image.state_reason_message,
        launch_permissions=tuple(image.launch_permissions),
        tags=image.tags,
    )


def visible_images(view: View, call: Call) -> dict[str, ImageInfo]:
    """All images the caller may launch, by id: built-in, its own, and those shared with it."""
    found = dict(built_in_images(call.region))
    for image in view.all(Image, None, call.region):
        if not image.deregistered and (
            image.account == call.account or image.public or call.account in image.launch_permissions
        ):
            found[image.id] = info_of(image)
    return found


def find_image(view: View, call: Call, image_id: str) -> ImageInfo | None:
    """The image, if it exists, is not deregistered and the caller may launch it; in whatever state it is."""
    built_in = built_in_images(call.region).get(image_id)
    if built_in is not None:
        return built_in
    own = view.get(Image, call.account, call.region, image_id)
    if own is not None:
        return None if own.deregistered else info_of(own)
    return visible_images(view, call).get(image_id) if view.all(Image, None, call.region) else None


def require_image(view: View, call: Call, image_id: str) -> ImageInfo:
    """An image to launch from. Raises: ApiError InvalidAMIID.Malformed, .NotFound, .Unavailable."""
    image = find_image(view, call, image_id)
    if image is None:
        if not re.fullmatch(r"ami-[0-9a-f]{8}([0-9a-f]{9})?", image_id):
            check_id(Image, image_id)
        raise ApiError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    if image.state != "available":
        raise ApiError("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available (state: {image.state})")
    return image
