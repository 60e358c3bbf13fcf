"""Launch templates: create, version, resolve, merge.

Source: EC2 user guide, "Launch an instance from a launch template"; ec2-iam spec §7 (limits).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.ec2.idempotency import once
from elba.ec2.queries.launch_templates import render_template, render_version
from elba.ec2.resources import LaunchTemplate, LaunchTemplateVersion
from elba.ec2.tagging import check_tags, specified_tags
from elba.ec2.template_lookup import find_template, find_version, template_named, version_not_found
from elba.ec2.user_data import check_user_data
from elba.errors import ApiError
from elba.store.interface import Transaction, View

MOST_VERSIONS = 10_000


def resolve_launch_template(
    view: View, call: Call, spec: Mapping[str, Any]
) -> tuple[LaunchTemplate, LaunchTemplateVersion]:
    """What `{launch_template_id | launch_template_name, version}` means now. Raises: as the two functions above."""
    template = find_template(view, call, spec.get("launch_template_id"), spec.get("launch_template_name"))
    return template, find_version(template, spec.get("version"))


def merge_launch_template(data: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """A RunInstances request with what the template adds. The request wins; tags combine by resource type and key,
    block devices by device name, structures member by member, all else parameter by parameter.
    """
    merged: dict[str, Any] = {k: v for k, v in data.items() if v is not None}
    for name, value in request.items():
        if value is None or name == "launch_template":
            continue
        old = merged.get(name)
        if name == "tag_specifications" and old:
            merged[name] = _combine_tags(old, value)
        elif name == "block_device_mappings" and old:
            by_device = {d.get("device_name"): d for d in old} | {d.get("device_name"): d for d in value}
            merged[name] = list(by_device.values())
        elif isinstance(old, Mapping) and isinstance(value, Mapping) and name != "iam_instance_profile":
            merged[name] = {**old, **value}
        else:
            merged[name] = value
    if request.get("security_group_ids") and not request.get("security_groups"):
        merged.pop("security_groups", None)
    if request.get("security_groups") and not request.get("security_group_ids"):
        merged.pop("security_group_ids", None)
    return merged


def _combine_tags(old: list[Any], new: list[Any]) -> list[dict[str, Any]]:
    by_type: dict[str, dict[str, str]] = {}
    for specification in (*old, *new):
        tags = by_type.setdefault(specification.get("resource_type") or "", {})
        for tag in specification.get("tags") or ():
            tags[tag.get("key", "")] = tag.get("value") or ""
    return [
        {"resource_type": type_, "tags": [{"key": k, "value": v} for k, v in tags.items()]}
        for type_, tags in by_type.items()
    ]


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9().\-/_]{3,128}", name):
        raise ApiError(
            "InvalidLaunchTemplateName.MalformedException",
            "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the "
            "following characters: - ( ) . / _.",
        )


def _check_data(data: Mapping[str, Any] | None) -> dict[str, Any]:
    """LaunchTemplateData as it is stored: without members that were sent empty.

    Like EC2, only form is checked here: what it names may come to be before it is launched.
    Raises: ApiError MissingParameter, InvalidUserData.Malformed, InvalidParameterValue.
    """
    cleaned = {k: v for k, v in (data or {}).items() if v not in (None, "", [])}
    if not cleaned:
        raise ApiError("MissingParameter", "The request must contain the parameter LaunchTemplateData")
    check_user_data(cleaned.get("user_data"))
    if cleaned.get("instance_requirements") and cleaned.get("instance_type"):
        raise ApiError(
            "InvalidParameterCombination",
            "Either the instance type or the instance requirements can be specified in the request, but not both.",
        )
    for specification in cleaned.get("tag_specifications") or ():
        check_tags(specification.get("tags") or ())
    return cleaned


def create_launch_template(tx: Transaction, call: Call, request: Request) -> Answer:
    name = request.get("launch_template_name") or ""
    _check_name(name)
    _check_description(request)
    tags = specified_tags(request, "launch-template")["launch-template"]
    data = _check_data(request.get("launch_template_data"))

    def make() -> list[str]:
        if template_named(tx, call, name) is not None:
            raise ApiError("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
        template = LaunchTemplate(
            account=call.account,
            region=call.region,
            id=call.ids.ec2("lt"),
            launch_template_name=name,
            versions=[
                LaunchTemplateVersion(
                    version_number=1,
                    data=data,
                    version_description=request.get("version_description"),
                    create_time=call.now,
                    created_by=_creator(call),
                )
            ],
            create_time=call.now,
            created_by=_creator(call),
            tags=tags,
        )
        tx.put(template)
        return [template.id]

    (id_,) = once(tx, call, request, "CreateLaunchTemplate", make)
    return {"launch_template": render_template(find_template(tx, call, id_, None))}


def _creator(call: Call) -> str:
    return call.caller_arn or f"arn:{call.partition}:iam::{call.account}:root"


def _check_description(request: Request) -> None:
    if len(request.get("version_description") or "") > 255:
        raise ApiError("InvalidParameterValue", "The version description exceeds 255 characters.")


def create_launch_template_version(tx: Transaction, call: Call, request: Request) -> Answer:
    template = find_template(tx, call, request.get("launch_template_id"), request.get("launch_template_name"))
    _check_description(request)
    source: dict[str, Any] = {}
    if request.get("source_version"):
        source = find_version(template, request["source_version"]).data
    given = request.get("launch_template_data")
    data = _check_data({**source, **(given or {})})

    def make() -> list[str]:
        if len(template.versions) >= MOST_VERSIONS:
            raise ApiError("VersionLimitExceeded", "The maximum number of versions has been reached.")
        number = template.latest_version_number + 1
        version = LaunchTemplateVersion(
            version_number=number,
            data=data,
            version_description=request.get("version_description"),
            create_time=call.now,
            created_by=_creator(call),
        )
        tx.put(replace(template, latest_version_number=number, versions=[*template.versions, version]))
        return [template.id, str(number)]

    id_, number = once(tx, call, request, "CreateLaunchTemplateVersion", make)
    template = find_template(tx, call, id_, None)
    return {"launch_template_version": render_version(template, find_version(template, number))}


def modify_launch_template(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidParameterCombination, InvalidLaunchTemplateId.VersionNotFound, ….NotFound…."""
    if request.get("launch_template_id") and request.get("launch_template_name"):
        raise ApiError(
            "InvalidParameterCombination",
            "Either provide launch template ID or launch template name to modify the template.",
        )
    template = find_template(tx, call, request.get("launch_template_id"), request.get("launch_template_name"))
    wanted = request.get("default_version")
    if wanted:
        if wanted in ("$Latest", "$Default"):
            raise ApiError("InvalidParameterValue", f"The default version cannot be set to '{wanted}': use a number.")
        if str(wanted).isdigit() and all(v.version_number != int(wanted) for v in template.versions):
            raise ApiError(
                "InvalidLaunchTemplateId.VersionNotFound",
                f"The launch template version {wanted} is not found for the specified launch template.",
            )
        version = find_version(template, wanted)
        template = replace(template, default_version_number=version.version_number)
        tx.put(template)
    return {"launch_template": render_template(template)}


def delete_launch_template(tx: Transaction, call: Call, request: Request) -> Answer:
    template = find_template(tx, call, request.get("launch_template_id"), request.get("launch_template_name"))
    tx.delete(template)
    return {"launch_template": render_template(template)}


def delete_launch_template_versions(tx: Transaction, call: Call, request: Request) -> Answer:
    template = find_template(tx, call, request.get("launch_template_id"), request.get("launch_template_name"))
    wanted = request.get("versions") or []
    if not wanted:
        raise ApiError("MissingParameter", "The request must contain the parameter LaunchTemplateVersion")
    done: list[Answer] = []
    failed: list[Answer] = []
    for text in wanted:
        if not str(text).isdigit():
            raise ApiError("InvalidParameterValue", f"The version '{text}' is not valid: use version numbers.")
        number = int(text)
        named = {
            "launch_template_id": template.id,
            "launch_template_name": template.launch_template_name,
            "version_number": number,
        }
        problem: tuple[str, str] | None = None
        if number == template.default_version_number:
            problem = ("unexpectedError", "The default version of a launch template cannot be deleted.")
        elif all(v.version_number != number for v in template.versions):
            problem = (
                "launchTemplateVersionDoesNotExist",
                version_not_found(template, number).message,
            )
        if problem is not None:
            failed.append({**named, "response_error": {"code": problem[0], "message": problem[1]}})
            continue
        template = replace(template, versions=[v for v in template.versions if v.version_number != number])
        done.append(named)
    tx.put(template)
    return {
        "successfully_deleted_launch_template_versions": done,
        "unsuccessfully_deleted_launch_template_versions": failed,
    }
