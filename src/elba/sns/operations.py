"""SNS's operations."""

from __future__ import annotations

from elba.call import Answer, Request
from elba.context import Context
from elba.sns import commands, queries


async def create_topic(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_topic, request)


async def delete_topic(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_topic, request)


async def set_topic_attributes(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_topic_attributes, request)


async def subscribe(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.subscribe, request)


async def confirm_subscription(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.confirm_subscription, request)


async def unsubscribe(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.unsubscribe, request)


async def set_subscription_attributes(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_subscription_attributes, request)


async def publish(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.publish, request)


async def publish_batch(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.publish_batch, request)


async def tag_resource(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.tag_resource, request)


async def untag_resource(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.untag_resource, request)


async def list_topics(ctx: Context, request: Request) -> Answer:
    return queries.list_topics(ctx.view, ctx.call, request)


async def get_topic_attributes(ctx: Context, request: Request) -> Answer:
    return queries.get_topic_attributes(ctx.view, ctx.call, request)


async def list_subscriptions(ctx: Context, request: Request) -> Answer:
    return queries.list_subscriptions(ctx.view, ctx.call, request)


async def list_subscriptions_by_topic(ctx: Context, request: Request) -> Answer:
    return queries.list_subscriptions_by_topic(ctx.view, ctx.call, request)


async def get_subscription_attributes(ctx: Context, request: Request) -> Answer:
    return queries.get_subscription_attributes(ctx.view, ctx.call, request)


async def list_tags_for_resource(ctx: Context, request: Request) -> Answer:
    return queries.list_tags_for_resource(ctx.view, ctx.call, request)
