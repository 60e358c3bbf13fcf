"""STS operations."""

from __future__ import annotations

from elba.call import Answer, Request
from elba.context import Context


async def get_caller_identity(ctx: Context, request: Request) -> Answer:
    """Who signed the request. Needs no permission."""
    return {"user_id": ctx.call.caller_id, "account": ctx.call.account, "arn": ctx.call.caller_arn}
