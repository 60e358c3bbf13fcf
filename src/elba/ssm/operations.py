"""Parameter Store's operations."""

from __future__ import annotations

from elba.call import Answer, Request
from elba.context import Context
from elba.ssm import commands, queries


async def put_parameter(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_parameter, request)


async def delete_parameter(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_parameter, request)


async def delete_parameters(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_parameters, request)


async def add_tags_to_resource(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.add_tags_to_resource, request)


async def remove_tags_from_resource(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.remove_tags_from_resource, request)


async def get_parameter(ctx: Context, request: Request) -> Answer:
    return queries.get_parameter(ctx.view, ctx.call, request)


async def get_parameters(ctx: Context, request: Request) -> Answer:
    return queries.get_parameters(ctx.view, ctx.call, request)


async def get_parameters_by_path(ctx: Context, request: Request) -> Answer:
    return queries.get_parameters_by_path(ctx.view, ctx.call, request)


async def get_parameter_history(ctx: Context, request: Request) -> Answer:
    return queries.get_parameter_history(ctx.view, ctx.call, request)


async def describe_parameters(ctx: Context, request: Request) -> Answer:
    return queries.describe_parameters(ctx.view, ctx.call, request)


async def list_tags_for_resource(ctx: Context, request: Request) -> Answer:
    return queries.list_tags_for_resource(ctx.view, ctx.call, request)
