"""What a group launches its instances from, resolved to a RunInstances request. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elba.autoscaling import faults, mixed
from elba.autoscaling.resources import Group, LaunchConfiguration
from elba.call import Call
from elba.ec2 import images
from elba.ec2.instance_types import TYPES
from elba.ec2.resources import LaunchTemplate
from elba.errors import ApiError
from elba.store.interface import View

INVALID_TEMPLATE = "You must use a valid fully-formed launch template. "


@dataclass(frozen=True, slots=True)
class Source:
    """One way to launch: `request` are RunInstances' members but for count, subnet, zone and tags.

    Of launch configuration and template only one is set.
    """

    request: dict[str, Any]
    instance_type: str
    image_id: str
    launch_configuration_name: str = ""
    launch_template_id: str = ""
    launch_template_name: str = ""
    launch_template_version: int = 0


def find_template(view: View, call: Call, specification: Mapping[str, Any]) -> LaunchTemplate | None:
    id_, name = specification.get("launch_template_id"), specification.get("launch_template_name")
    if id_:
        return view.get(LaunchTemplate, call.account, call.region, id_)
    templates = view.all(LaunchTemplate, call.account, call.region)
    return next((t for t in templates if t.launch_template_name == name), None)


def resolve(view: View, call: Call, specification: Mapping[str, Any]) -> tuple[LaunchTemplate, int, dict[str, Any]]:
    """The template, the number its version means at this moment, and that version's data.

    Raises: ApiError ValidationError.
    """
    id_, name = specification.get("launch_template_id"), specification.get("launch_template_name")
    if bool(id_) == bool(name):
        if id_ and (named := find_template(view, call, {"launch_template_name": name})) and named.id == id_:
            pass  # a client that echoes what Describe told it
        else:
            raise faults.validation("Valid requests must contain either launchTemplateId or LaunchTemplateName")
    template = find_template(view, call, specification)
    if template is None:
        which = f"template ID {id_}" if id_ else f"template name {name}"
        raise faults.validation(f"{INVALID_TEMPLATE}The specified launch template, with {which}, does not exist.")
    version = specification.get("version") or "$Default"
    if version == "$Latest":
        number = template.latest_version_number
        if template.versions:
            number = max(v.version_number for v in template.versions)
    elif version == "$Default":
        number = template.default_version_number
    elif re.fullmatch(r"\d+", version):
        number = int(version)
    else:
        raise faults.validation(
            "Invalid launch template version: either provide a version number, $Latest or $Default."
        )
    for candidate in template.versions:
        if candidate.version_number == number:
            return template, number, dict(candidate.data)
    raise faults.validation(
        f"{INVALID_TEMPLATE}Could not find the specified version {number} for the launch template with ID "
        f"{template.id}."
    )


def specification_of(template: LaunchTemplate, version: str) -> dict[str, str]:
    """As Describe shows it: id, name, and the version as it was given."""
    shown = {"launch_template_id": template.id, "launch_template_name": template.launch_template_name}
    return {**shown, "version": version} if version else shown


def architecture_of(view: View, call: Call, image_id: str) -> str:
    """The processor architecture that the image is for; x86_64 if nothing is known of it."""
    if image_id.startswith("resolve:"):
        return "arm64" if "arm64" in image_id else "x86_64"
    try:
        return images.require_image(view, call, image_id).architecture
    except ApiError:
        return "x86_64"


def typed(
    view: View, call: Call, specification: Mapping[str, Any], override: Mapping[str, Any], capacity_type: str = ""
) -> list[Mapping[str, Any]]:
    """The override once for each instance type that meets its requirements, or those of the template that it has none
    of its own; as it is if a type is named. Raises: ApiError.
    """
    if override.get("instance_type"):
        return [override]
    _, _, data = resolve(view, call, _by_id(override.get("launch_template_specification") or specification))
    requirements = override.get("instance_requirements") or data.get("instance_requirements")
    if not requirements:
        return [override]
    image_id = override.get("image_id") or str(data.get("image_id") or "")
    names = mixed.matching_types(requirements, TYPES.values(), architecture_of(view, call, image_id))
    if not names:
        raise ApiError("ValidationError", "No instance type meets the instance requirements")
    found: list[Mapping[str, Any]] = []
    for name in names:
        size = mixed.size_of(capacity_type, TYPES[name])
        weight = {"weighted_capacity": str(size)} if size else {}
        found.append({**override, **weight, "instance_type": name})
    return found


def _by_id(specification: Mapping[str, Any]) -> dict[str, Any]:
    """The id is what counts: a template made anew under the old name is another one."""
    named = bool(specification.get("launch_template_id"))
    return {k: v for k, v in specification.items() if k != "launch_template_name" or not named}


def from_template(view: View, call: Call, specification: Mapping[str, Any], override: Mapping[str, Any]) -> Source:
    """How to launch from a template, with a mixed instances policy's override. Raises: ApiError."""
    chosen = override.get("launch_template_specification") or specification
    template, number, data = resolve(view, call, _by_id(chosen))
    instance_type = override.get("instance_type") or str(data.get("instance_type") or "")
    image_id = override.get("image_id") or str(data.get("image_id") or "")
    request: dict[str, Any] = {
        "launch_template": {"launch_template_id": template.id, "version": str(number)},
    }
    if override.get("instance_type"):
        request["instance_type"] = instance_type
    if override.get("image_id"):
        request["image_id"] = image_id
    return Source(
        request,
        instance_type,
        image_id,
        launch_template_id=template.id,
        launch_template_name=template.launch_template_name,
        launch_template_version=number,
    )


def from_configuration(configuration: LaunchConfiguration) -> Source:
    """How to launch from a launch configuration."""
    data = configuration.data
    request: dict[str, Any] = {
        "image_id": data["image_id"],
        "instance_type": data["instance_type"],
        "monitoring": {"enabled": bool((data.get("instance_monitoring") or {}).get("enabled", True))},
    }
    for ours, theirs in (
        ("key_name", "key_name"),
        ("user_data", "user_data"),
        ("block_device_mappings", "block_device_mappings"),
        ("ebs_optimized", "ebs_optimized"),
        ("metadata_options", "metadata_options"),
    ):
        if data.get(ours) not in (None, "", []):
            request[theirs] = data[ours]
    if profile := data.get("iam_instance_profile"):
        request["iam_instance_profile"] = {"arn" if profile.startswith("arn:") else "name": profile}
    if data.get("placement_tenancy"):
        request["placement"] = {"tenancy": data["placement_tenancy"]}
    if data.get("spot_price"):
        request["instance_market_options"] = {
            "market_type": "spot",
            "spot_options": {"max_price": data["spot_price"]},
        }
    groups = data.get("security_groups") or []
    public = data.get("associate_public_ip_address")
    if public is not None:
        interface: dict[str, Any] = {"device_index": 0, "associate_public_ip_address": public}
        if groups:
            interface["groups"] = groups
        request["network_interfaces"] = [interface]
    elif groups:
        request["security_group_ids"] = groups
    return Source(request, data["instance_type"], data["image_id"], launch_configuration_name=configuration.id)


def weight(group: Group, instance_type: str) -> int | None:
    """The units that an instance of the type is in the group; None where each is one."""
    policy = (group.launch_override or {}).get("mixed_instances_policy") or group.mixed_instances_policy
    sized = mixed.size_of(group.desired_capacity_type, TYPES.get(instance_type))
    return mixed.weight_of(policy, instance_type) if sized is None else sized


def current_template(view: View, call: Call, group: Group) -> str:
    """The id of the template that the group launches from now ("" for a launch configuration)."""
    specification: Mapping[str, Any] | None = group.launch_template
    if group.mixed_instances_policy is not None:
        specification = group.mixed_instances_policy["launch_template"]["launch_template_specification"]
    if not specification:
        return ""
    template = find_template(view, call, specification)
    return template.id if template else ""
