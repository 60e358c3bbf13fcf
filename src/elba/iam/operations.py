"""IAM's operations: each calls its command or its query."""

from __future__ import annotations

from elba.call import Answer, Request
from elba.context import Context
from elba.iam import account_queries, commands, queries


async def add_role_to_instance_profile(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.add_role_to_instance_profile, request)


async def attach_role_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.attach_role_policy, request)


async def attach_user_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.attach_user_policy, request)


async def create_access_key(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_access_key, request)


async def create_instance_profile(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_instance_profile, request)


async def create_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_policy, request)


async def create_policy_version(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_policy_version, request)


async def create_role(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_role, request)


async def create_service_linked_role(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_service_linked_role, request)


async def create_user(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_user, request)


async def delete_access_key(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_access_key, request)


async def delete_instance_profile(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_instance_profile, request)


async def delete_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_policy, request)


async def delete_policy_version(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_policy_version, request)


async def delete_role(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_role, request)


async def delete_role_permissions_boundary(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_role_permissions_boundary, request)


async def delete_role_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_role_policy, request)


async def delete_service_linked_role(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_service_linked_role, request)


async def delete_user(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_user, request)


async def delete_user_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_user_policy, request)


async def detach_role_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.detach_role_policy, request)


async def detach_user_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.detach_user_policy, request)


async def get_instance_profile(ctx: Context, request: Request) -> Answer:
    return queries.get_instance_profile(ctx.view, ctx.call, request)


async def get_policy(ctx: Context, request: Request) -> Answer:
    return queries.get_policy(ctx.view, ctx.call, request)


async def get_policy_version(ctx: Context, request: Request) -> Answer:
    return queries.get_policy_version(ctx.view, ctx.call, request)


async def get_role(ctx: Context, request: Request) -> Answer:
    return queries.get_role(ctx.view, ctx.call, request)


async def get_role_policy(ctx: Context, request: Request) -> Answer:
    return queries.get_role_policy(ctx.view, ctx.call, request)


async def get_service_linked_role_deletion_status(ctx: Context, request: Request) -> Answer:
    return queries.get_service_linked_role_deletion_status(ctx.view, ctx.call, request)


async def get_user(ctx: Context, request: Request) -> Answer:
    return queries.get_user(ctx.view, ctx.call, request)


async def get_user_policy(ctx: Context, request: Request) -> Answer:
    return queries.get_user_policy(ctx.view, ctx.call, request)


async def list_access_keys(ctx: Context, request: Request) -> Answer:
    return queries.list_access_keys(ctx.view, ctx.call, request)


async def list_attached_role_policies(ctx: Context, request: Request) -> Answer:
    return queries.list_attached_role_policies(ctx.view, ctx.call, request)


async def list_attached_user_policies(ctx: Context, request: Request) -> Answer:
    return queries.list_attached_user_policies(ctx.view, ctx.call, request)


async def list_entities_for_policy(ctx: Context, request: Request) -> Answer:
    return queries.list_entities_for_policy(ctx.view, ctx.call, request)


async def list_instance_profile_tags(ctx: Context, request: Request) -> Answer:
    return queries.list_instance_profile_tags(ctx.view, ctx.call, request)


async def list_instance_profiles(ctx: Context, request: Request) -> Answer:
    return queries.list_instance_profiles(ctx.view, ctx.call, request)


async def list_instance_profiles_for_role(ctx: Context, request: Request) -> Answer:
    return queries.list_instance_profiles_for_role(ctx.view, ctx.call, request)


async def list_policies(ctx: Context, request: Request) -> Answer:
    return queries.list_policies(ctx.view, ctx.call, request)


async def list_policy_tags(ctx: Context, request: Request) -> Answer:
    return queries.list_policy_tags(ctx.view, ctx.call, request)


async def list_policy_versions(ctx: Context, request: Request) -> Answer:
    return queries.list_policy_versions(ctx.view, ctx.call, request)


async def list_role_policies(ctx: Context, request: Request) -> Answer:
    return queries.list_role_policies(ctx.view, ctx.call, request)


async def list_role_tags(ctx: Context, request: Request) -> Answer:
    return queries.list_role_tags(ctx.view, ctx.call, request)


async def list_roles(ctx: Context, request: Request) -> Answer:
    return queries.list_roles(ctx.view, ctx.call, request)


async def list_user_policies(ctx: Context, request: Request) -> Answer:
    return queries.list_user_policies(ctx.view, ctx.call, request)


async def list_user_tags(ctx: Context, request: Request) -> Answer:
    return queries.list_user_tags(ctx.view, ctx.call, request)


async def list_users(ctx: Context, request: Request) -> Answer:
    return queries.list_users(ctx.view, ctx.call, request)


async def put_role_permissions_boundary(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_role_permissions_boundary, request)


async def put_role_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_role_policy, request)


async def put_user_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_user_policy, request)


async def remove_role_from_instance_profile(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.remove_role_from_instance_profile, request)


async def set_default_policy_version(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_default_policy_version, request)


async def tag_instance_profile(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.tag_instance_profile, request)


async def tag_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.tag_policy, request)


async def tag_role(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.tag_role, request)


async def tag_user(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.tag_user, request)


async def untag_instance_profile(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.untag_instance_profile, request)


async def untag_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.untag_policy, request)


async def untag_role(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.untag_role, request)


async def untag_user(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.untag_user, request)


async def update_access_key(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_access_key, request)


async def update_assume_role_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_assume_role_policy, request)


async def update_role(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_role, request)


async def update_role_description(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_role_description, request)


async def delete_server_certificate(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_server_certificate, request)


async def tag_server_certificate(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.tag_server_certificate, request)


async def untag_server_certificate(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.untag_server_certificate, request)


async def update_server_certificate(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_server_certificate, request)


async def upload_server_certificate(ctx: Context, request: Request) -> Answer:
    timed = {**request, "world_now": ctx.clock.wall()}
    return await ctx.write(commands.upload_server_certificate, timed)


async def get_server_certificate(ctx: Context, request: Request) -> Answer:
    return queries.get_server_certificate(ctx.view, ctx.call, request)


async def list_server_certificates(ctx: Context, request: Request) -> Answer:
    return queries.list_server_certificates(ctx.view, ctx.call, request)


async def list_server_certificate_tags(ctx: Context, request: Request) -> Answer:
    return queries.list_server_certificate_tags(ctx.view, ctx.call, request)


async def add_user_to_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.add_user_to_group, request)


async def attach_group_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.attach_group_policy, request)


async def create_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_group, request)


async def delete_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_group, request)


async def delete_group_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_group_policy, request)


async def detach_group_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.detach_group_policy, request)


async def put_group_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_group_policy, request)


async def remove_user_from_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.remove_user_from_group, request)


async def update_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_group, request)


async def update_user(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_user, request)


async def put_user_permissions_boundary(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_user_permissions_boundary, request)


async def delete_user_permissions_boundary(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_user_permissions_boundary, request)


async def create_account_alias(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_account_alias, request)


async def delete_account_alias(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_account_alias, request)


async def delete_account_password_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_account_password_policy, request)


async def update_account_password_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_account_password_policy, request)


async def get_group(ctx: Context, request: Request) -> Answer:
    return queries.get_group(ctx.view, ctx.call, request)


async def get_group_policy(ctx: Context, request: Request) -> Answer:
    return queries.get_group_policy(ctx.view, ctx.call, request)


async def list_groups(ctx: Context, request: Request) -> Answer:
    return queries.list_groups(ctx.view, ctx.call, request)


async def list_groups_for_user(ctx: Context, request: Request) -> Answer:
    return queries.list_groups_for_user(ctx.view, ctx.call, request)


async def list_group_policies(ctx: Context, request: Request) -> Answer:
    return queries.list_group_policies(ctx.view, ctx.call, request)


async def list_attached_group_policies(ctx: Context, request: Request) -> Answer:
    return queries.list_attached_group_policies(ctx.view, ctx.call, request)


async def list_account_aliases(ctx: Context, request: Request) -> Answer:
    return account_queries.list_account_aliases(ctx.view, ctx.call, request)


async def get_account_password_policy(ctx: Context, request: Request) -> Answer:
    return account_queries.get_account_password_policy(ctx.view, ctx.call, request)


async def get_account_summary(ctx: Context, request: Request) -> Answer:
    return account_queries.get_account_summary(ctx.view, ctx.call, request)
