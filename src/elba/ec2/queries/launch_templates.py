"""Launch templates as the API shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from elba.call import Answer, Call, Request
from elba.ec2.faults import require_all
from elba.ec2.filters import Fields, Values, page, select
from elba.ec2.queries.describe_instances import instance_time
from elba.ec2.resources import LaunchTemplate, LaunchTemplateVersion
from elba.ec2.tagging import tag_list
from elba.ec2.template_lookup import find_template, find_version
from elba.errors import ApiError
from elba.store.interface import View


def render_template(template: LaunchTemplate) -> Answer:
    return {
        "launch_template_id": template.id,
        "launch_template_name": template.launch_template_name,
        "create_time": template.create_time,
        "created_by": template.created_by,
        "default_version_number": template.default_version_number,
        "latest_version_number": template.latest_version_number,
        "tags": tag_list(template.tags),
    }


def render_version(template: LaunchTemplate, version: LaunchTemplateVersion) -> Answer:
    return {
        "launch_template_id": template.id,
        "launch_template_name": template.launch_template_name,
        "version_number": version.version_number,
        "version_description": version.version_description,
        "create_time": version.create_time,
        "created_by": version.created_by,
        "default_version": version.version_number == template.default_version_number,
        "launch_template_data": dict(version.data),
    }


_FIELDS: Fields[LaunchTemplate] = {
    "create-time": lambda t: instance_time(t.create_time),
    "launch-template-name": lambda t: t.launch_template_name,
}


def describe_launch_templates(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidLaunchTemplateId.NotFound, InvalidLaunchTemplateName.NotFoundException."""
    found = view.all(LaunchTemplate, call.account, call.region)
    if ids := request.get("launch_template_ids"):
        found = require_all(view, call, LaunchTemplate, ids)
    if names := request.get("launch_template_names"):
        by_name = {t.launch_template_name: t for t in found}
        if any(name not in by_name for name in names):
            raise ApiError(
                "InvalidLaunchTemplateName.NotFoundException",
                "At least one of the launch templates specified in the request does not exist.",
            )
        found = [by_name[name] for name in names]
    found = select(found, request.get("filters"), _FIELDS, lambda t: t.tags)
    part, token = page(found, request, least=1, most=200)
    return {"launch_templates": [render_template(t) for t in part], "next_token": token}


_WHICH_VERSIONS = (
    "To describe the launch template data for all your launch templates, for ‘--versions’ specify ‘$Latest’, "
    "‘$Default’, or both, and omit ‘--launch-template-id’, ‘--launch-template-name’, and version numbers. To describe "
    "the launch template data for a specific launch template, specify ‘--launch-template-id’ or "
    "‘--launch-template-name’, and for ‘--versions’ specify one or more of the following values: ‘$Latest’, "
    "‘$Default’, or one or more version numbers."
)
"""EC2's words, curly quotes and all."""

_Version = tuple[LaunchTemplate, LaunchTemplateVersion]


def _data(path: str) -> Callable[[_Version], Values]:
    def read(version: _Version) -> Values:
        value: object = version[1].data
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value if isinstance(value, str | bool | int) else None

    return read


_VERSION_FIELDS: Fields[_Version] = {
    "create-time": lambda v: instance_time(v[1].create_time),
    "ebs-optimized": _data("ebs_optimized"),
    "http-endpoint": _data("metadata_options.http_endpoint"),
    "http-tokens": _data("metadata_options.http_tokens"),
    "http-protocol-ipv4": lambda v: None,
    "host-resource-group-arn": lambda v: None,
    "iam-instance-profile": _data("iam_instance_profile.arn"),
    "image-id": _data("image_id"),
    "instance-type": _data("instance_type"),
    "is-default-version": lambda v: v[1].version_number == v[0].default_version_number,
    "kernel-id": _data("kernel_id"),
    "license-configuration-arn": lambda v: None,
    "network-card-index": lambda v: None,
    "ram-disk-id": _data("ram_disk_id"),
}


def describe_versions(view: View, call: Call, request: Request, templates: Sequence[LaunchTemplate]) -> Answer:
    """Of one template: the versions asked for, or all (or between MinVersion and MaxVersion), the newest first.

    Of several: `$Latest` and `$Default` only.
    """
    found: list[_Version] = []
    wanted = request.get("versions") or ()
    for template in templates:
        newest_first = sorted(template.versions, key=lambda v: -v.version_number)
        if wanted:
            chosen = [find_version(template, text) for text in wanted]
            numbers = {v.version_number for v in chosen}
            found += [(template, v) for v in newest_first if v.version_number in numbers]
            continue
        least, most = (_number(request, name) for name in ("min_version", "max_version"))
        found += [
            (template, v)
            for v in newest_first
            if (least is None or v.version_number >= least) and (most is None or v.version_number <= most)
        ]
    found = select(found, request.get("filters"), _VERSION_FIELDS)
    part, token = page(found, request, least=1, most=200)
    return {
        "launch_template_versions": [render_version(t, v) for t, v in part],
        "next_token": token,
    }


def _number(request: Request, name: str) -> int | None:
    text = request.get(name)
    if text in (None, ""):
        return None
    if not str(text).isdigit():
        raise ApiError("InvalidParameterValue", f"The launch template version '{text}' is not a number.")
    return int(text)


def describe_launch_template_versions(view: View, call: Call, request: Request) -> Answer:
    """Raises: ApiError MissingParameter, Invalid….NotFound, InvalidLaunchTemplateId.VersionNotFound."""
    id_, name = request.get("launch_template_id"), request.get("launch_template_name")
    if id_ or name:
        return describe_versions(view, call, request, [find_template(view, call, id_, name)])
    words = set(request.get("versions") or ())
    if not words:
        raise ApiError("MissingParameter", _WHICH_VERSIONS)
    if not words <= {"$Latest", "$Default"}:
        raise ApiError("InvalidParameterValue", _WHICH_VERSIONS)
    return describe_versions(view, call, request, view.all(LaunchTemplate, call.account, call.region))
