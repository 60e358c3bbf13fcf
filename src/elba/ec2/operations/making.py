"""How a command or a query becomes an operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from elba.call import Answer, Request
from elba.context import Command, Context, Query

Operation = Callable[[Context, Request], Awaitable[Answer]]


def mutating(command: Command) -> Operation:
    """The operation that runs `command` in a transaction."""

    async def operation(ctx: Context, request: Request) -> Answer:
        return await ctx.write(command, request)

    return _named(operation, command)


def reading(query: Query) -> Operation:
    """The operation that answers from the store's view."""

    async def operation(ctx: Context, request: Request) -> Answer:
        return query(ctx.view, ctx.call, request)

    return _named(operation, query)


def _named(operation: Operation, like: Command | Query) -> Operation:
    operation.__name__ = operation.__qualname__ = getattr(like, "__name__", "operation")
    operation.__doc__ = like.__doc__
    return operation
