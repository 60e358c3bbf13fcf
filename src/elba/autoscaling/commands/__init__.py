"""Auto Scaling's commands: pure functions of a transaction, the call and the request."""

from elba.autoscaling.commands.groups import (
    create_auto_scaling_group,
    delete_auto_scaling_group,
    set_desired_capacity,
    update_auto_scaling_group,
)
from elba.autoscaling.commands.hooks import (
    complete_lifecycle_action,
    delete_lifecycle_hook,
    put_lifecycle_hook,
    record_lifecycle_action_heartbeat,
)
from elba.autoscaling.commands.instances import (
    attach_instances,
    detach_instances,
    enter_standby,
    exit_standby,
    set_instance_health,
    set_instance_protection,
    terminate_instance_in_auto_scaling_group,
)
from elba.autoscaling.commands.launch_configurations import (
    create_launch_configuration,
    delete_launch_configuration,
)
from elba.autoscaling.commands.notifications import (
    delete_notification_configuration,
    put_notification_configuration,
)
from elba.autoscaling.commands.policies import delete_policy, execute_policy, put_scaling_policy
from elba.autoscaling.commands.processes import (
    disable_metrics_collection,
    enable_metrics_collection,
    resume_processes,
    suspend_processes,
)
from elba.autoscaling.commands.refreshes import (
    cancel_instance_refresh,
    rollback_instance_refresh,
    start_instance_refresh,
)
from elba.autoscaling.commands.schedules import (
    batch_delete_scheduled_action,
    batch_put_scheduled_update_group_action,
    delete_scheduled_action,
    put_scheduled_update_group_action,
)
from elba.autoscaling.commands.tags import create_or_update_tags, delete_tags
from elba.autoscaling.commands.traffic import (
    attach_load_balancer_target_groups,
    attach_load_balancers,
    attach_traffic_sources,
    detach_load_balancer_target_groups,
    detach_load_balancers,
    detach_traffic_sources,
)
from elba.autoscaling.commands.warm_pools import delete_warm_pool, put_warm_pool

__all__ = [
    "attach_instances",
    "attach_load_balancer_target_groups",
    "attach_load_balancers",
    "attach_traffic_sources",
    "batch_delete_scheduled_action",
    "batch_put_scheduled_update_group_action",
    "cancel_instance_refresh",
    "complete_lifecycle_action",
    "create_auto_scaling_group",
    "create_launch_configuration",
    "create_or_update_tags",
    "delete_auto_scaling_group",
    "delete_launch_configuration",
    "delete_lifecycle_hook",
    "delete_notification_configuration",
    "delete_policy",
    "delete_scheduled_action",
    "delete_tags",
    "delete_warm_pool",
    "detach_instances",
    "detach_load_balancer_target_groups",
    "detach_load_balancers",
    "detach_traffic_sources",
    "disable_metrics_collection",
    "enable_metrics_collection",
    "enter_standby",
    "execute_policy",
    "exit_standby",
    "put_lifecycle_hook",
    "put_notification_configuration",
    "put_scaling_policy",
    "put_scheduled_update_group_action",
    "put_warm_pool",
    "record_lifecycle_action_heartbeat",
    "resume_processes",
    "rollback_instance_refresh",
    "set_desired_capacity",
    "set_instance_health",
    "set_instance_protection",
    "start_instance_refresh",
    "suspend_processes",
    "terminate_instance_in_auto_scaling_group",
    "update_auto_scaling_group",
]
