"""STS operations."""

from __future__ import annotations

from dataclasses import replace

from elba.call import Answer, Request
from elba.context import Command, Context
from elba.errors import ApiError
from elba.iam.resources import AccessKey
from elba.sts import commands


async def get_caller_identity(ctx: Context, request: Request) -> Answer:
    """Who signed the request. Needs no permission."""
    return {"user_id": ctx.call.caller_id, "account": ctx.call.account, "arn": ctx.call.caller_arn}


async def assume_role(ctx: Context, request: Request) -> Answer:
    return await _in_world_time(ctx, commands.assume_role, request)


async def get_session_token(ctx: Context, request: Request) -> Answer:
    return await _in_world_time(ctx, commands.get_session_token, request)


async def get_access_key_info(ctx: Context, request: Request) -> Answer:
    """The account that a key belongs to."""
    wanted = request["access_key_id"]
    for key in ctx.view.all(AccessKey):
        if key.id == wanted:
            return {"account": key.account}
    raise ApiError("ValidationError", f"Access Key ID {wanted} is unknown.")


async def _in_world_time(ctx: Context, command: Command, request: Request) -> Answer:
    """Clients and their SDKs live by the world's clock: so do the credentials they are given."""
    return await replace(ctx, call=replace(ctx.call, now=ctx.clock.wall())).write(command, request)
