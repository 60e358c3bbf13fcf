"""CreateFunction and what changes a function, its versions, concurrency and tags. Source: Lambda API reference."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.errors import ApiError
from elba.iam.resources import GLOBAL, Role
from elba.lambda_.answers import configuration
from elba.lambda_.names import (
    check_revision,
    conflict,
    find,
    function_arn,
    invalid,
    not_found,
    parse_name,
    require_latest,
)
from elba.lambda_.resources import LATEST, Alias, Function, Invocation, ResourcePolicy
from elba.store.interface import Transaction

MOST_ENVIRONMENT_BYTES = 4096
MOST_TAGS = 50
ACCOUNT_CONCURRENCY = 1000
LEAST_UNRESERVED = 100
MOST_TIMEOUT, MOST_MEMORY = 900, 10240
_PYTHON = re.compile(r"python3\.\d+")
_RESERVED = frozenset(
    {
        "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
    }
)  # fmt: skip
_KEPT = (
    "dead_letter_config", "tracing_config", "vpc_config", "kms_key_arn", "ephemeral_storage", "logging_config",
    "snap_start", "file_system_configs",
)  # fmt: skip


def code_of(request: Request) -> bytes:
    """The zip file in a `Code` structure or an UpdateFunctionCode. Raises: ApiError for code from elsewhere."""
    if request.get("zip_file") is not None:
        return bytes(request["zip_file"])
    if request.get("image_uri"):
        raise invalid("Functions from container images are not built in Elba; give a ZipFile.")
    raise invalid("Please provide a source for function code.")


def digest_of(code: bytes) -> str:
    return base64.b64encode(hashlib.sha256(code).digest()).decode()


def create_function(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidParameterValueException, ResourceConflictException."""
    name, qualifier = parse_name(call, request)
    if qualifier:
        raise invalid("Function name should not be qualified")
    if tx.get(Function, call.account, call.region, name) is not None:
        raise conflict(f"Function already exist: {name}")
    if request.get("package_type", "Zip") != "Zip" or request.get("image_config"):
        raise invalid("Functions from container images are not built in Elba; give a ZipFile.")
    if not request.get("runtime") or not request.get("handler"):
        raise invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
    if request.get("layers"):
        raise invalid("Layers are not built in Elba.")
    code = code_of(request["code"])
    function = Function(
        account=call.account,
        region=call.region,
        id=name,
        name=name,
        role=request["role"],
        runtime=request["runtime"],
        handler=request["handler"],
        code_sha256=digest_of(code),
        code_size=len(code),
        timeout=request.get("timeout", 3),
        memory_size=request.get("memory_size", 128),
        description=request.get("description", ""),
        environment=_environment(request),
        architectures=tuple(request.get("architectures") or ["x86_64"]),
        settings={key: request[key] for key in _KEPT if request.get(key) is not None},
        last_modified=call.now,
        revision_id=call.ids.uuid(),
        tags=_checked_tags(dict(request.get("tags") or {})),
    )
    _check(tx, function)
    tx.put(function)
    if request.get("publish"):
        return configuration(_publish(tx, call, function, ""))
    return configuration(function)


def _environment(request: Mapping[str, Any]) -> dict[str, str] | None:
    given = request.get("environment")
    return None if given is None else dict(given.get("variables") or {})


def _check(tx: Transaction, function: Function) -> None:
    """What a function must keep to, new or changed. Raises: ApiError InvalidParameterValueException."""
    if not _PYTHON.fullmatch(function.runtime):
        raise invalid(f"The runtime parameter of {function.runtime} is not supported: Elba runs Python functions only.")
    for value, most, what in (
        (function.timeout, MOST_TIMEOUT, "timeout"),
        (function.memory_size, MOST_MEMORY, "memorySize"),
    ):
        if value > most:
            raise ApiError(
                "ValidationException",
                f"1 validation error detected: Value '{value}' at '{what}' failed to satisfy constraint: Member must "
                f"have value less than or equal to {most}",
            )
    variables = function.environment or {}
    if reserved := sorted(_RESERVED & set(variables)):
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. Reserved keys used in "
            f"this request: {', '.join(reserved)}"
        )
    if sum(len(k.encode()) + len(v.encode()) for k, v in variables.items()) > MOST_ENVIRONMENT_BYTES:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the {MOST_ENVIRONMENT_BYTES // 1024}KB limit."
        )
    role = tx.get(Role, function.role.split(":")[4], GLOBAL, function.role.rpartition("/")[2].lower())
    if role is None or "lambda.amazonaws.com" not in role.assume_role_policy_document:
        raise invalid("The role defined for the function cannot be assumed by Lambda.")


def update_function_code(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError ResourceNotFoundException, InvalidParameterValueException, PreconditionFailedException."""
    function = require_latest(tx, call, request)
    check_revision(request.get("revision_id"), function.revision_id)
    code = code_of(request)
    changed = replace(
        function,
        code_sha256=digest_of(code),
        code_size=len(code),
        architectures=tuple(request.get("architectures") or function.architectures),
        last_modified=call.now,
        revision_id=call.ids.uuid(),
    )
    if request.get("dry_run"):
        return configuration(changed)
    tx.put(changed)
    return configuration(_publish(tx, call, changed, "") if request.get("publish") else changed)


def update_function_configuration(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError as CreateFunction, and ResourceNotFoundException, PreconditionFailedException."""
    function = require_latest(tx, call, request)
    check_revision(request.get("revision_id"), function.revision_id)
    if request.get("layers"):
        raise invalid("Layers are not built in Elba.")
    fields: dict[str, Any] = {
        key: request[key]
        for key in ("role", "runtime", "handler", "timeout", "memory_size", "description")
        if request.get(key) is not None
    }
    if request.get("environment") is not None:
        fields["environment"] = _environment(request)
    settings = {**function.settings, **{key: request[key] for key in _KEPT if request.get(key) is not None}}
    changed = replace(function, **fields, settings=settings, last_modified=call.now, revision_id=call.ids.uuid())
    _check(tx, changed)
    tx.put(changed)
    return configuration(changed)


def delete_function(tx: Transaction, call: Call, request: Request) -> Answer:
    """The function with all that belongs to it, or one version of it."""
    name, qualifier = parse_name(call, request)
    function = find(tx, call, name)
    if function is None:
        raise not_found(function_arn(call, name, qualifier))
    if qualifier == LATEST:
        raise invalid("$LATEST version cannot be deleted without deleting the function.")
    if qualifier:
        version = tx.get(Function, call.account, call.region, f"{name}:{qualifier}")
        if tx.get(Alias, call.account, call.region, f"{name}:{qualifier}") is not None:
            raise invalid("Deletion of aliases is not currently supported.")
        pointing = [a for a in tx.children(Alias, call.account, call.region, name) if _uses(a, qualifier)]
        if pointing:
            raise conflict(
                f"Version {qualifier} is referenced by an alias: {pointing[0].arn}. Remove the alias and try again."
            )
        if version is not None:
            tx.delete(version)
        return {"status_code": 204}
    for kind in (Function, Alias, ResourcePolicy, Invocation):
        for owned in tx.children(kind, call.account, call.region, name):
            tx.delete(owned)
    return {"status_code": 204}


def _uses(alias: Alias, version: str) -> bool:
    return alias.function_version == version or version in alias.weights


def publish_version(tx: Transaction, call: Call, request: Request) -> Answer:
    """A new version of $LATEST; the last one if nothing has changed since."""
    function = require_latest(tx, call, request)
    check_revision(request.get("revision_id"), function.revision_id)
    wanted = request.get("code_sha256")
    if wanted and wanted != function.code_sha256:
        raise invalid(
            f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({function.code_sha256})."
        )
    return configuration(_publish(tx, call, function, request.get("description") or ""))


def _publish(tx: Transaction, call: Call, function: Function, description: str) -> Function:
    last = tx.get(Function, function.account, function.region, f"{function.name}:{function.last_published}")
    if last is not None and _same_program(last, function):
        return last
    number = function.last_published + 1
    version = replace(
        function,
        id=f"{function.name}:{number}",
        version=str(number),
        description=description or function.description,
        revision_id=call.ids.uuid(),
        tags={},
        reserved_concurrency=None,
    )
    tx.put(version)
    tx.put(replace(function, last_published=number))
    return version


def _same_program(one: Function, other: Function) -> bool:
    of = ("role", "runtime", "handler", "code_sha256", "timeout", "memory_size", "environment", "settings")
    return all(getattr(one, name) == getattr(other, name) for name in of)


def put_function_concurrency(tx: Transaction, call: Call, request: Request) -> Answer:
    function = require_latest(tx, call, request)
    wanted = request["reserved_concurrent_executions"]
    others = sum(
        each.reserved_concurrency or 0
        for each in tx.all(Function, call.account, call.region)
        if each.version == LATEST and each.id != function.id
    )
    if others + wanted > ACCOUNT_CONCURRENCY - LEAST_UNRESERVED:
        raise invalid(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{LEAST_UNRESERVED}]."
        )
    tx.put(replace(function, reserved_concurrency=wanted))
    return {"reserved_concurrent_executions": wanted}


def delete_function_concurrency(tx: Transaction, call: Call, request: Request) -> Answer:
    tx.put(replace(require_latest(tx, call, request), reserved_concurrency=None))
    return {}


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MOST_TAGS:
        raise invalid(f"Number of tags exceeds resource tag limit of {MOST_TAGS}.")
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid("System tags cannot be added/updated by requester: aws: is reserved.")
    return tags


def _tagged(tx: Transaction, call: Call, request: Request) -> Function:
    named = {"function_name": request["resource"]}
    _name, qualifier = parse_name(call, named)
    if qualifier:
        raise invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
    return require_latest(tx, call, named)


def tag_resource(tx: Transaction, call: Call, request: Request) -> Answer:
    function = _tagged(tx, call, request)
    tx.put(replace(function, tags=_checked_tags({**function.tags, **request["tags"]})))
    return {}


def untag_resource(tx: Transaction, call: Call, request: Request) -> Answer:
    function = _tagged(tx, call, request)
    gone = set(request["tag_keys"])
    tx.put(replace(function, tags={k: v for k, v in function.tags.items() if k not in gone}))
    return {}


def enqueue(tx: Transaction, call: Call, name: str, qualifier: str, payload: bytes, request_id: str) -> None:
    """Ask for an asynchronous invocation."""
    tx.put(
        Invocation(
            account=call.account,
            region=call.region,
            id=request_id,
            function_name=name,
            qualifier=qualifier,
            payload=payload,
            accepted=call.now,
        )
    )
