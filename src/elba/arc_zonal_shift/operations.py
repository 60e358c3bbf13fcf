"""Zonal shift's operations. Autoshifts are AWS's own doing and practice runs belong to them: neither is here."""

from __future__ import annotations

from elba.arc_zonal_shift import commands, queries
from elba.call import Answer, Request
from elba.context import Context


async def start_zonal_shift(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.start_zonal_shift, request)


async def update_zonal_shift(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_zonal_shift, request)


async def cancel_zonal_shift(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.cancel_zonal_shift, request)


async def list_zonal_shifts(ctx: Context, request: Request) -> Answer:
    return queries.list_zonal_shifts(ctx.view, ctx.call, request)


async def get_managed_resource(ctx: Context, request: Request) -> Answer:
    return queries.get_managed_resource(ctx.view, ctx.call, request)


async def list_managed_resources(ctx: Context, request: Request) -> Answer:
    return queries.list_managed_resources(ctx.view, ctx.call, request)
