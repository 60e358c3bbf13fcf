"""Lambda's operations."""

from __future__ import annotations

import base64
import json
from typing import Any

from elba.buckets import BadObjectName, ObjectTooLarge
from elba.call import Answer, Request
from elba.context import Context
from elba.errors import ApiError
from elba.lambda_ import archives, commands, queries
from elba.lambda_.commands.functions import code_of
from elba.lambda_.interface import CodeMissing, Functions, Throttled
from elba.lambda_.names import find, function_arn, invalid, not_found, parse_name, program_of, require

MOST_SYNCHRONOUS_BYTES = 6_291_556
MOST_ASYNCHRONOUS_BYTES = 1_048_576


def _functions(ctx: Context) -> Functions:
    if ctx.ports.functions is None:
        raise ApiError("ServiceException", "Nothing here runs functions.", 500)
    return ctx.ports.functions


async def _keep_code(ctx: Context, given: Request) -> dict[str, Any]:
    """`given` with its code as a zip file. Code is kept before the function that uses it; what a refused request
    brought is swept away later."""
    given = await _from_bucket(ctx, given)
    code = code_of(given)
    archives.check(code)
    _functions(ctx).keep(code)
    return dict(given)


async def _from_bucket(ctx: Context, given: Request) -> Request:
    """Code that a bucket holds takes the place of its name. Raises: ApiError InvalidParameterValueException."""
    bucket, key = given.get("s3_bucket"), given.get("s3_key")
    if not bucket or given.get("zip_file") is not None:
        return given
    buckets = ctx.ports.buckets
    problem = ("NoSuchBucket", "The specified bucket does not exist")
    if await buckets.exists(bucket):
        problem = ("NoSuchKey", "The specified key does not exist.")
        if given.get("s3_object_version") not in (None, "", "null"):
            problem = ("NoSuchVersion", "The specified version does not exist.")
        else:
            try:
                body = await buckets.read(bucket, key or "", archives.MOST_ZIPPED_BYTES)
            except BadObjectName:
                body = None
            except ObjectTooLarge:
                raise invalid("Unzipped size must be smaller than 262144000 bytes") from None
            if body is not None:
                located = ("s3_bucket", "s3_key", "s3_object_version")
                return {**{k: v for k, v in given.items() if k not in located}, "zip_file": body}
    code, message = problem
    raise invalid(f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}")


async def create_function(ctx: Context, request: Request) -> Answer:
    code = await _keep_code(ctx, request["code"])
    return await ctx.write(commands.create_function, {**request, "code": code})


async def update_function_code(ctx: Context, request: Request) -> Answer:
    require(ctx.view, ctx.call, request)
    request = await _keep_code(ctx, request)
    # This DryRun answers with what would be, unlike EC2's: the command sees to it.
    call = ctx.call
    command = commands.update_function_code
    return await ctx.store.write(lambda tx: command(tx, call, request), f"api:{call.request_id}")


async def update_function_configuration(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_function_configuration, request)


async def delete_function(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_function, request)


async def publish_version(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.publish_version, request)


async def put_function_concurrency(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_function_concurrency, request)


async def delete_function_concurrency(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_function_concurrency, request)


async def add_permission(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.add_permission, request)


async def remove_permission(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.remove_permission, request)


async def create_alias(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_alias, request)


async def update_alias(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_alias, request)


async def delete_alias(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_alias, request)


async def tag_resource(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.tag_resource, request)


async def untag_resource(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.untag_resource, request)


async def get_function(ctx: Context, request: Request) -> Answer:
    function, _qualifier = require(ctx.view, ctx.call, request)
    digest = base64.b64decode(function.code_sha256).hex()
    endpoint = ctx.ports.settings.get("endpoint", "")
    return queries.get_function(ctx.view, ctx.call, request, f"{endpoint}/_elba/functions/code/{digest}")


async def get_function_configuration(ctx: Context, request: Request) -> Answer:
    return queries.get_function_configuration(ctx.view, ctx.call, request)


async def list_functions(ctx: Context, request: Request) -> Answer:
    return queries.list_functions(ctx.view, ctx.call, request)


async def list_versions_by_function(ctx: Context, request: Request) -> Answer:
    return queries.list_versions_by_function(ctx.view, ctx.call, request)


async def get_policy(ctx: Context, request: Request) -> Answer:
    return queries.get_policy(ctx.view, ctx.call, request)


async def get_alias(ctx: Context, request: Request) -> Answer:
    return queries.get_alias(ctx.view, ctx.call, request)


async def list_aliases(ctx: Context, request: Request) -> Answer:
    return queries.list_aliases(ctx.view, ctx.call, request)


async def get_function_code_signing_config(ctx: Context, request: Request) -> Answer:
    return queries.get_function_code_signing_config(ctx.view, ctx.call, request)


async def get_function_concurrency(ctx: Context, request: Request) -> Answer:
    return queries.get_function_concurrency(ctx.view, ctx.call, request)


async def list_tags(ctx: Context, request: Request) -> Answer:
    return queries.list_tags(ctx.view, ctx.call, request)


async def get_account_settings(ctx: Context, request: Request) -> Answer:
    return queries.get_account_settings(ctx.view, ctx.call, request)


async def invoke(ctx: Context, request: Request) -> Answer:
    """Runs the function now (RequestResponse), soon (Event) or not at all (DryRun).

    Raises: ApiError ResourceNotFoundException, InvalidRequestContentException, RequestTooLargeException,
    TooManyRequestsException, InvalidZipFileException.
    """
    kind = request.get("invocation_type") or "RequestResponse"
    name, qualifier = parse_name(ctx.call, request)
    function = find(ctx.view, ctx.call, name, qualifier, ctx.call.ids.random)
    if function is None:
        raise not_found(function_arn(ctx.call, name, qualifier))
    payload = bytes(request.get("payload") or b"{}")
    most = MOST_ASYNCHRONOUS_BYTES if kind == "Event" else MOST_SYNCHRONOUS_BYTES
    if len(payload) > most:
        raise ApiError(
            "RequestTooLargeException",
            f"Request must be smaller than {most} bytes for the "
            f"{'InvokeFunction' if kind != 'Event' else 'InvokeAsync'} operation",
            413,
        )
    _check_json(payload)
    if kind == "DryRun":
        return {"status_code": 204}
    if kind == "Event":
        call = ctx.call
        await ctx.store.write(
            lambda tx: commands.enqueue(tx, call, name, qualifier, payload, call.request_id), f"api:{call.request_id}"
        )
        return {"status_code": 202}
    try:
        context = base64.b64decode(request.get("client_context") or "").decode()
    except ValueError:
        raise ApiError(
            "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.", 400
        ) from None
    try:
        result = await _functions(ctx).invoke(
            program_of(ctx.view, function), payload, ctx.call.request_id, context=context
        )
    except Throttled as error:
        raise ApiError("TooManyRequestsException", "Rate Exceeded.", 429, fields={"reason": str(error)}) from None
    except CodeMissing:
        raise ApiError("InvalidZipFileException", "Lambda could not unzip the deployment package.", 502) from None
    return {
        "status_code": 200,
        "payload": result.payload,
        "function_error": result.error or None,
        "log_result": base64.b64encode(result.log_tail).decode() if request.get("log_type") == "Tail" else None,
        "executed_version": function.version,
    }


def _check_json(payload: bytes) -> None:
    try:
        json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ApiError(
            "InvalidRequestContentException", f"Could not parse request body into json: {error}", 400
        ) from None
