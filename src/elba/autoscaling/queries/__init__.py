"""Auto Scaling's queries: pure functions of the view, the call and the request."""

from elba.autoscaling.queries.forecasts import get_predictive_scaling_forecast
from elba.autoscaling.queries.groups import (
    describe_auto_scaling_groups,
    describe_auto_scaling_instances,
    describe_load_balancer_target_groups,
    describe_load_balancers,
    describe_scaling_activities,
    describe_tags,
    describe_traffic_sources,
)
from elba.autoscaling.queries.policies import (
    describe_account_limits,
    describe_launch_configurations,
    describe_lifecycle_hooks,
    describe_notification_configurations,
    describe_policies,
    describe_scheduled_actions,
)
from elba.autoscaling.queries.refreshes import describe_instance_refreshes
from elba.autoscaling.queries.types import (
    describe_adjustment_types,
    describe_auto_scaling_notification_types,
    describe_lifecycle_hook_types,
    describe_metric_collection_types,
    describe_scaling_process_types,
    describe_termination_policy_types,
)
from elba.autoscaling.queries.warm_pools import describe_warm_pool

__all__ = [
    "describe_account_limits",
    "describe_adjustment_types",
    "describe_auto_scaling_groups",
    "describe_auto_scaling_instances",
    "describe_auto_scaling_notification_types",
    "describe_instance_refreshes",
    "describe_launch_configurations",
    "describe_lifecycle_hook_types",
    "describe_lifecycle_hooks",
    "describe_load_balancer_target_groups",
    "describe_load_balancers",
    "describe_metric_collection_types",
    "describe_notification_configurations",
    "describe_policies",
    "describe_scaling_activities",
    "describe_scaling_process_types",
    "describe_scheduled_actions",
    "describe_tags",
    "describe_termination_policy_types",
    "describe_traffic_sources",
    "describe_warm_pool",
    "get_predictive_scaling_forecast",
]
