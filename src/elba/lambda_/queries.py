"""Lambda's reading operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.lambda_.answers import alias_answer, configuration
from elba.lambda_.commands.access import policy_document, policy_of, require_alias
from elba.lambda_.commands.functions import ACCOUNT_CONCURRENCY
from elba.lambda_.names import function_arn, invalid, require, require_latest
from elba.lambda_.resources import LATEST, Alias, Function
from elba.store.interface import View

DEFAULT_PAGE = 50


def _page(items: Sequence[Any], request: Request) -> tuple[Sequence[Any], str | None]:
    marker = request.get("marker") or "0"
    if not marker.isdecimal():
        raise invalid("The provided marker is invalid.")
    first = int(marker)
    last = first + min(request.get("max_items") or DEFAULT_PAGE, DEFAULT_PAGE)
    return items[first:last], str(last) if last < len(items) else None


def get_function(view: View, call: Call, request: Request, location: str) -> Answer:
    """`location`: where the code can be had."""
    function, qualifier = require(view, call, request)
    latest = require_latest(view, call, request)
    reserved = latest.reserved_concurrency
    return {
        "configuration": configuration(function, qualifier),
        "code": {"repository_type": "S3", "location": location},
        "tags": latest.tags or None,
        "concurrency": None if reserved is None else {"reserved_concurrent_executions": reserved},
    }


def get_function_configuration(view: View, call: Call, request: Request) -> Answer:
    function, qualifier = require(view, call, request)
    return configuration(function, qualifier)


def list_functions(view: View, call: Call, request: Request) -> Answer:
    every = request.get("function_version") == "ALL"
    functions = [f for f in view.all(Function, call.account, call.region) if every or f.version == LATEST]
    functions.sort(key=lambda f: (f.name, f.version != LATEST, len(f.version), f.version))
    page, following = _page(functions, request)
    return {"functions": [configuration(f, LATEST if every and f.version == LATEST else "") for f in page],
            "next_marker": following}  # fmt: skip


def list_versions_by_function(view: View, call: Call, request: Request) -> Answer:
    name = require_latest(view, call, request).name
    versions = view.children(Function, call.account, call.region, name)
    versions.sort(key=lambda f: 0 if f.version == LATEST else int(f.version))
    page, following = _page(versions, request)
    return {"versions": [configuration(f, f.version) for f in page], "next_marker": following}


def get_policy(view: View, call: Call, request: Request) -> Answer:
    function, qualifier = require(view, call, request)
    policy = policy_of(view, call, function.name, qualifier)
    if policy is None:
        arn = function_arn(call, function.name, qualifier)
        raise ApiError("ResourceNotFoundException", f"No policy is associated with the given resource: {arn}", 404)
    return {"policy": policy_document(policy), "revision_id": policy.revision_id}


def get_alias(view: View, call: Call, request: Request) -> Answer:
    return alias_answer(require_alias(view, call, request))


def list_aliases(view: View, call: Call, request: Request) -> Answer:
    function, version = require_latest(view, call, request), request.get("function_version")
    aliases = [
        alias
        for alias in view.children(Alias, call.account, call.region, function.name)
        if version is None or alias.function_version == version
    ]
    page, following = _page(sorted(aliases, key=lambda alias: alias.name), request)
    return {"aliases": [alias_answer(alias) for alias in page], "next_marker": following}


def get_function_code_signing_config(view: View, call: Call, request: Request) -> Answer:
    """No code is signed here."""
    return {"code_signing_config_arn": "", "function_name": require_latest(view, call, request).name}


def get_function_concurrency(view: View, call: Call, request: Request) -> Answer:
    return {"reserved_concurrent_executions": require_latest(view, call, request).reserved_concurrency}


def list_tags(view: View, call: Call, request: Request) -> Answer:
    return {"tags": require_latest(view, call, {"function_name": request["resource"]}).tags}


def get_account_settings(view: View, call: Call, request: Request) -> Answer:
    functions = view.all(Function, call.account, call.region)
    latest = [f for f in functions if f.version == LATEST]
    reserved = sum(f.reserved_concurrency or 0 for f in latest)
    return {
        "account_limit": {
            "total_code_size": 80_530_636_800,
            "code_size_unzipped": 262_144_000,
            "code_size_zipped": 52_428_800,
            "concurrent_executions": ACCOUNT_CONCURRENCY,
            "unreserved_concurrent_executions": ACCOUNT_CONCURRENCY - reserved,
        },
        "account_usage": {"total_code_size": sum(f.code_size for f in functions), "function_count": len(latest)},
    }
