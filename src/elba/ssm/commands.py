"""Parameter Store's commands."""

from __future__ import annotations

import re

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.ssm.names import find, not_found, own, require
from elba.ssm.resources import Parameter, ParameterVersion
from elba.store.interface import Transaction

MOST_LEVELS = 15
MOST_VERSIONS = 100
MOST_TAGS = 50
MOST_BYTES = {"Standard": 4096, "Intelligent-Tiering": 8192, "Advanced": 8192}
DEFAULT_KEY = "alias/aws/ssm"


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationException", message)


def put_parameter(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ParameterAlreadyExists, ValidationException, HierarchyLevelLimitExceededException,
    ParameterPatternMismatchException, AccessDeniedException for AWS's own names."""
    name = request["name"]
    old = own(tx, call, name)
    name = name if old is None else old.id
    if old is None:
        _check_name(name)
    elif not request.get("overwrite", False):
        raise ApiError(
            "ParameterAlreadyExists",
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
        )
    elif request.get("tags"):
        raise _invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please "
            "remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or "
            "RemoveTagsFromResource."
        )
    kind = request.get("type") or (old.type if old else "")
    if not kind:
        raise _invalid("A parameter type is required when you create a parameter.")
    tier = request.get("tier") or (old.tier if old else "Standard")
    value = request["value"]
    _check_value(value, kind, tier, request.get("allowed_pattern", ""))
    tags = old.tags if old else {tag["key"]: tag["value"] for tag in request.get("tags", [])}
    parameter = Parameter(
        account=call.account,
        region=call.region,
        id=name,
        type=kind,
        value=value,
        version=1 if old is None else old.version + 1,
        last_modified=call.now,
        modified_by=call.caller_arn,
        description=request.get("description", old.description if old else ""),
        key_id=(request.get("key_id") or DEFAULT_KEY) if kind == "SecureString" else "",
        allowed_pattern=request.get("allowed_pattern", ""),
        tier="Standard" if tier == "Intelligent-Tiering" and len(value.encode()) <= 4096 else tier,
        data_type=request.get("data_type") or (old.data_type if old else "text"),
        tags=tags,
    )
    if old is not None:
        _keep(tx, old)
    tx.put(parameter)
    return {"version": parameter.version, "tier": parameter.tier}


def _keep(tx: Transaction, old: Parameter) -> None:
    """Remember a version that is being replaced; the oldest goes when there are too many."""
    past = tx.children(ParameterVersion, old.account, old.region, old.id)
    if len(past) >= MOST_VERSIONS - 1:
        tx.delete(min(past, key=lambda version: version.parameter.version))
    tx.put(ParameterVersion(account=old.account, region=old.region, id=f"{old.id}:{old.version}", parameter=old))


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9_.\-/]+", name):
        raise _invalid(
            "Invalid parameter name. Please use correct syntax for referencing a version/label  <name>:<version/label>"
            if ":" in name
            else "Parameter name: only a mix of letters, numbers and the following 4 symbols .-_/ are allowed."
        )
    levels = [level for level in name.split("/") if level]
    if not levels or name.endswith("/") or "//" in name or ("/" in name and not name.startswith("/")):
        raise _invalid("Parameter name must be a fully qualified name.")
    if len(levels) > MOST_LEVELS:
        raise ApiError(
            "HierarchyLevelLimitExceededException",
            f"Hierarchies can have a maximum of {MOST_LEVELS} levels. A hierarchy can't exceed this limit.",
        )
    first = levels[0].lower()
    if first.startswith("aws"):
        raise ApiError("AccessDeniedException", f"No access to reserved parameter name: {name}.")
    if first.startswith("ssm"):
        raise _invalid(
            'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist '
            "of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the "
            "following 3 symbols .-_"
        )


def _check_value(value: str, kind: str, tier: str, pattern: str) -> None:
    most = MOST_BYTES[tier]
    if not value:
        raise _invalid("Parameter value can't be empty.")
    if len(value.encode()) > most:
        raise _invalid(
            f"{tier} tier parameters support a maximum parameter value of {most} characters. To create a larger "
            "parameter value, upgrade the parameter to use the advanced-parameter tier."
        )
    if kind == "StringList" and any(not item for item in value.split(",")):
        raise _invalid("StringList values must not be empty.")
    if pattern:
        try:
            matches = re.search(pattern, value)
        except re.error:
            raise ApiError(
                "InvalidAllowedPatternException", "The specified allowed pattern is not a valid regular expression."
            ) from None
        if matches is None:
            raise ApiError(
                "ParameterPatternMismatchException",
                f"Parameter value, cannot be validated against allowedPattern: {pattern}",
            )


def delete_parameter(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ParameterNotFound."""
    parameter = own(tx, call, request["name"])
    if parameter is None:
        raise not_found()
    _delete(tx, parameter)
    return {}


def delete_parameters(tx: Transaction, call: Call, request: Request) -> Answer:
    """Names that there are not are told, not refused."""
    gone, unknown = [], []
    for name in dict.fromkeys(request["names"]):
        parameter = own(tx, call, name)
        if parameter is None:
            unknown.append(name)
        else:
            _delete(tx, parameter)
            gone.append(name)
    return {"deleted_parameters": gone, "invalid_parameters": unknown}


def _delete(tx: Transaction, parameter: Parameter) -> None:
    for version in tx.children(ParameterVersion, parameter.account, parameter.region, parameter.id):
        tx.delete(version)
    tx.delete(parameter)


def require_resource(tx: Transaction, call: Call, request: Request) -> Parameter:
    """The parameter that a tag operation names. Raises: ApiError InvalidResourceType, InvalidResourceId."""
    if request["resource_type"] != "Parameter":
        raise ApiError("InvalidResourceType", f"Elba has no {request['resource_type']} to tag.")
    if find(tx, call, request["resource_id"]) is None:
        raise ApiError("InvalidResourceId", "The resource ID is not valid. Verify that you entered the correct ID.")
    return require(tx, call, request["resource_id"])


def add_tags_to_resource(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidResourceType, InvalidResourceId, TooManyTagsError."""
    parameter = require_resource(tx, call, request)
    tags = {**parameter.tags, **{tag["key"]: tag["value"] for tag in request["tags"]}}
    if len(tags) > MOST_TAGS:
        raise ApiError("TooManyTagsError", f"A parameter has at most {MOST_TAGS} tags.")
    tx.put(replace(parameter, tags=tags))
    return {}


def remove_tags_from_resource(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidResourceType, InvalidResourceId."""
    parameter = require_resource(tx, call, request)
    gone = set(request["tag_keys"])
    tx.put(replace(parameter, tags={k: v for k, v in parameter.tags.items() if k not in gone}))
    return {}
