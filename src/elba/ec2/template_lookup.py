"""Finding launch templates and their versions."""

from __future__ import annotations

from elba.call import Call
from elba.ec2.faults import check_id, not_found
from elba.ec2.resources import LaunchTemplate, LaunchTemplateVersion
from elba.errors import ApiError
from elba.store.interface import View


def find_template(view: View, call: Call, id_: str | None, name: str | None) -> LaunchTemplate:
    """By id or by name, exactly one of which must be given.

    Raises: ApiError MissingParameter, InvalidParameterCombination, InvalidLaunchTemplateId.NotFound,
    InvalidLaunchTemplateName.NotFoundException.
    """
    if id_ and name:
        raise ApiError(
            "InvalidParameterCombination",
            "The request must contain either the launch template ID or the launch template name, not both.",
        )
    if id_:
        found = view.get(LaunchTemplate, call.account, call.region, id_)
        if found is None:
            check_id(LaunchTemplate, id_)
            raise not_found(LaunchTemplate, id_)
        return found
    if not name:
        raise ApiError(
            "MissingParameter", "Either the launch template ID or the launch template name must be specified."
        )
    found = template_named(view, call, name)
    if found is None:
        raise ApiError(
            "InvalidLaunchTemplateName.NotFoundException",
            f"The specified launch template, with template name {name}, does not exist.",
        )
    return found


def template_named(view: View, call: Call, name: str) -> LaunchTemplate | None:
    templates = view.all(LaunchTemplate, call.account, call.region)
    return next((t for t in templates if t.launch_template_name == name), None)


def find_version(template: LaunchTemplate, version: str | int | None) -> LaunchTemplateVersion:
    """`version`: a number, `$Latest`, or `$Default` (also if it is None or "").

    Raises: ApiError InvalidLaunchTemplateId.VersionNotFound, InvalidParameterValue (a word that is none of these).
    """
    text = str(version) if version not in (None, "") else "$Default"
    if text == "$Default":
        number = template.default_version_number
    elif text == "$Latest":
        # The newest that is left: deleted numbers are not reused, but can be the latest.
        return template.versions[-1]
    elif text.isdigit():
        number = int(text)
    else:
        raise ApiError(
            "InvalidParameterValue",
            f"The specified launch template version '{text}' is not valid: use a number, $Latest or $Default.",
        )
    found = next((v for v in template.versions if v.version_number == number), None)
    if found is None:
        raise version_not_found(template, number)
    return found


def version_not_found(template: LaunchTemplate, number: int) -> ApiError:
    return ApiError(
        "InvalidLaunchTemplateId.VersionNotFound",
        f"Could not find the specified version {number} for the launch template with ID {template.id}.",
    )
