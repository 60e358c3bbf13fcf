"""Functions by the names, ARNs and qualifiers that requests give."""

from __future__ import annotations

import base64
import random
import re

from elba.call import Call, Request
from elba.errors import ApiError
from elba.lambda_.interface import Program
from elba.lambda_.resources import LATEST, Alias, Function
from elba.store.interface import View

_NAME = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):)?(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)


def invalid(message: str) -> ApiError:
    return ApiError("InvalidParameterValueException", message, 400)


def not_found(arn: str) -> ApiError:
    return ApiError("ResourceNotFoundException", f"Function not found: {arn}", 404, fields={"type": "User"})


def conflict(message: str) -> ApiError:
    return ApiError("ResourceConflictException", message, 409, fields={"type": "User"})


def function_arn(call: Call, name: str, qualifier: str = "") -> str:
    return call.arn("lambda", f"function:{name}" + (f":{qualifier}" if qualifier else ""))


def parse_name(call: Call, request: Request) -> tuple[str, str]:
    """The function's name and the qualifier ("" = none) that a request means.

    Raises: ApiError; for another account's or region's function as if there were none.
    """
    given = request["function_name"]
    found = _NAME.fullmatch(given)
    if found is None:
        raise ApiError(
            "ValidationException",
            f"1 validation error detected: Value '{given}' at 'functionName' failed to satisfy constraint: Member must "
            "satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?"
            "(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?",
        )
    name, inside, outside = found["name"], found["qualifier"] or "", request.get("qualifier") or ""
    if len(name) > 64:
        raise invalid("Function name should not exceed 64 characters")
    if inside and outside and inside != outside:
        raise invalid("The derived qualifier from the function name does not match the specified qualifier.")
    if (found["region"] or call.region) != call.region or (found["account"] or call.account) != call.account:
        raise not_found(given)
    return name, inside or outside


def find(
    view: View, call: Call, name: str, qualifier: str = "", chance: random.Random | None = None
) -> Function | None:
    """The version that the qualifier names. An alias that spreads over versions is decided by `chance`."""
    if qualifier in ("", LATEST):
        return view.get(Function, call.account, call.region, name)
    alias = view.get(Alias, call.account, call.region, f"{name}:{qualifier}")
    if alias is not None:
        qualifier = alias.function_version
        if chance is not None and alias.weights:
            thrown = chance.random()
            for version, weight in alias.weights.items():
                if thrown < weight:
                    qualifier = version
                    break
                thrown -= weight
        return find(view, call, name, qualifier)
    return view.get(Function, call.account, call.region, f"{name}:{qualifier}")


def require(view: View, call: Call, request: Request) -> tuple[Function, str]:
    """The version a request names, and its qualifier. Raises: ApiError ResourceNotFoundException."""
    name, qualifier = parse_name(call, request)
    function = find(view, call, name, qualifier)
    if function is None:
        raise not_found(function_arn(call, name, qualifier))
    return function, qualifier


def require_latest(view: View, call: Call, request: Request) -> Function:
    """The function, whatever version of it is named. Raises: ApiError ResourceNotFoundException."""
    name, _qualifier = parse_name(call, request)
    function = find(view, call, name)
    if function is None:
        raise not_found(function_arn(call, name))
    return function


def check_revision(given: str | None, present: str) -> None:
    """Raises: ApiError PreconditionFailedException."""
    if given and given != present:
        raise ApiError(
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
            "retrieve the latest Revision Id",
            412,
        )


def program_of(view: View, function: Function) -> Program:
    """What running this version needs."""
    latest = view.get(Function, function.account, function.region, function.name) or function
    return Program(
        account=function.account,
        region=function.region,
        name=function.name,
        version=function.version,
        arn=function.arn,
        code=hex_digest(function.code_sha256),
        handler=function.handler,
        runtime=function.runtime,
        timeout_seconds=float(function.timeout),
        memory_mib=function.memory_size,
        environment=dict(function.environment or {}),
        revision=function.revision_id,
        most_at_once=latest.reserved_concurrency,
    )


def hex_digest(code_sha256: str) -> str:
    """The name under which the code is kept."""
    return base64.b64decode(code_sha256).hex()
