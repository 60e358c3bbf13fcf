"""ELBv2's API operations: one thin function each, named as botocore names the client's method."""

from __future__ import annotations

from elba.call import Answer, Request
from elba.context import Context
from elba.elbv2 import commands, downloads, queries
from elba.elbv2.bundles import MOST_BUNDLE_BYTES, MOST_LIST_BYTES
from elba.elbv2.commands.trust_stores import CONTENT
from elba.elbv2.log_buckets import require_log_buckets
from elba.elbv2.objects import read_object


async def add_listener_certificates(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.add_listener_certificates, request)


async def add_tags(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.add_tags, request)


async def create_listener(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_listener, request)


async def create_load_balancer(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_load_balancer, request)


async def create_rule(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_rule, request)


async def create_target_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_target_group, request)


async def delete_listener(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_listener, request)


async def delete_load_balancer(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_load_balancer, request)


async def delete_rule(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_rule, request)


async def delete_target_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_target_group, request)


async def deregister_targets(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.deregister_targets, request)


async def describe_account_limits(ctx: Context, request: Request) -> Answer:
    return queries.describe_account_limits(ctx.view, ctx.call, request)


async def describe_capacity_reservation(ctx: Context, request: Request) -> Answer:
    return queries.describe_capacity_reservation(ctx.view, ctx.call, request)


async def describe_listener_attributes(ctx: Context, request: Request) -> Answer:
    return queries.describe_listener_attributes(ctx.view, ctx.call, request)


async def describe_listener_certificates(ctx: Context, request: Request) -> Answer:
    return queries.describe_listener_certificates(ctx.view, ctx.call, request)


async def describe_listeners(ctx: Context, request: Request) -> Answer:
    return queries.describe_listeners(ctx.view, ctx.call, request)


async def describe_load_balancer_attributes(ctx: Context, request: Request) -> Answer:
    return queries.describe_load_balancer_attributes(ctx.view, ctx.call, request)


async def describe_load_balancers(ctx: Context, request: Request) -> Answer:
    return queries.describe_load_balancers(ctx.view, ctx.call, request)


async def describe_rules(ctx: Context, request: Request) -> Answer:
    return queries.describe_rules(ctx.view, ctx.call, request)


async def describe_ssl_policies(ctx: Context, request: Request) -> Answer:
    return queries.describe_ssl_policies(ctx.view, ctx.call, request)


async def describe_tags(ctx: Context, request: Request) -> Answer:
    return queries.describe_tags(ctx.view, ctx.call, request)


async def describe_target_group_attributes(ctx: Context, request: Request) -> Answer:
    return queries.describe_target_group_attributes(ctx.view, ctx.call, request)


async def describe_target_groups(ctx: Context, request: Request) -> Answer:
    return queries.describe_target_groups(ctx.view, ctx.call, request)


async def describe_target_health(ctx: Context, request: Request) -> Answer:
    return commands.describe_target_health(ctx.view, ctx.call, request)


async def modify_capacity_reservation(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.modify_capacity_reservation, request)


async def modify_ip_pools(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.modify_ip_pools, request)


async def modify_listener(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.modify_listener, request)


async def modify_listener_attributes(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.modify_listener_attributes, request)


async def modify_load_balancer_attributes(ctx: Context, request: Request) -> Answer:
    await require_log_buckets(ctx, request)
    return await ctx.write(commands.modify_load_balancer_attributes, request)


async def modify_rule(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.modify_rule, request)


async def modify_target_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.modify_target_group, request)


async def modify_target_group_attributes(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.modify_target_group_attributes, request)


async def register_targets(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.register_targets, request)


async def remove_listener_certificates(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.remove_listener_certificates, request)


async def remove_tags(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.remove_tags, request)


async def set_ip_address_type(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_ip_address_type, request)


async def set_rule_priorities(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_rule_priorities, request)


async def set_security_groups(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_security_groups, request)


async def set_subnets(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_subnets, request)


# ── trust stores ─────────────────────────────────────────────────────────────────────────────────────


async def _with_bundle(ctx: Context, request: Request) -> Request:
    bucket, key = request["ca_certificates_bundle_s3_bucket"], request["ca_certificates_bundle_s3_key"]
    version = request.get("ca_certificates_bundle_s3_object_version")
    content = await read_object(ctx.ports.buckets, bucket, key, version, MOST_BUNDLE_BYTES)
    return {**request, CONTENT: content}


async def create_trust_store(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_trust_store, await _with_bundle(ctx, request))


async def modify_trust_store(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.modify_trust_store, await _with_bundle(ctx, request))


async def delete_trust_store(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_trust_store, request)


async def add_trust_store_revocations(ctx: Context, request: Request) -> Answer:
    contents = [
        await read_object(
            ctx.ports.buckets,
            given.get("s3_bucket", ""),
            given.get("s3_key", ""),
            given.get("s3_object_version"),
            MOST_LIST_BYTES,
        )
        for given in request.get("revocation_contents", ())
    ]
    return await ctx.write(commands.add_trust_store_revocations, {**request, CONTENT: contents})


async def remove_trust_store_revocations(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.remove_trust_store_revocations, request)


async def delete_shared_trust_store_association(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_shared_trust_store_association, request)


async def describe_trust_stores(ctx: Context, request: Request) -> Answer:
    return queries.describe_trust_stores(ctx.view, ctx.call, request)


async def describe_trust_store_associations(ctx: Context, request: Request) -> Answer:
    return queries.describe_trust_store_associations(ctx.view, ctx.call, request)


async def describe_trust_store_revocations(ctx: Context, request: Request) -> Answer:
    return queries.describe_trust_store_revocations(ctx.view, ctx.call, request)


async def get_resource_policy(ctx: Context, request: Request) -> Answer:
    return queries.get_resource_policy(ctx.view, ctx.call, request)


async def get_trust_store_ca_certificates_bundle(ctx: Context, request: Request) -> Answer:
    return downloads.locate_bundle(ctx.view, ctx.call, request, _endpoint(ctx), ctx.clock.wall())


async def get_trust_store_revocation_content(ctx: Context, request: Request) -> Answer:
    return downloads.locate_revocation(ctx.view, ctx.call, request, _endpoint(ctx), ctx.clock.wall())


def _endpoint(ctx: Context) -> str:
    return ctx.ports.settings.get("endpoint", "")
