"""Auto Scaling's API operations, named as botocore's `xform_name` has them. What is not here is not built."""

from __future__ import annotations

from elba.autoscaling import commands, queries
from elba.autoscaling.advance.synchronous import launch_instances as launch_instances_command
from elba.call import Answer, Request
from elba.context import Context


async def attach_instances(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.attach_instances, request)


async def attach_load_balancer_target_groups(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.attach_load_balancer_target_groups, request)


async def attach_load_balancers(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.attach_load_balancers, request)


async def attach_traffic_sources(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.attach_traffic_sources, request)


async def batch_delete_scheduled_action(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.batch_delete_scheduled_action, request)


async def batch_put_scheduled_update_group_action(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.batch_put_scheduled_update_group_action, request)


async def complete_lifecycle_action(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.complete_lifecycle_action, request)


async def create_auto_scaling_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_auto_scaling_group, request)


async def create_launch_configuration(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_launch_configuration, request)


async def create_or_update_tags(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.create_or_update_tags, request)


async def delete_auto_scaling_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_auto_scaling_group, request)


async def delete_launch_configuration(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_launch_configuration, request)


async def delete_lifecycle_hook(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_lifecycle_hook, request)


async def delete_notification_configuration(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_notification_configuration, request)


async def delete_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_policy, request)


async def delete_scheduled_action(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_scheduled_action, request)


async def delete_tags(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_tags, request)


async def detach_instances(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.detach_instances, request)


async def detach_load_balancer_target_groups(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.detach_load_balancer_target_groups, request)


async def detach_load_balancers(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.detach_load_balancers, request)


async def detach_traffic_sources(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.detach_traffic_sources, request)


async def disable_metrics_collection(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.disable_metrics_collection, request)


async def enable_metrics_collection(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.enable_metrics_collection, request)


async def enter_standby(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.enter_standby, request)


async def execute_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.execute_policy, request)


async def exit_standby(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.exit_standby, request)


async def put_lifecycle_hook(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_lifecycle_hook, request)


async def put_notification_configuration(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_notification_configuration, request)


async def put_scaling_policy(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_scaling_policy, request)


async def put_scheduled_update_group_action(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_scheduled_update_group_action, request)


async def record_lifecycle_action_heartbeat(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.record_lifecycle_action_heartbeat, request)


async def resume_processes(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.resume_processes, request)


async def set_desired_capacity(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_desired_capacity, request)


async def set_instance_health(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_instance_health, request)


async def set_instance_protection(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.set_instance_protection, request)


async def suspend_processes(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.suspend_processes, request)


async def terminate_instance_in_auto_scaling_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.terminate_instance_in_auto_scaling_group, request)


async def update_auto_scaling_group(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.update_auto_scaling_group, request)


async def describe_account_limits(ctx: Context, request: Request) -> Answer:
    return queries.describe_account_limits(ctx.view, ctx.call, request)


async def describe_adjustment_types(ctx: Context, request: Request) -> Answer:
    return queries.describe_adjustment_types(ctx.view, ctx.call, request)


async def describe_auto_scaling_groups(ctx: Context, request: Request) -> Answer:
    return queries.describe_auto_scaling_groups(ctx.view, ctx.call, request)


async def describe_auto_scaling_instances(ctx: Context, request: Request) -> Answer:
    return queries.describe_auto_scaling_instances(ctx.view, ctx.call, request)


async def describe_auto_scaling_notification_types(ctx: Context, request: Request) -> Answer:
    return queries.describe_auto_scaling_notification_types(ctx.view, ctx.call, request)


async def describe_launch_configurations(ctx: Context, request: Request) -> Answer:
    return queries.describe_launch_configurations(ctx.view, ctx.call, request)


async def describe_lifecycle_hook_types(ctx: Context, request: Request) -> Answer:
    return queries.describe_lifecycle_hook_types(ctx.view, ctx.call, request)


async def describe_lifecycle_hooks(ctx: Context, request: Request) -> Answer:
    return queries.describe_lifecycle_hooks(ctx.view, ctx.call, request)


async def describe_load_balancer_target_groups(ctx: Context, request: Request) -> Answer:
    return queries.describe_load_balancer_target_groups(ctx.view, ctx.call, request)


async def describe_load_balancers(ctx: Context, request: Request) -> Answer:
    return queries.describe_load_balancers(ctx.view, ctx.call, request)


async def describe_metric_collection_types(ctx: Context, request: Request) -> Answer:
    return queries.describe_metric_collection_types(ctx.view, ctx.call, request)


async def describe_notification_configurations(ctx: Context, request: Request) -> Answer:
    return queries.describe_notification_configurations(ctx.view, ctx.call, request)


async def describe_policies(ctx: Context, request: Request) -> Answer:
    return queries.describe_policies(ctx.view, ctx.call, request)


async def describe_scaling_activities(ctx: Context, request: Request) -> Answer:
    return queries.describe_scaling_activities(ctx.view, ctx.call, request)


async def describe_scaling_process_types(ctx: Context, request: Request) -> Answer:
    return queries.describe_scaling_process_types(ctx.view, ctx.call, request)


async def describe_scheduled_actions(ctx: Context, request: Request) -> Answer:
    return queries.describe_scheduled_actions(ctx.view, ctx.call, request)


async def describe_tags(ctx: Context, request: Request) -> Answer:
    return queries.describe_tags(ctx.view, ctx.call, request)


async def describe_termination_policy_types(ctx: Context, request: Request) -> Answer:
    return queries.describe_termination_policy_types(ctx.view, ctx.call, request)


async def describe_traffic_sources(ctx: Context, request: Request) -> Answer:
    return queries.describe_traffic_sources(ctx.view, ctx.call, request)


async def cancel_instance_refresh(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.cancel_instance_refresh, request)


async def rollback_instance_refresh(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.rollback_instance_refresh, request)


async def start_instance_refresh(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.start_instance_refresh, request)


async def describe_instance_refreshes(ctx: Context, request: Request) -> Answer:
    return queries.describe_instance_refreshes(ctx.view, ctx.call, request)


async def delete_warm_pool(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.delete_warm_pool, request)


async def put_warm_pool(ctx: Context, request: Request) -> Answer:
    return await ctx.write(commands.put_warm_pool, request)


async def describe_warm_pool(ctx: Context, request: Request) -> Answer:
    return queries.describe_warm_pool(ctx.view, ctx.call, request)


async def launch_instances(ctx: Context, request: Request) -> Answer:
    return await ctx.write(launch_instances_command, request)


async def get_predictive_scaling_forecast(ctx: Context, request: Request) -> Answer:
    return queries.get_predictive_scaling_forecast(ctx.view, ctx.call, request)
