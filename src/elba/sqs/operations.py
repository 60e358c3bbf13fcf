"""SQS's operations. Queue URLs are made here: commands know no endpoint."""

from __future__ import annotations

from dataclasses import replace

from elba.call import Answer, Request
from elba.context import Context
from elba.sqs import commands, queries
from elba.sqs.lookup import DEFAULT_ENDPOINT, require_queue, url_of
from elba.sqs.resources import Queue

POLL_SECONDS = 0.1
"""Real seconds between two looks of a long poll."""


def _url(ctx: Context, queue: Queue) -> str:
    return url_of(queue, ctx.ports.settings.get("endpoint") or DEFAULT_ENDPOINT)


async def create_queue(ctx: Context, request: Request) -> Answer:
    made = await ctx.write(commands.create_queue, request)
    queue = Queue(account=ctx.call.account, region=ctx.call.region, id=made["queue_name"])
    return {"queue_url": _url(ctx, queue)}


async def get_queue_url(ctx: Context, request: Request) -> Answer:
    return {"queue_url": _url(ctx, queries.get_queue_url(ctx.view, ctx.call, request)["queue"])}


async def list_queues(ctx: Context, request: Request) -> Answer:
    found = queries.list_queues(ctx.view, ctx.call, request)
    return {"queue_urls": [_url(ctx, q) for q in found["queues"]] or None, "next_token": found["next_token"]}


async def list_dead_letter_source_queues(ctx: Context, request: Request) -> Answer:
    found = queries.list_dead_letter_source_queues(ctx.view, ctx.call, request)
    return {"queue_urls": [_url(ctx, q) for q in found["queues"]]}


async def get_queue_attributes(ctx: Context, request: Request) -> Answer:
    return queries.get_queue_attributes(ctx.view, ctx.call, request)


async def list_queue_tags(ctx: Context, request: Request) -> Answer:
    return queries.list_queue_tags(ctx.view, ctx.call, request)


async def receive_message(ctx: Context, request: Request) -> Answer:
    """Waits for a message up to WaitTimeSeconds (the queue's own if not given) of the clock's time."""
    commands.check_receive(request)
    queue = require_queue(ctx.view, ctx.call, request["queue_url"])
    wait = request.get("wait_time_seconds")
    end = ctx.clock.now() + (queue.number("ReceiveMessageWaitTimeSeconds") if wait is None else wait)
    while True:
        now = ctx.clock.now()
        if queries.any_visible(ctx.view, queue, now):
            call = replace(ctx.call, now=now)
            taken = await replace(ctx, call=call).write(commands.receive_message, request)
            if taken["messages"]:
                return {"messages": [queries.shown(message, request) for message in taken["messages"]]}
        if ctx.clock.now() >= end:
            return {}
        await ctx.clock.sleep(min(POLL_SECONDS * ctx.clock.scale, end - ctx.clock.now()))


async def delete_queue(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_queue, request)


async def set_queue_attributes(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_queue_attributes, request)


async def purge_queue(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.purge_queue, request)


async def tag_queue(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.tag_queue, request)


async def untag_queue(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.untag_queue, request)


async def send_message(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.send_message, request)


async def send_message_batch(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.send_message_batch, request)


async def delete_message(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_message, request)


async def delete_message_batch(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_message_batch, request)


async def change_message_visibility(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.change_message_visibility, request)


async def change_message_visibility_batch(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.change_message_visibility_batch, request)
