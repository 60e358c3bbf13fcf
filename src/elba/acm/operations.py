"""ACM's operations. What they add to a request: the world's time, by which certificates are valid or not."""

from __future__ import annotations

from elba.acm import commands, queries
from elba.acm.authority import ensure_authority
from elba.acm.lookup import WORLD_NOW
from elba.call import Answer, Request
from elba.context import Context
from elba.x509.issuing import issue

ISSUED_DAYS = 395
"""13 months, as ACM's own certificates."""


def _timed(ctx: Context, request: Request) -> Request:
    return {**request, WORLD_NOW: ctx.clock.wall()}


async def add_tags_to_certificate(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.add_tags_to_certificate, request)


async def delete_certificate(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_certificate, request)


async def describe_certificate(ctx: Context, request: Request) -> Answer:
    return queries.describe_certificate(ctx.view, ctx.call, _timed(ctx, request))


async def export_certificate(ctx: Context, request: Request) -> Answer:
    await ctx.write(commands.record_export, request)
    return queries.export_certificate(ctx.view, ctx.call, request)


async def get_account_configuration(ctx: Context, request: Request) -> Answer:
    return queries.get_account_configuration(ctx.view, ctx.call, request)


async def get_certificate(ctx: Context, request: Request) -> Answer:
    return queries.get_certificate(ctx.view, ctx.call, request)


async def import_certificate(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.import_certificate, _timed(ctx, request))


async def list_certificates(ctx: Context, request: Request) -> Answer:
    return queries.list_certificates(ctx.view, ctx.call, _timed(ctx, request))


async def list_tags_for_certificate(ctx: Context, request: Request) -> Answer:
    return queries.list_tags_for_certificate(ctx.view, ctx.call, request)


async def put_account_configuration(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_account_configuration, request)


async def remove_tags_from_certificate(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.remove_tags_from_certificate, request)


async def request_certificate(ctx: Context, request: Request) -> Answer:
    """Issued at once by this Elba's own authority; a certificate is made only for a request that will pass."""
    before = commands.requested_before(ctx.view, ctx.call, request)
    if before is not None:
        return {"certificate_arn": before.id}
    authority = await ensure_authority(ctx.store, ctx.clock, ctx.call.ids)
    issued = issue(
        authority.certificate,
        authority.private_key,
        commands.names_requested(request),
        request.get("key_algorithm", "RSA_2048"),
        ctx.call.ids.random,
        ctx.clock.wall(),
        ISSUED_DAYS,
    )
    extra = {"issued": issued, "authority": authority.certificate}
    return await ctx.write(commands.request_certificate, {**request, **extra})


async def update_certificate_options(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_certificate_options, _timed(ctx, request))
