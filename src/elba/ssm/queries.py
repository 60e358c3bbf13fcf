"""Parameter Store's reading operations."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.ssm.names import find, public, require, select, shown_value
from elba.ssm.resources import Parameter, ParameterVersion
from elba.store.interface import View


def _parameter(parameter: Parameter, selector: str, decrypt: bool, asked: str = "") -> Answer:
    """`asked`: the name in the request; at the top level it is shown with or without slash as it was asked for."""
    named = asked.removesuffix(selector)
    return {
        "name": named if named.removeprefix("/") == parameter.id.removeprefix("/") else parameter.id,
        "type": parameter.type,
        "value": shown_value(parameter, decrypt),
        "version": parameter.version,
        "selector": selector or None,
        "last_modified_date": parameter.last_modified,
        "arn": parameter.arn,
        "data_type": parameter.data_type,
    }


def get_parameter(view: View, call: Call, request: Request) -> Answer:
    name = request["name"]
    parameter, selector = select(view, call, name)
    return {"parameter": _parameter(parameter, selector, request.get("with_decryption", False), name)}


def get_parameters(view: View, call: Call, request: Request) -> Answer:
    """Names that there are not are told, not refused."""
    found, unknown = [], []
    for name in dict.fromkeys(request["names"]):
        try:
            parameter, selector = select(view, call, name)
        except ApiError:
            unknown.append(name)
        else:
            found.append(_parameter(parameter, selector, request.get("with_decryption", False), name))
    return {"parameters": found, "invalid_parameters": unknown}


def get_parameters_by_path(view: View, call: Call, request: Request) -> Answer:
    path = request["path"]
    if not path.startswith("/"):
        raise ApiError(
            "ValidationException",
            "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward "
            'slash "/". It must use only letters, numbers, or the following symbols: . (period), - (hyphen), '
            '_ (underscore). All sub-paths, if specified, must use the forward slash symbol "/".',
        )
    found = _under(_all(view, call), path, request.get("recursive", False))
    found = _filtered(found, request.get("parameter_filters", []))
    shown, token = _page(found, request, 10)
    decrypt = request.get("with_decryption", False)
    return {"parameters": [_parameter(each, "", decrypt) for each in shown], "next_token": token}


def _all(view: View, call: Call) -> list[Parameter]:
    return [*view.all(Parameter, call.account, call.region), *public(call)]


def _under(parameters: list[Parameter], path: str, recursive: bool) -> list[Parameter]:
    prefix = path.rstrip("/") + "/"
    below = [each for each in parameters if each.id.startswith(prefix)]
    return below if recursive else [each for each in below if "/" not in each.id[len(prefix) :]]


def _page(found: list[Parameter], request: Request, default: int) -> tuple[list[Parameter], str | None]:
    found.sort(key=lambda parameter: parameter.id)
    if token := request.get("next_token"):
        if not token.startswith("after:"):
            raise ApiError("InvalidNextToken", "The specified token isn't valid.")
        after = token.removeprefix("after:")
        found = [each for each in found if each.id > after]
    size = request.get("max_results", default)
    shown = found[:size]
    return shown, f"after:{shown[-1].id}" if len(found) > size else None


def _filtered(parameters: list[Parameter], filters: Sequence[Mapping[str, Any]]) -> list[Parameter]:
    for each in filters:
        key, option, values = each["key"], each.get("option", ""), each.get("values", [])
        parameters = [p for p in parameters if _keeps(p, key, option, values)]
    return parameters


def _keeps(parameter: Parameter, key: str, option: str, values: Sequence[str]) -> bool:
    if key == "Path":
        return any(_under([parameter], path, option == "Recursive") for path in values)
    if key.startswith("tag:"):
        value = parameter.tags.get(key.removeprefix("tag:"))
        return value is not None and (not values or value in values)
    field = _FIELDS.get(key)
    if field is None:
        raise ApiError("InvalidFilterKey", f"The filter key {key} is not valid.")
    actual = str(getattr(parameter, field))
    if key == "Name":
        actual = actual.removeprefix("/")
        values = [value.removeprefix("/") for value in values]
    if option == "BeginsWith":
        return any(actual.startswith(value) for value in values)
    if option == "Contains":
        return any(value in actual for value in values)
    if option in ("", "Equals"):
        return any(fnmatch.fnmatchcase(actual, value) if key == "Name" else actual == value for value in values)
    raise ApiError("InvalidFilterOption", f"The filter option {option} is not valid.")


_FIELDS = {"Name": "id", "Type": "type", "KeyId": "key_id", "Tier": "tier", "DataType": "data_type"}


def describe_parameters(view: View, call: Call, request: Request) -> Answer:
    found = _filtered(view.all(Parameter, call.account, call.region), request.get("parameter_filters", []))
    old_filters = [
        {**each, "option": "BeginsWith" if each["key"] == "Name" else ""} for each in request.get("filters", [])
    ]
    found = _filtered(found, old_filters)
    shown, token = _page(list(found), request, 50)
    return {"parameters": [_metadata(each) for each in shown], "next_token": token}


def _metadata(parameter: Parameter) -> Answer:
    return {
        "name": parameter.id,
        "arn": parameter.arn,
        "type": parameter.type,
        "key_id": parameter.key_id or None,
        "last_modified_date": parameter.last_modified,
        "last_modified_user": parameter.modified_by,
        "description": parameter.description or None,
        "allowed_pattern": parameter.allowed_pattern or None,
        "version": parameter.version,
        "tier": parameter.tier,
        "policies": [],
        "data_type": parameter.data_type,
    }


def get_parameter_history(view: View, call: Call, request: Request) -> Answer:
    parameter = require(view, call, request["name"])
    past = [each.parameter for each in view.children(ParameterVersion, call.account, call.region, parameter.id)]
    versions = sorted([*past, parameter], key=lambda each: each.version)
    decrypt = request.get("with_decryption", False)
    start = int(request.get("next_token", "0")) if request.get("next_token", "0").isdecimal() else 0
    size = request.get("max_results", 50)
    shown = versions[start : start + size]
    return {
        "parameters": [
            {
                **{k: v for k, v in _metadata(each).items() if k != "arn"},
                "value": shown_value(each, decrypt),
                "labels": [],
            }
            for each in shown
        ],
        "next_token": str(start + size) if len(versions) > start + size else None,
    }


def list_tags_for_resource(view: View, call: Call, request: Request) -> Answer:
    if request["resource_type"] != "Parameter":
        raise ApiError("InvalidResourceType", f"Elba has no {request['resource_type']} to tag.")
    found = find(view, call, request["resource_id"])
    if found is None:
        raise ApiError("InvalidResourceId", "The resource ID is not valid. Verify that you entered the correct ID.")
    return {"tag_list": [{"key": key, "value": value} for key, value in found.tags.items()]}
